//! The operations of one request, or of pages of it: look, list, delete, buckets.
//!
//! Thin: each adds only what the caller of an operation is promised, that it can be stopped and names its object.

use std::time::Duration;

use crate::error::{Error, Result};
use crate::ops::engine::{Engine, unless_cancelled};
use crate::progress::Cancel;
use crate::s3::client::{DeleteOutcome, ListRequest, Listing, Named, ObjectRef, Versions};
use crate::s3::object::ObjectHead;
use crate::s3::xml::{ListPage, ListedBucket, VersionsPage};

/// S3's bound on one DeleteObjects.
const DELETE_BATCH: usize = 1000;

pub async fn head(engine: &Engine, object: &ObjectRef, cancel: &Cancel) -> Result<ObjectHead> {
    unless_cancelled(cancel, engine.client.head_object(object, None)).await
}

/// A URL by which anybody may get the object for so long.
pub async fn presign(engine: &Engine, object: &ObjectRef, expires: Duration, cancel: &Cancel) -> Result<String> {
    unless_cancelled(cancel, engine.client.presign(object, expires)).await
}

pub fn list(engine: &Engine, request: ListRequest) -> Result<Listing> {
    engine.client.list_objects_v2(request)
}

pub async fn next_page(listing: &mut Listing, cancel: &Cancel) -> Result<Option<ListPage>> {
    unless_cancelled(cancel, listing.next_page()).await
}

pub fn list_versions(engine: &Engine, request: ListRequest) -> Result<Versions> {
    engine.client.list_object_versions(request)
}

pub async fn next_versions(versions: &mut Versions, cancel: &Cancel) -> Result<Option<VersionsPage>> {
    unless_cancelled(cancel, versions.next_page()).await
}

/// `if_match` is the ETag that what is deleted must have.
pub async fn delete(engine: &Engine, object: &ObjectRef, if_match: Option<&str>, cancel: &Cancel) -> Result<()> {
    unless_cancelled(cancel, engine.client.delete_object(object, if_match)).await
}

/// Every key's own outcome, in batches of 1,000.
pub async fn delete_many(
    engine: &Engine,
    bucket: &str,
    objects: &[Named],
    cancel: &Cancel,
) -> Result<Vec<DeleteOutcome>> {
    crate::uri::validate_bucket(bucket)?;
    if objects.iter().any(|(key, _)| key.is_empty()) {
        return Err(Error::config("a key to delete is empty: \"\"").with_object(bucket, ""));
    }
    let mut outcomes = Vec::with_capacity(objects.len());
    for batch in objects.chunks(DELETE_BATCH) {
        outcomes.extend(unless_cancelled(cancel, engine.client.delete_objects(bucket, batch)).await?);
    }
    Ok(outcomes)
}

pub async fn list_buckets(engine: &Engine, cancel: &Cancel) -> Result<Vec<ListedBucket>> {
    unless_cancelled(cancel, engine.client.list_buckets()).await
}

pub async fn head_bucket(engine: &Engine, bucket: &str, cancel: &Cancel) -> Result<Option<String>> {
    unless_cancelled(cancel, engine.client.head_bucket(bucket)).await
}

pub async fn create_bucket(engine: &Engine, bucket: &str, cancel: &Cancel) -> Result<()> {
    unless_cancelled(cancel, engine.client.create_bucket(bucket)).await
}

pub async fn delete_bucket(engine: &Engine, bucket: &str, cancel: &Cancel) -> Result<()> {
    unless_cancelled(cancel, engine.client.delete_bucket(bucket)).await
}
