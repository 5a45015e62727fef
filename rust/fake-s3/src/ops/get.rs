//! GetObject and HeadObject.

use crate::checksum::Algorithm;
use crate::date;
use crate::error::{Fail, S3Error};
use crate::http::answer::{Answer, Payload};
use crate::ops::Context;
use crate::ops::conditions::check_read;
use crate::store::object::{Checksum, Object};
use crate::sync::lock;

/// Which bytes of an object are asked for.
struct Selection {
    start: u64,
    end: u64,
    is_partial: bool,
    part: Option<u32>,
}

/// GET with its body, HEAD without.
pub(crate) fn object(context: &Context, with_body: bool) -> Result<Answer, Fail> {
    let request = context.request;
    let (object, version) = {
        let store = lock(&context.shared.store);
        let bucket = store.bucket(request.bucket())?;
        let object = bucket.find(request.key(), request.version())?;
        let version = bucket.shown_version(&object);
        (object, version)
    };
    check_read(context, &object)?;
    let selection = select(context, &object)?;
    let (start, len) = (selection.start, selection.end - selection.start);
    let mut answer = Answer::new(if selection.is_partial { 206 } else { 200 })
        .maybe("ETag", object.etag.as_ref())
        .header("Last-Modified", date::http(object.modified))
        .header("Accept-Ranges", "bytes")
        .maybe("x-amz-version-id", version)
        .maybe("x-amz-tagging-count", object.tagging.as_ref().map(|text| text.split('&').count()));
    add_headers(context, &object, &mut answer);
    if selection.is_partial {
        let end = if len == 0 { start } else { selection.end - 1 };
        answer.set("Content-Range", &format!("bytes {start}-{end}/{}", object.size()));
    }
    if selection.part.is_some() && !object.parts.is_empty() {
        answer.set("x-amz-mp-parts-count", &object.parts.len().to_string());
    }
    for (name, value) in checksum_headers(context, &object, &selection) {
        answer.set(name, &value);
    }
    if !with_body {
        answer.announced_len = Some(len);
        return Ok(answer);
    }
    if !object.content.is_kept() {
        let text = "The bytes of this object were discarded on upload (discard mode).";
        return Err(S3Error::new(404, "NoSuchKey", text).with("Key", request.key()).into());
    }
    answer.payload = Payload::Content { content: object.content.clone(), start, len };
    Ok(answer)
}

fn select(context: &Context, object: &Object) -> Result<Selection, S3Error> {
    let (request, plan, size) = (context.request, context.plan, object.size());
    let whole = Selection { start: 0, end: size, is_partial: false, part: None };
    if let Some(number) = request.part.filter(|_| !request.switches.no_part_number) {
        if request.head.has("range") {
            return Err(S3Error::invalid_request("Cannot specify both Range header and partNumber query parameter"));
        }
        let (start, end) = object.part_range(number).ok_or_else(|| {
            S3Error::new(416, "InvalidPartNumber", "The requested partnumber is not satisfiable")
                .with("ActualPartCount", object.parts.len().max(1).to_string())
        })?;
        return Ok(Selection { start, end, is_partial: size > 0, part: Some(number) });
    }
    let Some(range) = request.range.filter(|_| !plan.ignore_range && !request.switches.no_ranges) else {
        return Ok(whole);
    };
    let (start, mut end) = range.resolve(size).ok_or_else(|| {
        S3Error::new(416, "InvalidRange", "The requested range is not satisfiable")
            .with("RangeRequested", request.head.get("range").unwrap_or_default())
            .with("ActualObjectSize", size.to_string())
            .header("Content-Range", format!("bytes */{size}"))
    })?;
    if let Some(bytes) = plan.short_range {
        end = end.min(start.saturating_add(bytes));
    }
    if let Some(bytes) = plan.long_range {
        end = end.saturating_add(bytes).min(size);
    }
    Ok(Selection { start, end, is_partial: true, part: None })
}

fn add_headers(context: &Context, object: &Object, answer: &mut Answer) {
    if object.header("content-type").is_none() {
        answer.set("Content-Type", "binary/octet-stream");
    }
    for (name, value) in &object.headers {
        if name != "x-amz-storage-class" || value != "STANDARD" {
            answer.set(name, value);
        }
    }
    for (name, value) in &context.request.query.0 {
        if let Some(header) = name.strip_prefix("response-") {
            answer.set(header, value);
        }
    }
}

fn checksum_headers(context: &Context, object: &Object, selection: &Selection) -> Vec<(&'static str, String)> {
    let request = context.request;
    let is_enabled = request.head.get("x-amz-checksum-mode").is_some_and(|mode| mode.eq_ignore_ascii_case("ENABLED"));
    if !is_enabled || request.switches.no_checksums {
        return Vec::new();
    }
    let checksum = match selection.part.filter(|_| !object.parts.is_empty()) {
        Some(number) => object.parts.iter().find(|part| part.number == number).and_then(|part| part.checksum.clone()),
        None if selection.is_partial && !request.switches.checksums_on_ranges => None,
        None => object.checksum(),
    };
    checksum.map_or_else(Vec::new, |checksum| header_pairs(&checksum))
}

/// The value under its header, and its type.
pub(crate) fn header_pairs(checksum: &Checksum) -> Vec<(&'static str, String)> {
    let algorithm: Algorithm = checksum.algorithm;
    vec![(algorithm.header(), checksum.value.clone()), ("x-amz-checksum-type", checksum.kind.name().to_owned())]
}
