//! Upload of one file.
//!
//! Small: one PutObject. Otherwise: create, or find what an earlier run began (`resume_upload.rs`) → parts read, checksummed and sent as spawned tasks under gate and byte
//! budget → all acknowledged and adding up → source unchanged → Complete with the checksum over all bytes. Whatever
//! fails first stops the rest: tasks are stopped and awaited, then the multipart upload is aborted (U9).

use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::checksum::Kind;
use crate::error::{Error, Result};
use crate::ops::adapt::Adaption;
use crate::ops::commit;
use crate::ops::engine::{Engine, unless_late};
use crate::ops::multipart::{Assembled, Creating, Multipart, Sent, verified};
use crate::ops::report::TransferReport;
use crate::ops::resume_upload::{self, Begun, Parts};
use crate::ops::tasks::Tasks;
use crate::ops::unfinished::{self, Origin};
use crate::ops::upload_parts::{PartSource, buffers_for};
use crate::progress::{Cancel, Progress};
use crate::s3::client::{NewUpload, ObjectRef, PutRequest};
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
    pub checksum: Option<Kind>,
    pub deadline: Option<Duration>,
    pub part_size: Option<u64>,
    pub max_concurrency: Option<usize>,
    /// Whether an upload that an earlier run began is gone on with, and this one is kept if it fails (U11).
    pub resume: bool,
}

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
    let parts = Parts::default();
    let mut run = Run { engine, request, progress: &progress, cancel, reader, part_size, parts, started };
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
    /// What an earlier run has sent.
    parts: Parts,
    started: Instant,
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
                checksum: read.digest,
                headers: self.request.headers.clone(),
                progress: Some(self.progress.clone()),
            };
            let stored = commit::put(&self.engine.client, put, &self.request.conditions).await?;
            self.reader.check_unchanged().await?;
            Ok((stored, read.digest))
        };
        let (stored, digest) = self.guard(work).await?;
        self.progress.add_durable(self.reader.size());
        let verified = verified(&self.engine.client, digest, &stored, 1, false);
        Ok(self.report(Assembled { parts: 1, attempts: stored.attempts, resumed_bytes: 0, verified, stored }))
    }

    async fn multipart(&mut self) -> Result<TransferReport> {
        let upload = self.begin().await?;
        let mut tasks = Tasks::new();
        let outcome = self.guard(self.send_and_complete(&upload, &mut tasks)).await;
        tasks.stop().await;
        match outcome {
            Ok(assembled) => {
                upload.ended().await;
                Ok(self.report(assembled))
            }
            Err(error) => Err(self.keep_or_abort(&upload, error).await),
        }
    }

    /// A new upload, or the one that an earlier run began.
    async fn begin(&mut self) -> Result<Multipart> {
        let request = self.request;
        let new =
            NewUpload { object: request.object.clone(), checksum: request.checksum, headers: request.headers.clone() };
        let write_id = commit::write_id(&request.conditions, &request.headers);
        let origin = Origin { part_size: self.part_size, source: Some(self.reader.identity()), write_id };
        if request.resume {
            let find = async {
                unfinished::check(self.engine).await?;
                resume_upload::find(self.engine, &new, &origin, request.part_size, self.progress).await
            };
            if let Some(Begun { upload, part_size, parts }) = self.guard(find).await? {
                (self.part_size, self.parts) = (part_size, parts);
                return Ok(upload);
            }
        }
        let mut creating = Creating::begin(self.engine, new, origin, self.progress);
        match self.guard(creating.created()).await {
            Ok(upload) => Ok(upload),
            Err(error) => Err(creating.abandon(error).await),
        }
    }

    /// No part is under way any more.
    async fn keep_or_abort(&self, upload: &Multipart, error: Error) -> Error {
        let kept = self.progress.snapshot().durable;
        if self.request.resume && upload.is_noted() && kept > 0 && resume_upload::is_worth_keeping(&error) {
            self.progress.set_kept(kept);
            return error.with_upload_id(upload.upload_id()).keeping(kept);
        }
        upload.abort(error).await
    }

    /// `work`, unless it is cancelled or the deadline comes first.
    async fn guard<T>(&self, work: impl Future<Output = Result<T>>) -> Result<T> {
        let deadline = self.request.deadline.map(|limit| self.started + limit);
        unless_late(self.cancel, deadline, "upload", work).await
    }

    async fn send_and_complete(&self, upload: &Multipart, tasks: &mut Tasks<Sent>) -> Result<Assembled> {
        let sent = self.send_parts(upload, tasks).await?;
        self.reader.check_unchanged().await?;
        upload.complete(sent, self.reader.size(), &self.request.conditions).await
    }

    async fn send_parts(&self, upload: &Multipart, tasks: &mut Tasks<Sent>) -> Result<Vec<Sent>> {
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
                        self.spawn_part(upload, tasks, part, permit_now);
                    }
                }
                () = adaption.tick() => adaption.adapt(&self.engine.client, self.progress, 0).await,
            }
        }
        Ok(sent)
    }

    fn spawn_part(&self, upload: &Multipart, tasks: &mut Tasks<Sent>, part: Part, permit: Arc<Permit>) {
        let (source, upload) = (self.source(part.range.clone(), permit), upload.clone());
        let (known, lanes) = (self.parts.clone(), self.engine.lanes.clone());
        tasks.spawn(async move {
            let read = source.read().await?;
            if let Some(listed) = known.get(&part.number)
                && let Some(sent) = resume_upload::proven(listed, &read, &lanes).await?
            {
                return Ok(sent);
            }
            upload.send(part.number, read.payload, read.digest).await
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
            checksum: self.request.checksum,
            held,
            needs_sha256: !self.engine.client.protects_bodies(),
        }
    }

    fn report(&self, assembled: Assembled) -> TransferReport {
        TransferReport::of_upload(assembled, self.reader.size(), self.started)
    }
}
