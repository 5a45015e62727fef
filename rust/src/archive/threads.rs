//! The threads of one archive: how they are started, stopped all at once, and what the first failure was.

use std::sync::atomic::{AtomicBool, Ordering::SeqCst};
use std::sync::{Mutex, PoisonError};
use std::thread::{Builder, Scope, ScopedJoinHandle};

use crossbeam_channel::{Receiver, Sender, bounded, select};

use crate::error::{Error, ErrorKind, Result};

/// Reaches every wait of every thread. The first failure stays; what follows from it is not told.
pub struct Stop {
    set: AtomicBool,
    first: Mutex<Option<Error>>,
    /// Closed, it wakes whoever waits.
    open: Mutex<Option<Sender<()>>>,
    closed: Receiver<()>,
}

impl Default for Stop {
    fn default() -> Self {
        let (open, closed) = bounded(0);
        Self { set: AtomicBool::new(false), first: Mutex::default(), open: Mutex::new(Some(open)), closed }
    }
}

impl Stop {
    pub fn is_set(&self) -> bool {
        self.set.load(SeqCst)
    }

    /// Stops everything because of `error`.
    pub fn fail(&self, error: Error) {
        let mut first = self.first.lock().unwrap_or_else(PoisonError::into_inner);
        let is_better = first.as_ref().is_none_or(|old| old.kind() == ErrorKind::Cancelled);
        if is_better {
            *first = Some(error);
        }
        drop(first);
        self.set.store(true, SeqCst);
        *self.open.lock().unwrap_or_else(PoisonError::into_inner) = None;
    }

    /// Why everything stopped.
    pub fn reason(&self) -> Error {
        let taken = self.first.lock().unwrap_or_else(PoisonError::into_inner).take();
        taken.unwrap_or_else(Error::cancelled)
    }

    pub fn check(&self) -> Result<()> {
        if self.is_set() { Err(Error::cancelled()) } else { Ok(()) }
    }

    /// The next thing of a queue; `None` once nothing more will come.
    pub fn receive<T>(&self, queue: &Receiver<T>) -> Result<Option<T>> {
        self.check()?;
        select! {
            recv(queue) -> taken => Ok(taken.ok()),
            recv(self.closed) -> _ => Err(Error::cancelled()),
        }
    }

    /// Queues `value`; waits while the queue is full.
    pub fn send<T>(&self, queue: &Sender<T>, value: T) -> Result<()> {
        self.check()?;
        select! {
            send(queue, value) -> sent => sent.map_err(|_| Error::cancelled()),
            recv(self.closed) -> _ => Err(Error::cancelled()),
        }
    }
}

/// Starts a thread whose failure, or panic, stops all the others.
pub fn start<'scope, 'env, T: Send + 'scope>(
    scope: &'scope Scope<'scope, 'env>,
    name: &str,
    stop: &'scope Stop,
    work: impl FnOnce() -> Result<T> + Send + 'scope,
) -> Result<ScopedJoinHandle<'scope, Option<T>>> {
    let guarded = move || {
        let mut guard = Guard(Some(stop));
        let done = work();
        guard.0 = None;
        done.map_err(|error| stop.fail(error)).ok()
    };
    Builder::new().name(name.to_owned()).spawn_scoped(scope, guarded).map_err(|cause| {
        // Those that have begun wait for this one.
        let error = not_started(cause);
        stop.fail(Error::cancelled());
        error
    })
}

/// Starts a thread that belongs to an operation as a whole, which waits for what it sends at its end.
#[expect(clippy::disallowed_methods, reason = "whoever starts it waits for its last message")]
pub fn spawn(name: &str, work: impl FnOnce() + Send + 'static) -> Result<()> {
    Builder::new().name(name.to_owned()).spawn(work).map(drop).map_err(not_started)
}

fn not_started(cause: std::io::Error) -> Error {
    match cause.raw_os_error() {
        Some(errno) => Error::local_os("a thread cannot be started", errno),
        None => Error::new(ErrorKind::LocalIo, "a thread cannot be started").with_source(cause),
    }
}

/// Stops everything if its thread panics.
struct Guard<'a>(Option<&'a Stop>);

impl Drop for Guard<'_> {
    fn drop(&mut self) {
        if let Some(stop) = self.0 {
            stop.fail(Error::new(ErrorKind::Internal, "a thread of the archive panicked"));
        }
    }
}

/// What a thread returned; `None` if it failed, which `Stop` knows.
pub fn join<T>(handle: ScopedJoinHandle<'_, Option<T>>) -> Option<T> {
    handle.join().ok().flatten()
}
