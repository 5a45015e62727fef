//! Objects in memory as Python sees them: memory of ours that Python looks into, and Python's that is filled.
#![expect(unsafe_code, reason = "the buffer protocol lends memory by pointer")]

use std::ffi::c_int;
use std::ptr::NonNull;
use std::sync::Arc;

use bytes::Bytes;
use pyo3::basic::CompareOp;
use pyo3::buffer::PyBuffer;
use pyo3::exceptions::PyBufferError;
use pyo3::ffi;
use pyo3::prelude::*;
use pyo3::types::PyDict;

use super::client::Client;
use super::error::to_python;
use super::runtime::{Watch, wait};
use super::stream::stream_request;
use crate::error::{Error, Result};
use crate::ops::into_memory::{Place, into_memory};
use crate::ops::ranges::{self, Group};
use crate::transfer::region::Region;

/// Bytes of an object, which nothing changes any more.
#[pyclass(module = "s3z", name = "Buffer", frozen)]
pub struct Buffer {
    memory: Arc<Vec<u8>>,
    start: usize,
    len: usize,
}

#[pymethods]
impl Buffer {
    fn __len__(&self) -> usize {
        self.len
    }

    fn __repr__(&self) -> String {
        format!("<Buffer of {} bytes>", self.len)
    }

    /// By content, with anything that has bytes.
    fn __richcmp__(&self, py: Python<'_>, other: &Bound<'_, PyAny>, op: CompareOp) -> PyResult<Py<PyAny>> {
        let (Ok(view), CompareOp::Eq | CompareOp::Ne) = (PyBuffer::<u8>::get(other), op) else {
            return Ok(py.NotImplemented());
        };
        let is_same = view.is_c_contiguous() && view.to_vec(py)? == self.bytes();
        Ok((is_same == matches!(op, CompareOp::Eq)).into_pyobject(py)?.to_owned().into_any().unbind())
    }

    /// # Safety
    /// Called by Python, with a view it owns.
    unsafe fn __getbuffer__(slf: Bound<'_, Self>, view: *mut ffi::Py_buffer, flags: c_int) -> PyResult<()> {
        let (start, len) = (slf.get().bytes().as_ptr(), slf.get().len as ffi::Py_ssize_t);
        // SAFETY: the view keeps the object, and with it the memory, which is neither moved nor changed.
        let filled = unsafe { ffi::PyBuffer_FillInfo(view, slf.as_ptr(), start.cast_mut().cast(), len, 1, flags) };
        if filled == 0 { Ok(()) } else { Err(PyErr::fetch(slf.py())) }
    }
}

impl Buffer {
    fn bytes(&self) -> &[u8] {
        &self.memory[self.start..self.start + self.len]
    }

    pub(super) fn whole(memory: Vec<u8>) -> Self {
        let len = memory.len();
        Self { memory: Arc::new(memory), start: 0, len }
    }
}

/// An object, or a range of it, in memory.
#[pyfunction]
#[pyo3(signature = (client, bucket, key, options, progress=None))]
pub fn get_object(
    py: Python<'_>,
    client: &Client,
    bucket: &str,
    key: &str,
    options: Bound<'_, PyDict>,
    progress: Option<Bound<'_, PyAny>>,
) -> PyResult<Buffer> {
    let request = stream_request(py, bucket, key, options)?;
    let engine = client.engine(py)?;
    let watch = Watch { callback: progress, ..Watch::new() };
    let (counters, cancel) = (watch.progress.clone(), watch.cancel.clone());
    let (memory, _) = wait(py, &watch, async move { ranges::get(&engine, &request, counters, &cancel).await })?;
    Ok(Buffer::whole(memory))
}

/// Buffer that Python lends for one call.
struct Lent {
    region: Arc<Region>,
    len: u64,
}

impl Place for Lent {
    fn region(&mut self, len: u64) -> Result<Arc<Region>> {
        if len != self.len {
            return Err(Error::config(format!("the buffer has {} bytes, but {len} are to be written", self.len)));
        }
        Ok(self.region.clone())
    }
}

/// Copies the pieces to the front of a view that has room for them, while nobody else runs Python; how many bytes.
pub(super) fn fill(_py: Python<'_>, view: &PyBuffer<u8>, pieces: &[Bytes]) -> PyResult<usize> {
    let len: usize = pieces.iter().map(Bytes::len).sum();
    if view.readonly() || !view.is_c_contiguous() || len > view.len_bytes() {
        return Err(PyBufferError::new_err("the buffer must be writable and contiguous"));
    }
    let mut filled = 0;
    for piece in pieces {
        // SAFETY: writable, contiguous and long enough, as was just looked at; the view pins it.
        unsafe {
            let to = view.buf_ptr().cast::<u8>().add(filled);
            std::ptr::copy_nonoverlapping(piece.as_ptr(), to, piece.len());
        }
        filled += piece.len();
    }
    Ok(filled)
}

/// Closes the fence whatever ends the call, before the view is given back.
struct Fence(Arc<Region>);

impl Drop for Fence {
    fn drop(&mut self) {
        self.0.close();
    }
}

/// An object, or a range of it, into a writable line of bytes; how many.
#[pyfunction]
#[pyo3(signature = (client, bucket, key, buffer, options, progress=None))]
pub fn get_object_into(
    py: Python<'_>,
    client: &Client,
    bucket: &str,
    key: &str,
    buffer: &Bound<'_, PyAny>,
    options: Bound<'_, PyDict>,
    progress: Option<Bound<'_, PyAny>>,
) -> PyResult<u64> {
    let request = stream_request(py, bucket, key, options)?;
    let view = PyBuffer::<u8>::get(buffer)?;
    if view.readonly() || !view.is_c_contiguous() {
        return Err(PyBufferError::new_err("the buffer must be writable and contiguous"));
    }
    let engine = client.engine(py)?;
    let start = NonNull::new(view.buf_ptr().cast::<u8>()).unwrap_or(NonNull::dangling());
    // SAFETY: the view pins the memory until it is dropped, which is after the fence; nobody else may use it meanwhile by the
    // caller's word, as with `readinto`.
    let region = unsafe { Region::new(start, view.len_bytes()) };
    let fence = Fence(region.clone());
    let mut lent = Lent { region, len: view.len_bytes() as u64 };
    let watch = Watch { callback: progress, ..Watch::new() };
    let (counters, cancel) = (watch.progress.clone(), watch.cancel.clone());
    let report = wait(py, &watch, async move { into_memory(&engine, &request, &mut lent, counters, &cancel).await });
    drop(fence);
    drop(view);
    Ok(report?.bytes)
}

/// Ranges of an object, in the order asked for.
#[pyfunction]
pub fn get_object_ranges(
    py: Python<'_>,
    client: &Client,
    bucket: &str,
    key: &str,
    ranges: Vec<(u64, u64)>,
    options: Bound<'_, PyDict>,
) -> PyResult<Vec<Buffer>> {
    let request = stream_request(py, bucket, key, options)?;
    let ranges: Vec<_> = ranges.into_iter().map(|(start, stop)| start..stop).collect();
    let groups = ranges::grouped(&ranges);
    let fetched =
        client.run(py, |engine, cancel| async move { ranges::get_groups(&engine, request, groups, &cancel).await })?;
    let nothing = Arc::new(Vec::new());
    let mut found: Vec<_> = ranges.iter().map(|_| Buffer { memory: nothing.clone(), start: 0, len: 0 }).collect();
    for fetched in fetched {
        let Group { range: of, members } = fetched.group;
        for index in members {
            let end = of.start + fetched.memory.len() as u64;
            let range = &ranges[index];
            if range.start > end {
                let text = format!("the range begins at byte {}, but the object has {end} bytes", range.start);
                return Err(to_python(py, Error::config(text).with_object(bucket, key)));
            }
            let start = (range.start - of.start) as usize;
            let len = (range.end.min(end) - range.start) as usize;
            found[index] = Buffer { memory: fetched.memory.clone(), start, len };
        }
    }
    Ok(found)
}
