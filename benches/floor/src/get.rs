//! Download: threads take the next range until none is left, and each puts what it received where it belongs.
//!
//! A thread owns one connection and one buffer; the only thing shared is the number of the next range. A buffer is full
//! or the range is at its end before it is written, so every direct write but the last starts and ends at a page. Into
//! memory nothing is written: each range is received in its own place. Standard output is the matter of `ordered`.

use std::ops::Range;
use std::path::Path;
use std::sync::Mutex;
use std::sync::atomic::AtomicU64;

use crate::args::{GetJob, Output};
use crate::buffer::{ALIGNMENT, AlignedBuffer};
use crate::connection::Connection;
use crate::file::Destination;
use crate::lane::{take, threads};
use crate::{Done, Failure, ordered};

pub fn run(job: &GetJob) -> Result<Done, Failure> {
    if job.range == 0 || !job.range.is_multiple_of(ALIGNMENT as u64) {
        return Err("--range must be a multiple of 4096".into());
    }
    let io = match &job.output {
        Output::Null => {
            to_file(job, None)?;
            "null"
        }
        Output::File { path, buffered } => {
            let destination = Destination::create(path, job.size, *buffered)?;
            to_file(job, Some(&destination))?;
            destination.publish()?
        }
        Output::Stdout => {
            ordered::to_stdout(job)?;
            "stdout"
        }
        Output::Memory { copy } => {
            to_memory(job, copy.as_deref())?;
            "memory"
        }
    };
    Ok(Done { bytes: job.size, io })
}

fn to_file(job: &GetJob, destination: Option<&Destination>) -> Result<(), Failure> {
    let next = AtomicU64::new(0);
    threads(job, |mut lane| {
        let mut buffer = AlignedBuffer::new(job.target.buffer);
        while let Some((_, range)) = take(job, &next) {
            receive(lane.request(&range)?, &mut buffer, range, destination)?;
        }
        Ok(())
    })
}

/// Receives into one allocation, whose pages are touched by nobody before; `copy` is written when all is done.
fn to_memory(job: &GetJob, copy: Option<&Path>) -> Result<(), Failure> {
    let mut memory = vec![0; usize::try_from(job.size)?];
    let places = Mutex::new(memory.chunks_mut(usize::try_from(job.range)?).enumerate());
    threads(job, |mut lane| {
        loop {
            let taken = places.lock().map_err(|_| "a thread panicked")?.next();
            let Some((index, place)) = taken else { return Ok(()) };
            let start = index as u64 * job.range;
            lane.request(&(start..start + place.len() as u64))?.read_exact(place)?;
        }
    })?;
    match copy {
        Some(path) => Ok(std::fs::write(path, &memory)?),
        None => Ok(()),
    }
}

fn receive(
    connection: &mut Connection,
    buffer: &mut AlignedBuffer,
    range: Range<u64>,
    destination: Option<&Destination>,
) -> Result<(), Failure> {
    let mut offset = range.start;
    while offset < range.end {
        let buffer = buffer.as_mut();
        let length = buffer.len().min(usize::try_from(range.end - offset)?);
        connection.read_exact(&mut buffer[..length])?;
        if let Some(destination) = destination {
            destination.write(buffer, length, offset)?;
        }
        offset += length as u64;
    }
    Ok(())
}
