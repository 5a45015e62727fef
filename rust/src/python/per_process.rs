//! A value made once for each process, without a lock: a lock held by another thread at `fork` stays held for ever.
//!
//! A child finds its parent's value by the PID, leaves it alone (its sockets, threads and locks are the parent's) and
//! makes its own (Y3). A value is freed with its cell, but only in the process that made it: a child leaks what it
//! inherited.

use crate::error::Result;
use crate::sync::atomic::{AtomicPtr, Ordering::SeqCst};

/// `T` is a handle: what `get` gives is a clone of it, which may outlive the cell.
pub struct PerProcess<T>(AtomicPtr<Owned<T>>);

struct Owned<T> {
    pid: u32,
    value: T,
}

impl<T: Clone + Send + Sync> PerProcess<T> {
    #[allow(clippy::new_without_default, reason = "made in statics, where Default cannot be")]
    pub const fn new() -> Self {
        Self(AtomicPtr::new(std::ptr::null_mut()))
    }

    /// This process's value, made by `make` if there is none yet. Two threads may both make one; the first to
    /// finish wins, and the other's is dropped.
    #[expect(unsafe_code, reason = "a pointer that is published once is the lock-free cell needed")]
    pub fn get(&self, make: impl FnOnce() -> Result<T>) -> Result<T> {
        let pid = std::process::id();
        let seen = self.0.load(SeqCst);
        // SAFETY: a pointer that is stored stays valid until the cell is dropped, which nobody who holds `&self`
        // can see.
        if let Some(owned) = unsafe { seen.as_ref() }
            && owned.pid == pid
        {
            return Ok(owned.value.clone());
        }
        let value = make()?;
        let made = Box::into_raw(Box::new(Owned { pid, value: value.clone() }));
        match self.0.compare_exchange(seen, made, SeqCst, SeqCst) {
            // What was there, if anything, is the parent's: leaked.
            Ok(_) => Ok(value),
            Err(winner) => {
                // SAFETY: `made` was not stored, so this is its only owner; `winner` is stored, see above.
                unsafe {
                    drop(Box::from_raw(made));
                    Ok((*winner).value.clone())
                }
            }
        }
    }
}

impl<T> Drop for PerProcess<T> {
    #[expect(unsafe_code, reason = "frees what `get` published")]
    fn drop(&mut self) {
        let stored = *self.0.get_mut();
        // SAFETY: `&mut self` is the only user of the cell, and what is stored came from `Box::into_raw`.
        unsafe {
            if let Some(owned) = stored.as_ref()
                && owned.pid == std::process::id()
            {
                drop(Box::from_raw(stored));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn made_once() {
        let cell: PerProcess<u32> = PerProcess::new();
        assert_eq!(cell.get(|| Ok(1)).unwrap(), 1);
        assert_eq!(cell.get(|| Ok(2)).unwrap(), 1);
    }

    #[test]
    fn freed_with_its_cell() {
        let value = std::sync::Arc::new(());
        let cell = PerProcess::new();
        drop(cell.get(|| Ok(value.clone())).unwrap());
        assert_eq!(std::sync::Arc::strong_count(&value), 2);
        drop(cell);
        assert_eq!(std::sync::Arc::strong_count(&value), 1);
    }
}
