//! What stands behind the data: skippable frames, the frame that ends the tar, the table of all frames.

use crate::error::{Error, ErrorKind, Result};

/// Of a skippable frame.
pub const SKIPPABLE: u32 = 0x184D_2A53;
const SKIPPABLE_TABLE: u32 = 0x184D_2A5E;
/// The last four bytes of the object.
const TABLE_MAGIC: [u8; 4] = [0xB1, 0xEA, 0x92, 0x8F];
/// Frame header and tag.
pub const HEAD: usize = 16;
pub const INDEX_TAG: [u8; 8] = *b"S3ZINDEX";
pub const MANIFEST_TAG: [u8; 8] = *b"S3ZMANIF";
/// The 1024 zeros that end a tar, as a frame.
pub const END_OF_TAR: [u8; 17] =
    [0x28, 0xB5, 0x2F, 0xFD, 0xA4, 0x00, 0x04, 0x00, 0x00, 0x03, 0x20, 0x00, 0x00, 0xCD, 0xAC, 0x85, 0xF0];
/// Bytes after the entries of the table: their number, a descriptor, the magic.
pub const TABLE_END: usize = 9;
/// More frames than this are not written.
pub const MAX_FRAMES: u64 = 1 << 27;

/// The head of a skippable frame of ours with so many bytes after its tag.
pub fn head(tag: [u8; 8], len: u64) -> Result<[u8; HEAD]> {
    let size = u32::try_from(len + 8).map_err(|_| archive("more than 4 GiB do not fit into a skippable frame"))?;
    let mut head = [0; HEAD];
    head[..4].copy_from_slice(&SKIPPABLE.to_le_bytes());
    head[4..8].copy_from_slice(&size.to_le_bytes());
    head[8..].copy_from_slice(&tag);
    Ok(head)
}

/// One row of the table.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FrameSize {
    /// In the object.
    pub compressed: u32,
    /// Of the content; 0: skippable.
    pub content: u32,
}

/// The table, as a frame.
pub fn encode(frames: &[FrameSize]) -> Vec<u8> {
    let len = frames.len() * 8 + TABLE_END;
    let mut out = Vec::with_capacity(8 + len);
    out.extend_from_slice(&SKIPPABLE_TABLE.to_le_bytes());
    out.extend_from_slice(&(len as u32).to_le_bytes());
    for frame in frames {
        out.extend_from_slice(&frame.compressed.to_le_bytes());
        out.extend_from_slice(&frame.content.to_le_bytes());
    }
    out.extend_from_slice(&(frames.len() as u32).to_le_bytes());
    out.push(0);
    out.extend_from_slice(&TABLE_MAGIC);
    out
}

/// How long the table is, told by the last nine bytes of an object; `None`: those are not the end of a table.
pub fn table_len(end: &[u8]) -> Option<u64> {
    let end: &[u8; TABLE_END] = end.last_chunk()?;
    let count = u32::from_le_bytes([end[0], end[1], end[2], end[3]]);
    (end[4] == 0 && end[5..] == TABLE_MAGIC).then(|| 8 + TABLE_END as u64 + 8 * u64::from(count))
}

/// The rows of a table.
pub fn decode(table: &[u8]) -> Result<Vec<FrameSize>> {
    let claimed = table_len(table).ok_or_else(|| archive("the table of frames is damaged"))?;
    let len = (table.len() as u64).wrapping_sub(8) as u32;
    let is_whole = claimed == table.len() as u64
        && table[..4] == SKIPPABLE_TABLE.to_le_bytes()
        && table[4..8] == len.to_le_bytes();
    if !is_whole {
        return Err(archive("the table of frames is damaged"));
    }
    Ok(rows(&table[8..table.len() - TABLE_END]))
}

/// Rows as they lie in a table.
pub fn rows(bytes: &[u8]) -> Vec<FrameSize> {
    let (rows, _) = bytes.as_chunks::<8>();
    rows.iter()
        .map(|row| FrameSize {
            compressed: u32::from_le_bytes([row[0], row[1], row[2], row[3]]),
            content: u32::from_le_bytes([row[4], row[5], row[6], row[7]]),
        })
        .collect()
}

fn archive(text: &str) -> Error {
    Error::new(ErrorKind::Archive, text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_written_is_read() {
        let frames = vec![FrameSize { compressed: 1, content: 2 }, FrameSize { compressed: u32::MAX, content: 0 }];
        let table = encode(&frames);
        assert_eq!(table_len(&table), Some(table.len() as u64));
        assert_eq!(decode(&table).unwrap(), frames);
        for at in 0..8 {
            let mut damaged = table.clone();
            damaged[at] ^= 1;
            assert!(decode(&damaged).is_err(), "{at}");
        }
    }

    #[test]
    fn the_constant_is_what_a_stored_frame_of_zeros_is() {
        let mut frame = Vec::new();
        crate::archive::stored::write(&[0; 1024], &[crate::archive::stored::Piece::Frame(1024)], &mut frame);
        assert_eq!(frame, END_OF_TAR);
    }
}
