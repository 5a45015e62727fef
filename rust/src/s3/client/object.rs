//! Actions on one object: get, head, put, delete.

use std::ops::Range;
use std::sync::Arc;

use reqwest::Method;

use super::S3Client;
use crate::checksum::{Digest, Kind};
use crate::error::{Error, ErrorKind, Result};
use crate::progress::Progress;
use crate::s3::attempts::Attempts;
use crate::s3::body::ObjectBody;
use crate::s3::object::{ObjectHead, ObjectIdentity};
use crate::s3::payload::Payload;
use crate::s3::request::{Answer, Request};
use crate::s3::stored_checksum::stored_checksum;

/// The object a request is about, and which version of it if the caller named one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ObjectRef {
    pub bucket: String,
    pub key: String,
    pub version_id: Option<String>,
}

impl ObjectRef {
    /// Refuses names that cannot be sent byte for byte.
    pub fn new(bucket: &str, key: &str, version_id: Option<&str>) -> Result<Self> {
        crate::uri::validate_bucket(bucket)?;
        crate::uri::check_key(key).map_err(|error| error.with_object(bucket, key))?;
        Ok(Self { bucket: bucket.to_owned(), key: key.to_owned(), version_id: version_id.map(str::to_owned) })
    }

    pub(in crate::s3) fn request(&self, method: Method) -> Request {
        let request = Request::new(method, &self.bucket, &self.key);
        match &self.version_id {
            Some(version) => request.query("versionId", version),
            None => request,
        }
    }
}

/// What to get of an object.
#[derive(Debug, Clone)]
pub struct GetRequest {
    pub object: ObjectRef,
    /// `None`: a plain GET of all of it.
    pub range: Option<Range<u64>>,
    /// Without a range: the last so many bytes only, or all there are.
    pub tail: Option<u64>,
    /// The caller's own condition, on the first request too.
    pub if_match: Option<String>,
    /// Whether to ask for stored checksums.
    pub checksums: bool,
    /// Over a connection of its own: for bytes that came wrong over another one (C5).
    pub fresh_connection: bool,
}

/// What to store in one request.
pub struct PutRequest {
    pub object: ObjectRef,
    pub payload: Payload,
    pub checksum: Option<Digest>,
    /// Content type, metadata, storage class, conditions …
    pub headers: Vec<(String, String)>,
    pub progress: Option<Arc<Progress>>,
}

/// What a store said of an object it took.
#[derive(Debug, Clone, Default)]
pub struct Stored {
    pub etag: Option<String>,
    pub version_id: Option<String>,
    /// The checksum the store repeated, as it was sent.
    pub echoed: Option<(Kind, String)>,
    pub attempts: u32,
}

impl S3Client {
    /// Starts to read an object, or a range of it. The body goes on by itself after a break.
    pub async fn get_object(&self, get: GetRequest) -> Result<ObjectBody> {
        ObjectBody::open(self.clone(), get).await
    }

    /// The head of an answer to a GET.
    pub(in crate::s3) async fn get_once(
        &self,
        get: &GetRequest,
        if_match: Option<&str>,
        attempts: &mut Attempts,
    ) -> (Request, Result<Answer>) {
        let mut request = get.object.request(Method::GET);
        if let Some(range) = &get.range {
            request = request.header("range", format!("bytes={}-{}", range.start, range.end - 1));
        } else if let Some(len) = get.tail {
            request = request.header("range", format!("bytes=-{len}"));
        }
        if let Some(etag) = if_match {
            request = request.header("if-match", etag);
        }
        if get.checksums {
            request = request.header("x-amz-checksum-mode", "ENABLED");
        }
        let answer = self.answer(&request, attempts).await;
        (request, answer)
    }

    pub async fn head_object(&self, object: &ObjectRef, if_match: Option<&str>) -> Result<ObjectHead> {
        let mut request = object.request(Method::HEAD).header("x-amz-checksum-mode", "ENABLED");
        if let Some(etag) = if_match {
            request = request.header("if-match", etag);
        }
        let answer = self.send(&request, &mut Attempts::default()).await?;
        head_of(&answer).map_err(|error| error.with_object(&object.bucket, &object.key))
    }

    pub async fn put_object(&self, put: PutRequest) -> Result<Stored> {
        let mut request = put.object.request(Method::PUT).payload(put.payload);
        request.headers = put.headers;
        request.progress = put.progress;
        let ours = put.checksum.map(|digest| (digest.kind(), digest.encode()));
        if let Some((kind, value)) = &ours {
            request = request.header(kind.header(), value);
        }
        let mut attempts = Attempts::default();
        let answer = self.send(&request, &mut attempts).await?;
        if answer.status() != 200 {
            let text = format!("the store answered PutObject with {}, which says nothing", answer.status());
            return Err(Error::new(ErrorKind::Service, text).with_object(&put.object.bucket, &put.object.key));
        }
        let stored = stored(&answer, put.checksum.map(|digest| digest.kind()));
        if stored.echoed.is_some() && stored.echoed != ours {
            let text = "the store repeats another checksum than was sent";
            return Err(Error::integrity(text).with_object(&put.object.bucket, &put.object.key));
        }
        Ok(Stored { attempts: attempts.total(), ..stored })
    }

    /// A missing object counts as deleted; under a condition only one that an earlier try of ours may have deleted.
    pub async fn delete_object(&self, object: &ObjectRef, if_match: Option<&str>) -> Result<()> {
        let mut request = object.request(Method::DELETE);
        if let Some(etag) = if_match {
            request = request.header("if-match", etag);
        }
        match self.send(&request, &mut Attempts::default()).await {
            Err(error) if if_match.is_some() && error.was_resent() && error.kind() == ErrorKind::NotFound => Ok(()),
            outcome => outcome.map(drop),
        }
    }
}

pub(super) fn stored(answer: &Answer, kind: Option<Kind>) -> Stored {
    let echo = kind.and_then(|kind| Some((kind, answer.header(kind.header())?.to_owned())));
    Stored {
        etag: answer.header("etag").map(str::to_owned),
        version_id: answer.header("x-amz-version-id").filter(|id| *id != "null").map(str::to_owned),
        echoed: echo,
        attempts: 1,
    }
}

fn head_of(answer: &Answer) -> Result<ObjectHead> {
    let length = answer.header("content-length").and_then(|value| value.parse().ok());
    let text = |name: &str| answer.header(name).map(str::to_owned);
    let identity = ObjectIdentity {
        size: length.ok_or_else(|| Error::new(ErrorKind::Service, "the store did not tell the size"))?,
        etag: text("etag"),
        version_id: text("x-amz-version-id").filter(|id| id != "null"),
        last_modified: answer.header("last-modified").and_then(|date| httpdate::parse_http_date(date).ok()),
        content_type: text("content-type"),
        storage_class: text("x-amz-storage-class"),
    };
    let checksum = stored_checksum(answer.headers(), identity.etag.as_deref());
    let mut metadata = Vec::new();
    let mut headers = Vec::new();
    for (name, value) in answer.headers() {
        let Ok(value) = value.to_str() else { continue };
        match name.as_str().strip_prefix("x-amz-meta-") {
            Some(name) => metadata.push((name.to_owned(), value.to_owned())),
            None => headers.push((name.as_str().to_owned(), value.to_owned())),
        }
    }
    Ok(ObjectHead { identity, checksum, metadata, headers })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_that_cannot_travel_are_refused() {
        assert!(ObjectRef::new("bucket", "a/../b", None).is_err());
        assert!(ObjectRef::new("bucket", "", None).is_err());
        assert!(ObjectRef::new("bucket/../x", "a", None).is_err());
        assert!(ObjectRef::new("bucket", "a//b +%", None).is_ok());
    }
}
