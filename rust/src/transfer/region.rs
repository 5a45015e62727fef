//! Memory that the tasks of a transfer fill while its owner waits, and the fence between them.
//!
//! The owner may have to go on before the last task has noticed that it is over: after a second Ctrl-C, or a panic. So
//! every write looks whether the fence is still open, and `close` returns only when no write is under way: from then on
//! nothing touches the memory, whatever still runs.
#![expect(unsafe_code, reason = "tasks write to different places of one memory, which no safe type can express")]

use std::ptr::NonNull;
use std::sync::{Arc, PoisonError, RwLock};

use crate::error::{Error, Result};

/// Where to write; never read.
#[derive(Debug)]
struct Memory {
    start: NonNull<u8>,
    len: usize,
}

// SAFETY: plain memory, bound to no thread; `Region` says who may write where.
unsafe impl Send for Memory {}
// SAFETY: as above.
unsafe impl Sync for Memory {}

#[derive(Debug)]
pub struct Region(RwLock<Option<Memory>>);

impl Region {
    /// A fence around memory of somebody else's.
    ///
    /// # Safety
    /// The memory must be writable, and used by nobody else, until `close` has returned.
    pub unsafe fn new(start: NonNull<u8>, len: usize) -> Arc<Self> {
        Arc::new(Self(RwLock::new(Some(Memory { start, len }))))
    }

    /// Copies `bytes` to `at`; false once the fence is closed. No two calls may mean the same bytes at the same time.
    pub fn write(&self, at: u64, bytes: &[u8]) -> Result<bool> {
        let memory = self.0.read().unwrap_or_else(PoisonError::into_inner);
        let Some(Memory { start, len }) = &*memory else { return Ok(false) };
        let at = usize::try_from(at).ok().filter(|at| at.checked_add(bytes.len()).is_some_and(|end| end <= *len));
        let Some(at) = at else { return Err(Error::integrity("more bytes came than were asked for")) };
        // SAFETY: in bounds; the owner leaves the memory alone while the fence is open, and ranges of tasks are disjoint.
        unsafe { std::ptr::copy_nonoverlapping(bytes.as_ptr(), start.as_ptr().add(at), bytes.len()) };
        Ok(true)
    }

    /// Nothing is written after this.
    pub fn close(&self) {
        *self.0.write().unwrap_or_else(PoisonError::into_inner) = None;
    }
}

/// Memory of our own, given out once it is full.
pub struct Filling {
    memory: Vec<u8>,
    len: usize,
    region: Arc<Region>,
}

impl Filling {
    /// `MemoryError` where the system has none left.
    pub fn new(len: u64) -> Result<Self> {
        let len = usize::try_from(len).map_err(|_| Error::no_memory())?;
        let mut memory = Vec::new();
        memory.try_reserve_exact(len).map_err(|_| Error::no_memory())?;
        let start = NonNull::new(memory.as_mut_ptr()).ok_or_else(Error::no_memory)?;
        // SAFETY: the vector owns so much, is not touched before `into_full`, and `drop` closes the fence.
        let region = unsafe { Region::new(start, len) };
        Ok(Self { memory, len, region })
    }

    pub fn region(&self) -> &Arc<Region> {
        &self.region
    }

    /// The memory, of which every byte has been written.
    ///
    /// # Safety
    /// Every byte must have been written through the region.
    pub unsafe fn into_full(mut self) -> Vec<u8> {
        self.region.close();
        let mut memory = std::mem::take(&mut self.memory);
        // SAFETY: reserved in `new`; the caller promises that all of it was written.
        unsafe { memory.set_len(self.len) };
        memory
    }
}

impl Drop for Filling {
    fn drop(&mut self) {
        self.region.close();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_is_written_behind_the_fence_or_out_of_bounds() {
        let mut memory = vec![0; 8];
        // SAFETY: the vector outlives the region and is only looked at when the fence is closed.
        let region = unsafe { Region::new(NonNull::new(memory.as_mut_ptr()).unwrap(), 8) };
        assert!(region.write(2, b"abc").unwrap());
        assert!(region.write(8, b"").unwrap());
        for (at, bytes) in [(6, &b"abc"[..]), (9, b""), (u64::MAX, b"a")] {
            assert!(region.write(at, bytes).is_err(), "{at}");
        }
        region.close();
        assert!(!region.write(0, b"x").unwrap());
        assert_eq!(memory, *b"\0\0abc\0\0\0");
    }

    #[test]
    fn own_memory_is_given_out_full() {
        let filling = Filling::new(6).unwrap();
        let region = filling.region().clone();
        assert!(region.write(3, b"def").unwrap() && region.write(0, b"abc").unwrap());
        // SAFETY: all six bytes were written.
        assert_eq!(unsafe { filling.into_full() }, b"abcdef");
        assert!(!region.write(0, b"x").unwrap());
        assert!(Filling::new(u64::MAX).is_err());
        let dropped = Filling::new(4).unwrap();
        let region = dropped.region().clone();
        drop(dropped);
        assert!(!region.write(0, b"x").unwrap());
    }

    #[test]
    fn writes_side_by_side_all_arrive() {
        let filling = Filling::new(4 * 1000).unwrap();
        std::thread::scope(|scope| {
            for part in 0..4_u8 {
                let region = filling.region().clone();
                scope.spawn(move || {
                    for at in 0..1000 {
                        assert!(region.write(u64::from(part) * 1000 + at, &[part]).unwrap());
                    }
                });
            }
        });
        // SAFETY: four times a thousand bytes were written.
        let full = unsafe { filling.into_full() };
        assert!(full.chunks(1000).zip(0..4).all(|(chunk, part)| chunk.iter().all(|byte| *byte == part)));
    }
}
