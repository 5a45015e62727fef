//! Removing: the source of a move once its destination is there, keys in batches, files beneath a directory.

use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::io::Read;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use rustix::fs::{AtFlags, OFlags, Stat};

use super::copy::Copied;
use super::entry::Object;
use super::job::Job;
use super::transfer::reference;
use crate::confine::Directory;
use crate::error::{Error, ErrorKind, Result};
use crate::s3::client::ObjectRef;

/// What a file is known by before it is read, and must still be when it is removed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Known {
    device: u64,
    inode: u64,
    size: i64,
    mtime: (i64, u64),
}

impl Known {
    pub fn of(stat: &Stat) -> Self {
        Self { device: stat.st_dev, inode: stat.st_ino, size: stat.st_size, mtime: (stat.st_mtime, stat.st_mtime_nsec) }
    }
}

/// Looks at a file that is to be moved, through links.
pub async fn watch(job: &Job, path: &Path) -> Result<Known> {
    let path = path.to_owned();
    let look = move || match rustix::fs::stat(&path) {
        Ok(stat) => Ok(Known::of(&stat)),
        Err(errno) => Err(Error::local_errno(&path, errno)),
    };
    job.source.lanes.pick().call(look).await
}

/// Removes the source of a move, if it is still the file that was sent (#98). Of a link, the link.
pub async fn moved_file(job: &Job, path: &Path, known: Known) -> Result<()> {
    let path = path.to_owned();
    let work = move || {
        let fail = |errno| Error::local_errno(&path, errno);
        let (directory, name) = parent(&path)?;
        let now = rustix::fs::statat(&directory, name, AtFlags::empty()).map_err(fail)?;
        if Known::of(&now) != known {
            let text = format!("source changed after it was sent, and is kept: \"{}\"", path.display());
            return Err(Error::integrity(text));
        }
        directory.unlink(name).map_err(fail)
    };
    job.source.lanes.pick().call(work).await
}

/// The directory that holds a name, held open, and the name in it: what is looked at is then what is removed.
pub fn parent(path: &Path) -> Result<(Directory, &OsStr)> {
    let (Some(parent), Some(name)) = (path.parent(), path.file_name()) else {
        return Err(Error::local_errno(path, rustix::io::Errno::ISDIR));
    };
    let parent = if parent.as_os_str().is_empty() { Path::new(".") } else { parent };
    Ok((Directory::open(parent)?, name))
}

/// Directories that files are removed from, each reached from the one a user named and through no link (K4, K5). The last
/// ones stay open: names come in order.
#[derive(Default)]
pub struct Directories {
    root: Option<(Vec<u8>, Directory)>,
    last: Option<(Vec<u8>, Directory)>,
}

impl Directories {
    /// The directory that holds a path, of which the last `beneath` bytes are below what a user named; and its last segment.
    pub fn of(&mut self, path: &[u8], beneath: usize) -> Result<(&Directory, OsString)> {
        let (root, name) = path.split_at(path.len().saturating_sub(beneath));
        let mut segments: Vec<&OsStr> = name.split(|byte| *byte == b'/').map(OsStr::from_bytes).collect();
        segments.retain(|segment| !segment.is_empty() && *segment != ".");
        let Some(last) = segments.pop() else {
            return Err(Error::local_errno(Path::new(OsStr::from_bytes(path)), rustix::io::Errno::ISDIR));
        };
        let way = &path[..path.len() - last.len()];
        let known = self.last.take().filter(|(known, _)| known == way);
        let (_, directory) = match known {
            Some(known) => self.last.insert(known),
            None => {
                let known = self.root.take().filter(|(known, _)| known == root);
                let (_, above) = match known {
                    Some(known) => self.root.insert(known),
                    None => {
                        let named = Path::new(OsStr::from_bytes(if root.is_empty() { b"." } else { root }));
                        self.root.insert((root.to_vec(), Directory::open(named)?))
                    }
                };
                let found = above.beneath(&segments)?;
                self.last.insert((way.to_vec(), found))
            }
        };
        Ok((directory, last.to_owned()))
    }
}

/// Removes the source of a move, if it is not the copy, and still the version that was read (#99, #100). Where the store
/// takes no notice of a condition, a look before it has to do.
pub async fn moved_object(
    job: &Job,
    object: &Object,
    copy: Option<(&ObjectRef, &Copied)>,
    etag: Option<&str>,
) -> Result<()> {
    let mut target = reference(object)?;
    target.version_id.clone_from(&object.version_id);
    let mark = copy.and_then(|(_, copied)| copied.mark.as_deref());
    if object.version_id.is_none() || mark.is_some() {
        let now = job.source.client.head_object(&target, None).await?;
        if mark.is_some() && now.write_id() == mark {
            return Err(same());
        }
        let is_pinned = object.version_id.is_some();
        if !is_pinned && (etag.is_none() || now.identity.etag.as_deref() != etag) {
            let text =
                format!("source changed after it was read, and is kept: \"s3://{}/{}\"", object.bucket, object.key);
            return Err(Error::new(ErrorKind::ObjectChanged, text).with_object(&object.bucket, &object.key));
        }
    }
    if let Some((copy, copied)) = copy {
        is_another(job, object, copy, copied).await?;
    }
    let condition = etag.filter(|_| object.version_id.is_none());
    let deleted = match job.source.client.delete_object(&target, condition).await {
        // A store that knows no conditional deletes: the look before has decided.
        Err(error) if error.status() == Some(501) => job.source.client.delete_object(&target, None).await,
        deleted => deleted,
    };
    deleted.map_err(|error| {
        let text = format!("the destination is complete, but the source could not be removed: {}", error.message());
        error.saying(text)
    })
}

fn same() -> Error {
    Error::config("source and destination are the same object, which is kept")
}

/// Makes sure that a copy is another object than its source, by other means than names: one store can have any number of
/// addresses. What went through this machine carries a mark that nothing else has, and the source is known not to have
/// it. In a store that copied by itself, only a version can have been copied onto its own key.
async fn is_another(job: &Job, object: &Object, copy: &ObjectRef, copied: &Copied) -> Result<()> {
    if copied.mark.is_none() {
        let has_one_name = *object.bucket == *copy.bucket && object.key == copy.key;
        let new = copied.report.version_id.as_deref();
        let is_new = new.is_some() && new != object.version_id.as_deref();
        return if has_one_name && !is_new { Err(same()) } else { Ok(()) };
    }
    if object.key != copy.key {
        return Ok(());
    }
    // A store that keeps no marks would not show one at the source either.
    let why = match job.destination.client.head_object(copy, None).await {
        Ok(head) if head.write_id() == copied.mark.as_deref() => return Ok(()),
        Ok(_) => "the destination is not what was written".to_owned(),
        Err(error) => format!("a look at the destination failed: {}", error.message()),
    };
    Err(Error::config(format!("source and destination cannot be told apart, and the source is kept: {why}")))
}

/// The first bytes of a regular file.
pub fn beginning(path: &PathBuf, len: usize) -> Result<Vec<u8>> {
    let flags = OFlags::RDONLY | OFlags::CLOEXEC | OFlags::NONBLOCK;
    let opened = rustix::fs::open(path, flags, rustix::fs::Mode::empty());
    let file = File::from(opened.map_err(|errno| Error::local_errno(path, errno))?);
    let mut bytes = Vec::with_capacity(len);
    match file.take(len as u64).read_to_end(&mut bytes) {
        Ok(_) => Ok(bytes),
        Err(cause) => Err(Error::local(path, cause)),
    }
}
