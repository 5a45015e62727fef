//! The river: from a source to a sink, on many threads, with the same bytes whatever their number.
//!
//! ```text
//! planner ─ readers ─► slots ─► frames ─► workers ─► sequencer (this thread) ─► sink
//!           in run order         in order              in order  └─► finalizer: the index
//! ```
//!
//! Slots are granted in the order of runs and frames are queued in the order in which they will be written, so whatever is late,
//! the frame that everyone waits for has its memory. A worker takes memory for its output before it takes a frame, for
//! the same reason. Every queue is bounded, and every wait ends when one thread fails.

use std::sync::{Mutex, PoisonError};
use std::time::Instant;

use crate::archive::classify::Hints;
use crate::archive::index::Facts;
use crate::archive::lay::{Reader, Sizes};
use crate::archive::plan::Planner;
use crate::archive::report::{PackReport, Tally};
use crate::archive::river::River;
use crate::archive::slots::{Block, Pool};
use crate::archive::source::Source;
use crate::archive::threads::{Stop, join, start};
use crate::archive::work::{Coding, Worker};
use crate::error::{Error, Result};
use crate::progress::Progress;

/// Takes the bytes of the object, in order.
pub trait Sink {
    fn write(&mut self, bytes: Block) -> Result<()>;

    /// The same for few bytes that lie in no block.
    fn write_copied(&mut self, bytes: &[u8]) -> Result<()>;
}

#[derive(Debug, Clone)]
pub struct PackOptions {
    pub sizes: Sizes,
    /// `None`: a plain tar.
    pub level: Option<i32>,
    /// What the index says of it, also where nothing is compressed.
    pub said_level: i32,
    pub hints: Hints,
    pub file_hash: bool,
    pub xattrs: bool,
    /// Whether entries that cannot be read are left out, instead of ending everything.
    pub skip_failures: bool,
    pub workers: usize,
    pub readers: usize,
    /// For slots, outputs and the memory of zstd together.
    pub memory: u64,
}

impl PackOptions {
    pub(super) fn facts(&self) -> Facts {
        Facts {
            slice_size: self.sizes.slice,
            group_size: self.sizes.group,
            is_zstd: self.level.is_some(),
            level: self.said_level,
            xattrs: self.xattrs,
        }
    }

    pub(super) fn coding(&self) -> Coding {
        Coding { level: self.level, file_hash: self.file_hash, slice_size: self.sizes.slice }
    }

    /// What the planner needs to know.
    pub(super) fn cut(&self) -> (u64, bool) {
        (self.sizes.slice, self.level.is_none())
    }

    /// About what a context of zstd takes.
    fn context(&self) -> u64 {
        match self.level.unwrap_or(0) {
            ..=3 => 4 << 20,
            4..=9 => 24 << 20,
            10..=15 => 48 << 20,
            _ => 96 << 20,
        }
    }

    /// How many workers, slots and outputs the memory allows.
    fn shares(&self) -> Result<(usize, usize, usize)> {
        let (slot, output) = (self.sizes.run() + (1 << 20), self.sizes.slice + (1 << 20));
        let needed = |workers: u64| 2 * slot + workers * (self.context() + output) + output;
        let mut workers = self.workers.max(1) as u64;
        while workers > 1 && needed(workers) > self.memory {
            workers -= 1;
        }
        if needed(1) > self.memory {
            let text = format!("memory_limit must be at least {} bytes for packing at this level", needed(1));
            return Err(Error::config(text));
        }
        let left = self.memory - needed(workers);
        let outputs = workers + 1 + (left / 4 / output).min(workers);
        let slots = 2 + (left * 3 / 4 / slot).min(workers + self.readers as u64);
        Ok((workers as usize, slots as usize, outputs as usize))
    }
}

/// Packs all of `source` into `sink`. What comes back is true only once the sink has published it.
pub fn pack(
    source: &dyn Source,
    sink: &mut dyn Sink,
    options: &PackOptions,
    (stop, progress): (&Stop, &Progress),
) -> Result<PackReport> {
    let started = Instant::now();
    let tally = Tally::new(!options.skip_failures);
    let (workers, slots, outputs) = options.shares()?;
    let (slots, outputs) = (Pool::new(slots), Pool::new(outputs));
    let river = River::new(source, options, (stop, progress, &tally), (&slots, &outputs));
    let packed = std::thread::scope(|scope| river.run(scope, workers, sink));
    let (tail, end) = match packed {
        Ok(packed) if !stop.is_set() => packed,
        Ok(_) => return Err(stop.reason()),
        Err(error) => {
            stop.fail(error);
            return Err(stop.reason());
        }
    };
    let mut written = end.offset;
    let mut write = |bytes: &[u8]| {
        written += bytes.len() as u64;
        sink.write_copied(bytes)
    };
    let ended = match options.level {
        Some(_) => tail.write_frames(end, &mut write),
        None => tail.write_entries(end, &mut write),
    };
    let mut report = ended.map_err(|error| {
        // Whoever takes the bytes may know better why it took no more.
        stop.fail(error);
        stop.reason()
    })?;
    tally.finish(&mut report);
    (report.bytes_out, report.workers, report.seconds) = (written, workers, started.elapsed().as_secs_f64());
    Ok(report)
}

/// How long the same reads, hashes, compression and sums take without order and output, on so many threads: what packing is
/// measured against.
pub fn calibrate(source: &dyn Source, options: &PackOptions) -> Result<f64> {
    let started = Instant::now();
    let (stop, tally) = (Stop::default(), Tally::new(!options.skip_failures));
    let planner = Mutex::new(Planner::new(source.walk(), options.cut(), &tally));
    let ended = std::thread::scope(|scope| {
        let one = || {
            let mut reader = Reader::new(source, options.sizes, &options.hints, &tally)?;
            let (mut worker, mut slot, mut out) = (Worker::new(options.coding())?, Vec::new(), Vec::new());
            loop {
                let run = planner.lock().unwrap_or_else(PoisonError::into_inner).next_run()?;
                let Some(run) = run else { return Ok(()) };
                for frame in reader.lay(&run, &mut slot)? {
                    worker.finish(frame, &slot, &mut out)?;
                }
            }
        };
        let threads: Result<Vec<_>> = (0..options.workers).map(|_| start(scope, "s3z-calibrate", &stop, one)).collect();
        threads.map(|threads| threads.into_iter().all(|thread| join(thread).is_some()))
    })?;
    if ended { Ok(started.elapsed().as_secs_f64()) } else { Err(stop.reason()) }
}
