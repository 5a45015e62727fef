//! The positioned-write end of a download: buffers in, in any order; one published file out.
//!
//! A `FileWriter` owns the temp file and makes all its calls on I/O lanes: writes on two in turn, because direct
//! I/O from one thread leaves a disk waiting between two writes, everything else on the first. `write` never waits:
//! a buffer brings its permit along, and that bounds the queue. Direct I/O is used where wanted and possible; the first refusal
//! turns the whole file to buffered writes (F4). Invariant: `publish` happens after every queued write has
//! returned, only if none failed and only if the written intervals are exactly [0, size) (I11, I12).

use std::os::fd::AsFd;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst};
use std::sync::{Arc, Mutex, PoisonError, RwLock};

use rustix::fs::{FallocateFlags, OFlags};
use rustix::io::Errno;
use tokio::sync::Notify;

use crate::config::DirectIo;
use crate::error::{Error, ErrorKind, Result};
use crate::progress::Progress;
use crate::transfer::buffers::{ALIGNMENT, Buffer};
use crate::transfer::destination::Destination;
use crate::transfer::lanes::{Lane, Lanes};
use crate::transfer::part::Coverage;
use crate::transfer::temp_file::{Publish, TempFile};

pub struct FileWriter {
    shared: Arc<Shared>,
    lanes: Vec<Lane>,
    turn: AtomicUsize,
}

/// Lanes that write one file. Measured (docs/decisions): a second one shortens a 2 GiB download by a quarter, more
/// bring nothing.
const LANES_PER_FILE: usize = 2;

struct Shared {
    /// `None` once published or discarded.
    temp: RwLock<Option<TempFile>>,
    /// `None`: the end of the body will tell.
    size: Option<u64>,
    direct: AtomicBool,
    direct_is_a_must: bool,
    coverage: Mutex<Coverage>,
    /// The first failure, until somebody takes it.
    failure: Mutex<Option<Error>>,
    failed: AtomicBool,
    failure_came: Notify,
    queued: AtomicUsize,
    progress: Arc<Progress>,
}

/// A plan of writing: how long the file will be, if that is known, and whether direct I/O is wanted for it.
pub struct WriterConfig {
    pub size: Option<u64>,
    pub direct: DirectIo,
    /// Whether every write but the last begins and ends on an `ALIGNMENT` border.
    pub aligned: bool,
    pub direct_threshold: u64,
}

impl FileWriter {
    /// Creates the temp file beside `destination` and gives it its full size (F3).
    pub async fn create(
        lanes: &Lanes,
        destination: Destination,
        config: WriterConfig,
        progress: Arc<Progress>,
    ) -> Result<Self> {
        let lanes = lanes.pick_some(LANES_PER_FILE);
        let shared = lanes[0].call(move || Shared::create(destination, &config, progress)).await?;
        Ok(Self { shared: Arc::new(shared), lanes, turn: AtomicUsize::new(0) })
    }

    /// Queues the buffer's bytes for `offset`. A failure shows in `failed` and in `publish`.
    pub fn write(&self, offset: u64, buffer: Buffer) {
        let shared = self.shared.clone();
        shared.queued.fetch_add(1, SeqCst);
        let turn = self.turn.fetch_add(1, SeqCst);
        self.lanes[turn % self.lanes.len()].post(move || shared.write_buffer(offset, buffer));
    }

    /// Buffers on their way to the disk.
    pub fn queued(&self) -> usize {
        self.shared.queued.load(SeqCst)
    }

    /// Returns when a write has failed, with what went wrong; otherwise never.
    pub async fn failed(&self) -> Error {
        loop {
            let came = self.shared.failure_came.notified();
            tokio::pin!(came);
            came.as_mut().enable();
            if self.shared.failed.load(SeqCst) {
                return self.shared.take_failure();
            }
            came.await;
        }
    }

    /// Waits for every write, checks that they cover exactly `size` bytes, and gives the file its name.
    pub async fn publish(&self, size: u64, how: Publish) -> Result<()> {
        self.drain().await?;
        let shared = self.shared.clone();
        self.lanes[0].call(move || shared.publish(size, how)).await
    }

    /// Waits for every write and removes the temp file.
    pub async fn discard(&self) {
        let _ = self.drain().await;
        let shared = self.shared.clone();
        let remove = move || {
            drop(write_lock(&shared.temp).take());
            Ok(())
        };
        let _ = self.lanes[0].call(remove).await;
    }

    /// Returns when every write posted before has returned: lanes keep the order of their jobs (I11).
    async fn drain(&self) -> Result<()> {
        for lane in &self.lanes {
            lane.call(|| Ok(())).await?;
        }
        Ok(())
    }
}

impl Shared {
    fn create(destination: Destination, config: &WriterConfig, progress: Arc<Progress>) -> Result<Self> {
        let temp = TempFile::create(destination)?;
        preallocate(&temp, config.size.unwrap_or(0))?;
        let wanted = match config.direct {
            DirectIo::Off => false,
            DirectIo::On => true,
            DirectIo::Auto => config.aligned && config.size.is_some_and(|size| size >= config.direct_threshold),
        };
        let direct_is_a_must = config.direct == DirectIo::On;
        if direct_is_a_must && !config.aligned {
            let text = format!("direct_io needs a part_size that is a multiple of {ALIGNMENT} bytes");
            return Err(Error::config(text));
        }
        let direct = wanted && set_direct(&temp, true).is_ok();
        if direct_is_a_must && !direct {
            return Err(no_direct_io(&temp));
        }
        Ok(Self {
            temp: RwLock::new(Some(temp)),
            size: config.size,
            direct: AtomicBool::new(direct),
            direct_is_a_must,
            coverage: Mutex::default(),
            failure: Mutex::default(),
            failed: AtomicBool::new(false),
            failure_came: Notify::new(),
            queued: AtomicUsize::new(0),
            progress,
        })
    }

    /// One job of the lane. After a failure the rest is dropped unwritten.
    fn write_buffer(&self, offset: u64, mut buffer: Buffer) {
        if !self.failed.load(SeqCst)
            && let Err(error) = self.try_write(offset, &mut buffer)
        {
            lock(&self.failure).get_or_insert(error);
            self.failed.store(true, SeqCst);
            self.failure_came.notify_waiters();
        }
        self.queued.fetch_sub(1, SeqCst);
    }

    fn try_write(&self, offset: u64, buffer: &mut Buffer) -> Result<()> {
        let end = offset + buffer.len() as u64;
        if self.size.is_some_and(|size| end > size) {
            return Err(Error::new(ErrorKind::Internal, "a write past the end of the file was refused"));
        }
        let temp = self.temp.read().unwrap_or_else(PoisonError::into_inner);
        let temp = temp.as_ref().ok_or_else(|| Error::new(ErrorKind::Internal, "a write after publishing"))?;
        if !(self.direct.load(SeqCst) && self.write_direct(temp, offset, buffer)?) {
            write_all(temp, buffer, offset).map_err(|errno| Error::local_errno(temp.path(), errno))?;
        }
        lock(&self.coverage).add(offset..end);
        self.progress.add_durable(buffer.len() as u64);
        Ok(())
    }

    /// False if the file system does not take it: the whole file goes on buffered (F4).
    fn write_direct(&self, temp: &TempFile, offset: u64, buffer: &mut Buffer) -> Result<bool> {
        if offset.is_multiple_of(ALIGNMENT as u64) {
            match write_all(temp, buffer.padded(), offset) {
                Ok(()) => return Ok(true),
                Err(Errno::INVAL | Errno::OPNOTSUPP) if self.direct_is_a_must => return Err(no_direct_io(temp)),
                Err(Errno::INVAL | Errno::OPNOTSUPP) => {}
                Err(errno) => return Err(Error::local_errno(temp.path(), errno)),
            }
        }
        set_direct(temp, false).map_err(|errno| Error::local_errno(temp.path(), errno))?;
        self.direct.store(false, SeqCst);
        Ok(false)
    }

    fn publish(&self, size: u64, how: Publish) -> Result<()> {
        if self.failed.load(SeqCst) {
            return Err(self.take_failure());
        }
        let mut slot = write_lock(&self.temp);
        let temp = slot.as_mut().ok_or_else(|| Error::new(ErrorKind::Internal, "published twice"))?;
        let coverage = lock(&self.coverage);
        if !coverage.is_complete(size) || self.size.is_some_and(|planned| planned != size) {
            let text = format!("{} bytes were written where the object has {size}", coverage.bytes());
            return Err(Error::integrity(text));
        }
        let fail = |errno| Error::local_errno(temp.path(), errno);
        // Cuts the padding of a direct tail.
        rustix::fs::ftruncate(&*temp, size).map_err(fail)?;
        let length = rustix::fs::fstat(&*temp).map_err(fail)?.st_size;
        if u64::try_from(length) != Ok(size) {
            return Err(Error::integrity(format!("the file is {length} bytes long instead of {size}")));
        }
        temp.publish(how)?;
        *slot = None;
        Ok(())
    }

    fn take_failure(&self) -> Error {
        let again = || Error::new(ErrorKind::Internal, "an earlier write failed");
        lock(&self.failure).take().unwrap_or_else(again)
    }
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    // A panic in a job leaves plain data behind; the transfer it belonged to fails anyway.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

fn write_lock<T>(lock: &RwLock<T>) -> std::sync::RwLockWriteGuard<'_, T> {
    lock.write().unwrap_or_else(PoisonError::into_inner)
}

fn no_direct_io(temp: &TempFile) -> Error {
    Error::config(format!(
        "direct_io is \"on\", but the file system of \"{}\" does not take it; use \"auto\"",
        temp.path().display()
    ))
}

/// Full size at once, so that a full disk shows before bytes are fetched for it (F3). Zero needs nothing.
fn preallocate(temp: &TempFile, size: u64) -> Result<()> {
    if size == 0 {
        return Ok(());
    }
    let done = loop {
        match rustix::fs::fallocate(temp, FallocateFlags::empty(), 0, size) {
            Err(Errno::INTR) => {}
            Err(Errno::OPNOTSUPP | Errno::NOSYS | Errno::INVAL) => break rustix::fs::ftruncate(temp, size),
            done => break done,
        }
    };
    done.map_err(|errno| Error::local_errno(temp.path(), errno))
}

fn set_direct(temp: &TempFile, on: bool) -> rustix::io::Result<()> {
    let mut flags = rustix::fs::fcntl_getfl(temp)?;
    flags.set(OFlags::DIRECT, on);
    rustix::fs::fcntl_setfl(temp, flags)
}

/// Writes all of it, over short counts, EINTR and EAGAIN.
fn write_all(file: impl AsFd, mut bytes: &[u8], mut offset: u64) -> rustix::io::Result<()> {
    while !bytes.is_empty() {
        match rustix::io::pwrite(&file, bytes, offset) {
            Ok(0) => return Err(Errno::IO),
            Ok(written) => {
                bytes = &bytes[written..];
                offset += written as u64;
            }
            Err(Errno::INTR) => {}
            Err(Errno::AGAIN) => std::thread::yield_now(),
            Err(errno) => return Err(errno),
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::BUFFER_SIZE;
    use crate::transfer::buffers::Pool;
    use proptest::prelude::*;
    use std::path::Path;

    const PLAIN: Publish = Publish { overwrite: true, durable: false, mtime: None };

    async fn writer(path: &Path, size: u64, direct: DirectIo) -> Result<FileWriter> {
        let config = WriterConfig { size: Some(size), direct, aligned: true, direct_threshold: 0 };
        let destination = Destination::prepare(path, true)?;
        FileWriter::create(&Lanes::start()?, destination, config, Arc::default()).await
    }

    fn buffer(pool: &Arc<Pool>, bytes: &[u8]) -> Buffer {
        let mut buffer = Buffer::take(pool, None);
        assert_eq!(buffer.extend(bytes), bytes.len());
        buffer
    }

    fn count(directory: &Path) -> usize {
        std::fs::read_dir(directory).unwrap().count()
    }

    #[tokio::test]
    async fn parts_in_any_order_make_the_file() {
        let dir = tempfile::tempdir().unwrap();
        let pool = Arc::new(Pool::default());
        for direct in [DirectIo::Auto, DirectIo::Off] {
            let path = dir.path().join("file");
            let content: Vec<u8> = (0..3 * BUFFER_SIZE + 77).map(|at| (at % 251) as u8).collect();
            let writer = writer(&path, content.len() as u64, direct).await.unwrap();
            let mut pieces: Vec<_> = content.chunks(BUFFER_SIZE).enumerate().collect();
            pieces.reverse();
            for (index, piece) in pieces {
                writer.write((index * BUFFER_SIZE) as u64, buffer(&pool, piece));
            }
            writer.publish(content.len() as u64, PLAIN).await.unwrap();
            assert_eq!(std::fs::read(&path).unwrap(), content);
            assert_eq!(count(dir.path()), 1);
        }
    }

    #[tokio::test]
    async fn a_hole_is_never_published() {
        let dir = tempfile::tempdir().unwrap();
        let pool = Arc::new(Pool::default());
        let writer = writer(&dir.path().join("file"), 8192, DirectIo::Off).await.unwrap();
        writer.write(4096, buffer(&pool, &[1; 4096]));
        // The same bytes twice make the sum of lengths right and the coverage wrong.
        writer.write(4096, buffer(&pool, &[1; 4096]));
        let error = writer.publish(8192, PLAIN).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Integrity);
        writer.discard().await;
        assert_eq!(count(dir.path()), 0);
    }

    #[tokio::test]
    async fn nothing_is_written_past_the_end() {
        let dir = tempfile::tempdir().unwrap();
        let pool = Arc::new(Pool::default());
        let writer = writer(&dir.path().join("file"), 10, DirectIo::Off).await.unwrap();
        writer.write(5, buffer(&pool, &[1; 6]));
        assert_eq!(writer.failed().await.kind(), ErrorKind::Internal);
        assert!(writer.publish(10, PLAIN).await.is_err());
    }

    #[tokio::test]
    async fn an_empty_file_is_published() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("file");
        writer(&path, 0, DirectIo::Auto).await.unwrap().publish(0, PLAIN).await.unwrap();
        assert_eq!(std::fs::read(&path).unwrap(), b"");
    }

    #[tokio::test]
    async fn an_unaligned_offset_turns_the_file_to_buffered() {
        let dir = tempfile::tempdir().unwrap();
        let pool = Arc::new(Pool::default());
        let path = dir.path().join("file");
        let writer = writer(&path, 9000, DirectIo::Auto).await.unwrap();
        writer.write(0, buffer(&pool, &[1; 4500]));
        writer.write(4500, buffer(&pool, &[2; 4500]));
        writer.publish(9000, PLAIN).await.unwrap();
        assert_eq!(std::fs::read(&path).unwrap(), [vec![1u8; 4500], vec![2u8; 4500]].concat());
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(24))]
        #[test]
        fn equals_a_byte_model(cuts in proptest::collection::btree_set(1u64..40_000, 0..12), size in 1u64..40_000, direct: bool, seed: u64) {
            let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
            let dir = tempfile::tempdir().unwrap();
            let path = dir.path().join("file");
            let content: Vec<u8> = (0..size).map(|at| (at.wrapping_mul(seed | 1) >> 3) as u8).collect();
            let mut borders: Vec<u64> = cuts.into_iter().filter(|cut| *cut < size).collect();
            borders.insert(0, 0);
            borders.push(size);
            let mut pieces: Vec<_> = borders.windows(2).map(|pair| pair[0]..pair[1]).collect();
            let turn = seed as usize % pieces.len();
            pieces.rotate_left(turn);
            runtime.block_on(async {
                let direct = if direct { DirectIo::Auto } else { DirectIo::Off };
                let writer = writer(&path, size, direct).await.unwrap();
                let pool = Arc::new(Pool::default());
                for piece in pieces {
                    writer.write(piece.start, buffer(&pool, &content[piece.start as usize..piece.end as usize]));
                }
                writer.publish(size, PLAIN).await.unwrap();
            });
            prop_assert_eq!(std::fs::read(&path).unwrap(), content);
        }
    }
}
