//! The positioned-read end of an upload: parts of one file, in any order, into recycled buffers.
//!
//! The file is opened once and must stay what it was: device, inode, size and mtime are compared before and
//! after, by descriptor and by path (U7). Reads go through the page cache, on an I/O lane. A read that ends
//! before the part does means that the file shrank, and is an error.

use std::fs::File;
use std::ops::Range;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

use rustix::fs::OFlags;
use rustix::io::Errno;

use crate::config::BUFFER_SIZE;
use crate::error::{Error, Result};
use crate::transfer::buffers::Buffer;
use crate::transfer::destination::not_a_file;
use crate::transfer::lanes::{Lane, Lanes};

pub struct FileReader {
    source: Arc<Source>,
    lanes: Vec<Lane>,
    turn: AtomicUsize,
}

/// Lanes that read one file: a copy out of the page cache and a checksum keep one processor busy.
const LANES_PER_FILE: usize = 2;

struct Source {
    file: Arc<File>,
    path: PathBuf,
    identity: Identity,
}

/// What a file is recognised by.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Identity {
    device: u64,
    inode: u64,
    pub size: u64,
    mtime: (i64, i64),
}

impl Identity {
    fn of(metadata: &std::fs::Metadata) -> Self {
        Self {
            device: metadata.dev(),
            inode: metadata.ino(),
            size: metadata.size(),
            mtime: (metadata.mtime(), metadata.mtime_nsec()),
        }
    }

    /// Whether it is the file of a run that may be long ago: what number a device has depends on the boot.
    pub fn is_still(&self, before: &Self) -> bool {
        (self.inode, self.size, self.mtime) == (before.inode, before.size, before.mtime)
    }

    /// All but the device.
    pub fn to_text(self) -> String {
        format!("{} {} {} {}", self.inode, self.size, self.mtime.0, self.mtime.1)
    }

    pub fn parse(text: &str) -> Option<Self> {
        let mut fields = text.split(' ');
        let (inode, size) = (fields.next()?.parse().ok()?, fields.next()?.parse().ok()?);
        let mtime = (fields.next()?.parse().ok()?, fields.next()?.parse().ok()?);
        fields.next().is_none().then_some(Self { device: 0, inode, size, mtime })
    }
}

impl FileReader {
    /// Opens a regular file; anything else is refused before a request is made.
    pub async fn open(lanes: &Lanes, path: &Path) -> Result<Self> {
        let path = path.to_owned();
        let lanes = lanes.pick_some(LANES_PER_FILE);
        let source = lanes[0].call(move || Source::open(path)).await?;
        Ok(Self { source: Arc::new(source), lanes, turn: AtomicUsize::new(0) })
    }

    /// A file of ours that has no name, so that nobody can change it.
    pub fn of_unlinked(file: Arc<File>, directory: PathBuf, lane: Lane) -> Self {
        let identity = Identity { device: 0, inode: 0, size: 0, mtime: (0, 0) };
        let source = Source { file, path: directory, identity };
        Self { source: Arc::new(source), lanes: vec![lane], turn: AtomicUsize::new(0) }
    }

    pub fn size(&self) -> u64 {
        self.source.identity.size
    }

    /// What the file is recognised by, and where it is.
    pub fn identity(&self) -> (PathBuf, Identity) {
        let path = std::path::absolute(&self.source.path).unwrap_or_else(|_| self.source.path.clone());
        (path, self.source.identity)
    }

    /// Fills `buffer` from `offset`, `len` bytes; the whole range must be there. `then` sees the bytes on the
    /// lane, while they are in the cache.
    pub async fn read<T: Send + 'static>(
        &self,
        mut buffer: Buffer,
        offset: u64,
        len: usize,
        then: impl FnOnce(&[u8]) -> T + Send + 'static,
    ) -> Result<(Buffer, T)> {
        let source = self.source.clone();
        let job = move || {
            source.read_exact(&mut buffer.whole()[..len], offset)?;
            buffer.set_len(len);
            let value = then(&buffer);
            Ok((buffer, value))
        };
        let turn = self.turn.fetch_add(1, Relaxed);
        self.lanes[turn % self.lanes.len()].call(job).await
    }

    /// Fills a row of buffers from a range that they just hold, by one job. `state` goes through `then` with the bytes of each.
    pub async fn read_row<T: Send + 'static>(
        &self,
        mut buffers: Vec<Buffer>,
        range: Range<u64>,
        mut state: T,
        then: impl Fn(&mut T, &[u8]) + Send + 'static,
    ) -> Result<(Vec<Buffer>, T)> {
        let source = self.source.clone();
        let job = move || {
            let mut at = range.start;
            for buffer in &mut buffers {
                let len = (range.end - at).min(BUFFER_SIZE as u64) as usize;
                source.read_exact(&mut buffer.whole()[..len], at)?;
                buffer.set_len(len);
                then(&mut state, buffer);
                at += len as u64;
            }
            Ok((buffers, state))
        };
        let turn = self.turn.fetch_add(1, Relaxed);
        self.lanes[turn % self.lanes.len()].call(job).await
    }

    /// Fails if the file is no longer what was opened, or its name now means another one.
    pub async fn check_unchanged(&self) -> Result<()> {
        let source = self.source.clone();
        self.lanes[0].call(move || source.check_unchanged()).await
    }
}

impl Source {
    fn open(path: PathBuf) -> Result<Self> {
        // O_NONBLOCK, so that a FIFO is refused instead of waited for; it means nothing to a regular file.
        let flags = OFlags::RDONLY | OFlags::CLOEXEC | OFlags::NONBLOCK;
        let opened = rustix::fs::open(&path, flags, rustix::fs::Mode::empty());
        let file = File::from(opened.map_err(|errno| Error::local_errno(&path, errno))?);
        let metadata = file.metadata().map_err(|cause| Error::local(&path, cause))?;
        if metadata.is_dir() {
            return Err(Error::local_errno(&path, Errno::ISDIR));
        }
        if !metadata.is_file() {
            return Err(not_a_file(&path));
        }
        let identity = Identity::of(&metadata);
        Ok(Self { file: Arc::new(file), path, identity })
    }

    fn read_exact(&self, mut into: &mut [u8], mut offset: u64) -> Result<()> {
        while !into.is_empty() {
            match rustix::io::pread(&self.file, &mut *into, offset) {
                Ok(0) => return Err(self.changed()),
                Ok(read) => {
                    into = &mut into[read..];
                    offset += read as u64;
                }
                Err(Errno::INTR) => {}
                Err(errno) => return Err(Error::local_errno(&self.path, errno)),
            }
        }
        Ok(())
    }

    fn check_unchanged(&self) -> Result<()> {
        let by_descriptor = self.file.metadata().map_err(|cause| Error::local(&self.path, cause))?;
        let by_path = std::fs::metadata(&self.path).ok();
        let same = |metadata: &std::fs::Metadata| Identity::of(metadata) == self.identity;
        if same(&by_descriptor) && by_path.as_ref().is_some_and(same) { Ok(()) } else { Err(self.changed()) }
    }

    fn changed(&self) -> Error {
        Error::integrity(format!("source changed while it was read: \"{}\"", self.path.display()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::ErrorKind;
    use crate::transfer::buffers::Pool;

    fn empty_buffer() -> Buffer {
        Buffer::take(&Arc::new(Pool::default()), None).unwrap()
    }

    #[tokio::test]
    async fn reads_ranges_and_notices_change() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("file");
        std::fs::write(&path, b"0123456789").unwrap();
        let reader = FileReader::open(&Lanes::start().unwrap(), &path).await.unwrap();
        assert_eq!(reader.size(), 10);
        let (buffer, sum) = reader.read(empty_buffer(), 3, 4, |bytes| bytes.len()).await.unwrap();
        assert_eq!((&*buffer, sum), (&b"3456"[..], 4));
        reader.check_unchanged().await.unwrap();

        let short = reader.read(empty_buffer(), 8, 4, |_| ()).await.err().unwrap();
        assert_eq!(short.kind(), ErrorKind::Integrity);

        std::fs::remove_file(&path).unwrap();
        std::fs::write(&path, b"0123456789").unwrap();
        assert_eq!(reader.check_unchanged().await.unwrap_err().kind(), ErrorKind::Integrity);
    }

    #[tokio::test]
    async fn refuses_what_is_no_file() {
        let lanes = Lanes::start().unwrap();
        let dir = tempfile::tempdir().unwrap();
        let error = FileReader::open(&lanes, dir.path()).await.err().unwrap();
        assert_eq!(error.errno(), Some(Errno::ISDIR.raw_os_error()));
        let fifo = dir.path().join("fifo");
        rustix::fs::mknodat(
            rustix::fs::CWD,
            &fifo,
            rustix::fs::FileType::Fifo,
            rustix::fs::Mode::from_raw_mode(0o600),
            0,
        )
        .unwrap();
        assert_eq!(FileReader::open(&lanes, &fifo).await.err().unwrap().kind(), ErrorKind::LocalIo);
        let missing = FileReader::open(&lanes, &dir.path().join("none")).await.err().unwrap();
        assert_eq!(missing.errno(), Some(Errno::NOENT.raw_os_error()));
    }
}
