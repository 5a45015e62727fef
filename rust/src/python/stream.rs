//! Reading as Python sees it: streams, readers, and objects to a descriptor.

use std::path::PathBuf;
use std::sync::Arc;

use bytes::Bytes;
use pyo3::buffer::PyBuffer;
use pyo3::exceptions::PyBaseException;
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyDict};

use super::client::Client;
use super::convert::{self, Options, VERIFY};
use super::error::{check_process, to_python};
use super::memory::fill;
use super::runtime::{Watch, wait};
use crate::error::{Error, ErrorKind, Result};
use crate::ops::cat;
use crate::ops::reader::ObjectReader;
use crate::ops::span::Span;
use crate::ops::stream::{OrderedStream, StreamRequest};
use crate::progress::{Cancel, Progress};
use crate::s3::client::ObjectRef;
use crate::s3::object::ObjectIdentity;

const READ: [&str; 9] =
    ["version_id", "if_match", "verify", "part_size", "max_concurrency", "deadline", "start", "stop", "tail"];

/// What is to be read, and how.
pub(super) fn stream_request(
    py: Python<'_>,
    bucket: &str,
    key: &str,
    options: Bound<'_, PyDict>,
) -> PyResult<StreamRequest> {
    let options = Options::new(options, &READ)?;
    let version: Option<String> = options.get("version_id")?;
    let object = ObjectRef::new(bucket, key, version.as_deref()).map_err(|error| to_python(py, error))?;
    let span = match options.count("tail")? {
        Some(count) => Span::Tail(count),
        None => Span::Between { start: options.count("start")?.unwrap_or(0), stop: options.count("stop")? },
    };
    Ok(StreamRequest {
        span,
        if_match: options.get("if_match")?,
        verify: options.word("verify", &VERIFY)?.unwrap_or_default(),
        part_size: options.count("part_size")?,
        max_concurrency: options.number("max_concurrency")?,
        deadline: options.seconds("deadline")?,
        ..StreamRequest::new(object)
    })
}

/// Size, ETag, version and type of what is read.
fn facts<'py>(py: Python<'py>, size: Option<u64>, identity: &ObjectIdentity) -> PyResult<Bound<'py, PyDict>> {
    let dict = PyDict::new(py);
    dict.set_item("size", size)?;
    dict.set_item("etag", &identity.etag)?;
    dict.set_item("version_id", &identity.version_id)?;
    Ok(dict)
}

/// A stream, and what came of it beyond the last chunk.
struct Reading {
    stream: OrderedStream,
    rest: Bytes,
    /// What ended it, told behind the last byte that came.
    failure: Option<Error>,
}

impl Reading {
    /// Bytes of the next chunk, in pieces; fewer than `len` only at the end.
    async fn take(&mut self, len: usize) -> Result<Vec<Bytes>> {
        let (mut pieces, mut have) = (Vec::new(), 0);
        if let Some(failure) = self.failure.take() {
            return Err(failure);
        }
        while have < len {
            if self.rest.is_empty() {
                match self.stream.next().await {
                    Ok(Some(chunk)) => self.rest = chunk,
                    Ok(None) => break,
                    Err(error) => {
                        let given = self.stream.given();
                        let error = if given > 0 { error.after_giving(given) } else { error };
                        if have == 0 {
                            return Err(error);
                        }
                        self.failure = Some(error);
                        break;
                    }
                }
            }
            let piece = self.rest.split_to(self.rest.len().min(len - have));
            have += piece.len();
            pieces.push(piece);
        }
        Ok(pieces)
    }
}

#[pyclass(module = "s3z._core", frozen)]
pub struct Stream {
    slot: Arc<tokio::sync::Mutex<Option<Reading>>>,
    progress: Arc<Progress>,
    cancel: Cancel,
    callback: Option<Py<PyAny>>,
    pid: u32,
}

/// Opens an object, or a range of it, to be read in order; with its facts.
#[pyfunction]
#[pyo3(signature = (client, bucket, key, options, progress=None))]
pub fn open_stream<'py>(
    py: Python<'py>,
    client: &Client,
    bucket: &str,
    key: &str,
    options: Bound<'py, PyDict>,
    progress: Option<Bound<'py, PyAny>>,
) -> PyResult<(Stream, Bound<'py, PyDict>)> {
    let request = stream_request(py, bucket, key, options)?;
    let engine = client.engine(py)?;
    let watch = Watch { callback: progress, ..Watch::new() };
    let (counters, cancel) = (watch.progress.clone(), watch.cancel.clone());
    let stream = wait(py, &watch, async move { OrderedStream::open(&engine, request, counters, &cancel).await })?;
    let facts = facts(py, stream.size(), stream.identity())?;
    let reading = Reading { stream, rest: Bytes::new(), failure: None };
    let opened = Stream {
        slot: Arc::new(tokio::sync::Mutex::new(Some(reading))),
        progress: watch.progress.clone(),
        cancel: watch.cancel.clone(),
        callback: watch.callback.map(Bound::unbind),
        pid: std::process::id(),
    };
    Ok((opened, facts))
}

impl Drop for Stream {
    /// A forked child leaves what the parent's threads may hold locks of alone (Y3).
    fn drop(&mut self) {
        if self.pid != std::process::id() {
            std::mem::forget(self.slot.clone());
        }
    }
}

#[pymethods]
impl Stream {
    /// The next `len` bytes, fewer at the end; nothing after it.
    fn take<'py>(&self, py: Python<'py>, len: usize) -> PyResult<Bound<'py, PyBytes>> {
        check_process(py, self.pid, "stream")?;
        let slot = self.slot.clone();
        let pieces = wait(py, &self.watch(py), async move {
            match slot.lock().await.as_mut() {
                Some(reading) => reading.take(len).await,
                None => Err(Error::new(ErrorKind::Internal, "the stream is closed")),
            }
        })?;
        joined(py, &pieces)
    }

    /// The report, once all of it was given and compared.
    fn report<'py>(&self, py: Python<'py>) -> PyResult<Option<Bound<'py, PyDict>>> {
        let report = self.slot.try_lock().ok().and_then(|slot| slot.as_ref().and_then(|read| read.stream.report()));
        report.map(|report| convert::report(py, report)).transpose()
    }

    /// Cancels what is under way; when it returns, nothing of it runs any more.
    fn close(&self, py: Python<'_>) -> PyResult<()> {
        if self.pid != std::process::id() {
            return Ok(());
        }
        self.cancel.trigger();
        let slot = self.slot.clone();
        wait(py, &Watch::new(), async move {
            if let Some(mut reading) = slot.lock().await.take() {
                reading.stream.stop().await;
            }
            Ok(())
        })
    }
}

impl Stream {
    fn watch<'py>(&self, py: Python<'py>) -> Watch<'py> {
        let callback = self.callback.as_ref().map(|callback| callback.bind(py).clone());
        Watch { progress: self.progress.clone(), cancel: self.cancel.clone(), callback }
    }
}

/// One copy, into Python's own memory.
fn joined<'py>(py: Python<'py>, pieces: &[Bytes]) -> PyResult<Bound<'py, PyBytes>> {
    let len = pieces.iter().map(Bytes::len).sum();
    PyBytes::new_with(py, len, |mut to| {
        for piece in pieces {
            let (now, rest) = to.split_at_mut(piece.len());
            now.copy_from_slice(piece);
            to = rest;
        }
        Ok(())
    })
}

#[pyclass(module = "s3z._core", frozen)]
pub struct Reader {
    slot: Arc<tokio::sync::Mutex<ObjectReader>>,
    pid: u32,
}

/// Opens an object to be read at any place; with its facts.
#[pyfunction]
pub fn open_reader<'py>(
    py: Python<'py>,
    client: &Client,
    bucket: &str,
    key: &str,
    options: Bound<'py, PyDict>,
) -> PyResult<(Reader, Bound<'py, PyDict>)> {
    let request = stream_request(py, bucket, key, options)?;
    let opened = client.run(py, |engine, _| async move {
        // Its reads are cancelled one by one, and it may be read again after that.
        ObjectReader::open(&engine, request, &Cancel::default()).await
    })?;
    let facts = facts(py, Some(opened.identity().size), opened.identity())?;
    Ok((Reader { slot: Arc::new(tokio::sync::Mutex::new(opened)), pid: std::process::id() }, facts))
}

impl Drop for Reader {
    /// A forked child leaves what the parent's threads may hold locks of alone (Y3).
    fn drop(&mut self) {
        if self.pid != std::process::id() {
            std::mem::forget(self.slot.clone());
        }
    }
}

#[pymethods]
impl Reader {
    /// Reads at `at` into a writable buffer; how many bytes, 0 only at the end.
    fn read_into(&self, py: Python<'_>, at: u64, buffer: &Bound<'_, PyAny>) -> PyResult<usize> {
        let view = PyBuffer::<u8>::get(buffer)?;
        let pieces = self.read(py, at, view.len_bytes() as u64)?;
        fill(py, &view, &pieces)
    }

    /// All that is left from `at` on.
    fn read_rest<'py>(&self, py: Python<'py>, at: u64) -> PyResult<Bound<'py, PyBytes>> {
        let pieces = self.read(py, at, u64::MAX)?;
        joined(py, &pieces)
    }
}

impl Reader {
    fn read(&self, py: Python<'_>, at: u64, len: u64) -> PyResult<Vec<Bytes>> {
        check_process(py, self.pid, "reader")?;
        let slot = self.slot.clone();
        let watch = Watch::new();
        let cancel = watch.cancel.clone();
        wait(py, &watch, async move {
            let mut reader = slot.lock().await;
            let (mut pieces, mut have) = (Vec::new(), 0);
            while have < len {
                let read = crate::ops::engine::unless_cancelled(&cancel, reader.read(at + have, len - have)).await?;
                if read.is_empty() {
                    break;
                }
                have += read.len() as u64;
                pieces.push(read);
            }
            Ok(pieces)
        })
    }
}

/// How many objects were written whole, how many bytes, whether what comes next begins a line, the report of the last object, and
/// what ended it early.
type Catenated<'py> = (usize, u64, bool, Option<Bound<'py, PyDict>>, Option<Py<PyBaseException>>);

/// Writes objects to an open descriptor, one behind the other.
#[pyfunction]
#[pyo3(signature = (client, objects, options, descriptor, name, progress=None))]
pub fn cat_objects<'py>(
    py: Python<'py>,
    client: &Client,
    objects: Vec<(String, String)>,
    options: Bound<'py, PyDict>,
    descriptor: i32,
    name: String,
    progress: Option<Bound<'py, PyAny>>,
) -> PyResult<Catenated<'py>> {
    let requests = objects.iter().map(|(bucket, key)| stream_request(py, bucket, key, options.clone()));
    let requests = requests.collect::<PyResult<Vec<_>>>()?;
    let engine = client.engine(py)?;
    let watch = Watch { callback: progress, ..Watch::new() };
    let (counters, cancel) = (watch.progress.clone(), watch.cancel.clone());
    let (all, written, ends_line, outcome) = wait(py, &watch, async move {
        let pipe = cat::open(descriptor, PathBuf::from(name)).await?;
        let (all, outcome) = cat::cat(&engine, requests, &pipe, &counters, &cancel).await;
        let (written, ends_line) = (pipe.written(), pipe.ends_line());
        let outcome = match outcome {
            Ok(()) => pipe.finish().await,
            Err(error) => {
                pipe.stop().await;
                Err(error)
            }
        };
        match outcome {
            Err(error) if error.kind() == ErrorKind::Cancelled => Err(error),
            outcome => Ok((all, written, ends_line, outcome)),
        }
    })?;
    let last = all.last.map(|report| convert::report(py, report)).transpose()?;
    Ok((all.done, written, ends_line, last, outcome.err().map(|error| to_python(py, error).into_value(py))))
}
