//! One part of a stream: a task that receives it, and the queue between that task and whoever reads.

use std::ops::Range;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use tokio::sync::{Semaphore, mpsc};

use crate::config::{BUFFER_SIZE, KIB};
use crate::error::{Error, ErrorKind, Result};
use crate::ops::late::Lateness;
use crate::ops::open_part::open_part;
use crate::ops::pace::Meter;
use crate::ops::sums::{RangeSums, Summing};
use crate::ops::tasks::Tasks;
use crate::progress::Progress;
use crate::s3::body::ObjectBody;
use crate::s3::client::{GetRequest, S3Client};
use crate::s3::object::ObjectIdentity;
use crate::transfer::scheduler::{Gate, Memory, OneRequest, Scheduler, Slot};
use crate::transfer::shares::{Holding, LEAST, Share};

/// How long a stream that holds nothing waits for more than the least that it may always have.
pub(super) const PATIENCE: Duration = Duration::from_millis(20);

/// The right to fetch so many bytes and to hold them until they are read.
pub(super) struct Grant {
    pub len: u64,
    slot: Slot,
    held: Held,
}

struct Held {
    _holding: Holding,
    /// `None`: the least that every stream may hold is charged to nobody.
    _memory: Option<Memory>,
}

/// Waits until one more request may be in flight and `len` bytes may be held; fewer are granted where others leave no more.
pub(super) async fn grant(gate: Arc<Gate>, scheduler: Arc<Scheduler>, share: Arc<Share>, len: u64) -> Grant {
    let slot = gate.enter().await;
    // Nothing else of this stream can come meanwhile: it asks for one grant at a time.
    let holds_nothing = share.is_empty();
    let charge = scheduler.hold(len.div_ceil(BUFFER_SIZE as u64) as usize);
    let memory = if holds_nothing { tokio::time::timeout(PATIENCE, charge).await.ok() } else { Some(charge.await) };
    let len = if memory.is_some() { len } else { len.min(LEAST) };
    Grant { len, slot, held: Held { _holding: share.hold(len), _memory: memory } }
}

/// Where a part comes from.
pub(super) enum Source {
    /// The first answer is there already; its request is under way.
    Body(Box<ObjectBody>, OneRequest),
    Range {
        scheduler: Arc<Scheduler>,
        client: S3Client,
        get: Box<GetRequest>,
        identity: Box<ObjectIdentity>,
    },
}

/// What a part leaves behind.
pub(super) struct PartEnd {
    pub sums: RangeSums,
    pub attempts: u32,
}

/// What goes along with the bytes of a part.
pub(super) struct Along {
    pub meter: Arc<Meter>,
    pub summing: Summing,
    pub progress: Arc<Progress>,
    pub lateness: Arc<Lateness>,
}

pub(super) struct Part {
    chunks: mpsc::UnboundedReceiver<Bytes>,
    /// Bytes that may be in the queue; a body longer than what was granted waits for its reader.
    credit: Arc<Semaphore>,
    task: Tasks<PartEnd>,
    _held: Held,
}

impl Part {
    pub fn start(grant: Grant, source: Source, along: Along) -> Self {
        let Grant { len, slot, held } = grant;
        let credit = Arc::new(Semaphore::new(kib(len) as usize));
        let (sender, chunks) = mpsc::unbounded_channel();
        let mut task = Tasks::new();
        let most = kib(len);
        let queue = Queue { sender, credit: credit.clone(), most };
        task.spawn(async move {
            let _slot = slot;
            receive(source, along, queue).await
        });
        Self { chunks, credit, task, _held: held }
    }

    /// The next bytes; `None` when there are no more, for whatever reason `ended` tells.
    pub async fn next(&mut self) -> Option<Bytes> {
        let chunk = self.chunks.recv().await?;
        self.credit.add_permits(kib(chunk.len() as u64) as usize);
        Some(chunk)
    }

    /// Bytes that are there already.
    pub fn try_next(&mut self) -> Option<Bytes> {
        let chunk = self.chunks.try_recv().ok()?;
        self.credit.add_permits(kib(chunk.len() as u64) as usize);
        Some(chunk)
    }

    pub async fn ended(&mut self) -> Result<PartEnd> {
        let lost = || Error::new(ErrorKind::Internal, "the task of a part is gone");
        self.task.next().await.unwrap_or_else(|| Err(lost()))
    }

    pub async fn stop(&mut self) {
        self.task.stop().await;
    }
}

struct Queue {
    sender: mpsc::UnboundedSender<Bytes>,
    credit: Arc<Semaphore>,
    most: u32,
}

impl Queue {
    async fn send(&self, chunk: Bytes) -> Result<()> {
        let len = kib(chunk.len() as u64);
        // Nobody closes it. A chunk above all of it waits until the queue is empty.
        if let Ok(credit) = self.credit.acquire_many(len.min(self.most)).await {
            credit.forget();
        }
        if len > self.most {
            // What is given back for it is more than was taken.
            let _ = self.credit.forget_permits((len - self.most) as usize);
        }
        self.sender.send(chunk).map_err(|_| Error::cancelled())
    }
}

/// Rounded up, so that chunks of a byte count as well.
fn kib(bytes: u64) -> u32 {
    u32::try_from(bytes.div_ceil(KIB).max(1)).unwrap_or(u32::MAX / 4)
}

async fn receive(source: Source, along: Along, queue: Queue) -> Result<PartEnd> {
    let Along { meter, mut summing, progress, lateness } = along;
    let began = Instant::now();
    // Not longer than it is under way: what nobody reads must not keep others from asking.
    let (mut body, _request) = match source {
        Source::Body(body, request) => (*body, request),
        Source::Range { scheduler, client, get, identity } => {
            let request = scheduler.request().await;
            (open_part(&client, &get, &identity, &lateness).await?, request)
        }
    };
    loop {
        let chunk = tokio::select! {
            biased;
            chunk = body.chunk() => chunk?,
            () = meter.cut() => {
                body.reconnect("much slower than the other ranges").await?;
                continue;
            }
        };
        let Some(chunk) = chunk else { break };
        summing.update(&chunk);
        progress.add_network(chunk.len() as u64);
        meter.received(chunk.len() as u64);
        queue.send(chunk).await?;
    }
    lateness.ended(body.position() - body.range().0, began.elapsed());
    Ok(PartEnd { sums: summing.finish(), attempts: body.attempts() })
}

/// The range of the next part.
pub(super) fn next_range(planned: u64, len: u64, end: u64) -> Range<u64> {
    planned..end.min(planned.saturating_add(len))
}
