//! Signature version 4 against a second, plain reading of its specification. Lines are method, key, region, token,
//! query (`a=b&c`) and then one header each.

use std::collections::BTreeMap;
use std::time::Duration;

use hmac::{Hmac, KeyInit, Mac};
use s3z::credentials::{Credentials, Secret};
use s3z::s3::encode::encode_path;
use s3z::s3::sign::{KeyCache, Payload, SignRequest, canonical_query, presign, sign};
use sha2::{Digest, Sha256};

use super::fields;

const DATE: &str = "20130524T000000Z";
const SECRET: &str = "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY";

pub fn holds(data: &[u8]) -> bool {
    let [method, key, region, token, query, lines] = fields(data);
    let query: Vec<(String, String)> = query.split('&').filter(|pair| !pair.is_empty()).map(pair).collect();
    let headers: Vec<(String, String)> = lines.lines().filter_map(header).collect();
    let named: Vec<(&str, &str)> = headers.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
    let mut credentials = Credentials::new("AKID", SECRET);
    credentials.session_token = Some(token).filter(|token| !token.is_empty()).map(Secret::new);
    let path = format!("/{}", encode_path(&key));
    let payload = match key.len() % 3 {
        0 => Payload::Empty,
        1 => Payload::Unsigned,
        _ => Payload::Sha256(Sha256::digest(&key).into()),
    };
    let request = SignRequest {
        method: &method,
        path: &path,
        query: &query,
        headers: &named,
        payload,
        credentials: &credentials,
        region: &region,
        amz_date: DATE,
    };
    let cache = KeyCache::new();
    let signed = sign(&cache, &request).authorization;
    let oracle = Oracle { request: &request, query: oracle_query(&query) };
    assert_eq!(signed, oracle.authorization(), "{}", oracle.canonical());
    assert_eq!(sign(&cache, &request).authorization, signed, "the kept key signs the same");
    presigned_agrees(&request, &cache);
    !named.is_empty()
}

fn presigned_agrees(request: &SignRequest<'_>, cache: &KeyCache) {
    let request =
        SignRequest { payload: Payload::Unsigned, query: request.query, headers: request.headers, ..*request };
    let url = presign(cache, &request, Duration::from_secs(900));
    let (query, signature) = url.rsplit_once("&X-Amz-Signature=").expect("the signature comes last");
    let pairs: Vec<&str> = query.split('&').collect();
    assert!(pairs.contains(&"X-Amz-Expires=900"));
    assert_eq!(query.contains("X-Amz-Security-Token="), request.credentials.session_token.is_some());
    let oracle = Oracle { request: &request, query: query.to_owned() };
    assert_eq!(signature, oracle.signature(), "{}", oracle.canonical());
}

fn pair(text: &str) -> (String, String) {
    let (name, value) = text.split_once('=').unwrap_or((text, ""));
    // Names that a presigned URL adds by itself stand there once.
    (name.replace("X-Amz", "x-amz"), value.to_owned())
}

/// A header as it can be sent: a lower-case name and visible text.
fn header(line: &str) -> Option<(String, String)> {
    let (name, value) = line.split_once(':')?;
    let is_name = !name.is_empty() && name.bytes().all(|byte| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'-'));
    let is_text = value.bytes().all(|byte| matches!(byte, b' '..=b'~' | b'\t'));
    (is_name && is_text).then(|| (name.to_owned(), value.to_owned()))
}

/// The specification, step by step.
struct Oracle<'a> {
    request: &'a SignRequest<'a>,
    query: String,
}

impl Oracle<'_> {
    fn headers(&self) -> BTreeMap<&str, String> {
        let mut joined = BTreeMap::<&str, String>::new();
        for (name, value) in self.request.headers {
            let words: Vec<&str> = value.split([' ', '\t']).filter(|word| !word.is_empty()).collect();
            let value = words.join(" ");
            joined.entry(name).and_modify(|have| *have = format!("{have},{value}")).or_insert(value);
        }
        joined
    }

    fn signed_names(&self) -> String {
        self.headers().into_keys().collect::<Vec<_>>().join(";")
    }

    fn canonical(&self) -> String {
        let lines: String = self.headers().iter().map(|(name, value)| format!("{name}:{value}\n")).collect();
        let payload = match self.request.payload {
            Payload::Unsigned => "UNSIGNED-PAYLOAD".to_owned(),
            Payload::Sha256(digest) => hex(&digest),
            Payload::Empty => hex(&Sha256::digest(b"")),
        };
        let SignRequest { method, path, .. } = self.request;
        format!("{method}\n{path}\n{}\n{lines}\n{}\n{payload}", self.query, self.signed_names())
    }

    fn scope(&self) -> String {
        format!("20130524/{}/s3/aws4_request", self.request.region)
    }

    fn signature(&self) -> String {
        let digest = hex(&Sha256::digest(self.canonical()));
        let text = format!("AWS4-HMAC-SHA256\n{DATE}\n{}\n{digest}", self.scope());
        let start = format!("AWS4{SECRET}").into_bytes();
        let steps = ["20130524", self.request.region, "s3", "aws4_request", &text];
        hex(&steps.into_iter().fold(start, |key, step| hmac(&key, step)))
    }

    fn authorization(&self) -> String {
        let (scope, names) = (self.scope(), self.signed_names());
        format!("AWS4-HMAC-SHA256 Credential=AKID/{scope},SignedHeaders={names},Signature={}", self.signature())
    }
}

fn oracle_query(query: &[(String, String)]) -> String {
    let mut pairs: Vec<(String, String)> = query.iter().map(|(name, value)| (encode(name), encode(value))).collect();
    pairs.sort();
    let text = pairs.iter().map(|(name, value)| format!("{name}={value}")).collect::<Vec<_>>().join("&");
    assert_eq!(canonical_query(query), text);
    text
}

fn encode(text: &str) -> String {
    let one = |byte: u8| match byte {
        b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => char::from(byte).to_string(),
        _ => format!("%{byte:02X}"),
    };
    text.bytes().map(one).collect()
}

fn hmac(key: &[u8], text: &str) -> Vec<u8> {
    let mut mac = Hmac::<Sha256>::new_from_slice(key).expect("any length");
    mac.update(text.as_bytes());
    mac.finalize().into_bytes().to_vec()
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
