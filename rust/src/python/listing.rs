//! A listing as Python sees it: one page at a time.

use pyo3::prelude::*;

use super::convert::seconds;
use super::pages::Pages;
use crate::ops::manage;
use crate::s3::client::Listing;
use crate::s3::xml::ListPage;

/// Key or common prefix, whether it is a prefix, size, etag, last modified, storage class.
type Entry = (String, bool, u64, Option<String>, Option<f64>, Option<String>);

#[pyclass(module = "s3z._core", frozen)]
pub struct ListPages(Pages<Listing>);

impl ListPages {
    pub fn new(listing: Listing) -> Self {
        Self(Pages::new(listing))
    }
}

#[pymethods]
impl ListPages {
    fn next_page(&self, py: Python<'_>) -> PyResult<Option<Vec<Entry>>> {
        let page = self.0.next(py, |mut listing, cancel| async move {
            let page = manage::next_page(&mut listing, &cancel).await;
            (listing, page)
        })?;
        Ok(page.map(entries))
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
