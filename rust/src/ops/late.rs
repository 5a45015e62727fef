//! Which part of an upload takes much longer than its peers, and whether it may be sent again (#48); pure but for the wait that asks it.
//!
//! A part is late after four times what its peers took, or took for as many bytes if it is larger, and never before some seconds. It is then sent again over
//! another connection, and the first try is given up. That may cost a twentieth of what was sent, so where everything
//! is slow next to nothing is sent twice.

use std::collections::VecDeque;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

/// A part is late beyond so many times the median of its peers.
const LATE: f64 = 4.0;
/// Peers without which nothing can be said, and how many count.
const MIN_PEERS: usize = 3;
const REMEMBERED: usize = 16;
/// One of so many bytes may be sent again; one part always.
const BUDGET: u64 = 20;

/// How often it is looked whether one is late, and how often the same one may be.
const LOOK: Duration = Duration::from_millis(100);
const MAX_GIVEN_UP: u32 = 2;

/// What the parts of one transfer tell of each other.
#[derive(Debug)]
pub struct Lateness {
    /// No part is late before.
    least: Duration,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    /// Bytes and seconds of the parts that ended last.
    took: VecDeque<(u64, f64)>,
    sent: u64,
    again: u64,
}

impl Lateness {
    pub fn new(least: Duration) -> Self {
        Self { least, state: Mutex::default() }
    }

    /// A part of `len` bytes has ended.
    pub fn ended(&self, len: u64, took: Duration) {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        state.sent += len;
        state.took.push_back((len.max(1), took.as_secs_f64()));
        if state.took.len() > REMEMBERED {
            state.took.pop_front();
        }
    }

    /// Returns when a part of `len` bytes that began then is late and may be sent again; never for one that was given up twice.
    pub async fn late(&self, len: u64, began: Instant, given_up: u32) {
        if given_up >= MAX_GIVEN_UP {
            return std::future::pending().await;
        }
        loop {
            tokio::time::sleep(LOOK).await;
            if self.pay(len, began.elapsed()) {
                return;
            }
        }
    }

    /// Whether a part of `len` bytes that has taken so long is late and may be sent again; if so, that is paid.
    fn pay(&self, len: u64, took: Duration) -> bool {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        if state.took.len() < MIN_PEERS || took < self.least {
            return false;
        }
        let mut peers: Vec<f64> =
            state.took.iter().map(|(size, took)| took * (len as f64 / *size as f64).max(1.0)).collect();
        peers.sort_by(f64::total_cmp);
        let is_late = took.as_secs_f64() > LATE * peers[peers.len() / 2];
        let is_paid = is_late && (state.again == 0 || state.again + len <= state.sent / BUDGET);
        if is_paid {
            state.again += len;
        }
        is_paid
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    fn after(parts: u32) -> Lateness {
        let lateness = Lateness::new(2 * SECOND);
        (0..parts).for_each(|_| lateness.ended(1000, SECOND));
        lateness
    }

    #[test]
    fn late_is_what_takes_four_times_as_long_as_its_peers() {
        assert!(!after(2).pay(1000, 100 * SECOND), "two peers say nothing");
        assert!(!after(3).pay(1000, 4 * SECOND));
        assert!(after(3).pay(1000, 5 * SECOND));
        assert!(!after(3).pay(2000, 5 * SECOND), "twice as long for twice as much");
        assert!(!after(3).pay(1, 3 * SECOND), "a small one is answered as slowly");
    }

    /// R11
    #[test]
    fn a_twentieth_may_be_sent_again() {
        let few = after(3);
        assert!(few.pay(1000, 5 * SECOND), "one may, always");
        assert!(!few.pay(1000, 5 * SECOND));
        let many = after(100);
        assert_eq!((0..20).filter(|_| many.pay(1000, 5 * SECOND)).count(), 5);
    }
}
