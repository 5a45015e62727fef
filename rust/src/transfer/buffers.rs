//! Aligned, recycled memory: the only bytes a transfer holds between socket and file.
//!
//! A `Buffer` is one page-aligned block of `BUFFER_SIZE` bytes on loan from the `Pool`; dropping it gives it
//! back, together with its share of the permit it was taken under. Memory is zeroed once, when it is first
//! allocated, so a buffer is always initialised whatever was in it before. Invariant: a block is in the pool or
//! in exactly one `Buffer`, never both.
#![expect(unsafe_code, reason = "aligned allocation: direct I/O needs page-aligned memory, which Vec cannot promise")]

use std::alloc::{Layout, alloc_zeroed, dealloc};
use std::any::Any;
use std::ops::Deref;
use std::ptr::NonNull;

use crate::config::BUFFER_SIZE;
use crate::sync::{Arc, Mutex, PoisonError};

/// What O_DIRECT asks of memory, offset and length on every file system in use.
pub const ALIGNMENT: usize = 4096;

/// Free blocks kept for the next transfer; what goes beyond is given back to the system.
const KEEP_FREE: usize = 64;

struct Block(NonNull<u8>);

// SAFETY: a block is plain memory with one owner at a time; nothing in it is bound to a thread.
unsafe impl Send for Block {}
// SAFETY: shared access only reads; writing needs `&mut Buffer`.
unsafe impl Sync for Block {}

impl Block {
    const LAYOUT: Layout = match Layout::from_size_align(BUFFER_SIZE, ALIGNMENT) {
        Ok(layout) => layout,
        Err(_) => panic!("BUFFER_SIZE and ALIGNMENT make no layout"),
    };

    /// `None` where the system has no memory left.
    fn allocate() -> Option<Self> {
        // SAFETY: the layout has a size above zero.
        let memory = unsafe { alloc_zeroed(Self::LAYOUT) };
        NonNull::new(memory).map(Self)
    }
}

impl Drop for Block {
    fn drop(&mut self) {
        // SAFETY: allocated in `allocate` with the same layout, and dropped once.
        unsafe { dealloc(self.0.as_ptr(), Self::LAYOUT) }
    }
}

/// The blocks not on loan.
#[derive(Default)]
pub struct Pool {
    free: Mutex<Vec<Block>>,
}

impl Pool {
    fn take(&self) -> Option<Block> {
        let recycled = self.free.lock().unwrap_or_else(PoisonError::into_inner).pop();
        recycled.or_else(Block::allocate)
    }

    fn give_back(&self, block: Block) {
        let mut free = self.free.lock().unwrap_or_else(PoisonError::into_inner);
        if free.len() < KEEP_FREE {
            free.push(block);
        }
    }

    /// Blocks waiting for the next loan.
    pub fn free_blocks(&self) -> usize {
        self.free.lock().unwrap_or_else(PoisonError::into_inner).len()
    }
}

/// A block on loan, filled from the front.
pub struct Buffer {
    block: Option<Block>,
    len: usize,
    pool: Arc<Pool>,
    _lease: Option<Lease>,
}

/// What is given back when a buffer is dropped, after its block: the right to hold it.
pub type Lease = Box<dyn Any + Send + Sync>;

impl Buffer {
    /// `None` if no block is free and the system has no memory left (#80).
    pub(super) fn take(pool: &Arc<Pool>, lease: Option<Lease>) -> Option<Self> {
        Some(Self { block: Some(pool.take()?), len: 0, pool: pool.clone(), _lease: lease })
    }

    fn pointer(&self) -> *mut u8 {
        self.block.as_ref().expect("the block leaves the buffer only in drop").0.as_ptr()
    }

    /// Copies as much of `bytes` as fits and says how much that was.
    pub fn extend(&mut self, bytes: &[u8]) -> usize {
        let taken = bytes.len().min(BUFFER_SIZE - self.len);
        let at = self.len;
        self.whole()[at..at + taken].copy_from_slice(&bytes[..taken]);
        self.len += taken;
        taken
    }

    pub fn is_full(&self) -> bool {
        self.len == BUFFER_SIZE
    }

    /// All of the block, for a read that fills it; `set_len` says afterwards how far it came.
    pub fn whole(&mut self) -> &mut [u8] {
        // SAFETY: the block is BUFFER_SIZE initialised bytes and `&mut self` is its only user.
        unsafe { std::slice::from_raw_parts_mut(self.pointer(), BUFFER_SIZE) }
    }

    pub fn set_len(&mut self, len: usize) {
        assert!(len <= BUFFER_SIZE, "a buffer cannot be longer than its block");
        self.len = len;
    }

    /// The filled bytes and zeroes up to the next multiple of `ALIGNMENT`, as direct I/O wants them.
    pub fn padded(&mut self) -> &[u8] {
        let (len, padded) = (self.len, self.len.next_multiple_of(ALIGNMENT));
        let whole = self.whole();
        whole[len..padded].fill(0);
        &whole[..padded]
    }
}

impl Deref for Buffer {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        // SAFETY: the block is BUFFER_SIZE initialised bytes, `len` is at most that, and nobody writes while
        // `&self` lives.
        unsafe { std::slice::from_raw_parts(self.pointer(), self.len) }
    }
}

impl AsRef<[u8]> for Buffer {
    fn as_ref(&self) -> &[u8] {
        self
    }
}

impl Drop for Buffer {
    fn drop(&mut self) {
        if let Some(block) = self.block.take() {
            self.pool.give_back(block);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn blocks_are_aligned_and_recycled() {
        let pool = Arc::new(Pool::default());
        let first = Buffer::take(&pool, None).unwrap();
        let address = first.pointer();
        assert_eq!(address as usize % ALIGNMENT, 0);
        drop(first);
        assert_eq!(pool.free_blocks(), 1);
        let second = Buffer::take(&pool, None).unwrap();
        assert_eq!(second.pointer(), address);
        assert_eq!(pool.free_blocks(), 0);
    }

    #[test]
    fn fills_from_the_front_and_pads_with_zeroes() {
        let pool = Arc::new(Pool::default());
        let mut dirty = Buffer::take(&pool, None).unwrap();
        dirty.whole().fill(0xff);
        drop(dirty);
        let mut buffer = Buffer::take(&pool, None).unwrap();
        assert!(buffer.is_empty());
        assert_eq!(buffer.extend(b"hello "), 6);
        assert_eq!(buffer.extend(b"world"), 5);
        assert_eq!(&*buffer, b"hello world");
        let padded = buffer.padded();
        assert_eq!(padded.len(), ALIGNMENT);
        assert!(padded[11..].iter().all(|byte| *byte == 0));
    }

    #[test]
    fn takes_no_more_than_fits() {
        let pool = Arc::new(Pool::default());
        let mut buffer = Buffer::take(&pool, None).unwrap();
        let long = vec![7u8; BUFFER_SIZE + 5];
        assert_eq!(buffer.extend(&long), BUFFER_SIZE);
        assert!(buffer.is_full());
        assert_eq!(buffer.extend(&long), 0);
        assert_eq!(buffer.padded().len(), BUFFER_SIZE);
    }
}
