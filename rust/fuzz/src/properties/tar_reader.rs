//! Tar streams of strangers: however the reads are cut, the same members come; data is where the stream has it, and
//! after an error there is nothing more.

use std::io::{Cursor, Read};

use s3z::archive::entry::Kind;
use s3z::archive::tar_reader::{Member, TarReader};
use s3z::error::ErrorKind;

const BLOCK: u64 = 512;

pub fn holds(data: &[u8]) -> bool {
    let (members, is_whole) = read(data, 4096);
    assert_eq!((&members, is_whole), (&read(data, 100).0, is_whole), "where reads are cut does not matter");
    for (member, _) in &members {
        match member {
            Member::Entry(entry) => {
                assert!(entry.mode <= 0o7777 && (entry.name == b"./" || !entry.name.starts_with(b"./")));
                assert!(entry.kind != Kind::Directory || entry.name.ends_with(b"/"), "{:?}", entry.name);
                let is_link = matches!(entry.kind, Kind::Symlink | Kind::HardLink);
                assert_eq!(is_link, !entry.link.is_empty());
                assert!(entry.kind == Kind::File || entry.size == 0);
            }
            Member::Special { .. } | Member::Refused { .. } => {}
        }
    }
    is_whole
}

/// All members with their data, and whether the end was reached.
fn read(bytes: &[u8], step: usize) -> (Vec<(Member, Vec<u8>)>, bool) {
    let mut reader = TarReader::new(Short(Cursor::new(bytes), step));
    let mut members = Vec::new();
    loop {
        match reader.next() {
            Ok(Some(member)) => {
                let start = reader.offset();
                assert!(start.is_multiple_of(BLOCK) && start <= bytes.len() as u64);
                let data = read_data(&mut reader, step);
                assert!(bytes[start as usize..].starts_with(&data), "data is where the stream has it");
                members.push((member, data));
            }
            Ok(None) => {
                assert!(matches!(reader.next(), Ok(None)), "the end stays the end");
                assert!(reader.end().1 <= bytes.len() as u64);
                return (members, true);
            }
            Err(error) => {
                assert_eq!(error.kind(), ErrorKind::Archive);
                assert!(reader.next().is_err() && reader.read_data(&mut [0; 8]).is_err());
                return (members, false);
            }
        }
    }
}

fn read_data<R: Read>(reader: &mut TarReader<R>, step: usize) -> Vec<u8> {
    let (mut data, mut buffer) = (Vec::new(), vec![0; step / 2 + 1]);
    while let Ok(count @ 1..) = reader.read_data(&mut buffer) {
        data.extend_from_slice(&buffer[..count]);
    }
    data
}

/// A few bytes at a time.
struct Short<R>(R, usize);

impl<R: Read> Read for Short<R> {
    fn read(&mut self, to: &mut [u8]) -> std::io::Result<usize> {
        let now = to.len().min(self.1);
        self.0.read(&mut to[..now])
    }
}
