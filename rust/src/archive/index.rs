//! The index: an Arrow IPC file with one row for each slice, written batch by batch as rows come.
//!
//! A batch is compressed when it is full and only its bytes are kept, in memory up to `spool::IN_MEMORY`. The columns for
//! names that are not UTF-8 exist only where a row needs them; the first such row makes what is there be written anew.

mod columns;
mod decode;
mod spool;

use std::io::Seek;
use std::sync::Arc;

use arrow_array::{BinaryArray, RecordBatch};
use arrow_ipc::CompressionType;
use arrow_ipc::reader::FileReader;
use arrow_ipc::writer::{FileWriter, IpcWriteOptions};
use arrow_schema::ArrowError;

use crate::archive::entry::Entry;
use crate::error::{Error, ErrorKind, Result};
pub use columns::{Columns, Facts};
pub use decode::{Batch, schema_of};
pub use spool::Spool;

/// The most rows of a batch.
pub const BATCH_ROWS: usize = 16_384;
/// The most that a batch takes when it is decoded.
const BATCH_BYTES: usize = 32 << 20;
/// The most rows and bytes of one sub-index.
const MAX_ROWS: u64 = 1 << 26;
const MAX_LEN: u64 = 1 << 30;

/// What happened to an entry, in its rows' `flags`.
pub mod row_flag {
    /// Shorter than announced, filled with zeros.
    pub const INCOMPLETE: u16 = 1;
    pub const CHANGED: u16 = 1 << 1;
    /// A later entry has the same name.
    pub const SUPERSEDED: u16 = 1 << 2;
}

/// One slice of one entry; or an entry without data.
#[derive(Debug, Clone, Default)]
pub struct Row {
    pub entry: Arc<Entry>,
    /// Which slice of its file, from 0.
    pub seq: u32,
    pub file_offset: u64,
    /// Original bytes.
    pub len: u64,
    /// Whether the blob is a whole compressed frame, and not stored bytes.
    pub compressed: bool,
    pub blob_offset: u64,
    pub blob_size: u64,
    /// BLAKE3 of the original bytes; of a file only.
    pub checksum: Option<[u8; 32]>,
    pub blob_raw_size: u32,
    pub inner_offset: u32,
    /// Of a big file, if that was asked for.
    pub file_checksum: Option<[u8; 32]>,
    pub flags: u16,
}

/// One batch of a finished index.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BatchPlace {
    /// Of the whole message, counted from the first byte of the Arrow file.
    pub offset: u64,
    pub len: u64,
    pub rows: u64,
    pub first: Vec<u8>,
    pub last: Vec<u8>,
    pub min_blob_offset: u64,
    pub max_blob_end: u64,
    pub raw_bytes: u64,
    pub checksum: [u8; 32],
}

/// One finished Arrow file.
pub struct SubIndex {
    pub spool: Spool,
    pub batches: Vec<BatchPlace>,
    /// BLAKE3 of what precedes the first batch, and of what follows the last.
    pub prologue: [u8; 32],
    pub epilogue: [u8; 32],
}

pub struct IndexWriter {
    facts: Facts,
    columns: Columns,
    writer: FileWriter<Spool>,
    prologue: [u8; 32],
    pending: Vec<Row>,
    pending_bytes: usize,
    batches: Vec<BatchPlace>,
    rows: u64,
}

impl IndexWriter {
    pub fn new(facts: Facts) -> Result<Self> {
        let columns = Columns { xattrs: facts.xattrs, ..Columns::default() };
        let (writer, prologue) = start(&facts, columns)?;
        let (pending, batches) = (Vec::new(), Vec::new());
        Ok(Self { facts, columns, writer, prologue, pending, pending_bytes: 0, batches, rows: 0 })
    }

    /// Whether the next row belongs into another sub-index.
    pub fn is_full(&self) -> bool {
        self.rows >= MAX_ROWS || self.writer.get_ref().len() >= MAX_LEN
    }

    pub fn is_empty(&self) -> bool {
        self.rows == 0
    }

    pub fn push(&mut self, row: Row) -> Result<()> {
        let bytes = columns::decoded_size(&row);
        if self.pending.len() >= BATCH_ROWS || self.pending_bytes + bytes > BATCH_BYTES {
            self.flush()?;
        }
        self.pending_bytes += bytes;
        self.pending.push(row);
        self.rows += 1;
        Ok(())
    }

    pub fn finish(mut self) -> Result<SubIndex> {
        self.flush()?;
        self.writer.finish().map_err(failed)?;
        let mut spool = self.writer.into_inner().map_err(failed)?;
        let (_, epilogue) = spool.take_hash();
        spool.check()?;
        Ok(SubIndex { spool, batches: self.batches, prologue: self.prologue, epilogue })
    }

    fn flush(&mut self) -> Result<()> {
        let rows = std::mem::take(&mut self.pending);
        self.pending_bytes = 0;
        let (Some(first), Some(last)) = (rows.first(), rows.last()) else { return Ok(()) };
        let needed = self.columns.with(&rows);
        if needed != self.columns {
            self.widen(needed)?;
        }
        let batch = columns::batch(&rows, self.columns, self.writer.schema().clone()).map_err(failed)?;
        let (offset, len, checksum) = write(&mut self.writer, &batch)?;
        self.batches.push(BatchPlace {
            offset,
            len,
            rows: rows.len() as u64,
            first: first.entry.name.clone(),
            last: last.entry.name.clone(),
            min_blob_offset: rows.iter().map(|row| row.blob_offset).min().unwrap_or(0),
            max_blob_end: rows.iter().map(|row| row.blob_offset + row.blob_size).max().unwrap_or(0),
            raw_bytes: rows.iter().map(|row| row.len).sum(),
            checksum,
        });
        Ok(())
    }

    /// Writes what is there once more, with columns that it did not need.
    fn widen(&mut self, columns: Columns) -> Result<()> {
        let (writer, prologue) = start(&self.facts, columns)?;
        let mut old = std::mem::replace(&mut self.writer, writer);
        (self.columns, self.prologue) = (columns, prologue);
        old.finish().map_err(failed)?;
        let mut spool = old.into_inner().map_err(failed)?;
        spool.check()?;
        spool.rewind().map_err(|cause| failed(ArrowError::from(cause)))?;
        let schema = self.writer.schema().clone();
        for (place, batch) in self.batches.iter_mut().zip(FileReader::try_new(spool, None).map_err(failed)?) {
            let batch = batch.map_err(failed)?;
            let absent = || Arc::new(BinaryArray::new_null(batch.num_rows())) as _;
            let arrays =
                schema.fields().iter().map(|field| batch.column_by_name(field.name()).cloned().unwrap_or_else(absent));
            let batch = RecordBatch::try_new(schema.clone(), arrays.collect()).map_err(failed)?;
            (place.offset, place.len, place.checksum) = write(&mut self.writer, &batch)?;
        }
        Ok(())
    }
}

fn start(facts: &Facts, columns: Columns) -> Result<(FileWriter<Spool>, [u8; 32])> {
    let options = IpcWriteOptions::default().try_with_compression(Some(CompressionType::ZSTD)).map_err(failed)?;
    let schema = columns::schema(facts, columns);
    let mut writer = FileWriter::try_new_with_options(Spool::default(), &schema, options).map_err(failed)?;
    let (_, prologue) = writer.get_mut().take_hash();
    Ok((writer, prologue))
}

/// Where the batch's message lies, and its hash.
fn write(writer: &mut FileWriter<Spool>, batch: &RecordBatch) -> Result<(u64, u64, [u8; 32])> {
    let before = writer.get_ref().len();
    writer.write(batch).map_err(failed)?;
    let (len, checksum) = writer.get_mut().take_hash();
    writer.get_mut().check()?;
    Ok((before, len, checksum))
}

/// Our own schema and batches: Arrow refuses them only by a defect of s3z, or where the spool fails.
fn failed(cause: ArrowError) -> Error {
    Error::new(ErrorKind::Internal, "the index could not be written").with_source(cause)
}
