//! Removing: the source of a move once its destination is there, keys in batches, files beneath a directory.

use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};

use rustix::fs::{OFlags, Stat};

use super::entry::Object;
use super::job::Job;
use super::transfer::reference;
use crate::confine::Directory;
use crate::error::{Error, ErrorKind, Result};

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
        let now = rustix::fs::stat(&path).map_err(|errno| Error::local_errno(&path, errno))?;
        if Known::of(&now) != known {
            let text = format!("source changed after it was sent, and is kept: \"{}\"", path.display());
            return Err(Error::integrity(text));
        }
        unlink(&path)
    };
    job.source.lanes.pick().call(work).await
}

/// Removes a name.
pub fn unlink(path: &Path) -> Result<()> {
    let (Some(parent), Some(name)) = (path.parent(), path.file_name()) else {
        return Err(Error::local_errno(path, rustix::io::Errno::ISDIR));
    };
    let parent = if parent.as_os_str().is_empty() { Path::new(".") } else { parent };
    let directory = Directory::open(parent)?;
    directory.unlink(name).map_err(|errno| Error::local_errno(path, errno))
}

/// Removes the source of a move, if it is still the version that was read (#99). Where the store takes no notice of a
/// condition, a look before it has to do.
pub async fn moved_object(job: &Job, object: &Object, etag: Option<&str>) -> Result<()> {
    let mut target = reference(object)?;
    target.version_id.clone_from(&object.version_id);
    if object.version_id.is_none() {
        let now = job.source.client.head_object(&target, None).await?;
        if etag.is_none() || now.identity.etag.as_deref() != etag {
            let text =
                format!("source changed after it was read, and is kept: \"s3://{}/{}\"", object.bucket, object.key);
            return Err(Error::new(ErrorKind::ObjectChanged, text).with_object(&object.bucket, &object.key));
        }
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
