//! Blocks of two pages: miri looks at every byte of them.

pub const BUFFER_SIZE: usize = 8192;
