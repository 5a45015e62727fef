//! What goes through a batch: sources that were found, and what became of each.

use std::ffi::OsString;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::PathBuf;
use std::time::SystemTime;

use crate::error::{Error, ErrorKind, escape};
use crate::ops::report::TransferReport;
use crate::transfer::destination::is_not_a_file;

/// One thing to be done something with.
#[derive(Debug, Clone)]
pub struct Entry {
    /// Its name below what the destination stands for; bytes, of a key UTF-8.
    pub relative: Vec<u8>,
    pub place: Place,
    /// As a listing or a look told; a hint.
    pub size: Option<u64>,
    pub modified: Option<SystemTime>,
    /// Of a file that was looked at.
    pub inode: u64,
}

impl Entry {
    /// An empty object that stands for a directory.
    pub fn is_marker(&self) -> bool {
        self.size == Some(0) && matches!(&self.place, Place::Object(object) if object.key.ends_with('/'))
    }
}

/// Where something is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Place {
    Object(Object),
    File(PathBuf),
}

/// An object as a listing tells it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Object {
    pub bucket: std::sync::Arc<str>,
    pub key: String,
    pub etag: Option<String>,
    pub storage_class: Option<String>,
    pub version_id: Option<String>,
}

impl Place {
    /// As it is told: `s3://bucket/key`, or the path.
    pub fn shown(&self) -> Vec<u8> {
        match self {
            Self::Object(object) => format!("s3://{}/{}", object.bucket, object.key).into_bytes(),
            Self::File(path) => path.as_os_str().as_bytes().to_vec(),
        }
    }
}

/// The path of what is below a directory; `.` and an empty directory add nothing.
pub fn below(directory: &[u8], name: &[u8]) -> PathBuf {
    let mut path = directory.to_vec();
    if path == b"." || path == b"./" {
        path.clear();
    }
    if !path.is_empty() && !path.ends_with(b"/") {
        path.push(b'/');
    }
    path.extend_from_slice(name);
    PathBuf::from(OsString::from_vec(path))
}

/// What a feed comes across.
#[derive(Debug)]
pub enum Found {
    Entry(Entry),
    /// Left out on purpose, and told: why.
    Skipped(Place, &'static str),
    /// One name that cannot be taken; the others go on.
    Failed(Failure),
    /// The listing itself cannot go on: nobody knows what is missing.
    Broken(Error),
}

/// What went wrong, and with what.
#[derive(Debug)]
pub struct Failure {
    pub source: Vec<u8>,
    pub destination: Option<Vec<u8>>,
    pub error: Error,
    /// What it is called where the error's own kind does not say it.
    pub kind: Option<&'static str>,
}

impl Failure {
    pub fn of(source: Vec<u8>, error: Error) -> Self {
        Self { source, destination: None, error, kind: None }
    }
}

/// What became of one entry.
#[derive(Debug)]
pub struct Outcome {
    pub operation: &'static str,
    pub source: Vec<u8>,
    pub destination: Option<Vec<u8>>,
    pub version_id: Option<String>,
    /// Told with the result: that the store has it as an object.
    pub object: Option<Told>,
    pub what: What,
}

/// What is told of the object of a result.
#[derive(Debug, Default)]
pub struct Told {
    pub key: String,
    pub size: Option<u64>,
    pub etag: Option<String>,
    pub last_modified: Option<SystemTime>,
    pub storage_class: Option<String>,
}

#[derive(Debug)]
pub enum What {
    Done(Option<Box<TransferReport>>),
    /// It would have been done.
    Dry,
    Skipped(&'static str),
    /// Compared, and how it differs.
    Differs(&'static str),
    Failed(Error, Option<&'static str>),
}

impl Outcome {
    /// Whether nothing more can go well: keys that cannot be renewed are no trouble of one object (R7).
    pub fn is_the_end(&self) -> bool {
        matches!(&self.what, What::Failed(error, _) if error.kind() == ErrorKind::Credentials)
    }
}

impl From<Failure> for Outcome {
    fn from(failure: Failure) -> Self {
        let Failure { source, destination, error, kind } = failure;
        let what = What::Failed(error, kind);
        Self { operation: "", source, destination, version_id: None, object: None, what }
    }
}

/// What became of an entry that failed: what is no regular file has a kind of its own.
pub fn failed(entry: &Entry, error: Error) -> What {
    let is_directory = error.errno() == Some(rustix::io::Errno::ISDIR.raw_os_error());
    let is_source = matches!(&entry.place, Place::File(path) if error.path() == Some(path));
    if is_not_a_file(&error) || (is_source && is_directory) {
        return What::Failed(error, Some("not_regular_file"));
    }
    What::Failed(named(entry, error), None)
}

/// A missing object or file is told by its name.
fn named(entry: &Entry, error: Error) -> Error {
    let is_missing = match &entry.place {
        Place::Object(object) => {
            error.kind() == ErrorKind::NotFound
                && matches!(error.code(), None | Some("NoSuchKey" | "NotFound" | "404"))
                && error.key().is_none_or(|key| key == object.key)
        }
        Place::File(path) => {
            error.errno() == Some(rustix::io::Errno::NOENT.raw_os_error()) && error.path() == Some(path)
        }
    };
    if !is_missing {
        return error;
    }
    let shown = escape(&String::from_utf8_lossy(&entry.place.shown()), 4096);
    let text = format!("given object \"{shown}\" not found");
    if matches!(entry.place, Place::File(_)) { Error::new(ErrorKind::NotFound, text) } else { error.saying(text) }
}
