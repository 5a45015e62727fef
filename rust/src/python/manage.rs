//! Copies, versions and presigned URLs as Python sees them.

use std::time::Duration;

use pyo3::prelude::*;
use pyo3::types::PyDict;

use super::client::Client;
use super::convert::Options;
use super::error::to_python;
use super::runtime::{Watch, wait};
use crate::error::Error;
use crate::ops::copy::{CopyReport, CopyRequest, copy_object};
use crate::ops::manage;
use crate::s3::client::{Named, ObjectRef};

/// Key, version id, and the code and message that say why it was not deleted.
type DeletedVersion = (String, Option<String>, Option<String>, Option<String>);

const COPY: [&str; 9] = [
    "version_id",
    "size",
    "if_match",
    "headers",
    "replace_metadata",
    "if_none_match",
    "destination_if_match",
    "part_size",
    "max_concurrency",
];

/// A URL by which anybody may get the object for so many seconds.
#[pyfunction]
#[pyo3(signature = (client, bucket, key, seconds, version_id=None))]
pub fn presign(
    py: Python<'_>,
    client: &Client,
    bucket: &str,
    key: &str,
    seconds: f64,
    version_id: Option<&str>,
) -> PyResult<String> {
    let object = ObjectRef::new(bucket, key, version_id).map_err(|error| to_python(py, error))?;
    let refuse = |_| to_python(py, Error::config(format!("expires must be from 1 second to 7 days, not {seconds} s")));
    let expires = Duration::try_from_secs_f64(seconds).map_err(refuse)?;
    client.run(py, |engine, cancel| async move { manage::presign(&engine, &object, expires, &cancel).await })
}

/// Copies an object of any size on the server; the report.
#[pyfunction]
#[pyo3(signature = (client, bucket, key, source_bucket, source_key, options, progress=None))]
#[expect(clippy::too_many_arguments, reason = "it names two objects")]
pub fn copy<'py>(
    py: Python<'py>,
    client: &Client,
    bucket: &str,
    key: &str,
    source_bucket: &str,
    source_key: &str,
    options: Bound<'py, PyDict>,
    progress: Option<Bound<'py, PyAny>>,
) -> PyResult<Bound<'py, PyDict>> {
    let options = Options::new(options, &COPY)?;
    let version: Option<String> = options.get("version_id")?;
    let object = |bucket, key, version| ObjectRef::new(bucket, key, version).map_err(|error| to_python(py, error));
    let source = object(source_bucket, source_key, version.as_deref())?;
    let request = copy_request(source, object(bucket, key, None)?, &options)?;
    let engine = client.engine(py)?;
    let watch = Watch { callback: progress, ..Watch::new() };
    let (counters, cancel) = (watch.progress.clone(), watch.cancel.clone());
    let report = wait(py, &watch, async move { copy_object(&engine, &request, counters, &cancel).await })?;
    copy_report(py, report)
}

fn copy_request(source: ObjectRef, destination: ObjectRef, options: &Options<'_>) -> PyResult<CopyRequest> {
    let mut conditions = Vec::new();
    for (name, header) in [("if_none_match", "if-none-match"), ("destination_if_match", "if-match")] {
        if let Some(value) = options.get::<String>(name)? {
            conditions.push((header.to_owned(), value));
        }
    }
    Ok(CopyRequest {
        source,
        destination,
        size: options.count("size")?,
        if_match: options.get("if_match")?,
        headers: options.get("headers")?.unwrap_or_default(),
        replace_metadata: options.get("replace_metadata")?.unwrap_or(false),
        conditions,
        part_size: options.count("part_size")?,
        max_concurrency: options.number("max_concurrency")?,
    })
}

fn copy_report<'py>(py: Python<'py>, report: CopyReport) -> PyResult<Bound<'py, PyDict>> {
    let dict = PyDict::new(py);
    dict.set_item("size", report.size)?;
    dict.set_item("etag", report.etag)?;
    dict.set_item("version_id", report.version_id)?;
    dict.set_item("parts", report.parts)?;
    dict.set_item("attempts", report.attempts)?;
    Ok(dict)
}

/// Deletes versions, or with None for the version the object; what became of each, in the order given.
#[pyfunction]
pub fn delete_versions(
    py: Python<'_>,
    client: &Client,
    bucket: String,
    objects: Vec<Named>,
) -> PyResult<Vec<DeletedVersion>> {
    let outcomes = client
        .run(py, |engine, cancel| async move { manage::delete_many(&engine, &bucket, &objects, &cancel).await })?;
    let row = |outcome: crate::s3::client::DeleteOutcome| {
        let (code, message) = outcome.failure.unzip();
        (outcome.key, outcome.version_id, code, message)
    };
    Ok(outcomes.into_iter().map(row).collect())
}
