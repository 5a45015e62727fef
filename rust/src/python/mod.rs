//! The door: the only place that knows Python. Turns operations into calls, errors into exceptions.
//!
//! The list of what Python sees; `python/s3z/_core.pyi` says the same in Python's words, and a test compares them.

mod client;
mod convert;
mod credentials;
mod error;
mod listing;
mod per_process;
mod runtime;
mod tools;

use pyo3::prelude::*;

#[pymodule]
mod _core {
    #[pymodule_export]
    use super::client::Client;
    #[pymodule_export]
    use super::listing::ListPages;
    #[pymodule_export]
    use super::runtime::stop_all;
    #[pymodule_export]
    use super::tools::{defaults, parse_uri, sign};

    #[pymodule_export]
    #[expect(non_upper_case_globals, reason = "the name Python gives a module's version")]
    const __version__: &str = env!("CARGO_PKG_VERSION");
}
