//! All keys below a prefix, page by page in key order, fetched ahead of who takes them; a long listing in several places at once.
//!
//! A listing begins as one segment: all keys. Once it proves long and the store slow to answer, the segment under way
//! is cut at a guessed name some pages ahead (`ahead.rs`), and what lies behind it is listed beside it with `start-after`. Pages
//! come out in order; those that are not next wait, so many and no more.
//!
//! Nothing depends on the guess, and nothing on the store's word (`segments.rs`): every page must be in byte order and behind
//! its start, and a segment ends only at a key that the one behind it saw as its first. Where that does not hold before
//! anything was given out, the segments behind are given up and the listing goes on in one; where it is too late, it is an error.

mod ahead;
mod segments;

use std::time::{Duration, Instant};

use segments::{Came, Segments};

use crate::error::{Error, ErrorKind, Result};
use crate::ops::engine::Engine;
use crate::ops::tasks::Tasks;
use crate::s3::client::{ListRequest, Listing};
use crate::s3::xml::ListPage;

/// How a listing is spread.
#[derive(Debug, Clone)]
pub struct Spread {
    /// Requests in flight.
    pub width: usize,
    /// Pages that a segment is cut to.
    pub length: u64,
    /// Pages that may wait for their turn, which is what a listing takes of memory.
    pub room: usize,
    /// Pages from which on it is cut at all.
    pub begin: u64,
    /// Pages that come faster than this are not worth it: the store is near, and its or our processor is the limit.
    pub patience: Duration,
}

impl Default for Spread {
    fn default() -> Self {
        Self { width: 8, length: 24, room: 144, begin: 3, patience: Duration::from_millis(8) }
    }
}

/// A listing under way; `T` is what is made of each page.
pub struct KeyPages<T> {
    make: Box<dyn Fn(ListPage) -> T + Send + Sync>,
    engine: Engine,
    request: ListRequest,
    spread: Spread,
    segments: Segments<Listing, T>,
    tasks: Tasks<Answer>,
    is_over: bool,
}

struct Answer {
    segment: u64,
    listing: Listing,
    page: Result<Option<ListPage>>,
    took: Duration,
}

impl<T> KeyPages<T> {
    pub fn start(
        engine: &Engine,
        request: ListRequest,
        make: impl Fn(ListPage) -> T + Send + Sync + 'static,
    ) -> Result<Self> {
        Self::spread(engine, request, Spread::default(), make)
    }

    pub fn spread(
        engine: &Engine,
        request: ListRequest,
        spread: Spread,
        make: impl Fn(ListPage) -> T + Send + Sync + 'static,
    ) -> Result<Self> {
        let first = engine.client.list_objects_v2(request.clone())?;
        // A level has no order to cut by, and a directory bucket lists in none.
        let may_be_cut = request.delimiter.is_none() && !request.bucket.ends_with("--x-s3");
        let segments = Segments::new(first, &request.prefix, request.start_after.clone(), spread.clone(), may_be_cut);
        let (make, engine) = (Box::new(make), engine.clone());
        Ok(Self { make, engine, request, spread, segments, tasks: Tasks::new(), is_over: false })
    }

    /// What was made of the next page in order, `None` after the last one. The page behind it is asked for before anything
    /// is made of this one. May be dropped and called again.
    pub async fn next_page(&mut self) -> Result<Option<T>> {
        while !self.is_over {
            let error = match self.segments.take(&self.make) {
                Came::Page(page) => {
                    self.ask()?;
                    return Ok(Some(page));
                }
                Came::Broken(error) => error,
                Came::End => {
                    self.stop().await;
                    break;
                }
                Came::Nothing => {
                    self.ask()?;
                    match self.tasks.next().await {
                        Some(Ok(Answer { segment, listing, page, took })) => {
                            self.segments.answered(segment, listing, page, took);
                            self.ask()?;
                            self.segments.make(&self.make);
                            continue;
                        }
                        Some(Err(error)) => error,
                        None => Error::new(ErrorKind::Internal, "a listing waits for nothing"),
                    }
                }
            };
            self.stop().await;
            return Err(error);
        }
        Ok(None)
    }

    /// Returns when nothing of it is under way any more.
    pub async fn stop(&mut self) {
        self.is_over = true;
        self.tasks.stop().await;
    }

    /// Sends as many requests as may be.
    fn ask(&mut self) -> Result<()> {
        loop {
            // While the store asks for less, only what is needed next.
            let width = if self.engine.client.pressure().pause().is_some() { 1 } else { self.spread.width };
            if let Some((segment, listing)) = self.segments.idle(self.tasks.len(), width) {
                self.tasks.spawn(fetch(segment, listing));
            } else if let Some(start) = self.segments.cut(self.tasks.len(), width) {
                let request = ListRequest { start_after: Some(start.clone()), ..self.request.clone() };
                self.segments.insert(start, self.engine.client.list_objects_v2(request)?);
            } else {
                return Ok(());
            }
        }
    }
}

async fn fetch(segment: u64, mut listing: Listing) -> Result<Answer> {
    let began = Instant::now();
    let page = listing.next_page().await;
    Ok(Answer { segment, listing, page, took: began.elapsed() })
}
