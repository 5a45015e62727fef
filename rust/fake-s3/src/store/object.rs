//! One version of an object: bytes, ETag, headers, checksum, parts.

use std::sync::Mutex;

use crate::checksum::{Algorithm, to_base64};
use crate::store::content::Content;
use crate::sync::lock;

/// Whether a checksum covers the bytes or the checksums of the parts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ChecksumKind {
    FullObject,
    Composite,
}

impl ChecksumKind {
    pub fn name(self) -> &'static str {
        match self {
            Self::FullObject => "FULL_OBJECT",
            Self::Composite => "COMPOSITE",
        }
    }

    pub fn parse(name: &str) -> Option<Self> {
        [Self::FullObject, Self::Composite].into_iter().find(|kind| kind.name() == name)
    }
}

/// A stored checksum as it goes over the wire (base64, composite ones with `-N`).
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Checksum {
    pub algorithm: Algorithm,
    pub kind: ChecksumKind,
    pub value: String,
}

/// A part of a completed multipart object.
#[derive(Clone, Debug)]
pub(crate) struct ObjectPart {
    pub number: u32,
    pub size: u64,
    pub checksum: Option<Checksum>,
}

/// How an object came by its checksum.
pub(crate) enum Stored {
    None,
    Known(Checksum),
    /// Computed from the content when somebody asks (patterns).
    Lazy(Algorithm, Mutex<Option<String>>),
}

/// One version.
pub(crate) struct Object {
    pub version_id: String,
    /// With its quotes, or `None` for a store without ETags.
    pub etag: Option<String>,
    pub content: Content,
    pub modified: i64,
    /// Content-Type, Cache-Control …, x-amz-meta-*, as they were sent.
    pub headers: Vec<(String, String)>,
    pub tagging: Option<String>,
    pub stored: Stored,
    pub parts: Vec<ObjectPart>,
    pub is_delete_marker: bool,
}

impl Object {
    pub fn new(content: Content) -> Self {
        Self {
            version_id: "null".to_owned(),
            etag: None,
            content,
            modified: 0,
            headers: Vec::new(),
            tagging: None,
            stored: Stored::None,
            parts: Vec::new(),
            is_delete_marker: false,
        }
    }

    pub fn size(&self) -> u64 {
        self.content.len()
    }

    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str())
    }

    pub fn checksum(&self) -> Option<Checksum> {
        match &self.stored {
            Stored::None => None,
            Stored::Known(checksum) => Some(checksum.clone()),
            Stored::Lazy(algorithm, cache) => {
                let mut cache = lock(cache);
                if cache.is_none() {
                    *cache = self.content.checksum(*algorithm).ok().map(|value| to_base64(&value));
                }
                let value = cache.clone()?;
                Some(Checksum { algorithm: *algorithm, kind: ChecksumKind::FullObject, value })
            }
        }
    }

    /// The half-open byte range of a part: of the one part of a plain object, or of part `number`.
    pub fn part_range(&self, number: u32) -> Option<(u64, u64)> {
        if self.parts.is_empty() {
            return (number == 1).then_some((0, self.size()));
        }
        let mut start = 0;
        for part in &self.parts {
            if part.number == number {
                return Some((start, start + part.size));
            }
            start += part.size;
        }
        None
    }
}
