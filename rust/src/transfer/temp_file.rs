//! A hidden file beside its destination, until it is published under its name.
//!
//! Owns the temp name (F1), mode and umask (F7), mtime, publishing by rename (F6), and opening again what an
//! interrupted run left (F13). All calls block: they are made on an I/O lane. Everything goes through the directory's
//! descriptor, never through a path. Invariant: until `publish` returns, nothing under the destination's name
//! has changed; a `TempFile` that is dropped unpublished removes itself, unless it was told to stay.

use std::ffi::OsStr;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::time::{SystemTime, UNIX_EPOCH};

use rustix::fs::{FlockOperation, Mode, OFlags, Stat, Timespec, Timestamps, UTIME_OMIT};
use rustix::io::Errno;

use crate::confine::Directory;
use crate::error::{Error, Result};
use crate::transfer::buffers::ALIGNMENT;
use crate::transfer::descriptor::{PATIENCE, check_close, patiently};
use crate::transfer::destination::Destination;

/// How a finished file is to look under its name.
#[derive(Debug, Clone, Copy)]
pub struct Publish {
    pub overwrite: bool,
    /// fsync the file, its directory and newly made parents.
    pub durable: bool,
    pub mtime: Option<SystemTime>,
}

/// What a temp file is recognised by that an earlier run left.
#[derive(Debug, Clone, Copy)]
pub struct Kept<'a> {
    pub name: &'a str,
    pub device: u64,
    pub inode: u64,
    /// Of the object. Direct writes may have left the file longer, up to a block border.
    pub size: u64,
}

/// The answer to `TempFile::reopen`.
#[derive(Debug)]
pub enum Reopened {
    File(TempFile),
    /// The destination comes back, for a new temp file.
    Refused(Destination, WhyNot),
}

/// Why a file that an earlier run left is not gone on with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum WhyNot {
    /// Nothing has this name, or it cannot be opened.
    Missing,
    /// Somebody else writes it, or it cannot be locked.
    InUse,
    /// Others could have written to it, or it is not ours; leave it alone.
    Unsafe,
    /// It is another file than the one meant, or of another length.
    Different,
}

#[derive(Debug)]
pub struct TempFile {
    destination: Destination,
    file: OwnedFd,
    name: String,
    /// Published, or kept for the next run.
    stays: bool,
}

impl TempFile {
    /// Creates the hidden file: a random name, never an existing one, readable by its owner only, locked.
    pub fn create(destination: Destination) -> Result<Self> {
        let (file, name) = patiently(PATIENCE, || create_locked(&destination))?;
        Ok(Self { destination, file, name, stays: false })
    }

    /// Opens the file that an earlier run left, if nobody else could have made, changed or taken it (F13). Its content
    /// is not looked at.
    pub fn reopen(destination: Destination, kept: &Kept<'_>) -> Reopened {
        match open_kept(destination.directory(), kept) {
            Ok(file) => Reopened::File(Self { destination, file, name: kept.name.to_owned(), stays: false }),
            Err(why) => Reopened::Refused(destination, why),
        }
    }

    /// The destination's path.
    pub fn path(&self) -> &Path {
        self.destination.path()
    }

    /// Its own name, in the destination's directory.
    pub fn name(&self) -> &str {
        &self.name
    }

    pub fn destination(&self) -> &Destination {
        &self.destination
    }

    pub fn device_and_inode(&self) -> Result<(u64, u64)> {
        let stat = rustix::fs::fstat(&self.file).map_err(|errno| Error::local_errno(self.path(), errno))?;
        Ok((stat.st_dev, stat.st_ino))
    }

    /// From now on dropping it leaves it where it is, for `reopen`.
    pub fn keep(&mut self) {
        self.stays = true;
    }

    /// Gives the file the permissions and times it should have and, last, its name. A file that could not be
    /// synced never gets it, and is not synced again (F8).
    pub fn publish(&mut self, how: Publish) -> Result<()> {
        self.finish(how).map_err(|errno| Error::local_errno(self.path(), errno))?;
        self.stays = true;
        let made = self.destination.keep_made();
        if how.durable {
            let directory = self.destination.directory();
            directory.sync().map_err(|errno| Error::local_errno(directory.path(), errno))?;
            made.map_or(Ok(()), |made| made.sync())?;
        }
        Ok(())
    }

    fn finish(&self, how: Publish) -> rustix::io::Result<()> {
        let mode = self.destination.existing().unwrap_or_else(|| Mode::from_raw_mode(0o666 & !umask()));
        match rustix::fs::fchmod(&self.file, mode) {
            // A file system without modes, such as FAT, gives each file those of its mount.
            Ok(()) | Err(Errno::PERM | Errno::OPNOTSUPP | Errno::NOSYS) => {}
            Err(errno) => return Err(errno),
        }
        if let Some(mtime) = how.mtime {
            rustix::fs::futimens(&self.file, &timestamps(mtime))?;
        }
        if how.durable {
            rustix::fs::fsync(&self.file)?;
        }
        check_close(&self.file)?;
        let (directory, name) = (self.destination.directory(), self.destination.name());
        let rename = if how.overwrite { Directory::rename } else { Directory::rename_new };
        rename(directory, OsStr::new(&self.name), name)
    }
}

impl AsFd for TempFile {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.file.as_fd()
    }
}

impl Drop for TempFile {
    fn drop(&mut self) {
        if !self.stays {
            let _ = self.destination.directory().unlink(OsStr::new(&self.name));
        }
    }
}

fn create_locked(destination: &Destination) -> Result<(OwnedFd, String)> {
    let fail = |errno| Error::local_errno(destination.path(), errno);
    loop {
        let name = random_name()?;
        let file = match destination.directory().create_new(OsStr::new(&name), Mode::from_raw_mode(0o600)) {
            Ok(file) => file,
            Err(Errno::EXIST) => continue,
            Err(errno) => return Err(fail(errno)),
        };
        // The lock marks the file as in use. Somebody who clears up what no one uses may have been faster.
        // File systems without locks do without.
        if lock(&file) != Err(Errno::WOULDBLOCK) && rustix::fs::fstat(&file).map_err(fail)?.st_nlink > 0 {
            return Ok((file, name));
        }
    }
}

fn open_kept(directory: &Directory, kept: &Kept<'_>) -> Result<OwnedFd, WhyNot> {
    if !is_temp_name(kept.name) {
        return Err(WhyNot::Unsafe);
    }
    let name = OsStr::new(kept.name);
    let file = directory.open_file(name, OFlags::RDWR).map_err(|errno| match errno {
        Errno::LOOP | Errno::INVAL | Errno::ACCESS => WhyNot::Unsafe,
        _ => WhyNot::Missing,
    })?;
    lock(&file).map_err(|_| WhyNot::InUse)?;
    let stat = rustix::fs::fstat(&file).map_err(|_| WhyNot::Missing)?;
    // Whoever held the lock before may have published the file, or removed it: then its name is gone.
    let named = directory.stat(name).map_err(|_| WhyNot::Missing)?;
    if (named.st_dev, named.st_ino) != (stat.st_dev, stat.st_ino) {
        return Err(WhyNot::InUse);
    }
    if !is_only_ours(&stat) {
        return Err(WhyNot::Unsafe);
    }
    let length = u64::try_from(stat.st_size).ok();
    let lengths = [Some(kept.size), kept.size.checked_next_multiple_of(ALIGNMENT as u64)];
    let is_meant = (stat.st_dev, stat.st_ino) == (kept.device, kept.inode) && lengths.contains(&length);
    if is_meant { Ok(file) } else { Err(WhyNot::Different) }
}

fn lock(file: &OwnedFd) -> rustix::io::Result<()> {
    rustix::fs::flock(file, FlockOperation::NonBlockingLockExclusive)
}

/// Nobody else made it, has it under another name, or may write to it.
fn is_only_ours(stat: &Stat) -> bool {
    stat.st_uid == rustix::process::geteuid().as_raw() && stat.st_nlink == 1 && stat.st_mode & 0o022 == 0
}

/// `.s3z-<32 hex>.part`: short whatever the destination is called, hidden, recognisable, not to be guessed.
fn random_name() -> Result<String> {
    let mut random = [0u8; 16];
    getrandom::fill(&mut random).map_err(|cause| Error::local(Path::new("/dev/urandom"), io::Error::other(cause)))?;
    Ok(format!(".s3z-{:032x}.part", u128::from_ne_bytes(random)))
}

/// Whether a name is one of ours, of a temporary file or a ledger.
pub fn is_own_name(name: &OsStr) -> bool {
    let name = name.as_bytes();
    name.starts_with(b".s3z-") && (name.ends_with(b".part") || name.ends_with(b".ledger"))
}

/// Whether `random_name` could have made it.
fn is_temp_name(name: &str) -> bool {
    let random = name.strip_prefix(".s3z-").and_then(|rest| rest.strip_suffix(".part"));
    random.is_some_and(|random| random.len() == 32 && random.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f')))
}

/// The process's umask, read without changing it: setting it would race with other threads.
fn umask() -> u32 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let field = status.lines().find_map(|line| line.strip_prefix("Umask:"));
    field.and_then(|octal| u32::from_str_radix(octal.trim(), 8).ok()).unwrap_or(0o077)
}

fn timestamps(mtime: SystemTime) -> Timestamps {
    let since = mtime.duration_since(UNIX_EPOCH).unwrap_or_default();
    let last_modification =
        Timespec { tv_sec: i64::try_from(since.as_secs()).unwrap_or(i64::MAX), tv_nsec: since.subsec_nanos().into() };
    Timestamps { last_access: Timespec { tv_sec: 0, tv_nsec: UTIME_OMIT }, last_modification }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;
    use std::os::unix::fs::PermissionsExt;
    use std::time::Duration;

    const PLAIN: Publish = Publish { overwrite: true, durable: false, mtime: None };

    fn names(directory: &Path) -> Vec<String> {
        let mut names: Vec<_> =
            fs::read_dir(directory).unwrap().map(|e| e.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        names
    }

    #[test]
    fn publishes_only_when_told() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("file");
        let mut temp = TempFile::create(Destination::prepare(&path, true).unwrap()).unwrap();
        rustix::io::write(&temp, b"hello").unwrap();
        assert!(is_own_name(OsStr::new(&names(dir.path())[0])));
        let when = UNIX_EPOCH + Duration::from_secs(1_700_000_000);
        temp.publish(Publish { durable: true, mtime: Some(when), ..PLAIN }).unwrap();
        drop(temp);
        assert_eq!(names(dir.path()), ["file"]);
        assert_eq!(fs::read(&path).unwrap(), b"hello");
        let metadata = fs::metadata(&path).unwrap();
        assert_eq!(metadata.permissions().mode() & 0o777, 0o666 & !umask());
        assert_eq!(metadata.modified().unwrap(), when);
    }

    #[test]
    fn dropped_unpublished_it_leaves_nothing() {
        let dir = tempfile::tempdir().unwrap();
        drop(TempFile::create(Destination::prepare(&dir.path().join("file"), true).unwrap()).unwrap());
        assert!(names(dir.path()).is_empty());
    }

    #[test]
    fn keeps_the_mode_of_what_it_replaces_but_not_setuid() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("file");
        fs::write(&path, "old").unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o4751)).unwrap();
        TempFile::create(Destination::prepare(&path, true).unwrap()).unwrap().publish(PLAIN).unwrap();
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o7777, 0o751);
    }

    #[test]
    fn without_overwrite_an_existing_name_stays() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("file");
        let mut temp = TempFile::create(Destination::prepare(&path, false).unwrap()).unwrap();
        fs::write(&path, "came in between").unwrap();
        let error = temp.publish(Publish { overwrite: false, ..PLAIN }).unwrap_err();
        assert_eq!(error.errno(), Some(Errno::EXIST.raw_os_error()));
        drop(temp);
        assert_eq!(fs::read(&path).unwrap(), b"came in between");
        assert_eq!(names(dir.path()), ["file"]);
        let early = Destination::prepare(&path, false).unwrap_err();
        assert_eq!(early.errno(), Some(Errno::EXIST.raw_os_error()));
    }

    #[test]
    fn a_link_is_replaced_not_followed() {
        let dir = tempfile::tempdir().unwrap();
        let (target, link) = (dir.path().join("target"), dir.path().join("link"));
        fs::write(&target, "untouched").unwrap();
        std::os::unix::fs::symlink(&target, &link).unwrap();
        TempFile::create(Destination::prepare(&link, true).unwrap()).unwrap().publish(PLAIN).unwrap();
        assert_eq!(fs::read(&target).unwrap(), b"untouched");
        assert!(fs::symlink_metadata(&link).unwrap().is_file());
    }
}
