//! Modes, owners, times and attributes; hard links, large files, failures.

use super::*;

#[test]
fn modes_and_times_of_files() {
    for way in 0..2 {
        let dir = tempfile::tempdir().unwrap();
        let now = TreeOptions { preserve: false, ..options() };
        for (options, given, expected) in [
            (options(), 0o7777, 0o755),
            (options(), 0o000, 0),
            (options(), 0o444, 0o444),
            (TreeOptions { umask: 0o077, ..options() }, 0o666, 0o600),
            (now, 0o7777, 0o644),
        ] {
            let tree = open(dir.path(), options);
            for mtime_ns in [-1, -1_500_000_000, 0, 1_700_000_000_999_999_999] {
                let entry = Entry { mode: given, mtime_ns, ..file("f", b"x") };
                match way {
                    0 => tree.small_file(&entry, &[b"x"]).map(drop).unwrap(),
                    _ => {
                        let big = tree.big_file(&entry).unwrap().unwrap();
                        assert_eq!(mode(beneath(dir.path()).first().unwrap()) & 0o077, 0);
                        big.write_at(0, b"x").unwrap();
                        big.publish().map(drop).unwrap();
                    }
                }
                assert_eq!(mode(dir.path().join("f")), expected);
                assert_eq!(mtime(dir.path().join("f")) == mtime_ns, options.preserve);
                if given == 0o444 {
                    fs::remove_file(dir.path().join("f")).unwrap();
                }
            }
            let _ = fs::remove_file(dir.path().join("f"));
        }
    }
}

#[test]
fn owners_only_when_asked_for() {
    let dir = tempfile::tempdir().unwrap();
    let us = rustix::process::geteuid().as_raw();
    for same_owner in [false, true] {
        if same_owner && us != 0 {
            return;
        }
        let tree = open(&dir.path().join(format!("{same_owner}")), TreeOptions { same_owner, ..options() });
        write(&tree, "d/small", b"").unwrap();
        write_big(&tree, "d/big", b"").unwrap();
        tree.directory(&entry("d/", Kind::Directory)).unwrap();
        tree.symlink(&link("d/link", Kind::Symlink, "big")).unwrap();
        finish(tree);
        for name in ["d", "d/small", "d/big", "d/link"] {
            let metadata = fs::symlink_metadata(dir.path().join(format!("{same_owner}/{name}"))).unwrap();
            assert_eq!(metadata.uid(), if same_owner { 7 } else { us }, "{name}");
            assert_eq!(metadata.mode() & 0o777, if metadata.is_symlink() { 0o777 } else { expected_mode(&metadata) });
        }
    }
}

fn expected_mode(metadata: &fs::Metadata) -> u32 {
    if metadata.is_dir() { 0o755 } else { 0o644 }
}

#[test]
fn attributes_of_the_user_only() {
    let dir = open_to_nobody(0o755);
    as_nobody(|| {
        let value = |name: &str| {
            let mut value = [0; 16];
            let path = dir.path().join(name);
            rustix::fs::getxattr(path, "user.k", &mut value).map(|count| value[..count].to_vec())
        };
        let probe = rustix::fs::setxattr(dir.path(), "user.k", b"", rustix::fs::XattrFlags::empty());
        let xattrs = vec![("security.x".to_owned(), b"1".to_vec()), ("user.k".to_owned(), b"v\0".to_vec())];
        let tree = open(dir.path(), options());
        // Without the right to write, attributes could not be set any more.
        let read_only = |entry: Entry| Entry { mode: 0o444, xattrs: xattrs.clone(), ..entry };
        tree.small_file(&read_only(file("small", b"")), &[]).unwrap();
        tree.big_file(&read_only(file("big", b""))).unwrap().unwrap().publish().unwrap();
        tree.directory(&read_only(entry("d/", Kind::Directory))).unwrap();
        let lost = finish(tree).lost_xattrs;
        if probe.is_err() {
            assert_eq!(lost, 6, "a file system without attributes");
            return;
        }
        assert_eq!(lost, 3);
        for name in ["small", "big", "d"] {
            assert_eq!(value(name).unwrap(), b"v\0", "{name}");
            assert_eq!(mode(dir.path().join(name)), 0o444);
        }
    });
}

#[test]
fn big_files_are_written_from_many_threads() {
    let dir = tempfile::tempdir().unwrap();
    let tree = open(dir.path(), options());
    let content: Vec<u8> = (0..100_000u32).map(|at| (at % 251) as u8).collect();
    let big = tree.big_file(&file("d/big", &content)).unwrap().unwrap();
    std::thread::scope(|scope| {
        for lane in 0..4 {
            let (big, content) = (&big, &content);
            scope.spawn(move || {
                for (at, part) in content.chunks(777).enumerate().filter(|(at, _)| at % 4 == lane) {
                    big.write_at(at as u64 * 777, part).unwrap();
                }
            });
        }
    });
    assert!(!dir.path().join("d/big").exists());
    assert_eq!(refusal(big.write_at(99_999, b"12")), ErrorKind::Internal);
    assert_eq!(refusal(big.write_at(u64::MAX, b"1")), ErrorKind::Internal);
    assert_eq!(big.publish().unwrap(), Done::Written);
    assert_eq!(fs::read(dir.path().join("d/big")).unwrap(), content);
    no_temp_is_left(dir.path());
}

#[test]
fn what_is_not_published_leaves_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let tree = open(dir.path(), options());
    fs::write(dir.path().join("f"), "old").unwrap();
    let big = tree.big_file(&file("f", b"new")).unwrap().unwrap();
    big.write_at(0, b"new").unwrap();
    assert_eq!(beneath(dir.path()).len(), 2);
    drop(big);
    let short = tree.big_file(&file("f", b"new")).unwrap().unwrap();
    short.write_at(0, b"ne").unwrap();
    assert_eq!(refusal(short.publish()), ErrorKind::Integrity);
    assert_eq!(refusal(tree.small_file(&file("f", b"new"), &[b"ne"])), ErrorKind::Internal);
    assert_eq!(beneath(dir.path()).len(), 1);
    assert_eq!(fs::read(dir.path().join("f")).unwrap(), b"old");
    let late = open(dir.path(), kept()).big_file(&file("late", b"")).unwrap().unwrap();
    fs::write(dir.path().join("late"), "came in between").unwrap();
    assert_eq!(late.publish().unwrap(), Done::Skipped);
    assert_eq!(fs::read(dir.path().join("late")).unwrap(), b"came in between");
    no_temp_is_left(dir.path());
}

#[test]
fn a_failed_small_file_is_removed() {
    let dir = tempfile::tempdir().unwrap();
    let tree = open(dir.path(), TreeOptions { xattrs_all: true, ..options() });
    // An attribute without a class: no file system takes it for one of its own, some say so with EINVAL.
    let bad = vec![("user.".to_owned() + &"x".repeat(300), Vec::new())];
    assert!(tree.small_file(&Entry { xattrs: bad.clone(), ..file("f", b"x") }, &[b"x"]).is_err());
    assert!(beneath(dir.path()).is_empty());
    fs::write(dir.path().join("f"), "old").unwrap();
    assert!(tree.small_file(&Entry { xattrs: bad, ..file("f", b"x") }, &[b"x"]).is_err());
    assert_eq!(fs::read(dir.path().join("f")).unwrap(), b"old");
    no_temp_is_left(dir.path());
}

#[test]
fn hard_links_lead_to_files_of_this_run() {
    let dir = tempfile::tempdir().unwrap();
    let at = |name: &str| dir.path().join(name);
    fs::write(at("theirs"), "theirs").unwrap();
    fs::write(at("old"), "old").unwrap();
    fs::create_dir(at("directory")).unwrap();
    let hard = |tree: &Tree, name: &str, target: &str| tree.hard_link(&link(name, Kind::HardLink, target));
    let tree = open(dir.path(), options());
    write(&tree, "a/f", b"1").unwrap();
    write_big(&tree, "big", b"2").unwrap();
    for (name, target) in [("x/1", "a/f"), ("2", "x/1"), ("old", "a/f"), ("old", "a/f"), ("a/3", "big")] {
        assert_eq!(hard(&tree, name, target).unwrap(), Done::Written, "{name}");
        assert_eq!(fs::metadata(at(name)).unwrap().ino(), fs::metadata(at(target)).unwrap().ino());
    }
    for target in ["theirs", "missing", "directory", "a", "a/f/", "../f"] {
        assert_eq!(refusal(hard(&tree, "l", target)), ErrorKind::UnsafeKey, "{target}");
    }
    assert!(is(&hard(&tree, "directory", "a/f").unwrap_err(), Errno::ISDIR));
    fs::remove_file(at("a/f")).unwrap();
    symlink("../theirs", at("a/f")).unwrap();
    assert!(hard(&tree, "l", "a/f").is_err(), "no longer the file that was written");
    assert!(!at("l").exists());
    let tree = open(dir.path(), kept());
    assert_eq!(hard(&tree, "old", "missing").unwrap(), Done::Skipped);
    assert_eq!(write(&tree, "theirs", b"x").unwrap(), Done::Skipped);
    assert_eq!(refusal(hard(&tree, "l", "theirs")), ErrorKind::UnsafeKey, "skipped is not written");
    let tree = open(dir.path(), TreeOptions { hard_links: false, ..options() });
    write(&tree, "a/f", b"1").unwrap();
    assert_eq!(refusal(hard(&tree, "l", "a/f")), ErrorKind::UnsafeKey);
    assert!(lock(&tree.0.written).is_empty());
    no_temp_is_left(dir.path());
}

#[test]
fn symbolic_links_come_last_and_stay_inside() {
    let dir = tempfile::tempdir().unwrap();
    let at = |name: &str| dir.path().join(name);
    fs::write(at("old"), "old").unwrap();
    fs::create_dir(at("directory")).unwrap();
    let tree = open(dir.path(), options());
    for (name, target) in [("l", "../x"), ("l", "/etc"), ("l", ""), ("a/l", "../../x"), ("l", "a\0")] {
        assert_eq!(refusal(tree.symlink(&link(name, Kind::Symlink, target))), ErrorKind::UnsafeKey, "{target:?}");
    }
    for (name, target) in [("a/b/l", "../../old"), ("old", "x"), ("directory", "x"), ("m", "directory/../x")] {
        tree.symlink(&link(name, Kind::Symlink, target)).unwrap();
    }
    assert!(fs::symlink_metadata(at("old")).unwrap().is_file());
    let finished = tree.finish();
    assert_eq!((finished.symlinks, finished.failures.len()), (3, 1), "{:?}", finished.failures);
    assert!(finished.failures[0].0 == b"directory" && is(&finished.failures[0].1, Errno::ISDIR));
    assert_eq!(fs::read_link(at("a/b/l")).unwrap(), Path::new("../../old"));
    assert_eq!(fs::read_link(at("old")).unwrap(), Path::new("x"));
    assert_eq!(mtime(at("old")), 1_600_000_000_123_456_789);
    let tree = open(dir.path(), kept());
    tree.symlink(&link("old", Kind::Symlink, "y")).unwrap();
    let finished = finish(tree);
    assert_eq!((finished.symlinks, &finished.skipped[..]), (0, &[b"old".to_vec()][..]));
    let tree = open(dir.path(), TreeOptions { unsafe_links: true, ..options() });
    tree.symlink(&link("old", Kind::Symlink, "/etc")).unwrap();
    tree.symlink(&link("up", Kind::Symlink, "x/../../..")).unwrap();
    finish(tree);
    assert_eq!(fs::read_link(at("old")).unwrap(), Path::new("/etc"));
    no_temp_is_left(dir.path());
}

/// Each of the two stays inside by its text; together they would not.
#[test]
fn links_through_links_stay_inside() {
    let outer = tempfile::tempdir().unwrap();
    for first_exists in [false, true] {
        let root = outer.path().join(format!("root{first_exists}"));
        let tree = open(&root, options());
        write(&tree, "x/y/f", b"").unwrap();
        if first_exists {
            symlink("../..", root.join("x/y/up")).unwrap();
        } else {
            tree.symlink(&link("x/y/up", Kind::Symlink, "../..")).unwrap();
        }
        tree.symlink(&link("a", Kind::Symlink, "x/y/up/..")).unwrap();
        tree.symlink(&link("z", Kind::Symlink, "x/y/up/..")).unwrap();
        let finished = tree.finish();
        assert_eq!(finished.failures.len(), 2, "{:?}", finished.failures);
        assert!(!root.join("a").exists() && !root.join("z").exists());
        assert_eq!(root.join("x/y/up").canonicalize().unwrap(), root.canonicalize().unwrap());
    }
}

#[test]
fn a_failure_at_the_end_stops_nothing_else() {
    let dir = tempfile::tempdir().unwrap();
    let tree = open(dir.path(), options());
    for name in ["a/", "b/", "c/"] {
        tree.directory(&entry(name, Kind::Directory)).unwrap();
    }
    fs::remove_dir(dir.path().join("b")).unwrap();
    symlink("a", dir.path().join("b")).unwrap();
    let finished = tree.finish();
    assert_eq!(finished.failures.len(), 1);
    assert_eq!((&finished.failures[0].0[..], finished.failures[0].1.kind()), (&b"b/"[..], ErrorKind::UnsafeKey));
    assert!(["a", "c"].iter().all(|name| mode(dir.path().join(name)) == 0o755));
}

#[test]
fn many_threads_share_a_few_directories() {
    fn shared<T: Send + Sync>(_: &T) {}
    let dir = tempfile::tempdir().unwrap();
    let tree = open(dir.path(), options());
    shared(&tree);
    std::thread::scope(|scope| {
        for lane in 0..4 {
            let tree = &tree;
            scope.spawn(move || {
                for at in (lane..2000).step_by(4) {
                    let content = format!("{at}");
                    write(tree, format!("d{}/e{}/f{at}", at / 40, at / 10), content.as_bytes()).unwrap();
                    assert!(tree.0.parents.count() <= parents::OPEN);
                }
            });
        }
    });
    finish(tree);
    for at in 0..2000 {
        let path = dir.path().join(format!("d{}/e{}/f{at}", at / 40, at / 10));
        assert_eq!(fs::read_to_string(path).unwrap(), format!("{at}"));
    }
}

/// In an order of its own, and against the simple reading.
#[test]
fn a_stream_is_held_to_one_tree() {
    use Kind::{Directory as D, File as F, HardLink as H, Symlink as S};
    type Names = &'static [(&'static str, Kind)];
    let good: [Names; 5] = [
        &[("a/", D), ("a/b", F), ("a/c/", D), ("a/c/d", S)],
        &[("a/b/c", F), ("a/", D), ("a/b/", D), ("a/b/d", H)],
        &[("a", F), ("a.b", F), ("ab", F), ("b/a", F)],
        &[("a/b/c/d/e", F), ("a/b/x/y", F), ("a/b/c/", D)],
        &[],
    ];
    for names in good {
        let mut order = Order::new();
        names.iter().for_each(|(name, kind)| order.accept(name.as_bytes(), *kind).unwrap());
    }
    let bad: [(Names, &str); 9] = [
        (&[("a", F), ("a", F)], "came before"),
        (&[("a/", D), ("a/", D)], "came before"),
        (&[("a/", D), ("a", S)], "came before"),
        (&[("a", S), ("a/", D)], "came before"),
        (&[("a", S), ("a/b", F)], "below an entry that is no directory"),
        (&[("a/b", F), ("a/b/c/d", F)], "below an entry that is no directory"),
        (&[("a/b/c", F), ("a/b", F)], "an entry below it"),
        (&[("a/b/c", F), ("a", S)], "an entry below it"),
        (&[("../a", F)], "\"..\""),
    ];
    for (names, expected) in bad {
        let mut order = Order::new();
        let (last, first) = names.split_last().unwrap();
        first.iter().for_each(|(name, kind)| order.accept(name.as_bytes(), *kind).unwrap());
        let count = order.len();
        let error = order.accept(last.0.as_bytes(), last.1).unwrap_err();
        assert!(error.kind() == ErrorKind::UnsafeKey && error.message().contains(expected), "{error}");
        assert_eq!(order.len(), count, "what is refused is not kept");
    }
}

#[test]
fn the_names_of_a_stream_are_counted() {
    let mut order = Order::limited(4);
    assert!(order.is_empty());
    order.accept(b"a/b/c", Kind::File).unwrap();
    assert_eq!(order.len(), 3);
    assert!(order.accept(b"a/x/y", Kind::File).is_err());
    order.accept(b"a/x", Kind::File).unwrap();
    order.accept(b"a/b/", Kind::Directory).unwrap();
    assert!(order.accept(b"z", Kind::File).is_err());
}
