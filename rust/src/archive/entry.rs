//! An entry: one file, directory or link of a tree, as the archive keeps it.

/// What an entry is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum Kind {
    #[default]
    File,
    Directory,
    Symlink,
    HardLink,
}

impl Kind {
    /// The letter of the index.
    pub fn letter(self) -> &'static str {
        match self {
            Self::File => "f",
            Self::Directory => "d",
            Self::Symlink => "l",
            Self::HardLink => "h",
        }
    }

    pub fn of_letter(letter: &str) -> Option<Self> {
        [Self::File, Self::Directory, Self::Symlink, Self::HardLink].into_iter().find(|kind| kind.letter() == letter)
    }
}

/// One member of the tar stream.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Entry {
    /// The path in the archive, `/`-separated; a directory's ends in `/`.
    pub name: Vec<u8>,
    pub kind: Kind,
    /// The 12 permission bits.
    pub mode: u32,
    pub uid: Option<u32>,
    pub gid: Option<u32>,
    /// Nanoseconds since 1970.
    pub mtime_ns: i64,
    /// Of a file; of a hard link that of its target, though the tar header says 0.
    pub size: u64,
    /// The text of a symbolic link, or the name that a hard link shares; else empty.
    pub link: Vec<u8>,
    /// In order of their names.
    pub xattrs: Vec<(String, Vec<u8>)>,
}

impl Entry {
    /// Bytes of it in the tar stream, headers and padding aside.
    pub fn data_len(&self) -> u64 {
        if self.kind == Kind::File { self.size } else { 0 }
    }

    /// The name as text, for messages.
    pub fn shown(&self) -> String {
        String::from_utf8_lossy(&self.name).into_owned()
    }
}
