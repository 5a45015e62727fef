//! Y9, #81: a block is in the pool or in one buffer, memory is returned with the last holder, and nobody waits for ever.

#![allow(clippy::unwrap_used, clippy::panic, clippy::disallowed_methods, reason = "tests fail by panicking")]

use models::config::{BUFFER_SIZE, KIB, TransferConfig};
use models::search::{breaks, search};
use models::sync::Notify;
use models::transfer::scheduler::{Gate, Scheduler};
use shuttle::future::block_on;
use shuttle::sync::{Arc, Mutex};
use shuttle::thread;

const BUFFER_KIB: u64 = BUFFER_SIZE as u64 / KIB;

fn scheduler(buffers: u64) -> Arc<Scheduler> {
    let memory_limit = buffers * BUFFER_KIB * KIB;
    Arc::new(Scheduler::new(&TransferConfig { memory_limit, max_requests: 2, ..TransferConfig::default() }))
}

/// Three requests, memory for three buffers: each fills its buffers with its own mark and finds it there later.
fn loans_are_exclusive() {
    let scheduler = scheduler(3);
    let gate = Gate::new(3);
    let lanes = Arc::new(Mutex::new(Vec::new()));
    let request = |mark: u8| {
        let (scheduler, gate, lanes) = (scheduler.clone(), gate.clone(), lanes.clone());
        thread::spawn(move || {
            block_on(async {
                let permit = scheduler.acquire(gate.enter().await, 1 + usize::from(mark % 2)).await;
                for round in 0..2 {
                    let mut buffer = permit.buffer().await.unwrap();
                    assert!(buffer.is_empty());
                    buffer.extend(&[mark + round; 64]);
                    thread::yield_now();
                    assert_eq!(*buffer, [mark + round; 64], "somebody else has this block");
                    // As a write on a lane: the buffer outlives its request.
                    let lane = thread::spawn(move || drop(buffer));
                    lanes.lock().unwrap().push(lane);
                }
            });
        })
    };
    let all: Vec<_> = [10, 21, 30].map(request).into();
    all.into_iter().for_each(|thread| thread.join().unwrap());
    // Before the last lane is done: whoever waits gets all of it all the same.
    drop(block_on(async { scheduler.acquire(gate.enter().await, 3).await }));
    let lanes = std::mem::take(&mut *lanes.lock().unwrap());
    lanes.into_iter().for_each(|lane| lane.join().unwrap());
    assert_eq!((scheduler.free_memory(), gate.in_flight()), (3 * BUFFER_KIB * KIB, 0));
}

#[test]
fn a_block_is_never_on_loan_twice() {
    search(loans_are_exclusive);
}

/// Blocks come back to the pool once each, from any thread.
fn pool_gives_and_takes(pool: impl Fn() -> Box<dyn Loans>) {
    let pool: Arc<dyn Loans> = pool().into();
    let user = |pool: Arc<dyn Loans>| {
        thread::spawn(move || {
            for _ in 0..2 {
                let block = pool.take();
                thread::yield_now();
                pool.give_back(block);
            }
        })
    };
    let users = [user(pool.clone()), user(pool.clone()), user(pool.clone())];
    users.into_iter().for_each(|thread| thread.join().unwrap());
}

/// A pool of numbered blocks that checks its own invariant.
trait Loans: Send + Sync {
    fn take(&self) -> usize;
    fn give_back(&self, block: usize);
}

/// A pool that looks for the last free block and removes it in two steps.
#[derive(Default)]
struct TwoStepPool {
    free: Mutex<Vec<usize>>,
    lent: Mutex<Vec<usize>>,
}

impl Loans for TwoStepPool {
    fn take(&self) -> usize {
        let last = self.free.lock().unwrap().last().copied();
        if last.is_some() {
            self.free.lock().unwrap().pop();
        }
        let mut lent = self.lent.lock().unwrap();
        let block = last.unwrap_or(lent.len() + 100);
        assert!(!lent.contains(&block), "block {block} is on loan twice");
        lent.push(block);
        block
    }

    fn give_back(&self, block: usize) {
        self.lent.lock().unwrap().retain(|lent| *lent != block);
        self.free.lock().unwrap().push(block);
    }
}

#[test]
fn canary_a_pool_in_two_steps_is_found() {
    assert!(breaks(|| pool_gives_and_takes(|| Box::<TwoStepPool>::default())));
}

/// The real pool, through buffers taken and dropped by several threads: as many blocks as were out at once.
fn pool_keeps_its_blocks() {
    let scheduler = scheduler(2);
    let gate = Gate::new(2);
    let permit = block_on(async { scheduler.acquire(gate.enter().await, 2).await });
    let threads: Vec<_> = (0..3)
        .map(|mark: u8| {
            let permit = permit.clone();
            thread::spawn(move || {
                let mut buffer = block_on(permit.buffer()).unwrap();
                buffer.whole().fill(mark);
                thread::yield_now();
                buffer.set_len(BUFFER_SIZE);
                assert!(buffer.iter().all(|byte| *byte == mark));
            })
        })
        .collect();
    threads.into_iter().for_each(|thread| thread.join().unwrap());
    let free = scheduler.free_blocks();
    assert!((1..=2).contains(&free), "{free} blocks for two buffers");
}

#[test]
fn the_pool_has_each_block_once() {
    search(pool_keeps_its_blocks);
}

/// The gate's limit moves while requests enter and leave.
fn gate_moves() {
    let gate = Gate::new(1);
    let threads: Vec<_> = (0..3)
        .map(|_| {
            let gate = gate.clone();
            thread::spawn(move || {
                let slot = block_on(gate.enter());
                assert!((1..=2).contains(&gate.in_flight()));
                drop(slot);
            })
        })
        .collect();
    gate.set_limit(2);
    gate.set_limit(1);
    threads.into_iter().for_each(|thread| thread.join().unwrap());
    assert_eq!(gate.in_flight(), 0);
}

#[test]
fn nobody_waits_at_the_gate_for_ever() {
    search(gate_moves);
}

/// A gate that looks before it listens: a slot that comes free in between wakes nobody.
fn gate_that_looks_first() {
    let free = Arc::new(Mutex::new(true));
    let changed = Arc::new(Notify::new());
    let threads: Vec<_> = (0..2)
        .map(|_| {
            let (free, changed) = (free.clone(), changed.clone());
            thread::spawn(move || {
                block_on(async {
                    while !std::mem::take(&mut *free.lock().unwrap()) {
                        changed.notified().await;
                    }
                });
                *free.lock().unwrap() = true;
                changed.notify_waiters();
            })
        })
        .collect();
    threads.into_iter().for_each(|thread| thread.join().unwrap());
}

#[test]
fn canary_a_lost_wakeup_is_found() {
    assert!(breaks(gate_that_looks_first));
}
