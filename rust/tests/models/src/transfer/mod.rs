//! The core's own files (links), and what they stand on: plain data and system calls from the core, lanes of shuttle's.

pub mod buffers;
pub mod extent;
pub mod file_writer;
pub mod lanes;
pub mod scheduler;

pub use s3z::transfer::{destination, ledger, part, positioned, temp_file};
