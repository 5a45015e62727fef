//! Where the entries of an archive go, as far as unpacking needs to know it.

use std::path::Path;
use std::sync::Arc;

use crate::archive::entry::Entry;
use crate::archive::index::Row;
use crate::archive::tree::{BigFile, Done, Finished, Tree, TreeOptions};
use crate::archive::unpack_report::UnpackTally;
use crate::error::Result;

/// Opened once everything was looked at, and nothing was refused.
pub trait Destination {
    fn open(&self, options: TreeOptions, tally: &Arc<UnpackTally>) -> Result<Box<dyn Place>>;
}

/// Takes entries from many threads at once. What was checked becomes a file as a whole or not at all.
pub trait Place: Send + Sync {
    fn directory(&self, entry: &Entry) -> Result<Done>;

    /// `None`: it is made, and counted, at the end.
    fn symlink(&self, entry: &Entry) -> Result<Option<Done>>;

    fn hard_link(&self, entry: &Entry) -> Result<Done>;

    /// A file whose content is at hand and checked. `None`: it is under way; the place tells the tally what became of it.
    fn small_file(&self, entry: &Entry, content: &[u8]) -> Result<Option<Done>>;

    /// Begins a file that comes slice by slice. `None`: it is skipped.
    fn big_file(&self, entry: &Entry) -> Result<Option<Box<dyn Growing>>>;

    /// Whether the place itself counts the bytes of files that it has written.
    fn counts_bytes(&self) -> bool {
        false
    }

    /// Returns when nothing is under way any more.
    fn settle(&self) -> Result<()> {
        Ok(())
    }

    /// Whether the file of this name, which was under way, has been written.
    fn wrote(&self, _name: &[u8]) -> bool {
        true
    }

    /// Whether `holds` can tell.
    fn reads_back(&self) -> bool {
        true
    }

    /// Whether each slice of a file that was written has its hash.
    fn holds(&self, name: &[u8], slices: &[Row]) -> Result<bool>;

    /// Takes a file away that was written.
    fn remove(&self, name: &[u8]) -> Result<()>;

    /// After the last entry.
    fn finish(self: Box<Self>) -> Finished;
}

/// A file while its slices come. Dropped without `publish`, nothing is left of it.
pub trait Growing: Send + Sync {
    /// Pieces may come in any order and at once; whoever brings one has brought those before it, or somebody else is about to.
    fn write_at(&self, offset: u64, bytes: &[u8]) -> Result<()>;

    /// No further piece will be good: nobody is to wait for one.
    fn give_up(&self) {}

    /// After the last slice.
    fn publish(self: Box<Self>) -> Result<Done>;
}

impl Destination for Path {
    fn open(&self, options: TreeOptions, _tally: &Arc<UnpackTally>) -> Result<Box<dyn Place>> {
        Ok(Box::new(Tree::open(self, options)?))
    }
}

impl Place for Tree {
    fn directory(&self, entry: &Entry) -> Result<Done> {
        self.directory(entry).map(|()| Done::Written)
    }

    fn symlink(&self, entry: &Entry) -> Result<Option<Done>> {
        self.symlink(entry).map(|()| None)
    }

    fn hard_link(&self, entry: &Entry) -> Result<Done> {
        self.hard_link(entry)
    }

    fn small_file(&self, entry: &Entry, content: &[u8]) -> Result<Option<Done>> {
        self.small_file(entry, &[content]).map(Some)
    }

    fn big_file(&self, entry: &Entry) -> Result<Option<Box<dyn Growing>>> {
        Ok(self.big_file(entry)?.map(|file| Box::new(file) as Box<dyn Growing>))
    }

    fn holds(&self, name: &[u8], slices: &[Row]) -> Result<bool> {
        self.holds(name, slices)
    }

    fn remove(&self, name: &[u8]) -> Result<()> {
        self.remove(name);
        Ok(())
    }

    fn finish(self: Box<Self>) -> Finished {
        Tree::finish(*self)
    }
}

impl Growing for BigFile {
    fn write_at(&self, offset: u64, bytes: &[u8]) -> Result<()> {
        self.write_at(offset, bytes)
    }

    fn publish(self: Box<Self>) -> Result<Done> {
        BigFile::publish(*self)
    }
}
