//! A tree into one archive: the river of `archive::pack` on threads of its own, its bytes into an object, a file or a pipe.
//!
//! The threads hand block after block over a short queue; this end copies each into what the sink sends or writes, and gives
//! it back. Whichever end fails stops the other: the threads through `Stop`, this end because the queue closes. Nothing
//! is published unless the threads have said that everything is there.

mod prefix;

use std::os::fd::RawFd;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::SeqCst};

use bytes::Bytes;
use tokio::sync::{mpsc, oneshot};

use crate::archive::local::{Keeps, LocalOptions, LocalSource};
use crate::archive::pack::{PackOptions, Sink as PackSink, calibrate, pack as run_river};
use crate::archive::report::PackReport;
use crate::archive::slots::Block;
use crate::archive::source::Source;
use crate::archive::threads::{Stop, spawn};
use crate::config::{MIB, TransferConfig, usable_memory};
use crate::error::{Error, ErrorKind, Result};
use crate::ops::cat;
use crate::ops::engine::Engine;
use crate::ops::put::{ObjectWriter, PutRequest, Sender};
use crate::ops::report::TransferReport;
use crate::ops::select::Filters;
use crate::ops::sink::Sink;
use crate::ops::write_file::{LocalWriter, WriteFileRequest};
use crate::progress::{Cancel, Progress};
use crate::s3::client::ObjectRef;
use crate::transfer::pipe_writer::PipeWriter;
use crate::transfer::scheduler::Scheduler;
use prefix::PrefixSource;

/// Blocks between the threads and the sink.
const AHEAD: usize = 4;
/// Of the memory, what an upload may hold.
const UPLOAD_SHARE: u64 = 3;
/// The least that an upload needs: two parts.
const LEAST_UPLOAD: u64 = 32 * MIB;

/// What is packed.
#[derive(Debug, Clone)]
pub enum PackSource {
    /// Each directory or file, and what the names of its entries begin with.
    Local { roots: Vec<(PathBuf, Vec<u8>)>, matched: bool, follow_symlinks: bool },
    /// All keys that begin with `object.key`; names are what follows the first `strip` bytes.
    Prefix { object: ObjectRef, strip: usize },
}

/// Where the archive goes.
#[derive(Debug, Clone)]
pub enum PackTarget {
    Object(PutRequest),
    File(WriteFileRequest),
    /// An open descriptor, and what it is called.
    Pipe(RawFd, PathBuf),
}

#[derive(Debug, Clone)]
pub struct PackRequest {
    pub source: PackSource,
    pub target: PackTarget,
    pub filters: Filters,
    /// Its memory is what all of this may take; 0: by the number of workers.
    pub options: PackOptions,
}

/// What was packed, and how it was stored.
#[derive(Debug, Clone)]
pub struct Packed {
    pub report: PackReport,
    pub stored: Option<TransferReport>,
}

impl PackRequest {
    /// The memory of the river, and of the upload beside it.
    fn memory(&self) -> Result<(u64, u64)> {
        let by_workers = (128 + 32 * self.options.workers as u64) * MIB;
        let all = match self.options.memory {
            0 => by_workers.min(usable_memory() / 2).max(96 * MIB),
            explicit => explicit,
        };
        match &self.target {
            PackTarget::Object(put) => {
                let parts = put.part_size.map_or(LEAST_UPLOAD, |size| size.saturating_mul(2));
                let upload = (all / UPLOAD_SHARE).max(parts).min(256 * MIB).max(parts);
                if self.options.memory > 0 && upload >= all {
                    let text = format!("memory_limit must be more than {parts} bytes: two parts have to fit");
                    return Err(Error::config(text));
                }
                Ok((all.saturating_sub(upload).max(64 * MIB), upload))
            }
            _ => Ok((all, 0)),
        }
    }
}

/// Packs; returns when the archive is published, or when nothing is left of it.
pub async fn pack(
    engine: &Engine,
    request: PackRequest,
    progress: Arc<Progress>,
    cancel: &Cancel,
    spawn_sender: impl FnOnce(Sender) + Send + 'static,
) -> Result<Packed> {
    progress.set_objects_total(None);
    let (river_memory, upload_memory) = request.memory()?;
    let stop = Arc::new(Stop::default());
    let walk_cancel = Arc::new(AtomicBool::new(false));
    let source = open_source(engine, &request, (cancel, &walk_cancel)).await?;
    let mut target = Target::open(engine, &request.target, upload_memory, spawn_sender).await?;
    let options = PackOptions { memory: river_memory, ..request.options };
    let (to_sink, mut blocks) = mpsc::channel(AHEAD);
    let (ended, mut end) = oneshot::channel();
    let river_stop = stop.clone();
    let river = spawn("s3z-sequence", move || {
        let outcome = run_river(&*source, &mut Queue(to_sink), &options, (&river_stop, &progress));
        // Nobody listens only where nobody waits any more.
        let _ = ended.send(outcome);
    });
    if let Err(error) = river {
        target.abort().await;
        return Err(error);
    }
    let moved = move_blocks(&mut blocks, &mut target, cancel).await;
    if let Err(error) = moved {
        walk_cancel.store(true, SeqCst);
        stop.fail(error);
    }
    drop(blocks);
    let lost = |_| Err(Error::new(ErrorKind::Internal, "the threads of the archive are gone"));
    let packed = (&mut end).await.unwrap_or_else(lost);
    match packed {
        Ok(_) if cancel.is_set() => {
            target.abort().await;
            Err(Error::cancelled())
        }
        Ok(report) => Ok(Packed { stored: target.finish(cancel).await?, report }),
        Err(error) => {
            target.abort().await;
            Err(error)
        }
    }
}

/// How long the work takes without order and output, in seconds.
pub async fn measure(engine: &Engine, request: PackRequest, cancel: &Cancel) -> Result<f64> {
    let source = open_source(engine, &request, (cancel, &Arc::default())).await?;
    let (ended, end) = oneshot::channel();
    spawn("s3z-calibrate", move || drop(ended.send(calibrate(&*source, &request.options))))?;
    end.await.unwrap_or_else(|_| Err(Error::new(ErrorKind::Internal, "the threads of the archive are gone")))
}

async fn open_source(
    engine: &Engine,
    request: &PackRequest,
    (cancel, walk_cancel): (&Cancel, &Arc<AtomicBool>),
) -> Result<Arc<dyn Source>> {
    let filters = request.filters.clone();
    let keeps = (!filters.is_empty()).then(|| Box::new(move |name: &[u8]| filters.keeps(bare(name))) as Keeps);
    match &request.source {
        PackSource::Prefix { object, strip } => {
            let of = (object.clone(), *strip);
            let output = match &request.target {
                PackTarget::Object(put) if put.object.bucket == object.bucket => Some(put.object.key.clone()),
                _ => None,
            };
            Ok(Arc::new(PrefixSource::new(engine.clone(), of, (keeps, output), cancel.clone())))
        }
        PackSource::Local { roots, matched, follow_symlinks } => {
            let output = match &request.target {
                PackTarget::File(file) => Some(file.destination.clone()),
                _ => None,
            };
            let options = LocalOptions {
                roots: roots.clone(),
                matched: *matched,
                follow_symlinks: *follow_symlinks,
                xattrs: request.options.xattrs,
                keeps,
                output,
            };
            let cancel = walk_cancel.clone();
            let opened = engine.lanes.pick().call(move || LocalSource::open(options, &cancel)).await?;
            Ok(Arc::new(opened))
        }
    }
}

/// Filters know directories without their `/`.
fn bare(name: &[u8]) -> &[u8] {
    name.strip_suffix(b"/").unwrap_or(name)
}

async fn move_blocks(blocks: &mut mpsc::Receiver<Bytes>, target: &mut Target, cancel: &Cancel) -> Result<()> {
    loop {
        let block = tokio::select! {
            biased;
            () = cancel.cancelled() => return Err(Error::cancelled()),
            block = blocks.recv() => block,
        };
        let Some(block) = block else { return Ok(()) };
        tokio::select! {
            biased;
            () = cancel.cancelled() => return Err(Error::cancelled()),
            written = target.write(block) => written?,
        }
    }
}

/// The end that the threads write to.
struct Queue(mpsc::Sender<Bytes>);

impl Queue {
    fn send(&self, bytes: Bytes) -> Result<()> {
        self.0.blocking_send(bytes).map_err(|_| Error::cancelled())
    }
}

impl PackSink for Queue {
    fn write(&mut self, block: Block) -> Result<()> {
        self.send(Bytes::from_owner(block))
    }

    fn write_copied(&mut self, bytes: &[u8]) -> Result<()> {
        self.send(Bytes::copy_from_slice(bytes))
    }
}

enum Target {
    /// And what stops the requests of it.
    Stored(Sink, Cancel),
    Pipe(PipeWriter),
}

impl Target {
    async fn open(
        engine: &Engine,
        target: &PackTarget,
        memory: u64,
        spawn_sender: impl FnOnce(Sender),
    ) -> Result<Self> {
        match target {
            PackTarget::Object(put) => {
                let transfer = &engine.client.config().transfer;
                let own = TransferConfig { memory_limit: memory, ..transfer.clone() };
                let engine = Engine { scheduler: Arc::new(Scheduler::new(&own)), ..engine.clone() };
                // Its own switch: it ends when the threads have ended, and not before.
                let cancel = Cancel::default();
                let (writer, sender) = ObjectWriter::open(&engine, put.clone(), Arc::default(), cancel.clone())?;
                spawn_sender(sender);
                Ok(Self::Stored(Sink::Object(Box::new(writer)), cancel))
            }
            PackTarget::File(file) => {
                let writer = LocalWriter::open(engine, file.clone(), Arc::default()).await?;
                Ok(Self::Stored(Sink::File(Box::new(writer)), Cancel::default()))
            }
            PackTarget::Pipe(number, name) => Ok(Self::Pipe(cat::open(*number, name.clone()).await?)),
        }
    }

    async fn write(&mut self, bytes: Bytes) -> Result<()> {
        match self {
            Self::Stored(sink, _) => sink.write_copied(&bytes).await,
            Self::Pipe(pipe) => pipe.write(bytes).await,
        }
    }

    async fn finish(self, cancel: &Cancel) -> Result<Option<TransferReport>> {
        match self {
            Self::Stored(sink, own) => {
                let finish = sink.finish();
                tokio::pin!(finish);
                tokio::select! {
                    biased;
                    done = &mut finish => done.map(Some),
                    () = cancel.cancelled() => {
                        own.trigger();
                        finish.await.map(Some)
                    }
                }
            }
            Self::Pipe(pipe) => pipe.finish().await.map(|()| None),
        }
    }

    /// What failed before is what is told.
    async fn abort(self) {
        match self {
            Self::Stored(sink, cancel) => drop(sink.abort(&cancel).await),
            Self::Pipe(pipe) => pipe.stop().await,
        }
    }
}
