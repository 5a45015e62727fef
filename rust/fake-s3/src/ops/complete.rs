//! CompleteMultipartUpload: every promise of the client is checked before the object appears.

use md5::{Digest, Md5};

use crate::checksum::{Algorithm, checksum, combine, to_base64};
use crate::error::{Fail, S3Error};
use crate::http::answer::Answer;
use crate::http::body::Body;
use crate::ops::conditions::check_write;
use crate::ops::receive::bad_digest;
use crate::ops::{Context, XML_LIMIT};
use crate::store::content::Content;
use crate::store::object::{Checksum, ChecksumKind, Object, ObjectPart, Stored};
use crate::store::upload::{Upload, UploadedPart};
use crate::sync::lock;
use crate::xml::{Element, Writer};

/// A part the client named, and the one that was uploaded.
struct Named<'a> {
    number: u32,
    part: &'a UploadedPart,
}

pub(crate) fn upload(context: &Context, body: &mut Body) -> Result<Answer, Fail> {
    let request = context.request;
    let root = Element::parse(&body.collect(XML_LIMIT)?)?;
    let id = request.query.get("uploadId").unwrap_or_default();
    let mut store = lock(&context.shared.store);
    let bucket = store.bucket_mut(request.bucket())?;
    let upload = bucket.uploads.get(id).filter(|upload| upload.key == request.key());
    let upload = upload.ok_or_else(|| S3Error::no_such_upload(id))?;
    let named = named_parts(context, upload, &root)?;
    check_sizes(context, &named)?;
    let combined = combined_checksum(upload, &named);
    check_claims(context, upload, combined.as_ref())?;
    check_write(context, bucket.current(request.key()))?;
    let object = build(context, upload, &named, combined.clone());
    let object = bucket.put(request.key(), object);
    bucket.uploads.remove(id);
    let mut out = Writer::new("CompleteMultipartUploadResult");
    out.text("Location", format!("http://{}/{}", request.head.get("host").unwrap_or_default(), request.key()));
    out.text("Bucket", request.bucket()).text("Key", request.key()).maybe("ETag", object.etag.as_ref());
    if let Some(checksum) = combined {
        out.text(&checksum.algorithm.element(), checksum.value).text("ChecksumType", checksum.kind.name());
    }
    Ok(Answer::xml(out.finish()).maybe("x-amz-version-id", bucket.shown_version(&object)))
}

fn named_parts<'a>(context: &Context, upload: &'a Upload, root: &Element) -> Result<Vec<Named<'a>>, S3Error> {
    let mut named: Vec<Named> = Vec::new();
    for element in root.all("Part") {
        let number = element.text_of("PartNumber").and_then(|text| text.trim().parse().ok());
        let number: u32 = number.ok_or_else(S3Error::malformed_xml)?;
        let etag = element.text_of("ETag").unwrap_or_default();
        if named.last().is_some_and(|last| last.number >= number) {
            let text = "The list of parts was not in ascending order. Parts must be ordered by part number.";
            return Err(S3Error::new(400, "InvalidPartOrder", text).with("UploadId", &upload.id));
        }
        let invalid = || {
            let text = "One or more of the specified parts could not be found. The part may not have been uploaded, or the \
                        specified entity tag may not match the part's entity tag.";
            S3Error::new(400, "InvalidPart", text)
                .with("UploadId", &upload.id)
                .with("PartNumber", number.to_string())
                .with("ETag", etag)
        };
        let part = upload.parts.get(&number).ok_or_else(invalid)?;
        let bare = |text: &str| text.trim().trim_start_matches("W/").trim_matches('"').to_owned();
        if part.etag.as_deref().is_some_and(|stored| bare(stored) != bare(etag)) {
            return Err(invalid());
        }
        check_part_checksum(context, element, part, number)?;
        named.push(Named { number, part });
    }
    match named.is_empty() {
        true => Err(S3Error::malformed_xml()),
        false => Ok(named),
    }
}

fn check_part_checksum(context: &Context, element: &Element, part: &UploadedPart, number: u32) -> Result<(), S3Error> {
    if context.request.switches.no_checksums {
        return Ok(());
    }
    for algorithm in Algorithm::ALL {
        let Some(sent) = element.text_of(&algorithm.element()) else { continue };
        let stored = part.checksum.as_ref().filter(|checksum| checksum.algorithm == algorithm);
        if stored.is_none_or(|checksum| checksum.value != sent) {
            let text = "One or more of the specified parts could not be found. The part may not have been uploaded, or the \
                        specified entity tag may not match the part's entity tag.";
            return Err(S3Error::new(400, "InvalidPart", text).with("PartNumber", number.to_string()));
        }
    }
    Ok(())
}

fn check_sizes(context: &Context, named: &[Named]) -> Result<(), S3Error> {
    let min = context.request.switches.min_part_size;
    for Named { number, part } in &named[..named.len() - 1] {
        if part.content.len() < min {
            return Err(S3Error::new(
                400,
                "EntityTooSmall",
                "Your proposed upload is smaller than the minimum allowed size",
            )
            .with("ProposedSize", part.content.len().to_string())
            .with("MinSizeAllowed", min.to_string())
            .with("PartNumber", number.to_string()));
        }
    }
    let total: u64 = named.iter().map(|named| named.part.content.len()).sum();
    match context.request.head.get("x-amz-mp-object-size") {
        Some(text) if text.parse() != Ok(total) => Err(S3Error::invalid_request(format!(
            "The provided 'x-amz-mp-object-size' header value {text} does not match what was computed: {total}"
        ))),
        _ => Ok(()),
    }
}

fn combined_checksum(upload: &Upload, named: &[Named]) -> Option<Checksum> {
    let algorithm = upload.algorithm?;
    if named.iter().any(|named| named.part.raw_checksum.len() != algorithm.value_len()) {
        return None;
    }
    let value = match upload.kind {
        ChecksumKind::FullObject => {
            let start = Some(checksum(algorithm, b""));
            let all = named.iter().fold(start, |so_far, named| {
                combine(algorithm, &so_far?, &named.part.raw_checksum, named.part.content.len())
            });
            to_base64(&all?)
        }
        ChecksumKind::Composite => {
            let values: Vec<u8> = named.iter().flat_map(|named| named.part.raw_checksum.clone()).collect();
            format!("{}-{}", to_base64(&checksum(algorithm, &values)), named.len())
        }
    };
    Some(Checksum { algorithm, kind: upload.kind, value })
}

fn check_claims(context: &Context, upload: &Upload, combined: Option<&Checksum>) -> Result<(), S3Error> {
    let head = &context.request.head;
    let Some(combined) = combined else {
        return Ok(());
    };
    if let Some(kind) = head.get("x-amz-checksum-type")
        && upload.was_asked
        && kind != combined.kind.name()
    {
        let text = format!(
            "The upload was created using the {} checksum mode. The complete request must use the same \
                            checksum mode.",
            combined.kind.name()
        );
        return Err(S3Error::invalid_request(text));
    }
    let bare = |text: &str| text.split('-').next().unwrap_or_default().to_owned();
    match head.get(combined.algorithm.header()) {
        Some(sent)
            if sent != combined.value
                && (combined.kind == ChecksumKind::FullObject || bare(sent) != bare(&combined.value)) =>
        {
            Err(bad_digest(combined.algorithm.name()))
        }
        _ => Ok(()),
    }
}

fn build(context: &Context, upload: &Upload, named: &[Named], combined: Option<Checksum>) -> Object {
    let md5s: Option<Vec<u8>> =
        named.iter().map(|named| named.part.md5.clone()).collect::<Option<Vec<_>>>().map(|md5s| md5s.concat());
    let md5 = md5s.map(|md5s| Md5::digest(md5s).to_vec());
    let part = |named: &Named| ObjectPart {
        number: named.number,
        size: named.part.content.len(),
        checksum: named.part.checksum.clone(),
    };
    let mut object = Object::new(Content::chain(named.iter().map(|named| named.part.content.clone()).collect()));
    object.etag = context.shared.etag(context.request.switches.etag_style, md5.as_deref(), Some(named.len()));
    object.modified = context.shared.now();
    object.headers.clone_from(&upload.headers);
    object.tagging.clone_from(&upload.tagging);
    object.stored = combined.map_or(Stored::None, Stored::Known);
    object.parts = named.iter().map(part).collect();
    object
}
