//! Download: threads take the next range until none is left, and each writes what it received.
//!
//! A thread owns one connection and one buffer; the only thing shared is the number of the next range. A buffer is full
//! or the range is at its end before it is written, so every direct write but the last starts and ends at a page.

use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;

use crate::args::GetJob;
use crate::buffer::{ALIGNMENT, AlignedBuffer};
use crate::connection::Connection;
use crate::file::Destination;
use crate::{Done, Failure};

pub fn run(job: &GetJob) -> Result<Done, Failure> {
    if job.range == 0 || !job.range.is_multiple_of(ALIGNMENT as u64) {
        return Err("--range must be a multiple of 4096".into());
    }
    let destination = match &job.output {
        Some(path) => Some(Destination::create(path, job.size, job.buffered)?),
        None => None,
    };
    let next = AtomicU64::new(0);
    thread::scope(|scope| {
        let work = || worker(job, &next, destination.as_ref());
        let workers: Vec<_> = (0..job.target.threads).map(|_| scope.spawn(work)).collect();
        workers.into_iter().try_for_each(|worker| worker.join().map_err(|_| "a thread panicked")?)
    })?;
    let io = match destination {
        Some(destination) => destination.publish()?,
        None => "null",
    };
    Ok(Done { bytes: job.size, io })
}

fn worker(job: &GetJob, next: &AtomicU64, destination: Option<&Destination>) -> Result<(), Failure> {
    let target = &job.target;
    let mut buffer = AlignedBuffer::new(target.buffer);
    let mut connection = None;
    let head = target.signer.head("GET", &target.path, "", &target.endpoint.authority);
    loop {
        let start = next.fetch_add(1, Ordering::Relaxed) * job.range;
        if start >= job.size {
            return Ok(());
        }
        let connection = match &mut connection {
            Some(open) => open,
            closed => closed.insert(target.endpoint.connect()?),
        };
        let end = job.size.min(start + job.range);
        let request = format!("{head}Range: bytes={start}-{}\r\n\r\n", end - 1);
        connection.send(request.as_bytes())?;
        expect_range(connection, end - start)?;
        receive(connection, &mut buffer, start..end, destination)?;
    }
}

fn expect_range(connection: &mut Connection, length: u64) -> Result<(), Failure> {
    let response = connection.read_head()?;
    if response.status != 206 {
        connection.read_small(&response, 206)?;
    }
    if response.length != length {
        return Err(format!("{} bytes instead of {length}", response.length).into());
    }
    Ok(())
}

fn receive(
    connection: &mut Connection,
    buffer: &mut AlignedBuffer,
    range: std::ops::Range<u64>,
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
