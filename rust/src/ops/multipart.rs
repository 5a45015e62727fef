//! One multipart upload, from its creation to Complete or to an abort that left nothing behind (U4, U9).
//!
//! Who owns one decides about its parts: which there are, when they are sent, how many at once. Here is what all
//! of them share: a cancel while it is created, a part and its checksum, the sum before Complete, the abort and its bounds.

use std::ops::Range;
use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::checksum::{self, Digest, Kind};
use crate::error::{Error, ErrorKind, Result};
use crate::ops::commit::{complete, marked};
use crate::ops::engine::Engine;
use crate::ops::late::Lateness;
use crate::ops::report::Verification;
use crate::ops::tasks::Tasks;
use crate::ops::unfinished::{self, Noted, Origin};
use crate::progress::Progress;
use crate::s3::client::{Completed, CopySource, NewUpload, ObjectRef, PartCopy, PartUpload, S3Client, Stored};
use crate::s3::payload::Payload;
use crate::s3::xml::CompletedPart;

/// The time an abort may take, and after a cancel (U9).
const ABORT_LIMIT: Duration = Duration::from_secs(5);
const ABORT_LIMIT_CANCELLED: Duration = Duration::from_secs(2);
const ABORT_ROUNDS: u32 = 3;

/// An upload that is being created: whoever stops waiting for it learns its id yet, to abort it.
pub struct Creating {
    client: S3Client,
    object: ObjectRef,
    checksum: Option<Kind>,
    write_id: Option<String>,
    progress: Arc<Progress>,
    task: Tasks<(String, Option<Noted>)>,
}

impl Creating {
    /// `origin` is what will be noted of it.
    pub fn begin(engine: &Engine, new: NewUpload, origin: Origin, progress: &Arc<Progress>) -> Self {
        let (object, checksum, write_id) = (new.object.clone(), new.checksum, origin.write_id.clone());
        let (client, engine) = (engine.client.clone(), engine.clone());
        let mut task = Tasks::new();
        task.spawn(async move {
            let headers = marked(new.headers.clone(), origin.write_id.as_deref());
            let marked = NewUpload { headers, ..new.clone() };
            let upload_id = engine.client.create_multipart_upload(&marked).await?;
            let noted = unfinished::note(&engine, &new, &upload_id, origin).await;
            Ok((upload_id, noted))
        });
        Self { client, object, checksum, write_id, progress: progress.clone(), task }
    }

    pub async fn created(&mut self) -> Result<Multipart> {
        let lost = || Error::new(ErrorKind::Internal, "the task that creates the upload is gone");
        let (upload_id, noted) = self.task.next().await.unwrap_or_else(|| Err(lost()))?;
        Ok(self.named(&upload_id, noted))
    }

    /// Nobody waits any more, because of `cause`: the upload is aborted if the store yet says what it is called.
    pub async fn abandon(mut self, cause: Error) -> Error {
        match tokio::time::timeout(ABORT_LIMIT_CANCELLED, self.task.next()).await {
            Ok(Some(Ok((upload_id, noted)))) => self.named(&upload_id, noted).abort(cause).await,
            _ => cause,
        }
    }

    fn named(&self, upload_id: &str, noted: Option<Noted>) -> Multipart {
        let upload = Multipart::attach(&self.client, self.object.clone(), upload_id, self.checksum, &self.progress);
        upload.noted(noted, self.write_id.clone())
    }
}

/// An upload the store knows. Nothing happens when it is dropped: `complete` or `abort` ends it.
#[derive(Clone)]
pub struct Multipart {
    client: S3Client,
    object: ObjectRef,
    upload_id: String,
    checksum: Option<Kind>,
    progress: Arc<Progress>,
    lateness: Arc<Lateness>,
    /// By which the object is known as ours (C12).
    write_id: Option<String>,
    noted: Option<Noted>,
}

/// A part the store has taken.
#[derive(Clone)]
pub struct Sent {
    pub part: CompletedPart,
    pub len: u64,
    digest: Option<Digest>,
    echoed: bool,
    /// 0: an earlier run sent it.
    attempts: u32,
}

/// An object that was put together.
pub struct Assembled {
    pub stored: Stored,
    pub parts: u32,
    pub attempts: u32,
    /// Bytes that an earlier run had sent.
    pub resumed_bytes: u64,
    pub verified: Verification,
}

impl Sent {
    /// A part that somebody sent, as the store lists it. That was compared when it was sent, by whoever did.
    pub fn listed(number: u32, etag: String, len: u64, digest: Option<Digest>) -> Self {
        let checksum = digest.map(|digest| (digest.kind(), digest.encode()));
        let part = CompletedPart { number, etag, checksum };
        Self { part, len, digest, echoed: false, attempts: 1 }
    }

    /// A part of an earlier run, whose checksum in the store's list is the one of the file's bytes, or whose ETag is their MD5.
    pub fn resumed(number: u32, etag: String, len: u64, digest: Option<Digest>, echoed: bool) -> Self {
        Self { echoed, attempts: 0, ..Self::listed(number, etag, len, digest) }
    }

    /// Bytes that this run sent.
    pub fn new_bytes(&self) -> u64 {
        if self.attempts == 0 { 0 } else { self.len }
    }
}

impl Multipart {
    /// One that was created elsewhere.
    pub fn attach(
        client: &S3Client,
        object: ObjectRef,
        upload_id: &str,
        checksum: Option<Kind>,
        progress: &Arc<Progress>,
    ) -> Self {
        Self {
            client: client.clone(),
            object,
            upload_id: upload_id.to_owned(),
            checksum,
            progress: progress.clone(),
            lateness: Arc::new(Lateness::new(client.config().transfer.late_after)),
            write_id: None,
            noted: None,
        }
    }

    /// The same as an upload of this call: the journal knows it, its object will carry this id, and nobody else ends it.
    pub fn noted(self, noted: Option<Noted>, write_id: Option<String>) -> Self {
        self.progress.set_unfinished(Some(&self.upload_id));
        Self { noted, write_id, ..self }
    }

    /// The same, with counters of its own.
    pub fn counted_by(self, progress: &Arc<Progress>) -> Self {
        Self { progress: progress.clone(), ..self }
    }

    /// Whether a later run would find it.
    pub fn is_noted(&self) -> bool {
        self.noted.is_some()
    }

    pub fn upload_id(&self) -> &str {
        &self.upload_id
    }

    /// Sends one part, whose checksum is `digest` if checksums are sent.
    pub async fn send(self, number: u32, payload: Payload, digest: Option<Digest>) -> Result<Sent> {
        let len = payload.len();
        let stored = self.send_in_time(number, &payload, digest).await?;
        let echoed = stored.echoed.is_some();
        let checksum = digest.map(|digest| (digest.kind(), digest.encode()));
        let part = CompletedPart { number, etag: stored.etag.unwrap_or_default(), checksum };
        Ok(Sent { part, len, digest, echoed, attempts: stored.attempts })
    }

    /// Has the store copy a range of `source` as one part.
    pub async fn copy(self, number: u32, range: Range<u64>, source: &CopySource) -> Result<Sent> {
        let len = range.end - range.start;
        let (destination, upload_id) = (&self.object, self.upload_id.as_str());
        let copied = self.client.upload_part_copy(PartCopy { source, range, destination, upload_id, number }).await?;
        let stated = self.checksum.and_then(|kind| copied.checksums.iter().find(|(name, _)| *name == kind));
        let digest = stated.map(|(kind, text)| Digest::parse(*kind, text)).transpose()?;
        self.progress.add_network(len);
        Ok(Sent { attempts: copied.attempts, ..Sent::listed(number, copied.etag, len, digest) })
    }

    /// A part that takes far longer than its peers is sent again over another connection (#48).
    async fn send_in_time(&self, number: u32, payload: &Payload, checksum: Option<Digest>) -> Result<Stored> {
        let len = payload.len();
        let mut given_up = 0;
        loop {
            let upload = PartUpload {
                object: &self.object,
                upload_id: &self.upload_id,
                number,
                payload: payload.clone(),
                checksum,
                progress: Some(self.progress.clone()),
                fresh_connection: given_up > 0,
            };
            let began = Instant::now();
            tokio::select! {
                biased;
                stored = self.client.upload_part(upload) => {
                    let stored = stored?;
                    self.lateness.ended(len, began.elapsed());
                    return Ok(Stored { attempts: stored.attempts + given_up, ..stored });
                }
                () = self.lateness.late(len, began, given_up) => given_up += 1,
            }
        }
    }

    /// Puts the object together, if the parts are all there are of `size` bytes.
    pub async fn complete(&self, mut sent: Vec<Sent>, size: u64, conditions: &[(String, String)]) -> Result<Assembled> {
        sent.sort_by_key(|sent| sent.part.number);
        let total: u64 = sent.iter().map(|sent| sent.len).sum();
        let in_order = sent.iter().zip(1..).all(|(sent, number)| sent.part.number == number);
        if total != size || !in_order {
            return Err(Error::integrity(format!("the parts sent hold {total} of {size} bytes")));
        }
        let whole = self.checksum.and_then(|kind| combined(kind, &sent));
        let parts: Vec<CompletedPart> = sent.iter().map(|sent| sent.part.clone()).collect();
        let completed = Completed {
            object: &self.object,
            upload_id: &self.upload_id,
            parts: &parts,
            size,
            checksum: whole,
            headers: conditions.to_vec(),
        };
        let stored = complete(&self.client, &completed, self.write_id.as_deref()).await?;
        let count = u32::try_from(sent.len()).unwrap_or(u32::MAX);
        let all_echoed = sent.iter().all(|sent| sent.echoed);
        let ours = whole.or_else(|| sent.first().and_then(|sent| sent.digest));
        let verified = verified(&self.client, ours, &stored, count, all_echoed);
        let attempts = sent.iter().map(|sent| sent.attempts).sum();
        let resumed_bytes = size - sent.iter().map(Sent::new_bytes).sum::<u64>();
        Ok(Assembled { stored, parts: count, attempts, resumed_bytes, verified })
    }

    /// The store has nothing of it any more, but the object perhaps. Not under a deadline: the object is there.
    pub async fn ended(&self) {
        self.progress.set_unfinished(None);
        if let Some(noted) = &self.noted {
            noted.forget().await;
        }
    }

    /// Stops what the store still holds of the upload; the first cause stays the error. No part may be under way.
    pub async fn abort(&self, cause: Error) -> Error {
        let cancelled = cause.kind() == ErrorKind::Cancelled;
        let limit = if cancelled { ABORT_LIMIT_CANCELLED } else { ABORT_LIMIT };
        match tokio::time::timeout(limit, self.abort_rounds()).await {
            Ok(Ok(())) => {
                self.ended().await;
                cause
            }
            _ => cause.with_upload_id(&self.upload_id),
        }
    }

    /// Removes it because that was asked for.
    pub async fn remove(&self) -> Result<()> {
        let late = |_| Error::new(ErrorKind::Timeout, "the multipart upload could not be aborted in time");
        let removed = tokio::time::timeout(ABORT_LIMIT, self.abort_rounds()).await.map_err(late);
        removed.and_then(|outcome| outcome).map_err(|error| error.with_upload_id(&self.upload_id))?;
        self.ended().await;
        Ok(())
    }

    /// A part that was on its way when the upload was aborted may have stayed: look, and abort again.
    async fn abort_rounds(&self) -> Result<()> {
        for _ in 0..ABORT_ROUNDS {
            self.client.abort_multipart_upload(&self.object, &self.upload_id).await?;
            match self.client.list_parts(&self.object, &self.upload_id).await {
                Err(error) if error.kind() == ErrorKind::NotFound => return Ok(()),
                Ok(parts) if parts.is_empty() => return Ok(()),
                Ok(_) => {}
                Err(error) => return Err(error),
            }
        }
        Err(Error::new(ErrorKind::Service, "parts of the aborted upload remain"))
    }
}

/// What the store's own words prove (C14).
pub fn verified(
    client: &S3Client,
    ours: Option<Digest>,
    stored: &Stored,
    parts: u32,
    all_echoed: bool,
) -> Verification {
    let Some(ours) = ours else {
        return Verification::Length("no checksum was sent".into());
    };
    match &stored.echoed {
        Some((_, value)) if *value == ours.encode() => Verification::FullObject(ours.kind()),
        _ if all_echoed => Verification::Parts(ours.kind(), parts),
        _ if client.refuses_checksums() => Verification::Length("the store refuses checksum headers".into()),
        _ => Verification::Length("the store did not repeat the checksum".into()),
    }
}

/// The checksum over all bytes, from those of the parts in order; hashes cannot be combined.
pub fn combined(kind: Kind, sent: &[Sent]) -> Option<Digest> {
    let Kind::Crc(algorithm) = kind else { return None };
    let nothing = checksum::checksum(algorithm, b"");
    let add = |sum, sent: &Sent| Some(checksum::combine(algorithm, sum, sent.digest?.crc()?, sent.len));
    sent.iter().try_fold(nothing, add).map(|sum| Digest::of_crc(algorithm, sum))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::ClientConfig;
    use crate::credentials::Signing;

    fn sent(number: u32, len: u64) -> Sent {
        let part = CompletedPart { number, etag: "e".into(), checksum: None };
        Sent { part, len, digest: None, echoed: false, attempts: 1 }
    }

    /// U4: before the store is asked.
    #[tokio::test]
    async fn parts_that_are_not_all_complete_nothing() {
        let config = ClientConfig { endpoint_url: Some("http://127.0.0.1:1".into()), ..ClientConfig::default() };
        let client = S3Client::new(config, Signing::Anonymous).unwrap();
        let object = ObjectRef::new("bucket", "key", None).unwrap();
        let upload = Multipart::attach(&client, object, "id", None, &Arc::default());
        let cases = [
            (vec![sent(1, 5), sent(2, 5)], 11),
            (vec![sent(1, 5), sent(3, 5)], 10),
            (vec![sent(2, 10)], 10),
            (vec![], 1),
        ];
        for (parts, size) in cases {
            let error = upload.complete(parts, size, &[]).await.err().unwrap();
            assert_eq!(error.kind(), ErrorKind::Integrity, "{error}");
        }
    }
}
