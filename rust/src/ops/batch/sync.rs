//! Two ordered streams of names joined by merging: what is missing or differs is transferred, what is only at the
//! destination is a candidate for deletion. Memory does not grow with either side.
//!
//! The order is that of bytes, checked as the names come: a listing out of order would make missing of what is there.

use std::sync::atomic::Ordering::Relaxed;
use std::time::{SystemTime, UNIX_EPOCH};

use super::decide::Condition;
use super::entry::{Entry, Failure, Found, Outcome, Place, What};
use super::feed::Feed;
use super::job::Job;
use super::order::Held;
use super::run::{Step, Work, failed, left, settled, skipped};
use super::spill::Spill;
use crate::error::{Error, ErrorKind, Result};

/// How two of the same size are compared (cli.md 4.1).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Compare {
    /// The source is newer.
    #[default]
    Newer,
    SizeOnly,
    /// The times differ, in whole seconds.
    ExactTimes,
    /// By checksum, with ETags of single parts as MD5 if so said.
    Checksum {
        etags: bool,
    },
}

impl Compare {
    /// Whether the pair is the same; `None` if only content can tell.
    pub fn is_same(self, source: &Entry, destination: &Entry) -> Option<bool> {
        if source.size != destination.size {
            return Some(false);
        }
        match self {
            Self::SizeOnly => Some(true),
            Self::Checksum { .. } => None,
            Self::Newer => {
                Some(!matches!((source.modified, destination.modified), (Some(ours), Some(theirs)) if ours > theirs))
            }
            Self::ExactTimes => Some(seconds(source.modified) == seconds(destination.modified)),
        }
    }
}

fn seconds(time: Option<SystemTime>) -> Option<i128> {
    let time = time?;
    Some(match time.duration_since(UNIX_EPOCH) {
        Ok(since) => i128::from(since.as_secs()),
        Err(before) => {
            let before = before.duration();
            -i128::from(before.as_secs()) - i128::from(before.subsec_nanos() > 0)
        }
    })
}

/// One side, its next entry at hand.
struct Side {
    feed: Feed,
    next: Option<Entry>,
    last: Vec<u8>,
    is_open: bool,
}

enum Came {
    Entry,
    End,
    Other(Found),
}

impl Side {
    fn new(feed: Feed) -> Self {
        Self { feed, next: None, last: Vec::new(), is_open: true }
    }

    /// Makes sure that `next` is filled, unless it is at its end.
    async fn fill(&mut self) -> Result<Came> {
        if self.next.is_some() {
            return Ok(Came::Entry);
        }
        if !self.is_open {
            return Ok(Came::End);
        }
        match self.feed.next().await {
            None => {
                self.is_open = false;
                Ok(Came::End)
            }
            Some(Found::Entry(entry)) => {
                if entry.relative <= self.last && !self.last.is_empty() {
                    let shown = crate::error::escape(&String::from_utf8_lossy(&entry.relative), 1024);
                    let text = format!("the listing is not in order at \"{shown}\", so nothing can be compared");
                    return Err(Error::new(ErrorKind::Service, text));
                }
                self.last.clone_from(&entry.relative);
                self.next = Some(entry);
                Ok(Came::Entry)
            }
            Some(found) => Ok(Came::Other(found)),
        }
    }
}

pub struct Join {
    source: Side,
    destination: Side,
    compare: Compare,
    /// Where the destination is a file system: `a` and `a/b`.
    held: Option<Held>,
    /// Candidates for deletion, if any is wanted.
    pub candidates: Option<Spill>,
    pub selected: u64,
    is_over: bool,
    /// Nothing is to be done, only told; what is only at the destination, too, if true.
    pub tells: Option<bool>,
}

impl Join {
    pub fn new(source: Feed, destination: Feed, compare: Compare, to_files: bool, candidates: Option<Spill>) -> Self {
        let held = to_files.then(Held::default);
        let (source, destination) = (Side::new(source), Side::new(destination));
        Self { source, destination, compare, held, candidates, selected: 0, is_over: false, tells: None }
    }

    pub async fn stop(&mut self) {
        self.source.feed.stop().await;
        self.destination.feed.stop().await;
    }

    /// The next work; may be dropped and called again, since what came is kept on its side.
    pub async fn next(&mut self, job: &Job) -> Option<Step> {
        if self.is_over {
            return None;
        }
        match self.step(job).await {
            Ok(Some(step)) => Some(step),
            Ok(None) => {
                self.is_over = true;
                let work = self.held.as_mut().map(|held| settled(job, held.next(None))).unwrap_or_default();
                (!work.is_empty()).then_some(Step::Work(work))
            }
            Err(error) => {
                self.is_over = true;
                Some(Step::Broken(error))
            }
        }
    }

    async fn step(&mut self, job: &Job) -> Result<Option<Step>> {
        if let Came::Other(found) = self.source.fill().await? {
            return self.other(job, found, true).map(Some);
        }
        if let Came::Other(found) = self.destination.fill().await? {
            return self.other(job, found, false).map(Some);
        }
        let (source, destination) = (&mut self.source.next, &mut self.destination.next);
        let order = match (source.as_ref(), destination.as_ref()) {
            (None, None) => return Ok(None),
            (Some(_), None) => std::cmp::Ordering::Less,
            (None, Some(_)) => std::cmp::Ordering::Greater,
            (Some(ours), Some(theirs)) => ours.relative.cmp(&theirs.relative),
        };
        let ours = if order.is_le() { source.take() } else { None };
        let theirs = if order.is_ge() { destination.take() } else { None };
        Ok(Some(Step::Work(match (ours, theirs) {
            (Some(ours), theirs) => self.pair(job, ours, theirs),
            (None, Some(theirs)) => {
                let is_kept = theirs.is_marker();
                if let Some(candidates) = self.candidates.as_mut().filter(|_| !is_kept) {
                    candidates.push(&theirs)?;
                }
                match self.tells.filter(|_| !is_kept) {
                    Some(true) => vec![told_as(theirs.relative, What::Differs("destination_only"))],
                    _ => Vec::new(),
                }
            }
            (None, None) => Vec::new(),
        })))
    }

    fn pair(&mut self, job: &Job, ours: Entry, theirs: Option<Entry>) -> Vec<Work> {
        self.selected += 1;
        job.counts.found.fetch_add(1, Relaxed);
        if self.tells.is_some() {
            let Some(theirs) = theirs else { return vec![told_as(ours.relative, What::Differs("source_only"))] };
            return vec![match self.compare.is_same(&ours, &theirs) {
                Some(false) => told_as(ours.relative, What::Differs("differs")),
                Some(true) => told_as(ours.relative, What::Done(None)),
                None => Work::Verify(ours, theirs, self.compare),
            }];
        }
        if let Some(theirs) = theirs {
            match self.compare.is_same(&ours, &theirs) {
                Some(true) => return vec![Work::Told(left(job, &ours, "unchanged"))],
                Some(false) => {}
                None => return vec![Work::Compare(ours, theirs, self.compare)],
            }
        }
        ours.size.into_iter().for_each(|size| job.progress.add_total(size));
        match &mut self.held {
            Some(held) => settled(job, held.next(Some(ours))),
            None => vec![Work::Entry(ours, Some(Condition::None))],
        }
    }

    /// What is no entry: told if it is of the source. At the destination what cannot be read is a failure, too; what is left
    /// out there is nobody's concern.
    fn other(&mut self, job: &Job, found: Found, is_source: bool) -> Result<Step> {
        Ok(match found {
            Found::Broken(error) => return Err(error),
            Found::Failed(failure) if is_source => Step::Work(vec![Work::Told(failed(job, failure))]),
            Found::Failed(failure) => {
                let destination = Some(failure.source);
                let failure = Failure { source: Vec::new(), destination, ..failure };
                Step::Work(vec![Work::Told(failed(job, failure))])
            }
            Found::Skipped(place, reason) if is_source && told(&place, reason) => {
                Step::Work(vec![Work::Told(skipped(job, &place, reason))])
            }
            _ => Step::Work(Vec::new()),
        })
    }
}

/// What a comparison says of a name.
pub(super) fn told_as(relative: Vec<u8>, what: What) -> Work {
    Work::Told(Outcome {
        operation: "verify",
        source: relative,
        destination: None,
        version_id: None,
        object: None,
        what,
    })
}

/// Markers of the compared place itself are no news.
fn told(place: &Place, reason: &'static str) -> bool {
    !(reason == "directory_marker" && matches!(place, Place::Object(object) if object.key.is_empty()))
}
