//! How often one request has been tried, and whether it may be tried again; pure but for the random wait.
//!
//! One `Attempts` lives as long as its request, through every resumed body. Rows of failures without progress are
//! bounded (R2), and the classes that are cured by a changed request have budgets of their own. It decides; the
//! funnel in `request.rs` waits and sends.

use std::sync::Arc;
use std::time::Duration;

use crate::config::RetryConfig;
use crate::credentials::Credentials;
use crate::s3::retry::Class;

#[derive(Debug, Clone, Default)]
pub struct Attempts {
    /// Requests sent, the first one included.
    sent: u32,
    /// The same without those that only met a stale connection; this is what is told.
    total: u32,
    /// The same since the last part began; this is what is bounded in any case (R2).
    in_part: u32,
    /// Failures in a row without progress.
    in_row: u32,
    stale: u32,
    bad_answers: u32,
    redirects: u32,
    refreshed: bool,
    clock_set: bool,
    checksums_dropped: bool,
    region_set: bool,
    /// New bytes since the last failure.
    new_bytes: u64,
    /// The class of the last retry, for what it cost.
    paid: Option<Class>,
    /// Whether the next one must use a new connection.
    pub(super) fresh_connection: bool,
    /// What the last one was signed with.
    pub(super) keys: Option<Arc<Credentials>>,
    /// Where a 307 sent this request.
    pub(super) redirected_to: Option<String>,
}

/// What is to be done after a failure.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Verdict {
    /// Send again at once or after a backoff; whether that costs quota.
    Retry {
        backoff: bool,
        costs: bool,
    },
    GiveUp,
}

impl Attempts {
    /// None made yet; the first one on a new connection if asked for.
    pub(super) fn on(fresh_connection: bool) -> Self {
        Self { fresh_connection, ..Self::default() }
    }

    pub fn total(&self) -> u32 {
        self.total.max(1)
    }

    /// Whether the request went out more than once, so that an earlier one may have done the work (C12).
    pub(super) fn was_resent(&self) -> bool {
        self.sent > 1
    }

    pub(super) fn in_row(&self) -> u32 {
        self.in_row
    }

    pub(super) fn begin(&mut self) {
        self.sent += 1;
        self.total += 1;
        self.in_part += 1;
    }

    /// One request for many parts has got to the next one.
    pub(super) fn next_part(&mut self) {
        self.in_part = 0;
    }

    /// Bytes that this request had not delivered before.
    pub(super) fn progress(&mut self, bytes: u64, config: &RetryConfig) {
        self.new_bytes += bytes;
        if self.new_bytes >= config.progress_bytes {
            self.in_row = 0;
        }
    }

    /// Whether bytes came since the last failure.
    pub(super) fn has_new_bytes(&self) -> bool {
        self.new_bytes > 0
    }

    /// What the last retry cost, to be given back now that it succeeded; `None` if there was no retry.
    pub(super) fn take_paid(&mut self) -> Option<Class> {
        self.paid.take()
    }

    pub(super) fn pay(&mut self, class: Class) {
        self.paid = Some(class);
    }

    /// Counts a failure of this class and decides.
    pub(super) fn failed(&mut self, class: &Class, config: &RetryConfig) -> Verdict {
        let free = self.new_bytes >= config.progress_bytes;
        self.new_bytes = 0;
        let once = |done: &mut bool| !std::mem::replace(done, true);
        let at_once = Verdict::Retry { backoff: false, costs: false };
        let allowed = match class {
            Class::Terminal => false,
            Class::Stale => {
                self.stale += 1;
                self.fresh_connection = true;
                self.total = self.total.saturating_sub(1);
                self.in_part = self.in_part.saturating_sub(1);
                return if self.stale <= config.stale_attempts { at_once } else { Verdict::GiveUp };
            }
            Class::Credentials => once(&mut self.refreshed),
            Class::Clock => once(&mut self.clock_set),
            Class::Checksums => once(&mut self.checksums_dropped),
            Class::Region(_) => once(&mut self.region_set),
            Class::Redirect(_) => {
                self.redirects += 1;
                self.redirects <= 3
            }
            Class::BadAnswer => {
                self.bad_answers += 1;
                self.fresh_connection = true;
                self.bad_answers <= 1
            }
            Class::Transient | Class::Throttle | Class::NoDescriptors => {
                self.in_row += 1;
                self.fresh_connection = matches!(class, Class::Transient);
                let costs = !free && *class != Class::NoDescriptors;
                return if self.in_row < config.max_attempts && self.in_part < config.hard_attempts {
                    Verdict::Retry { backoff: true, costs }
                } else {
                    Verdict::GiveUp
                };
            }
        };
        if allowed { at_once } else { Verdict::GiveUp }
    }
}

/// A random number from [0, 1).
pub(super) fn random_unit() -> f64 {
    let mut bytes = [0u8; 8];
    // Without randomness from the system half of the backoff is as good a wait as any.
    if getrandom::fill(&mut bytes).is_err() {
        return 0.5;
    }
    (u64::from_ne_bytes(bytes) >> 11) as f64 / (1u64 << 53) as f64
}

/// The wait for the retry budget may not be longer than this in all.
pub(super) fn affordable(wait: Duration, waited: Duration, config: &RetryConfig) -> bool {
    wait.saturating_add(waited) <= config.quota_wait
}

#[cfg(test)]
mod tests {
    use super::*;

    fn retries(class: &Class, config: &RetryConfig) -> u32 {
        let mut attempts = Attempts::default();
        let mut count = 0;
        loop {
            attempts.begin();
            if attempts.failed(class, config) == Verdict::GiveUp {
                return count;
            }
            count += 1;
        }
    }

    #[test]
    fn every_class_has_its_bound() {
        let config = RetryConfig::default();
        let cases = [
            (Class::Terminal, 0),
            (Class::Stale, 3),
            (Class::Credentials, 1),
            (Class::Clock, 1),
            (Class::Region("eu-west-1".into()), 1),
            (Class::Redirect("x".into()), 3),
            (Class::BadAnswer, 1),
            (Class::Transient, 9),
            (Class::Throttle, 9),
            (Class::NoDescriptors, 9),
        ];
        for (class, want) in cases {
            assert_eq!(retries(&class, &config), want, "{class:?}");
        }
    }

    #[test]
    fn progress_begins_the_row_anew_but_not_for_ever() {
        let config = RetryConfig::default();
        let mut attempts = Attempts::default();
        let mut count = 0;
        loop {
            attempts.begin();
            attempts.progress(config.progress_bytes, &config);
            match attempts.failed(&Class::Transient, &config) {
                Verdict::GiveUp => break,
                verdict => assert_eq!(verdict, Verdict::Retry { backoff: true, costs: false }),
            }
            count += 1;
        }
        assert_eq!(count, config.hard_attempts - 1);
    }

    #[test]
    fn random_is_a_unit() {
        for _ in 0..1000 {
            assert!((0.0..1.0).contains(&random_unit()));
        }
    }
}
