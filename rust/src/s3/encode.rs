//! Percent-encoding, as the signature sees it (S11).
//!
//! Owns the one RFC 3986 encoder for keys, queries and copy sources, and the decoder of `encoding-type=url` answers.
//! Unreserved characters stay, every other byte becomes `%XX` in upper-case hex. It does not normalise: dot segments
//! and double slashes pass unchanged, `uri::check_key` refuses what must not travel in a path.

use crate::error::{Error, ErrorKind, Result};

const HEX: &[u8; 16] = b"0123456789ABCDEF";

/// A key as it stands in a URL path: `/` stays.
pub fn encode_path(key: &str) -> String {
    let mut encoded = String::with_capacity(key.len() + 8);
    push_encoded(&mut encoded, key, true);
    encoded
}

/// A name or value of a query: `/` is encoded too.
pub fn encode_query(text: &str) -> String {
    let mut encoded = String::with_capacity(text.len() + 8);
    push_encoded(&mut encoded, text, false);
    encoded
}

/// Appends `text` encoded, without an allocation of its own.
pub(super) fn push_encoded(target: &mut String, text: &str, slash_stays: bool) {
    let mut rest = text;
    while let Some(at) = rest.bytes().position(|byte| !stays(byte, slash_stays)) {
        target.push_str(&rest[..at]);
        // The byte may be part of a longer character: encode that whole character.
        let next = rest.char_indices().map(|(i, _)| i).find(|&i| i > at).unwrap_or(rest.len());
        for &byte in &rest.as_bytes()[at..next] {
            target.push('%');
            target.push(char::from(HEX[usize::from(byte >> 4)]));
            target.push(char::from(HEX[usize::from(byte & 15)]));
        }
        rest = &rest[next..];
    }
    target.push_str(rest);
}

fn stays(byte: u8, slash_stays: bool) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_' | b'~') || (slash_stays && byte == b'/')
}

/// The plain text of a value that S3 encoded for `encoding-type=url`: form encoding, so `+` is a space.
pub fn decode_url(text: &str) -> Result<String> {
    if !text.bytes().any(|byte| matches!(byte, b'%' | b'+')) {
        return Ok(text.to_owned());
    }
    let mut plain = Vec::with_capacity(text.len());
    let mut bytes = text.bytes();
    while let Some(byte) = bytes.next() {
        plain.push(match byte {
            b'+' => b' ',
            b'%' => {
                let high = bytes.next().and_then(hex_value);
                let low = bytes.next().and_then(hex_value);
                let (Some(high), Some(low)) = (high, low) else { return Err(broken()) };
                high << 4 | low
            }
            byte => byte,
        });
    }
    String::from_utf8(plain).map_err(|_| broken())
}

fn hex_value(byte: u8) -> Option<u8> {
    char::from(byte).to_digit(16).and_then(|digit| u8::try_from(digit).ok())
}

fn broken() -> Error {
    Error::new(ErrorKind::Service, "the answer has a name that is not valid URL encoding of UTF-8")
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn encodes_by_rfc_3986() {
        let table = [
            ("", "", ""),
            ("a/b", "a/b", "a%2Fb"),
            ("//a//", "//a//", "%2F%2Fa%2F%2F"),
            ("AZaz09-._~", "AZaz09-._~", "AZaz09-._~"),
            ("a b+c", "a%20b%2Bc", "a%20b%2Bc"),
            ("%2e", "%252e", "%252e"),
            ("={}%#?", "%3D%7B%7D%25%23%3F", "%3D%7B%7D%25%23%3F"),
            ("ü🙂x", "%C3%BC%F0%9F%99%82x", "%C3%BC%F0%9F%99%82x"),
            ("\r\n\u{1}", "%0D%0A%01", "%0D%0A%01"),
        ];
        for (plain, path, query) in table {
            assert_eq!(encode_path(plain), path);
            assert_eq!(encode_query(plain), query);
        }
    }

    #[test]
    fn decodes_like_a_form() {
        for (encoded, plain) in [("a+b", "a b"), ("a%2Bb", "a+b"), ("%c3%BC", "ü"), ("plain/é", "plain/é"), ("", "")]
        {
            assert_eq!(decode_url(encoded).unwrap(), plain);
        }
    }

    #[test]
    fn refuses_broken_encoding() {
        for text in ["%", "%4", "%zz", "%+1", "%ff", "a%c3", "%é9"] {
            assert_eq!(decode_url(text).unwrap_err().kind(), ErrorKind::Service, "{text}");
        }
    }

    proptest! {
        #[test]
        fn every_key_comes_back(key in any::<String>()) {
            prop_assert_eq!(&decode_url(&encode_path(&key)).unwrap(), &key);
            prop_assert_eq!(&decode_url(&encode_query(&key)).unwrap(), &key);
        }

        #[test]
        fn form_encoded_keys_come_back(key in any::<String>()) {
            prop_assert_eq!(decode_url(&encode_query(&key).replace("%20", "+")).unwrap(), key);
        }

        #[test]
        fn encoding_is_ascii_that_no_url_parser_touches(key in any::<String>()) {
            let kept = |c: char| c.is_ascii_alphanumeric() || "-._~%/".contains(c);
            prop_assert!(encode_path(&key).chars().all(kept));
            prop_assert!(encode_query(&key).chars().all(|c| kept(c) && c != '/'));
            prop_assert_eq!(encode_path(&key).replace('/', "%2F"), encode_query(&key));
        }

        #[test]
        fn decoding_never_panics(text in any::<String>()) {
            let _ = decode_url(&text);
        }
    }
}
