//! An archive of s3z that came through a pipe: it was unpacked as the tar that it is, and its index came last.
//!
//! What was written is then held against the index: short files by the hash that was kept of them, longer ones by reading them once
//! more. What differs is removed, and counted as failed.

use std::collections::HashMap;
use std::ffi::OsStr;
use std::ops::Range;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::sync::Arc;

use rustix::fs::OFlags;

use crate::archive::entry::{Entry, Kind};
use crate::archive::index::Row;
use crate::archive::names;
use crate::archive::ranges::{Pieces, Ranges, damaged};
use crate::archive::read::Archive;
use crate::archive::unpack_report::UnpackTally;
use crate::confine::Directory;
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
    hash: Option<[u8; 32]>,
}

/// What was written, by its name in the archive.
#[derive(Default)]
pub struct Record(HashMap<Vec<u8>, Written>);

impl Record {
    /// `content`: of a short file.
    pub fn add(&mut self, name: &[u8], written: &Entry, content: Option<&[u8]>) {
        let hash = content.map(|bytes| *blake3::hash(bytes).as_bytes());
        self.0.insert(name.to_vec(), Written { name: written.name.clone(), size: written.size, hash });
    }

    /// Holds everything against the index behind the data; its root.
    pub fn check(mut self, tail: Tail, destination: &Path, tally: &UnpackTally) -> Result<[u8; 32]> {
        let archive = Archive::open(Arc::new(tail), Arc::new(Pieces::default()), None, true)?;
        let place = Directory::open(destination)?;
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
                    self.check_file(&std::mem::take(&mut slices), &place, tally);
                }
            }
        }
        // What the index does not know, nobody vouches for.
        for (name, written) in self.0 {
            remove(&place, &written.name);
            tally.withdrawn(&name, &Error::integrity("the index does not know it"), written.size);
        }
        Ok(archive.opened().footer.root)
    }

    fn check_file(&mut self, slices: &[Row], place: &Directory, tally: &UnpackTally) {
        let Some(first) = slices.first() else { return };
        let Some(written) = self.0.remove(&first.entry.name) else { return };
        let is_right = match (written.size == first.entry.size, slices, written.hash) {
            (false, ..) => Ok(false),
            (true, [row], Some(hash)) => Ok(row.checksum == Some(hash)),
            (true, ..) => is_on_disk(slices, place, &written.name),
        };
        let wrong = match is_right {
            Ok(true) => return,
            Ok(false) => Error::integrity("its bytes do not have the hash of the index"),
            Err(errno) => Error::local_errno(&place.path().join(OsStr::from_bytes(&written.name)), errno),
        };
        remove(place, &written.name);
        tally.withdrawn(&first.entry.name, &wrong, written.size);
    }
}

fn parts(name: &[u8]) -> (Vec<&OsStr>, &OsStr) {
    let (above, base) = names::split(name);
    let above = above.split(|byte| *byte == b'/').filter(|part| !part.is_empty());
    (above.map(OsStr::from_bytes).collect(), OsStr::from_bytes(base))
}

fn remove(place: &Directory, name: &[u8]) {
    let (above, base) = parts(name);
    if let Ok(directory) = place.beneath(&above) {
        // It was there a moment ago; if it is not, that is as well.
        let _ = directory.unlink(base);
    }
}

/// Whether each slice of a file on the disk has its hash.
fn is_on_disk(slices: &[Row], place: &Directory, name: &[u8]) -> rustix::io::Result<bool> {
    let (above, base) = parts(name);
    let directory = place.beneath(&above).map_err(|_| rustix::io::Errno::NOENT)?;
    let file = directory.open_file(base, OFlags::RDONLY)?;
    let mut block = vec![0; 1 << 20];
    for row in slices {
        let (mut hasher, mut at) = (blake3::Hasher::new(), row.file_offset);
        let end = row.file_offset + row.len;
        while at < end {
            let want = usize::try_from(end - at).map_or(block.len(), |left| left.min(block.len()));
            let got = rustix::io::retry_on_intr(|| rustix::io::pread(&file, &mut block[..want], at))?;
            if got == 0 {
                return Ok(false);
            }
            hasher.update(&block[..got]);
            at += got as u64;
        }
        if row.checksum != Some(*hasher.finalize().as_bytes()) {
            return Ok(false);
        }
    }
    Ok(true)
}
