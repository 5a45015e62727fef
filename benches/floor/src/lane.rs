//! What every download shares: the threads, their connections, and the next range.
//!
//! A lane is one thread's connection, opened for its first range and kept. Whoever wants a range gets the connection
//! with the body of that range next on it, and reads it to its end before asking again.

use std::ops::Range;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;

use crate::Failure;
use crate::args::GetJob;
use crate::connection::Connection;

pub struct Lane<'a> {
    job: &'a GetJob,
    /// The signed head, the same for every range.
    head: String,
    connection: Option<Connection>,
}

impl<'a> Lane<'a> {
    fn new(job: &'a GetJob) -> Self {
        let target = &job.target;
        let head = target.signer.head("GET", &target.path, "", &target.endpoint.authority);
        Self { job, head, connection: None }
    }

    /// Asks for a range and reads the head of the answer.
    pub fn request(&mut self, range: &Range<u64>) -> Result<&mut Connection, Failure> {
        let connection = match &mut self.connection {
            Some(open) => open,
            closed => closed.insert(self.job.target.endpoint.connect()?),
        };
        let request = format!("{}Range: bytes={}-{}\r\n\r\n", self.head, range.start, range.end - 1);
        connection.send(request.as_bytes())?;
        expect_range(connection, range.end - range.start)?;
        Ok(connection)
    }
}

/// Runs the same work on every thread, each with a lane of its own.
pub fn threads(job: &GetJob, work: impl Fn(Lane<'_>) -> Result<(), Failure> + Sync) -> Result<(), Failure> {
    thread::scope(|scope| {
        let work = || work(Lane::new(job));
        let workers: Vec<_> = (0..job.target.threads).map(|_| scope.spawn(work)).collect();
        workers.into_iter().try_for_each(|worker| worker.join().map_err(|_| "a thread panicked")?)
    })
}

/// Takes the number and the bytes of the next range, until none is left.
pub fn take(job: &GetJob, next: &AtomicU64) -> Option<(u64, Range<u64>)> {
    let index = next.fetch_add(1, Ordering::Relaxed);
    let start = index * job.range;
    (start < job.size).then(|| (index, start..job.size.min(start + job.range)))
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
