//! New files that have no name before they are whole: whatever ends the process, nothing of them is left.
//!
//! For small files, which are written in one go: it saves the second change of the directory that a rename is. Only some
//! file systems can do it, and only where nothing has the name; the others take a `TempFile`. All calls block: they
//! are made on an I/O lane.

use std::ffi::OsStr;
use std::os::fd::AsFd;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};

use bytes::Bytes;
use rustix::fs::Mode;
use rustix::io::Errno;

use crate::confine::Directory;
use crate::descriptor::{PATIENCE, patiently};
use crate::error::{Error, Result};
use crate::transfer::positioned::write_chunks;
use crate::transfer::temp_file::{Publish, timestamps};

/// What is known of the file system of a destination.
#[derive(Debug, Default)]
pub struct Nameless {
    /// It has no such files, or does not let them be named.
    lacks: AtomicBool,
    /// A name was taken already: others may be, which shows before the bytes are written.
    looks: AtomicBool,
}

impl Nameless {
    /// Writes a file and, last, gives it its name, with the permissions of any new file.
    ///
    /// False, and nothing has changed, where something has the name or the file system cannot do it. `path` is for messages.
    pub fn publish(
        &self,
        directory: &Directory,
        (name, path): (&OsStr, &Path),
        chunks: &[Bytes],
        how: Publish,
    ) -> Result<bool> {
        if self.lacks.load(Relaxed) || self.looks.load(Relaxed) && directory.stat(name).is_ok() {
            return Ok(false);
        }
        let fail = |errno| Error::local_errno(path, errno);
        let create = || directory.create_nameless(Mode::from_raw_mode(0o666)).map_err(fail);
        let file = match patiently(PATIENCE, create) {
            Ok(file) => file,
            Err(error) if error.errno().is_some_and(is_lack) => {
                self.lacks.store(true, Relaxed);
                return Ok(false);
            }
            Err(error) => return Err(error),
        };
        write_chunks(&file, chunks).map_err(fail)?;
        if let Some(mtime) = how.mtime {
            rustix::fs::futimens(&file, &timestamps(mtime)).map_err(fail)?;
        }
        if how.durable {
            rustix::fs::fsync(&file).map_err(fail)?;
        }
        match directory.name_it(file.as_fd(), name) {
            Ok(()) => {}
            Err(Errno::EXIST) => {
                self.looks.store(true, Relaxed);
                return Ok(false);
            }
            // Whatever it is, a file made under a name meets it too, or it is of this way only.
            Err(_) => {
                self.lacks.store(true, Relaxed);
                return Ok(false);
            }
        }
        if how.durable {
            directory.sync().map_err(|errno| Error::local_errno(directory.path(), errno))?;
        }
        Ok(true)
    }
}

/// What file systems and kernels without such files answer.
fn is_lack(errno: i32) -> bool {
    [Errno::OPNOTSUPP, Errno::ISDIR, Errno::INVAL, Errno::NOSYS, Errno::NOENT].map(Errno::raw_os_error).contains(&errno)
}
