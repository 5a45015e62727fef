//! `s3://` URIs, bucket names and keys (S11–S13): a key is carried byte for byte or refused.

use reqwest::Url;
use s3z::s3::encode::{decode_url, encode_path, encode_query};
use s3z::uri::{S3Uri, check_key, validate_bucket};

use super::{fields, is_plain};

pub fn holds(data: &[u8]) -> bool {
    let [text] = fields(data);
    for text in [text.clone(), format!("s3://{text}")] {
        parses_strictly(&text);
    }
    let accepted = check_key(&text).is_ok();
    travels_unchanged(&text, accepted);
    decodes_within_bounds(&text);
    accepted
}

fn parses_strictly(text: &str) {
    match S3Uri::parse(text) {
        Ok(uri) => {
            let rest = text.strip_prefix("s3://").expect("only of the one scheme");
            let again = if rest.contains('/') { format!("{}/{}", uri.bucket, uri.key) } else { uri.bucket.clone() };
            assert_eq!(again, rest, "every byte is of the bucket or of the key");
            assert!(uri.bucket.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"._-".contains(&byte)), "{text:?}");
            assert!(validate_bucket(&uri.bucket).is_ok() && !uri.bucket.contains(".."));
            assert_eq!(S3Uri::parse(&uri.to_string()).ok(), Some(uri));
        }
        Err(error) => {
            assert!(is_plain(error.message()), "{:?}", error.message());
            assert!(error.message().chars().count() < 200 * 10 + 200, "bounded, escapes included");
            hides_passwords(text, error.message());
        }
    }
}

/// S7: neither a user's part of a URL nor a query is repeated.
fn hides_passwords(text: &str, message: &str) {
    let Some((_, rest)) = text.split_once("://") else { return };
    let authority = rest.split(['/', '?']).next().unwrap_or_default();
    if let Some((secret, _)) = authority.rsplit_once('@')
        && secret.len() >= 8
        && text.matches(secret).count() == 1
    {
        assert!(!message.contains(secret), "{message}");
    }
}

/// S12: no URL parser changes the path that was signed; `.` and `..` are the only segments it would.
fn travels_unchanged(key: &str, accepted: bool) {
    let path = format!("/bucket/{}", encode_path(key));
    let url = Url::parse(&format!("http://store.example{path}")).expect("an encoded path makes a URL");
    let dots = key.split('/').any(|segment| segment == "." || segment == "..");
    assert_eq!(accepted, !key.is_empty() && !key.contains('\0') && !dots, "{key:?}");
    if accepted {
        assert_eq!(url.path(), path, "{key:?}");
    }
    assert_eq!(decode_url(&encode_path(key)).ok().as_deref(), Some(key));
    assert_eq!(decode_url(&encode_query(key)).ok().as_deref(), Some(key));
}

fn decodes_within_bounds(text: &str) {
    if let Ok(plain) = decode_url(text) {
        assert!(plain.len() <= text.len());
        assert_eq!(decode_url(&encode_query(&plain)).ok(), Some(plain));
    }
}
