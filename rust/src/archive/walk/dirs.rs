//! The directories beneath a source, opened when they are needed and closed soon after.
//!
//! Entries are reached by their name in a directory's descriptor. An entry holds no descriptor itself: `Dirs` keeps
//! the few directories used last, and opens any other anew by its path beneath the source, which is cheaper than it
//! sounds (the kernel has all these names at hand) and lets a tree of any width and depth do with 32 descriptors.
//! Unless links are followed, none is passed on the way, whatever is swapped meanwhile. Only the source that a user
//! named may itself be a link. Paths longer than the kernel takes are gone in several steps.

use std::ffi::OsStr;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use rustix::fs::{AtFlags, CWD, FileType, Mode, OFlags, ResolveFlags, Stat};
use rustix::io::{Errno, retry_on_intr};

use super::Walked;
use super::listing::{Kind, kind_of};
use crate::error::{Error, Result};

/// Directories kept open.
const MAX_OPEN: usize = 32;
/// Bytes of a path that the kernel takes at once.
const MAX_PATH: usize = 4095;
/// Segments taken at once where links are followed: the kernel follows 40 in one call.
const MAX_SEGMENTS: usize = 32;
const READABLE: OFlags = OFlags::RDONLY.union(OFlags::DIRECTORY).union(OFlags::CLOEXEC);

type Recent = Vec<(Box<[u8]>, Arc<OwnedFd>)>;

pub struct Dirs {
    root: Arc<OwnedFd>,
    /// Of the source, for messages.
    path: PathBuf,
    follows: bool,
    /// There is no `openat2`, or a sandbox forbids it.
    goes_by_hand: AtomicBool,
    /// Used last comes last.
    recent: Mutex<Recent>,
}

impl Dirs {
    /// Opens the source. Of a file, the directory that holds it, and its name there; it may be a link, too.
    /// Of the directory, or of that which holds the file.
    pub fn of_source(source: &Path, follows: bool) -> Result<(Self, Option<Vec<u8>>)> {
        let fail = |errno| Error::local_errno(source, errno);
        match open_at(CWD, source.as_os_str().as_bytes(), READABLE) {
            Ok(root) => return Ok((Self::new(root, source, follows), None)),
            Err(Errno::NOTDIR) => {}
            Err(errno) => return Err(fail(errno)),
        }
        // A file, then; or a file on the way, which the next step meets again.
        let is_meant = [&b"/"[..], b"/."].iter().all(|end| !source.as_os_str().as_bytes().ends_with(end));
        let Some(name) = source.file_name().filter(|_| is_meant) else { return Err(fail(Errno::NOTDIR)) };
        let parent = source.parent().filter(|parent| *parent != Path::new("")).unwrap_or(Path::new("."));
        let root = open_at(CWD, parent.as_os_str().as_bytes(), READABLE.union(OFlags::PATH)).map_err(fail)?;
        Ok((Self::new(root, parent, true), Some(name.as_bytes().to_vec())))
    }

    fn new(root: OwnedFd, path: &Path, follows: bool) -> Self {
        let (root, goes_by_hand) = (Arc::new(root), AtomicBool::new(false));
        Self { root, path: path.to_owned(), follows, goes_by_hand, recent: Mutex::default() }
    }

    fn root(&self) -> BorrowedFd<'_> {
        self.root.as_fd()
    }

    /// What the source is that is no directory.
    pub(super) fn kind_of_file(&self, name: &[u8]) -> rustix::io::Result<Kind> {
        let stat = rustix::fs::statat(self.root(), name, AtFlags::empty())?;
        match kind_of(FileType::from_raw_mode(stat.st_mode)) {
            Kind::Directory => Err(Errno::ISDIR), // Somebody put it there just now.
            kind => Ok(kind),
        }
    }

    /// Whether links are followed.
    pub fn follows(&self) -> bool {
        self.follows
    }

    /// The directory of that name beneath the source, as `Walked::parent` gives it.
    pub fn open(&self, directory: &[u8]) -> Result<Arc<OwnedFd>> {
        if directory.is_empty() {
            return Ok(self.root.clone());
        }
        if let Some(open) = self.recent_one(directory) {
            return Ok(open);
        }
        let opened = self.open_new(directory).map_err(|errno| Error::local_errno(&self.shown(directory), errno))?;
        let opened = Arc::new(opened);
        let mut recent = self.recent();
        if recent.len() == MAX_OPEN {
            recent.remove(0);
        }
        recent.push((directory.into(), opened.clone()));
        Ok(opened)
    }

    /// What an entry is now; of a link, the link, unless links are followed.
    pub fn stat(&self, entry: &Walked) -> Result<Stat> {
        let flags = if self.follows { AtFlags::empty() } else { AtFlags::SYMLINK_NOFOLLOW };
        let parent = self.open(entry.parent())?;
        rustix::fs::statat(parent, entry.base(), flags).map_err(|errno| self.fail(entry, errno))
    }

    /// Opens a file for reading. Never waits; the caller checks that it is a regular file still.
    pub fn open_file(&self, entry: &Walked) -> Result<OwnedFd> {
        let mut flags = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::NOCTTY | OFlags::CLOEXEC;
        if !self.follows {
            flags |= OFlags::NOFOLLOW;
        }
        let parent = self.open(entry.parent())?;
        open_at(parent.as_fd(), entry.base(), flags).map_err(|errno| self.fail(entry, errno))
    }

    /// The text of a link.
    pub fn read_link(&self, entry: &Walked) -> Result<Vec<u8>> {
        let parent = self.open(entry.parent())?;
        let text = rustix::fs::readlinkat(parent, entry.base(), Vec::new());
        text.map(std::ffi::CString::into_bytes).map_err(|errno| self.fail(entry, errno))
    }

    /// The path of what is beneath, for messages.
    pub(super) fn shown(&self, name: &[u8]) -> PathBuf {
        self.path.join(OsStr::from_bytes(name.strip_suffix(b"/").unwrap_or(name)))
    }

    fn fail(&self, entry: &Walked, errno: Errno) -> Error {
        Error::local_errno(&self.shown(&entry.name[entry.prefix..]), errno)
    }

    #[cfg(test)]
    pub(super) fn go_by_hand(&self) {
        self.goes_by_hand.store(true, Relaxed);
    }

    #[cfg(test)]
    pub(super) fn open_count(&self) -> usize {
        self.recent().len()
    }

    fn recent(&self) -> MutexGuard<'_, Recent> {
        self.recent.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn recent_one(&self, directory: &[u8]) -> Option<Arc<OwnedFd>> {
        let mut recent = self.recent();
        let index = recent.iter().rposition(|(name, _)| **name == *directory)?;
        recent[index..].rotate_left(1);
        recent.last().map(|(_, open)| open.clone())
    }

    /// A descriptor of one's own, to be read from.
    pub(super) fn open_new(&self, directory: &[u8]) -> rustix::io::Result<OwnedFd> {
        if directory.is_empty() {
            return open_at(self.root(), b".", READABLE);
        }
        let mut at: Option<OwnedFd> = None;
        let mut left = directory;
        while !left.is_empty() {
            let (piece, rest) = left.split_at(self.piece(left));
            at = Some(self.open_piece(at.as_ref().map_or(self.root(), AsFd::as_fd), piece)?);
            left = rest;
        }
        at.ok_or(Errno::NOENT)
    }

    /// How many bytes of `path`, which ends in `/`, can be taken at once.
    fn piece(&self, path: &[u8]) -> usize {
        let max_segments = match (self.follows, self.goes_by_hand.load(Relaxed)) {
            (true, _) => MAX_SEGMENTS,
            (false, true) => 1,
            (false, false) if path.len() <= MAX_PATH => return path.len(),
            (false, false) => usize::MAX,
        };
        let slashes = path.iter().enumerate().filter(|(_, byte)| **byte == b'/').map(|(index, _)| index + 1);
        let fitting = slashes.take(max_segments).take_while(|len| *len <= MAX_PATH);
        fitting.last().unwrap_or(path.len())
    }

    fn open_piece(&self, at: BorrowedFd<'_>, piece: &[u8]) -> rustix::io::Result<OwnedFd> {
        if self.follows {
            return open_at(at, piece, READABLE);
        }
        if !self.goes_by_hand.load(Relaxed) {
            let how = ResolveFlags::BENEATH | ResolveFlags::NO_SYMLINKS | ResolveFlags::NO_MAGICLINKS;
            match retry_on_intr(|| rustix::fs::openat2(at, piece, READABLE, Mode::empty(), how)) {
                Err(Errno::NOSYS | Errno::PERM) => self.goes_by_hand.store(true, Relaxed),
                // Too much is being renamed on this machine for the kernel to be sure.
                Err(Errno::AGAIN) => {}
                done => return done,
            }
        }
        by_hand(at, piece)
    }
}

/// One segment at a time, none of them a link.
fn by_hand(at: BorrowedFd<'_>, path: &[u8]) -> rustix::io::Result<OwnedFd> {
    let mut opened: Option<OwnedFd> = None;
    for segment in path.split(|byte| *byte == b'/').filter(|segment| !segment.is_empty()) {
        let at = opened.as_ref().map_or(at, AsFd::as_fd);
        opened = Some(open_at(at, segment, READABLE | OFlags::NOFOLLOW)?);
    }
    opened.ok_or(Errno::NOENT)
}

fn open_at(at: BorrowedFd<'_>, path: &[u8], flags: OFlags) -> rustix::io::Result<OwnedFd> {
    retry_on_intr(|| rustix::fs::openat(at, path, flags, Mode::empty()))
}
