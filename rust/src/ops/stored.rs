//! The checksum the store holds, asked for while bytes already flow (C4), and whether it may be compared.

use std::sync::{Arc, OnceLock};

use tokio::sync::Notify;

use crate::checksum::Kind;
use crate::error::{Error, ErrorKind};
use crate::ops::sums::Wanted;
use crate::ops::tasks::Tasks;
use crate::s3::client::{ObjectRef, PartLayout, S3Client};
use crate::s3::object::{ObjectHead, ObjectIdentity, StoredChecksum};

/// Whether and how strictly content is compared with the stored checksum (C1).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Verify {
    #[default]
    Auto,
    Require,
    Off,
}

const REFUSAL: &str = "verify is \"require\", but ";

/// A typed refusal where `require` finds nothing to compare with.
pub fn require(why: &str) -> Error {
    Error::new(ErrorKind::Integrity, format!("{REFUSAL}{why}"))
}

/// Whether it is one: other bytes would be refused as well.
pub fn is_refusal(error: &Error) -> bool {
    error.message().starts_with(REFUSAL)
}

/// The question and, once it came, the answer.
pub struct StoredSum {
    answer: Tasks<Answer>,
    wanted: Arc<OnceLock<Wanted>>,
    came: Arc<Notify>,
}

struct Answer {
    head: ObjectHead,
    /// Of a composite checksum: the parts, or why they are not known.
    layout: Option<Result<PartLayout, String>>,
}

/// What the store holds of the version that was fetched.
pub struct Stored {
    pub checksum: StoredChecksum,
    pub layout: Option<Result<PartLayout, String>>,
}

impl Stored {
    fn not_usable(why: String) -> Self {
        Self { checksum: StoredChecksum::NotUsable(why), layout: None }
    }
}

impl StoredSum {
    /// Asks for it, unless nothing is to be compared.
    pub fn ask(client: &S3Client, object: &ObjectRef, compare: bool) -> Self {
        let (wanted, came) = (Arc::new(OnceLock::new()), Arc::new(Notify::new()));
        let mut answer = Tasks::new();
        if compare {
            let (client, object, wanted, came) = (client.clone(), object.clone(), wanted.clone(), came.clone());
            answer.spawn(async move {
                let answer = ask(&client, &object, None).await;
                let _ = wanted.set(answer.as_ref().map(Wanted::from).unwrap_or_default());
                came.notify_waiters();
                answer
            });
        } else {
            let _ = wanted.set(Wanted::default());
        }
        Self { answer, wanted, came }
    }

    /// What to compute over the bytes; empty as long as it is not known.
    pub fn wanted(&self) -> &Arc<OnceLock<Wanted>> {
        &self.wanted
    }

    /// Returns once it is known what will be compared.
    pub async fn known(&self) {
        let came = self.came.notified();
        tokio::pin!(came);
        came.as_mut().enable();
        if self.wanted.get().is_none() {
            came.await;
        }
    }

    /// Waits for the answer and makes sure that it is about the version that was fetched.
    pub async fn of(&mut self, client: &S3Client, object: &ObjectRef, got: &ObjectIdentity) -> Stored {
        let same = |head: &ObjectHead| head.identity.etag == got.etag && head.identity.size == got.size;
        let refused = |error: &Error| Stored::not_usable(format!("asking for the checksum failed: {error}"));
        let mut answer = match self.answer.next().await {
            None => return Stored { checksum: StoredChecksum::None, layout: None },
            Some(Err(error)) => return refused(&error),
            Some(Ok(answer)) => answer,
        };
        if !same(&answer.head) {
            answer = match ask(client, object, got.strong_etag()).await {
                Err(error) => return refused(&error),
                Ok(answer) => answer,
            };
        }
        if !same(&answer.head) {
            return Stored::not_usable("the store tells the checksum of another version".into());
        }
        Stored { checksum: answer.head.checksum, layout: answer.layout }
    }

    pub async fn stop(&mut self) {
        self.answer.stop().await;
    }
}

/// A HEAD and, where the checksum is one of parts, what these are.
async fn ask(client: &S3Client, object: &ObjectRef, if_match: Option<&str>) -> crate::error::Result<Answer> {
    let head = client.head_object(object, if_match).await?;
    let layout = match &head.checksum {
        StoredChecksum::Composite { value, parts } => {
            // Boxed, as it is large and rare.
            Some(Box::pin(client.part_layout(object, &head.identity, value.kind(), *parts)).await)
        }
        _ => None,
    };
    Ok(Answer { head, layout })
}

impl From<&Answer> for Wanted {
    fn from(answer: &Answer) -> Self {
        let kind = match (&answer.head.checksum, &answer.layout) {
            (StoredChecksum::FullObject(algorithm, _), _) => return Self { crc: Some(*algorithm), ..Self::default() },
            (StoredChecksum::Composite { value, .. }, Some(Ok(_))) => value.kind(),
            _ => return Self::default(),
        };
        let parts = answer.layout.iter().flatten().flat_map(|layout| &layout.parts);
        let cuts = parts.map(|part| part.range.end).collect();
        match kind {
            Kind::Crc(algorithm) => Self { crc: Some(algorithm), sha: None, cuts },
            Kind::Sha(sha) => Self { crc: None, sha: Some(sha), cuts },
        }
    }
}
