//! Rows that lie about their entries and blobs, in an archive whose hashes are all right.

use super::liar::{Liar, Outcome, attacked};
use super::made::Random;
use super::memory::*;
use crate::archive::entry::Kind;
use crate::archive::index::Row;
use crate::archive::read::ReadOptions;
use Outcome::{Named, Refused, Told};

/// A compressed file, a stored one, a big one, and what else there is.
pub fn honest() -> Vec<Item> {
    let random = &mut Random::new(9);
    vec![
        Item::other("dir/", Kind::Directory, ""),
        Item::file("dir/in", *b"inside"),
        Item::file("empty", []),
        Item::file("first", *b"shared").linked(1, 2),
        Item::file("noise", random.noise(200 << 10)),
        Item::file("packed", random.text(5000)),
        Item::file("second", *b"shared").linked(1, 2),
        Item::other("sym", Kind::Symlink, "packed"),
        Item::file("tall", (0..2 * SLICE + 999).map(|at| (at >> 13) as u8).collect::<Vec<u8>>()),
    ]
}

pub type Lie = (&'static str, fn(&mut Liar));

/// Each lie about the entry `name`, in one flavour or both; those that do not come out as they must are told.
pub fn attack(flavours: &[bool], name: &str, outcome: Outcome, lies: &[Lie]) -> Vec<String> {
    let mut wrong = Vec::new();
    for is_zstd in flavours {
        let bytes = packed(&honest(), &if *is_zstd { options() } else { plain() }).0;
        for (what, lie) in lies {
            let mut liar = Liar::of(&bytes);
            lie(&mut liar);
            // A panic is told with the others.
            let tried = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| attacked(&liar, name, outcome)));
            if let Err(why) = tried.unwrap_or_else(|_| Err("IT PANICKED".to_owned())) {
                wrong.push(format!("{name}, {what} (zstd: {is_zstd}), was to be {outcome:?}: {why}"));
            }
        }
    }
    wrong
}

pub const BOTH: &[bool] = &[true, false];

/// The manifest says nothing of blobs that lie elsewhere.
fn hidden(liar: &mut Liar) {
    liar.batch = |batch| (batch.min_blob_offset, batch.max_blob_end) = (0, 0);
}

#[test]
fn the_truth_is_taken() {
    for flavour in [options(), plain()] {
        let mut liar = Liar::packed(&honest(), &flavour);
        for parts in [1, 2, 3] {
            let rows: Vec<Row> = liar.parts.concat();
            liar.parts = rows.chunks(rows.len().div_ceil(parts)).map(<[Row]>::to_vec).collect();
            let archive = open(&liar.bytes()).unwrap();
            assert_eq!(archive.batches(), parts);
            assert_eq!(verified(&archive, 2).unwrap().problems, [], "{parts} indexes");
            let names: Vec<String> = honest().iter().map(|item| item.entry.shown()).collect();
            assert_eq!(listed(&archive), names);
            for item in honest().iter().filter(|item| item.entry.kind == Kind::File) {
                let names = std::slice::from_ref(&item.entry.name);
                assert!(archive.read_many(names, ReadOptions::default()).unwrap()[0] == *item.data);
            }
        }
    }
}

#[test]
fn blobs_elsewhere() {
    let mut wrong = Vec::new();
    wrong.extend(attack(
        BOTH,
        "packed",
        Refused,
        &[
            ("beyond the data", |liar| {
                liar.row("packed", 0).blob_offset = liar.data.len() as u64;
                hidden(liar);
            }),
            ("one byte too far", |liar| {
                let row_size = liar.row("packed", 0).blob_size;
                liar.row("packed", 0).blob_offset = liar.data.len() as u64 + 1 - row_size;
                hidden(liar);
            }),
            ("at the end of all numbers", |liar| {
                let row = liar.row("packed", 0);
                row.blob_offset = u64::MAX - row.blob_size;
                hidden(liar);
            }),
            ("longer than the data", |liar| {
                liar.row("packed", 0).blob_size = 1 << 40;
                hidden(liar);
            }),
            ("of no slice", |liar| liar.row("packed", 0).len = 0),
            ("of 1 GiB", |liar| liar.row("packed", 0).len = 1 << 30),
            ("of all numbers", |liar| liar.row("packed", 0).len = u64::MAX - (1 << 30)),
        ],
    ));
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn blobs_of_another_form() {
    let mut wrong = Vec::new();
    wrong.extend(attack(
        &[true],
        "packed",
        Refused,
        &[
            ("of 2^31 bytes", |liar| liar.row("packed", 0).blob_raw_size = 1 << 31),
            ("of too few bytes", |liar| liar.row("packed", 0).blob_raw_size = 4000),
            ("beyond its frame", |liar| liar.row("packed", 0).inner_offset += 1 << 20),
            ("far beyond its frame", |liar| liar.row("packed", 0).inner_offset = u32::MAX),
            ("said to be stored", |liar| liar.row("packed", 0).compressed = false),
        ],
    ));
    wrong.extend(attack(BOTH, "noise", Refused, &[("one byte shorter", |liar| liar.row("noise", 0).blob_size -= 1)]));
    wrong.extend(attack(
        &[false],
        "noise",
        Refused,
        &[("said to be compressed", |liar| liar.row("noise", 0).compressed = true)],
    ));
    wrong.extend(attack(
        &[true],
        "packed",
        Named,
        &[
            ("elsewhere in its frame", |liar| liar.row("packed", 0).inner_offset -= 1),
            ("at the beginning of its frame", |liar| liar.row("packed", 0).inner_offset = 0),
            ("of more bytes", |liar| liar.row("packed", 0).blob_raw_size += 512),
            ("in the frame before", |liar| liar.row("packed", 0).blob_offset = 0),
            ("of no bytes", |liar| liar.row("packed", 0).blob_size = 0),
            ("not all of its frame", |liar| liar.row("packed", 0).blob_size -= 1),
        ],
    ));
    wrong.extend(attack(
        &[true],
        "noise",
        Named,
        &[("said to be compressed", |liar| liar.row("noise", 0).compressed = true)],
    ));
    wrong.extend(attack(
        BOTH,
        "noise",
        Named,
        &[
            ("one byte on", |liar| liar.row("noise", 0).blob_offset -= 1),
            ("of another hash", |liar| liar.row("noise", 0).checksum = Some([7; 32])),
            ("of no hash", |liar| liar.row("noise", 0).checksum = None),
        ],
    ));
    // 4.1 says what these are of stored bytes; nobody needs them, but they are claims.
    wrong.extend(attack(
        BOTH,
        "noise",
        Told,
        &[
            ("beginning further on", |liar| liar.row("noise", 0).inner_offset = 77),
            ("yielding more", |liar| liar.row("noise", 0).blob_raw_size += 1),
        ],
    ));
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn slices_that_do_not_make_a_file() {
    let mut wrong = Vec::new();
    wrong.extend(attack(
        BOTH,
        "tall",
        Refused,
        &[
            ("overlap", |liar| liar.row("tall", 1).file_offset -= 1),
            ("lie upon each other", |liar| liar.row("tall", 1).file_offset = 0),
            ("leave a gap", |liar| {
                liar.entry("tall", |entry| entry.size += 9);
                liar.row("tall", 2).file_offset += 9;
            }),
            ("end too early", |liar| liar.entry("tall", |entry| entry.size += 9)),
            ("lack the last", |liar| liar.parts[0].retain(|row| row.entry.name != b"tall" || row.seq != 2)),
            ("lack the first", |liar| liar.parts[0].retain(|row| row.entry.name != b"tall" || row.seq != 0)),
            ("lack one between", |liar| liar.parts[0].retain(|row| row.entry.name != b"tall" || row.seq != 1)),
            ("skip a number", |liar| liar.row("tall", 2).seq = 3),
            ("begin with another number", |liar| (0..3).rev().for_each(|seq| liar.row("tall", seq).seq += 1)),
            ("come twice", |liar| {
                let row = liar.row("tall", 2).clone();
                liar.parts.push(vec![row]);
            }),
            ("end behind the file", |liar| liar.entry("tall", |entry| entry.size -= 1)),
            ("at the end of all numbers", |liar| liar.row("tall", 2).file_offset = u64::MAX - 998),
        ],
    ));
    wrong.extend(attack(
        BOTH,
        "tall",
        Named,
        &[("lie in each other's place", |liar| {
            let (first, second) = (liar.row("tall", 0).clone(), liar.row("tall", 1).clone());
            (liar.row("tall", 0).blob_offset, liar.row("tall", 0).blob_size) = (second.blob_offset, second.blob_size);
            (liar.row("tall", 1).blob_offset, liar.row("tall", 1).blob_size) = (first.blob_offset, first.blob_size);
        })],
    ));
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// Rows of one file that contradict each other: each alone is right.
#[test]
fn slices_of_two_minds() {
    fn one(liar: &mut Liar, seq: u32, change: fn(&mut crate::archive::entry::Entry)) {
        change(std::sync::Arc::make_mut(&mut liar.row("tall", seq).entry));
    }
    let mut wrong = Vec::new();
    wrong.extend(attack(
        BOTH,
        "tall",
        Refused,
        &[
            ("of the size: only the first slice", |liar| one(liar, 0, |entry| entry.size = SLICE)),
            ("of the size: all there is", |liar| one(liar, 0, |entry| entry.size = 1 << 62)),
            ("of the size: a little more", |liar| one(liar, 1, |entry| entry.size += 1)),
            ("of the kind", |liar| one(liar, 1, |entry| entry.kind = Kind::HardLink)),
            ("of the kind, first", |liar| {
                one(liar, 0, |entry| (entry.kind, entry.link) = (Kind::HardLink, b"noise".into()))
            }),
        ],
    ));
    wrong.extend(attack(
        BOTH,
        "tall",
        Told,
        &[
            ("of the mode", |liar| one(liar, 1, |entry| entry.mode = 0o777)),
            ("of the time", |liar| one(liar, 2, |entry| entry.mtime_ns += 1_000_000_000)),
        ],
    ));
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn a_small_file_with_one_wrong_size() {
    let mut wrong = Vec::new();
    wrong.extend(attack(
        BOTH,
        "packed",
        Refused,
        &[
            ("more than there is", |liar| liar.entry("packed", |entry| entry.size += 1)),
            ("far more", |liar| liar.entry("packed", |entry| entry.size = 1 << 62)),
            ("less than there is", |liar| liar.entry("packed", |entry| entry.size -= 1)),
            ("none", |liar| liar.entry("packed", |entry| entry.size = 0)),
        ],
    ));
    wrong.extend(attack(
        BOTH,
        "empty",
        Refused,
        &[
            ("some, but no bytes", |liar| liar.entry("empty", |entry| entry.size = 5)),
            ("a number of its own", |liar| liar.row("empty", 0).seq = 1),
            ("further on", |liar| liar.row("empty", 0).file_offset = 9),
        ],
    ));
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}
