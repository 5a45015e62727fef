//! The system calls of positioned file I/O, with the loops they need (F3, F4).

use std::os::fd::AsFd;

use rustix::fs::{FallocateFlags, OFlags};
use rustix::io::Errno;

/// Full size at once, so that a full disk shows before bytes are fetched for it. Zero needs nothing.
pub fn preallocate(file: impl AsFd, size: u64) -> rustix::io::Result<()> {
    if size == 0 {
        return Ok(());
    }
    loop {
        match rustix::fs::fallocate(&file, FallocateFlags::empty(), 0, size) {
            Err(Errno::INTR) => {}
            Err(Errno::OPNOTSUPP | Errno::NOSYS | Errno::INVAL) => return rustix::fs::ftruncate(&file, size),
            done => return done,
        }
    }
}

pub fn set_direct(file: impl AsFd, on: bool) -> rustix::io::Result<()> {
    let mut flags = rustix::fs::fcntl_getfl(&file)?;
    flags.set(OFlags::DIRECT, on);
    rustix::fs::fcntl_setfl(&file, flags)
}

/// Writes all of it, over short counts, EINTR and EAGAIN.
pub fn write_all(file: impl AsFd, mut bytes: &[u8], mut offset: u64) -> rustix::io::Result<()> {
    while !bytes.is_empty() {
        match rustix::io::pwrite(&file, bytes, offset) {
            Ok(0) => return Err(Errno::IO),
            Ok(written) => {
                bytes = &bytes[written..];
                offset += written as u64;
            }
            Err(Errno::INTR) => {}
            Err(Errno::AGAIN) => std::thread::yield_now(),
            Err(errno) => return Err(errno),
        }
    }
    Ok(())
}

/// Reads until `bytes` is full or the file ends; how much came.
pub fn read_up_to(file: impl AsFd, bytes: &mut [u8], mut offset: u64) -> rustix::io::Result<usize> {
    let mut filled = 0;
    while filled < bytes.len() {
        match rustix::io::pread(&file, &mut bytes[filled..], offset) {
            Ok(0) => break,
            Ok(count) => {
                filled += count;
                offset += count as u64;
            }
            Err(Errno::INTR) => {}
            Err(Errno::AGAIN) => std::thread::yield_now(),
            Err(errno) => return Err(errno),
        }
    }
    Ok(filled)
}
