//! The door: the only place that knows Python. Turns operations into calls, errors into exceptions.
//!
//! The list of what Python sees; `python/s3z/_core.pyi` says the same in Python's words, and a test compares them.

mod archive;
mod arrow;
mod batch;
mod batch_request;
mod client;
mod convert;
mod credentials;
mod error;
mod listing;
mod look;
mod manage;
mod memory;
mod open_archive;
mod pages;
mod part_file;
mod parts;
mod per_process;
mod runtime;
mod stream;
mod tools;
mod writer;

#[expect(unsafe_code, reason = "Python has no safe call for it")]
fn is_main_interpreter() -> bool {
    // SAFETY: called while the module is imported, so by a thread that is attached to an interpreter; both calls only
    // read, and are part of the stable ABI. The main interpreter is the one that was made first.
    unsafe { pyo3::ffi::PyInterpreterState_GetID(pyo3::ffi::PyInterpreterState_Get()) == 0 }
}

use pyo3::prelude::pymodule;

#[pymodule]
mod _core {
    use pyo3::exceptions::PyImportError;
    use pyo3::prelude::*;

    #[pymodule_export]
    use super::archive::{pack, unpack};
    #[pymodule_export]
    use super::batch::{Batch, start_batch};
    #[pymodule_export]
    use super::client::Client;
    #[pymodule_export]
    use super::listing::ListPages;
    #[pymodule_export]
    use super::look::{Look, look_sums, start_look};
    #[pymodule_export]
    use super::manage::{copy, delete_versions, presign};
    #[pymodule_export]
    use super::memory::{Buffer, get_object, get_object_into, get_object_ranges};
    #[pymodule_export]
    use super::open_archive::{Archive, EntryPages};
    #[pymodule_export]
    use super::part_file::{PartFile, open_part_file};
    #[pymodule_export]
    use super::parts::{
        UploadPages, abort_upload, complete_upload, create_upload, left_uploads, list_parts, list_uploads, upload_part,
        upload_part_size,
    };
    #[pymodule_export]
    use super::runtime::stop_all;
    #[pymodule_export]
    use super::stream::{Reader, Stream, cat_objects, open_reader, open_stream};
    #[pymodule_export]
    use super::tools::{defaults, parse_uri, sign};
    #[pymodule_export]
    use super::writer::{Writer, open_local, open_object, upload_descriptor};

    #[pymodule_export]
    #[expect(non_upper_case_globals, reason = "the name Python gives a module's version")]
    const __version__: &str = env!("CARGO_PKG_VERSION");

    /// Threads and signals of the core belong to one interpreter (Y5).
    #[pymodule_init]
    fn refuse_subinterpreters(_module: &Bound<'_, PyModule>) -> PyResult<()> {
        match super::is_main_interpreter() {
            true => Ok(()),
            false => Err(PyImportError::new_err("s3z cannot be used in a subinterpreter")),
        }
    }
}
