//! Whether an entry is transferred at all: `-n`, `-s`, `-u` (cli.md 2.7), and under which condition it is then written.

use std::time::SystemTime;

use super::entry::Entry;
use crate::error::{ErrorKind, Result};
use crate::ops::engine::Engine;
use crate::s3::client::ObjectRef;

/// The tests that were asked for, in the order in which they are made; the last one decides.
#[derive(Debug, Clone, Copy, Default)]
pub struct Tests {
    pub no_clobber: bool,
    pub if_size_differs: bool,
    pub if_newer: bool,
}

/// What is at the destination.
#[derive(Debug, Clone, Default)]
pub struct There {
    pub size: u64,
    pub modified: Option<SystemTime>,
    pub etag: Option<String>,
}

/// What a write relies on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Condition {
    None,
    /// Nothing was there, and nothing may be.
    Absent,
    /// The object of this ETag was there.
    Etag(String),
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Decision {
    Go(Condition),
    Skip(&'static str),
}

impl Tests {
    pub fn any(self) -> bool {
        self.no_clobber || self.if_size_differs || self.if_newer
    }

    /// Whether only existence counts, so that a lost race is a skip.
    pub fn only_existence(self) -> bool {
        self.no_clobber && !self.if_size_differs && !self.if_newer
    }

    pub fn decide(self, entry: &Entry, there: Option<&There>) -> Decision {
        let Some(there) = there else { return Decision::Go(Condition::Absent) };
        let mut skip = None;
        if self.no_clobber {
            skip = Some("exists");
        }
        if self.if_size_differs {
            skip = (entry.size == Some(there.size)).then_some("same_size");
        }
        if self.if_newer {
            let newer = match (entry.modified, there.modified) {
                (Some(ours), Some(theirs)) => ours > theirs,
                _ => true,
            };
            skip = (!newer).then_some("not_newer");
        }
        match skip {
            Some(reason) => Decision::Skip(reason),
            None => Decision::Go(there.etag.clone().map_or(Condition::None, Condition::Etag)),
        }
    }
}

/// What is at a key now.
pub async fn look(engine: &Engine, object: &ObjectRef) -> Result<Option<There>> {
    match engine.client.head_object(object, None).await {
        Ok(head) => Ok(Some(There {
            size: head.identity.size,
            modified: head.identity.last_modified,
            etag: head.identity.etag,
        })),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

#[cfg(test)]
mod tests {
    use super::super::entry::Place;
    use super::*;
    use std::time::{Duration, UNIX_EPOCH};

    /// Every combination, with a destination of the same or another size that is older, as old, or newer.
    #[test]
    fn the_last_test_decides() {
        let at = |seconds| Some(UNIX_EPOCH + Duration::from_secs(seconds));
        let entry =
            Entry { relative: b"k".into(), place: Place::File("k".into()), size: Some(5), modified: at(100), inode: 0 };
        for bits in 1..8u8 {
            let tests = Tests { no_clobber: bits & 1 > 0, if_size_differs: bits & 2 > 0, if_newer: bits & 4 > 0 };
            assert_eq!(tests.decide(&entry, None), Decision::Go(Condition::Absent));
            for (size, seconds) in [(5, 99), (5, 100), (5, 101), (6, 99), (6, 100), (6, 101)] {
                let there = There { size, modified: at(seconds), etag: Some("e".into()) };
                let skip = match () {
                    () if tests.if_newer => (seconds >= 100).then_some("not_newer"),
                    () if tests.if_size_differs => (size == 5).then_some("same_size"),
                    () => Some("exists"),
                };
                let expected = skip.map_or(Decision::Go(Condition::Etag("e".into())), Decision::Skip);
                assert_eq!(tests.decide(&entry, Some(&there)), expected, "{tests:?} {size} {seconds}");
            }
        }
    }
}
