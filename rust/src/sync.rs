//! The locks and counters of the files whose schedules are searched (`rust/tests/models`), under one name.
//!
//! Those files import them from `crate::sync` only. Here that means std's and tokio's; the models compile the same
//! files in a crate of their own, where `crate::sync` has shuttle's.

pub use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock, RwLockWriteGuard};
pub use tokio::sync::{Notify, OwnedSemaphorePermit, Semaphore};

pub mod atomic {
    #[cfg(feature = "python")]
    pub use std::sync::atomic::AtomicPtr;
    pub use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
}
