//! A hidden file beside its destination, until it is published under its name.
//!
//! Owns the early checks of a destination (F2), the temp name (F1), mode and umask (F7), mtime, and publishing
//! by rename (F6). All calls block: they are made on an I/O lane. Everything goes through the directory's
//! descriptor, never twice through a path. Invariant: until `publish` returns, nothing under the destination's
//! name has changed; a `TempFile` that is dropped unpublished removes itself.

use std::ffi::{OsStr, OsString};
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

use rustix::fs::{
    Access, AtFlags, FileType, FlockOperation, Mode, OFlags, RenameFlags, Timespec, Timestamps, UTIME_OMIT,
};
use rustix::io::Errno;

use crate::error::{Error, Result};

/// A place for a file: its directory, held open, and its name there.
#[derive(Debug)]
pub struct Destination {
    directory: OwnedFd,
    name: OsString,
    path: PathBuf,
    /// Permission bits of the regular file that is there now.
    existing: Option<Mode>,
    /// Parents that were made, outermost first; they go again if nothing is published.
    made: Vec<PathBuf>,
}

impl Drop for Destination {
    fn drop(&mut self) {
        for made in self.made.iter().rev() {
            // Somebody else's files in it keep it.
            let _ = rustix::fs::rmdir(made);
        }
    }
}

impl Destination {
    /// Opens (or makes) the directory of `path` and refuses, before any byte moves, what cannot end well.
    pub fn prepare(path: &Path, overwrite: bool) -> Result<Self> {
        let fail = |errno| Error::local_errno(path, errno);
        let name = match path.file_name() {
            Some(name) if !path.as_os_str().as_bytes().ends_with(b"/") => name.to_owned(),
            _ => return Err(fail(Errno::ISDIR)),
        };
        let parent = match path.parent() {
            Some(parent) if !parent.as_os_str().is_empty() => parent,
            _ => Path::new("."),
        };
        let made = make_directories(parent)?;
        let directory = open_directory(parent)?;
        let mut destination = Self { directory, name, path: path.to_owned(), existing: None, made };
        rustix::fs::accessat(&destination.directory, ".", Access::WRITE_OK | Access::EXEC_OK, AtFlags::EACCESS)
            .map_err(|errno| Error::local_errno(parent, errno))?;
        destination.existing = destination.check_existing(overwrite)?;
        Ok(destination)
    }

    fn check_existing(&self, overwrite: bool) -> Result<Option<Mode>> {
        let fail = |errno| Error::local_errno(&self.path, errno);
        let stat = match rustix::fs::statat(&self.directory, &self.name, AtFlags::SYMLINK_NOFOLLOW) {
            Ok(stat) => stat,
            Err(Errno::NOENT) => return Ok(None),
            Err(errno) => return Err(fail(errno)),
        };
        match FileType::from_raw_mode(stat.st_mode) {
            FileType::Directory => Err(fail(Errno::ISDIR)),
            _ if !overwrite => Err(fail(Errno::EXIST)),
            FileType::RegularFile => Ok(Some(Mode::from_raw_mode(stat.st_mode & 0o777))),
            // A link is replaced itself, wherever it leads (F9); but one to a device or pipe (`/dev/stdout`) was
            // never meant to be.
            FileType::Symlink => match rustix::fs::statat(&self.directory, &self.name, AtFlags::empty()) {
                Ok(stat) if is_special(stat.st_mode) => Err(not_regular(&self.path)),
                _ => Ok(None),
            },
            _ => Err(not_regular(&self.path)),
        }
    }

    pub fn path(&self) -> &Path {
        &self.path
    }

    pub fn directory(&self) -> BorrowedFd<'_> {
        self.directory.as_fd()
    }

    pub fn name(&self) -> &OsStr {
        &self.name
    }
}

fn is_special(mode: u32) -> bool {
    !matches!(FileType::from_raw_mode(mode), FileType::RegularFile | FileType::Directory | FileType::Symlink)
}

fn not_regular(path: &Path) -> Error {
    Error::local_text(path, Errno::INVAL, "not a regular file")
}

fn open_directory(path: &Path) -> Result<OwnedFd> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    rustix::fs::open(path, flags, Mode::empty()).map_err(|errno| Error::local_errno(path, errno))
}

/// Makes `directory` and its missing parents; the ones made, outermost first.
fn make_directories(directory: &Path) -> Result<Vec<PathBuf>> {
    let mut missing = Vec::new();
    let mut at = directory;
    while !at.as_os_str().is_empty() && !at.exists() {
        missing.push(at.to_owned());
        match at.parent() {
            Some(parent) => at = parent,
            None => break,
        }
    }
    missing.reverse();
    for made in &missing {
        match rustix::fs::mkdir(made, Mode::from_raw_mode(0o777)) {
            Ok(()) | Err(Errno::EXIST) => {}
            Err(errno) => return Err(Error::local_errno(made, errno)),
        }
    }
    Ok(missing)
}

/// How a finished file is to look under its name.
#[derive(Debug, Clone, Copy)]
pub struct Publish {
    pub overwrite: bool,
    /// fsync the file, its directory and newly made parents.
    pub durable: bool,
    pub mtime: Option<SystemTime>,
}

pub enum Reopened {
    Temp(TempFile),
    Unusable(Destination),
}

#[derive(Debug)]
pub struct TempFile {
    destination: Destination,
    file: OwnedFd,
    name: String,
    published: bool,
}

impl TempFile {
    /// Creates the hidden file: a random name, never an existing one, readable by its owner only, locked.
    pub fn create(destination: Destination) -> Result<Self> {
        let fail = |errno| Error::local_errno(&destination.path, errno);
        loop {
            let name = random_name()?;
            let flags = OFlags::RDWR | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
            match rustix::fs::openat(&destination.directory, &name, flags, Mode::from_raw_mode(0o600)) {
                Ok(file) => {
                    // File systems without locks do without; the lock only marks the file as in use.
                    let _ = rustix::fs::flock(&file, FlockOperation::NonBlockingLockExclusive);
                    return Ok(Self { destination, file, name, published: false });
                }
                Err(Errno::EXIST | Errno::INTR) => {}
                Err(errno) => return Err(fail(errno)),
            }
        }
    }

    pub fn path(&self) -> &Path {
        self.destination.path()
    }

    pub fn name(&self) -> &str {
        &self.name
    }

    pub fn directory(&self) -> BorrowedFd<'_> {
        self.destination.directory.as_fd()
    }

    pub fn destination_name(&self) -> &OsStr {
        &self.destination.name
    }

    pub fn device_and_inode(&self) -> Result<(u64, u64)> {
        let stat = rustix::fs::fstat(&self.file).map_err(|errno| Error::local_errno(self.path(), errno))?;
        Ok((stat.st_dev, stat.st_ino))
    }

    pub fn keep(&mut self) {
        self.published = true;
    }

    pub fn reopen(destination: Destination, name: &str, identity: (u64, u64), size: u64) -> Result<Reopened> {
        if !is_own_name(OsStr::new(name)) {
            return Ok(Reopened::Unusable(destination));
        }
        let flags = OFlags::RDWR | OFlags::NOFOLLOW | OFlags::CLOEXEC | OFlags::NONBLOCK;
        let Ok(file) = rustix::fs::openat(&destination.directory, name, flags, Mode::empty()) else {
            return Ok(Reopened::Unusable(destination));
        };
        let stat = rustix::fs::fstat(&file).map_err(|errno| Error::local_errno(&destination.path, errno))?;
        let length = u64::try_from(stat.st_size).unwrap_or(0);
        let good = FileType::from_raw_mode(stat.st_mode) == FileType::RegularFile
            && (stat.st_dev, stat.st_ino) == identity
            && stat.st_nlink == 1
            && stat.st_mode & 0o022 == 0
            && stat.st_uid == rustix::process::geteuid().as_raw()
            && (length == size || length == size.next_multiple_of(4096))
            && rustix::fs::flock(&file, FlockOperation::NonBlockingLockExclusive).is_ok();
        if !good {
            return Ok(Reopened::Unusable(destination));
        }
        Ok(Reopened::Temp(Self { destination, file, name: name.to_owned(), published: false }))
    }

    /// Gives the file the permissions and times it should have and, last, its name.
    pub fn publish(&mut self, how: Publish) -> Result<()> {
        let path = self.destination.path.clone();
        let fail = |errno| Error::local_errno(&path, errno);
        let mode = self.destination.existing.unwrap_or_else(|| Mode::from_raw_mode(0o666 & !umask()));
        rustix::fs::fchmod(&self.file, mode).map_err(fail)?;
        if let Some(mtime) = how.mtime {
            rustix::fs::futimens(&self.file, &timestamps(mtime)).map_err(fail)?;
        }
        if how.durable {
            rustix::fs::fsync(&self.file).map_err(fail)?;
        }
        self.rename(how.overwrite).map_err(fail)?;
        self.published = true;
        let made = std::mem::take(&mut self.destination.made);
        if how.durable {
            self.sync_directories(&made)?;
        }
        Ok(())
    }

    fn rename(&self, overwrite: bool) -> rustix::io::Result<()> {
        let (directory, name) = (&self.destination.directory, &self.destination.name);
        if overwrite {
            return rustix::fs::renameat(directory, &self.name, directory, name);
        }
        match rustix::fs::renameat_with(directory, &self.name, directory, name, RenameFlags::NOREPLACE) {
            // Kernels and file systems without the flag: a link fails where the name is taken.
            Err(Errno::INVAL | Errno::NOSYS | Errno::OPNOTSUPP) => {
                rustix::fs::linkat(directory, &self.name, directory, name, AtFlags::empty())?;
                rustix::fs::unlinkat(directory, &self.name, AtFlags::empty())
            }
            done => done,
        }
    }

    fn sync_directories(&self, made: &[PathBuf]) -> Result<()> {
        let fail = |errno| Error::local_errno(&self.destination.path, errno);
        rustix::fs::fsync(&self.destination.directory).map_err(fail)?;
        for made in made {
            let above = made.parent().filter(|p| !p.as_os_str().is_empty()).unwrap_or(Path::new("."));
            rustix::fs::fsync(open_directory(above)?).map_err(fail)?;
        }
        Ok(())
    }
}

impl AsFd for TempFile {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.file.as_fd()
    }
}

impl Drop for TempFile {
    fn drop(&mut self) {
        if !self.published {
            let _ = rustix::fs::unlinkat(&self.destination.directory, &self.name, AtFlags::empty());
        }
    }
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
        let device = dir.path().join("device");
        std::os::unix::fs::symlink("/dev/null", &device).unwrap();
        assert!(Destination::prepare(&device, true).is_err(), "a link to a device is kept");
        assert!(fs::symlink_metadata(&device).unwrap().is_symlink());
    }

    #[test]
    fn refuses_directories_and_makes_parents() {
        let dir = tempfile::tempdir().unwrap();
        let isdir = Some(Errno::ISDIR.raw_os_error());
        assert_eq!(Destination::prepare(dir.path(), true).unwrap_err().errno(), isdir);
        assert_eq!(Destination::prepare(&dir.path().join("new/"), true).unwrap_err().errno(), isdir);
        let deep = dir.path().join("a/b/c");
        let destination = Destination::prepare(&deep, true).unwrap();
        assert_eq!(destination.made, [dir.path().join("a"), dir.path().join("a/b")]);
        drop(destination);
        assert!(names(dir.path()).is_empty(), "what was made for nothing goes again");
        TempFile::create(Destination::prepare(&deep, true).unwrap()).unwrap().publish(PLAIN).unwrap();
        assert!(deep.is_file());
    }
}
