//! The rows of the index in their order, each held against those before it.

use std::collections::VecDeque;

use super::VerifyReport;
use crate::archive::blob::check_claims;
use crate::archive::index::Row;
use crate::archive::names;
use crate::archive::read::{Archive, check_slices};
use crate::error::Result;

/// Rows in their order, read ahead as far as needed.
pub(super) struct Rows<'a> {
    pub archive: &'a Archive,
    next_batch: usize,
    ahead: VecDeque<Row>,
    last: Option<Row>,
    /// Rows, entries, original bytes.
    counted: (u64, u64, u64),
    /// Of the file now coming.
    slices: Vec<Row>,
}

impl<'a> Rows<'a> {
    pub fn new(archive: &'a Archive) -> Self {
        let (ahead, slices) = (VecDeque::new(), Vec::new());
        Self { archive, next_batch: 0, ahead, last: None, counted: (0, 0, 0), slices }
    }

    /// The next row without taking it.
    pub fn peek(&mut self, report: &mut VerifyReport) -> Result<Option<&Row>> {
        while self.ahead.is_empty() && self.next_batch < self.archive.batches() {
            let number = self.next_batch;
            self.next_batch += 1;
            match self.archive.batch_ahead(number..self.archive.batches()) {
                Ok(batch) => {
                    for at in 0..batch.len() {
                        self.ahead.push_back(batch.row(at)?);
                    }
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
        if row.seq == 0 {
            self.finish_file(report);
        }
        self.slices.push(row.clone());
        self.last = Some(row.clone());
        Ok(Some(row))
    }

    /// After the last row: the counts of the footer.
    pub fn finish(mut self, report: &mut VerifyReport) {
        self.finish_file(report);
        let footer = &self.archive.opened().footer;
        report.entries = self.counted.1;
        if self.counted != (footer.rows, footer.entries, footer.raw_bytes) {
            report.problem(None, None, "the counts of the footer are not those of the index");
        }
    }

    fn finish_file(&mut self, report: &mut VerifyReport) {
        let slices = std::mem::take(&mut self.slices);
        if let Err(error) = check_slices(&slices) {
            report.problem(slices.first().map(|row| row.entry.name.as_slice()), None, error.message());
        }
    }
}
