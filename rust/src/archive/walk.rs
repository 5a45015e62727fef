//! The walk over a local tree: every entry beneath a source once, in name order.
//!
//! Name order is the plain byte order of the full name, where a directory counts with its `/`. With the names of each
//! directory sorted that way, depth-first order is name order. A few threads read directories ahead (`crew`), in the
//! order in which this iterator will ask for them (`order`); a directory that nobody has read yet when its turn comes
//! is read by the caller itself, so the walk never waits for room or for a thread that could not start. Nothing is
//! opened here but directories, each only while it is read; entries are reached through `Dirs`. What cannot be read
//! is a `Failed` in its place, and the walk goes on: each name is told once, as an entry or as a failure.
#![expect(clippy::disallowed_methods, reason = "the threads live in `Walk`, which joins them")]

mod crew;
mod dirs;
mod listing;
mod order;
#[cfg(test)]
mod tests;

use std::iter::FusedIterator;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::thread::JoinHandle;

use crew::Crew;
pub use dirs::Dirs;
pub use listing::Kind;
use order::{MAX_THREADS, ROOT, Read};

use crate::error::{Error, Result};

/// Says which names, directories with their `/`, are left out.
pub type Exclude = Box<dyn Fn(&[u8], bool) -> bool + Send>;

pub struct WalkOptions {
    /// The directory or file that a user named. It may be a link, or be reached through links.
    pub source: PathBuf,
    /// What all names begin with. A directory's prefix ends in `/` and makes the directory itself the first entry.
    pub prefix: Vec<u8>,
    /// Entries are what links lead to; a loop, or a link to nothing, is a failure of that name.
    pub follow_symlinks: bool,
    /// How many threads read ahead, at most 4; with 0 the caller reads everything.
    pub threads: usize,
    /// Directories that it leaves out are still walked: what is in them is asked for by itself.
    pub exclude: Option<Exclude>,
    /// Set by anybody, it ends the walk with one failure of kind `Cancelled`.
    pub cancel: Arc<AtomicBool>,
}

impl WalkOptions {
    pub fn new(source: impl Into<PathBuf>) -> Self {
        Self {
            source: source.into(),
            prefix: Vec::new(),
            follow_symlinks: false,
            threads: std::thread::available_parallelism().map_or(2, usize::from).clamp(2, MAX_THREADS),
            exclude: None,
            cancel: Arc::default(),
        }
    }
}

/// What the walk came upon.
#[derive(Debug)]
pub enum Found {
    Entry(Walked),
    /// A name without entry: an unreadable directory, a broken link. Nothing beneath it is found.
    Failed {
        name: Vec<u8>,
        error: Error,
    },
}

/// One entry: its name, and the way to it through `Dirs`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Walked {
    /// Begins with the prefix; a directory's ends in `/`.
    pub name: Vec<u8>,
    pub kind: Kind,
    /// Bytes of the prefix, which is no part of the way.
    prefix: usize,
}

impl Walked {
    /// The file of this name, of which so many bytes are the prefix.
    pub fn file(name: &[u8], prefix: usize) -> Self {
        Self { name: name.to_vec(), kind: Kind::File, prefix }
    }

    /// The directory that holds it, beneath the source: empty, or ending in `/`.
    pub fn parent(&self) -> &[u8] {
        self.split().0
    }

    /// Its name in that directory, without `/`; `.` of the source itself.
    pub fn base(&self) -> &[u8] {
        self.split().1
    }

    fn split(&self) -> (&[u8], &[u8]) {
        let way = &self.name[self.prefix..];
        let way = way.strip_suffix(b"/").unwrap_or(way);
        match way.iter().rposition(|byte| *byte == b'/') {
            Some(slash) => way.split_at(slash + 1),
            None if way.is_empty() => (way, b"."),
            None => (b"", way),
        }
    }
}

/// The iterator. Dropping it stops and joins its threads.
pub struct Walk {
    crew: Arc<Crew>,
    threads: Vec<JoinHandle<()>>,
    max_threads: usize,
    exclude: Option<Exclude>,
    excluded: u64,
    prefix: usize,
    /// The name now reached.
    name: Vec<u8>,
    /// The directories that hold it, outermost first.
    levels: Vec<Level>,
    ahead: Step,
}

/// What comes before, or instead of, the entries of `levels`.
enum Step {
    Source,
    File(Kind),
    Levels,
    Nothing,
}

/// A directory entered, and how much of it is done.
struct Level {
    read: Read,
    rows: usize,
    directories: u64,
    /// Bytes of the directory's name.
    name: usize,
}

impl Walk {
    /// Opens the source; what is not there, or may not be read, is an error.
    pub fn start(options: WalkOptions) -> Result<Self> {
        let (dirs, file) = Dirs::of_source(&options.source, options.follow_symlinks)?;
        let mut name = options.prefix;
        if file.is_none() && !name.is_empty() && !name.ends_with(b"/") {
            name.push(b'/');
        }
        let prefix = name.len();
        let mut ahead = Step::Source;
        if let Some(file) = file {
            ahead = Step::File(dirs.kind_of_file(&file).map_err(|errno| Error::local_errno(&options.source, errno))?);
            name.extend_from_slice(&file);
        }
        Ok(Self {
            crew: Arc::new(Crew::new(Arc::new(dirs), options.cancel)),
            threads: Vec::new(),
            max_threads: options.threads.min(MAX_THREADS),
            exclude: options.exclude,
            excluded: 0,
            prefix,
            name,
            levels: Vec::new(),
            ahead,
        })
    }

    /// The way to the entries; it outlives the walk.
    pub fn dirs(&self) -> Arc<Dirs> {
        self.crew.dirs.clone()
    }

    /// How many entries `exclude` has left out so far.
    pub fn excluded(&self) -> u64 {
        self.excluded
    }

    /// The next entry of the innermost directory, or `None` if it was left out or there is no more.
    fn step(&mut self) -> Option<Found> {
        let level = self.levels.last_mut()?;
        self.name.truncate(level.name);
        let Some((base, kind)) = level.read.listing.get(level.rows) else {
            self.levels.pop();
            return None;
        };
        level.rows += 1;
        self.name.extend_from_slice(base);
        match kind {
            Ok(Kind::Directory) => {
                let id = level.read.first + level.directories;
                level.directories += 1;
                self.enter(id)
            }
            Ok(kind) => self.entry(kind),
            Err(_) if self.leaves_out(false) => None,
            Err(errno) => {
                let error = Error::local_errno(&self.crew.dirs.shown(&self.name[self.prefix..]), errno);
                Some(Found::Failed { name: self.name.clone(), error })
            }
        }
    }

    /// Goes into the directory now reached.
    fn enter(&mut self, id: u64) -> Option<Found> {
        match self.crew.take(id) {
            Ok(read) => {
                // Threads are worth starting once there are directories to read ahead.
                if read.listing.has_directories() && self.threads.is_empty() {
                    self.start_threads();
                }
                self.levels.push(Level { read, rows: 0, directories: 0, name: self.name.len() });
                if self.name.is_empty() { None } else { self.entry(Kind::Directory) }
            }
            Err(error) => Some(Found::Failed { name: self.name.clone(), error }),
        }
    }

    fn entry(&mut self, kind: Kind) -> Option<Found> {
        if self.leaves_out(kind == Kind::Directory) {
            return None;
        }
        Some(Found::Entry(Walked { name: self.name.clone(), kind, prefix: self.prefix }))
    }

    fn leaves_out(&mut self, is_directory: bool) -> bool {
        let leaves_out = self.exclude.as_ref().is_some_and(|exclude| exclude(&self.name, is_directory));
        self.excluded += u64::from(leaves_out);
        leaves_out
    }

    /// As many as can be had: none is needed.
    fn start_threads(&mut self) {
        for index in 0..self.max_threads {
            let crew = self.crew.clone();
            let named = std::thread::Builder::new().name(format!("s3z-walk-{index}"));
            self.threads.extend(named.spawn(move || crew.work()));
        }
        self.max_threads = 0;
    }
}

impl Iterator for Walk {
    type Item = Found;

    fn next(&mut self) -> Option<Found> {
        loop {
            if !matches!(self.ahead, Step::Nothing) && self.crew.cancel.load(Relaxed) {
                self.ahead = Step::Nothing;
                return Some(Found::Failed { name: Vec::new(), error: Error::cancelled() });
            }
            let found = match std::mem::replace(&mut self.ahead, Step::Levels) {
                Step::Source => self.enter(ROOT),
                Step::File(kind) => self.entry(kind),
                Step::Levels if !self.levels.is_empty() => self.step(),
                Step::Levels | Step::Nothing => {
                    self.ahead = Step::Nothing;
                    return None;
                }
            };
            // What a cancelled walk failed at is no failure of that name.
            if found.is_some() && !(self.crew.cancel.load(Relaxed) && matches!(found, Some(Found::Failed { .. }))) {
                return found;
            }
        }
    }
}

impl FusedIterator for Walk {}

impl Drop for Walk {
    fn drop(&mut self) {
        self.crew.stop();
        for thread in self.threads.drain(..) {
            let _ = thread.join(); // It catches its own panics.
        }
    }
}
