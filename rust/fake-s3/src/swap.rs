//! Objects made by the test rather than by a client: bytes, patterns, and new versions behind a client's back.

use std::sync::Mutex;

use md5::{Digest, Md5};

use crate::checksum::{Algorithm, checksum, to_base64};
use crate::config::EtagStyle;
use crate::error::S3Error;
use crate::plan::Plan;
use crate::request::Request;
use crate::shared::Shared;
use crate::store::bucket::Bucket;
use crate::store::content::Content;
use crate::store::object::{Checksum, ChecksumKind, Object, ObjectPart, Stored};
use crate::sync::lock;

/// What a pattern object looks like from outside.
#[derive(Clone, Debug, Default)]
pub struct PatternObject {
    pub size: u64,
    pub seed: u64,
    /// As if uploaded in parts of this size: `-N` ETag, part numbers, part checksums.
    pub part_size: Option<u64>,
    /// The algorithm of the stored checksum; CRC64NVME if `None`.
    pub algorithm: Option<Algorithm>,
    /// Only with `part_size`.
    pub is_composite: bool,
}

pub(crate) fn create_bucket(shared: &Shared, name: &str) {
    let now = shared.now();
    lock(&shared.store).buckets.entry(name.to_owned()).or_insert_with(|| Bucket::new(now));
}

fn insert(shared: &Shared, bucket: &str, key: &str, mut object: Object) -> Result<(), S3Error> {
    object.modified = shared.now();
    lock(&shared.store).bucket_mut(bucket)?.put(key, object);
    Ok(())
}

/// Stores bytes as a plain PutObject would.
pub(crate) fn put_bytes(shared: &Shared, bucket: &str, key: &str, bytes: Vec<u8>) -> Result<(), S3Error> {
    let switches = shared.switches();
    let md5 = matches!(switches.etag_style, EtagStyle::Md5 | EtagStyle::Weak).then(|| Md5::digest(&bytes).to_vec());
    let stored = match switches.no_checksums || switches.no_default_checksum {
        true => Stored::None,
        false => Stored::Known(Checksum {
            algorithm: Algorithm::Crc64Nvme,
            kind: ChecksumKind::FullObject,
            value: to_base64(&checksum(Algorithm::Crc64Nvme, &bytes)),
        }),
    };
    let mut object = Object::new(Content::from_bytes(bytes));
    object.etag = shared.etag(switches.etag_style, md5.as_deref(), None);
    object.stored = stored;
    insert(shared, bucket, key, object)
}

/// Stores a pattern.
pub(crate) fn put_pattern(shared: &Shared, bucket: &str, key: &str, pattern: &PatternObject) -> Result<(), S3Error> {
    let switches = shared.switches();
    let algorithm = pattern.algorithm.unwrap_or(Algorithm::Crc64Nvme);
    let mut object = Object::new(Content::pattern(pattern.seed, pattern.size));
    let mut suffix = String::new();
    object.stored = match switches.no_checksums {
        true => Stored::None,
        false => Stored::Lazy(algorithm, Mutex::default()),
    };
    if let Some(part_size) = pattern.part_size.filter(|size| *size > 0) {
        object.parts = parts_of(&object.content, part_size, algorithm);
        suffix = format!("-{}", object.parts.len());
        if pattern.is_composite && !switches.no_checksums {
            object.stored = Stored::Known(composite(&object.parts, algorithm));
        }
    }
    let prefix = if switches.etag_style == EtagStyle::Weak { "W/" } else { "" };
    let etag = format!("{prefix}\"p{:016x}{:015x}{suffix}\"", pattern.seed, pattern.size);
    object.etag = (switches.etag_style != EtagStyle::None).then_some(etag);
    insert(shared, bucket, key, object)
}

fn parts_of(content: &Content, part_size: u64, algorithm: Algorithm) -> Vec<ObjectPart> {
    let size = content.len();
    (0..size.div_ceil(part_size).max(1))
        .map(|at| {
            let start = at * part_size;
            let len = part_size.min(size - start);
            let slice = Content::Slice { of: std::sync::Arc::new(content.clone()), start, len };
            let value = slice.checksum(algorithm).unwrap_or_default();
            let checksum = Checksum { algorithm, kind: ChecksumKind::FullObject, value: to_base64(&value) };
            ObjectPart { number: at as u32 + 1, size: len, checksum: Some(checksum) }
        })
        .collect()
}

fn composite(parts: &[ObjectPart], algorithm: Algorithm) -> Checksum {
    let raw =
        |part: &ObjectPart| part.checksum.as_ref().and_then(|checksum| crate::checksum::from_base64(&checksum.value));
    let values: Vec<u8> = parts.iter().filter_map(raw).flatten().collect();
    let value = format!("{}-{}", to_base64(&checksum(algorithm, &values)), parts.len());
    Checksum { algorithm, kind: ChecksumKind::Composite, value }
}

/// Replaces an object by a pattern of another seed; the same size unless one is given.
pub(crate) fn swap(
    shared: &Shared,
    bucket: &str,
    key: &str,
    seed: Option<u64>,
    size: Option<u64>,
) -> Result<(), S3Error> {
    let old = lock(&shared.store).object(bucket, key, None)?;
    let seed = seed.unwrap_or_else(|| 1_000_000 + shared.next_id());
    let pattern = PatternObject { size: size.unwrap_or(old.size()), seed, ..PatternObject::default() };
    put_pattern(shared, bucket, key, &pattern)
}

/// The `swap_version` action; of a copy the source is swapped.
pub(crate) fn by_rule(shared: &Shared, request: &Request, plan: &Plan) {
    let Some((seed, size)) = plan.swap else { return };
    // A missing object has nothing to swap; the operation itself answers that.
    let _ = match crate::ops::source_name(request) {
        Some((bucket, key)) => swap(shared, &bucket, &key, seed, size),
        None => swap(shared, request.bucket(), request.key(), seed, size),
    };
}
