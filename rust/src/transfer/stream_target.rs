//! A FIFO or character device to be written in order, and the descriptors that `/dev/stdout` and its like stand for.
//!
//! A link on procfs is no ordinary link: it stands for something a process has open, so it is never replaced and what
//! is behind it is written to as a stream. A FIFO or terminal is opened anew, so that its flags are ours alone. A
//! regular file (`s3z cp s3://b/k /dev/stdout >> log`) is written through a copy of the descriptor itself, from where it
//! stands: opening the file anew would begin at byte 0, over what is there. Invariant: what is opened is what was
//! looked at.

use std::ffi::{OsStr, OsString};
use std::os::fd::{AsFd, OwnedFd, RawFd};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use rustix::fs::{Access, AtFlags, FileType, Mode, OFlags, PROC_SUPER_MAGIC, Stat};
use rustix::io::{Errno, retry_on_intr};

use crate::error::{Error, Result};
use crate::transfer::descriptor::duplicate;
use crate::transfer::destination::{Place, file_type, not_writable};

/// As many links as the kernel would follow.
const MAX_LINKS: usize = 40;

#[derive(Debug)]
pub struct StreamTarget {
    place: Place,
    node: Identity,
    /// A named FIFO is opened when there is something to write: opening it waits for a reader.
    opened: Option<OwnedFd>,
}

impl StreamTarget {
    /// A FIFO or character device with a name.
    pub(crate) fn new(place: Place) -> Result<Self> {
        let stat = place.stat_behind().map_err(|errno| place.fail(errno))?;
        let mut target = Self { node: Identity::of(&stat), opened: None, place };
        if file_type(&stat) == FileType::Fifo {
            rustix::fs::accessat(&target.place.directory, &target.place.name, Access::WRITE_OK, AtFlags::EACCESS)
                .map_err(|errno| target.place.fail(errno))?;
        } else {
            target.opened = Some(target.open_node().map_err(|errno| target.place.fail(errno))?);
        }
        Ok(target)
    }

    /// What a link on procfs stands for.
    pub(crate) fn of_descriptor(place: Place, link: &OsStr) -> Result<Self> {
        let stat = match place.stat_behind() {
            Ok(stat) => stat,
            Err(Errno::NOENT) => return Err(Error::local_text(place.path(), Errno::BADF, "no such open descriptor")),
            Err(errno) => return Err(place.fail(errno)),
        };
        let mut target = Self { node: Identity::of(&stat), opened: None, place };
        let opened = match file_type(&stat) {
            FileType::CharacterDevice => target.open_node(),
            // Somebody has it open already: if nobody reads it, nobody will.
            FileType::Fifo => {
                target.open_node().map_err(|errno| if errno == Errno::NXIO { Errno::PIPE } else { errno })
            }
            FileType::RegularFile => match link.to_str().and_then(|name| name.parse().ok()) {
                Some(number) => target.copy_descriptor(number),
                None => return Err(not_writable(target.path())),
            },
            FileType::Directory => Err(Errno::ISDIR),
            _ => return Err(not_writable(target.path())),
        };
        target.opened = Some(opened.map_err(|errno| target.place.fail(errno))?);
        Ok(target)
    }

    pub fn path(&self) -> &Path {
        self.place.path()
    }

    /// Opens it; `None` while nobody reads the FIFO. Never waits.
    pub(crate) fn open(&mut self) -> Result<Option<OwnedFd>> {
        if let Some(opened) = self.opened.take() {
            return Ok(Some(opened));
        }
        match self.open_node() {
            Ok(opened) => Ok(Some(opened)),
            Err(Errno::NXIO) => Ok(None),
            Err(errno) => Err(self.place.fail(errno)),
        }
    }

    /// A descriptor with flags of its own, whoever else has the FIFO or device open.
    fn open_node(&self) -> rustix::io::Result<OwnedFd> {
        let flags = OFlags::WRONLY | OFlags::NONBLOCK | OFlags::NOCTTY | OFlags::CLOEXEC;
        let (directory, name) = (&self.place.directory, &self.place.name);
        let opened = retry_on_intr(|| rustix::fs::openat(directory, name, flags, Mode::empty()))?;
        self.same(opened)
    }

    fn copy_descriptor(&self, number: RawFd) -> rustix::io::Result<OwnedFd> {
        let copy = self.same(duplicate(number)?)?;
        let flags = rustix::fs::fcntl_getfl(&copy)?;
        let writable = [OFlags::WRONLY, OFlags::RDWR].contains(&(flags & OFlags::RWMODE));
        if writable && !flags.contains(OFlags::PATH) { Ok(copy) } else { Err(Errno::BADF) }
    }

    /// What was opened, if it is what was looked at.
    fn same(&self, opened: OwnedFd) -> rustix::io::Result<OwnedFd> {
        let now = Identity::of(&rustix::fs::fstat(&opened)?);
        if now == self.node { Ok(opened) } else { Err(Errno::STALE) }
    }
}

#[derive(Debug, PartialEq, Eq)]
struct Identity {
    device: u64,
    inode: u64,
    /// Type and, of a device, which.
    kind: (FileType, u64),
}

impl Identity {
    fn of(stat: &Stat) -> Self {
        Self { device: stat.st_dev, inode: stat.st_ino, kind: (file_type(stat), stat.st_rdev) }
    }
}

/// The name on procfs that a place leads to, if it does, whether or not there is anything.
pub(crate) fn descriptor_link(place: &Place) -> rustix::io::Result<Option<OsString>> {
    let mut name = place.name.clone();
    let mut directory: Option<OwnedFd> = None;
    for _ in 0..MAX_LINKS {
        let at = directory.as_ref().map_or(place.directory.as_fd(), AsFd::as_fd);
        if rustix::fs::fstatfs(at)?.f_type == PROC_SUPER_MAGIC {
            return Ok(Some(name));
        }
        let target = match rustix::fs::readlinkat(at, &name, Vec::new()) {
            Ok(target) => target.into_bytes(),
            // Not a link, or nothing.
            Err(Errno::INVAL | Errno::NOENT) => return Ok(None),
            Err(errno) => return Err(errno),
        };
        let cut = target.iter().rposition(|byte| *byte == b'/').map_or(0, |slash| slash + 1);
        let (parent, last) = target.split_at(cut);
        if [&b""[..], b".", b".."].contains(&last) {
            return Ok(None);
        }
        let parent = if parent.is_empty() { b"." } else { parent };
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let next = match rustix::fs::openat(at, parent, flags, Mode::empty()) {
            Ok(next) => next,
            Err(errno @ (Errno::MFILE | Errno::NFILE)) => return Err(errno),
            // It leads nowhere, or where we may not look.
            Err(_) => return Ok(None),
        };
        name = OsStr::from_bytes(last).to_owned();
        directory = Some(next);
    }
    Ok(None)
}
