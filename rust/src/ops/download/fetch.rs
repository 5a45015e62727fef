//! The ranges of one try: planned, fetched side by side, and what an earlier run left read back beside them.

use std::collections::{BTreeMap, VecDeque};
use std::ops::Range;
use std::sync::Arc;
use std::time::Instant;

use super::run::{Opened, Run};
use super::verify::Verdict;
use crate::checksum::{Digest, Sha, is_composite};
use crate::error::Result;
use crate::ops::adapt::Adaption;
use crate::ops::pace::{Meter, Pace};
use crate::ops::read_back::read_back;
use crate::ops::receive::{Receipt, Receiver};
use crate::ops::stored::StoredSum;
use crate::ops::sums::{RangeSums, Summing};
use crate::ops::tasks::Tasks;
use crate::s3::body::ObjectBody;
use crate::s3::client::GetRequest;
use crate::s3::object::{ObjectIdentity, StoredChecksum};
use crate::transfer::extent::Extent;
use crate::transfer::file_writer::FileWriter;
use crate::transfer::ledger::format::Interval;
use crate::transfer::part::{Coverage, Plan};
use crate::transfer::scheduler::{Gate, Permit};

/// Intervals of an earlier run that are read back at a time.
const PROOFS: usize = 2;

/// What lives from discovery to publishing.
pub(super) struct Fetch<'a> {
    pub run: &'a Run<'a>,
    pub identity: ObjectIdentity,
    pub writer: Arc<FileWriter>,
    pub stored: StoredSum,
    pub sums: RangeSums,
    /// Hashes of ranges, from start to end.
    pub hashes: BTreeMap<u64, (u64, Digest)>,
    pub ranges: u32,
    pub attempts: u32,
    /// `None`: what the end of the body told.
    size: Option<u64>,
    received: u64,
    /// What an earlier run had fetched.
    proven: Coverage,
    first: Option<(ObjectBody, Arc<Permit>)>,
    plan: Plan,
    /// The plan waits for the answer that says whether parts must be fetched whole.
    undecided: bool,
    /// Over new connections.
    anew: bool,
    tasks: Tasks<Receipt>,
    pace: Pace,
    claims: VecDeque<Interval>,
    proofs: Tasks<Proof>,
}

/// What reading back says of an interval (F14).
struct Proof {
    range: Range<u64>,
    /// `None`: the bytes are not what the ledger says.
    sums: Option<RangeSums>,
}

impl<'a> Fetch<'a> {
    pub(super) fn new(run: &'a Run<'a>, opened: Opened, stored: StoredSum) -> Self {
        let transfer = &run.engine.client.config().transfer;
        let is_of_parts = opened.identity.etag.as_deref().is_some_and(is_composite);
        Self {
            run,
            size: opened.size,
            identity: opened.identity,
            writer: opened.writer,
            undecided: is_of_parts,
            stored,
            sums: RangeSums::default(),
            hashes: BTreeMap::new(),
            ranges: 0,
            attempts: 0,
            received: 0,
            proven: Coverage::default(),
            first: opened.first,
            plan: Plan::new(run.part_size()),
            anew: run.refetch,
            tasks: Tasks::new(),
            pace: Pace::new(transfer.pace_window, transfer.worth_splitting),
            claims: opened.claims.into(),
            proofs: Tasks::new(),
        }
    }

    /// The object's size, known for sure once all has come.
    pub(super) fn size(&self) -> u64 {
        self.size.unwrap_or(self.received)
    }

    /// Bytes that an earlier run had fetched and that proved intact.
    pub(super) fn resumed(&self) -> u64 {
        self.proven.bytes()
    }

    /// All ranges, each as a task of its own; then the checksum of the whole.
    pub(super) async fn all(&mut self, adaption: &mut Adaption) -> Result<Verdict> {
        self.start();
        self.drain_plan(adaption).await?;
        self.verify(adaption).await
    }

    /// The first range runs already; all but it and what is claimed to be there is planned.
    fn start(&mut self) {
        let mut taken: Vec<_> = self.claims.iter().map(|claim| claim.range.clone()).collect();
        if let Some((body, permit)) = self.first.take() {
            let (start, end) = body.range();
            let range = start..end.unwrap_or(u64::MAX);
            // One answer with everything says at once what it will be compared with.
            let sha = match body.checksum() {
                StoredChecksum::FullSha(value) => value.kind().sha(),
                _ => None,
            };
            let receiver = self.receiver(range.clone(), permit, sha);
            self.tasks.spawn(receiver.receive(body));
            taken.push(range);
        }
        taken.sort_by_key(|range| range.start);
        self.plan.add_all_but(self.identity.size, taken.into_iter());
    }

    /// Fetches what is planned, and what turns out to be missing meanwhile.
    pub(super) async fn drain_plan(&mut self, adaption: &mut Adaption) -> Result<()> {
        let (run, gate) = (self.run, adaption.gate.clone());
        let mut permit = Box::pin(run.permit(&gate));
        loop {
            if self.undecided && (self.stored.wanted().get().is_some() || self.tasks.is_empty()) {
                self.decide();
            }
            if !self.undecided {
                self.start_proofs();
            }
            if self.is_done() {
                return Ok(());
            }
            tokio::select! {
                biased;
                Some(ended) = self.tasks.next(), if !self.tasks.is_empty() => self.received(ended?),
                Some(proof) = self.proofs.next(), if !self.proofs.is_empty() => self.proved(proof?),
                permit_now = &mut permit, if !self.plan.is_empty() && !self.undecided => {
                    permit.set(run.permit(&gate));
                    if let Some(range) = self.plan.next() {
                        self.spawn_range(range, permit_now);
                    }
                }
                () = self.stored.known(), if self.undecided => {}
                () = adaption.tick() => {
                    adaption.adapt(&run.engine.client, run.progress, self.writer.queued()).await;
                    self.keep_pace(&gate);
                }
            }
        }
    }

    /// What is split off a slow range goes to an idle connection.
    fn keep_pace(&mut self, gate: &Gate) {
        let has_idle = self.plan.is_empty() && !self.undecided && gate.in_flight() < gate.limit();
        if let Some(rest) = self.pace.observe(Instant::now(), has_idle) {
            self.plan.add(rest);
        }
    }

    fn is_done(&self) -> bool {
        self.plan.is_empty() && self.tasks.is_empty() && self.proofs.is_empty() && self.claims.is_empty()
    }

    /// Parts that will be hashed are fetched whole; all else as it is best for the network.
    fn decide(&mut self) {
        self.undecided = false;
        if let Some(wanted) = self.stored.wanted().get()
            && wanted.sha.is_some()
        {
            self.plan.cut_only_at(&wanted.cuts);
        }
    }

    fn received(&mut self, receipt: Receipt) {
        self.received += receipt.range.end - receipt.range.start;
        self.ranges += 1;
        self.attempts += receipt.attempts;
        if let Some(hash) = receipt.hash {
            self.hashes.insert(receipt.range.start, (receipt.range.end, hash));
        }
        self.sums.merge(receipt.sums, self.stored.wanted().get());
    }

    fn proved(&mut self, proof: Proof) {
        match proof.sums {
            Some(sums) => {
                self.proven.add(proof.range.clone());
                self.writer.trust(proof.range);
                self.sums.merge(sums, self.stored.wanted().get());
            }
            None => self.plan.add(proof.range),
        }
    }

    /// Forgets bytes that came wrong and plans them once more, over new connections.
    pub(super) async fn fetch_anew(&mut self, range: Range<u64>) -> Result<()> {
        self.writer.redo(range.clone()).await?;
        let proven = self.proven.bytes();
        self.proven.remove(range.clone());
        let fetched = (range.end - range.start) - (proven - self.proven.bytes());
        self.received -= fetched;
        self.run.progress.take_back_network(fetched);
        self.sums.forget(range.clone());
        self.hashes.retain(|start, (end, _)| *end <= range.start || *start >= range.end);
        self.anew = true;
        self.plan.add(range);
        Ok(())
    }

    fn receiver(&mut self, range: Range<u64>, permit: Arc<Permit>, sha: Option<Sha>) -> Receiver {
        let extent = Arc::new(Extent::new(range));
        let meter = Meter::new(extent.clone());
        self.pace.started(meter.clone(), sha.is_none());
        Receiver {
            permit,
            extent,
            meter,
            writer: self.writer.clone(),
            progress: self.run.progress.clone(),
            wanted: self.stored.wanted().clone(),
            sha,
        }
    }

    fn spawn_range(&mut self, range: Range<u64>, permit: Arc<Permit>) {
        let sha = self.stored.wanted().get().and_then(|wanted| wanted.sha);
        let receiver = self.receiver(range.clone(), permit, sha);
        let (client, identity) = (self.run.engine.client.clone(), self.identity.clone());
        let get = GetRequest { range: Some(range), fresh_connection: self.anew, ..self.run.get_request() };
        self.tasks.spawn(async move {
            let body = ObjectBody::open_pinned(client, get, identity).await?;
            receiver.receive(body).await
        });
    }

    fn start_proofs(&mut self) {
        while self.proofs.len() < PROOFS
            && let Some(claim) = self.claims.pop_front()
        {
            let (writer, scheduler) = (self.writer.clone(), self.run.engine.scheduler.clone());
            let wanted = self.stored.wanted().clone();
            self.proofs.spawn(async move {
                let range = claim.range.clone();
                let mut summing = Summing::new(wanted, true, range.start);
                let read = read_back(&writer, &scheduler, range.clone(), |bytes| summing.update(bytes)).await;
                // What cannot be read can still be fetched.
                let intact = matches!(read, Ok(true)) && summing.end_piece() == Some(claim.crc64);
                Ok(Proof { range, sums: intact.then(|| summing.finish()) })
            });
        }
    }

    /// Returns when nothing it started runs any more.
    pub(super) async fn stop(&mut self) {
        self.tasks.stop().await;
        self.proofs.stop().await;
        self.stored.stop().await;
    }
}
