//! Who may fetch which bytes of a range while it is being fetched (I11).
//!
//! The task that fetches a range claims its bytes piece by piece, each before it is received; what is not claimed
//! yet can be split off for another task. Claim and split are one step under one lock, so every byte has exactly
//! one owner at any time, and a task whose range was taken away under its hands cannot write there: it has no claim.
//! Pure: no socket, file or clock.

use std::ops::Range;

use crate::sync::{Mutex, MutexGuard, PoisonError};

#[derive(Debug)]
pub struct Extent(Mutex<Range<u64>>);

impl Extent {
    pub fn new(range: Range<u64>) -> Self {
        Self(Mutex::new(range))
    }

    /// The next bytes, at most `most`, now the caller's; `None` once the rest is claimed or somebody else's.
    pub fn claim(&self, most: u64) -> Option<Range<u64>> {
        let mut rest = self.rest();
        let end = rest.end.min(rest.start.saturating_add(most));
        let claimed = rest.start..end;
        rest.start = end;
        (!claimed.is_empty()).then_some(claimed)
    }

    /// Takes the second half of what is not claimed yet, beginning at a multiple of `step`; `None` where both halves
    /// would not have at least `step` bytes.
    pub fn split(&self, step: u64) -> Option<Range<u64>> {
        let mut rest = self.rest();
        let left = rest.end.saturating_sub(rest.start);
        let middle = (rest.start + left / 2).checked_next_multiple_of(step)?;
        let is_worth_it = middle.checked_sub(rest.start)? >= step && rest.end.checked_sub(middle)? >= step;
        if !is_worth_it {
            return None;
        }
        let taken = middle..rest.end;
        rest.end = middle;
        Some(taken)
    }

    /// Bytes not claimed yet.
    pub fn left(&self) -> u64 {
        let rest = self.rest();
        rest.end.saturating_sub(rest.start)
    }

    fn rest(&self) -> MutexGuard<'_, Range<u64>> {
        // Two numbers are whole at any time.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn claims_end_where_the_range_was_split() {
        let extent = Extent::new(0..100);
        assert_eq!(extent.claim(10), Some(0..10));
        assert_eq!(extent.split(8), Some(56..100));
        assert_eq!(extent.left(), 46);
        assert_eq!(extent.claim(40), Some(10..50));
        assert_eq!(extent.claim(40), Some(50..56));
        assert_eq!(extent.claim(1), None);
        assert_eq!(extent.split(1), None);
    }

    #[test]
    fn small_rests_are_left_alone() {
        let extent = Extent::new(5..20);
        assert_eq!(extent.split(8), None);
        assert_eq!(extent.split(7), None, "the first half would begin below a whole step");
        assert_eq!(extent.claim(u64::MAX), Some(5..20));
        let last = Extent::new(u64::MAX - 3..u64::MAX);
        assert_eq!(last.split(1 << 20), None, "no multiple is left");
        assert_eq!(last.claim(u64::MAX), Some(u64::MAX - 3..u64::MAX));
    }

    proptest! {
        /// I11: whatever the order of claims and splits, each byte is handed out once.
        #[test]
        fn every_byte_has_one_owner(size in 1u64..5_000, steps in proptest::collection::vec((0u8..3, 1u64..600), 0..60)) {
            let mut extents = vec![Extent::new(0..size)];
            let mut owned = vec![0u8; size as usize];
            let mut own = |range: Range<u64>| owned[range.start as usize..range.end as usize].iter_mut().for_each(|n| *n += 1);
            for (kind, amount) in steps {
                let at = amount as usize % extents.len();
                if kind == 0 {
                    if let Some(taken) = extents[at].split(amount) {
                        prop_assert!(taken.start % amount == 0 && taken.end - taken.start >= amount);
                        extents.push(Extent::new(taken));
                    }
                } else if let Some(claimed) = extents[at].claim(amount) {
                    prop_assert!(claimed.end - claimed.start <= amount);
                    own(claimed);
                }
            }
            for extent in &extents {
                while let Some(claimed) = extent.claim(97) {
                    own(claimed);
                }
                prop_assert_eq!(extent.left(), 0);
            }
            prop_assert!(owned.iter().all(|count| *count == 1));
        }
    }
}
