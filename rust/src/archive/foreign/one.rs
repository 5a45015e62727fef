//! One entry of a tar that comes front to back, to the place where it goes.

use std::io::Read;

use super::BLOCK;
use crate::archive::entry::{Entry, Kind};
use crate::archive::follow::{Known, REMEMBERED, Record, SliceHasher};
use crate::archive::place::Place;
use crate::archive::tar_reader::TarReader;
use crate::archive::tree::Done;
use crate::archive::unpack_report::UnpackTally;
use crate::error::{Error, ErrorKind, Result};
use crate::progress::Progress;

/// A file up to this size is checked and written at once.
const SMALL: u64 = 4 << 20;

/// Where one entry goes.
pub(super) struct To<'a> {
    pub place: &'a dyn Place,
    pub tally: &'a UnpackTally,
    pub progress: &'a Progress,
    /// Whether what is written will be held against an index.
    pub keeps: bool,
    pub record: &'a mut Record,
    /// In the archive.
    pub name: &'a [u8],
    /// Whether so many more bytes are allowed.
    pub check: &'a dyn Fn(u64) -> Result<()>,
}

impl To<'_> {
    /// Writes it, and notes what is known of a file. What is wrong with the stream itself is an error.
    pub fn write(self, reader: &mut TarReader<Box<dyn Read + Send>>, entry: &Entry) -> Result<()> {
        let Self { place, tally, progress, .. } = self;
        match entry.kind {
            Kind::Directory => tally.made(entry, place.directory(entry)),
            Kind::HardLink => tally.made(entry, place.hard_link(entry)),
            Kind::Symlink => tally.begun(entry, place.symlink(entry)),
            Kind::File if entry.size <= SMALL => return self.small(reader, entry),
            Kind::File => {
                let done = self.big(reader, entry)?;
                tally.made(entry, unless_stopped(done)?);
            }
        }
        if !place.counts_bytes() {
            progress.add_durable(entry.data_len());
        }
        progress.object_done();
        Ok(())
    }

    fn small(self, reader: &mut TarReader<Box<dyn Read + Send>>, entry: &Entry) -> Result<()> {
        let mut content = vec![0; entry.size as usize];
        read_full(reader, &mut content)?;
        (self.check)(entry.size)?;
        let done = unless_stopped(self.place.small_file(entry, &content))?;
        if self.keeps && matches!(done, Ok(None | Some(Done::Written))) {
            let known = match entry.size <= REMEMBERED {
                true => Known::Whole(*blake3::hash(&content).as_bytes()),
                false if self.place.reads_back() => Known::Nothing,
                false => {
                    let mut hasher = SliceHasher::default();
                    hasher.update(&content);
                    Known::Slices(hasher.finish())
                }
            };
            self.record.add(self.name, entry, known);
        }
        if !matches!(done, Ok(None)) {
            if !self.place.counts_bytes() {
                self.progress.add_durable(entry.size);
            }
            self.progress.object_done();
        }
        self.tally.begun(entry, done);
        Ok(())
    }

    /// The outer error is of the stream.
    fn big(self, reader: &mut TarReader<Box<dyn Read + Send>>, entry: &Entry) -> Result<Result<Done>> {
        let file = match self.place.big_file(entry) {
            Ok(Some(file)) => file,
            Ok(None) => return Ok(Ok(Done::Skipped)),
            Err(error) => return Ok(Err(error)),
        };
        let mut hasher = (self.keeps && !self.place.reads_back()).then(SliceHasher::default);
        let (mut block, mut at) = (vec![0; BLOCK], 0);
        while at < entry.size {
            let now = usize::try_from(entry.size - at).map_or(BLOCK, |left| left.min(BLOCK));
            read_full(reader, &mut block[..now])?;
            (self.check)(at + now as u64)?;
            if let Err(error) = file.write_at(at, &block[..now]) {
                return Ok(Err(error));
            }
            if let Some(hasher) = &mut hasher {
                hasher.update(&block[..now]);
            }
            at += now as u64;
        }
        let done = file.publish();
        if self.keeps && matches!(done, Ok(Done::Written)) {
            self.record.add(self.name, entry, hasher.map_or(Known::Nothing, |hasher| Known::Slices(hasher.finish())));
        }
        Ok(done)
    }
}

/// The outcome for one entry; outside, that everything stops.
fn unless_stopped<T>(outcome: Result<T>) -> Result<Result<T>> {
    match outcome {
        Err(error) if error.kind() == ErrorKind::Cancelled || error.is_no_memory() => Err(error),
        outcome => Ok(outcome),
    }
}

fn read_full(reader: &mut TarReader<Box<dyn Read + Send>>, to: &mut [u8]) -> Result<()> {
    let mut got = 0;
    while got < to.len() {
        match reader.read_data(&mut to[got..])? {
            0 => return Err(Error::new(ErrorKind::Archive, "the tar stream ends in the middle of a file")),
            now => got += now,
        }
    }
    Ok(())
}
