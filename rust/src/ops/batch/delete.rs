//! Many deletions: keys in batches of 1,000, side by side, each with its own outcome; files beneath their directories.

use std::collections::HashMap;
use std::ffi::OsString;
use std::os::unix::ffi::OsStringExt;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;

use tokio::sync::mpsc;

use super::entry::{Found, Outcome, Place, What};
use super::feed::Feed;
use super::job::{Counts, Job};
use super::remove::Directories;
use super::spill::{Candidate, Candidates};
use crate::error::{Error, ErrorKind, Result};
use crate::ops::engine::Engine;
use crate::ops::tasks::Tasks;
use crate::progress::{Cancel, Progress};

/// S3's bound on one DeleteObjects.
const BATCH: usize = 1000;
/// Batches under way at a time.
const ABREAST: usize = 8;

/// What is removed, and who is told.
pub struct Deleter {
    pub engine: Engine,
    pub counts: Arc<Counts>,
    progress: Arc<Progress>,
    pub cancel: Cancel,
    pub dry_run: bool,
    pub exit_on_error: bool,
    pub out: mpsc::Sender<Outcome>,
    tasks: Tasks<Vec<Outcome>>,
}

/// A key, and the version of it that is meant.
type Key = (String, Option<String>);

impl Deleter {
    pub fn new(
        engine: Engine,
        counts: Arc<Counts>,
        progress: Arc<Progress>,
        cancel: Cancel,
        dry_run: bool,
        out: mpsc::Sender<Outcome>,
    ) -> Self {
        Self { engine, counts, progress, cancel, dry_run, exit_on_error: false, out, tasks: Tasks::new() }
    }

    /// The deletions of a sync, from what was found to be only at its destination.
    pub fn after(job: &Job, out: mpsc::Sender<Outcome>) -> Self {
        let (counts, progress, cancel) = (job.counts.clone(), job.progress.clone(), job.cancel.clone());
        let deleter = Self::new(job.destination.clone(), counts, progress, cancel, job.how.dry_run, out);
        Self { exit_on_error: job.how.exit_on_error, ..deleter }
    }

    /// Removes all that the feed finds.
    pub async fn all(&mut self, feed: &mut Feed) {
        let cancel = self.cancel.clone();
        tokio::select! {
            biased;
            () = cancel.cancelled() => {}
            () = self.feed(feed) => {}
        }
        self.tasks.stop().await;
        feed.stop().await;
    }

    async fn feed(&mut self, feed: &mut Feed) {
        let (mut buckets, mut files) = (HashMap::<Arc<str>, Vec<Key>>::new(), Vec::new());
        while let Some(found) = feed.next().await {
            self.counts.found.fetch_add(1, Relaxed);
            match found {
                Found::Entry(entry) => match entry.place {
                    Place::Object(object) => {
                        let keys = buckets.entry(object.bucket.clone()).or_default();
                        keys.push((object.key, object.version_id));
                        if keys.len() == BATCH {
                            let keys = std::mem::take(keys);
                            self.keys(&object.bucket, keys).await;
                        }
                    }
                    Place::File(path) => files.push(Candidate::named(path, &entry.relative)),
                },
                Found::Skipped(place, reason) => self.tell(outcome(place.shown(), What::Skipped(reason))).await,
                Found::Failed(failure) => {
                    self.tell(Outcome { operation: "rm", ..failure.into() }).await;
                }
                Found::Broken(error) => {
                    self.counts.is_broken.store(true, Relaxed);
                    self.tell(outcome(Vec::new(), What::Failed(error, None))).await;
                }
            }
            if files.len() == BATCH {
                self.files(std::mem::take(&mut files), false).await;
            }
        }
        self.progress.set_objects_total(Some(self.counts.found.load(Relaxed)));
        for (bucket, keys) in buckets.into_iter().filter(|(_, keys)| !keys.is_empty()) {
            self.keys(&bucket, keys).await;
        }
        if !files.is_empty() {
            self.files(files, false).await;
        }
        self.drain(0).await;
    }

    /// Removes candidates that a sync has found, of the bucket, or files where there is none.
    pub async fn candidates(&mut self, bucket: Option<&str>, candidates: Candidates) {
        let cancel = self.cancel.clone();
        tokio::select! {
            biased;
            () = cancel.cancelled() => {}
            () = self.each(bucket, candidates) => {}
        }
        self.tasks.stop().await;
    }

    async fn each(&mut self, bucket: Option<&str>, candidates: Candidates) {
        let mut batch = Vec::new();
        for candidate in candidates {
            match candidate {
                Ok(candidate) => batch.push(candidate),
                Err(error) => return self.tell(outcome(Vec::new(), What::Failed(error, None))).await,
            }
            if batch.len() == BATCH {
                self.some(bucket, std::mem::take(&mut batch)).await;
            }
        }
        self.some(bucket, batch).await;
        self.drain(0).await;
    }

    async fn some(&mut self, bucket: Option<&str>, batch: Vec<Candidate>) {
        if batch.is_empty() {
            return;
        }
        let Some(bucket) = bucket else { return self.files(batch, true).await };
        let key = |candidate: Candidate| (String::from_utf8_lossy(&candidate.name).into_owned(), None);
        self.keys(bucket, batch.into_iter().map(key).collect()).await;
    }

    async fn keys(&mut self, bucket: &str, keys: Vec<Key>) {
        self.drain(ABREAST - 1).await;
        if self.dry_run {
            for (key, version) in keys {
                let told = outcome(shown(bucket, &key), What::Dry);
                self.tell(Outcome { version_id: version, ..told }).await;
            }
            return;
        }
        let (engine, bucket) = (self.engine.clone(), bucket.to_owned());
        self.tasks.spawn(async move { Ok(delete(&engine, &bucket, keys).await) });
    }

    async fn files(&mut self, files: Vec<Candidate>, compares: bool) {
        self.drain(ABREAST - 1).await;
        if self.dry_run {
            for file in files {
                self.tell(outcome(file.name, What::Dry)).await;
            }
            return;
        }
        let lane = self.engine.lanes.pick();
        self.tasks.spawn(async move {
            let work = move || {
                let mut directories = Directories::default();
                Ok(files.into_iter().map(|file| remove(file, compares, &mut directories)).collect())
            };
            lane.call(work).await
        });
    }

    /// Waits until at most so many are under way.
    async fn drain(&mut self, most: usize) {
        while self.tasks.len() > most {
            match self.tasks.next().await {
                Some(Ok(outcomes)) => {
                    for outcome in outcomes {
                        self.tell(outcome).await;
                    }
                }
                Some(Err(error)) => self.tell(outcome(Vec::new(), What::Failed(error, None))).await,
                None => return,
            }
        }
    }

    async fn tell(&mut self, outcome: Outcome) {
        if !self.counts.is_news(&outcome) {
            return;
        }
        self.counts.count(&outcome);
        if !matches!(outcome.what, What::Failed(..)) {
            self.progress.object_done();
        } else if self.exit_on_error || outcome.is_the_end() {
            self.cancel.trigger();
        }
        let _ = self.out.send(outcome).await;
    }
}

fn shown(bucket: &str, key: &str) -> Vec<u8> {
    format!("s3://{bucket}/{key}").into_bytes()
}

fn outcome(source: Vec<u8>, what: What) -> Outcome {
    Outcome { operation: "rm", source, destination: None, version_id: None, object: None, what }
}

impl Candidate {
    /// A file that is removed whatever it is by now.
    fn named(path: PathBuf, relative: &[u8]) -> Self {
        Self { name: path.into_os_string().into_vec(), size: 0, mtime: 0, inode: 0, beneath: relative.len() }
    }
}

/// A batch of keys; every key has its own outcome, the same failure for all if the request failed.
async fn delete(engine: &Engine, bucket: &str, keys: Vec<Key>) -> Vec<Outcome> {
    let _request = engine.scheduler.request().await;
    match engine.client.delete_objects(bucket, &keys).await {
        Ok(outcomes) => outcomes
            .into_iter()
            .map(|deleted| {
                let what = match deleted.failure {
                    None => What::Done(None),
                    Some((code, message)) => What::Failed(refusal(bucket, &deleted.key, &code, &message), None),
                };
                Outcome { version_id: deleted.version_id, ..outcome(shown(bucket, &deleted.key), what) }
            })
            .collect(),
        Err(error) => {
            let failed = |(key, version_id): Key| {
                let ids = (error.request_id().map(str::to_owned), error.host_id().map(str::to_owned));
                let again = Error::new(error.kind(), error.message()).with_request_id(ids.0, ids.1);
                let again = again.with_attempts(error.attempts()).with_object(bucket, &key);
                let again = match error.status() {
                    Some(status) => again.with_status(status, error.code().map(str::to_owned)),
                    None => again,
                };
                let told = outcome(shown(bucket, &key), What::Failed(again, None));
                Outcome { version_id, ..told }
            };
            keys.into_iter().map(failed).collect()
        }
    }
}

fn refusal(bucket: &str, key: &str, code: &str, message: &str) -> Error {
    let kind = match code {
        "AccessDenied" | "AllAccessDisabled" => ErrorKind::AccessDenied,
        "SlowDown" | "ServiceUnavailable" => ErrorKind::Throttled,
        "NoSuchKey" | "NoSuchVersion" => ErrorKind::NotFound,
        _ => ErrorKind::Service,
    };
    Error::new(kind, message).with_object(bucket, key).with_status(200, Some(code.to_owned()))
}

/// Of a link, the link itself would go; but those are not selected. Looked at and removed under one descriptor (K4).
fn remove(file: Candidate, compares: bool, directories: &mut Directories) -> Outcome {
    let path = PathBuf::from(OsString::from_vec(file.name.clone()));
    let fail = |errno| Error::local_errno(&path, errno);
    let mut removed = || -> Result<()> {
        let (directory, name) = directories.of(&file.name, file.beneath)?;
        let stat = directory.stat(&name).map_err(fail)?;
        if compares && !file.is_still(&stat) {
            let text = format!("changed since it was listed, and is kept: \"{}\"", path.display());
            return Err(Error::integrity(text));
        }
        directory.unlink(&name).map_err(fail)
    };
    let what = match removed() {
        Ok(()) => What::Done(None),
        Err(error) => What::Failed(error, None),
    };
    outcome(file.name, what)
}
