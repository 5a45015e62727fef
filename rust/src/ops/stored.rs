//! The checksum the store holds, asked for while bytes already flow (C4), and whether it may be compared.

use std::sync::{Arc, OnceLock};

use crate::error::{Error, ErrorKind};
use crate::ops::sums::Wanted;
use crate::ops::tasks::Tasks;
use crate::s3::client::{ObjectRef, S3Client};
use crate::s3::object::{ObjectHead, ObjectIdentity, StoredChecksum};

/// Whether and how strictly content is compared with the stored checksum (C1).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Verify {
    #[default]
    Auto,
    Require,
    Off,
}

/// A typed refusal where `require` finds nothing to compare with.
pub fn require(why: &str) -> Error {
    Error::new(ErrorKind::Integrity, format!("verify is \"require\", but {why}"))
}

/// The question and, once it came, the answer.
pub struct StoredSum {
    head: Tasks<ObjectHead>,
    wanted: Arc<OnceLock<Wanted>>,
}

impl StoredSum {
    /// Asks for it, unless nothing is to be compared.
    pub fn ask(client: &S3Client, object: &ObjectRef, compare: bool) -> Self {
        let wanted = Arc::new(OnceLock::new());
        let mut head = Tasks::new();
        if compare {
            let (client, object, wanted) = (client.clone(), object.clone(), wanted.clone());
            head.spawn(async move {
                let answer = client.head_object(&object, None).await;
                let crc = match answer.as_ref().map(|head| &head.checksum) {
                    Ok(StoredChecksum::FullObject(algorithm, _)) => Some(*algorithm),
                    _ => None,
                };
                let _ = wanted.set(Wanted { crc, ..Wanted::default() });
                answer
            });
        } else {
            let _ = wanted.set(Wanted::default());
        }
        Self { head, wanted }
    }

    /// What to compute over the bytes; empty as long as it is not known.
    pub fn wanted(&self) -> &Arc<OnceLock<Wanted>> {
        &self.wanted
    }

    /// Waits for the answer and makes sure that it is about the version that was fetched.
    pub async fn of(&mut self, client: &S3Client, object: &ObjectRef, got: &ObjectIdentity) -> StoredChecksum {
        let same = |head: &ObjectHead| head.identity.etag == got.etag && head.identity.size == got.size;
        let refused = |error: &Error| StoredChecksum::NotUsable(format!("asking for the checksum failed: {error}"));
        let mut head = match self.head.next().await {
            None => return StoredChecksum::None,
            Some(Err(error)) => return refused(&error),
            Some(Ok(head)) => head,
        };
        if !same(&head) {
            head = match client.head_object(object, got.strong_etag()).await {
                Err(error) => return refused(&error),
                Ok(head) => head,
            };
        }
        if !same(&head) {
            return StoredChecksum::NotUsable("the store tells the checksum of another version".into());
        }
        head.checksum
    }

    pub async fn stop(&mut self) {
        self.head.stop().await;
    }
}
