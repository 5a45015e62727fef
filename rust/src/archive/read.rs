//! An open archive: its entries by name and in order, and their bytes, each slice checked before it is given out.

use std::collections::{HashMap, VecDeque};
use std::ops::Range;
use std::sync::{Arc, Mutex, PoisonError};

use arrow_schema::SchemaRef;

use crate::archive::blob::{Decoder, check_claims};
use crate::archive::entry::Kind;
use crate::archive::index::{Batch, BatchPlace, Row, row_flag};
use crate::archive::manifest::SubIndexPlace;
use crate::archive::open::{End, Opened, foreign, index_bytes, open};
use crate::archive::ranges::{Pieces, Ranges, damaged, merge};
use crate::archive::slices::check_slices;
use crate::archive::{footer, stored};
use crate::error::{Error, ErrorKind, Result};

/// Ranges that are closer are fetched together.
const GAP: u64 = 1 << 20;
/// The most that one request brings of several slices.
const MOST: u64 = 16 << 20;
/// Decoded batches that are kept.
const BATCHES: usize = 8;

/// An archive that is open for reading; shared by threads.
pub struct Archive {
    ranges: Arc<dyn Ranges>,
    pieces: Arc<Pieces>,
    opened: Opened,
    /// The last batch of each index, and all batches one after another.
    places: Vec<(usize, BatchPlace)>,
    schemas: Mutex<HashMap<usize, SchemaRef>>,
    batches: Mutex<VecDeque<(usize, Arc<Batch>)>>,
}

/// How bytes are asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ReadOptions {
    /// Whether incomplete entries are given out.
    pub allow_incomplete: bool,
    /// Whether slices are checked; without it stored bytes may be fetched in part.
    pub verify: bool,
}

impl Default for ReadOptions {
    fn default() -> Self {
        Self { allow_incomplete: false, verify: true }
    }
}

/// A stored file of one slice, as bytes in the object.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ByteRange {
    pub offset: u64,
    /// In the object.
    pub length: u64,
    /// Content bytes between two block headers of three bytes; 0: there are none.
    pub stride: u64,
}

impl Archive {
    /// Opens by the end. `whole_index`: a listing will follow.
    pub fn open(
        ranges: Arc<dyn Ranges>,
        pieces: Arc<Pieces>,
        root: Option<[u8; 32]>,
        whole_index: bool,
    ) -> Result<Self> {
        let End::Archive(opened) = open(&*ranges, &pieces, root, whole_index)? else { return Err(foreign()) };
        Ok(Self::of(ranges, pieces, *opened))
    }

    pub fn of(ranges: Arc<dyn Ranges>, pieces: Arc<Pieces>, opened: Opened) -> Self {
        let parts = opened.manifest.parts.iter().enumerate();
        let places = parts
            .flat_map(|(part, place)| {
                place
                    .batches
                    .iter()
                    .map(move |batch| (part, BatchPlace { offset: place.offset + batch.offset, ..batch.clone() }))
            })
            .collect();
        Self { ranges, pieces, opened, places, schemas: Mutex::default(), batches: Mutex::default() }
    }

    pub fn opened(&self) -> &Opened {
        &self.opened
    }

    pub fn ranges(&self) -> &Arc<dyn Ranges> {
        &self.ranges
    }

    /// How many batches the index has.
    pub fn batches(&self) -> usize {
        self.places.len()
    }

    pub fn place(&self, number: usize) -> &BatchPlace {
        &self.places[number].1
    }

    fn schema(&self, part: usize) -> Result<SchemaRef> {
        if let Some(known) = self.schemas.lock().unwrap_or_else(PoisonError::into_inner).get(&part) {
            return Ok(known.clone());
        }
        let schema = self.opened.schema(&*self.ranges, &self.pieces, &self.opened.manifest.parts[part])?;
        self.schemas.lock().unwrap_or_else(PoisonError::into_inner).insert(part, schema.clone());
        Ok(schema)
    }

    /// The schema of the last index.
    pub fn last_schema(&self) -> Result<Option<SchemaRef>> {
        self.opened.manifest.parts.len().checked_sub(1).map(|last| self.schema(last)).transpose()
    }

    /// One batch of the index, checked and decoded.
    pub fn batch(&self, number: usize) -> Result<Arc<Batch>> {
        let kept = || {
            let batches = self.batches.lock().unwrap_or_else(PoisonError::into_inner);
            batches.iter().find(|(kept, _)| *kept == number).map(|(_, batch)| batch.clone())
        };
        if let Some(batch) = kept() {
            return Ok(batch);
        }
        let (part, place) = &self.places[number];
        if place.len > 256 << 20 {
            return Err(damaged("a batch of its index is longer than 256 MiB"));
        }
        let bytes = index_bytes(&*self.ranges, &self.pieces, &(place.offset..place.offset + place.len))?;
        if *blake3::hash(&bytes).as_bytes() != place.checksum {
            return Err(Error::integrity("the archive is damaged: a batch of its index does not have its hash"));
        }
        let batch = Arc::new(Batch::decode(bytes, &self.schema(*part)?, place.rows)?);
        check_order(&batch, place)?;
        let mut batches = self.batches.lock().unwrap_or_else(PoisonError::into_inner);
        if batches.len() == BATCHES {
            batches.pop_front();
        }
        batches.push_back((number, batch.clone()));
        Ok(batch)
    }

    /// The first of these batches. Its bytes, and those of some that follow, are fetched together.
    pub fn batch_ahead(&self, numbers: Range<usize>) -> Result<Arc<Batch>> {
        let place = self.place(numbers.start);
        if !self.pieces.has(&(place.offset..place.offset + place.len)) {
            self.fetch_batches(numbers.start..numbers.end.min(numbers.start + AHEAD))?;
        }
        self.batch(numbers.start)
    }

    /// Fetches the bytes of all these batches at once, where there are none of them yet.
    pub fn fetch_batches(&self, numbers: Range<usize>) -> Result<()> {
        let missing = |number: &usize| {
            let place = self.place(*number);
            !self.pieces.has(&(place.offset..place.offset + place.len))
        };
        let ranges: Vec<Range<u64>> = numbers
            .filter(missing)
            .map(|number| self.place(number).offset..self.place(number).offset + self.place(number).len)
            .collect();
        let (merged, _) = merge(&ranges, GAP, 8 << 20);
        for (range, bytes) in merged.iter().zip(self.ranges.read(&merged)?) {
            self.pieces.add(range.start, bytes);
        }
        Ok(())
    }

    /// Which batches may hold names from `first` on that `is_before` an end.
    pub fn batches_of_prefix(&self, prefix: &[u8]) -> Range<usize> {
        let start = self.places.partition_point(|(_, place)| place.last.as_slice() < prefix);
        let within = |place: &BatchPlace| place.first.as_slice() < prefix || place.first.starts_with(prefix);
        let len = self.places[start..].iter().take_while(|(_, place)| within(place)).count();
        start..start + len
    }

    /// All rows of one entry, in order; none: there is no such entry.
    pub fn find(&self, name: &[u8]) -> Result<Vec<Row>> {
        let start = self.places.partition_point(|(_, place)| place.last.as_slice() < name);
        let mut rows = Vec::new();
        for number in start..self.places.len() {
            if self.place(number).first.as_slice() > name {
                break;
            }
            let batch = self.batch(number)?;
            let first = partition(batch.len(), |row| batch.name(row) < name);
            for row in (first..batch.len()).take_while(|row| batch.name(*row) == name) {
                let row = batch.row(row)?;
                if row.flags & row_flag::SUPERSEDED == 0 {
                    check_claims(&row, self.opened.footer.data_end, self.opened.is_zstd)?;
                    rows.push(row);
                }
            }
        }
        check_slices(&rows)?;
        Ok(rows)
    }

    /// The rows of a file; a hard link is followed once.
    pub fn find_file(&self, name: &[u8], options: ReadOptions) -> Result<Vec<Row>> {
        let mut rows = self.find(name)?;
        if let Some(link) = rows.first().filter(|row| row.entry.kind == Kind::HardLink) {
            rows = self.find(&link.entry.link.clone())?;
            if rows.is_empty() {
                return Err(absent(name, "its hard link leads to nothing"));
            }
        }
        let Some(first) = rows.first() else { return Err(absent(name, "there is no such entry")) };
        match first.entry.kind {
            Kind::File => {}
            Kind::Directory => return Err(unreadable(name, "it is a directory")),
            Kind::Symlink => return Err(unreadable(name, "it is a symbolic link")),
            Kind::HardLink => return Err(unreadable(name, "it links to another hard link")),
        }
        if !options.allow_incomplete
            && rows.iter().any(|row| row.flags & (row_flag::INCOMPLETE | row_flag::CHANGED) != 0)
        {
            return Err(unreadable(name, "it was incomplete or changed when it was packed"));
        }
        Ok(rows)
    }

    /// The bytes `span` of a file of these rows; what lies beyond the end is cut.
    pub fn read_rows(&self, rows: &[Row], span: Range<u64>, options: ReadOptions) -> Result<Vec<u8>> {
        let size = rows.first().map_or(0, |row| row.entry.size);
        let span = span.start.min(size)..span.end.min(size);
        let touched: Vec<&Row> = rows
            .iter()
            .filter(|row| row.file_offset < span.end && row.file_offset + row.len > span.start && row.len > 0)
            .collect();
        if let ([row], false) = (touched.as_slice(), options.verify)
            && !row.compressed
        {
            return self.read_stored(row, span.start - row.file_offset..span.end - row.file_offset);
        }
        let mut out = Vec::new();
        let wanted = usize::try_from(span.end.saturating_sub(span.start)).map_err(|_| Error::no_memory())?;
        out.try_reserve_exact(wanted).map_err(|_| Error::no_memory())?;
        let mut decoder = Decoder::new()?;
        // Slices follow one another in the object; a few are fetched at a time.
        for group in touched.chunks(GROUP) {
            let asked: Vec<Range<u64>> = group.iter().map(|row| blob(row)).collect();
            if !asked.is_sorted_by_key(|range| range.start) {
                return Err(damaged("the slices of a file are out of order"));
            }
            let (merged, holder) = merge(&asked, GAP, MOST);
            let came = self.ranges.read(&merged)?;
            for (row, holder) in group.iter().zip(holder) {
                let bytes = part_of(&came[holder], &merged[holder], &blob(row))?;
                let slice = decoder.slice(row, bytes, self.opened.is_zstd)?;
                let from = span.start.saturating_sub(row.file_offset).min(row.len) as usize;
                let to = (span.end - row.file_offset).min(row.len) as usize;
                out.extend_from_slice(&slice[from..to]);
            }
        }
        Ok(out)
    }

    /// Part of a stored slice, unchecked.
    fn read_stored(&self, row: &Row, part: Range<u64>) -> Result<Vec<u8>> {
        if part.is_empty() {
            return Ok(Vec::new());
        }
        if !self.opened.is_zstd {
            return self.one(row.blob_offset + part.start..row.blob_offset + part.end);
        }
        let from = row.blob_offset + stored::place(part.start);
        let to = row.blob_offset + stored::place(part.end - 1) + 1;
        let spanned = self.one(from..to)?;
        let stride = stored::STRIDE as u64;
        let mut out = Vec::with_capacity((part.end - part.start) as usize);
        let (mut at, mut rest) = (part.start, &spanned[..]);
        while at < part.end {
            let now = ((at / stride + 1) * stride).min(part.end) - at;
            let (bytes, after) = rest.split_at_checked(now as usize).ok_or_else(|| damaged("it is cut off"))?;
            out.extend_from_slice(bytes);
            rest = after.get(3..).unwrap_or_default();
            at += now;
        }
        Ok(out)
    }

    /// The bytes of one range.
    pub fn one(&self, range: Range<u64>) -> Result<Vec<u8>> {
        self.ranges.one(range)
    }

    /// Whole files in the order asked; frames that several need are fetched and decoded once.
    pub fn read_many(&self, names: &[Vec<u8>], options: ReadOptions) -> Result<Vec<Vec<u8>>> {
        let files = names.iter().map(|name| self.find_file(name, options)).collect::<Result<Vec<_>>>()?;
        let mut wanted: Vec<(usize, &Row)> = Vec::new();
        for (file, rows) in files.iter().enumerate() {
            wanted.extend(rows.iter().filter(|row| row.len > 0).map(|row| (file, row)));
        }
        wanted.sort_by_key(|(file, row)| (row.blob_offset, row.inner_offset, *file));
        let asked: Vec<Range<u64>> = wanted.iter().map(|(_, row)| blob(row)).collect();
        let (merged, holder) = merge(&asked, GAP, MOST);
        let mut out: Vec<Vec<u8>> = Vec::new();
        for rows in &files {
            let size = usize::try_from(rows[0].entry.size).map_err(|_| Error::no_memory())?;
            let mut memory = Vec::new();
            memory.try_reserve_exact(size).map_err(|_| Error::no_memory())?;
            memory.resize(size, 0);
            out.push(memory);
        }
        let mut decoder = Decoder::new()?;
        let mut next = 0;
        for group in (0..merged.len()).collect::<Vec<_>>().chunks(GROUP) {
            let (first, last) = (group[0], group[group.len() - 1]);
            let came = self.ranges.read(&merged[first..=last])?;
            while next < wanted.len() && holder[next] <= last {
                let (file, row) = wanted[next];
                let bytes = part_of(&came[holder[next] - first], &merged[holder[next]], &blob(row))?;
                let slice = decoder.slice(row, bytes, self.opened.is_zstd)?;
                out[file][row.file_offset as usize..][..slice.len()].copy_from_slice(&slice);
                next += 1;
            }
        }
        Ok(out)
    }

    /// Where a stored file of one slice lies; `None` if it is compressed, has several slices or no bytes.
    pub fn range_of(&self, name: &[u8]) -> Result<Option<ByteRange>> {
        let rows = self.find_file(name, ReadOptions { allow_incomplete: true, verify: true })?;
        let [row] = rows.as_slice() else { return Ok(None) };
        if row.compressed || row.len == 0 {
            return Ok(None);
        }
        let stride = if self.opened.is_zstd { stored::STRIDE as u64 } else { 0 };
        Ok(Some(ByteRange { offset: row.blob_offset, length: row.blob_size, stride }))
    }

    /// That the bytes of a whole index are those of the manifest.
    pub fn check_index_file(&self, part: &SubIndexPlace, bytes: &[u8]) -> Result<()> {
        let piece = |range: Range<u64>| bytes.get(range.start as usize..range.end as usize).unwrap_or_default();
        let is_right = |range, hash: &[u8; 32]| blake3::hash(piece(range)).as_bytes() == hash;
        let first = part.batches.first().map_or(part.schema_end, |batch| batch.offset);
        let batches =
            part.batches.iter().all(|place| is_right(place.offset..place.offset + place.len, &place.checksum));
        let ends = is_right(0..first, &part.prologue) && is_right(part.epilogue_start()..part.len, &part.epilogue);
        if batches && ends {
            Ok(())
        } else {
            Err(Error::integrity("the archive is damaged: its index does not have its hash"))
        }
    }

    pub fn has_incomplete(&self) -> bool {
        self.opened.footer.flags & footer::flag::INCOMPLETE != 0
    }
}

/// Batches that are fetched together by who reads them in order.
const AHEAD: usize = 16;
/// Requests that are under way at once.
const GROUP: usize = 8;

/// Where a row's blob lies.
pub fn blob(row: &Row) -> Range<u64> {
    row.blob_offset..row.blob_offset + row.blob_size
}

/// A range out of the bytes of a larger one.
pub fn part_of<'a>(bytes: &'a [u8], all: &Range<u64>, part: &Range<u64>) -> Result<&'a [u8]> {
    let from = part.start.checked_sub(all.start).and_then(|at| usize::try_from(at).ok());
    let to = part.end.checked_sub(all.start).and_then(|at| usize::try_from(at).ok());
    let bytes = from.zip(to).and_then(|(from, to)| bytes.get(from..to));
    bytes.ok_or_else(|| damaged("it is cut off"))
}

/// The first of `len` for which `is_before` no longer holds.
fn partition(len: usize, is_before: impl Fn(usize) -> bool) -> usize {
    let (mut low, mut high) = (0, len);
    while low < high {
        let middle = low.midpoint(high);
        if is_before(middle) { low = middle + 1 } else { high = middle }
    }
    low
}

/// Rows are sorted, and begin and end with the names of the manifest.
fn check_order(batch: &Batch, place: &BatchPlace) -> Result<()> {
    let (len, names) = (batch.len(), |row| batch.name(row));
    let ends = len > 0 && names(0) == place.first && names(len - 1) == place.last;
    let key = |row: usize| (names(row), batch.is_current(row), batch.seq(row));
    let sorted = (1..len).all(|row| key(row - 1) < key(row) || !batch.is_current(row));
    if ends && sorted { Ok(()) } else { Err(damaged("the rows of its index are out of order")) }
}

fn absent(name: &[u8], why: &str) -> Error {
    let shown = crate::error::escape(&String::from_utf8_lossy(name), crate::error::MAX_SHOWN);
    Error::new(ErrorKind::NotFound, format!("\"{shown}\": {why}"))
}

fn unreadable(name: &[u8], why: &str) -> Error {
    let shown = crate::error::escape(&String::from_utf8_lossy(name), crate::error::MAX_SHOWN);
    Error::new(ErrorKind::Archive, format!("\"{shown}\" has no bytes to give: {why}"))
}
