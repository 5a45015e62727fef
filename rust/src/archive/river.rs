//! The threads of packing, and what they hand to one another.

use std::collections::BTreeMap;
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::thread::Scope;
use std::time::Duration;

use crossbeam_channel::{Receiver, Sender, bounded, unbounded};

use crate::archive::entry::Kind;
use crate::archive::lay::{Frame, Reader};
use crate::archive::pack::{PackOptions, Sink};
use crate::archive::plan::{Planner, Run};
use crate::archive::report::Tally;
use crate::archive::seek::{FrameSize, MAX_FRAMES};
use crate::archive::slots::{Block, Pool};
use crate::archive::source::Source;
use crate::archive::tail::{DataEnd, Finalizer, Rows, Tail};
use crate::archive::threads::{Stop, join, start};
use crate::archive::work::{Finished, Worker};
use crate::checksum::{Algorithm, combine};
use crate::error::{Error, ErrorKind, Result};
use crate::progress::Progress;

/// Rows of so many frames may wait for the index.
const ROWS_AHEAD: usize = 64;
/// How often a reader that waits for its turn looks whether everything has stopped.
const LOOK: Duration = Duration::from_millis(50);

/// A frame on its way to a worker.
struct Job {
    number: u64,
    slot: Arc<Block>,
    frame: Frame,
}

/// A frame on its way to the sink.
struct Done {
    number: u64,
    bytes: Block,
    finished: Finished,
}

/// What all threads share.
pub struct River<'a> {
    source: &'a dyn Source,
    options: &'a PackOptions,
    stop: &'a Stop,
    progress: &'a Progress,
    tally: &'a Tally,
    slots: &'a Pool,
    outputs: &'a Pool,
    turn: Turn,
}

impl<'a> River<'a> {
    pub fn new(
        source: &'a dyn Source,
        options: &'a PackOptions,
        (stop, progress, tally): (&'a Stop, &'a Progress, &'a Tally),
        (slots, outputs): (&'a Pool, &'a Pool),
    ) -> Self {
        Self { source, options, stop, progress, tally, slots, outputs, turn: Turn::default() }
    }

    /// Runs until everything of the source is in the sink; what is left to write behind it.
    pub fn run<'s>(&'s self, scope: &'s Scope<'s, '_>, workers: usize, sink: &mut dyn Sink) -> Result<(Tail, DataEnd)> {
        let (to_read, runs) = bounded(2);
        let (to_work, jobs) = bounded(2 * workers);
        // Bounded by the outputs.
        let (to_sequence, done) = unbounded();
        let (to_finalize, rows) = bounded(ROWS_AHEAD);
        let finalizer = start(scope, "s3z-index", self.stop, move || self.finalize(&rows))?;
        let mut threads = vec![start(scope, "s3z-plan", self.stop, move || self.plan(&to_read))?];
        for _ in 0..self.options.readers {
            let (runs, to_work) = (runs.clone(), to_work.clone());
            threads.push(start(scope, "s3z-read", self.stop, move || self.read(&runs, &to_work))?);
        }
        drop((runs, to_work));
        for _ in 0..workers {
            let (jobs, to_sequence) = (jobs.clone(), to_sequence.clone());
            threads.push(start(scope, "s3z-pack", self.stop, move || self.work(&jobs, &to_sequence))?);
        }
        drop((jobs, to_sequence));
        let end = self.sequence(&done, &to_finalize, sink).map_err(|error| self.stop.fail(error));
        drop(to_finalize);
        // What is not joined here would panic once more at the end of the scope.
        for thread in threads {
            join(thread);
        }
        let tail = join(finalizer);
        end.ok().zip(tail).map(|(end, tail)| (tail, end)).ok_or_else(Error::cancelled)
    }

    fn plan(&self, to_read: &Sender<Run>) -> Result<()> {
        let mut planner = Planner::new(self.source.walk(), self.options.cut(), self.tally);
        while let Some(run) = planner.next_run()? {
            self.stop.send(to_read, run)?;
        }
        Ok(())
    }

    fn read(&self, runs: &Receiver<Run>, to_work: &Sender<Job>) -> Result<()> {
        let mut reader = Reader::new(self.source, self.options.sizes, &self.options.hints, self.tally)?;
        let room = self.options.sizes.run() as usize;
        while let Some((number, mut slot, run)) = self.turn.next(|| {
            // Both at once, so that earlier runs never wait for a slot that a later one has.
            let slot = self.slots.take(self.stop, room)?;
            Ok(self.stop.receive(runs)?.map(|run| (slot, run)))
        })? {
            if has_links(&run) {
                // Whether their targets are in the archive is known once all before them is queued.
                self.turn.wait(number, self.stop)?;
            }
            let frames = reader.lay(&run, &mut slot.bytes)?;
            let slot = Arc::new(slot);
            let mut frame_number = self.turn.wait(number, self.stop)?;
            for frame in frames {
                self.stop.send(to_work, Job { number: frame_number, slot: slot.clone(), frame })?;
                frame_number += 1;
            }
            self.turn.done(number, frame_number);
        }
        Ok(())
    }

    fn work(&self, jobs: &Receiver<Job>, to_sequence: &Sender<Done>) -> Result<()> {
        let mut worker = Worker::new(self.options.coding())?;
        let room = Worker::room(self.options.sizes.group as usize + (4 << 10));
        loop {
            // Before the frame: the frame that everyone waits for must not wait for memory that later ones have.
            let mut bytes = self.outputs.take(self.stop, room)?;
            let Some(Job { number, slot, frame }) = self.stop.receive(jobs)? else { return Ok(()) };
            let finished = worker.finish(frame, &slot.bytes, &mut bytes.bytes)?;
            drop(slot);
            // It is gone only when everything has stopped.
            let _ = to_sequence.send(Done { number, bytes, finished });
        }
    }

    /// Gives each frame its place, in order.
    fn sequence(&self, done: &Receiver<Done>, to_finalize: &Sender<Rows>, sink: &mut dyn Sink) -> Result<DataEnd> {
        let mut end = DataEnd { offset: 0, crc: 0, frames: Vec::new() };
        let (mut waiting, mut next) = (BTreeMap::new(), 0);
        while let Some(came) = self.stop.receive(done)? {
            waiting.insert(came.number, came);
            while let Some(now) = waiting.remove(&next) {
                next += 1;
                self.emit(now, &mut end, to_finalize, sink)?;
            }
        }
        if waiting.is_empty() { Ok(end) } else { Err(Error::new(ErrorKind::Internal, "a frame is missing")) }
    }

    fn emit(&self, now: Done, end: &mut DataEnd, to_finalize: &Sender<Rows>, sink: &mut dyn Sink) -> Result<()> {
        let Done { bytes, finished: Finished { crc, content_len, mut rows, subtrees }, .. } = now;
        let len = bytes.bytes.len() as u64;
        for row in &mut rows {
            row.blob_offset += end.offset;
            self.progress.add_durable(row.len);
            if row.file_offset + row.len == row.entry.data_len() {
                self.progress.object_done();
            }
        }
        end.crc = combine(Algorithm::Crc64Nvme, end.crc, crc, len);
        end.offset += len;
        if self.options.level.is_some() {
            end.frames.push(FrameSize { compressed: len as u32, content: content_len });
            if end.frames.len() as u64 >= MAX_FRAMES {
                return Err(Error::new(ErrorKind::Archive, "there are too many frames: use a larger group_size"));
            }
        }
        self.stop.send(to_finalize, Rows { rows, subtrees })?;
        sink.write(bytes)
    }

    fn finalize(&self, rows: &Receiver<Rows>) -> Result<Tail> {
        let mut finalizer = Finalizer::new(self.options.facts())?;
        while let Some(rows) = self.stop.receive(rows)? {
            finalizer.take(rows)?;
        }
        finalizer.finish()
    }
}

fn has_links(run: &Run) -> bool {
    matches!(run, Run::Small(entries) if entries.iter().any(|entry| entry.kind == Kind::HardLink))
}

/// Runs are given out in order, and queued in order; between the two they are read at the same time.
#[derive(Default)]
struct Turn {
    given: Mutex<u64>,
    /// The run whose frames are queued next, and the number of its first frame.
    queued: Mutex<(u64, u64)>,
    changed: Condvar,
}

impl Turn {
    /// What `take` gives, and its number; one at a time.
    fn next<T, U>(&self, take: impl FnOnce() -> Result<Option<(T, U)>>) -> Result<Option<(u64, T, U)>> {
        let mut given = self.given.lock().unwrap_or_else(PoisonError::into_inner);
        let Some((first, second)) = take()? else { return Ok(None) };
        let number = *given;
        *given += 1;
        Ok(Some((number, first, second)))
    }

    /// Returns when all runs before `number` are queued; the number of the next frame.
    fn wait(&self, number: u64, stop: &Stop) -> Result<u64> {
        let mut queued = self.queued.lock().unwrap_or_else(PoisonError::into_inner);
        while queued.0 != number {
            stop.check()?;
            let waited = self.changed.wait_timeout(queued, LOOK);
            queued = waited.unwrap_or_else(PoisonError::into_inner).0;
        }
        Ok(queued.1)
    }

    fn done(&self, number: u64, next_frame: u64) {
        *self.queued.lock().unwrap_or_else(PoisonError::into_inner) = (number + 1, next_frame);
        self.changed.notify_all();
    }
}
