//! The core's configuration, with buffers small enough that a thousand schedules may fill them.

pub use s3z::config::*;

/// Shadows the core's: two pages.
pub const BUFFER_SIZE: usize = 8192;
