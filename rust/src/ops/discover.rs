//! Discovery: the first ranged GET tells size, version and first bytes; a HEAD beside it tells the checksum.
//!
//! No HEAD comes before the GET (I1), and the ranges do not wait for it (C4). What cannot be ranged, because the
//! object is empty or its version cannot be pinned, is fetched by one plain GET (I4, I10).

use std::sync::{Arc, OnceLock};

use crate::checksum::{Algorithm, RunningCrcs};
use crate::error::{Error, ErrorKind, Result};
use crate::ops::tasks::Tasks;
use crate::s3::body::ObjectBody;
use crate::s3::client::{GetRequest, ObjectRef, S3Client};
use crate::s3::object::{ObjectHead, ObjectIdentity, StoredChecksum};

/// How the object may be fetched.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Shape {
    /// In ranges of this size.
    Ranged(u64),
    /// By one plain GET.
    Whole,
}

/// Opens the object's first range, or all of it where ranges cannot be had.
pub async fn discover(client: &S3Client, get: &GetRequest, shape: Shape) -> Result<ObjectBody> {
    let whole = || GetRequest { range: None, ..get.clone() };
    let Shape::Ranged(part_size) = shape else { return client.get_object(whole()).await };
    let first = GetRequest { range: Some(0..part_size), ..get.clone() };
    match client.get_object(first).await {
        // An empty object has no first byte.
        Err(error) if error.status() == Some(416) => client.get_object(whole()).await,
        Ok(body) if body.identity().strong_etag().is_none() && !is_whole(&body) => client.get_object(whole()).await,
        opened => opened,
    }
}

fn is_whole(body: &ObjectBody) -> bool {
    matches!(body.range(), (0, None)) || body.range() == (0, Some(body.identity().size))
}

/// What was fetched: of which version, and how many bytes.
pub struct Received<'a> {
    pub identity: &'a ObjectIdentity,
    pub bytes: u64,
}

/// The checksum the store holds, asked for while bytes already flow.
pub struct StoredSum {
    head: Tasks<ObjectHead>,
    /// Set once it is known which algorithm will be compared, if any.
    wanted: Arc<OnceLock<Option<Algorithm>>>,
}

impl StoredSum {
    /// Asks for it; `None` where nothing is to be compared.
    pub fn ask(client: &S3Client, object: &ObjectRef, compare: bool) -> Self {
        let wanted = Arc::new(OnceLock::new());
        let mut head = Tasks::new();
        if compare {
            let (client, object, wanted) = (client.clone(), object.clone(), wanted.clone());
            head.spawn(async move {
                let answer = client.head_object(&object, None).await;
                let algorithm = match answer.as_ref().map(|head| &head.checksum) {
                    Ok(StoredChecksum::FullObject(algorithm, _)) => Some(*algorithm),
                    _ => None,
                };
                let _ = wanted.set(algorithm);
                answer
            });
        } else {
            let _ = wanted.set(None);
        }
        Self { head, wanted }
    }

    /// What to compute over the bytes of a range that starts now (C2).
    pub fn running(&self) -> RunningCrcs {
        match self.wanted.get() {
            Some(Some(algorithm)) => RunningCrcs::only(*algorithm),
            Some(None) => RunningCrcs::none(),
            None => RunningCrcs::all(),
        }
    }

    /// Waits for the answer and makes sure that it is about the version that was fetched (C4). An inner error says
    /// why there is nothing to compare with.
    pub async fn of(&mut self, client: &S3Client, object: &ObjectRef, got: &Received<'_>) -> StoredChecksum {
        let same = |head: &ObjectHead| head.identity.etag == got.identity.etag && head.identity.size == got.bytes;
        let refused = |error: &Error| StoredChecksum::NotUsable(format!("asking for the checksum failed: {error}"));
        let mut head = match self.head.next().await {
            None => return StoredChecksum::None,
            Some(Err(error)) => return refused(&error),
            Some(Ok(head)) => head,
        };
        if !same(&head) {
            head = match client.head_object(object, got.identity.strong_etag()).await {
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
