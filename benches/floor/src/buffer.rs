//! Recycled, page-aligned memory for one thread.
//!
//! Owns one block for the life of a worker; it is never grown, so a steady transfer allocates nothing. Direct I/O wants
//! address, offset and length to be multiples of [`ALIGNMENT`]; the address is seen to here, the rest by the caller.

/// What direct I/O asks for on every file system met so far.
pub const ALIGNMENT: usize = 4096;

pub struct AlignedBuffer {
    block: Vec<u8>,
    start: usize,
    length: usize,
}

impl AlignedBuffer {
    pub fn new(length: usize) -> Self {
        let block = vec![0; length + ALIGNMENT];
        let start = block.as_ptr().align_offset(ALIGNMENT);
        Self { block, start, length }
    }

    pub fn as_mut(&mut self) -> &mut [u8] {
        &mut self.block[self.start..self.start + self.length]
    }
}

#[cfg(test)]
mod tests {
    use super::{ALIGNMENT, AlignedBuffer};

    #[test]
    fn starts_at_a_page() {
        let mut buffer = AlignedBuffer::new(3 * ALIGNMENT);
        assert_eq!(buffer.as_mut().as_ptr().addr() % ALIGNMENT, 0);
        assert_eq!(buffer.as_mut().len(), 3 * ALIGNMENT);
    }
}
