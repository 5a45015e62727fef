//! Answers of which only the root says whether they are an error (C11, #39): Complete, CopyObject, UploadPartCopy.

use s3z::s3::xml::{CompleteOutcome, parse_complete, parse_copy, parse_copy_part, parse_create_multipart};

use super::{is_plain, root};

type Parser = fn(&[u8]) -> s3z::error::Result<CompleteOutcome>;

const PARSERS: [(&str, Parser); 3] = [
    ("CompleteMultipartUploadResult", parse_complete),
    ("CopyObjectResult", parse_copy),
    ("CopyPartResult", parse_copy_part),
];

pub fn holds(data: &[u8]) -> bool {
    if let Ok(id) = parse_create_multipart(data) {
        assert!(!id.is_empty() && id.trim() == id && id.len() <= data.len());
        assert_eq!(root(data).as_deref(), Some("InitiateMultipartUploadResult"));
    }
    let mut done = 0;
    let mut errors = 0;
    for (expected, parse) in PARSERS {
        match parse(data) {
            Ok(CompleteOutcome::Done { etag, checksums, .. }) => {
                done += 1;
                assert_eq!(root(data).as_deref(), Some(expected));
                assert!(!etag.is_empty() && etag.len() <= data.len());
                assert!(checksums.len() * "<Checksum".len() <= data.len());
                cut_is_no_success(data, parse);
            }
            Ok(CompleteOutcome::Error(error)) => {
                errors += 1;
                assert_eq!(root(data).as_deref(), Some("Error"));
                assert!(is_plain(&error.code) && is_plain(&error.message));
            }
            Err(_) => {}
        }
    }
    assert!(done <= 1 && (errors == 0 || (errors == 3 && done == 0)), "{done} successes, {errors} errors");
    done == 1
}

/// A body that broke off is never a success, wherever it broke.
fn cut_is_no_success(data: &[u8], parse: Parser) {
    let end = data.len() - data.iter().rev().take_while(|byte| byte.is_ascii_whitespace()).count();
    for at in [end - 1, end / 2, end.saturating_sub(7)] {
        let cut = parse(&data[..at]);
        assert!(!matches!(cut, Ok(CompleteOutcome::Done { .. })) || closed_before(data, at), "cut at {at} of {end}");
    }
}

/// Whether nothing but comments and instructions stand behind the cut: then nothing of the answer is missing.
fn closed_before(data: &[u8], at: usize) -> bool {
    let rest = String::from_utf8_lossy(&data[at..]);
    let mut rest = rest.trim_start_matches(|c: char| c.is_ascii_whitespace());
    while !rest.is_empty() {
        let close = match rest.get(..2) {
            Some("<!") => "-->",
            Some("<?") => "?>",
            _ => return false,
        };
        let Some((_, behind)) = rest.split_once(close) else { return false };
        rest = behind.trim_start_matches(|c: char| c.is_ascii_whitespace());
    }
    true
}
