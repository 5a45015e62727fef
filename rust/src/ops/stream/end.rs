//! How a stream ends well: all was given, and is what the store holds the checksum of.

use super::OrderedStream;
use crate::checksum::ShaHasher;
use crate::error::{Error, Result};
use crate::ops::report::{Moved, TransferReport};
use crate::ops::verdict::{Passed, verdict};

impl OrderedStream {
    /// Of a stream that has ended well.
    pub fn report(&self) -> Option<TransferReport> {
        let verified = self.verified.clone()?;
        let moved = Moved { parts: self.parts, attempts: self.attempts, resumed_bytes: 0 };
        Some(TransferReport::of_read(self.identity.clone(), self.given, self.started, moved, verified))
    }

    pub(super) async fn finish(&mut self) -> Result<()> {
        if self.end.is_none() {
            self.identity.size = self.given;
        }
        let size = self.size().unwrap_or(self.given);
        if self.given != size {
            return Err(Error::integrity(format!("{} of {size} bytes came", self.given)));
        }
        let hashes = std::mem::take(&mut self.hashers).into_iter().map(ShaHasher::finish).collect();
        let passed = Passed { sums: std::mem::take(&mut self.sums), hashes };
        let request = &self.request;
        let verified = verdict(request, &passed, &mut self.stored, &self.engine.client, &self.identity).await?;
        self.verified = Some(verified);
        self.share = None;
        self.progress.object_done();
        Ok(())
    }
}
