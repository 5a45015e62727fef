//! Names that wait on disk until it is known whether they may be deleted: an unnamed temporary file, memory flat (#89).

use std::fs::File;
use std::io::{BufReader, BufWriter, Read, Seek, SeekFrom, Write};
use std::os::unix::ffi::OsStrExt;
use std::path::PathBuf;

use rustix::fs::{Mode, OFlags};

use super::entry::{Entry, Place};
use crate::error::{Error, Result};

#[derive(Debug)]
pub struct Spill {
    file: BufWriter<File>,
    directory: PathBuf,
    count: u64,
}

/// A name that is only at the destination.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Candidate {
    /// A key, or the path.
    pub name: Vec<u8>,
    /// Size and mtime in nanoseconds when it was listed.
    pub size: u64,
    pub mtime: i128,
    pub inode: u64,
    /// Of a path, how many of its last bytes are below the directory a user named.
    pub beneath: usize,
}

impl Spill {
    pub fn new() -> Result<Self> {
        let directory = std::env::temp_dir();
        let mode = Mode::from_raw_mode(0o600);
        let flags = OFlags::TMPFILE | OFlags::RDWR | OFlags::CLOEXEC;
        let file = match rustix::fs::open(&directory, flags, mode) {
            Ok(file) => File::from(file),
            // A file system that has none: in memory that can be swapped.
            Err(_) => File::from(
                rustix::fs::memfd_create("s3z-candidates", rustix::fs::MemfdFlags::CLOEXEC)
                    .map_err(|errno| Error::local_errno(&directory, errno))?,
            ),
        };
        Ok(Self { file: BufWriter::new(file), directory, count: 0 })
    }

    pub fn count(&self) -> u64 {
        self.count
    }

    pub fn push(&mut self, entry: &Entry) -> Result<()> {
        let name = match &entry.place {
            Place::Object(object) => object.key.as_bytes(),
            Place::File(path) => path.as_os_str().as_bytes(),
        };
        let row = [
            &(name.len() as u32).to_le_bytes()[..],
            name,
            &entry.size.unwrap_or_default().to_le_bytes(),
            &nanoseconds(entry.modified).to_le_bytes(),
            &entry.inode.to_le_bytes(),
            &(entry.relative.len() as u32).to_le_bytes(),
        ];
        for field in row {
            self.file.write_all(field).map_err(|cause| Error::local(&self.directory, cause))?;
        }
        self.count += 1;
        Ok(())
    }

    /// All of them, in the order they came.
    pub fn read(self) -> Result<Candidates> {
        let directory = self.directory;
        let fail = |cause| Error::local(&directory, cause);
        let mut file = self.file.into_inner().map_err(|error| fail(error.into_error()))?;
        file.seek(SeekFrom::Start(0)).map_err(fail)?;
        Ok(Candidates { file: BufReader::new(file), left: self.count, directory })
    }
}

pub fn nanoseconds(time: Option<std::time::SystemTime>) -> i128 {
    let Some(time) = time else { return 0 };
    match time.duration_since(std::time::UNIX_EPOCH) {
        Ok(since) => i128::try_from(since.as_nanos()).unwrap_or(i128::MAX),
        Err(before) => -i128::try_from(before.duration().as_nanos()).unwrap_or(i128::MAX),
    }
}

impl Candidate {
    /// Whether a file is still what it was when it was listed (#93).
    pub fn is_still(&self, stat: &rustix::fs::Stat) -> bool {
        let now = super::local::modified(stat);
        stat.st_ino == self.inode && stat.st_size as u64 == self.size && nanoseconds(now) == self.mtime
    }
}

#[derive(Debug)]
pub struct Candidates {
    file: BufReader<File>,
    left: u64,
    directory: PathBuf,
}

impl Iterator for Candidates {
    type Item = Result<Candidate>;

    fn next(&mut self) -> Option<Self::Item> {
        self.left = self.left.checked_sub(1)?;
        Some(self.row().map_err(|cause| Error::local(&self.directory, cause)))
    }
}

impl Candidates {
    fn row(&mut self) -> std::io::Result<Candidate> {
        let mut len = [0; 4];
        self.file.read_exact(&mut len)?;
        let mut name = vec![0; u32::from_le_bytes(len) as usize];
        self.file.read_exact(&mut name)?;
        let (mut size, mut mtime, mut inode, mut beneath) = ([0; 8], [0; 16], [0; 8], [0; 4]);
        self.file.read_exact(&mut size)?;
        self.file.read_exact(&mut mtime)?;
        self.file.read_exact(&mut inode)?;
        self.file.read_exact(&mut beneath)?;
        Ok(Candidate {
            name,
            size: u64::from_le_bytes(size),
            mtime: i128::from_le_bytes(mtime),
            inode: u64::from_le_bytes(inode),
            beneath: u32::from_le_bytes(beneath) as usize,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::{Duration, UNIX_EPOCH};

    #[test]
    fn what_goes_in_comes_out_in_order() {
        let mut spill = Spill::new().unwrap();
        let names: Vec<Vec<u8>> = vec![b"a".to_vec(), b"\xff\n".to_vec(), vec![b'x'; 5000]];
        for name in &names {
            let path = PathBuf::from(<std::ffi::OsStr as OsStrExt>::from_bytes(name));
            let modified = Some(UNIX_EPOCH + Duration::new(7, 9));
            spill
                .push(&Entry { relative: Vec::new(), place: Place::File(path), size: Some(3), modified, inode: 5 })
                .unwrap();
        }
        assert_eq!(spill.count(), 3);
        let back: Vec<Candidate> = spill.read().unwrap().collect::<Result<_>>().unwrap();
        assert_eq!(back.iter().map(|candidate| candidate.name.clone()).collect::<Vec<_>>(), names);
        assert!(back.iter().all(|candidate| (candidate.size, candidate.mtime) == (3, 7_000_000_009)));
    }
}
