//! What an operation says when it has ended well: what was moved, and what was proved about it.

use std::time::{Instant, SystemTime};

use crate::checksum::Kind;
use crate::ops::multipart::Assembled;
use crate::s3::object::ObjectIdentity;

/// What was compared; nothing is called verified that was not (promise 3).
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verification {
    /// The checksum over all bytes equals the one the store holds.
    FullObject(Kind),
    /// Each of so many parts, which together are the object, was compared with the checksum the store holds of it.
    Parts(Kind, u32),
    /// Only lengths; the text says why.
    Length(String),
}

impl Verification {
    /// `full_object`, `parts` or `length`.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::FullObject(_) => "full_object",
            Self::Parts(..) => "parts",
            Self::Length(_) => "length",
        }
    }

    /// What it was compared by.
    pub fn algorithm(&self) -> Option<Kind> {
        match self {
            Self::FullObject(kind) | Self::Parts(kind, _) => Some(*kind),
            Self::Length(_) => None,
        }
    }

    pub fn detail(&self) -> Option<String> {
        match self {
            Self::FullObject(_) => None,
            Self::Parts(_, count) => Some(count.to_string()),
            Self::Length(why) => Some(why.clone()),
        }
    }
}

#[derive(Debug, Clone)]
pub struct TransferReport {
    pub bytes: u64,
    pub seconds: f64,
    pub etag: Option<String>,
    pub version_id: Option<String>,
    /// Ranges or parts; 1 for a transfer of one request.
    pub parts: u32,
    /// Requests for the object's bytes, retries included; as many as parts: nothing was tried twice.
    pub attempts: u32,
    /// Bytes that an earlier run had moved and that proved intact.
    pub resumed_bytes: u64,
    pub verified: Verification,
    pub last_modified: Option<SystemTime>,
    pub content_type: Option<String>,
    pub storage_class: Option<String>,
}

/// How the bytes of an object came.
pub struct Moved {
    pub parts: u32,
    pub attempts: u32,
    pub resumed_bytes: u64,
}

impl TransferReport {
    /// Of an object, or a range of it, that was read.
    pub fn of_read(
        identity: ObjectIdentity,
        bytes: u64,
        started: Instant,
        moved: Moved,
        verified: Verification,
    ) -> Self {
        Self {
            bytes,
            seconds: started.elapsed().as_secs_f64(),
            etag: identity.etag,
            version_id: identity.version_id,
            parts: moved.parts,
            attempts: moved.attempts,
            resumed_bytes: moved.resumed_bytes,
            verified,
            last_modified: identity.last_modified,
            content_type: identity.content_type,
            storage_class: identity.storage_class,
        }
    }

    /// Of an object that was stored.
    pub fn of_upload(assembled: Assembled, bytes: u64, started: Instant) -> Self {
        let Assembled { stored, parts, attempts, resumed_bytes, verified } = assembled;
        Self {
            bytes,
            seconds: started.elapsed().as_secs_f64(),
            etag: stored.etag,
            version_id: stored.version_id,
            parts,
            attempts,
            resumed_bytes,
            verified,
            last_modified: None,
            content_type: None,
            storage_class: None,
        }
    }
}
