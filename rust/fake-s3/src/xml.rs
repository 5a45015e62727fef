//! XML in and out: an escaping writer for answers, and a small tree for request bodies.

use std::fmt::{Display, Write as _};

use quick_xml::Reader;
use quick_xml::events::Event;

use crate::error::S3Error;

pub(crate) const NAMESPACE: &str = "http://s3.amazonaws.com/doc/2006-03-01/";

/// Escapes text; control characters become references, as S3 writes them.
pub(crate) fn escape(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for character in text.chars() {
        match character {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            c if (c as u32) < 0x20 => out.push_str(&format!("&#x{:x};", c as u32)),
            c => out.push(c),
        }
    }
    out
}

/// Builds an answer element by element.
pub(crate) struct Writer {
    out: String,
    open: Vec<&'static str>,
}

impl Writer {
    pub fn new(root: &'static str) -> Self {
        let out = format!("<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<{root} xmlns=\"{NAMESPACE}\">");
        Self { out, open: vec![root] }
    }

    pub fn open(&mut self, name: &'static str) -> &mut Self {
        self.tag("<", name);
        self.open.push(name);
        self
    }

    pub fn close(&mut self) -> &mut Self {
        if let Some(name) = self.open.pop() {
            self.tag("</", name);
        }
        self
    }

    /// Written in place: a listing has seven thousand of these.
    pub fn text(&mut self, name: &str, value: impl Display) -> &mut Self {
        self.tag("<", name);
        let start = self.out.len();
        let _ = write!(self.out, "{value}");
        if self.out.as_bytes()[start..].iter().any(|byte| *byte < 0x20 || b"&<>\"".contains(byte)) {
            let plain = self.out.split_off(start);
            self.out.push_str(&escape(&plain));
        }
        self.tag("</", name);
        self
    }

    fn tag(&mut self, begin: &str, name: &str) {
        self.out.push_str(begin);
        self.out.push_str(name);
        self.out.push('>');
    }

    pub fn maybe(&mut self, name: &str, value: Option<impl Display>) -> &mut Self {
        if let Some(value) = value {
            self.text(name, value);
        }
        self
    }

    pub fn owner(&mut self, name: &'static str) -> &mut Self {
        self.open(name).text("ID", "fake").text("DisplayName", "fake").close()
    }

    pub fn finish(mut self) -> Vec<u8> {
        while !self.open.is_empty() {
            self.close();
        }
        self.out.into_bytes()
    }
}

/// An element of a request body.
#[derive(Debug, Default)]
pub(crate) struct Element {
    pub name: String,
    pub text: String,
    pub children: Vec<Element>,
}

impl Element {
    /// Parses a whole document; anything that is not well formed is `MalformedXML`.
    pub fn parse(bytes: &[u8]) -> Result<Self, S3Error> {
        Self::tree(bytes).ok_or_else(S3Error::malformed_xml)
    }

    fn tree(bytes: &[u8]) -> Option<Self> {
        let text = std::str::from_utf8(bytes).ok()?;
        let mut reader = Reader::from_str(text);
        let mut stack = vec![Self::default()];
        loop {
            match reader.read_event().ok()? {
                Event::Start(start) => stack.push(Self::named(start.local_name().as_ref())),
                Event::Empty(start) => stack.last_mut()?.children.push(Self::named(start.local_name().as_ref())),
                Event::End(_) => {
                    let done = stack.pop()?;
                    stack.last_mut()?.children.push(done);
                }
                Event::Text(part) => stack.last_mut()?.text.push_str(&part),
                Event::CData(part) => stack.last_mut()?.text.push_str(&part),
                Event::GeneralRef(part) => {
                    let character = match part.resolve_char_ref().ok()? {
                        Some(character) => character,
                        None => named_entity(&part)?,
                    };
                    stack.last_mut()?.text.push(character);
                }
                Event::Eof => break,
                _ => {}
            }
        }
        let mut root = stack.pop()?;
        (stack.is_empty() && root.children.len() == 1).then(|| root.children.remove(0))
    }

    fn named(name: &str) -> Self {
        Self { name: name.to_owned(), ..Self::default() }
    }

    pub fn child(&self, name: &str) -> Option<&Self> {
        self.children.iter().find(|child| child.name == name)
    }

    pub fn all<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a Self> {
        self.children.iter().filter(move |child| child.name == name)
    }

    pub fn text_of(&self, name: &str) -> Option<&str> {
        self.child(name).map(|child| child.text.as_str())
    }
}

fn named_entity(name: &str) -> Option<char> {
    match name {
        "amp" => Some('&'),
        "lt" => Some('<'),
        "gt" => Some('>'),
        "quot" => Some('"'),
        "apos" => Some('\''),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_elements_entities_and_refuses_junk() {
        let root =
            Element::parse(b"<D xmlns='x'><Quiet>true</Quiet><O><Key>a&amp;&#x41;&lt;</Key></O><O/></D>").unwrap();
        assert_eq!(root.text_of("Quiet"), Some("true"));
        assert_eq!(root.child("O").unwrap().text_of("Key"), Some("a&A<"));
        assert_eq!(root.all("O").count(), 2);
        for junk in [&b""[..], b"<a>", b"<a></b>", b"nothing", b"<a>&unknown;</a>"] {
            assert!(Element::parse(junk).is_err(), "{junk:?}");
        }
    }

    #[test]
    fn escapes_control_characters() {
        assert_eq!(escape("a\u{1}<&>"), "a&#x1;&lt;&amp;&gt;");
    }
}
