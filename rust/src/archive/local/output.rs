//! The archive that is being written, where a walk may come across it.

use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use super::file::identity;
use crate::archive::walk::{Dirs, Walked};

/// The archive that is being written, wherever a walk may come across it.
pub(super) struct Output {
    /// The directory that it lies in.
    directory: (u64, u64),
    name: Vec<u8>,
}

impl Output {
    pub fn of(path: &Path) -> Option<Self> {
        let parent = path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
        let stat = rustix::fs::stat(parent).ok()?;
        Some(Self { directory: identity(&stat), name: path.file_name()?.as_bytes().to_vec() })
    }

    /// Whether a root that is a file is the archive.
    pub fn is_path(&self, path: &Path) -> bool {
        Self::of(path).is_some_and(|other| other.name == self.name && other.directory == self.directory)
    }

    /// Whether it is the archive, or one of our own unfinished files beside it.
    pub fn is(&self, dirs: &Dirs, walked: &Walked) -> bool {
        let base = walked.base();
        let is_part = base.starts_with(b".s3z-") && (base.ends_with(b".part") || base.ends_with(b".ledger"));
        (base == self.name || is_part)
            && dirs.open(walked.parent()).is_ok_and(|directory| {
                rustix::fs::fstat(&*directory).is_ok_and(|stat| identity(&stat) == self.directory)
            })
    }
}
