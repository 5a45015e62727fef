//! Plans: which ranges an object is fetched in, which parts a file is sent in, which bytes have arrived.
//!
//! Pure: no socket, file or clock. Ranges are half-open. Invariant: a plan covers [0, size) exactly once, and
//! `Coverage` is complete only when the written intervals do (I12).

use std::collections::VecDeque;
use std::ops::Range;

use crate::config::{AUTO_COPY_PART, AUTO_PART, MAX_OBJECT, MAX_PART, MAX_PARTS, MIB, MIN_UPLOAD_PART};
use crate::error::{Error, Result};

/// A numbered part of an upload; S3 counts from 1.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Part {
    pub number: u32,
    pub range: Range<u64>,
}

impl Part {
    pub fn len(&self) -> u64 {
        self.range.end - self.range.start
    }

    pub fn is_empty(&self) -> bool {
        self.range.is_empty()
    }
}

/// What is still to be fetched, cut into ranges as they are asked for.
#[derive(Debug, Clone)]
pub struct Plan {
    gaps: VecDeque<Range<u64>>,
    part_size: u64,
}

impl Plan {
    pub fn new(part_size: u64) -> Self {
        Self { gaps: VecDeque::new(), part_size }
    }

    pub fn add(&mut self, gap: Range<u64>) {
        if !gap.is_empty() {
            self.gaps.push_back(gap);
        }
    }

    /// All of [0, size) that is in none of these, which are disjoint and in order.
    pub fn add_all_but(&mut self, size: u64, taken: impl Iterator<Item = Range<u64>>) {
        let mut at = 0;
        for range in taken {
            self.add(at..range.start.max(at));
            at = at.max(range.end);
        }
        self.add(at..size.max(at));
    }

    /// From now on ranges end at these borders and nowhere else.
    pub fn cut_only_at(&mut self, borders: &[u64]) {
        let gaps = std::mem::take(&mut self.gaps);
        self.part_size = u64::MAX;
        for gap in gaps {
            let first = borders.partition_point(|border| *border <= gap.start);
            let mut start = gap.start;
            for border in borders[first..].iter().take_while(|border| **border < gap.end) {
                self.add(start..*border);
                start = *border;
            }
            self.add(start..gap.end);
        }
    }

    pub fn is_empty(&self) -> bool {
        self.gaps.is_empty()
    }
}

impl Iterator for Plan {
    type Item = Range<u64>;

    /// The next range, `part_size` long but at the end of a gap. A rest shorter than half a part joins the range
    /// before it: a request of its own would cost more than it brings.
    fn next(&mut self) -> Option<Range<u64>> {
        let gap = self.gaps.front_mut()?;
        let end = gap.start.saturating_add(self.part_size);
        let end = if gap.end.saturating_sub(end) < self.part_size.div_ceil(2) { gap.end } else { end };
        let range = gap.start..end;
        gap.start = end;
        if gap.is_empty() {
            self.gaps.pop_front();
        }
        Some(range)
    }
}

/// The parts of an upload of `size` bytes; empty for an empty object.
pub fn upload_parts(size: u64, part_size: u64) -> impl Iterator<Item = Part> {
    (0..size.div_ceil(part_size)).map(move |index| {
        let start = index * part_size;
        // At most 10,000 parts (checked by `upload_part_size`), so the number fits.
        Part { number: index as u32 + 1, range: start..size.min(start.saturating_add(part_size)) }
    })
}

/// The part size for an upload of known size (U5): 10,000 parts suffice and S3's limits hold. An explicit one
/// that cannot work is refused, naming the smallest that can.
pub fn upload_part_size(size: u64, explicit: Option<u64>) -> Result<u64> {
    if size > MAX_OBJECT {
        return Err(Error::config(format!("{size} bytes are more than 10,000 parts of 5 GiB can hold")));
    }
    let needed = size.div_ceil(MAX_PARTS).next_multiple_of(MIB).clamp(MIN_UPLOAD_PART, MAX_PART);
    match explicit {
        None => Ok(needed.max(AUTO_PART)),
        Some(part) if part > MAX_PART => {
            Err(Error::config(format!("part_size must be at most 5 GiB for an upload, not {part} bytes")))
        }
        Some(part) if part < needed => Err(Error::config(format!(
            "part_size {part} is too small for an upload of {size} bytes: the smallest that works is {needed} bytes \
             ({} MiB)",
            needed / MIB
        ))),
        Some(part) => Ok(part),
    }
}

/// The same for a copy that the store makes.
pub fn copy_part_size(size: u64, explicit: Option<u64>) -> Result<u64> {
    let automatic = upload_part_size(size, None)?.max(AUTO_COPY_PART);
    explicit.map_or(Ok(automatic), |part| upload_part_size(size, Some(part)))
}

/// How large the parts of a stream are, whose length nobody knows (U6).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Schedule {
    /// All the same: the length was foretold.
    Fixed(u64),
    /// Twice as large after every thousand parts, from this size on.
    Growing(u64),
}

impl Schedule {
    /// `expected` is how much will come, if that is known; `explicit` the size of the first part, or of all.
    pub fn new(expected: Option<u64>, explicit: Option<u64>) -> Result<Self> {
        let part_size = upload_part_size(expected.unwrap_or(0), explicit)?;
        Ok(if expected.is_some() { Self::Fixed(part_size) } else { Self::Growing(part_size) })
    }

    /// Of the part with this number; S3 counts from 1.
    pub fn size(self, number: u32) -> u64 {
        match self {
            Self::Fixed(size) => size,
            Self::Growing(size) => {
                let doublings = number.saturating_sub(1) / PARTS_OF_ONE_SIZE;
                size.checked_shl(doublings).filter(|grown| grown >> doublings == size).unwrap_or(MAX_PART).min(MAX_PART)
            }
        }
    }
}

const PARTS_OF_ONE_SIZE: u32 = 1000;

/// The range size for a download: what was asked for, as it is; any size works for a GET.
pub fn download_part_size(explicit: Option<u64>) -> u64 {
    explicit.unwrap_or(AUTO_PART)
}

/// The bytes of a file that have been written: disjoint, sorted, merged intervals.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub struct Coverage {
    intervals: Vec<Range<u64>>,
}

impl Coverage {
    /// Adds an interval; overlaps and neighbours are merged.
    pub fn add(&mut self, range: Range<u64>) {
        if range.is_empty() {
            return;
        }
        let first = self.intervals.partition_point(|have| have.end < range.start);
        let last = self.intervals.partition_point(|have| have.start <= range.end);
        let mut merged = range;
        if first < last {
            merged.start = merged.start.min(self.intervals[first].start);
            merged.end = merged.end.max(self.intervals[last - 1].end);
        }
        self.intervals.splice(first..last, [merged]);
    }

    /// Takes bytes out again, to be written anew.
    pub fn remove(&mut self, range: Range<u64>) {
        if range.is_empty() {
            return;
        }
        let intervals = std::mem::take(&mut self.intervals);
        for have in intervals {
            let before = have.start..have.end.min(range.start);
            let behind = have.start.max(range.end)..have.end;
            self.intervals.extend([before, behind].into_iter().filter(|rest| rest.start < rest.end));
        }
    }

    /// Whether any of these bytes is covered.
    pub fn touches(&self, range: &Range<u64>) -> bool {
        let first = self.intervals.partition_point(|have| have.end <= range.start);
        self.intervals.get(first).is_some_and(|have| have.start < range.end && !range.is_empty())
    }

    /// Whether exactly [0, size) is covered.
    pub fn is_complete(&self, size: u64) -> bool {
        match self.intervals.as_slice() {
            [] => size == 0,
            [only] => *only == (0..size),
            _ => false,
        }
    }

    pub fn bytes(&self) -> u64 {
        self.intervals.iter().map(|range| range.end - range.start).sum()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::GIB;
    use proptest::prelude::*;

    fn plan(gaps: &[Range<u64>], part_size: u64) -> Vec<Range<u64>> {
        let mut plan = Plan::new(part_size);
        gaps.iter().for_each(|gap| plan.add(gap.clone()));
        plan.collect()
    }

    #[test]
    fn a_short_rest_joins_the_last_range() {
        assert_eq!(plan(&[0..25], 10), [0..10, 10..20, 20..25]);
        assert_eq!(plan(&[0..24], 10), [0..10, 10..24]);
        assert_eq!(plan(&[5..5], 10), []);
        assert_eq!(plan(&[0..3, 50..74], 10), [0..3, 50..60, 60..74]);
        assert_eq!(plan(&[u64::MAX - 5..u64::MAX], 10), [u64::MAX - 5..u64::MAX]);
    }

    #[test]
    fn parts_that_must_stay_whole_are() {
        let mut plan = Plan::new(10);
        plan.add(8..100);
        plan.add(120..130);
        assert_eq!(plan.next(), Some(8..18));
        plan.cut_only_at(&[30, 60, 90, 120, 130]);
        let ranges: Vec<_> = plan.collect();
        assert_eq!(ranges, [18..30, 30..60, 60..90, 90..100, 120..130]);
    }

    #[test]
    fn upload_part_size_borders() {
        let cases = [
            (0, None, Some(8 * MIB)),
            (80_000 * MIB, None, Some(8 * MIB)),
            (80_000 * MIB + 1, None, Some(9 * MIB)),
            (MAX_OBJECT, None, Some(5 * GIB)),
            (MAX_OBJECT + 1, None, None),
            (100 * MIB, Some(5 * MIB - 1), None),
            (100 * MIB, Some(5 * MIB), Some(5 * MIB)),
            (50_000 * MIB + 1, Some(5 * MIB), None),
            (100 * MIB, Some(5 * GIB), Some(5 * GIB)),
            (100 * MIB, Some(5 * GIB + 1), None),
        ];
        for (size, explicit, want) in cases {
            assert_eq!(upload_part_size(size, explicit).ok(), want, "{size} {explicit:?}");
        }
        let text = upload_part_size(50_000 * MIB + 1, Some(5 * MIB)).unwrap_err().to_string();
        assert!(text.contains("6 MiB"), "{text}");
    }

    /// U6: from 8 MiB on 7 TiB and more fit into 10,000 parts; an explicit size that cannot work is refused.
    #[test]
    fn parts_of_a_stream_grow() {
        let growing = Schedule::new(None, None).unwrap();
        let sizes = [1, 1000, 1001, 2001, 9001, 10_000].map(|number| growing.size(number) / MIB);
        assert_eq!(sizes, [8, 8, 16, 32, 4096, 4096]);
        let all: u64 = (1..=10_000).map(|number| growing.size(number)).sum();
        assert!(all > 7 << 40);
        assert_eq!(Schedule::new(None, Some(MAX_PART)).unwrap().size(10_000), MAX_PART);
        assert_eq!(Schedule::new(Some(80_001 * MIB), None).unwrap().size(10_000), 9 * MIB);
        assert!(Schedule::new(None, Some(5 * MIB - 1)).is_err());
        assert!(Schedule::new(Some(100 * GIB), Some(5 * MIB)).is_err());
    }

    proptest! {
        /// T1: what is taken and what is planned make the whole, each byte once.
        #[test]
        fn a_plan_covers_exactly(size in 0u64..5_000, part in 1u64..700, taken in proptest::collection::vec((0u64..900, 1u64..900), 0..6)) {
            let mut at = 0;
            let taken: Vec<_> = taken.into_iter().map(|(skip, len)| {
                let range = at + skip..at + skip + len;
                at = range.end;
                range
            }).collect();
            let size = size.max(at);
            let mut plan = Plan::new(part);
            plan.add_all_but(size, taken.iter().cloned());
            let mut count = vec![0u8; size as usize];
            for range in &taken {
                count[range.start as usize..range.end as usize].iter_mut().for_each(|n| *n += 1);
            }
            for range in plan {
                prop_assert!(range.start < range.end && range.end - range.start < part + part.div_ceil(2));
                count[range.start as usize..range.end as usize].iter_mut().for_each(|n| *n += 1);
            }
            prop_assert!(count.iter().all(|n| *n == 1));
        }

        #[test]
        fn upload_parts_cover_exactly(size in 0u64..MAX_OBJECT, wanted in proptest::option::of(MIN_UPLOAD_PART..=MAX_PART)) {
            if let Ok(part_size) = upload_part_size(size, wanted) {
                let mut next = 0;
                let mut count = 0u64;
                for part in upload_parts(size, part_size) {
                    count += 1;
                    prop_assert_eq!(u64::from(part.number), count);
                    prop_assert_eq!(part.range.start, next);
                    prop_assert!(part.len() <= MAX_PART && !part.is_empty());
                    prop_assert!(part.len() == part_size || part.range.end == size);
                    next = part.range.end;
                }
                prop_assert_eq!(next, size);
                prop_assert!(count <= MAX_PARTS);
            }
        }

        #[test]
        fn coverage_equals_a_bitmap(adds in proptest::collection::vec((0u64..64, 0u64..20, 0u8..4), 0..40)) {
            let mut coverage = Coverage::default();
            let mut bitmap = [false; 100];
            for (start, len, kind) in adds {
                let range = start..start + len;
                let bits = &mut bitmap[start as usize..(start + len) as usize];
                prop_assert_eq!(coverage.touches(&range), bits.iter().any(|bit| *bit));
                bits.fill(kind > 0);
                if kind > 0 { coverage.add(range) } else { coverage.remove(range) }
                let ordered = coverage.intervals.windows(2).all(|pair| pair[0].end < pair[1].start);
                prop_assert!(ordered);
                prop_assert_eq!(coverage.bytes(), bitmap.iter().filter(|bit| **bit).count() as u64);
            }
            for size in 0..100u64 {
                let exact = bitmap.iter().enumerate().all(|(at, bit)| *bit == ((at as u64) < size));
                prop_assert_eq!(coverage.is_complete(size), exact);
            }
        }
    }
}
