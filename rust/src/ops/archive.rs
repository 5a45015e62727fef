//! An archive that is open for reading, wherever it lies: a local file or one version of an object.
//!
//! The archive's own code waits for its bytes, so each call runs on a thread of its own, never on the runtime's. What
//! was learnt of an object's index is kept in a cache on disk: then one request brings an entry, and the condition it carries
//! tells whether the cache still holds. If it does not, everything begins anew, once.

mod cache;
pub mod ranges;

use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::SeqCst};
use std::sync::{Arc, PoisonError, RwLock};

use tokio::sync::oneshot;

use crate::archive::ranges::{Pieces, Ranges};
use crate::archive::read::Archive;
use crate::archive::threads::spawn;
use crate::error::{Error, ErrorKind, Result};
use crate::ops::engine::Engine;
use crate::progress::Cancel;
use crate::s3::client::ObjectRef;
use cache::Cache;
use ranges::{FileRanges, ObjectRanges};

/// Where an archive is.
#[derive(Debug, Clone)]
pub enum ArchivePlace {
    File(PathBuf),
    Object(ObjectRef),
}

#[derive(Debug, Clone)]
pub struct ArchiveRequest {
    pub place: ArchivePlace,
    /// The root that it must have.
    pub root: Option<[u8; 32]>,
    /// The ETag that the object must have.
    pub etag: Option<String>,
    /// Where indexes are kept; `None`: nowhere.
    pub cache: Option<PathBuf>,
}

/// What the calls of one open archive share.
pub struct OpenArchive {
    engine: Engine,
    request: ArchiveRequest,
    now: RwLock<Arc<Version>>,
}

/// One version of it.
pub struct Version {
    pub archive: Archive,
    pub object: Option<Arc<ObjectRanges>>,
    pieces: Arc<Pieces>,
    /// How much of the pieces is in the cache, as `Pieces::added` counts.
    kept: AtomicU64,
    /// Nothing but the cache has said so far that there is this version.
    unproved: AtomicBool,
}

impl OpenArchive {
    /// Opens; `whole_index`: a listing will follow.
    pub async fn open(
        engine: &Engine,
        request: ArchiveRequest,
        whole_index: bool,
        cancel: &Cancel,
    ) -> Result<Arc<Self>> {
        let version = version(engine, &request, (whole_index, true), cancel).await?;
        let now = RwLock::new(Arc::new(version));
        Ok(Arc::new(Self { engine: engine.clone(), request, now }))
    }

    pub fn now(&self) -> Arc<Version> {
        self.now.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Runs `work` on a thread of its own. If the object turns out to be another one than the cache knew, once more.
    pub async fn run<T: Send + 'static>(
        self: &Arc<Self>,
        cancel: &Cancel,
        work: impl Fn(&Archive) -> Result<T> + Clone + Send + 'static,
    ) -> Result<T> {
        let version = self.now();
        let outcome = Self::attempt(version.clone(), cancel, work.clone()).await;
        match outcome {
            Err(error) if error.kind() == ErrorKind::ObjectChanged && version.unproved.load(SeqCst) => {
                let fresh = self::version(&self.engine, &self.request, (false, false), cancel).await?;
                let fresh = Arc::new(fresh);
                *self.now.write().unwrap_or_else(PoisonError::into_inner) = fresh.clone();
                let outcome = Self::attempt(fresh, cancel, work).await;
                self.keep().await;
                outcome
            }
            outcome => {
                self.keep().await;
                outcome
            }
        }
    }

    /// That the object still is what the cache says, where nothing else has shown it yet; one request at most.
    pub async fn prove(self: &Arc<Self>, cancel: &Cancel) -> Result<()> {
        let version = self.now();
        let Some(object) = version.object.as_ref().filter(|_| version.unproved.load(SeqCst)) else { return Ok(()) };
        match object.head(&self.engine, cancel).await {
            Ok(()) => {
                version.unproved.store(false, SeqCst);
                Ok(())
            }
            Err(error) if matches!(error.kind(), ErrorKind::ObjectChanged | ErrorKind::NotFound) => {
                let fresh = self::version(&self.engine, &self.request, (true, false), cancel).await?;
                *self.now.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(fresh);
                Ok(())
            }
            Err(error) => Err(error),
        }
    }

    async fn attempt<T: Send + 'static>(
        version: Arc<Version>,
        cancel: &Cancel,
        work: impl FnOnce(&Archive) -> Result<T> + Send + 'static,
    ) -> Result<T> {
        if let Some(object) = &version.object {
            object.begin(cancel);
        }
        let of_thread = version.clone();
        let outcome = on_thread("s3z-archive", move || work(&of_thread.archive)).await;
        if version.object.as_ref().is_some_and(|object| object.has_answered()) {
            version.unproved.store(false, SeqCst);
        }
        outcome
    }

    /// Notes what was learnt; a cache that cannot be written is none.
    async fn keep(&self) {
        let (Some(directory), version) = (&self.request.cache, self.now()) else { return };
        let (ArchivePlace::Object(object), Some(ranges)) = (&self.request.place, &version.object) else { return };
        let added = version.pieces.added();
        if version.kept.swap(added, SeqCst) == added {
            return;
        }
        let (cache, etag) = (Cache::of(directory, &self.engine, object), ranges.etag());
        let store = move || {
            cache.store(etag.as_deref(), version.archive.opened().size, &version.pieces);
            Ok(())
        };
        let _ = self.engine.lanes.pick().call(store).await;
    }
}

/// Runs `work`, which waits, on a thread of its own.
pub async fn on_thread<T: Send + 'static>(name: &str, work: impl FnOnce() -> Result<T> + Send + 'static) -> Result<T> {
    let (ended, end) = oneshot::channel();
    spawn(name, move || drop(ended.send(work())))?;
    end.await.unwrap_or_else(|_| Err(Error::new(ErrorKind::Internal, "a thread of the archive panicked")))
}

async fn version(
    engine: &Engine,
    request: &ArchiveRequest,
    (whole_index, may_use_cache): (bool, bool),
    cancel: &Cancel,
) -> Result<Version> {
    let pieces = Arc::new(Pieces::default());
    let root = request.root;
    let (ranges, object): (Arc<dyn Ranges>, _) = match &request.place {
        ArchivePlace::File(path) => {
            let path = path.clone();
            let file = engine.lanes.pick().call(move || FileRanges::open(&path)).await?;
            (Arc::new(file), None)
        }
        ArchivePlace::Object(object) => {
            let cache = request.cache.as_ref().filter(|_| may_use_cache);
            let kept = match cache.map(|directory| Cache::of(directory, engine, object)) {
                Some(cache) => {
                    let to = pieces.clone();
                    engine.lanes.pick().call(move || Ok(cache.load(&to))).await?
                }
                None => None,
            };
            let kept = kept.filter(|etag| request.etag.as_ref().is_none_or(|wanted| wanted == etag));
            let etag = request.etag.clone().or(kept);
            let object = Arc::new(ObjectRanges::new(engine.clone(), object.clone(), etag));
            object.begin(cancel);
            (object.clone(), Some(object))
        }
    };
    let unproved = AtomicBool::new(!pieces.all().is_empty());
    let kept = AtomicU64::new(pieces.added());
    let shared = pieces.clone();
    let opened = on_thread("s3z-archive", {
        let ranges = ranges.clone();
        move || Archive::open(ranges, shared, root, whole_index)
    });
    match opened.await {
        Ok(archive) => Ok(Version { archive, object, pieces, kept, unproved }),
        Err(error) if unproved.load(SeqCst) && error.kind() != ErrorKind::Cancelled => {
            // What the cache holds leads nowhere.
            Box::pin(version(engine, request, (whole_index, false), cancel)).await
        }
        Err(error) => Err(match &request.place {
            ArchivePlace::Object(object) => error.with_object(&object.bucket, &object.key),
            ArchivePlace::File(_) => error,
        }),
    }
}
