//! CopyObject and UploadPartCopy: bytes are shared, never moved.

use std::sync::Arc;

use md5::{Digest, Md5};

use crate::checksum::{Algorithm, to_base64};
use crate::config::EtagStyle;
use crate::date;
use crate::error::{Fail, S3Error};
use crate::http::answer::Answer;
use crate::http::range::Range;
use crate::ops::Context;
use crate::ops::conditions::{check_source, check_write};
use crate::ops::multipart::{part_number, store_part, upload_algorithm};
use crate::ops::put::object_headers;
use crate::ops::receive::Received;
use crate::request::Request;
use crate::store::content::Content;
use crate::store::object::{Checksum, ChecksumKind, Object, Stored};
use crate::sync::lock;
use crate::uri::decode;
use crate::xml::Writer;

/// The object a copy reads, its version id where the bucket has versions, and whether it is the target itself.
struct Source {
    object: Arc<Object>,
    version: Option<String>,
    is_target: bool,
}

/// Bucket and key of the source, if the request names one.
pub(crate) fn source_name(request: &Request) -> Option<(String, String)> {
    let path = request.head.get("x-amz-copy-source")?.split("?versionId=").next()?;
    let path = decode(path, false).and_then(|bytes| String::from_utf8(bytes).ok())?;
    let (bucket, key) = path.strip_prefix('/').unwrap_or(&path).split_once('/')?;
    Some((bucket.to_owned(), key.to_owned()))
}

fn source(context: &Context) -> Result<Source, S3Error> {
    let bad =
        || S3Error::invalid_argument("Copy Source must mention the source bucket and key: sourcebucket/sourcekey");
    let raw = context.request.head.get("x-amz-copy-source").unwrap_or_default();
    let version = raw.split_once("?versionId=").map(|(_, version)| version);
    let (bucket, key) = source_name(context.request).ok_or_else(bad)?;
    let store = lock(&context.shared.store);
    let found = store.bucket(&bucket)?;
    let object = found.find(&key, version)?;
    check_source(context, &object)?;
    let is_target =
        version.is_none() && (bucket.as_str(), key.as_str()) == (context.request.bucket(), context.request.key());
    Ok(Source { version: found.shown_version(&object), object, is_target })
}

/// MD5 as far as it is wanted and cheap: patterns of any size get opaque ETags.
fn md5_of(context: &Context, content: &Content) -> std::io::Result<Option<Vec<u8>>> {
    let is_wanted = matches!(context.request.switches.etag_style, EtagStyle::Md5 | EtagStyle::Weak);
    if !is_wanted || !content.is_kept() || content.len() > 1 << 30 {
        return Ok(None);
    }
    let mut md5 = Md5::new();
    content.for_each(&mut |bytes| md5.update(bytes))?;
    Ok(Some(md5.finalize().to_vec()))
}

pub(crate) fn object(context: &Context) -> Result<Answer, Fail> {
    let request = context.request;
    let source = source(context)?;
    let replaces = match request.head.get("x-amz-metadata-directive").unwrap_or("COPY") {
        "COPY" => false,
        "REPLACE" => true,
        _ => return Err(S3Error::invalid_argument("Unknown metadata directive.").into()),
    };
    if source.is_target && !replaces && !request.head.has("x-amz-storage-class") {
        let text = "This copy request is illegal because it is trying to copy an object to itself without changing the \
                    object's metadata, storage class, website redirect location or encryption attributes.";
        return Err(S3Error::invalid_request(text).into());
    }
    let content = source.object.content.clone();
    let checksum = copied_checksum(context, &source.object)?;
    let mut object = Object::new(content);
    object.etag = context.shared.etag(request.switches.etag_style, md5_of(context, &object.content)?.as_deref(), None);
    object.modified = context.shared.now();
    object.headers = if replaces { object_headers(&request.head) } else { source.object.headers.clone() };
    if let (false, Some(class)) = (replaces, request.head.get("x-amz-storage-class")) {
        object.headers.retain(|(name, _)| name != "x-amz-storage-class");
        object.headers.push(("x-amz-storage-class".to_owned(), class.to_owned()));
    }
    object.tagging = match request.head.get("x-amz-tagging-directive") {
        Some("REPLACE") => request.head.get("x-amz-tagging").map(str::to_owned),
        _ => source.object.tagging.clone(),
    };
    object.stored = checksum.clone().map_or(Stored::None, Stored::Known);
    let mut store = lock(&context.shared.store);
    let bucket = store.bucket_mut(request.bucket())?;
    check_write(context, bucket.current(request.key()))?;
    let object = bucket.put(request.key(), object);
    let mut out = Writer::new("CopyObjectResult");
    out.text("LastModified", date::iso(object.modified)).maybe("ETag", object.etag.as_ref());
    if let Some(checksum) = checksum {
        out.text(&checksum.algorithm.element(), checksum.value).text("ChecksumType", checksum.kind.name());
    }
    Ok(Answer::xml(out.finish())
        .maybe("x-amz-version-id", bucket.shown_version(&object))
        .maybe("x-amz-copy-source-version-id", source.version))
}

/// A copy's checksum covers the whole object, in the algorithm asked for or else the source's.
fn copied_checksum(context: &Context, source: &Object) -> Result<Option<Checksum>, Fail> {
    let switches = &context.request.switches;
    if switches.no_checksums {
        return Ok(None);
    }
    let stored = source.checksum();
    let asked = context.request.head.get("x-amz-checksum-algorithm").and_then(Algorithm::parse);
    let default = (!switches.no_default_checksum).then_some(Algorithm::Crc64Nvme);
    let Some(algorithm) = asked.or(stored.as_ref().map(|checksum| checksum.algorithm)).or(default) else {
        return Ok(None);
    };
    if let Some(stored) =
        stored.filter(|stored| stored.algorithm == algorithm && stored.kind == ChecksumKind::FullObject)
    {
        return Ok(Some(stored));
    }
    if !source.content.is_kept() {
        return Ok(None);
    }
    let value = to_base64(&source.content.checksum(algorithm)?);
    Ok(Some(Checksum { algorithm, kind: ChecksumKind::FullObject, value }))
}

pub(crate) fn part(context: &Context) -> Result<Answer, Fail> {
    let number = part_number(context)?;
    let algorithm = upload_algorithm(context)?;
    let source = source(context)?;
    let size = source.object.size();
    let (start, end) = match context.request.head.get("x-amz-copy-source-range") {
        None => (0, size),
        Some(text) => match Range::parse(text) {
            Some(Range::Between(first, last)) if last < size => (first, last + 1),
            Some(Range::Between(..)) => {
                let error = S3Error::invalid_argument(format!(
                    "Range specified is not valid for source object of size: {size}"
                ));
                return Err(error.into());
            }
            _ => {
                let text = "The x-amz-copy-source-range value must be of the form bytes=first-last where first and last are \
                            the zero-based offsets of the first and last bytes to copy";
                return Err(S3Error::invalid_argument(text).into());
            }
        },
    };
    let of = Arc::new(source.object.content.clone());
    let content = Content::Slice { of, start, len: end - start };
    let checksum = match algorithm.filter(|_| content.is_kept()) {
        Some(algorithm) => Some((algorithm, content.checksum(algorithm)?)),
        None => None,
    };
    let received = Received { md5: md5_of(context, &content)?, checksum, content };
    let part = store_part(context, number, received)?;
    let mut out = Writer::new("CopyPartResult");
    out.text("LastModified", date::iso(part.modified)).maybe("ETag", part.etag.as_ref());
    if let Some(checksum) = part.checksum {
        out.text(&checksum.algorithm.element(), checksum.value);
    }
    Ok(Answer::xml(out.finish()).maybe("x-amz-copy-source-version-id", source.version))
}
