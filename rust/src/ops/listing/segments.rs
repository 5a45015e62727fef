//! The segments of a listing: who lists what, what waits, and when a segment has ended. No request is made here.
//!
//! Segment by segment the key space is covered: one ends with the name behind which the next one begins. Invariants: segments
//! are in key order; only the last one has no end; what was given out is a beginning of the listing, without a gap; a
//! segment is over its end only if the first key there is the one its neighbour saw first.

use std::collections::VecDeque;
use std::time::Duration;

use super::Spread;
use super::ahead::{Alphabet, ahead};
use crate::error::{Error, ErrorKind, Result, escape};
use crate::s3::xml::ListPage;

/// Keys of a page whose characters are looked at.
const SAMPLED: usize = 48;
/// Pages that may wait, of the segment whose turn it is.
const READY: usize = 2;

pub enum Came<T> {
    Page(T),
    Broken(Error),
    End,
    /// Not yet.
    Nothing,
}

/// A page that waits: as it came, or what was made of it, which is smaller.
enum Ready<T> {
    Raw(ListPage),
    Made(T),
}

/// `L` lists one segment; it is away while its request is under way. `T` is what is made of a page.
pub struct Segments<L, T> {
    list: VecDeque<Segment<L, T>>,
    next_id: u64,
    prefix: usize,
    spread: Spread,
    alphabet: Alphabet,
    may_be_cut: bool,
    /// Answers that came, cuts made, and cuts behind which nothing was.
    pages: u64,
    cuts: u64,
    misses: u64,
    /// Whether a segment has ended before another: from then on its order is relied on.
    has_joined: bool,
    /// Times of the last answers.
    took: VecDeque<Duration>,
}

struct Segment<L, T> {
    id: u64,
    listing: Option<L>,
    /// Keys behind this one…
    start: Option<String>,
    /// …up to this one, which belongs to it.
    end: Option<String>,
    /// The first and the last key that came, beyond its end, too; and how many.
    first: Option<String>,
    last: Option<String>,
    keys: u64,
    pages: u64,
    has_begun: bool,
    is_done: bool,
    ready: VecDeque<Ready<T>>,
    /// The page with its end on it, while the neighbour has not begun.
    seam: Option<ListPage>,
    error: Option<Error>,
}

impl<L, T> Segment<L, T> {
    fn new(id: u64, listing: L, start: Option<String>, end: Option<String>) -> Self {
        Self {
            id,
            listing: Some(listing),
            start,
            end,
            first: None,
            last: None,
            keys: 0,
            pages: 0,
            has_begun: false,
            is_done: false,
            ready: VecDeque::new(),
            seam: None,
            error: None,
        }
    }

    fn is_open(&self) -> bool {
        !self.is_done && self.seam.is_none() && self.error.is_none()
    }
}

impl<L, T> Segments<L, T> {
    pub fn new(first: L, prefix: &str, start: Option<String>, spread: Spread, may_be_cut: bool) -> Self {
        Self {
            list: [Segment::new(0, first, start, None)].into(),
            next_id: 1,
            prefix: prefix.len(),
            spread,
            alphabet: Alphabet::default(),
            may_be_cut,
            pages: 0,
            cuts: 0,
            misses: 0,
            has_joined: false,
            took: VecDeque::new(),
        }
    }

    /// What is next in order.
    pub fn take(&mut self, make: &impl Fn(ListPage) -> T) -> Came<T> {
        while let Some(front) = self.list.front_mut() {
            if let Some(page) = front.ready.pop_front() {
                return Came::Page(match page {
                    Ready::Raw(page) => make(page),
                    Ready::Made(made) => made,
                });
            }
            if let Some(error) = front.error.take() {
                return Came::Broken(error);
            }
            if !front.is_done {
                return Came::Nothing;
            }
            self.list.pop_front();
        }
        Came::End
    }

    /// Makes of the pages that came what is wanted of them.
    pub fn make(&mut self, make: &impl Fn(ListPage) -> T) {
        for ready in self.list.iter_mut().flat_map(|segment| &mut segment.ready) {
            if let Ready::Raw(page) = ready {
                *ready = Ready::Made(make(std::mem::take(page)));
            }
        }
    }

    /// A segment that may ask for its next page, the first in order.
    pub fn idle(&mut self, in_flight: usize, width: usize) -> Option<(u64, L)> {
        let most = usize::try_from(self.spread.length).unwrap_or(usize::MAX);
        let waiting: usize = self.list.iter().skip(1).map(|segment| segment.ready.len()).sum();
        let is_full = waiting + in_flight >= self.spread.room;
        for (at, segment) in self.list.iter_mut().enumerate() {
            let has_room = match at {
                0 => segment.ready.len() < READY,
                // The one before may wait for its first key.
                _ if !segment.has_begun => in_flight < width,
                _ => in_flight < width && !is_full && segment.ready.len() < 2 * most,
            };
            if has_room
                && segment.is_open()
                && let Some(listing) = segment.listing.take()
            {
                return Some((segment.id, listing));
            }
        }
        None
    }

    /// Where to cut next, if it is worth it. To be followed by `insert`.
    pub fn cut(&mut self, in_flight: usize, width: usize) -> Option<String> {
        // One for sixteen pages, and few at the beginning: so much more it may cost at the worst.
        let credit = (self.pages / 4).min(8 + self.pages / 16);
        let is_slow = self.took.iter().min().is_some_and(|took| *took >= self.spread.patience);
        let is_worth_it = self.may_be_cut && is_slow && self.pages >= self.spread.begin;
        if !is_worth_it || in_flight >= width || self.list.len() >= self.spread.width {
            return None;
        }
        if self.cuts + self.misses >= credit {
            return None;
        }
        self.list.iter().find_map(|segment| self.place(segment))
    }

    /// A name in a segment some pages ahead, if it goes on clearly behind that.
    fn place(&self, segment: &Segment<L, T>) -> Option<String> {
        let (first, last) = (segment.first.as_deref()?, segment.last.as_deref()?);
        // Of a page or two little can be told.
        if segment.pages < self.spread.begin
            || !segment.is_open()
            || segment.end.as_deref().is_some_and(|end| last >= end)
        {
            return None;
        }
        let (stem, first) = (last.get(..self.prefix)?, first.get(self.prefix..)?);
        let last = last.get(self.prefix..)?;
        let guess = |pages: u64| {
            let want = (pages * segment.keys).div_ceil(segment.pages.max(1));
            let name = ahead(first, last, segment.keys, want, &self.alphabet)?;
            Some(format!("{stem}{name}"))
        };
        let place = guess(self.spread.length)?;
        match &segment.end {
            None => Some(place),
            Some(end) => (guess(self.spread.length * 3 / 2)? < *end).then_some(place),
        }
    }

    /// Lists what is behind `start`, a name that `cut` gave, beside the rest.
    pub fn insert(&mut self, start: String, listing: L) {
        let at = self.list.iter().position(|segment| segment.end.as_ref().is_none_or(|end| *end > start));
        let Some(at) = at else { return };
        let end = self.list[at].end.replace(start.clone());
        let segment = Segment::new(self.next_id, listing, Some(start), end);
        self.next_id += 1;
        self.cuts += 1;
        self.list.insert(at + 1, segment);
    }

    /// Takes in what came for a segment; of one that was given up it is nothing.
    pub fn answered(&mut self, id: u64, listing: L, page: Result<Option<ListPage>>, took: Duration) {
        self.pages += 1;
        self.took.push_back(took);
        if self.took.len() > 3 {
            self.took.pop_front();
        }
        let Some(at) = self.list.iter().position(|segment| segment.id == id) else { return };
        let page = match page {
            Ok(page) => page.unwrap_or_default(),
            // A store that does not know `start-after` may say so: then without.
            Err(_) if at > 0 && !self.list[at].has_begun => return self.give_up(at),
            Err(error) => {
                self.list[at].error = Some(error);
                return;
            }
        };
        let segment = &mut self.list[at];
        segment.listing = Some(listing);
        if let Some(place) = disorder(&page, segment.last.as_deref().or(segment.start.as_deref())) {
            if at > 0 && !segment.has_begun {
                return self.give_up(at);
            }
            self.may_be_cut = false;
            if !self.has_joined {
                if self.list.len() > 1 {
                    self.go_on_alone(0);
                }
                if at > 0 {
                    return;
                }
            } else {
                let shown = escape(place, 1024);
                let text = format!("the listing is not in order at \"{shown}\", though it was before");
                segment.error = Some(Error::new(ErrorKind::Service, text));
                return;
            }
        }
        for entry in page.entries.iter().step_by(page.entries.len() / SAMPLED + 1) {
            self.alphabet.learn(entry.key.get(self.prefix..).unwrap_or_default());
        }
        let segment = &mut self.list[at];
        if segment.first.is_none() {
            segment.first = page.entries.first().map(|entry| entry.key.clone());
        }
        if let Some(entry) = page.entries.last() {
            segment.last = Some(entry.key.clone());
        }
        segment.keys += page.entries.len() as u64;
        segment.pages += 1;
        if !segment.has_begun && at > 0 && page.entries.is_empty() && !page.is_truncated {
            self.misses += 1;
        }
        self.list[at].has_begun |= self.list[at].first.is_some() || !page.is_truncated;
        self.place_page(at, page);
        self.join(at);
    }

    /// If the segment before waits for the first key of this one, it goes on.
    fn join(&mut self, at: usize) {
        let Some(before) = at.checked_sub(1) else { return };
        if let Some(page) = self.list.get_mut(before).and_then(|segment| segment.seam.take()) {
            self.place_page(before, page);
        }
    }

    /// Puts a page where it waits for its turn; at the end of the segment only what belongs to it.
    fn place_page(&mut self, at: usize, mut page: ListPage) {
        let segment = &self.list[at];
        let Some(end) = &segment.end else {
            let segment = &mut self.list[at];
            segment.is_done = !page.is_truncated;
            segment.ready.push_back(Ready::Raw(page));
            return;
        };
        let inside = page.entries.partition_point(|entry| entry.key <= *end);
        if inside == page.entries.len() && page.is_truncated {
            self.list[at].ready.push_back(Ready::Raw(page));
            return;
        }
        let (beyond, next) = (page.entries.get(inside).map(|entry| &entry.key), &self.list[at + 1]);
        if !next.has_begun {
            self.list[at].seam = Some(page);
        } else if beyond == next.first.as_ref() {
            page.entries.truncate(inside);
            self.has_joined = true;
            let segment = &mut self.list[at];
            segment.is_done = true;
            segment.listing = None;
            segment.ready.push_back(Ready::Raw(page));
        } else {
            // Keys came or went between the two requests, or the store means something else by its order.
            self.go_on_alone(at);
            self.place_page(at, page);
        }
    }

    /// From here on all of it is one segment again.
    fn go_on_alone(&mut self, at: usize) {
        self.may_be_cut = false;
        self.list.truncate(at + 1);
        self.list[at].end = None;
        if let Some(page) = self.list[at].seam.take() {
            self.place_page(at, page);
        }
    }

    /// Gives a segment back to the one before, and cuts no more.
    fn give_up(&mut self, at: usize) {
        self.may_be_cut = false;
        if let Some(gone) = self.list.remove(at) {
            self.list[at - 1].end = gone.end;
            self.join(at);
        }
    }
}

/// The first key that is not behind the one before it.
fn disorder<'a>(page: &'a ListPage, before: Option<&'a str>) -> Option<&'a str> {
    let mut before = before;
    page.entries.iter().map(|entry| entry.key.as_str()).find(|key| {
        let is_behind = before.is_none_or(|before| before < *key);
        before = Some(key);
        !is_behind
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::s3::xml::ListedObject;
    use proptest::prelude::*;

    /// A store that lists in an order of its own, `page` keys at a time.
    #[derive(Clone, Copy, Debug, PartialEq)]
    enum Order {
        Bytes,
        Utf16,
        NoCase,
    }

    impl Order {
        fn of(self, key: &str) -> Vec<u16> {
            match self {
                Self::Bytes => key.bytes().map(u16::from).collect(),
                Self::Utf16 => key.encode_utf16().collect(),
                Self::NoCase => key.to_lowercase().bytes().map(u16::from).chain([0]).collect(),
            }
        }
    }

    struct Store {
        keys: Vec<String>,
        order: Order,
        page: usize,
    }

    impl Store {
        fn new(keys: impl IntoIterator<Item = String>, order: Order, page: usize) -> Self {
            let mut keys: Vec<String> = keys.into_iter().collect();
            keys.sort_by_key(|key| order.of(key));
            Self { keys, order, page }
        }

        fn begin(&self, start: &str) -> usize {
            self.keys.partition_point(|key| self.order.of(key) <= self.order.of(start))
        }

        fn answer(&self, at: usize) -> (ListPage, usize) {
            let end = (at + self.page).min(self.keys.len());
            let entry = |key: &String| ListedObject { key: key.clone(), ..ListedObject::default() };
            let entries = self.keys[at..end].iter().map(entry).collect();
            (ListPage { entries, is_truncated: end < self.keys.len(), ..ListPage::default() }, end)
        }
    }

    struct Told {
        keys: Vec<String>,
        requests: usize,
        most_waiting: usize,
        cuts: u64,
    }

    /// Lists all of it, answers coming in an order that `dice` gives; `None` if it ends in an error.
    fn list(store: &Store, length: u64, mut dice: u64) -> Option<Told> {
        let spread = Spread { width: 5, length, room: 4 * length as usize, begin: 1, patience: Duration::ZERO };
        let mut segments = Segments::<usize, ListPage>::new(0, "", None, spread, true);
        let mut told = Told { keys: Vec::new(), requests: 0, most_waiting: 0, cuts: 0 };
        let mut asked = Vec::new();
        loop {
            match segments.take(&|page| page) {
                Came::Page(page) => told.keys.extend(page.entries.into_iter().map(|entry| entry.key)),
                Came::Broken(_) => return None,
                Came::End => {
                    told.cuts = segments.cuts;
                    return Some(told);
                }
                Came::Nothing => {
                    loop {
                        if let Some(idle) = segments.idle(asked.len(), 5) {
                            asked.push(idle);
                        } else if let Some(start) = segments.cut(asked.len(), 5) {
                            let at = store.begin(&start);
                            segments.insert(start, at);
                        } else {
                            break;
                        }
                    }
                    dice = dice.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
                    let (id, at) = asked.swap_remove(usize::try_from(dice >> 33).unwrap() % asked.len());
                    let (page, next) = store.answer(at);
                    told.requests += 1;
                    segments.answered(id, next, Ok(Some(page)), Duration::from_secs(1));
                    let waiting = segments.list.iter().map(|segment| segment.ready.len()).sum();
                    told.most_waiting = told.most_waiting.max(waiting);
                }
            }
        }
    }

    #[test]
    fn a_long_listing_takes_few_requests_more_and_holds_few_pages() {
        let store = Store::new((0..20_000).map(|n| format!("{n:07}")), Order::Bytes, 10);
        let told = list(&store, 16, 1).unwrap();
        assert!(told.keys == store.keys);
        assert!(told.cuts > 80, "{}", told.cuts);
        assert!(told.requests <= 2000 + 2000 / 12, "{}", told.requests);
        assert!(told.most_waiting <= 5 * 16, "{}", told.most_waiting);
    }

    #[test]
    fn a_key_that_vanishes_at_a_seam_loses_no_other() {
        let mut segments = Segments::<(), ListPage>::new((), "", None, Spread { begin: 1, ..Spread::default() }, true);
        let page = |keys: &[&str], is_truncated| {
            let entry = |key: &&str| ListedObject { key: (*key).into(), ..ListedObject::default() };
            let entries = keys.iter().map(entry).collect();
            Ok(Some(ListPage { entries, is_truncated, ..ListPage::default() }))
        };
        let names = |segments: &mut Segments<(), ListPage>| match segments.take(&|page| page) {
            Came::Page(page) => page.entries.into_iter().map(|entry| entry.key).collect::<String>(),
            Came::End => "end".into(),
            _ => String::new(),
        };
        let slow = Duration::from_secs(1);
        segments.idle(0, 9).unwrap();
        segments.answered(0, (), page(&["a", "b"], true), slow);
        segments.insert("m".into(), ());
        assert_eq!(segments.idle(0, 9).unwrap().0, 0);
        assert_eq!(segments.idle(1, 9).unwrap().0, 1);
        // The second segment sees `p`, the first one still saw `n` before it.
        segments.answered(1, (), page(&["p", "q"], true), slow);
        segments.answered(0, (), page(&["c", "n"], true), slow);
        assert_eq!((names(&mut segments), names(&mut segments)), ("ab".into(), "cn".into()));
        assert_eq!(segments.idle(0, 9).unwrap().0, 0, "it goes on in one");
        segments.answered(0, (), page(&["p"], false), slow);
        assert_eq!((names(&mut segments), names(&mut segments)), ("p".into(), "end".into()));
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(2000))]
        #[test]
        fn whatever_the_order_nothing_is_lost_in_silence(
            keys in prop::collection::btree_set("[a-cA-C0-3/]{1,5}|[aé\u{e000}\u{ffee}🦀]{1,4}", 0..200),
            order in prop_oneof![Just(Order::Bytes), Just(Order::Utf16), Just(Order::NoCase)],
            page in 1..9_usize,
            length in 1..4_u64,
            dice in any::<u64>(),
        ) {
            let keys = match order {
                // Two keys that are one to the store are none that it has.
                Order::NoCase => keys.into_iter().map(|key| (key.to_lowercase(), key)).collect::<std::collections::BTreeMap<_, _>>().into_values().collect(),
                _ => keys,
            };
            let store = Store::new(keys, order, page);
            match list(&store, length, dice) {
                Some(told) => prop_assert_eq!(&told.keys, &store.keys),
                None => prop_assert_ne!(order, Order::Bytes),
            }
        }
    }
}
