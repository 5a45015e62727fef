//! One multipart upload, from its creation to Complete or to an abort that left nothing behind (U4, U9).
//!
//! Who owns one decides about its parts: which there are, when they are sent, how many at once. Here is what all
//! of them share: a cancel while it is created, a part and its checksum, the sum before Complete, the abort and its bounds.

use std::sync::Arc;
use std::time::Duration;

use crate::checksum::{self, Algorithm};
use crate::error::{Error, ErrorKind, Result};
use crate::ops::complete::complete;
use crate::ops::report::Verification;
use crate::ops::tasks::Tasks;
use crate::progress::Progress;
use crate::s3::client::{Completed, NewUpload, ObjectRef, PartUpload, S3Client, Stored};
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
    checksum: Option<Algorithm>,
    progress: Arc<Progress>,
    task: Tasks<String>,
}

impl Creating {
    pub fn begin(client: &S3Client, new: NewUpload, progress: &Arc<Progress>) -> Self {
        let (object, checksum, creator) = (new.object.clone(), new.checksum, client.clone());
        let mut task = Tasks::new();
        task.spawn(async move { creator.create_multipart_upload(&new).await });
        Self { client: client.clone(), object, checksum, progress: progress.clone(), task }
    }

    pub async fn created(&mut self) -> Result<Multipart> {
        let lost = || Error::new(ErrorKind::Internal, "the task that creates the upload is gone");
        let upload_id = self.task.next().await.unwrap_or_else(|| Err(lost()))?;
        Ok(self.named(upload_id))
    }

    /// Nobody waits any more, because of `cause`: the upload is aborted if the store yet says what it is called.
    pub async fn abandon(mut self, cause: Error) -> Error {
        match tokio::time::timeout(ABORT_LIMIT_CANCELLED, self.task.next()).await {
            Ok(Some(Ok(upload_id))) => self.named(upload_id).abort(cause).await,
            _ => cause,
        }
    }

    fn named(&self, upload_id: String) -> Multipart {
        self.progress.set_unfinished(Some(&upload_id));
        Multipart {
            client: self.client.clone(),
            object: self.object.clone(),
            upload_id,
            checksum: self.checksum,
            progress: self.progress.clone(),
        }
    }
}

/// An upload the store knows. Nothing happens when it is dropped: `complete` or `abort` ends it.
#[derive(Clone)]
pub struct Multipart {
    client: S3Client,
    object: ObjectRef,
    upload_id: String,
    checksum: Option<Algorithm>,
    progress: Arc<Progress>,
}

/// A part the store has taken.
pub struct Sent {
    pub part: CompletedPart,
    pub len: u64,
    crc: Option<u64>,
    echoed: bool,
    attempts: u32,
}

/// An object that was put together.
pub struct Assembled {
    pub stored: Stored,
    pub parts: u32,
    pub attempts: u32,
    pub verified: Verification,
}

impl Sent {
    /// A part that somebody sent, as the store lists it. That was compared when it was sent, by whoever did.
    pub fn listed(number: u32, etag: String, len: u64, crc: Option<(Algorithm, u64)>) -> Self {
        let checksum = crc.map(|(algorithm, value)| (algorithm, checksum::encode(algorithm, value)));
        let part = CompletedPart { number, etag, checksum };
        Self { part, len, crc: crc.map(|(_, value)| value), echoed: false, attempts: 1 }
    }
}

impl Multipart {
    /// One that was created elsewhere.
    pub fn attach(
        client: &S3Client,
        object: ObjectRef,
        upload_id: &str,
        checksum: Option<Algorithm>,
        progress: &Arc<Progress>,
    ) -> Self {
        Self { client: client.clone(), object, upload_id: upload_id.to_owned(), checksum, progress: progress.clone() }
    }

    /// Sends one part, whose checksum is `crc` if checksums are sent.
    pub async fn send(self, number: u32, payload: Payload, crc: Option<u64>) -> Result<Sent> {
        let len = payload.len();
        let checksum = self.checksum.zip(crc);
        let upload = PartUpload {
            object: &self.object,
            upload_id: &self.upload_id,
            number,
            payload,
            checksum,
            progress: Some(self.progress.clone()),
        };
        let stored = self.client.upload_part(upload).await?;
        let echoed = stored.echoed.is_some();
        let checksum = checksum.map(|(algorithm, value)| (algorithm, checksum::encode(algorithm, value)));
        let part = CompletedPart { number, etag: stored.etag.unwrap_or_default(), checksum };
        Ok(Sent { part, len, crc, echoed, attempts: stored.attempts })
    }

    /// Puts the object together, if the parts are all there are of `size` bytes.
    pub async fn complete(&self, mut sent: Vec<Sent>, size: u64, conditions: &[(String, String)]) -> Result<Assembled> {
        sent.sort_by_key(|sent| sent.part.number);
        let total: u64 = sent.iter().map(|sent| sent.len).sum();
        let in_order = sent.iter().zip(1..).all(|(sent, number)| sent.part.number == number);
        if total != size || !in_order {
            return Err(Error::integrity(format!("the parts sent hold {total} of {size} bytes")));
        }
        let crc = self.checksum.and_then(|algorithm| combined(algorithm, &sent));
        let parts: Vec<CompletedPart> = sent.iter().map(|sent| sent.part.clone()).collect();
        let completed = Completed {
            object: &self.object,
            upload_id: &self.upload_id,
            parts: &parts,
            size,
            checksum: self.checksum.zip(crc),
            headers: conditions.to_vec(),
        };
        let stored = complete(&self.client, &completed).await?;
        self.progress.set_unfinished(None);
        let count = u32::try_from(sent.len()).unwrap_or(u32::MAX);
        let all_echoed = sent.iter().all(|sent| sent.echoed);
        let verified = verified(&self.client, self.checksum.zip(crc), &stored, count, all_echoed);
        Ok(Assembled { stored, parts: count, attempts: sent.iter().map(|sent| sent.attempts).sum(), verified })
    }

    /// Stops what the store still holds of the upload; the first cause stays the error. No part may be under way.
    pub async fn abort(&self, cause: Error) -> Error {
        let cancelled = cause.kind() == ErrorKind::Cancelled;
        let limit = if cancelled { ABORT_LIMIT_CANCELLED } else { ABORT_LIMIT };
        match tokio::time::timeout(limit, self.abort_rounds()).await {
            Ok(Ok(())) => {
                self.progress.set_unfinished(None);
                cause
            }
            _ => cause.with_upload_id(&self.upload_id),
        }
    }

    /// Removes it because that was asked for.
    pub async fn remove(&self) -> Result<()> {
        let late = |_| Error::new(ErrorKind::Timeout, "the multipart upload could not be aborted in time");
        let removed = tokio::time::timeout(ABORT_LIMIT, self.abort_rounds()).await.map_err(late);
        removed.and_then(|outcome| outcome).map_err(|error| error.with_upload_id(&self.upload_id))
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
    ours: Option<(Algorithm, u64)>,
    stored: &Stored,
    parts: u32,
    all_echoed: bool,
) -> Verification {
    let Some((algorithm, crc)) = ours else {
        return Verification::Length("no checksum was sent".into());
    };
    match &stored.echoed {
        Some((_, value)) if *value == checksum::encode(algorithm, crc) => Verification::FullObject(algorithm.into()),
        _ if all_echoed => Verification::Parts(algorithm.into(), parts),
        _ if client.refuses_checksums() => Verification::Length("the store refuses checksum headers".into()),
        _ => Verification::Length("the store did not repeat the checksum".into()),
    }
}

/// The checksum over all bytes, from those of the parts in order.
fn combined(algorithm: Algorithm, sent: &[Sent]) -> Option<u64> {
    let nothing = checksum::checksum(algorithm, b"");
    sent.iter().try_fold(nothing, |sum, sent| Some(checksum::combine(algorithm, sum, sent.crc?, sent.len)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::ClientConfig;
    use crate::credentials::Signing;

    fn sent(number: u32, len: u64) -> Sent {
        let part = CompletedPart { number, etag: "e".into(), checksum: None };
        Sent { part, len, crc: None, echoed: false, attempts: 1 }
    }

    /// U4: before the store is asked.
    #[tokio::test]
    async fn parts_that_are_not_all_complete_nothing() {
        let config = ClientConfig { endpoint_url: Some("http://127.0.0.1:1".into()), ..ClientConfig::default() };
        let upload = Multipart {
            client: S3Client::new(config, Signing::Anonymous).unwrap(),
            object: ObjectRef::new("bucket", "key", None).unwrap(),
            upload_id: "id".into(),
            checksum: None,
            progress: Arc::default(),
        };
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
