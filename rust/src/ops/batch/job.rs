//! What all entries of a batch share: the two sides, the options, the counters.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, PoisonError};

use super::decide::Tests;
use super::entry::{Outcome, What};
use super::goal::{Beneath, Namer};
use super::manifest::Manifest;
use crate::checksum::Kind;
use crate::config::DirectIo;
use crate::error::Error;
use crate::ops::engine::Engine;
use crate::ops::stored::Verify;
use crate::progress::{Cancel, Progress};

/// What is done with each entry.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Operation {
    Copy,
    Move,
    Verify,
}

impl Operation {
    pub fn word(self) -> &'static str {
        match self {
            Self::Copy => "cp",
            Self::Move => "mv",
            Self::Verify => "verify",
        }
    }
}

/// What is done about objects in cold storage.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Glacier {
    #[default]
    Error,
    Skip,
    Try,
}

/// How entries are transferred.
#[derive(Debug, Clone, Default)]
pub struct How {
    pub tests: Tests,
    pub verify: Verify,
    pub resume_downloads: bool,
    pub resume_uploads: bool,
    pub durable: bool,
    pub direct_io: Option<DirectIo>,
    pub part_size: Option<u64>,
    pub max_concurrency: Option<usize>,
    pub checksum: Option<Kind>,
    /// Of objects that are made.
    pub headers: Vec<(String, String)>,
    /// Whether metadata of copies is that of `headers` only.
    pub replaces_metadata: bool,
    pub types: ContentTypes,
    pub glacier: Glacier,
    pub dry_run: bool,
    pub follows: bool,
    /// A comparison reads what no checksum is stored of.
    pub reads_content: bool,
    /// The first failure ends it all.
    pub exit_on_error: bool,
    /// Somebody is told what is skipped, by a record or a log.
    pub tells_skips: bool,
}

/// Content types by extension, and of what has none of these.
#[derive(Debug, Clone, Default)]
pub struct ContentTypes {
    pub by_extension: Arc<HashMap<String, String>>,
    pub text: String,
    pub bytes: String,
}

pub struct Job {
    pub operation: Operation,
    pub source: Engine,
    pub destination: Engine,
    /// Whether the server itself can copy from one to the other.
    pub copies_on_server: bool,
    /// Whether the sides are known to be one store, so that equal names are one object. If not, they may be all the same.
    pub is_one_store: bool,
    pub namer: Namer,
    pub beneath: Option<Arc<Beneath>>,
    pub how: How,
    pub progress: Arc<Progress>,
    pub cancel: Cancel,
    pub counts: Arc<Counts>,
    /// What earlier runs of this job have done.
    pub manifest: Option<Arc<Manifest>>,
    /// Permission bits of new files.
    pub mode: rustix::fs::Mode,
}

/// What came of a batch so far.
#[derive(Debug, Default)]
pub struct Counts {
    pub found: AtomicU64,
    pub done: AtomicU64,
    pub skipped: AtomicU64,
    pub failed: AtomicU64,
    pub deleted: AtomicU64,
    pub held_back: AtomicU64,
    /// Names that a comparison found to differ, and of these: on one side only, or not known to be the same.
    pub differs: AtomicU64,
    pub source_only: AtomicU64,
    pub destination_only: AtomicU64,
    pub unproven: AtomicU64,
    /// Writes whose condition the store does not know.
    pub unconditional: AtomicU64,
    pub transferred: AtomicU64,
    pub resumed: AtomicU64,
    pub full_object: AtomicU64,
    pub parts: AtomicU64,
    pub length: AtomicU64,
    /// A listing broke off: what is missing nobody knows.
    pub is_broken: AtomicBool,
    /// Keys could not be had, which is told once.
    pub is_keyless: AtomicBool,
    pub kept: Mutex<Kept>,
}

/// What stopped transfers left for the next run.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Kept {
    pub objects: u64,
    pub bytes: u64,
    /// Of the last one, if it is an upload.
    pub upload_id: Option<String>,
}

impl Counts {
    /// Whether this is to be told: that there are no keys is, but once.
    pub fn is_news(&self, outcome: &Outcome) -> bool {
        !outcome.is_the_end() || !self.is_keyless.swap(true, Relaxed)
    }

    pub fn count(&self, outcome: &Outcome) {
        match &outcome.what {
            What::Skipped(_) => self.skipped.fetch_add(1, Relaxed),
            What::Differs(how) => {
                match *how {
                    "source_only" => self.source_only.fetch_add(1, Relaxed),
                    "destination_only" => self.destination_only.fetch_add(1, Relaxed),
                    "unproven" => self.unproven.fetch_add(1, Relaxed),
                    _ => 0,
                };
                self.differs.fetch_add(1, Relaxed)
            }
            What::Failed(..) => self.failed.fetch_add(1, Relaxed),
            What::Done(_) | What::Dry if outcome.operation == "rm" => self.deleted.fetch_add(1, Relaxed),
            What::Dry => self.done.fetch_add(1, Relaxed),
            What::Done(report) => {
                if let Some(report) = report {
                    self.transferred.fetch_add(report.bytes - report.resumed_bytes.min(report.bytes), Relaxed);
                    self.resumed.fetch_add(report.resumed_bytes, Relaxed);
                    match report.verified.kind() {
                        "full_object" => self.full_object.fetch_add(1, Relaxed),
                        "parts" => self.parts.fetch_add(1, Relaxed),
                        _ => self.length.fetch_add(1, Relaxed),
                    };
                }
                self.done.fetch_add(1, Relaxed)
            }
        };
    }

    /// What a transfer left that was stopped.
    pub fn stopped(&self, error: &Error) {
        if error.kept() > 0 {
            let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
            kept.objects += 1;
            kept.bytes += error.kept();
            kept.upload_id = error.upload_id().map(str::to_owned);
        }
    }
}

impl Job {
    /// Whether something is already known to have gone wrong.
    pub fn has_failed(&self) -> bool {
        self.counts.failed.load(Relaxed) > 0 || self.counts.is_broken.load(Relaxed)
    }
}

impl ContentTypes {
    /// By the extension of a name.
    pub fn of_name(&self, name: &[u8]) -> Option<&str> {
        let base = name.rsplit(|byte| *byte == b'/').next()?;
        let dot = base.iter().rposition(|byte| *byte == b'.').filter(|dot| *dot > 0)?;
        let extension = str::from_utf8(&base[dot + 1..]).ok()?.to_lowercase();
        self.by_extension.get(&extension).map(String::as_str)
    }

    /// By a look at the first bytes: UTF-8 without control characters but white space and escape is text.
    pub fn of_bytes(&self, beginning: &[u8]) -> &str {
        let text = match str::from_utf8(beginning) {
            Ok(text) => text,
            // The last character may have been cut.
            Err(error) if error.error_len().is_none() => {
                str::from_utf8(&beginning[..error.valid_up_to()]).unwrap_or_default()
            }
            Err(_) => return &self.bytes,
        };
        let is_control = |c: char| (c < ' ' && !matches!(c, '\t' | '\n' | '\r' | '\x0c' | '\x1b')) || c == '\x7f';
        if text.contains(is_control) { &self.bytes } else { &self.text }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn content_types_of_names_and_bytes() {
        let by_extension = Arc::new(HashMap::from([("txt".to_owned(), "text".to_owned())]));
        let types = ContentTypes { by_extension, text: "t".into(), bytes: "b".into() };
        for (name, expected) in [
            ("a.txt", Some("text")),
            ("d.txt/a", None),
            ("A.TXT", Some("text")),
            (".txt", None),
            ("d/.txt", None),
            ("x", None),
        ] {
            assert_eq!(types.of_name(name.as_bytes()), expected, "{name}");
        }
        for (bytes, expected) in
            [(&b""[..], "t"), (b"a\tb\n", "t"), ("ü".as_bytes(), "t"), (b"a\xc3", "t"), (b"\xff", "b"), (b"a\0", "b")]
        {
            assert_eq!(types.of_bytes(bytes), expected, "{bytes:?}");
        }
    }
}
