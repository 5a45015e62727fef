//! The five S3 checksum algorithms: names, header names, hashing, and combining of CRCs.
//!
//! Owns every translation between an algorithm and its spellings. Values travel as raw big-endian bytes inside the
//! server and as base64 on the wire.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use crc_fast::{CrcAlgorithm, Digest as CrcDigest};
use sha1::Sha1;
use sha2::{Digest, Sha256};

/// A checksum algorithm S3 knows.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Algorithm {
    Crc64Nvme,
    Crc32c,
    Crc32,
    Sha1,
    Sha256,
}

impl Algorithm {
    pub const ALL: [Self; 5] = [Self::Crc64Nvme, Self::Crc32c, Self::Crc32, Self::Sha1, Self::Sha256];

    /// The name in `x-amz-checksum-algorithm`.
    pub fn name(self) -> &'static str {
        match self {
            Self::Crc64Nvme => "CRC64NVME",
            Self::Crc32c => "CRC32C",
            Self::Crc32 => "CRC32",
            Self::Sha1 => "SHA1",
            Self::Sha256 => "SHA256",
        }
    }

    /// The header that carries the value.
    pub fn header(self) -> &'static str {
        match self {
            Self::Crc64Nvme => "x-amz-checksum-crc64nvme",
            Self::Crc32c => "x-amz-checksum-crc32c",
            Self::Crc32 => "x-amz-checksum-crc32",
            Self::Sha1 => "x-amz-checksum-sha1",
            Self::Sha256 => "x-amz-checksum-sha256",
        }
    }

    /// The XML element that carries the value.
    pub fn element(self) -> String {
        format!("Checksum{}", self.name())
    }

    pub fn parse(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|algorithm| algorithm.name().eq_ignore_ascii_case(name))
    }

    pub fn from_header(header: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|algorithm| algorithm.header().eq_ignore_ascii_case(header))
    }

    /// Bytes of a raw value.
    pub fn value_len(self) -> usize {
        match self {
            Self::Crc64Nvme => 8,
            Self::Crc32c | Self::Crc32 => 4,
            Self::Sha1 => 20,
            Self::Sha256 => 32,
        }
    }

    pub(crate) fn crc(self) -> Option<CrcAlgorithm> {
        match self {
            Self::Crc64Nvme => Some(CrcAlgorithm::Crc64Nvme),
            Self::Crc32c => Some(CrcAlgorithm::Crc32Iscsi),
            Self::Crc32 => Some(CrcAlgorithm::Crc32IsoHdlc),
            Self::Sha1 | Self::Sha256 => None,
        }
    }

    fn crc_bytes(self, value: u64) -> Vec<u8> {
        value.to_be_bytes()[8 - self.value_len()..].to_vec()
    }
}

fn crc_value(bytes: &[u8]) -> u64 {
    bytes.iter().fold(0, |value, byte| value << 8 | u64::from(*byte))
}

/// A running checksum of one algorithm.
pub(crate) enum Hasher {
    Crc(Algorithm, CrcDigest),
    Sha1(Sha1),
    Sha256(Sha256),
}

impl Hasher {
    pub fn new(algorithm: Algorithm) -> Self {
        match (algorithm.crc(), algorithm) {
            (Some(crc), _) => Self::Crc(algorithm, CrcDigest::new(crc)),
            (None, Algorithm::Sha1) => Self::Sha1(Sha1::new()),
            (None, _) => Self::Sha256(Sha256::new()),
        }
    }

    pub fn update(&mut self, bytes: &[u8]) {
        match self {
            Self::Crc(_, digest) => digest.update(bytes),
            Self::Sha1(hash) => hash.update(bytes),
            Self::Sha256(hash) => hash.update(bytes),
        }
    }

    pub fn finish(self) -> Vec<u8> {
        match self {
            Self::Crc(algorithm, digest) => algorithm.crc_bytes(digest.finalize()),
            Self::Sha1(hash) => hash.finalize().to_vec(),
            Self::Sha256(hash) => hash.finalize().to_vec(),
        }
    }
}

/// The raw checksum of `bytes`.
pub fn checksum(algorithm: Algorithm, bytes: &[u8]) -> Vec<u8> {
    let mut hasher = Hasher::new(algorithm);
    hasher.update(bytes);
    hasher.finish()
}

/// The CRC of A‖B from crc(A), crc(B) and the length of B. `None` for a hash that is no CRC.
pub fn combine(algorithm: Algorithm, first: &[u8], second: &[u8], second_len: u64) -> Option<Vec<u8>> {
    let crc = algorithm.crc()?;
    if second_len == 0 {
        return Some(first.to_vec());
    }
    let value = crc_fast::checksum_combine(crc, crc_value(first), crc_value(second), second_len);
    Some(algorithm.crc_bytes(value))
}

/// The CRC of `count` repetitions of a run of `len` bytes, in O(log count) combinations.
pub(crate) fn repeat(algorithm: Algorithm, crc: &[u8], len: u64, count: u64) -> Option<Vec<u8>> {
    let mut total = checksum(algorithm, b"");
    let (mut unit, mut unit_len, mut left) = (crc.to_vec(), len, count);
    while left > 0 {
        if left & 1 == 1 {
            total = combine(algorithm, &total, &unit, unit_len)?;
        }
        left >>= 1;
        if left > 0 {
            unit = combine(algorithm, &unit, &unit, unit_len)?;
            unit_len *= 2;
        }
    }
    Some(total)
}

pub fn to_base64(bytes: &[u8]) -> String {
    STANDARD.encode(bytes)
}

pub fn from_base64(text: &str) -> Option<Vec<u8>> {
    STANDARD.decode(text).ok()
}

pub(crate) fn to_hex(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    bytes
        .iter()
        .flat_map(|byte| [DIGITS[usize::from(byte >> 4)] as char, DIGITS[usize::from(byte & 15)] as char])
        .collect()
}

pub(crate) fn sha256_hex(bytes: &[u8]) -> String {
    to_hex(&Sha256::digest(bytes))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn known_values() {
        // The check values of the CRC catalogue for "123456789".
        let data = b"123456789";
        assert_eq!(to_hex(&checksum(Algorithm::Crc64Nvme, data)), "ae8b14860a799888");
        assert_eq!(to_hex(&checksum(Algorithm::Crc32, data)), "cbf43926");
        assert_eq!(to_hex(&checksum(Algorithm::Crc32c, data)), "e3069283");
        assert_eq!(to_hex(&checksum(Algorithm::Sha1, data)), "f7c3bc1d808e04732adf679965ccc34ca7ae3441");
    }

    #[test]
    fn combine_equals_direct() {
        let data: Vec<u8> = (0..100_000u32).map(|n| (n * 7 % 251) as u8).collect();
        for algorithm in [Algorithm::Crc64Nvme, Algorithm::Crc32, Algorithm::Crc32c] {
            for cut in [0, 1, 17, 65_536, 99_999, 100_000] {
                let (a, b) = data.split_at(cut);
                let combined = combine(algorithm, &checksum(algorithm, a), &checksum(algorithm, b), b.len() as u64);
                assert_eq!(combined, Some(checksum(algorithm, &data)), "{algorithm:?} {cut}");
            }
            let crc = checksum(algorithm, &data[..1000]);
            for count in [0, 1, 2, 7, 33] {
                let direct = checksum(algorithm, &data[..1000].repeat(count));
                assert_eq!(repeat(algorithm, &crc, 1000, count as u64), Some(direct));
            }
        }
    }
}
