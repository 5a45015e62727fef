//! The parts of an upload as Python sees them: each call stands alone, so any process may make it.

use std::sync::{Arc, Mutex, PoisonError};

use pyo3::prelude::*;
use pyo3::types::{PyDict, PyList};

use super::client::{Client, put_request};
use super::convert::{self, Options};
use super::error::{defect, to_python};
use super::runtime::{Watch, wait};
use super::writer::{PUT, owned_bytes};
use crate::checksum::Kind;
use crate::error::Error;
use crate::ops::assemble::{self, Expected, UploadRef};
use crate::ops::unfinished;
use crate::s3::client::{ObjectRef, Uploads};

/// Number, size, ETag.
type Part = (u32, u64, String);
/// Key, upload id, when it was begun, storage class.
type Upload = (String, String, Option<f64>, Option<String>);

fn upload_ref(
    py: Python<'_>,
    (bucket, key, upload_id): (String, String, String),
    checksum: Option<&str>,
) -> PyResult<UploadRef> {
    let object = ObjectRef::new(&bucket, &key, None).map_err(|error| to_python(py, error))?;
    let unknown = |name: &str| to_python(py, Error::config(format!("no such checksum: \"{name}\"")));
    let checksum = checksum.map(|name| Kind::from_name(name).ok_or_else(|| unknown(name))).transpose()?;
    Ok(UploadRef { object, upload_id, checksum })
}

/// The id of a new multipart upload.
#[pyfunction]
pub fn create_upload(
    py: Python<'_>,
    client: &Client,
    bucket: &str,
    key: &str,
    options: Bound<'_, PyDict>,
) -> PyResult<String> {
    let options = Options::new(options, &PUT)?;
    let object = ObjectRef::new(bucket, key, None).map_err(|error| to_python(py, error))?;
    let request = put_request(py, object, &options)?;
    client.run(py, |engine, cancel| async move { assemble::create(&engine, request, &cancel).await })
}

/// Sends one part; its ETag.
#[pyfunction]
#[pyo3(signature = (client, upload, checksum, number, data))]
pub fn upload_part(
    py: Python<'_>,
    client: &Client,
    upload: (String, String, String),
    checksum: Option<&str>,
    number: u32,
    data: &Bound<'_, PyAny>,
) -> PyResult<String> {
    let upload = upload_ref(py, upload, checksum)?;
    let data = owned_bytes(data)?;
    let engine = client.engine(py)?;
    let watch = Watch::new();
    let (progress, cancel) = (watch.progress.clone(), watch.cancel.clone());
    let work = async move { assemble::send_part(&engine, &upload, number, data, &progress, &cancel).await };
    wait(py, &watch, work)
}

/// What the store has of an upload.
#[pyfunction]
pub fn list_parts(py: Python<'_>, client: &Client, upload: (String, String, String)) -> PyResult<Vec<Part>> {
    let upload = upload_ref(py, upload, None)?;
    let parts = client.run(py, |engine, cancel| async move { assemble::parts(&engine, &upload, &cancel).await })?;
    Ok(parts.into_iter().map(|part| (part.number, part.size, part.etag)).collect())
}

/// Makes the object; the report.
#[pyfunction]
#[pyo3(signature = (client, upload, checksum, size, count, conditions))]
pub fn complete_upload<'py>(
    py: Python<'py>,
    client: &Client,
    upload: (String, String, String),
    checksum: Option<&str>,
    size: Option<u64>,
    count: Option<u32>,
    conditions: Vec<(String, String)>,
) -> PyResult<Bound<'py, PyDict>> {
    let upload = upload_ref(py, upload, checksum)?;
    let expected = Expected { size, count, conditions };
    let report = client
        .run(py, |engine, cancel| async move { assemble::complete(&engine, &upload, &expected, &cancel).await })?;
    convert::report(py, report)
}

/// Removes an upload and its parts.
#[pyfunction]
pub fn abort_upload(py: Python<'_>, client: &Client, upload: (String, String, String)) -> PyResult<()> {
    let upload = upload_ref(py, upload, None)?;
    client.run(py, |engine, _| async move { assemble::abort(&engine, &upload).await })
}

/// Uploads that were begun on this machine and left: bucket, key, upload id, when.
#[pyfunction]
pub fn left_uploads(py: Python<'_>, client: &Client) -> PyResult<Vec<(String, String, String, f64)>> {
    let left = client.run(py, |engine, _| async move { unfinished::left(&engine).await })?;
    Ok(left.into_iter().map(|(_, note)| (note.bucket, note.key, note.upload_id, note.begun as f64)).collect())
}

/// Size of the parts of an object of `size` bytes: what was asked for if it can work, else what is needed.
#[pyfunction]
#[pyo3(signature = (size, part_size=None))]
pub fn upload_part_size(py: Python<'_>, size: u64, part_size: Option<u64>) -> PyResult<u64> {
    crate::transfer::part::upload_part_size(size, part_size).map_err(|error| to_python(py, error))
}

/// Uploads that were neither completed nor aborted, page by page.
#[pyfunction]
pub fn list_uploads(py: Python<'_>, client: &Client, bucket: &str, prefix: &str) -> PyResult<UploadPages> {
    let uploads = assemble::uploads(&client.engine(py)?, bucket, prefix).map_err(|error| to_python(py, error))?;
    Ok(UploadPages(Mutex::new(Some(uploads))))
}

#[pyclass(module = "s3z._core", frozen)]
pub struct UploadPages(Mutex<Option<Uploads>>);

#[pymethods]
impl UploadPages {
    fn next_page<'py>(&self, py: Python<'py>) -> PyResult<Option<Bound<'py, PyList>>> {
        let slot = || self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(mut uploads) = slot().take() else {
            return Err(defect("a listing gives one page at a time, to one thread"));
        };
        let back = Arc::new(Mutex::new(None));
        let page = wait(py, &Watch::new(), {
            let back = back.clone();
            async move {
                let page = uploads.next_page().await;
                *back.lock().unwrap_or_else(PoisonError::into_inner) = Some(uploads);
                page
            }
        });
        *slot() = back.lock().unwrap_or_else(PoisonError::into_inner).take();
        let Some(page) = page? else { return Ok(None) };
        let rows = page.into_iter().map(|upload| -> Upload {
            (upload.key, upload.upload_id, convert::seconds(upload.initiated), upload.storage_class)
        });
        PyList::new(py, rows.collect::<Vec<_>>()).map(Some)
    }
}
