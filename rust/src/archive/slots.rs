//! Memory that is used again and again: a fixed number of blocks, each given back when its last user drops it.

use crossbeam_channel::{Receiver, Sender, bounded};

use crate::archive::threads::Stop;
use crate::error::{Error, Result};

/// A fixed number of blocks.
pub struct Pool {
    free: Receiver<Vec<u8>>,
    home: Sender<Vec<u8>>,
}

impl Pool {
    /// `count` blocks, of which none has memory yet.
    pub fn new(count: usize) -> Self {
        let (home, free) = bounded(count);
        for _ in 0..count {
            // It holds exactly so many.
            let _ = home.send(Vec::new());
        }
        Self { free, home }
    }

    /// The next free block, with at least `room` bytes of capacity and whatever length and content it had.
    pub fn take(&self, stop: &Stop, room: usize) -> Result<Block> {
        let Some(mut bytes) = stop.receive(&self.free)? else { return Err(Error::cancelled()) };
        let short = room.saturating_sub(bytes.capacity());
        let reserved = if short > 0 { bytes.try_reserve_exact(room - bytes.len()) } else { Ok(()) };
        let block = Block { bytes, home: self.home.clone() };
        reserved.map_err(|_| Error::no_memory())?;
        Ok(block)
    }
}

/// One block, until it is dropped.
pub struct Block {
    pub bytes: Vec<u8>,
    home: Sender<Vec<u8>>,
}

impl AsRef<[u8]> for Block {
    fn as_ref(&self) -> &[u8] {
        &self.bytes
    }
}

impl Drop for Block {
    fn drop(&mut self) {
        // Never full: it came from there. Gone: then nobody needs it.
        let _ = self.home.try_send(std::mem::take(&mut self.bytes));
    }
}
