//! What the core's `crate::sync` has of std.

pub use std::sync::{Arc, Mutex, PoisonError};

pub mod atomic {
    pub use std::sync::atomic::{AtomicPtr, Ordering};
}
