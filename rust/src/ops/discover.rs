//! Discovery: the first ranged GET tells size, version and first bytes.
//!
//! No HEAD comes before it (I1). What cannot be ranged, because the object is empty or its version cannot be pinned,
//! is fetched by one plain GET (I4, I10). Where an earlier run left something, the first range is the first that it
//! lacks, asked for of that version only.

use crate::error::{ErrorKind, Result};
use crate::s3::body::ObjectBody;
use crate::s3::client::{GetRequest, S3Client};
use crate::s3::object::ObjectIdentity;
use crate::transfer::ledger::Found;
use crate::transfer::ledger::format::Head;

/// How the object may be fetched.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Shape {
    /// In ranges of this size.
    Ranged(u64),
    /// By one plain GET.
    Whole,
}

/// Opens the object's first range, or all of it where ranges cannot be had.
pub async fn discover(client: &S3Client, get: &GetRequest, shape: Shape) -> Result<ObjectBody> {
    let whole = || GetRequest { range: None, ..get.clone() };
    let Shape::Ranged(part_size) = shape else { return client.get_object(whole()).await };
    let first = GetRequest { range: Some(0..part_size), ..get.clone() };
    match client.get_object(first).await {
        // An empty object has no first byte.
        Err(error) if error.status() == Some(416) => client.get_object(whole()).await,
        Ok(body) if body.identity().strong_etag().is_none() && !is_whole(&body) => client.get_object(whole()).await,
        opened => opened,
    }
}

fn is_whole(body: &ObjectBody) -> bool {
    matches!(body.range(), (0, None)) || body.range() == (0, Some(body.identity().size))
}

/// The first answer to a download that goes on.
pub enum Resumed {
    /// The first range that is missing.
    Body(Box<ObjectBody>),
    /// Nothing is missing, if what was left proves intact; the object is still that version.
    Complete(ObjectIdentity),
    /// The store holds another version now.
    Stale,
}

/// Opens the first range that `found` lacks, if the object is still the version it was of (F13).
pub async fn discover_rest(client: &S3Client, get: &GetRequest, found: &Found, part_size: u64) -> Result<Resumed> {
    let head = &found.head;
    if get.if_match.as_ref().is_some_and(|wanted| *wanted != head.etag) {
        return Ok(Resumed::Stale);
    }
    let Some(gap) = found.first_gap() else {
        return match client.head_object(&get.object, Some(&head.etag)).await {
            Ok(now) if now.identity.size == head.size && now.identity.etag.as_ref() == Some(&head.etag) => {
                Ok(Resumed::Complete(now.identity))
            }
            Ok(_) => Ok(Resumed::Stale),
            Err(error) if is_another_version(error.kind(), error.status()) => Ok(Resumed::Stale),
            Err(error) => Err(error),
        };
    };
    let end = found.gap_end(gap).min(gap.saturating_add(part_size));
    let rest = GetRequest { range: Some(gap..end), if_match: Some(head.etag.clone()), ..get.clone() };
    match client.get_object(rest).await {
        // A store may take no notice of If-Match (I3).
        Ok(body) if !is_of(&body, head) => Ok(Resumed::Stale),
        Ok(body) if body.range().0 == gap => Ok(Resumed::Body(Box::new(body))),
        Ok(_) => Ok(Resumed::Stale),
        Err(error) if is_another_version(error.kind(), error.status()) => Ok(Resumed::Stale),
        Err(error) => Err(error),
    }
}

fn is_of(body: &ObjectBody, head: &Head) -> bool {
    body.identity().size == head.size && body.identity().etag.as_ref() == Some(&head.etag)
}

fn is_another_version(kind: ErrorKind, status: Option<u16>) -> bool {
    matches!(kind, ErrorKind::ObjectChanged | ErrorKind::RangesIgnored) || matches!(status, Some(412 | 416))
}
