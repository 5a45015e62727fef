//! One row of a listing as a line or a record, to the letter of cli.md 5.2 and 6.

use std::io::Write as _;
use std::time::{SystemTime, UNIX_EPOCH};

use crate::ops::batch::{Record, civil, iso};
use crate::s3::xml::{ListedObject, ListedVersion};

/// What is shown of a row, and how.
#[derive(Debug, Clone, Copy, Default)]
pub struct Columns {
    pub json: bool,
    /// Nothing but the URI.
    pub full_path: bool,
    pub etag: bool,
    pub storage_class: bool,
    pub human: bool,
    /// For a terminal: no name may do anything there.
    pub escapes: bool,
}

/// An object, a version or a common prefix.
#[derive(Debug, Clone, Copy)]
pub struct Row<'a> {
    pub key: &'a str,
    pub is_prefix: bool,
    pub is_delete_marker: bool,
    pub size: u64,
    etag: Option<&'a str>,
    modified: Option<SystemTime>,
    class: Option<&'a str>,
    version_id: Option<&'a str>,
}

impl<'a> Row<'a> {
    pub fn prefix(key: &'a str) -> Self {
        Self {
            key,
            is_prefix: true,
            is_delete_marker: false,
            size: 0,
            etag: None,
            modified: None,
            class: None,
            version_id: None,
        }
    }

    pub fn object(object: &'a ListedObject) -> Self {
        Self {
            is_prefix: false,
            size: object.size,
            etag: object.etag.as_deref(),
            modified: object.last_modified,
            class: object.storage_class.as_deref(),
            ..Self::prefix(&object.key)
        }
    }

    pub fn version(version: &'a ListedVersion) -> Self {
        Self {
            is_prefix: false,
            is_delete_marker: version.is_delete_marker,
            size: version.size,
            etag: version.etag.as_deref(),
            modified: version.last_modified,
            class: version.storage_class.as_deref(),
            version_id: Some(&version.version_id),
            ..Self::prefix(&version.key)
        }
    }

    pub fn class(&self) -> &'a str {
        self.class.filter(|class| !class.is_empty()).unwrap_or("STANDARD")
    }

    pub fn is_directory_marker(&self) -> bool {
        self.size == 0 && self.key.ends_with('/')
    }

    /// Of versions a marker is one like any other.
    fn is_directory(&self) -> bool {
        self.is_prefix || (self.version_id.is_none() && self.is_directory_marker())
    }
}

impl Columns {
    /// Appends the row with its newline; `strip` bytes of the key are not shown.
    pub fn line(self, bucket: &str, strip: usize, row: &Row<'_>, out: &mut Vec<u8>) {
        if self.json {
            record(bucket, row, out);
        } else if self.full_path {
            out.extend_from_slice(b"s3://");
            self.push_name(bucket, out);
            out.push(b'/');
            self.push_name(row.key, out);
        } else {
            self.text(row.key.get(strip..).unwrap_or_default(), row, out);
        }
        out.push(b'\n');
    }

    /// `%19s %2s %-1s %12s %s`, with the ETag `%-38s` in the third place.
    fn text(self, name: &str, row: &Row<'_>, out: &mut Vec<u8>) {
        let is_directory = row.is_directory();
        match row.modified.filter(|_| !is_directory).and_then(fields) {
            Some(fields) => push_time(fields, out),
            None => pad(19, out),
        }
        out.push(b' ');
        let class = if self.storage_class && !is_directory { row.class() } else { "" };
        pad(2_usize.saturating_sub(class.chars().count()), out);
        out.extend_from_slice(class.as_bytes());
        out.push(b' ');
        let etag = row.etag.filter(|_| self.etag && !is_directory).unwrap_or_default().trim_matches('"');
        out.extend_from_slice(etag.as_bytes());
        pad((if self.etag { 38_usize } else { 1 }).saturating_sub(etag.chars().count()), out);
        out.push(b' ');
        // Writing to memory cannot fail.
        let _ = match is_directory {
            true => write!(out, "{:>12} ", "DIR"),
            false if self.human => write!(out, "{:>12} ", human(row.size)),
            false => write!(out, "{:>12} ", row.size),
        };
        let start = out.len();
        self.push_name(name, out);
        if let Some(version) = row.version_id {
            let width = String::from_utf8_lossy(&out[start..]).chars().count();
            pad(50_usize.saturating_sub(width), out);
            out.push(b' ');
            out.extend_from_slice(version.as_bytes());
        }
    }

    fn push_name(self, name: &str, out: &mut Vec<u8>) {
        if self.escapes { push_escaped(name, out) } else { out.extend_from_slice(name.as_bytes()) }
    }
}

fn record(bucket: &str, row: &Row<'_>, out: &mut Vec<u8>) {
    let mut record = Record::new();
    record.text("key", &format!("s3://{bucket}/{}", row.key));
    if row.is_directory() {
        record.text("type", "directory");
        out.extend(record.end().into_bytes());
        return;
    }
    if let Some(etag) = row.etag.filter(|etag| !etag.is_empty()) {
        record.text("etag", etag.trim_matches('"'));
    }
    if let Some(time) = row.modified.and_then(iso) {
        record.text("last_modified", &time);
    }
    record.text("type", "file");
    record.raw("size", &row.size.to_string());
    if let Some(class) = row.class {
        record.text("storage_class", class);
    }
    if let Some(version) = row.version_id {
        record.text("version_id", version);
    }
    if row.is_delete_marker {
        record.raw("delete_marker", "true");
    }
    out.extend(record.end().into_bytes());
}

fn pad(width: usize, out: &mut Vec<u8>) {
    out.resize(out.len() + width, b' ');
}

/// Year, month, day, hour, minute, second; `None` outside the years of four digits.
fn fields(time: SystemTime) -> Option<[u64; 6]> {
    let seconds = time.duration_since(UNIX_EPOCH).ok()?.as_secs();
    let (year, month, day) = civil(seconds / 86_400)?;
    let of_day = seconds % 86_400;
    Some([year, month, day, of_day / 3600, of_day / 60 % 60, of_day % 60])
}

/// `2026/05/01 08:00:00`
fn push_time([year, rest @ ..]: [u64; 6], out: &mut Vec<u8>) {
    let digit = |value: u64| b'0' + u8::try_from(value % 10).unwrap_or(0);
    out.extend([digit(year / 1000), digit(year / 100), digit(year / 10), digit(year)]);
    for (value, before) in rest.into_iter().zip(*b"// ::") {
        out.extend([before, digit(value / 10), digit(value)]);
    }
}

/// The largest unit that the size exceeds, with one decimal.
fn human(size: u64) -> String {
    for (name, unit) in [('T', 1_u64 << 40), ('G', 1 << 30), ('M', 1 << 20), ('K', 1 << 10)] {
        if size > unit {
            #[expect(clippy::cast_precision_loss, reason = "one decimal is shown")]
            let value = size as f64 / unit as f64;
            return format!("{value:.1}{name}");
        }
    }
    size.to_string()
}

/// Control characters, and marks that reorder or hide what is shown, as `_escape.py` writes them.
pub fn push_escaped(text: &str, out: &mut Vec<u8>) {
    let mut shown = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '\n' => shown.push_str("\\n"),
            '\r' => shown.push_str("\\r"),
            '\t' => shown.push_str("\\t"),
            c => crate::error::push_escaped(c, &mut shown),
        }
    }
    out.extend_from_slice(shown.as_bytes());
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    fn object(key: &str, size: u64) -> ListedObject {
        ListedObject {
            key: key.into(),
            size,
            etag: Some("\"e1\"".into()),
            last_modified: Some(UNIX_EPOCH + Duration::from_millis(1_777_622_400_999)),
            storage_class: Some("GLACIER".into()),
        }
    }

    fn line(columns: Columns, row: &Row<'_>) -> String {
        let mut out = Vec::new();
        columns.line("b", 2, row, &mut out);
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn columns_are_those_of_the_format() {
        let (plain, all) =
            (Columns::default(), Columns { etag: true, storage_class: true, human: true, ..Columns::default() });
        let (one, marker) = (object("p/ä\n", 1025), object("p/m/", 0));
        assert_eq!(line(plain, &Row::object(&one)), "2026/05/01 08:00:00              1025 ä\n\n");
        let wide = format!("2026/05/01 08:00:00 GLACIER {:<38} {:>12} ä\n\n", "e1", "1.0K");
        assert_eq!(line(all, &Row::object(&one)), wide);
        let directory = format!("{:19} {:2} {:1} {:>12} m/\n", "", "", "", "DIR");
        assert_eq!(line(plain, &Row::object(&marker)), directory);
        let full = Columns { full_path: true, escapes: true, ..Columns::default() };
        assert_eq!(line(full, &Row::object(&one)), "s3://b/p/ä\\n\n");
    }

    #[test]
    fn versions_have_their_id_behind_the_name() {
        let version = ListedVersion {
            key: "p/ä".into(),
            version_id: "v".into(),
            is_delete_marker: true,
            ..ListedVersion::default()
        };
        let row = Row::version(&version);
        assert_eq!(line(Columns::default(), &row), format!("{:19} {:2} {:1} {:>12} {:<50} v\n", "", "", "", 0, "ä"));
        let json = Columns { json: true, ..Columns::default() };
        let record =
            "{\"key\":\"s3://b/p/ä\",\"type\":\"file\",\"size\":0,\"version_id\":\"v\",\"delete_marker\":true}\n";
        assert_eq!(line(json, &row), record);
    }

    #[test]
    fn sizes_for_people() {
        for (size, shown) in [(0, "0"), (1024, "1024"), (1025, "1.0K"), (1280, "1.2K"), (1 << 30, "1024.0M")] {
            assert_eq!(human(size), shown);
        }
        assert_eq!(human(u64::MAX), "16777216.0T");
    }
}
