//! The index of an archive as a stream of Arrow's C interface, in the capsule that Python's libraries exchange.
#![expect(unsafe_code, reason = "a capsule is memory that is handed over by pointer")]

use std::ffi::{CStr, c_void};
use std::sync::Arc;

use arrow_array::ffi_stream::FFI_ArrowArrayStream;
use arrow_array::{RecordBatch, RecordBatchReader, new_null_array};
use arrow_schema::{ArrowError, Schema, SchemaRef};
use pyo3::ffi;
use pyo3::prelude::*;

use super::error::to_python;
use crate::ops::archive::Version;

const NAME: &CStr = c"arrow_array_stream";

/// The batches of the index, as whoever has the capsule asks for them.
struct Batches {
    version: Arc<Version>,
    schema: SchemaRef,
    next: usize,
}

impl Batches {
    fn batch(&self, number: usize) -> Result<RecordBatch, ArrowError> {
        let archive = &self.version.archive;
        let fetched = archive.batch_ahead(number..archive.batches());
        let batch = fetched.map_err(|error| ArrowError::ExternalError(Box::new(error)))?;
        let batch = batch.record_batch();
        // Where the index is in several files, some may lack a column that the last one has.
        let columns = self.schema.fields().iter().map(|field| {
            let missing = || new_null_array(field.data_type(), batch.num_rows());
            batch.column_by_name(field.name()).cloned().unwrap_or_else(missing)
        });
        RecordBatch::try_new(self.schema.clone(), columns.collect())
    }
}

impl Iterator for Batches {
    type Item = Result<RecordBatch, ArrowError>;

    fn next(&mut self) -> Option<Self::Item> {
        let number = self.next;
        self.next += 1;
        (number < self.version.archive.batches()).then(|| self.batch(number))
    }
}

impl RecordBatchReader for Batches {
    fn schema(&self) -> SchemaRef {
        self.schema.clone()
    }
}

/// A capsule that owns the stream, until somebody takes it out.
pub fn index_capsule(py: Python<'_>, version: Arc<Version>) -> PyResult<Bound<'_, PyAny>> {
    let last = version.archive.last_schema().map_err(|error| to_python(py, error))?;
    let schema = last.unwrap_or_else(|| Arc::new(Schema::empty()));
    let stream = FFI_ArrowArrayStream::new(Box::new(Batches { version, schema, next: 0 }));
    let stream = Box::into_raw(Box::new(stream));
    // SAFETY: the pointer is that of a box, which the destructor takes back; the name lives for ever.
    let capsule = unsafe { ffi::PyCapsule_New(stream.cast::<c_void>(), NAME.as_ptr(), Some(destroy)) };
    // SAFETY: a new reference, or null with an exception set.
    unsafe { Bound::from_owned_ptr_or_err(py, capsule) }
}

/// Whoever takes the stream out of the capsule leaves an empty one in it, whose release is done already.
unsafe extern "C" fn destroy(capsule: *mut ffi::PyObject) {
    // SAFETY: called by Python with a capsule made above; its pointer is that of a box that nobody else frees.
    unsafe {
        let stream = ffi::PyCapsule_GetPointer(capsule, NAME.as_ptr()).cast::<FFI_ArrowArrayStream>();
        if stream.is_null() {
            ffi::PyErr_Clear();
        } else {
            drop(Box::from_raw(stream));
        }
    }
}
