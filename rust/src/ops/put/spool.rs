//! A part too large for memory: in an unlinked file of the temporary directory until it is sent (U6).

use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::PathBuf;
use std::sync::Arc;

use bytes::Bytes;
use rustix::fs::{Mode, OFlags};
use sha2::{Digest, Sha256};

use crate::error::{Error, Result};
use crate::ops::upload_parts::reopened;
use crate::s3::payload::Payload;
use crate::transfer::file_reader::FileReader;
use crate::transfer::lanes::{Lane, Lanes};
use crate::transfer::scheduler::Permit;

pub(super) struct Spool {
    file: Arc<File>,
    directory: PathBuf,
    lane: Lane,
    len: u64,
    /// Where the body must be signed.
    sha256: Option<Sha256>,
}

impl Spool {
    pub async fn create(lanes: &Lanes, needs_sha256: bool) -> Result<Self> {
        let (lane, directory) = (lanes.pick(), std::env::temp_dir());
        let place = directory.clone();
        let file = lane.call(move || unlinked_file(&place)).await?;
        Ok(Self { file: Arc::new(file), directory, lane, len: 0, sha256: needs_sha256.then(Sha256::new) })
    }

    pub async fn write(&mut self, chunk: Bytes) -> Result<()> {
        let (file, at, directory) = (self.file.clone(), self.len, self.directory.clone());
        let mut sha256 = self.sha256.take();
        self.len += chunk.len() as u64;
        let job = move || {
            if let Some(sha256) = &mut sha256 {
                sha256.update(&chunk);
            }
            file.write_all_at(&chunk, at).map_err(|cause| Error::local(&directory, cause))?;
            Ok(sha256)
        };
        self.sha256 = self.lane.call(job).await?;
        Ok(())
    }

    pub fn into_payload(self, permit: Arc<Permit>) -> Payload {
        let sha256 = self.sha256.map(|hash| hash.finalize().into());
        let reader = Arc::new(FileReader::of_unlinked(self.file, self.directory, self.lane));
        reopened(reader, 0..self.len, permit, sha256)
    }
}

/// A file without a name, or one whose name is gone at once where the file system has no such files.
fn unlinked_file(directory: &std::path::Path) -> Result<File> {
    let flags = OFlags::TMPFILE | OFlags::RDWR | OFlags::CLOEXEC;
    match rustix::fs::open(directory, flags, Mode::RUSR | Mode::WUSR) {
        Ok(file) => return Ok(File::from(file)),
        Err(rustix::io::Errno::OPNOTSUPP | rustix::io::Errno::ISDIR | rustix::io::Errno::INVAL) => {}
        Err(errno) => return Err(Error::local_errno(directory, errno)),
    }
    let mut random = [0; 16];
    getrandom::fill(&mut random).map_err(|_| Error::local_errno(directory, rustix::io::Errno::IO))?;
    let path = directory.join(format!(".s3z-{:032x}.spool", u128::from_ne_bytes(random)));
    let flags = OFlags::CREATE | OFlags::EXCL | OFlags::RDWR | OFlags::CLOEXEC | OFlags::NOFOLLOW;
    let file = rustix::fs::open(&path, flags, Mode::RUSR | Mode::WUSR);
    let file = file.map_err(|errno| Error::local_errno(&path, errno))?;
    rustix::fs::unlink(&path).map_err(|errno| Error::local_errno(&path, errno))?;
    Ok(File::from(file))
}
