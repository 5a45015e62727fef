//! The writer as Python sees it: `write`, `close`, `abort` of an object or a local file.
//!
//! A small write is a copy into the current block and nothing else. A larger one runs on the runtime while this thread waits in slices
//! as everywhere. What Python lends (a view of a bytearray, say) is given back on a thread that has the GIL, also where a second
//! Ctrl-C ended the wait before the work: until then it stays on a list.

use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;
use pyo3::buffer::PyBuffer;
use pyo3::exceptions::PyBufferError;
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyDict};

use super::client::{Client, put_request};
use super::convert::{self, DIRECT_IO, Options};
use super::error::{check_process, to_python};
use super::runtime::{Watch, detach, spawner, wait};
use crate::error::{Error, ErrorKind, Result};
use crate::ops::pipe::{PipeRequest, pipe};
use crate::ops::put::ObjectWriter;
use crate::ops::sink::Sink;
use crate::ops::write_file::{LocalWriter, WriteFileRequest};
use crate::progress::{Cancel, Progress};
use crate::s3::client::ObjectRef;

type Slot = Arc<tokio::sync::Mutex<Option<Sink>>>;

pub(super) const PUT: [&str; 8] =
    ["if_none_match", "if_match", "checksum", "headers", "deadline", "part_size", "max_concurrency", "expected_size"];
pub(super) const WRITE_FILE: [&str; 4] = ["overwrite", "durable", "direct_io", "expected_size"];

/// A write up to this long may hold the GIL while it is copied.
const QUICK: usize = 64 << 10;

#[pyclass(module = "s3z._core", frozen)]
pub struct Writer {
    sink: Slot,
    progress: Arc<Progress>,
    cancel: Cancel,
    callback: Option<Py<PyAny>>,
    /// A forked child has the object but not what it stands for (Y3).
    pid: u32,
}

impl Drop for Writer {
    /// A forked child leaves what the parent's threads may hold locks of alone (Y3).
    fn drop(&mut self) {
        if self.pid != std::process::id() {
            std::mem::forget(self.sink.clone());
        }
    }
}

#[pymethods]
impl Writer {
    /// Takes all of the data or raises; how many bytes that were.
    fn write(&self, py: Python<'_>, data: &Bound<'_, PyAny>) -> PyResult<usize> {
        check_process(py, self.pid, "writer")?;
        release_lent();
        if let Ok(bytes) = data.cast::<PyBytes>() {
            let len = bytes.as_bytes().len();
            if !self.write_at_once(bytes.as_bytes()) {
                let shared = Bytes::from_owner(Immutable(bytes.clone().unbind(), SharedSlice::of(bytes.as_bytes())));
                self.run(py, |sink| Box::pin(async move { sink.write(shared).await }))?;
            }
            return Ok(len);
        }
        let view = PyBuffer::<u8>::get(data)?;
        if !view.is_c_contiguous() {
            return Err(PyBufferError::new_err("only contiguous bytes can be written"));
        }
        let len = view.len_bytes();
        // Nobody else may write into it meanwhile: that is the caller's word, as with any other writer.
        let lent = Lent(Some(view));
        if !self.write_at_once(lent.bytes()) {
            self.run(py, |sink| Box::pin(async move { sink.write_copied(lent.bytes()).await }))?;
        }
        release_lent();
        Ok(len)
    }

    /// Completes; the report.
    fn close<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyDict>> {
        check_process(py, self.pid, "writer")?;
        let slot = self.sink.clone();
        let report = wait(py, &self.watch(py), async move {
            match slot.lock().await.take() {
                Some(sink) => sink.finish().await,
                None => Err(closed()),
            }
        })?;
        convert::report(py, report)
    }

    /// Gives up; returns when nothing is left, or raises naming what is.
    fn abort(&self, py: Python<'_>) -> PyResult<()> {
        if self.pid != std::process::id() {
            return Ok(());
        }
        self.cancel.trigger();
        let (slot, cancel) = (self.sink.clone(), self.cancel.clone());
        let watch = Watch { progress: self.progress.clone(), cancel: Cancel::default(), callback: None };
        wait(py, &watch, async move {
            match slot.lock().await.take() {
                Some(sink) => sink.abort(&cancel).await,
                None => Ok(()),
            }
        })
    }
}

impl Writer {
    fn write_at_once(&self, data: &[u8]) -> bool {
        let quick = data.len() <= QUICK;
        quick && self.sink.try_lock().is_ok_and(|mut sink| sink.as_mut().is_some_and(|sink| sink.write_at_once(data)))
    }

    fn watch<'py>(&self, py: Python<'py>) -> Watch<'py> {
        let callback = self.callback.as_ref().map(|callback| callback.bind(py).clone());
        Watch { progress: self.progress.clone(), cancel: self.cancel.clone(), callback }
    }

    fn run<F>(&self, py: Python<'_>, work: F) -> PyResult<()>
    where
        F: for<'a> FnOnce(&'a mut Sink) -> std::pin::Pin<Box<dyn Future<Output = Result<()>> + Send + 'a>>
            + Send
            + 'static,
    {
        let slot = self.sink.clone();
        wait(py, &self.watch(py), async move {
            match slot.lock().await.as_mut() {
                Some(sink) => work(sink).await,
                None => Err(closed()),
            }
        })
    }
}

fn closed() -> Error {
    Error::new(ErrorKind::Internal, "the writer is closed")
}

/// A writer of an object.
#[pyfunction]
#[pyo3(signature = (client, bucket, key, options, progress=None))]
pub fn open_object(
    py: Python<'_>,
    client: &Client,
    bucket: &str,
    key: &str,
    options: Bound<'_, PyDict>,
    progress: Option<Py<PyAny>>,
) -> PyResult<Writer> {
    let options = Options::new(options, &PUT)?;
    let object = ObjectRef::new(bucket, key, None).map_err(|error| to_python(py, error))?;
    let request = put_request(py, object, &options)?;
    let engine = client.engine(py)?;
    let (counters, cancel) = (Arc::<Progress>::default(), Cancel::default());
    let opened = {
        // Its clock begins here, and belongs to the runtime.
        let (engine, counters, cancel) = (engine, counters.clone(), cancel.clone());
        let work = async move { ObjectWriter::open(&engine, request, counters, cancel) };
        wait(py, &Watch::new(), work)?
    };
    let (writer, sender) = opened;
    detach(py, &cancel, sender.run())?;
    Ok(new_writer(Sink::Object(Box::new(writer)), counters, cancel, progress))
}

/// A writer of a local file.
#[pyfunction]
#[pyo3(signature = (client, destination, options, progress=None))]
pub fn open_local(
    py: Python<'_>,
    client: &Client,
    destination: Vec<u8>,
    options: Bound<'_, PyDict>,
    progress: Option<Py<PyAny>>,
) -> PyResult<Writer> {
    let options = Options::new(options, &WRITE_FILE)?;
    let request = WriteFileRequest {
        destination: convert::path(destination),
        overwrite: options.get("overwrite")?.unwrap_or(true),
        durable: options.get("durable")?.unwrap_or(false),
        direct_io: options.word("direct_io", &DIRECT_IO)?,
        expected_size: options.count("expected_size")?,
    };
    let engine = client.engine(py)?;
    let (counters, cancel) = (Arc::<Progress>::default(), Cancel::default());
    let moved = counters.clone();
    let opened = wait(py, &Watch::new(), async move { LocalWriter::open(&engine, request, moved).await })?;
    Ok(new_writer(Sink::File(Box::new(opened)), counters, cancel, progress))
}

/// An object of what a descriptor gives until its end. The descriptor itself stays the caller's.
#[pyfunction]
#[pyo3(signature = (client, descriptor, name, bucket, key, options, progress=None))]
#[expect(clippy::too_many_arguments, reason = "Python calls it by names")]
pub fn upload_descriptor<'py>(
    py: Python<'py>,
    client: &Client,
    descriptor: i32,
    name: PathBuf,
    bucket: &str,
    key: &str,
    options: Bound<'py, PyDict>,
    progress: Option<Bound<'py, PyAny>>,
) -> PyResult<Bound<'py, PyDict>> {
    let options = Options::new(options, &PUT)?;
    let object = ObjectRef::new(bucket, key, None).map_err(|error| to_python(py, error))?;
    let put = put_request(py, object, &options)?;
    let source = duplicate(descriptor).map_err(|cause| to_python(py, Error::local(&name, cause)))?;
    let engine = client.engine(py)?;
    let watch = Watch { callback: progress, ..Watch::new() };
    let (counters, cancel, spawn) = (watch.progress.clone(), watch.cancel.clone(), spawner(py)?);
    let request = PipeRequest { source, name, put };
    let report = wait(py, &watch, async move { pipe(&engine, request, counters, &cancel, spawn).await })?;
    convert::report(py, report)
}

#[expect(unsafe_code, reason = "Python hands descriptors over as numbers")]
fn duplicate(descriptor: i32) -> std::io::Result<std::os::fd::OwnedFd> {
    if descriptor < 0 {
        return Err(std::io::Error::from(rustix::io::Errno::BADF));
    }
    // SAFETY: it is only borrowed for this call, in which the caller keeps it open; a number that is none is refused by the kernel.
    unsafe { std::os::fd::BorrowedFd::borrow_raw(descriptor) }.try_clone_to_owned()
}

fn new_writer(sink: Sink, progress: Arc<Progress>, cancel: Cancel, callback: Option<Py<PyAny>>) -> Writer {
    let sink = Arc::new(tokio::sync::Mutex::new(Some(sink)));
    Writer { sink, progress, cancel, callback, pid: std::process::id() }
}

/// The bytes of an object: as they are if they never change, else copied.
pub(super) fn owned_bytes(data: &Bound<'_, PyAny>) -> PyResult<Bytes> {
    if let Ok(bytes) = data.cast::<PyBytes>() {
        return Ok(Bytes::from_owner(Immutable(bytes.clone().unbind(), SharedSlice::of(bytes.as_bytes()))));
    }
    let view = PyBuffer::<u8>::get(data)?;
    if !view.is_c_contiguous() {
        return Err(PyBufferError::new_err("only contiguous bytes can be sent"));
    }
    Ok(Bytes::from(view.to_vec(data.py())?))
}

/// Bytes of an object that Python never changes.
struct Immutable(#[expect(dead_code, reason = "keeps the bytes alive")] Py<PyBytes>, SharedSlice);

impl AsRef<[u8]> for Immutable {
    fn as_ref(&self) -> &[u8] {
        self.1.get()
    }
}

/// A slice whose owner is kept beside it.
struct SharedSlice(*const u8, usize);

#[expect(unsafe_code, reason = "a bytes object neither moves nor changes while it lives")]
// SAFETY: it is only read, and its owner lives as long.
unsafe impl Send for SharedSlice {}
#[expect(unsafe_code, reason = "as above")]
// SAFETY: as above.
unsafe impl Sync for SharedSlice {}

impl SharedSlice {
    fn of(bytes: &[u8]) -> Self {
        Self(bytes.as_ptr(), bytes.len())
    }

    #[expect(unsafe_code, reason = "see the type")]
    fn get(&self) -> &[u8] {
        // SAFETY: made of a slice whose owner is kept beside this.
        unsafe { std::slice::from_raw_parts(self.0, self.1) }
    }
}

/// Views that outlived the call they were lent to.
static LENT: Mutex<Vec<PyBuffer<u8>>> = Mutex::new(Vec::new());

/// A view that must be released with the GIL held.
struct Lent(Option<PyBuffer<u8>>);

impl Lent {
    #[expect(unsafe_code, reason = "the view pins the memory")]
    fn bytes(&self) -> &[u8] {
        match &self.0 {
            Some(view) if view.len_bytes() > 0 => {
                // SAFETY: contiguous (checked), pinned by the view, and not written to by the caller's word.
                unsafe { std::slice::from_raw_parts(view.buf_ptr().cast(), view.len_bytes()) }
            }
            _ => &[],
        }
    }
}

impl Drop for Lent {
    fn drop(&mut self) {
        LENT.lock().unwrap_or_else(PoisonError::into_inner).extend(self.0.take());
    }
}

/// Called with the GIL.
fn release_lent() {
    let views = std::mem::take(&mut *LENT.lock().unwrap_or_else(PoisonError::into_inner));
    drop(views);
}

#[expect(dead_code, reason = "keeps the compiler's word that a writer may be used by any thread (Y5)")]
fn shared_between_threads(writer: Writer) -> Arc<dyn Send + Sync> {
    Arc::new(writer)
}
