//! Counters that a transfer moves and a waiting caller reads, and the switch that stops it.
//!
//! `Progress` holds atomics only, so nothing waits on a reader. Network bytes are those received or accepted by
//! the store; durable bytes are those written to the file or acknowledged. A count taken back after a failed
//! attempt is subtracted, so neither ever exceeds the truth (Y7). `Cancel` is level-triggered: once set it stays.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed, Ordering::SeqCst};
use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::Notify;

const UNKNOWN: u64 = u64::MAX;

#[derive(Debug)]
pub struct Progress {
    network: AtomicU64,
    durable: AtomicU64,
    total: AtomicU64,
    objects: AtomicU64,
    objects_total: AtomicU64,
    /// Bytes of a download that did not end, kept beside its destination.
    kept: AtomicU64,
    /// The id of a multipart upload that exists at the store and is neither completed nor aborted.
    unfinished: Mutex<Option<String>>,
    /// The counters of the whole that this is one object of.
    whole: Option<Arc<Progress>>,
    adds_total: bool,
}

/// What `Progress` said at one moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Snapshot {
    pub network: u64,
    pub durable: u64,
    pub total: Option<u64>,
    pub objects: u64,
    pub objects_total: Option<u64>,
}

impl Default for Progress {
    fn default() -> Self {
        Self {
            network: AtomicU64::new(0),
            durable: AtomicU64::new(0),
            total: AtomicU64::new(UNKNOWN),
            objects: AtomicU64::new(0),
            objects_total: AtomicU64::new(1),
            kept: AtomicU64::new(0),
            unfinished: Mutex::default(),
            whole: None,
            adds_total: false,
        }
    }
}

impl Progress {
    /// Of one object among many: its bytes count for the whole, too.
    pub fn of(whole: &Arc<Self>) -> Arc<Self> {
        Arc::new(Self { whole: Some(whole.clone()), ..Self::default() })
    }

    /// The same of one whose size no listing told: it counts for the whole once it is known.
    pub fn of_unlisted(whole: &Arc<Self>) -> Arc<Self> {
        Arc::new(Self { whole: Some(whole.clone()), adds_total: true, ..Self::default() })
    }

    pub fn set_total(&self, bytes: u64) {
        let before = self.total.swap(bytes, Relaxed);
        if let Some(whole) = self.whole.as_ref().filter(|_| self.adds_total && before == UNKNOWN) {
            whole.add_total(bytes);
        }
    }

    /// So many more bytes are to come of the whole.
    pub fn add_total(&self, bytes: u64) {
        let known = |now: u64| Some(if now == UNKNOWN { bytes } else { now.saturating_add(bytes) });
        let _ = self.total.fetch_update(Relaxed, Relaxed, known);
    }

    pub fn add_network(&self, bytes: u64) {
        self.network.fetch_add(bytes, Relaxed);
        self.whole.iter().for_each(|whole| whole.add_network(bytes));
    }

    /// Takes back what a failed attempt had counted.
    pub fn take_back_network(&self, bytes: u64) {
        self.network.fetch_sub(bytes, Relaxed);
        self.whole.iter().for_each(|whole| whole.take_back_network(bytes));
    }

    pub fn add_durable(&self, bytes: u64) {
        self.durable.fetch_add(bytes, Relaxed);
        self.whole.iter().for_each(|whole| whole.add_durable(bytes));
    }

    /// Takes back what will be written once more.
    pub fn take_back_durable(&self, bytes: u64) {
        self.durable.fetch_sub(bytes, Relaxed);
        self.whole.iter().for_each(|whole| whole.take_back_durable(bytes));
    }

    /// Says how much of a transfer that ended early is kept for the next run.
    pub fn set_kept(&self, bytes: u64) {
        self.kept.store(bytes, Relaxed);
    }

    pub fn kept(&self) -> u64 {
        self.kept.load(Relaxed)
    }

    /// Names what would stay at the store if nobody waited for the end, or that nothing would.
    pub fn set_unfinished(&self, upload_id: Option<&str>) {
        *self.unfinished.lock().unwrap_or_else(PoisonError::into_inner) = upload_id.map(str::to_owned);
    }

    pub fn unfinished(&self) -> Option<String> {
        self.unfinished.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// How many objects there will be; `None`: nobody knows yet.
    pub fn set_objects_total(&self, objects: Option<u64>) {
        self.objects_total.store(objects.unwrap_or(UNKNOWN), Relaxed);
    }

    pub fn object_done(&self) {
        self.objects.fetch_add(1, Relaxed);
    }

    /// A transfer that starts over counts from nothing.
    pub fn restart(&self) {
        let (network, durable) = (self.network.swap(0, Relaxed), self.durable.swap(0, Relaxed));
        if let Some(whole) = &self.whole {
            whole.take_back_network(network);
            whole.take_back_durable(durable);
        }
    }

    pub fn snapshot(&self) -> Snapshot {
        let known = |value: u64| (value != UNKNOWN).then_some(value);
        Snapshot {
            network: self.network.load(Relaxed),
            durable: self.durable.load(Relaxed),
            total: known(self.total.load(Relaxed)),
            objects: self.objects.load(Relaxed),
            objects_total: known(self.objects_total.load(Relaxed)),
        }
    }
}

/// Asks an operation to stop; cheap to clone, never unset.
#[derive(Debug, Clone, Default)]
pub struct Cancel(Arc<CancelState>);

#[derive(Debug, Default)]
struct CancelState {
    set: AtomicBool,
    changed: Notify,
}

impl Cancel {
    pub fn trigger(&self) {
        self.0.set.store(true, SeqCst);
        self.0.changed.notify_waiters();
    }

    pub fn is_set(&self) -> bool {
        self.0.set.load(SeqCst)
    }

    /// Returns once `trigger` was called, also when that was before.
    pub async fn cancelled(&self) {
        let changed = self.0.changed.notified();
        tokio::pin!(changed);
        changed.as_mut().enable();
        if !self.is_set() {
            changed.await;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn cancel_is_seen_before_and_after() {
        let cancel = Cancel::default();
        let waiter = tokio::spawn({
            let cancel = cancel.clone();
            async move { cancel.cancelled().await }
        });
        tokio::task::yield_now().await;
        cancel.trigger();
        waiter.await.unwrap();
        cancel.cancelled().await;
    }

    #[test]
    fn counts_are_taken_back() {
        let progress = Progress::default();
        assert_eq!(progress.snapshot().total, None);
        progress.set_total(10);
        progress.add_network(7);
        progress.take_back_network(7);
        progress.add_durable(3);
        let seen = progress.snapshot();
        assert_eq!((seen.network, seen.durable, seen.total), (0, 3, Some(10)));
    }
}
