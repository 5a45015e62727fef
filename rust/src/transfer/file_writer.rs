//! The positioned-write end of a download: buffers in, in any order; one published file out.
//!
//! A `FileWriter` makes all its calls on I/O lanes: writes on two in turn, because direct I/O from one thread leaves
//! a disk waiting between two writes, everything else on the first. `write` never waits: a buffer brings its permit
//! along, and that bounds the queue. `part_file.rs` has what a lane does. Invariant: `publish` happens after every
//! queued write has returned, only if none failed and only if the written intervals are exactly [0, size) (I11, I12).

mod part_file;

use std::ops::Range;

use crate::config::DirectIo;
use crate::error::{Error, ErrorKind, Result};
use crate::progress::Progress;
use crate::sync::atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst};
use crate::sync::{Arc, Mutex, MutexGuard, Notify, PoisonError};
use crate::transfer::buffers::Buffer;
use crate::transfer::destination::Destination;
use crate::transfer::lanes::{Lane, Lanes};
use crate::transfer::ledger::Found;
use crate::transfer::ledger::format::Interval;
use crate::transfer::temp_file::Publish;
use part_file::PartFile;

pub struct FileWriter {
    shared: Arc<Shared>,
    lanes: Vec<Lane>,
    turn: AtomicUsize,
}

/// Lanes that write one file. Measured (docs/decisions): a second one shortens a 2 GiB download by a quarter, more
/// bring nothing.
const LANES_PER_FILE: usize = 2;

struct Shared {
    file: PartFile,
    /// The first failure, until somebody takes it.
    failure: Mutex<Option<Error>>,
    failed: AtomicBool,
    /// What is queued is not worth writing any more.
    given_up: AtomicBool,
    failure_came: Notify,
    queued: AtomicUsize,
    progress: Arc<Progress>,
}

/// Where to, and what an earlier run left there.
pub struct Start {
    pub destination: Destination,
    pub found: Option<Found>,
}

/// A plan of writing: how long the file will be, if that is known, and whether direct I/O is wanted for it.
pub struct WriterConfig {
    pub size: Option<u64>,
    pub direct: DirectIo,
    /// Whether every write but the last begins and ends on an `ALIGNMENT` border.
    pub aligned: bool,
    pub direct_threshold: u64,
    /// Whether a ledger is kept, and of what.
    pub ledger: Option<LedgerPlan>,
}

/// What a ledger will say it is about.
pub struct LedgerPlan {
    pub object: [u8; 32],
    pub etag: String,
}

/// Bytes for a place in the file.
pub struct Piece {
    pub offset: u64,
    pub buffer: Buffer,
    /// Of the bytes, for the ledger.
    pub crc64: Option<u64>,
    /// The writer's, when the range of this piece was begun.
    pub generation: u64,
}

impl FileWriter {
    /// Creates the temp file beside the destination, or goes on with the one that was found. The intervals that an
    /// earlier run claims to have written come back: `trust` those that prove intact.
    pub async fn open(
        lanes: &Lanes,
        start: Start,
        config: WriterConfig,
        progress: Arc<Progress>,
    ) -> Result<(Self, Vec<Interval>)> {
        let lanes = lanes.pick_some(LANES_PER_FILE);
        let (file, claims) = lanes[0].call(move || PartFile::open(start, &config)).await?;
        let shared = Shared {
            file,
            failure: Mutex::default(),
            failed: AtomicBool::new(false),
            given_up: AtomicBool::new(false),
            failure_came: Notify::new(),
            queued: AtomicUsize::new(0),
            progress,
        };
        Ok((Self { shared: Arc::new(shared), lanes, turn: AtomicUsize::new(0) }, claims))
    }

    /// Queues a piece. A failure shows in `failed` and in `publish`.
    pub fn write(&self, piece: Piece) {
        let shared = self.shared.clone();
        shared.queued.fetch_add(1, SeqCst);
        self.next_lane().post(move || shared.write(piece));
    }

    /// What pieces of ranges that begin now must carry.
    pub fn generation(&self) -> u64 {
        self.shared.file.generation()
    }

    /// Whether pieces are noted for a later run, which takes their CRC64NVME.
    pub fn has_ledger(&self) -> bool {
        self.shared.file.has_ledger()
    }

    /// Reads up to `len` bytes back into the buffer; none come where the file ends.
    pub async fn read(&self, offset: u64, len: usize, mut buffer: Buffer) -> Result<Buffer> {
        let shared = self.shared.clone();
        let job = move || shared.file.read(offset, len, &mut buffer).map(|()| buffer);
        self.next_lane().call(job).await
    }

    /// Counts bytes of an earlier run that were read back and are what its ledger says (F14).
    pub fn trust(&self, range: Range<u64>) {
        self.shared.progress.add_durable(range.end - range.start);
        self.shared.file.trust(range);
    }

    /// Opens bytes for being written once more (C5). Call it when no range that has them is being fetched.
    pub async fn redo(&self, range: Range<u64>) -> Result<()> {
        self.drain().await?;
        self.shared.progress.take_back_durable(range.end - range.start);
        let shared = self.shared.clone();
        let redo = move || {
            shared.file.redo(range);
            Ok(())
        };
        self.lanes[0].call(redo).await
    }

    /// Buffers on their way to the disk.
    pub fn queued(&self) -> usize {
        self.shared.queued.load(SeqCst)
    }

    /// Returns when a write has failed, with what went wrong; otherwise never.
    pub async fn failed(&self) -> Error {
        loop {
            let came = self.shared.failure_came.notified();
            tokio::pin!(came);
            came.as_mut().enable();
            if self.shared.failed.load(SeqCst) {
                return self.shared.take_failure();
            }
            came.await;
        }
    }

    /// Waits for every write, checks that they cover exactly `size` bytes, and gives the file its name.
    pub async fn publish(&self, size: u64, how: Publish) -> Result<()> {
        self.drain().await?;
        let shared = self.shared.clone();
        self.lanes[0].call(move || shared.publish(size, how)).await
    }

    /// Removes the temp file; or, if `keep` says so and something is noted in its ledger, leaves both to the next run.
    /// Waits only for the writes under way, not for those queued: a slow disk must not hold up whoever gives up. The
    /// bytes that were kept.
    pub async fn discard(&self, keep: bool) -> u64 {
        self.shared.given_up.store(true, SeqCst);
        let drained = self.drain().await.is_ok();
        let shared = self.shared.clone();
        let keep = keep && drained && !shared.failed.load(SeqCst);
        self.lanes[0].call(move || Ok(shared.file.discard(keep))).await.unwrap_or(0)
    }

    /// Returns when every write posted before has returned: lanes keep the order of their jobs (I11).
    pub async fn drain(&self) -> Result<()> {
        for lane in &self.lanes {
            lane.call(|| Ok(())).await?;
        }
        Ok(())
    }

    fn next_lane(&self) -> &Lane {
        &self.lanes[self.turn.fetch_add(1, SeqCst) % self.lanes.len()]
    }
}

impl Shared {
    /// One job of a lane. After a failure the rest is dropped unwritten.
    fn write(&self, mut piece: Piece) {
        if !self.failed.load(SeqCst) && !self.given_up.load(SeqCst) {
            match self.file.write(&mut piece) {
                Ok(written) if written => self.progress.add_durable(piece.buffer.len() as u64),
                Ok(_) => {}
                Err(error) => {
                    lock(&self.failure).get_or_insert(error);
                    self.failed.store(true, SeqCst);
                    self.failure_came.notify_waiters();
                }
            }
        }
        self.queued.fetch_sub(1, SeqCst);
    }

    fn publish(&self, size: u64, how: Publish) -> Result<()> {
        if self.failed.load(SeqCst) {
            return Err(self.take_failure());
        }
        self.file.publish(size, how)
    }

    fn take_failure(&self) -> Error {
        let again = || Error::new(ErrorKind::Internal, "an earlier write failed");
        lock(&self.failure).take().unwrap_or_else(again)
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // A panic in a job leaves plain data behind; the transfer it belonged to fails anyway.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests;
