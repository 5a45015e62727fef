//! What may be the name of an entry, and where a link may lead.
//!
//! Pure text: no file is looked at and nothing is changed or repaired, so that two names never become one. Names are
//! bytes, relative, with `/` between components; a directory's ends in `/`. This is the lexical half of safety only:
//! the guard is `confine`, under which everything is made. Invariant: a name that passes `check_extract` stands for
//! exactly one path beneath the destination.

use crate::archive::entry::Kind;
use crate::confine::MAX_NAME as MAX_COMPONENT;

/// Longest name of an entry, in bytes, with the `/` of a directory.
pub const MAX_NAME: usize = 4096;

/// What keeps `name` from being the name of an entry. One `/` at its end is a directory's.
pub fn check(name: &[u8]) -> Result<(), &'static str> {
    if name.is_empty() {
        return Err("it is empty");
    }
    if name.len() > MAX_NAME {
        return Err("it is longer than 4096 bytes");
    }
    if name.starts_with(b"/") {
        return Err("it begins with \"/\"");
    }
    components(name).try_for_each(|component| match component {
        b"" => Err("a component is empty"),
        b"." => Err("a component is \".\""),
        b".." => Err("a component is \"..\""),
        _ if component.contains(&0) => Err("it holds a NUL byte"),
        _ => Ok(()),
    })
}

/// The same, for a name that is to become a path here.
pub fn check_extract(name: &[u8]) -> Result<(), &'static str> {
    check(name)?;
    let fits = components(name).all(|component| component.len() <= MAX_COMPONENT);
    if fits { Ok(()) } else { Err("a component is longer than 255 bytes") }
}

/// The same, and the `/` at the end must agree with the kind.
pub fn check_entry(name: &[u8], kind: Kind) -> Result<(), &'static str> {
    check_extract(name)?;
    check_kind(name, kind)
}

/// The same, for a name that is to become a key, whose components may be of any length.
pub fn check_key(name: &[u8], kind: Kind) -> Result<(), &'static str> {
    check(name)?;
    check_kind(name, kind)
}

fn check_kind(name: &[u8], kind: Kind) -> Result<(), &'static str> {
    match (kind == Kind::Directory, name.ends_with(b"/")) {
        (true, false) => Err("a directory's name must end in \"/\""),
        (false, true) => Err("only a directory's name may end in \"/\""),
        _ => Ok(()),
    }
}

/// Names in order, each once, and beneath directories only: `a` is neither `a/` nor above `a/b`.
#[derive(Debug, Default)]
pub struct Sequence {
    last: Vec<u8>,
    /// What is no directory, though names to come may begin with it.
    above: Vec<Vec<u8>>,
}

impl Sequence {
    /// Whether `name` goes with those before it.
    pub fn accept(&mut self, name: &[u8], kind: Kind) -> Result<(), &'static str> {
        if !self.last.is_empty() && self.last.as_slice() >= name {
            return Err(if self.last == name { "there are two of this name" } else { "it came out of order" });
        }
        while self.above.pop_if(|above| !name.starts_with(above)).is_some() {}
        if self.above.iter().any(|above| name[above.len()..].starts_with(b"/")) {
            return Err("something above it is no directory, or has its name");
        }
        if kind != Kind::Directory {
            self.above.push(name.to_vec());
        }
        self.last = name.to_vec();
        Ok(())
    }
}

/// Without the `/` of a directory.
pub fn bare(name: &[u8]) -> &[u8] {
    name.strip_suffix(b"/").unwrap_or(name)
}

/// The name of the directory it is in, without `/` (empty: the root), and its last component.
pub fn split(name: &[u8]) -> (&[u8], &[u8]) {
    let name = bare(name);
    match name.iter().rposition(|byte| *byte == b'/') {
        Some(slash) => (&name[..slash], &name[slash + 1..]),
        None => (b"", name),
    }
}

pub fn components(name: &[u8]) -> impl Iterator<Item = &[u8]> {
    bare(name).split(|byte| *byte == b'/')
}

/// Whether the target of a symbolic link is relative and, read as text, stays beneath the root.
pub fn is_safe_link(name: &[u8], target: &[u8]) -> bool {
    is_safe_link_with(name, target, |_| true)
}

/// The same, where `is_directory` has the last word on each path from which the target turns back with `..`.
///
/// `x/..` is the root only while `x` is a directory. If it is a link, `..` is beside wherever that leads, and of two
/// links that look harmless one could leave the root through the other. Where each such path is a directory reached
/// through no link, text and file system agree.
pub fn is_safe_link_with(name: &[u8], target: &[u8], mut is_directory: impl FnMut(&[&[u8]]) -> bool) -> bool {
    if check(name).is_err() || target.is_empty() || target.starts_with(b"/") || target.contains(&0) {
        return false;
    }
    let (parent, _) = split(name);
    let mut at: Vec<&[u8]> = parent.split(|byte| *byte == b'/').filter(|component| !component.is_empty()).collect();
    let mut goes_down = false;
    for component in target.split(|byte| *byte == b'/') {
        match component {
            b"" | b"." => {}
            b".." => {
                if goes_down && !is_directory(&at) || at.pop().is_none() {
                    return false;
                }
                goes_down = false;
            }
            _ => {
                at.push(component);
                goes_down = true;
            }
        }
    }
    true
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn names_without_a_path_of_their_own_are_refused() {
        let long = "x/".repeat(2048) + "x";
        for name in [
            "",
            "/",
            "//",
            "/abs",
            "../x",
            "a/../../x",
            "a/..",
            "..",
            ".",
            "./",
            "../",
            "a/.",
            "./a",
            "a/./b",
            "a//b",
            "a//",
            "a\0b",
            "\0",
            "a/\0",
            &long,
        ] {
            assert!(check(name.as_bytes()).is_err(), "{name:?}");
            assert!(check_extract(name.as_bytes()).is_err(), "{name:?}");
        }
        let most = "x/".repeat(2048);
        for name in ["a", "a/", "a/b/c", "...", "..a/b..", "C:\\x", "a\nb", " ", "-", "~", "\u{202e}", &most] {
            assert_eq!(check_extract(name.as_bytes()), Ok(()), "{name:?}");
        }
        assert_eq!(check_extract(b"\xff\xfe/\x80"), Ok(()));
    }

    #[test]
    fn components_are_bounded_on_extraction_only() {
        for (length, fits) in [(255, true), (256, false)] {
            let component = "y".repeat(length);
            for name in [component.clone(), format!("a/{component}/b"), format!("{component}/")] {
                assert_eq!(check(name.as_bytes()), Ok(()));
                assert_eq!(check_extract(name.as_bytes()).is_ok(), fits, "{length}");
            }
        }
    }

    #[test]
    fn only_directories_end_in_a_slash() {
        assert_eq!(check_entry(b"a/", Kind::Directory), Ok(()));
        assert!(check_entry(b"a", Kind::Directory).is_err());
        for kind in [Kind::File, Kind::Symlink, Kind::HardLink] {
            assert_eq!(check_entry(b"a", kind), Ok(()));
            assert!(check_entry(b"a/", kind).is_err());
        }
    }

    #[test]
    fn splits_at_the_last_slash() {
        for (name, parent, last) in [("a", "", "a"), ("a/", "", "a"), ("a/b", "a", "b"), ("a/b/c/", "a/b", "c")] {
            assert_eq!(split(name.as_bytes()), (parent.as_bytes(), last.as_bytes()));
        }
    }

    #[test]
    fn links_that_leave_the_root_are_unsafe() {
        for (name, target) in [
            ("l", ".."),
            ("l", "../x"),
            ("l", "a/../.."),
            ("l", "./../x"),
            ("a/l", "../.."),
            ("a/l", "../../a/x"),
            ("a/b/l", "../../.."),
            ("l", "/etc/passwd"),
            ("l", "/"),
            ("l", ""),
            ("l", "a\0b"),
            ("../l", "x"),
        ] {
            assert!(!is_safe_link(name.as_bytes(), target.as_bytes()), "{name} -> {target}");
        }
        for (name, target) in [
            ("l", "x"),
            ("l", "."),
            ("l", "a/.."),
            ("a/l", ".."),
            ("a/l", "../x"),
            ("a/b/l", "../../x/y"),
            ("l", "a//b/"),
            ("l", "..."),
            ("l", "..a"),
        ] {
            assert!(is_safe_link(name.as_bytes(), target.as_bytes()), "{name} -> {target}");
        }
    }

    #[test]
    fn every_way_back_is_asked_about_once() {
        let turns = |name: &str, target: &str| {
            let mut turns = Vec::new();
            let safe = is_safe_link_with(name.as_bytes(), target.as_bytes(), |path| {
                turns.push(String::from_utf8(path.join(&b'/')).unwrap());
                true
            });
            assert!(safe);
            turns
        };
        assert!(turns("a/b/l", "../../x").is_empty(), "the directories a link is in are directories");
        assert_eq!(turns("a/l", "../c/d/../../e/./../f"), ["c/d", "e"]);
        assert!(!is_safe_link_with(b"l", b"d/..", |_| false));
    }

    proptest! {
        #[test]
        fn a_safe_name_stays_beneath(name in "[a./\\x00]{0,12}") {
            if check(name.as_bytes()).is_ok() {
                prop_assert!(!name.starts_with('/'));
                prop_assert!(components(name.as_bytes()).all(|c| ![&b""[..], b".", b".."].contains(&c)));
            }
        }

        /// Against the simple reading: at no point are there more `..` than components to leave.
        #[test]
        fn a_safe_link_never_climbs_out(depth in 0usize..4, target in "[a./]{1,12}") {
            let name = "d/".repeat(depth) + "l";
            let mut at = i64::try_from(depth).unwrap();
            let mut lowest = at;
            for component in target.split('/') {
                at += match component { "" | "." => 0, ".." => -1, _ => 1 };
                lowest = lowest.min(at);
            }
            let expected = !target.starts_with('/') && lowest >= 0;
            prop_assert_eq!(is_safe_link(name.as_bytes(), target.as_bytes()), expected);
        }
    }
}
