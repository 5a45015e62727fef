//! The bytes of an archive depend on its source and options only.

use super::made::tree;
use super::memory::*;
use crate::archive::classify::Hints;
use crate::archive::lay::Sizes;
use crate::archive::pack::PackOptions;

/// What the machine may decide: workers, readers and memory.
fn machines(like: &PackOptions) -> Vec<PackOptions> {
    let least = 14 << 20;
    [(1, 1, 512 << 20), (2, 2, 0), (7, 8, 512 << 20), (16, 4, 0), (16, 8, 512 << 20), (7, 3, 40 << 20), (1, 1, 0)]
        .map(|(workers, readers, memory)| PackOptions { workers, readers, memory: least.max(memory), ..like.clone() })
        .into()
}

fn same(items: &[Item], options: &PackOptions) {
    let (first, report) = packed(items, options);
    for machine in machines(options) {
        let (bytes, now) = packed(items, &machine);
        let at = first.iter().zip(&bytes).position(|(one, other)| one != other);
        assert!(bytes == first, "{machine:?}: differs from byte {at:?} on of {} and {}", first.len(), bytes.len());
        assert_eq!(now.root, report.root);
        assert_eq!(
            (now.entries, now.stored_files, now.bytes_in),
            (report.entries, report.stored_files, report.bytes_in)
        );
    }
    assert_eq!(report.files, report.compressed_files + report.stored_files + report.empty_files);
    assert_eq!(report.entries, items.len() as u64);
}

#[test]
fn of_frames() {
    for seed in 0..5 {
        same(&tree(seed, 30 + 20 * seed as usize, 9 << 20, false), &options());
    }
}

#[test]
fn of_a_plain_tar() {
    for seed in 5..8 {
        same(&tree(seed, 40, 9 << 20, seed == 6), &PackOptions { xattrs: seed == 6, file_hash: true, ..plain() });
    }
}

#[test]
fn with_everything_asked_for() {
    for seed in 8..11 {
        let all = PackOptions { xattrs: true, file_hash: true, level: Some(-3), said_level: -3, ..options() };
        same(&tree(seed, 40, 9 << 20, true), &all);
    }
}

#[test]
fn with_other_sizes_and_hints() {
    let hints = Hints { no_skip: true, ..Hints::default() };
    same(&tree(11, 60, 9 << 20, false), &PackOptions { hints, ..options() });
    let hints = Hints { extensions: vec!["txt".to_owned(), "x".to_owned()], ..Hints::default() };
    let sizes = Sizes { slice: SLICE, group: SLICE };
    same(&tree(12, 60, 9 << 20, false), &PackOptions { hints, sizes, level: Some(1), said_level: 1, ..options() });
}

/// Every size at a limit, once as text, once as noise.
#[test]
fn around_every_limit() {
    let random = &mut super::made::Random::new(77);
    let mut items = Vec::new();
    for (number, size) in super::made::sizes().into_iter().filter(|size| *size <= SLICE + 1).enumerate() {
        items.push(Item::file(&format!("{number:03}-noise"), random.noise(size as usize)));
        items.push(Item::file(&format!("{number:03}-text"), random.text(size as usize)));
    }
    same(&items, &options());
    same(&items, &plain());
}

#[test]
fn of_nothing() {
    same(&[], &options());
    same(&[], &plain());
    same(&[], &PackOptions { xattrs: true, file_hash: true, ..options() });
}

/// More rows than one batch of the index holds, of which only a late one has a name that is not UTF-8.
#[test]
fn of_many_entries() {
    let mut items: Vec<Item> = (0..20_000).map(|number| Item::file(&format!("{number:06}"), *b"x")).collect();
    items.push(Item::file("x", *b"last"));
    items.last_mut().unwrap().entry.name = b"\xff".to_vec();
    let (first, _) = packed(&items, &options());
    let (again, _) = packed(&items, &PackOptions { workers: 5, readers: 5, ..options() });
    assert!(first == again);
    let archive = open(&first).unwrap();
    assert_eq!(archive.batches(), 2);
    assert_eq!(verified(&archive, 3).unwrap().problems, []);
    for name in [&b"000000"[..], b"016383", b"016384", b"019999", b"\xff"] {
        assert_eq!(archive.find(name).unwrap().len(), 1, "{}", name.escape_ascii());
    }
    for name in [&b""[..], b"00000", b"016383x", b"0163830", b"\xff\xff", b"/"] {
        assert_eq!(archive.find(name).unwrap().len(), 0, "{}", name.escape_ascii());
    }
}

/// Less memory than one worker needs is refused, and the error says how much it must be.
#[test]
fn too_little_memory_is_refused() {
    let little = PackOptions { memory: 8 << 20, ..options() };
    let error = packed_of(&Items::new(Vec::new()), &little).unwrap_err();
    let needed: u64 = error.message().split(' ').find_map(|word| word.parse().ok()).unwrap();
    packed_of(&Items::new(Vec::new()), &PackOptions { memory: needed, ..little.clone() }).unwrap();
    packed_of(&Items::new(Vec::new()), &PackOptions { memory: needed - 1, ..little }).unwrap_err();
}
