//! Bytes of the temp file once more: to prove what an earlier run left, and for checksums that need bytes in order.

use std::ops::Range;
use std::sync::Arc;

use crate::config::BUFFER_SIZE;
use crate::error::Result;
use crate::transfer::file_writer::FileWriter;
use crate::transfer::scheduler::{Gate, Scheduler};

/// Shows `see` the bytes of `range` in order; false if the file ends before.
pub async fn read_back(
    writer: &FileWriter,
    scheduler: &Arc<Scheduler>,
    range: Range<u64>,
    mut see: impl FnMut(&[u8]),
) -> Result<bool> {
    // No request: a gate of its own, but the same budget of memory.
    let permit = scheduler.acquire(Gate::new(1).enter().await, 1).await;
    let mut buffer = permit.buffer().await?;
    let mut at = range.start;
    while at < range.end {
        let len = (range.end - at).min(BUFFER_SIZE as u64) as usize;
        buffer = writer.read(at, len, buffer).await?;
        if buffer.is_empty() {
            return Ok(false);
        }
        see(&buffer);
        at += buffer.len() as u64;
    }
    Ok(true)
}
