//! DeleteObject and DeleteObjects.

use md5::{Digest, Md5};
use sha2::Sha256;

use crate::checksum::{Algorithm, checksum, to_base64};
use crate::error::{Fail, S3Error};
use crate::http::answer::Answer;
use crate::http::body::Body;
use crate::ops::conditions::check_write;
use crate::ops::receive::{bad_digest, check_sha256};
use crate::ops::{Context, XML_LIMIT};
use crate::rule::glob;
use crate::store::bucket::Deleted;
use crate::store::content::Content;
use crate::store::object::Object;
use crate::sync::lock;
use crate::xml::{Element, Writer};

fn marker(context: &Context) -> Object {
    let mut object = Object::new(Content::from_bytes(Vec::new()));
    object.is_delete_marker = true;
    object.modified = context.shared.now();
    object
}

pub(crate) fn one(context: &Context) -> Result<Answer, Fail> {
    let request = context.request;
    let mut store = lock(&context.shared.store);
    let bucket = store.bucket_mut(request.bucket())?;
    check_write(context, bucket.current(request.key()))?;
    let deleted = bucket.delete(request.key(), request.version(), marker(context));
    Ok(Answer::new(204)
        .maybe("x-amz-version-id", deleted.version_id)
        .maybe("x-amz-delete-marker", deleted.is_marker.then_some("true")))
}

/// The body must be covered by Content-MD5 or a checksum, as S3 demands.
fn check_digest(context: &Context, bytes: &[u8], trailers: &[(String, String)]) -> Result<(), S3Error> {
    let head = &context.request.head;
    let mut is_covered = false;
    if let Some(sent) = head.get("content-md5") {
        if sent != to_base64(&Md5::digest(bytes)) {
            return Err(bad_digest("Content-MD5"));
        }
        is_covered = true;
    }
    for (name, sent) in head.headers.iter().chain(trailers) {
        if let Some(algorithm) = Algorithm::from_header(name) {
            if *sent != to_base64(&checksum(algorithm, bytes)) {
                return Err(bad_digest(algorithm.name()));
            }
            is_covered = true;
        }
    }
    if let Some(wanted) = &context.payload_sha256 {
        check_sha256(Sha256::new_with_prefix(bytes), wanted)?;
    }
    match is_covered {
        true => Ok(()),
        false => {
            Err(S3Error::invalid_request("Missing required header for this request: Content-MD5 OR x-amz-checksum-*"))
        }
    }
}

pub(crate) fn many(context: &Context, body: &mut Body) -> Result<Answer, Fail> {
    let bytes = body.collect(XML_LIMIT)?;
    check_digest(context, &bytes, &body.trailers)?;
    let root = Element::parse(&bytes)?;
    let objects: Vec<&Element> = root.all("Object").collect();
    if root.name != "Delete" || objects.is_empty() || objects.len() > 1000 {
        return Err(S3Error::malformed_xml().into());
    }
    let is_quiet = root.text_of("Quiet") == Some("true");
    let mut store = lock(&context.shared.store);
    let bucket = store.bucket_mut(context.request.bucket())?;
    let mut out = Writer::new("DeleteResult");
    for object in objects {
        let key = object.text_of("Key").ok_or_else(S3Error::malformed_xml)?;
        let version = object.text_of("VersionId");
        if let Some((_, code, message)) =
            context.plan.delete_errors.iter().find(|(keys, ..)| glob(keys.as_bytes(), key.as_bytes()))
        {
            out.open("Error")
                .text("Key", key)
                .maybe("VersionId", version)
                .text("Code", code)
                .text("Message", message)
                .close();
            continue;
        }
        let deleted = bucket.delete(key, version, marker(context));
        if !is_quiet {
            describe(&mut out, key, version, deleted);
        }
    }
    Ok(Answer::xml(out.finish()))
}

fn describe(out: &mut Writer, key: &str, version: Option<&str>, deleted: Deleted) {
    out.open("Deleted").text("Key", key).maybe("VersionId", version);
    if deleted.is_marker {
        out.text("DeleteMarker", true).maybe("DeleteMarkerVersionId", deleted.version_id);
    }
    out.close();
}
