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

use crate::descriptor::{PATIENCE, close, is_shortage};
use crate::error::{Error, ErrorKind, Result};
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
    /// Whether the last byte is a newline, or there is none.
    ends_line: AtomicBool,
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
        let path = target.path().to_owned();
        Self::open_as(target, path).await
    }

    /// The same, called `path` in errors.
    pub async fn open_as(target: StreamTarget, path: PathBuf) -> Result<Self> {
        let writer = Self { lane: Lane::start("s3z-pipe")?, shared: Arc::new(Shared::new(path, None)) };
        let shared = writer.shared.clone();
        writer.lane.call(move || shared.open(target)).await?;
        Ok(writer)
    }

    /// On a descriptor as it is: a socket, which has no name to be opened by.
    pub fn on(descriptor: OwnedFd, path: PathBuf) -> Result<Self> {
        Ok(Self { lane: Lane::start("s3z-pipe")?, shared: Arc::new(Shared::new(path, Some(descriptor))) })
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

    /// The same with several in a row, in one go.
    pub async fn write_row(&self, row: Vec<Bytes>) -> Result<()> {
        let shared = self.shared.clone();
        self.lane.call(move || row.iter().try_for_each(|bytes| shared.write(bytes))).await
    }

    /// Bytes that are out and cannot be taken back.
    pub fn written(&self) -> u64 {
        self.shared.written.load(SeqCst)
    }

    /// Whether what is written next begins a line: nothing was written, or a newline last.
    pub fn ends_line(&self) -> bool {
        self.shared.ends_line.load(SeqCst)
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
    fn new(path: PathBuf, pipe: Option<OwnedFd>) -> Self {
        let (stopped, ends_line) = (AtomicBool::new(false), AtomicBool::new(true));
        Self { path, stopped, written: AtomicU64::new(0), ends_line, pipe: Mutex::new(pipe) }
    }

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
        self.check_wanted()?;
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
                    self.ends_line.store(bytes[count - 1] == b'\n', SeqCst);
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::transfer::destination::Target;
    use rustix::fs::{CWD, Mode, OFlags};
    use std::fs::{self, File};
    use std::io::Read;
    use std::os::fd::{AsFd, AsRawFd};
    use std::sync::Weak;

    /// Far above what anything here takes, far below for ever.
    const LONG: Duration = Duration::from_secs(30);

    fn fifo(dir: &tempfile::TempDir) -> PathBuf {
        let path = dir.path().join("fifo");
        rustix::fs::mkfifoat(CWD, &path, Mode::from_raw_mode(0o600)).unwrap();
        path
    }

    fn stream(path: impl AsRef<Path>) -> StreamTarget {
        match Target::prepare(path.as_ref(), true).unwrap() {
            Target::Stream(stream) => stream,
            Target::File(file) => panic!("{file:?} is no stream"),
        }
    }

    async fn open(path: impl AsRef<Path>) -> PipeWriter {
        PipeWriter::open(stream(path)).await.unwrap()
    }

    fn path_of(fd: &impl AsRawFd) -> String {
        format!("/proc/self/fd/{}", fd.as_raw_fd())
    }

    fn errno(error: &Error) -> Option<Errno> {
        error.errno().map(Errno::from_raw_os_error)
    }

    fn pattern(len: usize) -> Bytes {
        (0..len).map(|at| (at % 251) as u8).collect()
    }

    /// Waits until the writer's thread has let go of everything.
    async fn gone(shared: Weak<Shared>) {
        let wait = async {
            while shared.strong_count() > 0 {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        };
        tokio::time::timeout(LONG, wait).await.expect("the writer's thread does not end");
    }

    /// F10.
    #[tokio::test]
    async fn bytes_come_out_in_order_and_end() {
        let dir = tempfile::tempdir().unwrap();
        let path = fifo(&dir);
        let reader = std::thread::spawn({
            let path = path.clone();
            move || {
                let mut all = Vec::new();
                let mut pipe = File::open(path).unwrap();
                let mut piece = [0; 3001];
                while let count @ 1.. = pipe.read(&mut piece).unwrap() {
                    all.extend_from_slice(&piece[..count]);
                }
                all
            }
        });
        let content = pattern((1 << 20) + 77);
        let writer = open(&path).await;
        assert_eq!(writer.path(), path);
        for (start, end) in [(0, 0), (0, 1), (1, 70_000), (70_000, content.len())] {
            writer.write(content.slice(start..end)).await.unwrap();
            assert_eq!(writer.written(), end as u64);
        }
        writer.finish().await.unwrap();
        assert_eq!(reader.join().unwrap(), content);
        assert!(fs::symlink_metadata(&path).is_ok(), "the FIFO stays");
    }

    /// A write that is not waited for keeps its place.
    #[tokio::test]
    async fn abandoned_writes_keep_their_order() {
        let (mut reader, pipe) = std::io::pipe().unwrap();
        let writer = open(path_of(&pipe)).await;
        drop(pipe);
        for byte in 0..50u8 {
            let write = writer.write(Bytes::from(vec![byte; 3000]));
            let _ = tokio::time::timeout(Duration::from_nanos(1), write).await;
        }
        let reader = std::thread::spawn(move || {
            let mut all = Vec::new();
            reader.read_to_end(&mut all).unwrap();
            all
        });
        writer.finish().await.unwrap();
        assert_eq!(reader.join().unwrap(), (0..50).flat_map(|byte| vec![byte; 3000]).collect::<Vec<u8>>());
    }

    /// A FIFO nobody reads is waited for, and a transfer that is not wanted any more does not wait.
    #[tokio::test]
    async fn waits_for_a_reader_until_it_is_dropped() {
        let dir = tempfile::tempdir().unwrap();
        let path = fifo(&dir);
        let mut waiting = Box::pin(PipeWriter::open(stream(&path)));
        assert!(tokio::time::timeout(Duration::from_millis(100), &mut waiting).await.is_err());
        drop(waiting);
        // Had the thread gone on waiting, this reader would now let it open the FIFO, and hold it open.
        let flags = OFlags::RDONLY | OFlags::NONBLOCK;
        let reader = rustix::fs::open(&path, flags, Mode::empty()).unwrap();
        tokio::time::sleep(10 * PAUSE).await;
        assert_eq!(rustix::io::read(&reader, &mut [0; 1]).unwrap(), 0, "nobody writes");
        let writer = open(&path).await;
        writer.write(Bytes::from_static(b"x")).await.unwrap();
        assert_eq!(rustix::io::read(&reader, &mut [0; 9]).unwrap(), 1);
    }

    /// Promise 9: a reader that never reads holds up neither stop nor drop, and gets nothing more afterwards.
    #[tokio::test]
    async fn a_reader_that_never_reads_holds_nothing_up() {
        for stops in [true, false] {
            tokio::time::timeout(LONG, never_read(stops)).await.expect("the writer is held up");
        }
    }

    async fn never_read(stops: bool) {
        let (reader, pipe) = std::io::pipe().unwrap();
        let writer = open(path_of(&pipe)).await;
        drop(pipe);
        let shared = Arc::downgrade(&writer.shared);
        let write = writer.write(pattern(4 << 20));
        assert!(tokio::time::timeout(Duration::from_millis(100), write).await.is_err());
        let written = writer.written();
        assert!((4096..4 << 20).contains(&written), "{written}: what fits into the pipe");
        if stops {
            writer.stop().await;
            assert!(writer.shared.lock().is_none(), "closed when stop returns");
            assert_eq!(writer.written(), written);
            let error = writer.write(Bytes::from_static(b"x")).await.unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Cancelled);
            assert_eq!(writer.finish().await.unwrap_err().kind(), ErrorKind::Cancelled);
        } else {
            drop(writer);
        }
        gone(shared).await;
        let mut all = Vec::new();
        File::from(OwnedFd::from(reader)).read_to_end(&mut all).unwrap();
        assert_eq!(all.len() as u64, written);
    }

    /// F10: the errno is that of a broken pipe; what came later is not written in the wrong place.
    #[tokio::test]
    async fn a_reader_that_leaves_breaks_the_pipe() {
        let (mut reader, pipe) = std::io::pipe().unwrap();
        let writer = open(path_of(&pipe)).await;
        drop(pipe);
        writer.write(Bytes::from_static(b"hello")).await.unwrap();
        reader.read_exact(&mut [0; 5]).unwrap();
        let blocked = writer.write(pattern(4 << 20));
        let leaves = async {
            tokio::time::sleep(Duration::from_millis(100)).await;
            drop(reader);
        };
        let (error, ()) = tokio::join!(blocked, leaves);
        assert_eq!(errno(&error.unwrap_err()), Some(Errno::PIPE));
        assert!(writer.written() > 5);
        assert_eq!(writer.write(Bytes::from_static(b"x")).await.unwrap_err().kind(), ErrorKind::Internal);
        assert!(writer.finish().await.is_err());
    }

    /// #63.
    #[tokio::test]
    async fn devices_take_or_refuse_as_they_do() {
        let writer = open("/dev/null").await;
        writer.write(pattern(3 << 20)).await.unwrap();
        assert_eq!(writer.written(), 3 << 20);
        writer.finish().await.unwrap();
        let writer = open("/dev/full").await;
        let error = writer.write(pattern(10)).await.unwrap_err();
        assert_eq!((errno(&error), error.path()), (Some(Errno::NOSPC), Some(Path::new("/dev/full"))));
        assert_eq!(writer.written(), 0);
    }

    /// A terminal that is held (Ctrl-S) holds up nothing, and its owner's flags stay as they are.
    #[tokio::test]
    async fn a_held_terminal_can_be_left() {
        use rustix::pty::{OpenptFlags, openpt, ptsname, unlockpt};
        let terminal = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY).unwrap();
        unlockpt(&terminal).unwrap();
        let name = ptsname(&terminal, Vec::new()).unwrap().into_string().unwrap();
        let user = File::options().read(true).write(true).open(&name).unwrap();
        let writer = open(path_of(&user)).await;
        let shared = Arc::downgrade(&writer.shared);
        writer.write(Bytes::from_static(b"hello")).await.unwrap();
        let mut seen = [0; 5];
        assert_eq!(rustix::io::read(&terminal, &mut seen).unwrap(), 5);
        assert_eq!(&seen, b"hello");
        let write = writer.write(pattern(4 << 20));
        assert!(tokio::time::timeout(Duration::from_millis(100), write).await.is_err());
        assert!(!rustix::fs::fcntl_getfl(user.as_fd()).unwrap().contains(OFlags::NONBLOCK));
        writer.stop().await;
        drop(writer);
        gone(shared).await;
    }
}
