//! The threads that read directories ahead, and the consumer that takes what they read.
//!
//! One lock holds the order of things; no file call is made under it. A thread waits, under `room`, while too much is
//! read ahead or nothing is left to begin; never in the directory that the consumer wants. The consumer waits, under
//! `arrived`, only for a directory that a thread is reading: any other it reads itself. So somebody always goes on.
//! `cancel` wakes nobody by itself: the consumer looks at it now and then while it waits, and `stop` wakes the rest.

use std::os::fd::AsFd;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use rustix::io::Errno;

use super::dirs::Dirs;
use super::listing::Listing;
use super::order::{Job, Order, Place, Read, lost};
use crate::error::{Error, ErrorKind, Result};

/// How often a waiting consumer looks at `cancel`.
const LOOK: Duration = Duration::from_millis(20);

pub struct Crew {
    state: Mutex<State>,
    room: Condvar,
    arrived: Condvar,
    pub dirs: Arc<Dirs>,
    pub cancel: Arc<AtomicBool>,
    is_stopped: AtomicBool,
}

struct State {
    order: Order,
    /// How many threads wait for room.
    waiting: usize,
    consumer_waits: bool,
}

/// Why a listing was not finished.
enum Stop {
    Errno(Errno),
    Cancelled,
}

impl From<Errno> for Stop {
    fn from(errno: Errno) -> Self {
        Self::Errno(errno)
    }
}

impl Crew {
    pub fn new(dirs: Arc<Dirs>, cancel: Arc<AtomicBool>) -> Self {
        let state = Mutex::new(State { order: Order::new(), waiting: 0, consumer_waits: false });
        let (room, arrived) = (Condvar::new(), Condvar::new());
        Self { state, room, arrived, dirs, cancel, is_stopped: AtomicBool::new(false) }
    }

    /// A thread's life: until everything is read, or nobody wants it any more.
    pub fn work(&self) {
        while let Some(job) = self.next_job() {
            self.read(&job, true);
        }
    }

    /// What is in a directory whose turn has come.
    pub fn take(&self, id: u64) -> Result<Read> {
        let mut state = self.lock();
        state.order.wanted = Some(id);
        loop {
            let was_full = state.order.is_full();
            if let Some(outcome) = state.order.enter(id) {
                state.order.wanted = None;
                if was_full && !state.order.is_full() {
                    self.room.notify_all();
                }
                return outcome;
            }
            if self.is_ending() {
                return Err(Error::cancelled());
            }
            if state.order.is_given(id) {
                if state.waiting > 0 {
                    self.room.notify_all(); // The thread that reads it may be waiting for room.
                }
                state.consumer_waits = true;
                let woken = self.arrived.wait_timeout(state, LOOK);
                state = woken.unwrap_or_else(PoisonError::into_inner).0;
                state.consumer_waits = false;
            } else {
                // First in name order is what the consumer comes to first: this one.
                let job = state.order.give().ok_or_else(lost)?;
                drop(state);
                self.read(&job, false);
                state = self.lock();
            }
        }
    }

    /// Ends all waiting for good.
    pub fn stop(&self) {
        let _state = self.lock(); // Nobody is between looking and waiting.
        self.is_stopped.store(true, Relaxed);
        self.room.notify_all();
        self.arrived.notify_all();
    }

    /// Gives out a directory that nobody will read.
    #[cfg(test)]
    pub fn hold(&self) -> Option<Job> {
        self.lock().order.give()
    }

    /// Entries read ahead, and threads that wait.
    #[cfg(test)]
    pub fn held_and_waiting(&self) -> (usize, usize) {
        let state = self.lock();
        (state.order.held(), state.waiting)
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn is_ending(&self) -> bool {
        self.is_stopped.load(Relaxed) || self.cancel.load(Relaxed)
    }

    fn wait<'a>(&'a self, mut state: MutexGuard<'a, State>) -> MutexGuard<'a, State> {
        state.waiting += 1;
        let mut state = self.room.wait(state).unwrap_or_else(PoisonError::into_inner);
        state.waiting -= 1;
        state
    }

    fn next_job(&self) -> Option<Job> {
        let mut state = self.lock();
        loop {
            if self.is_ending() || state.order.is_over() {
                return None;
            }
            if !state.order.must_wait(None)
                && let Some(job) = state.order.give()
            {
                return Some(job);
            }
            state = self.wait(state);
        }
    }

    /// Reads a directory, whatever happens on the way.
    fn read(&self, job: &Job, waits: bool) {
        let count = |entries| self.count(job.id, entries, waits);
        let outcome = catch_unwind(AssertUnwindSafe(|| self.list(&job.place, count)));
        let panicked = |_| Err(Error::new(ErrorKind::Internal, "the reading of a directory panicked"));
        let outcome = outcome.unwrap_or_else(panicked);
        let mut state = self.lock();
        let wakes = state.order.finish(job.id, outcome);
        if state.consumer_waits && state.order.wanted == Some(job.id) {
            self.arrived.notify_all();
        }
        if wakes && state.waiting > 0 {
            self.room.notify_all();
        }
    }

    fn list(&self, place: &Place, count: impl FnMut(usize) -> Result<(), Stop>) -> Result<Listing> {
        let path = place.path();
        let fail = |errno| Error::local_errno(&self.dirs.shown(&path), errno);
        let directory = self.dirs.open_new(&path).map_err(fail)?;
        if self.dirs.follows() {
            let stat = rustix::fs::fstat(&directory).map_err(fail)?;
            let identity = *place.identity.get_or_init(|| (stat.st_dev, stat.st_ino));
            if place.is_loop(identity) {
                let text = "the link leads back to a directory that holds it";
                return Err(Error::local_text(&self.dirs.shown(&path), Errno::LOOP, text));
            }
        }
        Listing::read(directory.as_fd(), self.dirs.follows(), count).map_err(|stop| match stop {
            Stop::Errno(errno) => fail(errno),
            Stop::Cancelled => Error::cancelled(),
        })
    }

    /// Counts a batch; of a directory read ahead, waits for room.
    fn count(&self, id: u64, entries: usize, waits: bool) -> Result<(), Stop> {
        if entries == 0 && !self.is_ending() {
            return Ok(());
        }
        let mut state = self.lock();
        state.order.weigh(id, entries);
        while waits && state.order.must_wait(Some(id)) && !self.is_ending() {
            state = self.wait(state);
        }
        if self.is_ending() { Err(Stop::Cancelled) } else { Ok(()) }
    }
}
