//! The ranges of one try: planned, fetched side by side, and what an earlier run left read back beside them.

use std::collections::VecDeque;
use std::ops::Range;
use std::sync::Arc;

use super::run::{Opened, Run};
use super::verify::Verdict;
use crate::config::BUFFER_SIZE;
use crate::error::Result;
use crate::ops::adapt::Adaption;
use crate::ops::receive::{Receipt, Receiver};
use crate::ops::stored::StoredSum;
use crate::ops::sums::{RangeSums, Summing};
use crate::ops::tasks::Tasks;
use crate::s3::body::ObjectBody;
use crate::s3::client::GetRequest;
use crate::s3::object::ObjectIdentity;
use crate::transfer::buffers::Buffer;
use crate::transfer::extent::Extent;
use crate::transfer::file_writer::FileWriter;
use crate::transfer::ledger::format::Interval;
use crate::transfer::part::Plan;
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
    /// Bytes that were fetched, and those an earlier run had fetched.
    pub received: u64,
    pub resumed: u64,
    pub ranges: u32,
    pub attempts: u32,
    first: Option<(ObjectBody, Arc<Permit>)>,
    plan: Plan,
    tasks: Tasks<Receipt>,
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
        Self {
            run,
            identity: opened.identity,
            writer: opened.writer,
            stored,
            sums: RangeSums::default(),
            received: 0,
            resumed: 0,
            ranges: 0,
            attempts: 0,
            first: opened.first,
            plan: Plan::new(run.part_size()),
            tasks: Tasks::new(),
            claims: opened.claims.into(),
            proofs: Tasks::new(),
        }
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
            let receiver = self.receiver(range.clone(), permit);
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
            self.start_proofs();
            if self.plan.is_empty() && self.tasks.is_empty() && self.proofs.is_empty() {
                return Ok(());
            }
            tokio::select! {
                biased;
                Some(ended) = self.tasks.next(), if !self.tasks.is_empty() => self.received(ended?),
                Some(proof) = self.proofs.next(), if !self.proofs.is_empty() => self.proved(proof?),
                permit_now = &mut permit, if !self.plan.is_empty() => {
                    permit.set(run.permit(&gate));
                    if let Some(range) = self.plan.next() {
                        self.spawn_range(range, permit_now);
                    }
                }
                () = adaption.tick() => adaption.adapt(&run.engine.client, run.progress, self.writer.queued()).await,
            }
        }
    }

    fn received(&mut self, receipt: Receipt) {
        self.received += receipt.bytes;
        self.ranges += 1;
        self.attempts += receipt.attempts;
        self.sums.merge(receipt.sums, self.stored.wanted().get());
    }

    fn proved(&mut self, proof: Proof) {
        match proof.sums {
            Some(sums) => {
                self.resumed += proof.range.end - proof.range.start;
                self.writer.trust(proof.range);
                self.sums.merge(sums, self.stored.wanted().get());
            }
            None => self.plan.add(proof.range),
        }
    }

    fn receiver(&self, range: Range<u64>, permit: Arc<Permit>) -> Receiver {
        Receiver {
            permit,
            extent: Arc::new(Extent::new(range)),
            writer: self.writer.clone(),
            progress: self.run.progress.clone(),
            wanted: self.stored.wanted().clone(),
        }
    }

    fn spawn_range(&mut self, range: Range<u64>, permit: Arc<Permit>) {
        let receiver = self.receiver(range.clone(), permit);
        let (client, identity) = (self.run.engine.client.clone(), self.identity.clone());
        let get = GetRequest { range: Some(range), ..self.run.get_request() };
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
                // No request: a gate of its own, but the same budget of memory.
                let permit = scheduler.acquire(Gate::new(1).enter().await, 1).await;
                let mut summing = Summing::new(wanted, true, claim.range.start);
                let mut at = claim.range.start;
                let mut buffer = permit.buffer().await;
                while at < claim.range.end {
                    let len = (claim.range.end - at).min(BUFFER_SIZE as u64) as usize;
                    buffer = match writer.read(at, len, buffer).await {
                        // What cannot be read can still be fetched.
                        Err(_) => return Ok(Proof { range: claim.range, sums: None }),
                        Ok(read) if read.is_empty() => return Ok(Proof { range: claim.range, sums: None }),
                        Ok(read) => read,
                    };
                    summing.update(&buffer);
                    at += buffer.len() as u64;
                }
                drop::<Buffer>(buffer);
                let intact = summing.end_piece() == Some(claim.crc64);
                Ok(Proof { range: claim.range, sums: intact.then(|| summing.finish()) })
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
