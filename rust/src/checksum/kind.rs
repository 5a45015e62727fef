//! The algorithms a store may keep a value of: names, headers, widths.
//!
//! The list is open on the wire: a name that is not here is not usable, and no error (C7).

use super::Algorithm;

/// A hash that, unlike a CRC, cannot be combined from the values of parts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Sha {
    Sha1,
    Sha256,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Kind {
    Crc(Algorithm),
    Sha(Sha),
}

impl Kind {
    /// The hash, if it is one.
    pub fn sha(self) -> Option<Sha> {
        match self {
            Self::Crc(_) => None,
            Self::Sha(sha) => Some(sha),
        }
    }

    /// In the order in which they are preferred where a store has several.
    pub const ALL: [Self; 5] = [
        Self::Crc(Algorithm::Crc64Nvme),
        Self::Crc(Algorithm::Crc32),
        Self::Crc(Algorithm::Crc32c),
        Self::Sha(Sha::Sha256),
        Self::Sha(Sha::Sha1),
    ];

    /// As in `x-amz-checksum-algorithm`.
    pub fn name(self) -> &'static str {
        match self {
            Self::Crc(algorithm) => algorithm.name(),
            Self::Sha(Sha::Sha1) => "SHA1",
            Self::Sha(Sha::Sha256) => "SHA256",
        }
    }

    pub fn lower(self) -> &'static str {
        match self {
            Self::Crc(algorithm) => algorithm.lower(),
            Self::Sha(Sha::Sha1) => "sha1",
            Self::Sha(Sha::Sha256) => "sha256",
        }
    }

    /// The header that carries its value.
    pub fn header(self) -> &'static str {
        match self {
            Self::Crc(algorithm) => algorithm.header(),
            Self::Sha(Sha::Sha1) => "x-amz-checksum-sha1",
            Self::Sha(Sha::Sha256) => "x-amz-checksum-sha256",
        }
    }

    /// Bytes of a value.
    pub fn width(self) -> usize {
        match self {
            Self::Crc(algorithm) => algorithm.width(),
            Self::Sha(Sha::Sha1) => 20,
            Self::Sha(Sha::Sha256) => 32,
        }
    }

    /// `None` for an algorithm that is not one of ours.
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.name().eq_ignore_ascii_case(name))
    }
}

impl From<Algorithm> for Kind {
    fn from(algorithm: Algorithm) -> Self {
        Self::Crc(algorithm)
    }
}

impl From<Sha> for Kind {
    fn from(sha: Sha) -> Self {
        Self::Sha(sha)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names() {
        for kind in Kind::ALL {
            assert_eq!(Kind::from_name(kind.name()), Some(kind));
            assert_eq!(Kind::from_name(kind.lower()), Some(kind));
            assert_eq!(kind.lower(), kind.name().to_lowercase());
            assert_eq!(kind.header(), format!("x-amz-checksum-{}", kind.lower()));
        }
        for other in ["", "MD5", "SHA512", "XXHASH64", "SHA-256", "type"] {
            assert_eq!(Kind::from_name(other), None, "{other}");
        }
    }
}
