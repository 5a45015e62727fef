//! The footer: 128 bytes that say where everything is, and the root hash that pins it.

use crate::archive::seek::SKIPPABLE;
use crate::error::{Error, ErrorKind, Result};

pub const LEN: usize = 128;
const TAG: [u8; 8] = *b"S3ZFOOTR";
const FORMAT: [u8; 8] = *b"S3ZPACK1";
pub const MAJOR: u16 = 1;
const MINOR: u16 = 0;

/// Facts about the whole archive, in `flags`.
pub mod flag {
    /// No entry was incomplete or changed while it was read.
    pub const DETERMINISTIC: u32 = 1;
    pub const PLUGIN: u32 = 1 << 1;
    pub const INCOMPLETE: u32 = 1 << 2;
    pub const XATTRS: u32 = 1 << 3;
    pub const APPENDED: u32 = 1 << 4;
    /// What a reader has to know, or must not go on.
    pub const MUST_KNOW: u32 = 0xFFFF_0000;
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Footer {
    pub minor: u16,
    pub flags: u32,
    /// Where the data ends: the frame that ends the tar, or the first header of our own in a `.tar`.
    pub data_end: u64,
    /// Of the last index's Arrow file.
    pub index_offset: u64,
    pub index_len: u64,
    pub manifest_offset: u64,
    pub manifest_len: u64,
    pub rows: u64,
    pub entries: u64,
    pub raw_bytes: u64,
    pub root: [u8; 32],
}

impl Footer {
    /// The bytes; the root is computed over the manifest and what precedes it.
    pub fn seal(&mut self, manifest: &[u8]) -> [u8; LEN] {
        let mut out = [0; LEN];
        out[..4].copy_from_slice(&SKIPPABLE.to_le_bytes());
        out[4..8].copy_from_slice(&120u32.to_le_bytes());
        out[8..16].copy_from_slice(&TAG);
        out[16..24].copy_from_slice(&FORMAT);
        out[24..26].copy_from_slice(&MAJOR.to_le_bytes());
        out[26..28].copy_from_slice(&MINOR.to_le_bytes());
        out[28..32].copy_from_slice(&self.flags.to_le_bytes());
        let numbers = [
            self.data_end,
            self.index_offset,
            self.index_len,
            self.manifest_offset,
            self.manifest_len,
            self.rows,
            self.entries,
            self.raw_bytes,
        ];
        for (at, number) in numbers.into_iter().enumerate() {
            out[32 + 8 * at..][..8].copy_from_slice(&number.to_le_bytes());
        }
        self.root = root(manifest, &out);
        out[96..].copy_from_slice(&self.root);
        out
    }

    /// Whether these bytes claim to be a footer.
    pub fn is_claimed(bytes: &[u8]) -> bool {
        bytes.get(..24).is_some_and(|head| head[..4] == SKIPPABLE.to_le_bytes() && head[8..16] == TAG)
    }

    pub fn decode(bytes: &[u8; LEN]) -> Result<Self> {
        let u16_at = |at: usize| u16::from_le_bytes([bytes[at], bytes[at + 1]]);
        let u32_at = |at: usize| u32::from_le_bytes([bytes[at], bytes[at + 1], bytes[at + 2], bytes[at + 3]]);
        if !Self::is_claimed(bytes) || u32_at(4) != 120 || bytes[16..23] != FORMAT[..7] {
            return Err(Error::new(ErrorKind::Archive, "the footer is damaged"));
        }
        if u16_at(24) != MAJOR || bytes[23] != FORMAT[7] {
            let text = format!("the archive has format {}.{}: this s3z reads {MAJOR}.x", u16_at(24), u16_at(26));
            return Err(Error::new(ErrorKind::Archive, text));
        }
        let flags = u32_at(28);
        if flags & flag::MUST_KNOW != 0 {
            let text = format!("the archive needs a feature that this s3z does not know (flags {flags:#010x})");
            return Err(Error::new(ErrorKind::Archive, text));
        }
        let number = |at: usize| {
            let mut eight = [0; 8];
            eight.copy_from_slice(&bytes[32 + 8 * at..][..8]);
            u64::from_le_bytes(eight)
        };
        let mut hash = [0; 32];
        hash.copy_from_slice(&bytes[96..]);
        Ok(Self {
            minor: u16_at(26),
            flags,
            data_end: number(0),
            index_offset: number(1),
            index_len: number(2),
            manifest_offset: number(3),
            manifest_len: number(4),
            rows: number(5),
            entries: number(6),
            raw_bytes: number(7),
            root: hash,
        })
    }
}

/// What pins the whole archive.
pub fn root(manifest: &[u8], footer: &[u8; LEN]) -> [u8; 32] {
    blake3::Hasher::new().update(manifest).update(&footer[16..96]).finalize().into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_sealed_is_read() {
        let mut footer = Footer { flags: 1, data_end: 2, rows: 3, raw_bytes: u64::MAX, ..Footer::default() };
        let bytes = footer.seal(b"manifest");
        assert_eq!(Footer::decode(&bytes).unwrap(), footer);
        assert_eq!(root(b"manifest", &bytes), footer.root);
    }

    #[test]
    fn later_formats_are_refused_by_name() {
        let mut footer = Footer::default();
        for (at, value, text) in [(24, 2, "format 2.0"), (30, 1, "0x00010000"), (8, 0, "damaged"), (23, b'2', "format")]
        {
            let mut bytes = footer.seal(b"");
            bytes[at] = value;
            let error = Footer::decode(&bytes).unwrap_err().to_string();
            assert!(error.contains(text), "{error}");
        }
        let mut bytes = footer.seal(b"");
        bytes[26] = 9;
        assert_eq!(Footer::decode(&bytes).unwrap().minor, 9);
    }
}
