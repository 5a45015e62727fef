//! A local file that is packed: opened once, and looked at again when it was read.

use std::os::fd::OwnedFd;
use std::path::PathBuf;

use rustix::fs::{FileType, Stat};
use rustix::io::{Errno, retry_on_intr};

use crate::archive::source::Content;
use crate::error::{Error, Result};

pub(super) struct LocalFile {
    file: OwnedFd,
    path: PathBuf,
    stat: Stat,
}

impl LocalFile {
    pub fn open(file: OwnedFd, path: PathBuf) -> Result<Self> {
        let stat = rustix::fs::fstat(&file).map_err(|errno| Error::local_errno(&path, errno))?;
        if FileType::from_raw_mode(stat.st_mode) != FileType::RegularFile {
            return Err(Error::local_text(&path, Errno::INVAL, "it is no longer a regular file"));
        }
        Ok(Self { file, path, stat })
    }
}

impl Content for LocalFile {
    fn size(&self) -> u64 {
        u64::try_from(self.stat.st_size).unwrap_or(0)
    }

    fn read_at(&self, offset: u64, to: &mut [u8]) -> Result<usize> {
        let read = retry_on_intr(|| rustix::io::pread(&self.file, &mut *to, offset));
        read.map_err(|errno| Error::local_errno(&self.path, errno))
    }

    fn is_unchanged(&self) -> Result<bool> {
        let now = rustix::fs::fstat(&self.file).map_err(|errno| Error::local_errno(&self.path, errno))?;
        let then = &self.stat;
        let same_times = (now.st_mtime, now.st_mtime_nsec, now.st_ctime, now.st_ctime_nsec)
            == (then.st_mtime, then.st_mtime_nsec, then.st_ctime, then.st_ctime_nsec);
        Ok(same_times && now.st_size == then.st_size && identity(&now) == identity(then))
    }
}

/// Which file it is.
#[allow(clippy::unnecessary_cast, reason = "the types differ between targets")]
pub(super) fn identity(stat: &Stat) -> (u64, u64) {
    (stat.st_dev as u64, stat.st_ino as u64)
}
