//! Tar headers, byte for byte: ustar wherever it can hold the entry, a pax header before it where it cannot.

use super::entry::{Entry, Kind};
use crate::error::{Error, ErrorKind, Result};

/// Everything in a tar stream comes in blocks of so many bytes.
pub const BLOCK: usize = 512;
/// The most that the pax records of one entry may take together.
pub const MAX_RECORDS: usize = 1 << 20;
/// What ends a tar stream.
pub const END: usize = 2 * BLOCK;

const NAME: usize = 100;
const PREFIX: usize = 155;
/// The first numbers that no longer fit.
const SIZE_LIMIT: u64 = 1 << 33;
const ID_LIMIT: u32 = 1 << 21;

/// The zeros that follow `len` bytes of data.
pub fn padding(len: u64) -> usize {
    (len.wrapping_neg() % BLOCK as u64) as usize
}

/// Appends the header or headers of `entry`.
pub fn render(entry: &Entry, out: &mut Vec<u8>) -> Result<()> {
    let records = records(entry)?;
    if !records.is_empty() {
        let header = Header { size: records.len() as u64, kind: b'x', ..Header::default() };
        out.extend_from_slice(&header.bytes(b"././@PaxHeader", b""));
        out.extend_from_slice(&records);
        out.resize(out.len() + padding(records.len() as u64), 0);
    }
    let seconds = entry.mtime_ns.div_euclid(1_000_000_000);
    let header = Header {
        mode: entry.mode & 0o7777,
        uid: entry.uid.filter(|id| *id < ID_LIMIT).unwrap_or(0),
        gid: entry.gid.filter(|id| *id < ID_LIMIT).unwrap_or(0),
        size: Some(entry.data_len()).filter(|size| *size < SIZE_LIMIT).unwrap_or(0),
        mtime: u64::try_from(seconds).ok().filter(|seconds| *seconds < SIZE_LIMIT).unwrap_or(0),
        kind: match entry.kind {
            Kind::File => b'0',
            Kind::HardLink => b'1',
            Kind::Symlink => b'2',
            Kind::Directory => b'5',
        },
    };
    out.extend_from_slice(&header.bytes(&entry.name, &entry.link));
    Ok(())
}

#[derive(Default)]
struct Header {
    mode: u32,
    uid: u32,
    gid: u32,
    size: u64,
    mtime: u64,
    kind: u8,
}

impl Header {
    fn bytes(&self, name: &[u8], link: &[u8]) -> [u8; BLOCK] {
        let mut block = [0; BLOCK];
        match split(name) {
            Some((prefix, rest)) => {
                block[..rest.len()].copy_from_slice(rest);
                block[345..345 + prefix.len()].copy_from_slice(prefix);
            }
            None => cut_to_ascii(&mut block[..NAME], name),
        }
        octal(&mut block[100..108], u64::from(self.mode));
        octal(&mut block[108..116], u64::from(self.uid));
        octal(&mut block[116..124], u64::from(self.gid));
        octal(&mut block[124..136], self.size);
        octal(&mut block[136..148], self.mtime);
        block[148..156].fill(b' ');
        block[156] = self.kind;
        if fits_link(link) {
            block[157..157 + link.len()].copy_from_slice(link);
        } else {
            cut_to_ascii(&mut block[157..157 + NAME], link);
        }
        block[257..265].copy_from_slice(b"ustar\x0000");
        octal(&mut block[329..337], 0);
        octal(&mut block[337..345], 0);
        let sum: u64 = block.iter().map(|byte| u64::from(*byte)).sum();
        octal(&mut block[148..155], sum);
        block
    }
}

/// Octal digits over the whole field but its last byte, which ends it.
fn octal(field: &mut [u8], mut value: u64) {
    let digits = field.len() - 1;
    field[digits] = 0;
    for digit in field[..digits].iter_mut().rev() {
        *digit = b'0' + (value & 7) as u8;
        value >>= 3;
    }
}

/// Where a name is cut for the fields `prefix` and `name`; `None` if they cannot hold it.
fn split(name: &[u8]) -> Option<(&[u8], &[u8])> {
    if !name.is_ascii() {
        return None;
    }
    if name.len() <= NAME {
        return Some((b"", name));
    }
    let fits = |at: &usize| name[*at] == b'/' && (1..=NAME).contains(&(name.len() - at - 1));
    let at = (0..=PREFIX.min(name.len() - 1)).rev().find(fits)?;
    (at > 0).then(|| (&name[..at], &name[at + 1..]))
}

fn fits_link(link: &[u8]) -> bool {
    link.is_ascii() && link.len() <= NAME
}

fn cut_to_ascii(field: &mut [u8], text: &[u8]) {
    for (to, from) in field.iter_mut().zip(text) {
        *to = if from.is_ascii() { *from } else { b'?' };
    }
}

/// What ustar cannot hold, as pax records.
fn records(entry: &Entry) -> Result<Vec<u8>> {
    let mut records = Vec::new();
    let (name, link) = (&entry.name[..], &entry.link[..]);
    if std::str::from_utf8(name).is_err() || std::str::from_utf8(link).is_err() {
        record(&mut records, "hdrcharset", b"BINARY");
    }
    if split(name).is_none() {
        record(&mut records, "path", name);
    }
    if !fits_link(link) {
        record(&mut records, "linkpath", link);
    }
    if entry.data_len() >= SIZE_LIMIT {
        record(&mut records, "size", entry.data_len().to_string().as_bytes());
    }
    for (key, id) in [("uid", entry.uid), ("gid", entry.gid)] {
        if let Some(id) = id.filter(|id| *id >= ID_LIMIT) {
            record(&mut records, key, id.to_string().as_bytes());
        }
    }
    let seconds = entry.mtime_ns.div_euclid(1_000_000_000);
    if !(0..SIZE_LIMIT as i64).contains(&seconds) {
        record(&mut records, "mtime", seconds.to_string().as_bytes());
    }
    for (key, value) in &entry.xattrs {
        // "=" ends the key of a record; tar writes it, and what it writes it with, so.
        let key = key.replace('%', "%25").replace('=', "%3D");
        record(&mut records, &format!("SCHILY.xattr.{key}"), value);
    }
    if records.len() > MAX_RECORDS {
        let text = format!("its name, links and extended attributes take {} bytes: 1 MiB is the limit", records.len());
        return Err(Error::new(ErrorKind::Archive, text));
    }
    Ok(records)
}

/// `LEN KEY=VALUE\n`, where LEN counts itself.
fn record(out: &mut Vec<u8>, key: &str, value: &[u8]) {
    let rest = key.len() + value.len() + 3;
    let mut len = rest + digits(rest);
    len = rest + digits(len);
    out.extend_from_slice(format!("{len} {key}=").as_bytes());
    out.extend_from_slice(value);
    out.push(b'\n');
}

fn digits(number: usize) -> usize {
    number.checked_ilog10().unwrap_or(0) as usize + 1
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rendered(entry: &Entry) -> Vec<u8> {
        let mut out = Vec::new();
        render(entry, &mut out).unwrap();
        out
    }

    #[test]
    fn a_plain_file_takes_one_block() {
        let bytes = rendered(&Entry { name: b"a/b".into(), mode: 0o644, size: 5, ..Entry::default() });
        assert_eq!(bytes.len(), BLOCK);
        assert_eq!(&bytes[..4], b"a/b\0");
        assert_eq!(&bytes[100..108], b"0000644\0");
        assert_eq!(&bytes[124..136], b"00000000005\0");
        assert_eq!(&bytes[257..265], b"ustar\x0000");
        assert_eq!(bytes[155], b' ');
    }

    #[test]
    fn long_names_are_split_or_go_to_pax() {
        let name = [vec![b'd'; 155], vec![b'/'], vec![b'n'; 100]].concat();
        let bytes = rendered(&Entry { name: name.clone(), ..Entry::default() });
        assert_eq!((bytes.len(), bytes[99], bytes[345 + 154]), (BLOCK, b'n', b'd'));
        let bytes = rendered(&Entry { name: [name, vec![b'n']].concat(), ..Entry::default() });
        assert_eq!((bytes.len(), bytes[156]), (3 * BLOCK, b'x'));
        let text = String::from_utf8_lossy(&bytes[BLOCK..BLOCK + 12]).into_owned();
        assert!(text.starts_with("267 path=ddd"), "{text}");
    }

    #[test]
    fn a_record_counts_its_own_length() {
        for len in [1, 5, 6, 7, 90, 91, 92, 93, 94, 990, 991, 992, 993] {
            let mut out = Vec::new();
            record(&mut out, "k", &vec![b'v'; len]);
            let said: usize = String::from_utf8_lossy(&out).split(' ').next().unwrap().parse().unwrap();
            assert_eq!(said, out.len());
        }
    }

    #[test]
    fn odd_numbers_and_names() {
        let entry = Entry { name: b"\xff".into(), mtime_ns: -1, uid: Some(1 << 21), ..Entry::default() };
        let bytes = rendered(&entry);
        let records = b"21 hdrcharset=BINARY\n9 path=\xff\n15 uid=2097152\n12 mtime=-1\n";
        assert_eq!(&bytes[BLOCK..BLOCK + records.len()], records);
        assert_eq!((bytes[2 * BLOCK], &bytes[2 * BLOCK + 108..][..7]), (b'?', &b"0000000"[..]));
    }
}
