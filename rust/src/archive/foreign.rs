//! Archives without an index: plain tar, or tar in zstd frames, read front to back and written by the same rules.
//!
//! Frames are told apart here, so that one of s3z's own behind the data is seen. In a pipe that is the index, which everything is
//! then held against (`follow`). Anywhere else the archive would have been read through it: then it is damaged, and
//! never silently taken for a plain tar.

mod one;

use std::io::{self, Read};
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use zstd_safe::{DCtx, DParameter, InBuffer, OutBuffer};

use crate::archive::follow::{MAX_TAIL, Record, Tail};
use crate::archive::place::Destination;
use crate::archive::select::{Chosen, Selection};
use crate::archive::tail::{OWN, own_entry};
use crate::archive::tar_reader::{Member, TarReader};
use crate::archive::threads::Stop;
use crate::archive::tree::TreeOptions;
use crate::archive::unpack_report::{UnpackReport, UnpackTally};
use crate::error::{Error, ErrorKind, Result};
use crate::progress::Progress;
use one::To;

/// The largest window that is decoded, as a power of two: 128 MiB.
const WINDOW_LOG: u32 = 27;
const BLOCK: usize = 1 << 20;
/// What a frame holds up to this many bytes is given out only when all of it was compared; frames of s3z are shorter.
const HELD: usize = 8 << 20;
const ZSTD_MAGIC: [u8; 4] = [0x28, 0xB5, 0x2F, 0xFD];

pub struct ForeignOptions {
    pub tree: TreeOptions,
    pub selection: Selection,
    pub own: Own,
}

/// What becomes of an archive of s3z that comes this way.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Own {
    /// It is damaged: its index was not found where it belongs.
    Refuse,
    /// It is taken for the tar that it also is.
    Trust,
    /// Its index comes at the end.
    Follow,
}

/// Unpacks a tar, or a `.tar.zst`, that comes front to back; the root, if its index came and vouches for all of it.
pub fn unpack_tar<D: Destination + ?Sized>(
    source: Box<dyn Read + Send>,
    destination: &D,
    options: &ForeignOptions,
    (stop, progress): (&Stop, &Progress),
) -> Result<(UnpackReport, Option<[u8; 32]>)> {
    let started = Instant::now();
    let consumed = Arc::<AtomicU64>::default();
    let mut source = Peeked { head: Vec::new(), at: 0, source, consumed: consumed.clone() };
    let magic = source.peek(4)?;
    let is_zstd =
        magic == ZSTD_MAGIC || (magic.len() == 4 && magic[0] & 0xF0 == 0x50 && magic[1..] == [0x2A, 0x4D, 0x18]);
    let caught = Arc::<Mutex<Option<Tail>>>::default();
    let stream: Box<dyn Read + Send> = match is_zstd {
        true => Box::new(Frames::new(source, (options.own, caught.clone()))?),
        false => Box::new(source),
    };
    let tally = Arc::<UnpackTally>::default();
    let place = destination.open(options.tree, &tally)?;
    let mut reader = TarReader::new(stream);
    let mut chosen = Chosen::new(&options.selection);
    let (mut entries, mut bytes, mut record) = (0, 0, Record::default());
    let mut own_len = None;
    while let Some(member) = reader.next()? {
        stop.check()?;
        let entry = match member {
            Member::Entry(entry) => entry,
            Member::Special { .. } => {
                tally.skipped("special");
                continue;
            }
            Member::Refused { name, why } => {
                tally.failed(&name, &Error::new(ErrorKind::Archive, why));
                continue;
            }
        };
        if entry.name.starts_with(OWN) && options.own != Own::Trust {
            if options.own == Own::Refuse {
                return Err(own_but_damaged());
            }
            own_len = Some(entry.size);
            break;
        }
        if !chosen.is_chosen(&entry.name) {
            continue;
        }
        let check = |more: u64| options.selection.check(entries + 1, bytes + more, consumed.load(Relaxed));
        check(0)?;
        if let Err(error) = chosen.accept(&entry) {
            tally.failed(&entry.name, &error);
            continue;
        }
        let Some(stripped) = options.selection.stripped(&entry) else { continue };
        let (name, entry) = (entry.name, stripped);
        let keeps = options.own == Own::Follow;
        let to = To { place: &*place, tally: &tally, progress, keeps, record: &mut record, name: &name, check: &check };
        to.write(&mut reader, &entry)?;
        (entries, bytes) = (entries + 1, bytes + entry.data_len());
    }
    // To its very end: what writes a pipe is not cut off, and the last frame's checksum counts.
    let (mut rest, offset) = reader.end();
    let own = match own_len {
        Some(len) => Some(tail_of_tar(&mut rest, offset, len)?),
        None => {
            io::copy(&mut rest, &mut io::sink()).map_err(of_read)?;
            caught.lock().unwrap_or_else(PoisonError::into_inner).take()
        }
    };
    place.settle()?;
    let root = own.map(|tail| record.check(tail, &*place, &tally)).transpose()?;
    for name in chosen.missing() {
        tally.failed(&name, &Error::new(ErrorKind::NotFound, "there is no such entry in the archive"));
    }
    let mut report = tally.finish(place.finish());
    report.seconds = started.elapsed().as_secs_f64();
    Ok((report, root))
}

/// From the first header of ours, which was read already, to the end.
fn tail_of_tar(rest: &mut dyn Read, offset: u64, len: u64) -> Result<Tail> {
    let mut bytes = Vec::new();
    crate::archive::tar::render(&own_entry("index", "arrow", len), &mut bytes)?;
    let start = offset.saturating_sub(bytes.len() as u64);
    rest.take(MAX_TAIL as u64).read_to_end(&mut bytes).map_err(of_read)?;
    Ok(Tail { start, bytes })
}

fn own_but_damaged() -> Error {
    let text = "this is an archive of s3z whose index cannot be read: it is damaged or cut off \
                (trust_tar unpacks it as the plain tar that it also is)";
    Error::new(ErrorKind::Archive, text)
}

/// An error of ours that came through a reader, or one of its own.
fn of_read(cause: io::Error) -> Error {
    match cause.downcast::<Error>() {
        Ok(error) => error,
        Err(cause) => match cause.raw_os_error() {
            Some(errno) => Error::local_os("the archive cannot be read", errno),
            None => Error::new(ErrorKind::Archive, format!("the archive cannot be read: {cause}")),
        },
    }
}

/// A source whose first bytes were looked at.
struct Peeked {
    head: Vec<u8>,
    at: usize,
    source: Box<dyn Read + Send>,
    /// What came of the source so far.
    consumed: Arc<AtomicU64>,
}

impl Peeked {
    /// The next `len` bytes, or what there is, which stay to be read.
    fn peek(&mut self, len: usize) -> Result<Vec<u8>> {
        let mut block = [0; 64];
        while self.head.len() - self.at < len {
            match self.source.read(&mut block) {
                Ok(0) => break,
                Ok(now) => {
                    self.consumed.fetch_add(now as u64, Relaxed);
                    self.head.extend_from_slice(&block[..now]);
                }
                Err(cause) if cause.kind() == io::ErrorKind::Interrupted => {}
                Err(cause) => return Err(of_read(cause)),
            }
        }
        let rest = &self.head[self.at..];
        Ok(rest[..rest.len().min(len)].to_vec())
    }
}

impl Read for Peeked {
    fn read(&mut self, to: &mut [u8]) -> io::Result<usize> {
        if self.at == self.head.len() {
            let now = self.source.read(to)?;
            self.consumed.fetch_add(now as u64, Relaxed);
            return Ok(now);
        }
        let now = to.len().min(self.head.len() - self.at);
        to[..now].copy_from_slice(&self.head[self.at..self.at + now]);
        self.at += now;
        Ok(now)
    }
}

/// The contents of zstd frames, one behind the other.
struct Frames {
    source: Peeked,
    context: DCtx<'static>,
    input: Vec<u8>,
    /// What of the input is still to be decoded.
    at: usize,
    /// Inside of a frame.
    is_open: bool,
    /// What was decoded, and how much of it was given out.
    held: Vec<u8>,
    given: usize,
    own: Own,
    /// What stands behind the data of an archive of ours.
    caught: Arc<Mutex<Option<Tail>>>,
    /// Bytes before the input.
    before: u64,
    /// Of a skippable frame.
    to_skip: u64,
}

impl Frames {
    fn new(source: Peeked, (own, caught): (Own, Arc<Mutex<Option<Tail>>>)) -> Result<Self> {
        let mut context = DCtx::try_create().ok_or_else(Error::no_memory)?;
        context.set_parameter(DParameter::WindowLogMax(WINDOW_LOG)).map_err(crate::archive::classify::codec)?;
        let (input, held) = (Vec::new(), Vec::with_capacity(HELD));
        Ok(Self { source, context, input, at: 0, is_open: false, held, given: 0, own, caught, before: 0, to_skip: 0 })
    }

    /// At least `len` bytes of input, if there are so many.
    fn fill(&mut self, len: usize) -> io::Result<usize> {
        if self.input.len() - self.at < len {
            self.input.drain(..self.at);
            self.before += self.at as u64;
            self.at = 0;
            let mut have = self.input.len();
            self.input.resize(BLOCK, 0);
            while have < len {
                match self.source.read(&mut self.input[have..]) {
                    Ok(0) => break,
                    Ok(now) => have += now,
                    Err(cause) if cause.kind() == io::ErrorKind::Interrupted => {}
                    Err(cause) => return Err(cause),
                }
            }
            self.input.truncate(have);
        }
        Ok(self.input.len() - self.at)
    }

    /// Looks at the head of the next frame; false at the end.
    fn next_frame(&mut self) -> io::Result<bool> {
        let have = self.fill(16)?;
        if have == 0 {
            return Ok(false);
        }
        let head = &self.input[self.at..];
        if head.starts_with(&ZSTD_MAGIC) {
            self.is_open = true;
            return Ok(true);
        }
        let is_skippable = have >= 8 && head[0] & 0xF0 == 0x50 && head[1..4] == [0x2A, 0x4D, 0x18];
        if !is_skippable {
            let text = "what follows a frame is no frame of zstd: the archive is damaged or cut off";
            return Err(io::Error::other(Error::new(ErrorKind::Archive, text)));
        }
        if have >= 16 && head[8..16].starts_with(b"S3Z") && self.own != Own::Trust {
            if self.own == Own::Refuse {
                return Err(io::Error::other(own_but_damaged()));
            }
            let (start, mut bytes) = (self.before + self.at as u64, self.input.split_off(self.at));
            (&mut self.source).take(MAX_TAIL as u64).read_to_end(&mut bytes)?;
            *self.caught.lock().unwrap_or_else(PoisonError::into_inner) = Some(Tail { start, bytes });
            return Ok(false);
        }
        self.to_skip = u64::from(u32::from_le_bytes([head[4], head[5], head[6], head[7]]));
        self.at += 8;
        while self.to_skip > 0 {
            let have = self.fill(1)? as u64;
            if have == 0 {
                return Err(io::Error::other(Error::new(ErrorKind::Archive, "the archive is cut off")));
            }
            let now = have.min(self.to_skip);
            self.at += now as usize;
            self.to_skip -= now;
        }
        Ok(true)
    }
}

impl Frames {
    /// The next bytes of a frame: all of it, so that its checksum was compared before anybody sees a byte, or as much as is held.
    fn hold(&mut self) -> io::Result<()> {
        self.held.clear();
        self.given = 0;
        while self.is_open && self.held.len() < HELD {
            if self.fill(1)? == 0 {
                return Err(io::Error::other(Error::new(ErrorKind::Archive, "the archive is cut off in a frame")));
            }
            let mut input = InBuffer::around(&self.input[self.at..]);
            let filled = self.held.len();
            let mut output = OutBuffer::around_pos(&mut self.held, filled);
            let hint = self.context.decompress_stream(&mut output, &mut input).map_err(|code| {
                let text = format!("a frame cannot be decoded: {}", zstd_safe::get_error_name(code));
                io::Error::other(Error::integrity(text))
            })?;
            self.at += input.pos();
            self.is_open = hint != 0;
        }
        Ok(())
    }
}

impl Read for Frames {
    fn read(&mut self, to: &mut [u8]) -> io::Result<usize> {
        loop {
            let held = &self.held[self.given..];
            if !held.is_empty() || to.is_empty() {
                let now = held.len().min(to.len());
                to[..now].copy_from_slice(&held[..now]);
                self.given += now;
                return Ok(now);
            }
            if self.is_open {
                self.hold()?;
            } else if !self.next_frame()? {
                return Ok(0);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::archive::entry::Entry;

    /// A tar of one file.
    fn tar() -> Vec<u8> {
        let mut tar = Vec::new();
        let entry = Entry { name: b"a".into(), size: 700, mode: 0o644, ..Entry::default() };
        crate::archive::tar::render(&entry, &mut tar).unwrap();
        tar.extend_from_slice(&[7; 700]);
        tar.resize(4096, 0);
        tar
    }

    fn options(trust_tar: bool) -> ForeignOptions {
        let own = if trust_tar { Own::Trust } else { Own::Refuse };
        ForeignOptions { tree: TreeOptions::new(), selection: Selection::default(), own }
    }

    fn unpacked(archive: &[u8], trust_tar: bool) -> Result<UnpackReport> {
        let place = tempfile::tempdir().unwrap();
        let source = Box::new(io::Cursor::new(archive.to_vec()));
        let (report, _) =
            unpack_tar(source, place.path(), &options(trust_tar), (&Stop::default(), &Progress::default()))?;
        assert_eq!(std::fs::read(place.path().join("a")).unwrap(), vec![7; 700]);
        Ok(report)
    }

    fn frames(parts: &[&[u8]]) -> Vec<u8> {
        let mut out = Vec::new();
        for part in parts {
            let mut frame = Vec::with_capacity(zstd_safe::compress_bound(part.len()));
            zstd_safe::compress(&mut frame, part, 3).unwrap();
            out.extend_from_slice(&frame);
        }
        out
    }

    #[test]
    fn tars_in_any_number_of_frames() {
        let tar = tar();
        assert_eq!(unpacked(&tar, false).unwrap().files, 1);
        assert_eq!(unpacked(&frames(&[&tar]), false).unwrap().bytes, 700);
        let mut skipped = frames(&[&tar[..100], &tar[100..]]);
        skipped.extend_from_slice(b"\x5e\x2a\x4d\x18\x03\0\0\0abc");
        assert_eq!(unpacked(&skipped, false).unwrap().files, 1);
    }

    #[test]
    fn an_archive_of_ours_without_its_index_is_none_of_theirs() {
        let mut own = frames(&[&tar()]);
        own.extend_from_slice(&crate::archive::seek::head(crate::archive::seek::INDEX_TAG, 100).unwrap());
        own.extend_from_slice(&[0; 100]);
        assert_eq!(unpacked(&own, false).unwrap_err().kind(), ErrorKind::Archive);
        assert_eq!(unpacked(&own, true).unwrap().files, 1);
    }

    /// Nothing of a frame is made into a file before its checksum was compared.
    #[test]
    fn a_damaged_frame_makes_no_file() {
        let mut frame = Vec::with_capacity(8192);
        let mut context = zstd_safe::CCtx::create();
        context.set_parameter(zstd_safe::CParameter::ChecksumFlag(true)).unwrap();
        context.compress2(&mut frame, &tar()).unwrap();
        let sum = frame.len() - 1;
        frame[sum] ^= 1;
        frame.extend_from_slice(&frames(&[&[0; 1024]]));
        let place = tempfile::tempdir().unwrap();
        let source = Box::new(io::Cursor::new(frame));
        let outcome = unpack_tar(source, place.path(), &options(false), (&Stop::default(), &Progress::default()));
        assert_eq!(outcome.unwrap_err().kind(), ErrorKind::Integrity);
        assert!(!place.path().join("a").exists());
    }

    #[test]
    fn what_is_cut_off_is_an_error() {
        let whole = frames(&[&tar()]);
        for len in 0..whole.len() {
            assert!(unpacked(&whole[..len], false).is_err(), "{len}");
        }
    }
}
