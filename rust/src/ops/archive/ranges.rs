//! Bytes of an archive: of a local file by positioned reads, of an object by requests that are pinned to one version.

use std::ops::Range;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering::SeqCst};
use std::sync::{Arc, Mutex, PoisonError};

use rustix::fs::{FileType, Mode, OFlags};
use rustix::io::{Errno, retry_on_intr};
use tokio::runtime::Handle;

use crate::archive::ranges::{Ranges, damaged};
use crate::error::{Error, ErrorKind, Result};
use crate::ops::engine::{Engine, unless_cancelled};
use crate::ops::ranges::get;
use crate::ops::span::Span;
use crate::ops::stored::Verify;
use crate::ops::stream::StreamRequest;
use crate::ops::tasks::Tasks;
use crate::progress::Cancel;
use crate::s3::client::{GetRequest, ObjectRef};

/// A local file, open.
pub struct FileRanges {
    file: OwnedFd,
    path: PathBuf,
    size: u64,
}

impl FileRanges {
    pub fn open(path: &Path) -> Result<Self> {
        let failed = |errno: Errno| Error::local_errno(path, errno);
        // NONBLOCK: opening a FIFO would wait for its other end.
        let flags = OFlags::RDONLY | OFlags::CLOEXEC | OFlags::NONBLOCK | OFlags::NOCTTY;
        let file = retry_on_intr(|| rustix::fs::open(path, flags, Mode::empty())).map_err(failed)?;
        let stat = rustix::fs::fstat(&file).map_err(failed)?;
        match FileType::from_raw_mode(stat.st_mode) {
            FileType::RegularFile => {}
            FileType::Directory => return Err(failed(Errno::ISDIR)),
            _ => return Err(Error::local_text(path, Errno::INVAL, "an archive is read from a regular file")),
        }
        Ok(Self { file, path: path.to_owned(), size: u64::try_from(stat.st_size).unwrap_or(0) })
    }

    pub fn size(&self) -> u64 {
        self.size
    }

    fn fetch(&self, range: &Range<u64>) -> Result<Vec<u8>> {
        let len = usize::try_from(range.end - range.start).map_err(|_| Error::no_memory())?;
        if range.end > self.size {
            return Err(damaged("it is cut off"));
        }
        let mut bytes = Vec::new();
        bytes.try_reserve_exact(len).map_err(|_| Error::no_memory())?;
        bytes.resize(len, 0);
        let mut got = 0;
        while got < len {
            let read = retry_on_intr(|| rustix::io::pread(&self.file, &mut bytes[got..], range.start + got as u64));
            match read.map_err(|errno| Error::local_errno(&self.path, errno))? {
                0 => return Err(damaged("it was cut off while it was read")),
                now => got += now,
            }
        }
        Ok(bytes)
    }
}

impl Ranges for FileRanges {
    fn tail(&self, len: u64) -> Result<(u64, Vec<u8>)> {
        Ok((self.size, self.fetch(&(self.size.saturating_sub(len)..self.size))?))
    }

    fn read(&self, ranges: &[Range<u64>]) -> Result<Vec<Vec<u8>>> {
        ranges.iter().map(|range| self.fetch(range)).collect()
    }
}

/// One version of an object.
pub struct ObjectRanges {
    engine: Engine,
    runtime: Handle,
    object: ObjectRef,
    etag: Mutex<Option<String>>,
    /// The switch of the call that is under way.
    cancel: Mutex<Cancel>,
    answered: AtomicBool,
}

impl ObjectRanges {
    /// On the runtime; `etag` pins the version, or else the first answer does.
    pub fn new(engine: Engine, object: ObjectRef, etag: Option<String>) -> Self {
        let (cancel, answered) = (Mutex::default(), AtomicBool::new(false));
        Self { engine, runtime: Handle::current(), object, etag: Mutex::new(etag), cancel, answered }
    }

    pub fn etag(&self) -> Option<String> {
        self.etag.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Whether the store has given bytes of this version.
    pub fn has_answered(&self) -> bool {
        self.answered.load(SeqCst)
    }

    /// What follows can be stopped by `cancel`.
    pub fn begin(&self, cancel: &Cancel) {
        *self.cancel.lock().unwrap_or_else(PoisonError::into_inner) = cancel.clone();
    }

    fn cancel(&self) -> Cancel {
        self.cancel.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// That the object still is this version.
    pub async fn head(&self, engine: &Engine, cancel: &Cancel) -> Result<()> {
        let etag = self.etag();
        let head = engine.client.head_object(&self.object, etag.as_deref());
        let head = unless_cancelled(cancel, head).await.map_err(as_changed)?;
        if head.identity.etag == etag { Ok(()) } else { Err(changed()) }
    }

    async fn last(&self, len: u64) -> Result<(u64, Vec<u8>)> {
        let get = GetRequest {
            object: self.object.clone(),
            range: None,
            tail: Some(len),
            if_match: self.etag(),
            checksums: false,
            fresh_connection: false,
        };
        let mut body = self.engine.client.get_object(get).await.map_err(as_changed)?;
        let identity = body.identity().clone();
        let Some(etag) = identity.strong_etag() else {
            let text = "the store gives no ETag: an archive cannot be read there, for its version cannot be pinned";
            return Err(Error::new(ErrorKind::Service, text));
        };
        *self.etag.lock().unwrap_or_else(PoisonError::into_inner) = Some(etag.to_owned());
        let mut bytes = Vec::new();
        while let Some(chunk) = body.chunk().await? {
            bytes.extend_from_slice(&chunk);
        }
        self.answered.store(true, SeqCst);
        Ok((identity.size, bytes))
    }

    async fn all(&self, ranges: &[Range<u64>]) -> Result<Vec<Vec<u8>>> {
        let cancel = self.cancel();
        let mut tasks = Tasks::new();
        for (number, range) in ranges.iter().cloned().enumerate() {
            let (engine, cancel) = (self.engine.clone(), cancel.clone());
            let request = StreamRequest {
                span: Span::Between { start: range.start, stop: Some(range.end) },
                if_match: self.etag(),
                verify: Verify::Off,
                ..StreamRequest::new(self.object.clone())
            };
            tasks.spawn(async move {
                if range.is_empty() {
                    return Ok((number, Vec::new()));
                }
                let (bytes, _) = get(&engine, &request, Arc::default(), &cancel).await?;
                if bytes.len() as u64 != range.end - range.start {
                    return Err(damaged("it is cut off"));
                }
                Ok((number, bytes))
            });
        }
        let mut came = vec![Vec::new(); ranges.len()];
        let mut outcome = Ok(());
        while let Some(ended) = tasks.next().await {
            match ended {
                Ok((number, bytes)) => came[number] = bytes,
                Err(error) => {
                    outcome = Err(as_changed(error));
                    break;
                }
            }
        }
        tasks.stop().await;
        outcome?;
        self.answered.store(true, SeqCst);
        Ok(came)
    }
}

fn changed() -> Error {
    Error::new(ErrorKind::ObjectChanged, "the archive is another one now")
}

/// A condition that no longer holds.
fn as_changed(error: Error) -> Error {
    if error.status() == Some(412) { changed().with_source(error) } else { error }
}

impl Ranges for ObjectRanges {
    fn tail(&self, len: u64) -> Result<(u64, Vec<u8>)> {
        let cancel = self.cancel();
        self.runtime.block_on(unless_cancelled(&cancel, self.last(len)))
    }

    fn read(&self, ranges: &[Range<u64>]) -> Result<Vec<Vec<u8>>> {
        self.runtime.block_on(self.all(ranges))
    }
}
