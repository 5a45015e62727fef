//! The bytes of an object: in memory, in a file, generated, a chain of those, or deliberately gone.

use std::fs::File;
use std::os::unix::fs::FileExt;
use std::sync::Arc;

use crate::checksum::{Algorithm, Hasher};
use crate::pattern::Block;

/// Where the bytes of an object are. Cheap to clone.
#[derive(Clone)]
pub(crate) enum Content {
    Bytes(Arc<Vec<u8>>),
    File {
        file: Arc<File>,
        len: u64,
    },
    Pattern {
        block: Arc<Block>,
        len: u64,
    },
    /// Parts of a multipart upload with the offset each starts at.
    Chain {
        parts: Arc<Vec<(u64, Content)>>,
        len: u64,
    },
    /// A range of another content.
    Slice {
        of: Arc<Content>,
        start: u64,
        len: u64,
    },
    /// Counted and checksummed, but not kept.
    Discarded {
        len: u64,
    },
}

/// A run of bytes that can be written at once.
pub(crate) enum Piece<'a> {
    Bytes(&'a [u8]),
    File { file: &'a File, offset: u64, len: u64 },
    Nothing,
}

impl Content {
    pub fn from_bytes(bytes: Vec<u8>) -> Self {
        Self::Bytes(Arc::new(bytes))
    }

    pub fn pattern(seed: u64, len: u64) -> Self {
        Self::Pattern { block: Block::of_seed(seed), len }
    }

    pub fn chain(parts: Vec<Self>) -> Self {
        let mut len = 0;
        let parts = parts
            .into_iter()
            .map(|part| {
                let start = len;
                len += part.len();
                (start, part)
            })
            .collect();
        Self::Chain { parts: Arc::new(parts), len }
    }

    pub fn len(&self) -> u64 {
        match self {
            Self::Bytes(bytes) => bytes.len() as u64,
            Self::File { len, .. }
            | Self::Pattern { len, .. }
            | Self::Chain { len, .. }
            | Self::Slice { len, .. }
            | Self::Discarded { len } => *len,
        }
    }

    /// True if every byte can be read back.
    pub fn is_kept(&self) -> bool {
        match self {
            Self::Discarded { len } => *len == 0,
            Self::Chain { parts, .. } => parts.iter().all(|(_, part)| part.is_kept()),
            Self::Slice { of, .. } => of.is_kept(),
            _ => true,
        }
    }

    /// Between one and `max` bytes from `offset` on, which must lie inside.
    pub fn piece(&self, offset: u64, max: u64) -> Piece<'_> {
        match self {
            Self::Bytes(bytes) => {
                let end = (offset + max).min(bytes.len() as u64);
                Piece::Bytes(&bytes[offset as usize..end as usize])
            }
            Self::File { file, len } => Piece::File { file, offset, len: max.min(len - offset) },
            Self::Pattern { block, len } => Piece::Bytes(block.run(offset, max.min(len - offset))),
            Self::Chain { parts, .. } => {
                let at = parts.partition_point(|(start, _)| *start <= offset).saturating_sub(1);
                let (start, part) = &parts[at];
                part.piece(offset - start, max.min(part.len() - (offset - start)))
            }
            Self::Slice { of, start, len } => of.piece(start + offset, max.min(len - offset)),
            Self::Discarded { .. } => Piece::Nothing,
        }
    }

    /// Calls `sink` with all bytes in order.
    pub fn for_each(&self, sink: &mut dyn FnMut(&[u8])) -> std::io::Result<()> {
        let mut at = 0;
        while at < self.len() {
            at += match self.piece(at, 1 << 20) {
                Piece::Bytes(bytes) => {
                    sink(bytes);
                    bytes.len() as u64
                }
                Piece::File { file, offset, len } => {
                    let mut buffer = vec![0; len as usize];
                    file.read_exact_at(&mut buffer, offset)?;
                    sink(&buffer);
                    len
                }
                Piece::Nothing => return Err(std::io::Error::other("object has no bytes")),
            };
        }
        Ok(())
    }

    pub fn to_vec(&self) -> std::io::Result<Vec<u8>> {
        let mut bytes = Vec::with_capacity(self.len() as usize);
        self.for_each(&mut |chunk| bytes.extend_from_slice(chunk))?;
        Ok(bytes)
    }

    /// The checksum of all bytes; patterns answer without touching them.
    pub fn checksum(&self, algorithm: Algorithm) -> std::io::Result<Vec<u8>> {
        if let Self::Pattern { block, len } = self
            && let Some(crc) = block.crc(algorithm, *len)
        {
            return Ok(crc);
        }
        let mut hasher = Hasher::new(algorithm);
        self.for_each(&mut |chunk| hasher.update(chunk))?;
        Ok(hasher.finish())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::checksum::checksum;
    use crate::pattern::pattern_bytes;

    #[test]
    fn chain_and_slice_read_in_order() {
        let slice = Content::Slice { of: Arc::new(Content::from_bytes(b"0123456789".to_vec())), start: 2, len: 5 };
        let chain = Content::chain(vec![slice, Content::from_bytes(Vec::new()), Content::pattern(1, 3_000_000)]);
        let mut expected = b"23456".to_vec();
        expected.extend(pattern_bytes(1, 0, 3_000_000));
        assert_eq!(chain.len(), expected.len() as u64);
        assert_eq!(chain.to_vec().unwrap(), expected);
        let crc = chain.checksum(Algorithm::Crc32).unwrap();
        assert_eq!(crc, checksum(Algorithm::Crc32, &expected));
    }
}
