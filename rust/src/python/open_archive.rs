//! An archive that is open for reading, as Python sees it.

use std::sync::Arc;

use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyDict};

use super::archive::{Place, root};
use super::arrow::index_capsule;
use super::client::Client;
use super::convert::{self, Options};
use super::error::to_python;
use super::memory::Buffer;
use super::runtime::{Watch, wait};
use crate::archive::index::Row;
use crate::archive::read::ReadOptions;
use crate::archive::threads::Stop;
use crate::archive::verify::{Level, VerifyReport, verify};
use crate::error::{Error, ErrorKind, Result};
use crate::ops::archive::{ArchivePlace, ArchiveRequest, OpenArchive, on_thread};
use crate::progress::Cancel;
use crate::s3::client::ObjectRef;

/// Rows of a listing that come at once.
const PAGE: usize = 10_000;

/// Name, kind, size, mode, mtime, link, whether it is stored, checksum, flags.
type Told<'py> = (
    Bound<'py, PyBytes>,
    &'static str,
    u64,
    u32,
    i64,
    Option<Bound<'py, PyBytes>>,
    bool,
    Option<Bound<'py, PyBytes>>,
    u16,
);

#[pyclass(module = "s3z._core", frozen)]
pub struct Archive {
    shared: Arc<OpenArchive>,
}

#[pymethods]
impl Archive {
    #[new]
    fn new(py: Python<'_>, client: &Client, archive: Place, options: Bound<'_, PyDict>) -> PyResult<Self> {
        let options = Options::new(options, &["root", "etag", "cache_dir", "whole_index"])?;
        let object = |bucket: &str, key: &str, version: Option<&str>| {
            ObjectRef::new(bucket, key, version).map(ArchivePlace::Object).map_err(|error| to_python(py, error))
        };
        let place = match archive {
            Place::File(_, path) => ArchivePlace::File(convert::path(path)),
            Place::Object(_, bucket, key) => object(&bucket, &key, None)?,
            Place::Versioned(_, bucket, key, version) => object(&bucket, &key, version.as_deref())?,
            Place::Descriptor(..) => {
                let text = "an archive in a pipe can only be unpacked, not opened";
                return Err(to_python(py, Error::config(text)));
            }
        };
        let request = ArchiveRequest {
            place,
            root: root(py, &options)?,
            etag: options.get("etag")?,
            cache: options.get::<Vec<u8>>("cache_dir")?.map(convert::path),
        };
        let whole_index = options.get("whole_index")?.unwrap_or(false);
        let engine = client.engine(py)?;
        let watch = Watch::new();
        let cancel = watch.cancel.clone();
        let opened = wait(py, &watch, async move { OpenArchive::open(&engine, request, whole_index, &cancel).await })?;
        Ok(Self { shared: opened })
    }

    #[getter]
    fn root<'py>(&self, py: Python<'py>) -> Bound<'py, PyBytes> {
        PyBytes::new(py, &self.shared.now().archive.opened().footer.root)
    }

    #[getter]
    fn etag(&self) -> Option<String> {
        self.shared.now().object.as_ref().and_then(|object| object.etag())
    }

    #[getter]
    fn size(&self) -> u64 {
        self.shared.now().archive.opened().size
    }

    #[getter]
    fn entries(&self) -> u64 {
        self.shared.now().archive.opened().footer.entries
    }

    #[getter]
    fn rows(&self) -> u64 {
        self.shared.now().archive.opened().footer.rows
    }

    #[getter]
    fn raw_bytes(&self) -> u64 {
        self.shared.now().archive.opened().footer.raw_bytes
    }

    #[getter]
    fn flags(&self) -> u32 {
        self.shared.now().archive.opened().footer.flags
    }

    /// The entries whose names begin with `prefix`, page by page.
    fn list(&self, py: Python<'_>, prefix: Vec<u8>) -> PyResult<EntryPages> {
        let watch = Watch::new();
        let (shared, cancel) = (self.shared.clone(), watch.cancel.clone());
        wait(py, &watch, async move { shared.prove(&cancel).await })?;
        let batches = self.shared.now().archive.batches_of_prefix(&prefix);
        let at = std::sync::Mutex::new((batches.start, 0));
        Ok(EntryPages { shared: self.shared.clone(), prefix, at, end: batches.end })
    }

    fn find<'py>(&self, py: Python<'py>, name: Vec<u8>) -> PyResult<Option<Told<'py>>> {
        let rows = self.run(py, move |archive| archive.find(&name))?;
        Ok(rows.first().map(|first| told(py, first, rows.iter().all(|row| !row.compressed && row.len > 0))))
    }

    #[pyo3(signature = (name, start=None, stop=None, verify=true, allow_incomplete=false))]
    fn read(
        &self,
        py: Python<'_>,
        name: Vec<u8>,
        start: Option<u64>,
        stop: Option<u64>,
        verify: bool,
        allow_incomplete: bool,
    ) -> PyResult<Buffer> {
        let options = ReadOptions { allow_incomplete, verify };
        let bytes = self.run(py, move |archive| {
            let rows = archive.find_file(&name, options)?;
            let span = start.unwrap_or(0)..stop.unwrap_or(u64::MAX);
            archive.read_rows(&rows, span.start..span.end.max(span.start), options)
        })?;
        Ok(Buffer::whole(bytes))
    }

    fn read_many(&self, py: Python<'_>, names: Vec<Vec<u8>>) -> PyResult<Vec<Buffer>> {
        let all = self.run(py, move |archive| archive.read_many(&names, ReadOptions::default()))?;
        Ok(all.into_iter().map(Buffer::whole).collect())
    }

    fn range_of(&self, py: Python<'_>, name: Vec<u8>) -> PyResult<Option<(u64, u64, u64)>> {
        let range = self.run(py, move |archive| archive.range_of(&name))?;
        Ok(range.map(|range| (range.offset, range.length, range.stride)))
    }

    #[pyo3(signature = (level, fraction=None, progress=None))]
    fn verify<'py>(
        &self,
        py: Python<'py>,
        level: &str,
        fraction: Option<f64>,
        progress: Option<Bound<'py, PyAny>>,
    ) -> PyResult<Bound<'py, PyDict>> {
        let level = match (level, fraction) {
            ("full", _) => Level::Full,
            ("index", _) => Level::Index,
            ("sample", Some(part)) if part > 0.0 && part <= 1.0 => Level::Sample(part),
            _ => {
                let text = "level must be \"full\", \"index\" or a fraction above 0 and at most 1";
                return Err(to_python(py, Error::config(text)));
            }
        };
        let watch = Watch { callback: progress, ..Watch::new() };
        let (shared, cancel, counters) = (self.shared.clone(), watch.cancel.clone(), watch.progress.clone());
        let threads = std::thread::available_parallelism().map_or(2, usize::from);
        let report = wait(py, &watch, async move {
            shared.prove(&cancel).await?;
            let stop = Arc::new(Stop::default());
            let of_thread = stop.clone();
            let work = shared.run(&cancel, move |archive| verify(archive, level, threads, (&of_thread, &counters)));
            tokio::pin!(work);
            tokio::select! {
                biased;
                done = &mut work => done,
                () = cancel.cancelled() => {
                    stop.fail(Error::cancelled());
                    work.await
                }
            }
        })?;
        verified(py, report)
    }

    /// The index as a capsule of an Arrow stream.
    fn index_stream<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        let version = self.shared.now();
        // The first batches come with signals looked at; what follows is asked for by whoever takes the stream.
        self.run(
            py,
            |archive| if archive.batches() > 0 { archive.batch_ahead(0..archive.batches()).map(drop) } else { Ok(()) },
        )?;
        index_capsule(py, version)
    }

    /// The index as one Arrow IPC file.
    fn index_file(&self, py: Python<'_>) -> PyResult<Buffer> {
        let bytes = self.run(py, |archive| {
            let parts = &archive.opened().manifest.parts;
            let [part] = parts.as_slice() else {
                let text = "the index is in several files: read it as a stream";
                return Err(Error::new(ErrorKind::Archive, text));
            };
            let bytes = archive.one(part.offset..part.offset + part.len)?;
            archive.check_index_file(part, &bytes)?;
            Ok(bytes)
        })?;
        Ok(Buffer::whole(bytes))
    }

    fn close(&self) {}
}

impl Archive {
    fn run<T: Send + 'static>(
        &self,
        py: Python<'_>,
        work: impl Fn(&crate::archive::read::Archive) -> Result<T> + Clone + Send + 'static,
    ) -> PyResult<T> {
        let watch = Watch::new();
        let (shared, cancel) = (self.shared.clone(), watch.cancel.clone());
        wait(py, &watch, async move { shared.run(&cancel, work).await })
    }
}

fn told<'py>(py: Python<'py>, row: &Row, is_stored: bool) -> Told<'py> {
    let entry = &row.entry;
    let link = (!entry.link.is_empty()).then(|| PyBytes::new(py, &entry.link));
    let size = match entry.kind {
        crate::archive::entry::Kind::File | crate::archive::entry::Kind::HardLink => entry.size,
        _ => 0,
    };
    let checksum = row.checksum.filter(|_| row.len == entry.size).or(row.file_checksum);
    (
        PyBytes::new(py, &entry.name),
        entry.kind.letter(),
        size,
        entry.mode,
        entry.mtime_ns,
        link,
        is_stored,
        checksum.map(|hash| PyBytes::new(py, &hash)),
        row.flags,
    )
}

fn verified(py: Python<'_>, report: VerifyReport) -> PyResult<Bound<'_, PyDict>> {
    let dict = PyDict::new(py);
    dict.set_item("frames", report.frames)?;
    dict.set_item("entries", report.entries)?;
    dict.set_item("bytes", report.bytes)?;
    let problems: Vec<_> = report
        .problems
        .into_iter()
        .map(|problem| (problem.name.map(|name| PyBytes::new(py, &name)), problem.offset, problem.what))
        .collect();
    dict.set_item("problems", problems)?;
    Ok(dict)
}

/// A listing under way.
#[pyclass(module = "s3z._core", frozen)]
pub struct EntryPages {
    shared: Arc<OpenArchive>,
    prefix: Vec<u8>,
    /// The batch and row that come next.
    at: std::sync::Mutex<(usize, usize)>,
    end: usize,
}

#[pymethods]
impl EntryPages {
    /// The next entries; `None` at the end.
    fn next<'py>(&self, py: Python<'py>) -> PyResult<Option<Vec<Told<'py>>>> {
        let start = *self.at.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        let (prefix, end) = (self.prefix.clone(), self.end);
        let watch = Watch::new();
        let version = self.shared.now();
        let begin = version.clone();
        let cancel: Cancel = watch.cancel.clone();
        let (rows, at) = wait(py, &watch, async move {
            if let Some(object) = &begin.object {
                object.begin(&cancel);
            }
            on_thread("s3z-archive", move || page(&begin.archive, start, end, &prefix)).await
        })?;
        *self.at.lock().unwrap_or_else(std::sync::PoisonError::into_inner) = at;
        if rows.is_empty() && at.0 >= end {
            return Ok(None);
        }
        Ok(Some(rows.iter().map(|(row, is_stored)| told(py, row, *is_stored)).collect()))
    }
}

type At = (usize, usize);

/// Entries from `at` on, by their first rows; and where the next page begins.
fn page(archive: &crate::archive::read::Archive, at: At, end: usize, prefix: &[u8]) -> Result<(Vec<(Row, bool)>, At)> {
    let (mut number, mut row) = at;
    let mut found = Vec::new();
    while number < end && found.len() < PAGE {
        let batch = archive.batch_ahead(number..end)?;
        while row < batch.len() && found.len() < PAGE {
            if batch.is_current(row) && batch.seq(row) == 0 && batch.name(row).starts_with(prefix) {
                let first = batch.row(row)?;
                let is_stored = !first.compressed && first.len > 0;
                found.push((first, is_stored));
            }
            row += 1;
        }
        if row >= batch.len() {
            (number, row) = (number + 1, 0);
        }
    }
    Ok((found, (number, row)))
}
