//! No byte of an archive can be changed, cut off or added without being found, and none leads to wrong bytes.

use super::made::{Random, tree};
use super::memory::*;
use crate::archive::entry::Kind;
use crate::archive::pack::PackOptions;
use crate::archive::read::ReadOptions;
use crate::error::ErrorKind;

/// An entry of each kind, small enough to change each byte.
fn few() -> Vec<Item> {
    let mut named = Item::file("x", *b"named");
    (named.entry.name, named.entry.uid) = (b"raw\xff".to_vec(), Some(1000));
    vec![
        Item::other("d/", Kind::Directory, ""),
        Item::file("first", Random::new(5).text(300)).linked(1, 2),
        named,
        Item::file("second", Random::new(5).text(300)).linked(1, 2),
        Item::other("symlink", Kind::Symlink, "a/text"),
    ]
}

/// Whether a changed archive is seen to be one: it does not open, or `verify` says so.
fn is_seen(bytes: &[u8]) -> bool {
    let typed = |kind: ErrorKind| matches!(kind, ErrorKind::Archive | ErrorKind::Integrity);
    match open(bytes) {
        Err(error) => assert!(typed(error.kind()), "{error:?}"),
        Ok(archive) => match verified(&archive, 1) {
            Err(error) => assert!(typed(error.kind()), "{error:?}"),
            Ok(report) => return !report.problems.is_empty(),
        },
    }
    true
}

/// That what can be read of a changed archive is right.
fn check_bytes(bytes: &[u8], items: &[Item], what: &str) {
    let Ok(archive) = open(bytes) else { return };
    for item in items.iter().filter(|item| item.entry.kind == Kind::File) {
        let rows = archive.find_file(&item.entry.name, ReadOptions::default());
        let read = rows.and_then(|rows| archive.read_rows(&rows, 0..u64::MAX, ReadOptions::default()));
        assert!(read.is_err() || read.is_ok_and(|bytes| bytes == *item.data), "wrong bytes: {what}");
    }
}

/// Each byte changed in four ways, or in one of them in turn where the code is not optimised: which changes nobody sees.
fn unseen(items: &[Item], options: &PackOptions) -> Vec<(usize, u8)> {
    let (good, _) = packed(items, options);
    assert_eq!(verified(&open(&good).unwrap(), 1).unwrap().problems, []);
    let (mut unseen, mut bytes) = (Vec::new(), good.clone());
    for at in 0..good.len() {
        let ways = [good[at] ^ 1, good[at] ^ 0x80, 0, 0xFF];
        let ways = if cfg!(debug_assertions) { &ways[at % 4..=at % 4] } else { &ways[..] };
        for value in ways.iter().copied() {
            // Where it was 0 or FF before, something else.
            bytes[at] = if value == good[at] { good[at] ^ 0x55 } else { value };
            if !is_seen(&bytes) {
                unseen.push((at, bytes[at]));
            }
        }
        bytes[at] = good[at] ^ 4;
        check_bytes(&bytes, items, &format!("bit 2 of {at}"));
        bytes[at] = good[at];
    }
    unseen
}

fn every_byte(items: &[Item], options: &PackOptions) {
    let unseen = unseen(items, options);
    assert!(unseen.is_empty(), "{} changes are not seen: {:?}", unseen.len(), &unseen[..unseen.len().min(40)]);
}

#[test]
fn every_byte_of_frames() {
    every_byte(&few(), &options());
}

/// What does not shrink lies in the archive as it is.
#[test]
fn every_byte_of_a_stored_frame() {
    every_byte(&[Item::file("a", []), Item::file("noise", Random::new(6).noise(1500))], &options());
}

#[test]
fn every_byte_of_a_plain_tar() {
    every_byte(&few()[1..3], &plain());
}

#[test]
fn every_byte_of_attributes_and_hashes() {
    let mut items = vec![Item::file("a", *b"a"), Item::file("big", vec![b'x'; SLICE as usize + 5])];
    items[0].entry.xattrs = vec![("user.k".to_owned(), b"value".to_vec())];
    every_byte(&items, &PackOptions { xattrs: true, file_hash: true, ..options() });
}

#[test]
fn every_byte_of_nothing() {
    every_byte(&[], &options());
}

#[test]
fn every_byte_of_a_tar_of_nothing() {
    every_byte(&[], &plain());
}

#[test]
fn every_cut_and_every_byte_more() {
    for (items, options) in [(few(), options()), (few(), plain()), (Vec::new(), options()), (Vec::new(), plain())] {
        let (good, _) = packed(&items, &options);
        for len in 0..good.len() {
            assert!(is_seen(&good[..len]), "cut to {len} of {}", good.len());
        }
        for byte in 0..=255 {
            assert!(is_seen(&[&good[..], &[byte]].concat()), "{byte} behind the end");
            assert!(is_seen(&[&[byte], &good[..]].concat()), "{byte} before the beginning");
        }
        let twice = [&good[..], &good[..]].concat();
        assert!(good.is_empty() || is_seen(&twice), "one behind the other");
    }
}

#[test]
fn random_bytes_of_a_large_one() {
    for (seed, options) in [(50, options()), (51, plain())] {
        let (good, _) = packed(&tree(seed, 60, 3 << 20, false), &options);
        let (random, mut bytes) = (&mut Random::new(seed), good.clone());
        assert!(!is_seen(&bytes));
        for _ in 0..150 {
            let at = random.below(good.len() as u64) as usize;
            bytes[at] ^= 1 << random.below(8);
            assert!(is_seen(&bytes), "bit of byte {at} of {}: {} for {}", good.len(), bytes[at], good[at]);
            bytes[at] = good[at];
        }
    }
}

/// The root that somebody kept pins all of it: another archive, however good, is not the one that was meant.
#[test]
fn another_root_is_refused() {
    use crate::archive::ranges::Pieces;
    use crate::archive::read::Archive;
    use std::sync::Arc;
    let ((good, report), (other, _)) = (packed(&few(), &options()), packed(&few()[1..], &options()));
    let open = |bytes: &[u8]| {
        Archive::open(Arc::new(Stored(bytes.to_vec())), Arc::new(Pieces::default()), Some(report.root), true)
    };
    assert!(open(&good).is_ok());
    assert_eq!(open(&other).err().map(|error| error.kind()), Some(ErrorKind::Integrity));
}
