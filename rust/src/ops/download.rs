//! Download of one object to a file.
//!
//! Flow: check the destination → discovery, and a HEAD beside it → temp file of full size → ranges as spawned
//! tasks under gate and byte budget → all joined → coverage, checksum → published by rename. Whatever fails first
//! stops the rest: tasks are stopped and awaited, the writer is drained, the temp file goes, the destination stays
//! as it was.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::checksum::{self, Algorithm, Sums};
use crate::config::{BUFFER_SIZE, BUFFERS_PER_REQUEST, DOWNLOAD_BUFFERS, DirectIo, check_part_size};
use crate::error::{Error, ErrorKind, Result};
use crate::ops::adapt::Adaption;
use crate::ops::discover::{Received, Shape, StoredSum, Verify, discover, require};
use crate::ops::engine::{Engine, unless_late};
use crate::ops::receive::{Receipt, Receiver};
use crate::ops::report::{TransferReport, Verification};
use crate::ops::tasks::Tasks;
use crate::progress::{Cancel, Progress};
use crate::s3::body::ObjectBody;
use crate::s3::client::{GetRequest, ObjectRef};
use crate::s3::object::{ObjectIdentity, StoredChecksum};
use crate::transfer::buffers::ALIGNMENT;
use crate::transfer::file_writer::{FileWriter, WriterConfig};
use crate::transfer::part::{download_part_size, ranges};
use crate::transfer::scheduler::{Gate, Permit};
use crate::transfer::temp_file::{Destination, Publish};

#[derive(Debug, Clone)]
pub struct DownloadRequest {
    pub object: ObjectRef,
    pub destination: PathBuf,
    pub if_match: Option<String>,
    pub verify: Verify,
    /// Start over once if the object changes meanwhile (I5); never when the caller pinned a version.
    pub restart_on_change: bool,
    pub overwrite: bool,
    pub durable: bool,
    pub deadline: Option<Duration>,
    pub direct_io: Option<DirectIo>,
    pub part_size: Option<u64>,
    pub max_concurrency: Option<usize>,
    /// Give the file the object's LastModified.
    pub set_mtime: bool,
}

impl DownloadRequest {
    pub fn new(object: ObjectRef, destination: impl Into<PathBuf>) -> Self {
        Self {
            object,
            destination: destination.into(),
            if_match: None,
            verify: Verify::Auto,
            restart_on_change: false,
            overwrite: true,
            durable: false,
            deadline: None,
            direct_io: None,
            part_size: None,
            max_concurrency: None,
            set_mtime: false,
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
        match run.go().await.map_err(named) {
            Ok(End::Published(report)) => return Ok(report),
            // Bytes that came wrong are fetched once more, over new connections (C5).
            Ok(End::Mismatch(error)) if refetch => return Err(named(error)),
            Ok(End::Mismatch(_)) => refetch = true,
            Err(error) if error.kind() == ErrorKind::RangesIgnored && shape != Shape::Whole => shape = Shape::Whole,
            Err(error) if error.kind() == ErrorKind::ObjectChanged && may_follow_change => may_follow_change = false,
            // What cannot be pinned cannot go on after a break (I4).
            Err(error) if error.needs_restart() && restarts.next().is_some() => {}
            Err(error) => return Err(error),
        }
        progress.restart();
    }
}

/// How one try ended, if not with an error.
enum End {
    Published(TransferReport),
    /// All came, but not what the store holds the checksum of; nothing was published.
    Mismatch(Error),
}

/// What the checksum says.
enum Verdict {
    Proved(Verification),
    Mismatch(Error),
}

/// One try at the whole download.
struct Run<'a> {
    engine: &'a Engine,
    request: &'a DownloadRequest,
    progress: &'a Arc<Progress>,
    cancel: &'a Cancel,
    shape: Shape,
    /// Over new connections, after a checksum mismatch.
    refetch: bool,
    started: Instant,
}

/// What lives from discovery to publishing.
struct Parts {
    identity: ObjectIdentity,
    writer: Arc<FileWriter>,
    tasks: Tasks<Receipt>,
    receipts: Vec<Receipt>,
    stored: StoredSum,
}

impl Run<'_> {
    async fn go(&self) -> Result<End> {
        let lane = self.engine.lanes.pick();
        let (path, overwrite) = (self.request.destination.clone(), self.request.overwrite);
        let destination = lane.call(move || Destination::prepare(&path, overwrite)).await?;
        let config = &self.engine.client.config().transfer;
        let mut adaption = Adaption::new(&self.engine.client, config, self.request.max_concurrency);
        let compare = self.request.verify != Verify::Off;
        let mut stored = StoredSum::ask(&self.engine.client, &self.request.object, compare);
        let opened = self.guard(self.open(destination, &adaption)).await;
        let (body, permit, writer) = match opened {
            Ok(opened) => opened,
            Err(error) => {
                stored.stop().await;
                return Err(error);
            }
        };
        let identity = body.identity().clone();
        let mut parts = Parts { identity, writer, tasks: Tasks::new(), receipts: Vec::new(), stored };
        let writer = parts.writer.clone();
        let outcome = tokio::select! {
            biased;
            error = writer.failed() => Err(error),
            outcome = self.guard(self.fetch(&mut parts, &mut adaption, body, permit)) => outcome,
        };
        let outcome = match outcome {
            Ok(Verdict::Proved(verified)) => {
                self.publish(&parts).await.map(|size| End::Published(self.report(&parts, size, verified)))
            }
            Ok(Verdict::Mismatch(error)) => Ok(End::Mismatch(error)),
            Err(error) => Err(error),
        };
        parts.tasks.stop().await;
        parts.stored.stop().await;
        if !matches!(outcome, Ok(End::Published(_))) {
            parts.writer.discard().await;
        }
        outcome
    }

    /// `work`, unless it is cancelled or the deadline comes first.
    async fn guard<T>(&self, work: impl Future<Output = Result<T>>) -> Result<T> {
        let deadline = self.request.deadline.map(|limit| self.started + limit);
        unless_late(self.cancel, deadline, "download", work).await
    }

    /// Discovery, then the temp file.
    async fn open(
        &self,
        destination: Destination,
        adaption: &Adaption,
    ) -> Result<(ObjectBody, Arc<Permit>, Arc<FileWriter>)> {
        let permit = self.permit(&adaption.gate).await;
        let body = discover(&self.engine.client, &self.get_request(), self.shape).await?;
        let identity = body.identity();
        let size = body.range().1.map(|_| identity.size);
        if let Some(size) = size {
            self.progress.set_total(size);
        }
        let transfer = &self.engine.client.config().transfer;
        let aligned = match self.shape {
            Shape::Ranged(part) => part % ALIGNMENT as u64 == 0,
            Shape::Whole => true,
        };
        let config = WriterConfig {
            size,
            direct: self.request.direct_io.unwrap_or(transfer.direct_io),
            aligned,
            direct_threshold: transfer.direct_io_threshold,
        };
        let writer = FileWriter::create(&self.engine.lanes, destination, config, self.progress.clone()).await?;
        Ok((body, permit, Arc::new(writer)))
    }

    fn get_request(&self) -> GetRequest {
        GetRequest {
            object: self.request.object.clone(),
            range: None,
            if_match: self.request.if_match.clone(),
            checksums: self.request.verify != Verify::Off,
            fresh_connection: self.refetch,
        }
    }

    async fn permit(&self, gate: &Arc<Gate>) -> Arc<Permit> {
        let most = match self.shape {
            Shape::Ranged(part) => part.div_ceil(BUFFER_SIZE as u64),
            Shape::Whole => u64::MAX,
        };
        let share = (DOWNLOAD_BUFFERS / gate.limit()).clamp(1, BUFFERS_PER_REQUEST);
        let buffers = most.min(share as u64) as usize;
        self.engine.scheduler.acquire(gate.enter().await, buffers).await
    }

    /// All ranges, each as a task of its own; then the checksum of the whole.
    async fn fetch(
        &self,
        parts: &mut Parts,
        adaption: &mut Adaption,
        first: ObjectBody,
        permit: Arc<Permit>,
    ) -> Result<Verdict> {
        let (_, first_end) = first.range();
        let receiver = self.receiver(parts, permit);
        parts.tasks.spawn(receiver.receive(first));
        let size = parts.identity.size;
        let mut rest = match (self.shape, first_end) {
            (Shape::Ranged(part_size), Some(end)) => Some(ranges(end, size, part_size).peekable()),
            _ => None,
        };
        let gate = adaption.gate.clone();
        let mut permit = Box::pin(self.permit(&gate));
        loop {
            let more = rest.as_mut().is_some_and(|rest| rest.peek().is_some());
            if !more && parts.tasks.is_empty() {
                break;
            }
            tokio::select! {
                biased;
                Some(ended) = parts.tasks.next(), if !parts.tasks.is_empty() => parts.receipts.push(ended?),
                permit_now = &mut permit, if more => {
                    permit.set(self.permit(&gate));
                    if let Some(range) = rest.as_mut().and_then(Iterator::next) {
                        self.spawn_range(parts, range, permit_now);
                    }
                }
                () = adaption.tick() => adaption.adapt(&self.engine.client, self.progress, parts.writer.queued()).await,
            }
        }
        self.verify(parts).await
    }

    fn receiver(&self, parts: &Parts, permit: Arc<Permit>) -> Receiver {
        Receiver {
            permit,
            writer: parts.writer.clone(),
            progress: self.progress.clone(),
            running: parts.stored.running(),
        }
    }

    fn spawn_range(&self, parts: &mut Parts, range: std::ops::Range<u64>, permit: Arc<Permit>) {
        let receiver = self.receiver(parts, permit);
        let (client, identity) = (self.engine.client.clone(), parts.identity.clone());
        let get = GetRequest { range: Some(range), ..self.get_request() };
        parts.tasks.spawn(async move {
            let body = ObjectBody::open_pinned(client, get, identity).await?;
            receiver.receive(body).await
        });
    }

    /// Compares the checksum over all bytes with the stored one (C3, C8).
    async fn verify(&self, parts: &mut Parts) -> Result<Verdict> {
        let length = |why: String| Verdict::Proved(Verification::Length(why));
        if self.request.verify == Verify::Off {
            return Ok(length("verification is off".into()));
        }
        parts.receipts.sort_by_key(|receipt| receipt.start);
        let sums = parts.receipts.iter().fold(Sums::empty(), |sums, receipt| sums.then(&receipt.sums));
        let got = Received { identity: &parts.identity, bytes: sums.len };
        let why = match parts.stored.of(&self.engine.client, &self.request.object, &got).await {
            StoredChecksum::FullObject(algorithm, expected) => match sums.value(algorithm) {
                Some(actual) if actual == expected => {
                    return Ok(Verdict::Proved(Verification::FullObject(algorithm.into())));
                }
                Some(actual) => return Ok(Verdict::Mismatch(mismatch(algorithm, expected, actual))),
                None => format!("{} was not computed over all ranges", algorithm.name()),
            },
            StoredChecksum::FullSha(value) => format!("the stored {} was not computed", value.kind().name()),
            StoredChecksum::Composite { value, .. } => format!("the stored {} is composite", value.kind().name()),
            StoredChecksum::Damaged(why) => return Err(Error::integrity(why)),
            StoredChecksum::NotUsable(why) => why,
            StoredChecksum::None => "the store holds no checksum".into(),
        };
        if self.request.verify == Verify::Require { Err(require(&why)) } else { Ok(length(why)) }
    }

    /// The file's length.
    async fn publish(&self, parts: &Parts) -> Result<u64> {
        let received = parts.receipts.iter().map(|receipt| receipt.sums.len).sum();
        let how = Publish {
            overwrite: self.request.overwrite,
            durable: self.request.durable,
            mtime: parts.identity.last_modified.filter(|_| self.request.set_mtime),
        };
        parts.writer.publish(received, how).await?;
        self.progress.object_done();
        Ok(received)
    }

    fn report(&self, parts: &Parts, size: u64, verified: Verification) -> TransferReport {
        let identity = parts.identity.clone();
        TransferReport {
            bytes: size,
            seconds: self.started.elapsed().as_secs_f64(),
            etag: identity.etag,
            version_id: identity.version_id,
            parts: u32::try_from(parts.receipts.len()).unwrap_or(u32::MAX),
            attempts: parts.receipts.iter().map(|receipt| receipt.attempts).sum(),
            verified,
            last_modified: identity.last_modified,
            content_type: identity.content_type,
            storage_class: identity.storage_class,
        }
    }
}

fn mismatch(algorithm: Algorithm, expected: u64, actual: u64) -> Error {
    let (expected, actual) = (checksum::encode(algorithm, expected), checksum::encode(algorithm, actual));
    Error::integrity(format!("{} of the bytes is {actual}, the store holds {expected}", algorithm.name()))
}
