//! One bounded walk through a document (S14).
//!
//! Calls back at the end of every element with its path of local names (`ListBucketResult/Contents/Key`) and its
//! text. No DTD, no entities but the five predefined, depth and attributes bounded, one root. Line ends are left as
//! they were sent: a store that writes a raw `\r` into a key means it.

use quick_xml::Reader;
use quick_xml::events::{BytesStart, Event};

use crate::error::{Error, ErrorKind, Result};

const MAX_DEPTH: usize = 16;
const MAX_ATTRIBUTES: usize = 16;

/// The one error for a document that is not what it should be.
pub(super) fn broken() -> Error {
    Error::new(ErrorKind::Service, "answer is not the XML it should be")
}

/// Calls `visit(path, text)` at the end of every element, children first.
pub(super) fn walk(body: &[u8], mut visit: impl FnMut(&str, &str) -> Result<()>) -> Result<()> {
    let text = std::str::from_utf8(body).map_err(|_| broken())?;
    let mut reader = Reader::from_str(text.strip_prefix('\u{feff}').unwrap_or(text));
    let mut place = Place::default();
    loop {
        match reader.read_event().map_err(|_| broken())? {
            Event::Start(element) => place.open(&element)?,
            Event::Empty(element) => {
                place.open(&element)?;
                place.close(&mut visit)?;
            }
            Event::End(_) => place.close(&mut visit)?,
            Event::Text(piece) => place.add(&piece)?,
            Event::CData(piece) => place.add(&piece)?,
            Event::GeneralRef(name) => place.add(resolve(&name, &mut [0; 4])?)?,
            Event::Comment(_) | Event::Decl(_) | Event::PI(_) => {}
            Event::DocType(_) => return Err(broken()),
            Event::Eof if place.root_is_closed => return Ok(()),
            Event::Eof => return Err(broken()),
        }
    }
}

/// Where the walk is.
#[derive(Default)]
struct Place {
    path: String,
    /// Lengths of `path` before each open element.
    parents: Vec<usize>,
    text: String,
    root_is_closed: bool,
}

impl Place {
    fn open(&mut self, element: &BytesStart<'_>) -> Result<()> {
        let name = element.local_name();
        let name: &str = name.as_ref();
        if self.root_is_closed || self.parents.len() == MAX_DEPTH || name.is_empty() || name.contains('/') {
            return Err(broken());
        }
        for (count, attribute) in element.attributes().enumerate() {
            if count == MAX_ATTRIBUTES || attribute.is_err() {
                return Err(broken());
            }
        }
        self.parents.push(self.path.len());
        if !self.path.is_empty() {
            self.path.push('/');
        }
        self.path.push_str(name);
        self.text.clear();
        Ok(())
    }

    /// The reader has checked that the names of start and end agree.
    fn close(&mut self, visit: &mut impl FnMut(&str, &str) -> Result<()>) -> Result<()> {
        let parent = self.parents.pop().ok_or_else(broken)?;
        visit(&self.path, &self.text)?;
        self.path.truncate(parent);
        self.text.clear();
        self.root_is_closed = self.parents.is_empty();
        Ok(())
    }

    /// Outside the root there is white space only.
    fn add(&mut self, piece: &str) -> Result<()> {
        if !self.parents.is_empty() {
            self.text.push_str(piece);
            return Ok(());
        }
        if piece.bytes().all(|byte| byte.is_ascii_whitespace()) { Ok(()) } else { Err(broken()) }
    }
}

/// The text of `&name;`. Numbers may name what XML 1.0 forbids: S3 writes `&#x1;` for a key with that byte.
pub(super) fn resolve<'a>(name: &str, buffer: &'a mut [u8; 4]) -> Result<&'a str> {
    let c = match name {
        "lt" => '<',
        "gt" => '>',
        "amp" => '&',
        "apos" => '\'',
        "quot" => '"',
        _ => {
            let number = name.strip_prefix('#').ok_or_else(broken)?;
            let (digits, radix) = number.strip_prefix('x').map_or((number, 10), |hex| (hex, 16));
            if digits.starts_with('+') {
                return Err(broken());
            }
            u32::from_str_radix(digits, radix).ok().and_then(char::from_u32).ok_or_else(broken)?
        }
    };
    Ok(c.encode_utf8(buffer))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn seen(xml: &str) -> Option<Vec<(String, String)>> {
        let mut seen = Vec::new();
        let walked = walk(xml.as_bytes(), |path, text| {
            seen.push((path.to_owned(), text.to_owned()));
            Ok(())
        });
        walked.ok().map(|()| seen)
    }

    fn leaf(xml: &str) -> Option<String> {
        seen(xml).map(|mut seen| seen.remove(0).1)
    }

    #[test]
    fn visits_children_first_with_paths() {
        let xml = "\u{feff}\n <?xml version=\"1.0\"?> <!-- c --><s3:A xmlns:s3=\"u\"> <B>x</B> <C/> </s3:A>\n";
        let seen = seen(xml).unwrap();
        let expected = [("A/B", "x"), ("A/C", ""), ("A", " ")];
        assert_eq!(seen.iter().map(|(p, t)| (p.as_str(), t.as_str())).collect::<Vec<_>>(), expected);
    }

    #[test]
    fn text_is_exact() {
        let table = [
            ("<A> a  b </A>", " a  b "),
            ("<A>&lt;&gt;&amp;&apos;&quot;</A>", "<>&'\""),
            ("<A>&#x1;&#13;&#xd;&#128578;&#xFFFF;</A>", "\u{1}\r\r🙂\u{ffff}"),
            ("<A>a\r\nb\rc\n</A>", "a\r\nb\rc\n"),
            ("<A>x<![CDATA[<&amp;>]]>y<!-- c -->z</A>", "x<&amp;>yz"),
            ("<A>&amp;#x0;</A>", "&#x0;"),
        ];
        for (xml, text) in table {
            assert_eq!(leaf(xml).as_deref(), Some(text), "{xml}");
        }
    }

    #[test]
    fn refuses_broken_or_dangerous_documents() {
        let many = (0..17).map(|n| format!(" a{n}='x'")).collect::<String>();
        let table = [
            "",
            "   ",
            "text",
            "<A>",
            "<A><B></A></B>",
            "<A></A><B></B>",
            "<A></A>x",
            "x<A></A>",
            "<A>&unknown;</A>",
            "<A>&#xD800;</A>",
            "<A>&#x110000;</A>",
            "<A>&#;</A>",
            "<A>&#+1;</A>",
            "<A>&lt</A>",
            "<!DOCTYPE A><A/>",
            "<!DOCTYPE A [<!ENTITY x 'y'>]><A>&x;</A>",
            "<A x=1/>",
            "<A x='1' x='2'/>",
            "</A>",
            "<A/B></A/B>",
            &format!("<A{many}/>"),
            &format!("{}{}", "<a>".repeat(17), "</a>".repeat(17)),
        ];
        for xml in table {
            assert!(seen(xml).is_none(), "{xml}");
        }
        assert!(walk(b"<A>\xff</A>", |_, _| Ok(())).is_err());
        assert!(seen(&format!("{}{}", "<a>".repeat(16), "</a>".repeat(16))).is_some());
    }

    proptest! {
        #[test]
        fn never_panics(text in any::<String>(), soup in "[<>/&;#x!\\[\\]A-C\"'= ?-]{0,60}") {
            let _ = seen(&text);
            let _ = seen(&soup);
            let _ = seen(&format!("<A>{soup}</A>"));
        }

        #[test]
        fn cut_documents_are_refused(at in 1..45_usize) {
            let xml = "<A xmlns=\"u\"><B>text &amp; more</B><C></C></A>";
            prop_assert!(seen(&xml[..at.min(xml.len() - 1)]).is_none());
        }
    }
}
