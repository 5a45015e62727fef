//! Download to standard output: the threads receive at once and write one after the other.
//!
//! A thread holds a whole range and waits until the range before it is written; so at most one range for each thread is
//! in memory. A thread that fails abandons the turn, and the others stop without writing.

use std::fs::File;
use std::io::Write;
use std::os::fd::AsFd;
use std::sync::atomic::AtomicU64;
use std::sync::{Condvar, Mutex};

use crate::Failure;
use crate::args::GetJob;
use crate::buffer::AlignedBuffer;
use crate::lane::{Lane, take, threads};

/// Above every number of a range.
const ABANDONED: u64 = u64::MAX;

pub fn to_stdout(job: &GetJob) -> Result<(), Failure> {
    let output = Ordered {
        // Not `Stdout` itself, which copies.
        file: File::from(std::io::stdout().as_fd().try_clone_to_owned()?),
        next: AtomicU64::new(0),
        turn: Mutex::new(0),
        changed: Condvar::new(),
    };
    threads(job, |mut lane| output.work(job, &mut lane).inspect_err(|_| output.pass_to(ABANDONED)))
}

struct Ordered {
    file: File,
    /// The number of the next range to ask for.
    next: AtomicU64,
    /// The number of the next range to write.
    turn: Mutex<u64>,
    changed: Condvar,
}

impl Ordered {
    fn work(&self, job: &GetJob, lane: &mut Lane<'_>) -> Result<(), Failure> {
        let mut buffer = AlignedBuffer::new(usize::try_from(job.range.min(job.size))?);
        while let Some((index, range)) = take(job, &self.next) {
            let bytes = &mut buffer.as_mut()[..usize::try_from(range.end - range.start)?];
            lane.request(&range)?.read_exact(bytes)?;
            if !self.wait_for(index)? {
                return Ok(());
            }
            (&self.file).write_all(bytes)?;
            self.pass_to(index + 1);
        }
        Ok(())
    }

    /// Waits for the turn of a range; false: it never comes.
    fn wait_for(&self, index: u64) -> Result<bool, Failure> {
        let turn = self.turn.lock().map_err(|_| "a thread panicked")?;
        let turn = self.changed.wait_while(turn, |turn| *turn < index).map_err(|_| "a thread panicked")?;
        Ok(*turn == index)
    }

    /// Says whose turn it is; once abandoned, always abandoned.
    fn pass_to(&self, index: u64) {
        if let Ok(mut turn) = self.turn.lock() {
            *turn = index.max(*turn);
        }
        self.changed.notify_all();
    }
}

#[cfg(test)]
mod tests {
    use std::fs::File;
    use std::sync::atomic::AtomicU64;
    use std::sync::{Condvar, Mutex};

    use super::{ABANDONED, Ordered};

    #[test]
    fn an_abandoned_turn_stays_abandoned() {
        let output = Ordered {
            file: File::open("/dev/null").unwrap(),
            next: AtomicU64::new(0),
            turn: Mutex::new(0),
            changed: Condvar::new(),
        };
        assert!(output.wait_for(0).unwrap());
        output.pass_to(ABANDONED);
        output.pass_to(1);
        assert!(!output.wait_for(1).unwrap());
    }
}
