//! Writes the entries of an archive as a tree beneath a directory.
//!
//! Owns the order in which things appear: directories are made closed to others, files and hard links as they come,
//! symbolic links last of all, then the modes and times of directories, deepest first. Everything is reached beneath
//! the destination by descriptors, never through a link (`confine`). The content was checked by the caller; here it
//! becomes a file as a whole or not at all. Many threads may write at once, in any order, but a directory should come
//! before what is in it. Invariant: a file or link is replaced only by rename, a directory never, and no failure leaves
//! half a file behind.
//!
//! Descriptors: one for the root, at most `parents::OPEN` directories, two for each `BigFile`, and up to four for each
//! call while it runs.

mod back;
mod big_file;
mod finish;
mod look;
mod order;
mod parents;
mod temp;

use std::collections::HashSet;
use std::ffi::OsStr;
use std::hash::{BuildHasher, RandomState};
use std::os::fd::OwnedFd;
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use rustix::fs::{AtFlags, FileType, Stat};
use rustix::io::Errno;

use crate::archive::entry::{Entry, Kind};
use crate::archive::names;
use crate::confine::Directory;
use crate::descriptor::{PATIENCE, check_close, close, is_shortage, patiently};
use crate::error::{Error, ErrorKind, MAX_SHOWN, Result, escape};
use finish::Later;
use look::Look;
use parents::{Parents, Spot};
use temp::Temp;

pub use big_file::BigFile;
pub use finish::Finished;
pub use order::Order;

/// How a tree is written.
#[derive(Clone, Copy, Debug)]
pub struct TreeOptions {
    /// Modes and modification times come from the archive, else from here and now.
    pub preserve: bool,
    /// So do owners.
    pub same_owner: bool,
    /// All extended attributes, not only those in `user.`.
    pub xattrs_all: bool,
    /// What is there stays, and is not touched.
    pub no_clobber: bool,
    /// Symbolic links may lead anywhere.
    pub unsafe_links: bool,
    /// Permissions that nothing gets, besides those that the process withholds.
    pub umask: u32,
    /// Hard links may come. They lead to files of this run only, so 8 bytes of hash are kept for each file's name.
    pub hard_links: bool,
}

impl TreeOptions {
    /// The defaults, with the process's umask.
    pub fn new() -> Self {
        Self {
            preserve: true,
            same_owner: false,
            xattrs_all: false,
            no_clobber: false,
            unsafe_links: false,
            umask: look::process_umask(),
            hard_links: true,
        }
    }
}

impl Default for TreeOptions {
    fn default() -> Self {
        Self::new()
    }
}

/// What became of an entry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Done {
    Written,
    /// Something was there, and `no_clobber` protects it.
    Skipped,
    /// There is nothing of its kind at the destination; its name in the report.
    LeftOut(&'static str),
}

/// A destination directory, held open. Dropped without `finish`, it leaves new directories closed and links unmade.
#[derive(Debug)]
pub struct Tree(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    options: TreeOptions,
    parents: Parents,
    later: Mutex<Later>,
    /// Hashed names of files that are there because of us: what hard links may lead to.
    written: Mutex<HashSet<u64>>,
    hasher: RandomState,
    lost_xattrs: AtomicU64,
}

impl Tree {
    /// Opens the directory, which may be a link, or makes it and what it lacks above.
    pub fn open(path: &Path, options: TreeOptions) -> Result<Self> {
        let root = patiently(PATIENCE, || parents::open_or_make(path))?;
        Ok(Self(Arc::new(Shared {
            options,
            parents: Parents::new(root, options.no_clobber),
            later: Mutex::default(),
            written: Mutex::default(),
            hasher: RandomState::new(),
            lost_xattrs: AtomicU64::new(0),
        })))
    }

    /// Makes a directory, or takes the one that is there. Mode, time and the rest follow in `finish`.
    pub fn directory(&self, entry: &Entry) -> Result<()> {
        check(entry, Kind::Directory)?;
        self.0.directory(entry)
    }

    /// Writes a file whose content, in pieces, is at hand and checked.
    pub fn small_file(&self, entry: &Entry, parts: &[&[u8]]) -> Result<Done> {
        check(entry, Kind::File)?;
        if parts.iter().map(|part| part.len() as u64).sum::<u64>() != entry.size {
            return Err(Error::new(ErrorKind::Internal, "the content of a file has not its size"));
        }
        self.0.small_file(entry, parts)
    }

    /// Begins a file that arrives piece by piece. None: it is skipped.
    pub fn big_file(&self, entry: &Entry) -> Result<Option<BigFile>> {
        check(entry, Kind::File)?;
        BigFile::create(&self.0, entry)
    }

    /// Makes a hard link to a file that this run has written.
    pub fn hard_link(&self, entry: &Entry) -> Result<Done> {
        check(entry, Kind::HardLink)?;
        self.0.hard_link(entry)
    }

    /// Keeps a symbolic link for `finish`; refuses one that leads out.
    pub fn symlink(&self, entry: &Entry) -> Result<()> {
        check(entry, Kind::Symlink)?;
        if entry.link.is_empty() || entry.link.contains(&0) {
            return Err(unsafe_entry(&entry.name, "its target is empty or holds a NUL byte"));
        }
        if !self.0.options.unsafe_links && !names::is_safe_link(&entry.name, &entry.link) {
            return Err(unsafe_entry(&entry.name, "its target is absolute or leaves the destination"));
        }
        lock(&self.0.later).symlink(entry, &self.0.options);
        Ok(())
    }

    /// Makes the symbolic links, then gives directories their modes and times. Nothing stops at a failure.
    pub fn finish(self) -> Finished {
        let later = std::mem::take(&mut *lock(&self.0.later));
        finish::finish(&self.0, later)
    }
}

impl Shared {
    fn small_file(&self, entry: &Entry, parts: &[&[u8]]) -> Result<Done> {
        let look = Look::of(entry, &self.options);
        let (spot, new) = self.parents.within(&entry.name, |directory, name| {
            match directory.create_new(name, look.first_mode(&entry.xattrs)) {
                Err(Errno::EXIST) => Ok(None),
                made => made.map(Some),
            }
        })?;
        match new {
            Some(file) => {
                let written = self.fill(file, &look, (entry, parts));
                written.map_err(|errno| {
                    let _ = spot.directory.unlink(&spot.name);
                    spot.fail(errno)
                })?;
            }
            None if self.options.no_clobber => return Ok(Done::Skipped),
            None => {
                let temp = Temp::create(spot)?;
                temp.write(parts).and_then(|()| self.dress(&temp, &look, &entry.xattrs)).map_err(|e| temp.fail(e))?;
                temp.publish(true)?;
            }
        }
        self.remember(&entry.name);
        Ok(Done::Written)
    }

    /// Writes and closes a new file.
    fn fill(&self, file: OwnedFd, look: &Look, (entry, parts): (&Entry, &[&[u8]])) -> rustix::io::Result<()> {
        temp::write_all(&file, parts)?;
        if look.is_plain(&entry.xattrs) {
            look.set_times(&file)?;
        } else {
            self.dress(&file, look, &entry.xattrs)?;
        }
        close(file)
    }

    /// Gives an open file or directory all that it has besides its content.
    fn dress(&self, file: impl std::os::fd::AsFd, look: &Look, xattrs: &[(String, Vec<u8>)]) -> rustix::io::Result<()> {
        let lost = look.apply(file, xattrs, &self.options)?;
        self.lost_xattrs.fetch_add(lost, Relaxed);
        Ok(())
    }

    fn directory(&self, entry: &Entry) -> Result<()> {
        let (spot, is_new) = self.parents.within(&entry.name, parents::make_closed)?;
        if is_new {
            lock(&self.later).directory(entry, Look::of(entry, &self.options));
            return Ok(());
        }
        let existing = patiently(PATIENCE, || spot.directory.beneath(&[&spot.name])).map_err(|error| {
            let is_other = error.kind() == ErrorKind::UnsafeKey || is(&error, Errno::NOTDIR);
            if is_other { spot.in_the_way("something that is no directory has its name") } else { error }
        })?;
        let mode = rustix::fs::fstat(&existing).map_err(|errno| spot.fail(errno))?.st_mode & 0o7777;
        let is_narrow = mode & 0o700 != 0o700 && look::set_mode(&existing, mode | 0o700).is_ok();
        let is_ours = !self.options.no_clobber || self.parents.was_made(&entry.name);
        if self.options.preserve && is_ours {
            lock(&self.later).directory(entry, Look::of(entry, &self.options));
        } else if is_narrow {
            lock(&self.later).restore(&entry.name, mode);
        }
        Ok(())
    }

    fn hard_link(&self, entry: &Entry) -> Result<Done> {
        let target = &entry.link;
        names::check_entry(target, Kind::File).map_err(|why| unsafe_entry(target, why))?;
        if self.options.no_clobber && self.is_there(&entry.name)? {
            return Ok(Done::Skipped);
        }
        if !lock(&self.written).contains(&self.hasher.hash_one(target)) {
            return Err(unsafe_entry(&entry.name, "the file it is a hard link to was not written by this run"));
        }
        let (from, before) = self.parents.within(target, regular)?;
        let (to, linked) = self.parents.within(&entry.name, |directory, name| {
            match link_checked(&from, &before, directory, name) {
                Err(Errno::EXIST) => Ok(false),
                done => done.map(|()| true),
            }
        })?;
        if !linked {
            if self.options.no_clobber {
                return Ok(Done::Skipped);
            }
            to.replace(|name| link_checked(&from, &before, &to.directory, name))?;
        }
        self.remember(&entry.name);
        Ok(Done::Written)
    }

    /// Whether anything has this name.
    fn is_there(&self, name: &[u8]) -> Result<bool> {
        self.parents.within(name, exists).map(|(_, found)| found)
    }

    fn remember(&self, name: &[u8]) {
        if self.options.hard_links {
            lock(&self.written).insert(self.hasher.hash_one(name));
        }
    }
}

fn exists(directory: &Directory, name: &OsStr) -> rustix::io::Result<bool> {
    match directory.stat(name) {
        Ok(_) => Ok(true),
        Err(Errno::NOENT) => Ok(false),
        Err(errno) => Err(errno),
    }
}

fn regular(directory: &Directory, name: &OsStr) -> rustix::io::Result<Stat> {
    let stat = directory.stat(name)?;
    if FileType::from_raw_mode(stat.st_mode) == FileType::RegularFile { Ok(stat) } else { Err(Errno::INVAL) }
}

/// Links, and takes it back if it was not the file looked at before.
fn link_checked(from: &Spot, before: &Stat, directory: &Directory, name: &OsStr) -> rustix::io::Result<()> {
    rustix::fs::linkat(&from.directory, &from.name, directory, name, AtFlags::empty())?;
    let after = directory.stat(name)?;
    if (after.st_dev, after.st_ino) != (before.st_dev, before.st_ino) {
        directory.unlink(name)?;
        return Err(Errno::STALE);
    }
    Ok(())
}

/// The kind is the caller's to know, the name is the input's.
fn check(entry: &Entry, kind: Kind) -> Result<()> {
    if entry.kind != kind {
        return Err(Error::new(ErrorKind::Internal, "an entry of another kind was expected"));
    }
    names::check_entry(&entry.name, kind).map_err(|why| unsafe_entry(&entry.name, why))
}

fn unsafe_entry(name: &[u8], why: &str) -> Error {
    let shown = escape(&String::from_utf8_lossy(name), MAX_SHOWN);
    Error::new(ErrorKind::UnsafeKey, format!("the entry \"{shown}\" is unsafe: {why}"))
}

fn is(error: &Error, errno: Errno) -> bool {
    error.errno() == Some(errno.raw_os_error())
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests;
