//! From a key to a path (K1, K2, S18, #65): what is accepted stays beneath its directory, byte for byte, and no two keys
//! meet in one path.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::{Component, Path, PathBuf};

use s3z::confine::{MAX_NAME, MAX_PATH, relative};

pub fn holds(key: &[u8]) -> bool {
    let segments = match relative(key) {
        Ok(segments) => segments,
        Err(error) => {
            assert!(is_unsafe(key), "refused without a reason: {error}");
            return false;
        }
    };
    assert!(!is_unsafe(key), "{:?}", key.escape_ascii().to_string());
    let joined = segments.join(OsStr::new("/"));
    assert_eq!(joined.as_bytes(), key, "one key, one path");
    let base = Path::new("/destination");
    let path: PathBuf = segments.iter().fold(base.to_owned(), |path, segment| path.join(segment));
    let below = path.strip_prefix(base).expect("beneath the destination");
    assert!(below.components().all(|component| matches!(component, Component::Normal(_))));
    assert_eq!(below.components().count(), segments.len(), "no segment is lost");
    true
}

/// The rule, one segment after another.
fn is_unsafe(key: &[u8]) -> bool {
    let bad = |segment: &[u8]| {
        segment.is_empty() || segment == b"." || segment == b".." || segment.contains(&0) || segment.len() > MAX_NAME
    };
    key.len() > MAX_PATH || key.split(|byte| *byte == b'/').any(bad)
}
