//! Error bodies (S7, S14, S16, #19): whatever a store writes, what is kept is short, plain, and of the named fields.

use s3z::error::{MAX_SHOWN, escape};
use s3z::s3::xml::parse_error;

use super::{is_plain, root};

pub fn holds(data: &[u8]) -> bool {
    let text = String::from_utf8_lossy(data);
    let shown = escape(&text, MAX_SHOWN);
    assert!(is_plain(&shown), "{shown:?}");
    assert!(shown.len() <= MAX_SHOWN * 10 + 3, "bounded: {} bytes", shown.len());
    let Some(error) = parse_error(data) else { return false };
    assert!(!error.code.is_empty());
    let fields = [Some(error.code), Some(error.message), error.request_id, error.host_id, error.region, error.endpoint];
    for field in fields.into_iter().flatten() {
        assert!(is_plain(&field), "{field:?}");
        assert!(field.len() <= MAX_SHOWN * 10 + 3, "bounded: {} bytes", field.len());
    }
    assert!(matches!(root(data).as_deref(), Some("Error" | "ErrorResponse")), "{text:?}");
    true
}
