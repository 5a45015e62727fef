//! Stored frames: zstd frames of Raw and RLE blocks only, in which the bytes of a file lie as they are.
//!
//! Each slice begins a block of its own and is cut every `STRIDE` bytes, so that three bytes after every stride are all that
//! stands between a range request and the content.

use twox_hash::XxHash64;

/// Data bytes between two block headers; also the most that a block holds.
pub const STRIDE: usize = 128 << 10;
const BLOCK_HEADER: usize = 3;
const MAGIC: [u8; 4] = [0x28, 0xB5, 0x2F, 0xFD];
/// A four-byte content size, one segment, a checksum.
const DESCRIPTOR: u8 = 0xA4;
/// Shorter runs of zeros are not worth a block.
const ZEROS_WORTH: usize = 16;

/// What a run of the content is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Piece {
    /// Headers or padding of the tar stream: long runs of zeros become one byte.
    Frame(usize),
    /// Bytes of one slice.
    Data(usize),
}

/// Bytes in the object that a stored slice of `len` bytes spans, from its first byte to its last.
pub fn span(len: u64) -> u64 {
    len + BLOCK_HEADER as u64 * (len.div_ceil(STRIDE as u64)).saturating_sub(1)
}

/// Where byte `at` of a stored slice lies, counted from its first.
pub fn place(at: u64) -> u64 {
    at + BLOCK_HEADER as u64 * (at / STRIDE as u64)
}

/// The bytes of a slice out of the bytes it spans; `None` where the block headers are not what they must be.
pub fn content(spanned: &[u8], len: usize) -> Option<Vec<u8>> {
    if spanned.len() as u64 != span(len as u64) {
        return None;
    }
    let mut out = Vec::with_capacity(len);
    let mut rest = spanned;
    loop {
        let now = STRIDE.min(len - out.len());
        out.extend_from_slice(rest.get(..now)?);
        rest = &rest[now..];
        if out.len() == len {
            return Some(out);
        }
        let next = STRIDE.min(len - out.len());
        let header = rest.get(..BLOCK_HEADER)?;
        // Whether it is the last block of its frame is not known here.
        let block = u32::from_le_bytes([header[0], header[1], header[2], 0]);
        if block >> 1 != (next as u32) << 2 {
            return None;
        }
        rest = &rest[BLOCK_HEADER..];
    }
}

/// How long the stored form of `content` is, without making it.
pub fn len(content: &[u8], pieces: &[Piece]) -> usize {
    let mut counted = 0;
    blocks(content, pieces, |block| {
        counted += BLOCK_HEADER + if let Block::Raw(bytes) = block { bytes.len() } else { 1 };
    });
    MAGIC.len() + 1 + 4 + counted + 4
}

/// Appends the stored form of `content`; where the first byte of each data piece lies, counted from the frame's first.
pub fn write(content: &[u8], pieces: &[Piece], out: &mut Vec<u8>) -> Vec<usize> {
    let start = out.len();
    out.extend_from_slice(&MAGIC);
    out.push(DESCRIPTOR);
    out.extend_from_slice(&(content.len() as u32).to_le_bytes());
    let (mut last, mut at, mut places) = (None, 0, Vec::new());
    let mut starts = data_starts(pieces).peekable();
    blocks(content, pieces, |block| {
        last = Some(out.len());
        let (kind, size) = match block {
            Block::Raw(bytes) => (0, bytes.len()),
            Block::Zeros(len) => (1, len),
        };
        out.extend_from_slice(&((size as u32) << 3 | kind << 1).to_le_bytes()[..BLOCK_HEADER]);
        if starts.next_if_eq(&at).is_some() {
            places.push(out.len() - start);
        }
        match block {
            Block::Raw(bytes) => out.extend_from_slice(bytes),
            Block::Zeros(_) => out.push(0),
        }
        at += size;
    });
    if let Some(last) = last {
        out[last] |= 1;
    }
    out.extend_from_slice(&(XxHash64::oneshot(0, content) as u32).to_le_bytes());
    places
}

/// Where in the content the data pieces begin.
fn data_starts(pieces: &[Piece]) -> impl Iterator<Item = usize> {
    pieces
        .iter()
        .scan(0, |at, piece| {
            let start = *at;
            let (Piece::Frame(len) | Piece::Data(len)) = piece;
            *at += len;
            Some((start, matches!(piece, Piece::Data(len) if *len > 0)))
        })
        .filter_map(|(start, is_data)| is_data.then_some(start))
}

enum Block<'a> {
    Raw(&'a [u8]),
    Zeros(usize),
}

fn blocks<'a>(content: &'a [u8], pieces: &[Piece], mut each: impl FnMut(Block<'a>)) {
    let mut rest = content;
    for piece in pieces {
        let (Piece::Frame(len) | Piece::Data(len)) = *piece;
        let (now, after) = rest.split_at(len);
        rest = after;
        match piece {
            Piece::Data(_) => now.chunks(STRIDE).for_each(|bytes| each(Block::Raw(bytes))),
            Piece::Frame(_) => frame_blocks(now, &mut each),
        }
    }
}

/// Each maximal run of zeros that is long enough, and what lies between.
fn frame_blocks<'a>(bytes: &'a [u8], each: &mut impl FnMut(Block<'a>)) {
    let (mut done, mut at) = (0, 0);
    while at < bytes.len() {
        let zeros = bytes[at..].iter().take_while(|byte| **byte == 0).count();
        if zeros >= ZEROS_WORTH {
            bytes[done..at].chunks(STRIDE).for_each(|bytes| each(Block::Raw(bytes)));
            let mut left = zeros;
            while left > 0 {
                let now = left.min(STRIDE);
                each(Block::Zeros(now));
                left -= now;
            }
            done = at + zeros;
        }
        at += zeros.max(1);
    }
    bytes[done..].chunks(STRIDE).for_each(|bytes| each(Block::Raw(bytes)));
}

#[cfg(test)]
mod tests {
    use super::*;

    fn decoded(frame: &[u8]) -> Vec<u8> {
        let mut out = Vec::with_capacity(16 << 20);
        zstd_safe::decompress(&mut out, frame).map_err(zstd_safe::get_error_name).unwrap();
        out
    }

    #[test]
    fn any_decoder_reads_it_and_ranges_are_exact() {
        for len in [1, 15, 17, STRIDE - 1, STRIDE, STRIDE + 1, 3 * STRIDE, 3 * STRIDE + 7] {
            let data: Vec<u8> = (0..len).map(|i| (i * 7 % 251) as u8).collect();
            let mut content = vec![b'h'; 300];
            content.resize(512, 0);
            content.extend_from_slice(&data);
            content.resize(512 + len + 40, 0);
            let pieces = [Piece::Frame(512), Piece::Data(len), Piece::Frame(40)];
            let mut frame = vec![];
            let places = write(&content, &pieces, &mut frame);
            assert_eq!(frame.len(), super::len(&content, &pieces));
            assert_eq!(decoded(&frame), content);
            let spanned = &frame[places[0]..][..span(len as u64) as usize];
            assert_eq!(super::content(spanned, len).unwrap(), data);
            let at = len / 2;
            assert_eq!(frame[places[0] + place(at as u64) as usize], data[at]);
        }
    }

    #[test]
    fn damaged_block_headers_are_seen() {
        let data = vec![3; STRIDE + 9];
        let mut frame = vec![];
        let place = write(&data, &[Piece::Data(data.len())], &mut frame)[0];
        let spanned = &mut frame[place..][..span(data.len() as u64) as usize];
        assert!(content(spanned, data.len()).is_some());
        for bit in 1..24 {
            spanned[STRIDE + bit / 8] ^= 1 << (bit % 8);
            assert!(content(spanned, data.len()).is_none(), "{bit}");
            spanned[STRIDE + bit / 8] ^= 1 << (bit % 8);
        }
        assert!(content(&spanned[1..], data.len()).is_none());
    }

    #[test]
    fn zeros_shorter_than_sixteen_stay() {
        let content = [vec![1; 3], vec![0; 15], vec![2; 3], vec![0; 16]].concat();
        let mut frame = vec![];
        write(&content, &[Piece::Frame(content.len())], &mut frame);
        assert_eq!(frame.len(), 9 + (3 + 21) + (3 + 1) + 4);
        assert_eq!(decoded(&frame), content);
    }
}
