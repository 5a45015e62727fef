//! Trees against hostile names, links put in the way, what is there already, and each other's threads.

mod looks;

use super::*;
use crate::confine::tests::{as_nobody, open_to_nobody};
use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};
use std::path::PathBuf;

/// Mode, owner and time are the tests' own: nothing depends on who runs them.
fn entry(name: impl AsRef<[u8]>, kind: Kind) -> Entry {
    Entry {
        name: name.as_ref().to_vec(),
        kind,
        mode: if kind == Kind::Directory { 0o755 } else { 0o644 },
        uid: Some(7),
        gid: Some(8),
        mtime_ns: 1_600_000_000_123_456_789,
        size: 0,
        link: Vec::new(),
        xattrs: Vec::new(),
    }
}

fn file(name: impl AsRef<[u8]>, content: &[u8]) -> Entry {
    Entry { size: content.len() as u64, ..entry(name, Kind::File) }
}

fn link(name: impl AsRef<[u8]>, kind: Kind, target: impl AsRef<[u8]>) -> Entry {
    Entry { link: target.as_ref().to_vec(), ..entry(name, kind) }
}

fn options() -> TreeOptions {
    TreeOptions { umask: 0o022, ..TreeOptions::new() }
}

fn kept() -> TreeOptions {
    TreeOptions { no_clobber: true, ..options() }
}

fn open(path: &Path, options: TreeOptions) -> Tree {
    Tree::open(path, options).unwrap()
}

fn write(tree: &Tree, name: impl AsRef<[u8]>, content: &[u8]) -> Result<Done> {
    tree.small_file(&file(name, content), &[content])
}

fn write_big(tree: &Tree, name: impl AsRef<[u8]>, content: &[u8]) -> Result<Done> {
    let Some(big) = tree.big_file(&file(name, content))? else { return Ok(Done::Skipped) };
    big.write_at(0, content)?;
    big.publish()
}

type Way = fn(&Tree, &'static str, &[u8]) -> Result<Done>;

/// Both ways to write a file.
const WAYS: [Way; 2] = [write, write_big];

fn finish(tree: Tree) -> Finished {
    let finished = tree.finish();
    assert!(finished.failures.is_empty(), "{:?}", finished.failures);
    finished
}

fn mode(path: impl AsRef<Path>) -> u32 {
    fs::symlink_metadata(path).unwrap().permissions().mode() & 0o7777
}

fn mtime(path: impl AsRef<Path>) -> i64 {
    let metadata = fs::symlink_metadata(path).unwrap();
    metadata.mtime() * 1_000_000_000 + metadata.mtime_nsec()
}

/// All that is beneath, as paths.
fn beneath(path: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(path).unwrap() {
        let path = entry.unwrap().path();
        if fs::symlink_metadata(&path).unwrap().is_dir() {
            found.extend(beneath(&path));
        }
        found.push(path);
    }
    found.sort();
    found
}

fn no_temp_is_left(path: &Path) {
    let is_temp = |path: &PathBuf| path.file_name().unwrap().as_bytes().starts_with(b".s3z-");
    assert!(!beneath(path).iter().any(is_temp), "{:?}", beneath(path));
}

fn refusal<T>(result: Result<T>) -> ErrorKind {
    result.map(|_| "no refusal").unwrap_err().kind()
}

#[test]
fn hostile_names_are_refused_by_every_call() {
    let outer = tempfile::tempdir().unwrap();
    let tree = open(&outer.path().join("in"), options());
    write(&tree, "target", b"").unwrap();
    let long = "x".repeat(256);
    for name in ["", "/", "../x", "a/../../x", "/tmp/x", ".", "..", "a/.", "a//b", "a\0b", &long, &"x/".repeat(2049)] {
        assert_eq!(refusal(write(&tree, name, b"x")), ErrorKind::UnsafeKey, "{name:?}");
        assert_eq!(refusal(tree.big_file(&file(name, b"x"))), ErrorKind::UnsafeKey);
        assert_eq!(refusal(tree.directory(&entry(format!("{name}/"), Kind::Directory))), ErrorKind::UnsafeKey);
        assert_eq!(refusal(tree.symlink(&link(name, Kind::Symlink, "target"))), ErrorKind::UnsafeKey);
        assert_eq!(refusal(tree.hard_link(&link(name, Kind::HardLink, "target"))), ErrorKind::UnsafeKey);
        assert_eq!(refusal(tree.hard_link(&link("hard", Kind::HardLink, name))), ErrorKind::UnsafeKey);
    }
    assert_eq!(refusal(write(&tree, "x/", b"")), ErrorKind::UnsafeKey);
    assert_eq!(refusal(tree.directory(&entry("x", Kind::Directory))), ErrorKind::UnsafeKey);
    assert_eq!(refusal(tree.directory(&file("x", b""))), ErrorKind::Internal);
    finish(tree);
    assert_eq!(beneath(outer.path()), [outer.path().join("in"), outer.path().join("in/target")]);
}

#[test]
fn names_of_any_bytes_and_full_length() {
    let dir = tempfile::tempdir().unwrap();
    let tree = open(dir.path(), options());
    let longest = [0xffu8; 255];
    let deep: Vec<u8> = (0..30).flat_map(|level| [&[0x80 + level; 130][..], b"/"].concat()).collect();
    tree.directory(&entry(&deep, Kind::Directory)).unwrap();
    for (prefix, way) in [(&b"a"[..], 0), (b"b", 1)] {
        for name in [b"\xff\xfe\n".to_vec(), longest[1..].to_vec(), [&deep[..], b"leaf"].concat()] {
            let (parent, last) = names::split(&name);
            let name = if parent.is_empty() { [prefix, last].concat() } else { [parent, b"/", prefix, last].concat() };
            let done = if way == 0 { write(&tree, &name, b"1") } else { write_big(&tree, &name, b"1") };
            assert_eq!(done.unwrap(), Done::Written);
            let path = dir.path().join(OsStr::from_bytes(&name));
            assert_eq!(fs::read(path).unwrap(), b"1");
        }
    }
    tree.symlink(&link(longest, Kind::Symlink, [0xfe; 300])).unwrap();
    finish(tree);
    let path = dir.path().join(OsStr::from_bytes(&longest));
    assert_eq!(fs::read_link(path).unwrap().as_os_str().as_bytes(), [0xfe; 300]);
    assert_eq!(beneath(dir.path()).len(), 30 + 6 + 1);
}

#[test]
fn the_destination_is_made_or_may_be_a_link() {
    let dir = tempfile::tempdir().unwrap();
    let at = |name: &str| dir.path().join(name);
    write(&open(&at("a/b/c"), options()), "f", b"1").unwrap();
    assert!(at("a/b/c/f").is_file());
    symlink("a/b", at("link")).unwrap();
    write(&open(&at("link"), options()), "f", b"2").unwrap();
    write(&open(&at("link/new"), options()), "f", b"3").unwrap();
    assert_eq!((fs::read(at("a/b/f")).unwrap(), fs::read(at("a/b/new/f")).unwrap()), (b"2".to_vec(), b"3".to_vec()));
    symlink("nowhere", at("dangling")).unwrap();
    for (name, errno) in [("a/b/f", Errno::NOTDIR), ("dangling/x", Errno::LOOP), ("missing/..", Errno::NOENT)] {
        assert!(is(&Tree::open(&at(name), options()).unwrap_err(), errno), "{name}");
    }
    assert!(is(&Tree::open(Path::new(""), options()).unwrap_err(), Errno::NOENT));
    assert!(!at("missing").exists() && !at("nowhere").exists());
}

/// Whatever link is there before, nothing is made, changed or opened behind it.
#[test]
fn links_put_in_the_way_are_never_followed() {
    let outside = tempfile::tempdir().unwrap();
    fs::write(outside.path().join("secret"), "secret").unwrap();
    fs::set_permissions(outside.path(), fs::Permissions::from_mode(0o750)).unwrap();
    let before = mtime(outside.path());
    let dir = tempfile::tempdir().unwrap();
    fs::create_dir(dir.path().join("real")).unwrap();
    let tree = open(dir.path(), options());
    for (name, target) in [("out", outside.path()), ("in", Path::new("real")), ("here", Path::new("."))] {
        symlink(target, dir.path().join(name)).unwrap();
        let inner = format!("{name}/x");
        assert_eq!(refusal(write(&tree, &inner, b"x")), ErrorKind::UnsafeKey);
        assert_eq!(refusal(write_big(&tree, &inner, b"x")), ErrorKind::UnsafeKey);
        assert_eq!(refusal(tree.directory(&entry(format!("{inner}/"), Kind::Directory))), ErrorKind::UnsafeKey);
        assert!(is(&tree.directory(&entry(format!("{name}/"), Kind::Directory)).unwrap_err(), Errno::NOTDIR));
        tree.symlink(&link(&inner, Kind::Symlink, "y")).unwrap();
    }
    write(&tree, "made", b"made").unwrap();
    assert_eq!(refusal(tree.hard_link(&link("out/h", Kind::HardLink, "made"))), ErrorKind::UnsafeKey);
    assert_eq!(refusal(tree.hard_link(&link("h", Kind::HardLink, "out/secret"))), ErrorKind::UnsafeKey);
    let finished = tree.finish();
    assert_eq!(finished.failures.len(), 3, "{:?}", finished.failures);
    assert!(finished.failures.iter().all(|(_, error)| error.kind() == ErrorKind::UnsafeKey));
    assert_eq!((beneath(outside.path()).len(), mtime(outside.path()), mode(outside.path())), (1, before, 0o750));
    assert!(beneath(&dir.path().join("real")).is_empty());
}

#[test]
fn a_link_in_the_place_of_a_file_is_replaced_itself() {
    let outside = tempfile::tempdir().unwrap();
    let secret = outside.path().join("secret");
    fs::write(&secret, "secret").unwrap();
    for target in [&secret, outside.path(), Path::new("nowhere")] {
        for way in WAYS {
            let dir = tempfile::tempdir().unwrap();
            symlink(target, dir.path().join("f")).unwrap();
            assert_eq!(way(&open(dir.path(), kept()), "f", b"new").unwrap(), Done::Skipped);
            let tree = open(dir.path(), options());
            assert_eq!(way(&tree, "f", b"new").unwrap(), Done::Written);
            assert!(fs::symlink_metadata(dir.path().join("f")).unwrap().is_file());
            assert_eq!(fs::read(dir.path().join("f")).unwrap(), b"new");
            no_temp_is_left(dir.path());
        }
    }
    assert_eq!(fs::read(&secret).unwrap(), b"secret");
}

/// A directory that was opened, and then swapped for a link: what is held is still the directory.
#[test]
fn a_directory_swapped_for_a_link_is_written_to_nowhere() {
    let outside = tempfile::tempdir().unwrap();
    let dir = tempfile::tempdir().unwrap();
    let tree = open(dir.path(), options());
    write(&tree, "d/1", b"").unwrap();
    let big = tree.big_file(&file("d/big", b"1")).unwrap().unwrap();
    big.write_at(0, b"1").unwrap();
    fs::rename(dir.path().join("d"), dir.path().join("aside")).unwrap();
    symlink(outside.path(), dir.path().join("d")).unwrap();
    write(&tree, "d/2", b"").unwrap();
    big.publish().unwrap();
    assert!(beneath(outside.path()).is_empty());
    assert_eq!(beneath(&dir.path().join("aside")).len(), 3);
    tree.0.parents.forget();
    assert_eq!(refusal(write(&tree, "d/3", b"")), ErrorKind::UnsafeKey, "opened anew, it is a link");
}

#[test]
fn a_directory_removed_meanwhile_is_made_again() {
    let dir = tempfile::tempdir().unwrap();
    let tree = open(dir.path(), options());
    write(&tree, "d/e/1", b"").unwrap();
    fs::remove_dir_all(dir.path().join("d")).unwrap();
    write(&tree, "d/e/2", b"").unwrap();
    assert!(dir.path().join("d/e/2").is_file());
}

#[test]
fn files_are_replaced_as_a_whole_and_directories_never() {
    for way in WAYS {
        let dir = tempfile::tempdir().unwrap();
        let at = |name: &str| dir.path().join(name);
        fs::write(at("f"), "old and longer").unwrap();
        fs::hard_link(at("f"), at("second")).unwrap();
        fs::create_dir(at("d")).unwrap();
        rustix::fs::mkfifoat(rustix::fs::CWD, at("fifo"), rustix::fs::Mode::from_raw_mode(0o600)).unwrap();
        let (no, yes) = (open(dir.path(), kept()), open(dir.path(), options()));
        for name in ["f", "fifo", "d"] {
            assert_eq!(way(&no, name, b"new").unwrap(), Done::Skipped, "{name}");
        }
        assert_eq!(fs::read(at("f")).unwrap(), b"old and longer");
        assert!(is(&way(&yes, "d", b"new").unwrap_err(), Errno::ISDIR));
        assert!(is(&yes.big_file(&file("d", b"new")).unwrap_err(), Errno::ISDIR), "known before any work");
        for name in ["f", "fifo"] {
            assert_eq!(way(&yes, name, b"new").unwrap(), Done::Written);
            assert_eq!((fs::read(at(name)).unwrap(), mode(at(name))), (b"new".to_vec(), 0o644));
            assert_eq!(mtime(at(name)), 1_600_000_000_123_456_789);
        }
        assert_eq!(fs::read(at("second")).unwrap(), b"old and longer", "another name of it is another file now");
        assert!(is(&way(&yes, "f/x", b"").unwrap_err(), Errno::NOTDIR), "nothing lies below a file");
        assert!(is(&yes.directory(&entry("f/", Kind::Directory)).unwrap_err(), Errno::NOTDIR));
        no_temp_is_left(dir.path());
    }
}

#[test]
fn directories_are_closed_until_the_end_and_get_their_looks_deepest_first() {
    let dir = open_to_nobody(0o755);
    as_nobody(|| {
        let at = |name: &str| dir.path().join(name);
        let tree = open(dir.path(), options());
        let looks = [("a/", 0o555, -1), ("a/b/", 0o000, -1_500_000_000), ("a/b/c/", 0o7777, 5), ("z/", 0o711, 0)];
        for (name, mode, mtime_ns) in looks {
            tree.directory(&Entry { mode, mtime_ns, ..entry(name, Kind::Directory) }).unwrap();
        }
        assert!(["a", "a/b", "a/b/c", "z"].iter().all(|name| mode(at(name)) == 0o700));
        write(&tree, "a/b/c/f", b"").unwrap();
        write(&tree, "z/implied/f", b"").unwrap();
        tree.symlink(&link("a/b/l", Kind::Symlink, "c/f")).unwrap();
        assert!(!at("a/b/l").exists(), "links come last");
        finish(tree);
        assert_eq!((mode(at("a/b")), mtime(at("a/b"))), (0, -1_500_000_000));
        fs::set_permissions(at("a/b"), fs::Permissions::from_mode(0o700)).unwrap();
        assert!(fs::symlink_metadata(at("a/b/l")).unwrap().is_symlink() && at("a/b/c/f").is_file());
        assert_eq!((mode(at("a")), mtime(at("a"))), (0o555, -1));
        assert_eq!((mode(at("a/b/c")), mtime(at("a/b/c"))), (0o755, 5), "special bits and the umask's are dropped");
        assert_eq!((mode(at("z")), mtime(at("z"))), (0o711, 0));
        assert_eq!(mode(at("z/implied")), 0o777 & !look::process_umask());
        fs::set_permissions(at("a"), fs::Permissions::from_mode(0o700)).unwrap();
    });
}

#[test]
fn existing_directories_are_used() {
    let dir = open_to_nobody(0o755);
    as_nobody(|| {
        let at = |name: &str| dir.path().join(name);
        let plain = TreeOptions { preserve: false, ..options() };
        for (options, expected) in [(options(), 0o711), (kept(), 0o2500), (plain, 0o2500)] {
            fs::create_dir(at("d")).unwrap();
            fs::set_permissions(at("d"), fs::Permissions::from_mode(0o2500)).unwrap();
            let tree = open(dir.path(), options);
            tree.directory(&Entry { mode: 0o711, ..entry("d/", Kind::Directory) }).unwrap();
            write(&tree, "d/f", b"").unwrap();
            finish(tree);
            let special = 0o2000;
            assert_eq!(mode(at("d")), expected | special, "what is the directory's own stays");
            assert_eq!(mtime(at("d")) == 1_600_000_000_123_456_789, expected == 0o711);
            fs::set_permissions(at("d"), fs::Permissions::from_mode(0o700)).unwrap();
            fs::remove_dir_all(at("d")).unwrap();
        }
    });
}

#[test]
fn a_directory_that_its_content_came_before_is_ours() {
    for (options, expected) in [(options(), 0o700), (kept(), 0o700)] {
        let dir = tempfile::tempdir().unwrap();
        fs::create_dir(dir.path().join("there")).unwrap();
        let there = mode(dir.path().join("there"));
        let tree = open(dir.path(), options);
        for name in ["there/new/x", "d/e/x"] {
            write(&tree, name, b"").unwrap();
        }
        for name in ["d/", "d/e/", "there/", "there/new/"] {
            tree.directory(&Entry { mode: 0o700, ..entry(name, Kind::Directory) }).unwrap();
        }
        finish(tree);
        assert!(["d", "d/e", "there/new"].iter().all(|name| mode(dir.path().join(name)) == expected));
        assert_eq!(mode(dir.path().join("there")), if options.no_clobber { there } else { 0o700 });
    }
}
