//! What was packed is found, listed, read in parts and as a whole, and unpacked.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use super::made::{Random, tree};
use super::memory::*;
use crate::archive::entry::{Entry, Kind};
use crate::archive::index::Row;
use crate::archive::lay::Sizes;
use crate::archive::pack::PackOptions;
use crate::archive::read::{Archive, ReadOptions};
use crate::archive::select::Selection;
use crate::archive::threads::Stop;
use crate::archive::tree::TreeOptions;
use crate::archive::unpack::{UnpackOptions, unpack};
use crate::error::ErrorKind;
use crate::progress::Progress;

fn everything(like: PackOptions) -> PackOptions {
    PackOptions { xattrs: true, file_hash: true, ..like }
}

/// Entries as the archive should have them: later names of a file are links to the first.
fn expected(items: &[Item]) -> Vec<Entry> {
    let mut entries: Vec<Entry> = Vec::new();
    for (at, item) in items.iter().enumerate() {
        let first = items[..at].iter().find(|one| one.inode.is_some() && one.inode == item.inode);
        let mut entry = item.entry.clone();
        if let Some(first) = first {
            (entry.kind, entry.link) = (Kind::HardLink, first.entry.name.clone());
        }
        entries.push(entry);
    }
    entries
}

/// Through the batches that may hold a prefix, as a listing goes.
fn list(archive: &Archive, prefix: &[u8]) -> Vec<Entry> {
    let batches = archive.batches_of_prefix(prefix);
    archive.fetch_batches(batches.clone()).unwrap();
    let mut found = Vec::new();
    for number in batches {
        let batch = archive.batch(number).unwrap();
        let rows = (0..batch.len()).filter(|at| batch.seq(*at) == 0 && batch.name(*at).starts_with(prefix));
        found.extend(rows.map(|at| (*batch.row(at).unwrap().entry).clone()));
    }
    found
}

fn check_file(archive: &Archive, bytes: &[u8], item: &Item, random: &mut Random) {
    let (data, name) = (&item.data[..], &item.entry.name[..]);
    let rows = archive.find_file(name, ReadOptions::default()).unwrap();
    for verify in [true, false] {
        let options = ReadOptions { verify, ..ReadOptions::default() };
        assert!(archive.read_rows(&rows, 0..u64::MAX, options).unwrap() == data);
        for _ in 0..4 {
            let from = random.below(data.len() as u64 + 3);
            let to = from + random.below(data.len() as u64 + 3 - from.min(data.len() as u64));
            let cut = |at: u64| at.min(data.len() as u64) as usize;
            let part = archive.read_rows(&rows, from..to, options).unwrap();
            assert!(part == data[cut(from)..cut(to)], "{from}..{to} of {}", data.len());
        }
    }
    check_hashes(&rows, data);
    if let Some(range) = archive.range_of(name).unwrap() {
        let blob = &bytes[range.offset as usize..][..range.length as usize];
        let step = if range.stride == 0 { data.len() } else { range.stride as usize };
        let spanned: Vec<u8> = blob.chunks(step + 3).flat_map(|part| &part[..part.len().min(step)]).copied().collect();
        assert!(spanned == data && rows.len() == 1 && !data.is_empty());
    } else {
        assert!(data.is_empty() || rows.len() > 1 || rows[0].compressed);
    }
}

fn check_hashes(rows: &[Row], data: &[u8]) {
    for row in rows {
        let slice = &data[row.file_offset as usize..][..row.len as usize];
        assert_eq!(row.checksum, Some(*blake3::hash(slice).as_bytes()));
        let whole = (rows.len() > 1).then(|| *blake3::hash(data).as_bytes());
        assert_eq!(row.file_checksum, whole, "of a file of several slices only");
        assert!(row.len == SLICE || row.file_offset + row.len == data.len() as u64);
    }
}

/// All of an archive against the tree it was made of.
fn check(items: &[Item], options: &PackOptions, seed: u64) {
    let (bytes, report) = packed(items, options);
    let archive = open(&bytes).unwrap();
    let random = &mut Random::new(seed + 1000);
    let entries = expected(items);
    assert_eq!(list(&archive, b""), entries);
    assert_eq!(archive.opened().footer.root, report.root);
    for entry in &entries {
        let rows = archive.find(&entry.name).unwrap();
        assert_eq!(*rows[0].entry, *entry);
        let prefix = &entry.name[..random.below(entry.name.len() as u64 + 1) as usize];
        let beneath: Vec<Entry> = entries.iter().filter(|entry| entry.name.starts_with(prefix)).cloned().collect();
        assert_eq!(list(&archive, prefix), beneath, "{}", prefix.escape_ascii());
        let other = [&entry.name[..], b"\0"].concat();
        assert!(archive.find(&other).unwrap().is_empty());
    }
    let files: Vec<&Item> = items.iter().filter(|item| item.entry.kind == Kind::File).collect();
    files.iter().for_each(|item| check_file(&archive, &bytes, item, random));
    // In any order, and twice.
    let mut asked: Vec<&Item> = files.iter().copied().chain(files.iter().copied().take(3)).collect();
    asked.sort_by_cached_key(|_| random.next());
    let names: Vec<Vec<u8>> = asked.iter().map(|item| item.entry.name.clone()).collect();
    let many = archive.read_many(&names, ReadOptions::default()).unwrap();
    assert!(many.iter().zip(&asked).all(|(bytes, item)| *bytes == *item.data));
    for entry in entries.iter().filter(|entry| matches!(entry.kind, Kind::Directory | Kind::Symlink)) {
        let error = archive.find_file(&entry.name, ReadOptions::default()).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Archive);
    }
}

#[test]
fn entries_and_bytes_come_back() {
    for seed in 20..24 {
        check(&tree(seed, 60, 9 << 20, true), &everything(options()), seed);
        check(&tree(seed, 60, 9 << 20, true), &everything(plain()), seed);
    }
}

#[test]
fn of_several_batches() {
    let names = (0..17_000).map(|number| format!("{}/{number:05}", number / 1000));
    let mut items: Vec<Item> = names.map(|name| Item::file(&name, name.as_bytes())).collect();
    items.sort_by(|one, other| one.entry.name.cmp(&other.entry.name));
    let (bytes, _) = packed(&items, &options());
    let archive = open(&bytes).unwrap();
    assert_eq!(archive.batches(), 2);
    for prefix in ["", "1", "9/", "9/09", "8/08999", "8/089990", "/", "~", "0/0"] {
        let wanted = items.iter().filter(|item| item.entry.name.starts_with(prefix.as_bytes())).count();
        assert_eq!(list(&archive, prefix.as_bytes()).len(), wanted, "{prefix}");
    }
    let names: Vec<Vec<u8>> = items.iter().step_by(97).map(|item| item.entry.name.clone()).collect();
    let many = archive.read_many(&names, ReadOptions::default()).unwrap();
    assert_eq!(many, names);
}

/// In a good archive there is nothing to tell, whatever is in it.
#[test]
fn nothing_is_wrong_with_a_good_one() {
    for seed in 24..28 {
        for like in [options(), plain()] {
            let (bytes, report) = packed(&tree(seed, 60, 9 << 20, true), &everything(like));
            let verified = verified(&open(&bytes).unwrap(), 2).unwrap();
            assert_eq!(verified.problems, []);
            assert_eq!((verified.entries, verified.bytes), (report.entries, report.bytes_in));
        }
    }
}

/// Around every limit, as text and as noise, each by itself: whatever its frame, it is right.
#[test]
fn nothing_is_wrong_with_one_file() {
    let (random, mut wrong) = (&mut Random::new(78), Vec::new());
    for size in super::made::sizes() {
        for (what, data) in [("noise", random.noise(size as usize)), ("text", random.text(size as usize))] {
            for like in [options(), plain()] {
                let item = Item::file("a", data.clone());
                let (bytes, _) = packed(&[Item::other("0/", Kind::Directory, ""), item], &like);
                let problems = verified(&open(&bytes).unwrap(), 1).unwrap().problems;
                wrong.extend(problems.into_iter().map(|problem| (what, size, like.level, problem.what)));
            }
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[test]
fn of_nothing() {
    check(&[], &options(), 1);
    check(&[], &plain(), 1);
}

/// A directory whose header is longer than a block of zstd, and does not begin with anything that shrinks.
#[test]
fn headers_longer_than_a_block() {
    let random = &mut Random::new(3);
    let long = vec![("user.a".to_owned(), random.noise(300 << 10)), ("user.b".to_owned(), random.text(200 << 10))];
    for kind in [Kind::Directory, Kind::Symlink, Kind::File] {
        for size in [0, 5, SLICE as usize + 1].into_iter().take(if kind == Kind::File { 3 } else { 1 }) {
            let name = if kind == Kind::Directory { "d/" } else { "d" };
            let mut item =
                Item::other(name, kind, if kind == Kind::Symlink { "x" } else { "" }).with_data(vec![7; size]);
            item.entry.xattrs = long.clone();
            for like in [options(), plain()] {
                check(std::slice::from_ref(&item), &everything(like.clone()), 1);
                let (bytes, _) = packed(std::slice::from_ref(&item), &everything(like));
                let problems = verified(&open(&bytes).unwrap(), 1).unwrap().problems;
                assert_eq!(problems, [], "{kind:?} of {size}");
            }
        }
    }
}

fn unpack_options(threads: usize) -> UnpackOptions {
    UnpackOptions {
        tree: TreeOptions { unsafe_links: true, ..TreeOptions::new() },
        selection: Selection { max_ratio: u64::MAX, ..Selection::default() },
        allow_incomplete: false,
        threads,
    }
}

/// What every file system can hold.
fn tame(mut items: Vec<Item>) -> Vec<Item> {
    for item in &mut items {
        item.entry.mode = item.entry.mode & 0o777 | 0o700;
        item.entry.mtime_ns = item.entry.mtime_ns.rem_euclid(2_000_000_000) * 1_000_000_000 + 123_000;
        item.entry.xattrs.clear();
    }
    items
}

fn check_tree(place: &Path, items: &[Item]) {
    for item in items {
        let (entry, path) = (&item.entry, place.join(OsStr::from_bytes(&item.entry.name)));
        let found = std::fs::symlink_metadata(&path).unwrap();
        match entry.kind {
            Kind::File => assert!(std::fs::read(&path).unwrap() == *item.data),
            Kind::Directory => assert!(found.is_dir()),
            Kind::Symlink => assert_eq!(std::fs::read_link(&path).unwrap().as_os_str().as_bytes(), entry.link),
            Kind::HardLink => {}
        }
        let time = found.mtime() * 1_000_000_000 + found.mtime_nsec();
        let wanted = items.iter().find(|one| one.inode.is_some() && one.inode == item.inode).unwrap_or(item);
        assert_eq!(time, wanted.entry.mtime_ns, "{}", entry.shown());
        if entry.kind != Kind::Symlink {
            let mode = wanted.entry.mode & !TreeOptions::new().umask;
            assert_eq!(found.mode() & 0o7777, mode, "{}", entry.shown());
        }
        assert_eq!(found.nlink() > 1 && found.is_file(), item.inode.is_some());
    }
}

#[test]
fn a_tree_comes_back() {
    for (seed, like, threads) in [(30, options(), 1), (31, plain(), 2), (32, options(), 7)] {
        let items = tame(tree(seed, 60, 9 << 20, false));
        let (bytes, packed) = packed(&items, &like);
        let archive = open(&bytes).unwrap();
        let place = tempfile::tempdir().unwrap();
        let report =
            unpack(&archive, place.path(), &unpack_options(threads), (&Stop::default(), &Progress::default())).unwrap();
        assert!(report.failures.is_empty(), "{:?}", report.failures);
        assert_eq!((report.entries, report.bytes), (packed.entries, packed.bytes_in));
        assert_eq!((report.files, report.symlinks), (packed.files, packed.symlinks));
        check_tree(place.path(), &items);
    }
}

#[test]
fn with_the_largest_groups() {
    let like = PackOptions { sizes: Sizes { slice: SLICE, group: SLICE }, ..options() };
    check(&tree(40, 80, 9 << 20, true), &everything(like), 40);
}
