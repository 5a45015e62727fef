//! Opening an archive by its end: the footer, its root, the manifest, with one request or two.

use std::ops::Range;

use arrow_schema::SchemaRef;

use crate::archive::footer::{self, Footer};
use crate::archive::index::schema_of;
use crate::archive::manifest::{self, Manifest, SubIndexPlace, hex};
use crate::archive::ranges::{Pieces, Ranges, damaged};
use crate::archive::seek::{self, FrameSize};
use crate::archive::tar;
use crate::error::{Error, ErrorKind, Result};

/// What is asked for first.
pub const TAIL: u64 = 256 << 10;
/// An index up to this size is fetched whole for a listing.
pub const WHOLE_INDEX: u64 = 8 << 20;
/// More than this may not lie behind the last batch of an index.
const MAX_EPILOGUE: u64 = 16 << 20;

/// What the end of an archive says.
pub struct Opened {
    pub size: u64,
    pub footer: Footer,
    pub footer_bytes: [u8; footer::LEN],
    pub manifest: Manifest,
    /// Frames of zstd, or a plain tar.
    pub is_zstd: bool,
    /// Where the footer's frame or header begins.
    pub footer_at: u64,
}

/// What was found at the end of some bytes.
pub enum End {
    Archive(Box<Opened>),
    /// No archive of ours.
    Foreign {
        size: u64,
    },
}

/// Reads the end. `whole_index`: a listing will follow.
pub fn open(ranges: &dyn Ranges, pieces: &Pieces, root: Option<[u8; 32]>, whole_index: bool) -> Result<End> {
    let (size, tail) = match pieces.all().last() {
        Some((at, bytes)) => (at + bytes.len() as u64, bytes.to_vec()),
        None => {
            let (size, tail) = ranges.tail(TAIL)?;
            pieces.add(size - tail.len() as u64, tail.clone());
            (size, tail)
        }
    };
    let found = match of_frames(size, &tail)? {
        Some(found) => found,
        None => match of_tar(size, &tail)? {
            Some(found) => found,
            None => return Ok(End::Foreign { size }),
        },
    };
    let reach = if whole_index && found.index_len <= WHOLE_INDEX { found.index_len.max(TAIL) } else { TAIL };
    let wanted = found.manifest.start.saturating_sub(reach)..found.footer.end;
    if pieces.get(&(found.manifest.start..found.footer.end)).is_none() || !is_near(pieces, &found) {
        fetch(ranges, pieces, wanted)?;
    }
    let bytes = pieces.get(&found.footer).ok_or_else(|| damaged("its footer is cut off"))?;
    if !Footer::is_claimed(&bytes) {
        return Ok(End::Foreign { size });
    }
    check(ranges, pieces, (size, found), (bytes, root)).map(|opened| End::Archive(Box::new(opened)))
}

/// Where things are, by the very last bytes.
struct Found {
    is_zstd: bool,
    /// The payload.
    manifest: Range<u64>,
    footer: Range<u64>,
    /// Of the last index.
    index_len: u64,
}

fn of_frames(size: u64, tail: &[u8]) -> Result<Option<Found>> {
    let Some(table) = seek::table_len(tail) else { return Ok(None) };
    let rows = tail.len().checked_sub(seek::TABLE_END + 24).map(|at| seek::rows(&tail[at..at + 24]));
    let Some([index, manifest, footer]) = rows.as_deref() else { return Ok(None) };
    let is_ours = [index, manifest, footer].iter().all(|row| row.content == 0)
        && footer.compressed as usize == footer::LEN
        && [index, manifest].iter().all(|row| row.compressed as usize >= seek::HEAD);
    let lens: u64 = [*index, *manifest, *footer].iter().map(|row: &FrameSize| u64::from(row.compressed)).sum();
    if !is_ours || table + lens > size {
        return Ok(None);
    }
    let footer_end = size - table;
    let footer = footer_end - footer::LEN as u64..footer_end;
    let manifest_len = u64::from(manifest.compressed) - seek::HEAD as u64;
    Ok(Some(Found {
        is_zstd: true,
        manifest: footer.start - manifest_len..footer.start,
        footer,
        index_len: u64::from(index.compressed) + seek::HEAD as u64,
    }))
}

fn of_tar(size: u64, tail: &[u8]) -> Result<Option<Found>> {
    let back = footer::LEN + (tar::BLOCK - footer::LEN) + tar::END;
    let Some(at) = tail.len().checked_sub(back) else { return Ok(None) };
    let Some(bytes) = tail[at..].first_chunk::<{ footer::LEN }>() else { return Ok(None) };
    if !Footer::is_claimed(bytes) {
        return Ok(None);
    }
    let parsed = Footer::decode(bytes)?;
    let start = size - back as u64;
    let end = parsed.manifest_offset.checked_add(parsed.manifest_len).filter(|end| *end <= start);
    let end = end.ok_or_else(|| damaged("its footer points outside"))?;
    Ok(Some(Found {
        is_zstd: false,
        manifest: parsed.manifest_offset..end,
        footer: start..start + footer::LEN as u64,
        index_len: parsed.index_len.saturating_add(tar::BLOCK as u64),
    }))
}

/// Whether something before the manifest is at hand, in which the end of the index lies.
fn is_near(pieces: &Pieces, found: &Found) -> bool {
    let near = found.manifest.start.saturating_sub(found.index_len.min(4096));
    pieces.get(&(near..found.manifest.start)).is_some()
}

fn fetch(ranges: &dyn Ranges, pieces: &Pieces, range: Range<u64>) -> Result<()> {
    if range.end - range.start > manifest::MAX_LEN + (64 << 20) {
        return Err(damaged("its manifest is longer than 1 GiB"));
    }
    let came = ranges.one(range.clone())?;
    if came.len() as u64 != range.end - range.start {
        return Err(damaged("it is cut off"));
    }
    pieces.add(range.start, came);
    Ok(())
}

fn check(
    ranges: &dyn Ranges,
    pieces: &Pieces,
    (size, found): (u64, Found),
    (bytes, root): (Vec<u8>, Option<[u8; 32]>),
) -> Result<Opened> {
    let footer_bytes: [u8; footer::LEN] = bytes.try_into().map_err(|_| damaged("its footer is cut off"))?;
    let footer = Footer::decode(&footer_bytes)?;
    let places = footer.manifest_offset == found.manifest.start
        && footer.manifest_offset.checked_add(footer.manifest_len) == Some(found.manifest.end)
        && footer.data_end <= found.manifest.start;
    if !places {
        return Err(damaged("its footer and its table of frames contradict each other"));
    }
    let manifest = pieces.get(&found.manifest).ok_or_else(|| damaged("its manifest is cut off"))?;
    if footer::root(&manifest, &footer_bytes) != footer.root {
        return Err(Error::integrity("the archive is damaged: its manifest does not have the root hash of its footer"));
    }
    if let Some(root) = root.filter(|root| *root != footer.root) {
        let text = format!("the archive has the root {}, not {}", hex(&footer.root), hex(&root));
        return Err(Error::integrity(text));
    }
    let mut manifest = Manifest::decode(&manifest, found.manifest.start)?;
    manifest.parts.extend(empty_index(ranges, pieces, &manifest, &footer)?);
    check_last(&manifest, &footer)?;
    let opened = Opened { size, footer, footer_bytes, manifest, is_zstd: found.is_zstd, footer_at: found.footer.start };
    if let Some(last) = opened.manifest.parts.last() {
        opened.schema(ranges, pieces, last)?;
    }
    Ok(opened)
}

/// An index without batches: only the footer says where it is.
fn empty_index(
    ranges: &dyn Ranges,
    pieces: &Pieces,
    manifest: &Manifest,
    footer: &Footer,
) -> Result<Option<SubIndexPlace>> {
    let Some((prologue, epilogue)) = manifest.empty else { return Ok(None) };
    let (offset, len) = (footer.index_offset, footer.index_len);
    let end = offset.checked_add(len).filter(|end| *end <= footer.manifest_offset && len < MAX_EPILOGUE);
    let end = end.ok_or_else(|| damaged("its footer points outside"))?;
    let bytes = index_bytes(ranges, pieces, &(offset..end))?;
    // The magic, padded, then one message: its mark, the length of its description, the description.
    let message = (8..=64).step_by(8).find(|at| bytes.get(*at..at + 4) == Some(&[0xFF; 4]));
    let described = message.and_then(|at| Some((at, u32::from_le_bytes(bytes.get(at + 4..at + 8)?.try_into().ok()?))));
    let schema_end = described.map(|(at, len)| at as u64 + 8 + u64::from(len)).filter(|end| *end <= len);
    let schema_end = schema_end.ok_or_else(|| damaged("its index has no schema"))?;
    Ok(Some(SubIndexPlace { offset, len, prologue, epilogue, schema_end, batches: Vec::new() }))
}

/// The index that the footer names is the last of the manifest.
fn check_last(manifest: &Manifest, footer: &Footer) -> Result<()> {
    let rows: u64 =
        manifest.parts.iter().flat_map(|part| &part.batches).fold(0, |sum: u64, batch| sum.saturating_add(batch.rows));
    let is_last =
        manifest.parts.last().is_none_or(|part| (part.offset, part.len) == (footer.index_offset, footer.index_len));
    let before_data = manifest.parts.first().is_none_or(|part| part.offset >= footer.data_end);
    if is_last && before_data && rows == footer.rows && footer.entries <= footer.rows {
        return Ok(());
    }
    Err(damaged("its footer and its manifest contradict each other"))
}

impl Opened {
    /// The schema of one index, read from what follows its last batch, checked.
    pub fn schema(&self, ranges: &dyn Ranges, pieces: &Pieces, part: &SubIndexPlace) -> Result<SchemaRef> {
        let start = part.offset + part.epilogue_start();
        let range = start..part.offset + part.len;
        if range.end - range.start > MAX_EPILOGUE {
            return Err(damaged("too much follows the last batch of its index"));
        }
        let bytes = index_bytes(ranges, pieces, &range)?;
        if *blake3::hash(&bytes).as_bytes() != part.epilogue {
            return Err(Error::integrity("the archive is damaged: the end of its index does not have its hash"));
        }
        schema_of(&bytes)
    }
}

/// Bytes behind the data: at hand, or fetched and kept.
pub fn index_bytes(ranges: &dyn Ranges, pieces: &Pieces, range: &Range<u64>) -> Result<Vec<u8>> {
    if let Some(bytes) = pieces.get(range) {
        return Ok(bytes);
    }
    fetch(ranges, pieces, range.clone())?;
    pieces.get(range).ok_or_else(|| damaged("it is cut off"))
}

/// Nothing was found that could be an archive of ours.
pub fn foreign() -> Error {
    Error::new(ErrorKind::Archive, "this is no s3z archive: it has no s3z footer")
}
