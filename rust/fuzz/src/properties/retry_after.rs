//! `Retry-After` and `x-amz-retry-after` (R3, #18): never more than a minute, the longer of both, garbage asks nothing.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use s3z::s3::retry::parse_retry_after;

use super::{digits, fields};

const LONGEST: Duration = Duration::from_secs(60);

pub fn holds(data: &[u8]) -> bool {
    let [value, amz, now] = fields(data);
    let now = UNIX_EPOCH + Duration::from_secs(digits(&now).unwrap_or(1_800_000_000) >> 24);
    let amz = Some(amz.as_str()).filter(|text| !text.is_empty());
    let asked = parse_retry_after(&value, amz, now);
    let (alone, amz_alone) = (parse_retry_after(&value, None, now), parse_retry_after("", amz, now));
    assert_eq!(asked, alone.max(amz_alone), "the longer of both");
    if value.trim().bytes().all(|byte| byte.is_ascii_digit()) {
        assert_eq!(alone, asked_by(&value, Duration::from_secs), "{value:?}");
    }
    assert_eq!(amz_alone, amz.and_then(|text| asked_by(text, Duration::from_millis)), "{amz:?}");
    assert!(asked.is_none_or(|asked| asked <= LONGEST), "{asked:?}");
    later_asks_for_less(&value, now, alone);
    asked.is_some()
}

/// A number of units, at most a minute.
fn asked_by(text: &str, unit: fn(u64) -> Duration) -> Option<Duration> {
    let text = text.trim();
    let is_number = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    is_number.then(|| digits(text).map_or(LONGEST, |number| unit(number).min(LONGEST)))
}

/// Of a date: as time goes on, the wait gets shorter, and it ends.
fn later_asks_for_less(value: &str, now: SystemTime, asked: Option<Duration>) {
    let later = parse_retry_after(value, None, now + Duration::from_secs(30));
    assert_eq!(later.is_some(), asked.is_some());
    assert!(later <= asked, "{value:?}: {asked:?}, then {later:?}");
}
