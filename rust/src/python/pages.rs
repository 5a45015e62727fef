//! A listing that gives one page at a time, to one thread, in the process that began it.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use pyo3::prelude::*;

use super::error::defect;
use super::runtime::{Watch, wait};
use crate::error::Result;
use crate::progress::Cancel;

pub struct Pages<L> {
    /// Taken while a page is under way.
    listing: Mutex<Option<L>>,
    pid: u32,
}

impl<L> Drop for Pages<L> {
    /// In a forked child the tasks of a listing are not its own to stop.
    fn drop(&mut self) {
        if self.pid != std::process::id() {
            std::mem::forget(self.listing.get_mut().unwrap_or_else(PoisonError::into_inner).take());
        }
    }
}

impl<L: Send + 'static> Pages<L> {
    pub fn new(listing: L) -> Self {
        Self { listing: Mutex::new(Some(listing)), pid: std::process::id() }
    }

    /// Waits for what `next` says of the next page.
    pub fn next<T, F>(&self, py: Python<'_>, next: impl FnOnce(L, Cancel) -> F) -> PyResult<T>
    where
        T: Send + 'static,
        F: Future<Output = (L, Result<T>)> + Send + 'static,
    {
        if self.pid != std::process::id() {
            return Err(defect("a listing cannot go on in a forked child: begin a new one there"));
        }
        let Some(listing) = self.slot().take() else {
            return Err(defect("a listing gives one page at a time, to one thread"));
        };
        let watch = Watch::new();
        let work = next(listing, watch.cancel.clone());
        let back = Arc::new(Mutex::new(None));
        let page = wait(py, &watch, {
            let back = back.clone();
            async move {
                let (listing, page) = work.await;
                *back.lock().unwrap_or_else(PoisonError::into_inner) = Some(listing);
                page
            }
        });
        *self.slot() = back.lock().unwrap_or_else(PoisonError::into_inner).take();
        page
    }

    fn slot(&self) -> MutexGuard<'_, Option<L>> {
        self.listing.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
