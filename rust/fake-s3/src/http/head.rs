//! The request head: request line and header fields, as they came.
//!
//! Names are lower-cased, order and doubles are kept, the target stays raw, because the signature covers what was sent.

/// A parsed request head.
#[derive(Clone, Debug, Default)]
pub(crate) struct Head {
    pub method: String,
    pub path: String,
    pub query: String,
    pub http10: bool,
    pub headers: Vec<(String, String)>,
}

impl Head {
    /// Parses the bytes up to and including the empty line. `None` for anything that is not HTTP/1.x.
    pub fn parse(bytes: &[u8]) -> Option<Self> {
        let text = String::from_utf8_lossy(bytes);
        let mut lines = text.split("\r\n");
        let mut words = lines.next()?.split(' ');
        let (method, target, version) = (words.next()?, words.next()?, words.next()?);
        if words.next().is_some() || !version.starts_with("HTTP/1.") || method.is_empty() {
            return None;
        }
        let (path, query) = origin_form(target).split_once('?').unwrap_or((origin_form(target), ""));
        let mut headers = Vec::new();
        for line in lines.take_while(|line| !line.is_empty()) {
            let (name, value) = line.split_once(':')?;
            if name.is_empty() || name.ends_with(' ') {
                return None;
            }
            headers.push((name.to_ascii_lowercase(), value.trim_matches([' ', '\t']).to_owned()));
        }
        Some(Self {
            method: method.to_owned(),
            path: path.to_owned(),
            query: query.to_owned(),
            http10: version == "HTTP/1.0",
            headers,
        })
    }

    pub fn get(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str())
    }

    pub fn has(&self, name: &str) -> bool {
        self.get(name).is_some()
    }

    /// True if the comma-separated header holds `token`.
    pub fn has_token(&self, name: &str, token: &str) -> bool {
        self.headers
            .iter()
            .filter(|(key, _)| key == name)
            .flat_map(|(_, value)| value.split(','))
            .any(|part| part.trim().eq_ignore_ascii_case(token))
    }
}

/// `/path` of `/path` and of `http://host/path`.
fn origin_form(target: &str) -> &str {
    match target.split_once("://") {
        Some((scheme, rest)) if !scheme.starts_with('/') => rest.find('/').map_or("/", |at| &rest[at..]),
        _ => target,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parses_and_refuses() {
        let head = Head::parse(b"GET /b/k%20x?a=1 HTTP/1.1\r\nHost: h\r\nX-A:  v \r\n\r\n").unwrap();
        assert_eq!((head.method.as_str(), head.path.as_str(), head.query.as_str()), ("GET", "/b/k%20x", "a=1"));
        assert_eq!(head.get("x-a"), Some("v"));
        assert_eq!(Head::parse(b"GET http://h:1/p HTTP/1.0\r\n\r\n").unwrap().path, "/p");
        for bad in ["GET /\r\n\r\n", "GET / HTTP/2\r\n\r\n", "GET / HTTP/1.1\r\nnocolon\r\n\r\n"] {
            assert!(Head::parse(bad.as_bytes()).is_none(), "{bad}");
        }
    }
}
