//! Checksums by offset: computed as bytes arrive, cut where the store's parts end, added up for any range (C2, C6).
//!
//! Bytes arrive in any order and in pieces that know nothing of the parts an object was once uploaded in. `Summing`
//! runs along with one range and ends a run wherever a part ends; `RangeSums` keeps the runs of all ranges and says
//! what is known of a part or of the whole. So no range needs to begin where a part does.

use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::{Arc, OnceLock};

use crate::checksum::{Algorithm, RunningCrcs, Sha, Sums};

/// What is to be computed over the bytes, once it is known.
#[derive(Debug, Clone, Default)]
pub struct Wanted {
    pub crc: Option<Algorithm>,
    /// Of each part; such parts are fetched by one request each, since a hash needs its bytes in order.
    pub sha: Option<Sha>,
    /// Where runs end: the ends of the stored parts, in order.
    pub cuts: Arc<[u64]>,
}

impl Wanted {
    /// The first cut behind `at`.
    fn next_cut(&self, at: u64) -> u64 {
        self.cuts.get(self.cuts.partition_point(|cut| *cut <= at)).copied().unwrap_or(u64::MAX)
    }
}

/// Runs of bytes and their checksums. Neighbours are joined, but not across a cut.
#[derive(Debug, Default)]
pub struct RangeSums {
    runs: BTreeMap<u64, Sums>,
}

impl RangeSums {
    /// Adds a run; what was known of its bytes before is forgotten.
    pub fn add(&mut self, start: u64, sums: Sums, wanted: Option<&Wanted>) {
        let end = start + sums.len;
        self.forget(start..end);
        // A run across a cut says nothing of the part on either side.
        let joins = |start, end| wanted.is_some_and(|wanted| wanted.next_cut(start) >= end);
        let (mut start, mut sums) = (start, sums);
        if let Some(behind) = self.runs.get(&end)
            && joins(start, end + behind.len)
        {
            sums = sums.then(behind);
            self.runs.remove(&end);
        }
        let before = self.runs.range(..start).next_back().map(|(before, have)| (*before, *have));
        if let Some((before, have)) = before
            && before + have.len == start
            && joins(before, start + sums.len)
        {
            (start, sums) = (before, have.then(&sums));
        }
        self.runs.insert(start, sums);
    }

    /// Takes over all runs of another.
    pub fn merge(&mut self, other: Self, wanted: Option<&Wanted>) {
        for (start, sums) in other.runs {
            self.add(start, sums, wanted);
        }
    }

    /// Drops every run that has one of these bytes.
    pub fn forget(&mut self, range: Range<u64>) {
        let touched: Vec<u64> = self
            .runs
            .range(..range.end)
            .rev()
            .take_while(|(start, sums)| **start + sums.len > range.start)
            .map(|(start, _)| *start)
            .collect();
        for start in touched {
            self.runs.remove(&start);
        }
    }

    /// What is known of exactly these bytes; `None` if runs do not make them up.
    pub fn over(&self, range: Range<u64>) -> Option<Sums> {
        let mut total = Sums::empty();
        let mut at = range.start;
        for (start, sums) in self.runs.range(range.start..range.end) {
            if *start != at {
                return None;
            }
            total = total.then(sums);
            at += sums.len;
        }
        (at == range.end).then_some(total)
    }

    /// The pieces of `range` that no run within it covers by this algorithm.
    pub fn missing_of(&self, range: Range<u64>, algorithm: Algorithm) -> Vec<Range<u64>> {
        let mut missing = Vec::new();
        let mut at = range.start;
        for (start, sums) in self.runs.range(range.start..range.end) {
            if *start + sums.len > range.end {
                break;
            }
            if sums.value(algorithm).is_none() {
                continue;
            }
            if *start > at {
                missing.push(at..*start);
            }
            at = *start + sums.len;
        }
        if at < range.end {
            missing.push(at..range.end);
        }
        missing
    }
}

/// The checksums of one range, as its bytes go by in order.
pub struct Summing {
    wanted: Arc<OnceLock<Wanted>>,
    /// Whether CRC64NVME is needed of every piece, for the ledger.
    noted: bool,
    at: u64,
    run_start: u64,
    running: RunningCrcs,
    piece: Sums,
    runs: RangeSums,
}

impl Summing {
    pub fn new(wanted: Arc<OnceLock<Wanted>>, noted: bool, start: u64) -> Self {
        let running = running(wanted.get(), noted);
        let (piece, runs) = (Sums::empty(), RangeSums::default());
        Self { wanted, noted, at: start, run_start: start, running, piece, runs }
    }

    pub fn update(&mut self, mut bytes: &[u8]) {
        while !bytes.is_empty() {
            let to_cut = self.wanted.get().map_or(u64::MAX, |wanted| wanted.next_cut(self.at)) - self.at;
            let count = usize::try_from(to_cut).unwrap_or(usize::MAX).min(bytes.len());
            let (now, rest) = bytes.split_at(count);
            self.running.update(now);
            self.at += now.len() as u64;
            if now.len() as u64 == to_cut {
                self.end_run();
            }
            bytes = rest;
        }
    }

    /// Ends a piece, such as a buffer; its CRC64NVME if that was asked for.
    pub fn end_piece(&mut self) -> Option<u64> {
        self.end_run();
        let piece = std::mem::replace(&mut self.piece, Sums::empty());
        self.noted.then(|| piece.value(Algorithm::Crc64Nvme)).flatten()
    }

    pub fn finish(mut self) -> RangeSums {
        self.end_run();
        self.runs
    }

    fn end_run(&mut self) {
        let sums = self.running.finish();
        if sums.len > 0 {
            self.piece = self.piece.then(&sums);
            self.runs.add(self.run_start, sums, self.wanted.get());
        }
        self.run_start = self.at;
        self.running = running(self.wanted.get(), self.noted);
    }
}

/// What to compute over bytes that come now: everything, while it is not known what will be compared.
fn running(wanted: Option<&Wanted>, noted: bool) -> RunningCrcs {
    match wanted {
        None => RunningCrcs::all(),
        Some(wanted) => RunningCrcs::of(wanted.crc.into_iter().chain(noted.then_some(Algorithm::Crc64Nvme))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::checksum::checksum;
    use proptest::prelude::*;

    fn known(cuts: &[u64]) -> Arc<OnceLock<Wanted>> {
        let wanted = OnceLock::new();
        wanted.set(Wanted { crc: Some(Algorithm::Crc32), sha: None, cuts: cuts.into() }).unwrap();
        Arc::new(wanted)
    }

    fn crc32(bytes: &[u8]) -> Option<u64> {
        Some(checksum(Algorithm::Crc32, bytes))
    }

    #[test]
    fn bytes_before_the_answer_count_for_every_algorithm() {
        let wanted = Arc::new(OnceLock::new());
        let mut summing = Summing::new(wanted.clone(), false, 0);
        summing.update(b"hello ");
        wanted.set(Wanted { crc: Some(Algorithm::Crc32c), ..Wanted::default() }).unwrap();
        summing.update(b"wor");
        assert_eq!(summing.end_piece(), None);
        summing.update(b"ld");
        let sums = summing.finish().over(0..11).unwrap();
        assert_eq!(sums.value(Algorithm::Crc32c), Some(checksum(Algorithm::Crc32c, b"hello world")));
        assert_eq!(sums.value(Algorithm::Crc64Nvme), None, "was not computed over the end");
    }

    #[test]
    fn pieces_across_a_late_cut_are_missing() {
        let wanted = Arc::new(OnceLock::new());
        let mut summing = Summing::new(wanted.clone(), true, 0);
        summing.update(&[1; 100]);
        assert_eq!(summing.end_piece(), Some(checksum(Algorithm::Crc64Nvme, &[1; 100])));
        wanted.set(Wanted { crc: Some(Algorithm::Crc32), sha: None, cuts: [50, 150, 250].into() }).unwrap();
        summing.update(&[1; 200]);
        let sums = summing.finish();
        assert_eq!(sums.missing_of(0..50, Algorithm::Crc32), [0..50]);
        assert_eq!(sums.missing_of(50..150, Algorithm::Crc32), [50..100]);
        assert_eq!(sums.missing_of(150..250, Algorithm::Crc32), []);
        assert_eq!(sums.over(50..150), None);
        assert_eq!(sums.over(150..250).unwrap().value(Algorithm::Crc32), crc32(&[1; 100]));
    }

    proptest! {
        /// C6: whatever the ranges and pieces, each part's checksum is that of its bytes.
        #[test]
        fn parts_add_up(
            content in proptest::collection::vec(any::<u8>(), 1..400),
            cuts in proptest::collection::btree_set(1u64..400, 0..6),
            borders in proptest::collection::btree_set(1usize..400, 0..8),
            piece in 1usize..60,
            reverse: bool,
        ) {
            let size = content.len();
            let cuts: Vec<u64> = cuts.into_iter().filter(|cut| *cut < size as u64).chain([size as u64]).collect();
            let wanted = known(&cuts);
            let borders: Vec<usize> = std::iter::once(0).chain(borders.into_iter().filter(|b| *b < size)).chain([size]).collect();
            let mut ranges: Vec<_> = borders.windows(2).map(|pair| pair[0]..pair[1]).collect();
            if reverse { ranges.reverse(); }
            let mut sums = RangeSums::default();
            for range in ranges {
                let mut summing = Summing::new(wanted.clone(), true, range.start as u64);
                for bytes in content[range].chunks(piece) {
                    summing.update(bytes);
                    prop_assert_eq!(summing.end_piece(), Some(checksum(Algorithm::Crc64Nvme, bytes)));
                }
                sums.merge(summing.finish(), wanted.get());
            }
            let mut start = 0;
            for cut in cuts {
                prop_assert_eq!(sums.missing_of(start..cut, Algorithm::Crc32), []);
                let part = sums.over(start..cut).unwrap();
                prop_assert_eq!(part.value(Algorithm::Crc32), crc32(&content[start as usize..cut as usize]));
                start = cut;
            }
            let whole = sums.over(0..size as u64).unwrap();
            prop_assert_eq!(whole.value(Algorithm::Crc32), crc32(&content));
        }
    }
}
