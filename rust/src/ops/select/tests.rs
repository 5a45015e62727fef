//! Patterns against a naive matcher, filters by the table of cli.md, expansion on real trees.

use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::symlink;
use std::path::Path;

use proptest::prelude::*;

use super::*;

fn matches(pattern: &str, name: &str) -> bool {
    Pattern::new(pattern.as_bytes()).matches(name.as_bytes())
}

/// By trying everything; `T` is a character or a byte.
fn naive<T: PartialEq + Copy>(pattern: &[T], text: &[T], star: T, question: T) -> bool {
    match pattern.split_first() {
        None => text.is_empty(),
        Some((first, rest)) if *first == star => {
            (0..=text.len()).any(|taken| naive(rest, &text[taken..], star, question))
        }
        Some((first, rest)) => text
            .split_first()
            .is_some_and(|(head, tail)| (*first == question || first == head) && naive(rest, tail, star, question)),
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 20_000, ..ProptestConfig::default() })]

    #[test]
    fn characters_match_as_by_trying_everything(pattern in "[ab/é€🙂*?]{0,7}", name in "[ab/é€🙂\n]{0,8}") {
        let chars = |text: &str| text.chars().collect::<Vec<_>>();
        prop_assert_eq!(matches(&pattern, &name), naive(&chars(&pattern), &chars(&name), '*', '?'));
    }

    #[test]
    fn bytes_match_as_by_trying_everything(
        pattern in prop::collection::vec(prop::sample::select(&b"a*?\xff\xc3\xa9"[..]), 0..7),
        name in prop::collection::vec(prop::sample::select(&b"a\xff\xc3\xa9"[..]), 0..8),
    ) {
        let expected = match (str::from_utf8(&name), str::from_utf8(&pattern)) {
            (Err(_), _) => naive(&pattern, &name, b'*', b'?'),
            (Ok(name), Ok(pattern)) => {
                naive(&pattern.chars().collect::<Vec<_>>(), &name.chars().collect::<Vec<_>>(), '*', '?')
            }
            (Ok(_), Err(_)) => false,
        };
        prop_assert_eq!(Pattern::new(&pattern).matches(&name), expected);
    }
}

#[test]
fn only_two_characters_are_special() {
    for (pattern, name, expected) in [
        ("*", "", true),
        ("*", "a/b\nc", true),
        ("?", "/", true),
        ("?", "é", true),
        ("??", "é", false),
        ("[a]{b}\\!", "[a]{b}\\!", true),
        ("[a]*", "a", false),
        ("a", "ab", false),
        ("", "", true),
        ("", "a", false),
        ("*.txt", "dir/a.txt", true),
        ("a*b*c", "a-b-b-c", true),
        ("a*b*c", "a-c-b", false),
    ] {
        assert_eq!(matches(pattern, name), expected, "{pattern} {name}");
    }
    // One byte, in a name that is not UTF-8.
    assert!(Pattern::new(b"a???").matches(b"a\xc3\xa9\xff"));
    assert!(!Pattern::new(b"\xc3*").matches("é".as_bytes()));
}

#[test]
fn says_what_comes_before_the_first_wildcard() {
    for (pattern, has_wildcard, literal) in
        [("a/b*c?", true, "a/b"), ("?", true, ""), ("a/b", false, "a/b"), ("", false, "")]
    {
        let pattern = Pattern::new(pattern.as_bytes());
        assert_eq!((pattern.has_wildcard(), pattern.literal_prefix()), (has_wildcard, literal.as_bytes()));
    }
}

#[test]
fn many_stars_are_quick() {
    let name = "a".repeat(1 << 16);
    assert!(!matches(&("a*".repeat(500) + "b"), &name));
    assert!(!matches(&("*a".repeat(500) + "*b"), &name));
    assert!(!matches(&(format!("*{}b*", "a".repeat(500))), &name));
    assert!(matches(&("*a".repeat(500) + "*"), &name));
}

#[test]
fn filters_follow_their_table() {
    let keeps = |include: &[&str], exclude: &[&str], name: &str| Filters::new(include, exclude).keeps(name.as_bytes());
    for (include, exclude, name, expected) in [
        (&[][..], &[][..], "a", true),
        (&["*.txt"], &[], "d/a.txt", true),
        (&["*.txt"], &[], "d/a.md", false),
        (&["*.txt", "*.md"], &[], "d/a.md", true),
        (&["*.txt"], &["d/*"], "d/a.txt", false),
        (&[], &["a"], "ab", true),
        (&[""], &[""], "a", true),
        (&["", "b"], &[], "a", false),
    ] {
        assert_eq!(keeps(include, exclude, name), expected, "{include:?} {exclude:?} {name}");
    }
    assert!(Filters::new(&[""], &[""]).is_empty());
}

#[test]
fn filters_look_behind_the_source_prefix() {
    for (prefix, name, expected) in [
        ("abc", "abc.pdf", "abc.pdf"),
        ("abc", "abc/x", "x"),
        ("abc/", "abc/x/y", "x/y"),
        ("", "a/b", "a/b"),
        ("", "/a", "a"),
        ("dir/a.txt", "dir/a.txt", "dir/a.txt"),
    ] {
        assert_eq!(filtered_name(prefix.as_bytes(), name.as_bytes()), expected.as_bytes(), "{prefix} {name}");
    }
}

fn tree(names: &[&str]) -> tempfile::TempDir {
    let root = tempfile::tempdir().unwrap();
    for name in names {
        let path = root.path().join(name);
        std::fs::create_dir_all(if name.ends_with('/') { &path } else { path.parent().unwrap() }).unwrap();
        if !name.ends_with('/') {
            std::fs::write(path, "").unwrap();
        }
    }
    root
}

/// Relative paths of the matches, directories with `/`, links with `@`; `!` is an error.
fn expanded(root: &Path, pattern: &str, follows_links: bool) -> Vec<String> {
    let pattern = [root.as_os_str().as_bytes(), b"/", pattern.as_bytes()].concat();
    let matches = expand(&pattern, follows_links).map(|found| match found {
        Ok(found) => {
            assert!(found.path.symlink_metadata().is_ok());
            let mark = if found.is_directory {
                "/"
            } else if found.is_link {
                "@"
            } else {
                ""
            };
            String::from_utf8_lossy(found.relative()).into_owned() + mark
        }
        Err(error) => format!("! {}", error.path().unwrap().strip_prefix(root).unwrap().display()),
    });
    matches.collect()
}

#[test]
fn expands_component_by_component_in_name_order() {
    let root = tree(&["dir/a.txt", "dir/sub/b.txt", "dir/.hidden", "dir/sub-x", "dir/é", "e/sub/b.txt", "f"]);
    let expanded = |pattern| expanded(root.path(), pattern, true);
    assert_eq!(expanded("dir/*"), [".hidden", "a.txt", "sub-x", "sub/", "é"]);
    assert_eq!(expanded("dir/*.txt"), ["a.txt"]);
    assert_eq!(expanded("di*/sub/b.txt"), ["dir/sub/b.txt"]);
    assert_eq!(expanded("dir/s*"), ["sub-x", "sub/"]);
    assert_eq!(expanded("*/sub/b.txt"), ["dir/sub/b.txt", "e/sub/b.txt"]);
    assert_eq!(expanded("*/*/*"), ["dir/sub/b.txt", "e/sub/b.txt"]);
    assert_eq!(expanded("?"), ["e/", "f"]);
    assert_eq!(expanded("dir/?"), ["é"]);
    assert_eq!(expanded("*/"), ["dir/", "e/"]);
    assert_eq!(expanded("*/."), ["dir/", "e/"]);
    assert_eq!(expanded("dir/*/"), ["sub/"]);
    assert!(expanded("x*").is_empty());
    assert!(expanded("nothing/*").is_empty());
    assert!(expanded("f/*").is_empty());
    assert!(expanded("f*/x").is_empty());
}

#[test]
fn expands_through_links_if_told_to() {
    let root = tree(&["dir/b.txt", "f"]);
    symlink("dir", root.path().join("dirlink")).unwrap();
    symlink("f", root.path().join("filelink")).unwrap();
    symlink("nowhere", root.path().join("gone")).unwrap();
    symlink("self", root.path().join("self")).unwrap();
    let expanded = |pattern, follows| expanded(root.path(), pattern, follows);
    assert_eq!(expanded("*", true), ["dir/", "dirlink/", "f", "filelink", "! gone", "! self"]);
    assert_eq!(expanded("*", false), ["dir/", "dirlink@", "f", "filelink@", "gone@", "self@"]);
    assert_eq!(expanded("*/b.txt", true), ["dir/b.txt", "dirlink/b.txt"]);
    assert_eq!(expanded("*/b.txt", false), ["dir/b.txt"]);
    assert_eq!(expanded("*/", true), ["dir/", "dirlink/"]);
}

#[test]
fn expands_in_the_working_directory() {
    // Cargo runs tests in the package's directory.
    let found: Vec<_> = expand(b"Cargo.tom?", true).map(|found| found.unwrap().path).collect();
    assert_eq!(found, [Path::new("Cargo.toml")]);
    assert_eq!(expand(b"./Cargo.tom?", true).next().unwrap().unwrap().relative(), b"Cargo.toml");
}
