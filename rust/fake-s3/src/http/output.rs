//! The writing side of one answer, and everything that may go wrong on it by order.
//!
//! Positions count bytes of the answer from the first byte of its head. Without a script and without limits `write` is one
//! `write_all` of whatever it gets; objects pass as slices of a megabyte, files by sendfile.

use std::fs::File;
use std::io::{self, Write};
use std::os::unix::fs::FileExt;
use std::time::Duration;

use crate::http::limits::{Limits, Pace};
use crate::http::stream::Stream;
use crate::store::content::{Content, Piece};

const SLICE: u64 = 1 << 20;

/// Something that happens when `position` bytes have been written.
#[derive(Debug, Clone)]
pub(crate) struct WriteFault {
    pub position: u64,
    pub kind: WriteFaultKind,
}

#[derive(Debug, Clone)]
pub(crate) enum WriteFaultKind {
    Close {
        notify: bool,
    },
    Reset,
    Stall(Duration),
    Drip(u64),
    /// Inverts bits of the byte at this position.
    Flip(u8),
}

/// Why an answer was not written to its end.
#[derive(Debug)]
pub(crate) enum Broken {
    Close { notify: bool },
    Reset,
    Io(io::Error),
}

impl From<io::Error> for Broken {
    fn from(error: io::Error) -> Self {
        Self::Io(error)
    }
}

/// Writes one answer.
pub(crate) struct Output<'a> {
    stream: &'a mut Stream,
    limits: &'a Limits,
    faults: Vec<WriteFault>,
    drip: Option<u64>,
    pace: Pace,
    pub position: u64,
}

impl<'a> Output<'a> {
    pub fn new(stream: &'a mut Stream, limits: &'a Limits, mut faults: Vec<WriteFault>) -> Self {
        faults.sort_by_key(|fault| fault.position);
        Self { stream, limits, faults, drip: None, pace: Pace::default(), position: 0 }
    }

    pub fn write(&mut self, mut bytes: &[u8]) -> Result<(), Broken> {
        while !bytes.is_empty() {
            if let Some(mask) = self.flip_due() {
                self.write_all(&[bytes[0] ^ mask])?;
                bytes = &bytes[1..];
                continue;
            }
            let until_fault = usize::try_from(self.run_faults()?).unwrap_or(usize::MAX);
            let count = Pace::portion(self.limits, self.drip, bytes.len().min(until_fault));
            self.write_all(&bytes[..count])?;
            bytes = &bytes[count..];
        }
        Ok(())
    }

    /// Runs what is due at the end of the answer.
    pub fn finish(&mut self) -> Result<(), Broken> {
        self.run_faults()?;
        self.stream.flush()?;
        Ok(())
    }

    /// Writes `len` bytes of `content` from `start` on.
    pub fn write_content(&mut self, content: &Content, start: u64, len: u64) -> Result<(), Broken> {
        let (mut at, end) = (start, start + len);
        while at < end {
            at += match content.piece(at, (end - at).min(SLICE)) {
                Piece::Bytes(bytes) => {
                    self.write(bytes)?;
                    bytes.len() as u64
                }
                Piece::File { file, offset, len } => {
                    self.write_file(file, offset, len)?;
                    len
                }
                Piece::Nothing => return Err(io::Error::other("object has no bytes").into()),
            };
        }
        Ok(())
    }

    fn write_file(&mut self, file: &File, offset: u64, len: u64) -> Result<(), Broken> {
        let is_free = self.faults.is_empty() && self.limits.tightest(self.drip).is_none();
        if let (Stream::Plain(tcp), true) = (&*self.stream, is_free) {
            let mut at = offset;
            while at < offset + len {
                let left = (offset + len - at) as usize;
                let sent = rustix::fs::sendfile(tcp, file, Some(&mut at), left).map_err(io::Error::from)?;
                if sent == 0 {
                    return Err(io::Error::from(io::ErrorKind::UnexpectedEof).into());
                }
                self.position += sent as u64;
            }
            return Ok(());
        }
        let mut buffer = vec![0; len as usize];
        file.read_exact_at(&mut buffer, offset)?;
        self.write(&buffer)
    }

    fn write_all(&mut self, bytes: &[u8]) -> Result<(), Broken> {
        let is_limited = self.limits.tightest(self.drip).is_some();
        let mut bytes = bytes;
        let total = bytes.len();
        while !bytes.is_empty() {
            match self.stream.write(bytes) {
                Ok(0) => return Err(io::Error::from(io::ErrorKind::WriteZero).into()),
                Ok(count) => {
                    self.position += count as u64;
                    bytes = &bytes[count..];
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error.into()),
            }
        }
        if is_limited {
            let time = self.pace.charge(self.limits, self.drip, total);
            self.stall(time)?;
        }
        Ok(())
    }

    fn flip_due(&mut self) -> Option<u8> {
        match self.faults.first() {
            Some(WriteFault { position, kind: WriteFaultKind::Flip(mask) }) if *position == self.position => {
                let mask = *mask;
                self.faults.remove(0);
                Some(mask)
            }
            _ => None,
        }
    }

    /// Runs the faults that are due; returns how many bytes may be written before the next one.
    fn run_faults(&mut self) -> Result<u64, Broken> {
        while let Some(fault) = self.faults.first() {
            if fault.position > self.position {
                return Ok(fault.position - self.position);
            }
            if matches!(fault.kind, WriteFaultKind::Flip(_)) && fault.position == self.position {
                return Ok(0);
            }
            match self.faults.remove(0).kind {
                WriteFaultKind::Close { notify } => return Err(Broken::Close { notify }),
                WriteFaultKind::Reset => return Err(Broken::Reset),
                WriteFaultKind::Stall(time) => self.stall(time)?,
                WriteFaultKind::Drip(rate) => self.drip = Some(rate.max(1)),
                WriteFaultKind::Flip(_) => {}
            }
        }
        Ok(u64::MAX)
    }

    /// Waits, but not longer than the peer stays.
    fn stall(&mut self, time: Duration) -> Result<(), Broken> {
        self.stream.flush()?;
        match self.stream.wait(self.limits, time) {
            true => Ok(()),
            false => Err(Broken::Close { notify: false }),
        }
    }
}
