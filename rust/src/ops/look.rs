//! What `ls` and `du` tell of a bucket: finished lines or records, or sums. Nothing of it is made one by one in Python.
//!
//! A task of its own lists and writes; between it and who takes the lines stands a queue of few pieces, so memory is the
//! same for ten keys and ten million. What was made before a failure is told first; nothing comes behind it.

mod row;

use std::collections::BTreeMap;

use tokio::sync::mpsc;

use row::Row;
pub use row::{Columns, push_escaped};

use crate::error::{Error, Result};
use crate::ops::engine::{Engine, unless_cancelled};
use crate::ops::listing::KeyPages;
use crate::ops::select::{Filters, Pattern, filtered_name};
use crate::ops::tasks::Tasks;
use crate::progress::Cancel;
use crate::s3::client::{ListRequest, Versions};
use crate::s3::xml::{ListPage, VersionsPage};

/// Pieces that may wait, and bytes that are told at once if they are there.
const PIECES: usize = 4;
const ENOUGH: usize = 256 << 10;

/// What is looked at.
#[derive(Debug, Clone, Default)]
pub struct LookRequest {
    pub bucket: String,
    pub prefix: String,
    /// One level; without it everything below.
    pub delimiter: Option<String>,
    /// Of the whole key.
    pub pattern: Option<Pattern>,
    pub filters: Filters,
    /// What filters leave off names.
    pub filter_prefix: Vec<u8>,
    /// Bytes of the key before the name that is shown.
    pub strip: usize,
    /// Every version, and the markers of deleted ones.
    pub versions: bool,
    pub columns: Columns,
}

impl LookRequest {
    fn list(&self) -> ListRequest {
        let Self { bucket, prefix, delimiter, .. } = self;
        ListRequest { bucket: bucket.clone(), prefix: prefix.clone(), delimiter: delimiter.clone(), start_after: None }
    }

    fn selects(&self, key: &str) -> bool {
        let name = key.as_bytes();
        if self.pattern.as_ref().is_some_and(|pattern| !pattern.matches(name)) {
            return false;
        }
        // Without a source prefix a name is looked at as it is, a leading slash included.
        let own = if self.filter_prefix.is_empty() { name } else { filtered_name(&self.filter_prefix, name) };
        self.filters.is_empty() || self.filters.keeps(own)
    }

    /// Keys and prefixes in one order, that of their bytes; versions of one key as the store has them, new ones first.
    fn rows<'a>(&self, keys: impl Iterator<Item = Row<'a>>, prefixes: &'a [String], told: impl FnMut(&Row<'_>)) {
        let mut rows: Vec<Row<'a>> = keys.chain(prefixes.iter().map(|prefix| Row::prefix(prefix))).collect();
        if !prefixes.is_empty() || !rows.is_sorted_by_key(|row| row.key) {
            rows.sort_by_key(|row| row.key);
        }
        rows.iter().filter(|row| self.selects(row.key)).for_each(told);
    }
}

/// Lines, and how many rows they are.
#[derive(Debug, Default)]
pub struct Piece {
    pub lines: Vec<u8>,
    pub rows: u64,
}

/// Objects and their bytes, by storage class.
pub type Sums = BTreeMap<String, (u64, u128)>;

/// A listing of objects or of versions, and what is made of each page.
enum Listed<T> {
    Objects(Box<KeyPages<T>>),
    Versions(Versions, Box<dyn Fn(&VersionsPage) -> T + Send + Sync>),
}

impl<T: Default + 'static> Listed<T> {
    /// `add` takes a row into what is made of its page.
    fn start(engine: &Engine, request: &LookRequest, add: fn(&mut T, &LookRequest, &Row<'_>)) -> Result<Self> {
        let (list, request) = (request.list(), request.clone());
        if request.versions {
            let make = move |page: &VersionsPage| {
                let mut made = T::default();
                let keys = page.entries.iter().map(Row::version);
                request.rows(keys, &page.common_prefixes, |row| add(&mut made, &request, row));
                made
            };
            return Ok(Self::Versions(engine.client.list_object_versions(list)?, Box::new(make)));
        }
        let make = move |page: ListPage| {
            let mut made = T::default();
            let keys = page.entries.iter().map(Row::object);
            request.rows(keys, &page.common_prefixes, |row| add(&mut made, &request, row));
            made
        };
        KeyPages::start(engine, list, make).map(|pages| Self::Objects(Box::new(pages)))
    }

    async fn next(&mut self) -> Result<Option<T>> {
        match self {
            Self::Objects(pages) => pages.next_page().await,
            Self::Versions(versions, make) => Ok(versions.next_page().await?.map(|page| make(&page))),
        }
    }

    async fn stop(&mut self) {
        if let Self::Objects(pages) = self {
            pages.stop().await;
        }
    }
}

/// Lines of a listing as they come.
pub struct Look {
    request: LookRequest,
    engine: Engine,
    /// `None`: not begun.
    pieces: Option<mpsc::Receiver<Result<Piece>>>,
    tasks: Tasks<()>,
    /// Came behind what was told last.
    failed: Option<Error>,
}

impl Look {
    pub fn new(engine: Engine, request: LookRequest) -> Result<Self> {
        crate::uri::validate_bucket(&request.bucket)?;
        Ok(Self { request, engine, pieces: None, tasks: Tasks::new(), failed: None })
    }

    /// The next lines, `None` at the end.
    pub async fn next(&mut self, cancel: &Cancel) -> Result<Option<Piece>> {
        let told = match self.failed.take() {
            Some(error) => Err(error),
            None => unless_cancelled(cancel, self.received()).await,
        };
        if !matches!(told, Ok(Some(_))) {
            self.tasks.stop().await;
        }
        told
    }

    async fn received(&mut self) -> Result<Option<Piece>> {
        let Self { request, engine, pieces, tasks, failed } = self;
        let pieces = pieces.get_or_insert_with(|| {
            let (sender, pieces) = mpsc::channel(PIECES);
            tasks.spawn(tell(engine.clone(), request.clone(), sender));
            pieces
        });
        let Some(mut piece) = pieces.recv().await.transpose()? else {
            // The end was told, or the task has not lived to tell it.
            return tasks.next().await.transpose().map(|_| None);
        };
        while piece.lines.len() < ENOUGH {
            match pieces.try_recv() {
                Ok(Ok(more)) => {
                    piece.lines.extend(more.lines);
                    piece.rows += more.rows;
                }
                Ok(Err(error)) => {
                    *failed = Some(error);
                    break;
                }
                Err(_) => break,
            }
        }
        Ok(Some(piece))
    }
}

async fn tell(engine: Engine, request: LookRequest, out: mpsc::Sender<Result<Piece>>) -> Result<()> {
    let add = |piece: &mut Piece, request: &LookRequest, row: &Row<'_>| {
        piece.rows += 1;
        request.columns.line(&request.bucket, request.strip, row, &mut piece.lines);
    };
    let mut listed = Listed::start(&engine, &request, add)?;
    loop {
        let told = match listed.next().await {
            Ok(Some(piece)) if piece.rows == 0 => continue,
            Ok(None) => return Ok(()),
            told => told.transpose(),
        };
        let Some(told) = told else { return Ok(()) };
        if out.send(told).await.is_err() {
            return Ok(());
        }
    }
}

/// How many objects there are and how large, markers of directories and of deleted versions not counted.
pub async fn sums(engine: &Engine, request: &LookRequest, cancel: &Cancel) -> Result<Sums> {
    let add = |sums: &mut Sums, _: &LookRequest, row: &Row<'_>| {
        if !row.is_prefix && !row.is_delete_marker && !row.is_directory_marker() {
            count(sums, row.class(), 1, row.size.into());
        }
    };
    let mut listed = Listed::start(engine, request, add)?;
    let mut all = Sums::new();
    loop {
        match unless_cancelled(cancel, listed.next()).await {
            Ok(Some(some)) => {
                some.into_iter().for_each(|(class, (number, size))| count(&mut all, &class, number, size))
            }
            Ok(None) => return Ok(all),
            Err(error) => {
                listed.stop().await;
                return Err(error);
            }
        }
    }
}

fn count(sums: &mut Sums, class: &str, number: u64, size: u128) {
    // Found most of the time: then without a name of its own.
    if !sums.contains_key(class) {
        sums.insert(class.to_owned(), (0, 0));
    }
    if let Some(sum) = sums.get_mut(class) {
        sum.0 += number;
        sum.1 += size;
    }
}
