//! One page of ListObjectsV2, of which there may be a thousand.
//!
//! Pages as stores write them are read in one pass that knows their shape, without an event for each tag; whatever else is well
//! formed is read by the general walk. The quick pass must never say anything the walk does not: a test holds them together.

use std::time::SystemTime;

use super::answers::{boolean, next_place, number, parse_timestamp, walk_root};
use super::read::{broken, resolve};
use crate::error::Result;
use crate::s3::encode::decode_url;

/// One page of ListObjectsV2.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ListPage {
    pub entries: Vec<ListedObject>,
    pub common_prefixes: Vec<String>,
    pub is_truncated: bool,
    /// `Some` if and only if `is_truncated`.
    pub next_continuation_token: Option<String>,
}

#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ListedObject {
    pub key: String,
    pub size: u64,
    /// As the store gave it, with its quotes.
    pub etag: Option<String>,
    pub last_modified: Option<SystemTime>,
    pub storage_class: Option<String>,
}

pub fn parse_list_v2(body: &[u8]) -> Result<ListPage> {
    let mut reading = Reading::default();
    if quick(body, &mut reading).is_none() {
        reading = Reading::default();
        walk_root(body, &["ListBucketResult"], |path, text| match path.split_once('/') {
            Some(("Contents", field)) => reading.field(field, text),
            Some(("CommonPrefixes", "Prefix")) => {
                reading.page.common_prefixes.push(text.to_owned());
                Ok(())
            }
            None if path == "Contents" => reading.entry(),
            None => reading.top(path, text),
            Some(_) => Ok(()),
        })?;
    }
    reading.finish()
}

/// A page as far as it was read.
#[derive(Default)]
struct Reading {
    page: ListPage,
    entry: ListedObject,
    key: Option<String>,
    size: Option<u64>,
    is_url_encoded: bool,
    token: Option<String>,
}

impl Reading {
    fn field(&mut self, name: &str, text: &str) -> Result<()> {
        match name {
            "Key" => self.key = Some(text.to_owned()),
            "Size" => self.size = Some(number(text)?),
            "ETag" => self.entry.etag = Some(text.to_owned()),
            "LastModified" => self.entry.last_modified = parse_timestamp(text),
            "StorageClass" => self.entry.storage_class = Some(text.to_owned()),
            _ => {}
        }
        Ok(())
    }

    fn entry(&mut self) -> Result<()> {
        let mut entry = std::mem::take(&mut self.entry);
        entry.key = self.key.take().ok_or_else(broken)?;
        entry.size = self.size.take().ok_or_else(broken)?;
        self.page.entries.push(entry);
        Ok(())
    }

    fn top(&mut self, name: &str, text: &str) -> Result<()> {
        match name {
            "EncodingType" => self.is_url_encoded = text.trim() == "url",
            "IsTruncated" => self.page.is_truncated = boolean(text)?,
            "NextContinuationToken" => self.token = Some(text.to_owned()),
            _ => {}
        }
        Ok(())
    }

    fn finish(self) -> Result<ListPage> {
        let mut page = self.page;
        if self.is_url_encoded {
            let keys = page.entries.iter_mut().map(|entry| &mut entry.key);
            for name in keys.chain(&mut page.common_prefixes) {
                if name.bytes().any(|byte| matches!(byte, b'%' | b'+')) {
                    *name = decode_url(name)?;
                }
            }
        }
        page.next_continuation_token = next_place(page.is_truncated, self.token.filter(|token| !token.is_empty()))?;
        Ok(page)
    }
}

/// Reads a page of the usual shape; `None` if it has another.
fn quick(body: &[u8], reading: &mut Reading) -> Option<()> {
    let mut scan = Scan { rest: str::from_utf8(body).ok()?, text: String::new() };
    scan.prologue()?;
    loop {
        let name = match scan.tag()? {
            Tag::Open(name) => name,
            Tag::Empty(name) => {
                reading.top(name, "").ok()?;
                continue;
            }
            Tag::Close("ListBucketResult") => break,
            Tag::Close(_) => return None,
        };
        match name {
            "Contents" => {
                contents(&mut scan, reading)?;
                reading.entry().ok()?;
            }
            "CommonPrefixes" => {
                let Tag::Open("Prefix") = scan.tag()? else { return None };
                reading.page.common_prefixes.push(scan.leaf("Prefix")?.to_owned());
                let Tag::Close("CommonPrefixes") = scan.tag()? else { return None };
            }
            name => {
                let text = scan.leaf(name)?;
                reading.top(name, text).ok()?;
            }
        }
    }
    scan.rest.bytes().all(|byte| byte.is_ascii_whitespace()).then_some(())
}

/// The fields of an entry, to its end.
fn contents(scan: &mut Scan<'_>, reading: &mut Reading) -> Option<()> {
    loop {
        match scan.tag()? {
            // Nothing in it is looked at, but it must be well formed.
            Tag::Open("Owner") => loop {
                match scan.tag()? {
                    Tag::Open(name) => _ = scan.leaf(name)?,
                    Tag::Empty(_) => {}
                    Tag::Close("Owner") => break,
                    Tag::Close(_) => return None,
                }
            },
            Tag::Open(name) => {
                let text = scan.leaf(name)?;
                reading.field(name, text).ok()?;
            }
            Tag::Empty(name) => reading.field(name, "").ok()?,
            Tag::Close("Contents") => return Some(()),
            Tag::Close(_) => return None,
        }
    }
}

enum Tag<'a> {
    Open(&'a str),
    Empty(&'a str),
    Close(&'a str),
}

/// What is left of a document.
struct Scan<'a> {
    rest: &'a str,
    /// A text with references in it, resolved.
    text: String,
}

impl<'a> Scan<'a> {
    /// The declaration, if any, and the root with no attribute but its namespace.
    fn prologue(&mut self) -> Option<()> {
        for declaration in [
            "<?xml version=\"1.0\" encoding=\"UTF-8\"?>",
            "<?xml version='1.0' encoding='UTF-8'?>",
            "<?xml version=\"1.0\" encoding=\"utf-8\"?>",
        ] {
            self.rest = self.rest.strip_prefix(declaration).unwrap_or(self.rest);
        }
        self.rest = self.rest.trim_ascii_start().strip_prefix("<ListBucketResult")?;
        if let Some(rest) = self.rest.strip_prefix(" xmlns=\"") {
            let (uri, rest) = rest.split_once('"')?;
            let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b":/.-".contains(&byte);
            self.rest = uri.bytes().all(is_plain).then_some(rest)?;
        }
        self.rest = self.rest.strip_prefix('>')?;
        Some(())
    }

    /// The next tag, white space before it.
    fn tag(&mut self) -> Option<Tag<'a>> {
        let rest = self.rest.trim_ascii_start().strip_prefix('<')?;
        let end = rest.bytes().position(|byte| byte == b'>')?;
        let (inner, behind) = (&rest[..end], &rest[end + 1..]);
        self.rest = behind;
        let tag = if let Some(name) = inner.strip_prefix('/') {
            (name, Tag::Close(name))
        } else if let Some(name) = inner.strip_suffix('/') {
            (name, Tag::Empty(name))
        } else {
            (inner, Tag::Open(inner))
        };
        let is_name = !tag.0.is_empty() && tag.0.bytes().all(|byte| byte.is_ascii_alphabetic());
        is_name.then_some(tag.1)
    }

    /// The text of an element without children, whose start has been read, to the end of its end.
    fn leaf(&mut self, name: &str) -> Option<&str> {
        let end = self.rest.find('<')?;
        let (text, behind) = self.rest.split_at(end);
        self.rest = behind.strip_prefix("</")?.strip_prefix(name)?.strip_prefix('>')?;
        if !text.contains('&') {
            return Some(text);
        }
        self.text.clear();
        let mut pieces = text.split('&');
        self.text.push_str(pieces.next()?);
        for piece in pieces {
            let (name, plain) = piece.split_once(';')?;
            self.text.push_str(resolve(name, &mut [0; 4]).ok()?);
            self.text.push_str(plain);
        }
        Some(&self.text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// By the general walk alone: a comment is nothing to it, and more than the quick pass knows.
    fn walked(xml: &str) -> Result<ListPage> {
        parse_list_v2(format!("{xml}<!-- c -->").as_bytes())
    }

    fn is_quick(xml: &str) -> bool {
        quick(xml.as_bytes(), &mut Reading::default()).is_some()
    }

    const PAGE: &str = "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<ListBucketResult xmlns=\"http://s3.amazonaws.com/doc/2006-03-01/\">\
        <Name>b</Name><Prefix/><NextContinuationToken>t&#x3d;</NextContinuationToken><KeyCount>2</KeyCount>\
        <EncodingType>url</EncodingType><IsTruncated>true</IsTruncated>\n <Contents><Key>a%20b%2Bc</Key>\
        <LastModified>2026-05-01T08:00:00.000Z</LastModified><ETag>&quot;e&quot;</ETag><Size>5</Size>\
        <Owner><ID>o</ID><DisplayName/></Owner><StorageClass>STANDARD</StorageClass></Contents>\
        <Contents><Key> c </Key><ETag/><Size> 7 </Size></Contents>\
        <CommonPrefixes><Prefix>p/</Prefix></CommonPrefixes></ListBucketResult>\n";

    #[test]
    fn usual_pages_are_read_quickly_and_as_the_walk_reads_them() {
        assert!(is_quick(PAGE));
        let page = parse_list_v2(PAGE.as_bytes()).unwrap();
        assert_eq!(page, walked(PAGE).unwrap());
        let names: Vec<(&str, u64)> = page.entries.iter().map(|entry| (entry.key.as_str(), entry.size)).collect();
        assert_eq!(names, [("a b+c", 5), (" c ", 7)]);
        assert_eq!((page.entries[0].etag.as_deref(), page.entries[1].etag.as_deref()), (Some("\"e\""), Some("")));
        assert_eq!((page.next_continuation_token.as_deref(), page.common_prefixes[0].as_str()), (Some("t="), "p/"));
    }

    #[test]
    fn what_is_not_usual_is_left_to_the_walk() {
        for (from, to) in [
            ("<Name>", "<Name a='1'>"),
            ("<Name>b</Name>", "<Name><![CDATA[b]]></Name>"),
            ("<Name>b</Name>", "<!-- c --><Name>b</Name>"),
            ("<Name>b</Name>", "<s3:Name xmlns:s3='u'>b</s3:Name>"),
            ("<Owner>", "<RestoreStatus><A><B/></A></RestoreStatus><Owner>"),
        ] {
            let other = PAGE.replacen(from, to, 1);
            assert!(!is_quick(&other), "{other}");
            assert_eq!(parse_list_v2(other.as_bytes()).unwrap(), walked(PAGE).unwrap(), "{to}");
        }
    }

    #[test]
    fn a_page_that_is_cut_anywhere_is_broken() {
        for at in 0..PAGE.trim_end().len() {
            assert!(parse_list_v2(&PAGE.as_bytes()[..at]).is_err(), "{at}");
        }
    }

    proptest! {
        #[test]
        fn both_ways_agree(
            keys in prop::collection::vec("[a-c &<>%+é]{0,4}", 0..4),
            at in 0..900_usize,
            soup in "(<|>|/|&|;|#|x|\"| |Key|Size|<Key>|</Key>|Contents|<Size>1</Size>|<Owner>|</Owner>){0,4}",
        ) {
            let rows: String = keys.iter().map(|key| format!("<Contents><Key>{key}</Key><Size>1</Size></Contents>")).collect();
            let at = (0..=at.min(PAGE.len())).rev().find(|at| PAGE.is_char_boundary(*at)).unwrap();
            for xml in [
                format!("<ListBucketResult>{rows}</ListBucketResult>"),
                format!("{}{soup}{}", &PAGE[..at], &PAGE[at..]),
            ] {
                let (one, other) = (parse_list_v2(xml.as_bytes()), walked(&xml));
                prop_assert_eq!(one.ok(), other.ok(), "{}", xml);
            }
        }
    }
}
