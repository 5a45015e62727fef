//! The in-order end of a download into a FIFO or character device: bytes in, in order; nothing to take back.
//!
//! A reader may be slow, stop reading or never come, so all waiting is done on a thread of this writer's own, in slices
//! of at most `SLICE`, and each slice looks whether the writer is still wanted. One write is under way at a time, and
//! completes when all its bytes are in the pipe. After a failure nothing more is written: what came later would stand in
//! the wrong place.

use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::SeqCst};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use bytes::Bytes;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;

use crate::error::{Error, ErrorKind, Result};
use crate::transfer::descriptor::{PATIENCE, close, is_shortage};
use crate::transfer::lanes::Lane;
use crate::transfer::stream_target::StreamTarget;

/// How long it may take until a writer that waits notices that it is not wanted any more.
const SLICE: Duration = Duration::from_millis(50);

/// Between two looks for a reader, and at a device that neither takes bytes nor says when it will.
const PAUSE: Duration = Duration::from_millis(10);

/// Most bytes of one call, so that even a device that takes all of them is soon asked no more.
const MAX_WRITE: usize = 1 << 20;

/// How long `stop` waits for a call that does not return: a device may ignore that it should not block.
const STOP_LIMIT: Duration = Duration::from_millis(200);

#[derive(Debug)]
pub struct PipeWriter {
    lane: Lane,
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    path: PathBuf,
    stopped: AtomicBool,
    written: AtomicU64,
    /// Empty until it is open, and once it is closed or has failed.
    pipe: Mutex<Option<OwnedFd>>,
}

impl Drop for PipeWriter {
    fn drop(&mut self) {
        self.shared.stopped.store(true, SeqCst);
    }
}

impl PipeWriter {
    /// Opens it, which for a FIFO waits until somebody reads. Dropping the future ends the waiting.
    pub async fn open(target: StreamTarget) -> Result<Self> {
        let shared = Arc::new(Shared {
            path: target.path().to_owned(),
            stopped: AtomicBool::new(false),
            written: AtomicU64::new(0),
            pipe: Mutex::default(),
        });
        let writer = Self { lane: Lane::start("s3z-pipe")?, shared };
        let shared = writer.shared.clone();
        writer.lane.call(move || shared.open(target)).await?;
        Ok(writer)
    }

    pub fn path(&self) -> &Path {
        &self.shared.path
    }

    /// Writes all of it behind what was written before. A write that is not waited for goes on; only dropping or
    /// stopping the writer ends it.
    pub async fn write(&self, bytes: Bytes) -> Result<()> {
        let shared = self.shared.clone();
        self.lane.call(move || shared.write(&bytes)).await
    }

    /// Bytes that are out and cannot be taken back.
    pub fn written(&self) -> u64 {
        self.shared.written.load(SeqCst)
    }

    /// Closes it, after every write. That can fail too.
    pub async fn finish(self) -> Result<()> {
        let shared = self.shared.clone();
        self.lane.call(move || shared.close()).await
    }

    /// Ends what is under way; when it returns, nothing more is written.
    pub async fn stop(&self) {
        self.shared.stopped.store(true, SeqCst);
        let shared = self.shared.clone();
        let done = self.lane.call(move || {
            shared.take();
            Ok(())
        });
        let _ = tokio::time::timeout(STOP_LIMIT, done).await;
    }
}

impl Shared {
    fn open(&self, mut target: StreamTarget) -> Result<()> {
        let mut short_since = None;
        loop {
            self.check_wanted()?;
            match target.open() {
                Ok(Some(opened)) => {
                    *self.lock() = Some(opened);
                    return Ok(());
                }
                Ok(None) => short_since = None,
                Err(error) if is_shortage(&error) => {
                    if short_since.get_or_insert_with(Instant::now).elapsed() > PATIENCE {
                        return Err(error);
                    }
                }
                Err(error) => return Err(error),
            }
            std::thread::sleep(PAUSE);
        }
    }

    fn write(&self, bytes: &[u8]) -> Result<()> {
        let gone = || Error::new(ErrorKind::Internal, "the pipe is closed, or an earlier write to it failed");
        let pipe = self.take().ok_or_else(gone)?;
        self.write_all(&pipe, bytes)?;
        *self.lock() = Some(pipe);
        Ok(())
    }

    fn write_all(&self, pipe: &OwnedFd, mut bytes: &[u8]) -> Result<()> {
        let mut was_ready = false;
        while !bytes.is_empty() {
            self.check_wanted()?;
            match rustix::io::write(pipe, &bytes[..bytes.len().min(MAX_WRITE)]) {
                Ok(0) => return Err(self.fail(Errno::IO)),
                Ok(count) => {
                    bytes = &bytes[count..];
                    self.written.fetch_add(count as u64, SeqCst);
                    was_ready = false;
                }
                Err(Errno::INTR) => {}
                Err(Errno::AGAIN) => {
                    if was_ready {
                        // It said so and took nothing: another writer was faster, or it cannot tell.
                        std::thread::sleep(PAUSE);
                    }
                    was_ready = wait_writable(pipe).map_err(|errno| self.fail(errno))?;
                }
                Err(errno) => return Err(self.fail(errno)),
            }
        }
        Ok(())
    }

    fn close(&self) -> Result<()> {
        self.check_wanted()?;
        let pipe = self.take().ok_or_else(|| Error::new(ErrorKind::Internal, "an earlier write to the pipe failed"))?;
        close(pipe).map_err(|errno| self.fail(errno))
    }

    fn check_wanted(&self) -> Result<()> {
        if self.stopped.load(SeqCst) { Err(Error::cancelled()) } else { Ok(()) }
    }

    fn take(&self) -> Option<OwnedFd> {
        self.lock().take()
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Option<OwnedFd>> {
        self.pipe.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn fail(&self, errno: Errno) -> Error {
        Error::local_errno(&self.path, errno)
    }
}

/// Waits for one slice at most; whether it is ready. Whatever else happens to the pipe shows at the next write.
fn wait_writable(pipe: &OwnedFd) -> rustix::io::Result<bool> {
    let mut polled = [PollFd::new(pipe, PollFlags::OUT)];
    let slice = Timespec { tv_sec: 0, tv_nsec: SLICE.subsec_nanos().into() };
    match poll(&mut polled, Some(&slice)) {
        Err(Errno::INTR) => Ok(false),
        done => done.map(|ready| ready > 0),
    }
}
