//! The client as Python sees it. Every call blocks with the GIL released; each is the same three lines: convert,
//! wait, convert back.
//!
//! It keeps its configuration and makes its engine on first use, once for each process: a forked child makes its
//! own and leaves the parent's connections alone (Y3).

use std::path::PathBuf;
use std::sync::Arc;

use pyo3::prelude::*;
use pyo3::types::PyDict;

use super::convert::{self, ADDRESSING, DIRECT_IO, Options, VERIFY};
use super::credentials::signing;
use super::error::to_python;
use super::listing::ListPages;
use super::per_process::PerProcess;
use super::runtime::{Watch, wait};
use crate::checksum::Kind;
use crate::config::{AddressingStyle, ClientConfig, DirectIo};
use crate::credentials::Signing;
use crate::error::{Error, Result};
use crate::ops::download::{DownloadRequest, download};
use crate::ops::engine::Engine;
use crate::ops::manage;
use crate::ops::put::PutRequest;
use crate::ops::upload::{UploadRequest, upload};
use crate::s3::client::{ListRequest, ObjectRef};

#[pyclass(module = "s3z._core", frozen)]
pub struct Client {
    config: ClientConfig,
    signing: Signing,
    engine: PerProcess<Engine>,
}

/// A key, and the code and message that say why it was not deleted.
type DeletedKey = (String, Option<String>, Option<String>);

const ON_CHANGE: [(&str, bool); 2] = [("error", false), ("restart", true)];
const DOWNLOAD: [&str; 12] = [
    "version_id",
    "if_match",
    "verify",
    "on_change",
    "resume",
    "overwrite",
    "durable",
    "deadline",
    "direct_io",
    "part_size",
    "max_concurrency",
    "set_mtime",
];
const UPLOAD: [&str; 8] =
    ["if_none_match", "if_match", "checksum", "headers", "deadline", "part_size", "max_concurrency", "resume"];

impl Client {
    pub(super) fn engine(&self, py: Python<'_>) -> PyResult<Engine> {
        let made = self.engine.get(|| Engine::new(self.config.clone(), self.signing.clone()));
        made.map_err(|error| to_python(py, error))
    }

    /// Waits for one operation that shows no progress.
    pub(super) fn run<T: Send + 'static, F: Future<Output = Result<T>> + Send + 'static>(
        &self,
        py: Python<'_>,
        operation: impl FnOnce(Engine, crate::progress::Cancel) -> F,
    ) -> PyResult<T> {
        let watch = Watch::new();
        let engine = self.engine(py)?;
        wait(py, &watch, operation(engine, watch.cancel.clone()))
    }
}

#[pymethods]
impl Client {
    #[new]
    #[pyo3(signature = (*, endpoint_url=None, region="us-east-1", addressing_style="auto", credentials=None,
        anonymous=false, ca_bundle=None, verify=true, proxies=None, state_dir=None, request_payer=false, transfer=None))]
    #[expect(clippy::too_many_arguments, reason = "they are keywords")]
    fn new(
        py: Python<'_>,
        endpoint_url: Option<String>,
        region: &str,
        addressing_style: &str,
        credentials: Option<&Bound<'_, PyAny>>,
        anonymous: bool,
        ca_bundle: Option<PathBuf>,
        verify: bool,
        proxies: Option<std::collections::BTreeMap<String, String>>,
        state_dir: Option<PathBuf>,
        request_payer: bool,
        transfer: Option<Bound<'_, PyDict>>,
    ) -> PyResult<Self> {
        let mut config = ClientConfig {
            endpoint_url,
            region: region.to_owned(),
            addressing_style: addressing(py, addressing_style)?,
            ca_bundle,
            insecure_tls: !verify,
            proxies: proxies.unwrap_or_default().into_iter().collect(),
            state_dir,
            request_payer,
            ..ClientConfig::default()
        };
        config.transfer.memory_limit = crate::config::default_memory_limit();
        if let Some(settings) = transfer {
            convert::apply_transfer(&mut config, settings)?;
        }
        config.validate().map_err(|error| to_python(py, error))?;
        Ok(Self { config, signing: signing(credentials, anonymous)?, engine: PerProcess::new() })
    }

    #[pyo3(signature = (bucket, key, destination, options, progress=None))]
    fn download<'py>(
        &self,
        py: Python<'py>,
        bucket: &str,
        key: &str,
        destination: Vec<u8>,
        options: Bound<'py, PyDict>,
        progress: Option<Bound<'py, PyAny>>,
    ) -> PyResult<Bound<'py, PyDict>> {
        let options = Options::new(options, &DOWNLOAD)?;
        let version: Option<String> = options.get("version_id")?;
        let object = ObjectRef::new(bucket, key, version.as_deref()).map_err(|error| to_python(py, error))?;
        let request = download_request(object, convert::path(destination), &options)?;
        let engine = self.engine(py)?;
        let watch = Watch { callback: progress, ..Watch::new() };
        let (counters, cancel) = (watch.progress.clone(), watch.cancel.clone());
        let report = wait(py, &watch, async move { download(&engine, &request, counters, &cancel).await })?;
        convert::report(py, report)
    }

    #[pyo3(signature = (source, bucket, key, options, progress=None))]
    fn upload_file<'py>(
        &self,
        py: Python<'py>,
        source: Vec<u8>,
        bucket: &str,
        key: &str,
        options: Bound<'py, PyDict>,
        progress: Option<Bound<'py, PyAny>>,
    ) -> PyResult<Bound<'py, PyDict>> {
        let options = Options::new(options, &UPLOAD)?;
        let object = ObjectRef::new(bucket, key, None).map_err(|error| to_python(py, error))?;
        let request = upload_request(py, object, convert::path(source), &options)?;
        let engine = self.engine(py)?;
        let watch = Watch { callback: progress, ..Watch::new() };
        let (counters, cancel) = (watch.progress.clone(), watch.cancel.clone());
        let report = wait(py, &watch, async move { upload(&engine, &request, counters, &cancel).await })?;
        convert::report(py, report)
    }

    #[pyo3(signature = (bucket, prefix, delimiter=None, start_after=None))]
    fn list_objects(
        &self,
        py: Python<'_>,
        bucket: String,
        prefix: String,
        delimiter: Option<String>,
        start_after: Option<String>,
    ) -> PyResult<ListPages> {
        let request = ListRequest { bucket, prefix, delimiter, start_after };
        let listing = manage::list(&self.engine(py)?, request).map_err(|error| to_python(py, error))?;
        Ok(ListPages::new(listing))
    }

    fn list_buckets(&self, py: Python<'_>) -> PyResult<Vec<(String, Option<f64>)>> {
        let buckets = self.run(py, |engine, cancel| async move { manage::list_buckets(&engine, &cancel).await })?;
        Ok(buckets.into_iter().map(|bucket| (bucket.name, convert::seconds(bucket.created))).collect())
    }

    #[pyo3(signature = (bucket, key, version_id=None))]
    fn head_object<'py>(
        &self,
        py: Python<'py>,
        bucket: &str,
        key: &str,
        version_id: Option<&str>,
    ) -> PyResult<Bound<'py, PyDict>> {
        let object = ObjectRef::new(bucket, key, version_id).map_err(|error| to_python(py, error))?;
        let head = self.run(py, |engine, cancel| async move { manage::head(&engine, &object, &cancel).await })?;
        convert::head(py, head)
    }

    #[pyo3(signature = (bucket, key, version_id=None, if_match=None))]
    fn delete_object(
        &self,
        py: Python<'_>,
        bucket: &str,
        key: &str,
        version_id: Option<&str>,
        if_match: Option<String>,
    ) -> PyResult<()> {
        let object = ObjectRef::new(bucket, key, version_id).map_err(|error| to_python(py, error))?;
        let work = |engine: Engine, cancel| async move {
            manage::delete(&engine, &object, if_match.as_deref(), &cancel).await
        };
        self.run(py, work)
    }

    fn delete_objects(&self, py: Python<'_>, bucket: String, keys: Vec<String>) -> PyResult<Vec<DeletedKey>> {
        let keys: Vec<_> = keys.into_iter().map(|key| (key, None)).collect();
        let outcomes =
            self.run(py, |engine, cancel| async move { manage::delete_many(&engine, &bucket, &keys, &cancel).await })?;
        let row = |outcome: crate::s3::client::DeleteOutcome| match outcome.failure {
            Some((code, message)) => (outcome.key, Some(code), Some(message)),
            None => (outcome.key, None, None),
        };
        Ok(outcomes.into_iter().map(row).collect())
    }

    fn head_bucket(&self, py: Python<'_>, bucket: String) -> PyResult<Option<String>> {
        self.run(py, |engine, cancel| async move { manage::head_bucket(&engine, &bucket, &cancel).await })
    }

    fn create_bucket(&self, py: Python<'_>, bucket: String) -> PyResult<()> {
        self.run(py, |engine, cancel| async move { manage::create_bucket(&engine, &bucket, &cancel).await })
    }

    fn delete_bucket(&self, py: Python<'_>, bucket: String) -> PyResult<()> {
        self.run(py, |engine, cancel| async move { manage::delete_bucket(&engine, &bucket, &cancel).await })
    }
}

fn addressing(py: Python<'_>, style: &str) -> PyResult<AddressingStyle> {
    let found = ADDRESSING.iter().find(|(word, _)| *word == style).map(|(_, meaning)| *meaning);
    let text = || format!("addressing_style must be \"auto\", \"path\" or \"virtual\", not \"{style}\"");
    found.ok_or_else(|| to_python(py, Error::config(text())))
}

fn download_request(object: ObjectRef, destination: PathBuf, options: &Options<'_>) -> PyResult<DownloadRequest> {
    Ok(DownloadRequest {
        if_match: options.get("if_match")?,
        verify: options.word("verify", &VERIFY)?.unwrap_or_default(),
        restart_on_change: options.word("on_change", &ON_CHANGE)?.unwrap_or(false),
        resume: options.get("resume")?.unwrap_or(true),
        overwrite: options.get("overwrite")?.unwrap_or(true),
        durable: options.get("durable")?.unwrap_or(false),
        deadline: options.seconds("deadline")?,
        direct_io: options.word("direct_io", &DIRECT_IO)? as Option<DirectIo>,
        part_size: options.count("part_size")?,
        max_concurrency: options.number("max_concurrency")?,
        set_mtime: options.get("set_mtime")?.unwrap_or(true),
        ..DownloadRequest::new(object, destination)
    })
}

fn upload_request(
    py: Python<'_>,
    object: ObjectRef,
    source: PathBuf,
    options: &Options<'_>,
) -> PyResult<UploadRequest> {
    let put = put_request(py, object, options)?;
    Ok(UploadRequest {
        source,
        object: put.object,
        headers: put.headers,
        conditions: put.conditions,
        checksum: put.checksum,
        deadline: put.deadline,
        part_size: put.part_size,
        max_concurrency: put.max_concurrency,
        resume: options.get("resume")?.unwrap_or(false),
    })
}

/// What is said of an object that is to be stored, wherever its bytes come from.
pub(super) fn put_request(py: Python<'_>, object: ObjectRef, options: &Options<'_>) -> PyResult<PutRequest> {
    let mut conditions = Vec::new();
    for (name, header) in [("if_none_match", "if-none-match"), ("if_match", "if-match")] {
        if let Some(value) = options.get::<String>(name)? {
            conditions.push((header.to_owned(), value));
        }
    }
    let checksum = match options.get::<String>("checksum")? {
        None => None,
        Some(name) => {
            let text = || format!("checksum must be crc64nvme, crc32c, crc32, sha256 or sha1, not \"{name}\"");
            Some(Kind::from_name(&name).ok_or_else(|| to_python(py, Error::config(text())))?)
        }
    };
    Ok(PutRequest {
        object,
        headers: options.get("headers")?.unwrap_or_default(),
        conditions,
        unconditional: None,
        checksum,
        deadline: options.seconds("deadline")?,
        part_size: options.count("part_size")?,
        expected_size: options.count("expected_size")?,
        max_concurrency: options.number("max_concurrency")?,
    })
}

#[expect(dead_code, reason = "keeps the compiler's word that a client may be shared between threads (Y5)")]
fn shared_between_threads(client: Client) -> Arc<dyn Send + Sync> {
    Arc::new(client)
}
