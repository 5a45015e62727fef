//! A file that was written, looked at once more: whether it is what the index says, and away with it if not.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;

use rustix::fs::OFlags;
use rustix::io::{Errno, retry_on_intr};

use super::Tree;
use crate::archive::index::Row;
use crate::archive::names;
use crate::confine::Directory;
use crate::error::{Error, Result};

impl Tree {
    /// Whether each slice of a file has its hash.
    pub fn holds(&self, name: &[u8], slices: &[Row]) -> Result<bool> {
        let root = self.0.parents.root();
        let failed = |errno| Error::local_errno(&root.path().join(OsStr::from_bytes(name)), errno);
        is_on_disk(slices, root, name).map_err(failed)
    }

    pub fn remove(&self, name: &[u8]) {
        let (above, base) = parts(name);
        if let Ok(directory) = self.0.parents.root().beneath(&above) {
            // It was there a moment ago; if it is not, that is as well.
            let _ = directory.unlink(base);
        }
    }
}

fn parts(name: &[u8]) -> (Vec<&OsStr>, &OsStr) {
    let (above, base) = names::split(name);
    let above = above.split(|byte| *byte == b'/').filter(|part| !part.is_empty());
    (above.map(OsStr::from_bytes).collect(), OsStr::from_bytes(base))
}

fn is_on_disk(slices: &[Row], place: &Directory, name: &[u8]) -> rustix::io::Result<bool> {
    let (above, base) = parts(name);
    let directory = place.beneath(&above).map_err(|_| Errno::NOENT)?;
    let file = directory.open_file(base, OFlags::RDONLY)?;
    let mut block = vec![0; 1 << 20];
    for row in slices {
        let (mut hasher, mut at) = (blake3::Hasher::new(), row.file_offset);
        let end = row.file_offset + row.len;
        while at < end {
            let want = usize::try_from(end - at).map_or(block.len(), |left| left.min(block.len()));
            let got = retry_on_intr(|| rustix::io::pread(&file, &mut block[..want], at))?;
            if got == 0 {
                return Ok(false);
            }
            hasher.update(&block[..got]);
            at += got as u64;
        }
        if row.checksum != Some(*hasher.finalize().as_bytes()) {
            return Ok(false);
        }
    }
    Ok(true)
}
