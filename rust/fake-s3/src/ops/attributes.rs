//! GetObjectAttributes.

use crate::date;
use crate::error::{Fail, S3Error};
use crate::http::answer::Answer;
use crate::ops::Context;
use crate::store::object::{Checksum, ChecksumKind, Object};
use crate::sync::lock;
use crate::xml::Writer;

pub(crate) fn get(context: &Context) -> Result<Answer, Fail> {
    let request = context.request;
    if request.switches.no_attributes {
        return Err(S3Error::not_implemented("x-amz-object-attributes").into());
    }
    if !request.head.has("x-amz-object-attributes") {
        return Err(S3Error::invalid_argument("x-amz-object-attributes is missing").into());
    }
    let (object, version) = {
        let store = lock(&context.shared.store);
        let bucket = store.bucket(request.bucket())?;
        let object = bucket.find(request.key(), request.version())?;
        let version = bucket.shown_version(&object);
        (object, version)
    };
    let wants = |name: &str| request.head.has_token("x-amz-object-attributes", name);
    let stored = object.checksum().filter(|_| !request.switches.no_checksums);
    let mut out = Writer::new("GetObjectAttributesResponse");
    if wants("ETag") {
        out.maybe("ETag", object.etag.as_ref().map(|etag| etag.replace('"', "")));
    }
    if let Some(checksum) = stored.filter(|_| wants("Checksum")) {
        // Here, and only here, S3 leaves out the `-N` of a composite value.
        let value = checksum.value.split('-').next().unwrap_or_default();
        out.open("Checksum").text(&checksum.algorithm.element(), value);
        out.text("ChecksumType", checksum.kind.name()).close();
    }
    if wants("ObjectParts") && !object.parts.is_empty() {
        parts(context, &object, &mut out);
    }
    if wants("StorageClass") {
        out.text("StorageClass", object.header("x-amz-storage-class").unwrap_or("STANDARD"));
    }
    if wants("ObjectSize") {
        out.text("ObjectSize", object.size());
    }
    Ok(Answer::xml(out.finish())
        .header("Last-Modified", date::http(object.modified))
        .maybe("x-amz-version-id", version))
}

/// S3 lists the single parts only when they have checksums of their own; the count is always there.
fn parts(context: &Context, object: &Object, out: &mut Writer) {
    let number = |name: &str| context.request.head.get(name).and_then(|text| text.parse::<u32>().ok());
    let (max, marker) = (number("x-amz-max-parts").unwrap_or(1000), number("x-amz-part-number-marker").unwrap_or(0));
    out.open("ObjectParts").text("PartsCount", object.parts.len());
    let is_listed = |checksum: &Option<Checksum>| checksum.is_some() && !context.request.switches.no_checksums;
    let rest: Vec<_> = object.parts.iter().filter(|part| part.number > marker && is_listed(&part.checksum)).collect();
    let shown = &rest[..rest.len().min(max as usize)];
    if let Some(last) = shown.last() {
        out.text("PartNumberMarker", marker).text("NextPartNumberMarker", last.number);
        out.text("MaxParts", max).text("IsTruncated", shown.len() < rest.len());
    }
    for part in shown {
        out.open("Part").text("PartNumber", part.number).text("Size", part.size);
        if let Some(checksum) = &part.checksum {
            debug_assert!(checksum.kind == ChecksumKind::FullObject, "a part's checksum covers its bytes");
            out.text(&checksum.algorithm.element(), &checksum.value);
        }
        out.close();
    }
    out.close();
}
