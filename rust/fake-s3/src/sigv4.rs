//! Signature Version 4: canonical request, string to sign, signing key, and the chain of chunk signatures.
//!
//! Pure: takes text and bytes, knows no socket, clock or store. Who may do what is decided in `auth`.

use hmac::{Hmac, KeyInit, Mac};
use sha2::{Digest, Sha256};

use crate::checksum::{sha256_hex, to_hex};
use crate::error::S3Error;
use crate::http::head::Head;
use crate::uri::{Query, decode, encode};

pub(crate) fn hmac_sha256(key: &[u8], data: &[u8]) -> Vec<u8> {
    let mut mac = Hmac::<Sha256>::new_from_slice(key).expect("HMAC takes keys of any length");
    mac.update(data);
    mac.finalize().into_bytes().to_vec()
}

/// The day, region and service a signature is bound to.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Scope {
    pub day: String,
    pub region: String,
    pub service: String,
}

impl Scope {
    pub fn text(&self) -> String {
        format!("{}/{}/{}/aws4_request", self.day, self.region, self.service)
    }

    pub fn key(&self, secret: &str) -> Vec<u8> {
        let day = hmac_sha256(format!("AWS4{secret}").as_bytes(), self.day.as_bytes());
        let region = hmac_sha256(&day, self.region.as_bytes());
        let service = hmac_sha256(&region, self.service.as_bytes());
        hmac_sha256(&service, b"aws4_request")
    }
}

/// The canonical request of S3: the path is encoded once, from its decoded bytes, and never normalised.
pub(crate) fn canonical_request(head: &Head, query: &Query, signed: &[&str], payload_hash: &str) -> String {
    let path = decode(&head.path, false).map_or_else(|| head.path.clone(), |bytes| encode(&bytes, true));
    let mut out = format!("{}\n{path}\n{}\n", head.method, query.canonical());
    for name in signed {
        let values: Vec<String> = head
            .headers
            .iter()
            .filter(|(key, _)| key == name)
            .map(|(_, value)| value.split_ascii_whitespace().collect::<Vec<_>>().join(" "))
            .collect();
        out.push_str(&format!("{name}:{}\n", values.join(",")));
    }
    out.push_str(&format!("\n{}\n{payload_hash}", signed.join(";")));
    out
}

pub(crate) fn string_to_sign(date: &str, scope: &Scope, canonical: &str) -> String {
    format!("AWS4-HMAC-SHA256\n{date}\n{}\n{}", scope.text(), sha256_hex(canonical.as_bytes()))
}

pub(crate) fn sign(key: &[u8], text: &str) -> String {
    to_hex(&hmac_sha256(key, text.as_bytes()))
}

/// Checks the signatures inside an `aws-chunked` body; each covers the one before it.
pub(crate) struct ChunkSigner {
    key: Vec<u8>,
    date: String,
    scope: String,
    previous: String,
    hash: Sha256,
    expects_trailer: bool,
}

impl ChunkSigner {
    pub fn new(key: Vec<u8>, date: &str, scope: &Scope, seed: &str, expects_trailer: bool) -> Self {
        let (date, previous) = (date.to_owned(), seed.to_owned());
        Self { key, date, scope: scope.text(), previous, hash: Sha256::new(), expects_trailer }
    }

    pub fn update(&mut self, bytes: &[u8]) {
        self.hash.update(bytes);
    }

    /// Compares the signature of the chunk that has just ended.
    pub fn end_chunk(&mut self, signature: &str) -> Result<(), S3Error> {
        let hash = to_hex(&self.hash.finalize_reset());
        let text = format!(
            "AWS4-HMAC-SHA256-PAYLOAD\n{}\n{}\n{}\n{}\n{hash}",
            self.date,
            self.scope,
            self.previous,
            sha256_hex(b"")
        );
        self.advance(&text, signature)
    }

    /// Compares `x-amz-trailer-signature`, if the request announced signed trailers.
    pub fn check_trailers(&mut self, trailers: &[(String, String)]) -> Result<(), S3Error> {
        if !self.expects_trailer {
            return Ok(());
        }
        let name = "x-amz-trailer-signature";
        let signature = trailers.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str());
        let mut lines: Vec<String> =
            trailers.iter().filter(|(key, _)| key != name).map(|(key, value)| format!("{key}:{value}\n")).collect();
        lines.sort();
        let hash = sha256_hex(lines.concat().as_bytes());
        let text = format!("AWS4-HMAC-SHA256-TRAILER\n{}\n{}\n{}\n{hash}", self.date, self.scope, self.previous);
        self.advance(&text, signature.unwrap_or_default())
    }

    fn advance(&mut self, text: &str, signature: &str) -> Result<(), S3Error> {
        let expected = sign(&self.key, text);
        if expected != signature {
            return Err(mismatch().with("StringToSign", text));
        }
        self.previous = expected;
        Ok(())
    }
}

/// `SignatureDoesNotMatch`, without the elements that depend on the request.
pub(crate) fn mismatch() -> S3Error {
    let text = "The request signature we calculated does not match the signature you provided. Check your key and signing \
                method.";
    S3Error::new(403, "SignatureDoesNotMatch", text)
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECRET: &str = "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY";
    const EMPTY: &str = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";

    fn scope() -> Scope {
        Scope { day: "20130524".into(), region: "us-east-1".into(), service: "s3".into() }
    }

    fn signature(head: &str, signed: &[&str], payload_hash: &str) -> String {
        let head = Head::parse(head.as_bytes()).unwrap();
        let query = Query::parse(&head.query).unwrap();
        let canonical = canonical_request(&head, &query, signed, payload_hash);
        sign(&scope().key(SECRET), &string_to_sign("20130524T000000Z", &scope(), &canonical))
    }

    // The four examples of "Authenticating Requests: Using the Authorization Header" of the S3 API reference.

    #[test]
    fn aws_example_get_object() {
        let head = format!(
            "GET /test.txt HTTP/1.1\r\nHost: examplebucket.s3.amazonaws.com\r\nRange: bytes=0-9\r\n\
             x-amz-content-sha256: {EMPTY}\r\nx-amz-date: 20130524T000000Z\r\n\r\n"
        );
        let got = signature(&head, &["host", "range", "x-amz-content-sha256", "x-amz-date"], EMPTY);
        assert_eq!(got, "f0e8bdb87c964420e857bd35b5d6ed310bd44f0170aba48dd91039c6036bdb41");
    }

    #[test]
    fn aws_example_put_object() {
        let hash = "44ce7dd67c959e0d3524ffac1771dfbba87d2b6b4b4e99e42034a8b803f8b072";
        let head = format!(
            "PUT /test%24file.text HTTP/1.1\r\nHost: examplebucket.s3.amazonaws.com\r\n\
             Date: Fri, 24 May 2013 00:00:00 GMT\r\nx-amz-date: 20130524T000000Z\r\n\
             x-amz-storage-class: REDUCED_REDUNDANCY\r\nx-amz-content-sha256: {hash}\r\n\r\n"
        );
        let signed = ["date", "host", "x-amz-content-sha256", "x-amz-date", "x-amz-storage-class"];
        let expected = "98ad721746da40c64f1a55b78f14c238d841ea1380cd77a1b5971af0ece108bd";
        assert_eq!(signature(&head, &signed, hash), expected);
        // The key is signed decoded and encoded again, so a client may send `$` plain.
        assert_eq!(signature(&head.replace("%24", "$"), &signed, hash), expected);
    }

    #[test]
    fn aws_examples_with_queries() {
        let head = |target: &str| {
            format!(
                "GET {target} HTTP/1.1\r\nHost: examplebucket.s3.amazonaws.com\r\n\
                 x-amz-content-sha256: {EMPTY}\r\nx-amz-date: 20130524T000000Z\r\n\r\n"
            )
        };
        let signed = ["host", "x-amz-content-sha256", "x-amz-date"];
        let lifecycle = "fea454ca298b7da1c68078a5d1bdbfbbe0d65c699e0f91ac7a200a0136783543";
        assert_eq!(signature(&head("/?lifecycle"), &signed, EMPTY), lifecycle);
        let list = "34b48302e7b5fa45bde8084f4b7868a86f0a534bc59db6670ed5711ef69dc6f7";
        assert_eq!(signature(&head("/?max-keys=2&prefix=J"), &signed, EMPTY), list);
    }

    /// The example of "Signature Calculations: Transferring a Payload in Multiple Chunks".
    #[test]
    fn aws_example_chunked_upload() {
        let seed = "4f232c4386841ef735655705268965c44a0e4690baa4adea153f7db9fa80a0a9";
        let mut signer = ChunkSigner::new(scope().key(SECRET), "20130524T000000Z", &scope(), seed, false);
        let chunks = [
            (65_536, "ad80c730a21e5b8d04586a2213dd63b9a0e99e0e2307b0ade35a65485a288648"),
            (1024, "0055627c9e194cb4542bae2aa5492e3c1575bbb81b612b7d234b86a503ef5497"),
            (0, "b6c6ea8a5354eaf15b3cb7646744f4275b71ea724fed81ceb9323e279d449df9"),
        ];
        for (len, signature) in chunks {
            signer.update(&vec![b'a'; len]);
            signer.end_chunk(signature).unwrap();
        }
        assert!(signer.end_chunk("00").is_err());
    }

    /// The example of "Authenticating Requests: Using Query Parameters".
    #[test]
    fn aws_example_presigned() {
        let head = "GET /test.txt?X-Amz-Algorithm=AWS4-HMAC-SHA256&X-Amz-Credential=AKIAIOSFODNN7EXAMPLE%2F20130524%2F\
                    us-east-1%2Fs3%2Faws4_request&X-Amz-Date=20130524T000000Z&X-Amz-Expires=86400&\
                    X-Amz-SignedHeaders=host&X-Amz-Signature=00 HTTP/1.1\r\nHost: examplebucket.s3.amazonaws.com\r\n\r\n";
        let expected = "aeeed9bbccd4d02ee5c0109b86d86835f995330da4c265957d157751f604d404";
        assert_eq!(signature(head, &["host"], "UNSIGNED-PAYLOAD"), expected);
    }
}
