//! The hidden file of one download and its ledger, as the I/O lanes see them. Every call blocks.
//!
//! Direct I/O is used where wanted and possible; the first refusal turns the whole file to buffered writes (F4). A
//! direct write is padded to the block, so it may only end off a block's border where the file ends. Bytes are
//! covered, and noted in the ledger, after their write has returned.

use std::os::fd::AsFd;

use rustix::io::Errno;

use super::{Piece, Start, WriterConfig};
use crate::config::DirectIo;
use crate::error::{Error, ErrorKind, Result};
use crate::sync::atomic::{AtomicBool, AtomicU64, Ordering::SeqCst};
use crate::sync::{Mutex, MutexGuard, PoisonError, RwLock, RwLockWriteGuard};
use crate::transfer::buffers::{ALIGNMENT, Buffer};
use crate::transfer::destination::Destination;
use crate::transfer::ledger::format::{Head, Interval};
use crate::transfer::ledger::{Found, Ledger};
use crate::transfer::part::Coverage;
use crate::transfer::positioned::{preallocate, read_up_to, set_direct, write_all};
use crate::transfer::temp_file::{Kept, Publish, Reopened, TempFile};

pub(super) struct PartFile {
    /// `None` once published or discarded.
    open: RwLock<Option<Open>>,
    /// `None`: the end of the body will tell.
    size: Option<u64>,
    direct: AtomicBool,
    direct_is_a_must: bool,
    coverage: Mutex<Coverage>,
    /// Writes of an older generation are refused (I11).
    generation: AtomicU64,
}

struct Open {
    temp: TempFile,
    ledger: Option<Ledger>,
}

impl PartFile {
    /// A new file of full size (F3), or the one an earlier run left, with what it claims to hold.
    pub(super) fn open(start: Start, config: &WriterConfig) -> Result<(Self, Vec<Interval>)> {
        let (open, claims) = match start.found {
            Some(found) => match reopen(start.destination, found) {
                Ok(resumed) => resumed,
                Err(destination) => (create(*destination, config)?, Vec::new()),
            },
            None => (create(start.destination, config)?, Vec::new()),
        };
        let direct_is_a_must = config.direct == DirectIo::On;
        if direct_is_a_must && !config.aligned {
            let text = format!("direct_io needs a part_size that is a multiple of {ALIGNMENT} bytes");
            return Err(Error::config(text));
        }
        let wanted = match config.direct {
            DirectIo::Off => false,
            DirectIo::On => true,
            DirectIo::Auto => config.aligned && config.size.is_some_and(|size| size >= config.direct_threshold),
        };
        let direct = wanted && set_direct(&open.temp, true).is_ok();
        if direct_is_a_must && !direct {
            return Err(no_direct_io(&open.temp));
        }
        let file = Self {
            open: RwLock::new(Some(open)),
            size: config.size,
            direct: AtomicBool::new(direct),
            direct_is_a_must,
            coverage: Mutex::default(),
            generation: AtomicU64::new(0),
        };
        Ok((file, claims))
    }

    pub(super) fn generation(&self) -> u64 {
        self.generation.load(SeqCst)
    }

    pub(super) fn has_ledger(&self) -> bool {
        self.open.read().unwrap_or_else(PoisonError::into_inner).as_ref().is_some_and(|open| open.ledger.is_some())
    }

    /// False if the piece is of an older generation, and was dropped unwritten.
    pub(super) fn write(&self, piece: &mut Piece) -> Result<bool> {
        let range = piece.offset..piece.offset + piece.buffer.len() as u64;
        if self.size.is_some_and(|size| range.end > size) {
            return Err(defect("a write past the end of the file was refused"));
        }
        let open = self.open.read().unwrap_or_else(PoisonError::into_inner);
        let open = open.as_ref().ok_or_else(|| defect("a write after publishing"))?;
        if piece.generation != self.generation() {
            return Ok(false);
        }
        if lock(&self.coverage).touches(&range) {
            return Err(defect("bytes were to be written twice"));
        }
        if !(self.direct.load(SeqCst) && self.write_direct(&open.temp, piece)?) {
            let written = write_all(&open.temp, &piece.buffer, piece.offset);
            written.map_err(|errno| Error::local_errno(open.temp.path(), errno))?;
        }
        lock(&self.coverage).add(range.clone());
        if let (Some(ledger), Some(crc64)) = (&open.ledger, piece.crc64) {
            ledger.append(&Interval { range, crc64 });
        }
        Ok(true)
    }

    /// False if the file system does not take it: the whole file goes on buffered.
    fn write_direct(&self, temp: &TempFile, piece: &mut Piece) -> Result<bool> {
        let aligned = |at: u64| at.is_multiple_of(ALIGNMENT as u64);
        let end = piece.offset + piece.buffer.len() as u64;
        // Padding must not reach bytes of a neighbour.
        let may_pad = self.size.is_none_or(|size| end == size);
        if aligned(piece.offset) && (aligned(end) || may_pad) {
            match write_all(temp, piece.buffer.padded(), piece.offset) {
                Ok(()) => return Ok(true),
                Err(Errno::INVAL | Errno::OPNOTSUPP) if self.direct_is_a_must => return Err(no_direct_io(temp)),
                Err(Errno::INVAL | Errno::OPNOTSUPP) => {}
                Err(errno) => return Err(Error::local_errno(temp.path(), errno)),
            }
        }
        self.go_buffered(temp)?;
        Ok(false)
    }

    fn go_buffered(&self, temp: &TempFile) -> Result<()> {
        set_direct(temp, false).map_err(|errno| Error::local_errno(temp.path(), errno))?;
        self.direct.store(false, SeqCst);
        Ok(())
    }

    /// Reads up to `len` bytes back; none come where the file ends.
    pub(super) fn read(&self, offset: u64, len: usize, buffer: &mut Buffer) -> Result<()> {
        let open = self.open.read().unwrap_or_else(PoisonError::into_inner);
        let temp = &open.as_ref().ok_or_else(|| defect("a read after publishing"))?.temp;
        let fail = |errno| Error::local_errno(temp.path(), errno);
        let block = ALIGNMENT as u64;
        let skipped = if self.direct.load(SeqCst) { (offset % block) as usize } else { 0 };
        let wanted = (skipped + len).min(buffer.whole().len());
        let read = |buffer: &mut Buffer, direct: bool| {
            let room = if direct { wanted.next_multiple_of(ALIGNMENT) } else { wanted };
            let count = read_up_to(temp, &mut buffer.whole()[..room], offset - skipped as u64)?;
            Ok(count.min(wanted))
        };
        let count = match read(buffer, self.direct.load(SeqCst)) {
            Err(Errno::INVAL | Errno::OPNOTSUPP) if self.direct.load(SeqCst) => {
                self.go_buffered(temp)?;
                read(buffer, false).map_err(fail)?
            }
            done => done.map_err(fail)?,
        };
        let count = count.saturating_sub(skipped);
        if skipped > 0 {
            buffer.whole().copy_within(skipped..skipped + count, 0);
        }
        buffer.set_len(count);
        Ok(())
    }

    /// Counts bytes that an earlier run wrote and that have proved intact.
    pub(super) fn trust(&self, range: std::ops::Range<u64>) {
        lock(&self.coverage).add(range);
    }

    /// Opens bytes for being written once more; whatever is still on its way from before is refused.
    pub(super) fn redo(&self, range: std::ops::Range<u64>) {
        let _nobody_writes = write_lock(&self.open);
        self.generation.fetch_add(1, SeqCst);
        lock(&self.coverage).remove(range);
    }

    pub(super) fn publish(&self, size: u64, how: Publish) -> Result<()> {
        let mut slot = write_lock(&self.open);
        let open = slot.as_mut().ok_or_else(|| defect("published twice"))?;
        let coverage = lock(&self.coverage);
        if !coverage.is_complete(size) || self.size.is_some_and(|planned| planned != size) {
            let text = format!("{} bytes were written where the object has {size}", coverage.bytes());
            return Err(Error::integrity(text));
        }
        let temp = &open.temp;
        let fail = |errno| Error::local_errno(temp.path(), errno);
        // Cuts the padding of a direct tail.
        rustix::fs::ftruncate(temp, size).map_err(fail)?;
        let length = rustix::fs::fstat(temp).map_err(fail)?.st_size;
        if u64::try_from(length) != Ok(size) {
            return Err(Error::integrity(format!("the file is {length} bytes long instead of {size}")));
        }
        open.temp.publish(how)?;
        if let Some(Open { ledger: Some(ledger), .. }) = slot.take() {
            ledger.remove();
        }
        Ok(())
    }

    /// Removes file and ledger, or keeps both if asked to and if the next run would find something in them; the
    /// bytes it would find.
    pub(super) fn discard(&self, keep: bool) -> u64 {
        let Some(Open { mut temp, ledger }) = write_lock(&self.open).take() else { return 0 };
        let kept = ledger.as_ref().map_or(0, Ledger::bytes);
        if keep && kept > 0 {
            temp.keep();
            return kept;
        }
        // In this order: a ledger without its file is cleared away by the next run, a file without its ledger by none.
        drop(temp);
        if let Some(ledger) = ledger {
            ledger.remove();
        }
        0
    }
}

fn create(destination: Destination, config: &WriterConfig) -> Result<Open> {
    let temp = TempFile::create(destination)?;
    // The ledger comes before the space: what a killed process leaves behind is then always found again.
    let ledger = config.ledger.as_ref().and_then(|plan| {
        let (device, inode) = temp.device_and_inode().ok()?;
        let head = Head {
            object: plan.object,
            size: config.size?,
            etag: plan.etag.clone(),
            temp: temp.name().to_owned(),
            device,
            inode,
        };
        Ledger::create(temp.destination().directory().as_fd(), temp.destination().name(), &head)
    });
    let done = preallocate(&temp, config.size.unwrap_or(0)).map_err(|errno| Error::local_errno(temp.path(), errno));
    match done {
        Ok(()) => Ok(Open { temp, ledger }),
        Err(error) => {
            drop(temp);
            if let Some(ledger) = ledger {
                ledger.remove();
            }
            Err(error)
        }
    }
}

/// The file an earlier run left; the destination comes back if it cannot be used any more.
fn reopen(destination: Destination, found: Found) -> std::result::Result<(Open, Vec<Interval>), Box<Destination>> {
    let Head { temp, device, inode, size, .. } = &found.head;
    match TempFile::reopen(destination, &Kept { name: temp, device: *device, inode: *inode, size: *size }) {
        Reopened::File(temp) => {
            let Found { ledger, intervals, .. } = found;
            Ok((Open { temp, ledger: Some(ledger) }, intervals))
        }
        Reopened::Refused(destination, _) => {
            found.remove();
            Err(Box::new(destination))
        }
    }
}

fn defect(text: &str) -> Error {
    Error::new(ErrorKind::Internal, text)
}

fn no_direct_io(temp: &TempFile) -> Error {
    Error::config(format!(
        "direct_io is \"on\", but the file system of \"{}\" does not take it; use \"auto\"",
        temp.path().display()
    ))
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // A panic in a job leaves plain data behind; the transfer it belonged to fails anyway.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

fn write_lock<T>(lock: &RwLock<T>) -> RwLockWriteGuard<'_, T> {
    lock.write().unwrap_or_else(PoisonError::into_inner)
}
