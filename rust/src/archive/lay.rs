//! What a reader does with a run: reads it into a slot as the tar stream it will be, and cuts that into frames.
//!
//! Where frames are cut depends on names, sizes and content only. An entry that cannot be read leaves nothing behind.

use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::Ordering::{Relaxed, SeqCst};

use crate::archive::classify::{Classifier, Hints};
use crate::archive::entry::{Entry, Kind};
use crate::archive::index::row_flag;
use crate::archive::plan::{BigFile, Run};
use crate::archive::report::Tally;
use crate::archive::source::{Content, Source};
use crate::archive::stored::Piece;
use crate::archive::tar;
use crate::error::{Error, ErrorKind, Result};

/// A file that changes while it is read is read so often.
const MAX_READS: usize = 3;

/// The sizes that decide where frames are cut.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Sizes {
    pub slice: u64,
    pub group: u64,
}

impl Sizes {
    pub fn run(self) -> u64 {
        2 * self.slice
    }
}

/// A frame that is to be written: a range of its slot.
pub struct Frame {
    pub range: Range<usize>,
    pub pieces: Vec<Piece>,
    /// Of files that do not compress.
    pub is_stored: bool,
    pub slices: Vec<Slice>,
}

/// What will be one row.
pub struct Slice {
    pub entry: Arc<Entry>,
    pub seq: u32,
    pub file_offset: u64,
    /// Where its header begins, and where its data does, counted from the frame's first byte.
    pub header: usize,
    pub start: usize,
    pub len: usize,
    pub flags: u16,
}

/// Reads runs; one for each thread.
pub struct Reader<'a> {
    source: &'a dyn Source,
    sizes: Sizes,
    classifier: Classifier,
    tally: &'a Tally,
}

/// The bytes of a slot that are in use. It keeps its length, so that nothing is zeroed twice.
struct Filling<'a> {
    bytes: &'a mut Vec<u8>,
    used: usize,
}

impl Filling<'_> {
    /// The next `len` bytes, with whatever they hold.
    fn grow(&mut self, len: usize) -> Result<&mut [u8]> {
        let end = self.used + len;
        if end > self.bytes.len() {
            self.bytes.try_reserve(end - self.bytes.len()).map_err(|_| Error::no_memory())?;
            self.bytes.resize(end, 0);
        }
        let start = std::mem::replace(&mut self.used, end);
        Ok(&mut self.bytes[start..end])
    }

    fn put(&mut self, bytes: &[u8]) -> Result<()> {
        self.grow(bytes.len()).map(|place| place.copy_from_slice(bytes))
    }

    fn zeros(&mut self, len: usize) -> Result<()> {
        self.grow(len).map(|place| place.fill(0))
    }
}

impl<'a> Reader<'a> {
    pub fn new(source: &'a dyn Source, sizes: Sizes, hints: &Hints, tally: &'a Tally) -> Result<Self> {
        Ok(Self { source, sizes, classifier: Classifier::new(hints.clone())?, tally })
    }

    /// Reads `run` into the slot; its frames, in order.
    pub fn lay(&mut self, run: &Run, slot: &mut Vec<u8>) -> Result<Vec<Frame>> {
        let mut to = Filling { bytes: slot, used: 0 };
        match run {
            Run::Small(entries) => self.lay_small(entries, &mut to),
            Run::Big(file, slices) => self.lay_big(file, slices.clone(), &mut to),
        }
    }

    fn lay_small(&mut self, entries: &[Entry], to: &mut Filling<'_>) -> Result<Vec<Frame>> {
        let (mut cutter, mut spent) = (Cutter::new(self.sizes), 0);
        for planned in entries {
            let (start, mut entry) = (to.used, planned.clone());
            if entry.kind == Kind::HardLink && self.tally.is_absent(&entry.link) {
                let text =
                    format!("what it links to, \"{}\", is not in the archive", String::from_utf8_lossy(&entry.link));
                self.tally.failed(&entry.name, Error::new(ErrorKind::Archive, text))?;
                continue;
            }
            if entry.kind == Kind::HardLink {
                entry.size = self.tally.size_of(&entry.link).unwrap_or(entry.size);
            }
            let room = self.sizes.run().saturating_sub(spent + 1024);
            match self.read_small(&mut entry, room, to) {
                Ok((header, is_stored)) => {
                    spent += 1024 + entry.data_len();
                    if entry.size != planned.size && entry.kind == Kind::File {
                        self.tally.resized(&entry.name, entry.size);
                    }
                    cutter.add(entry, start, header, is_stored);
                }
                Err(error) if is_of_entry(&error) => {
                    to.used = start;
                    self.tally.failed(&entry.name, error)?;
                }
                Err(error) => return Err(error),
            }
        }
        Ok(cutter.finish())
    }

    /// Appends header, data and padding; how long the header is, and whether the file is stored.
    fn read_small(&mut self, entry: &mut Entry, room: u64, to: &mut Filling<'_>) -> Result<(usize, Option<bool>)> {
        let start = to.used;
        if entry.kind != Kind::File {
            let mut header = Vec::new();
            tar::render(entry, &mut header)?;
            to.put(&header)?;
            return Ok((header.len(), None));
        }
        for _ in 0..MAX_READS {
            to.used = start;
            let content = self.source.open(entry)?;
            entry.size = content.size();
            if entry.size > self.sizes.slice || entry.size > room {
                return Err(changed("it has grown since it was found"));
            }
            let (mut header, len) = (Vec::new(), entry.size as usize);
            tar::render(entry, &mut header)?;
            to.put(&header)?;
            let data = to.grow(len)?;
            let is_whole = read_full(&*content, 0, data)? == len;
            if is_whole && content.is_unchanged()? {
                let mut read = |at: u64, part: &mut [u8]| {
                    part.copy_from_slice(&data[at as usize..][..part.len()]);
                    Ok(())
                };
                let is_stored = self.classifier.is_stored(&entry.name, entry.size, &mut read)?;
                to.zeros(tar::padding(entry.size))?;
                return Ok((header.len(), (len > 0).then_some(is_stored)));
            }
        }
        Err(changed("it was changed while it was read"))
    }

    fn lay_big(&mut self, file: &BigFile, slices: Range<u32>, to: &mut Filling<'_>) -> Result<Vec<Frame>> {
        let content = match file.content.get() {
            Some(content) => content.clone(),
            None => {
                let opened = self.open_big(file);
                let mut failure = None;
                let content = file.content.get_or_init(|| opened.map_err(|error| failure = Some(error)).ok()).clone();
                match failure {
                    Some(error) if !is_of_entry(&error) => return Err(error),
                    Some(error) => self.tally.failed(&file.entry.name, error)?,
                    None => {}
                }
                content
            }
        };
        let Some(content) = content else { return Ok(Vec::new()) };
        let mut frames = Vec::new();
        if slices.start == 0 {
            let mut header = Vec::new();
            tar::render(&file.entry, &mut header)?;
            to.put(&header)?;
            let pieces = vec![Piece::Frame(header.len())];
            frames.push(Frame { range: 0..header.len(), pieces, is_stored: false, slices: Vec::new() });
        }
        let is_stored = self.is_stored(file, &*content)?;
        let last = file.slices(self.sizes.slice) - 1;
        for seq in slices {
            frames.push(self.lay_slice(file, (seq, seq == last), (&*content, is_stored), to)?);
        }
        Ok(frames)
    }

    fn open_big(&self, file: &BigFile) -> Result<Arc<dyn Content>> {
        let content = self.source.open(&file.entry)?;
        tar::render(&file.entry, &mut Vec::new())?;
        if content.size() != file.entry.size {
            return Err(changed("its size has changed since it was found"));
        }
        Ok(content)
    }

    /// Every reader would find the same; one is enough.
    fn is_stored(&mut self, file: &BigFile, content: &dyn Content) -> Result<bool> {
        if let Some(known) = file.is_stored.get() {
            return Ok(*known);
        }
        // What cannot be read now will fail as a slice, where it is told.
        let mut read = |at: u64, part: &mut [u8]| {
            let got = read_full(content, at, part).unwrap_or(0);
            part[got..].fill(0);
            Ok(())
        };
        let found = self.classifier.is_stored(&file.entry.name, file.entry.size, &mut read)?;
        Ok(*file.is_stored.get_or_init(|| found))
    }

    /// One slice, and behind the last one the padding.
    fn lay_slice(
        &self,
        file: &BigFile,
        (seq, is_last): (u32, bool),
        (content, is_stored): (&dyn Content, bool),
        to: &mut Filling<'_>,
    ) -> Result<Frame> {
        let offset = u64::from(seq) * self.sizes.slice;
        let len = self.sizes.slice.min(file.entry.size - offset) as usize;
        let (start, mut flags) = (to.used, 0);
        let data = to.grow(len)?;
        let (got, failure) = match read_full(content, offset, data) {
            Ok(got) => (got, (got < len).then(|| changed("it has become shorter"))),
            Err(error) if !is_of_entry(&error) => return Err(error),
            Err(error) => (0, Some(error)),
        };
        data[got..].fill(0);
        if let Some(error) = failure {
            flags |= row_flag::INCOMPLETE;
            self.spoil(file, error)?;
        }
        if file.unread.fetch_sub(1, SeqCst) == 1 && !file.is_spoilt.load(SeqCst) {
            // All of it has been read, by whichever readers.
            let wrong = match content.is_unchanged() {
                Ok(true) => None,
                Ok(false) => Some(changed("it was changed while it was read")),
                Err(error) if !is_of_entry(&error) => return Err(error),
                Err(error) => Some(error),
            };
            if let Some(error) = wrong {
                flags |= row_flag::CHANGED;
                self.spoil(file, error)?;
            }
        }
        let mut pieces = vec![Piece::Data(len)];
        if is_last {
            let padding = tar::padding(file.entry.size);
            to.zeros(padding)?;
            pieces.push(Piece::Frame(padding));
        }
        let entry = file.entry.clone();
        let slice = Slice { entry, seq, file_offset: offset, header: 0, start: 0, len, flags };
        Ok(Frame { range: start..to.used, pieces, is_stored, slices: vec![slice] })
    }

    /// Told once for each file.
    fn spoil(&self, file: &BigFile, error: Error) -> Result<()> {
        if file.is_spoilt.swap(true, Relaxed) { Ok(()) } else { self.tally.spoilt(&file.entry.name, error) }
    }
}

fn changed(text: &str) -> Error {
    Error::new(ErrorKind::ObjectChanged, text)
}

/// Whether it is about one entry, and not about this process.
fn is_of_entry(error: &Error) -> bool {
    !error.is_no_memory() && !matches!(error.kind(), ErrorKind::Cancelled | ErrorKind::Internal)
}

fn read_full(content: &dyn Content, offset: u64, to: &mut [u8]) -> Result<usize> {
    let mut got = 0;
    while got < to.len() {
        match content.read_at(offset + got as u64, &mut to[got..])? {
            0 => break,
            now => got += now,
        }
    }
    Ok(got)
}

/// Cuts small entries into frames.
struct Cutter {
    sizes: Sizes,
    frames: Vec<Frame>,
    open: Option<Frame>,
}

impl Cutter {
    fn new(sizes: Sizes) -> Self {
        Self { sizes, frames: Vec::new(), open: None }
    }

    /// An entry whose header begins at `at` in the slot. `is_stored` is `None` where there is no data.
    fn add(&mut self, entry: Entry, at: usize, header: usize, is_stored: Option<bool>) {
        let (len, padding) = (entry.data_len() as usize, tar::padding(entry.data_len()));
        let all = header + len + padding;
        if let Some(open) = &self.open {
            let limit = if open.is_stored { self.sizes.slice } else { self.sizes.group };
            let is_other = is_stored.is_some_and(|is_stored| is_stored != open.is_stored);
            if is_other || (open.range.len() + all) as u64 > limit {
                self.close();
            }
        }
        let open = self.open.get_or_insert_with(|| Frame {
            range: at..at,
            pieces: Vec::new(),
            is_stored: is_stored.unwrap_or(false),
            slices: Vec::new(),
        });
        let header_at = open.range.len();
        open.pieces.push(Piece::Frame(header));
        if len > 0 {
            open.pieces.push(Piece::Data(len));
        }
        if padding > 0 {
            open.pieces.push(Piece::Frame(padding));
        }
        let (start, entry) = (header_at + header, Arc::new(entry));
        open.slices.push(Slice { entry, seq: 0, file_offset: 0, header: header_at, start, len, flags: 0 });
        open.range.end = at + all;
    }

    fn close(&mut self) {
        self.frames.extend(self.open.take());
    }

    fn finish(mut self) -> Vec<Frame> {
        self.close();
        self.frames
    }
}
