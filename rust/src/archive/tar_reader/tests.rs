//! Archives of GNU tar and of Python's tarfile, and what is left of them after cuts and changed bytes.

mod damage;

use super::*;
use proptest::prelude::*;
use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::process::Command;
use std::sync::LazyLock;

/// All members, and the data of files.
fn read_all(bytes: &[u8]) -> Result<Vec<(Member, Vec<u8>)>> {
    let mut reader = TarReader::new(bytes);
    let mut members = Vec::new();
    while let Some(member) = reader.next()? {
        let (mut data, mut buffer) = (Vec::new(), [0; 700]);
        loop {
            match reader.read_data(&mut buffer)? {
                0 => break,
                count => data.extend_from_slice(&buffer[..count]),
            }
        }
        members.push((member, data));
    }
    assert!(reader.end().1 <= bytes.len() as u64);
    Ok(members)
}

fn entries(bytes: &[u8]) -> Vec<(Entry, Vec<u8>)> {
    let entry = |(member, data)| match member {
        Member::Entry(entry) => (entry, data),
        other => panic!("{other:?}"),
    };
    read_all(bytes).unwrap().into_iter().map(entry).collect()
}

fn names(bytes: &[u8]) -> Vec<String> {
    entries(bytes).iter().map(|(entry, _)| String::from_utf8_lossy(&entry.name).into_owned()).collect()
}

fn run(command: &mut Command) -> Vec<u8> {
    let output = command.output().unwrap();
    assert!(output.status.success(), "{command:?}: {}", String::from_utf8_lossy(&output.stderr));
    output.stdout
}

fn tar(directory: &Path, arguments: &[&str]) -> Vec<u8> {
    let mut command = Command::new("tar");
    run(command.env("LC_ALL", "C").arg("-C").arg(directory).args(["--sort=name", "-cf", "-"]).args(arguments))
}

/// What Python's tarfile makes of `script`, which adds to `t`.
fn python(format: &str, script: &str) -> Vec<u8> {
    let header = "import io, sys, tarfile\nfrom tarfile import TarInfo as I\n\
        def add(name, data=b'', **more):\n    i = I(name); i.size = len(data)\n\
        \x20   for k, v in more.items(): setattr(i, k, v)\n    t.addfile(i, io.BytesIO(data))\n\
        out = io.BytesIO()\n";
    let open = format!("t = tarfile.open(fileobj=out, mode='w', format=tarfile.{format}_FORMAT, pax_headers=GLOBAL)\n");
    let global = if script.contains("GLOBAL =") { "" } else { "GLOBAL = None\n" };
    let (first, rest) = if global.is_empty() { script.split_once('\n').unwrap() } else { ("", script) };
    let program =
        format!("{header}{global}{first}\n{open}{rest}\nt.close()\nsys.stdout.buffer.write(out.getvalue())\n");
    run(Command::new("python3").args(["-c", &program]))
}

/// A directory with all that v7 can hold.
fn plain_tree() -> tempfile::TempDir {
    let dir = tempfile::tempdir().unwrap();
    let root = dir.path();
    fs::create_dir_all(root.join("d/e")).unwrap();
    fs::write(root.join("d/file"), "hello").unwrap();
    fs::write(root.join("empty"), "").unwrap();
    for size in [511, 512, 513, 20_000] {
        fs::write(root.join(format!("size{size}")), vec![b'x'; size]).unwrap();
    }
    fs::hard_link(root.join("d/file"), root.join("hard")).unwrap();
    std::os::unix::fs::symlink("d/../empty", root.join("soft")).unwrap();
    dir
}

static PLAIN: LazyLock<Vec<u8>> = LazyLock::new(|| tar(plain_tree().path(), &["--format=gnu", "-b1", "."]));

#[test]
fn gnu_tar_in_each_of_its_formats() {
    let dir = plain_tree();
    for format in ["v7", "oldgnu", "gnu", "ustar", "pax"] {
        let format = format!("--format={format}");
        let arguments = [&format, "--mtime=@1700000000", "--owner=:7", "--group=:8", "--mode=u=rwx,go=r", "."];
        let bytes = tar(dir.path(), &arguments);
        let found = entries(&bytes);
        let expected = ["d/", "d/e/", "d/file", "empty", "hard", "size20000", "size511", "size512", "size513", "soft"];
        assert_eq!(names(&bytes), expected, "{format}");
        let at = |name: &str| found.iter().find(|(entry, _)| entry.name == name.as_bytes()).unwrap();
        for (entry, data) in &found {
            assert_eq!((entry.mtime_ns, entry.uid, entry.gid), (1_700_000_000_000_000_000, Some(7), Some(8)));
            assert_eq!(entry.mode, 0o744, "{entry:?}");
            assert_eq!(entry.size, data.len() as u64);
        }
        assert_eq!(at("d/").0.kind, Kind::Directory);
        assert_eq!((at("d/file").0.kind, &at("d/file").1[..]), (Kind::File, &b"hello"[..]));
        assert_eq!(at("size20000").1, vec![b'x'; 20_000]);
        assert_eq!((at("hard").0.kind, &at("hard").0.link[..]), (Kind::HardLink, &b"d/file"[..]));
        assert_eq!((at("soft").0.kind, &at("soft").0.link[..]), (Kind::Symlink, &b"d/../empty"[..]));
    }
}

#[test]
fn the_root_alone_is_no_entry() {
    let dir = tempfile::tempdir().unwrap();
    for root in [".", "./"] {
        assert!(names(&tar(dir.path(), &[root])).is_empty());
    }
    assert!(names(&python("PAX", "add('.', type=tarfile.DIRTYPE)")).is_empty());
}

#[test]
fn data_that_is_not_read_is_skipped() {
    let mut reader = TarReader::new(&PLAIN[..]);
    let mut count = 0;
    while let Some(member) = reader.next().unwrap() {
        if matches!(&member, Member::Entry(entry) if entry.size > 1000) {
            assert_eq!(reader.read_data(&mut [0; 100]).unwrap(), 100);
        }
        assert_eq!(reader.read_data(&mut []).unwrap(), 0);
        count += 1;
    }
    assert_eq!(count, 10);
    assert!(reader.next().unwrap().is_none(), "the end stays the end");
    assert_eq!(reader.offset(), PLAIN.len() as u64);
}

#[test]
fn long_and_foreign_names() {
    let dir = tempfile::tempdir().unwrap();
    let long: Vec<String> = [99, 100, 101, 254, 255].iter().map(|length| "n".repeat(*length)).collect();
    let deep = "d".repeat(200) + "/" + &"e".repeat(200);
    fs::create_dir_all(dir.path().join(&deep)).unwrap();
    for name in &long {
        fs::write(dir.path().join(&deep).join(name), name).unwrap();
        std::os::unix::fs::symlink("t".repeat(300), dir.path().join(&deep).join(format!("{}l", &name[1..]))).unwrap();
    }
    fs::write(dir.path().join(std::ffi::OsStr::from_bytes(b"\xff\xc3\x28")), "").unwrap();
    fs::write(dir.path().join("größe\n"), "").unwrap();
    for format in ["--format=gnu", "--format=pax", "--format=oldgnu"] {
        let found = entries(&tar(dir.path(), &[format, "."]));
        let has = |name: &[u8]| found.iter().any(|(entry, _)| entry.name == name);
        for name in &long {
            assert!(has(format!("{deep}/{name}").as_bytes()), "{format}");
        }
        assert!(has(b"\xff\xc3\x28") && has("größe\n".as_bytes()));
        let links = found.iter().filter(|(entry, _)| entry.link == "t".repeat(300).as_bytes()).count();
        assert_eq!(links, long.len());
    }
    for length in [150, 155, 200] {
        let name = "p/".repeat(length / 2) + &"x".repeat(90);
        assert_eq!(
            names(&python("USTAR", &format!("add({:?})", &name[2 * (length / 2).saturating_sub(70)..]))).len(),
            1
        );
    }
}

#[test]
fn large_numbers_and_times() {
    let script = "add('a', uid=3000000, gid=1 << 31, mtime=-5)\nadd('b', mtime=1 << 33, mode=0o104755)";
    for format in ["GNU", "PAX"] {
        let found = entries(&python(format, script));
        let (a, b) = (&found[0].0, &found[1].0);
        assert_eq!((a.uid, a.gid, a.mtime_ns), (Some(3_000_000), Some(1 << 31), -5_000_000_000), "{format}");
        assert_eq!((b.mtime_ns, b.mode), ((1 << 33) * 1_000_000_000, 0o4755));
    }
    let dir = plain_tree();
    let bytes = tar(dir.path(), &["--format=pax", "--mtime=1969-12-31 23:59:58.25 UTC", "empty"]);
    assert_eq!(entries(&bytes)[0].0.mtime_ns, -1_750_000_000);
}

#[test]
fn pax_records_of_python() {
    let script = "GLOBAL = {'comment': 'x', 'gid': '9', 'mtime': '3.5'}\n\
        add('a', b'123', pax_headers={'SCHILY.xattr.user.k': 'v=\\n', 'path': 'other', 'uid': '4000000000'}, mtime=7)\n\
        add('b', type=tarfile.SYMTYPE, linkname='ü' * 60, pax_headers={'mtime': '-0.5'})\n";
    let found = entries(&python("PAX", script));
    let (a, b) = (&found[0].0, &found[1].0);
    assert_eq!((&a.name[..], a.uid, a.gid, a.mtime_ns), (&b"other"[..], Some(4_000_000_000), Some(9), 3_500_000_000));
    assert_eq!(a.xattrs, [("user.k".to_owned(), b"v=\n".to_vec())]);
    assert_eq!((&b.link[..], b.gid, b.mtime_ns), ("ü".repeat(60).as_bytes(), Some(9), -500_000_000));
    assert!(b.xattrs.is_empty(), "a member's records are its own");
}

#[test]
fn attributes_as_gnu_tar_writes_them() {
    let dir = plain_tree();
    for name in ["user.a=b%c", "user.plain"] {
        let set = rustix::fs::setxattr(dir.path().join("empty"), name, b"v\0=", rustix::fs::XattrFlags::empty());
        if set.is_err() {
            return; // a file system without attributes
        }
    }
    let found = entries(&tar(dir.path(), &["--format=pax", "--xattrs", "empty"]));
    let names: Vec<&str> = found[0].0.xattrs.iter().map(|(name, _)| name.as_str()).collect();
    assert_eq!(names, ["user.a=b%c", "user.plain"]);
    assert!(found[0].0.xattrs.iter().all(|(_, value)| value == b"v\0="));
}

#[test]
fn types_other_than_files_are_told_apart() {
    let script = "add('f', type=tarfile.FIFOTYPE)\nadd('c', type=tarfile.CHRTYPE, devmajor=1)\n\
        add('b', type=tarfile.BLKTYPE)\nadd('contiguous', b'xy', type=tarfile.CONTTYPE)\n\
        add('odd', b'abc', type=b'Q')\nadd('v', type=b'V')\nadd('l', type=tarfile.SYMTYPE)\nadd('last', b'z')";
    let found: Vec<Member> =
        read_all(&python("USTAR", script)).unwrap().into_iter().map(|(member, _)| member).collect();
    let special = |name: &str, what| Member::Special { name: name.into(), what };
    assert_eq!(found[..3], [special("f", "FIFO"), special("c", "character device"), special("b", "block device")]);
    assert!(matches!(&found[3], Member::Entry(entry) if entry.kind == Kind::File && entry.size == 2));
    assert_eq!(found[4], Member::Refused { name: b"odd".to_vec(), why: "its type is unknown" });
    assert_eq!(found[5], special("v", "volume label"));
    assert_eq!(found[6], Member::Refused { name: b"l".to_vec(), why: "a link without a target" });
    assert!(matches!(&found[7], Member::Entry(entry) if entry.name == b"last"));
}

/// GNU tar leaves holes out in four ways; what follows is read.
#[test]
fn sparse_files_are_refused_by_name() {
    let dir = tempfile::tempdir().unwrap();
    let file = fs::File::create(dir.path().join("holes")).unwrap();
    for at in 0..40u64 {
        std::os::unix::fs::FileExt::write_all_at(&file, b"x", at << 20).unwrap();
    }
    fs::write(dir.path().join("last"), "z").unwrap();
    for arguments in [
        &["--format=gnu"][..],
        &["--format=oldgnu"],
        &["--format=pax", "--sparse-version=0.0"],
        &["--format=pax", "--sparse-version=0.1"],
        &["--format=pax", "--sparse-version=1.0"],
    ] {
        let bytes = tar(dir.path(), &[arguments, &["-S", "holes", "last"]].concat());
        assert!(bytes.len() < 1 << 20, "it is sparse");
        let found = read_all(&bytes).unwrap();
        assert_eq!(found.len(), 2);
        match &found[0].0 {
            Member::Refused { name, why } => {
                assert_eq!(name, b"holes", "{arguments:?}");
                assert_eq!(*why, SPARSE);
            }
            other => panic!("{other:?}"),
        }
        assert_eq!(found[1].1, b"z");
    }
}

/// One header, with its checksum, and whatever follows.
fn raw(change: impl FnOnce(&mut Block)) -> Vec<u8> {
    let mut block = [0; BLOCK];
    block[0] = b'n';
    block[100..108].copy_from_slice(b"0000644\0");
    block[124..136].copy_from_slice(b"00000000000\0");
    block[156] = b'0';
    block[257..265].copy_from_slice(b"ustar\x0000");
    change(&mut block);
    seal(&mut block);
    block.to_vec()
}

fn seal(block: &mut [u8]) {
    block[148..156].fill(b' ');
    let sum: u32 = block.iter().map(|byte| u32::from(*byte)).sum();
    block[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
}

fn ended(blocks: &[&[u8]]) -> Vec<u8> {
    [&blocks.concat()[..], &[0; 1024]].concat()
}

fn padded(body: &[u8]) -> Vec<u8> {
    let mut body = body.to_vec();
    body.resize(body.len().next_multiple_of(BLOCK), 0);
    body
}

fn sized(flag: u8, size: usize) -> Vec<u8> {
    raw(|block| {
        block[156] = flag;
        block[124..136].copy_from_slice(format!("{size:011o}\0").as_bytes());
    })
}

fn error(bytes: &[u8]) -> String {
    read_all(bytes).unwrap_err().message().to_owned()
}

#[test]
fn ends_need_a_block_of_zeros() {
    let header = raw(|_| {});
    assert_eq!(names(&ended(&[&header])), ["n"]);
    assert_eq!(names(&[&header[..], &[0; 512]].concat()), ["n"], "one block and the end of the stream");
    assert!(names(&[0; 1024]).is_empty());
    let trailing = [&ended(&[&header])[..], b"behind the end"].concat();
    assert_eq!(names(&trailing), ["n"]);
    let mut reader = TarReader::new(&trailing[..]);
    while reader.next().unwrap().is_some() {}
    assert_eq!(reader.end(), (&b"behind the end"[..], 1536));
    for bytes in [&header[..], b"", &[&header[..], &[0; 511]].concat(), &[&header[..], &[0; 513]].concat()] {
        assert!(error(bytes).contains("too early"));
    }
    assert!(error(&[&header[..], &[0; 512], &header].concat()).contains("a single block of zeros"));
}

#[test]
fn a_slash_makes_a_directory_without_data() {
    let slash = |flag, size: &[u8; 12]| {
        ended(&[&raw(|block| {
            block[..2].copy_from_slice(b"n/");
            block[156] = flag;
            block[124..136].copy_from_slice(size);
        })])
    };
    for flag in [0, b'0', b'7', b'5'] {
        let found = entries(&slash(flag, b"00000000000\0"));
        assert_eq!((found[0].0.kind, &found[0].0.name[..]), (Kind::Directory, &b"n/"[..]));
    }
    assert_eq!(entries(&slash(b'5', b"00000001000\0"))[0].0.size, 0, "its size is no data");
    assert!(error(&slash(b'0', b"00000001000\0")).contains("has a size"));
}

#[test]
fn names_are_left_as_they_are_but_for_the_dot() {
    for (written, name, flag) in [
        ("./a", "a", b'0'),
        ("././a", "a", b'0'),
        (".//a", "/a", b'0'),
        ("/a", "/a", b'0'),
        ("../a", "../a", b'0'),
        ("a//b", "a//b", b'0'),
        (".a", ".a", b'0'),
        ("a", "a/", b'5'),
        ("./a/", "a/", b'5'),
        ("..", "../", b'5'),
        ("./", "./", b'2'),
        ("", "", b'0'),
    ] {
        let header = raw(|block| {
            block[0] = 0;
            block[..written.len()].copy_from_slice(written.as_bytes());
            block[156] = flag;
            block[157..160].copy_from_slice(b"./t");
        });
        assert_eq!(names(&ended(&[&header])), [name], "{written}");
    }
    let link = entries(&ended(&[&raw(|block| {
        block[156] = b'1';
        block[157..160].copy_from_slice(b"./t");
    })]));
    assert_eq!(link[0].0.link, b"t", "a hard link leads to a name");
}

#[test]
fn ustar_prefixes_count_in_ustar_only() {
    let with = |magic: &[u8; 8]| {
        ended(&[&raw(|block| {
            block[257..265].copy_from_slice(magic);
            block[345..348].copy_from_slice(b"a/b");
        })])
    };
    assert_eq!(names(&with(b"ustar\x0000")), ["a/b/n"]);
    assert_eq!(names(&with(b"ustar  \0")), ["n"]);
    assert_eq!(names(&with(&[0; 8])), ["n"]);
    assert!(error(&with(b"rats\0\0\0\0")).contains("unknown kind"));
}

#[test]
fn old_signed_checksums_are_taken() {
    let mut header = raw(|block| block[1] = 0xe4);
    let read = |header: &[u8]| read_all(&ended(&[header])).is_ok();
    assert!(read(&header));
    header[148..156].fill(b' ');
    let sum: i32 = header.iter().map(|byte| i32::from(byte.cast_signed())).sum();
    header[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
    assert!(read(&header));
    header[148..156].fill(0);
    assert!(!read(&header));
    let mut header = raw(|_| {});
    header[0] += 1;
    assert!(error(&ended(&[&header])).contains("checksum"), "neither sum");
}
