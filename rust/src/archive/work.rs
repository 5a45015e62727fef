//! What a worker does with a frame: hashes its slices, compresses it or frames it raw, and sums up what came out.

use blake3::hazmat::{ChainingValue, HasherExt};
use zstd_safe::{CCtx, CParameter};

use crate::archive::classify::codec;
use crate::archive::entry::Kind;
use crate::archive::index::Row;
use crate::archive::lay::Frame;
use crate::archive::stored;
use crate::checksum::{Algorithm, checksum};
use crate::error::{Error, Result};

/// How frames are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Coding {
    /// `None`: a plain tar, in which there are no frames.
    pub level: Option<i32>,
    /// Whether files of several slices get a hash of their own.
    pub file_hash: bool,
    pub slice_size: u64,
}

/// A frame as it will lie in the object; offsets of its rows count from its own first byte.
pub struct Finished {
    pub crc: u64,
    /// Of its piece of the tar stream.
    pub content_len: u32,
    pub rows: Vec<Row>,
    /// Hashes of slices of big files, to be joined.
    pub subtrees: Vec<ChainingValue>,
}

/// One for each worker.
pub struct Worker {
    coding: Coding,
    context: CCtx<'static>,
}

impl Worker {
    pub fn new(coding: Coding) -> Result<Self> {
        let mut context = CCtx::try_create().ok_or_else(Error::no_memory)?;
        if let Some(level) = coding.level {
            let wanted = [
                CParameter::CompressionLevel(level),
                CParameter::ContentSizeFlag(true),
                CParameter::ChecksumFlag(true),
            ];
            for parameter in wanted {
                context.set_parameter(parameter).map_err(codec)?;
            }
        }
        Ok(Self { coding, context })
    }

    /// How much memory the output of `content` may take.
    pub fn room(content: usize) -> usize {
        zstd_safe::compress_bound(content) + (content >> 8) + 4096
    }

    /// Writes the frame into `out`.
    pub fn finish(&mut self, frame: Frame, slot: &[u8], out: &mut Vec<u8>) -> Result<Finished> {
        let content = &slot[frame.range.clone()];
        out.clear();
        out.try_reserve(Self::room(content.len())).map_err(|_| Error::no_memory())?;
        let (compressed, places) = self.write(&frame, content, out)?;
        let mut finished = Finished {
            crc: checksum(Algorithm::Crc64Nvme, out),
            content_len: content.len() as u32,
            rows: Vec::with_capacity(frame.slices.len()),
            subtrees: Vec::new(),
        };
        let mut places = places.into_iter();
        let (is_tar, frame_len) = (self.coding.level.is_none(), out.len() as u64);
        for slice in frame.slices {
            let data = &content[slice.start..slice.start + slice.len];
            let is_file = slice.entry.kind == Kind::File;
            let is_big = slice.entry.data_len() > self.coding.slice_size;
            if is_big && self.coding.file_hash {
                let mut hasher = blake3::Hasher::new();
                hasher.set_input_offset(slice.file_offset).update(data);
                finished.subtrees.push(hasher.finalize_non_root());
            }
            let (len, has_data) = (slice.len as u64, slice.len > 0);
            let (blob_offset, blob_size) = match (is_tar, has_data) {
                (true, true) => (slice.start as u64, len),
                (true, false) => (slice.header as u64, 0),
                (false, false) => (0, 0),
                (false, true) if compressed => (0, frame_len),
                (false, true) => (places.next().unwrap_or_default() as u64, stored::span(len)),
            };
            finished.rows.push(Row {
                entry: slice.entry,
                seq: slice.seq,
                file_offset: slice.file_offset,
                len,
                compressed: compressed && has_data,
                blob_offset,
                blob_size,
                checksum: is_file.then(|| blake3::hash(data).into()),
                blob_raw_size: if compressed && has_data { content.len() as u32 } else { len as u32 },
                inner_offset: if compressed && has_data { slice.start as u32 } else { 0 },
                file_checksum: None,
                flags: slice.flags,
            });
        }
        Ok(finished)
    }

    /// Whether it was compressed; else where the data of each slice lies.
    fn write(&mut self, frame: &Frame, content: &[u8], out: &mut Vec<u8>) -> Result<(bool, Vec<usize>)> {
        if self.coding.level.is_none() {
            out.extend_from_slice(content);
            return Ok((false, Vec::new()));
        }
        if !frame.is_stored {
            let packed = self.context.compress2(out, content).map_err(codec)?;
            // Blocks of zeros aside, which `len` knows, a stored frame is longer than its content.
            if packed < stored::len(content, &frame.pieces) {
                return Ok((true, Vec::new()));
            }
            out.clear();
        }
        Ok((false, stored::write(content, &frame.pieces, out)))
    }
}

/// The BLAKE3 of a whole file of the chaining values of its slices, whose size is a power of two.
pub fn join(subtrees: &[ChainingValue]) -> Option<[u8; 32]> {
    use blake3::hazmat::{Mode, merge_subtrees_non_root, merge_subtrees_root};
    fn value(values: &[ChainingValue]) -> ChainingValue {
        match values {
            [one] => *one,
            _ => {
                let (left, right) = values.split_at(half(values.len()));
                merge_subtrees_non_root(&value(left), &value(right), Mode::Hash)
            }
        }
    }
    /// The left subtree is the largest that is full and leaves something for the right one.
    fn half(count: usize) -> usize {
        count.next_power_of_two() / 2
    }
    if subtrees.len() < 2 {
        return None;
    }
    let (left, right) = subtrees.split_at(half(subtrees.len()));
    Some(merge_subtrees_root(&value(left), &value(right), Mode::Hash).into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn joined_hashes_are_those_of_the_whole() {
        let slice = 1 << 12;
        for len in [slice + 1, 2 * slice, 3 * slice, 5 * slice + 77, 8 * slice, 9 * slice - 1] {
            let data: Vec<u8> = (0..len).map(|at| (at % 251) as u8).collect();
            let subtrees: Vec<ChainingValue> = data
                .chunks(slice)
                .enumerate()
                .map(|(at, part)| {
                    let mut hasher = blake3::Hasher::new();
                    hasher.set_input_offset((at * slice) as u64).update(part);
                    hasher.finalize_non_root()
                })
                .collect();
            assert_eq!(join(&subtrees).unwrap(), *blake3::hash(&data).as_bytes(), "{len}");
        }
    }
}
