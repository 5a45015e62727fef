//! Many objects as Python sees them: a batch that runs by itself, and its outcomes taken by the thousand as finished lines.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, PoisonError};

use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyDict};

use super::client::Client;
use super::convert::{self, DIRECT_IO, Options, VERIFY};
use super::error::{check_process, defect, to_python};
use super::runtime::{Watch, detach, wait};
use crate::checksum::Kind;
use crate::config::DirectIo;
use crate::error::Error;
use crate::ops::batch::{
    Batch as Outcomes, Compare, ContentTypes, Counts, Entry, Glacier, Goal, How, Keys, Object, Operation, Outcome,
    Place, Request, Selection, SyncRequest, Tests, TransferRequest, Tree, What, json, label, text,
};
use crate::ops::select::{Filters, Pattern};
use crate::progress::{Cancel, Progress};

/// Outcomes of one call.
const ROW: usize = 1000;

const OPTIONS: [&str; 37] = [
    "manifest",
    "job",
    "download",
    "one_way",
    "operation",
    "selections",
    "goal",
    "flatten",
    "no_clobber",
    "if_size_differs",
    "if_source_newer",
    "verify",
    "resume_downloads",
    "resume_uploads",
    "durable",
    "direct_io",
    "part_size",
    "max_concurrency",
    "checksum",
    "headers",
    "replace_metadata",
    "types",
    "glacier",
    "dry_run",
    "follow",
    "exit_on_error",
    "copies_on_server",
    "workers",
    "compared",
    "compare",
    "delete",
    "max_delete",
    "force",
    "format",
    "tells_skips",
    "text_type",
    "bytes_type",
];
const SELECTION: [&str; 19] = [
    "all",
    "versions",
    "exact",
    "kind",
    "bucket",
    "prefix",
    "pattern",
    "strip",
    "filter_prefix",
    "include",
    "exclude",
    "markers",
    "entries",
    "root",
    "name_prefix",
    "follow",
    "stats",
    "may_be_missing",
    "size",
];
const COMPARE: [(&str, Compare); 5] = [
    ("newer", Compare::Newer),
    ("size", Compare::SizeOnly),
    ("times", Compare::ExactTimes),
    ("checksum", Compare::Checksum { etags: false }),
    ("etag", Compare::Checksum { etags: true }),
];
const GLACIER: [(&str, Glacier); 3] = [("error", Glacier::Error), ("skip", Glacier::Skip), ("try", Glacier::Try)];
const OPERATION: [(&str, Operation); 4] =
    [("cp", Operation::Copy), ("mv", Operation::Move), ("sync", Operation::Copy), ("verify", Operation::Verify)];

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Format {
    Nothing,
    Text,
    Json,
}

const FORMAT: [(&str, Format); 3] = [("none", Format::Nothing), ("text", Format::Text), ("json", Format::Json)];

/// Label, source, destination, exception, and what it is called if not by that.
type Failed<'py> =
    (Bound<'py, PyBytes>, Bound<'py, PyBytes>, Option<Bound<'py, PyBytes>>, Py<PyAny>, Option<&'static str>);
/// Label and reason.
type Skipped<'py> = (Bound<'py, PyBytes>, &'static str);
type Row<'py> = (Bound<'py, PyBytes>, Vec<Failed<'py>>, Vec<Skipped<'py>>);

#[pyclass(module = "s3z._core", frozen)]
pub struct Batch {
    /// Taken while a call waits for it.
    outcomes: Mutex<Option<Outcomes>>,
    /// Of a call that was interrupted: told by the next one.
    rest: Mutex<Vec<Outcome>>,
    counts: Arc<Counts>,
    progress: Arc<Progress>,
    cancel: Cancel,
    format: Format,
    tells_skips: bool,
    pid: u32,
}

/// Begins a batch; it runs by itself, as long as its outcomes are taken.
#[pyfunction]
pub fn start_batch(
    py: Python<'_>,
    source: &Client,
    destination: &Client,
    request: Bound<'_, PyDict>,
) -> PyResult<Batch> {
    let options = Options::new(request, &OPTIONS)?;
    let format = options.word("format", &FORMAT)?.unwrap_or(Format::Nothing);
    let request = understood(py, &options)?;
    let engines = (source.engine(py)?, destination.engine(py)?);
    let (progress, cancel) = (Arc::<Progress>::default(), Cancel::default());
    let (outcomes, work) = Outcomes::new(request, engines, progress.clone(), cancel.clone());
    let counts = outcomes.counts.clone();
    detach(py, &cancel, work.run())?;
    Ok(Batch {
        outcomes: Mutex::new(Some(outcomes)),
        rest: Mutex::default(),
        counts,
        progress,
        cancel,
        format,
        tells_skips: options.get("tells_skips")?.unwrap_or(false),
        pid: std::process::id(),
    })
}

fn understood(py: Python<'_>, options: &Options<'_>) -> PyResult<Request> {
    let operation: String = options.get("operation")?.ok_or_else(|| defect("a batch needs an operation"))?;
    let selections: Vec<Bound<'_, PyDict>> = options.get("selections")?.unwrap_or_default();
    let selections: Vec<Selection> = selections.into_iter().map(selection).collect::<PyResult<_>>()?;
    let dry_run = options.get("dry_run")?.unwrap_or(false);
    if operation == "rm" {
        return Ok(Request::Remove { selections, dry_run });
    }
    let transfer = TransferRequest {
        operation: options.word("operation", &OPERATION)?.unwrap_or(Operation::Copy),
        selections,
        goal: goal(options)?,
        flattens: options.get("flatten")?.unwrap_or(false),
        how: how(py, options, dry_run)?,
        copies_on_server: options.get("copies_on_server")?.unwrap_or(true),
        workers: options.number("workers")?,
        manifest: match options.get::<Vec<u8>>("manifest")? {
            Some(path) => Some((convert::path(path), options.get("job")?.unwrap_or_default())),
            None => None,
        },
    };
    if !matches!(operation.as_str(), "sync" | "verify") {
        return Ok(Request::Transfer(transfer));
    }
    let compared: Bound<'_, PyDict> = options.get("compared")?.ok_or_else(|| defect("a sync compares something"))?;
    let sync = SyncRequest {
        compared: selection(compared)?,
        compare: options.word("compare", &COMPARE)?.unwrap_or_default(),
        deletes: options.get("delete")?.unwrap_or(false),
        max_delete: options.count("max_delete")?,
        force: options.get("force")?.unwrap_or(false),
    };
    if operation == "verify" {
        let one_way: bool = options.get("one_way")?.unwrap_or(false);
        return Ok(Request::Verify(transfer, sync, !one_way));
    }
    Ok(Request::Sync(transfer, sync))
}

fn goal(options: &Options<'_>) -> PyResult<Goal> {
    let told: Option<(String, Vec<u8>, Vec<u8>, bool)> = options.get("goal")?;
    let (kind, bucket, name, is_exact) = told.ok_or_else(|| defect("a transfer has a destination"))?;
    if kind == "local" {
        return Ok(Goal::Local { path: convert::path(name), is_exact });
    }
    Ok(Goal::Remote { bucket: utf8(bucket)?, key: utf8(name)?, is_exact })
}

fn utf8(bytes: Vec<u8>) -> PyResult<String> {
    String::from_utf8(bytes).map_err(|_| defect("a bucket or key is text"))
}

fn how(py: Python<'_>, options: &Options<'_>, dry_run: bool) -> PyResult<How> {
    let checksum = match options.get::<String>("checksum")? {
        None => None,
        Some(name) => {
            let text = || format!("checksum must be crc64nvme, crc32c, crc32, sha256 or sha1, not \"{name}\"");
            Some(Kind::from_name(&name).ok_or_else(|| to_python(py, Error::config(text())))?)
        }
    };
    let flag = |name: &str| Ok::<bool, PyErr>(options.get(name)?.unwrap_or(false));
    Ok(How {
        tests: Tests {
            no_clobber: flag("no_clobber")?,
            if_size_differs: flag("if_size_differs")?,
            if_newer: flag("if_source_newer")?,
        },
        verify: options.word("verify", &VERIFY)?.unwrap_or_default(),
        resume_downloads: options.get("resume_downloads")?.unwrap_or(true),
        resume_uploads: flag("resume_uploads")?,
        durable: flag("durable")?,
        direct_io: options.word("direct_io", &DIRECT_IO)? as Option<DirectIo>,
        part_size: options.count("part_size")?,
        max_concurrency: options.number("max_concurrency")?,
        checksum,
        headers: options.get("headers")?.unwrap_or_default(),
        replaces_metadata: flag("replace_metadata")?,
        types: ContentTypes {
            by_extension: Arc::new(options.get("types")?.unwrap_or_default()),
            text: options.get("text_type")?.unwrap_or_default(),
            bytes: options.get("bytes_type")?.unwrap_or_default(),
        },
        glacier: options.word("glacier", &GLACIER)?.unwrap_or_default(),
        dry_run,
        follows: options.get("follow")?.unwrap_or(true),
        reads_content: flag("download")?,
        exit_on_error: flag("exit_on_error")?,
    })
}

/// Relative name; bucket, key and version of an object, or else a path.
type Named = (Vec<u8>, Option<(String, String, Option<String>)>, Option<Vec<u8>>);

fn selection(words: Bound<'_, PyDict>) -> PyResult<Selection> {
    let words = Options::new(words, &SELECTION)?;
    let kind: String = words.get("kind")?.unwrap_or_default();
    let include: Vec<Vec<u8>> = words.get("include")?.unwrap_or_default();
    let exclude: Vec<Vec<u8>> = words.get("exclude")?.unwrap_or_default();
    let filters = Filters::new(&include, &exclude);
    let flag = |name: &str, default: bool| Ok::<bool, PyErr>(words.get(name)?.unwrap_or(default));
    let pattern: Option<Vec<u8>> = words.get("pattern")?;
    Ok(match kind.as_str() {
        "keys" => Selection::Keys(Keys {
            bucket: words.get("bucket")?.unwrap_or_default(),
            prefix: words.get("prefix")?.unwrap_or_default(),
            pattern: pattern.map(|text| Pattern::new(&text)),
            strip: words.number("strip")?.unwrap_or(0),
            filters,
            filter_prefix: words.get("filter_prefix")?.unwrap_or_default(),
            skips_markers: flag("markers", false)?,
            is_exact: flag("exact", false)?,
            takes_all: flag("all", false)?,
            versions: flag("versions", false)?,
        }),
        "tree" => Selection::Tree(Tree {
            root: words.get("root")?.unwrap_or_default(),
            name_prefix: words.get("name_prefix")?.unwrap_or_default(),
            filters,
            filter_prefix: words.get("filter_prefix")?,
            follows: flag("follow", true)?,
            stats: flag("stats", false)?,
            may_be_missing: flag("may_be_missing", false)?,
        }),
        "matches" => Selection::Matches {
            pattern: pattern.unwrap_or_default(),
            filters,
            follows: flag("follow", true)?,
            stats: flag("stats", false)?,
        },
        "named" => {
            let entries: Vec<Named> = words.get("entries")?.unwrap_or_default();
            Selection::Named(entries.into_iter().map(named).collect())
        }
        other => return Err(defect(&format!("the core does not know the selection {other:?}"))),
    })
}

fn named((relative, object, path): Named) -> Entry {
    let place = match object {
        Some((bucket, key, version_id)) => {
            Place::Object(Object { bucket: bucket.into(), key, etag: None, storage_class: None, version_id })
        }
        None => Place::File(convert::path(path.unwrap_or_default())),
    };
    Entry { relative, place, size: None, modified: None, inode: 0 }
}

#[pymethods]
impl Batch {
    /// The next outcomes: finished lines, failures, and what was skipped if that is told; `None` at the end.
    #[pyo3(signature = (progress=None))]
    fn next<'py>(&self, py: Python<'py>, progress: Option<Bound<'py, PyAny>>) -> PyResult<Option<Row<'py>>> {
        check_process(py, self.pid, "batch")?;
        let rest = std::mem::take(&mut *self.rest.lock().unwrap_or_else(PoisonError::into_inner));
        if !rest.is_empty() {
            return self.row(py, rest).map(Some);
        }
        let Some(mut outcomes) = self.outcomes.lock().unwrap_or_else(PoisonError::into_inner).take() else {
            return Err(defect("a batch gives its outcomes to one thread at a time"));
        };
        let watch = Watch { callback: progress, progress: self.progress.clone(), ..Watch::new() };
        let (asked, stop) = (watch.cancel.clone(), self.cancel.clone());
        let back = Arc::new(Mutex::new(None));
        let ended = wait(py, &watch, {
            let back = back.clone();
            async move {
                let mut taken = tokio::select! {
                    biased;
                    () = asked.cancelled() => Vec::new(),
                    taken = outcomes.next(ROW) => taken,
                };
                if asked.is_set() {
                    stop.trigger();
                    loop {
                        let more = outcomes.next(ROW).await;
                        if more.is_empty() {
                            break;
                        }
                        taken.extend(more);
                    }
                }
                // An interrupted call raises: what it had is for the next one.
                *back.lock().unwrap_or_else(PoisonError::into_inner) = Some((outcomes, taken));
                Ok(())
            }
        });
        let Some((outcomes, taken)) = back.lock().unwrap_or_else(PoisonError::into_inner).take() else {
            return ended.and(Err(defect("the batch is gone")));
        };
        *self.outcomes.lock().unwrap_or_else(PoisonError::into_inner) = Some(outcomes);
        if let Err(exception) = ended {
            *self.rest.lock().unwrap_or_else(PoisonError::into_inner) = taken;
            return Err(exception);
        }
        if taken.is_empty() { Ok(None) } else { self.row(py, taken).map(Some) }
    }

    /// Asks it to stop; `next` then gives what is left, and the end.
    fn stop(&self) {
        self.cancel.trigger();
    }

    /// What came of it so far.
    fn counts<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyDict>> {
        let counts = &self.counts;
        let dict = PyDict::new(py);
        let fields: [(&str, &AtomicU64); 13] = [
            ("found", &counts.found),
            ("done", &counts.done),
            ("skipped", &counts.skipped),
            ("failed", &counts.failed),
            ("deleted", &counts.deleted),
            ("held_back", &counts.held_back),
            ("differs", &counts.differs),
            ("unconditional", &counts.unconditional),
            ("transferred", &counts.transferred),
            ("resumed", &counts.resumed),
            ("full_object", &counts.full_object),
            ("parts", &counts.parts),
            ("length", &counts.length),
        ];
        for (name, count) in fields {
            dict.set_item(name, count.load(Relaxed))?;
        }
        Ok(dict)
    }
}

impl Drop for Batch {
    fn drop(&mut self) {
        if self.pid == std::process::id() {
            self.cancel.trigger();
        }
    }
}

impl Batch {
    fn row<'py>(&self, py: Python<'py>, outcomes: Vec<Outcome>) -> PyResult<Row<'py>> {
        let (mut lines, mut failed, mut skipped) = (Vec::new(), Vec::new(), Vec::new());
        for outcome in outcomes {
            match self.format {
                Format::Nothing => {}
                Format::Text => text(&outcome, &mut lines),
                Format::Json => json(&outcome, &mut lines),
            }
            match outcome.what {
                What::Skipped(reason) if self.tells_skips => {
                    skipped.push((PyBytes::new(py, &label(&outcome)), reason));
                }
                What::Failed(..) => failed.push(failure(py, outcome)),
                _ => {}
            }
        }
        Ok((PyBytes::new(py, &lines), failed, skipped))
    }
}

fn failure(py: Python<'_>, outcome: Outcome) -> Failed<'_> {
    let label = PyBytes::new(py, &label(&outcome));
    let source = PyBytes::new(py, &outcome.source);
    let destination = outcome.destination.map(|name| PyBytes::new(py, &name));
    let What::Failed(error, kind) = outcome.what else { unreachable!("only failures come here") };
    let exception = to_python(py, error).into_value(py).into_any();
    (label, source, destination, exception, kind)
}
