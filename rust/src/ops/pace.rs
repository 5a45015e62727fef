//! Which range is much slower than its peers, and what is done about it (#13, R11); pure but for the counters it reads.
//!
//! A range that got less than a quarter of the median of its peers for a while is cut: it asks again for its first
//! missing byte over a new connection, and so costs no byte twice but those that were on their way. At the end of a
//! transfer, where connections have nothing to do, the rest of the range that would take longest is split first, which
//! costs none at all. Where everything is slow nobody is slower than a quarter, so nothing is done. A range that waits
//! for a buffer is held up by the disk, not by the network: it is not judged.

use std::collections::VecDeque;
use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::time::{Duration, Instant};

use tokio::sync::Notify;

use crate::config::BUFFER_SIZE;
use crate::transfer::extent::Extent;

/// A range is slow below this part of its peers' median.
const SLOW: f64 = 0.25;
/// Peers without which nothing can be said.
const MIN_PEERS: usize = 3;
/// Finished ranges that still count as peers.
const REMEMBERED: usize = 16;
/// A range is cut no more often than this.
const MAX_CUTS: u32 = 2;

/// What a range tells of itself while it is received.
#[derive(Debug)]
pub struct Meter {
    bytes: AtomicU64,
    held_up: AtomicBool,
    cut: Notify,
    extent: Arc<Extent>,
}

impl Meter {
    pub fn new(extent: Arc<Extent>) -> Arc<Self> {
        Arc::new(Self { bytes: AtomicU64::new(0), held_up: AtomicBool::new(false), cut: Notify::new(), extent })
    }

    pub fn received(&self, bytes: u64) {
        self.bytes.fetch_add(bytes, Relaxed);
    }

    /// The range waited for something else than the network.
    pub fn was_held_up(&self) {
        self.held_up.store(true, Relaxed);
    }

    /// Returns when the range is to be asked for anew.
    pub async fn cut(&self) {
        self.cut.notified().await;
    }
}

/// The ranges of one transfer.
pub struct Pace {
    window: Duration,
    worth_splitting: Duration,
    running: Vec<Runner>,
    finished: VecDeque<f64>,
}

struct Runner {
    meter: Arc<Meter>,
    /// Whether another task may take over its rest.
    may_split: bool,
    samples: VecDeque<(Instant, u64)>,
    cuts: u32,
}

impl Runner {
    /// Bytes per second over the window, once it has been watched for so long.
    fn rate(&self, window: Duration) -> Option<f64> {
        let ((from, before), (to, now)) = (self.samples.front()?, self.samples.back()?);
        let seconds = to.duration_since(*from);
        (seconds >= window).then(|| (now - before) as f64 / seconds.as_secs_f64())
    }

    fn sample(&mut self, now: Instant, window: Duration) {
        let bytes = self.meter.bytes.load(Relaxed);
        if bytes == 0 || self.meter.held_up.swap(false, Relaxed) {
            self.samples.clear();
        }
        if bytes > 0 {
            self.samples.push_back((now, bytes));
        }
        // The oldest sample stays until the next one is old enough to take its place.
        while self.samples.get(1).is_some_and(|(at, _)| now.duration_since(*at) >= window) {
            self.samples.pop_front();
        }
    }
}

impl Pace {
    /// Ranges are judged by what they got within `window`; one that would end sooner than `worth_splitting` is not
    /// split.
    pub fn new(window: Duration, worth_splitting: Duration) -> Self {
        Self { window, worth_splitting, running: Vec::new(), finished: VecDeque::new() }
    }

    pub fn started(&mut self, meter: Arc<Meter>, may_split: bool) {
        self.running.push(Runner { meter, may_split, samples: VecDeque::new(), cuts: 0 });
    }

    /// Looks at all ranges that still run; what was split off comes back, to be fetched by an idle connection.
    pub fn observe(&mut self, now: Instant, has_idle: bool) -> Option<Range<u64>> {
        let window = self.window;
        let (ended, running) = std::mem::take(&mut self.running).into_iter().partition(is_over);
        self.running = running;
        self.finished.extend(ended.iter().filter_map(|runner: &Runner| runner.rate(Duration::from_millis(1))));
        while self.finished.len() > REMEMBERED {
            self.finished.pop_front();
        }
        self.running.iter_mut().for_each(|runner| runner.sample(now, window));
        self.cut_slow();
        if has_idle { self.split() } else { None }
    }

    fn cut_slow(&mut self) {
        let rates: Vec<_> = self.running.iter().map(|runner| runner.rate(self.window)).collect();
        for index in 0..self.running.len() {
            let Some(rate) = rates[index] else { continue };
            let others = rates.iter().enumerate().filter(|(other, _)| *other != index);
            let peers = others.filter_map(|(_, rate)| *rate).chain(self.finished.iter().copied());
            let is_slow = median(peers.collect()).is_some_and(|median| rate < SLOW * median);
            let runner = &mut self.running[index];
            if is_slow && runner.cuts < MAX_CUTS {
                runner.cuts += 1;
                runner.samples.clear();
                runner.meter.cut.notify_one();
            }
        }
    }

    /// Halves the range that would take longest, if that is worth a request.
    fn split(&self) -> Option<Range<u64>> {
        let left = |runner: &Runner| {
            let rate = runner.rate(self.worth_splitting)?;
            Some(runner.meter.extent.left() as f64 / rate.max(1.0))
        };
        let candidates = self.running.iter().filter(|runner| runner.may_split);
        let timed = candidates.filter_map(|runner| Some((left(runner)?, runner)));
        let (seconds, longest) = timed.max_by(|(one, _), (other, _)| one.total_cmp(other))?;
        if seconds < self.worth_splitting.as_secs_f64() {
            return None;
        }
        longest.meter.extent.split(BUFFER_SIZE as u64)
    }
}

/// Nobody receives it any more.
fn is_over(runner: &Runner) -> bool {
    Arc::strong_count(&runner.meter) == 1
}

fn median(mut rates: Vec<f64>) -> Option<f64> {
    if rates.len() < MIN_PEERS {
        return None;
    }
    rates.sort_by(f64::total_cmp);
    Some(rates[rates.len() / 2])
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::future::Future;
    use std::task::{Context, Waker};

    const TICK: Duration = Duration::from_millis(200);
    const PART: u64 = 64 << 20;

    struct Track {
        pace: Pace,
        now: Instant,
        meters: Vec<Arc<Meter>>,
    }

    impl Track {
        fn new(count: u64) -> Self {
            let mut track = Self {
                pace: Pace::new(Duration::from_secs(2), Duration::from_secs(1)),
                now: Instant::now(),
                meters: Vec::new(),
            };
            for index in 0..count {
                let meter = Meter::new(Arc::new(Extent::new(index * PART..(index + 1) * PART)));
                track.pace.started(meter.clone(), true);
                track.meters.push(meter);
            }
            track
        }

        /// Each range gets so many bytes in each of `ticks`; whether each was cut comes back.
        fn run(&mut self, bytes: &[u64], ticks: u32) -> Vec<bool> {
            for _ in 0..ticks {
                for (meter, bytes) in self.meters.iter().zip(bytes) {
                    meter.received(*bytes);
                    meter.extent.claim(*bytes);
                }
                self.now += TICK;
                assert_eq!(self.pace.observe(self.now, false), None);
            }
            let mut context = Context::from_waker(Waker::noop());
            self.meters.iter().map(|meter| std::pin::pin!(meter.cut()).as_mut().poll(&mut context).is_ready()).collect()
        }
    }

    /// #13
    #[test]
    fn the_one_far_behind_is_cut_and_not_for_ever() {
        let mut track = Track::new(5);
        assert_eq!(track.run(&[1000, 1000, 1000, 1000, 200], 10), [false; 5], "not watched for long enough");
        assert_eq!(track.run(&[1000, 1000, 1000, 1000, 200], 1), [false, false, false, false, true]);
        assert_eq!(track.run(&[1000, 1000, 1000, 1000, 200], 11), [false, false, false, false, true]);
        assert_eq!(track.run(&[1000, 1000, 1000, 1000, 200], 30), [false; 5], "twice is enough");
    }

    /// R11: it stops when everything is slow.
    #[test]
    fn no_one_is_cut_where_all_are_alike() {
        let mut track = Track::new(5);
        assert_eq!(track.run(&[10, 11, 9, 30, 3], 30), [false; 5]);
        let mut few = Track::new(3);
        assert_eq!(few.run(&[1000, 1000, 1], 30), [false; 3], "two peers say nothing");
    }

    #[test]
    fn the_disk_is_not_the_networks_fault() {
        let mut track = Track::new(5);
        for _ in 0..30 {
            track.meters[4].was_held_up();
            assert_eq!(track.run(&[1000, 1000, 1000, 1000, 1], 1), [false; 5]);
        }
    }

    #[test]
    fn finished_ranges_are_peers_of_the_last_one() {
        let mut track = Track::new(5);
        track.run(&[1000, 1000, 1000, 1000, 300], 20);
        track.meters.drain(..4);
        assert_eq!(track.run(&[300], 11), [false]);
        assert_eq!(track.run(&[100], 11), [true]);
    }

    #[test]
    fn what_would_take_longest_is_split_for_an_idle_connection() {
        let mut track = Track::new(2);
        track.run(&[4 << 20, 1 << 20], 6);
        let taken = track.pace.observe(track.now, true).unwrap();
        assert_eq!(taken.end, 2 * PART, "the slower one");
        assert_eq!(track.meters[1].extent.left() + (taken.end - taken.start), PART - 6 * (1 << 20));
        let mut fast = Track::new(1);
        fast.run(&[10 << 20], 6);
        assert_eq!(fast.pace.observe(fast.now, true), None, "it will have ended sooner");
        let mut whole = Track::new(0);
        let meter = Meter::new(Arc::new(Extent::new(0..PART)));
        whole.pace.started(meter.clone(), false);
        whole.meters.push(meter);
        whole.run(&[1 << 10], 10);
        assert_eq!(whole.pace.observe(whole.now, true), None, "one that is hashed must stay whole");
    }
}
