//! Outcomes as lines: `cp SOURCE DESTINATION`, or a JSON record each (cli.md 5.2 and 6). Nothing of it is made one by
//! one in Python.

use std::fmt::Write as _;
use std::time::{SystemTime, UNIX_EPOCH};

use base64::Engine as _;

use super::entry::{Outcome, Told, What};
use crate::ops::look::push_escaped;
use crate::ops::report::TransferReport;

/// `cp SOURCE DESTINATION`, byte for byte.
pub fn label(outcome: &Outcome) -> Vec<u8> {
    let mut line = outcome.operation.as_bytes().to_vec();
    line.push(b' ');
    line.extend_from_slice(&outcome.source);
    if let Some(version) = &outcome.version_id {
        let width = 50usize.saturating_sub(String::from_utf8_lossy(&outcome.source).chars().count());
        line.extend(std::iter::repeat_n(b' ', width));
        line.push(b' ');
        line.extend_from_slice(version.as_bytes());
    }
    if let Some(destination) = &outcome.destination {
        line.push(b' ');
        line.extend_from_slice(destination);
    }
    line
}

/// How a difference is marked.
fn mark(status: &str) -> u8 {
    match status {
        "differs" => b'*',
        "source_only" => b'+',
        "destination_only" => b'-',
        _ => b'?',
    }
}

/// The result line of what was done, would have been, or differs; of anything else there is none. `escapes`: nothing in
/// it moves the cursor of a terminal.
pub fn text(outcome: &Outcome, escapes: bool, out: &mut Vec<u8>) {
    let line = match outcome.what {
        What::Differs(status) => [&[mark(status), b' '], outcome.source.as_slice()].concat(),
        What::Done(_) | What::Dry if outcome.operation != "verify" => label(outcome),
        _ => return,
    };
    if escapes {
        for chunk in line.utf8_chunks() {
            push_escaped(chunk.valid(), out);
            chunk.invalid().iter().for_each(|byte| out.extend(format!("\\x{byte:02x}").into_bytes()));
        }
    } else {
        out.extend(line);
    }
    out.push(b'\n');
}

/// The record of what was done or skipped.
pub fn json(outcome: &Outcome, out: &mut Vec<u8>) {
    let mut record = Record::new();
    record.text("operation", outcome.operation);
    record.raw("success", "true");
    match &outcome.what {
        What::Failed(..) => return,
        What::Differs(status) => {
            record.name("path", &outcome.source);
            record.text("status", status);
            out.extend(record.end().into_bytes());
            out.push(b'\n');
            return;
        }
        // What is the same in both is no news.
        What::Done(None) | What::Skipped(_) if outcome.operation == "verify" => return,
        What::Skipped(reason) => {
            record.raw("skipped", "true");
            record.text("reason", reason);
        }
        What::Dry => record.raw("dry_run", "true"),
        What::Done(_) => {}
    }
    record.name("source", &outcome.source);
    if let Some(destination) = &outcome.destination {
        record.name("destination", destination);
    }
    if let Some(version) = &outcome.version_id {
        record.text("version_id", version);
    }
    if let Some(told) = &outcome.object {
        record.raw("object", &object(told));
    }
    if let What::Done(Some(report)) = &outcome.what {
        done(&mut record, report);
    }
    out.extend(record.end().into_bytes());
    out.push(b'\n');
}

fn done(record: &mut Record, report: &TransferReport) {
    if let Some(version) = &report.version_id {
        record.text("version_id", version);
    }
    record.text("verified", &verified(report));
    record.raw("attempts", &report.attempts.to_string());
    record.raw("resumed_bytes", &report.resumed_bytes.to_string());
    record.raw("seconds", &format!("{:.3}", report.seconds));
}

/// `full_object/crc64nvme`, `parts/sha256:3`, `length`.
fn verified(report: &TransferReport) -> String {
    let verified = &report.verified;
    match (verified.algorithm(), verified.kind(), verified.detail()) {
        (Some(kind), "parts", Some(count)) => format!("parts/{}:{count}", kind.lower()),
        (Some(kind), name, _) => format!("{name}/{}", kind.lower()),
        (None, name, _) => name.to_owned(),
    }
}

fn object(told: &Told) -> String {
    let mut record = Record::new();
    if !told.key.is_empty() {
        record.text("key", &told.key);
    }
    record.text("type", "file");
    if let Some(size) = told.size {
        record.raw("size", &size.to_string());
    }
    if let Some(etag) = &told.etag {
        record.text("etag", etag.trim_matches('"'));
    }
    if let Some(time) = told.last_modified.and_then(iso) {
        record.text("last_modified", &time);
    }
    if let Some(class) = &told.storage_class {
        record.text("storage_class", class);
    } else if told.etag.is_some() {
        record.text("storage_class", "STANDARD");
    }
    record.end()
}

/// `2026-05-01T08:00:00Z`, if the year has four digits.
pub fn iso(time: SystemTime) -> Option<String> {
    let seconds = time.duration_since(UNIX_EPOCH).ok()?.as_secs();
    let (days, of_day) = (seconds / 86_400, seconds % 86_400);
    let (year, month, day) = civil(days)?;
    Some(format!("{year:04}-{month:02}-{day:02}T{:02}:{:02}:{:02}Z", of_day / 3600, of_day / 60 % 60, of_day % 60))
}

/// Year, month and day, by Howard Hinnant's algorithm for days since 1970.
pub fn civil(days: u64) -> Option<(u64, u64, u64)> {
    let shifted = days.checked_add(719_468)?;
    let (era, of_era) = (shifted / 146_097, shifted % 146_097);
    let year_of_era = (of_era - of_era / 1460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted_month = (5 * of_year + 2) / 153;
    let day = of_year - (153 * shifted_month + 2) / 5 + 1;
    let month = if shifted_month < 10 { shifted_month + 3 } else { shifted_month - 9 };
    let year = year_of_era + era * 400 + u64::from(month <= 2);
    (year <= 9999).then_some((year, month, day))
}

/// A JSON object being written.
#[derive(Default)]
pub struct Record(String);

impl Record {
    pub fn new() -> Self {
        Self(String::with_capacity(256))
    }

    /// A value that is JSON already.
    pub fn raw(&mut self, name: &str, value: &str) {
        self.0.push(if self.0.is_empty() { '{' } else { ',' });
        let _ = write!(self.0, "\"{name}\":");
        self.0.push_str(value);
    }

    pub fn text(&mut self, name: &str, value: &str) {
        self.raw(name, "");
        quote(value, &mut self.0);
    }

    /// A name that may not be UTF-8: then with U+FFFD, and its bytes beside it.
    pub fn name(&mut self, name: &str, value: &[u8]) {
        match str::from_utf8(value) {
            Ok(value) => self.text(name, value),
            Err(_) => {
                self.text(name, &String::from_utf8_lossy(value));
                let bytes = base64::engine::general_purpose::STANDARD.encode(value);
                self.text(&format!("{name}_base64"), &bytes);
            }
        }
    }

    pub fn end(mut self) -> String {
        if self.0.is_empty() {
            self.0.push('{');
        }
        self.0.push('}');
        self.0
    }
}

/// As Python's `json` does it, which writes the records of failures.
fn quote(text: &str, out: &mut String) {
    out.push('"');
    if text.bytes().all(|byte| byte >= b' ' && byte != b'"' && byte != b'\\') {
        out.push_str(text);
        out.push('"');
        return;
    }
    for c in text.chars() {
        match c {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            '\x08' => out.push_str("\\b"),
            '\x0c' => out.push_str("\\f"),
            c if c < ' ' => {
                let _ = write!(out, "\\u{:04x}", u32::from(c));
            }
            c => out.push(c),
        }
    }
    out.push('"');
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    fn told(what: What) -> String {
        let outcome = Outcome {
            operation: "cp",
            source: b"s3://b/\"k\"\n".to_vec(),
            destination: Some(b"out/\xff".to_vec()),
            version_id: None,
            object: None,
            what,
        };
        let mut line = Vec::new();
        json(&outcome, &mut line);
        String::from_utf8(line).unwrap()
    }

    #[test]
    fn records_hold_any_name() {
        assert_eq!(
            told(What::Skipped("exists")),
            "{\"operation\":\"cp\",\"success\":true,\"skipped\":true,\"reason\":\"exists\",\
             \"source\":\"s3://b/\\\"k\\\"\\n\",\"destination\":\"out/\u{fffd}\",\"destination_base64\":\"b3V0L/8=\"}\n"
        );
    }

    #[test]
    fn lines_for_a_terminal_are_one_each() {
        let outcome = |what| Outcome {
            operation: "cp",
            source: b"a\n\x1b\xff\tb".to_vec(),
            destination: Some("\u{202e}\u{e4}".into()),
            version_id: None,
            object: None,
            what,
        };
        for (what, escapes, expected) in [
            (What::Dry, true, "cp a\\n\\x1b\\xff\\tb \\u202e\u{e4}\n".as_bytes()),
            (What::Dry, false, b"cp a\n\x1b\xff\tb \xe2\x80\xae\xc3\xa4\n"),
            (What::Differs("differs"), true, b"* a\\n\\x1b\\xff\\tb\n"),
            (What::Skipped("exists"), true, b""),
        ] {
            let mut line = Vec::new();
            text(&outcome(what), escapes, &mut line);
            assert_eq!(line, expected);
        }
    }

    #[test]
    fn dates() {
        for (seconds, text) in [
            (0, "1970-01-01T00:00:00Z"),
            (951_827_696, "2000-02-29T12:34:56Z"),
            (1_777_622_400, "2026-05-01T08:00:00Z"),
            (253_402_300_799, "9999-12-31T23:59:59Z"),
        ] {
            assert_eq!(iso(UNIX_EPOCH + Duration::from_secs(seconds)).as_deref(), Some(text));
        }
        assert_eq!(iso(UNIX_EPOCH + Duration::from_secs(253_402_300_800)), None);
    }
}
