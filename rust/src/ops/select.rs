//! What a user means by `*`, `?`, `--include` and `--exclude` (cli.md 2.2, 2.6), on names that are bytes.
//!
//! Only `*` and `?` are special. In a name that is UTF-8 they stand for whole characters, in any other for bytes; so
//! a pattern that is not UTF-8 matches no name that is. A match costs at most as many steps as the product of both
//! lengths, whatever the pattern: of several `*` only the last one met is ever tried again.

mod expand;
#[cfg(test)]
mod tests;

pub use expand::{Expand, Match, expand};

/// A name with wildcards.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pattern {
    text: Box<[u8]>,
    is_utf8: bool,
    /// Bytes before the first wildcard.
    literal: usize,
}

impl Pattern {
    pub fn new(text: &[u8]) -> Self {
        let literal = text.iter().position(|byte| matches!(byte, b'*' | b'?')).unwrap_or(text.len());
        Self { text: text.into(), is_utf8: str::from_utf8(text).is_ok(), literal }
    }

    pub fn has_wildcard(&self) -> bool {
        self.literal < self.text.len()
    }

    /// What comes before the first wildcard.
    pub fn literal_prefix(&self) -> &[u8] {
        &self.text[..self.literal]
    }

    /// Whether it matches from start to end; wildcards match `/`, too.
    pub fn matches(&self, name: &[u8]) -> bool {
        let Some(rest) = name.strip_prefix(self.literal_prefix()) else { return false };
        let pattern = &self.text[self.literal..];
        if pattern.is_empty() {
            return rest.is_empty();
        }
        if name.is_ascii() {
            return matches_rest(pattern, rest, |_| 1);
        }
        match str::from_utf8(name) {
            Ok(_) => self.is_utf8 && matches_rest(pattern, rest, character_len),
            Err(_) => matches_rest(pattern, rest, |_| 1),
        }
    }
}

/// Bytes of the character of UTF-8 that begins with `first`.
fn character_len(first: u8) -> usize {
    match first {
        0..=0x7f => 1,
        0x80..=0xdf => 2,
        0xe0..=0xef => 3,
        0xf0..=0xff => 4,
    }
}

/// Matches with one place to come back to: behind the last `*`, with one more character given to it.
fn matches_rest(pattern: &[u8], text: &[u8], len: impl Fn(u8) -> usize) -> bool {
    let (mut pattern_at, mut text_at) = (0, 0);
    let mut back: Option<(usize, usize)> = None;
    loop {
        match (pattern.get(pattern_at), text.get(text_at)) {
            (Some(b'*'), _) => {
                pattern_at += 1;
                back = Some((pattern_at, text_at));
                if pattern_at == pattern.len() {
                    return true;
                }
            }
            (Some(b'?'), Some(first)) => {
                pattern_at += 1;
                text_at += len(*first);
            }
            (Some(wanted), Some(byte)) if wanted == byte => {
                pattern_at += 1;
                text_at += 1;
            }
            (None, None) => return true,
            // The rest of the text is too short, and would be so after any other try.
            (Some(_), None) => return false,
            (_, Some(_)) => {
                let Some((after, given)) = back else { return false };
                let given = given + len(text[given]);
                (pattern_at, text_at) = (after, given);
                back = Some((after, given));
            }
        }
    }
}

/// Which names take part.
#[derive(Debug, Clone, Default)]
pub struct Filters {
    include: Vec<Pattern>,
    exclude: Vec<Pattern>,
}

impl Filters {
    /// Empty patterns are ignored.
    pub fn new<T: AsRef<[u8]>>(include: &[T], exclude: &[T]) -> Self {
        let patterns =
            |texts: &[T]| texts.iter().map(AsRef::as_ref).filter(|text| !text.is_empty()).map(Pattern::new).collect();
        Self { include: patterns(include), exclude: patterns(exclude) }
    }

    pub fn is_empty(&self) -> bool {
        self.include.is_empty() && self.exclude.is_empty()
    }

    /// Of a name as `filtered_name` gives it: in no exclude, and in an include if there are any.
    pub fn keeps(&self, name: &[u8]) -> bool {
        let in_any = |patterns: &[Pattern]| patterns.iter().any(|pattern| pattern.matches(name));
        !in_any(&self.exclude) && (self.include.is_empty() || in_any(&self.include))
    }
}

/// The part of a name that filters look at: what follows the source prefix, the argument before its first wildcard,
/// with `/` added if it does not end in one. A name that does not begin with that is looked at whole.
pub fn filtered_name<'a>(source_prefix: &[u8], name: &'a [u8]) -> &'a [u8] {
    let Some(rest) = name.strip_prefix(source_prefix) else { return name };
    if source_prefix.ends_with(b"/") { rest } else { rest.strip_prefix(b"/").unwrap_or(name) }
}
