//! Shuttle's counterparts of what `crate::sync` names in the core.
//!
//! Shuttle has std's locks and a semaphore as tokio's; the rest of tokio's names is put together here. (The crate
//! shuttle-tokio has them too, and brings fifty others.)

use std::pin::Pin;
use std::task::{Context, Poll, Waker};

use shuttle::future::batch_semaphore::{AcquireError, BatchSemaphore, Fairness};

pub use shuttle::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock, RwLockWriteGuard};

pub mod atomic {
    pub use shuttle::sync::atomic::{AtomicBool, AtomicPtr, AtomicU64, AtomicUsize, Ordering};
}

/// First come, first served, as tokio's.
pub struct Semaphore(BatchSemaphore);

/// Returned when it is dropped.
pub struct OwnedSemaphorePermit {
    semaphore: Arc<Semaphore>,
    count: usize,
}

impl Semaphore {
    pub const MAX_PERMITS: usize = usize::MAX >> 3;

    pub fn new(permits: usize) -> Self {
        Self(BatchSemaphore::new(permits, Fairness::StrictlyFair))
    }

    pub fn available_permits(&self) -> usize {
        self.0.available_permits()
    }

    pub async fn acquire_owned(self: Arc<Self>) -> Result<OwnedSemaphorePermit, AcquireError> {
        self.acquire_many_owned(1).await
    }

    pub async fn acquire_many_owned(self: Arc<Self>, count: u32) -> Result<OwnedSemaphorePermit, AcquireError> {
        let count = count as usize;
        // Shuttle's takes no request for nothing.
        if count > 0 {
            self.0.acquire(count).await?;
        }
        Ok(OwnedSemaphorePermit { semaphore: self, count })
    }
}

impl Drop for OwnedSemaphorePermit {
    fn drop(&mut self) {
        if self.count > 0 {
            self.semaphore.0.release(self.count);
        }
    }
}

/// `notify_waiters` wakes who was listening: every `Notified` that was made before.
pub struct Notify(Mutex<Calls>);

#[derive(Default)]
struct Calls {
    count: u64,
    wakers: Vec<Waker>,
}

pub struct Notified<'a> {
    notify: &'a Notify,
    seen: u64,
}

impl Notify {
    #[expect(clippy::new_without_default, reason = "as tokio's")]
    pub fn new() -> Self {
        Self(Mutex::default())
    }

    pub fn notified(&self) -> Notified<'_> {
        Notified { notify: self, seen: self.0.lock().unwrap_or_else(PoisonError::into_inner).count }
    }

    pub fn notify_waiters(&self) {
        let mut calls = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        calls.count += 1;
        let wakers = std::mem::take(&mut calls.wakers);
        drop(calls);
        wakers.into_iter().for_each(Waker::wake);
    }
}

impl Notified<'_> {
    /// It listens since it was made; tokio's needs this for `notify_one` only.
    pub fn enable(self: Pin<&mut Self>) -> bool {
        false
    }
}

impl Future for Notified<'_> {
    type Output = ();

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
        let mut calls = self.notify.0.lock().unwrap_or_else(PoisonError::into_inner);
        if calls.count > self.seen {
            return Poll::Ready(());
        }
        calls.wakers.push(context.waker().clone());
        Poll::Pending
    }
}
