//! Defects on purpose: `deep/run` demands that miri and each sanitizer find theirs, so that a dead one is noticed.
#![expect(unsafe_code, reason = "the defects are the purpose")]

use std::hint::black_box;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::thread;

use crate::buffers::{Buffer, Pool};

/// Reads a block that went back to the system.
#[test]
#[ignore = "a canary"]
fn use_after_free() {
    let mut buffer = Buffer::take(&Arc::new(Pool::default()), None).unwrap();
    let block = buffer.whole().as_ptr();
    // The pool goes with its last buffer, and the block with the pool.
    drop(buffer);
    // SAFETY: none; this is the defect.
    black_box(unsafe { block.read_volatile() });
}

/// Two threads write one byte without a lock.
#[test]
#[ignore = "a canary"]
fn data_race() {
    let byte = Arc::new(AtomicUsize::new(0));
    let threads: Vec<_> = (0..2)
        .map(|_| {
            let byte = byte.clone();
            thread::spawn(move || {
                for _ in 0..1000 {
                    // SAFETY: none; this is the defect.
                    unsafe { byte.as_ptr().write(black_box(1)) };
                }
            })
        })
        .collect();
    threads.into_iter().for_each(|thread| thread.join().unwrap());
    black_box(byte.load(Relaxed));
}
