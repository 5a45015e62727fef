//! What packing leaves to tell: true counts, what was skipped, what failed.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::sync::{Mutex, PoisonError};

use crate::archive::entry::Kind;
use crate::error::{Error, ErrorKind, Result};

/// One entry that was left out, or is not what it should be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Failure {
    pub name: Vec<u8>,
    pub kind: ErrorKind,
    pub errno: Option<i32>,
    pub message: String,
}

/// What was packed.
#[derive(Debug, Clone, Default)]
pub struct PackReport {
    pub entries: u64,
    pub files: u64,
    pub directories: u64,
    pub symlinks: u64,
    pub hard_links: u64,
    pub compressed_files: u64,
    pub stored_files: u64,
    pub empty_files: u64,
    /// Original bytes of files.
    pub bytes_in: u64,
    /// Of the whole object.
    pub bytes_out: u64,
    pub skipped: BTreeMap<&'static str, u64>,
    pub failures: Vec<Failure>,
    pub workers: usize,
    pub seconds: f64,
    pub root: [u8; 32],
}

/// Failures and skips, counted while threads run.
pub struct Tally {
    /// Whether the first failure of an entry ends everything.
    pub fails: bool,
    failures: Mutex<Vec<Failure>>,
    /// Names that are not in the archive, though something may link to them.
    absent: Mutex<HashSet<Vec<u8>>>,
    has_absent: AtomicBool,
    /// Files that had another size when they were read than when they were found, for what links to them.
    resized: Mutex<HashMap<Vec<u8>, u64>>,
    skipped: Mutex<BTreeMap<&'static str, u64>>,
}

impl Tally {
    pub fn new(fails: bool) -> Self {
        Self {
            fails,
            failures: Mutex::default(),
            absent: Mutex::default(),
            has_absent: AtomicBool::new(false),
            resized: Mutex::default(),
            skipped: Mutex::default(),
        }
    }

    pub fn skipped(&self, reason: &'static str) {
        *self.skipped.lock().unwrap_or_else(PoisonError::into_inner).entry(reason).or_default() += 1;
    }

    /// An entry is left out because of `error`; or, if that is not allowed, everything ends with it.
    pub fn failed(&self, name: &[u8], error: Error) -> Result<()> {
        self.absent.lock().unwrap_or_else(PoisonError::into_inner).insert(name.to_vec());
        self.has_absent.store(true, Relaxed);
        self.spoilt(name, error)
    }

    /// The same of an entry that stays in, incomplete or changed.
    pub fn spoilt(&self, name: &[u8], error: Error) -> Result<()> {
        let shown = crate::error::escape(&String::from_utf8_lossy(name), crate::error::MAX_SHOWN);
        if self.fails {
            return Err(match error.path() {
                Some(_) => error,
                None => Error::new(error.kind(), format!("\"{shown}\": {}", error.message())).with_source(error),
            });
        }
        let (kind, errno, message) = (error.kind(), error.errno(), error.message().to_owned());
        let failure = Failure { name: name.to_vec(), kind, errno, message };
        self.failures.lock().unwrap_or_else(PoisonError::into_inner).push(failure);
        Ok(())
    }

    pub fn has_absent(&self) -> bool {
        self.has_absent.load(Relaxed)
    }

    pub fn is_absent(&self, name: &[u8]) -> bool {
        self.has_absent() && self.absent.lock().unwrap_or_else(PoisonError::into_inner).contains(name)
    }

    pub fn resized(&self, name: &[u8], size: u64) {
        self.resized.lock().unwrap_or_else(PoisonError::into_inner).insert(name.to_vec(), size);
    }

    /// The size that a file turned out to have, if that is another than it was found with.
    pub fn size_of(&self, name: &[u8]) -> Option<u64> {
        self.resized.lock().unwrap_or_else(PoisonError::into_inner).get(name).copied()
    }

    /// Adds what was counted to a report; failures in order of their names.
    pub fn finish(self, report: &mut PackReport) {
        report.skipped = self.skipped.into_inner().unwrap_or_else(PoisonError::into_inner);
        report.failures = self.failures.into_inner().unwrap_or_else(PoisonError::into_inner);
        report.failures.sort_by(|a, b| a.name.cmp(&b.name));
    }
}

impl PackReport {
    /// Counts an entry, of a file when its last row has come.
    pub fn count(&mut self, kind: Kind) {
        self.entries += 1;
        match kind {
            Kind::File => self.files += 1,
            Kind::Directory => self.directories += 1,
            Kind::Symlink => self.symlinks += 1,
            Kind::HardLink => self.hard_links += 1,
        }
    }
}
