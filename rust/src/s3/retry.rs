//! When to try again, how long to wait, and whether a retry is still affordable.
//!
//! Owns the classes of failure, the backoff (R1, R3) and the quota against retry storms (R5). All of it is pure: the
//! random number and the time are passed in, nothing sleeps or sends. Which answer belongs to which class is decided
//! in `s3/request.rs` only.

use std::time::{Duration, Instant, SystemTime};

use crate::config::RetryConfig;

/// What a failed attempt means for the next one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Class {
    /// A reused connection broke before the first answer byte.
    Stale,
    Transient,
    Throttle,
    /// This machine may open no more sockets: not the store's fault, and over when others are closed (F15).
    NoDescriptors,
    /// The answer broke the rules of HTTP, XML or of the range asked for.
    BadAnswer,
    Credentials,
    Clock,
    /// The store does not take checksum headers (C13).
    Checksums,
    /// The bucket lives in this region.
    Region(String),
    /// The store names another host for this request.
    Redirect(String),
    Terminal,
}

/// How long to wait before the next attempt.
#[derive(Debug, Clone)]
pub struct Backoff {
    transient_base: Duration,
    throttle_base: Duration,
    longest: Duration,
    longest_asked: Duration,
}

impl Backoff {
    pub fn new(config: &RetryConfig) -> Self {
        Self {
            transient_base: config.transient_base,
            throttle_base: config.throttle_base,
            longest: config.max_backoff,
            longest_asked: config.max_retry_after,
        }
    }

    /// Uniform in [0, min(longest, base · 2^(n−1))] (R1), raised to what the server asked for (R3). `random` is from
    /// [0, 1). Classes that are cured by a changed request wait only if the server asked.
    pub fn delay(&self, class: &Class, failures_in_a_row: u32, retry_after: Option<Duration>, random: f64) -> Duration {
        let base = match class {
            Class::Throttle => self.throttle_base,
            Class::Transient | Class::BadAnswer | Class::NoDescriptors => self.transient_base,
            _ => Duration::ZERO,
        };
        let doublings = failures_in_a_row.saturating_sub(1).min(31);
        let ceiling = base.saturating_mul(1 << doublings).min(self.longest);
        let asked = retry_after.unwrap_or_default().min(self.longest_asked);
        ceiling.mul_f64(random.clamp(0.0, 1.0)).max(asked)
    }
}

/// The wait a server asks for: `Retry-After` in seconds or as a date, `x-amz-retry-after` in milliseconds, the longer
/// of both, at most what the defaults allow. `value` is empty where the header is missing; garbage asks for nothing.
pub fn parse_retry_after(value: &str, x_amz_ms: Option<&str>, now: SystemTime) -> Option<Duration> {
    let value = value.trim();
    let by_value = match number(value) {
        Some(seconds) => Some(Duration::from_secs(seconds)),
        None => httpdate::parse_http_date(value).ok().map(|at| at.duration_since(now).unwrap_or_default()),
    };
    let by_amz = x_amz_ms.and_then(|text| number(text.trim())).map(Duration::from_millis);
    let asked = by_value.max(by_amz)?;
    Some(asked.min(RetryConfig::default().max_retry_after))
}

/// Digits only; more than fit in 64 bits count as the largest number.
fn number(text: &str) -> Option<u64> {
    if text.is_empty() || !text.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    Some(text.parse().unwrap_or(u64::MAX))
}

/// Retries that a client may still make at one endpoint: a bucket that failures empty and time and success fill.
#[derive(Debug)]
pub struct Quota {
    left: f64,
    size: f64,
    refill_per_second: f64,
    transient_cost: f64,
    throttle_cost: f64,
    refilled: Instant,
}

impl Quota {
    /// Full.
    pub fn new(config: &RetryConfig, now: Instant) -> Self {
        Self {
            left: f64::from(config.quota),
            size: f64::from(config.quota),
            refill_per_second: f64::from(config.quota_refill),
            transient_cost: f64::from(config.quota_transient),
            throttle_cost: f64::from(config.quota_throttle),
            refilled: now,
        }
    }

    /// Pays for one retry, or says how long it takes until there is enough.
    pub fn try_take(&mut self, class: &Class, now: Instant) -> Result<(), Duration> {
        let elapsed = now.saturating_duration_since(self.refilled);
        self.refilled = self.refilled.max(now);
        self.add(elapsed.as_secs_f64() * self.refill_per_second);
        let missing = self.cost(class) - self.left;
        if missing <= 0.0 {
            self.left -= self.cost(class);
            return Ok(());
        }
        // Up to a whole millisecond, so that who waits exactly so long finds enough.
        let wait = Duration::try_from_secs_f64(missing / self.refill_per_second).unwrap_or(Duration::MAX);
        Err(wait.saturating_add(Duration::from_millis(1)))
    }

    /// The retry that was paid for has succeeded.
    pub fn give_back(&mut self, class: &Class) {
        self.add(self.cost(class));
    }

    pub fn success_first_attempt(&mut self) {
        self.add(1.0);
    }

    fn add(&mut self, tokens: f64) {
        self.left = (self.left + tokens).min(self.size);
    }

    /// Classes that have a budget of their own for each request cost nothing here.
    fn cost(&self, class: &Class) -> f64 {
        match class {
            Class::Throttle => self.throttle_cost,
            Class::Transient | Class::BadAnswer => self.transient_cost,
            _ => 0.0,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const SECOND: Duration = Duration::from_secs(1);
    const ALMOST_ONE: f64 = 0.999_999_999;

    fn backoff() -> Backoff {
        Backoff::new(&RetryConfig::default())
    }

    #[test]
    fn ceiling_doubles_up_to_twenty_seconds() {
        let table = [
            (Class::Transient, 0, 50),
            (Class::Transient, 1, 50),
            (Class::Transient, 2, 100),
            (Class::Transient, 9, 12_800),
            (Class::Transient, 10, 20_000),
            (Class::Transient, u32::MAX, 20_000),
            (Class::Throttle, 1, 1_000),
            (Class::Throttle, 5, 16_000),
            (Class::Throttle, 6, 20_000),
            (Class::BadAnswer, 1, 50),
            (Class::NoDescriptors, 3, 200),
            (Class::Stale, 3, 0),
            (Class::Credentials, 3, 0),
        ];
        for (class, failures, ceiling) in table {
            let delay = backoff().delay(&class, failures, None, ALMOST_ONE);
            assert_eq!(delay.as_secs_f64().mul_add(1000.0, 0.5) as u64, ceiling, "{class:?} {failures}");
            assert_eq!(backoff().delay(&class, failures, None, 0.0), Duration::ZERO);
        }
    }

    #[test]
    fn server_raises_the_wait_but_never_lowers_it() {
        let delay = |asked| backoff().delay(&Class::Throttle, 3, Some(asked), 0.5);
        assert_eq!(delay(Duration::ZERO), 2 * SECOND);
        assert_eq!(delay(SECOND), 2 * SECOND);
        assert_eq!(delay(30 * SECOND), 30 * SECOND);
        assert_eq!(delay(3600 * SECOND), 60 * SECOND);
    }

    #[test]
    fn retry_after_forms() {
        let now = httpdate::parse_http_date("Fri, 01 May 2026 08:00:00 GMT").unwrap();
        let ms = Duration::from_millis;
        let table = [
            ("", None, None),
            ("0", None, Some(ms(0))),
            (" 7 ", None, Some(ms(7_000))),
            ("61", None, Some(ms(60_000))),
            ("99999999999999999999999999", None, Some(ms(60_000))),
            ("-1", None, None),
            ("+1", None, None),
            ("1.5", None, None),
            ("soon", None, None),
            ("Fri, 01 May 2026 08:00:09 GMT", None, Some(ms(9_000))),
            ("Fri, 01 May 2026 07:59:00 GMT", None, Some(ms(0))),
            ("Fri, 01 May 2099 08:00:00 GMT", None, Some(ms(60_000))),
            ("", Some("250"), Some(ms(250))),
            ("2", Some("250"), Some(ms(2_000))),
            ("2", Some("3500"), Some(ms(3_500))),
            ("2", Some("x"), Some(ms(2_000))),
            ("x", Some("99999999999999999999999999"), Some(ms(60_000))),
            ("x", Some(""), None),
        ];
        for (value, amz, expected) in table {
            assert_eq!(parse_retry_after(value, amz, now), expected, "{value:?} {amz:?}");
        }
    }

    #[test]
    fn storm_is_bounded() {
        let start = Instant::now();
        let mut quota = Quota::new(&RetryConfig::default(), start);
        let taken = |quota: &mut Quota, now| {
            std::iter::repeat_with(|| quota.try_take(&Class::Throttle, now)).take_while(Result::is_ok).count()
        };
        assert_eq!(taken(&mut quota, start), 100);
        assert_eq!(taken(&mut quota, start + 10 * SECOND), 20);
        // Time that runs backwards gives nothing.
        assert_eq!(taken(&mut quota, start), 0);
        assert_eq!(taken(&mut quota, start + 3600 * SECOND), 100);
    }

    #[test]
    fn costs_and_gifts() {
        let now = Instant::now();
        let mut quota = Quota::new(&RetryConfig { quota: 14, ..RetryConfig::default() }, now);
        assert!(quota.try_take(&Class::Transient, now).is_ok());
        for free in [Class::Stale, Class::NoDescriptors, Class::Credentials, Class::Clock, Class::Region("r".into())] {
            assert!(quota.try_take(&free, now).is_ok());
        }
        assert!(quota.try_take(&Class::Throttle, now).is_err());
        for _ in 0..4 {
            quota.success_first_attempt();
        }
        assert!(quota.try_take(&Class::Throttle, now).is_err());
        quota.success_first_attempt();
        assert!(quota.try_take(&Class::Throttle, now).is_ok());
        quota.give_back(&Class::Throttle);
        assert!(quota.try_take(&Class::Throttle, now).is_ok());
    }

    #[test]
    fn without_refill_the_wait_has_no_end() {
        let now = Instant::now();
        let mut quota = Quota::new(&RetryConfig { quota: 1, quota_refill: 0, ..RetryConfig::default() }, now);
        assert_eq!(quota.try_take(&Class::Transient, now), Err(Duration::MAX));
    }

    proptest! {
        #[test]
        fn delay_is_within_bounds(failures in any::<u32>(), asked in any::<Option<Duration>>(), random in 0.0..1.0_f64) {
            for class in [Class::Transient, Class::Throttle, Class::Stale, Class::Terminal] {
                let without = backoff().delay(&class, failures, None, random);
                let with = backoff().delay(&class, failures, asked, random);
                prop_assert!(without <= 20 * SECOND);
                prop_assert!(with >= without && with <= 60 * SECOND);
            }
        }

        #[test]
        fn retry_after_never_panics_and_is_clamped(value in any::<String>(), amz in any::<Option<String>>()) {
            let asked = parse_retry_after(&value, amz.as_deref(), SystemTime::now());
            prop_assert!(asked.is_none_or(|asked| asked <= 60 * SECOND));
        }

        #[test]
        fn quota_is_kept_and_the_wait_it_names_is_enough(steps in prop::collection::vec((0..4_u8, 0..3000_u64), 1..200)) {
            let mut now = Instant::now();
            let mut quota = Quota::new(&RetryConfig::default(), now);
            for (step, ms) in steps {
                now += Duration::from_millis(ms);
                match step {
                    0 => quota.success_first_attempt(),
                    1 => quota.give_back(&Class::Throttle),
                    _ => {
                        if let Err(wait) = quota.try_take(&Class::Transient, now) {
                            now += wait;
                            prop_assert!(quota.try_take(&Class::Transient, now).is_ok());
                        }
                    }
                }
                prop_assert!((0.0..=500.0).contains(&quota.left));
            }
        }
    }
}
