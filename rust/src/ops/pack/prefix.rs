//! The objects under a prefix as a source: keys are names, each object read pinned to one version.

use std::sync::{Arc, Mutex};
use std::time::{SystemTime, UNIX_EPOCH};

use tokio::runtime::Handle;

use crate::archive::entry::{Entry, Kind};
use crate::archive::local::Keeps;
use crate::archive::source::{Content, Found, Source};
use crate::error::{Error, Result};
use crate::ops::engine::{Engine, unless_cancelled};
use crate::ops::listing::KeyPages;
use crate::ops::ranges::get;
use crate::ops::report::TransferReport;
use crate::ops::span::Span;
use crate::ops::stored::Verify;
use crate::ops::stream::StreamRequest;
use crate::progress::Cancel;
use crate::s3::client::{ListRequest, ObjectRef};
use crate::s3::xml::ListedObject;

/// Of a large object, what one request brings.
const PIECE: u64 = 8 << 20;

/// Lists and reads on the runtime, for threads that are none of its own.
pub struct PrefixSource {
    engine: Engine,
    runtime: Handle,
    all: ObjectRef,
    strip: usize,
    keeps: Option<Keeps>,
    /// The key of the archive, where that is in the same bucket.
    output: Option<String>,
    cancel: Cancel,
}

impl PrefixSource {
    pub fn new(
        engine: Engine,
        (all, strip): (ObjectRef, usize),
        (keeps, output): (Option<Keeps>, Option<String>),
        cancel: Cancel,
    ) -> Self {
        Self { engine, runtime: Handle::current(), all, strip, keeps, output, cancel }
    }

    fn found(&self, object: &ListedObject) -> Found {
        let name = object.key.as_bytes().get(self.strip..).unwrap_or_default().to_vec();
        let is_directory = name.ends_with(b"/");
        if name.is_empty() || (is_directory && object.size == 0 && name == b"/") {
            // The marker of the prefix itself.
            return Found::Skipped("directory_marker");
        }
        if self.output.as_ref() == Some(&object.key) {
            return Found::Skipped("output");
        }
        if self.keeps.as_ref().is_some_and(|keeps| !keeps(&name)) {
            return Found::Skipped("excluded");
        }
        if is_directory && object.size > 0 {
            let text = "its key ends in \"/\", but it is no directory";
            return Found::Failed(name, Error::new(crate::error::ErrorKind::UnsafeKey, text));
        }
        let entry = Entry {
            name,
            kind: if is_directory { Kind::Directory } else { Kind::File },
            mode: if is_directory { 0o755 } else { 0o644 },
            mtime_ns: object.last_modified.map_or(0, nanoseconds),
            size: object.size,
            ..Entry::default()
        };
        Found::Entry(entry, None)
    }
}

fn nanoseconds(time: SystemTime) -> i64 {
    match time.duration_since(UNIX_EPOCH) {
        Ok(since) => i64::try_from(since.as_nanos()).unwrap_or(i64::MAX),
        Err(before) => i64::try_from(before.duration().as_nanos()).map_or(i64::MIN, |since| -since),
    }
}

impl Source for PrefixSource {
    fn walk(&self) -> Box<dyn Iterator<Item = Found> + Send + '_> {
        let request = ListRequest {
            bucket: self.all.bucket.clone(),
            prefix: self.all.key.clone(),
            delimiter: None,
            start_after: None,
        };
        Box::new(Keys { source: self, request: Some(request), listing: None, page: Vec::new().into_iter() })
    }

    fn open(&self, entry: &Entry) -> Result<Arc<dyn Content>> {
        let stem = &self.all.key.as_bytes()[..self.strip.min(self.all.key.len())];
        let key = String::from_utf8_lossy(&[stem, &entry.name].concat()).into_owned();
        let object = ObjectRef { bucket: self.all.bucket.clone(), key, version_id: None };
        let remote = Remote {
            engine: self.engine.clone(),
            runtime: self.runtime.clone(),
            request: StreamRequest::new(object),
            cancel: self.cancel.clone(),
            size: 0,
            piece: Mutex::default(),
        };
        Ok(Arc::new(remote.open(entry.size)?))
    }
}

/// The pages of the listing, one behind the other.
struct Keys<'a> {
    source: &'a PrefixSource,
    request: Option<ListRequest>,
    listing: Option<KeyPages<Vec<ListedObject>>>,
    page: std::vec::IntoIter<ListedObject>,
}

impl Keys<'_> {
    /// Whether there is another page.
    fn turn(&mut self) -> Result<bool> {
        if let Some(request) = self.request.take() {
            self.listing = Some(KeyPages::start(&self.source.engine, request, |page| page.entries)?);
        }
        let Some(listing) = &mut self.listing else { return Ok(false) };
        let cancel = &self.source.cancel;
        let page = self.source.runtime.block_on(unless_cancelled(cancel, listing.next_page()))?;
        let Some(page) = page else {
            self.listing = None;
            return Ok(false);
        };
        self.page = page.into_iter();
        Ok(true)
    }
}

impl Iterator for Keys<'_> {
    type Item = Found;

    fn next(&mut self) -> Option<Found> {
        loop {
            if let Some(object) = self.page.next() {
                return Some(self.source.found(&object));
            }
            match self.turn() {
                Ok(true) => {}
                Ok(false) => return None,
                Err(error) => {
                    self.listing = None;
                    // A listing that breaks off may never pass for a short one.
                    return Some(Found::Broken(error));
                }
            }
        }
    }
}

/// One object; what was fetched last is kept, for the slices of one run follow one another.
struct Remote {
    engine: Engine,
    runtime: Handle,
    request: StreamRequest,
    cancel: Cancel,
    size: u64,
    piece: Mutex<Option<(u64, Arc<Vec<u8>>)>>,
}

impl Remote {
    /// Fetches a small object whole, which is then verified; of a larger one its beginning.
    fn open(mut self, listed: u64) -> Result<Self> {
        let stop = (listed > PIECE).then_some(PIECE);
        self.request.span = Span::Between { start: 0, stop };
        let (bytes, report) = self.get(&self.request)?;
        self.request.if_match.clone_from(&report.etag);
        self.request.object.version_id.clone_from(&report.version_id);
        self.request.verify = Verify::Off;
        self.size = match stop {
            None => bytes.len() as u64,
            Some(_) => {
                let head = self.engine.client.head_object(&self.request.object, self.request.if_match.as_deref());
                self.runtime.block_on(head)?.identity.size
            }
        };
        self.piece = Mutex::new(Some((0, Arc::new(bytes))));
        Ok(self)
    }

    fn get(&self, request: &StreamRequest) -> Result<(Vec<u8>, TransferReport)> {
        self.runtime.block_on(get(&self.engine, request, Arc::default(), &self.cancel))
    }

    /// The piece that byte `at` lies in, and where it begins.
    fn piece(&self, at: u64) -> Result<(u64, Arc<Vec<u8>>)> {
        let start = at / PIECE * PIECE;
        let kept = self.piece.lock().unwrap_or_else(std::sync::PoisonError::into_inner).clone();
        if let Some(kept) = kept.filter(|(from, bytes)| (*from..*from + bytes.len() as u64).contains(&at)) {
            return Ok(kept);
        }
        let span = Span::Between { start, stop: Some(self.size.min(start + PIECE)) };
        let (bytes, _) = self.get(&StreamRequest { span, ..self.request.clone() })?;
        let piece = (start, Arc::new(bytes));
        *self.piece.lock().unwrap_or_else(std::sync::PoisonError::into_inner) = Some(piece.clone());
        Ok(piece)
    }
}

impl Content for Remote {
    fn size(&self) -> u64 {
        self.size
    }

    fn read_at(&self, offset: u64, to: &mut [u8]) -> Result<usize> {
        if offset >= self.size {
            return Ok(0);
        }
        let (start, bytes) = self.piece(offset)?;
        let from = &bytes[usize::try_from(offset - start).map_or(bytes.len(), |at| at.min(bytes.len()))..];
        let len = from.len().min(to.len());
        to[..len].copy_from_slice(&from[..len]);
        Ok(len)
    }

    /// Every read is of the version that the first one fixed.
    fn is_unchanged(&self) -> Result<bool> {
        Ok(true)
    }
}
