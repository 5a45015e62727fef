//! The directories that entries are made in: opened beneath the root, made where missing, a few kept open.
//!
//! Neighbours in an archive share their directory, so the last `OPEN` ones are kept for all threads. What was opened
//! may be removed or run out of descriptors meanwhile: `within` then lets go of all and tries once more. The only home,
//! besides `confine`, of making directories: those of an archive are closed to others from the first moment on.
#![expect(clippy::disallowed_methods, reason = "makes directories with a mode of their own, beneath a descriptor")]

use std::collections::HashSet;
use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::sync::{Arc, Mutex};

use rustix::fs::{FileType, Mode};
use rustix::io::{Errno, retry_on_intr};

use super::{PATIENCE, is, is_shortage, lock, patiently, temp};
use crate::archive::names;
use crate::confine::{Directory, Made};
use crate::error::{Error, ErrorKind, Result};

/// How many directories are kept open.
pub const OPEN: usize = 16;

#[derive(Debug)]
pub struct Parents {
    root: Arc<Directory>,
    /// By name, the one used last at the end.
    open: Mutex<Vec<(Vec<u8>, Arc<Directory>)>>,
    /// Names of those made because something is in them, if anybody will ask.
    made: Option<Mutex<HashSet<Vec<u8>>>>,
}

/// A name in a directory held open.
#[derive(Debug)]
pub struct Spot {
    pub directory: Arc<Directory>,
    pub name: OsString,
}

impl Parents {
    pub fn new(root: Directory, remembers: bool) -> Self {
        Self { root: Arc::new(root), open: Mutex::default(), made: remembers.then(Mutex::default) }
    }

    pub fn root(&self) -> &Directory {
        &self.root
    }

    /// Whether the directory was made for what is in it, before an entry of its own came.
    pub fn was_made(&self, name: &[u8]) -> bool {
        self.made.as_ref().is_some_and(|made| lock(made).contains(names::bare(name)))
    }

    /// Does `work` in the directory of the entry `name`, with the last component.
    pub fn within<T>(
        &self,
        name: &[u8],
        work: impl Fn(&Directory, &OsStr) -> rustix::io::Result<T>,
    ) -> Result<(Spot, T)> {
        let (parent, last) = names::split(name);
        let last = OsStr::from_bytes(last);
        let attempt = || {
            let directory = self.get(parent)?;
            let result = work(&directory, last);
            let spot = Spot { directory, name: last.to_owned() };
            result.map_err(|errno| spot.fail(errno)).map(|result| (spot, result))
        };
        match attempt() {
            Err(error) if is(&error, Errno::NOENT) || is_shortage(&error) => {
                self.forget();
                patiently(PATIENCE, attempt)
            }
            done => done,
        }
    }

    /// Closes what nobody uses now.
    pub fn forget(&self) {
        lock(&self.open).clear();
    }

    #[cfg(test)]
    pub fn count(&self) -> usize {
        lock(&self.open).len()
    }

    fn get(&self, parent: &[u8]) -> Result<Arc<Directory>> {
        if parent.is_empty() {
            return Ok(Arc::clone(&self.root));
        }
        if let Some(found) = self.recall(parent) {
            return Ok(found);
        }
        let segments: Vec<&OsStr> = names::components(parent).map(OsStr::from_bytes).collect();
        let (directory, made) = self.root.make_beneath(&segments)?;
        if let Some(made) = made {
            self.note(&made);
        }
        let directory = Arc::new(directory);
        let mut open = lock(&self.open);
        // Two threads may have opened it at once.
        if open.iter().all(|(name, _)| name != parent) {
            if open.len() == OPEN {
                open.remove(0);
            }
            open.push((parent.to_owned(), Arc::clone(&directory)));
        }
        Ok(directory)
    }

    fn recall(&self, parent: &[u8]) -> Option<Arc<Directory>> {
        let mut open = lock(&self.open);
        let at = open.iter().rposition(|(name, _)| name == parent)?;
        open[at..].rotate_left(1);
        open.last().map(|(_, directory)| Arc::clone(directory))
    }

    fn note(&self, made: &Made) {
        let Some(names) = &self.made else { return };
        let root = self.root.path();
        for path in made.paths() {
            let name = path.strip_prefix(root).unwrap_or(&path);
            lock(names).insert(name.as_os_str().as_bytes().to_owned());
        }
    }
}

impl Spot {
    pub fn fail(&self, errno: Errno) -> Error {
        Error::local_errno(&self.directory.path().join(&self.name), errno)
    }

    pub fn in_the_way(&self, why: &str) -> Error {
        Error::local_text(&self.directory.path().join(&self.name), Errno::NOTDIR, why)
    }

    /// A directory is never replaced: rename would say so too, but only after all the work.
    pub fn check_replaceable(&self) -> Result<()> {
        match self.directory.stat(&self.name) {
            Ok(stat) if FileType::from_raw_mode(stat.st_mode) == FileType::Directory => Err(self.fail(Errno::ISDIR)),
            Ok(_) | Err(Errno::NOENT) => Ok(()),
            Err(errno) => Err(self.fail(errno)),
        }
    }

    /// Puts what `make` makes under another name in the place of what is there; in that of a directory it fails.
    pub fn replace(&self, make: impl Fn(&OsStr) -> rustix::io::Result<()>) -> Result<()> {
        let name = loop {
            let name = OsString::from(temp::random_name());
            match make(&name) {
                Ok(()) => break name,
                Err(Errno::EXIST) => {}
                Err(errno) => return Err(self.fail(errno)),
            }
        };
        let renamed = self.directory.rename(&name, &self.name);
        // After a failure; and of two names of one file, a rename removes none.
        match self.directory.unlink(&name) {
            Ok(()) | Err(Errno::NOENT) => renamed.map_err(|errno| self.fail(errno)),
            Err(errno) => Err(self.fail(errno)),
        }
    }
}

/// Makes a directory that only its owner may use. False: something has the name.
pub fn make_closed(directory: &Directory, name: &OsStr) -> rustix::io::Result<bool> {
    match retry_on_intr(|| rustix::fs::mkdirat(directory, name, Mode::from_raw_mode(0o700))) {
        Ok(()) => Ok(true),
        Err(Errno::EXIST) => Ok(false),
        Err(errno) => Err(errno),
    }
}

/// Opens the directory a user named; what is missing of it is made beneath its deepest ancestor that is there.
pub fn open_or_make(path: &Path) -> Result<Directory> {
    if path.as_os_str().is_empty() {
        return Err(Error::local_text(path, Errno::NOENT, "an empty path names no directory"));
    }
    let mut missing = Vec::new();
    let mut at = path;
    let ancestor = loop {
        match Directory::open(if at.as_os_str().is_empty() { Path::new(".") } else { at }) {
            Ok(found) => break found,
            Err(error) => match (at.file_name(), at.parent()) {
                (Some(name), Some(above)) if is(&error, Errno::NOENT) => {
                    missing.push(name);
                    at = above;
                }
                _ => return Err(error),
            },
        }
    };
    missing.reverse();
    if missing.is_empty() {
        return Ok(ancestor);
    }
    let made = ancestor.make_beneath(&missing).map_err(|error| match error.kind() {
        // The user wrote this path, no entry did.
        ErrorKind::UnsafeKey => Error::local_text(path, Errno::LOOP, "a symbolic link on the way leads nowhere"),
        _ => error,
    })?;
    Ok(made.0)
}
