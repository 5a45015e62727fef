//! The ledger of a download that may be gone on with: which bytes of which version lie in which hidden file.
//!
//! One for each destination name, beside the temp file, append-only, locked while in use. `look` finds what an
//! earlier run left and takes it only if nobody else could have made or changed it (F13); nothing it says is
//! believed before it was read back (F14). A ledger never makes a transfer fail: where it cannot be made, locked or
//! written, the transfer goes on without. All calls block: they are made on an I/O lane.

pub mod format;

use std::ffi::OsStr;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::SeqCst};

use rustix::fs::{AtFlags, FileType, FlockOperation, Mode, OFlags, Stat};
use rustix::io::Errno;
use sha2::{Digest, Sha256};

use format::{Head, Interval, Unusable};

/// A ledger longer than this is not read: it would be of an object no store can hold.
const MAX_LENGTH: u64 = 2 << 30;

/// An open, locked ledger.
#[derive(Debug)]
pub struct Ledger {
    directory: OwnedFd,
    file: OwnedFd,
    name: String,
    seal: u64,
    bytes: AtomicU64,
    broken: AtomicBool,
}

/// What an earlier run left for this destination.
#[derive(Debug)]
pub struct Found {
    pub ledger: Ledger,
    pub head: Head,
    pub intervals: Vec<Interval>,
}

impl Found {
    /// The first bytes that it does not claim; `None` if it claims all.
    pub fn first_gap(&self) -> Option<u64> {
        let mut at = 0;
        for interval in &self.intervals {
            if interval.range.start > at {
                break;
            }
            at = interval.range.end;
        }
        (at < self.head.size).then_some(at)
    }

    /// Where the bytes end that it does not claim from `gap` on.
    pub fn gap_end(&self, gap: u64) -> u64 {
        let next = self.intervals.iter().map(|interval| interval.range.start).find(|start| *start > gap);
        next.unwrap_or(self.head.size)
    }

    /// Removes the ledger and the file it names: they are of no use any more.
    pub fn remove(self) {
        remove_temp(self.ledger.directory.as_fd(), &self.head);
        self.ledger.remove();
    }
}

impl Ledger {
    /// A new one for the file `name` in `directory`. `None` where there is one that is not ours to replace, or where
    /// it cannot be made or locked.
    pub fn create(directory: BorrowedFd<'_>, name: &OsStr, head: &Head) -> Option<Self> {
        let (bytes, seal) = format::head(head)?;
        let name = ledger_name(name);
        let kept = directory.try_clone_to_owned().ok()?;
        let flags = OFlags::RDWR | OFlags::APPEND | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let file = rustix::fs::openat(directory, &name, flags, Mode::from_raw_mode(0o600)).ok()?;
        let ledger =
            Self { directory: kept, file, name, seal, bytes: AtomicU64::new(0), broken: AtomicBool::new(false) };
        // The head must outlive a power cut, else nothing would name the file that it is about.
        if !ledger.lock() || !ledger.write(&bytes) || rustix::fs::fsync(&ledger.file).is_err() {
            ledger.remove();
            return None;
        }
        Some(ledger)
    }

    /// Finds the ledger of the file `name`, if it is about `object`. One of ours about anything else is stale: it
    /// goes, with the file it names. What is not ours, in use or unsafe is left alone.
    pub fn look(directory: BorrowedFd<'_>, name: &OsStr, object: &[u8; 32]) -> Option<Found> {
        let name = ledger_name(name);
        let flags = OFlags::RDWR | OFlags::APPEND | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
        let file = rustix::fs::openat(directory, &name, flags, Mode::empty()).ok()?;
        let stat = rustix::fs::fstat(&file).ok().filter(is_safe)?;
        let mut ledger = Self {
            directory: directory.try_clone_to_owned().ok()?,
            file,
            name,
            seal: 0,
            bytes: AtomicU64::new(0),
            broken: AtomicBool::new(false),
        };
        // Whoever held the lock before may have removed the file; then the name is another's, or nobody's.
        if !ledger.lock() || !ledger.is_still(&stat) {
            return None;
        }
        let parsed = match format::parse(&ledger.read()?) {
            Ok(parsed) => parsed,
            Err(Unusable::Foreign) => return None,
            Err(Unusable::Damaged) => {
                ledger.remove();
                return None;
            }
        };
        ledger.seal = parsed.seal;
        ledger.bytes = AtomicU64::new(parsed.intervals.iter().map(|i| i.range.end - i.range.start).sum());
        let found = Found { ledger, head: parsed.head, intervals: parsed.intervals };
        // What follows a damaged record would be lost to the next reader.
        let cut = rustix::fs::ftruncate(&found.ledger.file, parsed.intact as u64);
        if found.head.object != *object || cut.is_err() {
            found.remove();
            return None;
        }
        Some(found)
    }

    /// Notes that these bytes were written. After a failure nothing more is noted: a gap is fetched again, a record
    /// behind a torn one would not be found.
    pub fn append(&self, interval: &Interval) {
        let length = interval.range.end - interval.range.start;
        if length > 0 && !self.broken.load(SeqCst) {
            if self.write(&format::record(self.seal, interval)) {
                self.bytes.fetch_add(length, SeqCst);
            } else {
                self.broken.store(true, SeqCst);
            }
        }
    }

    /// Bytes that the next run will find recorded.
    pub fn bytes(&self) -> u64 {
        self.bytes.load(SeqCst)
    }

    pub fn remove(self) {
        let _ = rustix::fs::unlinkat(&self.directory, &self.name, AtFlags::empty());
    }

    /// One `write`, so that records of two threads never mix.
    fn write(&self, bytes: &[u8]) -> bool {
        loop {
            match rustix::io::write(&self.file, bytes) {
                Err(Errno::INTR) => {}
                written => return written == Ok(bytes.len()),
            }
        }
    }

    fn lock(&self) -> bool {
        rustix::fs::flock(&self.file, FlockOperation::NonBlockingLockExclusive).is_ok()
    }

    fn is_still(&self, opened: &Stat) -> bool {
        let now = rustix::fs::statat(&self.directory, &self.name, AtFlags::SYMLINK_NOFOLLOW);
        now.is_ok_and(|now| is_safe(&now) && (now.st_dev, now.st_ino) == (opened.st_dev, opened.st_ino))
    }

    fn read(&self) -> Option<Vec<u8>> {
        let length = u64::try_from(rustix::fs::fstat(&self.file).ok()?.st_size).ok()?;
        if length > MAX_LENGTH {
            return None;
        }
        let mut bytes = vec![0; usize::try_from(length).ok()?];
        let mut filled = 0;
        while filled < bytes.len() {
            match rustix::io::pread(&self.file, &mut bytes[filled..], filled as u64) {
                Ok(0) => break,
                Ok(count) => filled += count,
                Err(Errno::INTR) => {}
                Err(_) => return None,
            }
        }
        bytes.truncate(filled);
        Some(bytes)
    }
}

/// `.s3z-<32 hex>.ledger`, from the name of the destination: the next run finds it.
fn ledger_name(destination: &OsStr) -> String {
    let hash = Sha256::digest(destination.as_bytes());
    let hex: String = hash[..16].iter().map(|byte| format!("{byte:02x}")).collect();
    format!(".s3z-{hex}.ledger")
}

/// Regular, ours, under one name, and nobody else could have written it.
pub(super) fn is_safe(stat: &Stat) -> bool {
    FileType::from_raw_mode(stat.st_mode) == FileType::RegularFile
        && stat.st_uid == rustix::process::geteuid().as_raw()
        && stat.st_nlink == 1
        && stat.st_mode & 0o022 == 0
}

/// Removes the file a stale ledger names, if it is the very file, ours and not in use.
fn remove_temp(directory: BorrowedFd<'_>, head: &Head) {
    let name = head.temp.as_str();
    if !crate::transfer::temp_file::is_own_name(OsStr::new(name)) || name.contains('/') {
        return;
    }
    let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
    let Ok(file) = rustix::fs::openat(directory, name, flags, Mode::empty()) else { return };
    let is_it = rustix::fs::fstat(&file)
        .is_ok_and(|stat| is_safe(&stat) && (stat.st_dev, stat.st_ino) == (head.device, head.inode));
    if is_it && rustix::fs::flock(&file, FlockOperation::NonBlockingLockExclusive).is_ok() {
        let _ = rustix::fs::unlinkat(directory, name, AtFlags::empty());
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;
    use std::os::unix::fs::{MetadataExt, PermissionsExt};
    use std::path::{Path, PathBuf};

    const OBJECT: [u8; 32] = [9; 32];

    struct Place {
        dir: tempfile::TempDir,
        directory: fs::File,
    }

    impl Place {
        fn new() -> Self {
            let dir = tempfile::tempdir().unwrap();
            let directory = fs::File::open(dir.path()).unwrap();
            Self { dir, directory }
        }

        fn path(&self, name: &str) -> PathBuf {
            self.dir.path().join(name)
        }

        fn ledger(&self) -> PathBuf {
            self.path(&ledger_name(OsStr::new("file")))
        }

        /// A temp file of 100 bytes, and the head that names it.
        fn head(&self) -> Head {
            let temp = format!(".s3z-{:032x}.part", 5);
            fs::write(self.path(&temp), [1; 100]).unwrap();
            let stat = fs::metadata(self.path(&temp)).unwrap();
            Head { object: OBJECT, size: 100, etag: "\"e\"".into(), temp, device: stat.dev(), inode: stat.ino() }
        }

        fn create(&self) -> Ledger {
            Ledger::create(self.directory.as_fd(), OsStr::new("file"), &self.head()).unwrap()
        }

        fn look(&self) -> Option<Found> {
            Ledger::look(self.directory.as_fd(), OsStr::new("file"), &OBJECT)
        }

        fn names(&self) -> usize {
            fs::read_dir(self.dir.path()).unwrap().count()
        }
    }

    fn interval(range: std::ops::Range<u64>) -> Interval {
        Interval { range, crc64: 1 }
    }

    fn chmod(path: &Path, mode: u32) {
        fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
    }

    #[test]
    fn what_was_noted_is_found_and_gone_on_with() {
        let place = Place::new();
        let ledger = place.create();
        ledger.append(&interval(0..10));
        ledger.append(&interval(50..60));
        assert_eq!(ledger.bytes(), 20);
        drop(ledger);
        let found = place.look().unwrap();
        assert_eq!((found.intervals.len(), found.first_gap()), (2, Some(10)));
        found.ledger.append(&interval(10..50));
        assert_eq!(found.ledger.bytes(), 60);
        drop(found);
        assert_eq!(place.look().unwrap().first_gap(), Some(60));
        assert_eq!(fs::metadata(place.ledger()).unwrap().mode() & 0o777, 0o600);
        place.look().unwrap().remove();
        assert_eq!(place.names(), 0);
    }

    /// F11
    #[test]
    fn one_in_use_is_left_alone() {
        let place = Place::new();
        let held = place.create();
        assert!(place.look().is_none());
        assert!(Ledger::create(place.directory.as_fd(), OsStr::new("file"), &place.head()).is_none());
        drop(held);
        assert!(place.look().is_some());
    }

    /// F13
    #[test]
    fn records_behind_a_torn_one_are_not_lost() {
        let place = Place::new();
        place.create().append(&interval(0..10));
        let mut bytes = fs::read(place.ledger()).unwrap();
        bytes.extend_from_slice(&[0; 13]);
        fs::write(place.ledger(), bytes).unwrap();
        place.look().unwrap().ledger.append(&interval(10..30));
        assert_eq!(place.look().unwrap().first_gap(), Some(30));
    }

    /// F13
    #[test]
    fn stale_ones_go_with_their_file() {
        let place = Place::new();
        drop(place.create());
        assert!(Ledger::look(place.directory.as_fd(), OsStr::new("file"), &[8; 32]).is_none());
        assert_eq!(place.names(), 0);
        let head = place.head();
        drop(place.create());
        // Another file under the temp's name is not ours to remove.
        fs::rename(place.path(&head.temp), place.path("kept")).unwrap();
        fs::write(place.path(&head.temp), "other").unwrap();
        assert!(Ledger::look(place.directory.as_fd(), OsStr::new("file"), &[8; 32]).is_none());
        assert!(place.path(&head.temp).exists() && !place.ledger().exists());
    }

    /// F13, S19
    #[test]
    fn what_others_could_have_made_is_ignored_and_left() {
        let place = Place::new();
        drop(place.create());
        let good = fs::read(place.ledger()).unwrap();
        for mode in [0o620, 0o602, 0o666] {
            chmod(&place.ledger(), mode);
            assert!(place.look().is_none(), "{mode:o}");
        }
        chmod(&place.ledger(), 0o600);
        fs::hard_link(place.ledger(), place.path("second")).unwrap();
        assert!(place.look().is_none(), "a second name");
        fs::remove_file(place.ledger()).unwrap();
        std::os::unix::fs::symlink("second", place.ledger()).unwrap();
        assert!(place.look().is_none(), "a link");
        fs::remove_file(place.ledger()).unwrap();
        fs::create_dir(place.ledger()).unwrap();
        assert!(place.look().is_none(), "a directory");
        fs::remove_dir(place.ledger()).unwrap();
        rustix::fs::mknodat(rustix::fs::CWD, place.ledger(), FileType::Fifo, Mode::from_raw_mode(0o600), 0).unwrap();
        assert!(place.look().is_none(), "a pipe");
        assert!(place.ledger().exists());
        fs::remove_file(place.ledger()).unwrap();
        fs::write(place.ledger(), "notes of somebody").unwrap();
        assert!(place.look().is_none() && place.ledger().exists(), "of no format of ours");
        fs::write(place.ledger(), &good[..good.len() - 1]).unwrap();
        assert!(place.look().is_none() && !place.ledger().exists(), "ours, and damaged");
    }
}
