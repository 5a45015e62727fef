//! Upload of one file.
//!
//! Small: one PutObject. Otherwise: create → parts read, checksummed and sent as spawned tasks under gate and byte
//! budget → all acknowledged and adding up → source unchanged → Complete with the checksum over all bytes. Whatever
//! fails first stops the rest: tasks are stopped and awaited, then the multipart upload is aborted (U9).

use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::checksum::{self, Algorithm};
use crate::error::{Error, ErrorKind, Result};
use crate::ops::adapt::Adaption;
use crate::ops::complete::complete;
use crate::ops::engine::{Engine, unless_late};
use crate::ops::report::{TransferReport, Verification};
use crate::ops::tasks::Tasks;
use crate::ops::upload_parts::{PartSource, buffers_for};
use crate::progress::{Cancel, Progress};
use crate::s3::client::{Completed, NewUpload, ObjectRef, PartUpload, PutRequest, Stored};
use crate::s3::xml::CompletedPart;
use crate::transfer::file_reader::FileReader;
use crate::transfer::part::{Part, upload_part_size, upload_parts};
use crate::transfer::scheduler::{Gate, Permit};

#[derive(Debug, Clone)]
pub struct UploadRequest {
    pub source: PathBuf,
    pub object: ObjectRef,
    /// Content type, metadata, storage class, encryption …
    pub headers: Vec<(String, String)>,
    /// `if-none-match` or `if-match`: on PutObject and on Complete (U12).
    pub conditions: Vec<(String, String)>,
    /// Over parts and the whole object; `None` sends none.
    pub checksum: Option<Algorithm>,
    pub deadline: Option<Duration>,
    pub part_size: Option<u64>,
    pub max_concurrency: Option<usize>,
}

/// The time an abort may take, and after a cancel (U9).
const ABORT_LIMIT: Duration = Duration::from_secs(5);
const ABORT_LIMIT_CANCELLED: Duration = Duration::from_secs(2);
const ABORT_ROUNDS: u32 = 3;

/// Uploads the file; returns only after everything it started has ended.
pub async fn upload(
    engine: &Engine,
    request: &UploadRequest,
    progress: Arc<Progress>,
    cancel: &Cancel,
) -> Result<TransferReport> {
    let named = |error: Error| error.with_object(&request.object.bucket, &request.object.key);
    if request.max_concurrency == Some(0) {
        return Err(named(Error::config("max_concurrency must be at least 1")));
    }
    let started = Instant::now();
    let deadline = request.deadline.map(|limit| started + limit);
    let place = engine.descriptors.for_a_file();
    let _place = unless_late(cancel, deadline, "upload", place).await.map_err(named)?;
    let reader = Arc::new(FileReader::open(&engine.lanes, &request.source).await.map_err(named)?);
    let config = &engine.client.config().transfer;
    let part_size = upload_part_size(reader.size(), request.part_size.or(config.part_size)).map_err(named)?;
    progress.set_total(reader.size());
    let run = Run { engine, request, progress: &progress, cancel, reader, part_size, started };
    let outcome = if run.reader.size() <= config.multipart_threshold { run.put().await } else { run.multipart().await };
    outcome.inspect(|_| progress.object_done()).map_err(named)
}

struct Run<'a> {
    engine: &'a Engine,
    request: &'a UploadRequest,
    progress: &'a Arc<Progress>,
    cancel: &'a Cancel,
    reader: Arc<FileReader>,
    part_size: u64,
    started: Instant,
}

/// A part the store has taken.
struct Sent {
    part: CompletedPart,
    len: u64,
    crc: Option<u64>,
    echoed: bool,
    attempts: u32,
}

impl Run<'_> {
    async fn put(&self) -> Result<TransferReport> {
        let adaption = self.adaption();
        let work = async {
            let permit = self.permit(&adaption.gate, self.reader.size()).await;
            let read = self.source(0..self.reader.size(), permit).read().await?;
            let put = PutRequest {
                object: self.request.object.clone(),
                payload: read.payload,
                checksum: self.request.checksum.zip(read.crc),
                headers: [self.request.headers.clone(), self.request.conditions.clone()].concat(),
                progress: Some(self.progress.clone()),
            };
            let stored = self.engine.client.put_object(put).await?;
            self.reader.check_unchanged().await?;
            Ok((stored, read.crc))
        };
        let (stored, crc) = self.guard(work).await?;
        self.progress.add_durable(self.reader.size());
        let verified = self.verified(&stored, crc, 1, false);
        let attempts = stored.attempts;
        Ok(self.report(stored, 1, attempts, verified))
    }

    async fn multipart(&self) -> Result<TransferReport> {
        let upload_id = self.create().await?;
        self.progress.set_unfinished(Some(&upload_id));
        let mut tasks = Tasks::new();
        let outcome = self.guard(self.send_and_complete(&upload_id, &mut tasks)).await;
        tasks.stop().await;
        match outcome {
            Ok(report) => {
                self.progress.set_unfinished(None);
                Ok(report)
            }
            Err(error) => Err(self.abort(&upload_id, error).await),
        }
    }

    /// Creates the upload. A cancel meanwhile waits a little for its id, so that it can be aborted.
    async fn create(&self) -> Result<String> {
        let new = NewUpload {
            object: self.request.object.clone(),
            checksum: self.request.checksum,
            headers: self.request.headers.clone(),
        };
        let client = self.engine.client.clone();
        let mut creating = Tasks::new();
        creating.spawn(async move { client.create_multipart_upload(&new).await });
        let lost = || Error::new(ErrorKind::Internal, "the task that creates the upload is gone");
        let created = self.guard(async { creating.next().await.unwrap_or_else(|| Err(lost())) }).await;
        if created.is_err()
            && let Ok(Some(Ok(upload_id))) = tokio::time::timeout(ABORT_LIMIT_CANCELLED, creating.next()).await
            && let Err(error) = created
        {
            return Err(self.abort(&upload_id, error).await);
        }
        created
    }

    /// `work`, unless it is cancelled or the deadline comes first.
    async fn guard<T>(&self, work: impl Future<Output = Result<T>>) -> Result<T> {
        let deadline = self.request.deadline.map(|limit| self.started + limit);
        unless_late(self.cancel, deadline, "upload", work).await
    }

    async fn send_and_complete(&self, upload_id: &str, tasks: &mut Tasks<Sent>) -> Result<TransferReport> {
        let mut sent = self.send_parts(upload_id, tasks).await?;
        sent.sort_by_key(|sent| sent.part.number);
        let total: u64 = sent.iter().map(|sent| sent.len).sum();
        let in_order = sent.iter().zip(1..).all(|(sent, number)| sent.part.number == number);
        if total != self.reader.size() || !in_order {
            return Err(Error::integrity(format!("the parts sent hold {total} of {} bytes", self.reader.size())));
        }
        self.reader.check_unchanged().await?;
        let crc = self.request.checksum.and_then(|algorithm| combined(algorithm, &sent));
        let parts: Vec<CompletedPart> = sent.iter().map(|sent| sent.part.clone()).collect();
        let completed = Completed {
            object: &self.request.object,
            upload_id,
            parts: &parts,
            size: total,
            checksum: self.request.checksum.zip(crc),
            headers: self.request.conditions.clone(),
        };
        let stored = complete(&self.engine.client, &completed).await?;
        let count = u32::try_from(sent.len()).unwrap_or(u32::MAX);
        let all_echoed = sent.iter().all(|sent| sent.echoed);
        let attempts = sent.iter().map(|sent| sent.attempts).sum();
        let verified = self.verified(&stored, crc, count, all_echoed);
        Ok(self.report(stored, count, attempts, verified))
    }

    async fn send_parts(&self, upload_id: &str, tasks: &mut Tasks<Sent>) -> Result<Vec<Sent>> {
        let mut adaption = self.adaption();
        let gate = adaption.gate.clone();
        let mut plan = upload_parts(self.reader.size(), self.part_size).peekable();
        let mut sent = Vec::new();
        let mut permit = Box::pin(self.permit(&gate, self.part_size));
        while plan.peek().is_some() || !tasks.is_empty() {
            tokio::select! {
                biased;
                Some(ended) = tasks.next(), if !tasks.is_empty() => {
                    let ended = ended?;
                    self.progress.add_durable(ended.len);
                    sent.push(ended);
                }
                permit_now = &mut permit, if plan.peek().is_some() => {
                    permit.set(self.permit(&gate, self.part_size));
                    if let Some(part) = plan.next() {
                        self.spawn_part(upload_id, tasks, part, permit_now);
                    }
                }
                () = adaption.tick() => adaption.adapt(&self.engine.client, self.progress, 0).await,
            }
        }
        Ok(sent)
    }

    fn spawn_part(&self, upload_id: &str, tasks: &mut Tasks<Sent>, part: Part, permit: Arc<Permit>) {
        let source = self.source(part.range.clone(), permit);
        let (client, upload_id) = (self.engine.client.clone(), upload_id.to_owned());
        let (object, progress) = (self.request.object.clone(), self.progress.clone());
        let algorithm = self.request.checksum;
        tasks.spawn(async move {
            let read = source.read().await?;
            let checksum = algorithm.zip(read.crc);
            let upload = PartUpload {
                object: &object,
                upload_id: &upload_id,
                number: part.number,
                payload: read.payload,
                checksum,
                progress: Some(progress),
            };
            let stored = client.upload_part(upload).await?;
            let echoed = stored.echoed.is_some();
            let checksum = checksum.map(|(algorithm, value)| (algorithm, checksum::encode(algorithm, value)));
            let completed = CompletedPart { number: part.number, etag: stored.etag.unwrap_or_default(), checksum };
            Ok(Sent { part: completed, len: part.len(), crc: read.crc, echoed, attempts: stored.attempts })
        });
    }

    fn adaption(&self) -> Adaption {
        let config = &self.engine.client.config().transfer;
        Adaption::new(&self.engine.client, config, self.request.max_concurrency)
    }

    async fn permit(&self, gate: &Arc<Gate>, len: u64) -> Arc<Permit> {
        let (buffers, _) = buffers_for(&self.engine.scheduler, len.min(self.reader.size()));
        self.engine.scheduler.acquire(gate.enter().await, buffers).await
    }

    fn source(&self, range: std::ops::Range<u64>, permit: Arc<Permit>) -> PartSource {
        let (_, held) =
            buffers_for(&self.engine.scheduler, self.part_size.min(self.reader.size()).max(range.end - range.start));
        PartSource {
            reader: self.reader.clone(),
            range,
            permit,
            algorithm: self.request.checksum,
            held,
            needs_sha256: !self.engine.client.protects_bodies(),
        }
    }

    /// What the store's own words prove (C14).
    fn verified(&self, stored: &Stored, crc: Option<u64>, parts: u32, all_echoed: bool) -> Verification {
        let Some((algorithm, crc)) = self.request.checksum.zip(crc) else {
            return Verification::Length("no checksum was sent".into());
        };
        match &stored.echoed {
            Some((_, value)) if *value == checksum::encode(algorithm, crc) => {
                Verification::FullObject(algorithm.into())
            }
            _ if all_echoed => Verification::Parts(algorithm.into(), parts),
            _ => Verification::Length("the store did not repeat the checksum".into()),
        }
    }

    /// Stops what the store still holds of the upload; the first cause stays the error.
    async fn abort(&self, upload_id: &str, cause: Error) -> Error {
        let cancelled = cause.kind() == ErrorKind::Cancelled;
        let limit = if cancelled { ABORT_LIMIT_CANCELLED } else { ABORT_LIMIT };
        match tokio::time::timeout(limit, self.abort_rounds(upload_id)).await {
            Ok(Ok(())) => {
                self.progress.set_unfinished(None);
                cause
            }
            _ => cause.with_upload_id(upload_id),
        }
    }

    /// A part that was on its way when the upload was aborted may have stayed: look, and abort again.
    async fn abort_rounds(&self, upload_id: &str) -> Result<()> {
        let (client, object) = (&self.engine.client, &self.request.object);
        for _ in 0..ABORT_ROUNDS {
            client.abort_multipart_upload(object, upload_id).await?;
            match client.list_parts(object, upload_id).await {
                Err(error) if error.kind() == ErrorKind::NotFound => return Ok(()),
                Ok(parts) if parts.is_empty() => return Ok(()),
                Ok(_) => {}
                Err(error) => return Err(error),
            }
        }
        Err(Error::new(ErrorKind::Service, "parts of the aborted upload remain"))
    }

    fn report(&self, stored: Stored, parts: u32, attempts: u32, verified: Verification) -> TransferReport {
        TransferReport {
            bytes: self.reader.size(),
            seconds: self.started.elapsed().as_secs_f64(),
            etag: stored.etag,
            version_id: stored.version_id,
            parts,
            attempts,
            resumed_bytes: 0,
            verified,
            last_modified: None,
            content_type: None,
            storage_class: None,
        }
    }
}

/// The checksum over all bytes, from those of the parts in order.
fn combined(algorithm: Algorithm, sent: &[Sent]) -> Option<u64> {
    let nothing = checksum::checksum(algorithm, b"");
    sent.iter().try_fold(nothing, |sum, sent| Some(checksum::combine(algorithm, sum, sent.crc?, sent.len)))
}
