//! What `ls` and `du` tell, as Python sees it: pieces of finished lines, and sums.

use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyDict};

use super::client::Client;
use super::convert::Options;
use super::error::to_python;
use super::pages::Pages;
use crate::ops::look::{self, Columns, LookRequest};
use crate::ops::select::{Filters, Pattern};

const OPTIONS: [&str; 14] = [
    "bucket",
    "prefix",
    "delimiter",
    "pattern",
    "exclude",
    "filter_prefix",
    "strip",
    "versions",
    "json",
    "full_path",
    "etag",
    "storage_class",
    "human",
    "escapes",
];

#[pyclass(module = "s3z._core", frozen)]
pub struct Look(Pages<look::Look>);

/// Begins to list; lines are made as long as they are taken.
#[pyfunction]
pub fn start_look(py: Python<'_>, client: &Client, request: Bound<'_, PyDict>) -> PyResult<Look> {
    let look = look::Look::new(client.engine(py)?, understood(request)?).map_err(|error| to_python(py, error))?;
    Ok(Look(Pages::new(look)))
}

/// Storage class, objects, bytes; in the order of the names.
#[pyfunction]
pub fn look_sums(py: Python<'_>, client: &Client, request: Bound<'_, PyDict>) -> PyResult<Vec<(String, u64, u128)>> {
    let request = understood(request)?;
    let sums = client.run(py, |engine, cancel| async move { look::sums(&engine, &request, &cancel).await })?;
    Ok(sums.into_iter().map(|(class, (count, size))| (class, count, size)).collect())
}

#[pymethods]
impl Look {
    /// Lines and how many rows they are; `None` at the end.
    fn next<'py>(&self, py: Python<'py>) -> PyResult<Option<(Bound<'py, PyBytes>, u64)>> {
        let piece = self.0.next(py, |mut look, cancel| async move {
            let piece = look.next(&cancel).await;
            (look, piece)
        })?;
        Ok(piece.map(|piece| (PyBytes::new(py, &piece.lines), piece.rows)))
    }
}

fn understood(request: Bound<'_, PyDict>) -> PyResult<LookRequest> {
    let words = Options::new(request, &OPTIONS)?;
    let flag = |name: &str| Ok::<bool, PyErr>(words.get(name)?.unwrap_or(false));
    let pattern: Option<Vec<u8>> = words.get("pattern")?;
    let exclude: Vec<Vec<u8>> = words.get("exclude")?.unwrap_or_default();
    Ok(LookRequest {
        bucket: words.get("bucket")?.unwrap_or_default(),
        prefix: words.get("prefix")?.unwrap_or_default(),
        delimiter: words.get("delimiter")?,
        pattern: pattern.map(|text| Pattern::new(&text)),
        filters: Filters::new(&[], &exclude),
        filter_prefix: words.get("filter_prefix")?.unwrap_or_default(),
        strip: words.number("strip")?.unwrap_or(0),
        versions: flag("versions")?,
        columns: Columns {
            json: flag("json")?,
            full_path: flag("full_path")?,
            etag: flag("etag")?,
            storage_class: flag("storage_class")?,
            human: flag("human")?,
            escapes: flag("escapes")?,
        },
    })
}
