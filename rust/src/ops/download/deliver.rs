//! An object into a FIFO or character device: in order, as it comes (F10).
//!
//! What was written cannot be taken back: nothing is hidden, renamed or gone on with later, no other version is begun
//! after the first byte, and every error says how much is out. The body is one GET that goes on by itself after a
//! break; the checksum is compared when the last byte is out already (C5).

use std::sync::Arc;

use bytes::Bytes;

use super::run::{End, Moved, Run};
use crate::checksum::{Digest, Kind, ShaHasher};
use crate::error::{Error, Result};
use crate::ops::discover::{Shape, discover};
use crate::ops::report::Verification;
use crate::ops::stored::{StoredSum, Verify, require};
use crate::ops::sums::Summing;
use crate::s3::body::ObjectBody;
use crate::s3::object::{ObjectIdentity, StoredChecksum};
use crate::transfer::pipe_writer::PipeWriter;
use crate::transfer::scheduler::Gate;
use crate::transfer::stream_target::StreamTarget;

/// What the bytes that went by add up to.
struct Passed {
    summing: Summing,
    hasher: Option<ShaHasher>,
    bytes: u64,
}

impl Run<'_> {
    pub(super) async fn deliver(&self, target: StreamTarget) -> Result<End> {
        let compare = self.request.verify != Verify::Off;
        let mut stored = StoredSum::ask(&self.engine.client, &self.request.object, compare);
        let ended = self.guard(self.pass_on(target, &mut stored)).await;
        stored.stop().await;
        ended
    }

    async fn pass_on(&self, target: StreamTarget, stored: &mut StoredSum) -> Result<End> {
        let _permit = self.engine.scheduler.acquire(Gate::new(1).enter().await, 1).await;
        let body = discover(&self.engine.client, &self.get_request(), Shape::Whole).await?;
        let mut identity = body.identity().clone();
        if body.range().1.is_some() {
            self.progress.set_total(identity.size);
        }
        let pipe = PipeWriter::open(target).await?;
        let sha = match body.checksum() {
            StoredChecksum::FullSha(value) => value.kind().sha(),
            _ => None,
        };
        let attempts = Arc::new(std::sync::atomic::AtomicU32::new(1));
        let mut passed = Passed {
            summing: Summing::new(stored.wanted().clone(), false, 0),
            hasher: sha.map(ShaHasher::new),
            bytes: 0,
        };
        let outcome = self.pump(body, &pipe, &mut passed, &attempts).await;
        let written = pipe.written();
        let said = |error: Error| if written > 0 { error.after_writing(written) } else { error };
        outcome.map_err(said)?;
        pipe.finish().await.map_err(said)?;
        identity.size = passed.bytes;
        let (size, attempts) = (passed.bytes, attempts.load(std::sync::atomic::Ordering::Relaxed));
        let verified = self.verdict(passed, stored, &identity).await.map_err(said)?;
        self.progress.object_done();
        let moved = Moved { parts: 1, attempts, resumed_bytes: 0 };
        Ok(End::Published(self.report_of(identity, size, moved, verified)))
    }

    async fn pump(
        &self,
        mut body: ObjectBody,
        pipe: &PipeWriter,
        passed: &mut Passed,
        attempts: &std::sync::atomic::AtomicU32,
    ) -> Result<()> {
        while let Some(chunk) = body.chunk().await? {
            attempts.store(body.attempts(), std::sync::atomic::Ordering::Relaxed);
            let chunk: Bytes = chunk;
            let len = chunk.len() as u64;
            passed.summing.update(&chunk);
            if let Some(hasher) = &mut passed.hasher {
                hasher.update(&chunk);
            }
            passed.bytes += len;
            self.progress.add_network(len);
            pipe.write(chunk).await?;
            self.progress.add_durable(len);
        }
        Ok(())
    }

    async fn verdict(&self, passed: Passed, stored: &mut StoredSum, identity: &ObjectIdentity) -> Result<Verification> {
        let verify = self.request.verify;
        if verify == Verify::Off {
            return Ok(Verification::Length("verification is off".into()));
        }
        let hash = passed.hasher.map(ShaHasher::finish);
        let sums = passed.summing.finish();
        let sum_of = |range, kind: Kind| match kind {
            Kind::Crc(algorithm) => Some(Digest::of_crc(algorithm, sums.over(range)?.value(algorithm)?)),
            Kind::Sha(_) => hash.filter(|hash| hash.kind() == kind && range == (0..identity.size)),
        };
        let held = stored.of(&self.engine.client, &self.request.object, identity).await;
        let expected = match (held.checksum, held.layout) {
            (StoredChecksum::FullObject(algorithm, value), _) => Ok(Digest::of_crc(algorithm, value)),
            (StoredChecksum::FullSha(value), _) => Ok(value),
            (StoredChecksum::Composite { .. }, _) => Err("a checksum of parts is not compared in a stream".to_owned()),
            (StoredChecksum::Damaged(why), _) => return Err(Error::integrity(why)),
            (StoredChecksum::NotUsable(why), _) => Err(why),
            (StoredChecksum::None, _) => Err("the store holds no checksum".to_owned()),
        };
        let why = match expected.map(|expected| (expected, sum_of(0..identity.size, expected.kind()))) {
            Ok((expected, Some(actual))) if actual == expected => {
                return Ok(Verification::FullObject(expected.kind()));
            }
            Ok((expected, Some(actual))) => return Err(super::verify::mismatch(&expected, &actual)),
            Ok((expected, None)) => format!("{} was not computed over all bytes", expected.kind().name()),
            Err(why) => why,
        };
        if verify == Verify::Require { Err(require(&why)) } else { Ok(Verification::Length(why)) }
    }
}
