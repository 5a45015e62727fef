//! PutObject, and what all ways of making an object share.

use crate::error::Fail;
use crate::http::answer::Answer;
use crate::http::body::Body;
use crate::http::head::Head;
use crate::ops::Context;
use crate::ops::conditions::check_write;
use crate::ops::get::header_pairs;
use crate::ops::receive::receive;
use crate::store::object::{Object, Stored};
use crate::sync::lock;

const KEPT: [&str; 8] = [
    "content-type",
    "cache-control",
    "content-disposition",
    "content-language",
    "expires",
    "x-amz-storage-class",
    "x-amz-website-redirect-location",
    "x-amz-server-side-encryption",
];

/// The request headers that are stored with the object.
pub(crate) fn object_headers(head: &Head) -> Vec<(String, String)> {
    let mut kept: Vec<(String, String)> = head
        .headers
        .iter()
        .filter(|(name, _)| KEPT.contains(&name.as_str()) || name.starts_with("x-amz-meta-"))
        .cloned()
        .collect();
    let codings = head.get("content-encoding").unwrap_or_default();
    let codings: Vec<&str> =
        codings.split(',').map(str::trim).filter(|coding| !coding.is_empty() && *coding != "aws-chunked").collect();
    if !codings.is_empty() {
        kept.push(("content-encoding".to_owned(), codings.join(",")));
    }
    kept
}

pub(crate) fn object(context: &Context, body: &mut Body) -> Result<Answer, Fail> {
    let request = context.request;
    lock(&context.shared.store).bucket(request.bucket())?;
    check_key(request.key())?;
    let received = receive(context, body, None)?;
    let checksum = received.full_checksum();
    let mut object = Object::new(received.content);
    object.etag = context.shared.etag(request.switches.etag_style, received.md5.as_deref(), None);
    object.modified = context.shared.now();
    object.headers = object_headers(&request.head);
    object.tagging = request.head.get("x-amz-tagging").map(str::to_owned);
    object.stored = checksum.clone().map_or(Stored::None, Stored::Known);
    let mut store = lock(&context.shared.store);
    let bucket = store.bucket_mut(request.bucket())?;
    check_write(context, bucket.current(request.key()))?;
    let object = bucket.put(request.key(), object);
    let mut answer =
        Answer::new(200).maybe("ETag", object.etag.as_ref()).maybe("x-amz-version-id", bucket.shown_version(&object));
    for (name, value) in checksum.iter().flat_map(header_pairs) {
        answer.set(name, &value);
    }
    Ok(answer)
}

pub(crate) fn check_key(key: &str) -> Result<(), Fail> {
    match key.len() <= 1024 {
        true => Ok(()),
        false => Err(crate::error::S3Error::new(400, "KeyTooLongError", "Your key is too long")
            .with("Size", key.len().to_string())
            .with("MaxSizeAllowed", "1024")
            .into()),
    }
}
