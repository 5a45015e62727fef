//! How many files and sockets a client may have open, by what the process has left (#70, F15).
//!
//! A transfer that cannot open its file would fail where it could as well have waited, so those that would need more
//! descriptors than there are wait for those before them. Half are for files and half for sockets. What others in the process open
//! meanwhile is not foreseen: a socket that cannot be had is tried again, a file is an error.

use std::sync::Arc;

use rustix::process::{Resource, getrlimit};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::error::Result;

/// A directory, a hidden file, a ledger, and for a moment another directory.
const EACH_FILE: usize = 4;
/// What a process has open, where it cannot be counted.
const USED: u64 = 16;
/// The runtime's own, which starts later.
const RUNTIME: u64 = 8;

pub struct Descriptors {
    files: Arc<Semaphore>,
    sockets: usize,
}

impl Descriptors {
    pub fn of_this_process() -> Self {
        let limit = getrlimit(Resource::Nofile).current.unwrap_or(u64::MAX);
        let used = std::fs::read_dir("/proc/self/fd").map_or(USED, |entries| entries.count() as u64);
        Self::of(limit.saturating_sub(used + RUNTIME))
    }

    fn of(left: u64) -> Self {
        let half = usize::try_from(left / 2).unwrap_or(usize::MAX);
        let files = half / EACH_FILE;
        Self { files: Arc::new(Semaphore::new(files.clamp(1, Semaphore::MAX_PERMITS))), sockets: half.max(1) }
    }

    /// The most requests at once.
    pub fn sockets(&self) -> usize {
        self.sockets
    }

    /// The right to open what one transfer keeps open, until it is dropped.
    pub async fn for_a_file(&self) -> Result<OwnedSemaphorePermit> {
        // Nobody closes it, so this cannot fail.
        Ok(self.files.clone().acquire_owned().await.expect("the places of files are never closed"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn few_are_shared_and_never_none() {
        let few = Descriptors::of(48);
        assert_eq!((few.files.available_permits(), few.sockets()), (6, 24));
        let place = few.for_a_file().await.unwrap();
        assert_eq!(few.files.available_permits(), 5);
        drop(place);
        assert_eq!(few.files.available_permits(), 6);
        let none = Descriptors::of(0);
        assert_eq!((none.files.available_permits(), none.sockets()), (1, 1));
        assert!(Descriptors::of(u64::MAX).files.available_permits() > 1_000_000);
    }
}
