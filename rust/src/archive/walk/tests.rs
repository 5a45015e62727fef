//! Trees on a real file system: their order, their failures, and the ends of a walk.

mod bounds;

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::Path;

use proptest::prelude::*;
use rustix::fs::{CWD, FileType, Mode, OFlags};
use rustix::io::Errno;

use super::listing::Listing;
use super::order::{Order, READ_AHEAD};
use super::*;
use crate::error::ErrorKind;

fn options(source: &Path, threads: usize) -> WalkOptions {
    WalkOptions { threads, ..WalkOptions::new(source) }
}

/// Makes a file, or for a name that ends in `/` a directory, with all above it.
fn make(root: &Path, name: &[u8]) {
    let path = root.join(OsStr::from_bytes(name));
    if name.ends_with(b"/") {
        std::fs::create_dir_all(path).unwrap();
    } else {
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, name).unwrap();
    }
}

fn tree(names: &[&str]) -> tempfile::TempDir {
    let root = tempfile::tempdir().unwrap();
    names.iter().for_each(|name| make(root.path(), name.as_bytes()));
    root
}

/// The names of a walk; of a failure `! NAME errno`.
fn told(walk: impl Iterator<Item = Found>) -> Vec<String> {
    walk.map(|found| match found {
        Found::Entry(entry) => String::from_utf8_lossy(&entry.name).into_owned(),
        Found::Failed { name, error } => {
            format!("! {} {}", String::from_utf8_lossy(&name), error.errno().unwrap_or_default())
        }
    })
    .collect()
}

fn walk(options: WalkOptions) -> Vec<String> {
    told(Walk::start(options).unwrap())
}

fn failed(name: &str, errno: Errno) -> String {
    format!("! {name} {}", errno.raw_os_error())
}

/// Names that sort differently with and without their `/`.
fn names() -> impl Strategy<Value = BTreeSet<Vec<u8>>> {
    let byte = prop_oneof![
        3 => Just(b'a'), 1 => Just(b' '), 1 => Just(b'!'), 1 => Just(b'-'), 1 => Just(b'.'), 1 => Just(b'0'),
        1 => Just(0xffu8)
    ];
    let component = prop::collection::vec(byte, 1..4).prop_filter("dots", |name| name != b"." && name != b"..");
    let path = (prop::collection::vec(component, 1..5), any::<bool>());
    prop::collection::vec(path, 0..40).prop_map(|paths| {
        let mut kinds: BTreeMap<Vec<u8>, bool> = BTreeMap::new();
        'paths: for (components, is_directory) in paths {
            for depth in 1..=components.len() {
                let is_directory = is_directory || depth < components.len();
                let name = components[..depth].join(&b'/');
                if !*kinds.entry(name).or_insert(is_directory) {
                    continue 'paths; // A file is in the way, or this was one.
                }
            }
        }
        kinds.into_iter().map(|(name, is_directory)| [&name, &b"/"[..usize::from(is_directory)]].concat()).collect()
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 100, ..ProptestConfig::default() })]

    #[test]
    fn tells_each_name_once_in_name_order(names in names(), threads in 0..=4usize, by_hand: bool) {
        let root = tempfile::tempdir().unwrap();
        names.iter().for_each(|name| make(root.path(), name));
        let walk = Walk::start(options(root.path(), threads)).unwrap();
        let dirs = walk.dirs();
        if by_hand {
            dirs.go_by_hand();
        }
        let mut told = Vec::new();
        for found in walk {
            let Found::Entry(entry) = found else { panic!("{found:?}") };
            let is_directory = FileType::from_raw_mode(dirs.stat(&entry).unwrap().st_mode) == FileType::Directory;
            assert_eq!(is_directory, entry.kind == Kind::Directory);
            if !is_directory {
                let mut content = [0; 64];
                let len = rustix::io::read(dirs.open_file(&entry).unwrap(), &mut content).unwrap();
                assert_eq!(content[..len], entry.name);
            }
            told.push(entry.name);
        }
        // A set of byte strings is in the order of `LC_ALL=C sort`.
        prop_assert_eq!(told, names.into_iter().collect::<Vec<_>>());
    }

    /// Whoever reads what and when: what is given out when nothing was read ahead is what the consumer comes to.
    #[test]
    fn gives_out_what_the_consumer_needs(shape in prop::collection::vec(0..4usize, 1..60), turns: Vec<u8>) {
        let mut shape = shape.into_iter();
        let mut turns = turns.into_iter();
        let (mut order, mut reading) = (Order::new(), Vec::new());
        let mut stack = vec![ROOT];
        let mut finish = |order: &mut Order, job: order::Job| {
            let names: Vec<String> = (0..shape.next().unwrap_or(0)).map(|name| name.to_string()).collect();
            order.finish(job.id, Ok(Listing::of_directories(&names)));
        };
        while let Some(id) = stack.pop() {
            match turns.next() {
                Some(turn) if turn % 3 == 0 && reading.len() < 4 => reading.extend(order.give()),
                Some(turn) if turn % 3 == 1 && !reading.is_empty() => {
                    let job = reading.remove(usize::from(turn) % reading.len());
                    finish(&mut order, job);
                }
                _ => {
                    if !order.is_given(id) {
                        let job = order.give().unwrap();
                        prop_assert_eq!(job.id, id);
                        finish(&mut order, job);
                    }
                    while let Some(index) = reading.iter().position(|job| job.id == id) {
                        finish(&mut order, reading.remove(index));
                    }
                    let read = order.enter(id).unwrap().unwrap();
                    stack.extend((read.first..read.first + read.listing.directory_count() as u64).rev());
                    continue;
                }
            }
            stack.push(id);
        }
        prop_assert!(order.is_over());
        prop_assert_eq!(order.held(), 0);
    }
}

#[test]
fn directories_count_with_their_slash() {
    let root = tree(&["a/b", "a-b", "a.b", "a0", "a b", "a!/", "b"]);
    let expected = ["a b", "a!/", "a-b", "a.b", "a/", "a/b", "a0", "b"];
    assert_eq!(walk(options(root.path(), 2)), expected);
}

#[test]
fn a_named_directory_is_its_own_first_entry() {
    let root = tree(&["x/y", "z"]);
    let named = |prefix: &str| WalkOptions { prefix: prefix.into(), ..options(root.path(), 2) };
    assert_eq!(walk(named("dir/")), ["dir/", "dir/x/", "dir/x/y", "dir/z"]);
    assert_eq!(walk(named("dir")), ["dir/", "dir/x/", "dir/x/y", "dir/z"]);
    let walk = Walk::start(named("up/dir/")).unwrap();
    let dirs = walk.dirs();
    let entries: Vec<Walked> =
        walk.map(|found| if let Found::Entry(entry) = found { entry } else { panic!() }).collect();
    let ways: Vec<_> = entries.iter().map(|entry| (entry.parent(), entry.base())).collect();
    let expected: [(&[u8], &[u8]); 4] = [(b"", b"."), (b"", b"x"), (b"x/", b"y"), (b"", b"z")];
    assert_eq!(ways, expected);
    let inode = |path: &str| std::os::unix::fs::MetadataExt::ino(&root.path().join(path).metadata().unwrap());
    assert_eq!(dirs.stat(&entries[0]).unwrap().st_ino, inode("."));
    assert_eq!(dirs.stat(&entries[2]).unwrap().st_ino, inode("x/y"));
}

#[test]
fn a_file_is_its_only_entry() {
    let root = tree(&["x/y"]);
    symlink("x/y", root.path().join("link")).unwrap();
    for (source, prefix, name) in [("x/y", "", "y"), ("x/y", "x/", "x/y"), ("link", "", "link")] {
        let options = WalkOptions { prefix: prefix.into(), ..options(&root.path().join(source), 2) };
        let mut walk = Walk::start(options).unwrap();
        let dirs = walk.dirs();
        let Some(Found::Entry(entry)) = walk.next() else { panic!() };
        assert_eq!((&entry.name[..], entry.kind), (name.as_bytes(), Kind::File));
        assert_eq!(dirs.stat(&entry).unwrap().st_size, 3);
        dirs.open_file(&entry).unwrap();
        assert!(walk.next().is_none());
    }
    for (source, errno) in [("nothing", Errno::NOENT), ("x/y/", Errno::NOTDIR), ("x/y/z", Errno::NOTDIR)] {
        let error = Walk::start(options(&root.path().join(source), 2)).err().unwrap();
        assert_eq!(error.errno(), Some(errno.raw_os_error()), "{source}");
    }
}

#[test]
fn what_is_left_out_is_counted_and_still_walked() {
    let root = tree(&["a/b", "a/c", "d"]);
    let exclude: Exclude = Box::new(|name, is_directory| {
        assert_eq!(name.ends_with(b"/"), is_directory);
        name == b"a/" || name == b"d"
    });
    let mut walk = Walk::start(WalkOptions { exclude: Some(exclude), ..options(root.path(), 2) }).unwrap();
    assert_eq!(told(&mut walk), ["a/b", "a/c"]);
    assert_eq!(walk.excluded(), 2);
}

#[test]
fn links_and_special_files_are_told_as_what_they_are() {
    let root = tree(&["a/b"]);
    symlink("a", root.path().join("link")).unwrap();
    rustix::fs::mknodat(CWD, root.path().join("pipe"), FileType::Fifo, Mode::RWXU, 0).unwrap();
    let walk = Walk::start(options(root.path(), 2)).unwrap();
    let dirs = walk.dirs();
    let mut kinds = Vec::new();
    for found in walk {
        let Found::Entry(entry) = found else { panic!() };
        if entry.kind == Kind::Symlink {
            assert_eq!(dirs.read_link(&entry).unwrap(), b"a");
            assert_eq!(dirs.open_file(&entry).unwrap_err().errno(), Some(Errno::LOOP.raw_os_error()));
        }
        kinds.push((String::from_utf8(entry.name).unwrap(), entry.kind));
    }
    let expected = [("a/", Kind::Directory), ("a/b", Kind::File), ("link", Kind::Symlink), ("pipe", Kind::Special)];
    assert_eq!(kinds, expected.map(|(name, kind)| (name.to_owned(), kind)));
}

#[test]
fn followed_links_are_what_they_lead_to_and_loops_fail() {
    let root = tree(&["real/a/f", "real/g"]);
    let link = |target: &str, name: &str| symlink(target, root.path().join("real").join(name)).unwrap();
    link("a", "also"); // Sorts as `also/`.
    link("g", "file");
    link("nowhere", "dangling");
    link("self", "self");
    link("..", "a/up");
    link("../..", "a/upper"); // Above the source: it comes back to the source by a real name.
    symlink("real", root.path().join("source")).unwrap();
    let followed = WalkOptions { follow_symlinks: true, ..options(&root.path().join("source"), 2) };
    let told = walk(followed);
    let has = |name: &str| assert!(told.iter().any(|told| told == name), "{name} in {told:?}");
    let lacks = |part: &str| assert!(!told.iter().any(|told| told.contains(part)), "{part} in {told:?}");
    ["a/", "a/f", "also/", "also/f", "file", "g", "a/upper/"].iter().for_each(|name| has(name));
    has(&failed("dangling", Errno::NOENT));
    has(&failed("self", Errno::LOOP));
    has(&failed("a/up/", Errno::LOOP));
    has(&failed("a/upper/real/", Errno::LOOP));
    has(&failed("a/upper/source/", Errno::LOOP));
    lacks("a/up/f");
    let not_followed = walk(options(&root.path().join("source"), 2));
    assert_eq!(not_followed, ["a/", "a/f", "a/up", "a/upper", "also", "dangling", "file", "g", "self"]);
}

#[test]
fn what_vanished_or_became_a_link_fails_by_itself() {
    let root = tree(&["a", "b/x", "c/x", "d/x"]);
    let mut walk = Walk::start(options(root.path(), 0)).unwrap();
    let dirs = walk.dirs();
    let first = walk.next();
    std::fs::remove_dir_all(root.path().join("b")).unwrap();
    std::fs::rename(root.path().join("c"), root.path().join("e")).unwrap();
    symlink("e", root.path().join("c")).unwrap();
    let expected = ["a", &failed("b/", Errno::NOENT), &failed("c/", Errno::LOOP), "d/", "d/x"];
    assert_eq!(told(first.into_iter().chain(walk)), expected);
    dirs.go_by_hand();
    assert!(dirs.open(b"c/").is_err());
    assert!(dirs.open(b"e/").is_ok());
}

#[test]
fn an_unreadable_directory_fails_by_itself() {
    let root = tree(&["a/x", "b/x", "c/x"]);
    let chmod = |path: &Path, mode| std::fs::set_permissions(path, PermissionsExt::from_mode(mode)).unwrap();
    chmod(root.path(), 0o755);
    chmod(&root.path().join("b"), 0);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            if rustix::process::geteuid().is_root() {
                // Of this thread, and of those that it starts.
                let nobody = rustix::process::Uid::from_raw(65534);
                rustix::thread::set_thread_res_uid(nobody, nobody, nobody).unwrap();
            }
            for threads in [0, 2] {
                let told = walk(options(root.path(), threads));
                assert_eq!(told, ["a/", "a/x", &failed("b/", Errno::ACCESS), "c/", "c/x"]);
            }
            let error = Walk::start(options(&root.path().join("b"), 2)).err().unwrap();
            assert_eq!(error.errno(), Some(Errno::ACCESS.raw_os_error()));
        });
    });
    chmod(&root.path().join("b"), 0o700);
}

#[test]
fn a_tree_deeper_than_a_path_may_be_long_is_walked() {
    const DEPTH: usize = 3000;
    let root = tempfile::tempdir().unwrap();
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let mut at = rustix::fs::open(root.path(), flags, Mode::empty()).unwrap();
    for _ in 0..DEPTH {
        rustix::fs::mkdirat(&at, "d", Mode::RWXU).unwrap();
        rustix::fs::openat(&at, "f", OFlags::CREATE | OFlags::WRONLY, Mode::RWXU).unwrap();
        at = rustix::fs::openat(&at, "d", flags, Mode::empty()).unwrap();
    }
    for (threads, follow_symlinks) in [(0, false), (2, false), (2, true)] {
        let walk = Walk::start(WalkOptions { follow_symlinks, ..options(root.path(), threads) }).unwrap();
        let dirs = walk.dirs();
        let entries: Vec<Walked> =
            walk.map(|found| if let Found::Entry(entry) = found { entry } else { panic!("{found:?}") }).collect();
        assert_eq!(entries.len(), 2 * DEPTH);
        let deepest = entries.iter().max_by_key(|entry| entry.name.len()).unwrap();
        assert_eq!(deepest.name.len(), 2 * DEPTH);
        dirs.stat(deepest).unwrap();
        entries.iter().for_each(|entry| assert!(dirs.stat(entry).is_ok()));
        assert_eq!(dirs.open_count(), 32);
    }
    // Removing it by std would need a descriptor for each level.
    assert!(std::process::Command::new("rm").arg("-rf").arg(root.path()).status().unwrap().success());
}

/// Makes many files quickly: most are links to one, of which a file system allows only so many.
fn make_many(directory: &Path, count: usize) {
    let mut file = directory.join("0");
    for number in 0..count {
        let path = directory.join(number.to_string());
        if number % 10_000 == 0 {
            std::fs::write(&path, "").unwrap();
            file = path;
        } else {
            std::fs::hard_link(&file, path).unwrap();
        }
    }
}

/// Five directories of 40,000 files each, all but the first of which want to be read ahead.
fn crowd() -> tempfile::TempDir {
    let root = tree(&["a/", "b/", "c/", "d/", "e/"]);
    ["a", "b", "c", "d", "e"].iter().for_each(|directory| make_many(&root.path().join(directory), 40_000));
    root
}

/// Waits until there is no room for any of three threads, and tells what is then held.
fn until_three_wait(crew: &Crew) -> usize {
    loop {
        let (held, waiting) = crew.held_and_waiting();
        if waiting == 3 && held >= READ_AHEAD / 2 {
            return held;
        }
        std::thread::yield_now();
    }
}
