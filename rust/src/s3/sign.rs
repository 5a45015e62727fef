//! Signature version 4, in the header and in the query.
//!
//! Pure: no clock, no I/O; the caller puts `x-amz-date`, `x-amz-content-sha256` and `x-amz-security-token` among the
//! headers it gives. The path is taken as it is sent, encoded once. Derived keys are kept in `KeyCache`, so that a
//! request costs one hash of the canonical form and one HMAC. Canonical forms hold signatures' input and sometimes a
//! token: they never leave this file but as a digest.

use std::borrow::Cow;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use hmac::{Hmac, KeyInit, Mac};
use sha2::{Digest, Sha256};

use super::encode::encode_query;
use crate::credentials::{Credentials, Secret};

const ALGORITHM: &str = "AWS4-HMAC-SHA256";
const EMPTY_SHA256: &str = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";
/// A client signs for few regions at a time, on at most two dates.
const MAX_CACHED: usize = 8;

/// An HMAC that has taken in its key.
#[derive(Clone)]
pub struct SigningKey(Hmac<Sha256>);

/// The last few signing keys, each for one secret, date and region.
#[derive(Default)]
pub struct KeyCache {
    keys: Mutex<Vec<CachedKey>>,
}

struct CachedKey {
    secret: Secret,
    date: String,
    region: String,
    key: SigningKey,
}

impl KeyCache {
    pub fn new() -> Self {
        Self::default()
    }

    fn get(&self, secret: &Secret, date: &str, region: &str) -> SigningKey {
        // A panic while the lock was held cannot have left a key half written.
        let mut keys = self.keys.lock().unwrap_or_else(PoisonError::into_inner);
        let found = keys.iter().position(|k| k.date == date && k.region == region && k.secret == *secret);
        if let Some(at) = found {
            keys[..=at].rotate_right(1);
        } else {
            let key = derive_key(secret, date, region);
            keys.truncate(MAX_CACHED - 1);
            keys.insert(0, CachedKey { secret: secret.clone(), date: date.to_owned(), region: region.to_owned(), key });
        }
        keys[0].key.clone()
    }
}

fn derive_key(secret: &Secret, date: &str, region: &str) -> SigningKey {
    let start = Secret::new(format!("AWS4{}", secret.expose()));
    let mut key = keyed(start.expose().as_bytes());
    for step in [date, region, "s3", "aws4_request"] {
        key.update(step.as_bytes());
        key = keyed(&key.finalize().into_bytes());
    }
    SigningKey(key)
}

fn keyed(key: &[u8]) -> Hmac<Sha256> {
    Hmac::new_from_slice(key).expect("HMAC takes keys of every length")
}

/// What the signature says of the body.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Payload {
    Unsigned,
    Sha256([u8; 32]),
    Empty,
}

impl Payload {
    /// The value of `x-amz-content-sha256`.
    pub fn header_value(&self) -> Cow<'static, str> {
        match self {
            Self::Unsigned => Cow::Borrowed("UNSIGNED-PAYLOAD"),
            Self::Sha256(digest) => Cow::Owned(hex(digest)),
            Self::Empty => Cow::Borrowed(EMPTY_SHA256),
        }
    }
}

pub struct SignRequest<'a> {
    pub method: &'a str,
    /// Encoded, as it is sent.
    pub path: &'a str,
    /// Not encoded, in any order.
    pub query: &'a [(String, String)],
    /// Lower-case names, in any order, `host` among them.
    pub headers: &'a [(&'a str, &'a str)],
    pub payload: Payload,
    pub credentials: &'a Credentials,
    pub region: &'a str,
    /// `20130524T000000Z`
    pub amz_date: &'a str,
}

pub struct Signature {
    /// The value of the `authorization` header.
    pub authorization: String,
}

pub fn sign(cache: &KeyCache, request: &SignRequest<'_>) -> Signature {
    let headers = sorted_headers(request.headers);
    let signed_names = signed_names(&headers);
    let canonical = canonical_request(request, &canonical_query(request.query), &headers, &signed_names);
    let signature = signature(cache, request, &canonical);
    let mut authorization = String::with_capacity(256);
    authorization.extend([ALGORITHM, " Credential=", &request.credentials.access_key_id]);
    authorization.extend(["/", date(request), "/", request.region, "/s3/aws4_request"]);
    authorization.extend([",SignedHeaders=", &signed_names, ",Signature="]);
    push_hex(&mut authorization, &signature);
    Signature { authorization }
}

/// The whole query of a presigned URL, encoded and signed, without `?`; it is a secret. `Payload::Unsigned` is what
/// S3 expects; the session token goes into the query, not among the headers.
pub fn presign(cache: &KeyCache, request: &SignRequest<'_>, expires: Duration) -> String {
    let headers = sorted_headers(request.headers);
    let signed_names = signed_names(&headers);
    let scope = format!("{}/{}/{}/s3/aws4_request", request.credentials.access_key_id, date(request), request.region);
    let mut query = request.query.to_vec();
    let mut add = |name: &str, value: &str| query.push((name.to_owned(), value.to_owned()));
    add("X-Amz-Algorithm", ALGORITHM);
    add("X-Amz-Credential", &scope);
    add("X-Amz-Date", request.amz_date);
    add("X-Amz-Expires", &expires.as_secs().to_string());
    add("X-Amz-SignedHeaders", &signed_names);
    if let Some(token) = &request.credentials.session_token {
        add("X-Amz-Security-Token", token.expose());
    }
    let mut query = canonical_query(&query);
    let canonical = canonical_request(request, &query, &headers, &signed_names);
    let signature = signature(cache, request, &canonical);
    query.push_str("&X-Amz-Signature=");
    push_hex(&mut query, &signature);
    query
}

/// Encoded and sorted by encoded name, then value: also the form to send.
pub fn canonical_query(query: &[(String, String)]) -> String {
    let mut pairs: Vec<(String, String)> = query.iter().map(|(k, v)| (encode_query(k), encode_query(v))).collect();
    pairs.sort_unstable();
    let mut canonical = String::with_capacity(pairs.iter().map(|(k, v)| k.len() + v.len() + 2).sum());
    for (name, value) in &pairs {
        if !canonical.is_empty() {
            canonical.push('&');
        }
        canonical.extend([name, "=", value]);
    }
    canonical
}

fn sorted_headers<'a>(headers: &'a [(&'a str, &'a str)]) -> Cow<'a, [(&'a str, &'a str)]> {
    if headers.is_sorted_by_key(|(name, _)| name) {
        return Cow::Borrowed(headers);
    }
    let mut sorted = headers.to_vec();
    sorted.sort_by_key(|(name, _)| *name);
    Cow::Owned(sorted)
}

fn signed_names(headers: &[(&str, &str)]) -> String {
    let mut names = String::with_capacity(128);
    let mut last = "";
    for &(name, _) in headers {
        if name != last {
            names.extend([if last.is_empty() { "" } else { ";" }, name]);
        }
        last = name;
    }
    names
}

fn canonical_request(request: &SignRequest<'_>, query: &str, headers: &[(&str, &str)], signed_names: &str) -> String {
    let mut canonical = String::with_capacity(512 + request.path.len() + query.len());
    let path = if request.path.is_empty() { "/" } else { request.path };
    canonical.extend([request.method, "\n", path, "\n", query, "\n"]);
    let mut last = "";
    for &(name, value) in headers {
        if name == last {
            // Headers of one name count as one, their values joined.
            canonical.pop();
            canonical.push(',');
        } else {
            canonical.extend([name, ":"]);
        }
        push_trimmed(&mut canonical, value);
        canonical.push('\n');
        last = name;
    }
    canonical.extend(["\n", signed_names, "\n", &request.payload.header_value()]);
    canonical
}

/// White space goes at the ends, and inside every run of it becomes one space.
fn push_trimmed(target: &mut String, value: &str) {
    let mut words = value.split_ascii_whitespace();
    target.extend(words.next());
    for word in words {
        target.extend([" ", word]);
    }
}

fn signature(cache: &KeyCache, request: &SignRequest<'_>, canonical: &str) -> [u8; 32] {
    let SigningKey(mut mac) = cache.get(&request.credentials.secret_access_key, date(request), request.region);
    let mut text = String::with_capacity(192);
    text.extend([ALGORITHM, "\n", request.amz_date, "\n"]);
    text.extend([date(request), "/", request.region, "/s3/aws4_request\n"]);
    push_hex(&mut text, &Sha256::digest(canonical));
    mac.update(text.as_bytes());
    mac.finalize().into_bytes().into()
}

/// The day of `amz_date`.
fn date<'a>(request: &SignRequest<'a>) -> &'a str {
    request.amz_date.get(..8).unwrap_or(request.amz_date)
}

/// `20130524T000000Z`; a time before 1970 counts as 1970.
pub fn amz_date(time: SystemTime) -> String {
    let seconds = time.duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
    let (year, month, day) = civil(seconds / 86_400);
    let (hour, minute, second) = (seconds / 3600 % 24, seconds / 60 % 60, seconds % 60);
    format!("{year:04}{month:02}{day:02}T{hour:02}{minute:02}{second:02}Z")
}

/// Year, month and day of a day since 1970-01-01 (Howard Hinnant, "chrono-compatible low-level date algorithms").
fn civil(days: u64) -> (u64, u64, u64) {
    let days = days + 719_468;
    let era = days / 146_097;
    let day_of_era = days % 146_097;
    let year_of_era = (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted_month = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * shifted_month + 2) / 5 + 1;
    let month = if shifted_month < 10 { shifted_month + 3 } else { shifted_month - 9 };
    (year_of_era + era * 400 + u64::from(month <= 2), month, day)
}

pub fn hex(bytes: &[u8]) -> String {
    let mut text = String::with_capacity(2 * bytes.len());
    push_hex(&mut text, bytes);
    text
}

fn push_hex(target: &mut String, bytes: &[u8]) {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    for &byte in bytes {
        target.push(char::from(DIGITS[usize::from(byte >> 4)]));
        target.push(char::from(DIGITS[usize::from(byte & 15)]));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    // AWS: "Signature calculations for the Authorization header" and "Authenticating requests: using query parameters".
    const HOST: (&str, &str) = ("host", "examplebucket.s3.amazonaws.com");
    const DATE: (&str, &str) = ("x-amz-date", "20130524T000000Z");
    const NO_BODY: (&str, &str) = ("x-amz-content-sha256", EMPTY_SHA256);

    fn keys() -> Credentials {
        Credentials::new("AKIAIOSFODNN7EXAMPLE", "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY")
    }

    fn pairs(query: &[(&str, &str)]) -> Vec<(String, String)> {
        query.iter().map(|&(k, v)| (k.to_owned(), v.to_owned())).collect()
    }

    struct Example<'a> {
        method: &'a str,
        path: &'a str,
        query: &'a [(&'a str, &'a str)],
        headers: &'a [(&'a str, &'a str)],
        payload: Payload,
    }

    fn with_request<R>(example: &Example<'_>, run: impl FnOnce(&SignRequest<'_>) -> R) -> R {
        let query = pairs(example.query);
        run(&SignRequest {
            method: example.method,
            path: example.path,
            query: &query,
            headers: example.headers,
            payload: example.payload,
            credentials: &keys(),
            region: "us-east-1",
            amz_date: "20130524T000000Z",
        })
    }

    fn check(example: &Example<'_>, signed: &str, signature: &str) {
        let cache = KeyCache::new();
        for _ in 0..2 {
            let made = with_request(example, |request| sign(&cache, request)).authorization;
            let scope = "AWS4-HMAC-SHA256 Credential=AKIAIOSFODNN7EXAMPLE/20130524/us-east-1/s3/aws4_request";
            assert_eq!(made, format!("{scope},SignedHeaders={signed},Signature={signature}"));
        }
    }

    #[test]
    fn aws_example_get_object() {
        let headers = [HOST, ("range", "bytes=0-9"), NO_BODY, DATE];
        let example =
            Example { method: "GET", path: "/test.txt", query: &[], headers: &headers, payload: Payload::Empty };
        let signature = "f0e8bdb87c964420e857bd35b5d6ed310bd44f0170aba48dd91039c6036bdb41";
        check(&example, "host;range;x-amz-content-sha256;x-amz-date", signature);
    }

    #[test]
    fn aws_example_put_object() {
        let digest = Sha256::digest(b"Welcome to Amazon S3.");
        let sha256 = hex(&digest);
        let headers = [
            ("x-amz-storage-class", "REDUCED_REDUNDANCY"),
            ("x-amz-content-sha256", sha256.as_str()),
            DATE,
            HOST,
            ("date", "Fri, 24 May 2013 00:00:00 GMT"),
        ];
        let payload = Payload::Sha256(digest.into());
        let example = Example { method: "PUT", path: "/test%24file.text", query: &[], headers: &headers, payload };
        let signature = "98ad721746da40c64f1a55b78f14c238d841ea1380cd77a1b5971af0ece108bd";
        check(&example, "date;host;x-amz-content-sha256;x-amz-date;x-amz-storage-class", signature);
    }

    #[test]
    fn aws_examples_with_queries() {
        let table: [(&[(&str, &str)], &str); 2] = [
            (&[("lifecycle", "")], "fea454ca298b7da1c68078a5d1bdbfbbe0d65c699e0f91ac7a200a0136783543"),
            (&[("prefix", "J"), ("max-keys", "2")], "34b48302e7b5fa45bde8084f4b7868a86f0a534bc59db6670ed5711ef69dc6f7"),
        ];
        for (query, signature) in table {
            let headers = [HOST, NO_BODY, DATE];
            let example = Example { method: "GET", path: "/", query, headers: &headers, payload: Payload::Empty };
            check(&example, "host;x-amz-content-sha256;x-amz-date", signature);
        }
    }

    #[test]
    fn aws_example_presigned() {
        let payload = Payload::Unsigned;
        let example = Example { method: "GET", path: "/test.txt", query: &[], headers: &[HOST], payload };
        let day = Duration::from_secs(86_400);
        let query = with_request(&example, |request| presign(&KeyCache::new(), request, day));
        let expected = "X-Amz-Algorithm=AWS4-HMAC-SHA256\
            &X-Amz-Credential=AKIAIOSFODNN7EXAMPLE%2F20130524%2Fus-east-1%2Fs3%2Faws4_request\
            &X-Amz-Date=20130524T000000Z&X-Amz-Expires=86400&X-Amz-SignedHeaders=host\
            &X-Amz-Signature=aeeed9bbccd4d02ee5c0109b86d86835f995330da4c265957d157751f604d404";
        assert_eq!(query, expected);
    }

    #[test]
    fn presigned_carries_the_token() {
        let mut credentials = keys();
        credentials.session_token = Some(Secret::new("a/b+c="));
        let request = SignRequest {
            method: "GET",
            path: "/k",
            query: &pairs(&[("versionId", "v 1")]),
            headers: &[HOST],
            payload: Payload::Unsigned,
            credentials: &credentials,
            region: "us-east-1",
            amz_date: DATE.1,
        };
        let query = presign(&KeyCache::new(), &request, Duration::from_secs(60));
        assert!(query.contains("&X-Amz-Security-Token=a%2Fb%2Bc%3D&"), "{query}");
        assert!(query.contains("&versionId=v%201&X-Amz-Signature="), "{query}");
    }

    #[test]
    fn cache_keeps_secrets_dates_and_regions_apart() {
        let cache = KeyCache::new();
        let mac = |secret: &str, date: &str, region: &str| {
            let SigningKey(mut mac) = cache.get(&Secret::new(secret), date, region);
            mac.update(b"text");
            hex(&mac.finalize().into_bytes())
        };
        let first = mac("s", "20130524", "r");
        let others = [mac("t", "20130524", "r"), mac("s", "20130525", "r"), mac("s", "20130524", "q")];
        assert!(!others.contains(&first));
        for region in 0..2 * MAX_CACHED {
            mac("s", "20130524", &region.to_string());
        }
        assert_eq!(cache.keys.lock().unwrap().len(), MAX_CACHED);
        assert_eq!(mac("s", "20130524", "r"), first);
    }

    #[test]
    fn canonical_headers_are_trimmed_and_joined() {
        let headers = [("x-b", "  two   words\t"), ("host", "h"), ("x-b", "more")];
        let example = Example { method: "GET", path: "", query: &[], headers: &headers, payload: Payload::Unsigned };
        let canonical = with_request(&example, |request| {
            let sorted = sorted_headers(request.headers);
            canonical_request(request, "", &sorted, &signed_names(&sorted))
        });
        assert_eq!(canonical, "GET\n/\n\nhost:h\nx-b:two words,more\n\nhost;x-b\nUNSIGNED-PAYLOAD");
    }

    #[test]
    fn query_is_sorted_by_encoded_bytes() {
        let query = pairs(&[("b", "2"), ("a", "ü/ "), ("a", "1"), ("a-b", ""), ("B", "x"), ("", "e")]);
        assert_eq!(canonical_query(&query), "=e&B=x&a=%C3%BC%2F%20&a=1&a-b=&b=2");
        assert_eq!(canonical_query(&[]), "");
    }

    #[test]
    fn dates() {
        let at = |seconds| amz_date(UNIX_EPOCH + Duration::from_secs(seconds));
        assert_eq!(at(0), "19700101T000000Z");
        assert_eq!(at(1_369_353_600), "20130524T000000Z");
        assert_eq!(at(951_827_696), "20000229T123456Z");
        assert_eq!(at(4_107_542_400), "21000301T000000Z");
        assert_eq!(amz_date(UNIX_EPOCH - Duration::from_secs(1)), "19700101T000000Z");
    }

    proptest! {
        #[test]
        fn dates_agree_with_httpdate(seconds in 0..253_402_300_799_u64) {
            let time = UNIX_EPOCH + Duration::from_secs(seconds);
            let ours = amz_date(time);
            let theirs = httpdate::fmt_http_date(time);
            prop_assert_eq!(&ours[0..4], &theirs[12..16]);
            prop_assert_eq!(&ours[6..8], &theirs[5..7]);
            prop_assert_eq!(format!("{}:{}:{}", &ours[9..11], &ours[11..13], &ours[13..15]), &theirs[17..25]);
        }

        #[test]
        fn order_of_headers_and_query_does_not_matter(
            query in prop::collection::vec((any::<String>(), any::<String>()), 0..6),
            seed in any::<u64>(),
        ) {
            let mut turned = query.clone();
            turned.reverse();
            turned.rotate_left((seed % (query.len() as u64 + 1)) as usize);
            prop_assert_eq!(canonical_query(&query), canonical_query(&turned));
        }
    }
}
