//! A listing as Python sees it: one page at a time.

use std::sync::{Arc, Mutex, PoisonError};

use pyo3::prelude::*;

use super::convert::seconds;
use super::error::defect;
use super::runtime::{Watch, wait};
use crate::ops::manage;
use crate::s3::client::Listing;
use crate::s3::xml::ListPage;

/// Key or common prefix, whether it is a prefix, size, etag, last modified, storage class.
type Entry = (String, bool, u64, Option<String>, Option<f64>, Option<String>);

#[pyclass(module = "s3z._core", frozen)]
pub struct ListPages {
    /// Taken while a page is under way.
    listing: Mutex<Option<Listing>>,
    pid: u32,
}

impl ListPages {
    pub fn new(listing: Listing) -> Self {
        Self { listing: Mutex::new(Some(listing)), pid: std::process::id() }
    }

    fn slot(&self) -> std::sync::MutexGuard<'_, Option<Listing>> {
        self.listing.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[pymethods]
impl ListPages {
    fn next_page(&self, py: Python<'_>) -> PyResult<Option<Vec<Entry>>> {
        if self.pid != std::process::id() {
            return Err(defect("a listing cannot go on in a forked child: begin a new one there"));
        }
        let Some(mut listing) = self.slot().take() else {
            return Err(defect("a listing gives one page at a time, to one thread"));
        };
        let watch = Watch::new();
        let cancel = watch.cancel.clone();
        let back = Arc::new(Mutex::new(None));
        let page = wait(py, &watch, {
            let back = back.clone();
            async move {
                let page = manage::next_page(&mut listing, &cancel).await;
                *back.lock().unwrap_or_else(PoisonError::into_inner) = Some(listing);
                page
            }
        });
        *self.slot() = back.lock().unwrap_or_else(PoisonError::into_inner).take();
        Ok(page?.map(entries))
    }
}

/// Keys and prefixes in one order, that of their bytes.
fn entries(page: ListPage) -> Vec<Entry> {
    let keys = page.entries.into_iter().map(|entry| {
        let last_modified = seconds(entry.last_modified);
        (entry.key, false, entry.size, entry.etag, last_modified, entry.storage_class)
    });
    let prefixes = page.common_prefixes.into_iter().map(|prefix| (prefix, true, 0, None, None, None));
    let mut all: Vec<Entry> = keys.chain(prefixes).collect();
    all.sort_by(|a, b| a.0.as_bytes().cmp(b.0.as_bytes()));
    all
}
