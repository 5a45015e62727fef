//! What an answer to a GET must look like before one of its bytes is used; pure.
//!
//! Owns the rules I2–I8 and I14: status, Content-Range, length, identity. It sees a status and headers, never a
//! body or a socket. Invariant: an `Accepted` says exactly which bytes of which version the body holds.

use std::ops::Range;

use http::HeaderMap;
use http::header::{CONTENT_LENGTH, CONTENT_RANGE, CONTENT_TYPE, ETAG, LAST_MODIFIED, TRANSFER_ENCODING};

use crate::config::MAX_OBJECT;
use crate::s3::object::ObjectIdentity;

/// What was asked for.
#[derive(Debug, Clone)]
pub(super) struct Asked<'a> {
    /// `None`: a plain GET of the whole object.
    pub range: Option<Range<u64>>,
    /// Without a range: the last so many bytes.
    pub tail: Option<u64>,
    /// The identity fixed by discovery; `None` while it is being discovered.
    pub pinned: Option<&'a ObjectIdentity>,
}

#[derive(Debug, Clone, PartialEq)]
pub(super) struct Accepted {
    pub identity: ObjectIdentity,
    /// The bytes that the body holds; `None`: all, of a length that only the body's end will tell.
    pub range: Option<Range<u64>>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Refused {
    /// The rules of a range answer are broken; the text says which.
    BadAnswer(String),
    /// The store holds another version now.
    Changed,
    /// A 200 to a range that starts later: the store does not do ranges (I7).
    RangeIgnored,
}

/// Checks a successful answer to a GET; nothing of the body may be used before.
pub(super) fn check(status: u16, headers: &HeaderMap, asked: &Asked<'_>) -> Result<Accepted, Refused> {
    if headers.contains_key(CONTENT_LENGTH) && headers.contains_key(TRANSFER_ENCODING) {
        return Err(bad("Content-Length and Transfer-Encoding contradict each other"));
    }
    match (status, &asked.range) {
        (206, Some(range)) => check_partial(headers, |_| range.clone(), asked.pinned),
        (206, None) if asked.tail.is_some() => {
            let tail = asked.tail.unwrap_or(0);
            let accepted = check_partial(headers, |total| total.saturating_sub(tail)..total, asked.pinned)?;
            let is_whole = accepted.range.as_ref().is_some_and(|range| range.end == accepted.identity.size);
            if is_whole { Ok(accepted) } else { Err(bad("the last bytes were asked for, and others came")) }
        }
        (200, None) if asked.tail.is_some() => {
            let accepted = check_whole(headers, None, asked.pinned)?;
            let fits = accepted.range.as_ref().is_some_and(|range| Some(range.end) <= asked.tail);
            if fits { Ok(accepted) } else { Err(Refused::RangeIgnored) }
        }
        (206, None) => Err(bad("206 to a request without a range")),
        (200, range) => check_whole(headers, range.as_ref(), asked.pinned),
        _ => Err(bad(format!("status {status} where 200 or 206 was expected"))),
    }
}

fn check_partial(
    headers: &HeaderMap,
    asked: impl FnOnce(u64) -> Range<u64>,
    pinned: Option<&ObjectIdentity>,
) -> Result<Accepted, Refused> {
    if headers.get_all(CONTENT_TYPE).iter().any(is_byteranges) {
        return Err(bad("a multipart/byteranges answer to a single range"));
    }
    let mut values = headers.get_all(CONTENT_RANGE).iter();
    let (Some(value), None) = (values.next(), values.next()) else {
        return Err(bad("a 206 needs exactly one Content-Range"));
    };
    let value = value.to_str().map_err(|_| bad("Content-Range is not text"))?;
    let (got, total) = parse_content_range(value).ok_or_else(|| bad("Content-Range cannot be understood"))?;
    let (identity, asked) = (identity(headers, total), asked(total));
    if let Some(pinned) = pinned {
        check_same(&identity, pinned)?;
    }
    if total > MAX_OBJECT {
        return Err(bad("Content-Range names a size no object can have"));
    }
    if got.start != asked.start || got.end > asked.end.min(total) {
        return Err(bad(format!(
            "bytes {}-{} came instead of {}-{}",
            got.start,
            got.end - 1,
            asked.start,
            asked.end - 1
        )));
    }
    if let Some(length) = content_length(headers)?
        && length != got.end - got.start
    {
        return Err(bad(format!("Content-Length is {length} where the range holds {}", got.end - got.start)));
    }
    Ok(Accepted { identity, range: Some(got) })
}

fn check_whole(
    headers: &HeaderMap,
    asked: Option<&Range<u64>>,
    pinned: Option<&ObjectIdentity>,
) -> Result<Accepted, Refused> {
    let length = content_length(headers)?;
    if length.is_none() && !is_chunked(headers) {
        return Err(bad("neither a Content-Length nor chunks say where the body ends"));
    }
    if length.is_some_and(|length| length > MAX_OBJECT) {
        return Err(bad("Content-Length names a size no object can have"));
    }
    let size = length.or(pinned.map(|pinned| pinned.size)).unwrap_or(0);
    let identity = identity(headers, size);
    if let Some(pinned) = pinned {
        check_same(&identity, pinned)?;
    }
    if asked.is_some_and(|range| range.start > 0 || pinned.is_some_and(|pinned| range.end < pinned.size)) {
        return Err(Refused::RangeIgnored);
    }
    Ok(Accepted { identity, range: length.map(|length| 0..length) })
}

/// Whatever else is in the value: one that is too long or not text is still one.
fn is_byteranges(kind: &http::HeaderValue) -> bool {
    const BYTERANGES: &[u8] = b"multipart/byteranges";
    let kind = kind.as_bytes().trim_ascii_start();
    kind.get(..BYTERANGES.len()).is_some_and(|start| start.eq_ignore_ascii_case(BYTERANGES))
}

/// Chunks and nothing else. Of several codings the HTTP library goes by the last one, and takes the end of the
/// connection for the end of a body that is not in chunks.
fn is_chunked(headers: &HeaderMap) -> bool {
    let mut codings = headers.get_all(TRANSFER_ENCODING).iter();
    matches!((codings.next(), codings.next()), (Some(one), None) if one.as_bytes().eq_ignore_ascii_case(b"chunked"))
}

/// I3: every answer is of the pinned version, or not used.
fn check_same(got: &ObjectIdentity, pinned: &ObjectIdentity) -> Result<(), Refused> {
    let same_version = match (&got.version_id, &pinned.version_id) {
        (Some(got), Some(pinned)) => got == pinned,
        _ => true,
    };
    if got.etag == pinned.etag && got.size == pinned.size && same_version { Ok(()) } else { Err(Refused::Changed) }
}

fn identity(headers: &HeaderMap, size: u64) -> ObjectIdentity {
    let version_id = headers.get("x-amz-version-id").and_then(|value| value.to_str().ok());
    ObjectIdentity {
        size,
        etag: text(headers, &ETAG).map(str::to_owned),
        version_id: version_id.filter(|id| *id != "null").map(str::to_owned),
        last_modified: text(headers, &LAST_MODIFIED).and_then(|date| httpdate::parse_http_date(date).ok()),
        content_type: text(headers, &CONTENT_TYPE).map(str::to_owned),
        storage_class: headers.get("x-amz-storage-class").and_then(|v| v.to_str().ok()).map(str::to_owned),
    }
}

fn text<'a>(headers: &'a HeaderMap, name: &http::HeaderName) -> Option<&'a str> {
    headers.get(name).and_then(|value| value.to_str().ok()).filter(|value| value.len() <= 8192)
}

fn content_length(headers: &HeaderMap) -> Result<Option<u64>, Refused> {
    let Some(value) = headers.get(CONTENT_LENGTH) else { return Ok(None) };
    let digits = value.to_str().ok().and_then(parse_digits);
    digits.map(Some).ok_or_else(|| bad("Content-Length is not a number"))
}

fn bad(text: impl Into<String>) -> Refused {
    Refused::BadAnswer(text.into())
}

/// `bytes s-e/total` in strict grammar, as a half-open range and the total.
pub fn parse_content_range(value: &str) -> Option<(Range<u64>, u64)> {
    let (range, total) = value.strip_prefix("bytes ")?.split_once('/')?;
    let (first, last) = range.split_once('-')?;
    let (first, last, total) = (parse_digits(first)?, parse_digits(last)?, parse_digits(total)?);
    let end = last.checked_add(1)?;
    (first < end && end <= total).then_some((first..end, total))
}

/// Digits only: no sign, no space, no overflow.
pub(super) fn parse_digits(text: &str) -> Option<u64> {
    (!text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit())).then(|| text.parse().ok())?
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn headers(pairs: &[(&str, &str)]) -> HeaderMap {
        let mut map = HeaderMap::new();
        for (name, value) in pairs {
            map.append(http::HeaderName::from_bytes(name.as_bytes()).unwrap(), value.parse().unwrap());
        }
        map
    }

    fn pinned(size: u64) -> ObjectIdentity {
        ObjectIdentity { size, etag: Some("\"a\"".into()), ..ObjectIdentity::default() }
    }

    fn partial(range: Range<u64>, pairs: &[(&str, &str)]) -> Result<Accepted, Refused> {
        let identity = pinned(100);
        check(206, &headers(pairs), &Asked { range: Some(range), tail: None, pinned: Some(&identity) })
    }

    fn is_bad(outcome: Result<Accepted, Refused>) -> bool {
        matches!(outcome, Err(Refused::BadAnswer(_)))
    }

    #[test]
    fn a_right_206_is_accepted_also_when_shorter() {
        let good =
            partial(10..20, &[("etag", "\"a\""), ("content-range", "bytes 10-19/100"), ("content-length", "10")]);
        assert_eq!(good.unwrap().range, Some(10..20));
        let shorter = partial(10..20, &[("etag", "\"a\""), ("content-range", "bytes 10-14/100")]);
        assert_eq!(shorter.unwrap().range, Some(10..15));
        let capped = partial(90..120, &[("etag", "\"a\""), ("content-range", "bytes 90-99/100")]);
        assert_eq!(capped.unwrap().range, Some(90..100));
    }

    #[test]
    fn wrong_206_answers_are_refused() {
        let etag = ("etag", "\"a\"");
        assert!(is_bad(partial(10..20, &[etag])), "no Content-Range");
        let twice = [etag, ("content-range", "bytes 10-19/100"), ("content-range", "bytes 10-19/100")];
        assert!(is_bad(partial(10..20, &twice)), "two of them");
        for value in ["bytes 11-19/100", "bytes 9-19/100", "bytes 10-20/100", "bytes 10-19/*", "bytes=10-19/100"] {
            assert!(is_bad(partial(10..20, &[etag, ("content-range", value)])), "{value}");
        }
        let length = [etag, ("content-range", "bytes 10-19/100"), ("content-length", "11")];
        assert!(is_bad(partial(10..20, &length)), "length of another range");
        let kind = [etag, ("content-range", "bytes 10-19/100"), ("content-type", "Multipart/ByteRanges; boundary=x")];
        assert!(is_bad(partial(10..20, &kind)));
    }

    #[test]
    fn another_version_is_a_change() {
        let range = ("content-range", "bytes 10-19/100");
        assert_eq!(partial(10..20, &[("etag", "\"b\""), range]), Err(Refused::Changed));
        assert_eq!(partial(10..20, &[range]), Err(Refused::Changed));
        let total = [("etag", "\"a\""), ("content-range", "bytes 10-19/101")];
        assert_eq!(partial(10..20, &total), Err(Refused::Changed));
        let identity = ObjectIdentity { version_id: Some("v1".into()), ..pinned(100) };
        let other = headers(&[("etag", "\"a\""), range, ("x-amz-version-id", "v2")]);
        let asked = Asked { range: Some(10..20), tail: None, pinned: Some(&identity) };
        assert_eq!(check(206, &other, &asked), Err(Refused::Changed));
    }

    #[test]
    fn a_200_is_the_whole_object_or_nothing() {
        let whole = headers(&[("etag", "\"a\""), ("content-length", "100")]);
        let identity = pinned(100);
        let plain = check(200, &whole, &Asked { range: None, tail: None, pinned: None }).unwrap();
        assert_eq!((plain.range, plain.identity.size), (Some(0..100), 100));
        let discovery = check(200, &whole, &Asked { range: Some(0..10), tail: None, pinned: None });
        assert_eq!(discovery.unwrap().range, Some(0..100));
        let later = Asked { range: Some(10..20), tail: None, pinned: Some(&identity) };
        assert_eq!(check(200, &whole, &later), Err(Refused::RangeIgnored));
        let all = Asked { range: Some(0..100), tail: None, pinned: Some(&identity) };
        assert!(check(200, &whole, &all).is_ok());
        let endless = headers(&[("etag", "\"a\"")]);
        assert!(is_bad(check(200, &endless, &Asked { range: None, tail: None, pinned: None })));
        let chunked = headers(&[("etag", "\"a\""), ("transfer-encoding", "chunked")]);
        assert_eq!(check(200, &chunked, &Asked { range: None, tail: None, pinned: None }).unwrap().range, None);
    }

    #[test]
    fn no_other_success_is_one() {
        for status in [201, 202, 203, 204, 207, 226, 304] {
            let headers = headers(&[("etag", "\"a\""), ("content-length", "100")]);
            assert!(is_bad(check(status, &headers, &Asked { range: None, tail: None, pinned: None })), "{status}");
        }
    }

    #[test]
    fn content_range_grammar() {
        assert_eq!(parse_content_range("bytes 0-0/1"), Some((0..1, 1)));
        let refused = [
            "",
            "bytes",
            "bytes ",
            "bytes 0-0/*",
            "bytes */5",
            "bytes 0-/5",
            "bytes -4/5",
            "bytes 5-4/9",
            "bytes 0-5/5",
            "bytes  0-1/5",
            "Bytes 0-1/5",
            "bytes 0-1/5 ",
            "bytes +0-1/5",
            "bytes 0-18446744073709551615/18446744073709551615",
            "bytes 0-1/99999999999999999999",
            "bytes 0-1",
            "bytes 0-1/5/5",
            "bytes 0-1-2/5",
        ];
        for value in refused {
            assert_eq!(parse_content_range(value), None, "{value}");
        }
    }

    proptest! {
        #[test]
        fn content_range_round_trips(first: u64, len in 1u64..u64::MAX, rest: u64) {
            if let Some(end) = first.checked_add(len) && let Some(total) = end.checked_add(rest) {
                let text = format!("bytes {first}-{}/{total}", end - 1);
                prop_assert_eq!(parse_content_range(&text), Some((first..end, total)));
            }
        }

        #[test]
        fn content_range_never_panics(text in "bytes [0-9*+/ -]{0,60}") {
            if let Some((range, total)) = parse_content_range(&text) {
                prop_assert!(range.start < range.end && range.end <= total);
            }
        }
    }
}
