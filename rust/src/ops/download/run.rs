//! One try at a whole download: from the destination's check to its publishing, or to the clean-up.

use std::os::fd::AsFd;
use std::sync::Arc;
use std::time::Instant;

use super::DownloadRequest;
use super::fetch::Fetch;
use super::verify::Verdict;
use crate::config::{BUFFER_SIZE, BUFFERS_PER_REQUEST, DOWNLOAD_BUFFERS, MAX_OBJECT};
use crate::error::{Error, ErrorKind, Result};
use crate::ops::adapt::Adaption;
use crate::ops::discover::{Resumed, Shape, discover, discover_rest};
use crate::ops::engine::{Engine, unless_late};
use crate::ops::report::{Moved, TransferReport, Verification};
use crate::ops::stored::{StoredSum, Verify};
use crate::progress::{Cancel, Progress};
use crate::s3::body::ObjectBody;
use crate::s3::client::GetRequest;
use crate::s3::object::ObjectIdentity;
use crate::transfer::buffers::ALIGNMENT;
use crate::transfer::destination::{Destination, Target, not_a_file};
use crate::transfer::file_writer::{FileWriter, LedgerPlan, Start, WriterConfig};
use crate::transfer::ledger::format::Interval;
use crate::transfer::ledger::{Found, Ledger};
use crate::transfer::scheduler::{Gate, Permit};
use crate::transfer::temp_file::Publish;

/// How one try ended, if not with an error.
pub(super) enum End {
    Published(TransferReport),
    /// All came, but not what the store holds the checksum of; nothing was published.
    Mismatch(Error),
}

pub(super) struct Run<'a> {
    pub engine: &'a Engine,
    pub request: &'a DownloadRequest,
    pub progress: &'a Arc<Progress>,
    pub cancel: &'a Cancel,
    pub shape: Shape,
    /// Over new connections, after a checksum mismatch.
    pub refetch: bool,
    pub started: Instant,
}

/// What is there once the first answer has come.
pub(super) struct Opened {
    pub identity: ObjectIdentity,
    /// `None`: the end of the body will tell.
    pub size: Option<u64>,
    /// The first range; none where an earlier run has left everything.
    pub first: Option<(ObjectBody, Arc<Permit>)>,
    pub writer: Arc<FileWriter>,
    /// What an earlier run says it has written.
    pub claims: Vec<Interval>,
}

/// The first answer, and what was found that fits it.
type Discovered = (ObjectIdentity, Option<(ObjectBody, Arc<Permit>)>, Option<Found>);

impl Run<'_> {
    pub(super) async fn go(&self) -> Result<End> {
        let (target, found) = self.prepare().await?;
        let destination = match target {
            Target::File(destination) => destination,
            Target::Stream(stream) => return Box::pin(self.deliver(stream)).await,
        };
        let config = &self.engine.client.config().transfer;
        let mut adaption = Adaption::new(&self.engine.client, config, self.request.max_concurrency);
        let compare = self.request.verify != Verify::Off;
        let mut stored = StoredSum::ask(&self.engine.client, &self.request.object, compare);
        let opened = match self.guard(self.open(destination, found, &adaption)).await {
            Ok(opened) => opened,
            Err(error) => {
                stored.stop().await;
                return Err(error);
            }
        };
        let mut fetch = Fetch::new(self, opened, stored);
        let writer = fetch.writer.clone();
        let outcome = tokio::select! {
            biased;
            error = writer.failed() => Err(error),
            outcome = self.guard(fetch.all(&mut adaption)) => outcome,
        };
        let outcome = match outcome {
            Ok(Verdict::Proved(verified)) => {
                self.publish(&fetch).await.map(|size| End::Published(self.report(&fetch, size, verified)))
            }
            Ok(Verdict::Mismatch(error)) => Ok(End::Mismatch(error)),
            Err(error) => Err(error),
        };
        fetch.stop().await;
        match outcome {
            Ok(End::Published(report)) => Ok(End::Published(report)),
            Ok(end) => {
                writer.discard(false).await;
                Ok(end)
            }
            Err(error) => {
                let kept = writer.discard(may_go_on(&error)).await;
                self.progress.set_kept(kept);
                Err(error.keeping(kept))
            }
        }
    }

    /// Checks the destination, and looks what an earlier run has left for it.
    async fn prepare(&self) -> Result<(Target, Option<Found>)> {
        let (path, overwrite) = (self.request.destination.clone(), self.request.overwrite);
        let resume = self.request.resume && !self.refetch;
        let object = self.request.object_hash(self.engine.client.config().endpoint_url.as_deref());
        let (beneath, needs_file) = (self.request.beneath.clone(), self.request.needs_file);
        let look = move || {
            let target = match &beneath {
                Some((directory, name)) => Target::beneath(directory, name, &path, overwrite)?,
                None => Target::prepare(&path, overwrite)?,
            };
            if needs_file && matches!(target, Target::Stream(_)) {
                return Err(not_a_file(&path));
            }
            let found = match &target {
                Target::File(file) if resume => Ledger::look(file.directory().as_fd(), file.name(), &object),
                _ => None,
            };
            Ok((target, found))
        };
        self.engine.lanes.pick().call(look).await
    }

    /// `work`, unless it is cancelled or the deadline comes first.
    pub(super) async fn guard<T>(&self, work: impl Future<Output = Result<T>>) -> Result<T> {
        let deadline = self.request.deadline.map(|limit| self.started + limit);
        unless_late(self.cancel, deadline, "download", work).await
    }

    /// Discovery, then the temp file.
    async fn open(&self, destination: Destination, found: Option<Found>, adaption: &Adaption) -> Result<Opened> {
        let permit = self.permit(&adaption.gate).await;
        let (identity, first, found) = self.discover(found, permit).await?;
        let size = match &first {
            Some((body, _)) => body.range().1.map(|_| identity.size),
            None => Some(identity.size),
        };
        if let Some(size) = size {
            self.progress.set_total(size);
        }
        let start = Start { destination, found };
        let (writer, claims) =
            FileWriter::open(&self.engine.lanes, start, self.writer_config(&identity, size), self.progress.clone())
                .await?;
        Ok(Opened { identity, size, first, writer: Arc::new(writer), claims })
    }

    async fn discover(&self, found: Option<Found>, permit: Arc<Permit>) -> Result<Discovered> {
        let client = &self.engine.client;
        if let Some(found) = found {
            match discover_rest(client, &self.get_request(), &found, self.part_size()).await {
                Ok(Resumed::Body(body)) => return Ok((body.identity().clone(), Some((*body, permit)), Some(found))),
                Ok(Resumed::Complete(identity)) => return Ok((identity, None, Some(found))),
                Ok(Resumed::Stale) => self.remove(found).await,
                Err(error) => {
                    if may_go_on(&error) {
                        self.progress.set_kept(found.ledger.bytes());
                        return Err(error.keeping(found.ledger.bytes()));
                    }
                    self.remove(found).await;
                    return Err(error);
                }
            }
        }
        let body = discover(client, &self.get_request(), self.shape).await?;
        Ok((body.identity().clone(), Some((body, permit)), None))
    }

    async fn remove(&self, found: Found) {
        let remove = move || {
            found.remove();
            Ok(())
        };
        let _ = self.engine.lanes.pick().call(remove).await;
    }

    fn writer_config(&self, identity: &ObjectIdentity, size: Option<u64>) -> WriterConfig {
        let transfer = &self.engine.client.config().transfer;
        let worth_it = self.request.resume && size.is_some_and(|size| size >= transfer.resume_threshold);
        let ledger = identity.strong_etag().filter(|_| worth_it).map(|etag| LedgerPlan {
            object: self.request.object_hash(self.engine.client.config().endpoint_url.as_deref()),
            etag: etag.to_owned(),
        });
        WriterConfig {
            size,
            direct: self.request.direct_io.unwrap_or(transfer.direct_io),
            aligned: match self.shape {
                Shape::Ranged(part) => part % ALIGNMENT as u64 == 0,
                Shape::Whole => true,
            },
            direct_threshold: transfer.direct_io_threshold,
            ledger,
        }
    }

    pub(super) fn get_request(&self) -> GetRequest {
        GetRequest {
            object: self.request.object.clone(),
            range: None,
            tail: None,
            if_match: self.request.if_match.clone(),
            checksums: self.request.verify != Verify::Off,
            fresh_connection: self.refetch,
        }
    }

    /// Bytes of one request; a gap that an earlier run left is one request where all is to be one.
    pub(super) fn part_size(&self) -> u64 {
        match self.shape {
            Shape::Ranged(part_size) => part_size,
            Shape::Whole => MAX_OBJECT,
        }
    }

    pub(super) async fn permit(&self, gate: &Arc<Gate>) -> Arc<Permit> {
        let most = self.part_size().div_ceil(BUFFER_SIZE as u64);
        let share = (DOWNLOAD_BUFFERS / gate.limit()).clamp(1, BUFFERS_PER_REQUEST);
        let buffers = most.min(share as u64) as usize;
        self.engine.scheduler.acquire(gate.enter().await, buffers).await
    }

    /// The file's length.
    async fn publish(&self, fetch: &Fetch<'_>) -> Result<u64> {
        let how = Publish {
            overwrite: self.request.overwrite,
            durable: self.request.durable,
            mtime: fetch.identity.last_modified.filter(|_| self.request.set_mtime),
            mode: None,
        };
        let size = fetch.size();
        fetch.writer.publish(size, how).await?;
        self.progress.object_done();
        Ok(size)
    }

    fn report(&self, fetch: &Fetch<'_>, size: u64, verified: Verification) -> TransferReport {
        let moved = Moved { parts: fetch.ranges, attempts: fetch.attempts, resumed_bytes: fetch.resumed() };
        TransferReport::of_read(fetch.identity.clone(), size, self.started, moved, verified)
    }
}

/// Whether what was fetched may be of use to a later run: the object is still what it was, and so is the disk.
fn may_go_on(error: &Error) -> bool {
    match error.kind() {
        ErrorKind::Cancelled
        | ErrorKind::Timeout
        | ErrorKind::Connection
        | ErrorKind::Throttled
        | ErrorKind::Credentials => true,
        ErrorKind::Service => error.status().is_some_and(|status| status >= 500),
        _ => false,
    }
}
