//! A hidden file beside its place, until it is published there.
//!
//! The name is random and that of every temp file of s3z; the lock marks it as in use. Invariant: what is dropped
//! unpublished is removed, and until then nothing under the final name has changed.

use std::ffi::OsStr;
use std::hash::{BuildHasher, RandomState};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use rustix::fs::{FlockOperation, Mode};
use rustix::io::{Errno, retry_on_intr};

use super::parents::Spot;
use super::{Done, PATIENCE, check_close, patiently};
use crate::error::{Error, Result};

#[derive(Debug)]
pub struct Temp {
    spot: Spot,
    file: OwnedFd,
    name: String,
    is_published: bool,
    /// A forked child has a copy of this, but the file is not its own.
    pid: u32,
}

impl Temp {
    /// Creates the hidden file beside `spot`, where no directory may be.
    pub fn create(spot: Spot) -> Result<Self> {
        spot.check_replaceable()?;
        let (file, name) = patiently(PATIENCE, || create_locked(&spot).map_err(|errno| spot.fail(errno)))?;
        Ok(Self { spot, file, name, is_published: false, pid: std::process::id() })
    }

    pub fn write(&self, parts: &[&[u8]]) -> rustix::io::Result<()> {
        write_all(&self.file, parts)
    }

    /// Gives it its name. Skipped: something has that name, and is not to be replaced.
    pub fn publish(mut self, replaces: bool) -> Result<Done> {
        let (directory, name) = (&self.spot.directory, &self.spot.name);
        check_close(&self.file).map_err(|errno| self.fail(errno))?;
        let renamed = match replaces {
            true => directory.rename(OsStr::new(&self.name), name),
            false => directory.rename_new(OsStr::new(&self.name), name),
        };
        match renamed {
            Ok(()) => self.is_published = true,
            Err(Errno::EXIST) if !replaces => return Ok(Done::Skipped),
            Err(errno) => return Err(self.fail(errno)),
        }
        Ok(Done::Written)
    }

    /// An error of the file that this is to become.
    pub fn fail(&self, errno: Errno) -> Error {
        self.spot.fail(errno)
    }
}

impl AsFd for Temp {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.file.as_fd()
    }
}

impl Drop for Temp {
    fn drop(&mut self) {
        if !self.is_published && self.pid == std::process::id() {
            let _ = self.spot.directory.unlink(OsStr::new(&self.name));
        }
    }
}

fn create_locked(spot: &Spot) -> rustix::io::Result<(OwnedFd, String)> {
    loop {
        let name = random_name();
        let file = match spot.directory.create_new(OsStr::new(&name), Mode::from_raw_mode(0o600)) {
            Ok(file) => file,
            Err(Errno::EXIST) => continue,
            Err(errno) => return Err(errno),
        };
        // Somebody who clears up what no one uses may have been faster. File systems without locks do without.
        let locked = rustix::fs::flock(&file, FlockOperation::NonBlockingLockExclusive);
        if locked != Err(Errno::WOULDBLOCK) && rustix::fs::fstat(&file)?.st_nlink > 0 {
            return Ok((file, name));
        }
    }
}

/// `.s3z-<32 hex>.part`, from the keys that the standard library draws for its tables.
pub fn random_name() -> String {
    let random = RandomState::new();
    format!(".s3z-{:016x}{:016x}.part", random.hash_one(0u8), random.hash_one(1u8))
}

/// Writes all parts, one after the other.
pub fn write_all(file: &OwnedFd, parts: &[&[u8]]) -> rustix::io::Result<()> {
    for part in parts {
        let mut rest = *part;
        while !rest.is_empty() {
            match retry_on_intr(|| rustix::io::write(file, rest))? {
                0 => return Err(Errno::IO),
                count => rest = &rest[count..],
            }
        }
    }
    Ok(())
}
