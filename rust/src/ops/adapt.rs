//! Feeds the governor: five times a second, what a transfer moved and what held it up.

use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::time::{Interval, MissedTickBehavior, interval};

use crate::config::{CEILING_CONCURRENCY, TransferConfig};
use crate::ops::load::Load;
use crate::progress::Progress;
use crate::s3::client::S3Client;
use crate::transfer::governor::{Governor, Window};
use crate::transfer::scheduler::Gate;

const WINDOW: Duration = Duration::from_millis(200);

/// One object's concurrency: fixed where the caller said so, else governed.
pub struct Adaption {
    pub gate: Arc<Gate>,
    governor: Governor,
    explicit: Option<usize>,
    ticks: Interval,
    since: Instant,
    bytes: u64,
    throttles: u64,
    load: Load,
}

impl Adaption {
    /// `explicit` is start and ceiling: only throttling goes below it.
    pub fn new(client: &S3Client, config: &TransferConfig, explicit: Option<usize>) -> Self {
        let explicit = explicit.or(config.max_concurrency);
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        let governor = Governor::new(explicit.unwrap_or(CEILING_CONCURRENCY).min(config.max_requests), cores);
        let start = explicit.unwrap_or(governor.limit()).min(config.max_requests);
        let mut ticks = interval(WINDOW);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        ticks.reset();
        Self {
            gate: Gate::new(start),
            governor,
            explicit,
            ticks,
            since: Instant::now(),
            bytes: 0,
            throttles: client.pressure().throttles(),
            load: Load::new(cores),
        }
    }

    pub async fn tick(&mut self) {
        self.ticks.tick().await;
    }

    /// Moves the gate by what happened since the last call.
    pub async fn adapt(&mut self, client: &S3Client, progress: &Progress, writer_queue: usize) {
        let bytes = progress.snapshot().network;
        let throttles = client.pressure().throttles();
        let cpu = self.load.sample().await;
        let window = Window {
            bytes: bytes.saturating_sub(self.bytes),
            seconds: self.since.elapsed().as_secs_f64(),
            cpu,
            in_flight: self.gate.in_flight(),
            writer_queue,
            throttles: throttles - self.throttles,
        };
        (self.bytes, self.throttles, self.since) = (bytes, throttles, Instant::now());
        let limit = match self.explicit {
            None => self.governor.observe(window),
            Some(explicit) if window.throttles > 0 => (self.gate.limit() * 7 / 10).clamp(1, explicit),
            Some(explicit) => (self.gate.limit() + 1).min(explicit),
        };
        if limit != self.gate.limit() {
            self.gate.set_limit(limit);
        }
    }
}
