//! Input that is damaged, cut off, or made to be read in two ways.

use super::*;

#[test]
fn what_could_be_read_in_two_ways_is_refused() {
    let file = raw(|_| {});
    let pax = |body: &str| [sized(b'x', body.len()), padded(body.as_bytes())].concat();
    let long = |flag, body: &[u8]| [sized(flag, body.len()), padded(body)].concat();
    let too_large = sized(b'x', (1 << 20) + 1);
    for (blocks, expected) in [
        (vec![sized(b'2', 1)], "has a size"),
        (vec![sized(b'3', 512)], "has a size"),
        (vec![pax("9 path=a\n"), pax("9 path=b\n"), file.clone()], "follows another"),
        (vec![pax("9 path=a\n")], "is missing"),
        (vec![long(b'L', b"a\0")], "is missing"),
        (vec![long(b'L', b"a\0"), long(b'L', b"b\0"), file.clone()], "follows another"),
        (vec![long(b'L', b"a\0b"), file.clone()], "not a text"),
        (vec![long(b'L', b"\0"), file.clone()], "not a text"),
        (vec![long(b'L', &[b'a'; 4097]), file.clone()], "not a text"),
        (vec![long(b'L', &[b'a'; 4098]), file.clone()], "longer than 4096"),
        (vec![long(b'L', b"a"), pax("9 path=a\n"), file.clone()], "both pax and GNU"),
        (vec![pax("9 size=1\n"), sized(b'0', 2)], "contradict"),
        (vec![too_large], "longer than 1 MiB"),
        (vec![pax("9 patt=a"), file.clone()], "malformed"),
        (vec![pax("18 mtime=99999999999\n"), file.clone()], "malformed"),
        (vec![raw(|block| block[108] = 0xff)], "too large"),
        (vec![raw(|block| block[136..148].copy_from_slice(b"777777777777"))], "time is out of range"),
        (vec![raw(|block| block[124] = 0xff)], "number is too large"),
        (vec![raw(|block| block[124..136].fill(0xff))], "size is negative"),
    ] {
        let blocks: Vec<&[u8]> = blocks.iter().map(Vec::as_slice).collect();
        let message = error(&ended(&blocks));
        assert!(message.contains(expected), "{message}, not {expected}");
    }
    assert_eq!(names(&ended(&[&long(b'L', &[&[b'a'; 4096][..], b"\0"].concat()), &file])).len(), 1);
    let same = ended(&[&pax("9 size=3\n"), &sized(b'0', 3), &padded(b"abc")]);
    assert_eq!(entries(&same)[0].1, b"abc");
    let from_pax = ended(&[&pax("9 size=3\n"), &file, &padded(b"abc")]);
    assert_eq!(entries(&from_pax)[0].1, b"abc");
}

#[test]
fn nothing_is_read_after_an_error() {
    let mut reader = TarReader::new(&PLAIN[..700]);
    while reader.next().is_ok() {}
    let at = reader.offset();
    assert!(reader.next().is_err() && reader.read_data(&mut [0]).is_err());
    assert_eq!(reader.offset(), at);
    let short = sized(b'0', 10);
    let mut reader = TarReader::new(&short[..]);
    reader.next().unwrap();
    assert!(reader.read_data(&mut [0; 4]).is_err() && reader.next().is_err());
}

#[test]
fn errors_of_the_source_pass_through() {
    struct Broken(bool);
    impl Read for Broken {
        fn read(&mut self, _: &mut [u8]) -> io::Result<usize> {
            if self.0 { Err(io::Error::other(Error::cancelled())) } else { Err(io::ErrorKind::BrokenPipe.into()) }
        }
    }
    assert_eq!(TarReader::new(Broken(true)).next().unwrap_err().kind(), ErrorKind::Cancelled);
    assert_eq!(TarReader::new(Broken(false)).next().unwrap_err().kind(), ErrorKind::LocalIo);
}

#[test]
fn a_huge_size_is_only_a_claim() {
    let huge = raw(|block| block[124..136].copy_from_slice(b"\x80\0\0\0\x7f\xff\xff\xff\xff\xff\xff\xff"));
    let mut reader = TarReader::new(&huge[..]);
    assert!(matches!(reader.next().unwrap(), Some(Member::Entry(entry)) if entry.size == u64::MAX / 2));
    assert!(reader.next().is_err());
    assert!(
        error(&raw(|block| block[124..136].copy_from_slice(b"\x80\0\0\0\x80\0\0\0\0\0\0\0"))).contains("too large")
    );
}

/// Two kinds of archive with all there is, without the zeros at the end.
static RICH: LazyLock<Vec<Vec<u8>>> = LazyLock::new(|| {
    let dir = plain_tree();
    let name = "n".repeat(150);
    fs::write(dir.path().join(&name), name.repeat(10)).unwrap();
    std::os::unix::fs::symlink("t".repeat(150), dir.path().join("long")).unwrap();
    fs::remove_file(dir.path().join("size20000")).unwrap();
    ["--format=gnu", "--format=pax"].iter().map(|format| tar(dir.path(), &[format, "-b1", "."])).collect()
});

#[test]
fn cut_anywhere_it_is_an_error() {
    for bytes in &*RICH {
        let whole = read_all(bytes).unwrap().len();
        let end = bytes.len() - 1024;
        assert!(bytes[end..].iter().all(|byte| *byte == 0));
        for block in 0..=bytes.len() / BLOCK {
            for cut in [block * BLOCK, block * BLOCK + 1, block * BLOCK + 511] {
                let is_whole = cut == end + BLOCK || cut >= bytes.len();
                let found = read_all(&bytes[..cut.min(bytes.len())]);
                assert_eq!(found.is_ok(), is_whole, "{cut} of {}", bytes.len());
                if let Ok(found) = found {
                    assert_eq!(found.len(), whole);
                }
            }
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(3000))]

    /// Never a panic; with the checksums made good again the changes get past the first look.
    #[test]
    fn changed_bytes_never_panic(
        which in 0usize..2,
        changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..6),
        seals in any::<bool>(),
    ) {
        let mut bytes = RICH[which].clone();
        for (index, value) in changes {
            let at = index.index(bytes.len());
            bytes[at] = value;
            if seals {
                seal(&mut bytes[at / BLOCK * BLOCK..][..BLOCK]);
            }
        }
        if let Ok(found) = read_all(&bytes) {
            let total: usize = found.iter().map(|(_, data)| data.len()).sum();
            prop_assert!(total <= bytes.len());
        }
    }

    #[test]
    fn any_pax_body_is_taken_or_refused(body in prop::collection::vec(any::<u8>(), 0..200)) {
        let _ = Pax::default().add(&body);
        let _ = Pax::default().add_global(&body);
    }

    #[test]
    fn any_header_is_taken_or_refused(fill in prop::collection::vec(any::<u8>(), BLOCK..=BLOCK)) {
        let mut block = fill;
        block[257..265].copy_from_slice(b"ustar\x0000");
        seal(&mut block);
        let _ = read_all(&ended(&[&block]));
    }
}
