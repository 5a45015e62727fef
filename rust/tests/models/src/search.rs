//! How many schedules are searched, and how.

use shuttle::Config;
use shuttle::scheduler::{PctScheduler, RandomScheduler, Scheduler};

/// Schedules for each model; `make deep` asks for more.
const SCHEDULES: usize = 200;

/// Preemptions that the second search places at random: bugs need few, but at the right places.
const DEPTH: usize = 3;

fn schedules() -> usize {
    std::env::var("S3Z_SCHEDULES").ok().and_then(|count| count.parse().ok()).unwrap_or(SCHEDULES)
}

/// Runs a model under random schedules and under ones with few preemptions. A schedule that breaks it is printed;
/// `shuttle::replay` runs it again.
pub fn search(model: fn()) {
    run(RandomScheduler::new(schedules()), model);
    run(PctScheduler::new(DEPTH, schedules()), model);
}

fn run(scheduler: impl Scheduler + 'static, model: fn()) {
    shuttle::Runner::new(scheduler, Config::new()).run(model);
}

/// Whether one of the schedules breaks the model.
pub fn breaks(model: fn()) -> bool {
    std::panic::catch_unwind(|| search(model)).is_err()
}
