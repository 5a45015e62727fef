//! One range of a download: from the socket through recycled buffers to the file, checksummed on the way.
//!
//! Each buffer's bytes are claimed from the range's `Extent` before they are received, so the rest of a slow range can
//! be given to another task at any time; what is no longer ours ends the range here (I11).

use std::ops::Range;
use std::sync::{Arc, OnceLock};

use bytes::Bytes;

use crate::checksum::{Digest, Sha, ShaHasher};
use crate::config::BUFFER_SIZE;
use crate::error::Result;
use crate::ops::pace::Meter;
use crate::ops::sums::{RangeSums, Summing, Wanted};
use crate::progress::Progress;
use crate::s3::body::ObjectBody;
use crate::transfer::buffers::Buffer;
use crate::transfer::extent::Extent;
use crate::transfer::file_writer::{FileWriter, Piece};
use crate::transfer::scheduler::Permit;

/// What a received range leaves behind for the end of the transfer.
pub struct Receipt {
    pub range: Range<u64>,
    pub sums: RangeSums,
    /// Of the range, if that was asked for and all of it came this way.
    pub hash: Option<Digest>,
    pub attempts: u32,
}

/// Where a range's bytes go.
pub struct Receiver {
    pub permit: Arc<Permit>,
    pub extent: Arc<Extent>,
    pub meter: Arc<Meter>,
    pub writer: Arc<FileWriter>,
    pub progress: Arc<Progress>,
    pub wanted: Arc<OnceLock<Wanted>>,
    /// A hash over the range, which then must not be split.
    pub sha: Option<Sha>,
}

impl Receiver {
    /// Reads the body as far as it is ours. Buffers go to the writer as they fill; the last one as it is.
    pub async fn receive(self, body: ObjectBody) -> Result<Receipt> {
        let (start, _) = body.range();
        let mut range = Receiving {
            summing: Summing::new(self.wanted.clone(), self.writer.has_ledger(), start),
            generation: self.writer.generation(),
            to: &self,
            body,
            hasher: self.sha.map(ShaHasher::new),
            chunk: Bytes::new(),
            bytes: 0,
        };
        while let Some(claimed) = self.extent.claim(BUFFER_SIZE as u64) {
            let len = usize::try_from(claimed.end - claimed.start).unwrap_or(BUFFER_SIZE);
            let Some(buffer) = range.fill(len).await? else { break };
            range.hand_over(claimed.start, buffer);
        }
        Ok(Receipt {
            range: start..start + range.bytes,
            attempts: range.body.attempts(),
            hash: range.hasher.map(ShaHasher::finish),
            sums: range.summing.finish(),
        })
    }

    /// An empty one, as soon as the disk has given one back.
    async fn buffer(&self) -> Result<Buffer> {
        let buffer = self.permit.buffer();
        tokio::pin!(buffer);
        tokio::select! {
            biased;
            buffer = &mut buffer => buffer,
            () = std::future::ready(()) => {
                self.meter.was_held_up();
                buffer.await
            }
        }
    }
}

struct Receiving<'a> {
    to: &'a Receiver,
    body: ObjectBody,
    /// What was received and is not in a buffer yet.
    chunk: Bytes,
    summing: Summing,
    hasher: Option<ShaHasher>,
    generation: u64,
    bytes: u64,
}

impl Receiving<'_> {
    /// The next `len` bytes, fewer at the body's end; `None` if there are none.
    async fn fill(&mut self, len: usize) -> Result<Option<Buffer>> {
        let mut buffer: Option<Buffer> = None;
        loop {
            if self.chunk.is_empty() {
                match self.next_chunk().await? {
                    Some(chunk) => self.chunk = chunk,
                    None => return Ok(buffer),
                }
            }
            // Not before there is something to put into it.
            let mut filling = match buffer.take() {
                Some(filling) => filling,
                None => self.to.buffer().await?,
            };
            let now = self.chunk.split_to(self.chunk.len().min(len - filling.len()));
            self.summing.update(&now);
            if let Some(hasher) = &mut self.hasher {
                hasher.update(&now);
            }
            self.to.progress.add_network(now.len() as u64);
            self.to.meter.received(now.len() as u64);
            self.bytes += now.len() as u64;
            filling.extend(&now);
            if filling.len() == len {
                return Ok(Some(filling));
            }
            buffer = Some(filling);
        }
    }

    /// The next bytes; over a new connection if this one is far slower than its peers.
    async fn next_chunk(&mut self) -> Result<Option<Bytes>> {
        loop {
            tokio::select! {
                biased;
                chunk = self.body.chunk() => return chunk,
                () = self.to.meter.cut() => self.body.reconnect("much slower than the other ranges").await?,
            }
        }
    }

    fn hand_over(&mut self, offset: u64, buffer: Buffer) {
        let crc64 = self.summing.end_piece();
        self.to.writer.write(Piece { offset, buffer, crc64, generation: self.generation });
    }
}
