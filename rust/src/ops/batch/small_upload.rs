//! A small file to an object: read by one job of an I/O lane, which also sums it up and looks what it is, then one
//! PutObject. What does not fit into memory this way is left to `ops::upload`.

use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Instant;

use bytes::Bytes;
use rustix::fs::{AtFlags, OFlags};

use super::decide::Condition;
use super::job::{ContentTypes, Job, Operation};
use super::remove::{Known, parent};
use super::transfer::conditions;
use crate::checksum::{Digest, Hasher, Kind};
use crate::error::{Error, Result};
use crate::ops::commit;
use crate::ops::engine::unless_cancelled;
use crate::ops::multipart::verified;
use crate::ops::report::TransferReport;
use crate::progress::Progress;
use crate::s3::client::{ObjectRef, PutRequest, Stored};
use crate::s3::payload::Payload;
use crate::transfer::destination::check_regular;

/// The largest file that is read at once.
const SMALL: u64 = 1 << 20;

/// A file, read.
struct Loaded {
    bytes: Bytes,
    digest: Option<Digest>,
    known: Known,
    content_type: Option<String>,
}

/// Uploads it; `None` if that takes `ops::upload`.
pub async fn upload(
    job: &Job,
    path: &Path,
    target: &ObjectRef,
    condition: &Condition,
    progress: Arc<Progress>,
) -> Result<Option<TransferReport>> {
    let started = Instant::now();
    let engine = &job.destination;
    let limit = SMALL.min(engine.client.config().transfer.multipart_threshold);
    let _held = unless_cancelled(&job.cancel, async { Ok(engine.scheduler.small(limit).await) }).await?;
    let sending = send(job, (path, limit), target, condition, &progress);
    let Some((Loaded { bytes, digest, known, .. }, stored)) = unless_cancelled(&job.cancel, sending).await? else {
        return Ok(None);
    };
    let len = bytes.len() as u64;
    let (path, removes) = (path.to_owned(), job.operation == Operation::Move);
    // To its end, so that a source that is removed is always told of.
    engine.lanes.pick().call(move || finish(&path, known, removes)).await?;
    progress.add_durable(len);
    let verified = verified(&engine.client, digest, &stored, 1, false);
    Ok(Some(TransferReport {
        bytes: len,
        seconds: started.elapsed().as_secs_f64(),
        etag: stored.etag,
        version_id: stored.version_id,
        parts: 1,
        attempts: stored.attempts,
        resumed_bytes: 0,
        verified,
        last_modified: None,
        content_type: None,
        storage_class: None,
    }))
}

/// Reads the file and sends it.
async fn send(
    job: &Job,
    (path, limit): (&Path, u64),
    target: &ObjectRef,
    condition: &Condition,
    progress: &Arc<Progress>,
) -> Result<Option<(Loaded, Stored)>> {
    let engine = &job.destination;
    let loaded = {
        let _place = engine.descriptors.for_a_file().await?;
        let (path, types, kind) = (path.to_owned(), types_of(job), job.how.checksum);
        engine.lanes.pick().call(move || load(&path, limit, kind, types.as_ref())).await?
    };
    let Some(loaded) = loaded else { return Ok(None) };
    let mut headers = job.how.headers.clone();
    headers.extend(loaded.content_type.clone().map(|value| ("content-type".to_owned(), value)));
    progress.set_total(loaded.bytes.len() as u64);
    let put = || PutRequest {
        object: target.clone(),
        payload: Payload::bytes(loaded.bytes.clone()),
        checksum: loaded.digest,
        headers: headers.clone(),
        progress: Some(progress.clone()),
    };
    let conditions = conditions(condition);
    let stored = match commit::put(&engine.client, put(), &conditions).await {
        // A store without conditional writes: the look before has decided (cli.md 2.7).
        Err(error) if error.status() == Some(501) && !conditions.is_empty() => {
            job.counts.unconditional.fetch_add(1, Relaxed);
            commit::put(&engine.client, put(), &[]).await?
        }
        outcome => outcome?,
    };
    Ok(Some((loaded, stored)))
}

/// Where no content type was given: how one is found.
fn types_of(job: &Job) -> Option<ContentTypes> {
    let is_given = job.how.headers.iter().any(|(name, _)| name == "content-type");
    (!is_given).then(|| job.how.types.clone())
}

fn load(path: &PathBuf, limit: u64, kind: Option<Kind>, types: Option<&ContentTypes>) -> Result<Option<Loaded>> {
    use std::os::unix::ffi::OsStrExt;
    let fail = |errno| Error::local_errno(path, errno);
    let flags = OFlags::RDONLY | OFlags::CLOEXEC | OFlags::NONBLOCK;
    let file = rustix::fs::open(path, flags, rustix::fs::Mode::empty()).map_err(fail)?;
    let stat = rustix::fs::fstat(&file).map_err(fail)?;
    check_regular(path, &stat)?;
    if stat.st_size as u64 > limit {
        return Ok(None);
    }
    let known = Known::of(&stat);
    let size = stat.st_size as usize;
    let mut bytes = Vec::with_capacity(size + 1);
    // One byte more shows whether the file has grown.
    let read = File::from(file).take(size as u64 + 1).read_to_end(&mut bytes);
    let read = read.map_err(|cause| Error::local(path, cause))?;
    if read != size {
        return Err(changed(path));
    }
    let digest = kind.map(|kind| {
        let mut hasher = Hasher::new(kind);
        hasher.update(&bytes);
        hasher.finish()
    });
    let content_type = types.map(|types| {
        let by_name = types.of_name(path.as_os_str().as_bytes());
        by_name.unwrap_or_else(|| types.of_bytes(&bytes[..bytes.len().min(512)])).to_owned()
    });
    Ok(Some(Loaded { bytes: bytes.into(), digest, known, content_type }))
}

/// Makes sure that the file is still what was sent (U7), and removes it if it was moved.
fn finish(path: &PathBuf, known: Known, removes: bool) -> Result<()> {
    let held = if removes { Some(parent(path)?) } else { None };
    let now = match &held {
        Some((directory, name)) => rustix::fs::statat(directory, *name, AtFlags::empty()),
        None => rustix::fs::stat(path),
    };
    match now {
        Ok(now) if Known::of(&now) == known => {}
        _ => return Err(changed(path)),
    }
    let Some((directory, name)) = held else { return Ok(()) };
    directory.unlink(name).map_err(|errno| Error::local_errno(path, errno))
}

fn changed(path: &Path) -> Error {
    Error::integrity(format!("source changed while it was read: \"{}\"", path.display()))
}
