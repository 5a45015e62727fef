//! Plans: which ranges an object is fetched in, which parts a file is sent in, which bytes have arrived.
//!
//! Pure: no socket, file or clock. Ranges are half-open. Invariant: a plan covers [0, size) exactly once, and
//! `Coverage` is complete only when the written intervals do (I12).

use std::ops::Range;

use crate::config::{AUTO_PART, MAX_OBJECT, MAX_PART, MAX_PARTS, MIB, MIN_UPLOAD_PART};
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

/// The ranges of [from, size), each `part_size` long but the last. A rest shorter than half a part joins the
/// one before it: a request of its own would cost more than it brings.
pub fn ranges(from: u64, size: u64, part_size: u64) -> impl Iterator<Item = Range<u64>> {
    let mut start = from;
    std::iter::from_fn(move || {
        if start >= size {
            return None;
        }
        let end = start.saturating_add(part_size);
        let end = if size.saturating_sub(end) < part_size.div_ceil(2) { size } else { end };
        let range = start..end;
        start = end;
        Some(range)
    })
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

    #[test]
    fn a_short_rest_joins_the_last_range() {
        let plan: Vec<_> = ranges(0, 25, 10).collect();
        assert_eq!(plan, [0..10, 10..20, 20..25]);
        let plan: Vec<_> = ranges(0, 24, 10).collect();
        assert_eq!(plan, [0..10, 10..24]);
        assert_eq!(ranges(5, 5, 10).count(), 0);
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

    proptest! {
        #[test]
        fn ranges_cover_exactly(from in 0u64..2_000, size in 0u64..5_000, part in 1u64..700) {
            let mut next = from;
            for range in ranges(from, size, part) {
                prop_assert_eq!(range.start, next);
                prop_assert!(range.end > range.start);
                prop_assert!(range.end - range.start < part + part.div_ceil(2));
                next = range.end;
            }
            prop_assert_eq!(next, size.max(from));
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
        fn coverage_equals_a_bitmap(adds in proptest::collection::vec((0u64..64, 0u64..20), 0..40)) {
            let mut coverage = Coverage::default();
            let mut bitmap = [false; 100];
            for (start, len) in adds {
                coverage.add(start..start + len);
                bitmap[start as usize..(start + len) as usize].fill(true);
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
