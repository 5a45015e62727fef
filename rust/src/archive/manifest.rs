//! The manifest: an Arrow IPC stream with one row for each batch of the index, by which names are found without the index.

use std::collections::HashMap;
use std::panic::catch_unwind;
use std::sync::Arc;

use arrow_array::cast::AsArray;
use arrow_array::types::{UInt32Type, UInt64Type};
use arrow_array::{
    ArrayRef, BinaryArray, FixedSizeBinaryArray, Int8Array, RecordBatch, StringArray, UInt32Array, UInt64Array,
};
use arrow_ipc::reader::StreamReader;
use arrow_ipc::writer::StreamWriter;
use arrow_schema::{ArrowError, DataType, Field, Schema};

use crate::archive::index::BatchPlace;
use crate::error::{Error, ErrorKind, Result};

/// The most rows of one batch of the manifest.
const BATCH_ROWS: usize = 65_536;
/// The longest that is read.
pub const MAX_LEN: u64 = 1 << 30;

/// An Arrow file of the index, where it lies in the object.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SubIndexPlace {
    pub offset: u64,
    pub len: u64,
    pub prologue: [u8; 32],
    pub epilogue: [u8; 32],
    /// Where the schema ends in a file without batches; else nobody needs it.
    pub schema_end: u64,
    /// Offsets count from the first byte of the Arrow file.
    pub batches: Vec<BatchPlace>,
}

impl SubIndexPlace {
    /// Where the bytes behind the last batch begin, counted from the first byte of the Arrow file.
    pub fn epilogue_start(&self) -> u64 {
        self.batches.last().map_or(self.schema_end, |batch| batch.offset + batch.len)
    }
}

#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Manifest {
    pub parts: Vec<SubIndexPlace>,
    /// CRC-64/NVME of everything before the index.
    pub data_crc: u64,
    /// The two hashes of an index without batches, which has no row here.
    pub empty: Option<([u8; 32], [u8; 32])>,
}

fn schema(metadata: HashMap<String, String>) -> Schema {
    use DataType::{Binary, FixedSizeBinary, Int8, UInt32, UInt64, Utf8};
    let fields = [
        ("pkg_type", Int8),
        ("repo", Utf8),
        ("module_name", Utf8),
        ("sub_index", UInt32),
        ("file_offset", UInt64),
        ("file_len", UInt64),
        ("batch_no", UInt32),
        ("index_offset", UInt64),
        ("index_len", UInt64),
        ("row_count", UInt64),
        ("first_path", Binary),
        ("last_path", Binary),
        ("min_blob_offset", UInt64),
        ("max_blob_end", UInt64),
        ("raw_bytes", UInt64),
        ("batch_checksum", FixedSizeBinary(32)),
    ];
    let fields: Vec<Field> = fields.into_iter().map(|(name, kind)| Field::new(name, kind, false)).collect();
    Schema::new_with_metadata(fields, metadata)
}

impl Manifest {
    pub fn encode(&self) -> Result<Vec<u8>> {
        self.try_encode()
            .map_err(|cause| Error::new(ErrorKind::Internal, "the manifest could not be written").with_source(cause))
    }

    fn try_encode(&self) -> std::result::Result<Vec<u8>, ArrowError> {
        let hashes = |of: fn(&SubIndexPlace) -> &[u8; 32]| {
            let each: Vec<String> = self.parts.iter().map(|part| hex(of(part))).collect();
            each.join(",")
        };
        let metadata = HashMap::from([
            ("s3z.index_prologue".to_owned(), hashes(|part| &part.prologue)),
            ("s3z.index_epilogue".to_owned(), hashes(|part| &part.epilogue)),
            ("s3z.data_crc64nvme".to_owned(), format!("{:016x}", self.data_crc)),
        ]);
        let schema = Arc::new(schema(metadata));
        let mut writer = StreamWriter::try_new(Vec::new(), &schema)?;
        let rows: Vec<(u32, &SubIndexPlace, u32, &BatchPlace)> = (0..)
            .zip(&self.parts)
            .flat_map(|(sub, part)| (0..).zip(&part.batches).map(move |(number, batch)| (sub, part, number, batch)))
            .collect();
        for rows in rows.chunks(BATCH_ROWS) {
            let u32s = |of: fn(&(u32, &SubIndexPlace, u32, &BatchPlace)) -> u32| {
                Arc::new(UInt32Array::from_iter_values(rows.iter().map(of))) as ArrayRef
            };
            let u64s = |of: fn(&(u32, &SubIndexPlace, u32, &BatchPlace)) -> u64| {
                Arc::new(UInt64Array::from_iter_values(rows.iter().map(of))) as ArrayRef
            };
            let none = || Arc::new(StringArray::from_iter_values(rows.iter().map(|_| ""))) as ArrayRef;
            let checksums = FixedSizeBinaryArray::try_from_iter(rows.iter().map(|row| row.3.checksum))?;
            let columns: Vec<ArrayRef> = vec![
                Arc::new(Int8Array::from_iter_values(rows.iter().map(|_| 0))),
                none(),
                none(),
                u32s(|row| row.0),
                u64s(|row| row.1.offset),
                u64s(|row| row.1.len),
                u32s(|row| row.2),
                u64s(|row| row.1.offset + row.3.offset),
                u64s(|row| row.3.len),
                u64s(|row| row.3.rows),
                Arc::new(BinaryArray::from_iter_values(rows.iter().map(|row| &row.3.first))),
                Arc::new(BinaryArray::from_iter_values(rows.iter().map(|row| &row.3.last))),
                u64s(|row| row.3.min_blob_offset),
                u64s(|row| row.3.max_blob_end),
                u64s(|row| row.3.raw_bytes),
                Arc::new(checksums),
            ];
            writer.write(&RecordBatch::try_new(schema.clone(), columns)?)?;
        }
        writer.into_inner()
    }

    /// The manifest of bytes that have passed the root. `end`: where in the object it begins; nothing of it points beyond.
    pub fn decode(bytes: &[u8], end: u64) -> Result<Self> {
        let read = || Self::try_decode(bytes, end);
        catch_unwind(read).ok().flatten().ok_or_else(|| Error::new(ErrorKind::Archive, "the manifest is damaged"))
    }

    fn try_decode(bytes: &[u8], end: u64) -> Option<Self> {
        check_lengths(bytes)?;
        let reader = StreamReader::try_new(bytes, None).ok()?;
        let theirs = reader.schema();
        for field in schema(HashMap::new()).fields() {
            theirs.field_with_name(field.name()).ok().filter(|found| found.data_type() == field.data_type())?;
        }
        let metadata = theirs.metadata();
        let hashes = |key: &str| -> Option<Vec<[u8; 32]>> {
            let text = metadata.get(key)?;
            text.split(',').filter(|each| !each.is_empty()).map(unhex).collect()
        };
        let (prologues, epilogues) = (hashes("s3z.index_prologue")?, hashes("s3z.index_epilogue")?);
        let data_crc = u64::from_str_radix(metadata.get("s3z.data_crc64nvme")?, 16).ok()?;
        let mut manifest = Self { parts: Vec::new(), data_crc, empty: None };
        for batch in reader {
            let batch = batch.ok()?;
            for row in 0..batch.num_rows() {
                manifest.take(&batch, row)?;
            }
        }
        if let ([prologue], [epilogue], true) = (&prologues[..], &epilogues[..], manifest.parts.is_empty()) {
            manifest.empty = Some((*prologue, *epilogue));
        } else if prologues.len() != epilogues.len() || manifest.parts.len() != prologues.len() {
            return None;
        }
        for (part, (prologue, epilogue)) in manifest.parts.iter_mut().zip(prologues.into_iter().zip(epilogues)) {
            (part.prologue, part.epilogue) = (prologue, epilogue);
        }
        manifest.is_sound(end).then_some(manifest)
    }

    fn take(&mut self, batch: &RecordBatch, row: usize) -> Option<()> {
        let u64_at = |name: &str| Some(batch.column_by_name(name)?.as_primitive_opt::<UInt64Type>()?.value(row));
        let u32_at = |name: &str| Some(batch.column_by_name(name)?.as_primitive_opt::<UInt32Type>()?.value(row));
        let bytes = |name: &str| Some(batch.column_by_name(name)?.as_binary_opt::<i32>()?.value(row).to_vec());
        let (sub, number, file_offset) = (u32_at("sub_index")?, u32_at("batch_no")?, u64_at("file_offset")?);
        if sub as usize == self.parts.len() {
            let (prologue, epilogue) = ([0; 32], [0; 32]);
            let (offset, len) = (file_offset, u64_at("file_len")?);
            let batches = Vec::new();
            self.parts.push(SubIndexPlace { offset, len, prologue, epilogue, schema_end: 0, batches });
        }
        let last = self.parts.len().checked_sub(1)?;
        let part = &mut self.parts[last];
        if last != sub as usize || number as usize != part.batches.len() || part.offset != file_offset {
            return None;
        }
        let checksum = batch.column_by_name("batch_checksum")?.as_fixed_size_binary_opt()?.value(row);
        part.batches.push(BatchPlace {
            offset: u64_at("index_offset")?.checked_sub(file_offset)?,
            len: u64_at("index_len")?,
            rows: u64_at("row_count")?,
            first: bytes("first_path")?,
            last: bytes("last_path")?,
            min_blob_offset: u64_at("min_blob_offset")?,
            max_blob_end: u64_at("max_blob_end")?,
            raw_bytes: u64_at("raw_bytes")?,
            checksum: checksum.try_into().ok()?,
        });
        Some(())
    }

    /// Whether batches follow one another in place and name, and all lie before `end`.
    fn is_sound(&self, end: u64) -> bool {
        let (mut free_from, mut last_name): (u64, &[u8]) = (0, b"");
        for part in &self.parts {
            if part.offset < free_from || part.offset.checked_add(part.len).is_none_or(|after| after > end) {
                return false;
            }
            let mut at = 0;
            for (number, batch) in part.batches.iter().enumerate() {
                let follows = number == 0 || batch.offset == at;
                let Some(after) = batch.offset.checked_add(batch.len) else { return false };
                let names = last_name <= batch.first.as_slice() && batch.first <= batch.last;
                let blobs = batch.min_blob_offset <= batch.max_blob_end && batch.max_blob_end <= part.offset;
                if !follows || after > part.len || !names || !blobs || batch.rows == 0 {
                    return false;
                }
                (at, last_name) = (after, &batch.last);
            }
            free_from = part.offset + part.len;
        }
        true
    }
}

/// That no message of the stream claims to be longer than the stream.
fn check_lengths(mut bytes: &[u8]) -> Option<()> {
    while let Some(head) = bytes.first_chunk::<8>() {
        let described = u32::from_le_bytes([head[4], head[5], head[6], head[7]]) as usize;
        if head[..4] != [0xFF; 4] {
            return None;
        }
        if described == 0 {
            return Some(());
        }
        let description = bytes.get(8..described.checked_add(8)?)?;
        let message = arrow_ipc::root_as_message(description).ok()?;
        let body = usize::try_from(message.bodyLength()).ok()?;
        if let Some(batch) = message.header_as_record_batch() {
            let inside = |start: i64, len: i64| {
                start >= 0 && len >= 0 && start.checked_add(len).is_some_and(|end| end <= body as i64)
            };
            let sound = batch.compression().is_none()
                && (0..=BATCH_ROWS as i64).contains(&batch.length())
                && batch.buffers().iter().flatten().all(|buffer| inside(buffer.offset(), buffer.length()));
            sound.then_some(())?;
        }
        bytes = bytes.get(8 + described..)?.get(body..)?;
    }
    bytes.is_empty().then_some(())
}

pub fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Thirty-two bytes of 64 hexadecimal digits.
pub fn unhex(text: &str) -> Option<[u8; 32]> {
    let mut out = [0; 32];
    if text.len() != 64 || !text.is_ascii() {
        return None;
    }
    for (at, byte) in out.iter_mut().enumerate() {
        *byte = u8::from_str_radix(&text[2 * at..2 * at + 2], 16).ok()?;
    }
    Some(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn batch(offset: u64, first: &str, last: &str) -> BatchPlace {
        let checksum = [7; 32];
        let (min_blob_offset, max_blob_end, raw_bytes, rows, len) = (0, 100, 5, 2, 10);
        let (first, last) = (first.into(), last.into());
        BatchPlace { offset, len, rows, first, last, min_blob_offset, max_blob_end, raw_bytes, checksum }
    }

    fn manifest() -> Manifest {
        let batches = vec![batch(8, "a", "b"), batch(18, "b", "c")];
        let (prologue, epilogue) = ([1; 32], [2; 32]);
        let parts = vec![SubIndexPlace { offset: 200, len: 60, prologue, epilogue, schema_end: 0, batches }];
        Manifest { parts, data_crc: 0xae8b_1486_0a79_9888, empty: None }
    }

    #[test]
    fn what_was_written_is_read() {
        let bytes = manifest().encode().unwrap();
        assert_eq!(Manifest::decode(&bytes, 260).unwrap(), manifest());
        let empty = Manifest::default();
        assert_eq!(Manifest::decode(&empty.encode().unwrap(), 0).unwrap(), empty);
    }

    #[test]
    fn what_points_outside_is_refused() {
        let bytes = manifest().encode().unwrap();
        assert!(Manifest::decode(&bytes, 259).is_err());
        type Change = fn(&mut Manifest);
        let changes: [Change; 5] = [
            |manifest| manifest.parts[0].batches[1].offset = 17,
            |manifest| manifest.parts[0].batches[1].first = b"a".to_vec(),
            |manifest| manifest.parts[0].batches[1].len = 60,
            |manifest| manifest.parts[0].batches[0].max_blob_end = 201,
            |manifest| manifest.parts[0].batches[0].rows = 0,
        ];
        for change in changes {
            let mut manifest = manifest();
            change(&mut manifest);
            assert!(Manifest::decode(&manifest.encode().unwrap(), 260).is_err());
        }
    }

    #[test]
    fn no_changed_byte_makes_it_panic() {
        let bytes = manifest().encode().unwrap();
        for at in 0..bytes.len() {
            for value in [0, 0xFF, bytes[at] ^ 1, bytes[at] ^ 0x80] {
                let mut changed = bytes.clone();
                changed[at] = value;
                let _ = Manifest::decode(&changed, 260);
            }
            let _ = Manifest::decode(&bytes[..at], 260);
        }
    }
}
