//! The listings: objects (v2 and v1), versions, uploads, parts.

use std::sync::Arc;

use crate::checksum::{from_base64, to_base64};
use crate::date;
use crate::error::{Fail, S3Error};
use crate::http::answer::Answer;
use crate::ops::Context;
use crate::ops::listing::{After, Page, PageRequest, page};
use crate::store::bucket::Bucket;
use crate::store::object::Object;
use crate::sync::lock;
use crate::uri::encode;
use crate::xml::Writer;

/// What the listings have in common.
struct Form<'a> {
    prefix: &'a str,
    delimiter: Option<&'a str>,
    max: usize,
    encodes: bool,
}

impl<'a> Form<'a> {
    fn of(context: &'a Context, limit: &str) -> Result<Self, S3Error> {
        let query = &context.request.query;
        let max = match query.get(limit) {
            Some(text) => {
                let bad =
                    || S3Error::invalid_argument(format!("Provided {limit} not an integer or within integer range"));
                text.parse::<usize>().map_err(|_| bad())?.min(1000)
            }
            None => 1000,
        };
        let encodes = match query.get("encoding-type") {
            None => false,
            Some("url") => true,
            Some(_) => return Err(S3Error::invalid_argument("Invalid Encoding Method specified in Request")),
        };
        let delimiter = query.get("delimiter").filter(|text| !text.is_empty());
        Ok(Self { prefix: query.get("prefix").unwrap_or_default(), delimiter, max, encodes })
    }

    fn name(&self, text: &str) -> String {
        if self.encodes { encode(text.as_bytes(), true) } else { text.to_owned() }
    }

    fn begin(&self, out: &mut Writer, context: &Context) {
        out.text("Name", context.request.bucket()).text("Prefix", self.name(self.prefix)).text("MaxKeys", self.max);
        out.maybe("Delimiter", self.delimiter.map(|text| self.name(text)));
        out.maybe("EncodingType", self.encodes.then_some("url"));
    }

    fn page(&self, bucket: &Bucket, after: After) -> Page {
        if self.max == 0 {
            return Page::default();
        }
        let visible = |versions: &Vec<_>| versions.last().is_some_and(|object: &Arc<Object>| !object.is_delete_marker);
        page(
            &bucket.objects,
            &visible,
            &PageRequest { prefix: self.prefix, delimiter: self.delimiter, after, max: self.max },
        )
    }

    /// `objects` are those of the page's keys.
    fn contents(&self, out: &mut Writer, objects: &[Arc<Object>], page: &Page, with_owner: bool) {
        for (key, object) in page.keys.iter().zip(objects) {
            out.open("Contents").text("Key", self.name(key));
            describe(out, object);
            if with_owner {
                out.owner("Owner");
            }
            out.close();
        }
        for prefix in &page.prefixes {
            out.open("CommonPrefixes").text("Prefix", self.name(prefix)).close();
        }
    }
}

/// A page and its objects. The store is free again before anything is written of them: pages may be made side by side.
fn found(context: &Context, form: &Form, after: After) -> Result<(Page, Vec<Arc<Object>>), S3Error> {
    let store = lock(&context.shared.store);
    let bucket = store.bucket(context.request.bucket())?;
    let page = form.page(bucket, after);
    let objects = page.keys.iter().filter_map(|key| bucket.current(key).cloned()).collect();
    Ok((page, objects))
}

fn describe(out: &mut Writer, object: &Object) {
    out.text("LastModified", date::iso(object.modified)).maybe("ETag", object.etag.as_ref());
    if let crate::store::object::Stored::Known(checksum) = &object.stored {
        out.text("ChecksumAlgorithm", checksum.algorithm.name()).text("ChecksumType", checksum.kind.name());
    }
    out.text("Size", object.size()).text("StorageClass", object.header("x-amz-storage-class").unwrap_or("STANDARD"));
}

fn token_of(after: &After) -> String {
    match after {
        After::Start => String::new(),
        After::Key(key) => to_base64(format!("k{key}").as_bytes()),
        After::Prefix(prefix) => to_base64(format!("p{prefix}").as_bytes()),
    }
}

fn after_of(token: &str) -> Option<After> {
    let text = String::from_utf8(from_base64(token)?).ok()?;
    match text.split_at_checked(1)? {
        ("k", key) => Some(After::Key(key.to_owned())),
        ("p", prefix) => Some(After::Prefix(prefix.to_owned())),
        _ => None,
    }
}

pub(crate) fn objects_v2(context: &Context) -> Result<Answer, Fail> {
    let query = &context.request.query;
    let mut form = Form::of(context, "max-keys")?;
    let switches = context.shared.switches();
    form.max = form.max.min(switches.page_keys);
    if switches.refuse_start_after && query.get("start-after").is_some() {
        return Err(S3Error::new(501, "NotImplemented", "start-after is not implemented.").into());
    }
    let start = query.get("start-after").filter(|_| !switches.ignore_start_after);
    let after = match (query.get("continuation-token"), start) {
        (Some(token), _) => {
            after_of(token).ok_or_else(|| S3Error::invalid_argument("The continuation token provided is incorrect"))?
        }
        (None, Some(key)) if !key.is_empty() => After::Key(key.to_owned()),
        _ => After::Start,
    };
    let (page, objects) = found(context, &form, after)?;
    let mut out = Writer::new("ListBucketResult");
    form.begin(&mut out, context);
    out.maybe("StartAfter", query.get("start-after").map(|text| form.name(text)));
    out.maybe("ContinuationToken", query.get("continuation-token"));
    out.maybe("NextContinuationToken", page.next.as_ref().map(token_of));
    out.text("KeyCount", page.keys.len() + page.prefixes.len()).text("IsTruncated", page.next.is_some());
    form.contents(&mut out, &objects, &page, query.get("fetch-owner") == Some("true"));
    Ok(Answer::xml(out.finish()))
}

pub(crate) fn objects_v1(context: &Context) -> Result<Answer, Fail> {
    let form = Form::of(context, "max-keys")?;
    let marker = context.request.query.get("marker").unwrap_or_default();
    let after = match form.delimiter {
        _ if marker.is_empty() => After::Start,
        Some(delimiter) if marker.ends_with(delimiter) => After::Prefix(marker.to_owned()),
        _ => After::Key(marker.to_owned()),
    };
    let (page, objects) = found(context, &form, after)?;
    let mut out = Writer::new("ListBucketResult");
    form.begin(&mut out, context);
    out.text("Marker", form.name(marker)).text("IsTruncated", page.next.is_some());
    let next = match &page.next {
        Some(After::Key(text) | After::Prefix(text)) => Some(form.name(text)),
        _ => None,
    };
    out.maybe("NextMarker", next);
    form.contents(&mut out, &objects, &page, true);
    Ok(Answer::xml(out.finish()))
}

/// A line of a list of versions: the name it stands at, and of a version the object and whether it is the latest.
struct Row<'a> {
    name: &'a str,
    version: Option<(&'a Object, bool)>,
}

/// All lines behind the marker, new versions before old ones.
fn rows<'a>(bucket: &'a Bucket, page: &'a Page, marker: (&str, Option<&str>)) -> Vec<Row<'a>> {
    let prefixes = page.prefixes.iter().map(|prefix| Row { name: prefix, version: None });
    let versions =
        page.keys.iter().filter_map(|key| Some((key, bucket.objects.get(key)?))).flat_map(|(key, objects)| {
            let newest_first = objects.iter().rev().enumerate();
            newest_first.map(move |(at, object)| Row { name: key, version: Some((object, at == 0)) })
        });
    let mut rows: Vec<Row> = prefixes.chain(versions).collect();
    rows.sort_by_key(|row| row.name);
    let is_marker = |row: &Row| {
        row.name == marker.0 && row.version.is_some_and(|(object, _)| Some(object.version_id.as_str()) == marker.1)
    };
    match rows.iter().position(is_marker) {
        Some(at) => rows.split_off(at + 1),
        None => rows.into_iter().filter(|row| marker.0.is_empty() || row.name > marker.0).collect(),
    }
}

pub(crate) fn versions(context: &Context) -> Result<Answer, Fail> {
    let form = Form::of(context, "max-keys")?;
    let query = &context.request.query;
    let marker = query.get("key-marker").unwrap_or_default();
    let id_marker = query.get("version-id-marker").filter(|id| !id.is_empty());
    if id_marker.is_some() && marker.is_empty() {
        let text = "A version-id marker cannot be specified without a key marker.";
        return Err(S3Error::invalid_argument(text).into());
    }
    let store = lock(&context.shared.store);
    let bucket = store.bucket(context.request.bucket())?;
    let request = PageRequest { prefix: form.prefix, delimiter: form.delimiter, after: After::Start, max: usize::MAX };
    let all = page(&bucket.objects, &|_| true, &request);
    let mut rows = rows(bucket, &all, (marker, id_marker));
    let is_truncated = rows.len() > form.max && form.max > 0;
    rows.truncate(form.max);
    let mut out = Writer::new("ListVersionsResult");
    form.begin(&mut out, context);
    out.text("KeyMarker", form.name(marker)).text("IsTruncated", is_truncated);
    if let Some(last) = rows.last().filter(|_| is_truncated) {
        out.text("NextKeyMarker", form.name(last.name));
        out.maybe("NextVersionIdMarker", last.version.map(|(object, _)| &object.version_id));
    }
    for (name, (object, is_latest)) in rows.iter().filter_map(|row| Some((row.name, row.version?))) {
        out.open(if object.is_delete_marker { "DeleteMarker" } else { "Version" });
        out.text("Key", form.name(name)).text("VersionId", &object.version_id).text("IsLatest", is_latest);
        if object.is_delete_marker {
            out.text("LastModified", date::iso(object.modified));
        } else {
            describe(&mut out, object);
        }
        out.owner("Owner").close();
    }
    for row in rows.iter().filter(|row| row.version.is_none()) {
        out.open("CommonPrefixes").text("Prefix", form.name(row.name)).close();
    }
    Ok(Answer::xml(out.finish()))
}

pub(crate) fn uploads(context: &Context) -> Result<Answer, Fail> {
    let form = Form::of(context, "max-uploads")?;
    let query = &context.request.query;
    let marker = (query.get("key-marker").unwrap_or_default(), query.get("upload-id-marker").unwrap_or_default());
    let store = lock(&context.shared.store);
    let bucket = store.bucket(context.request.bucket())?;
    let mut uploads: Vec<_> = bucket
        .uploads
        .values()
        .filter(|upload| upload.key.starts_with(form.prefix))
        .filter(|upload| match marker {
            ("", _) => true,
            (key, "") => upload.key.as_str() > key,
            (key, id) => (upload.key.as_str(), upload.id.as_str()) > (key, id),
        })
        .collect();
    uploads.sort_by(|a, b| (&a.key, &a.id).cmp(&(&b.key, &b.id)));
    let is_truncated = uploads.len() > form.max;
    uploads.truncate(form.max);
    let mut out = Writer::new("ListMultipartUploadsResult");
    out.text("Bucket", context.request.bucket())
        .text("KeyMarker", form.name(marker.0))
        .text("UploadIdMarker", marker.1);
    if let Some(last) = uploads.last().filter(|_| is_truncated) {
        out.text("NextKeyMarker", form.name(&last.key)).text("NextUploadIdMarker", &last.id);
    }
    out.text("Prefix", form.name(form.prefix)).text("MaxUploads", form.max).text("IsTruncated", is_truncated);
    out.maybe("EncodingType", form.encodes.then_some("url"));
    for upload in uploads {
        out.open("Upload").text("Key", form.name(&upload.key)).text("UploadId", &upload.id);
        out.owner("Initiator")
            .owner("Owner")
            .text("StorageClass", "STANDARD")
            .text("Initiated", date::iso(upload.started));
        if let Some(algorithm) = upload.algorithm.filter(|_| upload.was_asked) {
            out.text("ChecksumAlgorithm", algorithm.name()).text("ChecksumType", upload.kind.name());
        }
        out.close();
    }
    Ok(Answer::xml(out.finish()))
}

pub(crate) fn parts(context: &Context) -> Result<Answer, Fail> {
    let form = Form::of(context, "max-parts")?;
    let query = &context.request.query;
    let id = query.get("uploadId").unwrap_or_default();
    let marker: u32 = query.get("part-number-marker").and_then(|text| text.parse().ok()).unwrap_or(0);
    let store = lock(&context.shared.store);
    let bucket = store.bucket(context.request.bucket())?;
    let upload = bucket.uploads.get(id).filter(|upload| upload.key == context.request.key());
    let upload = upload.ok_or_else(|| S3Error::no_such_upload(id))?;
    let rest: Vec<_> = upload.parts.range(marker + 1..).collect();
    let shown = &rest[..rest.len().min(form.max)];
    let mut out = Writer::new("ListPartsResult");
    out.text("Bucket", context.request.bucket()).text("Key", context.request.key()).text("UploadId", id);
    out.owner("Initiator").owner("Owner").text("StorageClass", "STANDARD").text("PartNumberMarker", marker);
    out.text("NextPartNumberMarker", shown.last().map_or(0, |(number, _)| **number));
    out.text("MaxParts", form.max).text("IsTruncated", shown.len() < rest.len());
    if let Some(algorithm) = upload.algorithm.filter(|_| upload.was_asked) {
        out.text("ChecksumAlgorithm", algorithm.name()).text("ChecksumType", upload.kind.name());
    }
    for (number, part) in shown {
        out.open("Part").text("PartNumber", number).text("LastModified", date::iso(part.modified));
        out.maybe("ETag", part.etag.as_ref()).text("Size", part.content.len());
        if let Some(checksum) = part.checksum.as_ref() {
            out.text(&checksum.algorithm.element(), &checksum.value);
        }
        out.close();
    }
    Ok(Answer::xml(out.finish()))
}
