//! Stored checksums (C3, C8, #32): lines are the ETag, then one header each (`name: value`). A value is used only where it
//! is the exact base64 of the right length, and as what it was computed from: all bytes, or parts.

use http::{HeaderMap, HeaderName, HeaderValue};
use s3z::checksum::{Digest, Kind, encode, is_composite, part_count};
use s3z::config::MAX_PARTS;
use s3z::s3::fuzzing::stored_checksum;
use s3z::s3::object::StoredChecksum;

use super::{fields, is_plain};

struct Case {
    etag: Option<String>,
    headers: HeaderMap,
}

pub fn holds(data: &[u8]) -> bool {
    let case = Case::read(data);
    counts_parts(case.etag.as_deref().unwrap_or_default());
    for value in case.headers.values().filter_map(|value| value.to_str().ok()) {
        value_is_exact(value);
    }
    match stored_checksum(&case.headers, case.etag.as_deref()) {
        StoredChecksum::FullObject(algorithm, value) => {
            case.is_of_all_bytes(algorithm.header(), &encode(algorithm, value))
        }
        StoredChecksum::FullSha(digest) => case.is_of_all_bytes(digest.kind().header(), &digest.encode()),
        StoredChecksum::Composite { value, parts } => case.is_of_parts(&value, parts),
        StoredChecksum::NotUsable(why) | StoredChecksum::Damaged(why) => {
            assert!(is_plain(&why) && why.len() < 120, "{why:?}");
            assert!(case.headers.keys().any(|name| name.as_str().starts_with("x-amz-checksum-")));
            return false;
        }
        StoredChecksum::None => {
            assert!(Kind::ALL.into_iter().all(|kind| !case.headers.contains_key(kind.header())));
            return false;
        }
    }
    true
}

impl Case {
    fn read(data: &[u8]) -> Self {
        let [etag, lines] = fields(data);
        let mut headers = HeaderMap::new();
        for (name, value) in lines.lines().filter_map(|line| line.split_once(": ")) {
            if let (Ok(name), Ok(value)) = (name.parse::<HeaderName>(), HeaderValue::from_bytes(value.as_bytes())) {
                headers.append(name, value);
            }
        }
        Self { etag: Some(etag).filter(|etag| !etag.is_empty()), headers }
    }

    fn text(&self, name: &str) -> Option<&str> {
        self.headers.get(name)?.to_str().ok()
    }

    fn kind(&self) -> Option<String> {
        self.headers.get("x-amz-checksum-type").map(|kind| kind.to_str().unwrap_or("?").to_ascii_uppercase())
    }

    fn is_of_all_bytes(&self, header: &str, value: &str) {
        assert_eq!(self.text(header), Some(value));
        match self.kind() {
            Some(kind) => assert_eq!(kind, "FULL_OBJECT"),
            None => assert!(!self.etag.as_deref().is_some_and(ends_in_a_count), "C3: without a type, an ETag of parts"),
        }
    }

    fn is_of_parts(&self, value: &Digest, parts: u32) {
        assert!((1..=MAX_PARTS).contains(&u64::from(parts)), "{parts} parts");
        let text = self.text(value.kind().header()).expect("a header with it");
        match text.strip_prefix(value.encode().as_str()) {
            Some("") => {
                assert_eq!(self.kind().as_deref(), Some("COMPOSITE"));
                assert_eq!(self.etag.as_deref().and_then(part_count), Some(parts));
            }
            Some(count) => assert_eq!(count.trim_matches('"').strip_prefix('-').map(str::parse), Some(Ok(parts))),
            None => panic!("{text:?} is not {}", value.encode()),
        }
    }
}

fn value_is_exact(text: &str) {
    for kind in Kind::ALL {
        match Digest::parse(kind, text) {
            Ok(value) => assert_eq!((value.encode().as_str(), value.kind()), (text, kind), "one value, one text"),
            Err(error) => assert!(is_plain(error.message()) && error.message().chars().count() < 64 * 10 + 100),
        }
    }
    counts_parts(text);
}

fn counts_parts(text: &str) {
    assert_eq!(is_composite(text), ends_in_a_count(text), "{text:?}");
    if let Some(count) = part_count(text) {
        assert!(is_composite(text));
        assert_eq!(part_count(&format!("\"x-{count}\"")), Some(count));
    }
}

/// `…-N`, quotes around it or not.
fn ends_in_a_count(text: &str) -> bool {
    let bare = text.trim_matches('"');
    let before = bare.trim_end_matches(|c: char| c.is_ascii_digit());
    before.len() < bare.len() && before.ends_with('-')
}
