//! Archives: opened, listed, looked up, read and verified; as they are, and with all hashes made right, which no
//! mutation hits by chance. Every error has a type, what is read has its hash, and what `verify` finds nothing wrong
//! with keeps the rules.

use std::ops::Range;
use std::sync::Arc;

use s3z::archive::entry::Kind;
use s3z::archive::footer::{self, Footer};
use s3z::archive::index::Row;
use s3z::archive::manifest::Manifest;
use s3z::archive::names;
use s3z::archive::ranges::{Pieces, Ranges};
use s3z::archive::read::{Archive, ReadOptions};
use s3z::archive::threads::Stop;
use s3z::archive::verify::{Level, verify};
use s3z::error::{Error, ErrorKind, Result};
use s3z::progress::Progress;

/// A frame may decode to this.
const MOST: u64 = 64 << 20;

pub fn holds(data: &[u8]) -> bool {
    let accepted = is_consistent(data);
    if let Some(sealed) = sealed(data) {
        is_consistent(&sealed);
    }
    accepted
}

/// Bytes in memory; what lies beyond them does not come.
struct Bytes(Vec<u8>);

impl Ranges for Bytes {
    fn tail(&self, len: u64) -> Result<(u64, Vec<u8>)> {
        let size = self.0.len() as u64;
        Ok((size, self.0[size.saturating_sub(len) as usize..].to_vec()))
    }

    fn read(&self, ranges: &[Range<u64>]) -> Result<Vec<Vec<u8>>> {
        let place = |at: u64| at.min(self.0.len() as u64) as usize;
        Ok(ranges.iter().map(|range| self.0[place(range.start)..place(range.end)].to_vec()).collect())
    }
}

/// Errors of an archive blame the archive.
fn typed<T>(done: Result<T>) -> Option<T> {
    let blames =
        |error: &Error| matches!(error.kind(), ErrorKind::Archive | ErrorKind::Integrity | ErrorKind::NotFound);
    done.inspect_err(|error| assert!(blames(error), "{error:?}")).ok()
}

/// Whether it opens, and `verify` finds nothing wrong.
fn is_consistent(data: &[u8]) -> bool {
    let ranges = Arc::new(Bytes(data.to_vec()));
    let Some(archive) = typed(Archive::open(ranges, Arc::new(Pieces::default()), None, true)) else { return false };
    let rows = listed(&archive);
    for row in rows.iter().flatten().take(200) {
        looked_up(&archive, row);
    }
    let verified = typed(verify(&archive, Level::Full, 1, (&Stop::default(), &Progress::default())));
    let is_right = verified.is_some_and(|report| report.problems.is_empty());
    if is_right {
        keeps_the_rules(&archive, &rows.expect("what was verified is listed"), data);
    }
    is_right
}

/// All rows, if all of them can be had.
fn listed(archive: &Archive) -> Option<Vec<Row>> {
    let all = archive.batches_of_prefix(b"");
    assert_eq!(all, 0..archive.batches(), "every name begins with nothing");
    typed(archive.fetch_batches(all.clone()))?;
    let mut rows = Vec::new();
    for number in all {
        let batch = typed(archive.batch(number))?;
        assert_eq!(batch.len() as u64, archive.place(number).rows);
        for at in 0..batch.len() {
            rows.push(typed(batch.row(at))?);
        }
    }
    Some(rows)
}

/// What an entry gives by its name is what its rows say, and has its hash.
fn looked_up(archive: &Archive, row: &Row) {
    let name = &row.entry.name;
    let Some(rows) = typed(archive.find(name)) else { return };
    assert!(rows.iter().all(|found| found.entry.name == *name), "another entry");
    let asked = ReadOptions { allow_incomplete: true, verify: true };
    let Some(rows) = typed(archive.find_file(name, asked)) else { return };
    typed(archive.range_of(name));
    if rows.iter().map(|row| row.len).sum::<u64>() > MOST {
        return;
    }
    let whole = typed(archive.read_rows(&rows, 0..u64::MAX, asked));
    let many = typed(archive.read_many(&[name.clone(), name.clone()], asked));
    let unchecked = ReadOptions { verify: false, ..asked };
    let part = typed(archive.read_rows(&rows, 1..row.len / 2, unchecked));
    let Some(whole) = whole else { return };
    assert_eq!(many, Some(vec![whole.clone(), whole.clone()]));
    assert_eq!(whole.len() as u64, rows[0].entry.size);
    for row in &rows {
        let slice = &whole[row.file_offset as usize..][..row.len as usize];
        assert_eq!(row.checksum, Some(*blake3::hash(slice).as_bytes()), "bytes without their hash are given out");
    }
    if let Some(part) = part.filter(|part| !part.is_empty()) {
        assert_eq!(part, whole[1..(row.len / 2) as usize]);
    }
}

fn keeps_the_rules(archive: &Archive, rows: &[Row], data: &[u8]) {
    let footer = &archive.opened().footer;
    let key = |row: &Row| (row.entry.name.clone(), row.seq);
    assert!(rows.windows(2).all(|two| key(&two[0]) < key(&two[1])), "sorted and unique");
    assert!(rows.iter().all(|row| names::check(&row.entry.name).is_ok()), "names that are allowed");
    assert_eq!(rows.len() as u64, footer.rows);
    assert_eq!(rows.iter().map(|row| row.len).sum::<u64>(), footer.raw_bytes);
    assert_eq!(rows.iter().filter(|row| row.seq == 0).count() as u64, footer.entries);
    for row in rows {
        assert!(row.blob_offset + row.blob_size <= footer.data_end && footer.data_end <= data.len() as u64);
        if row.entry.kind == Kind::File {
            let asked = ReadOptions { allow_incomplete: true, verify: true };
            let found = archive.find_file(&row.entry.name, asked).expect("a file of a good archive");
            archive.read_rows(&found, 0..u64::MAX, asked).expect("its bytes");
        }
    }
}

/// The same bytes, with the hashes of the index and the root as whoever made them would have them.
fn sealed(data: &[u8]) -> Option<Vec<u8>> {
    let mut bytes = data.to_vec();
    let footer_at = footer_at(data)?;
    let mut head = *bytes.get(footer_at..)?.first_chunk::<{ footer::LEN }>()?;
    let footer = Footer::decode(&head).ok()?;
    let end = footer.manifest_offset.checked_add(footer.manifest_len)?;
    let place = usize::try_from(footer.manifest_offset).ok()?..usize::try_from(end).ok()?;
    let mut manifest = bytes.get(place.clone())?.to_vec();
    if let Ok(mut decoded) = Manifest::decode(&manifest, footer.manifest_offset) {
        for part in &mut decoded.parts {
            let index = bytes.get(part.offset as usize..(part.offset + part.len) as usize)?;
            let hash = |range: Range<u64>| *blake3::hash(&index[range.start as usize..range.end as usize]).as_bytes();
            part.prologue = hash(0..part.batches.first()?.offset);
            part.epilogue = hash(part.epilogue_start()..part.len);
            part.batches.iter_mut().for_each(|batch| batch.checksum = hash(batch.offset..batch.offset + batch.len));
        }
        manifest = decoded.encode().ok().filter(|again| again.len() == manifest.len()).unwrap_or(manifest);
    }
    bytes[place].copy_from_slice(&manifest);
    let root = footer::root(&manifest, &head);
    head[96..].copy_from_slice(&root);
    bytes[footer_at..][..footer::LEN].copy_from_slice(&head);
    Some(bytes)
}

/// Before a table of frames, or before the end of a tar.
fn footer_at(data: &[u8]) -> Option<usize> {
    let count = data.last_chunk::<9>()?;
    let rows = u32::from_le_bytes([count[0], count[1], count[2], count[3]]) as usize;
    let of_frames = rows.checked_mul(8).and_then(|len| data.len().checked_sub(len + 17 + footer::LEN));
    let of_tar = data.len().checked_sub(1536);
    [of_frames, of_tar].into_iter().flatten().find(|at| Footer::is_claimed(&data[*at..]))
}
