//! One range of a download: from the socket through recycled buffers to the file, checksummed on the way.

use std::sync::Arc;

use crate::checksum::{RunningCrcs, Sums};
use crate::error::Result;
use crate::progress::Progress;
use crate::s3::body::ObjectBody;
use crate::transfer::buffers::Buffer;
use crate::transfer::file_writer::FileWriter;
use crate::transfer::scheduler::Permit;

/// What a received range leaves behind for the end of the transfer.
pub struct Receipt {
    pub start: u64,
    pub sums: Sums,
    pub attempts: u32,
}

/// Where a range's bytes go.
pub struct Receiver {
    pub permit: Arc<Permit>,
    pub writer: Arc<FileWriter>,
    pub progress: Arc<Progress>,
    pub running: RunningCrcs,
}

impl Receiver {
    /// Reads the body to its end. Buffers go to the writer as they fill; the last one as it is.
    pub async fn receive(mut self, mut body: ObjectBody) -> Result<Receipt> {
        let (start, _) = body.range();
        let mut offset = start;
        let mut filling: Option<Buffer> = None;
        while let Some(chunk) = body.chunk().await? {
            self.running.update(&chunk);
            self.progress.add_network(chunk.len() as u64);
            let mut rest = &chunk[..];
            while !rest.is_empty() {
                let mut buffer = match filling.take() {
                    Some(buffer) => buffer,
                    None => self.permit.buffer().await,
                };
                rest = &rest[buffer.extend(rest)..];
                if buffer.is_full() {
                    offset = self.hand_over(offset, buffer);
                } else {
                    filling = Some(buffer);
                }
            }
        }
        if let Some(last) = filling {
            self.hand_over(offset, last);
        }
        Ok(Receipt { start, sums: self.running.finish(), attempts: body.attempts() })
    }

    fn hand_over(&self, offset: u64, buffer: Buffer) -> u64 {
        let end = offset + buffer.len() as u64;
        self.writer.write(offset, buffer);
        end
    }
}
