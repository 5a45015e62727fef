//! The system calls of positioned file I/O, with the loops they need (F3, F4).

use std::io::IoSlice;
use std::os::fd::AsFd;

use bytes::Bytes;
use rustix::fs::{FallocateFlags, OFlags};
use rustix::io::Errno;

/// Slices of one write.
const ROW: usize = 64;

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

/// Writes all of the chunks where the file stands, many with one call.
pub fn write_chunks(file: impl AsFd, chunks: &[Bytes]) -> rustix::io::Result<()> {
    let mut chunks = chunks.iter().map(|chunk| &chunk[..]);
    loop {
        let row: Vec<&[u8]> = chunks.by_ref().take(ROW).collect();
        if row.is_empty() {
            return Ok(());
        }
        write_row(&file, row)?;
    }
}

/// All of the row, whatever each call takes of it.
fn write_row(file: impl AsFd, mut row: Vec<&[u8]>) -> rustix::io::Result<()> {
    while !row.is_empty() {
        let slices: Vec<IoSlice<'_>> = row.iter().map(|slice| IoSlice::new(slice)).collect();
        let mut written = match rustix::io::writev(&file, &slices) {
            Ok(0) => return Err(Errno::IO),
            Ok(written) => written,
            Err(Errno::INTR | Errno::AGAIN) => continue,
            Err(errno) => return Err(errno),
        };
        row.retain_mut(|slice| {
            let taken = written.min(slice.len());
            written -= taken;
            *slice = &slice[taken..];
            !slice.is_empty()
        });
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
