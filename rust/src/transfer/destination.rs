//! Where a download goes, looked at before any request is made.
//!
//! Owns the early checks (F2): a name that can be one, a directory that is there (or was made) and can be written to,
//! nothing in the way. `Target` tells a file, which will be replaced as a whole, from what can only be written
//! to in order (F10). The last component is never followed, except to a FIFO or character device (F9). All calls block:
//! they are made on an I/O lane. Invariant: nothing is written here; directories that were made go again unless
//! something is published in them.

use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use rustix::fs::{Access, AtFlags, FileType, Mode, Stat};
use rustix::io::Errno;

use crate::confine::{Directory, MAX_NAME, MAX_PATH, Made};
use crate::error::{Error, ErrorKind, Result};
use crate::transfer::descriptor::{PATIENCE, patiently};
use crate::transfer::stream_target::{StreamTarget, descriptor_link};

/// What a user's path turned out to be.
#[derive(Debug)]
pub enum Target {
    File(Destination),
    Stream(StreamTarget),
}

impl Target {
    /// Looks at `path` and makes the directories it lacks. A FIFO or device is no file that `overwrite` could save.
    pub fn prepare(path: &Path, overwrite: bool) -> Result<Self> {
        patiently(PATIENCE, || Self::prepare_once(path, overwrite))
    }

    fn prepare_once(path: &Path, overwrite: bool) -> Result<Self> {
        let place = Place::open(path)?;
        if let Some(link) = descriptor_link(&place).map_err(|errno| place.fail(errno))? {
            return Ok(Self::Stream(StreamTarget::of_descriptor(place, &link)?));
        }
        let stat = match place.directory.stat(&place.name) {
            Ok(stat) => stat,
            Err(Errno::NOENT) => return Ok(Self::File(Destination::new(place, None)?)),
            Err(errno) => return Err(place.fail(errno)),
        };
        let is_link = file_type(&stat) == FileType::Symlink;
        // A link to nothing, or to a place that cannot be looked at, is only a link.
        let behind = if is_link { place.stat_behind().ok() } else { Some(stat) };
        match behind.as_ref().map_or(FileType::Symlink, file_type) {
            FileType::Fifo | FileType::CharacterDevice => Ok(Self::Stream(StreamTarget::new(place)?)),
            FileType::Directory => Err(place.fail(Errno::ISDIR)),
            FileType::RegularFile | FileType::Symlink if !overwrite => Err(place.fail(Errno::EXIST)),
            FileType::RegularFile | FileType::Symlink => {
                let existing = Some(stat).filter(|_| !is_link).map(|stat| Mode::from_raw_mode(stat.st_mode & 0o777));
                Ok(Self::File(Destination::new(place, existing)?))
            }
            _ => Err(not_writable(place.path())),
        }
    }
}

pub(crate) fn file_type(stat: &Stat) -> FileType {
    FileType::from_raw_mode(stat.st_mode)
}

pub(crate) fn not_writable(path: &Path) -> Error {
    Error::local_text(path, Errno::INVAL, "neither a regular file nor a FIFO or character device")
}

/// A place for a file: its directory, held open, and its name there.
#[derive(Debug)]
pub struct Destination {
    place: Place,
    existing: Option<Mode>,
}

impl Destination {
    /// The same as `Target::prepare`, for whom only a file will do.
    pub fn prepare(path: &Path, overwrite: bool) -> Result<Self> {
        match Target::prepare(path, overwrite)? {
            Target::File(destination) => Ok(destination),
            Target::Stream(_) => Err(Error::local_text(path, Errno::INVAL, "not a regular file")),
        }
    }

    fn new(place: Place, existing: Option<Mode>) -> Result<Self> {
        place.check_writable()?;
        Ok(Self { place, existing })
    }

    pub fn path(&self) -> &Path {
        &self.place.path
    }

    pub fn directory(&self) -> &Directory {
        &self.place.directory
    }

    pub fn name(&self) -> &OsStr {
        &self.place.name
    }

    /// Permission bits of the regular file that was there.
    pub fn existing(&self) -> Option<Mode> {
        self.existing
    }

    /// The directories made for it, which stay from now on.
    pub(crate) fn keep_made(&mut self) -> Option<Made> {
        self.place.made.take()
    }
}

/// A name in a directory held open.
#[derive(Debug)]
pub(crate) struct Place {
    pub(crate) directory: Directory,
    pub(crate) name: OsString,
    path: PathBuf,
    /// What was made for it, which goes again if nothing comes of it.
    made: Option<Made>,
}

impl Drop for Place {
    fn drop(&mut self) {
        if let Some(made) = &self.made {
            made.remove();
        }
    }
}

impl Place {
    fn open(path: &Path) -> Result<Self> {
        let (parent, name) = split(path)?;
        let (directory, made) = open_or_make(parent)?;
        Ok(Self { directory, name: name.to_owned(), path: path.to_owned(), made })
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    pub(crate) fn fail(&self, errno: Errno) -> Error {
        Error::local_errno(&self.path, errno)
    }

    /// What the name leads to, through links.
    pub(crate) fn stat_behind(&self) -> rustix::io::Result<Stat> {
        rustix::fs::statat(&self.directory, &self.name, AtFlags::empty())
    }

    fn check_writable(&self) -> Result<()> {
        let wanted = Access::WRITE_OK | Access::EXEC_OK;
        let access = |flags| rustix::fs::accessat(&self.directory, ".", wanted, flags);
        let allowed = match access(AtFlags::EACCESS) {
            // Older sandboxes refuse the call that takes flags. The older call asks about the real user.
            Err(Errno::PERM | Errno::NOSYS) => access(AtFlags::empty()),
            done => done,
        };
        allowed.map_err(|errno| Error::local_errno(self.directory.path(), errno))
    }
}

/// The directory and the name, as bytes: `Path` would take `a/.` for `a`.
fn split(path: &Path) -> Result<(&Path, &OsStr)> {
    let bytes = path.as_os_str().as_bytes();
    let refuse = |errno, text: &str| Err(Error::local_text(path, errno, text));
    let cut = bytes.iter().rposition(|byte| *byte == b'/').map_or(0, |slash| slash + 1);
    let (parent, name) = bytes.split_at(cut);
    match name {
        _ if bytes.is_empty() => refuse(Errno::NOENT, "an empty path names no file"),
        _ if bytes.contains(&0) => refuse(Errno::INVAL, "a path cannot hold a NUL byte"),
        _ if bytes.len() > MAX_PATH => refuse(Errno::NAMETOOLONG, &format!("the path is longer than {MAX_PATH} bytes")),
        _ if name.len() > MAX_NAME => refuse(Errno::NAMETOOLONG, &format!("the name is longer than {MAX_NAME} bytes")),
        b"" | b"." | b".." => Err(Error::local_errno(path, Errno::ISDIR)),
        _ => {
            let parent = if parent.is_empty() { b"." } else { parent };
            Ok((Path::new(OsStr::from_bytes(parent)), OsStr::from_bytes(name)))
        }
    }
}

/// Opens `directory`; what is missing of it is made beneath its deepest ancestor that is there.
fn open_or_make(directory: &Path) -> Result<(Directory, Option<Made>)> {
    let mut missing = Vec::new();
    let mut at = directory;
    let ancestor = loop {
        match Directory::open(if at.as_os_str().is_empty() { Path::new(".") } else { at }) {
            Ok(found) => break found,
            Err(error) => match (at.file_name(), at.parent()) {
                (Some(name), Some(above)) if error.errno() == Some(Errno::NOENT.raw_os_error()) => {
                    missing.push(name);
                    at = above;
                }
                _ => return Err(error),
            },
        }
    };
    missing.reverse();
    if missing.is_empty() {
        return Ok((ancestor, None));
    }
    ancestor.make_beneath(&missing).map_err(|error| match error.kind() {
        // The user wrote this path, no key did.
        ErrorKind::UnsafeKey => {
            Error::local_text(directory, Errno::LOOP, "a symbolic link on the way leads nowhere").with_source(error)
        }
        _ => error,
    })
}
