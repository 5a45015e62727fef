//! An archive to a tree, or to the keys below a prefix: through its index where it has one, front to back where it has none or comes from a pipe.

mod key_file;
mod keys;

use std::io::{self, Read};
use std::os::fd::{AsFd, OwnedFd, RawFd};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;

use bytes::Bytes;
use rustix::event::{PollFd, PollFlags, poll};
use rustix::io::Errno;
use tokio::runtime::Handle;
use tokio::sync::mpsc;

use crate::archive::foreign::{ForeignOptions, Own, unpack_tar};
use crate::archive::manifest::hex;
use crate::archive::open::{End, open};
use crate::archive::place::{Destination, Place};
use crate::archive::ranges::{Pieces, Ranges};
use crate::archive::read::Archive;
use crate::archive::select::Selection;
use crate::archive::threads::Stop;
use crate::archive::tree::TreeOptions;
use crate::archive::unpack::{UnpackOptions, unpack as unpack_indexed};
use crate::archive::unpack_report::{UnpackReport, UnpackTally};
use crate::config::{MIB, TransferConfig};
use crate::confine::Directory;
use crate::descriptor::duplicate;
use crate::error::{Error, ErrorKind, Result};
use crate::ops::archive::on_thread;
use crate::ops::archive::ranges::{FileRanges, ObjectRanges};
use crate::ops::engine::Engine;
use crate::ops::stored::Verify;
use crate::ops::stream::{OrderedStream, StreamRequest};
use crate::ops::tasks::Tasks;
use crate::progress::{Cancel, Progress};
use crate::s3::client::ObjectRef;
use crate::transfer::scheduler::Scheduler;
pub use keys::KeyOptions;
use keys::Keys;

/// Bytes of an object that wait to be unpacked, in chunks.
const AHEAD: usize = 16;
/// The least memory for what is sent: two parts, and some.
const LEAST_UPLOAD: u64 = 32 * MIB;
/// How often a wait for a pipe looks whether it is still wanted.
const LOOK: Duration = Duration::from_millis(50);

/// Where the archive comes from.
#[derive(Debug, Clone)]
pub enum UnpackPlace {
    File(PathBuf),
    Object(ObjectRef),
    Pipe(RawFd, PathBuf),
}

/// Where it is unpacked to.
#[derive(Debug, Clone)]
pub enum UnpackTarget {
    Directory(PathBuf),
    Keys(Box<KeyOptions>),
}

pub struct UnpackRequest {
    pub place: UnpackPlace,
    pub target: UnpackTarget,
    pub selection: Selection,
    pub tree: TreeOptions,
    pub allow_incomplete: bool,
    pub trust_tar: bool,
    /// The root that it must have.
    pub root: Option<[u8; 32]>,
    pub threads: usize,
    /// Bytes of objects on their way, where it goes to keys.
    pub upload_memory: u64,
    /// Whether everything is on the disk before this ends.
    pub durable: bool,
}

/// What was unpacked, and whether an index with this root vouches for it.
pub struct Unpacked {
    pub report: UnpackReport,
    /// Objects that a store without conditional writes was given without a condition.
    pub unconditional: u64,
    pub root: Option<[u8; 32]>,
}

pub async fn unpack(
    engine: &Engine,
    request: UnpackRequest,
    progress: Arc<Progress>,
    cancel: &Cancel,
) -> Result<Unpacked> {
    progress.set_objects_total(None);
    let stop = Arc::new(Stop::default());
    let named = |error: Error| match &request.place {
        UnpackPlace::Object(object) => error.with_object(&object.bucket, &object.key),
        _ => error,
    };
    let ranges: Option<Arc<dyn Ranges>> = match &request.place {
        UnpackPlace::Pipe(..) => None,
        UnpackPlace::File(path) => {
            let path = path.clone();
            Some(Arc::new(engine.lanes.pick().call(move || FileRanges::open(&path)).await?))
        }
        UnpackPlace::Object(object) => {
            let ranges = ObjectRanges::new(engine.clone(), object.clone(), None);
            ranges.begin(cancel);
            Some(Arc::new(ranges))
        }
    };
    let opened = match ranges.filter(|_| !request.trust_tar) {
        Some(ranges) => {
            let (pieces, root) = (Arc::new(Pieces::default()), request.root);
            on_thread("s3z-archive", move || {
                Ok(match open(&*ranges, &pieces, root, true)? {
                    End::Archive(opened) => Some(Archive::of(ranges, pieces, *opened)),
                    End::Foreign { .. } => None,
                })
            })
            .await
            .map_err(named)?
        }
        None => None,
    };
    let synced = match &request.target {
        UnpackTarget::Directory(path) if request.durable => Some(path.clone()),
        _ => None,
    };
    let unconditional = Arc::<AtomicU64>::default();
    let destination = destination(engine, &request, &unconditional, (&stop, &progress, cancel));
    let shared = (stop.clone(), progress, destination);
    let work = async move {
        match opened {
            Some(archive) => indexed(archive, request, shared).await,
            None => foreign(engine, request, shared, cancel).await,
        }
    };
    tokio::pin!(work);
    let done = tokio::select! {
        biased;
        done = &mut work => done,
        () = cancel.cancelled() => {
            stop.fail(Error::cancelled());
            work.await
        }
    };
    if let (Ok(_), Some(destination)) = (&done, synced) {
        engine.lanes.pick().call(move || sync(&destination)).await?;
    }
    done.map(|unpacked| Unpacked { unconditional: unconditional.load(Relaxed), ..unpacked })
}

/// All of a file system, which is quicker than file by file.
fn sync(destination: &Path) -> Result<()> {
    let directory = Directory::open(destination)?;
    rustix::fs::syncfs(&directory).map_err(|errno| Error::local_errno(destination, errno))
}

/// Of a directory its path, of a bucket all that it takes to store objects there.
enum To {
    Directory(PathBuf),
    Keys(Box<Keys>),
}

impl Destination for To {
    fn open(&self, options: TreeOptions, tally: &Arc<UnpackTally>) -> Result<Box<dyn Place>> {
        match self {
            Self::Directory(path) => path.as_path().open(options, tally),
            Self::Keys(keys) => keys.open(options, tally),
        }
    }
}

fn destination(
    engine: &Engine,
    request: &UnpackRequest,
    unconditional: &Arc<AtomicU64>,
    (stop, progress, cancel): (&Arc<Stop>, &Arc<Progress>, &Cancel),
) -> To {
    let options = match &request.target {
        UnpackTarget::Directory(path) => return To::Directory(path.clone()),
        UnpackTarget::Keys(options) => (**options).clone(),
    };
    // A budget of its own: what is fetched never waits for what is sent.
    let transfer = &engine.client.config().transfer;
    let own = TransferConfig { memory_limit: request.upload_memory.max(LEAST_UPLOAD), ..transfer.clone() };
    let archive = match &request.place {
        UnpackPlace::Object(object) => Some(object.clone()),
        _ => None,
    };
    To::Keys(Box::new(Keys {
        engine: Engine { scheduler: Arc::new(Scheduler::new(&own)), ..engine.clone() },
        options,
        unconditional: unconditional.clone(),
        archive,
        stop: stop.clone(),
        progress: progress.clone(),
        cancel: cancel.clone(),
        runtime: Handle::current(),
    }))
}

type Shared = (Arc<Stop>, Arc<Progress>, To);

async fn indexed(archive: Archive, request: UnpackRequest, (stop, progress, to): Shared) -> Result<Unpacked> {
    let root = Some(archive.opened().footer.root);
    let options = UnpackOptions {
        tree: request.tree,
        selection: request.selection,
        allow_incomplete: request.allow_incomplete,
        threads: request.threads,
    };
    let report = on_thread("s3z-unpack-plan", move || unpack_indexed(&archive, &to, &options, (&stop, &progress)));
    Ok(Unpacked { report: report.await?, root, unconditional: 0 })
}

async fn foreign(
    engine: &Engine,
    request: UnpackRequest,
    (stop, progress, to): Shared,
    cancel: &Cancel,
) -> Result<Unpacked> {
    let asked = request.root;
    if asked.is_some() && (request.trust_tar || !matches!(request.place, UnpackPlace::Pipe(..))) {
        let text = "a root can only be asked of an archive that is read through its index";
        return Err(Error::new(ErrorKind::Archive, text));
    }
    let mut feeding = Tasks::new();
    let source: Box<dyn Read + Send> = match &request.place {
        UnpackPlace::File(path) => Box::new(Forward { file: FileRanges::open(path)?, at: 0 }),
        UnpackPlace::Pipe(number, name) => {
            let pipe = duplicate(*number).map_err(|errno| Error::local_errno(name, errno))?;
            Box::new(Pipe { pipe, stop: stop.clone() })
        }
        UnpackPlace::Object(object) => {
            let (to, chunks) = mpsc::channel(AHEAD);
            let request = StreamRequest { verify: Verify::Auto, ..StreamRequest::new(object.clone()) };
            let (engine, cancel) = (engine.clone(), cancel.clone());
            feeding.spawn(async move { feed(&engine, request, &to, &cancel).await });
            Box::new(Chunks { chunks, now: Bytes::new() })
        }
    };
    let own = match (&request.place, request.trust_tar) {
        (_, true) => Own::Trust,
        (UnpackPlace::Pipe(..), false) => Own::Follow,
        _ => Own::Refuse,
    };
    let options = ForeignOptions { tree: request.tree, selection: request.selection, own };
    let run = move || {
        let done = unpack_tar(source, &to, &options, (&stop, &progress));
        done.map_err(|error| if error.kind() == ErrorKind::Cancelled { stop.reason() } else { error })
    };
    let report = on_thread("s3z-unpack-tar", run).await;
    feeding.stop().await;
    let (report, root) = report?;
    match asked {
        Some(asked) if root != Some(asked) => Err(Error::integrity(format!(
            "the archive does not have the root {}: what was unpacked of it is not to be trusted",
            hex(&asked)
        ))),
        _ => Ok(Unpacked { report, root, unconditional: 0 }),
    }
}

/// The object's bytes, in order; a failure is the last thing that is sent.
async fn feed(
    engine: &Engine,
    request: StreamRequest,
    to: &mpsc::Sender<Result<Bytes>>,
    cancel: &Cancel,
) -> Result<()> {
    let mut stream = match OrderedStream::open(engine, request, Arc::default(), cancel).await {
        Ok(stream) => stream,
        Err(error) => {
            let _ = to.send(Err(error)).await;
            return Ok(());
        }
    };
    loop {
        let chunk = match stream.next().await {
            Ok(Some(chunk)) => Ok(chunk),
            Ok(None) => break,
            Err(error) => Err(error),
        };
        let is_over = chunk.is_err();
        if to.send(chunk).await.is_err() || is_over {
            break;
        }
    }
    stream.stop().await;
    Ok(())
}

/// A file from its beginning.
struct Forward {
    file: FileRanges,
    at: u64,
}

impl Read for Forward {
    fn read(&mut self, to: &mut [u8]) -> io::Result<usize> {
        let len = (self.file.size() - self.at).min(to.len() as u64);
        let bytes = self.file.one(self.at..self.at + len).map_err(io::Error::other)?;
        to[..bytes.len()].copy_from_slice(&bytes);
        self.at += len;
        Ok(bytes.len())
    }
}

/// What a task fetches, read by a thread.
struct Chunks {
    chunks: mpsc::Receiver<Result<Bytes>>,
    now: Bytes,
}

impl Read for Chunks {
    fn read(&mut self, to: &mut [u8]) -> io::Result<usize> {
        while self.now.is_empty() {
            match self.chunks.blocking_recv() {
                Some(Ok(chunk)) => self.now = chunk,
                Some(Err(error)) => return Err(io::Error::other(error)),
                None => return Ok(0),
            }
        }
        let taken = self.now.split_to(self.now.len().min(to.len()));
        to[..taken.len()].copy_from_slice(&taken);
        Ok(taken.len())
    }
}

/// A pipe, whose other end may stay silent for as long as it likes.
struct Pipe {
    pipe: OwnedFd,
    stop: Arc<Stop>,
}

impl Read for Pipe {
    fn read(&mut self, to: &mut [u8]) -> io::Result<usize> {
        let wait = LOOK.try_into().map_err(|_| io::Error::from(Errno::INVAL))?;
        loop {
            self.stop.check().map_err(io::Error::other)?;
            let mut polled = [PollFd::new(&self.pipe, PollFlags::IN)];
            match poll(&mut polled, Some(&wait)) {
                Ok(0) | Err(Errno::INTR) => continue,
                Ok(_) => {}
                Err(errno) => return Err(errno.into()),
            }
            match rustix::io::read(self.pipe.as_fd(), &mut *to) {
                Err(Errno::INTR | Errno::AGAIN) => {}
                done => return done.map_err(io::Error::from),
            }
        }
    }
}
