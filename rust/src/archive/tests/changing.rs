//! Files that grow, shrink or change while they are packed (5.3).

use std::path::Path;

use super::memory::*;
use crate::archive::entry::Kind;
use crate::archive::footer::flag;
use crate::archive::index::row_flag;
use crate::archive::pack::PackOptions;
use crate::archive::read::{Archive, ReadOptions};
use crate::archive::select::Selection;
use crate::archive::threads::Stop;
use crate::archive::tree::TreeOptions;
use crate::archive::unpack::{UnpackOptions, unpack};
use crate::archive::unpack_report::UnpackReport;
use crate::error::ErrorKind;
use crate::progress::Progress;

/// A file between two that nothing happens to.
fn between(item: Item) -> Vec<Item> {
    vec![Item::file("a", *b"before"), item, Item::file("z", *b"behind")]
}

/// The walk finds it with so many bytes.
fn found_as(name: &str, size: u64, data: Vec<u8>) -> Item {
    let mut item = Item::file(name, data);
    item.entry.size = size;
    item
}

fn big() -> Vec<u8> {
    (0..7 * SLICE / 2).map(|at| (at / 3 % 251 + 1) as u8).collect()
}

#[test]
fn a_short_one_that_settles_is_packed() {
    for changes in [1, 2] {
        let items = Items::new(between(Item::file("m", *b"bytes").with(Trouble { changes, ..Trouble::default() })));
        let (bytes, report) = packed_of(&items, &options()).unwrap();
        assert_eq!((items.opened("m"), report.failures.len()), (changes + 1, 0));
        let archive = open(&bytes).unwrap();
        assert_eq!(listed(&archive), ["a", "m", "z"]);
        assert_eq!(verified(&archive, 1).unwrap().problems, []);
        assert_eq!(archive.opened().footer.flags & flag::DETERMINISTIC, flag::DETERMINISTIC);
    }
}

#[test]
fn a_short_one_that_does_not_settle_is_left_out() {
    let restless = Trouble { changes: 3, ..Trouble::default() };
    let shorter = Trouble { ends_at: Some(2), ..Trouble::default() };
    for trouble in [restless, shorter] {
        let items = Items::new(between(Item::file("m", *b"bytes").with(trouble.clone())));
        let error = packed_of(&items, &options()).unwrap_err();
        assert_eq!((error.kind(), items.opened("m")), (ErrorKind::ObjectChanged, 3));
        let (bytes, report) = packed_of(&Items::new(items.items().to_vec()), &skipping()).unwrap();
        assert_eq!(listed(&open(&bytes).unwrap()), ["a", "z"]);
        assert_eq!(report.failures[0].kind, ErrorKind::ObjectChanged);
        assert!(report.failures[0].message.contains("changed while it was read"), "{:?}", report.failures);
    }
}

/// Only the size at open counts; the walk's may be stale.
#[test]
fn the_size_at_open_counts() {
    for (then, now) in [(0, 5), (5, 0), (700, 2), (2, 700), (10, SLICE as usize)] {
        let item = found_as("m", then, vec![b'x'; now]);
        for like in [options(), plain()] {
            let (bytes, report) = packed(&between(item.clone()), &like);
            let archive = open(&bytes).unwrap();
            let rows = archive.find_file(b"m", ReadOptions::default()).unwrap();
            assert_eq!(archive.read_rows(&rows, 0..u64::MAX, ReadOptions::default()).unwrap().len(), now);
            assert_eq!((rows[0].entry.size, report.bytes_in), (now as u64, now as u64 + 12));
            assert_eq!(verified(&archive, 1).unwrap().problems, []);
        }
    }
}

/// So a hard link, which says the size of what it links to, says that one too (4.1).
#[test]
fn a_hard_link_has_the_size_of_its_target() {
    let first = found_as("m", 3, vec![b'x'; 700]).linked(1, 2);
    let second = found_as("n", 3, vec![b'x'; 700]).linked(1, 2);
    let archive = open(&packed(&[first, second], &options()).0).unwrap();
    let size = |name: &[u8]| archive.find(name).unwrap()[0].entry.size;
    assert_eq!(archive.find(b"n").unwrap()[0].entry.kind, Kind::HardLink);
    assert_eq!((size(b"m"), size(b"n")), (700, 700));
}

#[test]
fn what_outgrows_its_run_is_left_out() {
    let outgrown = [found_as("m", 5, vec![1; SLICE as usize + 1]), found_as("m", 5, vec![1; 4 * SLICE as usize])];
    for item in outgrown {
        let error = packed_of(&Items::new(between(item.clone())), &options()).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::ObjectChanged);
        let (bytes, report) = packed(&between(item), &skipping());
        assert_eq!((listed(&open(&bytes).unwrap()).len(), report.failures.len()), (2, 1));
    }
    // Each fits by itself, together they do not.
    let many: Vec<Item> =
        (0..4).map(|number| found_as(&format!("m{number}"), 5, vec![1; SLICE as usize - 2048])).collect();
    let (bytes, report) = packed(&many, &skipping());
    assert_eq!(listed(&open(&bytes).unwrap()), ["m0", "m1"]);
    assert_eq!(failed_names(&report.failures), ["m2", "m3"]);
}

#[test]
fn a_big_one_of_another_size_is_left_out() {
    for now in [0, 5, SLICE as usize, 4 * SLICE as usize] {
        let item = found_as("m", 7 * SLICE / 2, vec![1; now]);
        let error = packed_of(&Items::new(between(item.clone())), &options()).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::ObjectChanged);
        let (bytes, report) = packed(&between(item), &skipping());
        assert_eq!(listed(&open(&bytes).unwrap()), ["a", "z"]);
        assert_eq!(failed_names(&report.failures), ["m"]);
    }
}

fn unpacked(archive: &Archive, place: &Path, allow_incomplete: bool) -> UnpackReport {
    let tree = TreeOptions::new();
    let selection = Selection { max_ratio: u64::MAX, ..Selection::default() };
    let options = UnpackOptions { tree, selection, allow_incomplete, threads: 2 };
    unpack(archive, place, &options, (&Stop::default(), &Progress::default())).unwrap()
}

/// A big file that went wrong: which flags its rows have, and what its bytes are.
fn spoilt(trouble: Trouble, flags: [u16; 4], expected: &[u8]) {
    let item = Item::file("m", big()).with(trouble);
    for readers in [1, 4] {
        let error = packed_of(&Items::new(between(item.clone())), &PackOptions { readers, ..options() }).unwrap_err();
        assert!(matches!(error.kind(), ErrorKind::ObjectChanged | ErrorKind::LocalIo), "{error:?}");
        for like in [skipping(), PackOptions { level: None, file_hash: true, ..skipping() }] {
            let (bytes, report) = packed(&between(item.clone()), &PackOptions { readers, ..like });
            let archive = open(&bytes).unwrap();
            assert_eq!(failed_names(&report.failures), ["m"], "told once");
            let footer = archive.opened().footer.flags;
            assert_eq!(footer & (flag::DETERMINISTIC | flag::INCOMPLETE), flag::INCOMPLETE);
            assert!(archive.has_incomplete());
            let rows = archive.find(b"m").unwrap();
            let (mut found, mut wanted) = (rows.iter().map(|row| row.flags).collect::<Vec<_>>(), flags);
            if wanted.contains(&row_flag::CHANGED) {
                // Whichever slice is read last has the mark.
                found.sort_unstable();
                wanted.sort_unstable();
            }
            assert_eq!(found, wanted);
            assert_eq!(verified(&archive, 2).unwrap().problems, [], "it is what it says");
            refused_unless_asked(&archive, expected);
        }
    }
}

fn refused_unless_asked(archive: &Archive, expected: &[u8]) {
    let error = archive.find_file(b"m", ReadOptions::default()).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Archive);
    assert!(archive.read_many(&[b"m".to_vec()], ReadOptions::default()).is_err());
    let asked = ReadOptions { allow_incomplete: true, ..ReadOptions::default() };
    let rows = archive.find_file(b"m", asked).unwrap();
    assert!(archive.read_rows(&rows, 0..u64::MAX, asked).unwrap() == expected);
    let place = tempfile::tempdir().unwrap();
    let report = unpacked(archive, place.path(), false);
    assert_eq!((report.files, failed_names(&report.failures)), (2, vec!["m".to_owned()]));
    assert_eq!(std::fs::read_dir(place.path()).unwrap().count(), 2, "nothing of it stays");
    let place = tempfile::tempdir().unwrap();
    assert!(unpacked(archive, place.path(), true).failures.is_empty());
    assert!(std::fs::read(place.path().join("m")).unwrap() == expected);
}

#[test]
fn a_big_one_that_becomes_shorter_is_filled_with_zeros() {
    let end = 5 * SLICE / 2;
    let mut expected = big();
    expected[end as usize..].fill(0);
    let (i, c) = (row_flag::INCOMPLETE, row_flag::CHANGED);
    spoilt(Trouble { ends_at: Some(end), ..Trouble::default() }, [0, 0, i, i], &expected);
    expected.fill(0);
    spoilt(Trouble { ends_at: Some(0), ..Trouble::default() }, [i, i, i, i], &expected);
    let changed = Trouble { changes: 99, ..Trouble::default() };
    spoilt(changed, [0, 0, 0, c], &big());
}

#[test]
fn a_big_one_that_cannot_be_read_further_is_filled_with_zeros() {
    let mut expected = big();
    expected[2 * SLICE as usize..].fill(0);
    let i = row_flag::INCOMPLETE;
    let fault = Fault::Kind(ErrorKind::LocalIo);
    spoilt(Trouble { read: Some((2 * SLICE, fault)), ..Trouble::default() }, [0, 0, i, i], &expected);
}

/// Whether it has changed cannot be told: then it may have.
#[test]
fn a_big_one_that_cannot_be_looked_at_counts_as_changed() {
    let look = Some(Fault::Kind(ErrorKind::LocalIo));
    spoilt(Trouble { look, ..Trouble::default() }, [0, 0, 0, row_flag::CHANGED], &big());
}
