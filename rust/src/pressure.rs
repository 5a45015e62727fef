//! What the store said about its load: written by `s3`, obeyed by `transfer`.
//!
//! One for each endpoint, atomics only. A throttle answer raises the count, which halves no single worker but
//! shrinks the whole pool (R4), and closes the gate for new requests until the backoff ends.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::{Duration, Instant};

#[derive(Debug)]
pub struct Pressure {
    started: Instant,
    throttles: AtomicU64,
    /// Microseconds after `started` until which no new request is sent.
    closed_until: AtomicU64,
}

impl Default for Pressure {
    fn default() -> Self {
        Self { started: Instant::now(), throttles: AtomicU64::new(0), closed_until: AtomicU64::new(0) }
    }
}

impl Pressure {
    /// A throttle answer came; nothing new goes out for `pause`.
    pub fn throttled(&self, pause: Duration) {
        self.throttles.fetch_add(1, Relaxed);
        let until = self.started.elapsed() + pause;
        self.closed_until.fetch_max(until.as_micros() as u64, Relaxed);
    }

    /// Throttle answers so far; the governor compares two readings.
    pub fn throttles(&self) -> u64 {
        self.throttles.load(Relaxed)
    }

    /// How long new requests still have to wait.
    pub fn pause(&self) -> Option<Duration> {
        let until = Duration::from_micros(self.closed_until.load(Relaxed));
        until.checked_sub(self.started.elapsed()).filter(|left| !left.is_zero())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_longest_pause_holds() {
        let pressure = Pressure::default();
        assert_eq!(pressure.pause(), None);
        pressure.throttled(Duration::from_secs(60));
        pressure.throttled(Duration::from_secs(1));
        assert!(pressure.pause().unwrap() > Duration::from_secs(50));
        assert_eq!(pressure.throttles(), 2);
    }
}
