//! What an entry has besides its content: mode, owner, time, extended attributes.
//!
//! Permissions pass the umask; setuid, setgid and sticky never come from an archive. The order is fixed: owner,
//! attributes (changing the owner drops capabilities), mode (without the right to write, no attributes), times.

use std::ffi::OsStr;
use std::os::fd::AsFd;

use rustix::fs::{AtFlags, Gid, Mode, Timespec, Timestamps, UTIME_OMIT, Uid, XattrFlags};
use rustix::io::Errno;

use super::TreeOptions;
use crate::archive::entry::{Entry, Kind};
use crate::confine::Directory;

type Xattrs<'a> = &'a [(String, Vec<u8>)];

#[derive(Clone, Copy, Debug)]
pub struct Look {
    mode: u32,
    /// None: whoever runs this.
    owner: Option<(Option<u32>, Option<u32>)>,
    /// None: now.
    mtime: Option<Timespec>,
}

impl Look {
    pub fn of(entry: &Entry, options: &TreeOptions) -> Self {
        let mode = match entry.kind {
            _ if options.preserve => entry.mode,
            Kind::Directory => 0o777,
            _ => 0o666,
        };
        Self {
            mode: mode & 0o777 & !options.umask,
            owner: options.same_owner.then_some((entry.uid, entry.gid)),
            mtime: options.preserve.then(|| timespec(entry.mtime_ns)),
        }
    }

    /// A file of these looks is made as it shall be; only its time is missing.
    pub fn is_plain(&self, xattrs: Xattrs<'_>) -> bool {
        self.owner.is_none() && xattrs.is_empty()
    }

    /// The mode to create it with: others see nothing before it is theirs to see.
    pub fn first_mode(&self, xattrs: Xattrs<'_>) -> Mode {
        Mode::from_raw_mode(if self.is_plain(xattrs) { self.mode } else { 0o600 })
    }

    /// All of it, on an open file or directory; how many attributes it could not have.
    pub fn apply(&self, file: impl AsFd, xattrs: Xattrs<'_>, options: &TreeOptions) -> rustix::io::Result<u64> {
        if let Some((uid, gid)) = self.owner {
            rustix::fs::fchown(&file, uid.map(Uid::from_raw), gid.map(Gid::from_raw))?;
        }
        let mut lost = 0;
        for (name, value) in xattrs {
            let is_wanted = options.xattrs_all || name.starts_with("user.");
            let set = || rustix::fs::fsetxattr(&file, name.as_str(), value, XattrFlags::empty());
            match if is_wanted { set() } else { Err(Errno::OPNOTSUPP) } {
                Ok(()) => {}
                // Not asked for, or a file system that has none.
                Err(Errno::OPNOTSUPP) => lost += 1,
                Err(errno) => return Err(errno),
            }
        }
        set_mode(&file, self.mode)?;
        self.set_times(file)?;
        Ok(lost)
    }

    pub fn set_times(&self, file: impl AsFd) -> rustix::io::Result<()> {
        self.mtime.map_or(Ok(()), |mtime| rustix::fs::futimens(file, &timestamps(mtime)))
    }

    /// For a directory: bits that it has of its own, such as a setgid that it inherited, stay.
    #[must_use]
    pub fn keeping(self, mode: u32) -> Self {
        Self { mode: self.mode | mode & 0o7000, ..self }
    }

    /// Owner and time of a symbolic link; a mode it has not.
    pub fn apply_to_link(&self, directory: &Directory, name: &OsStr) -> rustix::io::Result<()> {
        let itself = AtFlags::SYMLINK_NOFOLLOW;
        if let Some((uid, gid)) = self.owner {
            rustix::fs::chownat(directory, name, uid.map(Uid::from_raw), gid.map(Gid::from_raw), itself)?;
        }
        match self.mtime.map(|mtime| rustix::fs::utimensat(directory, name, &timestamps(mtime), itself)) {
            // File systems where links have no times.
            None | Some(Ok(()) | Err(Errno::OPNOTSUPP | Errno::NOSYS)) => Ok(()),
            Some(done) => done,
        }
    }
}

pub fn set_mode(file: impl AsFd, mode: u32) -> rustix::io::Result<()> {
    match rustix::fs::fchmod(file, Mode::from_raw_mode(mode)) {
        // A file system without modes, such as FAT, gives each file those of its mount.
        Err(Errno::PERM | Errno::OPNOTSUPP | Errno::NOSYS) => Ok(()),
        done => done,
    }
}

fn timespec(nanos: i64) -> Timespec {
    Timespec { tv_sec: nanos.div_euclid(1_000_000_000), tv_nsec: nanos.rem_euclid(1_000_000_000) }
}

fn timestamps(mtime: Timespec) -> Timestamps {
    Timestamps { last_access: Timespec { tv_sec: 0, tv_nsec: UTIME_OMIT }, last_modification: mtime }
}

/// The process's umask, read without changing it: setting it would race with other threads.
pub fn process_umask() -> u32 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let field = status.lines().find_map(|line| line.strip_prefix("Umask:"));
    field.and_then(|octal| u32::from_str_radix(octal.trim(), 8).ok()).unwrap_or(0o077)
}
