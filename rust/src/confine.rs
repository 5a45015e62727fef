//! From a key, or the name of an entry, to a path beneath a directory held open: the only home of that step.
//!
//! `relative` is the lexical half: it refuses names that have no path of their own and changes nothing in the rest, so
//! that two keys never meet in one file (K1). It is not the guard. The guard is `Directory`, under whose descriptor
//! everything is opened, made, renamed and removed: segment by segment, through no symbolic link, whatever is swapped
//! meanwhile (K4). Where the kernel has no `openat2`, or a sandbox forbids it, a walk that opens one segment at a time
//! gives the same answers. Only the directory a user named may itself be a link (K5).
#![expect(clippy::disallowed_methods, reason = "the one home of making and renaming by name")]

use std::ffi::{OsStr, OsString};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use rustix::fs::{AtFlags, FileType, Mode, OFlags, RenameFlags, ResolveFlags, Stat};
use rustix::io::{Errno, retry_on_intr};

use crate::error::{Error, ErrorKind, Result, escape};

/// Longest file name, in bytes (NAME_MAX).
pub const MAX_NAME: usize = 255;
/// Longest path, in bytes: PATH_MAX counts the byte that ends it.
pub const MAX_PATH: usize = 4095;

/// A rename anywhere on the machine may make `openat2` ask for another try; then the walk takes over.
const MAX_TRIES: usize = 32;

/// The segments of a key, as it is: the path it stands for beneath some directory.
pub fn relative(key: &[u8]) -> Result<Vec<&OsStr>> {
    if key.is_empty() {
        return Err(unsafe_key("it is empty"));
    }
    if key.starts_with(b"/") {
        return Err(unsafe_key("it begins with \"/\""));
    }
    if key.ends_with(b"/") {
        return Err(unsafe_key("it ends with \"/\""));
    }
    if key.len() > MAX_PATH {
        return Err(unsafe_key(&format!("it is longer than {MAX_PATH} bytes")));
    }
    let segments = key.split(|byte| *byte == b'/');
    segments.map(|segment| check_segment(segment).map(|()| OsStr::from_bytes(segment)).map_err(unsafe_key)).collect()
}

fn unsafe_key(why: &str) -> Error {
    Error::new(ErrorKind::UnsafeKey, format!("the key has no safe path: {why}"))
}

/// What keeps `segment` from being the name of a file.
fn check_segment(segment: &[u8]) -> Result<(), &'static str> {
    match segment {
        b"" => Err("a segment is empty"),
        b"." => Err("a segment is \".\""),
        b".." => Err("a segment is \"..\""),
        _ if segment.contains(&0) => Err("it holds a NUL byte"),
        _ if segment.contains(&b'/') => Err("a segment holds \"/\""),
        _ if segment.len() > MAX_NAME => Err("a segment is longer than 255 bytes"),
        _ => Ok(()),
    }
}

/// A directory held open. What is beneath it is reached through its descriptor only.
///
/// The calls that take one name give the bare errno: their caller knows which file a person should read about.
#[derive(Debug)]
pub struct Directory {
    fd: OwnedFd,
    /// For messages.
    path: PathBuf,
    /// Without `openat2`.
    walks: bool,
}

impl AsFd for Directory {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}

impl Directory {
    /// The directory a user named; links on the way are followed (K5).
    pub fn open(path: &Path) -> Result<Self> {
        let fd = open_readable(rustix::fs::CWD, path).map_err(|errno| Error::local_errno(path, errno))?;
        Ok(Self { fd, path: path.to_owned(), walks: false })
    }

    /// The same, made if it is missing, and what was made: what is there may be a link, what is missing is made beneath it.
    pub fn make(path: &Path) -> Result<(Self, Option<Made>)> {
        let mut missing: Vec<&OsStr> = Vec::new();
        let mut existing = path;
        while !existing.is_dir() {
            let (Some(name), Some(parent)) = (existing.file_name(), existing.parent()) else { break };
            missing.insert(0, name);
            existing = parent;
        }
        let existing = Self::open(if existing.as_os_str().is_empty() { Path::new(".") } else { existing })?;
        if missing.is_empty() { Ok((existing, None)) } else { existing.make_beneath(&missing) }
    }

    pub fn path(&self) -> &Path {
        &self.path
    }

    pub fn try_clone(&self) -> rustix::io::Result<Self> {
        Ok(Self { fd: rustix::io::fcntl_dupfd_cloexec(&self.fd, 0)?, path: self.path.clone(), walks: self.walks })
    }

    /// An existing directory beneath this one. A link on the way is refused, wherever it leads.
    pub fn beneath(&self, segments: &[&OsStr]) -> Result<Self> {
        let fd = self.open_beneath(segments).map_err(|errno| self.fail(segments, errno))?;
        Ok(Self { fd, path: self.shown(segments), walks: self.walks })
    }

    /// The same, after making what is missing; and what was made, if anything. After a failure nothing of it is left.
    pub fn make_beneath(&self, segments: &[&OsStr]) -> Result<(Self, Option<Made>)> {
        match self.open_beneath(segments) {
            Ok(fd) => return Ok((Self { fd, path: self.shown(segments), walks: self.walks }, None)),
            Err(Errno::NOENT) => {}
            Err(errno) => return Err(self.fail(segments, errno)),
        }
        let root = self.try_clone().map_err(|errno| Error::local_errno(&self.path, errno))?;
        let segments: Vec<OsString> = segments.iter().map(|segment| (*segment).to_owned()).collect();
        let mut made = Made { root, segments, depths: Vec::new() };
        let directory = made.make()?;
        Ok((directory, Some(made).filter(|made| !made.depths.is_empty())))
    }

    /// Creates the file `name`, which must not exist in any form, for reading and writing.
    pub fn create_new(&self, name: &OsStr, mode: Mode) -> rustix::io::Result<OwnedFd> {
        let flags = OFlags::RDWR | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        checked(name)?;
        retry_on_intr(|| rustix::fs::openat(&self.fd, name, flags, mode))
    }

    /// Creates a file without a name, for reading and writing. Not every file system can.
    pub fn create_nameless(&self, mode: Mode) -> rustix::io::Result<OwnedFd> {
        let flags = OFlags::RDWR | OFlags::TMPFILE | OFlags::CLOEXEC;
        retry_on_intr(|| rustix::fs::openat(&self.fd, ".", flags, mode))
    }

    /// Gives a file without a name this one, unless something has it: then EEXIST.
    pub fn name_it(&self, file: BorrowedFd<'_>, name: &OsStr) -> rustix::io::Result<()> {
        checked(name)?;
        match rustix::fs::linkat(file, "", &self.fd, name, AtFlags::EMPTY_PATH) {
            // Older kernels let only a privileged process name a descriptor so.
            Err(Errno::NOENT) => {
                let link = format!("/proc/self/fd/{}", file.as_raw_fd());
                rustix::fs::linkat(rustix::fs::CWD, link, &self.fd, name, AtFlags::SYMLINK_FOLLOW)
            }
            done => done,
        }
    }

    /// Opens the regular file `name`; of anything else, a link included, it only says that it cannot. Never waits.
    pub fn open_file(&self, name: &OsStr, flags: OFlags) -> rustix::io::Result<OwnedFd> {
        checked(name)?;
        // NONBLOCK: opening a FIFO would wait for its other end. It means nothing to a regular file.
        let flags = flags | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::NOCTTY | OFlags::CLOEXEC;
        let file = retry_on_intr(|| rustix::fs::openat(&self.fd, name, flags, Mode::empty()))?;
        let mode = rustix::fs::fstat(&file)?.st_mode;
        if FileType::from_raw_mode(mode) == FileType::RegularFile { Ok(file) } else { Err(Errno::INVAL) }
    }

    /// What has this name; of a link, the link.
    pub fn stat(&self, name: &OsStr) -> rustix::io::Result<Stat> {
        checked(name)?;
        rustix::fs::statat(&self.fd, name, AtFlags::SYMLINK_NOFOLLOW)
    }

    /// Gives the file `from` the name `to`, which whatever had it before loses.
    pub fn rename(&self, from: &OsStr, to: &OsStr) -> rustix::io::Result<()> {
        checked(from).and(checked(to))?;
        rustix::fs::renameat(&self.fd, from, &self.fd, to)
    }

    /// The same, unless something has that name: then EEXIST.
    pub fn rename_new(&self, from: &OsStr, to: &OsStr) -> rustix::io::Result<()> {
        checked(from).and(checked(to))?;
        match rustix::fs::renameat_with(&self.fd, from, &self.fd, to, RenameFlags::NOREPLACE) {
            // Kernels and file systems without the flag: a link fails where the name is taken.
            Err(Errno::INVAL | Errno::NOSYS | Errno::OPNOTSUPP) => {
                rustix::fs::linkat(&self.fd, from, &self.fd, to, AtFlags::empty())?;
                self.unlink(from)
            }
            done => done,
        }
    }

    /// Removes the file or link `name`.
    pub fn unlink(&self, name: &OsStr) -> rustix::io::Result<()> {
        checked(name)?;
        rustix::fs::unlinkat(&self.fd, name, AtFlags::empty())
    }

    /// Writes the names in it to the disk.
    pub fn sync(&self) -> rustix::io::Result<()> {
        match rustix::fs::fsync(&self.fd) {
            // It was not readable, and is open as a place only: the errno of reading it tells more.
            Err(Errno::BADF) => rustix::fs::fsync(rustix::fs::openat(&self.fd, ".", READABLE, Mode::empty())?),
            done => done,
        }
    }

    fn open_beneath(&self, segments: &[&OsStr]) -> rustix::io::Result<OwnedFd> {
        segments.iter().try_for_each(|segment| checked(segment))?;
        if segments.is_empty() {
            return open_readable(&self.fd, Path::new("."));
        }
        if !self.walks {
            match self.resolve(segments) {
                Err(Errno::NOSYS | Errno::PERM | Errno::AGAIN) => {}
                done => return done,
            }
        }
        self.walk(segments)
    }

    /// By the kernel, in one call.
    fn resolve(&self, segments: &[&OsStr]) -> rustix::io::Result<OwnedFd> {
        let path: PathBuf = segments.iter().collect();
        let how = ResolveFlags::BENEATH | ResolveFlags::NO_SYMLINKS | ResolveFlags::NO_MAGICLINKS;
        let open = |flags| rustix::fs::openat2(&self.fd, &path, flags, Mode::empty(), how);
        for _ in 0..MAX_TRIES {
            match open(READABLE) {
                Err(Errno::INTR | Errno::AGAIN) => {}
                Err(Errno::ACCESS) => return open(PLACE),
                done => return done,
            }
        }
        Err(Errno::AGAIN)
    }

    /// By hand, one segment at a time.
    fn walk(&self, segments: &[&OsStr]) -> rustix::io::Result<OwnedFd> {
        let mut at: Option<OwnedFd> = None;
        for segment in segments {
            let above = at.as_ref().map_or(self.fd.as_fd(), AsFd::as_fd);
            at = Some(step(above, segment)?);
        }
        let last = at.as_ref().map_or(self.fd.as_fd(), AsFd::as_fd);
        open_readable(last, Path::new("."))
    }

    /// The path of what is beneath, for messages.
    fn shown(&self, segments: &[impl AsRef<OsStr>]) -> PathBuf {
        let root = if self.path == Path::new(".") { Path::new("") } else { &self.path };
        let shown = segments.iter().fold(root.to_owned(), |path, segment| path.join(segment.as_ref()));
        if shown.as_os_str().is_empty() { self.path.clone() } else { shown }
    }

    fn fail(&self, segments: &[impl AsRef<OsStr>], errno: Errno) -> Error {
        let shown = self.shown(segments);
        if errno == Errno::LOOP {
            let shown = escape(&shown.to_string_lossy(), MAX_PATH);
            let text = format!("a symbolic link on the way is not followed: \"{shown}\"");
            return Error::new(ErrorKind::UnsafeKey, text);
        }
        Error::local_errno(&shown, errno)
    }
}

const READABLE: OFlags = OFlags::RDONLY.union(OFlags::DIRECTORY).union(OFlags::CLOEXEC);
/// Enough to reach what is beneath, and needs no right to read.
const PLACE: OFlags = OFlags::PATH.union(OFlags::DIRECTORY).union(OFlags::CLOEXEC);

/// Opens a directory for reading (to sync it), or, where that is not allowed, as a place.
fn open_readable(at: impl AsFd, path: &Path) -> rustix::io::Result<OwnedFd> {
    let open = |flags| retry_on_intr(|| rustix::fs::openat(&at, path, flags, Mode::empty()));
    match open(READABLE) {
        Err(Errno::ACCESS) => open(PLACE),
        done => done,
    }
}

/// The directory `segment` of `above`; ELOOP if it is a link.
fn step(above: BorrowedFd<'_>, segment: &OsStr) -> rustix::io::Result<OwnedFd> {
    for _ in 0..MAX_TRIES {
        match retry_on_intr(|| rustix::fs::openat(above, segment, PLACE | OFlags::NOFOLLOW, Mode::empty())) {
            Err(Errno::NOTDIR) => {}
            done => return done,
        }
        let mode = rustix::fs::statat(above, segment, AtFlags::SYMLINK_NOFOLLOW)?.st_mode;
        match FileType::from_raw_mode(mode) {
            FileType::Symlink => return Err(Errno::LOOP),
            // Somebody put it there just now.
            FileType::Directory => {}
            _ => return Err(Errno::NOTDIR),
        }
    }
    Err(Errno::AGAIN)
}

fn checked(name: &OsStr) -> rustix::io::Result<()> {
    check_segment(name.as_bytes()).map_err(|_| if name.len() > MAX_NAME { Errno::NAMETOOLONG } else { Errno::INVAL })
}

/// Directories that `make_beneath` made: to be removed again if nothing comes of it, or synced.
#[derive(Debug)]
pub struct Made {
    root: Directory,
    segments: Vec<OsString>,
    /// How many segments each of them has, outermost first.
    depths: Vec<usize>,
}

impl Made {
    /// Their paths, outermost first.
    pub fn paths(&self) -> Vec<PathBuf> {
        self.depths.iter().map(|depth| self.root.shown(&self.segments[..*depth])).collect()
    }

    /// Removes them, as far as they are empty: somebody else's files keep them.
    pub fn remove(&self) {
        for depth in self.depths.iter().rev() {
            let Some((name, above)) = self.segments[..*depth].split_last() else { continue };
            let above: Vec<&OsStr> = above.iter().map(OsString::as_os_str).collect();
            if let Ok(above) = self.root.open_beneath(&above) {
                let _ = rustix::fs::unlinkat(above, name, AtFlags::REMOVEDIR);
            }
        }
    }

    /// Writes their names to the disk.
    pub fn sync(&self) -> Result<()> {
        for depth in &self.depths {
            let above: Vec<&OsStr> = self.segments[..depth - 1].iter().map(OsString::as_os_str).collect();
            let above = self.root.beneath(&above)?;
            above.sync().map_err(|errno| Error::local_errno(above.path(), errno))?;
        }
        Ok(())
    }

    /// Makes what is missing, and opens the last. After a failure nothing of it is left.
    fn make(&mut self) -> Result<Directory> {
        self.make_each().inspect_err(|_| self.remove())
    }

    fn make_each(&mut self) -> Result<Directory> {
        let mut at: Option<OwnedFd> = None;
        for depth in 1..=self.segments.len() {
            let fail = |errno| self.root.fail(&self.segments[..depth], errno);
            let segment = &self.segments[depth - 1];
            let above = at.as_ref().map_or(self.root.as_fd(), AsFd::as_fd);
            let next = match step(above, segment) {
                Err(Errno::NOENT) => {
                    match retry_on_intr(|| rustix::fs::mkdirat(above, segment, Mode::from_raw_mode(0o777))) {
                        Ok(()) => self.depths.push(depth),
                        Err(Errno::EXIST) => {}
                        Err(errno) => return Err(fail(errno)),
                    }
                    step(above, segment)
                }
                done => done,
            };
            at = Some(next.map_err(fail)?);
        }
        let last = at.as_ref().map_or(self.root.as_fd(), AsFd::as_fd);
        let fd = open_readable(last, Path::new(".")).map_err(|errno| self.root.fail(&self.segments, errno))?;
        Ok(Directory { fd, path: self.root.shown(&self.segments), walks: self.root.walks })
    }
}

#[cfg(test)]
pub(crate) mod tests;
