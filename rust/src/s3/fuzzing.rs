//! Doors to the private parsers of this leaf, for the fuzz targets and their twins (feature `fuzzing`).
//!
//! Nothing but calls: what must hold of the answers stands in `rust/fuzz/src/properties`. No build that is shipped
//! has this module.

use std::ops::Range;

use http::HeaderMap;

use super::answer::{Asked, check};
use super::object::{ObjectIdentity, StoredChecksum};

pub use super::answer::parse_content_range;

/// What an answer to a GET is accepted as: the version, and the bytes its body holds; `None` if it is refused.
pub fn check_answer(
    status: u16,
    headers: &HeaderMap,
    range: Option<Range<u64>>,
    pinned: Option<&ObjectIdentity>,
) -> Option<(ObjectIdentity, Option<Range<u64>>)> {
    let accepted = check(status, headers, &Asked { range, tail: None, pinned }).ok()?;
    Some((accepted.identity, accepted.range))
}

/// The stored checksum that headers tell of.
pub fn stored_checksum(headers: &HeaderMap, etag: Option<&str>) -> StoredChecksum {
    super::stored_checksum::stored_checksum(headers, etag)
}
