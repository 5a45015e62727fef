//! Rules at work: counts how often each has matched, and collects what the matching ones do to one request.

use std::time::Duration;

use crate::http::body::{ReadFault, ReadFaultKind};
use crate::http::output::WriteFaultKind;
use crate::request::Request;
use crate::rule::{Action, Match, Rule, glob};

/// A rule and its counters.
struct Armed {
    rule: Rule,
    seen: u64,
    applied: u64,
    random: u64,
}

/// All rules in force, in the order they were added.
#[derive(Default)]
pub(crate) struct Rules {
    armed: Vec<Armed>,
}

impl Rules {
    pub fn add(&mut self, rule: Rule) {
        let random = rule.matches.seed ^ 0x5851_F42D_4C95_7F2D;
        self.armed.push(Armed { rule, seen: 0, applied: 0, random });
    }

    pub fn clear(&mut self) {
        self.armed.clear();
    }

    /// The plan for a request; counts it for every rule it matches.
    pub fn plan(&mut self, request: &Request) -> Plan {
        let mut plan = Plan::default();
        for armed in &mut self.armed {
            let is_too_early = matches!(armed.rule.action, Action::CloseAtReuse { .. }) && request.nth == 0;
            if !is_too_early && fits(&armed.rule.matches, request) && armed.draw() {
                let name = match armed.rule.name.is_empty() {
                    true => armed.rule.action.name(),
                    false => armed.rule.name.clone(),
                };
                plan.applied.push(name);
                plan.add(armed.rule.action.clone());
            }
        }
        plan
    }
}

impl Armed {
    /// True if this matching request is one the rule applies to.
    fn draw(&mut self) -> bool {
        let matches = &self.rule.matches;
        self.seen += 1;
        let is_due = self.seen > matches.skip
            && matches.every.is_none_or(|every| (self.seen - matches.skip).is_multiple_of(every.max(1)))
            && self.rule.times.is_none_or(|times| self.applied < times);
        if !is_due {
            return false;
        }
        if let Some(probability) = matches.probability {
            self.random = self.random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            if (self.random >> 11) as f64 / (1u64 << 53) as f64 >= probability {
                return false;
            }
        }
        self.applied += 1;
        true
    }
}

fn fits(matches: &Match, request: &Request) -> bool {
    let same =
        |wanted: &Option<String>, value: Option<&str>| wanted.as_deref().is_none_or(|wanted| value == Some(wanted));
    let key = request.key.as_deref();
    let start = request.range.and_then(|range| range.start());
    same(&matches.method, Some(&request.head.method))
        && same(&matches.operation, Some(request.operation.name()))
        && same(&matches.bucket, request.bucket.as_deref())
        && same(&matches.key, key)
        && matches.key_prefix.as_deref().is_none_or(|prefix| key.is_some_and(|key| key.starts_with(prefix)))
        && matches
            .key_glob
            .as_deref()
            .is_none_or(|pattern| key.is_some_and(|key| glob(pattern.as_bytes(), key.as_bytes())))
        && matches.range_min.is_none_or(|min| start.is_some_and(|start| start >= min))
        && matches.range_max.is_none_or(|max| start.is_some_and(|start| start <= max))
        && matches.has_range.is_none_or(|wanted| wanted == request.head.has("range"))
        && matches.part.is_none_or(|part| request.part == Some(part))
        && matches.connection.is_none_or(|connection| request.connection == connection)
        && matches.reused.is_none_or(|reused| reused == (request.nth > 0))
        && matches.header.as_deref().is_none_or(|name| {
            let value = request.head.get(&name.to_ascii_lowercase());
            value.is_some() && (matches.header_value.is_none() || value == matches.header_value.as_deref())
        })
}

/// Answers that replace the real one.
#[derive(Debug, Clone)]
pub(crate) enum Instead {
    Respond(Action),
    Raw { bytes: Vec<u8>, keep_open: bool },
    Drop { reset: bool },
}

/// `error_in_200`.
#[derive(Debug, Clone)]
pub(crate) struct LateError {
    pub code: String,
    pub message: String,
    pub spaces: u64,
    pub interval: Duration,
}

/// What the rules do to one request.
#[derive(Default)]
pub(crate) struct Plan {
    pub applied: Vec<String>,
    pub latency: Duration,
    pub instead: Option<Instead>,
    pub read: Vec<ReadFault>,
    pub reset_after_cut: bool,
    /// (after, counted from the head, what)
    pub write: Vec<(u64, bool, WriteFaultKind)>,
    /// (offset in the object, mask)
    pub flips: Vec<(u64, u8)>,
    /// (name, value, doubled)
    pub headers: Vec<(String, Option<String>, bool)>,
    pub content_range: Option<(Option<u64>, Option<u64>, Option<u64>)>,
    pub ignore_range: bool,
    pub short_range: Option<u64>,
    pub long_range: Option<u64>,
    /// (seed, size)
    pub swap: Option<(Option<u64>, Option<u64>)>,
    pub drop_answer: Option<bool>,
    pub interim: Option<(u64, u16)>,
    pub close_after: Option<Duration>,
    pub late_error: Option<LateError>,
    pub chunked: Option<(u64, Vec<(String, String)>)>,
    pub trailing: Vec<u8>,
    /// (key glob, code, message)
    pub delete_errors: Vec<(String, String, String)>,
}

impl Plan {
    /// The first action that replaces the answer wins; all others add up.
    fn add(&mut self, action: Action) {
        let seconds = |seconds: f64| Duration::from_secs_f64(seconds.clamp(0.0, 1e6));
        match action {
            Action::Respond { .. } | Action::Redirect { .. } => self.replace(Instead::Respond(action)),
            Action::Raw { bytes, keep_open } => self.replace(Instead::Raw { bytes, keep_open }),
            Action::Truncate { after, in_head, close_notify } => {
                self.write.push((after, in_head, WriteFaultKind::Close { notify: close_notify }));
            }
            Action::Stall { after, seconds: time, in_head } => {
                self.write.push((after, in_head, WriteFaultKind::Stall(seconds(time))));
            }
            Action::Reset { after, in_head } => self.write.push((after, in_head, WriteFaultKind::Reset)),
            Action::Drip { after, bytes_per_second, in_head } => {
                self.write.push((after, in_head, WriteFaultKind::Drip(bytes_per_second)));
            }
            Action::CloseAfterRequestBytes { bytes, reset } => {
                self.read.push(ReadFault { after: bytes, kind: ReadFaultKind::Cut });
                self.reset_after_cut |= reset;
            }
            Action::StallRequest { after, seconds: time } => {
                self.read.push(ReadFault { after, kind: ReadFaultKind::Stall(seconds(time)) });
            }
            Action::DripRequest { after, bytes_per_second } => {
                self.read.push(ReadFault { after, kind: ReadFaultKind::Drip(bytes_per_second.max(1)) });
            }
            Action::CloseAtReuse { reset } => self.replace(Instead::Drop { reset }),
            other => self.add_change(other),
        }
    }

    fn add_change(&mut self, action: Action) {
        match action {
            Action::Header { name, value, doubled } => self.headers.push((name, value, doubled)),
            Action::WrongContentRange { start, end, total } => self.content_range = Some((start, end, total)),
            Action::IgnoreRange => self.ignore_range = true,
            Action::ShortRange { bytes } => self.short_range = Some(bytes),
            Action::LongRange { bytes } => self.long_range = Some(bytes),
            Action::BitFlip { offset, mask } => self.flips.push((offset, mask)),
            Action::SwapVersion { seed, size } => self.swap = Some((seed, size)),
            Action::ActThenDrop { reset } => self.drop_answer = Some(reset),
            Action::Latency { ms } => self.latency += Duration::from_millis(ms),
            Action::Flood1xx { count, status } => self.interim = Some((count, status)),
            Action::CloseAfterAnswer { delay_ms } => self.close_after = Some(Duration::from_millis(delay_ms)),
            Action::ErrorIn200 { code, message, spaces, interval_ms } => {
                let interval = Duration::from_millis(interval_ms);
                self.late_error = Some(LateError { code, message, spaces, interval });
            }
            Action::Chunked { chunk, trailers } => self.chunked = Some((chunk.max(1), trailers.into_iter().collect())),
            Action::TrailingBytes { bytes } => self.trailing = bytes,
            Action::DeleteErrors { keys, code, message } => self.delete_errors.push((keys, code, message)),
            _ => {}
        }
    }

    fn replace(&mut self, instead: Instead) {
        self.instead.get_or_insert(instead);
    }
}
