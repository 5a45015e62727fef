//! A file that is written in pieces, by several threads, before it gets its name.
//!
//! Pieces may come in any order and at once. Nothing is allocated on the disk for a size that is only claimed.

use std::sync::Arc;

use rustix::io::{Errno, retry_on_intr};

use super::look::Look;
use super::temp::Temp;
use super::{Done, Shared, exists};
use crate::archive::entry::Entry;
use crate::error::{Error, ErrorKind, Result};

/// A hidden file in the directory of its entry. Dropped without `publish`, it is removed.
#[derive(Debug)]
pub struct BigFile {
    shared: Arc<Shared>,
    temp: Temp,
    name: Vec<u8>,
    size: u64,
    look: Look,
    xattrs: Vec<(String, Vec<u8>)>,
}

impl BigFile {
    pub(super) fn create(shared: &Arc<Shared>, entry: &Entry) -> Result<Option<Self>> {
        let (spot, is_there) = shared.parents.within(&entry.name, exists)?;
        if is_there && shared.options.no_clobber {
            return Ok(None);
        }
        Ok(Some(Self {
            shared: Arc::clone(shared),
            temp: Temp::create(spot)?,
            name: entry.name.clone(),
            size: entry.size,
            look: Look::of(entry, &shared.options),
            xattrs: entry.xattrs.clone(),
        }))
    }

    /// Writes at an offset; other threads may write elsewhere meanwhile.
    pub fn write_at(&self, offset: u64, bytes: &[u8]) -> Result<()> {
        let end = offset.checked_add(bytes.len() as u64);
        if end.is_none_or(|end| end > self.size) {
            return Err(Error::new(ErrorKind::Internal, "more is written to a file than its size"));
        }
        let (mut at, mut rest) = (offset, bytes);
        while !rest.is_empty() {
            match retry_on_intr(|| rustix::io::pwrite(&self.temp, rest, at)) {
                Ok(0) => return Err(self.temp.fail(Errno::IO)),
                Ok(count) => {
                    at += count as u64;
                    rest = &rest[count..];
                }
                Err(errno) => return Err(self.temp.fail(errno)),
            }
        }
        Ok(())
    }

    /// Gives the file mode, time and the rest, and last its name. A file that is too short never gets it.
    pub fn publish(self) -> Result<Done> {
        let fail = |errno| self.temp.fail(errno);
        let length = rustix::fs::fstat(&self.temp).map_err(fail)?.st_size;
        if u64::try_from(length) != Ok(self.size) {
            return Err(Error::integrity(format!("a file ends after {length} of {} bytes", self.size)));
        }
        self.shared.dress(&self.temp, &self.look, &self.xattrs).map_err(fail)?;
        let done = self.temp.publish(!self.shared.options.no_clobber)?;
        if done == Done::Written {
            self.shared.remember(&self.name);
        }
        Ok(done)
    }
}
