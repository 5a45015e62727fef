//! An archive of s3z that came through a pipe: it was unpacked as the tar that it is, and its index came last.
//!
//! What was written is then held against the index: short files by the hash that was kept of them, longer ones by reading them once
//! more, or by the hashes of all slices they may have where that cannot be done. What differs is removed, and counted as failed.

use std::collections::HashMap;
use std::ops::Range;
use std::sync::Arc;

use crate::archive::entry::{Entry, Kind};
use crate::archive::index::Row;
use crate::archive::place::Place;
use crate::archive::ranges::{Pieces, Ranges, damaged};
use crate::archive::read::Archive;
use crate::archive::unpack_report::UnpackTally;
use crate::error::{Error, Result};

/// Longer files are read again instead of being remembered.
pub const REMEMBERED: u64 = 1 << 20;
/// More behind the data is not taken into memory.
pub const MAX_TAIL: usize = 1 << 30;

/// The end of an archive: what is behind its data.
pub struct Tail {
    pub start: u64,
    pub bytes: Vec<u8>,
}

impl Ranges for Tail {
    fn tail(&self, len: u64) -> Result<(u64, Vec<u8>)> {
        let size = self.start + self.bytes.len() as u64;
        let from = self.bytes.len().saturating_sub(usize::try_from(len).unwrap_or(usize::MAX));
        Ok((size, self.bytes[from..].to_vec()))
    }

    fn read(&self, ranges: &[Range<u64>]) -> Result<Vec<Vec<u8>>> {
        let one = |range: &Range<u64>| {
            let from = range.start.checked_sub(self.start).and_then(|at| usize::try_from(at).ok());
            let to = range.end.checked_sub(self.start).and_then(|at| usize::try_from(at).ok());
            let bytes = from.zip(to).and_then(|(from, to)| self.bytes.get(from..to));
            bytes.map(<[u8]>::to_vec).ok_or_else(|| damaged("its index lies somewhere else"))
        };
        ranges.iter().map(one).collect()
    }
}

/// A file that was written.
pub struct Written {
    /// Where, beneath the destination.
    name: Vec<u8>,
    size: u64,
    known: Known,
}

/// What is known of its content.
pub enum Known {
    Whole([u8; 32]),
    Slices(SliceHashes),
    /// It is read once more.
    Nothing,
}

/// Hashes of a file's slices, for each size that slices may have: which it is, the index tells at the end.
pub struct SliceHashes([Vec<[u8; 32]>; SLICE_SIZES.len()]);

/// The same while its bytes come.
#[derive(Default)]
pub struct SliceHasher([Slices; SLICE_SIZES.len()]);

const SLICE_SIZES: [u64; 3] = [1 << 20, 2 << 20, 4 << 20];

#[derive(Default)]
struct Slices {
    now: blake3::Hasher,
    filled: u64,
    done: Vec<[u8; 32]>,
}

impl SliceHasher {
    /// The next bytes.
    pub fn update(&mut self, bytes: &[u8]) {
        for (slices, size) in self.0.iter_mut().zip(SLICE_SIZES) {
            let mut rest = bytes;
            while !rest.is_empty() {
                let (now, later) = rest.split_at(rest.len().min((size - slices.filled) as usize));
                slices.now.update(now);
                slices.filled += now.len() as u64;
                rest = later;
                if slices.filled == size {
                    slices.end();
                }
            }
        }
    }

    pub fn finish(self) -> SliceHashes {
        SliceHashes(self.0.map(|mut slices| {
            if slices.filled > 0 {
                slices.end();
            }
            slices.done
        }))
    }
}

impl SliceHashes {
    /// Whether these rows, which are all of the file, have the hashes of its bytes.
    fn are(&self, rows: &[Row]) -> bool {
        let longest = rows.iter().map(|row| row.len).max().unwrap_or(0);
        let Some(number) = SLICE_SIZES.iter().position(|size| longest <= *size) else { return false };
        let hashes = &self.0[number];
        let same = |(row, hash): (&Row, &[u8; 32])| row.checksum == Some(*hash);
        rows.len() == hashes.len() && rows.iter().zip(hashes).all(same)
    }
}

impl Slices {
    fn end(&mut self) {
        self.done.push(*self.now.finalize().as_bytes());
        self.now.reset();
        self.filled = 0;
    }
}

/// What was written, by its name in the archive.
#[derive(Default)]
pub struct Record(HashMap<Vec<u8>, Written>);

impl Record {
    pub fn add(&mut self, name: &[u8], written: &Entry, known: Known) {
        self.0.insert(name.to_vec(), Written { name: written.name.clone(), size: written.size, known });
    }

    /// Holds everything against the index behind the data; its root.
    pub fn check(mut self, tail: Tail, place: &dyn Place, tally: &UnpackTally) -> Result<[u8; 32]> {
        self.0.retain(|_, written| place.wrote(&written.name));
        let archive = Archive::open(Arc::new(tail), Arc::new(Pieces::default()), None, true)?;
        let mut slices: Vec<Row> = Vec::new();
        for number in 0..archive.batches() {
            let batch = archive.batch(number)?;
            for at in (0..batch.len()).filter(|at| batch.is_current(*at)) {
                let row = batch.row(at)?;
                if row.entry.kind != Kind::File || !self.0.contains_key(&row.entry.name) {
                    continue;
                }
                let is_last = row.file_offset + row.len == row.entry.size;
                slices.push(row);
                if is_last {
                    self.check_file(&std::mem::take(&mut slices), place, tally);
                }
            }
        }
        // What the index does not know, nobody vouches for.
        for (name, written) in self.0 {
            withdraw(place, (&name, &written), Error::integrity("the index does not know it"), tally);
        }
        Ok(archive.opened().footer.root)
    }

    fn check_file(&mut self, slices: &[Row], place: &dyn Place, tally: &UnpackTally) {
        let Some(first) = slices.first() else { return };
        let Some(mut written) = self.0.remove(&first.entry.name) else { return };
        let known = std::mem::replace(&mut written.known, Known::Nothing);
        let is_right = match (known, slices) {
            _ if written.size != first.entry.size => Ok(false),
            (Known::Whole(hash), [row]) => Ok(row.checksum == Some(hash)),
            (Known::Whole(_), _) => Ok(false),
            (Known::Slices(hashes), rows) => Ok(hashes.are(rows)),
            (Known::Nothing, rows) => place.holds(&written.name, rows),
        };
        match is_right {
            Ok(true) => {}
            Ok(false) => {
                let error = Error::integrity("its bytes do not have the hash of the index");
                withdraw(place, (&first.entry.name, &written), error, tally);
            }
            Err(error) => withdraw(place, (&first.entry.name, &written), error, tally),
        }
    }
}

/// Takes a file away again, because of `wrong`.
fn withdraw(place: &dyn Place, (name, written): (&[u8], &Written), wrong: Error, tally: &UnpackTally) {
    let wrong = match place.remove(&written.name) {
        Ok(()) => wrong,
        Err(error) => {
            let text = format!("{}; it could not be removed: {}", wrong.message(), error.message());
            Error::new(wrong.kind(), text).with_source(error)
        }
    };
    tally.withdrawn(name, &wrong, written.size);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rows(content: &[u8], size: usize) -> Vec<Row> {
        let hash = |piece: &[u8]| Some(*blake3::hash(piece).as_bytes());
        content
            .chunks(size)
            .map(|piece| Row { len: piece.len() as u64, checksum: hash(piece), ..Row::default() })
            .collect()
    }

    #[test]
    fn slices_of_each_size_are_known_by_their_hashes() {
        let content: Vec<u8> = (0..5_500_000_u32).map(|at| (at * 7 / 3) as u8).collect();
        let hashes = || {
            let mut hasher = SliceHasher::default();
            content.chunks(700_001).for_each(|piece| hasher.update(piece));
            hasher.finish()
        };
        for size in SLICE_SIZES {
            let mut rows = rows(&content, size as usize);
            assert!(hashes().are(&rows), "{size}");
            rows[1].checksum = rows[0].checksum;
            assert!(!hashes().are(&rows), "{size}");
            assert!(!hashes().are(&rows[..1]), "{size}");
        }
        assert!(!hashes().are(&rows(&content, 5_500_000)));
    }
}
