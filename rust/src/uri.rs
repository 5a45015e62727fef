//! `s3://bucket/key`, read strictly (S13), and which buckets and keys may travel at all.
//!
//! A key is every byte after the first `/`, unchanged: nothing is decoded, nothing normalised. `validate_bucket`
//! refuses names that could change the meaning of a URL, not legacy names that S3 once allowed. `check_key` refuses
//! keys whose URL path would be rewritten on the way (S12); it is not asked where a key travels in a body or query.

use std::fmt;

use crate::error::{Error, ErrorKind, Result, escape};

/// Longest argument, in characters, that an error shows.
const MAX_ARGUMENT: usize = 200;
/// The longest bucket name that ever was allowed.
const MAX_BUCKET: usize = 255;

/// A remote argument; an empty key names the bucket.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct S3Uri {
    pub bucket: String,
    pub key: String,
}

impl S3Uri {
    pub fn parse(uri: &str) -> Result<Self> {
        let Some(rest) = uri.strip_prefix("s3://") else {
            return Err(Error::config(format!("\"{}\" is not an s3 URI: write s3://BUCKET/KEY", shown(uri))));
        };
        let (bucket, key) = rest.split_once('/').unwrap_or((rest, ""));
        if bucket.is_empty() {
            return Err(Error::config(format!("\"{}\" names no bucket: write s3://BUCKET/KEY", shown(uri))));
        }
        validate_bucket(bucket)?;
        Ok(Self { bucket: bucket.to_owned(), key: key.to_owned() })
    }
}

impl fmt::Display for S3Uri {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "s3://{}", self.bucket)?;
        if self.key.is_empty() { Ok(()) } else { write!(f, "/{}", self.key) }
    }
}

/// A refused argument, fit to be shown: a presigned URL's query and passwords in a URL are left out (S7).
fn shown(uri: &str) -> String {
    let plain = uri.split('?').next().unwrap_or_default();
    let start = plain.find("://").map_or(0, |at| at + 3);
    let end = plain[start..].find('/').map_or(plain.len(), |at| start + at);
    match plain[start..end].rfind('@') {
        Some(at) => escape(&format!("{}***{}", &plain[..start], &plain[start + at..]), MAX_ARGUMENT),
        None => escape(plain, MAX_ARGUMENT),
    }
}

/// Refuses a bucket name that could not stand safely in a path or host name.
pub fn validate_bucket(bucket: &str) -> Result<()> {
    let refuse = |why: &str| {
        let name = escape(bucket, MAX_ARGUMENT);
        Err(Error::config(format!("\"{name}\" is not a bucket name: {why}")))
    };
    if bucket.contains('@') {
        let text = "a bucket name has no \"@\": keys do not belong in a URI, set them in the environment or a profile";
        return Err(Error::config(text));
    }
    if bucket.is_empty() {
        return Err(Error::config("the bucket name is empty"));
    }
    if bucket.contains(['*', '?']) {
        return refuse("bucket names take no wildcards");
    }
    if bucket.len() > MAX_BUCKET {
        return refuse("it is longer than 255 characters");
    }
    if !bucket.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b'-')) {
        return refuse("use letters, digits, \"-\", \".\" and \"_\"");
    }
    if bucket.starts_with(['.', '-']) || bucket.ends_with(['.', '-']) {
        return refuse("it must start and end with a letter or digit");
    }
    if bucket.contains("..") {
        return refuse("two dots stand side by side");
    }
    Ok(())
}

/// Refuses a key that cannot be sent in a URL path exactly as it is.
pub fn check_key(key: &str) -> Result<()> {
    if key.is_empty() {
        return Err(Error::config("this names a bucket, not an object: add a key, s3://BUCKET/KEY"));
    }
    if key.contains('\0') {
        let text = format!("key \"{}\" has a NUL byte, which no request can carry", escape(key, MAX_ARGUMENT));
        return Err(Error::new(ErrorKind::UnsafeKey, text));
    }
    if key.split('/').any(|segment| matches!(segment, "." | "..")) {
        let name = escape(key, MAX_ARGUMENT);
        let text =
            format!("key \"{name}\" has a \".\" or \"..\" segment: on the way it could turn into another object");
        return Err(Error::new(ErrorKind::UnsafeKey, text));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn key_is_every_byte_after_the_first_slash() {
        let table = [
            ("s3://b", "b", ""),
            ("s3://b/", "b", ""),
            ("s3://b//", "b", "/"),
            ("s3://b/k", "b", "k"),
            ("s3://b/a//b/", "b", "a//b/"),
            ("s3://b/a?x#y%2F+ z", "b", "a?x#y%2F+ z"),
            ("s3://b/s3://c/d", "b", "s3://c/d"),
            ("s3://My_Bucket.old/ü\n*", "My_Bucket.old", "ü\n*"),
        ];
        for (text, bucket, key) in table {
            let uri = S3Uri::parse(text).unwrap();
            assert_eq!((uri.bucket.as_str(), uri.key.as_str()), (bucket, key));
        }
    }

    #[test]
    fn refusals_name_argument_and_fix() {
        let table = [
            ("", "write s3://BUCKET/KEY"),
            ("bucket/key", "\"bucket/key\" is not an s3 URI: write s3://BUCKET/KEY"),
            ("S3://b/k", "\"S3://b/k\" is not an s3 URI"),
            ("s3:/b/k", "is not an s3 URI"),
            (" s3://b/k", "is not an s3 URI"),
            ("https://b/k", "\"https://b/k\" is not an s3 URI"),
            ("s3://", "\"s3://\" names no bucket"),
            ("s3:///k", "\"s3:///k\" names no bucket"),
            ("s3://b*/k", "bucket names take no wildcards"),
            ("s3://b\u{1b}[1m/k", "\"b\\x1b[1m\" is not a bucket name"),
        ];
        for (text, message) in table {
            let error = S3Uri::parse(text).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Config);
            assert!(error.message().contains(message), "{}", error.message());
        }
    }

    #[test]
    fn refusals_show_no_secret() {
        let canary = "CANARY";
        for text in [
            "s3://AKID:CANARY@bucket/key",
            "https://user:CANARY@host/key",
            "https://user:CAN@CANARY@host",
            "https://b.s3.amazonaws.com/k?X-Amz-Signature=CANARY",
        ] {
            assert!(!S3Uri::parse(text).unwrap_err().message().contains(canary), "{text}");
        }
    }

    #[test]
    fn bucket_names() {
        let long = "a".repeat(255);
        for good in ["abc", "a", "a.b-c_d", "ABC", "1", &long] {
            assert!(validate_bucket(good).is_ok(), "{good}");
        }
        let longer = "a".repeat(256);
        for bad in ["", "a..b", ".a", "a.", "-a", "a-", "..", "a b", "a/b", "ü", "a:b", "a?b", "a#b", "a%b", &longer] {
            assert_eq!(validate_bucket(bad).unwrap_err().kind(), ErrorKind::Config, "{bad}");
        }
    }

    #[test]
    fn dot_segments_are_refused() {
        for bad in [".", "..", "a/..", "../a", "a/./b", "a/../../other/k", "/..", "./", "a\0b"] {
            assert_eq!(check_key(bad).unwrap_err().kind(), ErrorKind::UnsafeKey, "{bad}");
        }
        for good in ["a", "/", "//", "/a", "a.", "...", ".a", "a..", "a/.../b", "%2e%2e", "+ ~={}%#?", "a\r\n", "."] {
            assert_eq!(check_key(good).is_ok(), good != ".", "{good}");
        }
        assert_eq!(check_key("").unwrap_err().kind(), ErrorKind::Config);
        assert!(check_key(&"k".repeat(2000)).is_ok());
    }

    proptest! {
        #[test]
        fn every_key_comes_back(key in any::<String>()) {
            let uri = S3Uri::parse(&format!("s3://bucket/{key}")).unwrap();
            prop_assert_eq!(&uri.key, &key);
            prop_assert_eq!(S3Uri::parse(&uri.to_string()).unwrap(), uri);
        }

        #[test]
        fn parsing_never_panics(text in any::<String>()) {
            let _ = S3Uri::parse(&text);
            let _ = S3Uri::parse(&format!("s3://{text}"));
        }

        #[test]
        fn a_checked_key_has_no_segment_that_urls_normalise(key in "[./a]{1,12}") {
            let dots = format!("/{key}/").contains("/./") || format!("/{key}/").contains("/../");
            prop_assert_eq!(check_key(&key).is_err(), dots);
        }
    }
}
