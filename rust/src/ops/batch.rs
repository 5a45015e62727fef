//! Many objects: listing → filter → transfer as one pipeline, for any number of them.
//!
//! ```text
//! feed (a listing, a walk, names) ─┐                            ┌─ outcomes, a bounded queue
//!                                  ├─ intake → run → transfers ─┤
//! feed of the destination (sync) ──┘                            └─ counts
//! ```
//!
//! Work starts while the listing goes on; nothing is held for each object but what is in work. One object's failure
//! touches no other. A sync deletes last, and only if nothing at all has failed. Outcomes are taken by whoever asked, in
//! batches; stopping (`Cancel`) stops every transfer and waits for its clean-up.

mod content;
mod copy;
mod decide;
mod delete;
mod dry;
mod entry;
mod feed;
mod goal;
mod job;
mod local;
mod manifest;
mod order;
mod remove;
mod render;
mod run;
mod small;
mod small_upload;
mod spill;
mod sync;
mod transfer;

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

use tokio::sync::mpsc;

pub use decide::Tests;
pub use entry::{Entry, Object, Outcome, Place, What};
pub use feed::{Keys, Selection};
pub use goal::Goal;
pub use job::{ContentTypes, Counts, Glacier, How, Kept, Operation};
pub use local::{Matches, Tree};
pub(super) use render::{Record, civil, iso};
pub use render::{json, label, text};
pub use sync::Compare;

use crate::error::{Error, ErrorKind, Result};
use crate::ops::engine::Engine;
use crate::progress::{Cancel, Progress};
use delete::Deleter;
use feed::Feed;
use goal::{Beneath, Namer};
use job::Job;
use manifest::Manifest;
use order::Held;
use run::{Intake, Run};
use spill::Spill;
use sync::Join;

/// Outcomes that may wait to be taken.
const OUTCOMES: usize = 4096;

/// How long outcomes are gathered: taking each by itself would cost more than making it.
const MOMENT: Duration = Duration::from_millis(25);

/// What a batch does.
#[derive(Debug, Clone)]
pub enum Request {
    Transfer(TransferRequest),
    Sync(TransferRequest, SyncRequest),
    /// Compares without transferring; what is only at the destination is told if it is wanted.
    Verify(TransferRequest, SyncRequest, bool),
    Remove {
        selections: Vec<Selection>,
        dry_run: bool,
    },
}

#[derive(Debug, Clone)]
pub struct TransferRequest {
    pub operation: Operation,
    pub selections: Vec<Selection>,
    pub goal: Goal,
    pub flattens: bool,
    pub how: How,
    pub copies_on_server: bool,
    pub is_one_store: bool,
    pub workers: Option<usize>,
    /// A file that notes what is done, and what the job is called there.
    pub manifest: Option<(PathBuf, Vec<u8>)>,
}

#[derive(Debug, Clone)]
pub struct SyncRequest {
    /// Everything at the destination that takes part.
    pub compared: Selection,
    pub compare: Compare,
    pub deletes: bool,
    pub max_delete: Option<u64>,
    /// A source that selects nothing may delete everything.
    pub force: bool,
}

/// A batch under way, to whoever takes its outcomes.
pub struct Batch {
    outcomes: mpsc::Receiver<Outcome>,
    /// Taken by a call of `next` that has not ended.
    gathered: Vec<Outcome>,
    pub counts: Arc<Counts>,
}

/// The other end: what has to be run.
pub struct Work {
    request: Request,
    source: Engine,
    destination: Engine,
    progress: Arc<Progress>,
    cancel: Cancel,
    counts: Arc<Counts>,
    out: mpsc::Sender<Outcome>,
}

impl Batch {
    /// Both ends; the second has to be run.
    pub fn new(
        request: Request,
        (source, destination): (Engine, Engine),
        progress: Arc<Progress>,
        cancel: Cancel,
    ) -> (Self, Work) {
        let (out, outcomes) = mpsc::channel(OUTCOMES);
        let counts = Arc::<Counts>::default();
        progress.set_objects_total(None);
        let work = Work { request, source, destination, progress, cancel, counts: counts.clone(), out };
        (Self { outcomes, gathered: Vec::new(), counts }, work)
    }

    /// The next outcomes, as many as come within a moment after the first; none at the end. May be dropped and called
    /// again: nothing is lost of what it has.
    pub async fn next(&mut self, most: usize) -> Vec<Outcome> {
        let Self { outcomes, gathered, .. } = self;
        if gathered.is_empty() {
            outcomes.recv_many(gathered, most).await;
        }
        let gather = async {
            while !gathered.is_empty() && gathered.len() < most {
                let room = most - gathered.len();
                if outcomes.recv_many(gathered, room).await == 0 {
                    return;
                }
            }
        };
        let _ = tokio::time::timeout(MOMENT, gather).await;
        std::mem::take(gathered)
    }
}

impl Work {
    /// Carries it out; returns when nothing of it is under way any more.
    pub async fn run(self) {
        let out = self.out.clone();
        let counts = self.counts.clone();
        if let Err(error) = Box::pin(self.start()).await {
            let failure = entry::Failure::of(Vec::new(), error);
            let outcome: Outcome = failure.into();
            counts.count(&outcome);
            let _ = out.send(outcome).await;
        }
    }

    async fn start(self) -> Result<()> {
        match self.request.clone() {
            Request::Transfer(request) => self.transfer(request).await,
            Request::Sync(request, sync) => self.sync(request, sync).await,
            Request::Verify(request, sync, both) => self.verify(request, &sync, both).await,
            Request::Remove { selections, dry_run } => self.remove(selections, dry_run).await,
        }
    }

    async fn job(&self, request: &TransferRequest) -> Result<Arc<Job>> {
        let writes = !request.how.dry_run;
        let manifest = match request.manifest.clone() {
            Some((path, job)) => {
                let open = move || Manifest::open(&path, &job, writes);
                Some(self.source.lanes.pick().call(open).await?)
            }
            None => None,
        };
        let beneath = match &request.goal {
            Goal::Local { path, is_exact: false } => Some(Arc::new(Beneath::new(path.clone()))),
            _ => None,
        };
        Ok(Arc::new(Job {
            operation: request.operation,
            source: self.source.clone(),
            destination: self.destination.clone(),
            copies_on_server: request.copies_on_server,
            is_one_store: request.is_one_store,
            namer: Namer::new(request.goal.clone(), request.flattens, request.selections.len() > 1),
            beneath,
            how: request.how.clone(),
            progress: self.progress.clone(),
            cancel: self.cancel.clone(),
            counts: self.counts.clone(),
            manifest,
            mode: crate::transfer::temp_file::new_mode(),
        }))
    }

    async fn transfer(self, request: TransferRequest) -> Result<()> {
        let job = self.job(&request).await?;
        let to_files = matches!(request.goal, Goal::Local { is_exact: false, .. });
        let from_listing = matches!(request.selections.as_slice(), [Selection::Keys(_)]);
        let held = (to_files && from_listing && !request.flattens).then(Held::default);
        let mut intake = Intake::Feed(Feed::start(&self.source, request.selections)?, held);
        Run::new(job, request.workers, self.out).all(&mut intake).await;
        Ok(())
    }

    async fn remove(self, selections: Vec<Selection>, dry_run: bool) -> Result<()> {
        let mut feed = Feed::start(&self.source, selections)?;
        let mut deleter = Deleter::new(self.source, self.counts, self.progress, self.cancel, dry_run, self.out);
        deleter.all(&mut feed).await;
        Ok(())
    }

    async fn verify(self, request: TransferRequest, sync: &SyncRequest, both: bool) -> Result<()> {
        let job = self.job(&request).await?;
        let theirs = Feed::start(&self.destination, vec![sync.compared.clone()])?;
        let ours = Feed::start(&self.source, request.selections)?;
        let mut join = Join::new(ours, theirs, sync.compare, false, None);
        join.tells = Some(both);
        Run::new(job, request.workers, self.out).all(&mut Intake::Join(Box::new(join))).await;
        Ok(())
    }

    async fn sync(self, request: TransferRequest, sync: SyncRequest) -> Result<()> {
        let job = self.job(&request).await?;
        let (to_files, bucket) = match &request.goal {
            Goal::Local { .. } | Goal::Paths => (true, None),
            Goal::Remote { bucket, .. } => (false, Some(bucket.clone())),
        };
        let candidates = if sync.deletes { Some(Spill::new()?) } else { None };
        let theirs = Feed::start(&self.destination, vec![sync.compared.clone()])?;
        let ours = Feed::start(&self.source, request.selections)?;
        let join = Join::new(ours, theirs, sync.compare, to_files, candidates);
        let mut intake = Intake::Join(Box::new(join));
        let ended = Run::new(job.clone(), request.workers, self.out.clone()).all(&mut intake).await;
        let Intake::Join(mut join) = intake else { return Ok(()) };
        let Some(candidates) = join.candidates.take() else { return Ok(()) };
        self.delete(&job, bucket.as_deref(), candidates, (join.selected, ended), &sync).await
    }

    /// The last step of a sync, after everything else has gone well.
    async fn delete(
        &self,
        job: &Job,
        bucket: Option<&str>,
        candidates: Spill,
        (selected, ended): (u64, bool),
        sync: &SyncRequest,
    ) -> Result<()> {
        let count = candidates.count();
        if count == 0 {
            return Ok(());
        }
        if !ended || job.has_failed() {
            self.counts.held_back.store(count, Relaxed);
            return Ok(());
        }
        if selected == 0 && !sync.force {
            self.counts.held_back.store(count, Relaxed);
            let text = "the source selects nothing, so that --delete would remove everything at the destination";
            self.refuse(Error::new(ErrorKind::NotFound, text), "not_found").await;
            return Ok(());
        }
        if let Some(most) = sync.max_delete.filter(|most| count > *most) {
            self.counts.held_back.store(count, Relaxed);
            let objects = if count == 1 { "1 object".to_owned() } else { format!("{count} objects") };
            let text = format!("{objects} would be deleted, but the limit is {most}: none was");
            self.refuse(Error::config(text), "delete_limit").await;
            return Ok(());
        }
        self.progress.set_objects_total(Some(self.counts.found.load(Relaxed) + count));
        Deleter::after(job, self.out.clone()).candidates(bucket, candidates.read()?).await;
        Ok(())
    }

    /// Tells why nothing is deleted; of no object by itself.
    async fn refuse(&self, error: Error, kind: &'static str) {
        let failure = entry::Failure { kind: Some(kind), ..entry::Failure::of(Vec::new(), error) };
        let outcome = Outcome { operation: "rm", ..failure.into() };
        self.counts.count(&outcome);
        let _ = self.out.send(outcome).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn outcome(number: u8) -> Outcome {
        let failure = entry::Failure::of(vec![number], Error::config("x"));
        failure.into()
    }

    /// A signal may end the wait in the moment in which outcomes are gathered.
    #[tokio::test(flavor = "current_thread")]
    async fn what_a_dropped_call_had_comes_with_the_next() {
        let (out, outcomes) = mpsc::channel(8);
        let mut batch = Batch { outcomes, gathered: Vec::new(), counts: Arc::default() };
        for number in 0..3 {
            out.send(outcome(number)).await.unwrap();
        }
        let dropped = tokio::time::timeout(MOMENT / 4, batch.next(8)).await;
        assert!(dropped.is_err());
        out.send(outcome(3)).await.unwrap();
        drop(out);
        let taken: Vec<Vec<u8>> = batch.next(8).await.into_iter().map(|outcome| outcome.source).collect();
        assert_eq!(taken, [[0], [1], [2], [3]]);
        assert!(batch.next(8).await.is_empty());
    }
}
