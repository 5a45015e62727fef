//! Download of one object to a file.
//!
//! Flow: check the destination, look for what an earlier run left → discovery, and a HEAD beside it → temp file and
//! ledger → ranges as spawned tasks under gate and byte budget, while what was left is read back → all joined →
//! coverage, checksum → published by rename. Whatever fails first stops the rest: tasks are stopped and awaited, the
//! writer is drained, the destination stays as it was, and the temp file goes, or stays for the next run.
//! `run.rs` is one try from beginning to end, `fetch.rs` its ranges, `verify.rs` its verdict; `deliver.rs` writes
//! to a pipe or device instead, in order and for good.

mod deliver;
mod fetch;
mod run;
mod verify;

pub(in crate::ops) use deliver::pump;

use std::ffi::OsString;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use sha2::{Digest, Sha256};

use crate::config::{DirectIo, check_part_size};
use crate::confine::Directory;
use crate::error::{Error, ErrorKind, Result};
use crate::ops::discover::Shape;
use crate::ops::engine::{Engine, unless_late};
use crate::ops::report::TransferReport;
use crate::ops::stored::Verify;
use crate::progress::{Cancel, Progress};
use crate::s3::client::ObjectRef;
use crate::transfer::part::download_part_size;
use run::{End, Run};

#[derive(Debug, Clone)]
pub struct DownloadRequest {
    pub object: ObjectRef,
    pub destination: PathBuf,
    /// The directory to go into, where it is held open already, and the name there; the path is then for messages.
    pub beneath: Option<(Arc<Directory>, OsString)>,
    pub if_match: Option<String>,
    pub verify: Verify,
    /// Start over once if the object changes meanwhile (I5); never when the caller pinned a version.
    pub restart_on_change: bool,
    /// Go on with what an earlier run left, and leave something if this one is interrupted (F12).
    pub resume: bool,
    pub overwrite: bool,
    pub durable: bool,
    pub deadline: Option<Duration>,
    pub direct_io: Option<DirectIo>,
    pub part_size: Option<u64>,
    pub max_concurrency: Option<usize>,
    /// Give the file the object's LastModified.
    pub set_mtime: bool,
    /// Refuse a FIFO or device as destination.
    pub needs_file: bool,
}

impl DownloadRequest {
    pub fn new(object: ObjectRef, destination: impl Into<PathBuf>) -> Self {
        Self {
            object,
            destination: destination.into(),
            beneath: None,
            if_match: None,
            verify: Verify::Auto,
            restart_on_change: false,
            resume: true,
            overwrite: true,
            durable: false,
            deadline: None,
            direct_io: None,
            part_size: None,
            max_concurrency: None,
            set_mtime: false,
            needs_file: false,
        }
    }

    fn validate(&self) -> Result<()> {
        if let Some(part_size) = self.part_size {
            check_part_size(part_size)?;
        }
        if self.max_concurrency == Some(0) {
            return Err(Error::config("max_concurrency must be at least 1"));
        }
        Ok(())
    }

    /// What a ledger recognises the object by: a hash, so that it holds no name and no URL (S10).
    fn object_hash(&self, endpoint_url: Option<&str>) -> [u8; 32] {
        let version = self.object.version_id.as_deref();
        let mut hash = Sha256::new();
        for field in [
            endpoint_url.map(|url| url.trim_end_matches('/')),
            Some(&self.object.bucket),
            Some(&self.object.key),
            version,
        ] {
            // Length and presence first, so that no two lists of fields read the same.
            hash.update([u8::from(field.is_some())]);
            hash.update((field.map_or(0, str::len) as u64).to_le_bytes());
            hash.update(field.unwrap_or_default());
        }
        hash.finalize().into()
    }
}

/// Downloads the object; returns only after everything it started has ended.
pub async fn download(
    engine: &Engine,
    request: &DownloadRequest,
    progress: Arc<Progress>,
    cancel: &Cancel,
) -> Result<TransferReport> {
    request.validate()?;
    let named = |error: Error| error.with_object(&request.object.bucket, &request.object.key);
    let started = Instant::now();
    let deadline = request.deadline.map(|limit| started + limit);
    let place = engine.descriptors.for_a_file();
    let _place = unless_late(cancel, deadline, "download", place).await.map_err(named)?;
    let explicit = request.part_size.or(engine.client.config().transfer.part_size);
    let concurrency = request.max_concurrency.or(engine.client.config().transfer.max_concurrency);
    let mut shape = match concurrency {
        Some(1) => Shape::Whole,
        _ => Shape::Ranged(download_part_size(explicit)),
    };
    let is_pinned = request.if_match.is_some() || request.object.version_id.is_some();
    let mut may_follow_change = request.restart_on_change && !is_pinned;
    let mut restarts = 0..engine.client.config().retry.max_attempts - 1;
    let mut refetch = false;
    loop {
        let run = Run { engine, request, progress: &progress, cancel, shape, refetch, started };
        match Box::pin(run.go()).await.map_err(named) {
            Ok(End::Published(report)) => return Ok(report),
            // Bytes that came wrong are fetched once more, over new connections (C5).
            Ok(End::Mismatch(error)) if refetch => return Err(named(error)),
            Ok(End::Mismatch(_)) => refetch = true,
            // A pipe has no second try (I5).
            Err(error) if error.written() > 0 => return Err(error),
            Err(error) if error.kind() == ErrorKind::RangesIgnored && shape != Shape::Whole => shape = Shape::Whole,
            Err(error) if error.kind() == ErrorKind::ObjectChanged && may_follow_change => may_follow_change = false,
            // What cannot be pinned cannot go on after a break (I4).
            Err(error) if error.needs_restart() && restarts.next().is_some() => {}
            Err(error) => return Err(error),
        }
        progress.restart();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn objects_are_told_apart_without_being_named() {
        let hash = |bucket: &str, key: &str, version: Option<&str>, endpoint: Option<&str>| {
            let object = ObjectRef { bucket: bucket.into(), key: key.into(), version_id: version.map(str::to_owned) };
            DownloadRequest::new(object, "x").object_hash(endpoint)
        };
        let one = hash("bucket", "key", None, Some("http://host"));
        assert_eq!(one, hash("bucket", "key", None, Some("http://host/")));
        let others = [
            hash("bucke", "tkey", None, Some("http://host")),
            hash("bucket", "key", Some(""), Some("http://host")),
            hash("bucket", "ke", Some("y"), Some("http://host")),
            hash("bucket", "key", None, Some("http://other")),
            hash("bucket", "key", None, None),
        ];
        assert!(others.iter().all(|other| *other != one));
    }
}
