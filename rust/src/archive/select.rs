//! Which entries of an archive are meant, and how much of it may be.

use std::collections::HashSet;

use crate::archive::entry::{Entry, Kind};
use crate::archive::local::Keeps;
use crate::archive::names;
use crate::archive::tree::Order;
use crate::error::{Error, ErrorKind, Result};

/// More original bytes for each packed one are refused unless that is asked for.
pub const MAX_RATIO: u64 = 1000;

/// What is unpacked.
pub struct Selection {
    /// A plain byte prefix of names.
    pub prefix: Vec<u8>,
    /// Exactly these; those that end in `/` with all that is beneath. Empty: all.
    pub names: Vec<Vec<u8>>,
    pub keeps: Option<Keeps>,
    pub strip_components: usize,
    pub max_bytes: Option<u64>,
    pub max_members: Option<u64>,
    pub max_ratio: u64,
    /// Names become keys.
    pub as_keys: bool,
}

impl Default for Selection {
    fn default() -> Self {
        Self {
            prefix: Vec::new(),
            names: Vec::new(),
            keeps: None,
            strip_components: 0,
            max_bytes: None,
            max_members: None,
            max_ratio: MAX_RATIO,
            as_keys: false,
        }
    }
}

impl Selection {
    /// Refuses more than was allowed.
    pub fn check(&self, entries: u64, bytes: u64, packed: u64) -> Result<()> {
        let refused = |text: String| Err(Error::new(ErrorKind::Archive, text));
        if let Some(most) = self.max_bytes.filter(|most| bytes > *most) {
            return refused(format!("more than {most} bytes would be unpacked (max_bytes)"));
        }
        if let Some(most) = self.max_members.filter(|most| entries > *most) {
            return refused(format!("more than {most} entries would be unpacked (max_members)"));
        }
        // Small archives may say much of nothing: one MiB is always allowed.
        if bytes > (1 << 20) && bytes / packed.max(1) > self.max_ratio {
            let most = self.max_ratio;
            return refused(format!("more than {most} bytes would come of each one of the archive (max_ratio)"));
        }
        Ok(())
    }

    /// With the leading components off; `None`: nothing is left.
    pub fn stripped(&self, entry: &Entry) -> Option<Entry> {
        let mut entry = entry.clone();
        if self.strip_components > 0 {
            entry.name = strip(&entry.name, self.strip_components)?.to_vec();
            if entry.kind == Kind::HardLink {
                entry.link = strip(&entry.link, self.strip_components)?.to_vec();
            }
        }
        Some(entry)
    }
}

fn strip(name: &[u8], components: usize) -> Option<&[u8]> {
    let mut rest = name;
    for _ in 0..components {
        let slash = rest.iter().position(|byte| *byte == b'/')?;
        rest = &rest[slash + 1..];
    }
    (!rest.is_empty()).then_some(rest)
}

/// The same over a run of names: which are chosen, and whether they go together.
pub struct Chosen<'a> {
    selection: &'a Selection,
    exact: HashSet<&'a [u8]>,
    found: HashSet<Vec<u8>>,
    /// `None`: names come sorted.
    order: Option<Order>,
    sequence: names::Sequence,
}

impl<'a> Chosen<'a> {
    pub fn new(selection: &'a Selection) -> Self {
        let exact = selection.names.iter().map(Vec::as_slice).collect();
        let (found, sequence) = (HashSet::new(), names::Sequence::default());
        let order = if selection.as_keys { Order::of_keys() } else { Order::new() };
        Self { selection, exact, found, order: Some(order), sequence }
    }

    /// Of names in order, for which nothing has to be remembered unless they are changed.
    pub fn of_sorted(selection: &'a Selection) -> Self {
        let mut chosen = Self::new(selection);
        chosen.order.take_if(|_| selection.strip_components == 0);
        chosen
    }

    pub fn is_chosen(&mut self, name: &[u8]) -> bool {
        let selection = self.selection;
        if !name.starts_with(&selection.prefix) {
            return false;
        }
        if !self.exact.is_empty() {
            let above = (1..=name.len()).filter(|end| name[end - 1] == b'/').map(|end| &name[..end]);
            let hit = std::iter::once(name).chain(above).find(|part| self.exact.contains(part));
            match hit {
                None => return false,
                Some(hit) if self.found.contains(hit) => {}
                Some(hit) => drop(self.found.insert(hit.to_vec())),
            }
        }
        selection.keeps.as_ref().is_none_or(|keeps| keeps(names::bare(name)))
    }

    /// That the entry's name is safe, and goes with those before it.
    pub fn accept(&mut self, entry: &Entry) -> Result<()> {
        let unsafe_name = |why: &str| {
            let shown = crate::error::escape(&entry.shown(), crate::error::MAX_SHOWN);
            Error::new(ErrorKind::Archive, format!("\"{shown}\" cannot be unpacked: {why}"))
        };
        let check = if self.selection.as_keys { names::check_key } else { names::check_entry };
        check(&entry.name, entry.kind).map_err(unsafe_name)?;
        let Some(entry) = self.selection.stripped(entry) else { return Ok(()) };
        match &mut self.order {
            Some(order) => {
                order.accept(&entry.name, entry.kind).map_err(|error| Error::new(ErrorKind::Archive, error.message()))
            }
            None => self.sequence.accept(&entry.name, entry.kind).map_err(unsafe_name),
        }
    }

    /// Names that were asked for and did not come.
    pub fn missing(&self) -> Vec<Vec<u8>> {
        let missing = self.exact.iter().filter(|name| !self.found.contains(**name));
        let mut missing: Vec<Vec<u8>> = missing.map(|name| name.to_vec()).collect();
        missing.sort();
        missing
    }
}
