//! From the bytes of a blob to the original bytes of a slice: decoded within bounds, and never given out unchecked.

use std::borrow::Cow;

use zstd_safe::DCtx;

use crate::archive::entry::Kind;
use crate::archive::index::Row;
use crate::archive::ranges::damaged;
use crate::archive::stored;
use crate::error::{Error, Result};

/// The most that a frame may decode to.
pub const MAX_CONTENT: u64 = 64 << 20;
/// The largest window that is decoded.
const MAX_WINDOW: u64 = 8 << 20;

/// Decodes frames; one for each thread.
pub struct Decoder {
    context: DCtx<'static>,
    /// The frame decoded last, by its place: neighbours of one frame follow one another.
    last: Option<(u64, Vec<u8>)>,
}

impl Decoder {
    pub fn new() -> Result<Self> {
        Ok(Self { context: DCtx::try_create().ok_or_else(Error::no_memory)?, last: None })
    }

    /// The original bytes of a slice, of the bytes of its blob.
    pub fn slice<'a>(&'a mut self, row: &Row, blob: &'a [u8], is_zstd: bool) -> Result<Cow<'a, [u8]>> {
        let named = |error: Error| named(error, row);
        let bytes = self.unchecked(row, blob, is_zstd).map_err(named)?;
        check_hash(row, &bytes).map_err(named)?;
        Ok(bytes)
    }

    fn unchecked<'a>(&'a mut self, row: &Row, blob: &'a [u8], is_zstd: bool) -> Result<Cow<'a, [u8]>> {
        if blob.len() as u64 != row.blob_size {
            return Err(damaged("it is cut off"));
        }
        let len = usize::try_from(row.len).map_err(|_| Error::no_memory())?;
        if !row.compressed {
            if !is_zstd {
                return Ok(blob.into());
            }
            let content = stored::content(blob, len).map(Cow::from);
            return content.ok_or_else(|| Error::integrity("a stored frame is damaged"));
        }
        let content = self.frame(row.blob_offset, blob, u64::from(row.blob_raw_size))?;
        let start = row.inner_offset as usize;
        let slice = start.checked_add(len).and_then(|end| content.get(start..end));
        slice.map(Cow::from).ok_or_else(|| damaged("a slice lies outside of its frame"))
    }

    /// The content of a whole frame that must have this length.
    fn frame(&mut self, at: u64, blob: &[u8], len: u64) -> Result<&[u8]> {
        let is_last = self.last.as_ref().is_some_and(|(last, _)| *last == at);
        if !is_last {
            let mut content = self.last.take().map(|(_, memory)| memory).unwrap_or_default();
            self.decode(blob, len, &mut content)?;
            self.last = Some((at, content));
        }
        Ok(self.last.as_ref().map_or(&[], |(_, content)| content))
    }

    /// Decodes exactly one frame of exactly `len` bytes.
    pub fn decode(&mut self, blob: &[u8], len: u64, content: &mut Vec<u8>) -> Result<()> {
        let size = zstd_safe::get_frame_content_size(blob).ok().flatten();
        let whole = zstd_safe::find_frame_compressed_size(blob).ok();
        let fits = window(blob).is_some_and(|window| window <= MAX_WINDOW);
        if size != Some(len) || len > MAX_CONTENT || whole != Some(blob.len()) || !fits {
            return Err(damaged("a frame is not what the index says"));
        }
        content.clear();
        content.try_reserve_exact(len as usize).map_err(|_| Error::no_memory())?;
        let decoded = self.context.decompress(content, blob);
        match decoded {
            Ok(got) if got as u64 == len => Ok(()),
            Ok(_) => Err(damaged("a frame is not what the index says")),
            Err(code) => {
                let text = format!("a frame cannot be decoded: {}", zstd_safe::get_error_name(code));
                Err(Error::integrity(text))
            }
        }
    }
}

/// How large a window a frame asks for; of one segment, that is its content.
fn window(frame: &[u8]) -> Option<u64> {
    let descriptor = *frame.get(4)?;
    if descriptor & 0x20 != 0 {
        return zstd_safe::get_frame_content_size(frame).ok().flatten();
    }
    let byte = u64::from(*frame.get(5)?);
    let base = 1_u64 << (10 + (byte >> 3));
    Some(base + base / 8 * (byte & 7))
}

/// That these are the bytes that were packed.
pub fn check_hash(row: &Row, bytes: &[u8]) -> Result<()> {
    match row.checksum {
        Some(checksum) if *blake3::hash(bytes).as_bytes() == checksum => Ok(()),
        Some(_) => Err(Error::integrity("its bytes do not have the hash of the index")),
        None if row.entry.kind == Kind::File => Err(damaged("a file has no hash")),
        None => Ok(()),
    }
}

/// An error that says which entry it is about.
pub fn named(error: Error, row: &Row) -> Error {
    let name = crate::error::escape(&row.entry.shown(), crate::error::MAX_SHOWN);
    Error::new(error.kind(), format!("\"{name}\": {}", error.message())).with_source(error)
}

/// That a row claims nothing that cannot be: sizes, places, the stride of stored bytes.
pub fn check_claims(row: &Row, data_end: u64, is_zstd: bool) -> Result<()> {
    let end = row.blob_offset.checked_add(row.blob_size);
    let blob_fits = end.is_some_and(|end| end <= data_end);
    let form = match (row.compressed, row.len) {
        (_, 0) => row.blob_size == 0,
        (true, _) => {
            is_zstd
                && u64::from(row.blob_raw_size) <= MAX_CONTENT
                && u64::from(row.inner_offset) + row.len <= u64::from(row.blob_raw_size)
        }
        (false, len) => row.blob_size == if is_zstd { stored::span(len) } else { len },
    };
    let in_file = row.file_offset.checked_add(row.len).is_some_and(|end| end <= row.entry.size);
    let sized = match row.entry.kind {
        Kind::File => in_file && row.len <= MAX_CONTENT,
        _ => row.len == 0 && row.seq == 0,
    };
    if blob_fits && form && sized { Ok(()) } else { Err(named(damaged("its row claims what cannot be"), row)) }
}
