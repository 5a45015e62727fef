//! Batches of the index as they come from an archive: bounds first, then Arrow, then types.
//!
//! The bytes have passed their hash, but whoever made the archive made the hash too. Arrow bounds neither what a compressed buffer
//! says of its length nor where a buffer lies, so both are compared here before it sees them; columns that are not ours are
//! never decoded.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use arrow_array::cast::AsArray;
use arrow_array::types::{Int64Type, UInt16Type, UInt32Type, UInt64Type};
use arrow_array::{Array, BinaryArray, FixedSizeBinaryArray, RecordBatch, StringArray};
use arrow_buffer::Buffer;
use arrow_ipc::reader::FileDecoder;
use arrow_ipc::{Block, MessageHeader, MetadataVersion};
use arrow_schema::{Schema, SchemaRef};

use super::Row;
use crate::archive::entry::{Entry, Kind};
use crate::error::{Error, ErrorKind, Result};

/// The most rows of a batch that is read.
pub const MAX_ROWS: i64 = 65_536;
/// The most that a batch may take when it is decoded.
const MAX_BATCH: i64 = 64 << 20;
/// The most that the description of a message may take.
const MAX_DESCRIPTION: usize = 16 << 20;
/// The most original bytes of one slice, and the end of anything.
const MAX_SLICE: u64 = crate::archive::blob::MAX_CONTENT;
const MAX_PLACE: u64 = 1 << 62;
const MARK: [u8; 4] = [0xFF; 4];
const MAGIC: &[u8] = b"ARROW1";

fn damaged(what: &str) -> Error {
    Error::new(ErrorKind::Archive, format!("the index is damaged: {what}"))
}

/// The schema that an Arrow file repeats behind its last batch; `epilogue` is what follows that batch.
pub fn schema_of(epilogue: &[u8]) -> Result<SchemaRef> {
    let read = || {
        let end = epilogue.len().checked_sub(10)?;
        let (rest, trailer) = epilogue.split_at(end);
        let len = u32::from_le_bytes([trailer[0], trailer[1], trailer[2], trailer[3]]) as usize;
        if &trailer[4..] != MAGIC || len > MAX_DESCRIPTION {
            return None;
        }
        let footer = arrow_ipc::root_as_footer(&rest[rest.len().checked_sub(len)?..]).ok()?;
        arrow_ipc::convert::try_fb_to_schema(footer.schema()?).ok()
    };
    let schema = catch_unwind(read).ok().flatten().ok_or_else(|| damaged("its schema cannot be read"))?;
    check_types(&schema)?;
    Ok(Arc::new(schema))
}

/// That the columns we know have the types that they must have.
fn check_types(schema: &Schema) -> Result<()> {
    let facts = super::Facts { slice_size: 0, group_size: 0, is_zstd: true, level: 0, xattrs: true };
    let all = super::Columns { path_raw: true, link_raw: true, xattrs: true };
    let optional = ["path_raw", "link_raw", "xattrs"];
    for wanted in super::columns::schema(&facts, all).fields() {
        match schema.field_with_name(wanted.name()) {
            Ok(field) if field.data_type() == wanted.data_type() => {}
            Ok(field) if wanted.name() == "xattrs" && field.data_type().is_nested() => {}
            Err(_) if optional.contains(&wanted.name().as_str()) => {}
            _ => return Err(damaged(&format!("the column {} is not what it must be", wanted.name()))),
        }
    }
    if schema.metadata().get("s3z.format").map(String::as_str) != Some("s3z-pack") {
        return Err(damaged("it is none of s3z"));
    }
    Ok(())
}

/// Which columns of `schema` are ours.
fn ours(schema: &Schema) -> Vec<usize> {
    let facts = super::Facts { slice_size: 0, group_size: 0, is_zstd: true, level: 0, xattrs: false };
    let known = super::columns::schema(&facts, super::Columns { path_raw: true, link_raw: true, xattrs: false });
    let is_ours = |name: &str| name == "xattrs" || known.field_with_name(name).is_ok();
    let all = schema.fields().iter().enumerate();
    all.filter(|(_, field)| is_ours(field.name())).map(|(at, _)| at).collect()
}

/// A message of Arrow's: how long its description is, and whether nothing in it points outside.
fn check_message(message: &[u8], rows: u64) -> Result<(usize, usize)> {
    let wrong = || damaged("a batch is not what it must be");
    let head = message.first_chunk::<8>().ok_or_else(wrong)?;
    let described = u32::from_le_bytes([head[4], head[5], head[6], head[7]]) as usize;
    if head[..4] != MARK || described > MAX_DESCRIPTION || described + 8 > message.len() {
        return Err(wrong());
    }
    let (description, body) = message[8..].split_at(described);
    let parsed = arrow_ipc::root_as_message(description).map_err(|_| wrong())?;
    let is_ours = parsed.version() == MetadataVersion::V5
        && parsed.header_type() == MessageHeader::RecordBatch
        && u64::try_from(parsed.bodyLength()).is_ok_and(|len| len == body.len() as u64);
    let batch = parsed.header_as_record_batch().filter(|_| is_ours).ok_or_else(wrong)?;
    if batch.length() < 0 || batch.length() > MAX_ROWS || batch.length() as u64 != rows {
        return Err(damaged("a batch has another number of rows than it must have"));
    }
    for node in batch.nodes().iter().flatten() {
        if node.length() < 0 || node.length() > MAX_BATCH || node.null_count() < 0 || node.null_count() > node.length()
        {
            return Err(wrong());
        }
    }
    let mut decoded = 0_i64;
    for buffer in batch.buffers().iter().flatten() {
        let (start, len) = (usize::try_from(buffer.offset()), usize::try_from(buffer.length()));
        let (Ok(start), Ok(len)) = (start, len) else { return Err(wrong()) };
        let bytes = start.checked_add(len).and_then(|end| body.get(start..end)).ok_or_else(wrong)?;
        let claimed = match (batch.compression().is_some(), bytes.first_chunk::<8>()) {
            (true, Some(prefix)) => match i64::from_le_bytes(*prefix) {
                -1 => len as i64 - 8,
                claimed => claimed,
            },
            _ => len as i64,
        };
        if !(0..=MAX_BATCH).contains(&claimed) {
            return Err(wrong());
        }
        decoded += claimed;
        if decoded > MAX_BATCH {
            return Err(damaged("a batch takes more than 64 MiB"));
        }
    }
    Ok((described + 8, body.len()))
}

/// A decoded batch.
pub struct Batch(RecordBatch);

impl Batch {
    /// Decodes a whole message that has passed its hash and must hold so many rows.
    pub fn decode(message: Vec<u8>, schema: &SchemaRef, rows: u64) -> Result<Self> {
        let (described, body) = check_message(&message, rows)?;
        let block = Block::new(0, described as i32, body as i64);
        let decoder = FileDecoder::new(schema.clone(), MetadataVersion::V5).with_projection(ours(schema));
        let buffer = Buffer::from_vec(message);
        // Arrow panics where its own bounds are broken; that is the input's fault, and no defect of ours.
        let decoded = catch_unwind(AssertUnwindSafe(|| decoder.read_record_batch(&block, &buffer)));
        match decoded {
            Ok(Ok(Some(batch))) if batch.num_rows() as u64 == rows => Ok(Self(batch)),
            _ => Err(damaged("a batch cannot be decoded")),
        }
    }

    pub fn len(&self) -> usize {
        self.0.num_rows()
    }

    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    pub fn record_batch(&self) -> &RecordBatch {
        &self.0
    }

    /// The exact name of a row's entry.
    pub fn name(&self, row: usize) -> &[u8] {
        self.raw("path_raw", row).unwrap_or_else(|| self.text("relative_path", row).as_bytes())
    }

    /// The number of the slice that a row is of.
    pub fn seq(&self, row: usize) -> u32 {
        self.u32("chunk_seq", row)
    }

    /// Whether no later entry has the same name.
    pub fn is_current(&self, row: usize) -> bool {
        let flags = self.0.column_by_name("flags").map_or(0, |c| c.as_primitive::<UInt16Type>().value(row));
        flags & super::row_flag::SUPERSEDED == 0
    }

    /// A whole row.
    pub fn row(&self, row: usize) -> Result<Row> {
        let letter = self.text("kind", row);
        let text = || format!("an entry is of the kind {letter:?}, which this s3z does not know");
        let kind = Kind::of_letter(letter).ok_or_else(|| Error::new(ErrorKind::Archive, text()))?;
        let link: &[u8] = match (self.raw("link_raw", row), self.column::<StringArray>("link_target")) {
            (Some(raw), _) => raw,
            (None, Some(column)) if column.is_valid(row) => column.value(row).as_bytes(),
            _ => b"",
        };
        let entry = Entry {
            name: self.name(row).to_vec(),
            kind,
            mode: self.u32("mode", row),
            uid: self.id("uid", row),
            gid: self.id("gid", row),
            mtime_ns: self.0.column_by_name("mtime_ns").map_or(0, |c| c.as_primitive::<Int64Type>().value(row)),
            size: self.u64("file_size", row),
            link: link.to_vec(),
            xattrs: self.xattrs(row),
        };
        let (len, file_offset) = (self.u64("uncompressed_size", row), self.u64("fdata_offset", row));
        let (blob_offset, blob_size) = (self.u64("blob_offset", row), self.u64("blob_size", row));
        // Whatever adds these later may do so without another look.
        let fits = |start: u64, len: u64| start.checked_add(len).is_some_and(|end| end <= MAX_PLACE);
        if len > MAX_SLICE || !fits(file_offset, len) || !fits(blob_offset, blob_size) || entry.size > MAX_PLACE {
            return Err(damaged("a row claims what cannot be"));
        }
        Ok(Row {
            entry: Arc::new(entry),
            seq: self.seq(row),
            file_offset,
            len,
            compressed: self.0.column_by_name("compressed").is_some_and(|column| column.as_boolean().value(row)),
            blob_offset,
            blob_size,
            checksum: self.hash("checksum", row),
            blob_raw_size: self.u32("blob_raw_size", row),
            inner_offset: self.u32("inner_offset", row),
            file_checksum: self.hash("file_checksum", row),
            flags: self.0.column_by_name("flags").map_or(0, |c| c.as_primitive::<UInt16Type>().value(row)),
        })
    }

    fn column<T: 'static>(&self, name: &str) -> Option<&T> {
        self.0.column_by_name(name).and_then(|column| column.as_any().downcast_ref())
    }

    fn text(&self, name: &str, row: usize) -> &str {
        self.column::<StringArray>(name).map_or("", |column| column.value(row))
    }

    fn raw(&self, name: &str, row: usize) -> Option<&[u8]> {
        let column = self.column::<BinaryArray>(name)?;
        column.is_valid(row).then(|| column.value(row))
    }

    fn u32(&self, name: &str, row: usize) -> u32 {
        self.0.column_by_name(name).map_or(0, |column| column.as_primitive::<UInt32Type>().value(row))
    }

    fn u64(&self, name: &str, row: usize) -> u64 {
        self.0.column_by_name(name).map_or(0, |column| column.as_primitive::<UInt64Type>().value(row))
    }

    fn id(&self, name: &str, row: usize) -> Option<u32> {
        let column = self.0.column_by_name(name)?.as_primitive::<UInt32Type>();
        column.is_valid(row).then(|| column.value(row))
    }

    fn hash(&self, name: &str, row: usize) -> Option<[u8; 32]> {
        let column = self.column::<FixedSizeBinaryArray>(name)?;
        column.is_valid(row).then(|| column.value(row).try_into().ok()).flatten()
    }

    fn xattrs(&self, row: usize) -> Vec<(String, Vec<u8>)> {
        let Some(list) = self.0.column_by_name("xattrs").and_then(|column| column.as_list_opt::<i32>()) else {
            return Vec::new();
        };
        if list.is_null(row) {
            return Vec::new();
        }
        let items = list.value(row);
        let Some(items) = items.as_struct_opt() else { return Vec::new() };
        let (Some(keys), Some(values)) =
            (items.column(0).as_string_opt::<i32>(), items.column(1).as_binary_opt::<i32>())
        else {
            return Vec::new();
        };
        (0..items.len()).map(|at| (keys.value(at).to_owned(), values.value(at).to_vec())).collect()
    }
}
