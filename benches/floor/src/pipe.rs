//! Standard input as a pipe: what an upload reads, and the end that other programs write into.

use std::fs::File;
use std::os::fd::AsFd;

use crate::buffer::AlignedBuffer;
use crate::{Done, Failure};

const LENGTH: usize = 1 << 20;

/// Standard input without a buffer between.
pub fn input() -> Result<File, Failure> {
    let file = File::from(std::io::stdin().as_fd().try_clone_to_owned()?);
    // As large as the system allows: fewer changes between the two ends.
    let _ = rustix::pipe::fcntl_setpipe_size(&file, LENGTH);
    Ok(file)
}

/// Reads standard input to its end, keeps nothing, and fails unless it was this many bytes.
pub fn drain(size: u64) -> Result<Done, Failure> {
    let file = input()?;
    let mut buffer = AlignedBuffer::new(LENGTH);
    let mut bytes = 0;
    loop {
        match rustix::io::retry_on_intr(|| rustix::io::read(&file, &mut *buffer.as_mut()))? {
            0 => break,
            length => bytes += length as u64,
        }
    }
    match bytes == size {
        true => Ok(Done { bytes, io: "drain" }),
        false => Err(format!("{bytes} bytes came out of the pipe instead of {size}").into()),
    }
}
