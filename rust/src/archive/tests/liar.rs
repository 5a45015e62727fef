//! Archives made by a liar: real data, and behind it an index of whatever rows one likes, sealed with a right root.

use std::path::Path;
use std::sync::Arc;

use super::memory::*;
use crate::archive::entry::Entry;
use crate::archive::footer::{self, Footer};
use crate::archive::index::{BatchPlace, Facts, IndexWriter, Row};
use crate::archive::manifest::{Manifest, SubIndexPlace};
use crate::archive::read::ReadOptions;
use crate::archive::seek::{self, FrameSize};
use crate::archive::select::Selection;
use crate::archive::tail::own_entry;
use crate::archive::threads::Stop;
use crate::archive::tree::TreeOptions;
use crate::archive::unpack::{UnpackOptions, unpack};
use crate::archive::unpack_report::UnpackReport;
use crate::archive::{index, tar};
use crate::error::{Error, ErrorKind, Result};
use crate::progress::Progress;

/// An archive taken apart: change any of it and put it together again.
pub struct Liar {
    pub data: Vec<u8>,
    pub data_crc: u64,
    pub frames: Vec<FrameSize>,
    /// Of each sub-index; none: one without rows.
    pub parts: Vec<Vec<Row>>,
    pub facts: Facts,
    /// Lies about the places of batches, of the manifest, and of the footer before it is sealed.
    pub batch: fn(&mut BatchPlace),
    pub manifest: fn(&mut Manifest),
    pub footer: fn(&mut Footer),
    pub is_zstd: bool,
}

impl Liar {
    pub fn of(bytes: &[u8]) -> Self {
        let archive = open(bytes).unwrap();
        let opened = archive.opened();
        let data = bytes[..opened.footer.data_end as usize].to_vec();
        let mut rows = Vec::new();
        for number in 0..archive.batches() {
            let batch = archive.batch(number).unwrap();
            rows.extend((0..batch.len()).map(|at| batch.row(at).unwrap()));
        }
        let mut frames = Vec::new();
        if opened.is_zstd {
            frames = seek::decode(&bytes[opened.footer_at as usize + footer::LEN..]).unwrap();
            frames.truncate(frames.len() - 4);
        }
        let facts = Facts { slice_size: SLICE, group_size: GROUP, is_zstd: opened.is_zstd, level: 3, xattrs: false };
        let (data_crc, is_zstd) = (opened.manifest.data_crc, opened.is_zstd);
        let parts = vec![rows];
        Self { data, data_crc, frames, parts, facts, batch: |_| {}, manifest: |_| {}, footer: |_| {}, is_zstd }
    }

    pub fn packed(items: &[Item], options: &crate::archive::pack::PackOptions) -> Self {
        Self::of(&packed(items, options).0)
    }

    /// The first row of an entry, or the slice `seq` of it.
    pub fn row(&mut self, name: &str, seq: u32) -> &mut Row {
        let is_it = |row: &&mut Row| row.entry.name == name.as_bytes() && row.seq == seq;
        self.parts.iter_mut().flatten().find(is_it).unwrap()
    }

    pub fn entry(&mut self, name: &str, change: impl Fn(&mut Entry)) {
        for row in self.parts.iter_mut().flatten().filter(|row| row.entry.name == name.as_bytes()) {
            change(Arc::make_mut(&mut row.entry));
        }
    }

    /// With the name in its place among the others.
    pub fn renamed(&mut self, name: &str, new: &str) {
        self.entry(name, |entry| entry.name = new.into());
        self.parts.iter_mut().for_each(|rows| rows.sort_by(|a, b| (&a.entry.name, a.seq).cmp(&(&b.entry.name, b.seq))));
    }

    fn head(&self, (tag, name, extension): ([u8; 8], &str, &str), len: usize) -> Vec<u8> {
        if self.is_zstd {
            return seek::head(tag, len as u64).unwrap().to_vec();
        }
        let mut head = Vec::new();
        tar::render(&own_entry(name, extension, len as u64), &mut head).unwrap();
        head
    }

    fn pad(&self, out: &mut Vec<u8>) {
        let padding = if self.is_zstd { 0 } else { tar::padding(out.len() as u64) };
        out.resize(out.len() + padding, 0);
    }

    /// The archive that says all that.
    pub fn bytes(&self) -> Vec<u8> {
        let (mut out, mut frames) = (self.data.clone(), self.frames.clone());
        if self.is_zstd {
            out.extend_from_slice(&seek::END_OF_TAR);
            frames.push(FrameSize { compressed: 17, content: 1024 });
        }
        let mut manifest = Manifest { data_crc: self.data_crc, ..Manifest::default() };
        let mut footer = Footer { flags: 1, data_end: self.data.len() as u64, ..Footer::default() };
        for (number, rows) in self.parts.iter().enumerate() {
            let mut writer = IndexWriter::new(self.facts.clone()).unwrap();
            rows.iter().for_each(|row| writer.push(row.clone()).unwrap());
            let index::SubIndex { spool, mut batches, prologue, epilogue } = writer.finish().unwrap();
            let name = if number == 0 { "index".to_owned() } else { format!("index-{number}") };
            out.extend(self.head((seek::INDEX_TAG, &name, "arrow"), spool.len() as usize));
            let (offset, len) = (out.len() as u64, spool.len());
            (footer.index_offset, footer.index_len) = (offset, len);
            let mut put = |bytes: &[u8]| {
                out.extend_from_slice(bytes);
                Ok(())
            };
            spool.drain(&mut put).unwrap();
            self.pad(&mut out);
            frames.push(FrameSize { compressed: len as u32 + 16, content: 0 });
            batches.iter_mut().for_each(self.batch);
            manifest.parts.push(SubIndexPlace { offset, len, prologue, epilogue, schema_end: 0, batches });
            footer.rows += rows.len() as u64;
            footer.entries += rows.iter().filter(|row| row.seq == 0).count() as u64;
            footer.raw_bytes = rows.iter().fold(footer.raw_bytes, |sum, row| sum.wrapping_add(row.len));
        }
        (self.manifest)(&mut manifest);
        let encoded = manifest.encode().unwrap();
        out.extend(self.head((seek::MANIFEST_TAG, "manifest", "arrow"), encoded.len()));
        (footer.manifest_offset, footer.manifest_len) = (out.len() as u64, encoded.len() as u64);
        out.extend_from_slice(&encoded);
        self.pad(&mut out);
        frames.push(FrameSize { compressed: encoded.len() as u32 + 16, content: 0 });
        if !self.is_zstd {
            out.extend(self.head(([0; 8], "footer", ""), footer::LEN));
        }
        (self.footer)(&mut footer);
        out.extend_from_slice(&footer.seal(&encoded));
        self.pad(&mut out);
        frames.push(FrameSize { compressed: footer::LEN as u32, content: 0 });
        match self.is_zstd {
            true => out.extend_from_slice(&seek::encode(&frames)),
            false => out.extend_from_slice(&[0; tar::END]),
        }
        out
    }
}

/// What must come of an attack.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// It does not open.
    Closed,
    /// It may open, but nothing is unpacked.
    Refused,
    /// What the lie is about is not unpacked, and named; the rest is.
    Named,
    /// The same, though reading a single entry needs no safe name.
    Misnamed,
    /// The lie is of no consequence where bytes are read, though a reader may refuse it: `verify` tells it.
    Told,
}

fn typed(error: &Error) -> bool {
    matches!(error.kind(), ErrorKind::Archive | ErrorKind::Integrity)
}

fn unpacked(bytes: &[u8], place: &Path) -> Result<UnpackReport> {
    let archive = open(bytes)?;
    let selection = Selection { max_ratio: u64::MAX, ..Selection::default() };
    let options = UnpackOptions { tree: TreeOptions::new(), selection, allow_incomplete: false, threads: 2 };
    unpack(&archive, place, &options, (&Stop::default(), &Progress::default()))
}

/// Everything that a reader can do with it; nothing may panic, every error has a type.
fn read_all(bytes: &[u8], name: &str) -> Result<()> {
    let archive = open(bytes)?;
    for number in 0..archive.batches() {
        let batch = archive.batch(number)?;
        (0..batch.len()).try_for_each(|at| batch.row(at).map(drop))?;
    }
    let name = name.as_bytes();
    archive.range_of(name)?;
    let rows = archive.find_file(name, ReadOptions::default())?;
    let read = archive.read_rows(&rows, 0..u64::MAX, ReadOptions::default());
    let _ = archive.read_rows(&rows, 3..9, ReadOptions { verify: false, ..ReadOptions::default() })?;
    let many = archive.read_many(&[name.to_vec(), name.to_vec()], ReadOptions::default());
    assert_eq!(read.is_ok(), many.is_ok());
    let (read, many) = (read?, many?);
    assert!(many.iter().all(|bytes| *bytes == read));
    Ok(())
}

/// Tries a lie about the entry `name`, and says how it went if that was not as it must be.
pub fn attacked(liar: &Liar, name: &str, outcome: Outcome) -> std::result::Result<(), String> {
    let bytes = liar.bytes();
    let read = read_all(&bytes, name);
    let told = |what: &str| Err(format!("{what}; reading gave {:?}", read.as_ref().map_err(Error::message)));
    if let Err(error) = &read
        && !typed(error)
        && error.kind() != ErrorKind::NotFound
    {
        return told(&format!("an error of another type: {error:?}"));
    }
    if !matches!(outcome, Outcome::Told | Outcome::Misnamed) && read.is_ok() {
        return told("it was read as if nothing were wrong");
    }
    let opened = open(&bytes);
    if (outcome == Outcome::Closed) != opened.is_err() {
        return told("it opens, or does not, against what is expected");
    }
    if let Ok(archive) = &opened {
        match verified(archive, 2) {
            Ok(report) if report.problems.is_empty() => return told("verify finds nothing"),
            Err(error) if !typed(&error) => return told(&format!("verify: {error:?}")),
            _ => {}
        }
    }
    super::as_keys::attacked(&bytes, name, outcome)?;
    let place = tempfile::tempdir().unwrap();
    let unpacked = unpacked(&bytes, &place.path().join("in"));
    let outside = std::fs::read_dir(place.path()).unwrap().filter(|entry| entry.as_ref().unwrap().file_name() != "in");
    if outside.count() > 0 {
        return told("something was written outside");
    }
    let inside = std::fs::read_dir(place.path().join("in")).map_or(0, Iterator::count);
    match (outcome, &unpacked) {
        (Outcome::Closed | Outcome::Refused | Outcome::Misnamed | Outcome::Told, Err(error))
            if typed(error) && inside == 0 =>
        {
            Ok(())
        }
        (Outcome::Told, Ok(report)) if report.failures.is_empty() => Ok(()),
        (Outcome::Named, Ok(report)) if report.failures.len() == 1 && report.failures[0].name == name.as_bytes() => {
            let is_there = place.path().join("in").join(name).exists();
            if is_there { told("it was named, and written") } else { Ok(()) }
        }
        _ => told(&format!("unpacking wrote {inside} entries: {:?}", unpacked.map(|report| report.failures))),
    }
}
