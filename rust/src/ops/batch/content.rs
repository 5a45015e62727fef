//! Whether two things of one name and size are the same, without transferring either: by the checksums their stores
//! hold, and by that of the local file.

use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};

use md5::{Digest as _, Md5};

use super::entry::{Entry, Object, Place};
use super::job::Job;
use super::sync::Compare;
use super::transfer::reference;
use crate::checksum::{Digest, Hasher, Kind, RunningCrcs, Sha, ShaHasher, composite, is_composite};
use crate::config::BUFFER_SIZE;
use crate::error::{Error, Result};
use crate::ops::engine::Engine;
use crate::ops::stream::{OrderedStream, StreamRequest};
use crate::s3::client::PartLayout;
use crate::s3::object::{ObjectHead, StoredChecksum};

/// What a side's content is known by.
enum Known {
    Whole(Digest),
    Parts(Digest, PartLayout),
    /// The ETag, where it is the MD5 of all bytes.
    Md5(String),
}

/// `None`: nothing can be compared.
pub async fn same_content(job: &Job, ours: &Entry, theirs: &Entry, how: Compare) -> Result<Option<bool>> {
    let etags = matches!(how, Compare::Checksum { etags: true });
    match (&ours.place, &theirs.place) {
        (Place::Object(ours), Place::Object(theirs)) => {
            let (ours, theirs) =
                (known(&job.source, ours, etags).await?, known(&job.destination, theirs, etags).await?);
            Ok(same_known(&ours, &theirs))
        }
        (Place::File(path), Place::Object(object)) => with_file(job, path, &job.destination, object, etags).await,
        (Place::Object(object), Place::File(path)) => with_file(job, path, &job.source, object, etags).await,
        (Place::File(_), Place::File(_)) => Ok(None),
    }
}

fn same_known(ours: &[Known], theirs: &[Known]) -> Option<bool> {
    let pairs = ours.iter().flat_map(|one| theirs.iter().map(move |other| (one, other)));
    pairs.into_iter().find_map(|pair| match pair {
        (Known::Whole(one), Known::Whole(other)) if one.kind() == other.kind() => Some(one == other),
        (Known::Parts(one, ours), Known::Parts(other, theirs)) if one.kind() == other.kind() => {
            let ends = |layout: &PartLayout| layout.parts.iter().map(|part| part.range.end).collect::<Vec<_>>();
            (ends(ours) == ends(theirs)).then_some(one == other)
        }
        (Known::Md5(one), Known::Md5(other)) => Some(one == other),
        _ => None,
    })
}

/// What the store tells of the object.
async fn known(engine: &Engine, object: &Object, etags: bool) -> Result<Vec<Known>> {
    let object = reference(object)?;
    let head = engine.client.head_object(&object, None).await?;
    let mut known = Vec::new();
    match &head.checksum {
        StoredChecksum::FullObject(algorithm, value) => known.push(Known::Whole(Digest::of_crc(*algorithm, *value))),
        StoredChecksum::FullSha(value) => known.push(Known::Whole(*value)),
        StoredChecksum::Composite { value, parts } => {
            let layout = engine.client.part_layout(&object, &head.identity, value.kind(), *parts).await;
            known.extend(layout.ok().map(|layout| Known::Parts(*value, layout)));
        }
        _ => {}
    }
    known.extend(md5_of(&head).filter(|_| etags).map(Known::Md5));
    Ok(known)
}

/// An ETag that looks like the MD5 of all bytes; only who was told so may take it for that (C8).
fn md5_of(head: &ObjectHead) -> Option<String> {
    let etag = head.identity.strong_etag()?.trim_matches('"');
    let is_md5 = etag.len() == 32 && !is_composite(etag) && etag.bytes().all(|byte| byte.is_ascii_hexdigit());
    is_md5.then(|| etag.to_ascii_lowercase())
}

async fn with_file(job: &Job, path: &Path, engine: &Engine, object: &Object, etags: bool) -> Result<Option<bool>> {
    let known = known(engine, object, etags).await?;
    let Some(first) = known.into_iter().next() else { return Ok(None) };
    let path = path.to_owned();
    // One file at a time keeps one lane busy; the others go on.
    job.source.lanes.pick().call(move || same_file(&path, &first)).await
}

fn same_file(path: &PathBuf, known: &Known) -> Result<Option<bool>> {
    let mut sums = Summing::of(known);
    read(path, |bytes| sums.update(bytes))?;
    Ok(Some(sums.is(known)))
}

/// Whether all bytes are the same, by reading both sides.
pub async fn same_bytes(job: &Job, ours: &Entry, theirs: &Entry) -> Result<bool> {
    let (one, other) = (hash(job, &job.source, &ours.place).await?, hash(job, &job.destination, &theirs.place).await?);
    Ok(one == other)
}

async fn hash(job: &Job, engine: &Engine, place: &Place) -> Result<Digest> {
    let object = match place {
        Place::Object(object) => reference(object)?,
        Place::File(path) => {
            let path = path.clone();
            return engine.lanes.pick().call(move || hash_file(&path)).await;
        }
    };
    let mut stream = OrderedStream::open(engine, StreamRequest::new(object), job.progress.clone(), &job.cancel).await?;
    let mut hasher = ShaHasher::new(Sha::Sha256);
    let outcome = loop {
        match stream.next().await {
            Ok(Some(chunk)) => hasher.update(&chunk),
            Ok(None) => break Ok(()),
            Err(error) => break Err(error),
        }
    };
    stream.stop().await;
    outcome.map(|()| hasher.finish())
}

fn hash_file(path: &PathBuf) -> Result<Digest> {
    let mut hasher = ShaHasher::new(Sha::Sha256);
    read(path, |bytes| hasher.update(bytes))?;
    Ok(hasher.finish())
}

fn read(path: &PathBuf, mut each: impl FnMut(&[u8])) -> Result<()> {
    let mut file = File::open(path).map_err(|cause| Error::local(path, cause))?;
    let mut block = vec![0; BUFFER_SIZE];
    loop {
        match file.read(&mut block) {
            Ok(0) => return Ok(()),
            Ok(len) => each(&block[..len]),
            Err(cause) if cause.kind() == std::io::ErrorKind::Interrupted => {}
            Err(cause) => return Err(Error::local(path, cause)),
        }
    }
}

/// What is computed over a file.
enum Summing {
    Crcs(Box<RunningCrcs>),
    Sha(ShaHasher),
    Md5(Md5),
    Parts { kind: Kind, ends: Vec<u64>, at: u64, running: Hasher, done: Vec<Digest> },
}

impl Summing {
    fn of(known: &Known) -> Self {
        match known {
            Known::Whole(value) => match value.kind() {
                Kind::Crc(algorithm) => Self::Crcs(Box::new(RunningCrcs::only(algorithm))),
                Kind::Sha(sha) => Self::Sha(ShaHasher::new(sha)),
            },
            Known::Md5(_) => Self::Md5(Md5::new()),
            Known::Parts(value, layout) => {
                let ends = layout.parts.iter().rev().map(|part| part.range.end).collect();
                let (kind, running) = (value.kind(), Hasher::new(value.kind()));
                Self::Parts { kind, ends, at: 0, running, done: Vec::new() }
            }
        }
    }

    fn update(&mut self, mut bytes: &[u8]) {
        match self {
            Self::Crcs(crcs) => crcs.update(bytes),
            Self::Sha(sha) => sha.update(bytes),
            Self::Md5(md5) => md5.update(bytes),
            Self::Parts { kind, ends, at, running, done } => {
                while !bytes.is_empty() {
                    let room = ends.last().map_or(u64::MAX, |end| end - *at);
                    let taken = usize::try_from(room).unwrap_or(usize::MAX).min(bytes.len());
                    running.update(&bytes[..taken]);
                    *at += taken as u64;
                    bytes = &bytes[taken..];
                    if ends.last() == Some(at) {
                        ends.pop();
                        done.push(std::mem::replace(running, Hasher::new(*kind)).finish());
                    }
                }
            }
        }
    }

    fn is(self, known: &Known) -> bool {
        match (self, known) {
            (Self::Crcs(crcs), Known::Whole(value)) => match value.kind() {
                Kind::Crc(algorithm) => crcs.finish().value(algorithm) == value.crc(),
                Kind::Sha(_) => false,
            },
            (Self::Sha(sha), Known::Whole(value)) => sha.finish() == *value,
            (Self::Md5(md5), Known::Md5(value)) => format!("{:x}", HexOf(&md5.finalize())) == *value,
            (Self::Parts { kind, ends, done, .. }, Known::Parts(value, _)) => {
                ends.is_empty() && composite(kind, done.into_iter()) == *value
            }
            _ => false,
        }
    }
}

struct HexOf<'a>(&'a [u8]);

impl std::fmt::LowerHex for HexOf<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}
