//! What a job has done, noted in a file as it goes, so that the next run of the same job leaves it out (cli.md 3.2).
//!
//! The first line names the job. Each further line is a JSON record of an outcome; those of what was done begin with a
//! digest over source, destination and the source's state, which is all that is read of them again. A half-written last
//! line is cut off. The file is locked while it is in use.

use std::collections::HashSet;
use std::fs::File;
use std::io::{BufRead, BufReader, Read, Write};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use rustix::fs::{FileType, FlockOperation, Mode, OFlags};
use rustix::io::Errno;
use sha2::{Digest, Sha256};

use super::entry::{Entry, Failure, Outcome, Place, What};
use super::goal::Spot;
use super::job::Job;
use super::render::Record;
use super::spill::nanoseconds;
use super::transfer::{facts, reference};
use crate::error::{Error, Result};
use crate::transfer::destination::file_type;

#[derive(Debug)]
pub struct Manifest {
    path: PathBuf,
    /// `None`: nothing is noted, as in a dry run.
    file: Option<Mutex<File>>,
    /// Device and inode; `None` where there is none yet.
    own: Option<(u64, u64)>,
    done: HashSet<u128>,
}

impl Manifest {
    /// Opens it for the job, or makes it. All calls block.
    pub fn open(path: &Path, job: &[u8], writes: bool) -> Result<Arc<Self>> {
        let fail = |errno| Error::local_errno(path, errno);
        let mode = Mode::from_raw_mode(0o666);
        let access = if writes { OFlags::RDWR | OFlags::CREATE | OFlags::APPEND } else { OFlags::RDONLY };
        let flags = access | OFlags::CLOEXEC | OFlags::NONBLOCK;
        let file = match rustix::fs::open(path, flags, mode) {
            Ok(file) => File::from(file),
            Err(Errno::NOENT) if !writes => {
                return Ok(Arc::new(Self { path: path.to_owned(), file: None, own: None, done: HashSet::new() }));
            }
            Err(errno) => return Err(fail(errno)),
        };
        let stat = rustix::fs::fstat(&file).map_err(fail)?;
        if file_type(&stat) != FileType::RegularFile {
            return Err(Error::config(format!("the manifest \"{}\" is not a regular file", path.display())));
        }
        if writes && rustix::fs::flock(&file, FlockOperation::NonBlockingLockExclusive) == Err(Errno::WOULDBLOCK) {
            let text = format!("the manifest \"{}\" is in use by another process", path.display());
            return Err(Error::config(text));
        }
        let head = head(job);
        let (done, good) = read(path, &file, &head)?;
        if writes {
            rustix::fs::ftruncate(&file, good).map_err(fail)?;
            if good == 0 {
                (&file).write_all(head.as_bytes()).map_err(|cause| Error::local(path, cause))?;
            }
        }
        let file = writes.then(|| Mutex::new(file));
        Ok(Arc::new(Self { path: path.to_owned(), file, own: Some((stat.st_dev, stat.st_ino)), done }))
    }

    /// Whether nothing is to be done: an earlier run has done it, of the source as it is now, and a file that it made is
    /// still there; or the source is the manifest itself.
    pub async fn has_done(self: &Arc<Self>, job: &Job, entry: &mut Entry, spot: &Spot) -> Result<bool> {
        if let Place::File(path) = &entry.place {
            let (path, own) = (path.clone(), self.own);
            let look = move || Ok(rustix::fs::stat(&path).is_ok_and(|stat| own == Some((stat.st_dev, stat.st_ino))));
            if job.source.lanes.pick().call(look).await? {
                return Ok(true);
            }
        }
        know(job, entry).await?;
        if !self.has(entry, &spot.shown()) {
            return Ok(false);
        }
        match spot {
            Spot::Object(_) => Ok(true),
            Spot::File(path) | Spot::Beneath { path, .. } => {
                let path = path.clone();
                job.destination.lanes.pick().call(move || Ok(rustix::fs::lstat(&path).is_ok())).await
            }
        }
    }

    fn has(&self, entry: &Entry, destination: &[u8]) -> bool {
        self.done.contains(&digest(entry, destination))
    }

    /// Notes what became of it.
    pub fn note(&self, entry: &Entry, outcome: &Outcome) -> Result<()> {
        let Some(file) = &self.file else { return Ok(()) };
        let destination = outcome.destination.clone().unwrap_or_default();
        let mut record = Record::new();
        let is_done = matches!(outcome.what, What::Done(_));
        if is_done {
            record.text("done", &format!("{:032x}", digest(entry, &destination)));
        }
        record.text("operation", outcome.operation);
        record.raw("success", if is_done { "true" } else { "false" });
        record.name("source", &outcome.source);
        record.name("destination", &destination);
        if let Some(size) = entry.size {
            record.raw("size", &size.to_string());
        }
        match &entry.place {
            Place::Object(object) => {
                if let Some(etag) = &object.etag {
                    record.text("etag", etag.trim_matches('"'));
                }
            }
            Place::File(_) => record.raw("mtime_ns", &nanoseconds(entry.modified).to_string()),
        }
        let line = record.end() + "\n";
        let mut file = file.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        file.write_all(line.as_bytes()).map_err(|cause| Error::local(&self.path, cause))
    }
}

/// Makes sure that the state of the source is known, for the manifest.
async fn know(job: &Job, entry: &mut Entry) -> Result<()> {
    match &mut entry.place {
        Place::Object(object) if object.etag.is_none() => {
            let head = job.source.client.head_object(&reference(object)?, None).await?;
            (object.etag, object.storage_class) = (head.identity.etag, head.identity.storage_class);
            (entry.size, entry.modified) = (Some(head.identity.size), head.identity.last_modified);
        }
        Place::File(_) if entry.size.is_none() || entry.modified.is_none() => {
            (entry.size, entry.modified) = facts(job, entry).await?;
        }
        _ => {}
    }
    Ok(())
}

/// The outcome, once the manifest holds it.
pub async fn noted(job: &Job, entry: Entry, mut outcome: Outcome) -> Outcome {
    let Some(manifest) = job.manifest.clone() else { return outcome };
    if !matches!(outcome.what, What::Done(_) | What::Failed(..)) {
        return outcome;
    }
    let work = move || {
        let written = manifest.note(&entry, &outcome);
        if let Err(error) = written {
            outcome.what = What::Failed(error, None);
        }
        Ok(outcome)
    };
    match job.source.lanes.pick().call(work).await {
        Ok(outcome) => outcome,
        Err(error) => Failure::of(Vec::new(), error).into(),
    }
}

fn head(job: &[u8]) -> String {
    format!("{{\"record\":\"manifest\",\"schema\":1,\"job\":\"{:032x}\"}}\n", short(Sha256::digest(job).as_slice()))
}

fn short(digest: &[u8]) -> u128 {
    digest.iter().take(16).fold(0, |value, byte| value << 8 | u128::from(*byte))
}

/// What was done, and how many bytes are whole lines.
fn read(path: &Path, file: &File, head: &str) -> Result<(HashSet<u128>, u64)> {
    let mut done = HashSet::new();
    let (mut good, mut line) = (0, Vec::new());
    let mut lines = BufReader::new(file);
    loop {
        line.clear();
        let most = if good == 0 { head.len() as u64 } else { u64::MAX };
        let read = (&mut lines).take(most).read_until(b'\n', &mut line);
        let len = read.map_err(|cause| Error::local(path, cause))?;
        // A first line cut short is ours; anything else is somebody's file, which is left as it is.
        if good == 0 && !head.as_bytes().starts_with(&line) {
            let text = format!("\"{}\" is no manifest of this job: name another file", path.display());
            return Err(Error::config(text));
        }
        if !line.ends_with(b"\n") {
            return Ok((done, good));
        }
        good += len as u64;
        let hex = line.strip_prefix(b"{\"done\":\"").and_then(|rest| str::from_utf8(rest.get(..32)?).ok());
        done.extend(hex.and_then(|hex| u128::from_str_radix(hex, 16).ok()));
    }
}

/// Source, destination, and what the source is like.
fn digest(entry: &Entry, destination: &[u8]) -> u128 {
    let mut hash = Sha256::new();
    let state = match &entry.place {
        Place::Object(object) => object.etag.clone().unwrap_or_default(),
        Place::File(_) => nanoseconds(entry.modified).to_string(),
    };
    for field in
        [&entry.place.shown()[..], destination, state.as_bytes(), &entry.size.unwrap_or(u64::MAX).to_le_bytes()]
    {
        hash.update((field.len() as u64).to_le_bytes());
        hash.update(field);
    }
    short(hash.finalize().as_slice())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(size: u64) -> Entry {
        Entry { relative: b"k".into(), place: Place::File("d/k".into()), size: Some(size), modified: None, inode: 0 }
    }

    fn done() -> Outcome {
        let (source, destination) = (b"d/k".to_vec(), Some(b"s3://b/k".to_vec()));
        Outcome { operation: "cp", source, destination, version_id: None, object: None, what: What::Done(None) }
    }

    #[test]
    fn what_was_noted_is_known_again_and_nothing_else() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("m");
        let first = Manifest::open(&path, b"job", true).unwrap();
        assert!(Manifest::open(&path, b"job", true).unwrap_err().message().contains("in use"));
        first.note(&entry(1), &done()).unwrap();
        drop(first);
        let content = std::fs::read(&path).unwrap();
        for (keep, known) in [(content.len(), true), (content.len() - 1, false)] {
            let file = File::options().write(true).open(&path).unwrap();
            file.set_len(keep as u64).unwrap();
            let again = Manifest::open(&path, b"job", true).unwrap();
            assert_eq!(again.has(&entry(1), b"s3://b/k"), known);
            assert!(!again.has(&entry(2), b"s3://b/k") && !again.has(&entry(1), b"s3://b/l"));
        }
        assert!(Manifest::open(&path, b"other", true).unwrap_err().message().contains("no manifest of this job"));
        Manifest::open(&dir.path().join("none"), b"job", false).unwrap();
        assert!(!dir.path().join("none").exists());
    }
}
