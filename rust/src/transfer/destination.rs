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
use std::sync::Arc;

use rustix::fs::{Access, AtFlags, FileType, Mode, Stat};
use rustix::io::Errno;

use crate::confine::{Directory, MAX_NAME, MAX_PATH, Made};
use crate::descriptor::{PATIENCE, patiently};
use crate::error::{Error, ErrorKind, Result};
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

    /// The same for a name in a directory held open, which may share it with others; `path` is for messages.
    pub fn beneath(directory: &Arc<Directory>, name: &OsStr, path: &Path, overwrite: bool) -> Result<Self> {
        let place = || Place { directory: directory.clone(), name: name.to_owned(), path: path.to_owned(), made: None };
        patiently(PATIENCE, || Self::of_place(place(), overwrite))
    }

    fn prepare_once(path: &Path, overwrite: bool) -> Result<Self> {
        let place = Place::open(path)?;
        if let Some(link) = descriptor_link(&place).map_err(|errno| place.fail(errno))? {
            return Ok(Self::Stream(StreamTarget::of_descriptor(place, &link)?));
        }
        Self::of_place(place, overwrite)
    }

    fn of_place(place: Place, overwrite: bool) -> Result<Self> {
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

const NOT_A_FILE: &str = "not a regular file";

/// Something else is where a file is needed.
pub(crate) fn not_a_file(path: &Path) -> Error {
    Error::local_text(path, Errno::INVAL, NOT_A_FILE)
}

/// Refuses what cannot be the source of an upload.
pub(crate) fn check_regular(path: &Path, stat: &Stat) -> Result<()> {
    match file_type(stat) {
        FileType::RegularFile => Ok(()),
        FileType::Directory => Err(Error::local_errno(path, Errno::ISDIR)),
        _ => Err(not_a_file(path)),
    }
}

pub(crate) fn is_not_a_file(error: &Error) -> bool {
    error.path().is_some() && error.message() == NOT_A_FILE
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
            Target::Stream(_) => Err(not_a_file(path)),
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
    pub(crate) directory: Arc<Directory>,
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
        Ok(Self { directory: Arc::new(directory), name: name.to_owned(), path: path.to_owned(), made })
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
            let parent = match parent {
                b"" => b".",
                [b'/'] => parent,
                _ => parent.strip_suffix(b"/").unwrap_or(parent),
            };
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::confine::tests::{as_nobody, open_to_nobody};
    use crate::transfer::temp_file::{Publish, TempFile};
    use rustix::fs::CWD;
    use std::fs;
    use std::os::unix::fs::{PermissionsExt, symlink};
    use std::os::unix::net::UnixListener;

    const PLAIN: Publish = Publish { overwrite: true, durable: false, mtime: None, mode: None };

    fn refusal(path: &Path, overwrite: bool) -> Errno {
        let error = Target::prepare(path, overwrite).map(|target| format!("{target:?}")).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::LocalIo);
        Errno::from_raw_os_error(error.errno().unwrap())
    }

    fn publish(path: &Path) -> Result<()> {
        TempFile::create(Destination::prepare(path, true)?)?.publish(PLAIN)
    }

    fn count(directory: &Path) -> usize {
        fs::read_dir(directory).unwrap().count()
    }

    /// F2, #63.
    #[test]
    fn what_cannot_be_the_name_of_a_file_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        symlink(".", dir.path().join("link")).unwrap();
        for name in ["", "new/", "new/.", "new/..", "link", "link/", "..", "."] {
            let path = format!("{}/{name}", dir.path().display());
            assert_eq!(refusal(Path::new(&path), true), Errno::ISDIR, "{path}");
        }
        for path in ["/", ".", "..", "//", "/proc/self/cwd"] {
            assert_eq!(refusal(Path::new(path), true), Errno::ISDIR, "{path}");
        }
        assert_eq!(refusal(Path::new(""), true), Errno::NOENT);
        assert_eq!(refusal(&dir.path().join("a\0b"), true), Errno::INVAL);
        assert_eq!(count(dir.path()), 1);
    }

    /// #64.
    #[test]
    fn long_and_strange_names_work_up_to_the_limit() {
        let dir = tempfile::tempdir().unwrap();
        for name in [&[b'n'; 255][..], b"\xff\xfe\x80", b"new\nline", b" ", b"-", b"..."] {
            let path = dir.path().join(OsStr::from_bytes(name));
            publish(&path).unwrap();
            assert!(path.is_file());
        }
        assert_eq!(refusal(&dir.path().join("n".repeat(256)), true), Errno::NAMETOOLONG);
        assert_eq!(refusal(&dir.path().join("n".repeat(256)).join("file"), true), Errno::NAMETOOLONG);
        let deep = format!("{}/{}", dir.path().display(), "d/".repeat(2048));
        assert_eq!(refusal(Path::new(&deep[..4096]), true), Errno::NAMETOOLONG);
        let (longest, _) = deep.split_at(4094);
        let longest = format!("{}f", longest.trim_end_matches('/'));
        publish(Path::new(&longest)).unwrap();
        assert!(Path::new(&longest).is_file());
    }

    /// F2, #63.
    #[test]
    fn what_cannot_be_written_to_shows_at_once() {
        let dir = open_to_nobody(0o500);
        as_nobody(|| {
            assert_eq!(refusal(&dir.path().join("file"), true), Errno::ACCESS);
            assert_eq!(refusal(&dir.path().join("new/file"), true), Errno::ACCESS);
            fs::set_permissions(dir.path(), fs::Permissions::from_mode(0o600)).unwrap();
            assert_eq!(refusal(&dir.path().join("file"), true), Errno::ACCESS);
            fs::set_permissions(dir.path(), fs::Permissions::from_mode(0o300)).unwrap();
            publish(&dir.path().join("file")).unwrap();
            rustix::fs::mkfifoat(CWD, dir.path().join("fifo"), Mode::from_raw_mode(0o400)).unwrap();
            assert_eq!(refusal(&dir.path().join("fifo"), true), Errno::ACCESS);
            fs::set_permissions(dir.path(), fs::Permissions::from_mode(0o700)).unwrap();
        });
        fs::write(dir.path().join("plain"), "").unwrap();
        assert_eq!(refusal(&dir.path().join("plain/file"), true), Errno::NOTDIR);
        assert_eq!(refusal(&dir.path().join("plain/deep/file"), true), Errno::NOTDIR);
    }

    #[test]
    fn missing_parents_are_made_and_go_again() {
        let dir = tempfile::tempdir().unwrap();
        fs::create_dir(dir.path().join("old")).unwrap();
        for path in ["a/b/c", "old//x/./y/f"] {
            let path = dir.path().join(path);
            let destination = Destination::prepare(&path, true).unwrap();
            assert!(path.parent().unwrap().is_dir());
            drop(destination);
            assert_eq!((count(dir.path()), count(&dir.path().join("old"))), (1, 0), "made for nothing, they go");
            drop(TempFile::create(Destination::prepare(&path, true).unwrap()).unwrap());
            assert_eq!((count(dir.path()), count(&dir.path().join("old"))), (1, 0));
        }
        let mut temp = TempFile::create(Destination::prepare(&dir.path().join("a/b/c"), true).unwrap()).unwrap();
        temp.publish(Publish { durable: true, ..PLAIN }).unwrap();
        drop(temp);
        assert!(dir.path().join("a/b/c").is_file());
        // `missing/..` is nowhere, as for any other program.
        assert_eq!(refusal(&dir.path().join("missing/../f"), true), Errno::NOENT);
        assert!(!dir.path().join("missing").exists());
    }

    /// K5, F9.
    #[test]
    fn links_on_the_way_are_the_users_word_unless_they_lead_nowhere() {
        let dir = tempfile::tempdir().unwrap();
        fs::create_dir(dir.path().join("real")).unwrap();
        symlink("real", dir.path().join("link")).unwrap();
        symlink("nowhere", dir.path().join("dangling")).unwrap();
        publish(&dir.path().join("link/deep/file")).unwrap();
        assert!(dir.path().join("real/deep/file").is_file());
        for path in ["dangling/file", "dangling/deep/file"] {
            assert_eq!(refusal(&dir.path().join(path), true), Errno::LOOP);
        }
        assert!(!dir.path().join("nowhere").exists());
    }

    /// #66: what was opened is what is written to, whatever has its name by then.
    #[test]
    fn a_directory_swapped_meanwhile_is_not_followed() {
        let dir = tempfile::tempdir().unwrap();
        let (home, moved, outside) = (dir.path().join("home"), dir.path().join("moved"), dir.path().join("outside"));
        fs::create_dir(&home).unwrap();
        fs::create_dir(&outside).unwrap();
        let prepared = Destination::prepare(&home.join("new/file"), true).unwrap();
        let dropped = Destination::prepare(&home.join("other/file"), true).unwrap();
        fs::rename(&home, &moved).unwrap();
        symlink(&outside, &home).unwrap();
        fs::create_dir_all(outside.join("other")).unwrap();
        let mut temp = TempFile::create(prepared).unwrap();
        temp.publish(Publish { durable: true, ..PLAIN }).unwrap();
        drop(dropped);
        assert!(moved.join("new/file").is_file());
        assert!(!moved.join("other").exists(), "removed where it was made");
        assert!(outside.join("other").is_dir(), "not where a name leads now");
        assert_eq!(count(&outside), 1);
    }

    /// F9, F10, #63: what stands in for the file decides, and `overwrite` only where something would be lost.
    #[test]
    fn files_and_streams_are_told_apart() {
        let dir = tempfile::tempdir().unwrap();
        let at = |name: &str| dir.path().join(name);
        rustix::fs::mkfifoat(CWD, at("fifo"), Mode::from_raw_mode(0o600)).unwrap();
        fs::write(at("file"), "old").unwrap();
        fs::create_dir(at("directory")).unwrap();
        let _socket = UnixListener::bind(at("socket")).unwrap();
        let links = [
            ("to-fifo", "fifo"),
            ("to-null", "/dev/null"),
            ("to-link", "to-fifo"),
            ("to-file", "file"),
            ("dangling", "nowhere"),
            ("loop", "loop"),
            ("to-directory", "directory"),
            ("to-socket", "socket"),
        ];
        for (link, target) in links {
            symlink(target, at(link)).unwrap();
        }
        for overwrite in [true, false] {
            for path in
                [at("fifo"), at("to-fifo"), at("to-link"), at("to-null"), "/dev/null".into(), "/dev/full".into()]
            {
                let target = Target::prepare(&path, overwrite).unwrap();
                assert!(matches!(&target, Target::Stream(stream) if stream.path() == path), "{path:?}: {target:?}");
            }
            for path in [at("socket"), at("to-socket")] {
                assert_eq!(refusal(&path, overwrite), Errno::INVAL, "{path:?}");
            }
            for path in [at("directory"), at("to-directory")] {
                assert_eq!(refusal(&path, overwrite), Errno::ISDIR, "{path:?}");
            }
        }
        for name in ["file", "to-file", "dangling", "loop"] {
            assert_eq!(refusal(&at(name), false), Errno::EXIST, "{name}");
            assert!(matches!(Target::prepare(&at(name), true).unwrap(), Target::File(_)), "{name}");
        }
        assert!(matches!(Target::prepare(&at("new"), false).unwrap(), Target::File(_)));
        assert!(Destination::prepare(&at("fifo"), true).is_err(), "where only a file will do");
        for name in ["to-file", "dangling", "loop"] {
            publish(&at(name)).unwrap();
            assert!(fs::symlink_metadata(at(name)).unwrap().is_file(), "{name} is replaced itself");
        }
        assert_eq!(fs::read(at("file")).unwrap(), b"old");
        assert!(!at("nowhere").exists());
    }

    /// F10: needs root to make one.
    #[test]
    fn block_devices_are_refused() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("block");
        let device = rustix::fs::makedev(7, 250);
        match rustix::fs::mknodat(CWD, &path, FileType::BlockDevice, Mode::from_raw_mode(0o600), device) {
            Ok(()) => assert_eq!(refusal(&path, true), Errno::INVAL),
            Err(errno) => assert_eq!(errno, Errno::PERM),
        }
    }
}
