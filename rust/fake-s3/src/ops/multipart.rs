//! CreateMultipartUpload, UploadPart, AbortMultipartUpload.

use std::collections::BTreeMap;

use crate::checksum::Algorithm;
use crate::error::{Fail, S3Error};
use crate::http::answer::Answer;
use crate::http::body::Body;
use crate::ops::Context;
use crate::ops::put::{check_key, object_headers};
use crate::ops::receive::{Received, receive};
use crate::store::object::ChecksumKind;
use crate::store::upload::{Upload, UploadedPart};
use crate::sync::lock;
use crate::xml::Writer;

pub(crate) fn create(context: &Context) -> Result<Answer, Fail> {
    let request = context.request;
    check_key(request.key())?;
    let named = request.head.get("x-amz-checksum-algorithm").filter(|_| !request.switches.no_checksums);
    let asked = match named {
        Some(name) => Some(Algorithm::parse(name).ok_or_else(|| {
            S3Error::invalid_request(
                "Checksum algorithm provided is unsupported. Please try again with any of the valid types",
            )
        })?),
        None => None,
    };
    let kind = kind_of(asked, request.head.get("x-amz-checksum-type").filter(|_| !request.switches.no_checksums))?;
    let defaults = !request.switches.no_checksums && !request.switches.no_default_checksum;
    let algorithm = asked.or(defaults.then_some(Algorithm::Crc64Nvme));
    let id = format!("upload-{}", context.shared.opaque());
    let upload = Upload {
        id: id.clone(),
        key: request.key().to_owned(),
        started: context.shared.now(),
        headers: object_headers(&request.head),
        tagging: request.head.get("x-amz-tagging").map(str::to_owned),
        algorithm,
        kind,
        was_asked: asked.is_some(),
        parts: BTreeMap::new(),
    };
    let mut store = lock(&context.shared.store);
    store.bucket_mut(request.bucket())?.uploads.insert(id.clone(), upload);
    let mut out = Writer::new("InitiateMultipartUploadResult");
    out.text("Bucket", request.bucket()).text("Key", request.key()).text("UploadId", &id);
    Ok(Answer::xml(out.finish())
        .maybe("x-amz-checksum-algorithm", asked.map(Algorithm::name))
        .maybe("x-amz-checksum-type", asked.map(|_| kind.name())))
}

/// S3's table: SHA only composite, CRC64NVME only full, the other two either, composite by default.
fn kind_of(asked: Option<Algorithm>, name: Option<&str>) -> Result<ChecksumKind, S3Error> {
    let named = match name {
        Some(name) => Some(
            ChecksumKind::parse(name)
                .ok_or_else(|| S3Error::invalid_request("Value for x-amz-checksum-type header is invalid."))?,
        ),
        None => None,
    };
    let refused = |algorithm: Algorithm, kind: ChecksumKind| {
        let text = format!(
            "The {} checksum type cannot be used with the {} checksum algorithm.",
            kind.name(),
            algorithm.name()
        );
        Err(S3Error::invalid_request(text.to_lowercase()))
    };
    match (asked, named) {
        (None, Some(_)) => Err(S3Error::invalid_request(
            "The x-amz-checksum-type header can only be used with the \
                                                         x-amz-checksum-algorithm header.",
        )),
        (None, None) => Ok(ChecksumKind::FullObject),
        (Some(algorithm @ Algorithm::Crc64Nvme), Some(kind @ ChecksumKind::Composite))
        | (Some(algorithm @ (Algorithm::Sha1 | Algorithm::Sha256)), Some(kind @ ChecksumKind::FullObject)) => {
            refused(algorithm, kind)
        }
        (Some(Algorithm::Crc64Nvme), _) => Ok(ChecksumKind::FullObject),
        (Some(_), named) => Ok(named.unwrap_or(ChecksumKind::Composite)),
    }
}

/// The part number of the request, within S3's bounds.
pub(crate) fn part_number(context: &Context) -> Result<u32, S3Error> {
    context
        .request
        .part
        .filter(|number| (1..=10_000).contains(number))
        .ok_or_else(|| S3Error::invalid_argument("Part number must be an integer between 1 and 10000, inclusive"))
}

/// The algorithm of an open upload; an error if there is no such upload.
pub(crate) fn upload_algorithm(context: &Context) -> Result<Option<Algorithm>, S3Error> {
    let request = context.request;
    let id = request.query.get("uploadId").unwrap_or_default();
    let store = lock(&context.shared.store);
    let upload = store.bucket(request.bucket())?.uploads.get(id).filter(|upload| upload.key == request.key());
    upload.map(|upload| upload.algorithm).ok_or_else(|| S3Error::no_such_upload(id))
}

/// Stores a part that has arrived by upload or copy; returns it as stored.
pub(crate) fn store_part(context: &Context, number: u32, received: Received) -> Result<UploadedPart, S3Error> {
    let request = context.request;
    let id = request.query.get("uploadId").unwrap_or_default();
    let part = UploadedPart {
        etag: context.shared.etag(request.switches.etag_style, received.md5.as_deref(), None),
        checksum: received.full_checksum(),
        raw_checksum: received.checksum.map(|(_, value)| value).unwrap_or_default(),
        md5: received.md5,
        content: received.content,
        modified: context.shared.now(),
    };
    let mut store = lock(&context.shared.store);
    let upload = store.bucket_mut(request.bucket())?.uploads.get_mut(id).ok_or_else(|| S3Error::no_such_upload(id))?;
    upload.parts.insert(number, part.clone());
    Ok(part)
}

pub(crate) fn part(context: &Context, body: &mut Body) -> Result<Answer, Fail> {
    let number = part_number(context)?;
    let algorithm = upload_algorithm(context)?;
    let received = receive(context, body, algorithm)?;
    if let (Some(expected), Some((got, _))) = (algorithm, &received.checksum)
        && expected != *got
    {
        let was_asked = {
            let store = lock(&context.shared.store);
            let id = context.request.query.get("uploadId").unwrap_or_default();
            store.bucket(context.request.bucket())?.uploads.get(id).is_some_and(|upload| upload.was_asked)
        };
        if was_asked {
            let text = format!(
                "Checksum Type mismatch occurred, expected checksum Type: {}, actual checksum Type: {}",
                expected.name().to_lowercase(),
                got.name().to_lowercase()
            );
            return Err(S3Error::invalid_request(text).into());
        }
        adopt_algorithm(context, *got);
    }
    let part = store_part(context, number, received)?;
    let answer = Answer::new(200).maybe("ETag", part.etag.as_ref());
    Ok(match part.checksum {
        Some(checksum) => answer.header(checksum.algorithm.header(), checksum.value),
        None => answer,
    })
}

/// An upload that named no algorithm takes the one its parts bring.
fn adopt_algorithm(context: &Context, algorithm: Algorithm) {
    let id = context.request.query.get("uploadId").unwrap_or_default();
    let mut store = lock(&context.shared.store);
    if let Ok(bucket) = store.bucket_mut(context.request.bucket())
        && let Some(upload) = bucket.uploads.get_mut(id)
    {
        upload.algorithm = Some(algorithm);
        upload.kind = match algorithm {
            Algorithm::Crc64Nvme => ChecksumKind::FullObject,
            _ => ChecksumKind::Composite,
        };
    }
}

pub(crate) fn abort(context: &Context) -> Result<Answer, Fail> {
    upload_algorithm(context)?;
    let request = context.request;
    let id = request.query.get("uploadId").unwrap_or_default();
    lock(&context.shared.store).bucket_mut(request.bucket())?.uploads.remove(id);
    Ok(Answer::new(204))
}
