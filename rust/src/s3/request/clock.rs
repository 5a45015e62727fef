//! When the body of an answer counts as stalled or as too slow; pure.
//!
//! The clock is told how long somebody waited for the network and how many bytes came. Time in which nobody asks (the
//! disk is slow, the reader is paused, a `select!` was elsewhere) is never told, so it is nobody's stall. Two limits: no byte
//! at all for `stall`, and fewer than `min_rate` bytes a second over the last `window` of waiting.

use std::time::Duration;

use crate::config::RetryConfig;

/// The window is watched in so many steps.
const STEPS: usize = 10;

#[derive(Debug, Clone)]
pub(super) struct BodyClock {
    stall: Duration,
    /// Bytes that one window must bring; 0: any rate will do.
    least: u64,
    step: Duration,
    /// Waited since the last byte.
    idle: Duration,
    /// Bytes of the last steps, the oldest at `oldest`.
    steps: [u64; STEPS],
    oldest: usize,
    /// Steps that are over, at most `STEPS`.
    over: usize,
    /// Of the step that is not over.
    bytes: u64,
    waited: Duration,
}

/// What a body is guilty of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Late {
    Stalled,
    TooSlow,
}

impl BodyClock {
    /// `stall` is the longest wait for one byte. An answer that the store works out while it sends may be as slow as it
    /// likes (`is_slow`): white space keeps it alive.
    pub(super) fn new(config: &RetryConfig, stall: Duration, is_slow: bool) -> Self {
        let window = config.min_rate_window;
        let least = if is_slow { 0 } else { (config.min_rate as f64 * window.as_secs_f64()) as u64 };
        Self {
            stall,
            least,
            step: window / STEPS as u32,
            idle: Duration::ZERO,
            steps: [0; STEPS],
            oldest: 0,
            over: 0,
            bytes: 0,
            waited: Duration::ZERO,
        }
    }

    /// Somebody waited so long for the network.
    pub(super) fn waited(&mut self, time: Duration) {
        self.idle += time;
        if self.least == 0 || self.step.is_zero() {
            return;
        }
        self.waited += time;
        // A wait of many windows leaves nothing of what came before it.
        for _ in 0..=2 * STEPS {
            if self.waited < self.step {
                return;
            }
            self.waited -= self.step;
            self.steps[self.oldest] = std::mem::take(&mut self.bytes);
            self.oldest = (self.oldest + 1) % STEPS;
            self.over = (self.over + 1).min(STEPS);
        }
        self.waited = Duration::ZERO;
    }

    pub(super) fn received(&mut self, bytes: u64) {
        self.idle = Duration::ZERO;
        self.bytes = self.bytes.saturating_add(bytes);
    }

    /// The verdict before one waits on.
    pub(super) fn late(&self) -> Option<Late> {
        if self.idle >= self.stall {
            return Some(Late::Stalled);
        }
        let came = self.steps.iter().fold(self.bytes, |sum, bytes| sum.saturating_add(*bytes));
        (self.over == STEPS && came < self.least).then_some(Late::TooSlow)
    }

    /// How long one may wait until there can be another verdict.
    pub(super) fn patience(&self) -> Duration {
        if self.late().is_some() {
            return Duration::ZERO;
        }
        let until_stall = self.stall.saturating_sub(self.idle);
        if self.least == 0 || self.step.is_zero() {
            return until_stall;
        }
        until_stall.min(self.step - self.waited)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const SECOND: Duration = Duration::from_secs(1);

    fn clock() -> BodyClock {
        let config = RetryConfig::default();
        BodyClock::new(&config, config.read_timeout, false)
    }

    /// `rate` bytes each second; the second at which the clock complains, if it does within an hour.
    fn complains_at(mut clock: BodyClock, rate: impl Fn(u64) -> u64) -> Option<(u64, Late)> {
        (1..3600).find_map(|second| {
            clock.waited(SECOND);
            clock.received(rate(second));
            clock.late().map(|late| (second, late))
        })
    }

    /// #13: less than 1 KiB a second for 30 s.
    #[test]
    fn drips_are_too_slow_after_one_window() {
        assert_eq!(complains_at(clock(), |_| 1), Some((30, Late::TooSlow)));
        assert_eq!(complains_at(clock(), |_| 1023), Some((30, Late::TooSlow)));
        assert_eq!(complains_at(clock(), |_| 1024), None);
        assert_eq!(complains_at(clock(), |second| if second < 100 { 1 << 20 } else { 1 }), Some((132, Late::TooSlow)));
        assert_eq!(complains_at(clock(), |second| if second % 15 == 0 { 16 << 10 } else { 1 }), None, "bursts add up");
    }

    /// #12
    #[test]
    fn silence_is_a_stall_before_it_is_slow() {
        let mut clock = clock();
        clock.received(1 << 30);
        clock.waited(Duration::from_secs(19));
        assert_eq!(clock.late(), None);
        assert_eq!(clock.patience(), SECOND);
        clock.waited(SECOND);
        assert_eq!(clock.late(), Some(Late::Stalled));
    }

    /// #39: white space for minutes.
    #[test]
    fn slow_answers_and_a_rate_of_zero_are_never_too_slow() {
        let config = RetryConfig::default();
        assert_eq!(complains_at(BodyClock::new(&config, config.slow_answer_timeout, true), |_| 1), None);
        let off = RetryConfig { min_rate: 0, ..config };
        assert_eq!(complains_at(BodyClock::new(&off, off.read_timeout, false), |_| 1), None);
    }

    #[test]
    fn a_wait_of_many_windows_is_counted_once() {
        let config = RetryConfig { read_timeout: 10_000 * SECOND, ..RetryConfig::default() };
        let mut clock = BodyClock::new(&config, config.read_timeout, false);
        clock.received(1 << 30);
        clock.waited(5_000 * SECOND);
        assert_eq!((clock.late(), clock.patience()), (Some(Late::TooSlow), Duration::ZERO));
        clock.received(1 << 30);
        assert_eq!(clock.late(), None);
        assert!(!clock.patience().is_zero());
    }

    proptest! {
        /// Whatever happens: never endless patience, never complaints about a body that is fast enough.
        #[test]
        fn patience_ends_and_speed_is_never_too_slow(waits in prop::collection::vec((1..30_000u64, 0..4096u64), 1..200)) {
            let mut clock = clock();
            for (ms, extra) in waits {
                let wait = Duration::from_millis(ms).min(clock.patience());
                clock.waited(wait);
                clock.received(wait.as_millis() as u64 * 1024 / 1000 + 1 + extra);
                prop_assert_eq!(clock.late(), None);
                prop_assert!(!clock.patience().is_zero() && clock.patience() <= Duration::from_secs(20));
            }
        }
    }
}
