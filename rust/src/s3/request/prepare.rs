//! From an S3 action to the bytes that are sent: address, headers, signature; and the signed URL that others may send.
//!
//! Pure but for the clock and the keys, which it asks for. Invariant: the URL that is sent spells the path and query
//! that were signed, byte for byte (S12); anything else is refused before it leaves.

use std::sync::Arc;
use std::time::Duration;

use http::header::{HeaderMap, HeaderName, HeaderValue};
use reqwest::{Method, Url};

use super::Request;
use crate::credentials::Credentials;
use crate::error::{Error, ErrorKind, Result};
use crate::s3::attempts::Attempts;
use crate::s3::client::{ObjectRef, S3Client};
use crate::s3::endpoint::Address;
use crate::s3::payload::Payload;
use crate::s3::sign::{self, SignRequest};

/// Says that whoever asks pays.
const PAYER: (&str, &str) = ("x-amz-request-payer", "requester");
/// S3: the longest life of a presigned URL.
const MAX_PRESIGNED: Duration = Duration::from_secs(7 * 24 * 3600);

/// What one attempt is sent as.
pub(super) struct Prepared {
    pub url: Url,
    pub headers: HeaderMap,
    pub keys: Option<Arc<Credentials>>,
}

impl S3Client {
    pub(super) async fn prepare(&self, request: &Request, attempts: &Attempts) -> Result<Prepared> {
        let (address, url) = self.locate(request, &sign::canonical_query(&request.query), attempts)?;
        let keys = self.credentials().get().await?;
        let mut headers = request.headers.clone();
        if self.refuses_checksums() {
            headers.retain(|(name, _)| !is_checksum_of_a_write(request, name));
        }
        if self.config().request_payer && !request.bucket.is_empty() {
            headers.push((PAYER.0.into(), PAYER.1.into()));
        }
        headers.push(("host".into(), address.host_header.clone()));
        headers.push(("accept-encoding".into(), "identity".into()));
        if let Some(keys) = &keys {
            let signed = Signed { request, path: &address.path, keys, unsigned_body: self.protects_bodies() };
            self.add_signature(&mut headers, &signed)?;
        }
        if !request.payload.is_empty() || request.method == Method::PUT || request.method == Method::POST {
            headers.push(("content-length".into(), request.payload.len().to_string()));
        }
        Ok(Prepared { url, headers: header_map(headers)?, keys })
    }

    /// Where a request with this query goes, and the URL that spells it.
    fn locate(&self, request: &Request, query: &str, attempts: &Attempts) -> Result<(Address, Url)> {
        let endpoint = self.endpoint_for(&request.bucket, attempts)?;
        let path = crate::s3::encode::encode_path(&request.key);
        let address = endpoint.address(self.config().addressing_style, &request.bucket, &path);
        let mark = if query.is_empty() { "" } else { "?" };
        let text = format!("{}://{}{}{mark}{query}", endpoint.scheme.as_str(), address.authority, address.path);
        let url = Url::parse(&text).map_err(|_| Error::config("the endpoint and bucket make no valid URL"))?;
        if url.path() != address.path || url.query().unwrap_or_default() != query {
            let text = format!("the key \"{}\" cannot be sent byte for byte", crate::error::escape(&request.key, 200));
            return Err(Error::new(ErrorKind::UnsafeKey, text).with_object(&request.bucket, &request.key));
        }
        Ok((address, url))
    }

    /// A URL by which anybody may get the object for so long, or until the keys that signed it end. Makes no request.
    pub async fn presign(&self, object: &ObjectRef, expires: Duration) -> Result<String> {
        let named = |error: Error| error.with_object(&object.bucket, &object.key);
        if expires < Duration::from_secs(1) || expires > MAX_PRESIGNED {
            return Err(named(Error::config("a presigned URL is valid from 1 second to 7 days")));
        }
        let Some(keys) = self.credentials().get().await.map_err(named)? else {
            return Err(named(Error::config("an anonymous client has no keys to presign with")));
        };
        let mut request = object.request(Method::GET);
        if self.config().request_payer {
            request = request.query(PAYER.0, PAYER.1);
        }
        let attempts = Attempts::default();
        let (address, _) = self.locate(&request, "", &attempts).map_err(named)?;
        let query = sign::presign(
            self.keys(),
            &SignRequest {
                method: request.method.as_str(),
                path: &address.path,
                query: &request.query,
                headers: &[("host", &address.host_header)],
                payload: sign::Payload::Unsigned,
                credentials: &keys,
                region: &self.region_of(&request.bucket),
                amz_date: &sign::amz_date(self.store_time()),
            },
            expires,
        );
        let (_, url) = self.locate(&request, &query, &attempts).map_err(named)?;
        Ok(url.into())
    }

    fn add_signature(&self, headers: &mut Vec<(String, String)>, signed: &Signed<'_>) -> Result<()> {
        let Signed { request, path, keys, unsigned_body } = signed;
        let payload = match &request.payload {
            Payload::Empty => sign::Payload::Empty,
            _ if *unsigned_body => sign::Payload::Unsigned,
            payload => sign::Payload::Sha256(payload.sha256()?),
        };
        let date = sign::amz_date(self.store_time());
        headers.push(("x-amz-date".into(), date.clone()));
        headers.push(("x-amz-content-sha256".into(), payload.header_value().into_owned()));
        if let Some(token) = &keys.session_token {
            headers.push(("x-amz-security-token".into(), token.expose().to_owned()));
        }
        // Intermediaries may change this one, so it stays outside the signature.
        let named: Vec<(&str, &str)> = headers
            .iter()
            .filter(|(name, _)| name != "accept-encoding")
            .map(|(name, value)| (name.as_str(), value.as_str()))
            .collect();
        let region = self.region_of(&request.bucket);
        let signature = sign::sign(
            self.keys(),
            &SignRequest {
                method: request.method.as_str(),
                path,
                query: &request.query,
                headers: &named,
                payload,
                credentials: keys,
                region: &region,
                amz_date: &date,
            },
        );
        headers.push(("authorization".into(), signature.authorization));
        Ok(())
    }
}

/// Whether this header speaks of a checksum of what is written; reads ask for one by another.
pub(super) fn is_checksum_of_a_write(request: &Request, name: &str) -> bool {
    let is_checksum = name.starts_with("x-amz-checksum-") || name == "x-amz-sdk-checksum-algorithm";
    is_checksum && !matches!(request.method, Method::GET | Method::HEAD)
}

struct Signed<'a> {
    request: &'a Request,
    path: &'a str,
    keys: &'a Credentials,
    unsigned_body: bool,
}

fn header_map(headers: Vec<(String, String)>) -> Result<HeaderMap> {
    let mut map = HeaderMap::with_capacity(headers.len());
    for (name, value) in headers {
        let refuse = |_| Error::config(format!("the value of header \"{name}\" cannot be sent"));
        let mut value = HeaderValue::from_str(&value).map_err(refuse)?;
        value.set_sensitive(matches!(name.as_str(), "authorization" | "x-amz-security-token"));
        let name = HeaderName::from_bytes(name.as_bytes()).map_err(|_| Error::config("a header has no valid name"))?;
        map.append(name, value);
    }
    Ok(map)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::ClientConfig;
    use crate::credentials::Signing;

    /// S12: whatever let such a key through, what URL libraries make another address of is not sent.
    #[tokio::test]
    async fn a_path_that_would_be_sent_otherwise_is_refused() {
        let config = ClientConfig { endpoint_url: Some("http://127.0.0.1:1".into()), ..ClientConfig::default() };
        let client = S3Client::new(config, Signing::Anonymous).unwrap();
        for key in ["../other/k", "a/../k", "a/./k", "..", "a/.."] {
            let request = Request::new(Method::GET, "bucket", key);
            let refused = client.prepare(&request, &Attempts::default()).await.err().unwrap();
            assert_eq!(refused.kind(), ErrorKind::UnsafeKey, "{key}");
        }
        for key in ["a//b", "%2e%2e/k", "a.", "...", "k?x=1#y", "\u{e9} +~={}"] {
            let request = Request::new(Method::GET, "bucket", key);
            assert!(client.prepare(&request, &Attempts::default()).await.is_ok(), "{key}");
        }
    }
}
