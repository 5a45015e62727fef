//! The destination: a preallocated temporary file, written at positions, then published by rename.
//!
//! Owns two descriptors of one file, one with O_DIRECT where the file system takes it. Threads write disjoint ranges
//! with no lock. Direct writes need aligned offsets; a last run of odd length is written padded, and
//! [`Destination::publish`] truncates the file to its size. The first EINVAL turns the whole file to buffered writes.

use std::fs::{File, OpenOptions};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};

use rustix::fs::{FallocateFlags, OFlags, fallocate};
use rustix::io::{Errno, pwrite};

use crate::Failure;
use crate::buffer::ALIGNMENT;

pub struct Destination {
    path: PathBuf,
    temporary: PathBuf,
    size: u64,
    buffered: File,
    direct: Option<File>,
    refused: AtomicBool,
}

impl Destination {
    pub fn create(path: &Path, size: u64, only_buffered: bool) -> Result<Self, Failure> {
        let mut name = path.file_name().ok_or("--output names no file")?.to_owned();
        name.push(".floor-tmp");
        let temporary = path.with_file_name(name);
        let mut options = OpenOptions::new();
        options.write(true);
        let buffered = options.clone().create(true).truncate(true).open(&temporary)?;
        match fallocate(&buffered, FallocateFlags::empty(), 0, size) {
            Ok(()) | Err(Errno::OPNOTSUPP) => {}
            Err(error) => return Err(error.into()),
        }
        let flag = i32::try_from(OFlags::DIRECT.bits())?;
        let direct = match only_buffered {
            true => None,
            false => options.custom_flags(flag).open(&temporary).ok(),
        };
        Ok(Self { path: path.to_owned(), temporary, size, buffered, direct, refused: AtomicBool::new(false) })
    }

    /// Writes the first `length` bytes of an aligned buffer at `offset`; the rest of its last page may be written too.
    pub fn write(&self, buffer: &mut [u8], length: usize, offset: u64) -> Result<(), Failure> {
        if let Some(direct) = &self.direct
            && !self.refused.load(Ordering::Relaxed)
        {
            let padded = length.next_multiple_of(ALIGNMENT);
            match write_all(direct, &buffer[..padded], offset) {
                Err(Errno::INVAL) => self.refused.store(true, Ordering::Relaxed),
                other => return Ok(other?),
            }
        }
        Ok(write_all(&self.buffered, &buffer[..length], offset)?)
    }

    /// Cuts the padding off and gives the file its name.
    pub fn publish(self) -> Result<&'static str, Failure> {
        self.buffered.set_len(self.size)?;
        std::fs::rename(&self.temporary, &self.path)?;
        let direct = self.direct.is_some() && !self.refused.load(Ordering::Relaxed);
        Ok(if direct { "direct" } else { "buffered" })
    }
}

fn write_all(file: &File, mut bytes: &[u8], mut offset: u64) -> Result<(), Errno> {
    while !bytes.is_empty() {
        let length = rustix::io::retry_on_intr(|| pwrite(file, bytes, offset))?;
        bytes = &bytes[length..];
        offset += length as u64;
    }
    Ok(())
}
