//! How busy the processors are: with this process, and with everything on the machine.
//!
//! The governor must not mistake a busy machine for a slow network. The process's own share respects a container's
//! cores; the machine's, from `/proc/stat`, sees a neighbour that eats the time. Where there is no such file the own
//! share alone counts.

use std::time::{Duration, Instant};

use rustix::time::{ClockId, clock_gettime};

pub struct Load {
    cores: f64,
    since: Instant,
    own: Duration,
    machine: Option<Ticks>,
}

/// Clock ticks of all processors since the machine started.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Ticks {
    busy: u64,
    all: u64,
}

impl Load {
    pub fn new(cores: usize) -> Self {
        Self { cores: cores as f64, since: Instant::now(), own: own_time(), machine: None }
    }

    /// The larger of both shares since the last call, from 0 to 1.
    pub async fn sample(&mut self) -> f64 {
        // A pseudo file, but one that a large machine takes a moment to write.
        let machine = tokio::task::spawn_blocking(machine_ticks).await.ok().flatten();
        let own = own_time();
        let spent = own.saturating_sub(self.own).as_secs_f64();
        let share = spent / (self.since.elapsed().as_secs_f64() * self.cores).max(f64::MIN_POSITIVE);
        let neighbours = match (self.machine, machine) {
            (Some(before), Some(now)) => busy_share(before, now),
            _ => 0.0,
        };
        (self.since, self.own, self.machine) = (Instant::now(), own, machine);
        share.max(neighbours)
    }
}

fn busy_share(before: Ticks, now: Ticks) -> f64 {
    let all = now.all.saturating_sub(before.all);
    if all == 0 { 0.0 } else { now.busy.saturating_sub(before.busy) as f64 / all as f64 }
}

/// Processor time of all threads of this process.
fn own_time() -> Duration {
    let time = clock_gettime(ClockId::ProcessCPUTime);
    Duration::new(u64::try_from(time.tv_sec).unwrap_or(0), u32::try_from(time.tv_nsec).unwrap_or(0))
}

fn machine_ticks() -> Option<Ticks> {
    parse_ticks(&std::fs::read_to_string("/proc/stat").ok()?)
}

/// The first line: `cpu user nice system idle iowait …`.
fn parse_ticks(stat: &str) -> Option<Ticks> {
    let fields: Option<Vec<u64>> =
        stat.lines().next()?.strip_prefix("cpu ")?.split_whitespace().map(|field| field.parse().ok()).collect();
    let fields = fields?;
    let idle = fields.get(3)? + fields.get(4)?;
    let all = fields.iter().take(8).sum::<u64>();
    Some(Ticks { busy: all.saturating_sub(idle), all })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ticks_of_the_first_line() {
        let stat = "cpu  10 1 5 80 4 0 2 1 0 0\ncpu0 5 0 2 40 2 0 1 0 0 0\n";
        assert_eq!(parse_ticks(stat), Some(Ticks { busy: 19, all: 103 }));
        for broken in ["", "cpu", "cpu  1 2 x 4 5", "intr 1 2 3 4 5"] {
            assert_eq!(parse_ticks(broken), None, "{broken}");
        }
    }

    #[test]
    fn shares_are_of_what_passed_meanwhile() {
        let (before, now) = (Ticks { busy: 100, all: 1000 }, Ticks { busy: 190, all: 1100 });
        assert!((busy_share(before, now) - 0.9).abs() < 1e-9);
        assert!(busy_share(now, now).abs() < 1e-9);
    }
}
