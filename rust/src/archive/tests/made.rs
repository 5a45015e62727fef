//! Trees made of a seed: entries in name order, of sizes at which something turns.

use std::collections::{BTreeMap, BTreeSet};

use crate::archive::entry::{Entry, Kind};
use crate::archive::source::Inode;

use super::memory::{GROUP, Item, SLICE};

/// The same numbers of the same seed.
pub struct Random(u64);

impl Random {
    pub fn new(seed: u64) -> Self {
        Self(seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1)
    }

    pub fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0.wrapping_mul(0x2545_F491_4F6C_DD1D)
    }

    pub fn below(&mut self, end: u64) -> u64 {
        (self.next() >> 16) % end.max(1)
    }

    pub fn one_of<'a, T>(&mut self, all: &'a [T]) -> &'a T {
        &all[self.below(all.len() as u64) as usize]
    }

    /// Bytes that nothing shrinks.
    pub fn noise(&mut self, len: usize) -> Vec<u8> {
        let mut out = Vec::with_capacity(len + 8);
        while out.len() < len {
            out.extend_from_slice(&self.next().to_le_bytes());
        }
        out.truncate(len);
        out
    }

    /// Bytes that shrink to about a third.
    pub fn text(&mut self, len: usize) -> Vec<u8> {
        let mut out = Vec::with_capacity(len + 16);
        while out.len() < len {
            out.extend_from_slice(format!("{:x} ", self.below(1 << 20)).repeat(2).as_bytes());
        }
        out.truncate(len);
        out
    }
}

/// Sizes on both sides of every limit.
pub fn sizes() -> Vec<u64> {
    let limits =
        [512, 16 << 10, 128 << 10, GROUP - 512, GROUP, 2 * GROUP, SLICE - 512, SLICE, 2 * SLICE - 1024, 2 * SLICE];
    let mut all = vec![0, 1, 2, 100, 3000, 5 * SLICE / 2];
    all.extend(limits.iter().flat_map(|limit| [limit - 1, *limit, limit + 1]));
    all
}

fn content(random: &mut Random, len: usize) -> Vec<u8> {
    match random.below(5) {
        0 => random.noise(len),
        1 => vec![0; len],
        2 => {
            let half = random.noise(len / 2);
            [half, random.text(len - len / 2)].concat()
        }
        _ => random.text(len),
    }
}

fn component(random: &mut Random) -> Vec<u8> {
    let ends: [&[u8]; 7] = [b"", b".txt", b".jpg", b".ZIP", b"-", b".x", b".."];
    let stem: Vec<u8> = match random.below(12) {
        0 => vec![b'n'; 90 + random.below(158) as usize],
        1 => "ü€🙂".into(),
        2 => vec![0xFF, b'a' + random.below(26) as u8],
        3 => b"a b\nc".into(),
        _ => format!("{}{}", random.one_of(&["a", "b", "a-", "a.", "A", "zz"]), random.below(40)).into(),
    };
    [&stem, *random.one_of(&ends)].concat()
}

/// A tree of about `count` entries and at most about `room` bytes of files.
pub fn tree(seed: u64, count: usize, room: u64, xattrs: bool) -> Vec<Item> {
    let random = &mut Random::new(seed);
    let (mut directories, mut taken): (Vec<Vec<u8>>, BTreeSet<Vec<u8>>) = (vec![Vec::new()], BTreeSet::new());
    let mut items: BTreeMap<Vec<u8>, Item> = BTreeMap::new();
    let (sizes, mut room) = (sizes(), room);
    while items.len() < count {
        let mut name = random.one_of(&directories).clone();
        name.extend(component(random));
        if name.len() > 700 || !taken.insert(name.clone()) {
            continue;
        }
        let mut entry = Entry {
            mode: random.below(0o10000) as u32,
            uid: Some(random.below(1 << 22) as u32).filter(|id| id % 5 > 0),
            gid: Some(random.below(1 << 10) as u32).filter(|id| id % 7 > 0),
            mtime_ns: random.next() as i64 >> random.below(8),
            ..Entry::default()
        };
        if xattrs && random.below(3) == 0 {
            entry.xattrs.push(("user.a=%b".to_owned(), random.noise(7)));
            entry.xattrs.push(("user.n".to_owned(), Vec::new()));
        }
        let mut data = Vec::new();
        match random.below(10) {
            0 | 1 => {
                name.push(b'/');
                directories.push(name.clone());
                if random.below(4) == 0 {
                    // Only what lies beneath tells of it.
                    continue;
                }
                entry.kind = Kind::Directory;
            }
            2 => {
                (entry.kind, entry.xattrs) = (Kind::Symlink, Vec::new());
                entry.link = component(random).repeat(1 + random.below(3) as usize);
            }
            _ => {
                let size = *random.one_of(&sizes);
                let size = if size <= room { size } else { random.below(600) };
                room = room.saturating_sub(size);
                data = content(random, size as usize);
                entry.size = size;
            }
        }
        entry.name = name.clone();
        items.insert(name, Item { entry, ..Item::default() }.with_data(data));
    }
    with_links(items.into_values().collect(), random)
}

/// Some files get a second name, further on.
fn with_links(mut items: Vec<Item>, random: &mut Random) -> Vec<Item> {
    for number in 1..4 {
        let files: Vec<usize> = (0..items.len()).filter(|at| items[*at].is_plain_file()).collect();
        let Some(at) = Some(files).filter(|files| !files.is_empty()).map(|files| *random.one_of(&files)) else { break };
        items[at].inode = Some(Inode { device: 1, number, links: 2 });
        let mut second = items[at].clone();
        let name = format!("zzz/link{number}").into_bytes();
        second.entry.name = name;
        items.push(second);
    }
    items.sort_by(|one, other| one.entry.name.cmp(&other.entry.name));
    items
}
