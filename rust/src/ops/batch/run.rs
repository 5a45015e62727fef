//! The pipeline of a batch: what comes from the intake is begun as soon as there is room, and told as it ends.
//!
//! Bounds: so many objects at once; of large ones, which bring many requests each, fewer, so that small ones are never
//! kept waiting behind them; the large ones that wait are counted, too. Outcomes go into a queue that somebody empties:
//! who does not, stops the batch from taking more. One failure stops nothing, unless that was asked for.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;

use tokio::sync::mpsc;

use super::content::{same_bytes, same_content};
use super::decide::Condition;
use super::entry::{Entry, Failure, Found, Outcome, Place, What};
use super::feed::Feed;
use super::job::Job;
use super::order::Held;
use super::sync::{Compare, Join};
use super::transfer::transfer;
use crate::error::{Error, ErrorKind};
use crate::ops::engine::unless_cancelled;
use crate::ops::tasks::Tasks;

/// Objects in work where no number is given.
const WORKERS: usize = 128;
/// Large ones that may wait while small ones go on.
const WAITING: usize = 1000;

/// One thing to be done, or what is to be told without doing anything.
#[derive(Debug)]
pub enum Work {
    Entry(Entry, Option<Condition>),
    /// Same name and size on both sides: only their content tells.
    Compare(Entry, Entry, Compare),
    /// The same, only to be told.
    Verify(Entry, Entry, Compare),
    Told(Outcome),
}

/// Where work comes from.
pub enum Intake {
    Feed(Feed, Option<Held>),
    Join(Box<Join>),
}

/// What an intake gives for one step.
pub enum Step {
    Work(Vec<Work>),
    /// The listing broke off.
    Broken(Error),
}

impl Intake {
    /// The next step, `None` at the end. May be dropped and called again.
    pub async fn next(&mut self, job: &Job) -> Option<Step> {
        match self {
            Self::Feed(feed, held) => {
                let Some(found) = feed.next().await else {
                    let known = held.as_mut().map(|held| held.next(None))?;
                    let work = settled(job, known);
                    return (!work.is_empty()).then_some(Step::Work(work));
                };
                job.counts.found.fetch_add(1, Relaxed);
                Some(match found {
                    Found::Entry(entry) => {
                        entry.size.into_iter().for_each(|size| job.progress.add_total(size));
                        match held {
                            Some(held) => Step::Work(settled(job, held.next(Some(entry)))),
                            None => Step::Work(vec![Work::Entry(entry, None)]),
                        }
                    }
                    Found::Skipped(place, reason) => Step::Work(vec![Work::Told(skipped(job, &place, reason))]),
                    Found::Failed(failure) => Step::Work(vec![Work::Told(failed(job, failure))]),
                    Found::Broken(error) => Step::Broken(error),
                })
            }
            Self::Join(join) => join.next(job).await,
        }
    }

    /// Whether nothing more comes, known without asking for it: there may be no room to ask.
    fn is_over(&self) -> bool {
        matches!(self, Self::Feed(feed, None) if feed.is_over())
    }

    pub async fn stop(&mut self) {
        match self {
            Self::Feed(feed, _) => feed.stop().await,
            Self::Join(join) => join.stop().await,
        }
    }
}

/// What was held back, as work.
pub(super) fn settled(job: &Job, known: super::order::Known) -> Vec<Work> {
    let conflict = |entry: Entry| {
        let text = "there are also keys below this name, so that it would have to be a file and a directory";
        let error = Error::new(ErrorKind::AlreadyExists, text);
        let mut failure = Failure { kind: Some("conflict"), ..Failure::of(entry.place.shown(), error) };
        failure.destination = job.namer.place(&entry).ok().map(|spot| spot.shown());
        Work::Told(failed(job, failure))
    };
    let released = known.released.into_iter().map(|entry| Work::Entry(entry, None));
    known.conflicts.into_iter().map(conflict).chain(released).collect()
}

pub(super) fn failed(job: &Job, failure: Failure) -> Outcome {
    Outcome { operation: job.operation.word(), ..failure.into() }
}

pub(super) fn skipped(job: &Job, place: &Place, reason: &'static str) -> Outcome {
    Outcome {
        operation: job.operation.word(),
        source: place.shown(),
        destination: None,
        version_id: None,
        object: None,
        what: What::Skipped(reason),
    }
}

/// An entry that needs no transfer; with its place, if anybody is told.
pub(super) fn left(job: &Job, entry: &Entry, reason: &'static str) -> Outcome {
    if !job.how.tells_skips {
        return skipped(job, &entry.place, reason);
    }
    let destination = match job.namer.place(entry) {
        Ok(spot) => spot.shown(),
        Err((shown, ..)) => shown,
    };
    Outcome { destination: Some(destination), ..skipped(job, &entry.place, reason) }
}

/// What differs is transferred, and so is what cannot be compared.
async fn compared(job: Arc<Job>, ours: Entry, theirs: Entry, how: Compare) -> Outcome {
    match same_content(&job, &ours, &theirs, how).await {
        Ok(Some(true)) => left(&job, &ours, "same_checksum"),
        Ok(_) => transfer(job, ours, Some(Condition::None)).await,
        Err(error) => failed(&job, Failure::of(ours.place.shown(), error)),
    }
}

/// Whether the content is the same; by reading it where that is wanted and nothing else tells.
async fn verified(job: Arc<Job>, ours: Entry, theirs: Entry, how: Compare) -> Outcome {
    let compare = async {
        match same_content(&job, &ours, &theirs, how).await? {
            None if job.how.reads_content => same_bytes(&job, &ours, &theirs).await.map(Some),
            told => Ok(told),
        }
    };
    let what = match unless_cancelled(&job.cancel, compare).await {
        Ok(Some(true)) => What::Done(None),
        Ok(Some(false)) => What::Differs("differs"),
        Ok(None) => What::Differs("unproven"),
        Err(error) => return failed(&job, Failure::of(ours.place.shown(), error)),
    };
    Outcome { operation: "verify", source: ours.relative, destination: None, version_id: None, object: None, what }
}

/// One batch under way.
pub struct Run {
    job: Arc<Job>,
    tasks: Tasks<(bool, Outcome)>,
    /// Of `tasks`, how many are large.
    large: usize,
    waiting: VecDeque<(Entry, Option<Condition>)>,
    workers: usize,
    out: mpsc::Sender<Outcome>,
}

impl Run {
    pub fn new(job: Arc<Job>, workers: Option<usize>, out: mpsc::Sender<Outcome>) -> Self {
        let most = job.source.client.config().transfer.max_requests.min(job.source.descriptors.sockets());
        let workers = workers.unwrap_or(WORKERS.min(most)).max(1);
        Self { job, tasks: Tasks::new(), large: 0, waiting: VecDeque::new(), workers, out }
    }

    /// Everything, to its end; false if it was stopped before.
    pub async fn all(&mut self, intake: &mut Intake) -> bool {
        let cancel = self.job.cancel.clone();
        let ended = tokio::select! {
            biased;
            () = cancel.cancelled() => false,
            () = self.work(intake) => true,
        };
        // They see that they are to stop, clear up what they left, and say so.
        while let Some(last) = self.tasks.next().await {
            self.ended(last).await;
        }
        // A file that a cancelled task was just making is taken away by its lane.
        self.job.source.lanes.settled().await;
        intake.stop().await;
        ended && !cancel.is_set()
    }

    async fn work(&mut self, intake: &mut Intake) {
        let mut open = true;
        while open || !self.tasks.is_empty() || !self.waiting.is_empty() {
            self.begin_waiting();
            if open && intake.is_over() {
                self.know_total();
            }
            let has_room = open && self.tasks.len() < self.workers && self.waiting.len() < WAITING;
            tokio::select! {
                biased;
                Some(ended) = self.tasks.next(), if !self.tasks.is_empty() => self.ended(ended).await,
                step = intake.next(&self.job), if has_room => match step {
                    None => {
                        open = false;
                        self.know_total();
                    }
                    Some(Step::Work(work)) => {
                        for work in work {
                            self.begin(work).await;
                        }
                    }
                    Some(Step::Broken(error)) => self.broken(error).await,
                },
            }
        }
    }

    /// Nothing more is found: what there is in all is known.
    fn know_total(&self) {
        self.job.progress.set_objects_total(Some(self.job.counts.found.load(Relaxed)));
    }

    async fn begin(&mut self, work: Work) {
        match work {
            Work::Told(outcome) => self.tell(outcome).await,
            Work::Entry(entry, condition) if self.is_large(&entry) && self.large >= self.most_large() => {
                self.waiting.push_back((entry, condition));
            }
            Work::Entry(entry, condition) => self.spawn(entry, condition),
            Work::Verify(ours, theirs, how) => {
                let job = self.job.clone();
                self.tasks.spawn(async move { Ok((false, Box::pin(verified(job, ours, theirs, how)).await)) });
            }
            Work::Compare(ours, theirs, how) => {
                let job = self.job.clone();
                self.tasks.spawn(async move { Ok((false, Box::pin(compared(job, ours, theirs, how)).await)) });
            }
        }
    }

    fn begin_waiting(&mut self) {
        while self.large < self.most_large() && self.tasks.len() < self.workers {
            let Some((entry, condition)) = self.waiting.pop_front() else { return };
            self.spawn(entry, condition);
        }
    }

    fn spawn(&mut self, entry: Entry, condition: Option<Condition>) {
        let (job, large) = (self.job.clone(), self.is_large(&entry));
        self.large += usize::from(large);
        self.tasks.spawn(async move { Ok((large, transfer(job, entry, condition).await)) });
    }

    fn is_large(&self, entry: &Entry) -> bool {
        entry.size.is_some_and(|size| size > self.job.source.client.config().transfer.multipart_threshold)
    }

    fn most_large(&self) -> usize {
        (self.workers / 16).max(1)
    }

    async fn ended(&mut self, ended: crate::error::Result<(bool, Outcome)>) {
        match ended {
            Ok((large, outcome)) => {
                self.large -= usize::from(large);
                self.tell(outcome).await;
            }
            // A panic: which object it was is not known (Y8).
            Err(error) => {
                let failure = Failure::of(Vec::new(), error);
                self.tell(failed(&self.job, failure)).await;
            }
        }
    }

    async fn broken(&mut self, error: Error) {
        self.job.counts.is_broken.store(true, Relaxed);
        let failure = Failure::of(Vec::new(), error);
        self.tell(failed(&self.job, failure)).await;
    }

    async fn tell(&mut self, outcome: Outcome) {
        if let What::Failed(error, _) = &outcome.what
            && error.kind() == ErrorKind::Cancelled
        {
            return self.job.counts.stopped(error);
        }
        if !self.job.counts.is_news(&outcome) {
            return;
        }
        self.job.counts.count(&outcome);
        if !matches!(outcome.what, What::Failed(..)) {
            self.job.progress.object_done();
        } else if self.job.how.exit_on_error || outcome.is_the_end() {
            self.job.cancel.trigger();
        }
        // Nobody listens any more: the counts are told all the same.
        let _ = self.out.send(outcome).await;
    }
}
