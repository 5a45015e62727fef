//! One frame against what the rows of its entries render to.

use super::{Unit, VerifyReport};
use crate::archive::blob::Decoder;
use crate::archive::entry::Kind;
use crate::archive::index::Row;
use crate::archive::stored::{self, Piece};
use crate::archive::tar;
use crate::error::Error;

/// The entry that something is wrong with, and what that is.
type Wrong = (Option<Vec<u8>>, String);

/// One for each thread.
pub(super) struct Checker {
    pub decoder: Decoder,
    pub content: Vec<u8>,
    pub is_zstd: bool,
}

impl Checker {
    pub fn check(&mut self, unit: &Unit, bytes: &[u8], report: &mut VerifyReport) {
        report.frames += 1;
        let name = unit.rows.first().or(unit.heads.as_ref()).map(|row| row.entry.name.clone());
        if let Err((name_of, what)) = self.compare(unit, bytes, report) {
            report.problem(name_of.or(name).as_deref(), Some(unit.at), what);
        }
    }

    /// The content of a frame against what its rows render to.
    fn compare(&mut self, unit: &Unit, bytes: &[u8], report: &mut VerifyReport) -> Result<(), Wrong> {
        let told = |error: Error| (None, error.message().to_owned());
        let mut content = std::mem::take(&mut self.content);
        let decoded = match self.is_zstd {
            true => self.decoder.decode(bytes, u64::from(unit.size.content), &mut content),
            false => {
                content.clear();
                content.extend_from_slice(bytes);
                Ok(())
            }
        };
        let outcome = decoded.map_err(told).and_then(|()| self.compare_content(unit, bytes, &content, report));
        self.content = content;
        outcome
    }

    fn compare_content(
        &self,
        unit: &Unit,
        bytes: &[u8],
        content: &[u8],
        report: &mut VerifyReport,
    ) -> Result<(), Wrong> {
        let (mut at, mut pieces, mut starts) = (0, Vec::new(), Vec::new());
        if let Some(row) = &unit.heads {
            at = header(content, at, row)?;
            pieces.push(Piece::Frame(at));
        }
        for row in &unit.rows {
            let fail = |what: &str| (Some(row.entry.name.clone()), what.to_owned());
            let (before, is_big) = (at, row.len < row.entry.data_len());
            if row.seq == 0 && !(is_big && self.is_zstd) {
                at = header(content, at, row)?;
                pieces.push(Piece::Frame(at - before));
            }
            let len = usize::try_from(row.len).unwrap_or(usize::MAX);
            let data = at.checked_add(len).and_then(|end| content.get(at..end));
            let data = data.ok_or_else(|| fail("it reaches beyond its frame"))?;
            if row.entry.kind == Kind::File && Some(*blake3::hash(data).as_bytes()) != row.checksum {
                return Err(fail("its bytes do not have the hash of the index"));
            }
            starts.push((at, before));
            at += len;
            if len > 0 {
                pieces.push(Piece::Data(len));
            }
            report.bytes += row.len;
            if row.file_offset + row.len == row.entry.data_len() {
                let padding = tar::padding(row.entry.data_len());
                let zeros = content.get(at..at + padding).ok_or_else(|| fail("its padding is missing"))?;
                if zeros.iter().any(|byte| *byte != 0) {
                    return Err(fail("its padding is not of zeros"));
                }
                at += padding;
                if padding > 0 {
                    pieces.push(Piece::Frame(padding));
                }
            }
        }
        if at != content.len() {
            return Err((None, "something lies in it that the index does not know".to_owned()));
        }
        self.compare_places(unit, (bytes, content), (&pieces, &starts))
    }

    /// Rows say where their bytes lie; stored frames are what the format makes of their content.
    fn compare_places(
        &self,
        unit: &Unit,
        (bytes, content): (&[u8], &[u8]),
        (pieces, starts): (&[Piece], &[(usize, usize)]),
    ) -> Result<(), Wrong> {
        let fail = |row: &Row| (Some(row.entry.name.clone()), "its row does not say where it lies".to_owned());
        // Of a frame without data no row says how it is written; the CRC of the data holds it.
        let has_data = unit.rows.iter().any(|row| row.len > 0);
        let is_stored = self.is_zstd && has_data && unit.rows.iter().all(|row| !row.compressed);
        let mut places = Vec::new();
        if is_stored {
            let mut rendered = Vec::with_capacity(bytes.len());
            places = stored::write(content, pieces, &mut rendered);
            if rendered != bytes {
                return Err((None, "a stored frame is not what its content makes".to_owned()));
            }
        }
        let mut places = places.into_iter();
        for (row, (data, before)) in unit.rows.iter().zip(starts) {
            let right = match (self.is_zstd, row.len > 0) {
                (false, true) => row.blob_offset == unit.at + *data as u64 && is_plain(row),
                (false, false) => row.blob_offset == unit.at + *before as u64,
                (true, false) => row.blob_offset == unit.at,
                (true, true) if is_stored => {
                    places.next().is_some_and(|place| row.blob_offset == unit.at + place as u64) && is_plain(row)
                }
                (true, true) => {
                    row.compressed
                        && row.blob_offset == unit.at
                        && row.blob_size == bytes.len() as u64
                        && row.blob_raw_size as usize == content.len()
                        && row.inner_offset as usize == *data
                }
            };
            if !right {
                return Err(fail(row));
            }
        }
        Ok(())
    }
}

/// Whether a row says of stored bytes what it must.
fn is_plain(row: &Row) -> bool {
    !row.compressed && (row.inner_offset, u64::from(row.blob_raw_size)) == (0, row.len)
}

/// That the header or headers of an entry are those which it renders to; where its data begins.
fn header(content: &[u8], at: usize, row: &Row) -> Result<usize, Wrong> {
    let mut rendered = Vec::new();
    let fail = |what: &str| (Some(row.entry.name.clone()), what.to_owned());
    tar::render(&row.entry, &mut rendered).map_err(|error| fail(error.message()))?;
    match content.get(at..at + rendered.len()) {
        Some(found) if found == rendered => Ok(at + rendered.len()),
        _ => Err(fail("its tar header is not what the index says")),
    }
}
