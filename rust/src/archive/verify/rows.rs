//! The rows of the index in their order, each held against those before it.

use std::collections::VecDeque;

use super::VerifyReport;
use crate::archive::blob::check_claims;
use crate::archive::footer::flag;
use crate::archive::index::{BatchPlace, Row, row_flag};
use crate::archive::names;
use crate::archive::read::Archive;
use crate::archive::slices::Slices;
use crate::error::Result;

/// Rows in their order, read ahead as far as needed.
pub(super) struct Rows<'a> {
    pub archive: &'a Archive,
    next_batch: usize,
    ahead: VecDeque<Row>,
    last: Option<Row>,
    /// Rows, entries, original bytes.
    counted: (u64, u64, u64),
    slices: Slices,
    /// Whether some rows are marked as incomplete or changed.
    is_incomplete: bool,
}

impl<'a> Rows<'a> {
    pub fn new(archive: &'a Archive) -> Self {
        let (ahead, slices) = (VecDeque::new(), Slices::default());
        let counted = (0, 0, 0);
        Self { archive, next_batch: 0, ahead, last: None, counted, slices, is_incomplete: false }
    }

    /// The next row without taking it.
    pub fn peek(&mut self, report: &mut VerifyReport) -> Result<Option<&Row>> {
        while self.ahead.is_empty() && self.next_batch < self.archive.batches() {
            let number = self.next_batch;
            self.next_batch += 1;
            match self.archive.batch_ahead(number..self.archive.batches()) {
                Ok(batch) => {
                    let rows = (0..batch.len()).map(|at| batch.row(at)).collect::<Result<Vec<_>>>()?;
                    let place = self.archive.place(number);
                    if !is_told(&rows, place) {
                        report.problem(None, Some(place.offset), "the manifest says of a batch what its rows do not");
                    }
                    self.ahead.extend(rows);
                }
                Err(error) => report.problem(None, Some(self.archive.place(number).offset), error.message()),
            }
        }
        Ok(self.ahead.front())
    }

    /// The next row, checked.
    pub fn next(&mut self, report: &mut VerifyReport) -> Result<Option<Row>> {
        self.peek(report)?;
        let Some(row) = self.ahead.pop_front() else { return Ok(None) };
        let opened = self.archive.opened();
        self.counted.0 += 1;
        self.counted.1 += u64::from(row.seq == 0);
        self.counted.2 += row.len;
        let name = Some(row.entry.name.as_slice());
        if let Err(error) = check_claims(&row, opened.footer.data_end, opened.is_zstd) {
            report.problem(name, Some(row.blob_offset), error.message());
        }
        if let Err(why) = names::check(&row.entry.name) {
            report.problem(name, None, format!("its name is not allowed: {why}"));
        }
        let is_in_order = |last: &Row| (&last.entry.name, last.seq) < (&row.entry.name, row.seq);
        if !self.last.as_ref().is_none_or(is_in_order) {
            report.problem(name, None, "its row is out of order");
        }
        if let Err(error) = self.slices.push(&row) {
            report.problem(name, None, error.message());
        }
        self.is_incomplete |= row.flags & (row_flag::INCOMPLETE | row_flag::CHANGED) != 0;
        self.last = Some(row.clone());
        Ok(Some(row))
    }

    /// After the last row: the counts of the footer.
    pub fn finish(mut self, report: &mut VerifyReport) {
        if let Err(error) = self.slices.finish() {
            report.problem(None, None, error.message());
        }
        let footer = &self.archive.opened().footer;
        report.entries = self.counted.1;
        if self.counted != (footer.rows, footer.entries, footer.raw_bytes) {
            report.problem(None, None, "the counts of the footer are not those of the index");
        }
        let says = (footer.flags & flag::INCOMPLETE != 0, footer.flags & flag::DETERMINISTIC == 0);
        if says != (self.is_incomplete, self.is_incomplete) || footer.flags & RESERVED != 0 {
            report.problem(None, None, "the flags of the footer are not those of the index");
        }
    }
}

/// Flags that mean nothing yet.
const RESERVED: u32 = 0x0000_FFE0;

/// Whether the manifest says of a batch what its rows do.
fn is_told(rows: &[Row], place: &BatchPlace) -> bool {
    let raw: u64 = rows.iter().map(|row| row.len).sum();
    let start = rows.iter().map(|row| row.blob_offset).min().unwrap_or(0);
    let end = rows.iter().map(|row| row.blob_offset + row.blob_size).max().unwrap_or(0);
    (raw, start, end) == (place.raw_bytes, place.min_blob_offset, place.max_blob_end)
}
