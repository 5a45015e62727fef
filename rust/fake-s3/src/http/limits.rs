//! Rates: bytes per second of one connection and of the whole server, by waiting after the bytes have gone.

use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use crate::sync::lock;

/// The rates in force; 0 is "no limit". Shared by all connections, changed while they run.
#[derive(Debug, Default)]
pub(crate) struct Limits {
    pub per_connection: AtomicU64,
    pub total: AtomicU64,
    total_next: Mutex<Option<Instant>>,
    pub stopped: AtomicBool,
}

impl Limits {
    pub fn stopped(&self) -> bool {
        self.stopped.load(Ordering::Relaxed)
    }

    /// The smallest rate in force.
    pub fn tightest(&self, own: Option<u64>) -> Option<u64> {
        let set = |rate: &AtomicU64| Some(rate.load(Ordering::Relaxed)).filter(|rate| *rate > 0);
        [own, set(&self.per_connection), set(&self.total)].into_iter().flatten().min()
    }

    fn charge_total(&self, count: u64) -> Option<Instant> {
        let rate = self.total.load(Ordering::Relaxed);
        if rate == 0 {
            return None;
        }
        let mut next = lock(&self.total_next);
        let start = next.unwrap_or_else(Instant::now).max(Instant::now());
        let end = start + Duration::from_secs_f64(count as f64 / rate as f64);
        *next = Some(end);
        Some(end)
    }
}

/// The account of one direction of one connection.
#[derive(Debug, Default)]
pub(crate) struct Pace {
    next: Option<Instant>,
}

impl Pace {
    /// How many of `len` bytes may move at once, so that a slow rate stays smooth.
    pub fn portion(limits: &Limits, own: Option<u64>, len: usize) -> usize {
        match limits.tightest(own) {
            Some(rate) => len.min((rate / 20).max(1) as usize),
            None => len,
        }
    }

    /// How long `count` bytes take at the rates in force, from now on.
    pub fn charge(&mut self, limits: &Limits, own: Option<u64>, count: usize) -> Duration {
        let connection = limits.per_connection.load(Ordering::Relaxed);
        let rate = own.into_iter().chain((connection > 0).then_some(connection)).min();
        let mine = rate.map(|rate| {
            let start = self.next.unwrap_or_else(Instant::now).max(Instant::now());
            start + Duration::from_secs_f64(count as f64 / rate as f64)
        });
        self.next = mine;
        let until = mine.max(limits.charge_total(count as u64));
        until.map_or(Duration::ZERO, |until| until.saturating_duration_since(Instant::now()))
    }
}

/// Sleeps, but not beyond the end of the server.
pub(crate) fn nap(limits: &Limits, time: Duration) {
    let end = Instant::now() + time;
    while !limits.stopped() {
        let left = end.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return;
        }
        thread::sleep(left.min(Duration::from_millis(50)));
    }
}
