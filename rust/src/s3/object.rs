//! What s3 says of an object: its identity, its metadata, one line of a listing.
//!
//! Plain values; the wire's strings are already understood when they get here.

use std::time::SystemTime;

use crate::checksum::{Algorithm, Digest};

/// Which version of an object is meant, as its first answer fixed it.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct ObjectIdentity {
    pub size: u64,
    /// As sent, quotes included.
    pub etag: Option<String>,
    pub version_id: Option<String>,
    pub last_modified: Option<SystemTime>,
    pub content_type: Option<String>,
    pub storage_class: Option<String>,
}

impl ObjectIdentity {
    /// The ETag later requests can be pinned by: there, and not weak (I4).
    pub fn strong_etag(&self) -> Option<&str> {
        self.etag.as_deref().filter(|etag| !etag.starts_with("W/"))
    }
}

/// The checksum a store holds for an object, and what it can be compared with (C3).
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum StoredChecksum {
    /// Over all bytes.
    FullObject(Algorithm, u64),
    /// Over all bytes, by a hash that needs them in order (C7).
    FullSha(Digest),
    /// Over the values of the parts the object was uploaded in; comparing needs to know these parts (C6).
    Composite {
        value: Digest,
        parts: u32,
    },
    /// There is one, but of a kind that cannot be compared with anything; the text says why.
    NotUsable(String),
    /// There is one, and it cannot be one: not base64 of the right length (C8).
    Damaged(String),
    None,
}

/// What HeadObject tells.
#[derive(Debug, Clone)]
pub struct ObjectHead {
    pub identity: ObjectIdentity,
    pub checksum: StoredChecksum,
    /// `x-amz-meta-` headers, without that prefix.
    pub metadata: Vec<(String, String)>,
    /// The other headers a user may want to see (no request ids).
    pub headers: Vec<(String, String)>,
}

/// In the metadata of an object that was stored under a condition: who stored it (C12).
pub const WRITE_ID: &str = "s3z-write-id";

impl ObjectHead {
    pub fn write_id(&self) -> Option<&str> {
        self.metadata.iter().find(|(name, _)| name == WRITE_ID).map(|(_, value)| value.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn weak_and_missing_etags_pin_nothing() {
        let with = |etag: Option<&str>| ObjectIdentity { etag: etag.map(str::to_owned), ..ObjectIdentity::default() };
        assert_eq!(with(Some("\"a\"")).strong_etag(), Some("\"a\""));
        assert_eq!(with(Some("W/\"a\"")).strong_etag(), None);
        assert_eq!(with(None).strong_etag(), None);
    }
}
