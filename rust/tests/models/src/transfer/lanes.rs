//! I/O lanes as the core's, of shuttle's threads and channels.

use std::pin::Pin;
use std::task::{Context, Poll, Waker};

use shuttle::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use shuttle::sync::mpsc::{Sender, channel};
use shuttle::sync::{Arc, Mutex};
use shuttle::thread;

use crate::error::{Error, ErrorKind, Result};

type Job = Box<dyn FnOnce() + Send>;

pub struct Lanes {
    lanes: Vec<Lane>,
    next: AtomicUsize,
}

#[derive(Clone)]
pub struct Lane(Sender<Job>);

impl Lanes {
    pub fn start(count: usize) -> Self {
        Self { lanes: (0..count).map(|_| Lane::start()).collect(), next: AtomicUsize::new(0) }
    }

    pub fn pick_some(&self, count: usize) -> Vec<Lane> {
        let pick = |_| self.lanes[self.next.fetch_add(1, SeqCst) % self.lanes.len()].clone();
        (0..count.clamp(1, self.lanes.len())).map(pick).collect()
    }
}

impl Lane {
    fn start() -> Self {
        let (sender, jobs) = channel::<Job>();
        thread::spawn(move || {
            for job in jobs {
                job();
            }
        });
        Self(sender)
    }

    pub fn post(&self, job: impl FnOnce() + Send + 'static) {
        let _ = self.0.send(Box::new(job));
    }

    pub async fn call<T: Send + 'static>(&self, job: impl FnOnce() -> Result<T> + Send + 'static) -> Result<T> {
        let answer = Arc::new(Mutex::new(Slot { value: None, waker: None }));
        let filled = answer.clone();
        self.post(move || {
            let value = job();
            let mut slot = filled.lock().expect("nobody panics with it");
            slot.value = Some(value);
            let waker = slot.waker.take();
            drop(slot);
            waker.into_iter().for_each(Waker::wake);
        });
        Answer(answer).await
    }
}

struct Slot<T> {
    value: Option<Result<T>>,
    waker: Option<Waker>,
}

/// Whoever gives up waiting drops this; the job runs all the same.
struct Answer<T>(Arc<Mutex<Slot<T>>>);

impl<T> Future for Answer<T> {
    type Output = Result<T>;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Result<T>> {
        let Ok(mut slot) = self.0.lock() else {
            return Poll::Ready(Err(Error::new(ErrorKind::Internal, "an I/O job panicked")));
        };
        match slot.value.take() {
            Some(value) => Poll::Ready(value),
            None => {
                slot.waker = Some(context.waker().clone());
                Poll::Pending
            }
        }
    }
}
