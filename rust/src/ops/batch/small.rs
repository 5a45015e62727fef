//! A small object to a file: one plain GET (I1), its bytes checked in memory, the file made by one job of an I/O lane.
//!
//! What does not fit this way (no ETag to go on by, a checksum of parts, a size that is not the listed one) is left to
//! `ops::download`, which can do all of it.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Instant;

use bytes::Bytes;

use super::goal::Beneath;
use super::job::Job;
use crate::checksum::{Digest, RunningCrcs, ShaHasher, Sums};
use crate::error::{Error, Result};
use crate::ops::engine::unless_cancelled;
use crate::ops::report::{Moved, TransferReport, Verification};
use crate::ops::stored::{Verify, require};
use crate::ops::verdict::mismatch;
use crate::s3::client::{GetRequest, ObjectRef};
use crate::s3::object::{ObjectIdentity, StoredChecksum};
use crate::transfer::destination::{Target, not_a_file};
use crate::transfer::positioned::write_chunks;
use crate::transfer::temp_file::{Publish, TempFile};

/// The whole object, received.
struct Whole {
    chunks: Vec<Bytes>,
    size: u64,
    identity: ObjectIdentity,
    verified: Verification,
    attempts: u32,
}

/// What may come of trying.
enum Got {
    Whole(Whole),
    /// The bytes are not what the store holds the checksum of.
    Mismatch(Error),
    /// It takes more than this file knows.
    Other,
}

/// Where the file goes.
pub struct Place {
    pub beneath: Arc<Beneath>,
    pub name: Vec<u8>,
    pub path: PathBuf,
    pub overwrite: bool,
}

/// Downloads it; `None` if that takes `ops::download`.
pub async fn download(job: &Job, object: &ObjectRef, size: u64, place: Place) -> Result<Option<TransferReport>> {
    let started = Instant::now();
    let engine = &job.source;
    let _held = unless_cancelled(&job.cancel, async { Ok(engine.scheduler.small(size).await) }).await?;
    let Some(whole) = unless_cancelled(&job.cancel, receive(job, object, size)).await? else { return Ok(None) };
    let Whole { chunks, size, identity, verified, attempts } = whole;
    let how = Publish {
        overwrite: place.overwrite,
        durable: job.how.durable,
        mtime: identity.last_modified,
        mode: Some(job.mode),
    };
    let _place = unless_cancelled(&job.cancel, engine.descriptors.for_a_file()).await?;
    // To its end, so that a file that has its name is always told of.
    engine.lanes.pick().call(move || write(&place, &chunks, how)).await?;
    job.progress.add_durable(size);
    let moved = Moved { parts: 1, attempts, resumed_bytes: 0 };
    Ok(Some(TransferReport::of_read(identity, size, started, moved, verified)))
}

/// All of its bytes, once more if they are not what they should be.
async fn receive(job: &Job, object: &ObjectRef, size: u64) -> Result<Option<Whole>> {
    let mut refetch = false;
    loop {
        match get(job, object, size, refetch).await {
            Ok(Got::Whole(whole)) => return Ok(Some(whole)),
            Ok(Got::Other) => return Ok(None),
            Ok(Got::Mismatch(error)) if refetch => return Err(error),
            Ok(Got::Mismatch(_)) => refetch = true,
            Err(error) if error.needs_restart() => return Ok(None),
            Err(error) => return Err(error),
        }
    }
}

async fn get(job: &Job, object: &ObjectRef, size: u64, refetch: bool) -> Result<Got> {
    let compare = job.how.verify != Verify::Off;
    let get = GetRequest {
        object: object.clone(),
        range: None,
        tail: None,
        if_match: None,
        checksums: compare,
        fresh_connection: refetch,
    };
    let mut body = job.source.client.get_object(get).await?;
    let stored = body.checksum().clone();
    let is_plain = body.identity().strong_etag().is_some() && body.range() == (0, Some(size));
    if !is_plain || matches!(stored, StoredChecksum::Composite { .. }) {
        return Ok(Got::Other);
    }
    let (mut crcs, mut sha) = match &stored {
        StoredChecksum::FullObject(algorithm, _) if compare => (RunningCrcs::only(*algorithm), None),
        StoredChecksum::FullSha(value) if compare => (RunningCrcs::none(), value.kind().sha().map(ShaHasher::new)),
        _ => (RunningCrcs::none(), None),
    };
    let mut chunks = Vec::new();
    while let Some(chunk) = body.chunk().await? {
        crcs.update(&chunk);
        if let Some(sha) = &mut sha {
            sha.update(&chunk);
        }
        job.progress.add_network(chunk.len() as u64);
        chunks.push(chunk);
    }
    let verified = match judge(&stored, &crcs.finish(), sha.map(ShaHasher::finish), job.how.verify) {
        Ok(verified) => verified,
        Err(error) if crate::ops::stored::is_refusal(&error) => return Err(error),
        Err(error) => {
            job.progress.take_back_network(size);
            return Ok(Got::Mismatch(error));
        }
    };
    let (identity, attempts) = (body.identity().clone(), body.attempts());
    Ok(Got::Whole(Whole { chunks, size, identity, verified, attempts }))
}

fn judge(stored: &StoredChecksum, sums: &Sums, sha: Option<Digest>, verify: Verify) -> Result<Verification> {
    if verify == Verify::Off {
        return Ok(Verification::Length("verification is off".into()));
    }
    let (expected, actual) = match stored {
        StoredChecksum::FullObject(algorithm, value) => {
            let actual = sums.value(*algorithm).map(|crc| Digest::of_crc(*algorithm, crc));
            (Digest::of_crc(*algorithm, *value), actual)
        }
        StoredChecksum::FullSha(value) => (*value, sha),
        StoredChecksum::Damaged(why) => return Err(Error::integrity(why.clone())),
        StoredChecksum::NotUsable(why) => return unproved(why, verify),
        StoredChecksum::Composite { .. } | StoredChecksum::None => {
            return unproved("the store holds no checksum", verify);
        }
    };
    match actual {
        Some(actual) if actual == expected => Ok(Verification::FullObject(expected.kind())),
        Some(actual) => Err(mismatch(&expected, &actual)),
        None => unproved("the checksum was not computed", verify),
    }
}

fn unproved(why: &str, verify: Verify) -> Result<Verification> {
    if verify == Verify::Require { Err(require(why)) } else { Ok(Verification::Length(why.into())) }
}

/// The file, whole, under its name.
fn write(place: &Place, chunks: &[Bytes], how: Publish) -> Result<()> {
    let (directory, name) = place.beneath.open(&place.name)?;
    if place.beneath.nameless.publish(&directory, (&name, &place.path), chunks, how)? {
        return Ok(());
    }
    let destination = match Target::beneath(&directory, &name, &place.path, place.overwrite)? {
        Target::File(destination) => destination,
        Target::Stream(_) => return Err(not_a_file(&place.path)),
    };
    let mut temp = TempFile::create(destination)?;
    write_chunks(&temp, chunks).map_err(|errno| Error::local_errno(temp.path(), errno))?;
    temp.publish(how)
}
