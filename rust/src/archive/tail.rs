//! The end of an archive: rows become an index while they come, and the bytes behind the data are made of it.

use blake3::hazmat::ChainingValue;

use crate::archive::entry::{Entry, Kind};
use crate::archive::footer::{self, Footer, flag};
use crate::archive::index::{Facts, IndexWriter, Row, SubIndex, row_flag};
use crate::archive::manifest::{Manifest, SubIndexPlace};
use crate::archive::report::PackReport;
use crate::archive::seek::{self, FrameSize};
use crate::archive::{tar, work};
use crate::error::Result;

/// Rows of one frame, with their final offsets.
pub struct Rows {
    pub rows: Vec<Row>,
    pub subtrees: Vec<ChainingValue>,
}

/// Takes rows in order.
pub struct Finalizer {
    facts: Facts,
    writer: IndexWriter,
    done: Vec<SubIndex>,
    /// Rows of a file whose hash is not known before its last slice.
    waiting: (Vec<Row>, Vec<ChainingValue>),
    /// Whether all slices of the file now coming are stored.
    all_stored: bool,
    flags: u32,
    rows: u64,
    report: PackReport,
}

impl Finalizer {
    pub fn new(facts: Facts) -> Result<Self> {
        let writer = IndexWriter::new(facts.clone())?;
        let flags = flag::DETERMINISTIC | if facts.xattrs { flag::XATTRS } else { 0 };
        let (done, waiting, report) = (Vec::new(), (Vec::new(), Vec::new()), PackReport::default());
        Ok(Self { facts, writer, done, waiting, all_stored: true, flags, rows: 0, report })
    }

    pub fn take(&mut self, Rows { rows, subtrees }: Rows) -> Result<()> {
        self.waiting.1.extend(subtrees);
        for row in rows {
            let is_last = row.file_offset + row.len == row.entry.data_len();
            self.count(&row, is_last);
            if self.waiting.1.is_empty() {
                self.push(row)?;
                continue;
            }
            self.waiting.0.push(row);
            if is_last {
                let (rows, subtrees) = std::mem::take(&mut self.waiting);
                let hash = work::join(&subtrees);
                for row in rows {
                    self.push(Row { file_checksum: hash, ..row })?;
                }
            }
        }
        Ok(())
    }

    fn push(&mut self, row: Row) -> Result<()> {
        if self.writer.is_full() {
            let next = IndexWriter::new(self.facts.clone())?;
            self.done.push(std::mem::replace(&mut self.writer, next).finish()?);
        }
        self.writer.push(row)
    }

    fn count(&mut self, row: &Row, is_last: bool) {
        self.rows += 1;
        self.report.bytes_in += row.len;
        if row.flags & (row_flag::INCOMPLETE | row_flag::CHANGED) != 0 {
            self.flags = self.flags & !flag::DETERMINISTIC | flag::INCOMPLETE;
        }
        self.all_stored &= !row.compressed;
        if !is_last {
            return;
        }
        self.report.count(row.entry.kind);
        if row.entry.kind == Kind::File {
            match (row.entry.size, self.all_stored) {
                (0, _) => self.report.empty_files += 1,
                (_, true) => self.report.stored_files += 1,
                (_, false) => self.report.compressed_files += 1,
            }
        }
        self.all_stored = true;
    }

    /// After the last row.
    pub fn finish(mut self) -> Result<Tail> {
        if !self.writer.is_empty() || self.done.is_empty() {
            self.done.push(self.writer.finish()?);
        }
        Ok(Tail { indexes: self.done, flags: self.flags, rows: self.rows, report: self.report })
    }
}

/// All that is written behind the data.
pub struct Tail {
    indexes: Vec<SubIndex>,
    flags: u32,
    rows: u64,
    pub report: PackReport,
}

/// Where the data ended, and its sum.
pub struct DataEnd {
    pub offset: u64,
    pub crc: u64,
    /// Of all frames so far; none in a plain tar.
    pub frames: Vec<FrameSize>,
}

type Write<'a> = dyn FnMut(&[u8]) -> Result<()> + 'a;

impl Tail {
    /// As frames of zstd; the report, with what is known now.
    pub fn write_frames(self, end: DataEnd, write: &mut Write<'_>) -> Result<PackReport> {
        let DataEnd { offset, crc, mut frames } = end;
        write(&seek::END_OF_TAR)?;
        frames.push(FrameSize { compressed: seek::END_OF_TAR.len() as u32, content: tar::END as u32 });
        let mut at = offset + seek::END_OF_TAR.len() as u64;
        let mut manifest = Manifest { data_crc: crc, ..Manifest::default() };
        for index in self.indexes {
            let (len, place) = (index.spool.len(), at + seek::HEAD as u64);
            write(&seek::head(seek::INDEX_TAG, len)?)?;
            manifest.parts.push(index_place(&index, place));
            index.spool.drain(&mut *write)?;
            frames.push(FrameSize { compressed: (len + seek::HEAD as u64) as u32, content: 0 });
            at = place + len;
        }
        let encoded = manifest.encode()?;
        write(&seek::head(seek::MANIFEST_TAG, encoded.len() as u64)?)?;
        write(&encoded)?;
        frames.push(FrameSize { compressed: (encoded.len() + seek::HEAD) as u32, content: 0 });
        let mut footer = Footer { flags: self.flags, data_end: offset, rows: self.rows, ..Footer::default() };
        write(&sealed(&mut footer, &self.report, &manifest, (at + seek::HEAD as u64, &encoded)))?;
        frames.push(FrameSize { compressed: footer::LEN as u32, content: 0 });
        write(&seek::encode(&frames))?;
        Ok(PackReport { root: footer.root, ..self.report })
    }

    /// As entries of a plain tar.
    pub fn write_entries(self, end: DataEnd, write: &mut Write<'_>) -> Result<PackReport> {
        let mut at = end.offset;
        let mut manifest = Manifest { data_crc: end.crc, ..Manifest::default() };
        for (number, index) in self.indexes.into_iter().enumerate() {
            let name = if number == 0 { "index".to_owned() } else { format!("index-{number}") };
            let len = index.spool.len();
            at += header(&name, "arrow", len, write)?;
            manifest.parts.push(index_place(&index, at));
            index.spool.drain(&mut *write)?;
            at += len + pad(len, write)?;
        }
        let encoded = manifest.encode()?;
        at += header("manifest", "arrow", encoded.len() as u64, write)?;
        write(&encoded)?;
        pad(encoded.len() as u64, write)?;
        let mut footer = Footer { flags: self.flags, data_end: end.offset, rows: self.rows, ..Footer::default() };
        let sealed = sealed(&mut footer, &self.report, &manifest, (at, &encoded));
        header("footer", "", sealed.len() as u64, write)?;
        write(&sealed)?;
        pad(sealed.len() as u64, write)?;
        write(&[0; tar::END])?;
        Ok(PackReport { root: footer.root, ..self.report })
    }
}

fn index_place(index: &SubIndex, offset: u64) -> SubIndexPlace {
    SubIndexPlace {
        offset,
        len: index.spool.len(),
        prologue: index.prologue,
        epilogue: index.epilogue,
        schema_end: 0,
        batches: index.batches.clone(),
    }
}

fn sealed(
    footer: &mut Footer,
    report: &PackReport,
    manifest: &Manifest,
    (at, encoded): (u64, &[u8]),
) -> [u8; footer::LEN] {
    let last = manifest.parts.last();
    (footer.index_offset, footer.index_len) = last.map_or((0, 0), |part| (part.offset, part.len));
    (footer.manifest_offset, footer.manifest_len) = (at, encoded.len() as u64);
    (footer.entries, footer.raw_bytes) = (report.entries, report.bytes_in);
    footer.seal(encoded)
}

/// The folder of what is ours in a plain tar.
pub const OWN: &[u8] = b"__s3z__/";

fn header(name: &str, extension: &str, len: u64, write: &mut Write<'_>) -> Result<u64> {
    let mut rendered = Vec::new();
    tar::render(&own_entry(name, extension, len), &mut rendered)?;
    write(&rendered)?;
    Ok(rendered.len() as u64)
}

/// An entry of ours in a plain tar.
pub fn own_entry(name: &str, extension: &str, len: u64) -> Entry {
    let dot = if extension.is_empty() { "" } else { "." };
    let name = [OWN, format!(".{name}{dot}{extension}").as_bytes()].concat();
    Entry { name, mode: 0o644, size: len, ..Entry::default() }
}

fn pad(len: u64, write: &mut Write<'_>) -> Result<u64> {
    let padding = tar::padding(len);
    write(&[0; tar::BLOCK][..padding])?;
    Ok(padding as u64)
}
