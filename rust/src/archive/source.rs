//! What is packed, as far as packing needs to know it.

use std::sync::Arc;

use crate::archive::entry::Entry;
use crate::error::{Error, Result};

/// Entries in name order, and their content.
pub trait Source: Send + Sync {
    /// Everything there is. Called once.
    fn walk(&self) -> Box<dyn Iterator<Item = Found> + Send + '_>;

    /// The content of a file that `walk` gave.
    fn open(&self, entry: &Entry) -> Result<Arc<dyn Content>>;
}

/// What a walk comes across.
pub enum Found {
    /// An entry, and for a file with more than one name, which file it is.
    Entry(Entry, Option<Inode>),
    /// Something that is left out on purpose, and why.
    Skipped(&'static str),
    /// Something that should have been an entry.
    Failed(Vec<u8>, Error),
    /// The walk itself cannot go on; nobody knows what is missing.
    Broken(Error),
}

/// A file that has several names.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Inode {
    pub device: u64,
    pub number: u64,
    /// How many names it has, here and elsewhere.
    pub links: u64,
}

/// An open file.
pub trait Content: Send + Sync {
    /// When it was opened.
    fn size(&self) -> u64;

    /// Fills what it is lent, or as much as there is.
    fn read_at(&self, offset: u64, to: &mut [u8]) -> Result<usize>;

    /// Whether it is still what it was when it was opened.
    fn is_unchanged(&self) -> Result<bool>;
}
