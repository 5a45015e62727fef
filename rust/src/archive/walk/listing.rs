//! The names of one directory, sorted as name order wants them: a directory's with its `/`.
//!
//! All names are in one piece of memory, so that a directory of a million entries costs its names and 16 bytes for
//! each. Kinds come from the directory itself; an entry is looked at by itself only where the file system does not
//! tell its kind, or where a link is to be followed. An entry that cannot be looked at keeps its errno as its kind.

use std::mem::MaybeUninit;
use std::os::fd::{AsFd, BorrowedFd};

use rustix::fs::{AtFlags, FileType, RawDir};
use rustix::io::Errno;

/// What one call to the kernel fills.
pub const BUFFER: usize = 32 << 10;
/// As many entries as one call may bring: none takes less than 24 bytes.
pub const BATCH: usize = BUFFER / 24 + 1;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    File,
    Directory,
    Symlink,
    /// A socket, device or FIFO.
    Special,
}

pub fn kind_of(file_type: FileType) -> Kind {
    match file_type {
        FileType::RegularFile => Kind::File,
        FileType::Directory => Kind::Directory,
        FileType::Symlink => Kind::Symlink,
        _ => Kind::Special,
    }
}

#[derive(Debug, Default)]
pub struct Listing {
    names: Vec<u8>,
    rows: Vec<Row>,
    /// Which rows are directories.
    directories: Vec<u32>,
}

#[derive(Debug, Clone, Copy)]
struct Row {
    start: usize,
    len: u16,
    kind: Result<Kind, Errno>,
}

impl Row {
    fn name<'a>(&self, names: &'a [u8]) -> &'a [u8] {
        &names[self.start..self.start + usize::from(self.len)]
    }
}

impl Listing {
    /// Reads an open directory. `count` hears of each batch of entries, and may stop the reading.
    pub fn read<E: From<Errno>>(
        directory: BorrowedFd<'_>,
        follows: bool,
        mut count: impl FnMut(usize) -> Result<(), E>,
    ) -> Result<Self, E> {
        let mut buffer = [MaybeUninit::uninit(); BUFFER];
        let mut entries = RawDir::new(directory, &mut buffer);
        let mut listing = Self::default();
        let mut counted = 0;
        loop {
            if entries.is_buffer_empty() {
                count(listing.rows.len() - counted)?;
                counted = listing.rows.len();
            }
            let Some(entry) = entries.next() else { break };
            let entry = match entry {
                Err(Errno::INTR) => continue,
                entry => entry?,
            };
            let name = entry.file_name();
            if !matches!(name.to_bytes(), b"." | b"..") {
                let kind = look(directory, name, entry.file_type(), follows);
                listing.push(name.to_bytes(), kind);
            }
        }
        listing.sort();
        Ok(listing)
    }

    #[cfg(test)]
    pub fn of_directories(names: &[String]) -> Self {
        let mut listing = Self::default();
        names.iter().for_each(|name| listing.push(name.as_bytes(), Ok(Kind::Directory)));
        listing.sort();
        listing
    }

    fn push(&mut self, name: &[u8], kind: Result<Kind, Errno>) {
        let start = self.names.len();
        self.names.extend_from_slice(name);
        if kind == Ok(Kind::Directory) {
            self.names.push(b'/');
        }
        // Names end at 255 bytes on most file systems, at 1,020 on some; the buffer would not hold 64 KiB.
        let len = u16::try_from(self.names.len() - start).unwrap_or(u16::MAX);
        self.rows.push(Row { start, len, kind });
    }

    fn sort(&mut self) {
        let names = &self.names;
        self.rows.sort_unstable_by(|one, other| one.name(names).cmp(other.name(names)));
        // A directory that changes while it is read may tell a name twice.
        self.rows.dedup_by(|one, other| one.name(names) == other.name(names));
        self.names.shrink_to_fit();
        self.rows.shrink_to_fit();
        let directories = (0u32..).zip(&self.rows).filter(|(_, row)| row.kind == Ok(Kind::Directory));
        self.directories = directories.map(|(row, _)| row).collect();
    }

    /// Name, a directory's with its `/`, and kind of one entry.
    pub fn get(&self, row: usize) -> Option<(&[u8], Result<Kind, Errno>)> {
        self.rows.get(row).map(|row| (row.name(&self.names), row.kind))
    }

    pub fn has_directories(&self) -> bool {
        !self.directories.is_empty()
    }

    pub fn directory_count(&self) -> usize {
        self.directories.len()
    }

    /// The name of the directory of that number among the directories.
    pub fn directory(&self, number: usize) -> Option<&[u8]> {
        self.directories.get(number).map(|row| self.rows[*row as usize].name(&self.names))
    }
}

/// The kind of an entry, of which the directory tells `told`.
fn look(directory: BorrowedFd<'_>, name: &std::ffi::CStr, told: FileType, follows: bool) -> Result<Kind, Errno> {
    let looks = told == FileType::Unknown || (follows && told == FileType::Symlink);
    if !looks {
        return Ok(kind_of(told));
    }
    let flags = if follows { AtFlags::empty() } else { AtFlags::SYMLINK_NOFOLLOW };
    let stat = rustix::fs::statat(directory.as_fd(), name, flags)?;
    Ok(kind_of(FileType::from_raw_mode(stat.st_mode)))
}
