//! How many requests of one object are worth having in flight; pure.
//!
//! Fed one `Window` of measurements at a time, it doubles the limit while that raises goodput, settles where it
//! no longer does, and backs off on throttling (R4). It never asks for more while the writer or the processor is
//! the bound: more requests would only fill memory. It owns no clock and no counters; `ops` feeds it.

use crate::config::{CEILING_CONCURRENCY, START_CONCURRENCY};

/// What happened since the last window.
#[derive(Debug, Clone, Copy)]
pub struct Window {
    pub bytes: u64,
    pub seconds: f64,
    /// Requests in flight at the end of the window.
    pub in_flight: usize,
    /// Buffers waiting for the disk.
    pub writer_queue: usize,
    /// Share of the processors that was in use, from 0 to 1.
    pub cpu: f64,
    /// Throttle answers within the window.
    pub throttles: u64,
}

#[derive(Debug)]
pub struct Governor {
    limit: usize,
    ceiling: usize,
    /// Goodput before the limit was raised, while a raise is on trial.
    before: Option<f64>,
    /// Windows to sit out after a throttle or a failed raise.
    hold: u32,
}

/// A raise must bring this much, or it is taken back.
const WORTHWHILE: f64 = 1.15;
/// With more of the processors in use than this, more requests gain nothing.
const BUSY: f64 = 0.8;
/// A pool that was throttled shrinks to this share and stays there for two windows (R4).
const SHRINK: f64 = 0.7;
const HOLD_AFTER_THROTTLE: u32 = 2;
/// Once a raise failed, the next try comes only after so many windows.
const HOLD_AFTER_FAILURE: u32 = 8;

impl Governor {
    /// Starts with two requests for each core, within bounds: fewer leave a large machine idle, more only take
    /// memory and caches from a small one.
    pub fn new(ceiling: usize, cores: usize) -> Self {
        let ceiling = ceiling.clamp(1, CEILING_CONCURRENCY);
        let start = (2 * cores).clamp(*START_CONCURRENCY.start(), *START_CONCURRENCY.end());
        Self { limit: start.min(ceiling), ceiling, before: None, hold: 0 }
    }

    pub fn limit(&self) -> usize {
        self.limit
    }

    /// The limit to use from now on.
    pub fn observe(&mut self, window: Window) -> usize {
        if window.throttles > 0 {
            self.limit = ((self.limit as f64 * SHRINK) as usize).max(1);
            (self.before, self.hold) = (None, HOLD_AFTER_THROTTLE);
            return self.limit;
        }
        if window.seconds <= 0.0 || window.in_flight < self.limit {
            return self.limit;
        }
        let goodput = window.bytes as f64 / window.seconds;
        if let Some(before) = self.before.take() {
            self.judge(before, goodput);
        }
        let bound_elsewhere = window.writer_queue > self.limit || window.cpu > BUSY;
        if self.hold > 0 {
            self.hold -= 1;
        } else if !bound_elsewhere && self.limit < self.ceiling {
            self.before = Some(goodput);
            self.limit = (self.limit * 2).min(self.ceiling);
        }
        self.limit
    }

    fn judge(&mut self, before: f64, goodput: f64) {
        if goodput < before * WORTHWHILE {
            self.limit = (self.limit / 2).max(1);
            self.hold = HOLD_AFTER_FAILURE;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const START: usize = 8;
    use proptest::prelude::*;

    fn window(bytes: u64, in_flight: usize) -> Window {
        Window { bytes, seconds: 0.1, in_flight, writer_queue: 0, cpu: 0.1, throttles: 0 }
    }

    /// A network where every connection brings the same until the line is full.
    fn settle(per_connection: u64, line: u64) -> usize {
        let mut governor = Governor::new(CEILING_CONCURRENCY, 4);
        for _ in 0..40 {
            let goodput = line.min(per_connection * governor.limit() as u64);
            governor.observe(window(goodput, governor.limit()));
        }
        governor.limit()
    }

    #[test]
    fn grows_while_goodput_grows() {
        assert!(settle(9, 900) >= 64, "each connection brings 9 of 900");
        assert!(settle(100, 900) <= 32, "nine connections fill the line");
    }

    #[test]
    fn never_grows_when_the_writer_is_the_bound() {
        let mut governor = Governor::new(64, 4);
        for step in 1..20 {
            let window = Window { writer_queue: 30, ..window(step * 100, START) };
            assert_eq!(governor.observe(window), START);
        }
    }

    #[test]
    fn never_grows_when_the_processor_is_the_bound() {
        let mut governor = Governor::new(64, 4);
        for step in 1..20 {
            let window = Window { cpu: 0.9, ..window(step * 100, START) };
            assert_eq!(governor.observe(window), START);
        }
    }

    #[test]
    fn starts_by_the_number_of_cores() {
        let starts = [1, 2, 4, 64].map(|cores| Governor::new(128, cores).limit());
        assert_eq!(starts, [4, 4, 8, 16]);
        assert_eq!(Governor::new(3, 64).limit(), 3);
    }

    #[test]
    fn throttling_shrinks_and_holds() {
        let mut governor = Governor::new(64, 4);
        assert_eq!(governor.observe(Window { throttles: 1, ..window(100, 8) }), 5);
        assert_eq!(governor.observe(window(100, 5)), 5);
        assert_eq!(governor.observe(window(100, 5)), 5);
        assert_eq!(governor.observe(window(100, 5)), 10);
    }

    proptest! {
        #[test]
        fn stays_within_bounds(
            ceiling in 1usize..200,
            windows in proptest::collection::vec((0u64..10_000, 0usize..200, 0usize..100, 0u64..3, 0.0..1.0), 0..100),
        ) {
            let mut governor = Governor::new(ceiling, 4);
            for (bytes, in_flight, writer_queue, throttles, cpu) in windows {
                let limit = governor.observe(Window { bytes, seconds: 0.1, in_flight, writer_queue, cpu, throttles });
                prop_assert!(limit >= 1 && limit <= ceiling.min(CEILING_CONCURRENCY));
            }
        }
    }
}
