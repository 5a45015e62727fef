//! A local file that is written piece by piece: hidden until it is finished, gone if it is not.
//!
//! The same producer's end as an upload has (`put`), over the writer of downloads: recycled buffers, direct I/O where
//! the file system takes it, a temp file beside the destination, one rename. `AT_ONCE` buffers a file bound its memory.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Instant;

use tokio::sync::Semaphore;

use crate::config::{BUFFER_SIZE, DirectIo};
use crate::error::{Error, ErrorKind, Result};
use crate::ops::engine::Engine;
use crate::ops::report::{TransferReport, Verification};
use crate::progress::Progress;
use crate::transfer::buffers::Buffer;
use crate::transfer::destination::Target;
use crate::transfer::file_writer::{FileWriter, Piece, Start, WriterConfig};
use crate::transfer::temp_file::Publish;

/// Buffers of one file on their way to the disk, the one that is being filled among them.
const AT_ONCE: usize = 8;

#[derive(Debug, Clone)]
pub struct WriteFileRequest {
    pub destination: PathBuf,
    pub overwrite: bool,
    /// Whether the file and its directory are synced before `finish` returns.
    pub durable: bool,
    pub direct_io: Option<DirectIo>,
    /// How long it will be, if that is known; for progress.
    pub expected_size: Option<u64>,
}

pub struct LocalWriter {
    engine: Engine,
    writer: FileWriter,
    places: Arc<Semaphore>,
    block: Option<Buffer>,
    /// Bytes handed to the writer.
    posted: u64,
    accepted: u64,
    publish: Publish,
    started: Instant,
}

impl LocalWriter {
    pub async fn open(engine: &Engine, request: WriteFileRequest, progress: Arc<Progress>) -> Result<Self> {
        let started = Instant::now();
        let (path, overwrite) = (request.destination.clone(), request.overwrite);
        let prepared = engine.lanes.pick().call(move || Target::prepare(&path, overwrite)).await?;
        let Target::File(destination) = prepared else {
            let errno = rustix::io::Errno::INVAL;
            let text = "a FIFO or device cannot be written so: open it as it is";
            return Err(Error::local_text(&request.destination, errno, text));
        };
        let config = &engine.client.config().transfer;
        let config = WriterConfig {
            size: None,
            direct: request.direct_io.unwrap_or(config.direct_io),
            aligned: true,
            direct_threshold: config.direct_io_threshold,
            ledger: None,
        };
        if let Some(size) = request.expected_size {
            progress.set_total(size);
        }
        let start = Start { destination, found: None };
        let (writer, _) = FileWriter::open(&engine.lanes, start, config, progress).await?;
        Ok(Self {
            engine: engine.clone(),
            writer,
            places: Arc::new(Semaphore::new(AT_ONCE)),
            block: None,
            posted: 0,
            accepted: 0,
            publish: Publish { overwrite: request.overwrite, durable: request.durable, mtime: None, mode: None },
            started,
        })
    }

    /// Takes all of `data` if that needs neither waiting nor another buffer; else nothing.
    pub fn write_at_once(&mut self, data: &[u8]) -> bool {
        let Some(block) = self.block.as_mut().filter(|block| data.len() < BUFFER_SIZE - block.len()) else {
            return false;
        };
        block.extend(data);
        self.accepted += data.len() as u64;
        true
    }

    /// Takes all of `data`; waits while the disk is behind.
    pub async fn write(&mut self, mut data: &[u8]) -> Result<()> {
        while !data.is_empty() {
            if self.block.is_none() {
                self.block = Some(self.next_block().await?);
            }
            let Some(block) = &mut self.block else { continue };
            let taken = block.extend(data);
            let is_full = block.is_full();
            self.accepted += taken as u64;
            data = &data[taken..];
            if is_full {
                self.post();
            }
        }
        Ok(())
    }

    /// Publishes the file under its name.
    pub async fn finish(mut self) -> Result<TransferReport> {
        self.post();
        let size = self.accepted;
        if let Err(error) = self.writer.publish(size, self.publish).await {
            self.writer.discard(false).await;
            return Err(error);
        }
        Ok(TransferReport {
            bytes: size,
            seconds: self.started.elapsed().as_secs_f64(),
            etag: None,
            version_id: None,
            parts: 1,
            attempts: 1,
            resumed_bytes: 0,
            verified: Verification::Length("a local file has no stored checksum".into()),
            last_modified: None,
            content_type: None,
            storage_class: None,
        })
    }

    /// Removes what was written; what was there before stays.
    pub async fn abort(self) {
        self.writer.discard(false).await;
    }

    async fn next_block(&self) -> Result<Buffer> {
        tokio::select! {
            biased;
            error = self.writer.failed() => Err(error),
            place = self.places.clone().acquire_owned() => {
                let closed = |_| Error::new(ErrorKind::Internal, "the places of buffers were closed");
                self.engine.scheduler.leased_buffer(Box::new(place.map_err(closed)?))
            }
        }
    }

    fn post(&mut self) {
        if let Some(buffer) = self.block.take().filter(|buffer| !buffer.is_empty()) {
            let offset = self.posted;
            self.posted += buffer.len() as u64;
            self.writer.write(Piece { offset, buffer, crc64: None, generation: self.writer.generation() });
        }
    }
}
