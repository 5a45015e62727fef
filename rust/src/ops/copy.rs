//! A copy that the store makes, of an object of any size.
//!
//! Small: one CopyObject. Otherwise: create → ranges of the source copied as parts, side by side → Complete. No byte comes
//! by here, so a copy holds requests and no memory. Every request is pinned to one version of the source (U13): of an
//! object that changes meanwhile no mixture is made. A CopyObject takes metadata and tags along by itself; a copy by parts
//! is told them here, so that both ways the same object comes out. Failure or cancel: tasks are stopped and awaited, then
//! the multipart upload is aborted (U9).

mod metadata;

use std::sync::Arc;

use crate::checksum::{Digest, Kind};
use crate::error::{Error, ErrorKind, Result};
use crate::ops::adapt::Adaption;
use crate::ops::commit;
use crate::ops::engine::{Engine, unless_cancelled};
use crate::ops::multipart::{Assembled, Creating, Multipart, Sent, combined};
use crate::ops::tasks::Tasks;
use crate::ops::unfinished::Origin;
use crate::progress::{Cancel, Progress};
use crate::s3::client::{self, CopySource, NewUpload, ObjectRef};
use crate::s3::object::{ObjectHead, StoredChecksum};
use crate::transfer::part::{Part, copy_part_size, upload_parts};
use crate::transfer::scheduler::{Gate, Permit};

#[derive(Debug, Clone)]
pub struct CopyRequest {
    pub source: ObjectRef,
    pub destination: ObjectRef,
    /// Of the source, where a listing has told it.
    pub size: Option<u64>,
    /// The ETag the source must have.
    pub if_match: Option<String>,
    /// Of the destination: metadata (only with `replace_metadata`), storage class, tags, encryption …
    pub headers: Vec<(String, String)>,
    /// Whether `headers` are all the metadata of the destination; otherwise it is the source's.
    pub replace_metadata: bool,
    /// `if-none-match` or `if-match`, on the destination.
    pub conditions: Vec<(String, String)>,
    pub part_size: Option<u64>,
    pub max_concurrency: Option<usize>,
}

impl CopyRequest {
    pub fn new(source: ObjectRef, destination: ObjectRef) -> Self {
        Self {
            source,
            destination,
            size: None,
            if_match: None,
            headers: Vec::new(),
            replace_metadata: false,
            conditions: Vec::new(),
            part_size: None,
            max_concurrency: None,
        }
    }
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CopyReport {
    pub size: u64,
    pub etag: Option<String>,
    pub version_id: Option<String>,
    /// 1 for a copy of one request.
    pub parts: u32,
    pub attempts: u32,
}

/// Copies the object; returns only after everything it started has ended.
pub async fn copy_object(
    engine: &Engine,
    request: &CopyRequest,
    progress: Arc<Progress>,
    cancel: &Cancel,
) -> Result<CopyReport> {
    let named = |error: Error| error.with_object(&request.destination.bucket, &request.destination.key);
    check(request).map_err(named)?;
    let run = Run { engine, request, progress: &progress, cancel };
    let outcome = run.copy().await;
    outcome.inspect(|_| progress.object_done()).map_err(named)
}

fn check(request: &CopyRequest) -> Result<()> {
    if request.max_concurrency == Some(0) {
        return Err(Error::config("max_concurrency must be at least 1"));
    }
    let lost = request.headers.iter().find(|(name, _)| metadata::is_metadata(name));
    match lost {
        Some((name, _)) if !request.replace_metadata => {
            let text = format!("\"{name}\" of a copy is the source's, unless all metadata is replaced");
            Err(Error::config(text))
        }
        _ => Ok(()),
    }
}

struct Run<'a> {
    engine: &'a Engine,
    request: &'a CopyRequest,
    progress: &'a Arc<Progress>,
    cancel: &'a Cancel,
}

/// What is copied, known well enough to begin.
struct Known {
    source: CopySource,
    size: u64,
    head: Option<ObjectHead>,
}

impl Run<'_> {
    async fn copy(&self) -> Result<CopyReport> {
        let threshold = self.engine.client.config().transfer.copy_threshold;
        let known = unless_cancelled(self.cancel, self.look(threshold)).await?;
        self.progress.set_total(known.size);
        match known {
            Known { source, size, head: Some(head) } if size > threshold => self.by_parts(source, size, head).await,
            Known { source, size, .. } => unless_cancelled(self.cancel, self.at_once(source, size)).await,
        }
    }

    /// Asks for what the caller does not know: size and ETag, and of a large object the metadata.
    async fn look(&self, threshold: u64) -> Result<Known> {
        let request = self.request;
        let pinned = |if_match: Option<String>| CopySource { object: request.source.clone(), if_match };
        if let (Some(size), Some(etag)) = (request.size, &request.if_match)
            && size <= threshold
        {
            return Ok(Known { source: pinned(Some(etag.clone())), size, head: None });
        }
        let _one = self.engine.scheduler.request().await;
        let head = self.engine.client.head_object(&request.source, request.if_match.as_deref()).await?;
        // Some stores ignore If-Match (I3).
        if request.if_match.is_some() && request.if_match != head.identity.etag {
            let ObjectRef { bucket, key, .. } = &request.source;
            let text = format!("\"s3://{bucket}/{key}\" is another version than the one asked for");
            return Err(Error::new(ErrorKind::ObjectChanged, text).with_object(bucket, key));
        }
        let etag = head.identity.strong_etag().map(str::to_owned);
        Ok(Known { source: pinned(etag), size: head.identity.size, head: Some(head) })
    }

    async fn at_once(&self, source: CopySource, size: u64) -> Result<CopyReport> {
        let request = self.request;
        let copy = client::CopyRequest {
            source,
            destination: request.destination.clone(),
            headers: metadata::for_one_request(request),
        };
        let _one = self.engine.scheduler.request().await;
        let stored = commit::copy(&self.engine.client, copy, &request.conditions, request.replace_metadata).await?;
        self.progress.add_network(size);
        self.progress.add_durable(size);
        Ok(CopyReport { size, etag: stored.etag, version_id: stored.version_id, parts: 1, attempts: stored.attempts })
    }

    async fn by_parts(&self, source: CopySource, size: u64, head: ObjectHead) -> Result<CopyReport> {
        if source.if_match.is_none() && source.object.version_id.is_none() {
            let ObjectRef { bucket, key, .. } = &source.object;
            let text = "the source has no strong ETag: of an object that may change no copy is made in parts";
            return Err(Error::new(ErrorKind::Service, text).with_object(bucket, key));
        }
        let config = &self.engine.client.config().transfer;
        let part_size = copy_part_size(size, self.request.part_size.or(config.part_size))?;
        let copy = Parts { run: self, source, size, part_size, checksum: checksum_of(&head) };
        let upload = copy.begin(&head).await?;
        let mut tasks = Tasks::new();
        let outcome = unless_cancelled(self.cancel, copy.copy_and_complete(&upload, &mut tasks)).await;
        tasks.stop().await;
        match outcome {
            Ok(Assembled { stored, parts, attempts, .. }) => {
                upload.ended().await;
                Ok(CopyReport { size, etag: stored.etag, version_id: stored.version_id, parts, attempts })
            }
            Err(error) => Err(upload.abort(error).await),
        }
    }
}

/// What the store holds of the source and parts combine to: the copy must have the same.
fn checksum_of(head: &ObjectHead) -> Option<Digest> {
    match head.checksum {
        StoredChecksum::FullObject(algorithm, value) => Some(Digest::of_crc(algorithm, value)),
        _ => None,
    }
}

struct Parts<'a> {
    run: &'a Run<'a>,
    source: CopySource,
    size: u64,
    part_size: u64,
    checksum: Option<Digest>,
}

impl Parts<'_> {
    async fn begin(&self, head: &ObjectHead) -> Result<Multipart> {
        let Run { engine, request, progress, cancel } = self.run;
        let headers = unless_cancelled(cancel, metadata::for_parts(engine, request, head)).await?;
        let checksum = self.checksum.map(|digest| digest.kind());
        let new = NewUpload { object: request.destination.clone(), checksum, headers };
        let write_id = commit::write_id(&request.conditions, &request.headers);
        let origin = Origin { part_size: self.part_size, source: None, write_id };
        let mut creating = Creating::begin(engine, new, origin, progress);
        match unless_cancelled(cancel, creating.created()).await {
            Ok(upload) => Ok(upload),
            Err(error) => Err(creating.abandon(error).await),
        }
    }

    async fn copy_and_complete(&self, upload: &Multipart, tasks: &mut Tasks<Sent>) -> Result<Assembled> {
        let mut copied = self.copy_parts(upload, tasks).await?;
        copied.sort_by_key(|sent| sent.part.number);
        let ours = self.checksum.map(|digest| digest.kind()).and_then(|kind: Kind| combined(kind, &copied));
        if ours.is_some() && ours != self.checksum {
            return Err(Error::integrity("the parts copied have another checksum than the source"));
        }
        upload.complete(copied, self.size, &self.run.request.conditions).await
    }

    async fn copy_parts(&self, upload: &Multipart, tasks: &mut Tasks<Sent>) -> Result<Vec<Sent>> {
        let Run { engine, request, progress, .. } = self.run;
        let mut adaption = Adaption::new(&engine.client, &engine.client.config().transfer, request.max_concurrency);
        let gate = adaption.gate.clone();
        let mut plan = upload_parts(self.size, self.part_size).peekable();
        let mut copied = Vec::new();
        let mut permit = Box::pin(self.permit(&gate));
        while plan.peek().is_some() || !tasks.is_empty() {
            tokio::select! {
                biased;
                Some(ended) = tasks.next(), if !tasks.is_empty() => {
                    let ended = ended?;
                    progress.add_durable(ended.len);
                    copied.push(ended);
                }
                permit_now = &mut permit, if plan.peek().is_some() => {
                    permit.set(self.permit(&gate));
                    if let Some(part) = plan.next() {
                        self.spawn(upload, tasks, part, permit_now);
                    }
                }
                () = adaption.tick() => adaption.adapt(&engine.client, progress, 0).await,
            }
        }
        Ok(copied)
    }

    /// One request, and no memory.
    async fn permit(&self, gate: &Arc<Gate>) -> Arc<Permit> {
        self.run.engine.scheduler.acquire(gate.enter().await, 0).await
    }

    fn spawn(&self, upload: &Multipart, tasks: &mut Tasks<Sent>, part: Part, permit: Arc<Permit>) {
        let (upload, source) = (upload.clone(), self.source.clone());
        tasks.spawn(async move {
            let _permit = permit;
            upload.copy(part.number, part.range, &source).await
        });
    }
}
