//! Blocks and cells that several threads use at once (#81).

use std::sync::{Arc, mpsc};
use std::thread;

use crate::buffers::{Buffer, Pool};
use crate::config::BUFFER_SIZE;
use crate::per_process::PerProcess;

const THREADS: u8 = 3;
const ROUNDS: u8 = 3;

/// A buffer is filled by one thread, read and dropped by another, and its block filled again by a third.
#[test]
fn buffers_change_hands() {
    let pool = Arc::new(Pool::default());
    let (sender, written) = mpsc::channel::<(u8, Buffer)>();
    let fillers: Vec<_> = (0..THREADS)
        .map(|number| {
            let (pool, sender) = (pool.clone(), sender.clone());
            thread::spawn(move || {
                for round in 0..ROUNDS {
                    let mark = number * ROUNDS + round;
                    let mut buffer = Buffer::take(&pool, None).unwrap();
                    buffer.extend(&[mark; 100]);
                    buffer.whole()[BUFFER_SIZE - 1] = mark;
                    sender.send((mark, buffer)).unwrap();
                }
            })
        })
        .collect();
    drop(sender);
    let lane = thread::spawn(move || {
        for (mark, mut buffer) in written {
            assert_eq!(*buffer, [mark; 100]);
            assert_eq!(buffer.whole()[BUFFER_SIZE - 1], mark);
            assert!(buffer.padded()[100..].iter().all(|byte| *byte == 0 || *byte == mark));
        }
    });
    fillers.into_iter().for_each(|filler| filler.join().unwrap());
    lane.join().unwrap();
    let free = pool.free_blocks();
    assert!((1..=usize::from(THREADS * ROUNDS)).contains(&free), "{free}");
}

/// Y3: whoever comes first; what lost is freed, and so is the value with its cell.
#[test]
fn a_cell_is_filled_by_many() {
    let cell = Arc::new(PerProcess::<Arc<u8>>::new());
    let threads: Vec<_> = (0..THREADS)
        .map(|number| {
            let cell = cell.clone();
            thread::spawn(move || *cell.get(|| Ok(Arc::new(number))).unwrap())
        })
        .collect();
    let got: Vec<u8> = threads.into_iter().map(|thread| thread.join().unwrap()).collect();
    assert!(got.iter().all(|value| *value == got[0]), "{got:?}");
}

/// What is behind the fence stays as it is, whoever still writes.
#[test]
fn a_region_is_closed_while_threads_write() {
    let filling = crate::region::Filling::new(4096).unwrap();
    let threads: Vec<_> = (0..THREADS)
        .map(|number| {
            let region = filling.region().clone();
            thread::spawn(move || {
                let mut written = 0;
                while written < ROUNDS && region.write(u64::from(number) * 100, &[number; 100]).unwrap() {
                    written += 1;
                }
            })
        })
        .collect();
    drop(filling);
    threads.into_iter().for_each(|thread| thread.join().unwrap());
}
