//! The planner: entries in name order become numbered runs, by their names and sizes alone.
//!
//! So the same tree is cut in the same places whatever the machine does. A run is what one reader takes into one slot: small
//! entries as long as they fit, or two slices of a big file.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, AtomicU32};
use std::sync::{Arc, OnceLock};

use crate::archive::entry::{Entry, Kind};
use crate::archive::names;
use crate::archive::report::Tally;
use crate::archive::source::{Content, Found, Inode};
use crate::archive::tail::OWN;
use crate::error::{Error, ErrorKind, Result};

/// What an entry is taken to need besides its data.
const OVERHEAD: u64 = 1024;

/// What one reader takes at once.
pub enum Run {
    Small(Vec<Entry>),
    /// Some slices of a big file, which all its runs share.
    Big(Arc<BigFile>, std::ops::Range<u32>),
}

/// A file of more than one slice.
pub struct BigFile {
    pub entry: Arc<Entry>,
    /// `None`: it could not be opened, which is told already.
    pub content: OnceLock<Option<Arc<dyn Content>>>,
    pub is_stored: OnceLock<bool>,
    /// Something of it is missing or was changed.
    pub is_spoilt: AtomicBool,
    /// Slices that nobody has read yet: whoever reads the last one looks whether the file was changed meanwhile.
    pub unread: AtomicU32,
}

impl BigFile {
    pub fn slices(&self, slice_size: u64) -> u32 {
        self.entry.size.div_ceil(slice_size) as u32
    }
}

/// By device and number: a file's first name, and how many of its names are still to come.
type FirstNames = HashMap<(u64, u64), (Arc<[u8]>, u64)>;

/// Turns what a walk finds into runs.
pub struct Planner<'a> {
    found: Box<dyn Iterator<Item = Found> + Send + 'a>,
    tally: &'a Tally,
    slice_size: u64,
    /// A name that is the archive's own.
    reserved: Option<&'static [u8]>,
    /// The first name of each file that has several, until all of them were seen.
    first_names: FirstNames,
    sequence: names::Sequence,
    next: Option<Entry>,
    big: Option<(Arc<BigFile>, u32)>,
}

impl<'a> Planner<'a> {
    /// `is_tar`: of a plain tar, in which the index is an entry too.
    pub fn new(
        found: Box<dyn Iterator<Item = Found> + Send + 'a>,
        (slice_size, is_tar): (u64, bool),
        tally: &'a Tally,
    ) -> Self {
        let reserved = is_tar.then_some(OWN);
        let (first_names, sequence) = (HashMap::new(), names::Sequence::default());
        Self { found, tally, slice_size, reserved, first_names, sequence, next: None, big: None }
    }

    /// The next run; `None` at the end.
    pub fn next_run(&mut self) -> Result<Option<Run>> {
        if let Some(run) = self.next_of_big() {
            return Ok(Some(run));
        }
        let (mut small, mut bytes) = (Vec::new(), 0);
        loop {
            let entry = match self.next.take() {
                Some(entry) => entry,
                None => match self.next_entry()? {
                    Some(entry) => entry,
                    None => return Ok((!small.is_empty()).then_some(Run::Small(small))),
                },
            };
            let is_big = entry.data_len() > self.slice_size;
            let needed = OVERHEAD + entry.data_len();
            if !small.is_empty() && (is_big || bytes + needed > 2 * self.slice_size) {
                self.next = Some(entry);
                return Ok(Some(Run::Small(small)));
            }
            if is_big {
                self.check_slices(&entry)?;
                let slices = entry.size.div_ceil(self.slice_size) as u32;
                let file = BigFile {
                    unread: AtomicU32::new(slices),
                    entry: Arc::new(entry),
                    content: OnceLock::new(),
                    is_stored: OnceLock::new(),
                    is_spoilt: AtomicBool::new(false),
                };
                self.big = Some((Arc::new(file), 0));
                return Ok(self.next_of_big());
            }
            bytes += needed;
            small.push(entry);
        }
    }

    fn next_of_big(&mut self) -> Option<Run> {
        let (file, from) = self.big.take()?;
        let all = file.slices(self.slice_size);
        let to = all.min(from + 2);
        if to < all {
            self.big = Some((file.clone(), to));
        }
        Some(Run::Big(file, from..to))
    }

    fn check_slices(&self, entry: &Entry) -> Result<()> {
        if entry.size.div_ceil(self.slice_size) < super::seek::MAX_FRAMES {
            return Ok(());
        }
        Err(Error::new(ErrorKind::Archive, format!("\"{}\" is too large for an archive", entry.shown())))
    }

    /// The next that is to be packed; failures go to the tally.
    fn next_entry(&mut self) -> Result<Option<Entry>> {
        while let Some(found) = self.found.next() {
            let (mut entry, inode) = match found {
                Found::Entry(entry, inode) => (entry, inode),
                Found::Skipped(reason) => {
                    self.tally.skipped(reason);
                    continue;
                }
                Found::Failed(name, error) => {
                    self.tally.failed(&name, error)?;
                    continue;
                }
                Found::Broken(error) => return Err(error),
            };
            if self.reserved.is_some_and(|own| entry.name.starts_with(own)) {
                let text = "a plain tar cannot hold entries beneath __s3z__/, where its own index is";
                return Err(Error::new(ErrorKind::Archive, text));
            }
            let fits = names::check(&entry.name).and_then(|()| self.sequence.accept(&entry.name, entry.kind));
            if let Err(why) = fits {
                let error = Error::new(ErrorKind::Archive, format!("its name cannot be kept: {why}"));
                self.tally.failed(&entry.name, error)?;
                continue;
            }
            if let Some(inode) = inode.filter(|_| entry.kind == Kind::File) {
                link(&mut self.first_names, &mut entry, inode);
            }
            return Ok(Some(entry));
        }
        Ok(None)
    }
}

/// All but the first name of a file become links to it.
fn link(first_names: &mut FirstNames, entry: &mut Entry, inode: Inode) {
    let key = (inode.device, inode.number);
    match first_names.get_mut(&key) {
        None => {
            first_names.insert(key, (entry.name.as_slice().into(), inode.links.saturating_sub(1)));
        }
        Some((first, left)) => {
            entry.kind = Kind::HardLink;
            entry.link = first.to_vec();
            *left = left.saturating_sub(1);
            if *left == 0 {
                first_names.remove(&key);
            }
        }
    }
}
