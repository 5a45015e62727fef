//! The part that is being filled: blocks that are copied into, and pieces taken as they are.

use std::sync::Arc;

use bytes::Bytes;

use super::spool::Spool;
use crate::checksum::{Digest, Hasher, Kind};
use crate::config::BUFFER_SIZE;
use crate::error::Result;
use crate::s3::payload::Payload;
use crate::transfer::buffers::Buffer;
use crate::transfer::scheduler::Permit;

pub(super) struct Filling {
    /// How long it may get.
    size: u64,
    len: u64,
    /// Over what is in chunks or in the file.
    hasher: Option<Hasher>,
    /// Bytes in memory.
    own: u64,
    chunks: Vec<Bytes>,
    block: Option<Buffer>,
    /// Where chunks go instead of staying in memory.
    spool: Option<Spool>,
}

/// A part that is full, or the last one.
pub(super) struct Filled {
    body: Body,
    pub len: u64,
    /// Bytes of it in memory.
    own: u64,
    pub digest: Option<Digest>,
}

enum Body {
    Held(Vec<Bytes>),
    Spooled(Spool),
}

impl Filled {
    /// The part as it will be sent; `permit` is for so many buffers as were asked for.
    pub fn into_payload(self, permit: &Arc<Permit>) -> Payload {
        match self.body {
            Body::Spooled(spool) => spool.into_payload(permit.clone()),
            Body::Held(chunks) if chunks.is_empty() => Payload::Empty,
            Body::Held(chunks) => Payload::Chunks(chunks.into()),
        }
    }

    /// What it is charged: a part that lies in a file passes through few buffers.
    pub fn buffers(&self) -> usize {
        match &self.body {
            Body::Spooled(_) => SPOOLED_BUFFERS,
            Body::Held(_) => self.own.div_ceil(BUFFER_SIZE as u64) as usize,
        }
    }
}

/// Buffers of a part that is read from its file while it is sent.
const SPOOLED_BUFFERS: usize = 4;

impl Filling {
    pub fn new(size: u64, checksum: Option<Kind>) -> Self {
        Self { size, len: 0, hasher: checksum.map(Hasher::new), own: 0, chunks: Vec::new(), block: None, spool: None }
    }

    /// What still has a place.
    pub fn room(&self) -> u64 {
        self.size - self.len
    }

    /// What can be copied without another block.
    pub fn left_in_block(&self) -> usize {
        let free = self.block.as_ref().map_or(0, |block| BUFFER_SIZE - block.len());
        free.min(usize::try_from(self.room()).unwrap_or(usize::MAX))
    }

    /// Bytes in memory.
    pub fn own(&self) -> u64 {
        self.own
    }

    pub fn add_block(&mut self, block: Buffer) {
        self.close_block();
        self.block = Some(block);
    }

    /// Copies all of `data`, which must fit into the block.
    pub fn copy(&mut self, data: &[u8]) {
        if let Some(block) = &mut self.block {
            let taken = block.extend(data) as u64;
            (self.len, self.own) = (self.len + taken, self.own + taken);
        }
    }

    /// Takes a piece as it is; it must fit into the part. It counts as ours: nobody else may know that it is still held.
    pub fn share(&mut self, piece: Bytes) {
        self.close_block();
        let len = piece.len() as u64;
        (self.len, self.own) = (self.len + len, self.own + len);
        self.close(piece);
    }

    pub fn is_spooled(&self) -> bool {
        self.spool.is_some()
    }

    pub fn spool_to(&mut self, spool: Spool) {
        self.spool = Some(spool);
    }

    /// Writes what is complete to the file of this part, if it has one.
    pub async fn flush(&mut self) -> Result<()> {
        let Some(spool) = &mut self.spool else { return Ok(()) };
        for chunk in self.chunks.drain(..) {
            spool.write(chunk).await?;
        }
        self.own = self.block.as_ref().map_or(0, |block| block.len() as u64);
        Ok(())
    }

    pub async fn into_filled(mut self) -> Result<Filled> {
        self.close_block();
        self.flush().await?;
        let (len, own, digest) = (self.len, self.own, self.hasher.map(Hasher::finish));
        let body = match self.spool {
            Some(spool) => Body::Spooled(spool),
            None => Body::Held(self.chunks),
        };
        Ok(Filled { body, len, own, digest })
    }

    fn close_block(&mut self) {
        if let Some(block) = self.block.take().filter(|block| !block.is_empty()) {
            self.close(Bytes::from_owner(block));
        }
    }

    fn close(&mut self, chunk: Bytes) {
        if let Some(hasher) = &mut self.hasher {
            hasher.update(&chunk);
        }
        self.chunks.push(chunk);
    }
}
