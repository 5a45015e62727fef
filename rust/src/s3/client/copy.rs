//! Copies the server makes: of a whole object, of a range as a part, and the tags that a copy by parts must carry over.
//!
//! Only the root element of the body says whether a copy was made (C11). The source is named in a header, encoded by
//! our own encoder (S11), and pinned by its ETag where the caller knows it (U13).

use std::ops::Range;

use reqwest::Method;

use super::object::stored;
use super::{MAX_RESULT, ObjectRef, S3Client, Stored, broken_xml};
use crate::checksum::Kind;
use crate::error::Result;
use crate::s3::attempts::Attempts;
use crate::s3::encode::{encode_path, encode_query};
use crate::s3::request::{Answer, Failure, Request};
use crate::s3::xml::{self, CompleteOutcome};

/// What is copied.
#[derive(Debug, Clone)]
pub struct CopySource {
    pub object: ObjectRef,
    /// The ETag it must still have.
    pub if_match: Option<String>,
}

#[derive(Debug, Clone)]
pub struct CopyRequest {
    pub source: CopySource,
    pub destination: ObjectRef,
    /// Directives, metadata, storage class, conditions …
    pub headers: Vec<(String, String)>,
}

pub struct PartCopy<'a> {
    pub source: &'a CopySource,
    pub range: Range<u64>,
    pub destination: &'a ObjectRef,
    pub upload_id: &'a str,
    pub number: u32,
}

/// A part the store has copied.
#[derive(Debug, Clone)]
pub struct CopiedPart {
    pub etag: String,
    pub checksums: Vec<(Kind, String)>,
    pub attempts: u32,
}

impl CopySource {
    fn header(&self) -> String {
        let ObjectRef { bucket, key, version_id } = &self.object;
        let path = format!("/{bucket}/{}", encode_path(key));
        match version_id {
            Some(version) => format!("{path}?versionId={}", encode_query(version)),
            None => path,
        }
    }

    fn put_into(&self, request: Request) -> Request {
        let request = request.header("x-amz-copy-source", self.header());
        match &self.if_match {
            Some(etag) => request.header("x-amz-copy-source-if-match", etag),
            None => request,
        }
    }
}

impl S3Client {
    /// Copies on the server, up to 5 GiB.
    pub async fn copy_object(&self, copy: &CopyRequest) -> Result<Stored> {
        let mut request = copy.source.put_into(copy.destination.request(Method::PUT));
        request.headers.extend(copy.headers.iter().cloned());
        request.slow_answer = true;
        let parse = |answer: &Answer, body: &[u8]| match xml::parse_copy(body).map_err(broken_xml)? {
            CompleteOutcome::Done { etag, .. } => Ok(Stored { etag: Some(etag), ..stored(answer, None) }),
            CompleteOutcome::Error(error) => Err(Failure::in_success(&error, &request)),
        };
        let mut attempts = Attempts::default();
        let stored = self.exchange_counted(&request, MAX_RESULT, &mut attempts, parse).await?;
        Ok(Stored { attempts: attempts.total(), ..stored })
    }

    /// Copies a range of the source as one part of an upload.
    pub async fn upload_part_copy(&self, part: PartCopy<'_>) -> Result<CopiedPart> {
        let request = part
            .destination
            .request(Method::PUT)
            .query("partNumber", part.number.to_string())
            .query("uploadId", part.upload_id)
            .header("x-amz-copy-source-range", format!("bytes={}-{}", part.range.start, part.range.end - 1));
        let mut request = part.source.put_into(request);
        request.slow_answer = true;
        let parse = |_: &Answer, body: &[u8]| match xml::parse_copy_part(body).map_err(broken_xml)? {
            CompleteOutcome::Done { etag, checksums, .. } => Ok(CopiedPart { etag, checksums, attempts: 0 }),
            CompleteOutcome::Error(error) => Err(Failure::in_success(&error, &request)),
        };
        let mut attempts = Attempts::default();
        let copied = self.exchange_counted(&request, MAX_RESULT, &mut attempts, parse).await?;
        Ok(CopiedPart { attempts: attempts.total(), ..copied })
    }

    /// The object's tags, in the store's order.
    pub async fn get_object_tagging(&self, object: &ObjectRef) -> Result<Vec<(String, String)>> {
        let request = object.request(Method::GET).query("tagging", "");
        let parse = |_: &Answer, body: &[u8]| xml::parse_tagging(body).map_err(broken_xml);
        self.exchange(&request, MAX_RESULT, parse).await
    }
}
