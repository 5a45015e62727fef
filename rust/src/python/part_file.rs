//! A file of parts as Python sees it.

use std::sync::Arc;

use pyo3::prelude::*;
use pyo3::types::PyDict;

use super::client::Client;
use super::convert;
use super::error::check_process;
use super::runtime::{Watch, wait};
use super::writer::owned_bytes;
use crate::error::{Error, ErrorKind, Result};
use crate::ops::part_file::{PartFile as Core, PartFileRequest, State};

type Slot = Arc<tokio::sync::RwLock<Option<Core>>>;

#[pyclass(module = "s3z._core", frozen)]
pub struct PartFile {
    file: Slot,
    pid: u32,
}

/// Opens or goes on with a file of parts.
#[pyfunction]
pub fn open_part_file(
    py: Python<'_>,
    client: &Client,
    destination: Vec<u8>,
    plan: (u64, u64),
    overwrite: bool,
    durable: bool,
) -> PyResult<PartFile> {
    let destination = convert::path(destination);
    let request = PartFileRequest { destination, size: plan.0, part_size: plan.1, overwrite, durable };
    let engine = client.engine(py)?;
    let watch = Watch::new();
    let progress = watch.progress.clone();
    let opened = wait(py, &watch, async move { Core::open(&engine, request, progress).await })?;
    Ok(PartFile { file: Arc::new(tokio::sync::RwLock::new(Some(opened))), pid: std::process::id() })
}

#[pymethods]
impl PartFile {
    /// Writes one part, whole.
    fn write_part(&self, py: Python<'_>, number: u32, data: &Bound<'_, PyAny>) -> PyResult<()> {
        check_process(py, self.pid, "part file")?;
        let (slot, data) = (self.file.clone(), owned_bytes(data)?);
        wait(py, &Watch::new(), async move {
            match slot.read().await.as_ref() {
                Some(file) => file.write_part(number, &data).await,
                None => Err(closed()),
            }
        })
    }

    /// Of each part: 0 pending, 1 in progress, 2 complete, 3 failed; and the bytes an earlier process had written.
    fn states(&self, py: Python<'_>) -> PyResult<(Vec<u8>, u64)> {
        let slot = self.file.clone();
        let (states, resumed) = wait(py, &Watch::new(), async move {
            slot.read().await.as_ref().map(|file| (file.states(), file.resumed())).ok_or_else(closed)
        })?;
        let code = |state| match state {
            State::Pending => 0,
            State::InProgress => 1,
            State::Complete => 2,
            State::Failed => 3,
        };
        Ok((states.into_iter().map(code).collect(), resumed))
    }

    /// Gives the file its name; the report.
    fn publish<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyDict>> {
        check_process(py, self.pid, "part file")?;
        let slot = self.file.clone();
        let report = wait(py, &Watch::new(), async move {
            let mut slot = slot.write().await;
            // What is not all there stays open, to be written.
            slot.as_ref().ok_or_else(closed)?.check_complete()?;
            slot.take().ok_or_else(closed)?.publish().await
        })?;
        convert::report(py, report)
    }

    /// Ends it; what is written is kept for the next one, or goes.
    fn close(&self, py: Python<'_>, keep: bool) -> PyResult<()> {
        if self.pid != std::process::id() {
            return Ok(());
        }
        let slot = self.file.clone();
        wait(py, &Watch::new(), async move {
            if let Some(file) = slot.write().await.take() {
                file.close(keep).await;
            }
            Result::Ok(())
        })
    }
}

fn closed() -> Error {
    Error::new(ErrorKind::Internal, "the part file is closed")
}
