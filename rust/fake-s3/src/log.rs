//! The request log: one record for each request, secrets hashed.

use serde::Serialize;

use crate::checksum::sha256_hex;
use crate::http::head::Head;

/// One request and what became of it.
#[derive(Clone, Debug, Default, Serialize)]
pub struct LogRecord {
    pub seq: u64,
    /// Seconds since the epoch, from the real clock.
    pub time: f64,
    /// Seconds from the head's arrival to the end of the answer.
    pub duration: f64,
    pub connection: u64,
    /// How many requests came before on the connection.
    pub nth: u64,
    pub local: String,
    pub peer: String,
    pub method: String,
    pub operation: String,
    pub path: String,
    pub query: String,
    pub bucket: Option<String>,
    pub key: Option<String>,
    /// The `Range` header as sent.
    pub range: Option<String>,
    pub part: Option<u32>,
    pub headers: Vec<(String, String)>,
    /// Bytes of the request read, head included.
    pub bytes_in: u64,
    /// Bytes of the answer written, head included.
    pub bytes_out: u64,
    /// Bytes of the answer's head among them.
    pub head_out: u64,
    /// Offset in the object of the first byte of the body, if the body is an object's.
    pub body_start: Option<u64>,
    /// 0 if there was none.
    pub status: u16,
    /// The code of an error answer.
    pub error: Option<String>,
    /// Names of the rules applied.
    pub rules: Vec<String>,
    /// How it ended: `""` while it runs, then `ok`, `closed`, `reset` or `broken: …`.
    pub end: String,
}

/// All records since the last clearing.
#[derive(Default)]
pub(crate) struct Log {
    pub records: Vec<LogRecord>,
    next: u64,
}

impl Log {
    /// Adds a record, drops the oldest ones beyond `limit`, and returns its number.
    pub fn begin(&mut self, mut record: LogRecord, limit: usize) -> u64 {
        self.next += 1;
        record.seq = self.next;
        if self.records.len() > limit.max(1) {
            self.records.drain(..self.records.len() / 2);
        }
        self.records.push(record);
        self.next
    }

    /// Changes a record that may have been cleared meanwhile.
    pub fn update(&mut self, seq: u64, change: impl FnOnce(&mut LogRecord)) {
        let Ok(at) = self.records.binary_search_by_key(&seq, |record| record.seq) else {
            return;
        };
        change(&mut self.records[at]);
    }

    pub fn is_quiet(&self) -> bool {
        self.records.iter().all(|record| !record.end.is_empty())
    }
}

/// How many bytes of an object were written to clients more than once.
pub(crate) fn bytes_sent_twice(records: &[LogRecord], bucket: &str, key: &str) -> u64 {
    let mut runs: Vec<(u64, u64)> = records
        .iter()
        .filter(|record| record.bucket.as_deref() == Some(bucket) && record.key.as_deref() == Some(key))
        .filter_map(|record| {
            let start = record.body_start?;
            Some((start, start + (record.bytes_out - record.head_out)))
        })
        .collect();
    runs.sort_unstable();
    let (mut twice, mut reached) = (0, 0);
    for (start, end) in runs {
        twice += end.min(reached).saturating_sub(start);
        reached = reached.max(end);
    }
    twice
}

/// The headers of a request, with hashes in place of secrets.
pub(crate) fn safe_headers(head: &Head) -> Vec<(String, String)> {
    let is_secret =
        |name: &str| name == "authorization" || name.contains("security-token") || name.contains("customer-key");
    head.headers
        .iter()
        .map(|(name, value)| match is_secret(name) {
            true => (name.clone(), format!("sha256:{}", &sha256_hex(value.as_bytes())[..16])),
            false => (name.clone(), value.clone()),
        })
        .collect()
}

/// The query with the values of secret parameters hashed.
pub(crate) fn safe_query(query: &str) -> String {
    let hide = |pair: &str| match pair.split_once('=') {
        Some((name, value))
            if matches!(name, "X-Amz-Signature" | "X-Amz-Credential" | "X-Amz-Security-Token" | "Signature") =>
        {
            format!("{name}=sha256:{}", &sha256_hex(value.as_bytes())[..16])
        }
        _ => pair.to_owned(),
    };
    query.split('&').map(hide).collect::<Vec<_>>().join("&")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_overlaps_once() {
        let record = |start: u64, len: u64| LogRecord {
            bucket: Some("b".into()),
            key: Some("k".into()),
            body_start: Some(start),
            head_out: 10,
            bytes_out: 10 + len,
            ..LogRecord::default()
        };
        assert_eq!(bytes_sent_twice(&[record(0, 5), record(5, 5)], "b", "k"), 0);
        assert_eq!(bytes_sent_twice(&[record(0, 6), record(5, 5), record(20, 1)], "b", "k"), 1);
        assert_eq!(bytes_sent_twice(&[record(0, 10), record(2, 3)], "b", "k"), 3);
    }

    #[test]
    fn hides_secrets() {
        assert!(!safe_query("a=1&X-Amz-Signature=abcdef").contains("abcdef"));
        let head = Head::parse(b"GET / HTTP/1.1\r\nAuthorization: topsecret\r\n\r\n").unwrap();
        assert!(!format!("{:?}", safe_headers(&head)).contains("topsecret"));
    }
}
