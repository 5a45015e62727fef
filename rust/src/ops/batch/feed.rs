//! Where entries come from: a listing, a walk, a wildcard, a list of names. In name order, pages ahead of who takes them.
//!
//! A feed runs beside the work: a listing as a task, a walk on a thread of its own. Between them and the work stands
//! a queue of few pages, so memory is the same for ten objects and ten million. What is filtered out is not looked at
//! and not told. s3z's own temporary files and ledgers are never seen.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};

use tokio::sync::mpsc;

use super::entry::{Entry, Failure, Found, Object, Place};
use super::local::{self, Matches, Tree};
use crate::error::{Error, Result};
use crate::ops::engine::Engine;
use crate::ops::listing::{KeyPages, Spread};
use crate::ops::select::{Filters, Pattern, filtered_name};
use crate::ops::tasks::Tasks;
use crate::s3::client::ListRequest;
use crate::s3::xml::ListPage;
use crate::transfer::lanes::Lane;
use crate::transfer::temp_file::is_own_name;

/// Pages that may wait, and entries of one that a walk makes.
const PAGES: usize = 4;
pub(super) const PAGE: usize = 1000;
/// Requests at a time of one listing, how many pages are cut off, and how many may wait: less than `ls` has, since an entry that
/// waits takes about 450 bytes, ten times what its line does.
const WIDTH: usize = 4;
const LENGTH: u64 = 16;
const ROOM: usize = 20;

/// What a batch works on.
#[derive(Debug, Clone)]
pub enum Selection {
    /// All keys that begin with the prefix and, if there is one, match the pattern.
    Keys(Keys),
    /// Exactly these, known by name.
    Named(Vec<Entry>),
    /// Files below a directory, or one file.
    Tree(Tree),
    /// What a local wildcard matches.
    Matches(Matches),
}

#[derive(Debug, Clone)]
pub struct Keys {
    pub bucket: String,
    pub prefix: String,
    /// Of the whole key.
    pub pattern: Option<Pattern>,
    /// Bytes of the key before its relative name.
    pub strip: usize,
    /// What a single key is called; `None`: by what is left of it.
    pub file_name: Option<Vec<u8>>,
    pub filters: Filters,
    /// What filters leave off names.
    pub filter_prefix: Vec<u8>,
    /// Whether zero-byte keys that end in `/` are told as skipped, not taken.
    pub skips_markers: bool,
    /// Only the key that is the prefix.
    pub is_exact: bool,
    /// Even the key that is only the prefix of the others.
    pub takes_all: bool,
    /// Every version, and the markers of deleted ones.
    pub versions: bool,
}

/// Entries, page by page, in the order of their names.
pub struct Feed {
    pages: mpsc::Receiver<Vec<Found>>,
    page: std::vec::IntoIter<Found>,
    tasks: Tasks<()>,
    cancel: Arc<AtomicBool>,
}

impl Drop for Feed {
    fn drop(&mut self) {
        self.cancel.store(true, Relaxed);
    }
}

impl Feed {
    /// Begins to list or walk.
    pub fn start(engine: &Engine, selections: Vec<Selection>) -> Result<Self> {
        let (sender, pages) = mpsc::channel(PAGES);
        let mut tasks = Tasks::new();
        let cancel = Arc::<AtomicBool>::default();
        let (engine, stop) = (engine.clone(), cancel.clone());
        let lane = match selections.iter().any(|each| matches!(each, Selection::Tree(_) | Selection::Matches(_))) {
            true => Some(Lane::start("s3z-walk")?),
            false => None,
        };
        tasks.spawn(async move {
            for selection in selections {
                match selection {
                    Selection::Keys(keys) if keys.versions => list_versions(&engine, keys, &sender).await,
                    Selection::Keys(keys) => list(&engine, keys, &sender).await,
                    Selection::Named(entries) => {
                        let _ = sender.send(entries.into_iter().map(Found::Entry).collect()).await;
                    }
                    Selection::Tree(tree) => {
                        walk(lane.as_ref(), &sender, &stop, move |out, stop| {
                            local::walk(tree, out, stop);
                        })
                        .await
                    }
                    Selection::Matches(wildcard) => {
                        walk(lane.as_ref(), &sender, &stop, move |out, stop| {
                            local::matches(&wildcard, out, stop);
                        })
                        .await;
                    }
                }
            }
            Ok(())
        });
        Ok(Self { pages, page: Vec::new().into_iter(), tasks, cancel })
    }

    /// The next one, `None` at the end. May be dropped and called again.
    pub async fn next(&mut self) -> Option<Found> {
        loop {
            if let Some(found) = self.page.next() {
                return Some(found);
            }
            self.page = self.pages.recv().await?.into_iter();
        }
    }

    /// Whether the last one has been taken.
    pub fn is_over(&self) -> bool {
        self.page.len() == 0 && self.pages.is_empty() && self.pages.is_closed()
    }

    /// Returns when nothing it started runs any more.
    pub async fn stop(&mut self) {
        self.cancel.store(true, Relaxed);
        self.pages.close();
        self.tasks.stop().await;
        while self.pages.recv().await.is_some() {}
    }
}

/// Runs `work` on the thread of walks; pages come from there.
async fn walk(
    lane: Option<&Lane>,
    sender: &mpsc::Sender<Vec<Found>>,
    stop: &Arc<AtomicBool>,
    work: impl FnOnce(&mut Pages, &Arc<AtomicBool>) + Send + 'static,
) {
    let Some(lane) = lane else { return };
    let (mut pages, stop) = (Pages { sender: sender.clone(), page: Vec::new() }, stop.clone());
    let job = move || {
        work(&mut pages, &stop);
        pages.flush();
        Ok(())
    };
    if let Err(error) = lane.call(job).await {
        let _ = sender.send(vec![Found::Broken(error)]).await;
    }
}

/// Pages made by a thread.
pub(super) struct Pages {
    sender: mpsc::Sender<Vec<Found>>,
    page: Vec<Found>,
}

impl Pages {
    /// False once nobody takes them any more.
    pub fn push(&mut self, found: Found) -> bool {
        self.page.push(found);
        // The first ones go at once, so that work begins early.
        if self.page.len() >= PAGE || self.page.capacity() < PAGE { self.flush() } else { true }
    }

    fn flush(&mut self) -> bool {
        let page = std::mem::replace(&mut self.page, Vec::with_capacity(PAGE));
        page.is_empty() || self.sender.blocking_send(page).is_ok()
    }
}

async fn list(engine: &Engine, keys: Keys, out: &mpsc::Sender<Vec<Found>>) {
    let request =
        ListRequest { bucket: keys.bucket.clone(), prefix: keys.prefix.clone(), delimiter: None, start_after: None };
    let bucket: Arc<str> = keys.bucket.as_str().into();
    let selected = move |page: ListPage| -> Vec<Found> {
        let found = page.entries.into_iter().filter_map(|listed| {
            let object = Object {
                bucket: bucket.clone(),
                key: listed.key,
                etag: listed.etag,
                storage_class: listed.storage_class,
                version_id: None,
            };
            keys.found(object, listed.size, listed.last_modified)
        });
        found.collect()
    };
    let name = request.bucket.clone();
    let spread = Spread { width: WIDTH, length: LENGTH, room: ROOM, ..Spread::default() };
    let mut pages = match KeyPages::spread(engine, request, spread, selected) {
        Ok(pages) => pages,
        Err(error) => return drop(out.send(vec![Found::Broken(error)]).await),
    };
    loop {
        let found = match pages.next_page().await {
            Ok(Some(found)) => found,
            Ok(None) => return,
            Err(error) => {
                let error = error.with_object(&name, "");
                return drop(out.send(vec![Found::Broken(error)]).await);
            }
        };
        if !found.is_empty() && out.send(found).await.is_err() {
            return pages.stop().await;
        }
    }
}

async fn list_versions(engine: &Engine, keys: Keys, out: &mpsc::Sender<Vec<Found>>) {
    let request =
        ListRequest { bucket: keys.bucket.clone(), prefix: keys.prefix.clone(), delimiter: None, start_after: None };
    let bucket: Arc<str> = keys.bucket.as_str().into();
    let mut listing = match engine.client.list_object_versions(request) {
        Ok(listing) => listing,
        Err(error) => return drop(out.send(vec![Found::Broken(error)]).await),
    };
    // The next page is asked for by the last version of this one, which some stores look up: it may go only then.
    let mut last = None;
    loop {
        let page = match listing.next_page().await {
            Ok(Some(page)) => page,
            Ok(None) => {
                if let Some(last) = last {
                    let _ = out.send(vec![last]).await;
                }
                return;
            }
            Err(error) => {
                let broken = Found::Broken(error.with_object(&keys.bucket, ""));
                return drop(out.send(last.into_iter().chain([broken]).collect()).await);
            }
        };
        let found = page.entries.into_iter().filter_map(|listed| {
            let object = Object {
                bucket: bucket.clone(),
                key: listed.key,
                etag: listed.etag,
                storage_class: listed.storage_class,
                version_id: Some(listed.version_id),
            };
            keys.found(object, listed.size, listed.last_modified)
        });
        let mut found: Vec<Found> = last.take().into_iter().chain(found).collect();
        last = found.pop();
        if !found.is_empty() && out.send(found).await.is_err() {
            return;
        }
    }
}

impl Keys {
    /// What is made of a listed key; nothing if it is not selected.
    pub(super) fn found(&self, object: Object, size: u64, modified: Option<std::time::SystemTime>) -> Option<Found> {
        let name = object.key.as_bytes();
        if self.pattern.as_ref().is_some_and(|pattern| !pattern.matches(name)) {
            return None;
        }
        if self.is_exact && object.key != self.prefix {
            return None;
        }
        let base = name.iter().rposition(|byte| *byte == b'/').map_or(name, |slash| &name[slash + 1..]);
        if is_own_name(OsStr::from_bytes(base)) {
            return None;
        }
        let own = self.file_name.as_deref().filter(|_| self.is_exact);
        let relative = own.unwrap_or_else(|| name.get(self.strip..).unwrap_or_default()).to_vec();
        if !self.filters.is_empty() && !self.filters.keeps(filtered_name(&self.filter_prefix, name)) {
            return None;
        }
        let is_marker = size == 0 && name.ends_with(b"/");
        if (relative.is_empty() && !self.takes_all) || (is_marker && self.skips_markers) {
            let reason = "directory_marker";
            return Some(Found::Skipped(Place::Object(object), reason));
        }
        let entry = Entry { relative, place: Place::Object(object), size: Some(size), modified, inode: 0 };
        Some(Found::Entry(entry))
    }
}

/// A failure of a local name.
pub(super) fn failed(path: PathBuf, error: Error, kind: Option<&'static str>) -> Found {
    Found::Failed(Failure { kind, ..Failure::of(Place::File(path).shown(), error) })
}
