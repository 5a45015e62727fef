//! An object put together from parts that anybody sends: other threads, processes, machines (`MultipartUpload`).
//!
//! Nothing is kept here between two calls: what the store lists is the truth when the object is completed, so it does
//! not matter who sent which part. What this process knows of its own parts is compared with it: a part that was sent
//! again elsewhere in between has another ETag, and the last one counts (python.md).

use std::time::Instant;

use bytes::Bytes;

use crate::checksum::{Digest, Hasher, Kind};
use crate::config::{MAX_PART, MAX_PARTS};
use crate::error::{Error, Result};
use crate::ops::engine::{Engine, unless_late};
use crate::ops::multipart::{Multipart, Sent};
use crate::ops::put::PutRequest;
use crate::ops::report::TransferReport;
use crate::ops::unfinished;
use crate::progress::{Cancel, Progress};
use crate::s3::client::{NewUpload, ObjectRef, Uploads};
use crate::s3::payload::Payload;
use crate::s3::xml::ListedPart;
use crate::transfer::scheduler::Gate;

/// The upload that a part belongs to, or that is to be ended.
#[derive(Debug, Clone)]
pub struct UploadRef {
    pub object: ObjectRef,
    pub upload_id: String,
    /// With which it was created.
    pub checksum: Option<Kind>,
}

/// The id of a new upload.
pub async fn create(engine: &Engine, request: PutRequest, cancel: &Cancel) -> Result<String> {
    let PutRequest { object, checksum, headers, deadline, .. } = request;
    let named = |error: Error| error.with_object(&object.bucket, &object.key);
    let new = NewUpload { object: object.clone(), checksum, headers };
    let deadline = deadline.map(|limit| Instant::now() + limit);
    unless_late(cancel, deadline, "upload", engine.client.create_multipart_upload(&new)).await.map_err(named)
}

/// Sends one part; its ETag.
pub async fn send_part(
    engine: &Engine,
    upload: &UploadRef,
    number: u32,
    data: Bytes,
    progress: &std::sync::Arc<Progress>,
    cancel: &Cancel,
) -> Result<String> {
    let named = |error: Error| error.with_object(&upload.object.bucket, &upload.object.key);
    if number == 0 || u64::from(number) > MAX_PARTS {
        return Err(named(Error::config(format!("part numbers are 1 to 10,000, not {number}"))));
    }
    if data.is_empty() || data.len() as u64 > MAX_PART {
        let text = format!("part {number} must hold 1 byte to 5 GiB, not {} bytes", data.len());
        return Err(named(Error::config(text)));
    }
    let digest = upload.checksum.map(|kind| {
        let mut hasher = Hasher::new(kind);
        hasher.update(&data);
        hasher.finish()
    });
    let work = async {
        // The caller's memory is the caller's; the requests of the client are counted.
        let _permit = engine.scheduler.acquire(Gate::new(1).enter().await, 0).await;
        multipart(engine, upload, progress).send(number, Payload::bytes(data), digest).await
    };
    let sent = unless_late(cancel, None, "part", work).await.map_err(named)?;
    progress.add_durable(sent.len);
    Ok(sent.part.etag)
}

/// What the store has of the upload, in order.
pub async fn parts(engine: &Engine, upload: &UploadRef, cancel: &Cancel) -> Result<Vec<ListedPart>> {
    let named = |error: Error| error.with_object(&upload.object.bucket, &upload.object.key);
    let listed = engine.client.list_parts(&upload.object, &upload.upload_id);
    unless_late(cancel, None, "upload", listed).await.map_err(named)
}

/// What is to be true of the parts before the object is made of them.
#[derive(Debug, Clone, Default)]
pub struct Expected {
    /// Length of the object, if it was planned.
    pub size: Option<u64>,
    /// How many parts there are, if that was planned.
    pub count: Option<u32>,
    /// `if-none-match` or `if-match`.
    pub conditions: Vec<(String, String)>,
}

/// Makes the object of what the store lists.
pub async fn complete(
    engine: &Engine,
    upload: &UploadRef,
    expected: &Expected,
    cancel: &Cancel,
) -> Result<TransferReport> {
    let named = |error: Error| error.with_object(&upload.object.bucket, &upload.object.key);
    let started = Instant::now();
    let work = async {
        let listed = engine.client.list_parts(&upload.object, &upload.upload_id).await?;
        let size = check(&listed, expected)?;
        let sent = listed.into_iter().map(|part| as_sent(part, upload.checksum)).collect::<Result<Vec<_>>>()?;
        let upload = multipart(engine, upload, &Default::default());
        let assembled = upload.complete(sent, size, &expected.conditions).await?;
        Ok(TransferReport::of_upload(assembled, size, started))
    };
    unless_late(cancel, None, "upload", work).await.map_err(named)
}

/// Removes the upload and what was sent of it.
pub async fn abort(engine: &Engine, upload: &UploadRef) -> Result<()> {
    let named = |error: Error| error.with_object(&upload.object.bucket, &upload.object.key);
    multipart(engine, upload, &Default::default()).remove().await.map_err(named)?;
    unfinished::forget(engine, upload).await;
    Ok(())
}

/// Uploads of a bucket that were neither completed nor aborted.
pub fn uploads(engine: &Engine, bucket: &str, prefix: &str) -> Result<Uploads> {
    engine.client.list_multipart_uploads(bucket, prefix)
}

fn multipart(engine: &Engine, upload: &UploadRef, progress: &std::sync::Arc<Progress>) -> Multipart {
    Multipart::attach(&engine.client, upload.object.clone(), &upload.upload_id, upload.checksum, progress)
}

/// The sum of the parts, if they are what was planned.
fn check(listed: &[ListedPart], expected: &Expected) -> Result<u64> {
    let missing = |count: u32| (1..=count).find(|number| !listed.iter().any(|part| part.number == *number));
    if let Some(number) = expected.count.and_then(missing) {
        return Err(Error::config(format!("part {number} was not sent")));
    }
    if listed.is_empty() {
        return Err(Error::config("no part was sent"));
    }
    let gap = listed.iter().zip(1..).find(|(part, number)| part.number != *number);
    if let Some((_, number)) = gap {
        return Err(Error::config(format!("part {number} was not sent, but later ones were")));
    }
    let size: u64 = listed.iter().map(|part| part.size).sum();
    match expected.size {
        Some(planned) if planned != size => {
            Err(Error::integrity(format!("the parts hold {size} bytes, but {planned} were planned")))
        }
        _ => Ok(size),
    }
}

fn as_sent(part: ListedPart, kind: Option<Kind>) -> Result<Sent> {
    let stated = kind.and_then(|kind| part.checksums.iter().find(|(name, _)| *name == kind));
    let digest = stated.map(|(kind, text)| Digest::parse(*kind, text)).transpose()?;
    Ok(Sent::listed(part.number, part.etag, part.size, digest))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn listed(number: u32, size: u64) -> ListedPart {
        ListedPart { number, size, etag: number.to_string(), ..ListedPart::default() }
    }

    #[test]
    fn holes_and_wrong_sizes_are_named() {
        let of = |size: Option<u64>, count: Option<u32>| Expected { size, count, conditions: Vec::new() };
        let two = [listed(1, 5), listed(2, 3)];
        assert_eq!(check(&two, &of(None, None)).unwrap(), 8);
        assert_eq!(check(&two, &of(Some(8), Some(2))).unwrap(), 8);
        for (parts, expected, text) in [
            (&two[..], of(Some(9), Some(2)), "hold 8 bytes, but 9"),
            (&two[..], of(None, Some(3)), "part 3 was not sent"),
            (&two[1..], of(None, None), "part 1 was not sent, but"),
            (&[], of(None, None), "no part"),
        ] {
            assert!(check(parts, &expected).unwrap_err().to_string().contains(text), "{text}");
        }
    }
}
