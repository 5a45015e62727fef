//! What fails in the river: one entry of the source, the source as a whole, the sink, or time.

use std::time::Duration;

use super::made::tree;
use super::memory::*;
use crate::archive::entry::Kind;
use crate::archive::pack::{PackOptions, pack};
use crate::archive::report::PackReport;
use crate::archive::threads::Stop;
use crate::error::{Error, ErrorKind, Result};
use crate::progress::Progress;

const HANG: Duration = Duration::from_secs(30);

/// Packs on a thread that is watched.
fn watched(items: Vec<Item>, options: PackOptions) -> Result<(Vec<u8>, PackReport)> {
    within(HANG, move || packed_of(&Items::new(items), &options))
}

fn watched_sink(items: Vec<Item>, options: PackOptions, mut sink: Bytes) -> Result<Vec<u8>> {
    within(HANG, move || {
        pack(&Items::new(items), &mut sink, &options, (&Stop::default(), &Progress::default()))?;
        Ok(sink.bytes)
    })
}

/// Small files, a big one, links; enough of them for many runs.
fn some() -> Vec<Item> {
    let mut items: Vec<Item> =
        (0..60).map(|number| Item::file(&format!("{number:03}"), vec![number; 90_000])).collect();
    items.push(Item::file("big", (0..5 * SLICE / 2).map(|at| (at / 7) as u8).collect::<Vec<u8>>()));
    items.push(Item::other("d/", Kind::Directory, ""));
    items.push(Item::file("last", *b"last"));
    items
}

fn with(name: &str, trouble: Trouble) -> Vec<Item> {
    let mut items = some();
    let item = items.iter_mut().find(|item| item.entry.name == name.as_bytes()).unwrap();
    item.trouble = trouble;
    items
}

/// What may go wrong with one entry, and whether a big file stays in, incomplete.
fn troubles() -> Vec<(Trouble, bool)> {
    let denied = Some(Fault::Kind(ErrorKind::AccessDenied));
    let io = Fault::Kind(ErrorKind::LocalIo);
    vec![
        (Trouble { walk: denied, ..Trouble::default() }, false),
        (Trouble { open: denied, ..Trouble::default() }, false),
        (Trouble { read: Some((0, io)), ..Trouble::default() }, true),
        (Trouble { read: Some((80_000, io)), ..Trouble::default() }, true),
        (Trouble { look: Some(io), ..Trouble::default() }, true),
    ]
}

#[test]
fn one_bad_entry_ends_everything() {
    let mut wrong = Vec::new();
    for name in ["000", "041", "big", "059"] {
        for (trouble, _) in troubles() {
            let fault = trouble.walk.or(trouble.open).or(trouble.look).or(trouble.read.map(|(_, fault)| fault));
            let Some(Fault::Kind(kind)) = fault else { unreachable!() };
            let error = watched(with(name, trouble.clone()), options()).unwrap_err();
            let is_named = error.message().contains(name) && error.message().contains("planted");
            if error.kind() != kind || !is_named {
                wrong.push(format!("{name} with {trouble:?}: {error:?}"));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn one_bad_entry_is_left_out_and_told() {
    for name in ["000", "041", "big", "059"] {
        for (trouble, may_stay) in troubles() {
            let done = watched(with(name, trouble.clone()), skipping());
            let (bytes, report) = done.unwrap_or_else(|error| panic!("{name} with {trouble:?}: {error:?}"));
            let archive = open(&bytes).unwrap();
            assert_eq!(failed_names(&report.failures), [name], "{trouble:?}");
            let stays = may_stay && name == "big";
            let mut expected: Vec<String> = some().iter().map(|item| item.entry.shown()).collect();
            expected.retain(|other| stays || other != name);
            assert_eq!(listed(&archive), expected, "{trouble:?}");
            assert_eq!(report.entries as usize, expected.len());
            assert_eq!(verified(&archive, 2).unwrap().problems, []);
        }
    }
}

/// What is left is packed as if the bad one had never been there.
#[test]
fn what_is_left_does_not_depend_on_time() {
    let trouble = Trouble { open: Some(Fault::Kind(ErrorKind::NotFound)), ..Trouble::default() };
    let first = watched(with("030", trouble.clone()), skipping()).unwrap().0;
    for workers in [1, 3, 16] {
        let options = PackOptions { workers, readers: workers.min(8), ..skipping() };
        assert!(watched(with("030", trouble.clone()), options).unwrap().0 == first);
    }
}

/// Out of memory, or a defect, is not a matter of one entry (5.3).
#[test]
fn what_is_no_matter_of_an_entry_ends_everything() {
    let mut wrong = Vec::new();
    for name in ["000", "big"] {
        for fault in [Fault::NoMemory, Fault::Kind(ErrorKind::Internal)] {
            let at_open = Trouble { open: Some(fault), ..Trouble::default() };
            let at_read = Trouble { read: Some((0, fault)), ..Trouble::default() };
            for trouble in [at_open, at_read] {
                let done = watched(with(name, trouble.clone()), skipping());
                let told = done.err().map(|error| (error.kind(), error.is_no_memory()));
                if told != Some((fault.error().kind(), fault.error().is_no_memory())) {
                    wrong.push(format!("{name} with {trouble:?}: {told:?}"));
                }
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn a_walk_that_breaks_ends_everything() {
    let broken = Trouble { walk: Some(Fault::Kind(ErrorKind::Internal)), ..Trouble::default() };
    for name in ["000", "059", "last"] {
        for options in [options(), skipping()] {
            let error = watched(with(name, broken.clone()), options).unwrap_err();
            assert_eq!((error.kind(), error.message()), (ErrorKind::Internal, "planted"));
        }
    }
}

/// A plain tar keeps its index as an entry, whose name nothing else may have (3.7).
#[test]
fn names_of_the_archive_itself_are_refused_in_a_tar() {
    for name in ["__s3z__/", "__s3z__/.footer", "__s3z__/x/y"] {
        let kind = if name.ends_with('/') { Kind::Directory } else { Kind::File };
        let items = || vec![Item::file("A", *b"a"), Item::other(name, kind, "")];
        for options in [plain(), PackOptions { level: None, ..skipping() }] {
            assert_eq!(watched(items(), options).unwrap_err().kind(), ErrorKind::Archive, "{name}");
        }
        assert_eq!(watched(items(), options()).unwrap().1.entries, 2, "{name}");
    }
    let near = vec![Item::file("__s3z_", *b"a"), Item::file("__s3z__.", *b"a"), Item::file("a/__s3z__/b", *b"a")];
    assert_eq!(watched(near, plain()).unwrap().1.entries, 3);
}

#[test]
fn what_is_skipped_is_counted() {
    let skipped = Trouble { walk: Some(Fault::Kind(ErrorKind::Cancelled)), ..Trouble::default() };
    let (bytes, report) = watched(with("017", skipped), options()).unwrap();
    assert_eq!(report.skipped.get("planted"), Some(&1));
    assert!(!listed(&open(&bytes).unwrap()).contains(&"017".to_owned()));
    assert_eq!(report.entries + 1, some().len() as u64, "walked = entries + skipped + failures left out");
}

#[test]
fn a_hard_link_goes_with_what_it_links_to() {
    let bad = [
        Trouble { open: Some(Fault::Kind(ErrorKind::NotFound)), ..Trouble::default() },
        Trouble { changes: 9, ..Trouble::default() },
    ];
    for trouble in bad {
        for size in [10, 3 * SLICE as usize] {
            for readers in [1, 4] {
                let data = vec![1; size];
                let mut items = some();
                items.insert(0, Item::file("+first", data.clone()).linked(4, 3).with(trouble.clone()));
                items.push(Item::file("link", data.clone()).linked(4, 3));
                items.push(Item::file("link2", data).linked(4, 3));
                items.sort_by(|one, other| one.entry.name.cmp(&other.entry.name));
                let (bytes, report) = watched(items, PackOptions { readers, ..skipping() }).unwrap();
                let names = listed(&open(&bytes).unwrap());
                let links = names.iter().filter(|name| name.starts_with("link")).count();
                if names.contains(&"+first".to_owned()) {
                    // A big file that was changed stays in, and is told.
                    assert_eq!((links, failed_names(&report.failures)), (2, vec!["+first".to_owned()]));
                } else {
                    assert_eq!(links, 0);
                    assert_eq!(failed_names(&report.failures), ["+first", "link", "link2"]);
                }
            }
        }
    }
}

/// If the first name never came, the second one is the file.
#[test]
fn a_link_whose_first_name_the_walk_lost_is_the_file() {
    let lost = Trouble { walk: Some(Fault::Kind(ErrorKind::AccessDenied)), ..Trouble::default() };
    let items = vec![Item::file("a", *b"xy").linked(4, 2).with(lost), Item::file("b", *b"xy").linked(4, 2)];
    let (bytes, _) = watched(items, skipping()).unwrap();
    let rows = open(&bytes).unwrap().find(b"b").unwrap();
    assert_eq!((rows[0].entry.kind, rows[0].len), (Kind::File, 2));
}

#[test]
fn a_sink_that_fails_ends_everything() {
    let whole = packed(&some(), &options()).0.len() as u64;
    for fault in [Fault::Kind(ErrorKind::LocalIo), Fault::NoMemory] {
        for after in [0, 1, 5000, whole / 2, whole - 3000, whole - 1] {
            for options in [options(), skipping()] {
                let sink = Bytes { fails_after: Some((after, fault)), ..Bytes::default() };
                let error = watched_sink(some(), options, sink).unwrap_err();
                assert_eq!(error.kind(), fault.error().kind(), "after {after}");
            }
        }
    }
}

#[test]
fn a_panic_is_an_error_and_no_hang() {
    let panics = Some(Fault::Panic);
    let troubles = [
        ("walk", Trouble { walk: panics, ..Trouble::default() }),
        ("open", Trouble { open: panics, ..Trouble::default() }),
        ("read", Trouble { read: Some((0, Fault::Panic)), ..Trouble::default() }),
        ("look", Trouble { look: panics, ..Trouble::default() }),
    ];
    let mut wrong = Vec::new();
    for (what, trouble) in troubles {
        for name in ["000", "big", "last"] {
            let items = with(name, trouble.clone());
            // A panic of `pack` itself is not the error that is promised.
            let done =
                std::panic::catch_unwind(|| watched(items, skipping()).map(drop).map_err(|error: Error| error.kind()));
            if !matches!(done, Ok(Err(ErrorKind::Internal))) {
                wrong.push((what, name, done.map_err(|_| "pack panicked")));
            }
        }
    }
    assert!(wrong.is_empty(), "{wrong:?}");
}

/// Whatever is late, the bytes are the same, and all of them come.
#[test]
fn a_second_of_waiting_in_any_stage_changes_nothing() {
    let expected = packed(&some(), &options()).0;
    let stall = Duration::from_secs(1);
    for name in ["big", "last"] {
        // Walk, open and each read of one entry.
        let items = with(name, Trouble { stall, ..Trouble::default() });
        let options = PackOptions { workers: 3, readers: 3, memory: 40 << 20, ..options() };
        assert!(watched(items, options).unwrap().0 == expected, "{name}");
    }
    for at in [0, 1000, expected.len() as u64 - 2000] {
        let sink = Bytes { stall: Some((at, stall)), ..Bytes::default() };
        assert!(watched_sink(some(), PackOptions { memory: 14 << 20, ..options() }, sink).unwrap() == expected);
    }
}

/// With a trouble in every other entry and the least memory, nothing waits for ever.
#[test]
fn many_bad_entries_in_little_memory() {
    for seed in 60..64 {
        let mut items = tree(seed, 60, 6 << 20, false);
        let all = troubles();
        for (at, item) in items.iter_mut().enumerate().filter(|(at, _)| at % 2 == 0) {
            item.trouble = all[at / 2 % all.len()].0.clone();
        }
        let options = PackOptions { workers: 16, readers: 8, memory: 14 << 20, ..skipping() };
        let (bytes, report) = watched(items.clone(), options).unwrap();
        let archive = open(&bytes).unwrap();
        let (listed, failed) = (listed(&archive), failed_names(&report.failures));
        let told = |name: String| listed.contains(&name) || failed.contains(&name);
        assert!(items.iter().all(|item| told(item.entry.shown())), "something is silently missing");
    }
}
