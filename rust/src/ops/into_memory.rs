//! An object, or a range of it, straight into memory: parallel ranges, each byte copied once, from the socket to its place.
//!
//! The first answer fixes size and version, and only then is the memory asked for. Bytes that came wrong are fetched once
//! more (C5); a range far slower than its peers asks again over a new connection. Returns only after every task has
//! ended; the fence of the region holds even where that could not be waited for.

use std::ops::Range;
use std::sync::Arc;
use std::time::Instant;

use crate::config::{AUTO_PART, check_part_size};
use crate::error::{Error, ErrorKind, Result};
use crate::ops::adapt::Adaption;
use crate::ops::engine::{Engine, unless_late};
use crate::ops::late::Lateness;
use crate::ops::open_part::open_part;
use crate::ops::pace::{Meter, Pace};
use crate::ops::report::{Moved, TransferReport};
use crate::ops::span::{First, first};
use crate::ops::stored::{StoredSum, Verify, is_refusal, require};
use crate::ops::stream::StreamRequest;
use crate::ops::sums::{RangeSums, Summing};
use crate::ops::tasks::Tasks;
use crate::ops::verdict::{Passed, verdict};
use crate::progress::{Cancel, Progress};
use crate::s3::body::ObjectBody;
use crate::s3::client::GetRequest;
use crate::s3::object::ObjectIdentity;
use crate::transfer::extent::Extent;
use crate::transfer::part::Plan;
use crate::transfer::region::Region;
use crate::transfer::scheduler::{Gate, Permit};

/// Gives the memory for so many bytes.
pub trait Place: Send {
    fn region(&mut self, len: u64) -> Result<Arc<Region>>;
}

/// What a range that has come leaves behind.
struct Came {
    sums: RangeSums,
    attempts: u32,
}

/// Fetches what the request says into what `place` gives.
pub async fn into_memory(
    engine: &Engine,
    request: &StreamRequest,
    place: &mut dyn Place,
    progress: Arc<Progress>,
    cancel: &Cancel,
) -> Result<TransferReport> {
    let named = |error: Error| error.with_object(&request.object.bucket, &request.object.key);
    if request.verify == Verify::Require && !request.span.is_all() {
        return Err(named(require("a checksum is of the whole object, not of a range")));
    }
    let started = Instant::now();
    let mut anew = false;
    loop {
        let run = Run { engine, request, progress: &progress, cancel, started, anew };
        match run.go(place).await {
            Err(error) if error.kind() == ErrorKind::Integrity && !anew && !is_refusal(&error) => {
                anew = true;
                progress.restart();
            }
            outcome => return outcome.map_err(named),
        }
    }
}

struct Run<'a> {
    engine: &'a Engine,
    request: &'a StreamRequest,
    progress: &'a Arc<Progress>,
    cancel: &'a Cancel,
    started: Instant,
    /// Over new connections, after bytes that came wrong.
    anew: bool,
}

impl Run<'_> {
    async fn go(&self, place: &mut dyn Place) -> Result<TransferReport> {
        let compare = self.request.verify != Verify::Off && self.request.span.is_all();
        let mut stored = StoredSum::ask(&self.engine.client, &self.request.object, compare);
        let mut tasks = Tasks::new();
        let deadline = self.request.deadline.map(|limit| self.started + limit);
        let work = self.fetch(place, &mut tasks, &mut stored);
        let outcome = unless_late(self.cancel, deadline, "get", work).await;
        tasks.stop().await;
        stored.stop().await;
        outcome
    }

    async fn fetch(
        &self,
        place: &mut dyn Place,
        tasks: &mut Tasks<Came>,
        stored: &mut StoredSum,
    ) -> Result<TransferReport> {
        let config = &self.engine.client.config().transfer;
        let explicit = self.request.part_size.or(config.part_size);
        explicit.map_or(Ok(()), check_part_size)?;
        if self.request.max_concurrency == Some(0) {
            return Err(Error::config("max_concurrency must be at least 1"));
        }
        let part_size = explicit.unwrap_or(AUTO_PART);
        let is_one = self.request.max_concurrency.or(config.max_concurrency) == Some(1);
        let mut adaption = Adaption::new(&self.engine.client, config, self.request.max_concurrency);
        let gate = adaption.gate.clone();
        let mut permit = Box::pin(self.permit(&gate));
        let first_permit = (&mut permit).await;
        let (get, len) = (self.get(), (!is_one).then_some(part_size));
        let body = match first(&self.engine.client, &get, self.request.span, len).await? {
            First::Body(body) => *body,
            First::Empty(identity) => {
                let region = place.region(0)?;
                region.close();
                let passed = Passed { sums: RangeSums::default(), hashes: Vec::new() };
                return self.report(identity, 0, (0, 1), passed, stored).await;
            }
        };
        let identity = body.identity().clone();
        let (start, Some(came)) = body.range() else {
            return Err(Error::new(ErrorKind::Service, "the store does not tell the length of the object"));
        };
        let all = start..self.request.span.of(identity.size)?.end;
        let region = place.region(all.end - all.start)?;
        self.progress.set_total(all.end - all.start);
        let mut pace = Pace::new(config.pace_window, config.worth_splitting);
        let mut plan = Plan::new(part_size);
        plan.add(came..all.end);
        let lateness = Arc::new(Lateness::new(config.late_after));
        let receive = |range: Range<u64>, pace: &mut Pace| {
            let meter = Meter::new(Arc::new(Extent::new(range.clone())));
            pace.started(meter.clone(), false);
            let summing = Summing::new(stored.wanted().clone(), false, range.start);
            let (region, progress) = (region.clone(), self.progress.clone());
            Receiver { region, base: all.start, meter, summing, progress, lateness: lateness.clone() }
        };
        let to = receive(start..came, &mut pace);
        tasks.spawn(async move {
            let _permit = first_permit;
            to.receive(body).await
        });
        let (mut sums, mut parts, mut attempts) = (RangeSums::default(), 0, 0);
        permit.set(self.permit(&gate));
        while !plan.is_empty() || !tasks.is_empty() {
            tokio::select! {
                biased;
                Some(ended) = tasks.next(), if !tasks.is_empty() => {
                    let ended = ended?;
                    sums.merge(ended.sums, stored.wanted().get());
                    (parts, attempts) = (parts + 1, attempts + ended.attempts);
                }
                permit_now = &mut permit, if !plan.is_empty() => {
                    permit.set(self.permit(&gate));
                    let Some(range) = plan.next() else { continue };
                    let to = receive(range.clone(), &mut pace);
                    let get = GetRequest { range: Some(range), ..self.get() };
                    let (client, identity) = (self.engine.client.clone(), identity.clone());
                    tasks.spawn(async move {
                        let _permit = permit_now;
                        let body = open_part(&client, &get, &identity, &to.lateness).await?;
                        to.receive(body).await
                    });
                }
                () = adaption.tick() => {
                    adaption.adapt(&self.engine.client, self.progress, 0).await;
                    let _ = pace.observe(Instant::now(), false);
                }
            }
        }
        let passed = Passed { sums, hashes: Vec::new() };
        self.report(identity, all.end - all.start, (parts, attempts), passed, stored).await
    }

    /// One request and one buffer's worth: what a connection holds of its own.
    async fn permit(&self, gate: &Arc<Gate>) -> Arc<Permit> {
        self.engine.scheduler.acquire(gate.enter().await, 1).await
    }

    fn get(&self) -> GetRequest {
        GetRequest {
            object: self.request.object.clone(),
            range: None,
            tail: None,
            if_match: self.request.if_match.clone(),
            checksums: false,
            fresh_connection: self.anew,
        }
    }

    async fn report(
        &self,
        identity: ObjectIdentity,
        bytes: u64,
        (parts, attempts): (u32, u32),
        passed: Passed,
        stored: &mut StoredSum,
    ) -> Result<TransferReport> {
        let verified = verdict(self.request, &passed, stored, &self.engine.client, &identity).await?;
        self.progress.object_done();
        let moved = Moved { parts, attempts, resumed_bytes: 0 };
        Ok(TransferReport::of_read(identity, bytes, self.started, moved, verified))
    }
}

struct Receiver {
    region: Arc<Region>,
    /// The offset in the object of the memory's first byte.
    base: u64,
    meter: Arc<Meter>,
    summing: Summing,
    progress: Arc<Progress>,
    lateness: Arc<Lateness>,
}

impl Receiver {
    async fn receive(mut self, mut body: ObjectBody) -> Result<Came> {
        let began = Instant::now();
        loop {
            let at = body.position();
            let chunk = tokio::select! {
                biased;
                chunk = body.chunk() => chunk?,
                () = self.meter.cut() => {
                    body.reconnect("much slower than the other ranges").await?;
                    continue;
                }
            };
            let Some(chunk) = chunk else { break };
            self.summing.update(&chunk);
            if !self.region.write(at - self.base, &chunk)? {
                return Err(Error::cancelled());
            }
            let len = chunk.len() as u64;
            self.progress.add_network(len);
            self.progress.add_durable(len);
            self.meter.received(len);
        }
        self.lateness.ended(body.position() - body.range().0, began.elapsed());
        Ok(Came { sums: self.summing.finish(), attempts: body.attempts() })
    }
}
