//! Feeds the governor: five times a second, what a transfer moved and what held it up.

use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::time::{Interval, MissedTickBehavior, interval};

use crate::config::{CEILING_CONCURRENCY, TransferConfig};
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
    processor: Duration,
    cores: f64,
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
            processor: processor_time(),
            cores: cores as f64,
        }
    }

    pub async fn tick(&mut self) {
        self.ticks.tick().await;
    }

    /// Moves the gate by what happened since the last call.
    pub fn adapt(&mut self, client: &S3Client, progress: &Progress, writer_queue: usize) {
        let bytes = progress.snapshot().network;
        let throttles = client.pressure().throttles();
        let (processor, seconds) = (processor_time(), self.since.elapsed().as_secs_f64());
        let window = Window {
            bytes: bytes.saturating_sub(self.bytes),
            seconds,
            cpu: (processor.saturating_sub(self.processor)).as_secs_f64() / (seconds * self.cores),
            in_flight: self.gate.in_flight(),
            writer_queue,
            throttles: throttles - self.throttles,
        };
        (self.bytes, self.throttles, self.processor, self.since) = (bytes, throttles, processor, Instant::now());
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

/// Processor time of all threads of this process.
fn processor_time() -> Duration {
    let time = rustix::time::clock_gettime(rustix::time::ClockId::ProcessCPUTime);
    Duration::new(u64::try_from(time.tv_sec).unwrap_or(0), u32::try_from(time.tv_nsec).unwrap_or(0))
}
