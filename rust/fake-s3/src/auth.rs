//! Who sent this request: SigV4 in the Authorization header or in the query, checked against the accepted keys.
//!
//! Owns the list of keys and the skew limit. The clock is the server's own, shiftable one.

use crate::date;
use crate::error::S3Error;
use crate::http::head::Head;
use crate::sigv4::{ChunkSigner, Scope, canonical_request, mismatch, sign, string_to_sign};
use crate::uri::Query;

const SKEW_LIMIT: i64 = 15 * 60;
const PRESIGNED_LIMIT: i64 = 7 * 24 * 3600;

/// An access key the server knows.
#[derive(Clone, Debug)]
pub struct Credentials {
    pub access_key: String,
    pub secret_key: String,
    /// Requests must carry it as `x-amz-security-token` if it is set.
    pub session_token: Option<String>,
    /// Known, but no longer accepted: answers `ExpiredToken`.
    pub is_expired: bool,
}

/// What the verification of a request needs beside the request.
pub(crate) struct Verifier<'a> {
    pub keys: &'a [Credentials],
    pub region: &'a str,
    pub now: i64,
}

/// A request whose signature has been found right.
#[derive(Default)]
pub(crate) struct Signed {
    /// The hex digest the body must have, if the client signed one.
    pub payload_sha256: Option<String>,
    pub chunk_signer: Option<ChunkSigner>,
}

/// The parts of a signature, wherever they stood.
struct Claim<'a> {
    access_key: &'a str,
    scope: Scope,
    signed_headers: Vec<&'a str>,
    signature: &'a str,
    date: String,
    expires: Option<i64>,
    token: Option<&'a str>,
    payload_hash: &'a str,
}

impl Verifier<'_> {
    pub fn verify(&self, head: &Head, query: &Query) -> Result<Signed, S3Error> {
        let claim = match head.get("authorization") {
            Some(value) => from_header(head, value)?,
            None if query.has("X-Amz-Signature") || query.has("X-Amz-Algorithm") => from_query(head, query)?,
            None => return Err(S3Error::access_denied("Access Denied")),
        };
        let key = self.keys.iter().find(|key| key.access_key == claim.access_key).ok_or_else(|| {
            S3Error::new(403, "InvalidAccessKeyId", "The AWS Access Key Id you provided does not exist in our records.")
                .with("AWSAccessKeyId", claim.access_key)
        })?;
        self.check_scope(&claim)?;
        self.check_time(&claim)?;
        check_headers(head, &claim)?;
        let canonical = canonical_request(head, query, &claim.signed_headers, claim.payload_hash);
        let text = string_to_sign(&claim.date, &claim.scope, &canonical);
        let signing_key = claim.scope.key(&key.secret_key);
        if sign(&signing_key, &text) != claim.signature {
            return Err(mismatch()
                .with("AWSAccessKeyId", claim.access_key)
                .with("StringToSign", text)
                .with("SignatureProvided", claim.signature)
                .with("CanonicalRequest", canonical));
        }
        check_token(key, claim.token)?;
        Ok(signed(&claim, signing_key))
    }

    fn check_scope(&self, claim: &Claim) -> Result<(), S3Error> {
        if claim.scope.region != self.region {
            let text = format!("the region '{}' is wrong; expecting '{}'", claim.scope.region, self.region);
            // The header is all that a HEAD can tell.
            return Err(malformed(&text).with("Region", self.region).header("x-amz-bucket-region", self.region));
        }
        if claim.scope.service != "s3" {
            return Err(malformed("the service is wrong; expecting 's3'"));
        }
        match claim.date.starts_with(&claim.scope.day) {
            true => Ok(()),
            false => Err(malformed("the credential's date differs from the request's")),
        }
    }

    fn check_time(&self, claim: &Claim) -> Result<(), S3Error> {
        let at = date::parse_amz(&claim.date)
            .ok_or_else(|| S3Error::access_denied("AWS authentication requires a valid Date or x-amz-date header"))?;
        match claim.expires {
            Some(expires) if self.now > at + expires => Err(S3Error::access_denied("Request has expired")
                .with("X-Amz-Expires", expires.to_string())
                .with("Expires", date::iso(at + expires))
                .with("ServerTime", date::iso(self.now))),
            Some(_) if at > self.now + SKEW_LIMIT => Err(S3Error::access_denied("Request is not valid yet")),
            None if (at - self.now).abs() > SKEW_LIMIT => {
                let text = "The difference between the request time and the current time is too large.";
                Err(S3Error::new(403, "RequestTimeTooSkewed", text)
                    .with("RequestTime", claim.date.clone())
                    .with("ServerTime", date::iso(self.now))
                    .with("MaxAllowedSkewMilliseconds", (SKEW_LIMIT * 1000).to_string()))
            }
            _ => Ok(()),
        }
    }
}

fn malformed(text: &str) -> S3Error {
    let text = format!("The authorization header is malformed; {text}");
    S3Error::new(400, "AuthorizationHeaderMalformed", text)
}

fn scope_of(credential: &str) -> Option<(&str, Scope)> {
    let mut parts = credential.rsplitn(5, '/');
    let (end, service, region, day, key) = (parts.next()?, parts.next()?, parts.next()?, parts.next()?, parts.next()?);
    let scope = Scope { day: day.to_owned(), region: region.to_owned(), service: service.to_owned() };
    (end == "aws4_request").then_some((key, scope))
}

fn from_header<'a>(head: &'a Head, value: &'a str) -> Result<Claim<'a>, S3Error> {
    let fields = value.strip_prefix("AWS4-HMAC-SHA256").ok_or_else(|| {
        S3Error::invalid_request(
            "The authorization mechanism you have provided is not supported. Please use \
                                  AWS4-HMAC-SHA256.",
        )
    })?;
    let field = |name: &str| {
        let found = fields.split(',').find_map(|part| part.trim().strip_prefix(name)?.strip_prefix('='));
        found.ok_or_else(|| malformed(&format!("{name} is missing")))
    };
    let (access_key, scope) =
        scope_of(field("Credential")?).ok_or_else(|| malformed("the Credential is mal-formed"))?;
    let payload_hash = head
        .get("x-amz-content-sha256")
        .ok_or_else(|| S3Error::invalid_request("Missing required header for this request: x-amz-content-sha256"))?;
    let date = match (head.get("x-amz-date"), head.get("date").and_then(date::parse_http)) {
        (Some(date), _) => date.to_owned(),
        (None, Some(at)) => date::amz(at),
        (None, None) => String::new(),
    };
    Ok(Claim {
        access_key,
        scope,
        signed_headers: field("SignedHeaders")?.split(';').collect(),
        signature: field("Signature")?,
        date,
        expires: None,
        token: head.get("x-amz-security-token"),
        payload_hash,
    })
}

fn from_query<'a>(head: &'a Head, query: &'a Query) -> Result<Claim<'a>, S3Error> {
    let bad = |text: &str| S3Error::new(400, "AuthorizationQueryParametersError", text);
    let field = |name: &str| query.get(name).ok_or_else(|| bad(&format!("{name} is missing")));
    if field("X-Amz-Algorithm")? != "AWS4-HMAC-SHA256" {
        return Err(bad("X-Amz-Algorithm only supports \"AWS4-HMAC-SHA256\""));
    }
    let (access_key, scope) =
        scope_of(field("X-Amz-Credential")?).ok_or_else(|| bad("the Credential is mal-formed"))?;
    let expires = field("X-Amz-Expires")?.parse::<i64>().ok().filter(|time| (0..=PRESIGNED_LIMIT).contains(time));
    Ok(Claim {
        access_key,
        scope,
        signed_headers: field("X-Amz-SignedHeaders")?.split(';').collect(),
        signature: field("X-Amz-Signature")?,
        date: field("X-Amz-Date")?.to_owned(),
        expires: Some(expires.ok_or_else(|| bad("X-Amz-Expires must be between 0 and a week"))?),
        token: query.get("X-Amz-Security-Token"),
        payload_hash: head.get("x-amz-content-sha256").unwrap_or("UNSIGNED-PAYLOAD"),
    })
}

fn check_headers(head: &Head, claim: &Claim) -> Result<(), S3Error> {
    let is_signed = |name: &str| claim.signed_headers.contains(&name);
    if !is_signed("host") {
        return Err(malformed("the host header is not signed"));
    }
    let unsigned: Vec<&str> = head
        .headers
        .iter()
        .map(|(name, _)| name.as_str())
        .filter(|name| name.starts_with("x-amz-") && *name != "x-amz-content-sha256" && !is_signed(name))
        .collect();
    match unsigned.is_empty() {
        true => Ok(()),
        false => Err(S3Error::access_denied("There were headers present in the request which were not signed")
            .with("HeadersNotSigned", unsigned.join(", "))),
    }
}

fn check_token(key: &Credentials, token: Option<&str>) -> Result<(), S3Error> {
    if key.is_expired {
        return Err(S3Error::new(400, "ExpiredToken", "The provided token has expired."));
    }
    match token == key.session_token.as_deref() {
        true => Ok(()),
        false => Err(S3Error::new(400, "InvalidToken", "The provided token is malformed or otherwise invalid.")),
    }
}

fn signed(claim: &Claim, key: Vec<u8>) -> Signed {
    let hash = claim.payload_hash;
    if hash.starts_with("STREAMING-AWS4-HMAC-SHA256-PAYLOAD") {
        let trailer = hash.ends_with("-TRAILER");
        let signer = ChunkSigner::new(key, &claim.date, &claim.scope, claim.signature, trailer);
        return Signed { payload_sha256: None, chunk_signer: Some(signer) };
    }
    let is_digest = hash.len() == 64 && hash.bytes().all(|byte| byte.is_ascii_hexdigit());
    Signed { payload_sha256: is_digest.then(|| hash.to_ascii_lowercase()), chunk_signer: None }
}
