//! Objects without storage: the byte at offset `o` of a pattern is `block[o % 1048583]`.
//!
//! The block of a seed is the little-endian output of splitmix64 started at that seed, cut to 1048583 bytes (a prime just
//! above 1 MiB, so that neither parts nor pages ever line up with it). Two copies lie one after the other in memory: any
//! offset starts a run of at least 1048583 bytes that can be written to a socket as it is.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, OnceLock};

use crate::checksum::{Algorithm, checksum, combine, repeat};
use crate::sync::lock;

/// The period of every pattern.
pub const BLOCK_LEN: usize = 1_048_583;

/// Two copies of the block of one seed, and its CRCs.
pub(crate) struct Block {
    doubled: Vec<u8>,
    crcs: Mutex<HashMap<Algorithm, Vec<u8>>>,
}

impl Block {
    /// The shared block of `seed`, made on first use.
    pub fn of_seed(seed: u64) -> Arc<Self> {
        static BLOCKS: OnceLock<Mutex<HashMap<u64, Arc<Block>>>> = OnceLock::new();
        let blocks = BLOCKS.get_or_init(Mutex::default);
        let mut blocks = lock(blocks);
        Arc::clone(blocks.entry(seed).or_insert_with(|| {
            let mut doubled = fill(seed);
            doubled.extend_from_within(..);
            Arc::new(Self { doubled, crcs: Mutex::default() })
        }))
    }

    /// At least one byte and at most `max` bytes of the pattern from `offset` on.
    pub fn run(&self, offset: u64, max: u64) -> &[u8] {
        let phase = (offset % BLOCK_LEN as u64) as usize;
        let len = max.min(BLOCK_LEN as u64) as usize;
        &self.doubled[phase..phase + len]
    }

    /// The CRC of the first `size` bytes, or `None` if `algorithm` is no CRC.
    pub fn crc(&self, algorithm: Algorithm, size: u64) -> Option<Vec<u8>> {
        algorithm.crc()?;
        let unit = lock(&self.crcs)
            .entry(algorithm)
            .or_insert_with(|| checksum(algorithm, &self.doubled[..BLOCK_LEN]))
            .clone();
        let (count, rest) = (size / BLOCK_LEN as u64, size % BLOCK_LEN as u64);
        let whole = repeat(algorithm, &unit, BLOCK_LEN as u64, count)?;
        combine(algorithm, &whole, &checksum(algorithm, &self.doubled[..rest as usize]), rest)
    }
}

fn fill(seed: u64) -> Vec<u8> {
    let mut block = Vec::with_capacity(2 * BLOCK_LEN + 16);
    let mut state = seed;
    while block.len() < BLOCK_LEN {
        state = state.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut word = state;
        word = (word ^ (word >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        word = (word ^ (word >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        word ^= word >> 31;
        block.extend_from_slice(&word.to_le_bytes());
    }
    block.truncate(BLOCK_LEN);
    block
}

/// `len` bytes of the pattern of `seed` from `offset` on.
pub fn pattern_bytes(seed: u64, offset: u64, len: usize) -> Vec<u8> {
    let block = Block::of_seed(seed);
    let mut bytes = Vec::with_capacity(len);
    while bytes.len() < len {
        bytes.extend_from_slice(block.run(offset + bytes.len() as u64, (len - bytes.len()) as u64));
    }
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn starts_with_splitmix64() {
        // First output of splitmix64 for seed 0, as published with the algorithm.
        assert_eq!(pattern_bytes(0, 0, 8), 0xE220_A839_7B1D_CDAFu64.to_le_bytes());
    }

    #[test]
    fn repeats_with_its_period() {
        let start = pattern_bytes(7, 0, 1000);
        assert_eq!(pattern_bytes(7, BLOCK_LEN as u64, 1000), start);
        assert_eq!(pattern_bytes(7, 5 * BLOCK_LEN as u64 + 10, 500), start[10..510]);
    }

    #[test]
    fn combined_crc_equals_direct() {
        for size in [0, 1, 1000, BLOCK_LEN - 1, BLOCK_LEN, BLOCK_LEN + 1, 3 * BLOCK_LEN + 77] {
            let bytes = pattern_bytes(3, 0, size);
            for algorithm in [Algorithm::Crc64Nvme, Algorithm::Crc32, Algorithm::Crc32c] {
                let crc = Block::of_seed(3).crc(algorithm, size as u64);
                assert_eq!(crc, Some(checksum(algorithm, &bytes)), "{algorithm:?} {size}");
            }
        }
    }
}
