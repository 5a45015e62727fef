//! How much of the byte budget each open stream may hold, so that none starves another.
//!
//! What a stream has received and nobody has read yet is held for as long as its reader likes. So three quarters of the
//! budget are divided evenly among the streams that are open, and shrink as more are opened. A stream that holds
//! nothing may always fetch `LEAST`, charged to nobody; the last quarter of the budget says how many streams may be open.

use crate::config::MIB;
use crate::error::{Error, Result};
use crate::sync::atomic::{AtomicU64, Ordering::SeqCst};
use crate::sync::{Arc, Mutex, PoisonError};

/// What every open stream may hold, whatever the others do.
pub const LEAST: u64 = MIB;

pub struct Shares {
    limit: u64,
    open: Mutex<u64>,
}

impl Shares {
    pub fn new(limit: u64) -> Arc<Self> {
        Arc::new(Self { limit, open: Mutex::new(0) })
    }

    /// The share of one more stream.
    pub fn open(self: &Arc<Self>) -> Result<Arc<Share>> {
        let most = self.limit / 4 / LEAST;
        let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        if *open >= most {
            let text = format!("{open} streams are open, as many as a memory_limit of {} MiB allows", self.limit / MIB);
            return Err(Error::config(text));
        }
        *open += 1;
        Ok(Arc::new(Share { shares: self.clone(), held: AtomicU64::new(0) }))
    }

    fn each(&self) -> u64 {
        let open = *self.open.lock().unwrap_or_else(PoisonError::into_inner);
        (self.limit / 4 * 3 / open.max(1)).max(LEAST)
    }
}

/// What one stream may hold.
pub struct Share {
    shares: Arc<Shares>,
    held: AtomicU64,
}

impl Share {
    /// How long the next range may be, if `wanted` is what suits; `None` until something was read.
    pub fn room(&self, wanted: u64) -> Option<u64> {
        let (each, held) = (self.shares.each(), self.held.load(SeqCst));
        let most = wanted.min(each);
        let free = each.saturating_sub(held).min(most);
        // Not in crumbs: half a range, at least.
        (held == 0 || free >= most.div_ceil(2)).then_some(free.max(most.min(LEAST)))
    }

    /// Holds so much, until it is dropped.
    pub fn hold(self: &Arc<Self>, bytes: u64) -> Holding {
        self.held.fetch_add(bytes, SeqCst);
        Holding { share: self.clone(), bytes }
    }

    pub fn is_empty(&self) -> bool {
        self.held.load(SeqCst) == 0
    }
}

impl Drop for Share {
    fn drop(&mut self) {
        *self.shares.open.lock().unwrap_or_else(PoisonError::into_inner) -= 1;
    }
}

pub struct Holding {
    share: Arc<Share>,
    bytes: u64,
}

impl Drop for Holding {
    fn drop(&mut self) {
        self.share.held.fetch_sub(self.bytes, SeqCst);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PART: u64 = 8 * MIB;

    #[test]
    fn one_stream_has_three_quarters_and_shares_shrink() {
        let shares = Shares::new(64 * MIB);
        let one = shares.open().unwrap();
        let mut held = Vec::new();
        while let Some(room) = one.room(PART) {
            held.push(one.hold(room));
        }
        assert_eq!(held.len(), 6, "48 MiB");
        let other = shares.open().unwrap();
        assert_eq!(other.room(PART), Some(PART));
        held.truncate(3);
        assert_eq!(one.room(PART), None, "half of it is the other's now");
        held.truncate(2);
        assert_eq!(one.room(PART), Some(PART));
    }

    #[test]
    fn a_stream_that_holds_nothing_gets_something() {
        let shares = Shares::new(8 * MIB);
        let (one, two) = (shares.open().unwrap(), shares.open().unwrap());
        assert_eq!((one.room(PART), two.room(PART)), (Some(3 * MIB), Some(3 * MIB)));
        assert_eq!(one.room(5), Some(5), "no more than is wanted");
        let error = shares.open().err().unwrap();
        assert!(error.to_string().contains("memory_limit of 8 MiB"), "{error}");
        drop(two);
        assert!(shares.open().is_ok());
    }
}
