//! `Content-Range` (I6, #9): exactly the strict grammar, no number that does not fit.

use s3z::s3::fuzzing::parse_content_range;

use super::{digits, fields};

pub fn holds(data: &[u8]) -> bool {
    let [value] = fields(data);
    let parsed = parse_content_range(&value);
    assert_eq!(parsed, by_the_grammar(&value), "{value:?}");
    if let Some((range, total)) = &parsed {
        assert!(range.start < range.end && range.end <= *total);
        let canonical = format!("bytes {}-{}/{total}", range.start, range.end - 1);
        assert_eq!(parse_content_range(&canonical), parsed, "the same again from its canonical form");
    }
    parsed.is_some()
}

/// `bytes first-last/total`, one byte after another.
fn by_the_grammar(value: &str) -> Option<(std::ops::Range<u64>, u64)> {
    let rest = value.as_bytes().strip_prefix(b"bytes ")?;
    let dash = rest.iter().position(|byte| *byte == b'-')?;
    let slash = rest.iter().position(|byte| *byte == b'/').filter(|slash| *slash > dash)?;
    let number = |part: &[u8]| digits(std::str::from_utf8(part).ok()?);
    let (first, last, total) = (number(&rest[..dash])?, number(&rest[dash + 1..slash])?, number(&rest[slash + 1..])?);
    (first <= last && last < total).then(|| (first..last + 1, total))
}
