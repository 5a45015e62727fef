//! A local file put together from parts: planned beforehand, written in any order by any thread, published once all are
//! there (`PartFile`).
//!
//! The writer of downloads does the work, its ledger included, so what a killed process had written is found, read back and
//! compared before it counts (F14), and a part that was not whole then is written again. A part is written once.

use std::ops::Range;
use std::os::fd::AsFd;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use bytes::Bytes;
use sha2::{Digest, Sha256};
use tokio::sync::Semaphore;

use crate::checksum::{Algorithm, Crc, checksum};
use crate::config::{BUFFER_SIZE, DirectIo};
use crate::error::{Error, ErrorKind, Result};
use crate::ops::engine::Engine;
use crate::ops::read_back::read_back;
use crate::ops::report::{TransferReport, Verification};
use crate::progress::Progress;
use crate::transfer::buffers::ALIGNMENT;
use crate::transfer::destination::Target;
use crate::transfer::file_writer::{FileWriter, LedgerPlan, Piece, Start, WriterConfig};
use crate::transfer::ledger::Ledger;
use crate::transfer::ledger::format::Interval;
use crate::transfer::temp_file::Publish;

/// Buffers of one file on their way to the disk.
const AT_ONCE: usize = 16;

#[derive(Debug, Clone)]
pub struct PartFileRequest {
    pub destination: PathBuf,
    pub size: u64,
    pub part_size: u64,
    pub overwrite: bool,
    pub durable: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum State {
    Pending,
    InProgress,
    Complete,
    /// Its write failed or was interrupted; it can be written once the file is opened again.
    Failed,
}

pub struct PartFile {
    engine: Engine,
    request: PartFileRequest,
    writer: FileWriter,
    places: Arc<Semaphore>,
    states: Mutex<Vec<State>>,
    resumed: u64,
    started: Instant,
}

impl PartFile {
    /// A new hidden file of full size, or the one that an earlier process left for the same plan.
    pub async fn open(engine: &Engine, request: PartFileRequest, progress: Arc<Progress>) -> Result<Self> {
        if request.size == 0 || request.part_size == 0 {
            return Err(Error::config("a part file has at least one byte, and parts of at least one byte"));
        }
        progress.set_total(request.size);
        let (path, overwrite, object) = (request.destination.clone(), request.overwrite, identity(&request));
        let look = move || match Target::prepare(&path, overwrite)? {
            Target::Stream(_) => {
                let text = "a FIFO or device cannot be put together from parts";
                Err(Error::local_text(&path, rustix::io::Errno::INVAL, text))
            }
            Target::File(file) => {
                let found = Ledger::look(file.directory().as_fd(), file.name(), &object);
                Ok(Start { destination: file, found })
            }
        };
        let mut start = engine.lanes.pick().call(look).await?;
        start.found = start.found.filter(|found| found.head.size == request.size);
        let config = WriterConfig {
            size: Some(request.size),
            direct: engine.client.config().transfer.direct_io,
            aligned: request.part_size.is_multiple_of(ALIGNMENT as u64),
            direct_threshold: engine.client.config().transfer.direct_io_threshold,
            ledger: Some(LedgerPlan { object, etag: ETAG.to_owned() }),
        };
        let config = WriterConfig { direct: if config.aligned { config.direct } else { DirectIo::Off }, ..config };
        let (writer, claims) = FileWriter::open(&engine.lanes, start, config, progress).await?;
        let count = usize::try_from(request.size.div_ceil(request.part_size)).unwrap_or(usize::MAX);
        let mut file = Self {
            engine: engine.clone(),
            request,
            writer,
            places: Arc::new(Semaphore::new(AT_ONCE)),
            states: Mutex::new(vec![State::Pending; count]),
            resumed: 0,
            started: Instant::now(),
        };
        file.prove(&claims).await;
        Ok(file)
    }

    pub fn states(&self) -> Vec<State> {
        self.lock().clone()
    }

    /// Bytes of an earlier process that proved intact.
    pub fn resumed(&self) -> u64 {
        self.resumed
    }

    /// Writes one part, whole; parts count from 1. Returns once it is in the file.
    pub async fn write_part(&self, number: u32, data: &Bytes) -> Result<()> {
        let index = self.claim(number, data.len() as u64)?;
        // Whoever stops waiting leaves it failed: what of it is in the file nobody knows.
        let mut ended = Ended { file: self, index, state: State::Failed };
        let start = index as u64 * self.request.part_size;
        for (step, piece) in data.chunks(BUFFER_SIZE).enumerate() {
            let place = tokio::select! {
                biased;
                error = self.writer.failed() => return Err(error),
                place = self.places.clone().acquire_owned() => place,
            };
            let closed = |_| Error::new(ErrorKind::Internal, "the places of buffers were closed");
            let mut buffer = self.engine.scheduler.leased_buffer(Box::new(place.map_err(closed)?))?;
            buffer.extend(piece);
            let offset = start + (step * BUFFER_SIZE) as u64;
            let crc64 = Some(checksum(Algorithm::Crc64Nvme, piece));
            self.writer.write(Piece { offset, buffer, crc64, generation: self.writer.generation() });
        }
        self.writer.drain().await?;
        tokio::select! {
            biased;
            error = self.writer.failed() => return Err(error),
            () = std::future::ready(()) => {}
        }
        ended.state = State::Complete;
        Ok(())
    }

    /// Fails if a part is missing, naming it.
    pub fn check_complete(&self) -> Result<()> {
        match self.lock().iter().position(|state| *state != State::Complete) {
            Some(index) => Err(Error::config(format!("part {} was not written", index + 1))),
            None => Ok(()),
        }
    }

    /// Gives the file its name, if all parts are there.
    pub async fn publish(self) -> Result<TransferReport> {
        self.check_complete()?;
        let how = Publish { overwrite: self.request.overwrite, durable: self.request.durable, mtime: None, mode: None };
        if let Err(error) = self.writer.publish(self.request.size, how).await {
            self.writer.discard(true).await;
            return Err(error);
        }
        let parts = u32::try_from(self.lock().len()).unwrap_or(u32::MAX);
        Ok(TransferReport {
            bytes: self.request.size,
            seconds: self.started.elapsed().as_secs_f64(),
            etag: None,
            version_id: None,
            parts,
            attempts: parts,
            resumed_bytes: self.resumed,
            verified: Verification::Length("a local file has no stored checksum".into()),
            last_modified: None,
            content_type: None,
            storage_class: None,
        })
    }

    /// Ends it without publishing; what is written stays for the next one to go on with, or goes.
    pub async fn close(&self, keep: bool) {
        self.writer.discard(keep).await;
    }

    /// Takes a part for writing.
    fn claim(&self, number: u32, len: u64) -> Result<usize> {
        let mut states = self.lock();
        let index = (number as usize).wrapping_sub(1);
        let count = states.len();
        let Some(state) = states.get_mut(index) else {
            return Err(Error::config(format!("the parts are 1 to {count}, not {number}")));
        };
        let range = self.range(index);
        if len != range.end - range.start {
            let wanted = range.end - range.start;
            return Err(Error::config(format!("part {number} holds {wanted} bytes by the plan, not {len}")));
        }
        let why = match state {
            State::Pending => {
                *state = State::InProgress;
                return Ok(index);
            }
            State::InProgress => "is being written",
            State::Complete => "was written already",
            State::Failed => "could not be written before; close the file and open it again",
        };
        Err(Error::config(format!("part {number} {why}")))
    }

    /// Counts the parts whose bytes an earlier process says it wrote, and which are still there. A claim may span several
    /// parts, and then counts as a whole.
    async fn prove(&mut self, claims: &[Interval]) {
        let mut intact: Vec<Range<u64>> = Vec::new();
        for claim in claims {
            if !self.is_intact(claim).await {
                continue;
            }
            match intact.last_mut().filter(|before| before.end == claim.range.start) {
                Some(before) => before.end = claim.range.end,
                None => intact.push(claim.range.clone()),
            }
        }
        let count = self.lock().len();
        for index in 0..count {
            let range = self.range(index);
            if intact.iter().any(|proved| proved.start <= range.start && range.end <= proved.end) {
                self.writer.trust(range.clone());
                self.resumed += range.end - range.start;
                self.lock()[index] = State::Complete;
            }
        }
    }

    async fn is_intact(&self, claim: &Interval) -> bool {
        let mut crc = Crc::new(Algorithm::Crc64Nvme);
        let read = read_back(&self.writer, &self.engine.scheduler, claim.range.clone(), |bytes| crc.update(bytes));
        matches!(read.await, Ok(true)) && crc.value() == claim.crc64
    }

    fn range(&self, index: usize) -> Range<u64> {
        let start = index as u64 * self.request.part_size;
        start..self.request.size.min(start + self.request.part_size)
    }

    fn lock(&self) -> MutexGuard<'_, Vec<State>> {
        self.states.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Says in the end what became of a part, also if nobody waited for it.
struct Ended<'a> {
    file: &'a PartFile,
    index: usize,
    state: State,
}

impl Drop for Ended<'_> {
    fn drop(&mut self) {
        self.file.lock()[self.index] = self.state;
    }
}

/// What stands in the ledger where a download has the ETag.
const ETAG: &str = "\"s3z-part-file\"";

/// The plan a ledger belongs to.
fn identity(request: &PartFileRequest) -> [u8; 32] {
    Sha256::digest(format!("s3z part file 1\n{}\n{}", request.size, request.part_size)).into()
}
