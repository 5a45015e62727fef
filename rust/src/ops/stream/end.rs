//! How a stream ends well: all was given, and is what the store holds the checksum of.

use super::OrderedStream;
use crate::checksum::ShaHasher;
use crate::error::{Error, Result};
use crate::ops::report::{TransferReport, Verification};
use crate::ops::verdict::{Passed, verdict};

impl OrderedStream {
    /// Of a stream that has ended well.
    pub fn report(&self) -> Option<TransferReport> {
        let verified = self.verified.clone()?;
        Some(TransferReport {
            bytes: self.given,
            seconds: self.started.elapsed().as_secs_f64(),
            etag: self.identity.etag.clone(),
            version_id: self.identity.version_id.clone(),
            parts: self.parts,
            attempts: self.attempts,
            resumed_bytes: 0,
            verified,
            last_modified: self.identity.last_modified,
            content_type: self.identity.content_type.clone(),
            storage_class: self.identity.storage_class.clone(),
        })
    }

    pub(super) async fn finish(&mut self) -> Result<()> {
        if self.end.is_none() {
            self.identity.size = self.given;
        }
        let size = self.size().unwrap_or(self.given);
        if self.given != size {
            return Err(Error::integrity(format!("{} of {size} bytes came", self.given)));
        }
        let verified = if self.request.span.is_all() {
            let hashes = std::mem::take(&mut self.hashers).into_iter().map(ShaHasher::finish).collect();
            let passed = Passed { sums: std::mem::take(&mut self.sums), hashes };
            let of = (&self.engine.client, &self.request.object);
            verdict(self.request.verify, &passed, &mut self.stored, of, &self.identity).await?
        } else {
            Verification::Length("a range has no checksum".into())
        };
        self.verified = Some(verified);
        self.share = None;
        self.progress.object_done();
        Ok(())
    }
}
