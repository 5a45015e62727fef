//! The I/O threads: a small fixed set, shared by all transfers of a client, that make every file call; and one more for
//! each pipe, whose other end may make it wait.
//!
//! A lane runs its jobs one after another in the order they were posted; "after all
//! writes of a file" is simply "the next job" of the lanes it was given. Queues need no bound of their own: a job that holds data holds its
//! permit too, and the jobs that hold none (open, publish, discard) are one at a time for each transfer. A job
//! that panics is caught; the lane goes on.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

use crossbeam_channel::{Sender, unbounded};
use tokio::sync::oneshot;

use crate::error::{Error, ErrorKind, Result};

type Job = Box<dyn FnOnce() + Send>;

/// More threads than this bring nothing to files (one writes 2 GB/s), only memory.
const MAX_LANES: usize = 4;

pub struct Lanes {
    lanes: Vec<Lane>,
    next: AtomicUsize,
}

/// One I/O thread's queue.
#[derive(Clone, Debug)]
pub struct Lane(Sender<Job>);

impl Lanes {
    /// Starts the threads; they end when the last `Lane` handle is gone.
    pub fn start() -> Result<Self> {
        let cores = std::thread::available_parallelism().map_or(2, usize::from);
        let lanes = (0..cores.clamp(2, MAX_LANES)).map(|index| Lane::start(&format!("s3z-io-{index}")));
        let lanes = lanes.collect::<Result<_>>()?;
        Ok(Self { lanes, next: AtomicUsize::new(0) })
    }

    /// A lane for the next file, in turn.
    pub fn pick(&self) -> Lane {
        self.lanes[self.next.fetch_add(1, Relaxed) % self.lanes.len()].clone()
    }

    /// Up to `count` different lanes for the next file, at least one.
    pub fn pick_some(&self, count: usize) -> Vec<Lane> {
        (0..count.clamp(1, self.lanes.len())).map(|_| self.pick()).collect()
    }

    /// Returns when what was posted before is done, also where nobody waits for it any more.
    pub async fn settled(&self) {
        for lane in &self.lanes {
            let _ = lane.call(|| Ok(())).await;
        }
    }
}

impl Lane {
    /// A thread of its own, for work that may have to wait for somebody outside; it ends with its last handle.
    pub fn start(name: &str) -> Result<Self> {
        let (sender, jobs) = unbounded::<Job>();
        let body = move || {
            for job in jobs {
                // A panic drops what the job owned, so whoever waits for its answer is told.
                let _ = catch_unwind(AssertUnwindSafe(job));
            }
        };
        #[expect(clippy::disallowed_methods, reason = "this file is the one home of threads")]
        let started = std::thread::Builder::new().name(name.to_owned()).spawn(body);
        let text = "cannot start an I/O thread";
        started.map_err(|cause| Error::new(ErrorKind::Internal, text).with_source(cause))?;
        Ok(Self(sender))
    }

    /// Queues a job and returns at once.
    pub fn post(&self, job: impl FnOnce() + Send + 'static) {
        // A send fails only when the thread is gone, and then the job is dropped, which its owner notices.
        let _ = self.0.send(Box::new(job));
    }

    /// Queues a job and waits for its answer.
    pub async fn call<T: Send + 'static>(&self, job: impl FnOnce() -> Result<T> + Send + 'static) -> Result<T> {
        let (sender, answer) = oneshot::channel();
        self.post(move || {
            let _ = sender.send(job());
        });
        let lost = |_| Error::new(ErrorKind::Internal, "an I/O job panicked");
        answer.await.map_err(lost)?
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::{Arc, Mutex};

    #[tokio::test]
    async fn jobs_of_a_lane_keep_their_order() {
        let lane = Lanes::start().unwrap().pick();
        let seen = Arc::new(Mutex::new(Vec::new()));
        for number in 0..100 {
            let seen = seen.clone();
            lane.post(move || seen.lock().unwrap().push(number));
        }
        lane.call(|| Ok(())).await.unwrap();
        assert_eq!(*seen.lock().unwrap(), (0..100).collect::<Vec<_>>());
    }

    #[tokio::test]
    async fn what_nobody_waits_for_is_waited_for_in_the_end() {
        let lanes = Lanes::start().unwrap();
        let done = Arc::new(AtomicUsize::new(0));
        for _ in 0..20 {
            let (lane, done) = (lanes.pick(), done.clone());
            let answer = lane.call(move || {
                std::thread::sleep(std::time::Duration::from_millis(2));
                done.fetch_add(1, Relaxed);
                Ok(())
            });
            // Given up while it is under way.
            drop(tokio::time::timeout(std::time::Duration::ZERO, answer).await);
        }
        lanes.settled().await;
        assert_eq!(done.load(Relaxed), 20);
    }

    #[tokio::test]
    async fn a_panic_is_an_error_and_the_lane_goes_on() {
        let lane = Lanes::start().unwrap().pick();
        let error = lane.call::<()>(|| panic!("on purpose")).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Internal);
        assert_eq!(lane.call(|| Ok(7)).await.unwrap(), 7);
    }

    #[tokio::test]
    async fn a_lane_of_its_own_ends_with_its_last_handle() {
        let (lane, held) = (Lane::start("s3z-test").unwrap(), Arc::new(()));
        let (other, weak) = (lane.clone(), Arc::downgrade(&held));
        lane.post(move || drop(held));
        drop(lane);
        assert_eq!(
            other.call(|| Ok(std::thread::current().name().map(String::from))).await.unwrap().as_deref(),
            Some("s3z-test")
        );
        assert!(weak.upgrade().is_none());
        let (tell, mut ended) = oneshot::channel::<()>();
        other.post(move || {
            thread_local!(static AT_EXIT: std::cell::RefCell<Option<oneshot::Sender<()>>> = const { std::cell::RefCell::new(None) });
            AT_EXIT.with_borrow_mut(|slot| *slot = Some(tell));
        });
        other.call(|| Ok(())).await.unwrap();
        assert!(ended.try_recv().is_err_and(|error| error == oneshot::error::TryRecvError::Empty));
        drop(other);
        assert!(ended.await.is_err(), "the thread's own storage went with it");
    }
}
