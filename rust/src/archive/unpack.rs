//! From an indexed archive to a tree, or to the keys below a prefix: everything is looked at in the index first, then fetched in order and written by many
//! threads, each slice checked before it is written.
//!
//! A bad entry is counted and named, and the others go on. A file of one slice is checked in memory; a bigger one lies under a
//! hidden name until its last slice was good.

use std::collections::HashMap;
use std::ops::Range;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::SeqCst};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use crossbeam_channel::{Receiver, Sender, bounded};

use crate::archive::blob::{Decoder, check_claims, named};
use crate::archive::entry::{Entry, Kind};
use crate::archive::index::{Row, row_flag};
use crate::archive::place::{Destination, Growing, Place};
use crate::archive::ranges::damaged;
use crate::archive::read::{Archive, blob, part_of};
use crate::archive::select::{Chosen, Selection};
use crate::archive::slices::Slices;
use crate::archive::threads::{Stop, join, start};
use crate::archive::tree::{Done, TreeOptions};
use crate::archive::unpack_report::{UnpackReport, UnpackTally};
use crate::error::{Error, ErrorKind, Result};
use crate::progress::Progress;

/// What one thread fetches at once; more where one frame needs it.
const JOB: u64 = 8 << 20;
/// Bytes that nobody wants are fetched rather than asked around.
const GAP: u64 = 1 << 20;
/// Rows of one job.
const JOB_ROWS: usize = 16_384;

pub struct UnpackOptions {
    pub tree: TreeOptions,
    pub selection: Selection,
    pub allow_incomplete: bool,
    pub threads: usize,
}

/// Some neighbours of the archive.
#[derive(Default)]
struct Job {
    range: Range<u64>,
    rows: Vec<Row>,
}

/// A file of several slices, while they come.
struct Big {
    file: Option<Box<dyn Growing>>,
    left: AtomicU64,
    is_bad: AtomicBool,
}

/// What came of a slice.
enum Step {
    Ended(Done),
    /// More slices of the file are to come, or have failed before.
    Going,
    /// The place tells how the file ends.
    UnderWay,
}

struct Unpacking<'a> {
    archive: &'a Archive,
    place: &'a dyn Place,
    options: &'a UnpackOptions,
    tally: &'a UnpackTally,
    stop: &'a Stop,
    progress: &'a Progress,
    big: Mutex<HashMap<Vec<u8>, Arc<Big>>>,
}

/// Unpacks what is selected beneath `destination`.
pub fn unpack<D: Destination + ?Sized>(
    archive: &Archive,
    destination: &D,
    options: &UnpackOptions,
    (stop, progress): (&Stop, &Progress),
) -> Result<UnpackReport> {
    let started = Instant::now();
    let survey = survey(archive, options, stop)?;
    progress.set_total(survey.bytes);
    progress.set_objects_total(Some(survey.entries));
    let tally = Arc::<UnpackTally>::default();
    let place = destination.open(TreeOptions { hard_links: survey.has_hard_links, ..options.tree }, &tally)?;
    for name in survey.missing {
        let error = Error::new(ErrorKind::NotFound, "there is no such entry in the archive");
        tally.failed(&name, &error);
    }
    let work = Unpacking { archive, place: &*place, options, tally: &tally, stop, progress, big: Mutex::default() };
    let links = std::thread::scope(|scope| {
        let (to_work, jobs) = bounded(options.threads);
        let threads: Result<Vec<_>> = (0..options.threads)
            .map(|_| {
                let jobs = jobs.clone();
                let work = &work;
                start(scope, "s3z-unpack", stop, move || work.work(&jobs))
            })
            .collect();
        drop(jobs);
        let links = threads.and_then(|threads| {
            let links = work.plan(&to_work);
            drop(to_work);
            let ended = threads.into_iter().map(join).collect::<Vec<_>>().iter().all(Option::is_some);
            if ended { links } else { Err(Error::cancelled()) }
        });
        links.inspect_err(|_| stop.fail(Error::cancelled()))
    });
    drop(work);
    let links = links.and_then(|links| place.settle().map(|()| links));
    let links = match links {
        Ok(links) if !stop.is_set() => links,
        Err(error) if error.kind() != ErrorKind::Cancelled => return Err(error),
        _ => return Err(stop.reason()),
    };
    for entry in links {
        tally.made(&entry, place.hard_link(&entry));
        progress.object_done();
    }
    let mut report = tally.finish(place.finish());
    report.seconds = started.elapsed().as_secs_f64();
    Ok(report)
}

/// What will be unpacked, as the index has it.
#[derive(Default)]
struct Survey {
    entries: u64,
    bytes: u64,
    has_hard_links: bool,
    missing: Vec<Vec<u8>>,
}

/// Looks at every row that is selected, and refuses everything before anything is written.
fn survey(archive: &Archive, options: &UnpackOptions, stop: &Stop) -> Result<Survey> {
    let (mut survey, mut chosen) = (Survey::default(), Chosen::of_sorted(&options.selection));
    let mut slices = Slices::default();
    let opened = archive.opened();
    let numbers = archive.batches_of_prefix(&options.selection.prefix);
    for number in numbers.clone() {
        stop.check()?;
        let batch = archive.batch_ahead(number..numbers.end)?;
        for at in 0..batch.len() {
            if !batch.is_current(at) || !chosen.is_chosen(batch.name(at)) {
                continue;
            }
            let row = batch.row(at)?;
            check_claims(&row, opened.footer.data_end, opened.is_zstd)?;
            slices.push(&row)?;
            survey.bytes += row.len;
            survey.has_hard_links |= row.entry.kind == Kind::HardLink;
            if row.seq == 0 {
                survey.entries += 1;
                chosen.accept(&row.entry)?;
            }
            options.selection.check(survey.entries, survey.bytes, opened.size)?;
        }
    }
    slices.finish()?;
    survey.missing = chosen.missing();
    Ok(survey)
}

impl Unpacking<'_> {
    /// Makes directories, queues files, remembers hard links; those come back.
    fn plan(&self, to_work: &Sender<Job>) -> Result<Vec<Entry>> {
        let selection = &self.options.selection;
        let (mut links, mut job, mut chosen) = (Vec::new(), Job::default(), Chosen::new(selection));
        let numbers = self.archive.batches_of_prefix(&selection.prefix);
        for number in numbers.clone() {
            let batch = self.archive.batch_ahead(number..numbers.end)?;
            for at in 0..batch.len() {
                if !batch.is_current(at) || !chosen.is_chosen(batch.name(at)) {
                    continue;
                }
                let mut row = batch.row(at)?;
                let Some(entry) = selection.stripped(&row.entry) else { continue };
                match entry.kind {
                    Kind::File => {
                        row.entry = Arc::new(entry);
                        self.queue(row, &mut job, to_work)?;
                        continue;
                    }
                    Kind::HardLink => {
                        links.push(entry);
                        continue;
                    }
                    Kind::Directory => self.tally.made(&entry, self.place.directory(&entry)),
                    Kind::Symlink => self.tally.begun(&entry, self.place.symlink(&entry)),
                }
                self.progress.object_done();
            }
        }
        self.flush(&mut job, to_work)?;
        Ok(links)
    }

    fn queue(&self, row: Row, job: &mut Job, to_work: &Sender<Job>) -> Result<()> {
        let range = blob(&row);
        let fits = |job: &Job| {
            let joined = range.start >= job.range.start && range.start <= job.range.end + GAP;
            let end = job.range.end.max(range.end);
            joined && (end - job.range.start <= JOB || end == job.range.end) && job.rows.len() < JOB_ROWS
        };
        if row.len == 0 {
            // An empty file needs no bytes.
            job.rows.push(row);
            return Ok(());
        }
        if !job.range.is_empty() && !fits(job) {
            self.flush(job, to_work)?;
        }
        job.range = if job.range.is_empty() { range } else { job.range.start..job.range.end.max(range.end) };
        job.rows.push(row);
        Ok(())
    }

    fn flush(&self, job: &mut Job, to_work: &Sender<Job>) -> Result<()> {
        if job.rows.is_empty() {
            return Ok(());
        }
        self.stop.send(to_work, std::mem::take(job))
    }

    fn work(&self, jobs: &Receiver<Job>) -> Result<()> {
        let mut decoder = Decoder::new()?;
        while let Some(job) = self.stop.receive(jobs)? {
            let bytes = match job.range.is_empty() {
                true => Vec::new(),
                false => self.archive.one(job.range.clone())?,
            };
            for row in &job.rows {
                self.stop.check()?;
                let written = self.write(row, (&bytes, &job.range), &mut decoder);
                match written {
                    Ok(Step::Ended(done)) => self.tally.made(&row.entry, Ok(done)),
                    Ok(Step::UnderWay) => continue,
                    Ok(Step::Going) => {}
                    Err(error) if error.is_no_memory() || error.kind() == ErrorKind::Cancelled => return Err(error),
                    Err(error) => self.tally.made(&row.entry, Err(error)),
                }
                if !self.place.counts_bytes() {
                    self.progress.add_durable(row.len);
                }
                if row.file_offset + row.len == row.entry.size {
                    self.progress.object_done();
                }
            }
        }
        Ok(())
    }

    /// Writes one slice; what became of the file, if that was its last.
    fn write(&self, row: &Row, (bytes, all): (&[u8], &Range<u64>), decoder: &mut Decoder) -> Result<Step> {
        let is_zstd = self.archive.opened().is_zstd;
        let is_spoilt = row.flags & (row_flag::INCOMPLETE | row_flag::CHANGED) != 0 && !self.options.allow_incomplete;
        let slice = |decoder: &mut Decoder, write: &mut dyn FnMut(&[u8]) -> Result<()>| {
            if is_spoilt {
                return Err(named(damaged("it was incomplete or changed when it was packed"), row));
            }
            let blob = if row.len == 0 { &[][..] } else { part_of(bytes, all, &blob(row))? };
            write(&decoder.slice(row, blob, is_zstd)?)
        };
        if row.len == row.entry.size {
            let mut step = Step::UnderWay;
            slice(decoder, &mut |content| {
                step = self.place.small_file(&row.entry, content)?.map_or(Step::UnderWay, Step::Ended);
                Ok(())
            })?;
            return Ok(step);
        }
        let big = self.big(row)?;
        let written = match &big.file {
            Some(file) if !big.is_bad.load(SeqCst) => {
                slice(decoder, &mut |content| file.write_at(row.file_offset, content))
            }
            _ => Ok(()),
        };
        let failed = written.is_err() && !big.is_bad.swap(true, SeqCst);
        if let Some(file) = big.file.as_ref().filter(|_| failed) {
            file.give_up();
        }
        if big.left.fetch_sub(row.len, SeqCst) == row.len {
            self.big.lock().unwrap_or_else(PoisonError::into_inner).remove(&row.entry.name);
            return self.publish(big, if failed { written } else { Ok(()) });
        }
        if failed { written.map(|()| Step::Going) } else { Ok(Step::Going) }
    }

    /// The file that a slice belongs to, begun by whichever slice comes first.
    fn big(&self, row: &Row) -> Result<Arc<Big>> {
        let mut all = self.big.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(big) = all.get(&row.entry.name) {
            return Ok(big.clone());
        }
        let (file, failure) = match self.place.big_file(&row.entry) {
            Ok(file) => (file, None),
            Err(error) => (None, Some(error)),
        };
        let (left, is_bad) = (AtomicU64::new(row.entry.size), AtomicBool::new(failure.is_some()));
        let big = Arc::new(Big { file, left, is_bad });
        all.insert(row.entry.name.clone(), big.clone());
        drop(all);
        if let Some(error) = failure {
            self.tally.made(&row.entry, Err(error));
        }
        Ok(big)
    }

    /// After the last slice.
    fn publish(&self, big: Arc<Big>, written: Result<()>) -> Result<Step> {
        let is_bad = big.is_bad.load(SeqCst);
        written?;
        if is_bad {
            return Ok(Step::Going);
        }
        let Some(big) = Arc::into_inner(big) else {
            return Err(Error::new(ErrorKind::Internal, "a file is still being written"));
        };
        match big.file {
            Some(file) => file.publish().map(Step::Ended),
            None => Ok(Step::Ended(Done::Skipped)),
        }
    }
}
