//! The limit on payload bytes a second that all requests of a client share, in both directions.
//!
//! Bytes are booked when they pass, and each booking says when it is paid for: whoever booked last waits longest, so the
//! waits are a queue, and bytes that were not used for a tenth of a second are lost. Nobody sleeps here: a body waits by
//! itself, before it touches the network again. Such a wait is ours, so no clock that watches the store hears of it.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

/// What an idle limit saves up.
const CREDIT: Duration = Duration::from_millis(100);
/// Smaller pieces would cost more than they smooth.
const MIN_PIECE: u64 = 16 << 10;

pub(super) struct Bandwidth {
    rate: u64,
    /// When all that was booked is paid for.
    paid: Mutex<Instant>,
}

impl Bandwidth {
    /// `rate` is in bytes a second.
    pub(super) fn new(rate: u64) -> Self {
        Self { rate: rate.max(1), paid: Mutex::new(Instant::now()) }
    }

    /// The most bytes that should pass at once.
    pub(super) fn piece(&self) -> usize {
        usize::try_from((self.rate / 10).max(MIN_PIECE)).unwrap_or(usize::MAX)
    }

    /// Before then nobody else's bytes should pass.
    pub(super) fn paid(&self) -> Instant {
        *self.paid.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Books bytes that pass now; whoever booked them waits so long before the next.
    pub(super) fn book(&self, bytes: usize) -> Instant {
        let now = Instant::now();
        let cost = Duration::from_secs_f64(bytes as f64 / self.rate as f64);
        let mut paid = self.paid.lock().unwrap_or_else(PoisonError::into_inner);
        *paid = now.checked_sub(CREDIT).map_or(*paid, |least| least.max(*paid)) + cost;
        *paid
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    #[tokio::test(start_paused = true)]
    async fn bookings_queue_and_idle_time_is_saved_up_to_a_bound() {
        let limit = Bandwidth::new(1000);
        let start = Instant::now();
        assert_eq!(limit.book(500), start + SECOND / 2);
        assert_eq!(limit.book(1000), start + SECOND * 3 / 2);
        assert_eq!(limit.paid(), start + SECOND * 3 / 2);
        tokio::time::advance(10 * SECOND).await;
        assert_eq!(limit.book(1000), start + 11 * SECOND - CREDIT);
    }

    #[test]
    fn pieces_are_a_tenth_of_a_second_but_no_crumbs() {
        assert_eq!(Bandwidth::new(1).piece() as u64, MIN_PIECE);
        assert_eq!(Bandwidth::new(10 << 20).piece(), 1 << 20);
    }
}
