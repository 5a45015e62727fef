//! Streams from anywhere: whatever their bytes, the readers of tars end with a tree or an error of a type.

use std::io::Cursor;
use std::path::Path;

use super::made::{Random, tree};
use super::memory::*;
use crate::archive::entry::Kind;
use crate::archive::foreign::{ForeignOptions, Own, unpack_tar};
use crate::archive::select::Selection;
use crate::archive::tar_reader::{Member, TarReader};
use crate::archive::threads::Stop;
use crate::archive::tree::TreeOptions;
use crate::archive::unpack_report::UnpackReport;
use crate::error::{ErrorKind, Result};
use crate::progress::Progress;

fn unpacked(bytes: &[u8], place: &Path, own: Own) -> Result<(UnpackReport, Option<[u8; 32]>)> {
    let selection = Selection { max_bytes: Some(64 << 20), ..Selection::default() };
    let options = ForeignOptions { tree: TreeOptions::new(), selection, own };
    unpack_tar(Box::new(Cursor::new(bytes.to_vec())), place, &options, (&Stop::default(), &Progress::default()))
}

/// All that two readers make of some bytes, whose reads are cut in different places.
fn read(bytes: &[u8], step: usize) -> (Vec<(Member, Vec<u8>)>, bool) {
    let mut reader = TarReader::new(Short(Cursor::new(bytes), step));
    let mut members = Vec::new();
    loop {
        match reader.next() {
            Ok(Some(member)) => {
                let (mut data, mut buffer) = (Vec::new(), vec![0; step]);
                while let Ok(count @ 1..) = reader.read_data(&mut buffer) {
                    data.extend_from_slice(&buffer[..count]);
                }
                members.push((member, data));
            }
            Ok(None) => return (members, true),
            Err(error) => {
                assert_eq!(error.kind(), ErrorKind::Archive, "{error:?}");
                assert!(reader.next().is_err(), "after an error nothing more is read");
                return (members, false);
            }
        }
    }
}

/// Gives a few bytes at a time.
struct Short<R>(R, usize);

impl<R: std::io::Read> std::io::Read for Short<R> {
    fn read(&mut self, to: &mut [u8]) -> std::io::Result<usize> {
        let now = to.len().min(self.1);
        self.0.read(&mut to[..now])
    }
}

fn try_all(bytes: &[u8]) {
    let one = read(bytes, 4096);
    assert_eq!(one, read(bytes, 61));
    for own in [Own::Refuse, Own::Trust, Own::Follow] {
        let place = tempfile::tempdir().unwrap();
        if let Err(error) = unpacked(bytes, &place.path().join("in"), own) {
            assert!(matches!(error.kind(), ErrorKind::Archive | ErrorKind::Integrity), "{error:?}");
        }
        let entries: Vec<_> = std::fs::read_dir(place.path()).unwrap().collect();
        assert!(entries.len() <= 1, "outside of the destination: {entries:?}");
    }
}

fn compressed(bytes: &[u8]) -> Vec<u8> {
    let mut frame = Vec::with_capacity(zstd_safe::compress_bound(bytes.len()));
    zstd_safe::compress(&mut frame, bytes, 1).unwrap();
    frame
}

/// Small archives of both flavours, and the tar in one of them.
fn seeds() -> Vec<Vec<u8>> {
    let mut items = tree(90, 12, 4000, true);
    items.retain(|item| item.entry.size < 4000);
    let tar = packed(&items, &plain()).0;
    let end = open(&tar).unwrap().opened().footer.data_end as usize;
    let bare = [&tar[..end], &[0; 1024]].concat();
    vec![packed(&items, &options()).0, tar, compressed(&bare), bare]
}

#[test]
fn random_bytes() {
    let random = &mut Random::new(91);
    for _ in 0..150 {
        let len = random.below(3000) as usize;
        let mut bytes = random.noise(len);
        try_all(&bytes);
        if len > 4 {
            let magic: [u8; 4] = *random.one_of(&[[0x28, 0xB5, 0x2F, 0xFD], [0x50, 0x2A, 0x4D, 0x18]]);
            bytes[..4].copy_from_slice(&magic);
            try_all(&bytes);
        }
    }
    try_all(&[]);
    try_all(&[0; 512]);
    try_all(&[0; 1024]);
    try_all(&[0xFF; 2048]);
}

/// Puts the checksum of each header right, so that what was changed is read at all.
fn with_sums(bytes: &mut [u8]) {
    for block in bytes.chunks_exact_mut(512).filter(|block| &block[257..262] == b"ustar") {
        block[148..156].fill(b' ');
        let sum: u32 = block.iter().map(|byte| u32::from(*byte)).sum();
        block[148..155].copy_from_slice(format!("{sum:06o}\0").as_bytes());
    }
}

#[test]
fn changed_archives() {
    let random = &mut Random::new(92);
    for seed in seeds() {
        for round in 0..80 {
            let mut bytes = seed.clone();
            for _ in 0..1 + random.below(3) {
                let at = random.below(bytes.len() as u64) as usize;
                match random.below(4) {
                    0 => bytes.truncate(at.max(1)),
                    1 => drop(bytes.drain(at..(at + 512).min(bytes.len()))),
                    2 => bytes[at] = *random.one_of(b"\0\xFF78gxLKS/.="),
                    _ => bytes[at] ^= 1 << random.below(8),
                }
                if bytes.is_empty() {
                    break;
                }
            }
            if round % 2 == 0 {
                with_sums(&mut bytes);
            }
            try_all(&bytes);
        }
    }
}

/// An archive of s3z is a tar that our own strict reader takes, entry by entry.
#[test]
fn what_we_write_is_a_tar() {
    for seed in 93..96 {
        let items = tree(seed, 60, 2 << 20, true);
        let like = crate::archive::pack::PackOptions { xattrs: true, ..plain() };
        let (members, is_whole) = read(&packed(&items, &like).0, 4096);
        assert!(is_whole);
        assert_eq!(members.len(), items.len() + 3, "and the three that are ours");
        for ((member, data), item) in members.iter().zip(&items) {
            let Member::Entry(entry) = member else { panic!("{member:?}") };
            let seconds = item.entry.mtime_ns.div_euclid(1_000_000_000) * 1_000_000_000;
            assert_eq!((&entry.name, entry.mode, entry.mtime_ns), (&item.entry.name, item.entry.mode, seconds));
            assert_eq!(entry.xattrs, item.entry.xattrs);
            assert_eq!(entry.uid, Some(item.entry.uid.unwrap_or(0)));
            if entry.kind != Kind::HardLink {
                assert!(*data == *item.data && entry.link == item.entry.link && entry.kind == item.entry.kind);
            }
        }
    }
}

/// From a pipe: with its index at the end, the same as otherwise; cut off, an error.
#[test]
fn an_archive_of_ours_from_a_pipe() {
    for like in [options(), plain()] {
        let items = vec![Item::file("a", *b"one"), Item::file("b", vec![b'x'; 3 * SLICE as usize])];
        let (bytes, report) = packed(&items, &like);
        let place = tempfile::tempdir().unwrap();
        let (unpacked_report, root) = unpacked(&bytes, place.path(), Own::Follow).unwrap();
        assert_eq!((unpacked_report.files, root), (2, Some(report.root)));
        assert!(unpacked_report.failures.is_empty(), "{:?}", unpacked_report.failures);
        for (item, name) in items.iter().zip(["a", "b"]) {
            assert!(std::fs::read(place.path().join(name)).unwrap() == *item.data);
        }
        for len in [bytes.len() - 1, bytes.len() - 600, bytes.len() / 2, 700] {
            let place = tempfile::tempdir().unwrap();
            assert!(unpacked(&bytes[..len], place.path(), Own::Follow).is_err(), "cut to {len}");
        }
    }
}
