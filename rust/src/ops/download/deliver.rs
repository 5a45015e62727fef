//! An object into a FIFO or character device: in order, as it comes (F10).
//!
//! What was written cannot be taken back: nothing is hidden, renamed or gone on with later, no other version is begun
//! after the first byte, and every error says how much is out. The checksum is compared when the last byte is out
//! already (C5).

use bytes::Bytes;

use super::run::{End, Run};
use crate::error::{Error, Result};
use crate::ops::discover::Shape;
use crate::ops::stream::{OrderedStream, StreamRequest};
use crate::transfer::pipe_writer::PipeWriter;
use crate::transfer::stream_target::StreamTarget;

impl Run<'_> {
    pub(super) async fn deliver(&self, target: StreamTarget) -> Result<End> {
        let request = StreamRequest {
            if_match: self.request.if_match.clone(),
            verify: self.request.verify,
            part_size: self.request.part_size,
            max_concurrency: if self.shape == Shape::Whole { Some(1) } else { self.request.max_concurrency },
            ..StreamRequest::new(self.request.object.clone())
        };
        let (progress, cancel) = (self.progress.clone(), self.cancel);
        let mut stream = self.guard(OrderedStream::open(self.engine, request, progress, cancel)).await?;
        let outcome = self.guard(pass_on(&mut stream, target)).await;
        stream.stop().await;
        outcome?;
        let report = stream.report().ok_or_else(|| Error::integrity("the stream did not end"))?;
        Ok(End::Published(report))
    }
}

/// Bytes that are written in one go, if they are there.
const ROW: usize = 1 << 20;

/// All of the stream, to its end.
async fn pass_on(stream: &mut OrderedStream, target: StreamTarget) -> Result<()> {
    let pipe = PipeWriter::open(target).await?;
    let outcome = pump(stream, &pipe).await;
    let written = pipe.written();
    let said = |error: Error| if written > 0 { error.after_writing(written) } else { error };
    outcome.map_err(said)?;
    pipe.finish().await.map_err(said)
}

/// Writes what the stream gives, to its end; the next row is gathered while one is written.
pub(in crate::ops) async fn pump(stream: &mut OrderedStream, pipe: &PipeWriter) -> Result<()> {
    let mut row = gather(stream).await?;
    while !row.is_empty() {
        let write = pipe.write_row(row);
        let next = gather(stream);
        tokio::pin!(write, next);
        row = tokio::select! {
            // Nobody reads any more: what comes next does not matter.
            written = &mut write => {
                written?;
                next.await?
            }
            next = &mut next => {
                write.await?;
                next?
            }
        };
    }
    Ok(())
}

/// The next bytes, and what is there already behind them: each row costs two changes of threads. Empty at the end.
async fn gather(stream: &mut OrderedStream) -> Result<Vec<Bytes>> {
    let mut row: Vec<Bytes> = stream.next().await?.into_iter().collect();
    let mut len = row.first().map_or(0, Bytes::len);
    while (1..ROW).contains(&len)
        && let Some(more) = stream.try_next()
    {
        len += more.len();
        row.push(more);
    }
    Ok(row)
}
