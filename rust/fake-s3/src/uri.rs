//! Percent-encoding as SigV4 wants it, and query strings.

use std::fmt::Write as _;

/// Decodes percent escapes; `None` if one is broken. `plus` reads `+` as a space, as queries do.
pub(crate) fn decode(text: &str, plus: bool) -> Option<Vec<u8>> {
    let bytes = text.as_bytes();
    let mut out = Vec::with_capacity(bytes.len());
    let mut at = 0;
    while at < bytes.len() {
        match bytes[at] {
            b'%' => {
                let digit = |byte: Option<&u8>| byte.and_then(|byte| (*byte as char).to_digit(16));
                let value = digit(bytes.get(at + 1))? * 16 + digit(bytes.get(at + 2))?;
                out.push(value as u8);
                at += 2;
            }
            b'+' if plus => out.push(b' '),
            byte => out.push(byte),
        }
        at += 1;
    }
    Some(out)
}

/// RFC 3986 encoding with upper-case escapes; `/` is kept if `keep_slash`.
pub(crate) fn encode(bytes: &[u8], keep_slash: bool) -> String {
    let mut out = String::with_capacity(bytes.len());
    for byte in bytes {
        let plain =
            byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_' | b'~') || (keep_slash && *byte == b'/');
        if plain {
            out.push(*byte as char);
        } else {
            let _ = write!(out, "%{byte:02X}");
        }
    }
    out
}

/// A decoded query string; names without `=` have an empty value.
#[derive(Clone, Debug, Default)]
pub(crate) struct Query(pub Vec<(String, String)>);

impl Query {
    pub fn parse(raw: &str) -> Option<Self> {
        let text = |part: &str| decode(part, true).map(|bytes| String::from_utf8_lossy(&bytes).into_owned());
        raw.split('&')
            .filter(|pair| !pair.is_empty())
            .map(|pair| {
                let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
                Some((text(name)?, text(value)?))
            })
            .collect::<Option<Vec<_>>>()
            .map(Self)
    }

    pub fn get(&self, name: &str) -> Option<&str> {
        self.0.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str())
    }

    pub fn has(&self, name: &str) -> bool {
        self.get(name).is_some()
    }

    /// The canonical form of SigV4, without `X-Amz-Signature`.
    pub fn canonical(&self) -> String {
        let mut pairs: Vec<_> = self
            .0
            .iter()
            .filter(|(name, _)| name != "X-Amz-Signature")
            .map(|(name, value)| (encode(name.as_bytes(), false), encode(value.as_bytes(), false)))
            .collect();
        pairs.sort();
        pairs.iter().map(|(name, value)| format!("{name}={value}")).collect::<Vec<_>>().join("&")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn encodes_and_decodes() {
        assert_eq!(encode("a b/ü~".as_bytes(), true), "a%20b/%C3%BC~");
        assert_eq!(encode(b"a/b", false), "a%2Fb");
        assert_eq!(decode("a%20b+c", false), Some(b"a b+c".to_vec()));
        assert_eq!(decode("a%2", false), None);
        assert_eq!(decode("%zz", false), None);
    }

    #[test]
    fn query_is_sorted_and_completed() {
        let query = Query::parse("prefix=a%2fb&list-type=2&acl").unwrap();
        assert_eq!(query.canonical(), "acl=&list-type=2&prefix=a%2Fb");
        assert!(query.has("acl"));
    }
}
