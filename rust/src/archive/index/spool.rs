//! Where the bytes of an index wait for the end of the archive: in memory, and from some size on in a file without a name.

use std::fs::File;
use std::io::{self, Cursor, Read, Seek, SeekFrom, Write};

use rustix::fs::{Mode, OFlags};

use crate::error::{Error, Result};

/// Longer ones go to a file.
pub const IN_MEMORY: usize = 256 << 20;

/// Bytes that are appended, hashed while they pass, and read back at the end.
#[derive(Default)]
pub struct Spool {
    memory: Cursor<Vec<u8>>,
    file: Option<File>,
    len: u64,
    hasher: blake3::Hasher,
    hashed: u64,
    /// What went wrong with the file; Arrow would tell it as its own failure.
    failure: Option<io::Error>,
}

impl Spool {
    pub fn len(&self) -> u64 {
        self.len
    }

    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// How much came since this was asked last, and its BLAKE3.
    pub fn take_hash(&mut self) -> (u64, [u8; 32]) {
        let taken = (std::mem::take(&mut self.hashed), self.hasher.finalize().into());
        self.hasher.reset();
        taken
    }

    /// The failure of the file, if there was one.
    pub fn check(&mut self) -> Result<()> {
        match self.failure.take() {
            Some(cause) => Err(Error::local(&std::env::temp_dir(), cause)),
            None => Ok(()),
        }
    }

    /// Hands all of it on, piece by piece.
    pub fn drain(mut self, mut each: impl FnMut(&[u8]) -> Result<()>) -> Result<()> {
        let failed = |cause| Error::local(&std::env::temp_dir(), cause);
        self.rewind().map_err(failed)?;
        let mut block = vec![0; 1 << 20];
        loop {
            let now = self.read(&mut block).map_err(failed)?;
            if now == 0 {
                return Ok(());
            }
            each(&block[..now])?;
        }
    }

    fn move_to_file(&mut self) -> io::Result<()> {
        let flags = OFlags::TMPFILE | OFlags::RDWR | OFlags::CLOEXEC;
        let mut file = File::from(rustix::fs::open(std::env::temp_dir(), flags, Mode::RUSR | Mode::WUSR)?);
        file.write_all(self.memory.get_ref())?;
        self.memory = Cursor::default();
        self.file = Some(file);
        Ok(())
    }

    fn append(&mut self, bytes: &[u8]) -> io::Result<()> {
        if self.file.is_none() && self.memory.get_ref().len() + bytes.len() > IN_MEMORY {
            self.move_to_file()?;
        }
        match &mut self.file {
            Some(file) => file.write_all(bytes),
            None => self.memory.write_all(bytes),
        }
    }
}

impl Write for Spool {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if let Err(cause) = self.append(bytes) {
            let told = io::Error::from(cause.kind());
            self.failure = Some(cause);
            return Err(told);
        }
        self.hasher.update(bytes);
        (self.len, self.hashed) = (self.len + bytes.len() as u64, self.hashed + bytes.len() as u64);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Read for Spool {
    fn read(&mut self, to: &mut [u8]) -> io::Result<usize> {
        match &mut self.file {
            Some(file) => file.read(to),
            None => self.memory.read(to),
        }
    }
}

impl Seek for Spool {
    fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
        match &mut self.file {
            Some(file) => file.seek(to),
            None => self.memory.seek(to),
        }
    }
}
