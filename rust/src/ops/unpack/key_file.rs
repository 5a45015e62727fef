//! An object whose slices come to several threads: each waits for its turn at one writer.

use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::time::Duration;

use super::keys::{Shared, lock};
use crate::archive::place::Growing;
use crate::archive::tree::Done;
use crate::error::{Error, Result};
use crate::ops::put::{ObjectWriter, PutRequest};
use crate::ops::tasks::Tasks;
use crate::progress::Progress;
use crate::s3::client::ObjectRef;

/// How often a slice that waits for its turn looks whether everything has stopped.
const LOOK: Duration = Duration::from_millis(50);

/// An object that grows slice by slice.
pub(super) struct KeyFile {
    shared: Arc<Shared>,
    object: ObjectRef,
    size: u64,
    growth: Mutex<Growth>,
    turned: Condvar,
}

struct Growth {
    /// What comes next.
    at: u64,
    /// Opened with the first bytes, which may tell the type.
    writer: Option<ObjectWriter>,
    sender: Tasks<()>,
    /// Nothing more is taken.
    is_over: bool,
}

impl KeyFile {
    pub fn new(shared: Arc<Shared>, object: ObjectRef, size: u64) -> Self {
        let growth = Growth { at: 0, writer: None, sender: Tasks::new(), is_over: false };
        Self { shared, object, size, growth: Mutex::new(growth), turned: Condvar::new() }
    }

    fn begin(&self, growth: &mut Growth, beginning: &[u8]) -> Result<()> {
        let keys = &self.shared.keys;
        let request = PutRequest {
            object: self.object.clone(),
            headers: self.shared.headers(&self.object, beginning),
            conditions: self.shared.conditions(),
            unconditional: Some(keys.unconditional.clone()),
            checksum: keys.options.checksum,
            part_size: None,
            expected_size: Some(self.size),
            max_concurrency: None,
            deadline: None,
        };
        let progress = Progress::of(&keys.progress);
        let _within = keys.runtime.enter();
        let (writer, sender) = ObjectWriter::open(&keys.engine, request, progress, keys.cancel.clone())?;
        growth.sender.spawn(async move {
            sender.run().await;
            Ok(())
        });
        growth.writer = Some(writer);
        Ok(())
    }

    fn take(&self, growth: &mut Growth, bytes: &[u8]) -> Result<()> {
        if growth.writer.is_none() {
            self.begin(growth, bytes)?;
        }
        let Some(writer) = &mut growth.writer else { return Err(Error::cancelled()) };
        // The upload itself ends when everything is cancelled, and then this does.
        self.shared.keys.runtime.block_on(writer.write(bytes))
    }
}

impl Growing for KeyFile {
    fn write_at(&self, offset: u64, bytes: &[u8]) -> Result<()> {
        let mut growth = lock(&self.growth);
        while growth.at != offset {
            if growth.is_over {
                return Ok(());
            }
            self.shared.keys.stop.check()?;
            growth = self.turned.wait_timeout(growth, LOOK).unwrap_or_else(PoisonError::into_inner).0;
        }
        if growth.is_over {
            return Ok(());
        }
        let taken = self.take(&mut growth, bytes);
        match &taken {
            Ok(()) => growth.at += bytes.len() as u64,
            Err(_) => growth.is_over = true,
        }
        drop(growth);
        self.turned.notify_all();
        taken.or_else(|error| self.shared.outcome(Err(error)).map(drop))
    }

    fn give_up(&self) {
        lock(&self.growth).is_over = true;
        self.turned.notify_all();
    }

    fn publish(self: Box<Self>) -> Result<Done> {
        let mut growth = lock(&self.growth);
        let at = growth.at;
        let Some(writer) = growth.writer.take().filter(|_| at == self.size) else {
            return Err(Error::integrity(format!("a file ends after {at} of {} bytes", self.size)));
        };
        let stored = self.shared.keys.runtime.block_on(writer.finish());
        drop(growth);
        self.shared.outcome(stored.map(drop))
    }
}

impl Drop for KeyFile {
    /// Returns when the store has nothing left of an upload that was not completed.
    fn drop(&mut self) {
        let growth = self.growth.get_mut().unwrap_or_else(PoisonError::into_inner);
        drop(growth.writer.take());
        if !growth.sender.is_empty() {
            let _ = self.shared.keys.runtime.block_on(growth.sender.next());
        }
    }
}
