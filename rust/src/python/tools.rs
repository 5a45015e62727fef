//! Small functions beside the client: defaults, URIs, and signing for whoever wants to check it.

use pyo3::prelude::*;
use pyo3::types::PyDict;

use super::credentials::key_set;
use super::error::to_python;
use crate::config::{self, RetryConfig, TransferConfig};
use crate::error::Error;
use crate::s3::encode::encode_path;
use crate::s3::sign as sigv4;
use crate::uri::S3Uri;

/// Every number a person may set, as it is when nobody does: sizes in bytes, times in seconds.
#[pyfunction]
pub fn defaults(py: Python<'_>) -> PyResult<Bound<'_, PyDict>> {
    let (transfer, retry) = (TransferConfig::default(), RetryConfig::default());
    let dict = PyDict::new(py);
    dict.set_item("part_size", config::AUTO_PART)?;
    dict.set_item("multipart_threshold", transfer.multipart_threshold)?;
    dict.set_item("max_requests", transfer.max_requests)?;
    dict.set_item("memory_limit", config::default_memory_limit())?;
    dict.set_item("max_attempts", retry.max_attempts)?;
    dict.set_item("connect_timeout", retry.connect_timeout.as_secs_f64())?;
    dict.set_item("read_timeout", retry.read_timeout.as_secs_f64())?;
    Ok(dict)
}

/// Bucket and key of an `s3://` URI.
#[pyfunction]
pub fn parse_uri(py: Python<'_>, uri: &str) -> PyResult<(String, String)> {
    let parsed = S3Uri::parse(uri).map_err(|error| to_python(py, error))?;
    Ok((parsed.bucket, parsed.key))
}

/// The Authorization header for a request, as the core would send it. `url` is the host, a path that is not yet
/// encoded, and a query of `name=value` pairs that are not encoded either.
#[pyfunction]
#[expect(clippy::too_many_arguments, reason = "they are the inputs of SigV4, and only a test calls it")]
pub fn sign(
    py: Python<'_>,
    method: &str,
    url: &str,
    headers: Vec<(String, String)>,
    payload_hash: &str,
    credentials: (String, String, Option<String>, Option<f64>),
    region: &str,
    amz_date: &str,
) -> PyResult<String> {
    let refuse = || to_python(py, Error::config("the URL is not of the form scheme://host/path?query"));
    let rest = url.split_once("://").ok_or_else(refuse)?.1;
    let (_, path_and_query) = rest.split_once('/').ok_or_else(refuse)?;
    let (path, query) = path_and_query.split_once('?').unwrap_or((path_and_query, ""));
    let pair =
        |text: &str| text.split_once('=').map_or((text.to_owned(), String::new()), |(n, v)| (n.into(), v.into()));
    let query: Vec<(String, String)> = query.split('&').filter(|text| !text.is_empty()).map(pair).collect();
    let headers: Vec<(&str, &str)> = headers.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
    let payload = match payload_hash {
        "UNSIGNED-PAYLOAD" => sigv4::Payload::Unsigned,
        digest => sigv4::Payload::Sha256(parse_digest(digest).ok_or_else(refuse)?),
    };
    let signature = sigv4::sign(
        &sigv4::KeyCache::new(),
        &sigv4::SignRequest {
            method,
            path: &format!("/{}", encode_path(path)),
            query: &query,
            headers: &headers,
            payload,
            credentials: &key_set(credentials),
            region,
            amz_date,
        },
    );
    Ok(signature.authorization)
}

fn parse_digest(text: &str) -> Option<[u8; 32]> {
    let mut digest = [0u8; 32];
    if text.len() != 64 || !text.is_ascii() {
        return None;
    }
    for (index, byte) in digest.iter_mut().enumerate() {
        *byte = u8::from_str_radix(&text[2 * index..2 * index + 2], 16).ok()?;
    }
    Some(digest)
}
