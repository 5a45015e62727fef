//! An object from a pipe: what a descriptor gives, until its end (cli.md, `pipe`).
//!
//! The descriptor is read on a thread of its own, since nobody knows how long a producer will be silent; every wait there is a
//! slice, after which it looks whether it is still wanted. Blocks are read into and sent without a copy.

use std::os::fd::{AsFd, OwnedFd};
use std::path::PathBuf;
use std::sync::Arc;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;
use tokio::sync::mpsc;

use crate::config::BUFFER_SIZE;
use crate::descriptor::enlarge;
use crate::error::{Error, ErrorKind, Result};
use crate::ops::engine::{Engine, unless_cancelled};
use crate::ops::put::{ObjectWriter, PutRequest};
use crate::ops::report::TransferReport;
use crate::progress::{Cancel, Progress};
use crate::transfer::buffers::Buffer;
use crate::transfer::lanes::Lane;

/// A silent producer is asked so often whether it has anything to say.
const SLICE: Timespec = Timespec { tv_sec: 0, tv_nsec: 50_000_000 };

/// Blocks that are read while the one before them is taken.
const AHEAD: usize = 2;

pub struct PipeRequest {
    pub source: OwnedFd,
    /// What errors call it.
    pub name: PathBuf,
    pub put: PutRequest,
}

/// Reads to the end and stores what came. `spawn` runs the end that speaks to the store.
pub async fn pipe(
    engine: &Engine,
    request: PipeRequest,
    progress: Arc<Progress>,
    cancel: &Cancel,
    spawn: impl FnOnce(crate::ops::put::Sender),
) -> Result<TransferReport> {
    let PipeRequest { source, name, put } = request;
    let (mut writer, sender) = ObjectWriter::open(engine, put, progress, cancel.clone())?;
    spawn(sender);
    let source = Arc::new(Source { descriptor: source, name, cancel: cancel.clone() });
    let lane = Lane::start("s3z-stdin")?;
    match unless_cancelled(cancel, pump(&mut writer, &source, &lane)).await {
        Ok(()) => writer.finish().await,
        Err(error) => {
            cancel.trigger();
            match writer.abort().await {
                Err(left) => Err(error.with_upload_id(left.upload_id().unwrap_or_default())),
                Ok(()) => Err(error),
            }
        }
    }
}

async fn pump(writer: &mut ObjectWriter, source: &Arc<Source>, lane: &Lane) -> Result<()> {
    enlarge(&source.descriptor);
    let (empty, to_fill) = crossbeam_channel::unbounded();
    let (full, mut filled) = mpsc::unbounded_channel();
    for _ in 0..AHEAD {
        let _ = empty.send(writer.block()?);
    }
    let reader = source.clone();
    // It ends with its input, with the first failure, or when nobody gives it blocks any more.
    lane.post(move || {
        while let Ok(block) = to_fill.recv() {
            let read = reader.fill(block);
            let goes_on = matches!(read, Ok((_, false)));
            if full.send(read).is_err() || !goes_on {
                return;
            }
        }
    });
    while let Some(read) = filled.recv().await {
        let (block, at_end) = read?;
        if !at_end {
            let _ = empty.send(writer.block()?);
        }
        writer.write_block(block).await?;
        if at_end {
            return Ok(());
        }
    }
    Err(Error::new(ErrorKind::Internal, "the thread that reads the input is gone"))
}

struct Source {
    descriptor: OwnedFd,
    name: PathBuf,
    cancel: Cancel,
}

impl Source {
    /// Fills the block; less at the end, or when the producer pauses. Whether the end has come.
    fn fill(&self, mut block: Buffer) -> Result<(Buffer, bool)> {
        let mut filled = 0;
        while filled < BUFFER_SIZE {
            if !self.wait(filled == 0)? {
                break;
            }
            match rustix::io::read(self.descriptor.as_fd(), &mut block.whole()[filled..]) {
                Ok(0) => {
                    block.set_len(filled);
                    return Ok((block, true));
                }
                Ok(read) => filled += read,
                Err(Errno::INTR | Errno::AGAIN) => {}
                Err(errno) => return Err(Error::local_errno(&self.name, errno)),
            }
        }
        block.set_len(filled);
        Ok((block, false))
    }

    /// Returns when a read would not wait; or, unless it is to be `patient`, after a slice, with false. A file and a device
    /// that cannot be polled are always ready.
    fn wait(&self, patient: bool) -> Result<bool> {
        loop {
            if self.cancel.is_set() {
                return Err(Error::cancelled());
            }
            match poll(&mut [PollFd::new(&self.descriptor, PollFlags::IN)], Some(&SLICE)) {
                Ok(0) if !patient => return Ok(false),
                Ok(0) | Err(Errno::INTR) => {}
                Ok(_) => return Ok(true),
                Err(errno) => return Err(Error::local_errno(&self.name, errno)),
            }
        }
    }
}
