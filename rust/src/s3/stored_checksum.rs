//! Which checksum of an answer's headers may be compared with what; pure.
//!
//! Owns the rules C3, C7 and C8 for headers of a HEAD or of a 200 to a plain GET; never call it for a 206. Where several
//! values stand side by side, the one that proves most and costs least is taken: over all bytes before over parts, a CRC
//! before a hash. A value that is none (C8) is passed over only for one over all bytes.

use http::HeaderMap;

use crate::checksum::{Digest, Kind, is_composite, part_count};
use crate::config::MAX_PARTS;
use crate::s3::object::StoredChecksum;

const PREFIX: &str = "x-amz-checksum-";
/// What begins like a value and is none.
const NO_VALUES: [&str; 3] = ["type", "mode", "algorithm"];
/// No algorithm has a longer name.
const LONGEST_NAME: usize = 32;

pub(super) fn stored_checksum(headers: &HeaderMap, etag: Option<&str>) -> StoredChecksum {
    // What is no text is there all the same: it becomes U+FFFD, which no value can hold.
    let text = |name: &str| headers.get(name).map(|value| value.to_str().unwrap_or("\u{fffd}"));
    let object = Facts { kind: text("x-amz-checksum-type"), etag };
    let known = Kind::ALL.into_iter().filter_map(|kind| Some(object.judge(kind, text(kind.header())?)));
    let best = known.min_by_key(rank);
    best.or_else(|| unknown_algorithm(headers)).unwrap_or(StoredChecksum::None)
}

/// What the object's value is judged by, besides itself.
struct Facts<'a> {
    /// `x-amz-checksum-type`.
    kind: Option<&'a str>,
    etag: Option<&'a str>,
}

impl Facts<'_> {
    fn judge(&self, kind: Kind, text: &str) -> StoredChecksum {
        let is = |name: &str| self.kind.is_some_and(|kind| kind.eq_ignore_ascii_case(name));
        if is("COMPOSITE") || is_composite(text) {
            return self.of_parts(kind, text);
        }
        if self.kind.is_some() && !is("FULL_OBJECT") {
            return StoredChecksum::NotUsable(format!("the stored {} is of an unknown type", kind.name()));
        }
        if self.kind.is_none() && self.etag.is_some_and(is_composite) {
            return StoredChecksum::NotUsable(format!("the stored {} may be composite", kind.name()));
        }
        match (Digest::parse(kind, text), kind) {
            (Err(_), _) => damaged(kind),
            (Ok(value), Kind::Sha(_)) => StoredChecksum::FullSha(value),
            (Ok(value), Kind::Crc(algorithm)) => match value.crc() {
                Some(value) => StoredChecksum::FullObject(algorithm, value),
                None => damaged(kind),
            },
        }
    }

    /// The `-N` stands behind the value, or some stores leave it out there and only the ETag tells it.
    fn of_parts(&self, kind: Kind, text: &str) -> StoredChecksum {
        let (value, count) = match text.rsplit_once('-') {
            Some((value, _)) if is_composite(text) => (value, part_count(text)),
            _ => (text, self.etag.and_then(part_count)),
        };
        let Ok(value) = Digest::parse(kind, value) else { return damaged(kind) };
        match count.filter(|&parts| parts > 0 && u64::from(parts) <= MAX_PARTS) {
            Some(parts) => StoredChecksum::Composite { value, parts },
            None => StoredChecksum::NotUsable(format!("the stored {} does not say of how many parts", kind.name())),
        }
    }
}

fn damaged(kind: Kind) -> StoredChecksum {
    StoredChecksum::Damaged(format!("the stored {} is not a checksum", kind.name()))
}

/// The lower, the better; among equals the first in the order of `Kind::ALL`.
fn rank(checksum: &StoredChecksum) -> u8 {
    match checksum {
        StoredChecksum::FullObject(..) => 0,
        StoredChecksum::FullSha(_) => 1,
        StoredChecksum::Damaged(_) => 2,
        StoredChecksum::Composite { .. } => 3,
        StoredChecksum::NotUsable(_) => 4,
        StoredChecksum::None => 5,
    }
}

/// The list of algorithms is open (C7).
fn unknown_algorithm(headers: &HeaderMap) -> Option<StoredChecksum> {
    let name = |header: &str| {
        let name = header.strip_prefix(PREFIX)?;
        let is_one = !name.is_empty() && name.len() <= LONGEST_NAME && !NO_VALUES.contains(&name);
        is_one.then(|| name.to_uppercase())
    };
    let name = headers.keys().find_map(|header| name(header.as_str()))?;
    Some(StoredChecksum::NotUsable(format!("only {name} is stored, which is not computed here")))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::checksum::{Algorithm, Sha, encode};
    use proptest::prelude::*;

    const CRC64: &str = "x-amz-checksum-crc64nvme";
    const CRC32C: &str = "x-amz-checksum-crc32c";
    const SHA256: &str = "x-amz-checksum-sha256";
    const SHA1: &str = "x-amz-checksum-sha1";
    const FULL: (&str, &str) = ("x-amz-checksum-type", "FULL_OBJECT");
    const COMPOSITE: (&str, &str) = ("x-amz-checksum-type", "COMPOSITE");
    const SHA256_OF_NOTHING: &str = "47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=";
    const SHA1_OF_NOTHING: &str = "2jmj7l5rSw0yVb/vlWAYkK/YBwk=";

    type Pairs<'a> = &'a [(&'a str, &'a str)];

    fn found(pairs: Pairs<'_>, etag: &str) -> StoredChecksum {
        let mut headers = HeaderMap::new();
        for (name, value) in pairs {
            headers.append(
                http::HeaderName::from_bytes(name.as_bytes()).unwrap(),
                http::HeaderValue::from_bytes(value.as_bytes()).unwrap(),
            );
        }
        stored_checksum(&headers, Some(etag))
    }

    fn sha256() -> Digest {
        Digest::parse(Kind::Sha(Sha::Sha256), SHA256_OF_NOTHING).unwrap()
    }

    fn crc(algorithm: Algorithm, value: u64, parts: u32) -> StoredChecksum {
        StoredChecksum::Composite { value: Digest::of_crc(algorithm, value), parts }
    }

    /// C3
    #[test]
    fn values_over_all_bytes() {
        let value = encode(Algorithm::Crc64Nvme, 7);
        let full = StoredChecksum::FullObject(Algorithm::Crc64Nvme, 7);
        assert_eq!(found(&[(CRC64, &value), FULL], "\"a-2\""), full);
        assert_eq!(found(&[(CRC64, &value), ("x-amz-checksum-type", "full_object")], "\"a-2\""), full);
        assert_eq!(found(&[(CRC64, &value)], "\"a\""), full);
        assert_eq!(found(&[(SHA256, SHA256_OF_NOTHING), FULL], "\"a-2\""), StoredChecksum::FullSha(sha256()));
        assert_eq!(found(&[(SHA256, SHA256_OF_NOTHING)], "\"a\""), StoredChecksum::FullSha(sha256()));
        assert_eq!(found(&[], "\"a\""), StoredChecksum::None);
        assert_eq!(found(&[FULL], "\"a\""), StoredChecksum::None);
    }

    /// C3, C6
    #[test]
    fn values_over_parts() {
        let plain = encode(Algorithm::Crc32c, 7);
        let marked = format!("{plain}-3");
        let composite = crc(Algorithm::Crc32c, 7, 3);
        assert_eq!(found(&[(CRC32C, &marked), COMPOSITE], "\"opaque\""), composite);
        assert_eq!(found(&[(CRC32C, &marked)], "\"a-3\""), composite);
        assert_eq!(found(&[(CRC32C, &marked), FULL], "\"a-3\""), composite, "the value says more than its type");
        assert_eq!(found(&[(CRC32C, &plain), COMPOSITE], "\"a-3\""), composite, "the ETag has the number");
        assert_eq!(found(&[(CRC32C, &marked), COMPOSITE], "\"a-4\""), composite, "the ETag is opaque");
        let sha = format!("{SHA256_OF_NOTHING}-10000");
        let many = StoredChecksum::Composite { value: sha256(), parts: 10_000 };
        assert_eq!(found(&[(SHA256, &sha), COMPOSITE], "\"a\""), many);
    }

    #[test]
    fn what_cannot_be_told_is_not_usable() {
        let value = encode(Algorithm::Crc32c, 7);
        let many = format!("{value}-10001");
        let absurd = format!("{value}-99999999999999999999");
        let none = format!("{value}-0");
        let table: [(Pairs<'_>, &str, &str); 9] = [
            (&[(CRC32C, &value)], "\"a-2\"", "may be composite"),
            (&[(SHA1, SHA1_OF_NOTHING)], "W/\"a-2\"", "may be composite"),
            (&[(CRC32C, &value), COMPOSITE], "\"a\"", "of how many parts"),
            (&[(CRC32C, &many)], "\"a\"", "of how many parts"),
            (&[(CRC32C, &absurd)], "\"a\"", "of how many parts"),
            (&[(CRC32C, &none)], "\"a\"", "of how many parts"),
            (&[(CRC32C, &value), ("x-amz-checksum-type", "OTHER")], "\"a\"", "unknown type"),
            (&[("x-amz-checksum-xxhash64", "x"), FULL], "\"a\"", "XXHASH64"),
            (&[("x-amz-checksum-sha512", "###")], "\"a\"", "SHA512"),
        ];
        for (headers, etag, why) in table {
            let StoredChecksum::NotUsable(text) = found(headers, etag) else { panic!("{:?}", found(headers, etag)) };
            assert!(text.contains(why), "{text}");
        }
    }

    /// #32, C8
    #[test]
    fn what_is_no_checksum_is_damaged() {
        for (name, value) in [
            (CRC32C, "###"),
            (CRC32C, ""),
            (CRC32C, "-"),
            (CRC32C, "-1"),
            (CRC32C, "###-2"),
            (CRC32C, "ü"),
            (SHA256, SHA1_OF_NOTHING),
            (SHA256, "x-5"),
        ] {
            for kind in [None, Some(FULL), Some(COMPOSITE)] {
                let headers: Vec<_> = [Some((name, value)), kind].into_iter().flatten().collect();
                assert!(matches!(found(&headers, "\"a\""), StoredChecksum::Damaged(_)), "{headers:?}");
            }
        }
    }

    #[test]
    fn of_several_the_one_that_proves_most() {
        let crc32c = encode(Algorithm::Crc32c, 7);
        let crc64 = encode(Algorithm::Crc64Nvme, 9);
        let (crc32c_of_parts, sha_of_parts) = (format!("{crc32c}-2"), format!("{SHA256_OF_NOTHING}-2"));
        let full_crc = StoredChecksum::FullObject(Algorithm::Crc64Nvme, 9);
        let full_sha = StoredChecksum::FullSha(sha256());
        assert_eq!(
            found(&[(SHA256, SHA256_OF_NOTHING), (CRC32C, &crc32c_of_parts), (CRC64, &crc64)], "\"a\""),
            full_crc
        );
        assert_eq!(found(&[(SHA1, SHA1_OF_NOTHING), (SHA256, SHA256_OF_NOTHING)], "\"a\""), full_sha);
        assert_eq!(found(&[(CRC32C, &crc32c_of_parts), (SHA256, SHA256_OF_NOTHING)], "\"a\""), full_sha);
        let of_parts = found(&[(SHA256, &sha_of_parts), (CRC32C, &crc32c_of_parts)], "\"a\"");
        assert_eq!(of_parts, crc(Algorithm::Crc32c, 7, 2));
        let beside_unknown = found(&[("x-amz-checksum-xxhash3", "x"), (CRC32C, &crc32c_of_parts)], "\"a\"");
        assert_eq!(beside_unknown, crc(Algorithm::Crc32c, 7, 2));
        let damaged = found(&[(CRC64, "###"), (CRC32C, &crc32c_of_parts)], "\"a\"");
        assert!(matches!(damaged, StoredChecksum::Damaged(_)));
        assert_eq!(found(&[(CRC32C, "###"), (CRC64, &crc64)], "\"a\""), full_crc);
    }

    proptest! {
        #[test]
        fn never_panics(
            pairs in prop::collection::vec((0..8_usize, "[ -~ü]{0,80}"), 0..6),
            etag in "[\"A-Za-z0-9-]{0,40}",
        ) {
            let names =
                [CRC64, CRC32C, SHA256, SHA1, "x-amz-checksum-type", "x-amz-checksum-", "x-amz-checksum-new", "etag"];
            let pairs: Vec<_> = pairs.iter().map(|(at, value)| (names[*at], value.as_str())).collect();
            if let StoredChecksum::Composite { parts, .. } = found(&pairs, &etag) {
                prop_assert!(parts > 0 && u64::from(parts) <= MAX_PARTS);
            }
        }
    }
}
