//! The CRCs that are computed over bytes as they pass: their names on the wire and their kernels.

use crc_fast::CrcAlgorithm;

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Algorithm {
    Crc64Nvme,
    Crc32,
    Crc32c,
}

impl Algorithm {
    pub const ALL: [Self; 3] = [Self::Crc64Nvme, Self::Crc32, Self::Crc32c];

    /// As in `x-amz-checksum-algorithm`.
    pub fn name(self) -> &'static str {
        match self {
            Self::Crc64Nvme => "CRC64NVME",
            Self::Crc32 => "CRC32",
            Self::Crc32c => "CRC32C",
        }
    }

    pub fn lower(self) -> &'static str {
        match self {
            Self::Crc64Nvme => "crc64nvme",
            Self::Crc32 => "crc32",
            Self::Crc32c => "crc32c",
        }
    }

    /// The header that carries its value.
    pub fn header(self) -> &'static str {
        match self {
            Self::Crc64Nvme => "x-amz-checksum-crc64nvme",
            Self::Crc32 => "x-amz-checksum-crc32",
            Self::Crc32c => "x-amz-checksum-crc32c",
        }
    }

    /// `None` for an algorithm that is not one of ours (C7: not usable, not an error).
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|algorithm| algorithm.name().eq_ignore_ascii_case(name))
    }

    /// Bytes of a value.
    pub fn width(self) -> usize {
        match self {
            Self::Crc64Nvme => 8,
            Self::Crc32 | Self::Crc32c => 4,
        }
    }

    pub(super) fn index(self) -> usize {
        match self {
            Self::Crc64Nvme => 0,
            Self::Crc32 => 1,
            Self::Crc32c => 2,
        }
    }

    pub(super) fn kernel(self) -> CrcAlgorithm {
        match self {
            Self::Crc64Nvme => CrcAlgorithm::Crc64Nvme,
            Self::Crc32 => CrcAlgorithm::Crc32IsoHdlc,
            Self::Crc32c => CrcAlgorithm::Crc32Iscsi,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names() {
        for algorithm in Algorithm::ALL {
            assert_eq!(Algorithm::from_name(algorithm.name()), Some(algorithm));
            assert_eq!(Algorithm::from_name(algorithm.lower()), Some(algorithm));
            assert_eq!(algorithm.header(), format!("x-amz-checksum-{}", algorithm.lower()));
        }
        assert_eq!(Algorithm::from_name("SHA256"), None);
    }
}
