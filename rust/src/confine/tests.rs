//! Keys, links and races against directories made for it (K1–K5, #65, #66).

use super::*;
use proptest::prelude::*;
use rustix::fs::CWD;
use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::sync::atomic::{AtomicBool, Ordering::SeqCst};
use std::time::{Duration, Instant};

const PRIVATE: Mode = Mode::from_raw_mode(0o600);

/// Runs `check` without root's rights, which no permission stops. Credentials are a thread's own.
pub(crate) fn as_nobody(check: impl FnOnce() + Send) {
    std::thread::scope(|scope| {
        let thread = scope.spawn(|| {
            if rustix::process::geteuid().is_root() {
                let (uid, gid) = (rustix::process::Uid::from_raw(65534), rustix::process::Gid::from_raw(65534));
                rustix::thread::set_thread_groups(&[]).unwrap();
                rustix::thread::set_thread_res_gid(gid, gid, gid).unwrap();
                rustix::thread::set_thread_res_uid(uid, uid, uid).unwrap();
            }
            check();
        });
        thread.join().unwrap();
    });
}

/// A directory that the user of `as_nobody` may look for names in, and change as `mode` says.
pub(crate) fn open_to_nobody(mode: u32) -> tempfile::TempDir {
    let dir = tempfile::tempdir().unwrap();
    if rustix::process::geteuid().is_root() {
        std::os::unix::fs::chown(dir.path(), Some(65534), Some(65534)).unwrap();
    }
    fs::set_permissions(dir.path(), fs::Permissions::from_mode(mode)).unwrap();
    dir
}

/// Both ways to the same answers.
fn guards(path: &Path) -> [Directory; 2] {
    [Directory::open(path).unwrap(), Directory::open(path).unwrap().walking()]
}

fn segments(path: &str) -> Vec<&OsStr> {
    path.split('/').map(OsStr::new).collect()
}

fn errno(error: &Error) -> Option<Errno> {
    error.errno().map(Errno::from_raw_os_error)
}

fn count(directory: &Path) -> usize {
    fs::read_dir(directory).unwrap().count()
}

/// K1, #65.
#[test]
fn keys_without_a_path_of_their_own_are_refused() {
    let long = "x".repeat(256);
    let deep = "x/".repeat(2047) + "x";
    for key in [
        "",
        "/",
        "/abs",
        "../x",
        "a/../../x",
        "..",
        ".",
        "a/.",
        "./a",
        "a/./b",
        "a//b",
        "a/",
        "a/b/",
        "a\0b",
        &long,
        &format!("a/{long}/b"),
        &format!("{deep}x"),
    ] {
        let error = relative(key.as_bytes()).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::UnsafeKey, "{key:?}");
        assert!(error.message().starts_with("the key has no safe path: "), "{error}");
    }
    let segment = "y".repeat(255);
    for key in ["a", "a/b/c", "...", "..a/b..", "C:\\x", "a\nb", " ", "-", "~", "\u{202e}", &segment, &deep] {
        let found = relative(key.as_bytes()).unwrap();
        assert_eq!(found.join(OsStr::new("/")), OsStr::new(key), "nothing is changed");
    }
    assert_eq!(relative(b"\xff\xfe/\x80").unwrap().len(), 2);
}

/// K4, #66.
#[test]
fn links_are_refused_wherever_they_lead() {
    let dir = tempfile::tempdir().unwrap();
    let outside = tempfile::tempdir().unwrap();
    fs::create_dir_all(dir.path().join("a/b")).unwrap();
    fs::create_dir(outside.path().join("b")).unwrap();
    fs::write(dir.path().join("file"), "").unwrap();
    symlink(outside.path(), dir.path().join("out")).unwrap();
    symlink("a", dir.path().join("in")).unwrap();
    symlink(".", dir.path().join("here")).unwrap();
    symlink("nowhere", dir.path().join("dangling")).unwrap();
    symlink("/proc/self/cwd", dir.path().join("magic")).unwrap();
    for directory in guards(dir.path()) {
        assert!(directory.beneath(&segments("a/b")).is_ok());
        assert!(directory.beneath(&[]).is_ok());
        for path in ["out", "out/b", "out/new", "in", "in/b", "in/new", "here/a", "dangling", "dangling/new", "magic/x"]
        {
            for error in
                [directory.beneath(&segments(path)).unwrap_err(), directory.make_beneath(&segments(path)).unwrap_err()]
            {
                assert_eq!(error.kind(), ErrorKind::UnsafeKey, "{path}: {error}");
            }
        }
        for path in ["file", "file/new"] {
            assert_eq!(errno(&directory.beneath(&segments(path)).unwrap_err()), Some(Errno::NOTDIR));
            assert_eq!(errno(&directory.make_beneath(&segments(path)).unwrap_err()), Some(Errno::NOTDIR));
        }
        assert_eq!(errno(&directory.beneath(&segments("a/c")).unwrap_err()), Some(Errno::NOENT));
        for path in ["..", "a/..", ".", "a/.", "a//b", "/", ""] {
            assert_eq!(errno(&directory.beneath(&segments(path)).unwrap_err()), Some(Errno::INVAL), "{path}");
            assert_eq!(errno(&directory.make_beneath(&segments(path)).unwrap_err()), Some(Errno::INVAL), "{path}");
        }
    }
    assert_eq!((count(outside.path()), count(&dir.path().join("a"))), (1, 1));
}

/// K5.
#[test]
fn the_directory_itself_may_be_a_link() {
    let dir = tempfile::tempdir().unwrap();
    fs::create_dir(dir.path().join("real")).unwrap();
    symlink("real", dir.path().join("link")).unwrap();
    let directory = Directory::open(&dir.path().join("link")).unwrap();
    directory.make_beneath(&segments("a")).unwrap();
    assert!(dir.path().join("real/a").is_dir());
    assert_eq!(errno(&Directory::open(&dir.path().join("none")).unwrap_err()), Some(Errno::NOENT));
}

#[test]
fn tells_what_it_made_and_removes_no_more() {
    let dir = tempfile::tempdir().unwrap();
    fs::create_dir(dir.path().join("old")).unwrap();
    for directory in guards(dir.path()) {
        assert!(directory.make_beneath(&segments("old")).unwrap().1.is_none());
        let (deepest, made) = directory.make_beneath(&segments("old/a/b")).unwrap();
        let made = made.unwrap();
        assert_eq!(made.paths(), [dir.path().join("old/a"), dir.path().join("old/a/b")]);
        assert_eq!(deepest.path(), dir.path().join("old/a/b"));
        made.sync().unwrap();
        fs::write(dir.path().join("old/a/theirs"), "").unwrap();
        made.remove();
        assert!(dir.path().join("old/a/theirs").exists() && !dir.path().join("old/a/b").exists());
        fs::remove_file(dir.path().join("old/a/theirs")).unwrap();
        made.remove();
        assert_eq!(count(&dir.path().join("old")), 0);
    }
}

#[test]
fn a_failure_half_way_leaves_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let root = Directory::open(dir.path()).unwrap();
    let segments = ["new".into(), "deeper".into(), OsString::from("x".repeat(256))];
    let mut made = Made { root, segments: segments.into(), depths: Vec::new() };
    assert_eq!(errno(&made.make().unwrap_err()), Some(Errno::NAMETOOLONG));
    assert_eq!(made.depths, [1, 2], "it had begun");
    assert_eq!(count(dir.path()), 0);
}

/// F1, #66: what was planted is neither opened nor written through.
#[test]
fn planted_names_are_not_opened() {
    let dir = tempfile::tempdir().unwrap();
    fs::write(dir.path().join("file"), "theirs").unwrap();
    symlink("file", dir.path().join("link")).unwrap();
    symlink("new", dir.path().join("dangling")).unwrap();
    rustix::fs::mkfifoat(CWD, dir.path().join("fifo"), PRIVATE).unwrap();
    fs::create_dir(dir.path().join("directory")).unwrap();
    let directory = Directory::open(dir.path()).unwrap();
    for name in ["file", "link", "dangling", "fifo", "directory"] {
        assert_eq!(directory.create_new(OsStr::new(name), PRIVATE).unwrap_err(), Errno::EXIST, "{name}");
    }
    for (name, flags, why) in [
        ("link", OFlags::RDWR, Errno::LOOP),
        ("dangling", OFlags::RDWR, Errno::LOOP),
        ("fifo", OFlags::RDONLY, Errno::INVAL),
        ("fifo", OFlags::WRONLY, Errno::NXIO),
        ("directory", OFlags::RDONLY, Errno::INVAL),
        ("missing", OFlags::RDONLY, Errno::NOENT),
    ] {
        assert_eq!(directory.open_file(OsStr::new(name), flags).unwrap_err(), why, "{name}");
    }
    for name in ["a/b", "..", ".", "", "/etc/passwd", "a\0b"] {
        let name = OsStr::new(name);
        assert_eq!(directory.create_new(name, PRIVATE).unwrap_err(), Errno::INVAL);
        assert_eq!(directory.open_file(name, OFlags::RDONLY).unwrap_err(), Errno::INVAL);
        assert_eq!(directory.stat(name).unwrap_err(), Errno::INVAL);
        assert_eq!(directory.unlink(name).unwrap_err(), Errno::INVAL);
        for rename in [Directory::rename, Directory::rename_new] {
            assert_eq!(rename(&directory, name, OsStr::new("file")).unwrap_err(), Errno::INVAL);
            assert_eq!(rename(&directory, OsStr::new("file"), name).unwrap_err(), Errno::INVAL);
        }
    }
    assert_eq!(fs::read(dir.path().join("file")).unwrap(), b"theirs");
    assert!(!dir.path().join("new").exists());
}

#[test]
fn files_are_made_renamed_and_removed_by_one_name() {
    let dir = tempfile::tempdir().unwrap();
    let directory = Directory::open(dir.path()).unwrap();
    let [a, b] = ["a", "b"].map(OsStr::new);
    let made = directory.create_new(a, PRIVATE).unwrap();
    let again = directory.open_file(a, OFlags::RDWR).unwrap();
    for fd in [made.as_fd(), again.as_fd(), directory.as_fd(), directory.beneath(&[]).unwrap().as_fd()] {
        assert!(rustix::io::fcntl_getfd(fd).unwrap().contains(rustix::io::FdFlags::CLOEXEC));
    }
    assert_eq!(directory.stat(a).unwrap().st_mode & 0o7777, 0o600);
    fs::write(dir.path().join("b"), "old").unwrap();
    assert_eq!(directory.rename_new(a, b).unwrap_err(), Errno::EXIST);
    assert_eq!(fs::read(dir.path().join("b")).unwrap(), b"old");
    directory.rename(a, b).unwrap();
    directory.rename_new(b, a).unwrap();
    directory.sync().unwrap();
    directory.unlink(a).unwrap();
    assert_eq!(count(dir.path()), 0);
}

/// A directory that may be changed but not read (a drop box) is a place for files too.
#[test]
fn a_directory_that_cannot_be_read_will_do() {
    let dir = open_to_nobody(0o700);
    as_nobody(|| {
        fs::create_dir_all(dir.path().join("a/b")).unwrap();
        for path in ["a/b", "a", ""] {
            fs::set_permissions(dir.path().join(path), fs::Permissions::from_mode(0o300)).unwrap();
        }
        for (number, directory) in guards(dir.path()).into_iter().enumerate() {
            let name = number.to_string();
            let (deepest, _) = directory.make_beneath(&[OsStr::new("a"), OsStr::new("b"), OsStr::new(&name)]).unwrap();
            deepest.create_new(OsStr::new("file"), PRIVATE).unwrap();
            deepest.sync().unwrap();
            assert_eq!(directory.sync().unwrap_err(), Errno::ACCESS);
        }
        for path in ["", "a", "a/b"] {
            fs::set_permissions(dir.path().join(path), fs::Permissions::from_mode(0o700)).unwrap();
        }
    });
}

/// Keys as they come, and keys made to hurt: out of the names that mean something.
fn keys() -> impl Strategy<Value = Vec<u8>> {
    let name = prop_oneof![
        4 => "[a-c]".prop_map(String::into_bytes),
        4 => proptest::sample::select(vec!["out", "up", "root", "in", "self", "file", "dir"]).prop_map(|s| s.into()),
        2 => proptest::sample::select(vec!["", ".", "..", "\0", "C:\\", "..\\..", "%2e%2e"]).prop_map(|s| s.into()),
        1 => proptest::collection::vec(any::<u8>(), 0..12),
        1 => (250usize..260).prop_map(|len| vec![b'n'; len]),
    ];
    prop_oneof![
        8 => proptest::collection::vec(name, 0..6).prop_map(|names| names.join(&b'/')),
        1 => proptest::collection::vec(any::<u8>(), 0..40),
    ]
}

/// Every entry of a tree, links not followed.
fn entries(directory: &Path) -> Vec<PathBuf> {
    let paths = fs::read_dir(directory).unwrap().map(|entry| entry.unwrap().path());
    let with_below = |path: PathBuf| {
        let below = if fs::symlink_metadata(&path).unwrap().is_dir() { entries(&path) } else { Vec::new() };
        [vec![path], below].concat()
    };
    paths.flat_map(with_below).collect()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]
    /// K1, K4, #65: a key is refused, or its file lies strictly beneath the destination, where the key says.
    #[test]
    fn no_key_leads_outside(key in keys(), walks: bool) {
        let all = tempfile::tempdir().unwrap();
        let (tree, outside) = (all.path().join("tree"), all.path().join("outside"));
        fs::create_dir_all(tree.join("dir")).unwrap();
        fs::create_dir(&outside).unwrap();
        fs::write(tree.join("file"), "").unwrap();
        symlink(&outside, tree.join("out")).unwrap();
        symlink("..", tree.join("up")).unwrap();
        symlink("/", tree.join("root")).unwrap();
        symlink("dir", tree.join("in")).unwrap();
        symlink("/proc/self/cwd", tree.join("self")).unwrap();
        let before = entries(all.path()).len();
        let Ok(found) = relative(&key) else { return Ok(()) };
        prop_assert_eq!(found.join(OsStr::new("/")), OsStr::from_bytes(&key));
        prop_assert!(found.iter().all(|s| !s.is_empty() && *s != "." && *s != ".." && s.len() <= 255));
        let mut directory = Directory::open(&tree).unwrap();
        directory.walks = walks;
        let (name, parents) = found.split_last().unwrap();
        let made = directory.make_beneath(parents).map(|(parent, _)| parent.create_new(name, PRIVATE));
        if let Ok(Ok(_)) = made {
            let file = tree.join(OsStr::from_bytes(&key));
            prop_assert!(fs::symlink_metadata(&file).unwrap().is_file());
            prop_assert_eq!(file.canonicalize().unwrap(), tree.canonicalize().unwrap().join(OsStr::from_bytes(&key)));
        } else {
            prop_assert_eq!(entries(all.path()).len(), before, "what failed left something");
        }
        prop_assert_eq!(fs::read_dir(&outside).unwrap().count(), 0);
        prop_assert_eq!(fs::read_dir(all.path()).unwrap().count(), 2);
    }
}

struct StopAtEnd<'a>(&'a AtomicBool);

impl Drop for StopAtEnd<'_> {
    fn drop(&mut self) {
        self.0.store(true, SeqCst);
    }
}

/// K4, #66: a directory changes places with a link to the outside while files are made beneath it.
#[test]
fn a_link_swapped_in_catches_nothing() {
    for walks in [false, true] {
        let all = tempfile::tempdir().unwrap();
        let (tree, outside) = (all.path().join("tree"), all.path().join("outside"));
        fs::create_dir_all(tree.join("a/b")).unwrap();
        fs::create_dir_all(outside.join("b")).unwrap();
        symlink("../outside", tree.join("link")).unwrap();
        let mut directory = Directory::open(&tree).unwrap();
        directory.walks = walks;
        let done = AtomicBool::new(false);
        let (mut made, mut refused) = (0, 0);
        std::thread::scope(|scope| {
            scope.spawn(|| {
                let (a, link) = (tree.join("a"), tree.join("link"));
                while !done.load(SeqCst) {
                    rustix::fs::renameat_with(CWD, &a, CWD, &link, RenameFlags::EXCHANGE).unwrap();
                }
            });
            // Also when a check below fails: else the other thread would never end.
            let _stop = StopAtEnd(&done);
            let started = Instant::now();
            while (made < 500 || refused < 500) && started.elapsed() < Duration::from_secs(60) {
                let name = format!("{made}-{refused}");
                match directory.make_beneath(&[OsStr::new("a"), OsStr::new("b"), OsStr::new(&name)]) {
                    Ok((parent, _)) => {
                        parent.create_new(OsStr::new("file"), PRIVATE).unwrap();
                        made += 1;
                    }
                    Err(error) => {
                        assert_eq!(error.kind(), ErrorKind::UnsafeKey, "{error}");
                        refused += 1;
                    }
                }
            }
        });
        assert!(made >= 500 && refused >= 500, "no race: made {made}, refused {refused}");
        assert_eq!(count(&outside.join("b")), 0, "walks: {walks}");
        assert_eq!(count(&outside), 1);
    }
}

impl Directory {
    /// As on a kernel without `openat2`.
    fn walking(self) -> Self {
        Self { walks: true, ..self }
    }
}
