//! What a program writes to without knowing which it is: an object or a local file.

use bytes::Bytes;

use crate::error::Result;
use crate::ops::put::ObjectWriter;
use crate::ops::report::TransferReport;
use crate::ops::write_file::LocalWriter;
use crate::progress::Cancel;

pub enum Sink {
    Object(Box<ObjectWriter>),
    File(Box<LocalWriter>),
}

impl Sink {
    /// Takes all of `data` if that needs no waiting; else nothing.
    pub fn write_at_once(&mut self, data: &[u8]) -> bool {
        match self {
            Self::Object(writer) => writer.write_at_once(data),
            Self::File(writer) => writer.write_at_once(data),
        }
    }

    /// Takes all of `data`, which never changes.
    pub async fn write(&mut self, data: Bytes) -> Result<()> {
        match self {
            Self::Object(writer) => writer.write_shared(data).await,
            Self::File(writer) => writer.write(&data).await,
        }
    }

    /// Takes a copy of all of `data`.
    pub async fn write_copied(&mut self, data: &[u8]) -> Result<()> {
        match self {
            Self::Object(writer) => writer.write(data).await,
            Self::File(writer) => writer.write(data).await,
        }
    }

    /// The only way to an object or a file.
    pub async fn finish(self) -> Result<TransferReport> {
        match self {
            Self::Object(writer) => writer.finish().await,
            Self::File(writer) => writer.finish().await,
        }
    }

    /// Leaves nothing behind; an error names an upload that could not be aborted.
    pub async fn abort(self, cancel: &Cancel) -> Result<()> {
        match self {
            Self::Object(writer) => {
                cancel.trigger();
                writer.abort().await
            }
            Self::File(writer) => {
                writer.abort().await;
                Ok(())
            }
        }
    }
}
