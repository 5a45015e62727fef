//! Which directory is read next, and which reading ahead has to wait: pure logic, no file, thread or clock.
//!
//! Directories are given out in name order. `branches` is a stack whose top is first in name order: a directory given
//! out lies directly above the one that holds it, and leaves when all directories in it are given out. So the first
//! directory of the topmost branch that has one is the next, and it is also the one the consumer comes to first.
//! Each directory has a number: those of one listing count on from `Read::first`. Only what the consumer has not yet
//! entered counts as read ahead.

use std::collections::HashMap;
use std::sync::{Arc, OnceLock};

use super::listing::{BATCH, Listing};
use crate::error::{Error, Result};

/// More threads than this wait for one another's locks in the kernel.
pub const MAX_THREADS: usize = 4;
/// Entries read ahead of the consumer, at most.
pub const READ_AHEAD: usize = 65_536;
/// Each thread may have one batch on its way when this is reached.
const FULL: usize = READ_AHEAD - MAX_THREADS * BATCH;
/// Once full, threads wait until so few are left: not for each directory anew.
const RESUME: usize = READ_AHEAD / 2;
/// The number of the source.
pub const ROOT: u64 = 0;

/// Where a directory is. The names above it are shared with its neighbours.
#[derive(Debug, Default)]
pub struct Place {
    above: Option<Arc<Place>>,
    /// With its `/`; empty of the source.
    name: Box<[u8]>,
    /// Device and inode, once opened; only needed where links are followed.
    pub identity: OnceLock<(u64, u64)>,
}

impl Place {
    fn beneath(above: &Arc<Self>, name: &[u8]) -> Self {
        Self { above: Some(above.clone()), name: name.into(), identity: OnceLock::new() }
    }

    /// The directories that hold it, innermost first.
    fn holders(&self) -> impl Iterator<Item = &Self> {
        std::iter::successors(self.above.as_deref(), |place| place.above.as_deref())
    }

    /// Its name beneath the source: empty, or ending in `/`.
    pub fn path(&self) -> Vec<u8> {
        let mut names: Vec<&[u8]> = self.holders().map(|place| &place.name[..]).collect();
        names.reverse();
        names.push(&self.name);
        names.concat()
    }

    /// Whether a directory that holds it is this very directory.
    pub fn is_loop(&self, identity: (u64, u64)) -> bool {
        self.holders().any(|place| place.identity.get() == Some(&identity))
    }
}

impl Drop for Place {
    /// One after the other: a deep tree would overflow the stack.
    fn drop(&mut self) {
        let mut above = self.above.take();
        while let Some(place) = above {
            above = Arc::into_inner(place).and_then(|mut place| place.above.take());
        }
    }
}

/// A directory to read.
#[derive(Debug)]
pub struct Job {
    pub id: u64,
    pub place: Arc<Place>,
}

/// A directory that was read.
#[derive(Debug, Clone)]
pub struct Read {
    pub listing: Arc<Listing>,
    /// The number of the first directory in it.
    pub first: u64,
}

struct Branch {
    id: u64,
    place: Arc<Place>,
    /// Missing while it is read.
    read: Option<Read>,
    /// How many directories in it were given out.
    given: usize,
}

impl Branch {
    /// Gives out the next directory in it.
    fn give(&mut self) -> Option<Job> {
        let read = self.read.as_ref()?;
        let place = Place::beneath(&self.place, read.listing.directory(self.given)?);
        let id = read.first + self.given as u64;
        self.given += 1;
        Some(Job { id, place: Arc::new(place) })
    }

    fn is_done(&self) -> bool {
        self.read.as_ref().is_some_and(|read| self.given == read.listing.directory_count())
    }
}

/// How far one directory is.
struct Work {
    /// Entries counted as read ahead for it.
    weight: usize,
    /// Missing while it is read.
    outcome: Option<Result<Read>>,
}

pub struct Order {
    branches: Vec<Branch>,
    /// Given out and not yet entered.
    works: HashMap<u64, Work>,
    is_begun: bool,
    next_id: u64,
    held: usize,
    is_full: bool,
    /// What the consumer waits for.
    pub wanted: Option<u64>,
}

impl Order {
    pub fn new() -> Self {
        Self {
            branches: Vec::new(),
            works: HashMap::new(),
            is_begun: false,
            next_id: ROOT + 1,
            held: 0,
            is_full: false,
            wanted: None,
        }
    }

    /// Gives out the next directory in name order.
    pub fn give(&mut self) -> Option<Job> {
        let (index, job) = if self.is_begun { self.give_from_branch()? } else { (0, self.begin()) };
        self.branches.insert(index, Branch { id: job.id, place: job.place.clone(), read: None, given: 0 });
        self.works.insert(job.id, Work { weight: 0, outcome: None });
        self.weigh(job.id, 1);
        Some(job)
    }

    fn begin(&mut self) -> Job {
        self.is_begun = true;
        Job { id: ROOT, place: Arc::default() }
    }

    /// The next directory, and where its branch belongs.
    fn give_from_branch(&mut self) -> Option<(usize, Job)> {
        // Only branches being read have none to give: no more than there are threads.
        let index = self.branches.iter().rposition(|branch| branch.read.is_some())?;
        let branch = &mut self.branches[index];
        let job = branch.give()?;
        if !branch.is_done() {
            return Some((index + 1, job));
        }
        self.branches.remove(index);
        Some((index, job))
    }

    /// Counts entries of a directory that is being read.
    pub fn weigh(&mut self, id: u64, entries: usize) {
        if let Some(work) = self.works.get_mut(&id) {
            work.weight += entries;
            self.held += entries;
            self.is_full |= self.held >= FULL;
        }
    }

    /// Takes back a directory given out. True if that is news to threads that wait for a new one.
    pub fn finish(&mut self, id: u64, outcome: Result<Listing>) -> bool {
        let first = self.next_id;
        let outcome = outcome.map(|listing| Read { listing: Arc::new(listing), first });
        if let Some(index) = self.branches.iter().rposition(|branch| branch.id == id) {
            let branch = &mut self.branches[index];
            branch.read = outcome.as_ref().ok().cloned();
            self.next_id += branch.read.as_ref().map_or(0, |read| read.listing.directory_count() as u64);
            if branch.read.is_none() || branch.is_done() {
                self.branches.remove(index);
            }
        }
        let has_more = outcome.as_ref().is_ok_and(|read| read.listing.has_directories());
        if let Some(work) = self.works.get_mut(&id) {
            work.outcome = Some(outcome);
        }
        (has_more && !self.is_full) || self.is_over()
    }

    /// Whether nothing is left to read or being read.
    pub fn is_over(&self) -> bool {
        self.is_begun && self.branches.is_empty()
    }

    pub fn is_given(&self, id: u64) -> bool {
        self.works.contains_key(&id)
    }

    /// What was read, once. It counts no more as read ahead.
    pub fn enter(&mut self, id: u64) -> Option<Result<Read>> {
        self.works.get(&id)?.outcome.as_ref()?;
        let work = self.works.remove(&id)?;
        self.held -= work.weight;
        self.is_full &= self.held >= RESUME;
        work.outcome
    }

    pub fn is_full(&self) -> bool {
        self.is_full
    }

    /// Whether a thread that reads ahead has to wait, of the directory `reading` or for a new one.
    pub fn must_wait(&self, reading: Option<u64>) -> bool {
        self.is_full && (reading.is_none() || reading != self.wanted)
    }

    #[cfg(test)]
    pub fn held(&self) -> usize {
        self.held
    }
}

/// A consumer that asks for what nobody can give.
pub fn lost() -> Error {
    Error::new(crate::error::ErrorKind::Internal, "the walk lost a directory")
}
