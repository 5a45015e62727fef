//! Y3: the lock-free cell gives all threads of a process one value, and frees what lost the race.

#![allow(clippy::unwrap_used, clippy::panic, clippy::disallowed_methods, reason = "tests fail by panicking")]

use models::per_process::PerProcess;
use models::search::search;
use shuttle::sync::{Arc, Mutex};
use shuttle::thread;

fn first_value_wins() {
    let cell = Arc::new(PerProcess::<Arc<u8>>::new());
    let made = Arc::new(Mutex::new(Vec::new()));
    let threads: Vec<_> = (0..3)
        .map(|number| {
            let (cell, made) = (cell.clone(), made.clone());
            thread::spawn(move || {
                let make = || {
                    let value = Arc::new(number);
                    made.lock().unwrap().push(value.clone());
                    Ok(value)
                };
                *cell.get(make).unwrap()
            })
        })
        .collect();
    let got: Vec<u8> = threads.into_iter().map(|thread| thread.join().unwrap()).collect();
    assert!(got.iter().all(|value| *value == got[0]), "{got:?}");
    assert_eq!(*cell.get(|| Ok(Arc::new(99))).unwrap(), got[0]);
    drop(cell);
    assert!(made.lock().unwrap().iter().all(|value| Arc::strong_count(value) == 1), "a value was not freed");
}

#[test]
fn one_value_for_all_threads() {
    search(first_value_wins);
}
