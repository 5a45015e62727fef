//! Footers and manifests that lie, indexes that Arrow cannot take, frames that are bombs.

use super::hostile::{BOTH, attack, honest};
use super::liar::{Liar, Outcome};
use super::memory::*;
use crate::archive::footer::{self, Footer, flag};
use crate::archive::manifest::Manifest;
use crate::archive::seek::FrameSize;
use crate::checksum::{Algorithm, checksum};
use crate::error::ErrorKind;
use Outcome::{Closed, Named, Refused, Told};

#[test]
fn footers() {
    let mut wrong = Vec::new();
    wrong.extend(attack(
        BOTH,
        "noise",
        Closed,
        &[
            ("more rows", |liar| liar.footer = |footer| footer.rows += 1),
            ("all rows", |liar| liar.footer = |footer| footer.rows = u64::MAX),
            ("more entries than rows", |liar| liar.footer = |footer| footer.entries = footer.rows + 1),
            ("a feature to come", |liar| liar.footer = |footer| footer.flags |= 1 << 16),
            ("an index elsewhere", |liar| liar.footer = |footer| footer.index_offset += 1),
            ("a longer index", |liar| liar.footer = |footer| footer.index_len += 1),
            ("the longest index", |liar| liar.footer = |footer| footer.index_len = u64::MAX),
            ("the last index", |liar| liar.footer = |footer| footer.index_offset = u64::MAX),
            ("a manifest elsewhere", |liar| liar.footer = |footer| footer.manifest_offset += 1),
            ("the last manifest", |liar| liar.footer = |footer| footer.manifest_offset = u64::MAX),
            ("a longer manifest", |liar| liar.footer = |footer| footer.manifest_len += 1),
            ("the longest manifest", |liar| liar.footer = |footer| footer.manifest_len = u64::MAX),
            ("no manifest", |liar| liar.footer = |footer| footer.manifest_len = 0),
            ("all the data", |liar| liar.footer = |footer| footer.data_end = u64::MAX),
        ],
    ));
    wrong.extend(attack(
        BOTH,
        "noise",
        Told,
        &[
            ("fewer entries", |liar| liar.footer = |footer| footer.entries -= 1),
            ("more bytes", |liar| liar.footer = |footer| footer.raw_bytes += 1),
            ("a reserved flag", |liar| liar.footer = |footer| footer.flags |= 1 << 7),
            ("incomplete entries", |liar| liar.footer = |footer| footer.flags |= flag::INCOMPLETE),
            ("data that goes on", |liar| liar.footer = |footer| footer.data_end += 1),
        ],
    ));
    wrong.extend(attack(
        BOTH,
        "noise",
        Refused,
        &[("less data", |liar| liar.footer = |footer| footer.data_end = 5000)],
    ));
    wrong.extend(attack(BOTH, "noise", Refused, &[("no data", |liar| liar.footer = |footer| footer.data_end = 0)]));
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn manifests() {
    let mut wrong = Vec::new();
    wrong.extend(attack(
        BOTH,
        "noise",
        Closed,
        &[
            ("a batch of no rows", |liar| liar.batch = |batch| batch.rows = 0),
            ("a batch of more rows", |liar| liar.batch = |batch| batch.rows += 1),
            ("a batch behind the index", |liar| liar.batch = |batch| batch.offset += 1 << 20),
            ("a batch longer than the index", |liar| liar.batch = |batch| batch.len += 1 << 20),
            ("the longest batch", |liar| liar.batch = |batch| batch.len = u64::MAX - batch.offset - (8 << 20)),
            ("names the other way round", |liar| liar.batch = |batch| batch.first = b"~".into()),
            ("blobs behind the index", |liar| liar.batch = |batch| batch.max_blob_end += 8 << 20),
            ("another end", |liar| liar.manifest = |manifest| manifest.parts[0].epilogue = [0; 32]),
            ("a longer index", |liar| liar.manifest = |manifest| manifest.parts[0].len += 1),
            ("an index elsewhere", |liar| liar.manifest = |manifest| manifest.parts[0].offset -= 1),
            ("two of one index", |liar| liar.manifest = |manifest| manifest.parts.push(manifest.parts[0].clone())),
            ("all rows, twice", |liar| {
                let behind = liar.parts[0].split_off(3);
                liar.parts.push(behind);
                liar.batch = |batch| batch.rows = 1 << 63;
                liar.footer = |footer| footer.rows = 0;
            }),
            ("indexes the other way round", |liar| {
                let behind = liar.parts[0].split_off(3);
                liar.parts.insert(0, behind);
            }),
        ],
    ));
    wrong.extend(attack(
        BOTH,
        "noise",
        Refused,
        &[
            ("another first name", |liar| liar.batch = |batch| batch.first = b"a".into()),
            ("another last name", |liar| liar.batch = |batch| batch.last = b"~".into()),
            ("another hash", |liar| liar.batch = |batch| batch.checksum = [1; 32]),
            ("more rows, also in the footer", |liar| {
                liar.batch = |batch| batch.rows += 1;
                liar.footer = |footer| footer.rows += 1;
            }),
            ("very many rows, also in the footer", |liar| {
                liar.batch = |batch| batch.rows = u64::MAX;
                liar.footer = |footer| footer.rows = u64::MAX;
            }),
        ],
    ));
    wrong.extend(attack(
        BOTH,
        "noise",
        Told,
        &[
            ("another beginning", |liar| liar.manifest = |manifest| manifest.parts[0].prologue = [0; 32]),
            ("another sum of the data", |liar| liar.manifest = |manifest| manifest.data_crc ^= 1),
            ("more bytes", |liar| liar.batch = |batch| batch.raw_bytes += 1),
            ("blobs elsewhere", |liar| liar.batch = |batch| batch.min_blob_offset += 1),
        ],
    ));
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// Whoever changed a byte put the hashes right.
fn resealed(bytes: &mut [u8], footer_at: usize) {
    let Some(head) = bytes[footer_at..].first_chunk::<{ footer::LEN }>().copied() else { return };
    let Ok(footer) = Footer::decode(&head) else { return };
    let manifest = footer.manifest_offset as usize..(footer.manifest_offset.wrapping_add(footer.manifest_len)) as usize;
    let Some(encoded) = bytes.get(manifest.clone()) else { return };
    let mut encoded = encoded.to_vec();
    if let Ok(mut decoded) = Manifest::decode(&encoded, footer.manifest_offset) {
        for part in &mut decoded.parts {
            let (start, end) = (part.offset as usize, (part.offset + part.len) as usize);
            let index = &bytes[start..end];
            for batch in &mut part.batches {
                batch.checksum = *blake3::hash(&index[batch.offset as usize..][..batch.len as usize]).as_bytes();
            }
            part.prologue = *blake3::hash(&index[..part.batches[0].offset as usize]).as_bytes();
            part.epilogue = *blake3::hash(&index[part.epilogue_start() as usize..]).as_bytes();
        }
        let again = decoded.encode().unwrap();
        encoded = if again.len() == encoded.len() { again } else { encoded };
    }
    bytes[manifest].copy_from_slice(&encoded);
    let root = footer::root(&encoded, &head);
    bytes[footer_at + 96..][..32].copy_from_slice(&root);
}

/// Opens, lists, reads and verifies; whatever comes, it is no panic and an error of a type.
fn try_all(bytes: &[u8], what: &str) {
    let typed = |error: crate::error::Error| {
        let kind = error.kind();
        assert!(matches!(kind, ErrorKind::Archive | ErrorKind::Integrity | ErrorKind::NotFound), "{what}: {error:?}");
    };
    let archive = match open(bytes) {
        Ok(archive) => archive,
        Err(error) => return typed(error),
    };
    for number in 0..archive.batches() {
        let Ok(batch) = archive.batch(number).map_err(typed) else { continue };
        for at in 0..batch.len() {
            let _ = batch.row(at).map_err(typed);
            let names = [batch.name(at).to_vec()];
            let _ = archive.find(&names[0]).map_err(typed);
            let _ = archive.read_many(&names, Default::default()).map_err(typed);
        }
    }
    let _ = verified(&archive, 1).map_err(typed);
}

/// Each byte behind the data changed in three ways, all hashes put right.
#[test]
fn every_byte_behind_the_data_with_right_hashes() {
    let items =
        vec![Item::file("a", *b"one"), Item::file("b/c", *b"two").linked(1, 2), Item::file("d", *b"two").linked(1, 2)];
    for flavour in [options(), plain()] {
        let good = packed(&items, &flavour).0;
        let opened = open(&good).unwrap();
        let (from, footer_at) = (opened.opened().footer.data_end as usize, opened.opened().footer_at as usize);
        let mut wrong = Vec::new();
        for at in from..good.len() {
            for value in [good[at] ^ 1, good[at] ^ 0x80, 0xFF] {
                let mut bytes = good.clone();
                bytes[at] = value;
                resealed(&mut bytes, footer_at);
                let what = format!("byte {at} of {}: {value} for {}", good.len(), good[at]);
                if std::panic::catch_unwind(|| try_all(&bytes, &what)).is_err() {
                    wrong.push(what);
                }
            }
        }
        assert!(wrong.is_empty(), "{} panics: {:?}", wrong.len(), &wrong[..wrong.len().min(20)]);
    }
}

/// A frame of our own making, in which `packed` is said to lie.
fn with_frame(content: &[u8], window_log: u32, len: u64) -> Liar {
    let mut liar = Liar::packed(&honest(), &options());
    let mut context = zstd_safe::CCtx::create();
    context.set_parameter(zstd_safe::CParameter::WindowLog(window_log)).unwrap();
    context.set_parameter(zstd_safe::CParameter::ChecksumFlag(true)).unwrap();
    let mut frame = Vec::with_capacity(zstd_safe::compress_bound(content.len()));
    context.compress2(&mut frame, content).unwrap();
    let (at, size) = (liar.data.len() as u64, frame.len() as u64);
    let row = liar.row("packed", 0);
    (row.blob_offset, row.blob_size, row.inner_offset, row.len) = (at, size, 0, len);
    (row.blob_raw_size, row.checksum) =
        (content.len() as u32, Some(*blake3::hash(&content[..len as usize]).as_bytes()));
    liar.entry("packed", |entry| entry.size = len);
    liar.data.extend_from_slice(&frame);
    liar.frames.push(FrameSize { compressed: size as u32, content: content.len() as u32 });
    liar.data_crc = checksum(Algorithm::Crc64Nvme, &liar.data);
    liar
}

/// Content of a frame ≤ 64 MiB, window ≤ 8 MiB (7).
#[test]
fn frames_that_are_bombs() {
    let zeros = vec![0; (64 << 20) + 1];
    for (content, window_log, outcome) in
        [(&zeros[..], 20, Refused), (&zeros[..16 << 20], 24, Named), (&zeros[..9 << 20], 27, Named)]
    {
        let liar = with_frame(content, window_log, 4096);
        let tried = super::liar::attacked(&liar, "packed", outcome);
        assert!(tried.is_ok(), "{} bytes, window 2^{window_log}: {tried:?}", content.len());
    }
}

/// A tiny archive that says very much is refused as a whole.
#[test]
fn more_than_a_thousand_bytes_for_each_one() {
    use crate::archive::select::Selection;
    use crate::archive::{threads::Stop, tree::TreeOptions, unpack};
    let archive = open(&packed(&[Item::file("zeros", vec![0; 32 << 20])], &options()).0).unwrap();
    let place = tempfile::tempdir().unwrap();
    let unpack = |selection| {
        let options =
            unpack::UnpackOptions { tree: TreeOptions::new(), selection, allow_incomplete: false, threads: 1 };
        unpack::unpack(&archive, place.path().join("in").as_path(), &options, (&Stop::default(), &Default::default()))
    };
    let limits = [
        Selection::default(),
        Selection { max_bytes: Some((32 << 20) - 1), max_ratio: u64::MAX, ..Selection::default() },
        Selection { max_members: Some(0), max_ratio: u64::MAX, ..Selection::default() },
    ];
    for limit in limits {
        assert_eq!(unpack(limit).unwrap_err().kind(), ErrorKind::Archive);
        assert!(!place.path().join("in").exists(), "nothing was written");
    }
    assert_eq!(unpack(Selection { max_ratio: u64::MAX, ..Selection::default() }).unwrap().files, 1);
}
