//! Whether the names of a stream agree with each other.
//!
//! An index is checked as a whole before anything is written; of a stream, each name is checked against those before
//! it, in any order. No name comes twice (`a` and `a/` are one), nothing lies below what is no directory. Kept for each
//! name, and for each directory that only names below it tell of: a hash of 8 bytes and one byte, 17 to 40 bytes in the
//! table. The hash is keyed at random, so no input can aim at a collision; one by chance (1 in 370,000 streams of 10
//! million names) refuses an honest entry, and never lets a bad one through to a place outside.

use std::collections::HashMap;
use std::collections::hash_map::Entry as Slot;
use std::hash::{BuildHasher, RandomState};

use super::unsafe_entry;
use crate::archive::entry::Kind;
use crate::archive::names;
use crate::error::Result;

/// As many as an index may have rows.
const MAX_NAMES: usize = 1 << 26;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Seen {
    /// Something below it came.
    Above,
    Directory,
    Other,
}

/// The names of a stream so far.
#[derive(Debug)]
pub struct Order {
    seen: HashMap<u64, Seen>,
    hasher: RandomState,
    limit: usize,
    fits: fn(&[u8], Kind) -> std::result::Result<(), &'static str>,
}

impl Order {
    pub fn new() -> Self {
        Self::limited(MAX_NAMES)
    }

    /// For names that become keys.
    pub fn of_keys() -> Self {
        Self { fits: names::check_key, ..Self::new() }
    }

    /// For so many names at most, with the directories that only names below them tell of.
    pub fn limited(limit: usize) -> Self {
        Self { seen: HashMap::new(), hasher: RandomState::new(), limit, fits: names::check_entry }
    }

    /// How many names are kept.
    pub fn len(&self) -> usize {
        self.seen.len()
    }

    pub fn is_empty(&self) -> bool {
        self.seen.is_empty()
    }

    /// Takes the next name, or says what is wrong with it; then it counts as not taken.
    pub fn accept(&mut self, name: &[u8], kind: Kind) -> Result<()> {
        self.check(name, kind).map_err(|why| unsafe_entry(name, why))?;
        let above = names::bare(name);
        for end in (0..above.len()).rev().filter(|at| above[*at] == b'/') {
            match self.seen.entry(self.hasher.hash_one(&above[..end])) {
                Slot::Vacant(slot) => _ = slot.insert(Seen::Above),
                // Then all above it were seen too.
                Slot::Occupied(_) => break,
            }
        }
        let seen = if kind == Kind::Directory { Seen::Directory } else { Seen::Other };
        self.seen.insert(self.hash(names::bare(name)), seen);
        Ok(())
    }

    fn check(&self, name: &[u8], kind: Kind) -> Result<(), &'static str> {
        (self.fits)(name, kind)?;
        let own = self.seen.get(&self.hash(names::bare(name)));
        match own {
            None => {}
            Some(Seen::Above) if kind == Kind::Directory => {}
            Some(Seen::Above) => return Err("an entry below it came before, but it is no directory"),
            Some(_) => return Err("its name came before"),
        }
        let slashes = names::bare(name).iter().enumerate().filter(|(_, byte)| **byte == b'/');
        let mut added = usize::from(own.is_none());
        for (end, _) in slashes {
            match self.seen.get(&self.hash(&name[..end])) {
                Some(Seen::Other) => return Err("it lies below an entry that is no directory"),
                Some(_) => {}
                None => added += 1,
            }
        }
        if self.seen.len() + added > self.limit { Err("too many names came before") } else { Ok(()) }
    }

    fn hash(&self, name: &[u8]) -> u64 {
        self.hasher.hash_one(name)
    }
}

impl Default for Order {
    fn default() -> Self {
        Self::new()
    }
}
