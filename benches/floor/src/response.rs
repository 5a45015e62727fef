//! The head of an HTTP/1.1 response: the three facts a transfer needs.
//!
//! Pure: takes bytes, gives values. Chunked bodies are refused, since the floor reads by length only.

use crate::Failure;

#[derive(Debug)]
pub struct Response {
    pub status: u16,
    /// Content-Length; 0 where the server sends none.
    pub length: u64,
    pub etag: Option<String>,
}

impl Response {
    /// Reads the head without its closing empty line.
    pub fn parse(head: &[u8]) -> Result<Self, Failure> {
        let head = std::str::from_utf8(head)?;
        let mut lines = head.split("\r\n");
        let status = lines.next().and_then(|line| line.split(' ').nth(1)).ok_or("no status line")?.parse()?;
        let mut response = Self { status, length: 0, etag: None };
        for (name, value) in lines.filter_map(|line| line.split_once(':')) {
            let value = value.trim();
            if name.eq_ignore_ascii_case("content-length") {
                response.length = value.parse()?;
            } else if name.eq_ignore_ascii_case("etag") {
                response.etag = Some(value.to_owned());
            } else if name.eq_ignore_ascii_case("transfer-encoding") {
                return Err("a chunked response".into());
            }
        }
        Ok(response)
    }
}

#[cfg(test)]
mod tests {
    use super::Response;

    #[test]
    fn reads_status_length_and_etag() {
        let head = b"HTTP/1.1 206 Partial Content\r\nETag: \"a\"\r\ncontent-length: 17";
        let response = Response::parse(head).unwrap();
        assert_eq!((response.status, response.length), (206, 17));
        assert_eq!(response.etag.as_deref(), Some("\"a\""));
    }

    #[test]
    fn refuses_chunks() {
        assert!(Response::parse(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked").is_err());
    }
}
