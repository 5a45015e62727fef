//! The journal of multipart uploads: which ones this user's programs have begun and not ended yet (U10, U11).
//!
//! One small text file for each, mode 0600, in the user's state directory: bucket, key, upload id, the file its bytes come from,
//! never a secret. It is locked while the upload is under way and removed when that is completed or aborted, so one that nobody
//! locks was left by a run that ended early. A file that does not end as it should, or that others could have written, says
//! nothing. All calls block: they are made on an I/O lane.

use std::ffi::{OsStr, OsString};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::PathBuf;

use rustix::fs::{FlockOperation, Mode, OFlags};
use rustix::io::Errno;

use crate::confine::Directory;
use crate::error::{Error, Result};
use crate::transfer::file_reader::Identity;
use crate::transfer::ledger::is_safe;

/// First and last line of a file.
const FIRST: &str = "s3z upload 1\n";
const LAST: &str = "\nend\n";
const SUFFIX: &str = ".upload";
/// A longer file is not ours.
const MAX_LENGTH: usize = 64 << 10;

/// Where notes of uploads lie.
#[derive(Debug, Clone)]
pub struct Journal {
    directory: PathBuf,
}

/// What is noted of one upload.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Note {
    /// Which store; a bucket of that name may exist at another one.
    pub endpoint: String,
    pub bucket: String,
    pub key: String,
    pub upload_id: String,
    /// Seconds since the epoch.
    pub begun: u64,
    pub part_size: u64,
    /// Name of the checksum algorithm, or empty.
    pub checksum: String,
    /// Over all that was said of the object: another request makes another object.
    pub request: String,
    /// By which the object is known as its maker's own where a condition was given (C12), or empty.
    pub write_id: String,
    /// The file it is made of; none of a stream.
    pub source: Option<(PathBuf, Identity)>,
}

/// A note that this process holds locked. Dropping it leaves the note to whoever comes next.
#[derive(Debug)]
pub struct Held {
    directory: Directory,
    name: OsString,
    /// Holds the lock.
    _file: OwnedFd,
}

impl Held {
    /// The upload is ended.
    pub fn remove(&self) {
        // One that stays is found with an upload the store does not know, and removed then.
        let _ = self.directory.unlink(&self.name);
    }
}

impl Journal {
    pub fn new(directory: PathBuf) -> Self {
        Self { directory }
    }

    /// Writes down that an upload has begun.
    pub fn write(&self, note: &Note) -> Result<Held> {
        let (directory, _) = Directory::make(&self.directory)?;
        let fail = |errno| Error::local_errno(&self.directory, errno);
        let mut random = [0; 16];
        getrandom::fill(&mut random).map_err(|_| fail(Errno::IO))?;
        let number = u128::from_ne_bytes(random);
        // Under another name until it is locked and complete: whoever looks for notes meanwhile must not take it.
        let (name, made) =
            (OsString::from(format!("{number:032x}{SUFFIX}")), OsString::from(format!("{number:032x}.new")));
        let file = directory.create_new(&made, Mode::RUSR | Mode::WUSR).map_err(fail)?;
        let written = rustix::fs::flock(&file, FlockOperation::NonBlockingLockExclusive)
            .and_then(|()| write_all(&file, note.to_text().as_bytes()))
            .and_then(|()| directory.rename(&made, &name));
        if let Err(errno) = written {
            let _ = directory.unlink(&made);
            return Err(fail(errno));
        }
        Ok(Held { directory, name, _file: file })
    }

    /// Fails where no note could be written.
    pub fn check(&self) -> Result<()> {
        let (directory, _) = Directory::make(&self.directory)?;
        rustix::fs::accessat(directory.as_fd(), ".", rustix::fs::Access::WRITE_OK, rustix::fs::AtFlags::empty())
            .map_err(|errno| Error::local_errno(&self.directory, errno))
    }

    /// What earlier runs left and `wanted` wants, each locked by its coming back here. Nothing of it was compared with the store.
    pub fn left(&self, wanted: impl Fn(&Note) -> bool) -> Result<Vec<(Held, Note)>> {
        let Ok(directory) = Directory::open(&self.directory) else { return Ok(Vec::new()) };
        let fail = |errno| Error::local_errno(&self.directory, errno);
        let mut found = Vec::new();
        for entry in rustix::fs::Dir::read_from(directory.as_fd()).map_err(fail)? {
            let entry = entry.map_err(fail)?;
            let name = OsStr::from_bytes(entry.file_name().to_bytes());
            if name.as_bytes().ends_with(SUFFIX.as_bytes()) {
                found.extend(take(&directory, name, &wanted).map_err(fail)?);
            }
        }
        found.sort_by(|(_, one), (_, other)| (one.begun, &one.upload_id).cmp(&(other.begun, &other.upload_id)));
        Ok(found)
    }
}

/// One note that nobody holds, if it is one.
fn take(
    directory: &Directory,
    name: &OsStr,
    wanted: &impl Fn(&Note) -> bool,
) -> rustix::io::Result<Option<(Held, Note)>> {
    let Ok(file) = directory.open_file(name, OFlags::RDONLY) else { return Ok(None) };
    if !is_safe(&rustix::fs::fstat(&file)?) {
        return Ok(None);
    }
    let mut bytes = Vec::new();
    let mut buffer = [0; 4096];
    loop {
        match rustix::io::read(&file, &mut buffer) {
            Ok(0) => break,
            Ok(read) if bytes.len() + read <= MAX_LENGTH => bytes.extend_from_slice(&buffer[..read]),
            Ok(_) => return Ok(None),
            Err(Errno::INTR) => {}
            Err(errno) => return Err(errno),
        }
    }
    let note = std::str::from_utf8(&bytes).ok().and_then(Note::parse).filter(|note| wanted(note));
    let Some(note) = note else { return Ok(None) };
    // Only what is wanted is locked: others may be looking for theirs.
    let locked = rustix::fs::flock(&file, FlockOperation::NonBlockingLockExclusive).is_ok();
    // Whoever held the lock may have removed the file just now.
    if !locked || directory.stat(name).is_err() {
        return Ok(None);
    }
    let held = Held { directory: directory.try_clone()?, name: name.to_owned(), _file: file };
    Ok(Some((held, note)))
}

fn write_all(file: &OwnedFd, mut bytes: &[u8]) -> rustix::io::Result<()> {
    while !bytes.is_empty() {
        match rustix::io::write(file, bytes) {
            Ok(written) => bytes = &bytes[written..],
            Err(Errno::INTR) => {}
            Err(errno) => return Err(errno),
        }
    }
    Ok(())
}

impl Note {
    fn to_text(&self) -> String {
        let mut lines = Vec::new();
        let mut line = |name: &str, value: &[u8]| lines.push(format!("{name} {}", escape(value)));
        for (name, value) in [
            ("endpoint", &self.endpoint),
            ("bucket", &self.bucket),
            ("key", &self.key),
            ("upload_id", &self.upload_id),
            ("begun", &self.begun.to_string()),
            ("part_size", &self.part_size.to_string()),
            ("checksum", &self.checksum),
            ("request", &self.request),
            ("write_id", &self.write_id),
        ] {
            line(name, value.as_bytes());
        }
        if let Some((path, identity)) = &self.source {
            line("source", path.as_os_str().as_bytes());
            line("identity", identity.to_text().as_bytes());
        }
        format!("{FIRST}{}{LAST}", lines.join("\n"))
    }

    /// `None`: cut short, or no note.
    fn parse(text: &str) -> Option<Self> {
        let lines = text.strip_prefix(FIRST)?.strip_suffix(LAST)?;
        let values: std::collections::HashMap<&str, Vec<u8>> = lines
            .lines()
            .map(|line| line.split_once(' ').and_then(|(name, value)| Some((name, unescape(value)?))))
            .collect::<Option<_>>()?;
        let text = |name: &str| String::from_utf8(values.get(name)?.clone()).ok();
        let source = match (values.get("source"), text("identity")) {
            (Some(path), Some(identity)) => {
                Some((PathBuf::from(OsString::from_vec(path.clone())), Identity::parse(&identity)?))
            }
            _ => None,
        };
        Some(Self {
            endpoint: text("endpoint")?,
            bucket: text("bucket")?,
            key: text("key")?,
            upload_id: text("upload_id")?,
            begun: text("begun")?.parse().ok()?,
            part_size: text("part_size")?.parse().ok()?,
            checksum: text("checksum")?,
            request: text("request")?,
            write_id: text("write_id")?,
            source,
        })
    }
}

/// Visible ASCII but `%` as it is, all else as `%XX`.
fn escape(value: &[u8]) -> String {
    value
        .iter()
        .map(|byte| {
            if byte.is_ascii_graphic() && *byte != b'%' {
                char::from(*byte).to_string()
            } else {
                format!("%{byte:02X}")
            }
        })
        .collect()
}

fn unescape(text: &str) -> Option<Vec<u8>> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((first, after)) = rest.split_first() {
        rest = after;
        if *first != b'%' {
            bytes.push(*first);
            continue;
        }
        let hex = std::str::from_utf8(rest.get(..2)?).ok()?;
        bytes.push(u8::from_str_radix(hex, 16).ok()?);
        rest = &rest[2..];
    }
    Some(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::os::unix::fs::PermissionsExt;

    fn note(key: &str) -> Note {
        Note {
            endpoint: "http://127.0.0.1:9".into(),
            bucket: "bucket".into(),
            key: key.into(),
            upload_id: "id with spaces %20\n".into(),
            begun: 1,
            part_size: 8 << 20,
            checksum: "CRC64NVME".into(),
            request: String::new(),
            write_id: String::new(),
            source: None,
        }
    }

    /// U10: what is under way belongs to who does it; what was left is found, once.
    #[test]
    fn what_was_left_is_found_and_what_is_under_way_is_not() {
        let place = tempfile::tempdir().unwrap();
        let journal = Journal::new(place.path().join("state/s3z"));
        assert_eq!(journal.left(|_| true).unwrap().len(), 0, "nothing yet");
        let (one, other) = (journal.write(&note("one")).unwrap(), journal.write(&note("other")).unwrap());
        assert_eq!(journal.left(|_| true).unwrap().len(), 0, "both are under way");
        drop(one);
        let left = journal.left(|_| true).unwrap();
        assert_eq!((left.len(), &left[0].1), (1, &note("one")));
        assert_eq!(journal.left(|_| true).unwrap().len(), 0, "whoever found it has it");
        left[0].0.remove();
        drop((left, other));
        assert_eq!(journal.left(|_| true).unwrap()[0].1.key, "other");
    }

    #[test]
    fn a_note_is_for_its_user_alone() {
        let place = tempfile::tempdir().unwrap();
        let journal = Journal::new(place.path().join("s3z"));
        drop(journal.write(&note("k")).unwrap());
        let path = std::fs::read_dir(place.path().join("s3z")).unwrap().next().unwrap().unwrap().path();
        assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o666)).unwrap();
        assert_eq!(journal.left(|_| true).unwrap().len(), 0, "others could have written it");
    }

    #[test]
    fn a_note_that_was_cut_short_says_nothing() {
        let text = note("k").to_text();
        assert_eq!(Note::parse(&text), Some(note("k")));
        for length in 0..text.len() {
            assert_eq!(Note::parse(&text[..length]), None, "{length}");
        }
    }

    #[test]
    fn a_state_directory_that_cannot_be_is_an_error() {
        let place = tempfile::tempdir().unwrap();
        std::fs::write(place.path().join("file"), "").unwrap();
        let journal = Journal::new(place.path().join("file/s3z"));
        assert!(journal.write(&note("k")).is_err() && journal.check().is_err());
        assert_eq!(journal.left(|_| true).unwrap().len(), 0);
    }

    proptest! {
        #[test]
        fn any_note_comes_back(key in any::<String>(), path in any::<Vec<u8>>(), mtime in any::<(i64, i64)>()) {
            let identity = Identity::parse(&format!("7 100 {} {}", mtime.0, mtime.1)).unwrap();
            let source = Some((PathBuf::from(OsString::from_vec(path)), identity));
            let note = Note { source, ..note(&key) };
            prop_assert_eq!(Note::parse(&note.to_text()), Some(note));
        }

        #[test]
        fn no_text_breaks_the_parser(text in any::<String>()) {
            let _ = Note::parse(&text);
            let _ = Note::parse(&format!("{FIRST}{text}{LAST}"));
        }
    }
}
