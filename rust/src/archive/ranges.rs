//! An archive as bytes somewhere: what reading needs of a file or an object.

use std::ops::Range;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, PoisonError};

use crate::error::{Error, ErrorKind, Result};

/// Bytes of one version of an archive.
pub trait Ranges: Send + Sync {
    /// The size of the whole, and its last `len` bytes, or all there are. Fixes the version.
    fn tail(&self, len: u64) -> Result<(u64, Vec<u8>)>;

    /// The bytes of each range, in the order asked; several are fetched at the same time.
    fn read(&self, ranges: &[Range<u64>]) -> Result<Vec<Vec<u8>>>;

    /// The bytes of one range.
    fn one(&self, range: Range<u64>) -> Result<Vec<u8>> {
        Ok(self.read(&[range])?.into_iter().next().unwrap_or_default())
    }
}

/// More of an index than this is not kept; what is asked for again is fetched again.
const KEPT: usize = 256 << 20;

/// Pieces of an archive that are at hand: never of its data.
#[derive(Default)]
pub struct Pieces {
    all: Mutex<Vec<(u64, Arc<Vec<u8>>)>>,
    added: AtomicU64,
}

impl Pieces {
    /// How often something was added.
    pub fn added(&self) -> u64 {
        self.added.load(Relaxed)
    }

    pub fn add(&self, at: u64, bytes: Vec<u8>) {
        let mut pieces = self.all.lock().unwrap_or_else(PoisonError::into_inner);
        let end = at + bytes.len() as u64;
        self.added.fetch_add(1, Relaxed);
        // What the new piece covers is not kept twice.
        pieces.retain(|(start, old)| *start < at || start + old.len() as u64 > end);
        pieces.push((at, Arc::new(bytes)));
        let mut kept: usize = pieces.iter().map(|(_, bytes)| bytes.len()).sum();
        // The first is the tail, which is always needed; the last was only just asked for.
        while kept > KEPT && pieces.len() > 2 {
            kept -= pieces.remove(1).1.len();
        }
    }

    pub fn get(&self, range: &Range<u64>) -> Option<Vec<u8>> {
        let pieces = self.all.lock().unwrap_or_else(PoisonError::into_inner);
        pieces.iter().find_map(|(start, bytes)| {
            let from = usize::try_from(range.start.checked_sub(*start)?).ok()?;
            let to = usize::try_from(range.end - start).ok()?;
            bytes.get(from..to).map(<[u8]>::to_vec)
        })
    }

    /// Whether all of a range is at hand.
    pub fn has(&self, range: &Range<u64>) -> bool {
        let pieces = self.all.lock().unwrap_or_else(PoisonError::into_inner);
        pieces.iter().any(|(start, bytes)| *start <= range.start && range.end <= start + bytes.len() as u64)
    }

    /// All of them, in order of their places.
    pub fn all(&self) -> Vec<(u64, Arc<Vec<u8>>)> {
        let mut all = self.all.lock().unwrap_or_else(PoisonError::into_inner).clone();
        all.sort_by_key(|(start, _)| *start);
        all
    }
}

/// Neighbours become one request: two ranges that are less than `gap` apart, up to `most` bytes together. What comes back are the
/// merged ranges and, for each range asked, which of them holds it. The ranges must be in order of their starts.
pub fn merge(asked: &[Range<u64>], gap: u64, most: u64) -> (Vec<Range<u64>>, Vec<usize>) {
    let mut merged: Vec<Range<u64>> = Vec::new();
    let mut holder = Vec::with_capacity(asked.len());
    for range in asked {
        match merged.last_mut() {
            Some(last)
                if range.start < last.end + gap
                    && range.end.max(last.end) - last.start <= most.max(last.end - last.start) =>
            {
                last.end = last.end.max(range.end);
            }
            _ => merged.push(range.clone()),
        }
        holder.push(merged.len() - 1);
    }
    (merged, holder)
}

/// An archive that is not what it says.
pub fn damaged(what: &str) -> Error {
    Error::new(ErrorKind::Archive, format!("the archive is damaged: {what}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn near_ranges_are_merged_up_to_a_size() {
        let asked = [0..10, 5..20, 25..30, 100..200, 150..160, 201..400];
        let (merged, holder) = merge(&asked, 10, 150);
        assert_eq!(merged, [0..30, 100..200, 201..400]);
        assert_eq!(holder, [0, 0, 0, 1, 1, 2]);
    }

    #[test]
    fn pieces_give_what_they_cover() {
        let pieces = Pieces::default();
        pieces.add(10, (10..20).collect());
        assert_eq!(pieces.get(&(12..14)).unwrap(), [12, 13]);
        assert_eq!(pieces.get(&(19..21)), None);
        assert_eq!(pieces.get(&(9..10)), None);
        pieces.add(8, (8..30).collect());
        assert_eq!(pieces.all().len(), 1);
    }
}
