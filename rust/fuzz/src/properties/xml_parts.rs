//! The stored parts of an object (C6, S14): the first line names the algorithm, the rest is the document.

use s3z::checksum::Kind;
use s3z::config::MAX_PARTS;
use s3z::s3::xml::parse_object_attributes;

use super::{is_plain, root};

pub fn holds(data: &[u8]) -> bool {
    let at = data.iter().position(|byte| *byte == b'\n').map_or(data.len(), |at| at + 1);
    let (name, body) = data.split_at(at);
    let name = String::from_utf8_lossy(name);
    let kind = Kind::ALL.into_iter().find(|kind| kind.name() == name.trim()).unwrap_or(Kind::ALL[0]);
    let page = match parse_object_attributes(body, kind) {
        Ok(page) => page,
        Err(error) => {
            assert!(is_plain(error.message()) && error.message().len() < 200);
            return false;
        }
    };
    let root = root(body).expect("a document has a root").to_ascii_lowercase();
    assert!(root.starts_with("getobjectattributes"), "{root}");
    assert!(page.parts.len() as u64 <= MAX_PARTS);
    assert!(page.parts.len() * "<Part>".len() <= body.len(), "bounded by what was read");
    let texts = page.parts.iter().filter_map(|part| part.checksum.as_ref()).chain(&page.etag);
    assert!(texts.clone().map(String::len).sum::<usize>() <= body.len());
    assert!(page.parts.iter().all(|part| part.checksum.as_deref() != Some("")));
    assert!(page.etag.is_none_or(|etag| etag.trim_matches('"') == etag), "without quotes");
    true
}
