//! A value made once for each process, without a lock: a lock held by another thread at `fork` stays held for ever.
//!
//! A child finds its parent's value by the PID, leaves it alone (its sockets, threads and locks are the parent's) and
//! makes its own (Y3). Values are never freed: the child must not touch the parent's, and who else holds it is not
//! known.

use std::sync::atomic::{AtomicPtr, Ordering::SeqCst};

use crate::error::Result;

pub struct PerProcess<T: 'static>(AtomicPtr<Owned<T>>);

struct Owned<T> {
    pid: u32,
    value: T,
}

impl<T: Send + Sync> PerProcess<T> {
    pub const fn new() -> Self {
        Self(AtomicPtr::new(std::ptr::null_mut()))
    }

    /// This process's value, made by `make` if there is none yet. Two threads may both make one; the first to
    /// finish wins, and the other's is given up.
    #[expect(unsafe_code, reason = "a pointer that is published once and never freed is the lock-free cell needed")]
    pub fn get(&self, make: impl FnOnce() -> Result<T>) -> Result<&'static T> {
        let pid = std::process::id();
        let seen = self.0.load(SeqCst);
        // SAFETY: only pointers leaked below are ever stored, so what is read is valid for ever.
        if let Some(owned) = unsafe { seen.as_ref() }
            && owned.pid == pid
        {
            return Ok(&owned.value);
        }
        let made: &'static mut Owned<T> = Box::leak(Box::new(Owned { pid, value: make()? }));
        let pointer: *mut Owned<T> = made;
        let winner = match self.0.compare_exchange(seen, pointer, SeqCst, SeqCst) {
            Ok(_) => pointer,
            Err(other) => other,
        };
        // SAFETY: as above; `made` is not used as a unique reference any more.
        Ok(unsafe { &(*winner).value })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn made_once() {
        let cell: PerProcess<u32> = PerProcess::new();
        assert_eq!(*cell.get(|| Ok(1)).unwrap(), 1);
        assert_eq!(*cell.get(|| Ok(2)).unwrap(), 1);
    }
}
