//! The ledger of one multipart upload.

use std::collections::BTreeMap;

use crate::checksum::Algorithm;
use crate::store::content::Content;
use crate::store::object::{Checksum, ChecksumKind};

/// An open multipart upload.
pub(crate) struct Upload {
    pub id: String,
    pub key: String,
    pub started: i64,
    pub headers: Vec<(String, String)>,
    pub tagging: Option<String>,
    /// `None` for a store without checksums.
    pub algorithm: Option<Algorithm>,
    pub kind: ChecksumKind,
    /// True if the client named an algorithm, so that the parts are echoed with it.
    pub was_asked: bool,
    pub parts: BTreeMap<u32, UploadedPart>,
}

/// A part that has arrived.
#[derive(Clone)]
pub(crate) struct UploadedPart {
    pub etag: Option<String>,
    pub md5: Option<Vec<u8>>,
    pub content: Content,
    pub modified: i64,
    pub checksum: Option<Checksum>,
    pub raw_checksum: Vec<u8>,
}
