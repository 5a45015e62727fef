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
        let file = match directory.create_nameless(Mode::from_raw_mode(0o666)) {
            Ok(file) => file,
            // What else stands against a file here, making one under a name tells best.
            Err(errno) => {
                self.lacks.fetch_or(is_lack(errno), Relaxed);
                return Ok(false);
            }
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
fn is_lack(errno: Errno) -> bool {
    matches!(errno, Errno::OPNOTSUPP | Errno::ISDIR | Errno::INVAL | Errno::NOSYS | Errno::PERM)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::confine::tests::{as_nobody, open_to_nobody};
    use std::fs;
    use std::os::unix::fs::{MetadataExt, PermissionsExt};
    use std::time::{Duration, UNIX_EPOCH};

    const PLAIN: Publish = Publish { overwrite: true, durable: false, mtime: None, mode: None };

    fn publish(nameless: &Nameless, directory: &Path, name: &str, content: &[&'static [u8]]) -> Result<bool> {
        let durable = directory.metadata().is_ok_and(|directory| directory.mode() & 0o400 != 0);
        let chunks: Vec<Bytes> = content.iter().map(|chunk| Bytes::from_static(chunk)).collect();
        let mtime = Some(UNIX_EPOCH + Duration::from_secs(1_700_000_000));
        let how = Publish { durable, mtime, ..PLAIN };
        let path = directory.join(name);
        nameless.publish(&Directory::open(directory)?, (OsStr::new(name), &path), &chunks, how)
    }

    /// F1, F6, F7.
    #[test]
    fn a_new_file_is_whole_and_like_any_other() {
        let dir = tempfile::tempdir().unwrap();
        let nameless = Nameless::default();
        assert!(publish(&nameless, dir.path(), "file", &[b"one", b"", b"two"]).unwrap());
        assert!(publish(&nameless, dir.path(), "empty", &[]).unwrap());
        fs::write(dir.path().join("other"), "").unwrap();
        assert_eq!(fs::read(dir.path().join("file")).unwrap(), b"onetwo");
        assert_eq!(fs::read(dir.path().join("empty")).unwrap(), b"");
        let (file, other) = (dir.path().join("file").metadata().unwrap(), dir.path().join("other").metadata().unwrap());
        assert_eq!(file.permissions().mode(), other.permissions().mode());
        assert_eq!((file.mtime(), file.nlink()), (1_700_000_000, 1));
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 3);
    }

    #[test]
    fn what_has_the_name_stays_and_is_seen_first_from_then_on() {
        let dir = tempfile::tempdir().unwrap();
        fs::write(dir.path().join("file"), "old").unwrap();
        std::os::unix::fs::symlink("nowhere", dir.path().join("link")).unwrap();
        fs::create_dir(dir.path().join("directory")).unwrap();
        let nameless = Nameless::default();
        for name in ["file", "link", "directory", "file"] {
            assert!(!publish(&nameless, dir.path(), name, &[b"new"]).unwrap(), "{name}");
            assert!(nameless.looks.load(Relaxed) && !nameless.lacks.load(Relaxed));
        }
        assert_eq!(fs::read(dir.path().join("file")).unwrap(), b"old");
        assert!(!dir.path().join("nowhere").exists());
        assert!(publish(&nameless, dir.path(), "new", &[b"new"]).unwrap());
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 4);
    }

    #[test]
    fn a_file_system_without_such_files_is_asked_once() {
        let nameless = Nameless::default();
        for _ in 0..2 {
            assert!(!publish(&nameless, Path::new("/proc/self"), "file", &[b"new"]).unwrap());
            assert!(nameless.lacks.load(Relaxed));
        }
    }

    /// F2.
    #[test]
    fn a_directory_that_takes_no_files_is_left_to_who_can_tell_why() {
        let dir = open_to_nobody(0o500);
        as_nobody(|| {
            let nameless = Nameless::default();
            assert!(!publish(&nameless, dir.path(), "file", &[b"new"]).unwrap());
            assert!(!nameless.lacks.load(Relaxed));
            fs::set_permissions(dir.path(), fs::Permissions::from_mode(0o300)).unwrap();
            // Named without the privilege of naming any descriptor.
            assert!(publish(&Nameless::default(), dir.path(), "file", &[b"new"]).unwrap());
            fs::set_permissions(dir.path(), fs::Permissions::from_mode(0o700)).unwrap();
        });
        assert_eq!(fs::read(dir.path().join("file")).unwrap(), b"new");
    }
}
