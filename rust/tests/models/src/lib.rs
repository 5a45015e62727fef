//! The parts of the core that several threads share, compiled a second time: against shuttle's locks instead of std's.
//!
//! Shuttle runs a model under thousands of schedules and stops at the first that breaks it. What is compiled are the
//! core's own files (links in this tree); they name their locks by `crate::sync`, and here that is another module (`sync.rs`) than there.
//! What they import besides is plain data and comes from the core as it is.

pub mod config;
pub mod per_process;
pub mod search;
pub mod sync;
pub mod transfer;

pub mod error {
    pub use s3z::error::*;
}
pub mod progress {
    pub use s3z::progress::*;
}
