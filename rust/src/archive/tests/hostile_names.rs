//! Names and links that lie, in an archive whose hashes are all right.

use super::hostile::{BOTH, attack, honest};
use super::liar::{Liar, Outcome};
use super::memory::*;
use crate::archive::entry::Kind;
use Outcome::{Misnamed, Named, Refused};

/// `packed` by another name, which is not to be unpacked.
fn misnamed(new: &str) {
    for flavour in [options(), plain()] {
        let mut liar = Liar::packed(&honest(), &flavour);
        liar.renamed("packed", new);
        if let Err(why) = super::liar::attacked(&liar, new, Misnamed) {
            panic!("{new:?}: {why}");
        }
    }
}

#[test]
fn names_that_are_no_place_beneath() {
    let long = format!("a/{}", "x".repeat(256));
    let deep = "d/".repeat(2050) + "x";
    for name in [
        "../packed",
        "/packed",
        "..",
        ".",
        "a/../../b",
        "a/./b",
        "a//b",
        "./packed",
        "p\0",
        "packed/",
        "",
        &long,
        &deep,
    ] {
        misnamed(name);
    }
}

#[test]
fn names_that_do_not_go_together() {
    for name in ["empty/in", "sym/in", "second/a/b", "dir/in/in"] {
        misnamed(name);
    }
    let mut wrong = Vec::new();
    wrong.extend(attack(
        BOTH,
        "noise",
        Misnamed,
        &[
            ("a file and a directory", |liar| {
                liar.renamed("dir/", "noise/");
            }),
            ("a directory that is a file", |liar| {
                liar.entry("dir/", |entry| entry.kind = Kind::File);
            }),
            ("a file that is a directory", |liar| {
                liar.entry("sym", |entry| (entry.kind, entry.link) = (Kind::Directory, Vec::new()));
            }),
        ],
    ));
    wrong.extend(attack(
        BOTH,
        "noise",
        Refused,
        &[
            ("two of one name", |liar| {
                liar.renamed("packed", "noise");
            }),
            ("two of one name, far apart", |liar| {
                let row = liar.row("noise", 0).clone();
                let at = liar.parts[0].iter().position(|row| row.entry.name == b"noise").unwrap();
                let mut after = liar.parts[0].split_off(at + 1);
                after.insert(0, row);
                liar.parts.push(after);
            }),
            ("out of order", |liar| {
                let at = liar.parts[0].iter().position(|row| row.entry.name == b"noise").unwrap();
                liar.parts[0].swap(at, at + 1);
            }),
            ("slices out of order", |liar| {
                let at = liar.parts[0].iter().position(|row| row.entry.name == b"tall").unwrap();
                liar.parts[0].swap(at, at + 1);
            }),
        ],
    ));
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn links_that_lead_elsewhere() {
    let mut wrong = Vec::new();
    wrong.extend(attack(
        BOTH,
        "second",
        Named,
        &[
            ("to nothing", |liar| liar.entry("second", |entry| entry.link = b"absent".into())),
            ("to itself", |liar| liar.entry("second", |entry| entry.link = b"second".into())),
            ("to a directory", |liar| liar.entry("second", |entry| entry.link = b"dir/".into())),
            ("to a symbolic link", |liar| liar.entry("second", |entry| entry.link = b"sym".into())),
            ("outside", |liar| liar.entry("second", |entry| entry.link = b"../first".into())),
            ("to the root", |liar| liar.entry("second", |entry| entry.link = b"/etc/passwd".into())),
            ("to no name", |liar| liar.entry("second", |entry| entry.link = Vec::new())),
        ],
    ));
    wrong.extend(attack(
        BOTH,
        "sym",
        Named,
        &[
            ("outside", |liar| liar.entry("sym", |entry| entry.link = b"../x".into())),
            ("to the root", |liar| liar.entry("sym", |entry| entry.link = b"/etc/passwd".into())),
            ("to no name", |liar| liar.entry("sym", |entry| entry.link = Vec::new())),
            ("through a NUL", |liar| liar.entry("sym", |entry| entry.link = b"a\0b".into())),
        ],
    ));
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn what_has_no_data_but_says_so() {
    fn with_data(liar: &mut Liar, name: &str) {
        let from = liar.row("noise", 0).clone();
        let row = liar.row(name, 0);
        (row.len, row.blob_offset, row.blob_size) = (from.len, from.blob_offset, from.blob_size);
        (row.checksum, row.blob_raw_size) = (from.checksum, from.blob_raw_size);
        liar.entry(name, |entry| entry.size = 200 << 10);
    }
    let mut wrong = Vec::new();
    wrong.extend(attack(
        BOTH,
        "dir/",
        Refused,
        &[("data", |liar| with_data(liar, "dir/")), ("a second slice", |liar| liar.row("dir/", 0).seq = 1)],
    ));
    wrong.extend(attack(BOTH, "sym", Refused, &[("data", |liar| with_data(liar, "sym"))]));
    wrong.extend(attack(BOTH, "second", Refused, &[("data", |liar| with_data(liar, "second"))]));
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}
