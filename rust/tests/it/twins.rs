//! The twins of the fuzz targets (T2): the same properties over the same seeds, and over bytes that proptest makes of them.
//!
//! `rust/fuzz/seeds/<target>/` has an input for each kind of accepted and refused text, and every one that a fuzz run
//! found. Mutated seeds get behind the first check, which arbitrary bytes seldom do.

#[path = "../../fuzz/src/properties/mod.rs"]
mod properties;

use std::path::Path;

use proptest::prelude::*;
use proptest::test_runner::{Config, TestError, TestRunner};

use properties::{Property, TARGETS};

/// Inputs for each target; `make deep` makes more.
fn cases() -> u32 {
    std::env::var("S3Z_TWIN_CASES").ok().and_then(|count| count.parse().ok()).unwrap_or(400)
}

fn seeds(target: &str) -> Vec<Vec<u8>> {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("rust/fuzz/seeds").join(target);
    let mut paths: Vec<_> = std::fs::read_dir(&directory).unwrap().map(|entry| entry.unwrap().path()).collect();
    paths.sort();
    paths.iter().map(|path| std::fs::read(path).unwrap()).collect()
}

/// What a fuzzer does to a seed, in one step.
#[derive(Debug, Clone)]
enum Change {
    Replace(prop::sample::Index, u8),
    Insert(prop::sample::Index, Vec<u8>),
    Remove(prop::sample::Index, usize),
    Repeat(prop::sample::Index, usize),
    Cut(prop::sample::Index),
}

impl Change {
    fn any() -> impl Strategy<Value = Self> {
        let at = any::<prop::sample::Index>;
        let words = prop::sample::select(WORDS).prop_map(|word| word.as_bytes().to_vec());
        let text = prop_oneof![words, prop::collection::vec(any::<u8>(), 1..4)];
        prop_oneof![
            (at(), any::<u8>()).prop_map(|(at, byte)| Self::Replace(at, byte)),
            (at(), text).prop_map(|(at, text)| Self::Insert(at, text)),
            (at(), 1..8_usize).prop_map(|(at, count)| Self::Remove(at, count)),
            (at(), 1..16_usize).prop_map(|(at, count)| Self::Repeat(at, count)),
            at().prop_map(Self::Cut),
        ]
    }

    fn make(&self, bytes: &mut Vec<u8>) {
        let len = bytes.len();
        match self {
            Self::Replace(at, byte) if len > 0 => bytes[at.index(len)] = *byte,
            Self::Insert(at, text) => drop(bytes.splice(at.index(len + 1)..at.index(len + 1), text.iter().copied())),
            Self::Remove(at, count) if len > 0 => {
                let at = at.index(len);
                bytes.drain(at..(at + count).min(len));
            }
            Self::Repeat(at, count) if len > 0 => {
                let at = at.index(len);
                let piece = bytes[at..(at + count).min(len)].to_vec();
                drop(bytes.splice(at..at, piece));
            }
            Self::Cut(at) => bytes.truncate(at.index(len + 1)),
            _ => {}
        }
    }
}

/// Texts at which parsers turn.
const WORDS: &[&str] = &[
    "\n",
    "\r\n",
    "\0",
    " ",
    "\t",
    "/",
    "..",
    "/../",
    "//",
    "%2e",
    "%",
    "@",
    ":",
    "?",
    "#",
    "-",
    "-1",
    "0",
    "18446744073709551615",
    "18446744073709551616",
    "*",
    "+",
    "<",
    ">",
    "</",
    "/>",
    "<!--",
    "-->",
    "<![CDATA[",
    "]]>",
    "&#x0;",
    "&#13;",
    "&amp;",
    "\"",
    "W/",
    "\u{202e}",
    "\u{1b}[1m",
    "ü",
    "🙂",
    "http://",
    "[::1]",
    "localhost",
    "s3://",
    "bytes ",
    "etag: ",
    "content-range: ",
    "content-length: ",
    "transfer-encoding: chunked\n",
    "amazonaws.com",
];

fn inputs(seeds: Vec<Vec<u8>>) -> impl Strategy<Value = Vec<u8>> {
    let mutated =
        (prop::sample::select(seeds), prop::collection::vec(Change::any(), 0..6)).prop_map(|(seed, changes)| {
            let mut bytes = seed;
            changes.iter().for_each(|change| change.make(&mut bytes));
            bytes
        });
    prop_oneof![
        4 => mutated,
        1 => prop::collection::vec(any::<u8>(), 0..200),
        1 => any::<String>().prop_map(String::into_bytes),
    ]
}

fn hold(target: &str, property: Property) {
    let mut runner = TestRunner::new(Config { cases: cases(), failure_persistence: None, ..Config::default() });
    let checked = runner.run(&inputs(seeds(target)), |bytes| {
        let _ = property(&bytes);
        Ok(())
    });
    match checked {
        Ok(()) => {}
        // This input belongs into the seeds.
        Err(TestError::Fail(why, bytes)) => panic!("{target}: {why}, for b\"{}\"", bytes.escape_ascii()),
        Err(why) => panic!("{target}: {why}"),
    }
}

/// A corpus of which everything is refused, or nothing, would show that a parser was never reached.
#[test]
fn seeds_reach_both_outcomes() {
    for (target, property) in TARGETS {
        let outcomes: Vec<bool> = seeds(target).iter().map(|seed| property(seed)).collect();
        assert!(outcomes.len() >= 8, "{target}: {} seeds", outcomes.len());
        assert!(outcomes.contains(&true) && outcomes.contains(&false), "{target}: {outcomes:?}");
    }
}

/// Each target has its fuzz binary, so that `make deep` runs what this file samples.
#[test]
fn every_target_has_its_fuzzer() {
    let manifest = include_str!("../../fuzz/Cargo.toml");
    let names: Vec<&str> = manifest.lines().filter_map(|line| line.strip_prefix("path = \"fuzz_targets/")).collect();
    let expected: Vec<String> = TARGETS.iter().map(|(target, _)| format!("{target}.rs\"")).collect();
    assert_eq!(names, expected);
}

macro_rules! twins {
    ($($target:ident)*) => {$(
        #[test]
        fn $target() {
            hold(stringify!($target), properties::$target::holds);
        }
    )*

        #[test]
        fn every_target_has_its_twin() {
            assert_eq!([$(stringify!($target)),*], TARGETS.map(|(target, _)| target));
        }
    };
}

twins!(answer archive checksum content_range endpoint key_path ledger region retry_after sign tar_reader uri xml_complete xml_error xml_list xml_parts);
