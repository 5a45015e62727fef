//! Buckets: list, create, delete, head, location, versioning.

use crate::date;
use crate::error::{Fail, S3Error};
use crate::http::answer::Answer;
use crate::http::body::Body;
use crate::ops::{Context, XML_LIMIT};
use crate::store::bucket::{Bucket, Versioning};
use crate::sync::lock;
use crate::xml::{Element, Writer};

pub(crate) fn list(context: &Context) -> Answer {
    let mut out = Writer::new("ListAllMyBucketsResult");
    out.owner("Owner").open("Buckets");
    for (name, bucket) in &lock(&context.shared.store).buckets {
        out.open("Bucket").text("Name", name).text("CreationDate", date::iso(bucket.created));
        out.text("BucketRegion", &context.shared.config.region).close();
    }
    Answer::xml(out.finish())
}

/// The naming rules that matter to clients.
fn is_name(name: &str) -> bool {
    let edge = |byte: Option<&u8>| byte.is_some_and(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit());
    let bytes = name.as_bytes();
    (3..=63).contains(&bytes.len())
        && bytes.iter().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || matches!(byte, b'-' | b'.'))
        && edge(bytes.first())
        && edge(bytes.last())
}

pub(crate) fn create(context: &Context, body: &mut Body) -> Result<Answer, Fail> {
    let name = context.request.bucket();
    let bytes = body.collect(XML_LIMIT)?;
    if !is_name(name) {
        return Err(S3Error::new(400, "InvalidBucketName", "The specified bucket is not valid.")
            .with("BucketName", name)
            .into());
    }
    if !bytes.is_empty() {
        let root = Element::parse(&bytes)?;
        let wanted = root.text_of("LocationConstraint").unwrap_or(&context.shared.config.region);
        if wanted != context.shared.config.region {
            let text = format!("The {wanted} location constraint is incompatible for the region specific endpoint.");
            return Err(S3Error::new(400, "IllegalLocationConstraintException", text).into());
        }
    }
    let mut store = lock(&context.shared.store);
    if store.buckets.contains_key(name) {
        let text = "Your previous request to create the named bucket succeeded and you already own it.";
        return Err(S3Error::new(409, "BucketAlreadyOwnedByYou", text).with("BucketName", name).into());
    }
    store.buckets.insert(name.to_owned(), Bucket::new(context.shared.now()));
    Ok(Answer::new(200).header("Location", format!("/{name}")))
}

pub(crate) fn delete(context: &Context) -> Result<Answer, Fail> {
    let mut store = lock(&context.shared.store);
    let name = context.request.bucket();
    if !store.bucket(name)?.objects.is_empty() {
        let error = S3Error::new(409, "BucketNotEmpty", "The bucket you tried to delete is not empty");
        return Err(error.with("BucketName", name).into());
    }
    store.buckets.remove(name);
    Ok(Answer::new(204))
}

pub(crate) fn head(context: &Context) -> Result<Answer, Fail> {
    lock(&context.shared.store).bucket(context.request.bucket())?;
    Ok(Answer::new(200).header("x-amz-bucket-region", &context.shared.config.region))
}

pub(crate) fn location(context: &Context) -> Result<Answer, Fail> {
    lock(&context.shared.store).bucket(context.request.bucket())?;
    let region = match context.shared.config.region.as_str() {
        "us-east-1" => "",
        region => region,
    };
    let xml = format!(
        "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<LocationConstraint xmlns=\"{}\">{region}</LocationConstraint>",
        crate::xml::NAMESPACE
    );
    Ok(Answer::xml(xml.into_bytes()))
}

pub(crate) fn versioning(context: &Context) -> Result<Answer, Fail> {
    let state = lock(&context.shared.store).bucket(context.request.bucket())?.versioning;
    let mut out = Writer::new("VersioningConfiguration");
    match state {
        Versioning::Off => {}
        Versioning::Enabled => {
            out.text("Status", "Enabled");
        }
        Versioning::Suspended => {
            out.text("Status", "Suspended");
        }
    }
    Ok(Answer::xml(out.finish()))
}

pub(crate) fn set_versioning(context: &Context, body: &mut Body) -> Result<Answer, Fail> {
    let root = Element::parse(&body.collect(XML_LIMIT)?)?;
    let state = match root.text_of("Status") {
        Some("Enabled") => Versioning::Enabled,
        Some("Suspended") => Versioning::Suspended,
        _ => return Err(S3Error::malformed_xml().into()),
    };
    lock(&context.shared.store).bucket_mut(context.request.bucket())?.versioning = state;
    Ok(Answer::new(200))
}
