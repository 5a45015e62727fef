//! The one runtime of the process, and the one place where Python waits for it.
//!
//! Every wait is in slices with the GIL released; between slices signals are checked and progress is delivered on
//! the waiting thread (Y1, Y7). An exception there, Ctrl-C among them, cancels the operation and waits for its
//! clean-up, but not for ever: a second one returns at once (Y2). Nothing is started at import.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::sync::mpsc::{Receiver, RecvTimeoutError, sync_channel};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::thread::{ThreadId, current};
use std::time::{Duration, Instant};

use pyo3::prelude::*;
use tokio::runtime::{Builder, Runtime};

use super::error::{kept_note, to_python};
use super::per_process::PerProcess;
use crate::error::{Error, ErrorKind, Result};
use crate::progress::{Cancel, Progress, Snapshot};

/// A tenth of a second for progress, and twice as often for signals.
const SLICE: Duration = Duration::from_millis(50);
const PROGRESS_EVERY: Duration = Duration::from_millis(100);
/// What an operation's clean-up may take after it was cancelled.
const CLEAN_UP: Duration = Duration::from_secs(5);
/// More network threads than this bring nothing to 100 Gbit/s.
const MAX_WORKERS: usize = 16;

/// What is under way in this process, for its exit.
static LIVE: PerProcess<Arc<Live>> = PerProcess::new();

/// The most a process waits for clean-up at its exit (Y4).
const EXIT_LIMIT: Duration = Duration::from_secs(2);

#[derive(Default)]
struct Live {
    operations: Mutex<Vec<(u64, Cancel)>>,
    next: AtomicU64,
    /// Set once the interpreter is on its way out.
    exiting: AtomicBool,
    /// The thread on which it goes: what that still transfers, its own exit functions ask for.
    last: OnceLock<ThreadId>,
}

/// One operation among those under way, until dropped.
struct Entry(Arc<Live>, u64);

impl Live {
    /// `None` once nothing may begin any more.
    fn enter(self: Arc<Self>, cancel: &Cancel) -> Option<Entry> {
        let number = self.next.fetch_add(1, Relaxed);
        let mut operations = self.operations.lock().unwrap_or_else(PoisonError::into_inner);
        if self.is_over_for_this_thread() {
            return None;
        }
        operations.push((number, cancel.clone()));
        drop(operations);
        Some(Entry(self, number))
    }

    /// Whether the interpreter is on its way out, and on another thread.
    fn is_over_for_this_thread(&self) -> bool {
        self.exiting.load(Relaxed) && self.last.get() != Some(&current().id())
    }

    fn begin_exit(&self) {
        // Under the lock: whoever entered before is seen and stopped, whoever comes later is not let in.
        let _operations = self.operations.lock().unwrap_or_else(PoisonError::into_inner);
        self.exiting.store(true, Relaxed);
        let _ = self.last.set(current().id());
    }
}

impl Drop for Entry {
    fn drop(&mut self) {
        let mut operations = self.0.operations.lock().unwrap_or_else(PoisonError::into_inner);
        operations.retain(|(number, _)| *number != self.1);
    }
}

/// Cancels what other threads still have under way and waits a little for its clean-up. Python calls it at exit.
#[pyfunction]
pub fn stop_all(py: Python<'_>) {
    let Ok(live) = LIVE.get(|| Ok(Arc::default())) else { return };
    live.begin_exit();
    py.detach(|| {
        let started = Instant::now();
        loop {
            {
                let operations = live.operations.lock().unwrap_or_else(PoisonError::into_inner);
                if operations.is_empty() || started.elapsed() > EXIT_LIMIT {
                    return;
                }
                operations.iter().for_each(|(_, cancel)| cancel.trigger());
            }
            std::thread::sleep(SLICE / 5);
        }
    });
}

static RUNTIME: PerProcess<Arc<Runtime>> = PerProcess::new();

fn runtime() -> Result<Arc<Runtime>> {
    RUNTIME.get(|| {
        let cores = std::thread::available_parallelism().map_or(2, usize::from);
        let workers = cores.clamp(2, MAX_WORKERS);
        let failed = |cause| Error::new(ErrorKind::Internal, "cannot start the network threads").with_source(cause);
        try_threads(workers + 1).map_err(failed)?;
        let built = Builder::new_multi_thread()
            .worker_threads(workers)
            .max_blocking_threads(8)
            .thread_name("s3z-net")
            .enable_all()
            .build();
        built.map(Arc::new).map_err(failed)
    })
}

/// Whether the system gives this process so many threads at once. Without them tokio panics in the middle of its start, and
/// then waits for ever for those that did begin (#80).
#[expect(clippy::disallowed_methods, reason = "they end before anything else begins")]
fn try_threads(count: usize) -> std::io::Result<()> {
    let (hold, held) = crossbeam_channel::bounded::<()>(0);
    let threads: Vec<_> = (0..count)
        .map(|_| {
            let held = held.clone();
            std::thread::Builder::new().spawn(move || held.recv().is_err())
        })
        .collect();
    drop(hold);
    threads.into_iter().try_for_each(|thread| thread.map(|thread| drop(thread.join())))
}

/// What a wait shows and stops.
pub struct Watch<'py> {
    pub progress: Arc<Progress>,
    pub cancel: Cancel,
    pub callback: Option<Bound<'py, PyAny>>,
}

impl Watch<'_> {
    pub fn new() -> Self {
        Self { progress: Arc::default(), cancel: Cancel::default(), callback: None }
    }
}

/// Runs `work` on the runtime and waits for it.
pub fn wait<T: Send + 'static>(
    py: Python<'_>,
    watch: &Watch<'_>,
    work: impl Future<Output = Result<T>> + Send + 'static,
) -> PyResult<T> {
    let (sender, ended) = sync_channel(1);
    let runtime = runtime().map_err(|error| to_python(py, error))?;
    let live = LIVE.get(|| Ok(Arc::default())).map_err(|error| to_python(py, error))?;
    let Some(entry) = live.clone().enter(&watch.cancel) else { rest(py) };
    runtime.spawn(async move {
        let _entry = entry;
        // The receiver may be gone after a second Ctrl-C.
        let _ = sender.send(work.await);
    });
    let mut delivered = Instant::now();
    loop {
        match next_slice(py, &ended) {
            Some(Err(error)) if error.kind() == ErrorKind::Cancelled && live.is_over_for_this_thread() => rest(py),
            Some(outcome) => {
                let value = outcome.map_err(|error| to_python(py, error))?;
                deliver(watch)?;
                return Ok(value);
            }
            None => {
                let mut interrupted = py.check_signals();
                if interrupted.is_ok() && delivered.elapsed() >= PROGRESS_EVERY {
                    interrupted = deliver(watch);
                    delivered = Instant::now();
                }
                if let Err(exception) = interrupted {
                    watch.cancel.trigger();
                    clean_up(py, &ended);
                    name_what_is_left(py, watch, &exception);
                    return Err(exception);
                }
            }
        }
    }
}

/// Runs `work` on the runtime while nobody waits for it. It must end soon once `cancel` is set; the exit counts on that.
pub fn detach(py: Python<'_>, cancel: &Cancel, work: impl Future<Output = ()> + Send + 'static) -> PyResult<()> {
    let runtime = runtime().map_err(|error| to_python(py, error))?;
    let live = LIVE.get(|| Ok(Arc::default())).map_err(|error| to_python(py, error))?;
    let Some(entry) = live.clone().enter(cancel) else { rest(py) };
    runtime.spawn(async move {
        let _entry = entry;
        work.await;
    });
    Ok(())
}

/// A handle for work that starts work of its own.
pub fn spawner(py: Python<'_>) -> PyResult<impl FnOnce(crate::ops::put::Sender) + Send + 'static> {
    let runtime = runtime().map_err(|error| to_python(py, error))?;
    Ok(move |sender: crate::ops::put::Sender| drop(runtime.spawn(sender.run())))
}

/// A second Ctrl-C, or a store that does not answer, ends the clean-up early: then the exception says what stays.
fn name_what_is_left(py: Python<'_>, watch: &Watch<'_>, exception: &PyErr) {
    let (unfinished, kept) = (watch.progress.unfinished(), watch.progress.kept());
    if let Some(upload_id) = unfinished.as_ref().filter(|_| kept == 0) {
        let note = format!("the multipart upload {upload_id} was not aborted and may cost storage");
        // Without the note the exception is still the right one.
        let _ = exception.value(py).call_method1("add_note", (note,));
    }
    if let Some(note) = kept_note(kept, unfinished.as_deref()) {
        let _ = exception.value(py).call_method1("add_note", (note,));
    }
}

/// A daemon thread whose transfer was stopped by the exit, or would begin after it, has nobody left to tell: it stays here until the process
/// is gone, as the interpreter itself would hold it.
fn rest(py: Python<'_>) -> ! {
    py.detach(|| {
        loop {
            std::thread::sleep(EXIT_LIMIT);
        }
    })
}

/// Waits for a cancelled operation to end, unless a second signal comes.
fn clean_up<T: Send>(py: Python<'_>, ended: &Receiver<Result<T>>) {
    let started = Instant::now();
    while started.elapsed() < CLEAN_UP && next_slice(py, ended).is_none() {
        if py.check_signals().is_err() {
            return;
        }
    }
}

/// The outcome, or `None` when the slice is over.
fn next_slice<T: Send>(py: Python<'_>, ended: &Receiver<Result<T>>) -> Option<Result<T>> {
    let ended = SendOnly(ended);
    let received = py.detach(move || ended.recv());
    match received {
        Ok(outcome) => Some(outcome),
        Err(RecvTimeoutError::Timeout) => None,
        // The task panicked and took the sender with it (Y8).
        Err(RecvTimeoutError::Disconnected) => Some(Err(Error::new(ErrorKind::Internal, "the operation panicked"))),
    }
}

/// Lends the receiver to the closure that runs without the GIL, on this same thread.
struct SendOnly<'a, T>(&'a Receiver<T>);

#[expect(unsafe_code, reason = "`detach` asks for Send, but runs its closure on the calling thread")]
// SAFETY: `detach` neither moves its closure to another thread nor keeps it.
unsafe impl<T: Send> Send for SendOnly<'_, T> {}

impl<T> SendOnly<'_, T> {
    fn recv(&self) -> std::result::Result<T, RecvTimeoutError> {
        self.0.recv_timeout(SLICE)
    }
}

fn deliver(watch: &Watch<'_>) -> PyResult<()> {
    let Some(callback) = &watch.callback else { return Ok(()) };
    let Snapshot { network, durable, total, objects, objects_total } = watch.progress.snapshot();
    callback.call1((network, durable, total, objects, objects_total)).map(drop)
}
