//! The end that speaks to the store: it takes what the producer hands on until that is finished, or gone.

use std::sync::Arc;

use tokio::sync::mpsc;

use super::Shared;
use super::filling::Filled;
use crate::error::{Error, Result};
use crate::ops::adapt::Adaption;
use crate::ops::commit;
use crate::ops::engine::unless_late;
use crate::ops::multipart::{Assembled, Creating, Multipart, Sent, verified};
use crate::ops::report::TransferReport;
use crate::ops::tasks::Tasks;
use crate::ops::unfinished::Origin;
use crate::s3::client::{NewUpload, PutRequest as PutOnce};
use crate::transfer::scheduler::Permit;

pub(super) enum Order {
    Part {
        filled: Filled,
        number: u32,
        permit: Arc<Permit>,
    },
    /// Nothing comes after this; `size` is what was accepted in all.
    Finish {
        last: Filled,
        number: u32,
        permit: Option<Arc<Permit>>,
        size: u64,
    },
}

pub struct Sender {
    shared: Arc<Shared>,
    orders: mpsc::UnboundedReceiver<Order>,
    adaption: Adaption,
    upload: Option<Multipart>,
    tasks: Tasks<Sent>,
    sent: Vec<Sent>,
}

impl Sender {
    pub(super) fn new(shared: Arc<Shared>, orders: mpsc::UnboundedReceiver<Order>, adaption: Adaption) -> Self {
        Self { shared, orders, adaption, upload: None, tasks: Tasks::new(), sent: Vec::new() }
    }

    /// Ends with the upload, however that ends; the producer's end tells.
    pub async fn run(mut self) {
        let shared = self.shared.clone();
        let named = |error: Error| error.with_object(&shared.request.object.bucket, &shared.request.object.key);
        let outcome = self.serve().await;
        self.tasks.stop().await;
        let outcome = match (outcome, self.upload.take()) {
            (Err(error), Some(upload)) => Err(upload.abort(error).await),
            (Ok(report), Some(upload)) => {
                upload.ended().await;
                Ok(report)
            }
            (outcome, _) => outcome,
        };
        // Parts that nobody will send are let go before anyone hears of the end.
        drop(self);
        shared.end(outcome.inspect(|_| shared.progress.object_done()).map_err(named));
    }

    /// `work`, unless it is cancelled or the deadline comes first.
    async fn guard<T>(shared: &Shared, work: impl Future<Output = Result<T>>) -> Result<T> {
        let deadline = shared.request.deadline.map(|limit| shared.started + limit);
        unless_late(&shared.cancel, deadline, "upload", work).await
    }

    async fn serve(&mut self) -> Result<TransferReport> {
        let shared = self.shared.clone();
        loop {
            match Self::guard(&shared, self.next_order()).await? {
                Order::Part { filled, number, permit } => self.send(filled, number, Some(permit)).await?,
                Order::Finish { last, number: 1, size, .. } => {
                    let put = self.put(last, size);
                    return Self::guard(&shared, put).await;
                }
                Order::Finish { last, number, permit, size } => {
                    if last.len > 0 {
                        self.send(last, number, permit).await?;
                    }
                    return Self::guard(&shared, self.complete(size)).await;
                }
            }
        }
    }

    /// What the producer wants next; meanwhile parts end, and the gate is moved.
    async fn next_order(&mut self) -> Result<Order> {
        loop {
            tokio::select! {
                biased;
                Some(ended) = self.tasks.next(), if !self.tasks.is_empty() => self.take(ended?),
                order = self.orders.recv() => return order.ok_or_else(Error::cancelled),
                () = self.adaption.tick() => self.adapt().await,
            }
        }
    }

    /// Sends one part as a task of its own, and before the first one creates the upload.
    async fn send(&mut self, filled: Filled, number: u32, permit: Option<Arc<Permit>>) -> Result<()> {
        let upload = match &self.upload {
            Some(upload) => upload.clone(),
            None => {
                let created = self.create().await?;
                self.upload.insert(created).clone()
            }
        };
        let (scheduler, gate) = (self.shared.engine.scheduler.clone(), self.shared.gate.clone());
        let buffers = filled.buffers();
        self.tasks.spawn(async move {
            let permit = match permit {
                Some(permit) => permit,
                None => scheduler.acquire(gate.enter().await, buffers).await,
            };
            let digest = filled.digest;
            upload.send(number, filled.into_payload(&permit), digest).await
        });
        Ok(())
    }

    async fn create(&self) -> Result<Multipart> {
        let shared = &self.shared;
        let new = NewUpload {
            object: shared.request.object.clone(),
            checksum: shared.request.checksum,
            headers: shared.request.headers.clone(),
        };
        let write_id = commit::write_id(&shared.request.conditions, &shared.request.headers);
        let origin = Origin { write_id, ..Origin::default() };
        let mut creating = Creating::begin(&shared.engine, new, origin, &shared.progress);
        match Self::guard(shared, creating.created()).await {
            Ok(upload) => Ok(upload),
            Err(error) => Err(creating.abandon(error).await),
        }
    }

    /// All of it in one request: the second part never began (U3).
    async fn put(&mut self, filled: Filled, size: u64) -> Result<TransferReport> {
        let shared = &self.shared;
        let request = &shared.request;
        let permit = shared.engine.scheduler.acquire(shared.gate.enter().await, filled.buffers()).await;
        let digest = filled.digest;
        let payload = filled.into_payload(&permit);
        let put = || PutOnce {
            object: request.object.clone(),
            payload: payload.clone(),
            checksum: digest,
            headers: request.headers.clone(),
            progress: Some(shared.progress.clone()),
        };
        let client = &shared.engine.client;
        let stored = match commit::put(client, put(), &request.conditions).await {
            Err(error) if request.lapses(&error) => commit::put(client, put(), &[]).await?,
            outcome => outcome?,
        };
        shared.progress.add_durable(size);
        let verified = verified(&shared.engine.client, digest, &stored, 1, false);
        Ok(self.report(Assembled { parts: 1, attempts: stored.attempts, resumed_bytes: 0, verified, stored }, size))
    }

    async fn complete(&mut self, size: u64) -> Result<TransferReport> {
        while !self.tasks.is_empty() {
            tokio::select! {
                biased;
                Some(ended) = self.tasks.next() => self.take(ended?),
                () = self.adaption.tick() => self.adapt().await,
            }
        }
        let sent = std::mem::take(&mut self.sent);
        let Some(upload) = &self.upload else { return Err(Error::integrity("no part was sent")) };
        let request = &self.shared.request;
        let assembled = match upload.complete(sent.clone(), size, &request.conditions).await {
            Err(error) if request.lapses(&error) => upload.complete(sent, size, &[]).await?,
            outcome => outcome?,
        };
        Ok(self.report(assembled, size))
    }

    fn take(&mut self, sent: Sent) {
        self.shared.progress.add_durable(sent.len);
        self.sent.push(sent);
    }

    async fn adapt(&mut self) {
        self.adaption.adapt(&self.shared.engine.client, &self.shared.progress, 0).await;
    }

    fn report(&self, assembled: Assembled, size: u64) -> TransferReport {
        TransferReport::of_upload(assembled, size, self.shared.started)
    }
}
