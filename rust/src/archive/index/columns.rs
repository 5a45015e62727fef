//! The columns of the index: their schema, and rows as a batch of them.

use std::collections::HashMap;
use std::sync::Arc;

use arrow_array::builder::{BinaryBuilder, FixedSizeBinaryBuilder, ListBuilder, StringBuilder, StructBuilder};
use arrow_array::{
    ArrayRef, BooleanArray, Int64Array, RecordBatch, StringArray, UInt16Array, UInt32Array, UInt64Array,
};
use arrow_schema::{ArrowError, DataType, Field, Fields, Schema, SchemaRef};

use super::Row;
use crate::archive::entry::Kind;

/// What the schema's metadata says of the whole archive.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Facts {
    pub slice_size: u64,
    pub group_size: u64,
    /// Frames of zstd, or a plain tar.
    pub is_zstd: bool,
    pub level: i32,
    pub xattrs: bool,
}

/// Which of the optional columns there are.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Columns {
    pub path_raw: bool,
    pub link_raw: bool,
    pub xattrs: bool,
}

impl Columns {
    /// These, and what the rows need besides.
    pub fn with(self, rows: &[Row]) -> Self {
        let is_raw = |text: &[u8]| std::str::from_utf8(text).is_err();
        Self {
            path_raw: self.path_raw || rows.iter().any(|row| is_raw(&row.entry.name)),
            link_raw: self.link_raw || rows.iter().any(|row| is_raw(&row.entry.link)),
            ..self
        }
    }
}

/// What a row takes at most in a decoded batch.
pub fn decoded_size(row: &Row) -> usize {
    let entry = &row.entry;
    let xattrs: usize = entry.xattrs.iter().map(|(key, value)| key.len() + value.len() + 16).sum();
    160 + 4 * (entry.name.len() + entry.link.len()) + xattrs
}

fn xattr_fields() -> Fields {
    vec![Field::new("k", DataType::Utf8, false), Field::new("v", DataType::Binary, false)].into()
}

fn xattr_item() -> Field {
    Field::new("item", DataType::Struct(xattr_fields()), true)
}

pub fn schema(facts: &Facts, columns: Columns) -> Schema {
    use DataType::{Binary, Boolean, FixedSizeBinary, Int64, UInt16, UInt32, UInt64, Utf8};
    let mut fields = vec![
        Field::new("relative_path", Utf8, false),
        Field::new("chunk_seq", UInt32, false),
        Field::new("fdata_offset", UInt64, false),
        Field::new("compressed", Boolean, false),
        Field::new("uncompressed_size", UInt64, false),
        Field::new("blob_offset", UInt64, false),
        Field::new("blob_size", UInt64, false),
        Field::new("checksum", FixedSizeBinary(32), true),
        Field::new("blob_raw_size", UInt32, false),
        Field::new("inner_offset", UInt32, false),
        Field::new("kind", Utf8, false),
        Field::new("file_size", UInt64, false),
        Field::new("file_checksum", FixedSizeBinary(32), true),
        Field::new("mode", UInt32, false),
        Field::new("uid", UInt32, true),
        Field::new("gid", UInt32, true),
        Field::new("mtime_ns", Int64, false),
        Field::new("link_target", Utf8, true),
    ];
    if columns.path_raw {
        fields.push(Field::new("path_raw", Binary, true));
    }
    if columns.link_raw {
        fields.push(Field::new("link_raw", Binary, true));
    }
    if columns.xattrs {
        fields.push(Field::new("xattrs", DataType::List(Arc::new(xattr_item())), true));
    }
    fields.push(Field::new("flags", UInt16, false));
    let (container, codec, stride) = if facts.is_zstd { ("tar+zstd", "zstd", "131072") } else { ("tar", "none", "0") };
    let metadata: HashMap<String, String> = [
        ("s3z.format", "s3z-pack".to_owned()),
        ("s3z.version", "1.0".to_owned()),
        ("s3z.container", container.to_owned()),
        ("s3z.hash", "blake3-256".to_owned()),
        ("s3z.slice_size", facts.slice_size.to_string()),
        ("s3z.group_size", facts.group_size.to_string()),
        ("s3z.stored_stride", stride.to_owned()),
        ("s3z.codec", codec.to_owned()),
        ("s3z.level", facts.level.to_string()),
        ("s3z.created_by", "s3z".to_owned()),
    ]
    .into_iter()
    .map(|(key, value)| (key.to_owned(), value))
    .collect();
    Schema::new_with_metadata(fields, metadata)
}

pub fn batch(rows: &[Row], columns: Columns, schema: SchemaRef) -> Result<RecordBatch, ArrowError> {
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    let link = |row: &Row| matches!(row.entry.kind, Kind::Symlink | Kind::HardLink).then(|| text(&row.entry.link));
    let u64s = |of: fn(&Row) -> u64| Arc::new(UInt64Array::from_iter_values(rows.iter().map(of))) as ArrayRef;
    let u32s = |of: fn(&Row) -> u32| Arc::new(UInt32Array::from_iter_values(rows.iter().map(of))) as ArrayRef;
    let ids = |of: fn(&Row) -> Option<u32>| Arc::new(rows.iter().map(of).collect::<UInt32Array>()) as ArrayRef;
    let mut arrays: Vec<ArrayRef> = vec![
        Arc::new(StringArray::from_iter_values(rows.iter().map(|row| text(&row.entry.name)))),
        u32s(|row| row.seq),
        u64s(|row| row.file_offset),
        Arc::new(BooleanArray::from_iter(rows.iter().map(|row| Some(row.compressed)))),
        u64s(|row| row.len),
        u64s(|row| row.blob_offset),
        u64s(|row| row.blob_size),
        hashes(rows, |row| row.checksum)?,
        u32s(|row| row.blob_raw_size),
        u32s(|row| row.inner_offset),
        Arc::new(StringArray::from_iter_values(rows.iter().map(|row| row.entry.kind.letter()))),
        u64s(|row| if matches!(row.entry.kind, Kind::File | Kind::HardLink) { row.entry.size } else { 0 }),
        hashes(rows, |row| row.file_checksum)?,
        u32s(|row| row.entry.mode & 0o7777),
        ids(|row| row.entry.uid),
        ids(|row| row.entry.gid),
        Arc::new(Int64Array::from_iter_values(rows.iter().map(|row| row.entry.mtime_ns))),
        Arc::new(rows.iter().map(link).collect::<StringArray>()),
    ];
    if columns.path_raw {
        arrays.push(raw(rows, |row| &row.entry.name));
    }
    if columns.link_raw {
        arrays.push(raw(rows, |row| &row.entry.link));
    }
    if columns.xattrs {
        arrays.push(xattrs(rows)?);
    }
    arrays.push(Arc::new(UInt16Array::from_iter_values(rows.iter().map(|row| row.flags))));
    RecordBatch::try_new(schema, arrays)
}

/// Exact bytes where the text column cannot have them.
fn raw(rows: &[Row], of: fn(&Row) -> &Vec<u8>) -> ArrayRef {
    let mut builder = BinaryBuilder::new();
    for row in rows {
        builder.append_option(Some(of(row)).filter(|bytes| std::str::from_utf8(bytes).is_err()));
    }
    Arc::new(builder.finish())
}

fn hashes(rows: &[Row], of: fn(&Row) -> Option<[u8; 32]>) -> Result<ArrayRef, ArrowError> {
    let mut builder = FixedSizeBinaryBuilder::with_capacity(rows.len(), 32);
    for row in rows {
        match of(row) {
            Some(hash) => builder.append_value(hash)?,
            None => builder.append_null(),
        }
    }
    Ok(Arc::new(builder.finish()))
}

fn xattrs(rows: &[Row]) -> Result<ArrayRef, ArrowError> {
    let builders = vec![Box::new(StringBuilder::new()) as _, Box::new(BinaryBuilder::new()) as _];
    let mut list = ListBuilder::new(StructBuilder::new(xattr_fields(), builders)).with_field(xattr_item());
    for row in rows {
        let each = list.values();
        for (key, value) in &row.entry.xattrs {
            let missing = || ArrowError::ComputeError("xattrs have two columns".into());
            each.field_builder::<StringBuilder>(0).ok_or_else(missing)?.append_value(key);
            each.field_builder::<BinaryBuilder>(1).ok_or_else(missing)?.append_value(value);
            each.append(true);
        }
        list.append(!row.entry.xattrs.is_empty());
    }
    Ok(Arc::new(list.finish()))
}
