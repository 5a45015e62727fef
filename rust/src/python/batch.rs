//! Many objects as Python sees them: a batch that runs by itself, and its outcomes taken by the thousand as finished lines.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, PoisonError};

use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyDict};

use super::batch_request::{OPTIONS, understood};
use super::client::Client;
use super::convert::{self, Options};
use super::error::{check_process, defect, kept_notes, to_python};
use super::runtime::{Watch, detach, wait};
use crate::error::{Error, ErrorKind, MAX_SHOWN, escape};
use crate::ops::batch::{Batch as Outcomes, Counts, Outcome, What, json, label, text};
use crate::ops::report::TransferReport;
use crate::progress::{Cancel, Progress};

/// Outcomes of one call.
const ROW: usize = 1000;

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

/// What is told besides lines and failures.
#[derive(Debug, Clone, Copy)]
struct Tells {
    skips: bool,
    differences: bool,
    /// That of the last transfer, for a batch of one.
    report: bool,
    /// Failures name their object by themselves, since no label does it.
    names: bool,
}

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
    /// Whether text goes to a terminal.
    escapes: bool,
    tells: Tells,
    report: Mutex<Option<TransferReport>>,
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
        escapes: options.get("escapes")?.unwrap_or(false),
        tells: Tells {
            skips: options.get("tells_skips")?.unwrap_or(false),
            differences: options.get("tells_differences")?.unwrap_or(false),
            report: options.get("tells_report")?.unwrap_or(false),
            names: options.get("names_failures")?.unwrap_or(false),
        },
        report: Mutex::default(),
        pid: std::process::id(),
    })
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

    /// What is said of bytes that stopped transfers left for the next run.
    fn kept(&self) -> Option<String> {
        kept_notes(&self.counts.kept.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// The last transfer that was done, if that is told.
    fn report<'py>(&self, py: Python<'py>) -> PyResult<Option<Bound<'py, PyDict>>> {
        let report = self.report.lock().unwrap_or_else(PoisonError::into_inner).clone();
        report.map(|report| convert::report(py, report)).transpose()
    }

    /// What came of it so far.
    fn counts<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyDict>> {
        let counts = &self.counts;
        let dict = PyDict::new(py);
        let fields: [(&str, &AtomicU64); 16] = [
            ("found", &counts.found),
            ("done", &counts.done),
            ("skipped", &counts.skipped),
            ("failed", &counts.failed),
            ("deleted", &counts.deleted),
            ("held_back", &counts.held_back),
            ("differs", &counts.differs),
            ("source_only", &counts.source_only),
            ("destination_only", &counts.destination_only),
            ("unproven", &counts.unproven),
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
                Format::Text => text(&outcome, self.escapes, &mut lines),
                Format::Json => json(&outcome, &mut lines),
            }
            match outcome.what {
                What::Skipped(reason) if self.tells.skips => {
                    skipped.push((PyBytes::new(py, &label(&outcome)), reason));
                }
                What::Differs(how) if self.tells.differences => {
                    skipped.push((PyBytes::new(py, &outcome.source), how));
                }
                What::Done(Some(report)) if self.tells.report => {
                    // What is told of the object took the ETag along.
                    let etag = report.etag.clone().or_else(|| outcome.object.and_then(|object| object.etag));
                    let report = TransferReport { etag, ..*report };
                    *self.report.lock().unwrap_or_else(PoisonError::into_inner) = Some(report);
                }
                What::Failed(..) => failed.push(failure(py, outcome, self.tells.names)),
                _ => {}
            }
        }
        Ok((PyBytes::new(py, &lines), failed, skipped))
    }
}

fn failure(py: Python<'_>, outcome: Outcome, names: bool) -> Failed<'_> {
    let label = PyBytes::new(py, &label(&outcome));
    let shown = String::from_utf8_lossy(&outcome.source).into_owned();
    let source = PyBytes::new(py, &outcome.source);
    let destination = outcome.destination.map(|name| PyBytes::new(py, &name));
    let What::Failed(error, kind) = outcome.what else { unreachable!("only failures come here") };
    let error = if names { naming(error, &shown) } else { error };
    let exception = to_python(py, error).into_value(py).into_any();
    (label, source, destination, exception, kind)
}

/// The same, with the source named if it names nothing yet; a failure of the whole has none.
fn naming(error: Error, source: &str) -> Error {
    let names_none = matches!(error.kind(), ErrorKind::LocalIo | ErrorKind::Credentials);
    if source.is_empty() || names_none || error.bucket().is_some() {
        return error;
    }
    if let Some((bucket, key)) = source.strip_prefix("s3://").and_then(|rest| rest.split_once('/')) {
        return error.with_object(bucket, key);
    }
    let shown = escape(source, MAX_SHOWN);
    if error.message().contains(&shown) {
        return error;
    }
    let text = format!("\"{shown}\": {}", error.message());
    error.saying(text)
}
