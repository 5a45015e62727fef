//! One part of an upload: read from the file into recycled buffers, checksummed, and sent from them.
//!
//! A part up to a quarter of the byte budget is held in memory while it is sent; a larger one is read twice, once
//! for its checksum and once for its body, and the file is compared in between.

use std::ops::Range;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};

use bytes::Bytes;
use sha2::{Digest as _, Sha256};

use crate::checksum::{Digest, Hasher, Kind};
use crate::config::BUFFER_SIZE;
use crate::error::{Error, ErrorKind, Result};
use crate::s3::payload::{ChunkSource, Payload};
use crate::transfer::file_reader::FileReader;
use crate::transfer::scheduler::{Permit, Scheduler};

/// Buffers that are filled by one job of an I/O lane: each job costs two changes of threads.
const READ_AT_ONCE: usize = 8;

/// Buffers of a part that is read while it is sent.
const STREAMED_BUFFERS: usize = 4;

/// How many buffers a part of this length needs, and whether it is held whole.
pub fn buffers_for(scheduler: &Scheduler, len: u64) -> (usize, bool) {
    let held = len <= scheduler.memory_limit() / 4;
    let buffers = if held { len.div_ceil(BUFFER_SIZE as u64) as usize } else { STREAMED_BUFFERS };
    (buffers, held)
}

/// A part ready to be sent.
pub struct ReadPart {
    pub payload: Payload,
    pub digest: Option<Digest>,
}

/// What is to be read, and how.
pub struct PartSource {
    pub reader: Arc<FileReader>,
    pub range: Range<u64>,
    pub permit: Arc<Permit>,
    pub checksum: Option<Kind>,
    pub held: bool,
    /// Whether the body must be signed.
    pub needs_sha256: bool,
}

impl PartSource {
    pub async fn read(self) -> Result<ReadPart> {
        if self.held { self.read_held().await } else { self.read_streamed().await }
    }

    async fn read_held(&self) -> Result<ReadPart> {
        let mut chunks = Vec::new();
        let mut hasher = self.checksum.map(Hasher::new);
        let mut at = self.range.start;
        while at < self.range.end {
            let stop = self.range.end.min(at + (READ_AT_ONCE * BUFFER_SIZE) as u64);
            let mut buffers = Vec::new();
            for _ in pieces(at..stop) {
                buffers.push(self.permit.buffer().await?);
            }
            let before = hasher.take();
            let (read, after) = self.reader.read_row(buffers, at..stop, before, add).await?;
            hasher = after;
            chunks.extend(read.into_iter().map(Bytes::from_owner));
            at = stop;
        }
        Ok(ReadPart { payload: Payload::Chunks(chunks.into()), digest: hasher.map(Hasher::finish) })
    }

    async fn read_streamed(self) -> Result<ReadPart> {
        let mut state = (self.checksum.map(Hasher::new), self.needs_sha256.then(Sha256::new));
        let mut buffer = self.permit.buffer().await?;
        for piece in pieces(self.range.clone()) {
            let add_both = |(hasher, sha256): &mut (Option<Hasher>, Option<Sha256>), bytes: &[u8]| {
                add(hasher, bytes);
                if let Some(sha256) = sha256 {
                    sha256.update(bytes);
                }
            };
            let (mut read, after) = self.reader.read_row(vec![buffer], piece, state, add_both).await?;
            state = after;
            let Some(read) = read.pop() else { return Err(Error::new(ErrorKind::Internal, "a buffer is gone")) };
            buffer = read;
        }
        drop(buffer);
        self.reader.check_unchanged().await?;
        let (hasher, sha256) = state;
        let sha256 = sha256.map(|hash| hash.finalize().into());
        let payload = reopened(self.reader, self.range, self.permit, sha256);
        Ok(ReadPart { payload, digest: hasher.map(Hasher::finish) })
    }
}

fn add(hasher: &mut Option<Hasher>, bytes: &[u8]) {
    if let Some(hasher) = hasher {
        hasher.update(bytes);
    }
}

/// A body that is read anew for each attempt, into the permit's buffers.
pub fn reopened(reader: Arc<FileReader>, range: Range<u64>, permit: Arc<Permit>, sha256: Option<[u8; 32]>) -> Payload {
    let len = range.end - range.start;
    let open = Arc::new(move || -> Pin<Box<dyn ChunkSource + Send + Sync>> {
        Box::pin(FileChunks {
            reader: reader.clone(),
            permit: permit.clone(),
            left: range.clone(),
            reading: Mutex::new(None),
        })
    });
    Payload::Reopened { len, open, sha256 }
}

/// A range cut into buffers.
fn pieces(range: Range<u64>) -> impl Iterator<Item = Range<u64>> {
    let step = BUFFER_SIZE as u64;
    (0..(range.end - range.start).div_ceil(step)).map(move |index| {
        let start = range.start + index * step;
        start..range.end.min(start + step)
    })
}

type Reading = Pin<Box<dyn Future<Output = Result<Bytes>> + Send>>;

/// One pass over a part that is read while it is sent.
struct FileChunks {
    reader: Arc<FileReader>,
    permit: Arc<Permit>,
    left: Range<u64>,
    /// The read under way; the mutex only makes it shareable, nobody else ever locks it.
    reading: Mutex<Option<Reading>>,
}

impl ChunkSource for FileChunks {
    fn poll_chunk(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Result<Bytes>>> {
        let this = &mut *self;
        let reading = this.reading.get_mut().unwrap_or_else(PoisonError::into_inner);
        if reading.is_none() {
            let Some(piece) = pieces(this.left.clone()).next() else { return Poll::Ready(None) };
            this.left.start = piece.end;
            *reading = Some(Box::pin(read_piece(this.reader.clone(), this.permit.clone(), piece)));
        }
        let Some(future) = reading else { return Poll::Ready(None) };
        let Poll::Ready(read) = future.as_mut().poll(context) else { return Poll::Pending };
        *reading = None;
        Poll::Ready(Some(read))
    }
}

async fn read_piece(reader: Arc<FileReader>, permit: Arc<Permit>, piece: Range<u64>) -> Result<Bytes> {
    let buffer = permit.buffer().await?;
    let (buffer, ()) = reader.read(buffer, piece.start, (piece.end - piece.start) as usize, |_| ()).await?;
    Ok(Bytes::from_owner(buffer))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pieces_cover_the_range() {
        let mib = BUFFER_SIZE as u64;
        assert_eq!(pieces(5..5).count(), 0);
        assert_eq!(pieces(5..6).collect::<Vec<_>>(), [5..6]);
        assert_eq!(pieces(0..mib + 1).collect::<Vec<_>>(), [0..mib, mib..mib + 1]);
    }
}
