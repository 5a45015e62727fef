//! Which files lie in the archive as they are: those that zstd cannot shrink, found by a look and a probe.

use zstd_safe::{CCtx, CParameter};

use crate::error::{Error, ErrorKind, Result};

/// Shorter files are always compressed.
const SMALLEST: u64 = 16 << 10;
/// How much of the middle is looked at, and where that begins a multiple of.
const LOOK: usize = 4096;
/// The sum of squared byte counts of `LOOK` bytes that hardly repeat.
const EVEN: u64 = 131_072;
const PROBE: usize = 64 << 10;
/// From here on the middle is probed too.
const LARGE: u64 = 4 << 20;

/// Extensions of files that are compressed already; only a hint to look closer.
pub const EXTENSIONS: &[&str] = &[
    "zip", "gz", "tgz", "bz2", "tbz", "xz", "txz", "lz", "lzma", "lz4", "zst", "tzst", "br", "7z", "rar", "cab", "jar",
    "war", "ear", "apk", "whl", "deb", "rpm", "crate", "dmg", "jpg", "jpeg", "png", "gif", "webp", "heic", "avif",
    "mp3", "m4a", "aac", "ogg", "opus", "flac", "mp4", "m4v", "mov", "mkv", "webm", "avi", "parquet", "orc", "npz",
    "docx", "xlsx", "pptx", "odt", "epub", "pdf", "woff", "woff2",
];

/// Which files are looked at, and by which hints.
#[derive(Debug, Clone)]
pub struct Hints {
    /// Nothing is stored unless that is smaller.
    pub no_skip: bool,
    /// In lower case.
    pub extensions: Vec<String>,
}

impl Default for Hints {
    fn default() -> Self {
        Self { no_skip: false, extensions: EXTENSIONS.iter().map(|text| (*text).to_owned()).collect() }
    }
}

impl Hints {
    fn names(&self, name: &[u8]) -> bool {
        let base = name.rsplit(|byte| *byte == b'/').next().unwrap_or_default();
        let Some(dot) = base.iter().rposition(|byte| *byte == b'.') else { return false };
        self.extensions.iter().any(|known| known.as_bytes().eq_ignore_ascii_case(&base[dot + 1..]))
    }
}

/// One for each reader.
pub struct Classifier {
    hints: Hints,
    context: CCtx<'static>,
    packed: Vec<u8>,
    block: Vec<u8>,
}

impl Classifier {
    pub fn new(hints: Hints) -> Result<Self> {
        let mut context = CCtx::try_create().ok_or_else(Error::no_memory)?;
        context.set_parameter(CParameter::CompressionLevel(1)).map_err(codec)?;
        let packed = Vec::with_capacity(zstd_safe::compress_bound(PROBE));
        Ok(Self { hints, context, packed, block: vec![0; PROBE] })
    }

    /// Whether a file of this name and size is stored. `read` fills what it is lent from an offset on.
    pub fn is_stored(
        &mut self,
        name: &[u8],
        size: u64,
        read: &mut dyn FnMut(u64, &mut [u8]) -> Result<()>,
    ) -> Result<bool> {
        if size < SMALLEST || self.hints.no_skip {
            return Ok(false);
        }
        let middle = size / 2 / LOOK as u64 * LOOK as u64;
        if !self.hints.names(name) {
            read(middle, &mut self.block[..LOOK])?;
            if !is_even(&self.block[..LOOK]) {
                return Ok(false);
            }
        }
        if self.shrinks(0, size, read)? {
            return Ok(false);
        }
        Ok(size <= LARGE || !self.shrinks(middle, size, read)?)
    }

    fn shrinks(&mut self, at: u64, size: u64, read: &mut dyn FnMut(u64, &mut [u8]) -> Result<()>) -> Result<bool> {
        let len = usize::try_from(size - at).map_or(PROBE, |left| left.min(PROBE));
        read(at, &mut self.block[..len])?;
        self.packed.clear();
        let packed = self.context.compress2(&mut self.packed, &self.block[..len]).map_err(codec)?;
        Ok(len * 100 >= packed * 105)
    }
}

fn is_even(bytes: &[u8]) -> bool {
    let mut counts = [0_u64; 256];
    bytes.iter().for_each(|byte| counts[usize::from(*byte)] += 1);
    counts.iter().map(|count| count * count).sum::<u64>() <= EVEN
}

/// A failure inside of zstd.
pub fn codec(code: zstd_safe::ErrorCode) -> Error {
    Error::new(ErrorKind::Internal, format!("zstd failed: {}", zstd_safe::get_error_name(code)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn noise(len: usize) -> Vec<u8> {
        let mut state = 88_172_645_463_325_252_u64;
        let mut step = || {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            state as u8
        };
        (0..len).map(|_| step()).collect()
    }

    fn stored(name: &str, data: &[u8], hints: Hints) -> bool {
        let mut read = |at: u64, to: &mut [u8]| {
            to.copy_from_slice(&data[at as usize..][..to.len()]);
            Ok(())
        };
        Classifier::new(hints).unwrap().is_stored(name.as_bytes(), data.len() as u64, &mut read).unwrap()
    }

    #[test]
    fn noise_is_stored_and_text_is_not() {
        assert!(stored("a", &noise(16 << 10), Hints::default()));
        assert!(!stored("a", &noise((16 << 10) - 1), Hints::default()));
        assert!(!stored("a.ZIP", &vec![b'x'; 1 << 20], Hints::default()));
        assert!(!stored("a", &noise(1 << 20), Hints { no_skip: true, ..Hints::default() }));
    }

    #[test]
    fn a_hint_leads_to_a_probe_where_the_middle_looks_compressible() {
        let data = [noise(80 << 10), vec![0; 8 << 10], noise(72 << 10)].concat();
        assert!(!stored("a.b", &data, Hints::default()));
        assert!(stored("a.PNG", &data, Hints::default()));
        assert!(!stored("png", &data, Hints::default()));
    }
}
