//! Scripted faults: which requests a rule matches, and what it does to them.
//!
//! Everything here is data with a JSON form; `README.md` documents it field by field. Applying an action is `plan`.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// Which requests a rule is for. A field that is not set matches everything.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Match {
    pub method: Option<String>,
    /// As in the S3 API: `GetObject`, `UploadPart` …
    pub operation: Option<String>,
    pub bucket: Option<String>,
    pub key: Option<String>,
    pub key_prefix: Option<String>,
    /// `*` and `?`.
    pub key_glob: Option<String>,
    /// Bounds, both inclusive, of the first byte a `Range` header asks for; no such header, no match.
    pub range_min: Option<u64>,
    pub range_max: Option<u64>,
    /// True: only with a `Range` header; false: only without.
    pub has_range: Option<bool>,
    pub part: Option<u32>,
    pub connection: Option<u64>,
    /// True: not the first request of its connection; false: the first one.
    pub reused: Option<bool>,
    /// A header that must be there, and its value if one is given.
    pub header: Option<String>,
    pub header_value: Option<String>,
    /// The first n matching requests pass.
    pub skip: u64,
    /// Of the matching requests after `skip`, every n-th.
    pub every: Option<u64>,
    /// Of the matching requests, this share, drawn from `seed`.
    pub probability: Option<f64>,
    pub seed: u64,
}

/// A rule: which requests, what to do, how often.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Rule {
    /// Shown in the log; empty means the action's name.
    #[serde(default)]
    pub name: String,
    #[serde(default, rename = "match")]
    pub matches: Match,
    pub action: Action,
    /// Applied at most so often; `None` is without end.
    #[serde(default)]
    pub times: Option<u64>,
}

impl Rule {
    pub fn new(matches: Match, action: Action) -> Self {
        Self { name: String::new(), matches, action, times: None }
    }

    pub fn times(mut self, times: u64) -> Self {
        self.times = Some(times);
        self
    }
}

/// What a rule does. `after` counts bytes of the answer's body, with `in_head` bytes of the answer from its first one.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case", deny_unknown_fields)]
pub enum Action {
    /// Answers this instead; `body` absent and `code` present gives S3's error XML. `early` answers before the request body
    /// is read and then closes.
    Respond {
        status: u16,
        #[serde(default)]
        code: Option<String>,
        #[serde(default)]
        message: Option<String>,
        #[serde(default)]
        body: Option<String>,
        #[serde(default)]
        headers: BTreeMap<String, String>,
        #[serde(default)]
        early: bool,
    },
    /// Writes these bytes instead of an answer, and closes unless `keep_open`.
    Raw {
        #[serde(with = "bytes_form")]
        bytes: Vec<u8>,
        #[serde(default)]
        keep_open: bool,
    },
    /// Closes (FIN) after n bytes of the body; over TLS without close_notify unless asked for.
    Truncate {
        after: u64,
        #[serde(default)]
        in_head: bool,
        #[serde(default)]
        close_notify: bool,
    },
    Stall {
        #[serde(default)]
        after: u64,
        seconds: f64,
        #[serde(default)]
        in_head: bool,
    },
    Reset {
        #[serde(default)]
        after: u64,
        #[serde(default)]
        in_head: bool,
    },
    Drip {
        #[serde(default)]
        after: u64,
        bytes_per_second: u64,
        #[serde(default)]
        in_head: bool,
    },
    /// Closes the connection after n bytes of the request's body; `reset` makes it an RST.
    CloseAfterRequestBytes {
        bytes: u64,
        #[serde(default)]
        reset: bool,
    },
    StallRequest {
        #[serde(default)]
        after: u64,
        seconds: f64,
    },
    DripRequest {
        #[serde(default)]
        after: u64,
        bytes_per_second: u64,
    },
    /// Sets a header, removes it (`value` null), or adds it a second time (`doubled`).
    Header {
        name: String,
        #[serde(default)]
        value: Option<String>,
        #[serde(default)]
        doubled: bool,
    },
    /// Lies in Content-Range; what is not given stays true.
    WrongContentRange {
        #[serde(default)]
        start: Option<u64>,
        #[serde(default)]
        end: Option<u64>,
        #[serde(default)]
        total: Option<u64>,
    },
    /// 200 with the whole object to a range.
    IgnoreRange,
    /// A correct 206 of at most n bytes.
    ShortRange { bytes: u64 },
    /// A 206 of n bytes more than asked for, as far as the object goes.
    LongRange { bytes: u64 },
    /// Flips bits of the byte at this offset of the object, if it is sent.
    BitFlip {
        offset: u64,
        #[serde(default = "one")]
        mask: u8,
    },
    /// Replaces the object before it is served; see the command of this name.
    SwapVersion {
        #[serde(default)]
        seed: Option<u64>,
        #[serde(default)]
        size: Option<u64>,
    },
    /// Does what was asked, then drops the connection instead of answering.
    ActThenDrop {
        #[serde(default)]
        reset: bool,
    },
    /// Waits before the request is acted on.
    Latency { ms: u64 },
    /// Interim answers before the real one.
    #[serde(rename = "flood_1xx")]
    Flood1xx {
        count: u64,
        #[serde(default = "processing")]
        status: u16,
    },
    /// Closes instead of answering if the connection has answered before.
    CloseAtReuse {
        #[serde(default)]
        reset: bool,
    },
    /// Answers correctly and without `Connection: close`, then closes.
    CloseAfterAnswer {
        #[serde(default)]
        delay_ms: u64,
    },
    /// Instead of acting: 200 and, after `spaces` blanks `interval_ms` apart, an `<Error>`. With an empty `code` the request
    /// is acted on, and only the blanks come first.
    #[serde(rename = "error_in_200")]
    ErrorIn200 {
        #[serde(default)]
        code: String,
        #[serde(default)]
        message: String,
        #[serde(default)]
        spaces: u64,
        #[serde(default)]
        interval_ms: u64,
    },
    /// A redirect; `endpoint` and `region` fill the elements and headers S3 sends.
    Redirect {
        status: u16,
        #[serde(default)]
        location: Option<String>,
        #[serde(default)]
        endpoint: Option<String>,
        #[serde(default)]
        region: Option<String>,
    },
    /// The body in chunked coding instead of Content-Length.
    Chunked {
        #[serde(default = "chunk_len")]
        chunk: u64,
        #[serde(default)]
        trailers: BTreeMap<String, String>,
    },
    /// Bytes behind the end of the answer.
    TrailingBytes {
        #[serde(with = "bytes_form")]
        bytes: Vec<u8>,
    },
    /// In DeleteObjects, an error for the keys that match the glob instead of deleting them.
    DeleteErrors {
        keys: String,
        code: String,
        #[serde(default)]
        message: String,
    },
}

fn one() -> u8 {
    1
}

fn processing() -> u16 {
    102
}

fn chunk_len() -> u64 {
    64 * 1024
}

impl Action {
    /// An S3 error answer.
    pub fn error(status: u16, code: &str) -> Self {
        Self::Respond {
            status,
            code: Some(code.to_owned()),
            message: None,
            body: None,
            headers: BTreeMap::new(),
            early: false,
        }
    }

    /// 503 SlowDown with a Retry-After header.
    pub fn slow_down(retry_after: &str) -> Self {
        Self::Respond {
            status: 503,
            code: Some("SlowDown".to_owned()),
            message: Some("Please reduce your request rate.".to_owned()),
            body: None,
            headers: [("Retry-After".to_owned(), retry_after.to_owned())].into(),
            early: false,
        }
    }

    /// The name in JSON.
    pub fn name(&self) -> String {
        let value = serde_json::to_value(self).unwrap_or_default();
        value["type"].as_str().unwrap_or_default().to_owned()
    }
}

/// Bytes in JSON: a string, or `{"base64": "…"}`.
mod bytes_form {
    use serde::{Deserialize, Deserializer, Serialize, Serializer};

    use crate::checksum::{from_base64, to_base64};

    #[derive(Serialize, Deserialize)]
    #[serde(untagged)]
    enum Form {
        Text(String),
        Base64 { base64: String },
    }

    pub fn serialize<S: Serializer>(bytes: &[u8], serializer: S) -> Result<S::Ok, S::Error> {
        Form::Base64 { base64: to_base64(bytes) }.serialize(serializer)
    }

    pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<u8>, D::Error> {
        match Form::deserialize(deserializer)? {
            Form::Text(text) => Ok(text.into_bytes()),
            Form::Base64 { base64 } => from_base64(&base64).ok_or_else(|| serde::de::Error::custom("bad base64")),
        }
    }
}

/// Shell-like matching with `*` and `?`, on bytes.
pub(crate) fn glob(pattern: &[u8], text: &[u8]) -> bool {
    let (mut p, mut t) = (0, 0);
    let mut star: Option<(usize, usize)> = None;
    while t < text.len() {
        match pattern.get(p) {
            Some(b'*') => {
                star = Some((p, t));
                p += 1;
            }
            Some(byte) if *byte == b'?' || *byte == text[t] => (p, t) = (p + 1, t + 1),
            _ => match star {
                Some((at, from)) => {
                    star = Some((at, from + 1));
                    (p, t) = (at + 1, from + 1);
                }
                None => return false,
            },
        }
    }
    pattern[p..].iter().all(|byte| *byte == b'*')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn globs() {
        for (pattern, text, expected) in [
            ("a*c", "abbc", true),
            ("a*c", "abb", false),
            ("?b*", "ab", true),
            ("*", "", true),
            ("", "a", false),
            ("*.x*y", "q.x.xzy", true),
        ] {
            assert_eq!(glob(pattern.as_bytes(), text.as_bytes()), expected, "{pattern} {text}");
        }
    }

    #[test]
    fn json_forms() {
        let rule: Rule = serde_json::from_str(
            r#"{"match":{"operation":"GetObject","skip":2},"action":{"type":"flood_1xx","count":3},"times":1}"#,
        )
        .unwrap();
        assert_eq!(rule.action.name(), "flood_1xx");
        assert_eq!(rule.matches.skip, 2);
        let raw: Action = serde_json::from_str(r#"{"type":"raw","bytes":{"base64":"AAE="}}"#).unwrap();
        assert!(matches!(raw, Action::Raw { bytes, .. } if bytes == [0, 1]));
        assert!(serde_json::from_str::<Action>(r#"{"type":"truncate","aftr":1}"#).is_err());
    }
}
