//! What unpacking leaves to tell, counted while threads run.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};

use crate::archive::entry::{Entry, Kind};
use crate::archive::report::Failure;
use crate::archive::tree::{Done, Finished};
use crate::error::{Error, Result};

#[derive(Debug, Clone, Default)]
pub struct UnpackReport {
    pub entries: u64,
    pub files: u64,
    pub directories: u64,
    pub symlinks: u64,
    pub hard_links: u64,
    /// Original bytes of files that were written.
    pub bytes: u64,
    pub skipped: BTreeMap<&'static str, u64>,
    pub failures: Vec<Failure>,
    pub seconds: f64,
}

#[derive(Default)]
pub struct UnpackTally(Mutex<UnpackReport>);

impl UnpackTally {
    fn change(&self, change: impl FnOnce(&mut UnpackReport)) {
        change(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner));
    }

    /// What became of an entry.
    pub fn made(&self, entry: &Entry, outcome: Result<Done>) {
        match outcome {
            Err(error) => self.failed(&entry.name, &error),
            Ok(Done::Skipped) => self.skipped("exists"),
            Ok(Done::LeftOut(reason)) => self.skipped(reason),
            Ok(Done::Written) => self.change(|report| {
                report.entries += 1;
                match entry.kind {
                    Kind::File => report.files += 1,
                    Kind::Directory => report.directories += 1,
                    Kind::Symlink => report.symlinks += 1,
                    Kind::HardLink => report.hard_links += 1,
                }
                report.bytes += entry.data_len();
            }),
        }
    }

    /// The same where it may be known later only: of a symbolic link at the end, of what is under way once that has ended.
    pub fn begun(&self, entry: &Entry, outcome: Result<Option<Done>>) {
        if let Some(outcome) = outcome.transpose() {
            self.made(entry, outcome);
        }
    }

    pub fn skipped(&self, reason: &'static str) {
        self.change(|report| *report.skipped.entry(reason).or_default() += 1);
    }

    pub fn failed(&self, name: &[u8], error: &Error) {
        let (kind, errno, message) = (error.kind(), error.errno(), error.message().to_owned());
        self.change(|report| report.failures.push(Failure { name: name.to_vec(), kind, errno, message }));
    }

    /// A file that was written, and is gone again.
    pub fn withdrawn(&self, name: &[u8], error: &Error, size: u64) {
        self.change(|report| {
            report.entries -= 1;
            report.files -= 1;
            report.bytes -= size;
        });
        self.failed(name, error);
    }

    /// With what only the end of the tree tells; failures in order of their names.
    pub fn finish(&self, finished: Finished) -> UnpackReport {
        for (name, error) in &finished.failures {
            self.failed(name, error);
        }
        let mut report = std::mem::take(&mut *self.0.lock().unwrap_or_else(PoisonError::into_inner));
        report.symlinks += finished.symlinks;
        report.entries += finished.symlinks;
        for _ in &finished.skipped {
            *report.skipped.entry("exists").or_default() += 1;
        }
        if finished.lost_xattrs > 0 {
            report.skipped.insert("xattrs", finished.lost_xattrs);
        }
        report.failures.sort_by(|a, b| a.name.cmp(&b.name));
        report
    }
}
