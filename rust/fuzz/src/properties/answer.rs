//! The checks of an answer to a GET (I2–I8, I14): lines are the status, the range asked for (`10-20`, half-open, or
//! `-`), the pinned version (`size etag`, or `-`), and then one header each.

use std::ops::Range;

use http::{HeaderMap, HeaderName, HeaderValue};
use s3z::config::MAX_OBJECT;
use s3z::s3::fuzzing::{check_answer, parse_content_range};
use s3z::s3::object::ObjectIdentity;

use super::digits;

struct Case {
    status: u16,
    range: Option<Range<u64>>,
    pinned: Option<ObjectIdentity>,
    headers: HeaderMap,
}

pub fn holds(data: &[u8]) -> bool {
    let case = Case::read(data);
    let accepted = check_answer(case.status, &case.headers, case.range.clone(), case.pinned.as_ref());
    let Some((identity, got)) = &accepted else { return false };
    assert!(
        case.values("content-length").is_empty() || case.values("transfer-encoding").is_empty(),
        "two lengths contradict each other"
    );
    assert!(identity.size <= MAX_OBJECT, "I14");
    match case.status {
        206 => case.partial(identity, got.clone().expect("a 206 says which bytes it holds")),
        200 => case.whole(identity, got.clone()),
        other => panic!("status {other} was accepted"),
    }
    if let Some(pinned) = &case.pinned {
        assert_eq!((&identity.etag, identity.size), (&pinned.etag, pinned.size), "I3");
    }
    true
}

impl Case {
    fn read(data: &[u8]) -> Self {
        let mut lines = data.split(|byte| *byte == b'\n');
        let mut text = || String::from_utf8_lossy(lines.next().unwrap_or_default()).into_owned();
        let (status, range, pinned) = (text(), text(), text());
        let range = range.split_once('-').and_then(|(start, end)| Some(digits(start)?..digits(end)?));
        let pinned = pinned.split_once(' ').and_then(|(size, etag)| {
            Some(ObjectIdentity { size: digits(size)?, etag: Some(etag.to_owned()), ..ObjectIdentity::default() })
        });
        let mut headers = HeaderMap::new();
        for line in lines {
            let at = line.iter().position(|byte| *byte == b':').unwrap_or(line.len());
            let (name, value) = line.split_at(at);
            let value = value.get(1..).unwrap_or_default().trim_ascii();
            if let (Ok(name), Ok(value)) = (HeaderName::from_bytes(name), HeaderValue::from_bytes(value)) {
                headers.append(name, value);
            }
        }
        let status = digits(&status).and_then(|status| u16::try_from(status).ok()).unwrap_or(206);
        // A range that is asked for has at least one byte.
        Self { status, range: range.filter(|range| range.start < range.end), pinned, headers }
    }

    fn values(&self, name: &str) -> Vec<&[u8]> {
        self.headers.get_all(name).iter().map(HeaderValue::as_bytes).collect()
    }

    fn length(&self) -> Option<u64> {
        let values = self.values("content-length");
        values.first().map(|value| digits(&String::from_utf8_lossy(value)).expect("a length that is a number"))
    }

    /// I6.
    fn partial(&self, identity: &ObjectIdentity, got: Range<u64>) {
        let asked = self.range.clone().expect("206 only to a range");
        let [value] = self.values("content-range")[..] else { panic!("exactly one Content-Range") };
        let (named, total) = parse_content_range(&String::from_utf8_lossy(value)).expect("of strict grammar");
        assert_eq!((&named, total), (&got, identity.size), "what the header says is what is used");
        assert_eq!(got.start, asked.start);
        assert!(got.start < got.end && got.end <= asked.end.min(total));
        assert!(self.length().is_none_or(|length| length == got.end - got.start));
        for kind in self.values("content-type") {
            let kind = String::from_utf8_lossy(kind).trim().to_ascii_lowercase();
            assert!(!kind.starts_with("multipart/byteranges"));
        }
    }

    /// I7.
    fn whole(&self, identity: &ObjectIdentity, got: Option<Range<u64>>) {
        let all = |range: &Range<u64>| range.start == 0 && self.pinned.as_ref().is_none_or(|p| range.end >= p.size);
        assert!(self.range.as_ref().is_none_or(all), "a 200 where a part was asked for");
        match (self.length(), got) {
            (Some(length), Some(got)) => assert_eq!((got, identity.size), (0..length, length)),
            (None, None) => {
                let codings = self.values("transfer-encoding");
                assert!(codings.len() == 1 && codings[0].eq_ignore_ascii_case(b"chunked"), "chunks, and nothing else");
            }
            (length, got) => panic!("length {length:?}, but {got:?}"),
        }
    }
}
