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

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fs::{Access, AtFlags, FileType, Mode, OFlags, PROC_SUPER_MAGIC, Stat};
use rustix::io::{Errno, retry_on_intr};

use crate::descriptor::duplicate;
use crate::error::{Error, Result};
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
            Err(Errno::NOENT) if link.to_str().is_some_and(|name| name.parse::<RawFd>().is_ok()) => {
                return Err(Error::local_text(place.path(), Errno::BADF, "no such open descriptor"));
            }
            Err(errno) => return Err(place.fail(errno)),
        };
        let mut target = Self { node: Identity::of(&stat), opened: None, place };
        let opened = match file_type(&stat) {
            FileType::CharacterDevice => target.open_node(),
            FileType::Fifo => target.open_pipe(),
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

    /// A pipe that somebody has open already: if nobody reads it, nobody will.
    fn open_pipe(&self) -> rustix::io::Result<OwnedFd> {
        let opened = self.open_node().map_err(|errno| if errno == Errno::NXIO { Errno::PIPE } else { errno })?;
        let mut polled = [PollFd::new(&opened, PollFlags::OUT)];
        let now = Timespec { tv_sec: 0, tv_nsec: 0 };
        retry_on_intr(|| poll(&mut polled, Some(&now)))?;
        if polled[0].revents().contains(PollFlags::ERR) { Err(Errno::PIPE) } else { Ok(opened) }
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::transfer::destination::Target;
    use std::fs::{self, File};
    use std::io::{Read, Seek, Write};
    use std::os::fd::AsRawFd;
    use std::os::unix::fs::symlink;
    use std::os::unix::net::UnixStream;

    fn path_of(fd: &impl AsRawFd) -> String {
        format!("/proc/self/fd/{}", fd.as_raw_fd())
    }

    fn stream(path: impl AsRef<Path>) -> StreamTarget {
        match Target::prepare(path.as_ref(), false).unwrap() {
            Target::Stream(stream) => stream,
            Target::File(file) => panic!("{file:?} is no stream"),
        }
    }

    fn errno(path: impl AsRef<Path>) -> Errno {
        Errno::from_raw_os_error(Target::prepare(path.as_ref(), true).map(|_| ()).unwrap_err().errno().unwrap())
    }

    fn write(target: &mut StreamTarget, bytes: &[u8]) {
        let opened = target.open().unwrap().unwrap();
        assert_eq!(rustix::io::write(opened, bytes).unwrap(), bytes.len());
    }

    /// F9: the link of `/dev/stdout` stays, and what is behind it goes on where it stands.
    #[test]
    fn a_redirected_file_is_written_where_it_stands() {
        let dir = tempfile::tempdir().unwrap();
        let mut file = File::options().create_new(true).read(true).write(true).open(dir.path().join("out")).unwrap();
        let mut log = File::options().create(true).append(true).open(dir.path().join("log")).unwrap();
        let link = dir.path().join("stdout");
        symlink(path_of(&file), &link).unwrap();
        file.write_all(b"before ").unwrap();
        write(&mut stream(&link), b"through the link ");
        write(&mut stream(path_of(&file)), b"and directly ");
        file.write_all(b"after").unwrap();
        let mut content = String::new();
        file.rewind().unwrap();
        file.read_to_string(&mut content).unwrap();
        assert_eq!(content, "before through the link and directly after");
        assert!(fs::symlink_metadata(&link).unwrap().is_symlink());
        fs::write(dir.path().join("log"), "theirs ").unwrap();
        write(&mut stream(path_of(&log)), b"ours ");
        log.write_all(b"theirs").unwrap();
        assert_eq!(fs::read(dir.path().join("log")).unwrap(), b"theirs ours theirs");
    }

    /// F9: however many links lead there, and by whatever path.
    #[test]
    fn links_to_descriptors_are_recognised_whatever_their_form() {
        let dir = tempfile::tempdir().unwrap();
        let file = File::create_new(dir.path().join("out")).unwrap();
        let number = file.as_raw_fd();
        symlink("/proc/self/fd", dir.path().join("fd")).unwrap();
        symlink(format!("fd/{number}"), dir.path().join("relative")).unwrap();
        symlink("relative", dir.path().join("twice")).unwrap();
        for name in ["relative", "twice", &format!("fd/{number}")] {
            drop(stream(dir.path().join(name)));
        }
        // Closed: nothing may take the place of the link.
        let last = 1_000_000;
        symlink(format!("/proc/self/fd/{last}"), dir.path().join("closed")).unwrap();
        assert_eq!(errno(dir.path().join("closed")), Errno::BADF);
        assert_eq!(errno(format!("/proc/self/fd/{last}")), Errno::BADF);
        assert_eq!(errno("/proc/self/comm"), Errno::INVAL);
        assert_eq!(errno("/proc/self/exe"), Errno::INVAL);
        let read_only = File::open(dir.path().join("out")).unwrap();
        assert_eq!(errno(path_of(&read_only)), Errno::BADF);
        let directory = File::open(dir.path()).unwrap();
        assert_eq!(errno(path_of(&directory)), Errno::ISDIR);
        let (socket, _other) = UnixStream::pair().unwrap();
        assert_eq!(errno(path_of(&socket)), Errno::INVAL);
    }

    /// What others share with us keeps its flags: a terminal that does not block breaks the shell on it.
    #[test]
    fn a_shared_description_keeps_its_flags() {
        let (_reader, writer) = std::io::pipe().unwrap();
        let terminal = rustix::pty::openpt(rustix::pty::OpenptFlags::RDWR | rustix::pty::OpenptFlags::NOCTTY).unwrap();
        rustix::pty::unlockpt(&terminal).unwrap();
        let name = rustix::pty::ptsname(&terminal, Vec::new()).unwrap();
        let user = File::options().read(true).write(true).open(OsStr::from_bytes(name.as_bytes())).unwrap();
        for shared in [writer.as_fd(), user.as_fd()] {
            let before = rustix::fs::fcntl_getfl(shared).unwrap();
            let opened = stream(path_of(&shared)).open().unwrap().unwrap();
            assert!(rustix::fs::fcntl_getfl(&opened).unwrap().contains(OFlags::NONBLOCK));
            assert_eq!(rustix::io::write(&opened, b"x").unwrap(), 1);
            assert_eq!(rustix::fs::fcntl_getfl(shared).unwrap(), before);
            assert!(!before.contains(OFlags::NONBLOCK));
        }
    }

    #[test]
    fn a_pipe_nobody_reads_any_more_is_broken_at_once() {
        let (reader, writer) = std::io::pipe().unwrap();
        drop(reader);
        assert_eq!(errno(path_of(&writer)), Errno::PIPE);
    }

    /// #66: a FIFO that changed places with something else is not written to.
    #[test]
    fn what_was_swapped_since_is_not_opened() {
        let dir = tempfile::tempdir().unwrap();
        let (fifo, file) = (dir.path().join("fifo"), dir.path().join("file"));
        rustix::fs::mkfifoat(rustix::fs::CWD, &fifo, Mode::from_raw_mode(0o600)).unwrap();
        fs::write(&file, "precious").unwrap();
        let mut target = stream(&fifo);
        assert!(target.open().unwrap().is_none(), "nobody reads it yet");
        fs::remove_file(&fifo).unwrap();
        symlink("file", &fifo).unwrap();
        assert_eq!(target.open().unwrap_err().errno(), Some(Errno::STALE.raw_os_error()));
        assert_eq!(fs::read(&file).unwrap(), b"precious");
    }
}
