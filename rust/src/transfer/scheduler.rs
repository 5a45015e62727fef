//! Permission to have a request and its bytes in flight.
//!
//! The `Scheduler` is one for each client: a byte budget and a bound on requests, both first come, first served.
//! The `Gate` is one for each object: how many of its requests may be in flight, which the governor may move
//! while they run. A `Permit` holds a share of all three and is returned when its last holder drops it: the task
//! that runs the request, or the last buffer on its way to the disk. So a slow disk closes the gate by itself.

use crate::config::{BUFFER_SIZE, KIB, TransferConfig};
use crate::error::{Error, Result};
use crate::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use crate::sync::{Arc, Notify, OwnedSemaphorePermit, Semaphore};
use crate::transfer::buffers::{Buffer, Lease, Pool};

pub struct Scheduler {
    /// One semaphore permit for each KiB.
    memory: Arc<Semaphore>,
    limit: u64,
    requests: Arc<Semaphore>,
    /// Of the memory, what producers may hold while they fill it, which may be for ever: the rest is only ever held by
    /// what is on its way, so whoever waits for that gets it.
    producers: Arc<Semaphore>,
    pool: Arc<Pool>,
}

impl Scheduler {
    pub fn new(config: &TransferConfig) -> Self {
        let kib = usize::try_from(config.memory_limit / KIB).unwrap_or(usize::MAX).min(Semaphore::MAX_PERMITS);
        Self {
            memory: Arc::new(Semaphore::new(kib)),
            limit: config.memory_limit,
            requests: Arc::new(Semaphore::new(config.max_requests)),
            producers: Arc::new(Semaphore::new(kib / 4 * 3)),
            pool: Arc::new(Pool::default()),
        }
    }

    pub fn memory_limit(&self) -> u64 {
        self.limit
    }

    /// Waits for `slot`'s turn to hold `buffers` buffers and one request. A charge above the whole budget waits
    /// for all of it: callers keep theirs below a quarter.
    pub async fn acquire(&self, slot: Slot, buffers: usize) -> Arc<Permit> {
        self.charge(slot, buffers, None).await
    }

    /// The same for buffers that a producer fills in its own time.
    pub async fn acquire_to_fill(&self, slot: Slot, buffers: usize) -> Arc<Permit> {
        let share = self.producers.clone().acquire_many_owned(self.kib(buffers)).await;
        let share = share.expect("the share of producers is never closed");
        self.charge(slot, buffers, Some(share)).await
    }

    /// Memory alone, for as long as somebody may take to read what is in it.
    pub async fn hold(&self, buffers: usize) -> Memory {
        let kib = self.kib(buffers);
        let share = self.producers.clone().acquire_many_owned(kib).await;
        let share = share.expect("the share of producers is never closed");
        let memory = self.memory.clone().acquire_many_owned(kib).await.expect("the byte budget is never closed");
        Memory { _memory: memory, _share: share }
    }

    /// One request alone, while it is under way.
    pub async fn request(&self) -> OneRequest {
        OneRequest(self.requests.clone().acquire_owned().await.expect("the request bound is never closed"))
    }

    /// One request and so many bytes that come or go with it.
    pub async fn small(&self, bytes: u64) -> Small {
        let kib = u32::try_from((bytes.div_ceil(KIB) + 16).min(self.limit / KIB)).unwrap_or(u32::MAX);
        let memory = self.memory.clone().acquire_many_owned(kib).await.expect("the byte budget is never closed");
        Small { _memory: memory, _request: self.request().await }
    }

    fn kib(&self, buffers: usize) -> u32 {
        let kib = (buffers * BUFFER_SIZE) as u64 / KIB;
        u32::try_from(kib.min(self.limit / KIB)).unwrap_or(u32::MAX)
    }

    async fn charge(&self, slot: Slot, buffers: usize, share: Option<OwnedSemaphorePermit>) -> Arc<Permit> {
        let kib = self.kib(buffers);
        // Nobody closes these semaphores, so acquiring cannot fail.
        let memory = self.memory.clone().acquire_many_owned(kib).await.expect("the byte budget is never closed");
        let request = self.requests.clone().acquire_owned().await.expect("the request bound is never closed");
        Arc::new(Permit {
            buffers: Arc::new(Semaphore::new(buffers)),
            pool: self.pool.clone(),
            _memory: memory,
            _share: share,
            _request: request,
            _slot: slot,
        })
    }

    /// A buffer that nothing is charged for: the caller bounds how many there are.
    pub fn loose_buffer(&self) -> Result<Buffer> {
        Buffer::take(&self.pool, None).ok_or_else(Error::no_memory)
    }

    /// The same, with what is given back after it.
    pub fn leased_buffer(&self, lease: Lease) -> Result<Buffer> {
        Buffer::take(&self.pool, Some(lease)).ok_or_else(Error::no_memory)
    }

    /// Blocks that were allocated and are not on loan.
    pub fn free_blocks(&self) -> usize {
        self.pool.free_blocks()
    }

    /// Bytes of the budget nobody holds.
    pub fn free_memory(&self) -> u64 {
        self.memory.available_permits() as u64 * KIB
    }
}

/// Part of the byte budget.
pub struct Memory {
    _memory: OwnedSemaphorePermit,
    _share: OwnedSemaphorePermit,
}

/// One request and its bytes.
pub struct Small {
    _memory: OwnedSemaphorePermit,
    _request: OneRequest,
}

/// The right to one request of the client.
pub struct OneRequest(#[expect(dead_code, reason = "given back when it is dropped")] OwnedSemaphorePermit);

/// The right to one request and to a number of buffers at a time.
pub struct Permit {
    buffers: Arc<Semaphore>,
    pool: Arc<Pool>,
    _memory: OwnedSemaphorePermit,
    _share: Option<OwnedSemaphorePermit>,
    _request: OwnedSemaphorePermit,
    _slot: Slot,
}

impl Permit {
    /// An empty buffer, as soon as fewer than the permitted number are out.
    pub async fn buffer(self: &Arc<Self>) -> Result<Buffer> {
        let count = self.buffers.clone().acquire_owned().await.expect("a permit's own semaphore is never closed");
        Buffer::take(&self.pool, Some(Box::new((count, self.clone())))).ok_or_else(Error::no_memory)
    }
}

/// How many requests of one object may be in flight.
pub struct Gate {
    limit: AtomicUsize,
    in_flight: AtomicUsize,
    changed: Notify,
}

impl Gate {
    pub fn new(limit: usize) -> Arc<Self> {
        Arc::new(Self { limit: AtomicUsize::new(limit), in_flight: AtomicUsize::new(0), changed: Notify::new() })
    }

    /// Waits until fewer requests than the limit are in flight.
    pub async fn enter(self: &Arc<Self>) -> Slot {
        loop {
            let changed = self.changed.notified();
            tokio::pin!(changed);
            changed.as_mut().enable();
            if let Some(slot) = self.try_enter() {
                return slot;
            }
            changed.await;
        }
    }

    fn try_enter(self: &Arc<Self>) -> Option<Slot> {
        let limit = self.limit.load(SeqCst);
        let entered = self.in_flight.fetch_update(SeqCst, SeqCst, |now| (now < limit).then_some(now + 1));
        entered.is_ok().then(|| Slot(self.clone()))
    }

    pub fn set_limit(&self, limit: usize) {
        self.limit.store(limit, SeqCst);
        self.changed.notify_waiters();
    }

    pub fn limit(&self) -> usize {
        self.limit.load(SeqCst)
    }

    pub fn in_flight(&self) -> usize {
        self.in_flight.load(SeqCst)
    }
}

/// A place inside the gate; dropping it leaves.
pub struct Slot(Arc<Gate>);

impl Drop for Slot {
    fn drop(&mut self) {
        self.0.in_flight.fetch_sub(1, SeqCst);
        self.0.changed.notify_waiters();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::MIB;
    use std::time::Duration;

    fn scheduler(memory_mib: u64) -> Scheduler {
        Scheduler::new(&TransferConfig { memory_limit: memory_mib * MIB, ..TransferConfig::default() })
    }

    async fn is_stuck<T>(future: impl Future<Output = T>) -> bool {
        tokio::time::timeout(Duration::from_millis(20), future).await.is_err()
    }

    #[tokio::test]
    async fn memory_is_bounded_and_returned_with_the_last_buffer() {
        let scheduler = scheduler(8);
        let gate = Gate::new(10);
        let first = scheduler.acquire(gate.enter().await, 4).await;
        let _second = scheduler.acquire(gate.enter().await, 4).await;
        assert_eq!(scheduler.free_memory(), 0);
        let buffer = first.buffer().await.unwrap();
        drop(first);
        assert!(is_stuck(scheduler.acquire(gate.enter().await, 4)).await, "the buffer still holds the permit");
        drop(buffer);
        scheduler.acquire(gate.enter().await, 4).await;
    }

    #[tokio::test]
    async fn a_permit_gives_no_more_buffers_than_it_holds() {
        let scheduler = scheduler(8);
        let permit = scheduler.acquire(Gate::new(1).enter().await, 2).await;
        let (first, _second) = (permit.buffer().await, permit.buffer().await);
        assert!(is_stuck(permit.buffer()).await);
        drop(first);
        permit.buffer().await.unwrap();
    }

    #[tokio::test]
    async fn the_gate_moves_while_requests_run() {
        let gate = Gate::new(1);
        let first = gate.enter().await;
        assert!(is_stuck(gate.enter()).await);
        gate.set_limit(2);
        let second = gate.enter().await;
        gate.set_limit(1);
        drop(first);
        assert!(is_stuck(gate.enter()).await, "one is still in flight");
        drop(second);
        gate.enter().await;
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn no_waiter_is_forgotten() {
        let gate = Gate::new(3);
        let tasks: Vec<_> = (0..200)
            .map(|_| {
                let gate = gate.clone();
                tokio::spawn(async move {
                    let _slot = gate.enter().await;
                    assert!(gate.in_flight() <= 3);
                    tokio::task::yield_now().await;
                })
            })
            .collect();
        for task in tasks {
            tokio::time::timeout(Duration::from_secs(20), task).await.expect("no waiter hangs").unwrap();
        }
        assert_eq!(gate.in_flight(), 0);
    }
}
