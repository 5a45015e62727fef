//! A bucket, or the keys below a prefix, as the place that an archive is unpacked to: files become objects, and nothing else is made.
//!
//! A file at hand is one PutObject, on the runtime, many side by side: the thread that brought it goes on, and waits only
//! while the byte budget is used up. A file of several slices is an `ObjectWriter`, which wants its bytes in order: whoever brings a
//! slice too early waits. Jobs are taken in the order of slices, so the earliest of them never waits for a later one.

use std::collections::HashSet;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use tokio::runtime::Handle;

use super::key_file::KeyFile;
use crate::archive::entry::{Entry, Kind as EntryKind};
use crate::archive::index::Row;
use crate::archive::names;
use crate::archive::place::{Destination, Growing, Place};
use crate::archive::threads::Stop;
use crate::archive::tree::{Done, Finished, TreeOptions};
use crate::archive::unpack_report::UnpackTally;
use crate::checksum::{Hasher, Kind};
use crate::error::{Error, ErrorKind, Result};
use crate::ops::batch::ContentTypes;
use crate::ops::commit;
use crate::ops::engine::{Engine, unless_cancelled};
use crate::ops::tasks::Tasks;
use crate::progress::{Cancel, Progress};
use crate::s3::client::{ObjectRef, PutRequest};
use crate::s3::payload::Payload;
use crate::transfer::scheduler::Small;

/// Small files that are sent at a time.
const ABREAST: usize = 64;
/// The longest key, in bytes.
const MAX_KEY: usize = 1024;
/// What tells the type of a file whose name does not.
const BEGINNING: usize = 512;

/// How objects are made.
#[derive(Debug, Clone, Default)]
pub struct KeyOptions {
    pub bucket: String,
    /// What the names of entries are put behind.
    pub prefix: String,
    pub checksum: Option<Kind>,
    pub types: ContentTypes,
    pub no_clobber: bool,
}

/// The destination before anything is written.
#[derive(Clone)]
pub struct Keys {
    pub engine: Engine,
    pub options: KeyOptions,
    /// Objects that a store without conditional writes was given without a condition.
    pub unconditional: Arc<AtomicU64>,
    /// The archive, which nothing may take the place of while it is read.
    pub archive: Option<ObjectRef>,
    pub stop: Arc<Stop>,
    pub progress: Arc<Progress>,
    pub cancel: Cancel,
    pub runtime: Handle,
}

pub(super) struct Shared {
    pub keys: Keys,
    tally: Arc<UnpackTally>,
    /// Names of files that were under way and did not become objects.
    unwritten: Mutex<HashSet<Vec<u8>>>,
}

struct KeyPlace {
    shared: Arc<Shared>,
    tasks: Mutex<Tasks<()>>,
}

impl Destination for Keys {
    fn open(&self, _options: TreeOptions, tally: &Arc<UnpackTally>) -> Result<Box<dyn Place>> {
        let shared = Arc::new(Shared { keys: self.clone(), tally: tally.clone(), unwritten: Mutex::default() });
        Ok(Box::new(KeyPlace { shared, tasks: Mutex::new(Tasks::new()) }))
    }
}

impl Shared {
    /// The object that an entry becomes.
    fn object(&self, name: &[u8]) -> Result<ObjectRef> {
        let keys = &self.keys;
        let refused = |why: &str| Error::new(ErrorKind::UnsafeKey, format!("it cannot be a key: {why}"));
        names::check_key(name, EntryKind::File).map_err(refused)?;
        let name = str::from_utf8(name).map_err(|_| refused("it is not UTF-8"))?;
        let key = format!("{}{name}", keys.options.prefix);
        if key.len() > MAX_KEY {
            return Err(refused("with the prefix it is longer than 1024 bytes"));
        }
        let object = ObjectRef::new(&keys.options.bucket, &key, None).map_err(|error| refused(error.message()))?;
        let is_archive = |archive: &ObjectRef| archive.bucket == object.bucket && archive.key == object.key;
        if keys.archive.as_ref().is_some_and(is_archive) {
            return Err(refused("the archive itself has it"));
        }
        Ok(object)
    }

    /// Waits on the runtime for what may be cancelled.
    fn wait<T>(&self, work: impl Future<Output = Result<T>>) -> Result<T> {
        self.keys.runtime.block_on(unless_cancelled(&self.keys.cancel, work))
    }

    pub fn headers(&self, object: &ObjectRef, beginning: &[u8]) -> Vec<(String, String)> {
        let types = &self.keys.options.types;
        let by_bytes = || types.of_bytes(&beginning[..beginning.len().min(BEGINNING)]);
        let value = types.of_name(object.key.as_bytes()).unwrap_or_else(by_bytes);
        vec![("content-type".to_owned(), value.to_owned())]
    }

    pub fn conditions(&self) -> Vec<(String, String)> {
        match self.keys.options.no_clobber {
            true => vec![("if-none-match".to_owned(), "*".to_owned())],
            false => Vec::new(),
        }
    }

    /// Whether what is there stays. Asked before anything is sent; the condition has the last word.
    async fn is_kept(&self, object: &ObjectRef) -> Result<bool> {
        if !self.keys.options.no_clobber {
            return Ok(false);
        }
        match self.keys.engine.client.head_object(object, None).await {
            Ok(_) => Ok(true),
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// What an answer of the store means for one entry; what is wrong for all of them stops everything.
    pub fn outcome(&self, sent: Result<()>) -> Result<Done> {
        match sent {
            Ok(()) => Ok(Done::Written),
            Err(error) if error.kind() == ErrorKind::AlreadyExists && self.keys.options.no_clobber => Ok(Done::Skipped),
            Err(error) if is_of_all(&error) => {
                self.keys.stop.fail(error);
                Err(Error::cancelled())
            }
            Err(error) => Err(error),
        }
    }

    /// One small file, to its end.
    async fn send(&self, object: ObjectRef, content: Bytes, small: Small) -> Result<Done> {
        let keys = &self.keys;
        let (client, len) = (&keys.engine.client, content.len() as u64);
        let progress = Progress::of(&keys.progress);
        let sent = async {
            if self.is_kept(&object).await? {
                return Err(Error::new(ErrorKind::AlreadyExists, "it is there already"));
            }
            let digest = keys.options.checksum.map(|kind| {
                let mut hasher = Hasher::new(kind);
                hasher.update(&content);
                hasher.finish()
            });
            let put = || PutRequest {
                object: object.clone(),
                payload: Payload::bytes(content.clone()),
                checksum: digest,
                headers: self.headers(&object, &content),
                progress: Some(progress.clone()),
            };
            let conditions = self.conditions();
            match commit::put(client, put(), &conditions).await {
                // A store without conditional writes: the look before has decided (cli.md 2.7).
                Err(error) if error.status() == Some(501) && !conditions.is_empty() => {
                    keys.unconditional.fetch_add(1, Relaxed);
                    commit::put(client, put(), &[]).await
                }
                outcome => outcome,
            }
        };
        let sent = sent.await.map(|_| progress.add_durable(len));
        drop(small);
        self.outcome(sent.map_err(|error| error.with_object(&object.bucket, &object.key)))
    }

    /// The end of a file that was under way.
    fn ended(&self, entry: &Entry, outcome: Result<Done>) -> Result<()> {
        if outcome.as_ref().is_err_and(|error| error.kind() == ErrorKind::Cancelled || error.is_no_memory()) {
            return outcome.map(drop);
        }
        if !matches!(outcome, Ok(Done::Written)) {
            lock(&self.unwritten).insert(entry.name.clone());
        }
        self.tally.made(entry, outcome);
        self.keys.progress.object_done();
        Ok(())
    }
}

/// Whether every other entry would fail with the same.
fn is_of_all(error: &Error) -> bool {
    error.kind() == ErrorKind::Credentials || error.code() == Some("NoSuchBucket")
}

pub(super) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl KeyPlace {
    /// Waits until fewer than `most` files are under way.
    fn wait_for_less(&self, tasks: &mut Tasks<()>, most: usize) -> Result<()> {
        while tasks.len() >= most {
            self.shared.keys.stop.check()?;
            let ended = self.shared.wait(async { tasks.next().await.unwrap_or(Ok(())) });
            if let Err(error) = ended {
                self.shared.keys.stop.fail(error);
                return Err(Error::cancelled());
            }
        }
        Ok(())
    }
}

impl Place for KeyPlace {
    fn directory(&self, _entry: &Entry) -> Result<Done> {
        Ok(Done::LeftOut("directory"))
    }

    fn symlink(&self, _entry: &Entry) -> Result<Option<Done>> {
        Ok(Some(Done::LeftOut("symlink")))
    }

    fn hard_link(&self, _entry: &Entry) -> Result<Done> {
        Ok(Done::LeftOut("hard_link"))
    }

    fn small_file(&self, entry: &Entry, content: &[u8]) -> Result<Option<Done>> {
        let shared = self.shared.clone();
        let object = shared.object(&entry.name)?;
        let scheduler = shared.keys.engine.scheduler.clone();
        let small = shared.wait(async { Ok(scheduler.small(content.len() as u64).await) })?;
        let content = Bytes::copy_from_slice(content);
        let entry = Entry { name: entry.name.clone(), kind: entry.kind, size: entry.size, ..Entry::default() };
        let mut tasks = lock(&self.tasks);
        self.wait_for_less(&mut tasks, ABREAST)?;
        let _within = self.shared.keys.runtime.enter();
        tasks.spawn(async move {
            let outcome = shared.send(object, content, small).await;
            shared.ended(&entry, outcome)
        });
        Ok(None)
    }

    fn big_file(&self, entry: &Entry) -> Result<Option<Box<dyn Growing>>> {
        let object = self.shared.object(&entry.name)?;
        let kept = self.shared.wait(self.shared.is_kept(&object));
        if kept.map_err(|error| self.shared.outcome(Err(error)).err().unwrap_or_else(Error::cancelled))? {
            return Ok(None);
        }
        Ok(Some(Box::new(KeyFile::new(self.shared.clone(), object, entry.size))))
    }

    fn counts_bytes(&self) -> bool {
        true
    }

    fn settle(&self) -> Result<()> {
        self.wait_for_less(&mut lock(&self.tasks), 1)
    }

    fn wrote(&self, name: &[u8]) -> bool {
        !lock(&self.shared.unwritten).contains(name)
    }

    fn reads_back(&self) -> bool {
        false
    }

    fn holds(&self, _name: &[u8], _slices: &[Row]) -> Result<bool> {
        Err(Error::new(ErrorKind::Internal, "objects are not read back"))
    }

    fn remove(&self, name: &[u8]) -> Result<()> {
        let object = self.shared.object(name)?;
        self.shared.wait(self.shared.keys.engine.client.delete_object(&object, None))
    }

    fn finish(self: Box<Self>) -> Finished {
        Finished::default()
    }
}

impl Drop for KeyPlace {
    /// Nothing is sent any more once whoever unpacks has ended.
    fn drop(&mut self) {
        let tasks = self.tasks.get_mut().unwrap_or_else(PoisonError::into_inner);
        if !tasks.is_empty() {
            self.shared.keys.runtime.block_on(tasks.stop());
        }
    }
}
