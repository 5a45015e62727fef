//! A Python callable as a source of keys. It is called on a thread of its own, never on a runtime worker.

use std::time::{Duration, UNIX_EPOCH};

use pyo3::prelude::*;

use crate::credentials::{CredentialProvider, Credentials, Secret, Signing};
use crate::error::{Error, ErrorKind, Result, escape};

/// Access key id, secret, token, expiry in seconds since the epoch.
type KeySet = (String, String, Option<String>, Option<f64>);

pub fn key_set(keys: KeySet) -> Credentials {
    let (access_key_id, secret, token, expiry) = keys;
    let expiry = expiry.and_then(|at| Duration::try_from_secs_f64(at).ok()).map(|at| UNIX_EPOCH + at);
    Credentials { session_token: token.map(Secret::new), expiry, ..Credentials::new(&access_key_id, &secret) }
}

/// How to sign: not at all, with given keys, or with what a callable gives.
pub fn signing(credentials: Option<&Bound<'_, PyAny>>, anonymous: bool) -> PyResult<Signing> {
    match credentials {
        _ if anonymous => Ok(Signing::Anonymous),
        None => Ok(Signing::Missing),
        Some(callable) if callable.is_callable() => {
            let source = PyProvider(callable.clone().unbind());
            Ok(Signing::Provider(std::sync::Arc::new(source)))
        }
        Some(keys) => Ok(Signing::Static(key_set(keys.extract()?))),
    }
}

struct PyProvider(Py<PyAny>);

impl CredentialProvider for PyProvider {
    fn load(&self) -> Result<Credentials> {
        Python::attach(|py| {
            let called = self.0.bind(py).call0().and_then(|keys| keys.extract::<KeySet>());
            called.map(key_set).map_err(|exception| refused(py, &exception))
        })
    }
}

fn refused(py: Python<'_>, exception: &PyErr) -> Error {
    let class = exception.get_type(py).name().map_or_else(|_| String::from("Exception"), |name| name.to_string());
    let text = escape(&exception.value(py).to_string(), 500);
    let text = if class == "CredentialsError" { text } else { format!("no keys were found: {class}: {text}") };
    Error::new(ErrorKind::Credentials, text)
}
