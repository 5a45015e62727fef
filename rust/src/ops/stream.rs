//! An object, or a range of it, in order: parallel inside, in order outside, and never more in memory than its share.
//!
//! ```text
//! first answer (size, version) → window of parts: [head] [next] [next] …   each a task: GET with If-Match → chunks → its queue
//!                                   │ chunks leave as they come        └ memory is charged from the request until the part was read
//!                                   └ ended: its checksums are kept, and the next one is the head
//! ```
//!
//! Nothing runs between two calls of `next` but the parts of the window, so a consumer that stops reading stops the
//! requests, and one that drops the stream cancels them. A part far slower than its peers, or without an answer, asks again over a new connection.
//! What was given out cannot be taken back: every later error says how much that was, and a checksum that is wrong shows
//! behind the last byte.

mod end;
mod part;

use std::collections::VecDeque;
use std::ops::Range;
use std::pin::Pin;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;

use crate::checksum::{Sha, ShaHasher};
use crate::config::{AUTO_PART, check_part_size};
use crate::error::{Error, ErrorKind, Result};
use crate::ops::adapt::Adaption;
use crate::ops::engine::{Engine, unless_late};
use crate::ops::late::Lateness;
use crate::ops::pace::{Meter, Pace};
use crate::ops::report::Verification;
use crate::ops::span::{First, Span, first};
use crate::ops::stored::{StoredSum, Verify, require};
use crate::ops::sums::{RangeSums, Summing};
use crate::progress::{Cancel, Progress};
use crate::s3::body::ObjectBody;
use crate::s3::client::{GetRequest, ObjectRef};
use crate::s3::object::{ObjectIdentity, StoredChecksum};
use crate::transfer::extent::Extent;
use crate::transfer::scheduler::OneRequest;
use crate::transfer::shares::{LEAST, Share};
use part::{Along, Grant, PATIENCE, Part, Source, grant, next_range};

#[derive(Debug, Clone)]
pub struct StreamRequest {
    pub object: ObjectRef,
    pub span: Span,
    pub if_match: Option<String>,
    pub verify: Verify,
    pub part_size: Option<u64>,
    pub max_concurrency: Option<usize>,
    pub deadline: Option<Duration>,
}

impl StreamRequest {
    pub fn new(object: ObjectRef) -> Self {
        Self {
            object,
            span: Span::default(),
            if_match: None,
            verify: Verify::Auto,
            part_size: None,
            max_concurrency: None,
            deadline: None,
        }
    }
}

type Granting = Pin<Box<dyn Future<Output = Grant> + Send + Sync>>;

pub struct OrderedStream {
    engine: Engine,
    request: StreamRequest,
    get: GetRequest,
    progress: Arc<Progress>,
    cancel: Cancel,
    started: Instant,
    identity: ObjectIdentity,
    start: u64,
    /// `None`: the end of the body will tell.
    end: Option<u64>,
    /// The first byte that nobody asked for yet.
    planned: u64,
    part_size: u64,
    window: VecDeque<Part>,
    granting: Option<Granting>,
    /// `None` once nothing more is to come.
    share: Option<Arc<Share>>,
    adaption: Adaption,
    pace: Pace,
    lateness: Arc<Lateness>,
    stored: StoredSum,
    sums: RangeSums,
    /// Over what is given out, where one answer brings all of it and nobody knows yet what it will be compared with.
    hashers: Vec<ShaHasher>,
    given: u64,
    parts: u32,
    attempts: u32,
    is_stopped: bool,
    /// Once it has ended well.
    verified: Option<Verification>,
}

impl OrderedStream {
    /// Returns with the first answer.
    pub async fn open(
        engine: &Engine,
        request: StreamRequest,
        progress: Arc<Progress>,
        cancel: &Cancel,
    ) -> Result<Self> {
        let named = |error: Error| error.with_object(&request.object.bucket, &request.object.key);
        let config = &engine.client.config().transfer;
        let explicit = request.part_size.or(config.part_size);
        explicit.map_or(Ok(()), check_part_size).map_err(named)?;
        if request.max_concurrency == Some(0) {
            return Err(named(Error::config("max_concurrency must be at least 1")));
        }
        if request.verify == Verify::Require && !request.span.is_all() {
            return Err(named(require("a checksum is of the whole object, not of a range")));
        }
        let started = Instant::now();
        let share = engine.shares.open().map_err(named)?;
        let adaption = Adaption::new(&engine.client, config, request.max_concurrency);
        let compare = request.verify != Verify::Off && request.span.is_all();
        let stored = StoredSum::ask(&engine.client, &request.object, compare);
        let is_one = request.max_concurrency.or(config.max_concurrency) == Some(1);
        let mut stream = Self {
            engine: engine.clone(),
            get: GetRequest {
                object: request.object.clone(),
                range: None,
                tail: None,
                if_match: request.if_match.clone(),
                checksums: false,
                fresh_connection: false,
            },
            progress,
            cancel: cancel.clone(),
            started,
            identity: ObjectIdentity::default(),
            start: 0,
            end: None,
            planned: 0,
            part_size: explicit.unwrap_or(AUTO_PART),
            window: VecDeque::new(),
            granting: None,
            share: Some(share),
            adaption,
            pace: Pace::new(config.pace_window, config.worth_splitting),
            lateness: Arc::new(Lateness::new(config.late_after)),
            stored,
            sums: RangeSums::default(),
            hashers: Vec::new(),
            given: 0,
            parts: 0,
            attempts: 0,
            is_stopped: false,
            verified: None,
            request,
        };
        let deadline = stream.deadline();
        let begun = unless_late(cancel, deadline, "stream", stream.begin(is_one)).await;
        match begun {
            Ok(()) => Ok(stream),
            Err(error) => {
                stream.stop().await;
                Err(stream.named(error))
            }
        }
    }

    /// The first answer, and the part it brings.
    async fn begin(&mut self, is_one: bool) -> Result<()> {
        let Some(share) = self.share.clone() else { return Ok(()) };
        let len = share.room(self.part_size).unwrap_or(LEAST);
        let grant = grant(self.adaption.gate.clone(), self.engine.scheduler.clone(), share, len).await;
        let len = (!is_one).then_some(grant.len);
        let request = self.engine.scheduler.request().await;
        let body = match first(&self.engine.client, &self.get, self.request.span, len).await? {
            First::Body(body) => body,
            First::Empty(identity) => {
                let range = self.request.span.of(identity.size)?;
                (self.start, self.planned, self.end) = (range.start, range.end, Some(range.end));
                self.identity = identity;
                self.progress.set_total(0);
                return Ok(());
            }
        };
        let (start, end) = body.range();
        self.identity = body.identity().clone();
        self.start = start;
        // A body whose length nobody tells is everything.
        self.end = end.map(|_| self.request.span.of(self.identity.size)).transpose()?.map(|range| range.end);
        self.planned = end.unwrap_or(u64::MAX);
        let brings_all = self.request.span.is_all() && (end.is_none() || end == self.end);
        if brings_all && self.request.verify != Verify::Off {
            self.hashers = match body.checksum() {
                StoredChecksum::FullSha(value) => value.kind().sha().into_iter().map(ShaHasher::new).collect(),
                StoredChecksum::None if self.part_size >= self.identity.size => {
                    [Sha::Sha256, Sha::Sha1].map(ShaHasher::new).into()
                }
                _ => Vec::new(),
            };
        }
        if let Some(size) = self.size() {
            self.progress.set_total(size);
        }
        self.spawn(grant, start..self.planned, Some((body, request)));
        self.read_ahead().await;
        Ok(())
    }

    fn spawn(&mut self, grant: Grant, range: Range<u64>, body: Option<(Box<ObjectBody>, OneRequest)>) {
        let meter = Meter::new(Arc::new(Extent::new(range.clone())));
        self.pace.started(meter.clone(), false);
        let along = Along {
            meter,
            summing: Summing::new(self.stored.wanted().clone(), false, range.start),
            progress: self.progress.clone(),
            lateness: self.lateness.clone(),
        };
        self.planned = range.end;
        let source = body.map_or_else(
            || Source::Range {
                scheduler: self.engine.scheduler.clone(),
                client: self.engine.client.clone(),
                get: Box::new(GetRequest { range: Some(range), ..self.get.clone() }),
                identity: Box::new(self.identity.clone()),
            },
            |(body, request)| Source::Body(body, request),
        );
        self.window.push_back(Part::start(grant, source, along));
    }

    fn deadline(&self) -> Option<Instant> {
        self.request.deadline.map(|limit| self.started + limit)
    }

    fn named(&self, error: Error) -> Error {
        error.with_object(&self.request.object.bucket, &self.request.object.key)
    }

    pub fn identity(&self) -> &ObjectIdentity {
        &self.identity
    }

    /// Bytes it will give; `None` if only the end will tell.
    pub fn size(&self) -> Option<u64> {
        self.end.map(|end| end - self.start)
    }

    /// The offset in the object of the next byte.
    pub fn position(&self) -> u64 {
        self.start + self.given
    }

    /// The next bytes, as they came; `None` once all were given and the checksum was compared. May be dropped and called
    /// again. After an error it gives nothing more.
    pub async fn next(&mut self) -> Result<Option<Bytes>> {
        if self.verified.is_some() {
            return Ok(None);
        }
        let (cancel, deadline) = (self.cancel.clone(), self.deadline());
        match unless_late(&cancel, deadline, "stream", self.advance()).await {
            Ok(Some(chunk)) => {
                self.give(&chunk);
                Ok(Some(chunk))
            }
            Ok(None) => Ok(None),
            Err(error) => {
                self.stop().await;
                Err(self.named(error))
            }
        }
    }

    /// What has come already and is next, if anything is.
    pub fn try_next(&mut self) -> Option<Bytes> {
        let chunk = self.window.front_mut()?.try_next()?;
        self.give(&chunk);
        Some(chunk)
    }

    /// Bytes that were given out, and cannot be taken back.
    pub fn given(&self) -> u64 {
        self.given
    }

    fn give(&mut self, chunk: &Bytes) {
        if self.stored.wanted().get().is_some_and(|wanted| wanted.crc.is_some()) {
            self.hashers.clear();
        }
        self.hashers.iter_mut().for_each(|hasher| hasher.update(chunk));
        self.given += chunk.len() as u64;
        self.progress.add_durable(chunk.len() as u64);
    }

    /// Ends what is under way; when it returns, nothing of it runs any more, and nothing more is given.
    pub async fn stop(&mut self) {
        (self.is_stopped, self.share, self.granting) = (true, None, None);
        for part in &mut self.window {
            part.stop().await;
        }
        self.window.clear();
        self.stored.stop().await;
    }

    async fn advance(&mut self) -> Result<Option<Bytes>> {
        loop {
            if self.is_stopped {
                return Err(Error::new(ErrorKind::Internal, "the stream has ended before"));
            }
            self.read_ahead().await;
            if self.window.is_empty() && self.granting.is_none() {
                self.finish().await?;
                return Ok(None);
            }
            tokio::select! {
                biased;
                chunk = head(&mut self.window) => match chunk {
                    Some(chunk) => return Ok(Some(chunk)),
                    None => self.head_ended().await?,
                },
                grant = granted(&mut self.granting) => self.begin_part(grant),
                // What it waits for may be held by others for ever: now that it holds nothing, the least is its own.
                () = tokio::time::sleep(PATIENCE), if self.window.is_empty() => self.granting = None,
                () = self.adaption.tick() => {
                    self.adaption.adapt(&self.engine.client, &self.progress, 0).await;
                    let _ = self.pace.observe(Instant::now(), false);
                }
            }
        }
    }

    /// Begins parts as long as that needs no waiting.
    async fn read_ahead(&mut self) {
        loop {
            self.plan();
            tokio::select! {
                biased;
                grant = granted(&mut self.granting) => self.begin_part(grant),
                () = std::future::ready(()) => return,
            }
        }
    }

    fn begin_part(&mut self, grant: Grant) {
        self.granting = None;
        let range = next_range(self.planned, grant.len, self.end.unwrap_or(self.planned));
        self.spawn(grant, range, None);
    }

    /// Begins to wait for what the next part needs, if there is one and more may be held.
    fn plan(&mut self) {
        let left = self.end.map_or(0, |end| end.saturating_sub(self.planned));
        if self.granting.is_some() || left == 0 {
            return;
        }
        let Some(share) = self.share.clone() else { return };
        let Some(len) = share.room(self.part_size.min(left)) else { return };
        let (gate, scheduler) = (self.adaption.gate.clone(), self.engine.scheduler.clone());
        self.granting = Some(Box::pin(grant(gate, scheduler, share, len)));
    }

    /// The head has given all it had, or has failed.
    async fn head_ended(&mut self) -> Result<()> {
        let Some(head) = self.window.front_mut() else { return Ok(()) };
        let end = head.ended().await?;
        self.window.pop_front();
        self.parts += 1;
        self.attempts += end.attempts;
        self.sums.merge(end.sums, self.stored.wanted().get());
        Ok(())
    }
}

async fn head(window: &mut VecDeque<Part>) -> Option<Bytes> {
    match window.front_mut() {
        Some(head) => head.next().await,
        None => std::future::pending().await,
    }
}

async fn granted(granting: &mut Option<Granting>) -> Grant {
    match granting {
        Some(granting) => granting.await,
        None => std::future::pending().await,
    }
}
