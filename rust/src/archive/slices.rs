//! The slices of one file: they follow one another without gaps, and say the same of it.

use std::sync::Arc;

use crate::archive::blob::named;
use crate::archive::entry::Entry;
use crate::archive::index::Row;
use crate::archive::ranges::damaged;
use crate::error::Result;

/// Rows as they come, file by file.
#[derive(Default)]
pub struct Slices {
    now: Option<(Arc<Entry>, Row)>,
}

impl Slices {
    /// The next row; an error if it does not go on where the last one ended, or begins a file before the last one is whole.
    pub fn push(&mut self, row: &Row) -> Result<()> {
        let wrong = || Err(named(damaged("its slices have gaps, or contradict each other"), row));
        match self.now.take() {
            Some((entry, last)) if last.file_offset + last.len < entry.data_len() => {
                let goes_on = row.seq == last.seq.wrapping_add(1)
                    && row.file_offset == last.file_offset + last.len
                    && row.len > 0
                    && *row.entry == *entry;
                if !goes_on {
                    return wrong();
                }
            }
            _ if row.seq != 0 || row.file_offset != 0 => return wrong(),
            _ => {}
        }
        if row.file_offset + row.len > row.entry.data_len() || (row.len == 0 && row.entry.data_len() > 0) {
            return wrong();
        }
        self.now = Some((row.entry.clone(), row.clone()));
        Ok(())
    }

    /// After the last row.
    pub fn finish(&mut self) -> Result<()> {
        match self.now.take() {
            Some((entry, last)) if last.file_offset + last.len < entry.data_len() => {
                Err(named(damaged("its last slices are missing"), &last))
            }
            _ => Ok(()),
        }
    }
}

/// The same of all rows of one file.
pub fn check_slices(rows: &[Row]) -> Result<()> {
    let mut slices = Slices::default();
    rows.iter().try_for_each(|row| slices.push(row))?;
    let one_file = rows.windows(2).all(|pair| pair[1].seq > 0 && pair[0].entry.name == pair[1].entry.name);
    match (one_file, rows.last()) {
        (false, Some(last)) => Err(named(damaged("it has more rows than slices"), last)),
        _ => slices.finish(),
    }
}
