//! Python's values as the core's, and back: option dictionaries in, reports out.

use std::path::PathBuf;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use pyo3::conversion::FromPyObjectOwned;
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyTuple};

use super::error::{defect, to_python};
use crate::config::{AddressingStyle, ClientConfig, DirectIo};
use crate::error::Error;
use crate::ops::report::TransferReport;
use crate::ops::stored::Verify;
use crate::s3::object::{ObjectHead, WRITE_ID};

/// A dictionary of options; None counts as left out, an unknown name is a defect.
pub struct Options<'py>(Bound<'py, PyDict>);

impl<'py> Options<'py> {
    pub fn new(options: Bound<'py, PyDict>, known: &[&str]) -> PyResult<Self> {
        for name in options.keys() {
            let name: String = name.extract()?;
            if !known.contains(&name.as_str()) {
                return Err(defect(&format!("the core does not know the option {name:?}")));
            }
        }
        Ok(Self(options))
    }

    pub fn get<T: FromPyObjectOwned<'py>>(&self, name: &str) -> PyResult<Option<T>> {
        match self.0.get_item(name)? {
            Some(value) if !value.is_none() => value.extract().map(Some).map_err(Into::into),
            _ => Ok(None),
        }
    }

    /// A size or count; negative ones are refused as the core refuses 0.
    pub fn count(&self, name: &str) -> PyResult<Option<u64>> {
        let Some(value) = self.get::<i128>(name)? else { return Ok(None) };
        let refuse = |_| Error::config(format!("{name} must not be negative or above 2^64, but is {value}"));
        u64::try_from(value).map(Some).map_err(|error| to_python(self.0.py(), refuse(error)))
    }

    pub fn number(&self, name: &str) -> PyResult<Option<usize>> {
        Ok(self.count(name)?.map(|value| usize::try_from(value).unwrap_or(usize::MAX)))
    }

    pub fn seconds(&self, name: &str) -> PyResult<Option<Duration>> {
        let Some(value) = self.get::<f64>(name)? else { return Ok(None) };
        let refuse = |_| Error::config(format!("{name} must be a positive number of seconds, not {value}"));
        Duration::try_from_secs_f64(value).map(Some).map_err(|error| to_python(self.0.py(), refuse(error)))
    }

    /// One of a few words.
    pub fn word<T: Copy>(&self, name: &str, words: &[(&str, T)]) -> PyResult<Option<T>> {
        let Some(value) = self.get::<String>(name)? else { return Ok(None) };
        if let Some((_, meaning)) = words.iter().find(|(word, _)| *word == value) {
            return Ok(Some(*meaning));
        }
        let allowed: Vec<String> = words.iter().map(|(word, _)| format!("\"{word}\"")).collect();
        let text = format!("{name} must be {}, not \"{value}\"", allowed.join(" or "));
        Err(to_python(self.0.py(), Error::config(text)))
    }
}

pub const VERIFY: [(&str, Verify); 3] = [("auto", Verify::Auto), ("require", Verify::Require), ("off", Verify::Off)];
pub const DIRECT_IO: [(&str, DirectIo); 3] = [("auto", DirectIo::Auto), ("on", DirectIo::On), ("off", DirectIo::Off)];
pub const ADDRESSING: [(&str, AddressingStyle); 3] =
    [("auto", AddressingStyle::Auto), ("path", AddressingStyle::Path), ("virtual", AddressingStyle::Virtual)];

const TRANSFER: [&str; 12] = [
    "part_size",
    "multipart_threshold",
    "copy_threshold",
    "max_bandwidth",
    "max_concurrency",
    "max_requests",
    "memory_limit",
    "max_attempts",
    "connect_timeout",
    "read_timeout",
    "direct_io",
    "strict_checksums",
];

/// Puts what is given over the defaults.
pub fn apply_transfer(config: &mut ClientConfig, settings: Bound<'_, PyDict>) -> PyResult<()> {
    let settings = Options::new(settings, &TRANSFER)?;
    let transfer = &mut config.transfer;
    transfer.part_size = settings.count("part_size")?.or(transfer.part_size);
    transfer.multipart_threshold = settings.count("multipart_threshold")?.unwrap_or(transfer.multipart_threshold);
    transfer.copy_threshold = settings.count("copy_threshold")?.unwrap_or(transfer.copy_threshold);
    transfer.max_bandwidth = settings.count("max_bandwidth")?.or(transfer.max_bandwidth);
    transfer.max_concurrency = settings.number("max_concurrency")?.or(transfer.max_concurrency);
    transfer.max_requests = settings.number("max_requests")?.unwrap_or(transfer.max_requests);
    transfer.memory_limit = settings.count("memory_limit")?.unwrap_or(transfer.memory_limit);
    transfer.strict_checksums = settings.get("strict_checksums")?.unwrap_or(transfer.strict_checksums);
    transfer.direct_io = settings.word("direct_io", &DIRECT_IO)?.unwrap_or(transfer.direct_io);
    let retry = &mut config.retry;
    if let Some(attempts) = settings.count("max_attempts")? {
        retry.max_attempts = u32::try_from(attempts).unwrap_or(u32::MAX);
        retry.hard_attempts = retry.hard_attempts.max(retry.max_attempts);
    }
    retry.connect_timeout = settings.seconds("connect_timeout")?.unwrap_or(retry.connect_timeout);
    retry.read_timeout = settings.seconds("read_timeout")?.unwrap_or(retry.read_timeout);
    Ok(())
}

/// A path as its bytes, as `os.fsencode` gives them.
pub fn path(bytes: Vec<u8>) -> PathBuf {
    use std::os::unix::ffi::OsStringExt;
    PathBuf::from(std::ffi::OsString::from_vec(bytes))
}

/// Seconds since the epoch.
pub fn seconds(time: Option<SystemTime>) -> Option<f64> {
    let time = time?;
    Some(match time.duration_since(UNIX_EPOCH) {
        Ok(since) => since.as_secs_f64(),
        Err(before) => -before.duration().as_secs_f64(),
    })
}

pub fn report<'py>(py: Python<'py>, report: TransferReport) -> PyResult<Bound<'py, PyDict>> {
    let verified = (report.verified.kind(), report.verified.algorithm().map(|a| a.lower()), report.verified.detail());
    let dict = PyDict::new(py);
    dict.set_item("bytes", report.bytes)?;
    dict.set_item("seconds", report.seconds)?;
    dict.set_item("etag", report.etag)?;
    dict.set_item("version_id", report.version_id)?;
    dict.set_item("parts", report.parts)?;
    dict.set_item("attempts", report.attempts)?;
    dict.set_item("resumed_bytes", report.resumed_bytes)?;
    dict.set_item("verified", verified.into_pyobject(py)? as Bound<'py, PyTuple>)?;
    dict.set_item("last_modified", seconds(report.last_modified))?;
    dict.set_item("content_type", report.content_type)?;
    dict.set_item("storage_class", report.storage_class)?;
    Ok(dict)
}

pub fn head<'py>(py: Python<'py>, head: ObjectHead) -> PyResult<Bound<'py, PyDict>> {
    let pairs = |pairs: Vec<(String, String)>| -> PyResult<Bound<'py, PyDict>> {
        let dict = PyDict::new(py);
        for (name, value) in pairs {
            dict.set_item(name, value)?;
        }
        Ok(dict)
    };
    let dict = PyDict::new(py);
    dict.set_item("size", head.identity.size)?;
    dict.set_item("etag", head.identity.etag)?;
    dict.set_item("version_id", head.identity.version_id)?;
    dict.set_item("last_modified", seconds(head.identity.last_modified))?;
    dict.set_item("content_type", head.identity.content_type)?;
    dict.set_item("storage_class", head.identity.storage_class)?;
    dict.set_item("metadata", pairs(without_write_id(head.metadata))?)?;
    dict.set_item("headers", pairs(head.headers)?)?;
    Ok(dict)
}

/// The user's own metadata: how an upload knows its object again is none of it (C12).
fn without_write_id(mut metadata: Vec<(String, String)>) -> Vec<(String, String)> {
    metadata.retain(|(name, _)| name != WRITE_ID);
    metadata
}
