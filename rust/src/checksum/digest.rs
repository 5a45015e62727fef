//! A value of any algorithm: its bytes, its base64 on the wire, and the composite of several.

use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use super::{Algorithm, Crc, Kind, Sha, ShaHasher, is_composite};
use crate::error::{Error, Result, escape};

const WIDEST: usize = 32;

/// A kind of checksum and a value of it.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Digest {
    kind: Kind,
    /// As many as the kind is wide; zeros behind them.
    bytes: [u8; WIDEST],
}

impl Digest {
    pub fn of_crc(algorithm: Algorithm, value: u64) -> Self {
        Self::of(algorithm.into(), &value.to_be_bytes()[8 - algorithm.width()..])
    }

    pub(super) fn of_sha1(bytes: [u8; 20]) -> Self {
        Self::of(Sha::Sha1.into(), &bytes)
    }

    pub(super) fn of_sha256(bytes: [u8; 32]) -> Self {
        Self::of(Sha::Sha256.into(), &bytes)
    }

    /// `value` is exactly as long as the kind is wide.
    fn of(kind: Kind, value: &[u8]) -> Self {
        let mut bytes = [0; WIDEST];
        bytes[..kind.width()].copy_from_slice(value);
        Self { kind, bytes }
    }

    /// Reads a stored value strictly (C8). One that ends in `-N` is an error here; `is_composite` tells it apart before.
    pub fn parse(kind: Kind, base64: &str) -> Result<Self> {
        let refuse = |why: &str| {
            let name = kind.name();
            Error::integrity(format!("the stored {name} checksum \"{}\" {why}", escape(base64, 64)))
        };
        if is_composite(base64) {
            return Err(refuse("is of parts, not of the whole object"));
        }
        let bytes = STANDARD.decode(base64).map_err(|_| refuse("is not base64"))?;
        if bytes.len() != kind.width() {
            return Err(refuse(&format!("has {} bytes, not {}", bytes.len(), kind.width())));
        }
        Ok(Self::of(kind, &bytes))
    }

    /// As S3 writes it: base64 of the bytes, those of a CRC in big-endian order.
    pub fn encode(&self) -> String {
        STANDARD.encode(self.as_bytes())
    }

    pub fn as_bytes(&self) -> &[u8] {
        &self.bytes[..self.kind.width()]
    }

    pub fn kind(&self) -> Kind {
        self.kind
    }

    /// The value of a CRC as a number.
    pub fn crc(&self) -> Option<u64> {
        match self.kind {
            Kind::Crc(_) => Some(self.as_bytes().iter().fold(0, |value, &byte| value << 8 | u64::from(byte))),
            Kind::Sha(_) => None,
        }
    }
}

impl fmt::Debug for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.kind.name(), self.encode())
    }
}

/// The wire form of a CRC.
pub fn encode(algorithm: Algorithm, value: u64) -> String {
    Digest::of_crc(algorithm, value).encode()
}

/// The composite value of an object made of parts: the checksum of the parts' raw values, one behind the other. The
/// parts' values are of the same kind.
pub fn composite(kind: Kind, parts: impl Iterator<Item = Digest>) -> Digest {
    match kind {
        Kind::Crc(algorithm) => {
            let mut crc = Crc::new(algorithm);
            parts.for_each(|part| crc.update(part.as_bytes()));
            Digest::of_crc(algorithm, crc.value())
        }
        Kind::Sha(sha) => {
            let mut hasher = ShaHasher::new(sha);
            parts.for_each(|part| hasher.update(part.as_bytes()));
            hasher.finish()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::checksum::checksum;
    use crate::error::ErrorKind;
    use proptest::prelude::*;

    /// The value of some bytes, by another way than `composite` takes.
    fn direct(kind: Kind, bytes: &[u8]) -> Digest {
        use sha2::Digest as _;
        match kind {
            Kind::Crc(algorithm) => Digest::of_crc(algorithm, checksum(algorithm, bytes)),
            Kind::Sha(Sha::Sha1) => Digest::of_sha1(sha1::Sha1::digest(bytes).into()),
            Kind::Sha(Sha::Sha256) => Digest::of_sha256(sha2::Sha256::digest(bytes).into()),
        }
    }

    #[test]
    fn wire_form_of_crcs() {
        let table = [
            (Algorithm::Crc64Nvme, 0xAE8B_1486_0A79_9888, "rosUhgp5mIg="),
            (Algorithm::Crc32, 0xCBF4_3926, "y/Q5Jg=="),
            (Algorithm::Crc32c, 0xE306_9283, "4waSgw=="),
        ];
        for (algorithm, value, text) in table {
            assert_eq!(encode(algorithm, value), text);
            let digest = Digest::parse(algorithm.into(), text).unwrap();
            assert_eq!(digest, Digest::of_crc(algorithm, value));
            assert_eq!((digest.crc(), digest.kind()), (Some(value), Kind::Crc(algorithm)));
            assert_eq!(format!("{digest:?}"), format!("{} {text}", algorithm.name()));
        }
    }

    /// C8
    #[test]
    fn wrong_values_are_clear_errors() {
        let crc = Kind::Crc(Algorithm::Crc32);
        let sha = Kind::Sha(Sha::Sha1);
        let table = [
            (crc, "", "has 0 bytes, not 4"),
            (crc, "y/Q5Jg", "is not base64"),
            (crc, "y/Q5Jg===", "is not base64"),
            (crc, "y_Q5Jg==", "is not base64"),
            (crc, " y/Q5Jg==", "is not base64"),
            (crc, "y/Q5Jh==", "is not base64"),
            (crc, "rosUhgp5mIg=", "has 8 bytes, not 4"),
            (crc, "y/Q5Jg==-3", "is of parts, not of the whole object"),
            (sha, "y/Q5Jg==", "has 4 bytes, not 20"),
            (sha, "47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=", "has 32 bytes, not 20"),
        ];
        for (kind, text, why) in table {
            let error = Digest::parse(kind, text).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Integrity);
            assert!(error.message().ends_with(why), "{}", error.message());
        }
    }

    #[test]
    fn a_sha_is_no_number() {
        assert_eq!(Digest::of_sha256([1; 32]).crc(), None);
        assert_eq!(Digest::of_sha1([1; 20]).as_bytes(), [1; 20]);
    }

    /// Three parts of 5, 5 and 1 MiB as AWS stored them: a report of what S3 answered (floci-io/floci#3083).
    #[test]
    fn composite_is_what_aws_makes() {
        let sha256 = Kind::Sha(Sha::Sha256);
        let parts = [
            "lcKa6Boe7a167tUCN5C4OaFygGSYD8MBnBARTrdL+1w=",
            "gHjhbUT4oo2tSCtSZJdlKi+jeNXJT+VImqdPXsXvkOc=",
            "4l9PQ3zOPZ0oGFvknFX+J4zZwE4WMzO+l3r8XrbWOeM=",
        ];
        let parts = parts.map(|text| Digest::parse(sha256, text).unwrap());
        assert_eq!(composite(sha256, parts.into_iter()).encode(), "rVWtNbadtsaKXJAcgWPWjifHzJaXde/iV4jaJAOdivc=");
    }

    proptest! {
        #[test]
        fn wire_form_comes_back(bytes in any::<[u8; 32]>(), index in 0..5_usize) {
            let kind = Kind::ALL[index];
            let digest = Digest::of(kind, &bytes[..kind.width()]);
            prop_assert_eq!(digest.as_bytes(), &bytes[..kind.width()]);
            prop_assert_eq!(Digest::parse(kind, &digest.encode()).unwrap(), digest);
            for other in Kind::ALL.into_iter().filter(|other| other.width() != kind.width()) {
                prop_assert!(Digest::parse(other, &digest.encode()).is_err());
            }
        }

        #[test]
        fn parsing_never_panics(text in any::<String>(), tidy in "[A-Za-z0-9+/=-]{0,60}", index in 0..5_usize) {
            for text in [text, tidy] {
                if let Ok(digest) = Digest::parse(Kind::ALL[index], &text) {
                    prop_assert_eq!(digest.encode(), text, "only the canonical form is taken");
                }
            }
        }

        #[test]
        fn composite_is_the_value_over_the_values(
            parts in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..50), 0..20),
            index in 0..5_usize,
        ) {
            let kind = Kind::ALL[index];
            let values: Vec<Digest> = parts.iter().map(|bytes| direct(kind, bytes)).collect();
            let raw: Vec<u8> = values.iter().flat_map(|value| value.as_bytes().to_vec()).collect();
            prop_assert_eq!(composite(kind, values.into_iter()), direct(kind, &raw));
        }
    }
}
