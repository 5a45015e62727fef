//! `ErrorKind` → exception class: the only such place. The classes are Python's own, in `s3z/_exceptions.py`.

use pyo3::exceptions::{PyMemoryError, PyOSError, PyRuntimeError};
use pyo3::prelude::*;
use pyo3::types::PyDict;

use crate::config::MIB;
use crate::error::{Error, ErrorKind, MAX_SHOWN, escape};
use crate::ops::batch::Kept;

fn class_name(kind: ErrorKind) -> &'static str {
    match kind {
        ErrorKind::NotFound => "NotFoundError",
        ErrorKind::AccessDenied => "AccessDeniedError",
        ErrorKind::Credentials => "CredentialsError",
        ErrorKind::AlreadyExists => "AlreadyExistsError",
        ErrorKind::ObjectChanged => "ObjectChangedError",
        ErrorKind::Integrity => "IntegrityError",
        ErrorKind::Timeout => "TransferTimeoutError",
        ErrorKind::Connection => "TransferConnectionError",
        ErrorKind::Throttled => "ThrottledError",
        ErrorKind::Config => "ConfigError",
        ErrorKind::UnsafeKey => "UnsafeKeyError",
        ErrorKind::Archive => "ArchiveError",
        ErrorKind::Service | ErrorKind::RangesIgnored => "ServiceError",
        ErrorKind::LocalIo | ErrorKind::Cancelled | ErrorKind::Internal => "S3zError",
    }
}

/// The class by its name, for a failure that is told and not raised.
pub fn kind_name(kind: ErrorKind) -> &'static str {
    if kind == ErrorKind::LocalIo { "OSError" } else { class_name(kind) }
}

/// The exception for an error; local failures stay plain `OSError` with errno and file name.
pub fn to_python(py: Python<'_>, error: Error) -> PyErr {
    let exception = if error.kind() == ErrorKind::LocalIo {
        local(py, &error)
    } else {
        service(py, &error).unwrap_or_else(|failed| failed)
    };
    if let Some(note) = kept_note(error.kept(), error.upload_id()) {
        // Without the note the exception is still the right one.
        let _ = exception.value(py).call_method1("add_note", (note,));
    }
    exception
}

fn local(py: Python<'_>, error: &Error) -> PyErr {
    let path = error.path().map(|path| path.as_os_str().to_owned());
    if error.is_no_memory() {
        return PyMemoryError::new_err(error.message().to_owned());
    }
    let exception = match error.errno() {
        Some(errno) => PyOSError::new_err((errno, error.message().to_owned(), path)),
        None => PyOSError::new_err(error.message().to_owned()),
    };
    // OSError picks its own subclass by errno, but only when it is called.
    PyErr::from_value(exception.value(py).clone().into_any())
}

fn service(py: Python<'_>, error: &Error) -> PyResult<PyErr> {
    let module = py.import("s3z._exceptions")?;
    let class = module.getattr(class_name(error.kind()))?;
    let details = PyDict::new(py);
    details.set_item("bucket", error.bucket())?;
    details.set_item("key", error.key())?;
    details.set_item("code", error.code())?;
    details.set_item("status", error.status())?;
    details.set_item("request_id", error.request_id())?;
    details.set_item("host_id", error.host_id())?;
    details.set_item("attempts", (error.attempts() > 0).then(|| error.attempts()))?;
    details.set_item("upload_id", error.upload_id())?;
    let exception = class.call((message(error),), Some(&details))?;
    Ok(PyErr::from_value(exception))
}

/// What is said of bytes that a transfer leaves for the next one, if there are any.
pub fn kept_note(bytes: u64, upload_id: Option<&str>) -> Option<String> {
    if bytes == 0 {
        return None;
    }
    let amount = amount(bytes);
    let place =
        upload_id.map_or_else(|| "beside the destination".to_owned(), |id| format!("as the multipart upload {id}"));
    Some(format!("{amount} are kept {place}: the same call goes on from there"))
}

/// The same of what the stopped transfers of a batch left.
pub fn kept_notes(kept: &Kept) -> Option<String> {
    match kept.objects {
        0 | 1 => kept_note(kept.bytes, kept.upload_id.as_deref()),
        objects => {
            Some(format!("{} of {objects} objects are kept: the same call goes on from there", amount(kept.bytes)))
        }
    }
}

fn amount(bytes: u64) -> String {
    if bytes < MIB { format!("{bytes} bytes") } else { format!("{} MiB", bytes / MIB) }
}

/// The text, with the object named if it does not do so itself.
fn message(error: &Error) -> String {
    let text = error.message();
    match (error.bucket(), error.key().unwrap_or_default()) {
        (Some("") | None, _) => text.to_owned(),
        (Some(bucket), "") if !text.contains("s3://") && !text.contains("bucket \"") => {
            format!("\"{}\": {text}", escape(&format!("s3://{bucket}"), MAX_SHOWN))
        }
        (Some(bucket), key) if !text.contains("s3://") && !text.contains("bucket \"") => {
            format!("\"{}\": {text}", escape(&format!("s3://{bucket}/{key}"), MAX_SHOWN))
        }
        _ => text.to_owned(),
    }
}

/// Refuses what a forked child has inherited and cannot use (Y3); `pid` is of the process that made it.
pub fn check_process(py: Python<'_>, pid: u32, what: &str) -> PyResult<()> {
    if pid == std::process::id() {
        return Ok(());
    }
    let text = format!("this {what} belongs to the process that opened it; a forked child cannot use it");
    Err(to_python(py, Error::new(ErrorKind::Internal, text)))
}

/// For what goes wrong in the door itself, which is a defect.
pub fn defect(text: &str) -> PyErr {
    PyRuntimeError::new_err(text.to_owned())
}
