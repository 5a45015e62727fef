//! Actions of a multipart upload: create, upload a part, list parts, complete, abort.
//!
//! A part counts only with status 200 and an ETag, and with the checksum we sent if the store repeats one (C10);
//! Complete counts only by the root element of its body (C11).

use std::sync::Arc;

use bytes::Bytes;
use reqwest::Method;

use super::object::stored;
use super::{MAX_PAGE, MAX_RESULT, ObjectRef, S3Client, Stored, broken_xml};
use crate::checksum::{self, Digest, Kind};
use crate::error::{Error, ErrorKind, Result};
use crate::progress::Progress;
use crate::s3::attempts::Attempts;
use crate::s3::payload::Payload;
use crate::s3::request::{Answer, Failure};
use crate::s3::retry::Class;
use crate::s3::xml::{self, CompleteOutcome, CompletedPart, ListedPart};

#[derive(Debug, Clone)]
pub struct NewUpload {
    pub object: ObjectRef,
    /// Of the parts' checksums, and of the object's, which hashes have of the parts only (C9).
    pub checksum: Option<Kind>,
    /// Content type, metadata, storage class …
    pub headers: Vec<(String, String)>,
}

pub struct PartUpload<'a> {
    pub object: &'a ObjectRef,
    pub upload_id: &'a str,
    pub number: u32,
    pub payload: Payload,
    pub checksum: Option<Digest>,
    pub progress: Option<Arc<Progress>>,
    /// Over a connection of its own: for a part that another one is slow with.
    pub fresh_connection: bool,
}

pub struct Completed<'a> {
    pub object: &'a ObjectRef,
    pub upload_id: &'a str,
    pub parts: &'a [CompletedPart],
    /// Sum of the parts' lengths, checked by the store (U4).
    pub size: u64,
    /// Over all bytes, if it is one that parts combine to.
    pub checksum: Option<Digest>,
    /// Conditions.
    pub headers: Vec<(String, String)>,
}

/// How often a part is sent again when the store repeats another checksum than ours.
const ECHO_ATTEMPTS: u32 = 3;

impl S3Client {
    /// The new upload's id.
    pub async fn create_multipart_upload(&self, new: &NewUpload) -> Result<String> {
        let mut request = new.object.request(Method::POST).query("uploads", "");
        request.headers.extend(new.headers.iter().cloned());
        if let Some(kind) = new.checksum {
            request = request
                .header("x-amz-checksum-algorithm", kind.name())
                .header("x-amz-checksum-type", if kind.sha().is_some() { "COMPOSITE" } else { "FULL_OBJECT" });
        }
        let parse = |_: &Answer, body: &[u8]| xml::parse_create_multipart(body).map_err(broken_xml);
        self.exchange(&request, MAX_RESULT, parse).await
    }

    pub async fn upload_part(&self, part: PartUpload<'_>) -> Result<Stored> {
        let mut request = part
            .object
            .request(Method::PUT)
            .query("partNumber", part.number.to_string())
            .query("uploadId", part.upload_id)
            .payload(part.payload);
        request.progress = part.progress;
        let ours = part.checksum.map(|digest| (digest.kind(), digest.encode()));
        if let Some((kind, value)) = &ours {
            request = request.header(kind.header(), value);
        }
        let mut attempts = Attempts::on(part.fresh_connection);
        for _ in 0..ECHO_ATTEMPTS {
            let answer = self.send(&request, &mut attempts).await?;
            let stored =
                Stored { attempts: attempts.total(), ..stored(&answer, part.checksum.map(|digest| digest.kind())) };
            let echo_is_right = stored.echoed.is_none() || stored.echoed == ours;
            if answer.status() == 200 && stored.etag.is_some() && echo_is_right {
                return Ok(stored);
            }
            if let Some(progress) = &request.progress {
                progress.take_back_network(request.payload.len());
            }
        }
        let text = format!("part {} was not stored as it was sent", part.number);
        Err(Error::integrity(text).with_object(&part.object.bucket, &part.object.key))
    }

    /// All parts the store has of an upload, in order.
    pub async fn list_parts(&self, object: &ObjectRef, upload_id: &str) -> Result<Vec<ListedPart>> {
        let mut parts = Vec::new();
        let mut marker: Option<u32> = None;
        loop {
            let mut request = object.request(Method::GET).query("uploadId", upload_id);
            if let Some(marker) = marker {
                request = request.query("part-number-marker", marker.to_string());
            }
            let parse = |_: &Answer, body: &[u8]| xml::parse_list_parts(body).map_err(broken_xml);
            let page = self.exchange(&request, MAX_PAGE, parse).await?;
            parts.extend(page.parts);
            match page.next_part_number_marker {
                _ if !page.is_truncated => return Ok(parts),
                Some(next) if marker.is_none_or(|marker| next > marker) => marker = Some(next),
                _ => {
                    let text = "the list of parts does not say where it goes on";
                    return Err(Error::new(ErrorKind::Service, text).with_object(&object.bucket, &object.key));
                }
            }
        }
    }

    pub async fn complete_multipart_upload(&self, completed: &Completed<'_>) -> Result<Stored> {
        let object = completed.object;
        let plain = |part: &CompletedPart| CompletedPart { checksum: None, ..part.clone() };
        let body = Bytes::from(if self.refuses_checksums() {
            xml::complete_body(&completed.parts.iter().map(plain).collect::<Vec<_>>())
        } else {
            xml::complete_body(completed.parts)
        });
        let mut request = object
            .request(Method::POST)
            .query("uploadId", completed.upload_id)
            .header("content-type", "application/xml")
            .header("x-amz-mp-object-size", completed.size.to_string())
            .payload(Payload::bytes(body));
        request.headers.extend(completed.headers.iter().cloned());
        request.slow_answer = true;
        let ours = completed.checksum.map(|digest| (digest.kind(), digest.encode()));
        if let Some((kind, value)) = &ours {
            request = request.header(kind.header(), value).header("x-amz-checksum-type", "FULL_OBJECT");
        }
        let parse = |answer: &Answer, body: &[u8]| {
            let (etag, checksums) = match xml::parse_complete(body).map_err(broken_xml)? {
                CompleteOutcome::Done { etag, checksums, .. } => (etag, checksums),
                CompleteOutcome::Error(error) => return Err(Failure::in_success(&error, &request)),
            };
            let echoed = ours.as_ref().and_then(|(ours, _)| checksums.into_iter().find(|(name, _)| name == ours));
            if echoed.is_some() && echoed != ours && !echoed.as_ref().is_some_and(|(_, v)| checksum::is_composite(v)) {
                let text = "the store put the object together with another checksum than was sent";
                return Err(Failure::new(Class::Terminal, Error::integrity(text)));
            }
            Ok(Stored { etag: Some(etag), echoed, ..stored(answer, None) })
        };
        self.exchange(&request, MAX_RESULT, parse).await
    }

    /// An upload that is already gone counts as aborted.
    pub async fn abort_multipart_upload(&self, object: &ObjectRef, upload_id: &str) -> Result<()> {
        let request = object.request(Method::DELETE).query("uploadId", upload_id);
        match self.send(&request, &mut Attempts::default()).await {
            Err(error) if error.kind() != ErrorKind::NotFound => Err(error),
            _ => Ok(()),
        }
    }
}
