//! A hidden file beside its destination, until it is published under its name.
//!
//! Owns the temp name (F1), mode and umask (F7), mtime, publishing by rename (F6), and opening again what an
//! interrupted run left (F13). All calls block: they are made on an I/O lane. Everything goes through the directory's
//! descriptor, never through a path. Invariant: until `publish` returns, nothing under the destination's name
//! has changed; a `TempFile` that is dropped unpublished removes itself, unless it was told to stay.

use std::ffi::OsStr;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::time::{SystemTime, UNIX_EPOCH};

use rustix::fs::{FlockOperation, Mode, OFlags, Stat, Timespec, Timestamps, UTIME_OMIT};
use rustix::io::Errno;

use crate::confine::Directory;
use crate::descriptor::{PATIENCE, check_close, patiently};
use crate::error::{Error, Result};
use crate::transfer::buffers::ALIGNMENT;
use crate::transfer::destination::Destination;

/// How a finished file is to look under its name.
#[derive(Debug, Clone, Copy)]
pub struct Publish {
    pub overwrite: bool,
    /// fsync the file, its directory and newly made parents.
    pub durable: bool,
    pub mtime: Option<SystemTime>,
    /// Of a new file; `None`: as the umask says, which is read each time.
    pub mode: Option<Mode>,
}

/// What a temp file is recognised by that an earlier run left.
#[derive(Debug, Clone, Copy)]
pub struct Kept<'a> {
    pub name: &'a str,
    pub device: u64,
    pub inode: u64,
    /// Of the object. Direct writes may have left the file longer, up to a block border.
    pub size: u64,
}

/// The answer to `TempFile::reopen`.
#[derive(Debug)]
pub enum Reopened {
    File(TempFile),
    /// The destination comes back, for a new temp file.
    Refused(Destination, WhyNot),
}

/// Why a file that an earlier run left is not gone on with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum WhyNot {
    /// Nothing has this name, or it cannot be opened.
    Missing,
    /// Somebody else writes it, or it cannot be locked.
    InUse,
    /// Others could have written to it, or it is not ours; leave it alone.
    Unsafe,
    /// It is another file than the one meant, or of another length.
    Different,
}

#[derive(Debug)]
pub struct TempFile {
    destination: Destination,
    file: OwnedFd,
    name: String,
    /// Published, or kept for the next run.
    stays: bool,
    /// A forked child has a copy of this, but the file is not its own (Y3).
    pid: u32,
}

impl TempFile {
    /// Creates the hidden file: a random name, never an existing one, readable by its owner only, locked.
    pub fn create(destination: Destination) -> Result<Self> {
        let (file, name) = patiently(PATIENCE, || create_locked(&destination))?;
        Ok(Self { destination, file, name, stays: false, pid: std::process::id() })
    }

    /// Opens the file that an earlier run left, if nobody else could have made, changed or taken it (F13). Its content
    /// is not looked at.
    pub fn reopen(destination: Destination, kept: &Kept<'_>) -> Reopened {
        match open_kept(destination.directory(), kept) {
            Ok(file) => {
                let (name, pid) = (kept.name.to_owned(), std::process::id());
                Reopened::File(Self { destination, file, name, stays: false, pid })
            }
            Err(why) => Reopened::Refused(destination, why),
        }
    }

    /// The destination's path.
    pub fn path(&self) -> &Path {
        self.destination.path()
    }

    /// Its own name, in the destination's directory.
    pub fn name(&self) -> &str {
        &self.name
    }

    pub fn destination(&self) -> &Destination {
        &self.destination
    }

    pub fn device_and_inode(&self) -> Result<(u64, u64)> {
        let stat = rustix::fs::fstat(&self.file).map_err(|errno| Error::local_errno(self.path(), errno))?;
        Ok((stat.st_dev, stat.st_ino))
    }

    /// From now on dropping it leaves it where it is, for `reopen`.
    pub fn keep(&mut self) {
        self.stays = true;
    }

    /// Gives the file the permissions and times it should have and, last, its name. A file that could not be
    /// synced never gets it, and is not synced again (F8).
    pub fn publish(&mut self, how: Publish) -> Result<()> {
        self.finish(how).map_err(|errno| Error::local_errno(self.path(), errno))?;
        self.stays = true;
        let made = self.destination.keep_made();
        if how.durable {
            let directory = self.destination.directory();
            directory.sync().map_err(|errno| Error::local_errno(directory.path(), errno))?;
            made.map_or(Ok(()), |made| made.sync())?;
        }
        Ok(())
    }

    fn finish(&self, how: Publish) -> rustix::io::Result<()> {
        let mode = self.destination.existing().or(how.mode).unwrap_or_else(new_mode);
        match rustix::fs::fchmod(&self.file, mode) {
            // A file system without modes, such as FAT, gives each file those of its mount.
            Ok(()) | Err(Errno::PERM | Errno::OPNOTSUPP | Errno::NOSYS) => {}
            Err(errno) => return Err(errno),
        }
        if let Some(mtime) = how.mtime {
            rustix::fs::futimens(&self.file, &timestamps(mtime))?;
        }
        if how.durable {
            rustix::fs::fsync(&self.file)?;
        }
        check_close(&self.file)?;
        let (directory, name) = (self.destination.directory(), self.destination.name());
        let rename = if how.overwrite { Directory::rename } else { Directory::rename_new };
        rename(directory, OsStr::new(&self.name), name)
    }
}

impl AsFd for TempFile {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.file.as_fd()
    }
}

impl Drop for TempFile {
    fn drop(&mut self) {
        if !self.stays && self.pid == std::process::id() {
            let _ = self.destination.directory().unlink(OsStr::new(&self.name));
        }
    }
}

fn create_locked(destination: &Destination) -> Result<(OwnedFd, String)> {
    let fail = |errno| Error::local_errno(destination.path(), errno);
    loop {
        let name = random_name()?;
        let file = match destination.directory().create_new(OsStr::new(&name), Mode::from_raw_mode(0o600)) {
            Ok(file) => file,
            Err(Errno::EXIST) => continue,
            Err(errno) => return Err(fail(errno)),
        };
        // The lock marks the file as in use. Somebody who clears up what no one uses may have been faster.
        // File systems without locks do without.
        if lock(&file) != Err(Errno::WOULDBLOCK) && rustix::fs::fstat(&file).map_err(fail)?.st_nlink > 0 {
            return Ok((file, name));
        }
    }
}

fn open_kept(directory: &Directory, kept: &Kept<'_>) -> Result<OwnedFd, WhyNot> {
    if !is_temp_name(kept.name) {
        return Err(WhyNot::Unsafe);
    }
    let name = OsStr::new(kept.name);
    let file = directory.open_file(name, OFlags::RDWR).map_err(|errno| match errno {
        Errno::LOOP | Errno::INVAL | Errno::ACCESS => WhyNot::Unsafe,
        _ => WhyNot::Missing,
    })?;
    lock(&file).map_err(|_| WhyNot::InUse)?;
    let stat = still_named(directory, name, &file)?;
    if !is_only_ours(&stat) {
        return Err(WhyNot::Unsafe);
    }
    let length = u64::try_from(stat.st_size).ok();
    let lengths = [Some(kept.size), kept.size.checked_next_multiple_of(ALIGNMENT as u64)];
    let is_meant = (stat.st_dev, stat.st_ino) == (kept.device, kept.inode) && lengths.contains(&length);
    if is_meant { Ok(file) } else { Err(WhyNot::Different) }
}

/// The locked file, if it still has its name: whoever held the lock before may have published or removed it.
fn still_named(directory: &Directory, name: &OsStr, file: &OwnedFd) -> Result<Stat, WhyNot> {
    let stat = rustix::fs::fstat(file).map_err(|_| WhyNot::Missing)?;
    let named = directory.stat(name).map_err(|_| WhyNot::Missing)?;
    if (named.st_dev, named.st_ino) == (stat.st_dev, stat.st_ino) { Ok(stat) } else { Err(WhyNot::InUse) }
}

fn lock(file: &OwnedFd) -> rustix::io::Result<()> {
    rustix::fs::flock(file, FlockOperation::NonBlockingLockExclusive)
}

/// Nobody else made it, has it under another name, or may write to it.
fn is_only_ours(stat: &Stat) -> bool {
    stat.st_uid == rustix::process::geteuid().as_raw() && stat.st_nlink == 1 && stat.st_mode & 0o022 == 0
}

/// `.s3z-<32 hex>.part`: short whatever the destination is called, hidden, recognisable, not to be guessed.
fn random_name() -> Result<String> {
    let mut random = [0u8; 16];
    getrandom::fill(&mut random).map_err(|cause| Error::local(Path::new("/dev/urandom"), io::Error::other(cause)))?;
    Ok(format!(".s3z-{:032x}.part", u128::from_ne_bytes(random)))
}

/// Whether a name is one of ours, of a temporary file or a ledger.
pub fn is_own_name(name: &OsStr) -> bool {
    let name = name.as_bytes();
    name.starts_with(b".s3z-") && (name.ends_with(b".part") || name.ends_with(b".ledger"))
}

/// Whether `random_name` could have made it.
fn is_temp_name(name: &str) -> bool {
    let random = name.strip_prefix(".s3z-").and_then(|rest| rest.strip_suffix(".part"));
    random.is_some_and(|random| random.len() == 32 && random.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f')))
}

/// The process's umask, read without changing it: setting it would race with other threads.
/// The permission bits of a file made now.
pub fn new_mode() -> Mode {
    Mode::from_raw_mode(0o666 & !umask())
}

fn umask() -> u32 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let field = status.lines().find_map(|line| line.strip_prefix("Umask:"));
    field.and_then(|octal| u32::from_str_radix(octal.trim(), 8).ok()).unwrap_or(0o077)
}

/// That time as the time of the last change; the one of the last access stays.
pub(super) fn timestamps(mtime: SystemTime) -> Timestamps {
    let since = mtime.duration_since(UNIX_EPOCH).unwrap_or_default();
    let last_modification =
        Timespec { tv_sec: i64::try_from(since.as_secs()).unwrap_or(i64::MAX), tv_nsec: since.subsec_nanos().into() };
    Timestamps { last_access: Timespec { tv_sec: 0, tv_nsec: UTIME_OMIT }, last_modification }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs::{self, File};
    use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};
    use std::process::Command;
    use std::time::Duration;

    const PLAIN: Publish = Publish { overwrite: true, durable: false, mtime: None, mode: None };

    fn names(directory: &Path) -> Vec<String> {
        let mut names: Vec<_> =
            fs::read_dir(directory).unwrap().map(|e| e.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        names
    }

    fn create(path: &Path) -> TempFile {
        TempFile::create(Destination::prepare(path, true).unwrap()).unwrap()
    }

    #[test]
    fn publishes_only_when_told() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("file");
        let mut temp = create(&path);
        rustix::io::write(&temp, b"hello").unwrap();
        assert_eq!(names(dir.path()), [temp.name()]);
        assert!(is_own_name(OsStr::new(temp.name())) && is_temp_name(temp.name()));
        assert_eq!(fs::metadata(dir.path().join(temp.name())).unwrap().permissions().mode() & 0o7777, 0o600, "F1");
        let when = UNIX_EPOCH + Duration::from_secs(1_700_000_000);
        temp.publish(Publish { durable: true, mtime: Some(when), ..PLAIN }).unwrap();
        drop(temp);
        assert_eq!(names(dir.path()), ["file"]);
        assert_eq!(fs::read(&path).unwrap(), b"hello");
        let metadata = fs::metadata(&path).unwrap();
        assert_eq!(metadata.permissions().mode() & 0o777, 0o666 & !umask());
        assert_eq!(metadata.modified().unwrap(), when);
    }

    #[test]
    fn dropped_unpublished_it_leaves_nothing() {
        let dir = tempfile::tempdir().unwrap();
        drop(create(&dir.path().join("file")));
        assert!(names(dir.path()).is_empty());
    }

    /// F7, #67.
    #[test]
    fn keeps_the_mode_of_what_it_replaces_but_not_setuid() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("file");
        fs::write(&path, "old").unwrap();
        for (old, new) in [(0o4751, 0o751), (0o2777, 0o777), (0o1600, 0o600), (0o400, 0o400), (0o000, 0o000)] {
            fs::set_permissions(&path, fs::Permissions::from_mode(old)).unwrap();
            create(&path).publish(PLAIN).unwrap();
            assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o7777, new);
        }
    }

    /// F6: a name that came meanwhile is not lost.
    #[test]
    fn without_overwrite_an_existing_name_stays() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("file");
        let mut temp = TempFile::create(Destination::prepare(&path, false).unwrap()).unwrap();
        fs::write(&path, "came in between").unwrap();
        let error = temp.publish(Publish { overwrite: false, ..PLAIN }).unwrap_err();
        assert_eq!(error.errno(), Some(Errno::EXIST.raw_os_error()));
        drop(temp);
        assert_eq!(fs::read(&path).unwrap(), b"came in between");
        assert_eq!(names(dir.path()), ["file"]);
        let early = Destination::prepare(&path, false).unwrap_err();
        assert_eq!(early.errno(), Some(Errno::EXIST.raw_os_error()));
    }

    /// A temp file that was left behind by an earlier run, and how it is recognised.
    struct Left {
        dir: tempfile::TempDir,
        name: String,
        device: u64,
        inode: u64,
    }

    impl Left {
        fn new(content: &[u8]) -> Self {
            let dir = tempfile::tempdir().unwrap();
            let mut temp = create(&dir.path().join("file"));
            rustix::io::write(&temp, content).unwrap();
            let (device, inode) = temp.device_and_inode().unwrap();
            temp.keep();
            Self { name: temp.name().to_owned(), dir, device, inode }
        }

        fn path(&self) -> std::path::PathBuf {
            self.dir.path().join(&self.name)
        }

        fn kept(&self, size: u64) -> Kept<'_> {
            Kept { name: &self.name, device: self.device, inode: self.inode, size }
        }

        fn reopen(&self, kept: &Kept<'_>) -> Result<TempFile, WhyNot> {
            let destination = Destination::prepare(&self.dir.path().join("file"), true).unwrap();
            match TempFile::reopen(destination, kept) {
                Reopened::File(temp) => Ok(temp),
                Reopened::Refused(destination, why) => {
                    assert_eq!(destination.name(), "file", "it comes back, for a new one");
                    Err(why)
                }
            }
        }

        fn refusal(&self, size: u64) -> WhyNot {
            self.reopen(&self.kept(size)).unwrap_err()
        }
    }

    #[test]
    fn what_was_kept_is_gone_on_with() {
        for (content, size) in [(&b"hello"[..], 5), (&[1; 4096], 4096), (&[1; 4096], 17), (b"", 0)] {
            let left = Left::new(content);
            let mut temp = left.reopen(&left.kept(size)).unwrap();
            assert_eq!((temp.name(), temp.device_and_inode().unwrap()), (&left.name[..], (left.device, left.inode)));
            rustix::io::pwrite(&temp, b"X", 0).unwrap();
            temp.publish(PLAIN).unwrap();
            assert_eq!(names(left.dir.path()), ["file"]);
            assert_eq!(fs::read(left.dir.path().join("file")).unwrap()[0], b'X');
        }
        let left = Left::new(b"hello");
        drop(left.reopen(&left.kept(5)).unwrap());
        assert!(names(left.dir.path()).is_empty(), "once it is open, dropping it removes it, as ever");
    }

    /// F13: of another length or identity it is another file.
    #[test]
    fn another_file_is_not_gone_on_with() {
        let left = Left::new(&[1; 4097]);
        for size in [0, 1, 4096, 4098 + 4096, 8193, u64::MAX] {
            assert_eq!(left.refusal(size), WhyNot::Different, "{size}");
        }
        let kept = left.kept(4097);
        for other in [Kept { inode: kept.inode + 1, ..kept }, Kept { device: kept.device + 1, ..kept }] {
            assert_eq!(left.reopen(&other).unwrap_err(), WhyNot::Different);
        }
        fs::remove_file(left.path()).unwrap();
        assert_eq!(left.refusal(4097), WhyNot::Missing);
        fs::write(left.path(), [1; 4097]).unwrap();
        let now = fs::metadata(left.path()).unwrap();
        if now.ino() != left.inode {
            assert_eq!(left.refusal(4097), WhyNot::Different, "the same name and length, another file");
        }
    }

    /// F13, #66: what others could have made, hold by another name or may write to.
    #[test]
    fn an_unsafe_file_is_not_gone_on_with() {
        let left = Left::new(b"hello");
        for mode in [0o620, 0o602, 0o666] {
            fs::set_permissions(left.path(), fs::Permissions::from_mode(mode)).unwrap();
            assert_eq!(left.refusal(5), WhyNot::Unsafe, "{mode:o}");
        }
        fs::set_permissions(left.path(), fs::Permissions::from_mode(0o644)).unwrap();
        fs::hard_link(left.path(), left.dir.path().join("second")).unwrap();
        assert_eq!(left.refusal(5), WhyNot::Unsafe);
        fs::remove_file(left.dir.path().join("second")).unwrap();
        if rustix::process::geteuid().is_root() {
            std::os::unix::fs::chown(left.path(), Some(65534), None).unwrap();
            assert_eq!(left.refusal(5), WhyNot::Unsafe);
            std::os::unix::fs::chown(left.path(), Some(0), None).unwrap();
        }
        let aside = left.dir.path().join("aside");
        fs::rename(left.path(), &aside).unwrap();
        symlink("aside", left.path()).unwrap();
        assert_eq!(left.refusal(5), WhyNot::Unsafe);
        fs::remove_file(left.path()).unwrap();
        rustix::fs::mkfifoat(rustix::fs::CWD, left.path(), Mode::from_raw_mode(0o600)).unwrap();
        assert_eq!(left.refusal(5), WhyNot::Unsafe);
        fs::remove_file(left.path()).unwrap();
        fs::rename(&aside, left.path()).unwrap();
        let random = &left.name[5..37];
        for name in [
            "file".to_owned(),
            format!("../{}", left.name),
            format!("{}/{}", left.dir.path().display(), left.name),
            format!(".s3z-{random}.ledger"),
            format!(".s3z-{}.part", random.to_uppercase()),
            format!(".s3z-{random}0.part"),
            format!(".s3z-{}.part", "../".repeat(10) + "xx"),
        ] {
            if name != left.name {
                assert_eq!(left.reopen(&Kept { name: &name, ..left.kept(5) }).unwrap_err(), WhyNot::Unsafe, "{name}");
            }
        }
        assert!(left.reopen(&left.kept(5)).is_ok(), "after all that it is still the one that was left");
    }

    /// F1, F11, F13: one run at a time has it, and what was published meanwhile is nobody's to write to.
    #[test]
    fn a_file_in_use_is_not_gone_on_with() {
        let left = Left::new(b"hello");
        let first = left.reopen(&left.kept(5)).unwrap();
        assert_eq!(left.refusal(5), WhyNot::InUse);
        drop(first);
        let new = create(&left.dir.path().join("other"));
        let (device, inode) = new.device_and_inode().unwrap();
        let kept = Kept { name: new.name(), device, inode, size: 0 };
        assert_eq!(left.reopen(&kept).unwrap_err(), WhyNot::InUse, "a new one is locked too");
    }

    /// F13: whoever opened the file just before it was published, and gets the lock after, must not write into it.
    #[test]
    fn a_file_published_between_open_and_lock_is_let_go() {
        let left = Left::new(b"hello");
        let directory = Directory::open(left.dir.path()).unwrap();
        let name = OsStr::new(&left.name);
        let file = directory.open_file(name, OFlags::RDWR).unwrap();
        lock(&file).unwrap();
        assert!(still_named(&directory, name, &file).is_ok());
        directory.rename(name, OsStr::new("file")).unwrap();
        assert_eq!(still_named(&directory, name, &file).unwrap_err(), WhyNot::Missing);
        fs::write(left.path(), "another").unwrap();
        assert_eq!(still_named(&directory, name, &file).unwrap_err(), WhyNot::InUse);
    }

    /// Runs a test of this file in a process of its own, behind `command`.
    fn alone(command: &[&str], test: &str, dir: &Path) -> std::process::Output {
        let (program, arguments) = command.split_first().unwrap();
        let output = Command::new(program)
            .args(arguments)
            .arg(std::env::current_exe().unwrap())
            .args(["--exact", &format!("transfer::temp_file::tests::{test}"), "--ignored", "--nocapture"])
            .env("TEMP_FILE_TEST", dir)
            .output()
            .unwrap();
        assert!(output.status.success(), "{output:?}");
        assert!(String::from_utf8_lossy(&output.stdout).contains("1 passed"), "{output:?}");
        output
    }

    fn directory_of_parent() -> std::path::PathBuf {
        std::env::var_os("TEMP_FILE_TEST").expect("run by another test").into()
    }

    /// Whether strace is at hand; without it CI fails, and a person is told.
    fn has_strace() -> bool {
        let found = Command::new("strace").arg("-V").output().is_ok();
        assert!(found || std::env::var_os("CI").is_none(), "strace is missing");
        found
    }

    #[test]
    #[ignore = "run by the tests below"]
    fn publishes_durably_beneath_new_parents() {
        let path = directory_of_parent().join("a/b/file");
        create(&path).publish(Publish { durable: true, mtime: Some(UNIX_EPOCH), ..PLAIN }).unwrap();
    }

    /// F6, #62: what is on the disk before the name is, and the names after.
    #[test]
    fn publishes_in_the_order_that_survives_a_power_cut() {
        if !has_strace() {
            return;
        }
        let dir = tempfile::tempdir().unwrap();
        let trace = "trace=fchmod,utimensat,fsync,fcntl,rename,renameat,renameat2";
        let strace = ["strace", "-f", "-y", "-e", trace, "-s", "0"];
        let output = alone(&strace, "publishes_durably_beneath_new_parents", dir.path());
        let root = dir.path().canonicalize().unwrap();
        let text = String::from_utf8(output.stderr).unwrap().replace(root.to_str().unwrap(), "ROOT");
        let told = |line: &str| {
            let (call, arguments) = line.split_once('(')?;
            let (_, place) = arguments.split_once("<ROOT")?;
            let place = place.split('>').next()?;
            let place = if place.contains(".s3z-") { "temp" } else { place };
            let is_asked_for = !call.ends_with("fcntl") || arguments.contains("F_DUPFD") && place == "temp";
            is_asked_for.then(|| format!("{} {place}", call.rsplit(' ').next().unwrap_or_default()))
        };
        let calls: Vec<String> = text.lines().filter_map(told).collect();
        let expected = ["fchmod temp", "utimensat temp", "fsync temp", "fcntl temp", "renameat /a/b"];
        assert_eq!(calls, [&expected[..], &["fsync /a/b", "fsync ", "fsync /a"]].concat());
    }

    #[test]
    #[ignore = "run by the test below"]
    fn fails_to_publish() {
        let path = directory_of_parent().join("file");
        let mut temp = create(&path);
        rustix::io::write(&temp, b"hello").unwrap();
        // Past the closes that belong to the start of a process.
        (0..100).for_each(|_| drop(File::open("/dev/null").unwrap()));
        let error = temp.publish(PLAIN).unwrap_err();
        assert_eq!(error.errno(), Some(Errno::IO.raw_os_error()));
        assert_eq!(error.path(), Some(&*path));
    }

    /// F5, #60: closing may tell of bytes that never arrived, and does so before the file has its name.
    #[test]
    fn an_error_of_close_counts() {
        if !has_strace() {
            return;
        }
        for fault in ["close:error=EIO:when=100+", "renameat,renameat2:error=EIO"] {
            let dir = tempfile::tempdir().unwrap();
            let call = fault.split(':').next().unwrap();
            let strace = [
                "strace",
                "-f",
                "-q",
                "-o",
                "/dev/null",
                "-e",
                &format!("trace={call}"),
                "-e",
                &format!("inject={fault}"),
            ];
            alone(&strace, "fails_to_publish", dir.path());
            assert!(names(dir.path()).is_empty(), "{fault}: {:?}", names(dir.path()));
        }
    }

    #[test]
    #[ignore = "run by the test below"]
    fn waits_for_descriptors() {
        let path = directory_of_parent().join("new/file");
        let mut taken = Vec::new();
        while let Ok(file) = File::open("/dev/null") {
            taken.push(file);
        }
        let free = std::thread::spawn(move || {
            std::thread::sleep(Duration::from_millis(200));
            taken.truncate(taken.len() - 4);
            taken
        });
        let destination = Destination::prepare(&path, true).unwrap();
        let mut taken = free.join().unwrap();
        while let Ok(file) = File::open("/dev/null") {
            taken.push(file);
        }
        let free = std::thread::spawn(move || {
            std::thread::sleep(Duration::from_millis(200));
            taken.pop();
            taken
        });
        let mut temp = TempFile::create(destination).unwrap();
        let mut taken = free.join().unwrap();
        while let Ok(file) = File::open("/dev/null") {
            taken.push(file);
        }
        temp.publish(PLAIN).unwrap();
        assert!(path.is_file());
        drop(temp);
        while let Ok(file) = File::open("/dev/null") {
            taken.push(file);
        }
        let error = Destination::prepare(&path, true).unwrap_err();
        assert_eq!(error.errno(), Some(Errno::MFILE.raw_os_error()));
    }

    /// F15, #70: neither a failure nor a hang, in every call that needs a descriptor.
    #[test]
    fn a_lack_of_descriptors_is_waited_out() {
        let dir = tempfile::tempdir().unwrap();
        alone(&["prlimit", "--nofile=64"], "waits_for_descriptors", dir.path());
    }
}
