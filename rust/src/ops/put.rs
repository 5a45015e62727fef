//! An object that is written piece by piece: nobody knows how much will come, and what came is on its way already.
//!
//! Two ends. The producer's, `ObjectWriter`, copies or takes bytes into the part being filled and hands full parts on; it waits only where a
//! part may not be sent yet, which is what bounds the memory. The other end, `Sender`, runs as a task of its own: it creates the multipart
//! upload when the second part begins (U3), sends parts, completes, and aborts by itself on the first failure, when it
//! is cancelled, and when the producer's end is gone without having finished (U1).
//!
//! What is filled is not charged to the byte budget up to `UNCHARGED` for each writer, or a program that holds many
//! writers open would wait for itself. Larger parts are charged before they are filled, or lie in an unlinked file.

mod filling;
mod sender;
mod spool;

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed, Ordering::SeqCst};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use bytes::Bytes;
use tokio::sync::{Notify, mpsc};

use crate::checksum::Kind;
use crate::config::{AUTO_PART, BUFFER_SIZE, MAX_PARTS};
use crate::error::{Error, ErrorKind, Result};
use crate::ops::adapt::Adaption;
use crate::ops::engine::Engine;
use crate::ops::report::TransferReport;
use crate::progress::{Cancel, Progress};
use crate::s3::client::ObjectRef;
use crate::transfer::buffers::Buffer;
use crate::transfer::part::Schedule;
use crate::transfer::scheduler::{Gate, Permit};
use filling::{Filled, Filling};
use sender::Order;
pub use sender::Sender;
use spool::Spool;

/// Memory of a part being filled that no budget is asked for.
const UNCHARGED: u64 = AUTO_PART;

/// Shorter pieces are copied: what is taken as it is costs a chunk of its own.
const WORTH_SHARING: usize = 256 << 10;

#[derive(Debug, Clone)]
pub struct PutRequest {
    pub object: ObjectRef,
    /// Content type, metadata, storage class, encryption …
    pub headers: Vec<(String, String)>,
    /// `if-none-match` or `if-match`: on PutObject and on Complete (U12).
    pub conditions: Vec<(String, String)>,
    /// Counts what a store without conditional writes was given without them; `None`: there it is an error.
    pub unconditional: Option<Arc<AtomicU64>>,
    /// Over parts and the whole object; `None` sends none.
    pub checksum: Option<Kind>,
    pub part_size: Option<u64>,
    /// How many bytes will come, if that is known: parts are then of one size that suffices (U6).
    pub expected_size: Option<u64>,
    pub max_concurrency: Option<usize>,
    /// From the beginning to the stored object.
    pub deadline: Option<Duration>,
}

impl PutRequest {
    /// Whether what the store has refused is done once more without the conditions.
    fn lapses(&self, error: &Error) -> bool {
        match &self.unconditional {
            Some(count) if error.status() == Some(501) && !self.conditions.is_empty() => {
                count.fetch_add(1, Relaxed);
                true
            }
            _ => false,
        }
    }
}

/// What both ends share.
struct Shared {
    engine: Engine,
    request: PutRequest,
    progress: Arc<Progress>,
    cancel: Cancel,
    gate: Arc<Gate>,
    started: Instant,
    /// How it ended, until somebody takes it.
    outcome: Mutex<Option<Result<TransferReport>>>,
    ended: AtomicBool,
    end_came: Notify,
}

impl Shared {
    fn end(&self, outcome: Result<TransferReport>) {
        *self.outcome.lock().unwrap_or_else(PoisonError::into_inner) = Some(outcome);
        self.ended.store(true, SeqCst);
        self.end_came.notify_waiters();
    }

    async fn ended(&self) {
        let came = self.end_came.notified();
        tokio::pin!(came);
        came.as_mut().enable();
        if !self.ended.load(SeqCst) {
            came.await;
        }
    }

    /// Why it ended; a second time nothing better is known than that it did.
    fn take_outcome(&self) -> Result<TransferReport> {
        let taken = self.outcome.lock().unwrap_or_else(PoisonError::into_inner).take();
        taken.unwrap_or_else(|| Err(Error::new(ErrorKind::Internal, "the upload has failed before")))
    }

    fn take_failure(&self) -> Error {
        match self.take_outcome() {
            Err(error) => error,
            Ok(_) => Error::new(ErrorKind::Internal, "the upload ended before its last byte"),
        }
    }
}

/// The producer's end. Dropping it aborts; only `finish` makes an object.
pub struct ObjectWriter {
    shared: Arc<Shared>,
    orders: mpsc::UnboundedSender<Order>,
    schedule: Schedule,
    /// Of the part being filled; S3 counts from 1.
    number: u32,
    filling: Filling,
    /// Of a part that is charged while it is filled.
    permit: Option<Arc<Permit>>,
    accepted: u64,
}

impl ObjectWriter {
    /// Both ends; the second has to be run.
    pub fn open(
        engine: &Engine,
        request: PutRequest,
        progress: Arc<Progress>,
        cancel: Cancel,
    ) -> Result<(Self, Sender)> {
        let named = |error: Error| error.with_object(&request.object.bucket, &request.object.key);
        if request.max_concurrency == Some(0) {
            return Err(named(Error::config("max_concurrency must be at least 1")));
        }
        let config = &engine.client.config().transfer;
        let explicit = request.part_size.or(config.part_size);
        let schedule = Schedule::new(request.expected_size, explicit).map_err(named)?;
        if let Some(size) = request.expected_size {
            progress.set_total(size);
        }
        let adaption = Adaption::new(&engine.client, config, request.max_concurrency);
        let (orders, received) = mpsc::unbounded_channel();
        let filling = Filling::new(schedule.size(1), request.checksum);
        let shared = Arc::new(Shared {
            engine: engine.clone(),
            request,
            progress,
            cancel,
            gate: adaption.gate.clone(),
            started: Instant::now(),
            outcome: Mutex::default(),
            ended: AtomicBool::new(false),
            end_came: Notify::new(),
        });
        let sender = Sender::new(shared.clone(), received, adaption);
        Ok((Self { shared, orders, schedule, number: 1, filling, permit: None, accepted: 0 }, sender))
    }

    /// Bytes that were taken.
    pub fn accepted(&self) -> u64 {
        self.accepted
    }

    /// Whether the upload has ended, by a failure if nobody finished it.
    pub fn has_ended(&self) -> bool {
        self.shared.ended.load(SeqCst)
    }

    /// Takes all of `data` if that needs neither waiting nor a new block of memory; else nothing.
    pub fn write_at_once(&mut self, data: &[u8]) -> bool {
        let fits = !self.has_ended() && data.len() <= self.filling.left_in_block();
        if fits {
            self.filling.copy(data);
            self.accepted += data.len() as u64;
        }
        fits
    }

    /// Takes all of `data`, copied; waits while as many parts are on their way as may be.
    pub async fn write(&mut self, mut data: &[u8]) -> Result<()> {
        while !data.is_empty() {
            self.make_room().await?;
            if self.filling.left_in_block() == 0 {
                self.filling.add_block(self.shared.engine.scheduler.loose_buffer()?);
                self.settle().await?;
            }
            let taken = data.len().min(self.filling.left_in_block());
            self.filling.copy(&data[..taken]);
            self.accepted += taken as u64;
            data = &data[taken..];
        }
        Ok(())
    }

    /// Takes all of `data`, without a copy where that is worth it. It must never change.
    pub async fn write_shared(&mut self, mut data: Bytes) -> Result<()> {
        while !data.is_empty() {
            self.make_room().await?;
            let room = usize::try_from(self.filling.room()).unwrap_or(usize::MAX);
            let piece = data.split_to(data.len().min(room));
            if piece.len() < WORTH_SHARING {
                self.write(&piece).await?;
            } else {
                self.accepted += piece.len() as u64;
                self.filling.share(piece);
                self.settle().await?;
            }
        }
        Ok(())
    }

    /// A block to be filled by the caller, for `write_block`; not charged.
    pub fn block(&self) -> Result<Buffer> {
        self.shared.engine.scheduler.loose_buffer()
    }

    /// Takes a block as it is; what little is in it is copied, or a slow producer's part would lie in blocks that are
    /// nearly empty.
    pub async fn write_block(&mut self, block: Buffer) -> Result<()> {
        if block.len() < BUFFER_SIZE / 2 {
            return self.write(&block).await;
        }
        self.write_shared(Bytes::from_owner(block)).await
    }

    /// Completes the object: what was accepted, all of it, and nothing else.
    pub async fn finish(mut self) -> Result<TransferReport> {
        let filled = self.filled().await?;
        let size = self.accepted;
        let order = Order::Finish { last: filled, number: self.number, permit: self.permit.take(), size };
        // If nobody receives it, the upload has ended already, and says why.
        let _ = self.orders.send(order);
        self.shared.ended().await;
        self.shared.take_outcome()
    }

    /// Gives up, and returns when the store has nothing left of it, or within bounds; then the error tells.
    pub async fn abort(self) -> Result<()> {
        let Self { shared, orders, .. } = self;
        drop(orders);
        shared.ended().await;
        match shared.take_outcome() {
            Err(error) if error.upload_id().is_some() => {
                let object = &shared.request.object;
                let left = Error::new(ErrorKind::Service, "the multipart upload could not be aborted");
                let left = left.with_object(&object.bucket, &object.key);
                Err(left.with_upload_id(error.upload_id().unwrap_or_default()).with_source(error))
            }
            _ => Ok(()),
        }
    }

    /// Returns when the part being filled has room, which may be the next one.
    async fn make_room(&mut self) -> Result<()> {
        if self.has_ended() {
            return Err(self.shared.take_failure());
        }
        if self.filling.room() > 0 {
            return Ok(());
        }
        if u64::from(self.number) >= MAX_PARTS {
            let bytes = self.accepted;
            let text = format!("{bytes} bytes fill all 10,000 parts; more are to come: say so with expected_size");
            return Err(Error::config(text));
        }
        self.ship().await?;
        self.number += 1;
        self.filling = Filling::new(self.schedule.size(self.number), self.shared.request.checksum);
        Ok(())
    }

    /// Hands the full part on, as soon as it may be sent.
    async fn ship(&mut self) -> Result<()> {
        let filled = self.filled().await?;
        let permit = match self.permit.take() {
            Some(permit) => permit,
            None => self.charge(filled.buffers()).await?,
        };
        let _ = self.orders.send(Order::Part { filled, number: self.number, permit });
        Ok(())
    }

    async fn filled(&mut self) -> Result<Filled> {
        let next = Filling::new(0, None);
        std::mem::replace(&mut self.filling, next).into_filled().await
    }

    /// The right to send so many buffers; or what ended the upload meanwhile.
    async fn charge(&self, buffers: usize) -> Result<Arc<Permit>> {
        let shared = &self.shared;
        let permit = async { shared.engine.scheduler.acquire(shared.gate.enter().await, buffers).await };
        self.unless_ended(permit).await
    }

    /// The same before a large part is filled. It is worth waiting for while parts of this object are under way, for they end;
    /// what others fill, they may hold for ever.
    async fn charge_or_none(&self, size: u64) -> Result<Option<Arc<Permit>>> {
        let (shared, buffers) = (&self.shared, size.div_ceil(BUFFER_SIZE as u64) as usize);
        let permit = async { shared.engine.scheduler.acquire_to_fill(shared.gate.enter().await, buffers).await };
        let charge = self.unless_ended(permit);
        tokio::pin!(charge);
        loop {
            tokio::select! {
                biased;
                permit = &mut charge => return permit.map(Some),
                // One is what waits here, and is no part yet.
                () = tokio::time::sleep(LOOK) => if shared.gate.in_flight() <= 1 { return Ok(None) },
            }
        }
    }

    async fn unless_ended<T>(&self, work: impl Future<Output = T>) -> Result<T> {
        tokio::select! {
            biased;
            () = self.shared.ended() => Err(self.shared.take_failure()),
            done = work => Ok(done),
        }
    }

    /// Where a part that outgrew `UNCHARGED` lies: charged in memory, or in a file.
    async fn settle(&mut self) -> Result<()> {
        let size = self.schedule.size(self.number);
        let is_open = self.permit.is_none() && !self.filling.is_spooled();
        if is_open && size > UNCHARGED && self.filling.own() >= UNCHARGED {
            if size <= self.shared.engine.scheduler.memory_limit() / 4 {
                self.permit = self.charge_or_none(size).await?;
            }
            if self.permit.is_none() {
                let needs_sha256 = !self.shared.engine.client.protects_bodies();
                self.filling.spool_to(Spool::create(&self.shared.engine.lanes, needs_sha256).await?);
            }
        }
        self.filling.flush().await
    }
}

/// How often a producer that waits for memory looks whether anything will ever be given back.
const LOOK: Duration = Duration::from_millis(20);
