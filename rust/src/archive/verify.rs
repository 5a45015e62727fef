//! Verification: every byte of an archive is what the root, the index and the format say it must be.
//!
//! The tar stream is rendered anew from the rows and compared with what the frames hold; stored frames are rendered byte for
//! byte. A CRC over all of the data finds the few changed bytes that a decoder would not notice. The frames are read by many
//! threads, in jobs that follow one another.

mod frame;
mod rows;
mod tail;

use std::ops::Range;

use crossbeam_channel::{Receiver, Sender, bounded, unbounded};

use crate::archive::blob::Decoder;
use crate::archive::index::Row;
use crate::archive::ranges::damaged;
use crate::archive::read::{Archive, part_of};
use crate::archive::seek::{self, FrameSize};
use crate::archive::threads::{Stop, join, start};
use crate::archive::{footer, tar};
use crate::checksum::{Algorithm, checksum, combine};
use crate::error::{ErrorKind, Result};
use crate::progress::Progress;
use frame::Checker;
use rows::Rows;
use tail::check_tail;

/// Bytes that one job reads.
const JOB: u64 = 8 << 20;
/// Rows that one job has about.
const JOB_ROWS: usize = 16_384;
/// A plain tar is cut into pieces of so many bytes at most.
const PIECE: u64 = 4 << 20;
/// More problems than this are not told.
const MOST_PROBLEMS: usize = 1000;

/// How much is looked at.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Level {
    Full,
    /// The index alone.
    Index,
    /// The index, and this part of the frames.
    Sample(f64),
}

/// Something that is not what it must be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    pub name: Option<Vec<u8>>,
    pub offset: Option<u64>,
    pub what: String,
}

#[derive(Debug, Clone, Default)]
pub struct VerifyReport {
    pub frames: u64,
    pub entries: u64,
    pub bytes: u64,
    pub problems: Vec<Problem>,
}

impl VerifyReport {
    fn problem(&mut self, name: Option<&[u8]>, offset: Option<u64>, what: impl Into<String>) {
        if self.problems.len() < MOST_PROBLEMS {
            self.problems.push(Problem { name: name.map(<[u8]>::to_vec), offset, what: what.into() });
        }
    }
}

/// One frame, or piece of a tar: where it lies, and the rows of its entries.
struct Unit {
    at: u64,
    size: FrameSize,
    rows: Vec<Row>,
    /// The first row of the big file whose header alone lies here.
    heads: Option<Row>,
    is_checked: bool,
}

struct Job {
    number: usize,
    range: Range<u64>,
    units: Vec<Unit>,
}

/// What a job found out.
struct Seen {
    number: usize,
    crc: u64,
    len: u64,
    report: VerifyReport,
}

/// Looks at as much as `level` says; what is wrong is told, and is no error of this call.
pub fn verify(
    archive: &Archive,
    level: Level,
    threads: usize,
    (stop, progress): (&Stop, &Progress),
) -> Result<VerifyReport> {
    let mut report = VerifyReport::default();
    progress.set_total(archive.opened().footer.raw_bytes);
    check_tail(archive, &mut report)?;
    let opened = archive.opened();
    if level == Level::Index {
        let mut rows = Rows::new(archive);
        while rows.next(&mut report)?.is_some() {
            stop.check()?;
        }
        rows.finish(&mut report);
        return Ok(report);
    }
    let frames = frames(archive)?;
    let crc = std::thread::scope(|scope| {
        let (to_work, jobs) = bounded(threads);
        let (to_us, seen) = unbounded();
        let workers: Result<Vec<_>> = (0..threads)
            .map(|_| {
                let (jobs, to_us) = (jobs.clone(), to_us.clone());
                start(scope, "s3z-verify", stop, move || work(archive, &jobs, &to_us, (stop, progress)))
            })
            .collect();
        drop((jobs, to_us));
        let workers = workers?;
        let mut rows = Rows::new(archive);
        let planned = plan(&mut rows, (frames, level), (&to_work, stop), &mut report);
        drop(to_work);
        let ended = workers.into_iter().map(join).collect::<Vec<_>>();
        planned?;
        if ended.iter().any(Option::is_none) {
            return Err(stop.reason());
        }
        rows.finish(&mut report);
        Ok(collect(seen, &mut report))
    });
    let (crc, len) = match crc {
        Err(error) if error.kind() == ErrorKind::Cancelled => return Err(stop.reason()),
        done => done?,
    };
    if level == Level::Full && (crc != opened.manifest.data_crc || len != opened.footer.data_end) {
        report.problem(None, None, "the data does not have the CRC of the manifest");
    }
    Ok(report)
}

/// Puts together what the jobs saw, in their order.
fn collect(seen: Receiver<Seen>, report: &mut VerifyReport) -> (u64, u64) {
    let mut all: Vec<Seen> = seen.into_iter().collect();
    all.sort_by_key(|seen| seen.number);
    let (mut crc, mut len) = (0, 0);
    for seen in all {
        crc = combine(Algorithm::Crc64Nvme, crc, seen.crc, seen.len);
        len += seen.len;
        report.frames += seen.report.frames;
        report.bytes += seen.report.bytes;
        for problem in seen.report.problems {
            report.problem(problem.name.as_deref(), problem.offset, problem.what);
        }
    }
    (crc, len)
}

/// All frames of the data, by the table; of a plain tar one unit for each stretch of entries.
fn frames(archive: &Archive) -> Result<Vec<FrameSize>> {
    let opened = archive.opened();
    if !opened.is_zstd {
        return Ok(Vec::new());
    }
    let start = opened.footer_at + footer::LEN as u64;
    let bytes = archive.one(start..opened.size)?;
    seek::decode(&bytes)
}

/// Gives every frame its rows, and hands them out in jobs.
fn plan(
    rows: &mut Rows<'_>,
    (frames, level): (Vec<FrameSize>, Level),
    (to_work, stop): (&Sender<Job>, &Stop),
    report: &mut VerifyReport,
) -> Result<()> {
    let opened = rows.archive.opened();
    let (data_end, root) = (opened.footer.data_end, opened.footer.root);
    let mut job = Job { number: 0, range: 0..0, units: Vec::new() };
    let mut at = 0;
    let (mut number, mut rows_of_job) = (0_u64, 0);
    let mut frames = frames.into_iter();
    while at < data_end {
        stop.check()?;
        let unit = match opened.is_zstd {
            true => {
                let size = frames.next().filter(|size| size.compressed > 0 && size.content > 0);
                let Some(size) = size else {
                    report.problem(None, Some(at), "the table of frames does not cover the data");
                    break;
                };
                let is_checked = is_picked(level, &root, number);
                unit_of_frame(rows, (at, size), is_checked, report)?
            }
            false => unit_of_tar(rows, (at, data_end), is_picked(level, &root, number), report)?,
        };
        number += 1;
        let end = at + u64::from(unit.size.compressed);
        if end > data_end {
            report.problem(None, Some(at), "a frame reaches beyond the data");
            break;
        }
        at = end;
        job.range.end = at;
        rows_of_job += unit.rows.len();
        job.units.push(unit);
        if job.range.end - job.range.start >= JOB || rows_of_job >= JOB_ROWS {
            rows_of_job = 0;
            let next = Job { number: job.number + 1, range: at..at, units: Vec::new() };
            stop.send(to_work, std::mem::replace(&mut job, next))?;
        }
    }
    if !job.units.is_empty() {
        stop.send(to_work, job)?;
    }
    while let Some(row) = rows.next(report)? {
        report.problem(Some(&row.entry.name), Some(row.blob_offset), "it lies in no frame");
    }
    Ok(())
}

/// Whether a frame is looked at, told by the root and its number.
fn is_picked(level: Level, root: &[u8; 32], number: u64) -> bool {
    let Level::Sample(part) = level else { return true };
    let hash = blake3::Hasher::new().update(root).update(&number.to_le_bytes()).finalize();
    let mut eight = [0; 8];
    eight.copy_from_slice(&hash.as_bytes()[..8]);
    (u64::from_le_bytes(eight) as f64) < part * (u64::MAX as f64)
}

fn unit_of_frame(
    rows: &mut Rows<'_>,
    (at, size): (u64, FrameSize),
    is_checked: bool,
    report: &mut VerifyReport,
) -> Result<Unit> {
    let end = at + u64::from(size.compressed);
    let mut unit = Unit { at, size, rows: Vec::new(), heads: None, is_checked };
    while rows.peek(report)?.is_some_and(|row| (at..end).contains(&row.blob_offset)) {
        unit.rows.extend(rows.next(report)?);
    }
    if unit.rows.is_empty() {
        let is_headed = |row: &&Row| row.seq == 0 && row.blob_offset >= end && row.len > 0 && row.len < row.entry.size;
        unit.heads = rows.peek(report)?.filter(is_headed).cloned();
    }
    Ok(unit)
}

/// Of a plain tar: the entries or slices that begin at `at`, up to a few MiB.
fn unit_of_tar(
    rows: &mut Rows<'_>,
    (at, data_end): (u64, u64),
    is_checked: bool,
    report: &mut VerifyReport,
) -> Result<Unit> {
    let (mut taken, mut end) = (Vec::new(), at);
    while let Some(row) = rows.peek(report)? {
        let mut header = Vec::new();
        if row.seq == 0 {
            tar::render(&row.entry, &mut header)?;
        }
        let is_last = row.file_offset + row.len == row.entry.data_len();
        let padding = if is_last { tar::padding(row.entry.data_len()) } else { 0 };
        let len = header.len() as u64 + row.len + padding as u64;
        if !taken.is_empty() && end + len - at > PIECE {
            break;
        }
        end += len;
        taken.extend(rows.next(report)?);
    }
    if taken.is_empty() || end > data_end {
        report.problem(None, Some(at), "something lies in the data that the index does not know");
        end = data_end.min(at + PIECE);
        taken.clear();
    }
    let len = u32::try_from(end - at).map_err(|_| damaged("a slice is longer than 4 GiB"))?;
    Ok(Unit { at, size: FrameSize { compressed: len, content: len }, rows: taken, heads: None, is_checked })
}

fn work(
    archive: &Archive,
    jobs: &Receiver<Job>,
    to_us: &Sender<Seen>,
    (stop, progress): (&Stop, &Progress),
) -> Result<()> {
    let mut checker = Checker { decoder: Decoder::new()?, content: Vec::new(), is_zstd: archive.opened().is_zstd };
    while let Some(job) = stop.receive(jobs)? {
        let is_wanted = job.units.iter().any(|unit| unit.is_checked);
        let mut report = VerifyReport::default();
        let mut crc = 0;
        if is_wanted {
            let bytes = archive.one(job.range.clone())?;
            crc = checksum(Algorithm::Crc64Nvme, &bytes);
            for unit in job.units.iter().filter(|unit| unit.is_checked) {
                stop.check()?;
                let span = unit.at..unit.at + u64::from(unit.size.compressed);
                checker.check(unit, part_of(&bytes, &job.range, &span)?, &mut report);
                progress.add_durable(unit.rows.iter().map(|row| row.len).sum());
            }
        }
        let len = job.range.end - job.range.start;
        let _ = to_us.send(Seen { number: job.number, crc, len, report });
    }
    Ok(())
}
