//! Reads a foreign tar stream front to back, member by member.
//!
//! Our own parser and a strict one: where two tar programs would read the same bytes in two ways, it refuses. It knows
//! v7, ustar, GNU and pax. It owns the order of headers, data and padding; `header` reads one block, `pax` the records.
//! Names come as they are, but without a leading `./`: whether they are safe, unique or in order is for `names` and
//! `tree`. Invariant: after an error nothing more is read, and no length that the input claims is believed before it
//! was checked.

mod header;
mod pax;

use std::io::{self, Read};

use crate::archive::entry::{Entry, Kind};
use crate::error::{Error, ErrorKind, Result};
use header::{Block, Header};
use pax::Pax;

const BLOCK: usize = 512;
/// Longest pax header.
const MAX_PAX: u64 = 1 << 20;
/// Longest body of a GNU long name: 4096 bytes, and the NUL that ends it.
const MAX_LONG: u64 = 4097;

/// What the stream holds next.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Member {
    Entry(Entry),
    /// Neither file, directory nor link: it is never made, and no failure.
    Special {
        name: Vec<u8>,
        what: &'static str,
    },
    /// It could not be read rightly; what follows can.
    Refused {
        name: Vec<u8>,
        why: &'static str,
    },
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Reading,
    Ended,
    Failed,
}

#[derive(Debug)]
pub struct TarReader<R> {
    source: R,
    /// Bytes taken from the source.
    offset: u64,
    /// What is left of the member's data, and of the zeros after it.
    data: u64,
    padding: u64,
    /// From global pax headers.
    defaults: Pax,
    state: State,
}

/// What came before a member's header, and is about it.
#[derive(Default)]
struct Before {
    pax: Option<Pax>,
    name: Option<Vec<u8>>,
    link: Option<Vec<u8>>,
}

impl<R: Read> TarReader<R> {
    pub fn new(source: R) -> Self {
        Self { source, offset: 0, data: 0, padding: 0, defaults: Pax::default(), state: State::Reading }
    }

    /// The next member, or none at the end of the archive. Data of the last one that was not read is skipped.
    #[expect(clippy::should_implement_trait, reason = "an iterator could not lend itself for the data")]
    pub fn next(&mut self) -> Result<Option<Member>> {
        match self.state {
            State::Reading => {}
            State::Ended => return Ok(None),
            State::Failed => return Err(self.malformed("an error before ended the reading")),
        }
        let found = self.read_member();
        match found {
            Ok(Some(_)) => {}
            Ok(None) => self.state = State::Ended,
            Err(_) => self.state = State::Failed,
        }
        found
    }

    /// Data of the current member; 0 at its end.
    pub fn read_data(&mut self, buffer: &mut [u8]) -> Result<usize> {
        if self.state == State::Failed {
            return Err(self.malformed("an error before ended the reading"));
        }
        let wanted = usize::try_from(self.data).unwrap_or(usize::MAX).min(buffer.len());
        if wanted == 0 {
            return Ok(0);
        }
        let count = match self.read_some(&mut buffer[..wanted]) {
            Ok(0) => Err(self.truncated()),
            done => done,
        };
        let count = count.inspect_err(|_| self.state = State::Failed)?;
        self.data -= count as u64;
        Ok(count)
    }

    /// Bytes taken from the source so far.
    pub fn offset(&self) -> u64 {
        self.offset
    }

    /// The source, and how many bytes were taken from it: what lies behind the end of the archive is still in there.
    pub fn end(self) -> (R, u64) {
        (self.source, self.offset)
    }

    fn read_member(&mut self) -> Result<Option<Member>> {
        self.skip_data()?;
        let mut before = Before::default();
        loop {
            let at = self.offset;
            let Some(block) = self.read_header()? else {
                let is_lone = before.pax.is_none() && before.name.is_none() && before.link.is_none();
                return if is_lone {
                    Ok(None)
                } else {
                    Err(malformed(at, "a header describes a member that is missing"))
                };
            };
            let header = Header::parse(&block).map_err(|why| malformed(at, why))?;
            match header.flag {
                b'g' | b'x' => self.read_pax(&header, at, &mut before)?,
                b'L' => self.read_long(&header, at, &mut before.name)?,
                b'K' => self.read_long(&header, at, &mut before.link)?,
                _ => {
                    let member = self.describe(header, std::mem::take(&mut before), at)?;
                    if member.is_some() {
                        return Ok(member);
                    }
                    self.skip_data()?;
                }
            }
        }
    }

    /// The next block, unless the archive ends here: with two blocks of zeros, or with one and the stream.
    fn read_header(&mut self) -> Result<Option<Block>> {
        let at = self.offset;
        let Some(block) = self.read_block()? else { return Err(self.truncated()) };
        if block != [0; BLOCK] {
            return Ok(Some(block));
        }
        match self.read_block()? {
            Some(second) if second != [0; BLOCK] => Err(malformed(at, "a single block of zeros is not the end")),
            _ => Ok(None),
        }
    }

    fn read_pax(&mut self, header: &Header, at: u64, before: &mut Before) -> Result<()> {
        if header.size > MAX_PAX {
            return Err(malformed(at, "a pax header is longer than 1 MiB"));
        }
        if before.pax.is_some() {
            return Err(malformed(at, "a pax header follows another"));
        }
        let body = self.read_body(header.size)?;
        let mut pax = self.defaults.clone();
        if header.flag == b'g' {
            pax.add_global(&body).map_err(|why| malformed(at, why))?;
            self.defaults = pax;
        } else {
            pax.add(&body).map_err(|why| malformed(at, why))?;
            before.pax = Some(pax);
        }
        Ok(())
    }

    fn read_long(&mut self, header: &Header, at: u64, long: &mut Option<Vec<u8>>) -> Result<()> {
        if header.size > MAX_LONG {
            return Err(malformed(at, "a GNU long name is longer than 4096 bytes"));
        }
        let mut text = self.read_body(header.size)?;
        let end = text.iter().position(|byte| *byte == 0).unwrap_or(text.len());
        if text[end..].iter().any(|byte| *byte != 0) || end == MAX_LONG as usize || end == 0 {
            return Err(malformed(at, "a GNU long name is not a text"));
        }
        text.truncate(end);
        match long.replace(text) {
            None => Ok(()),
            Some(_) => Err(malformed(at, "a GNU long name follows another")),
        }
    }

    /// What header and records say together; none for the archived directory itself (`./`).
    fn describe(&mut self, header: Header, before: Before, at: u64) -> Result<Option<Member>> {
        let pax = before.pax.unwrap_or_else(|| self.defaults.clone());
        let fail = |why: &str| Err(malformed(at, why));
        if pax.path.is_some() && before.name.is_some() || pax.link.is_some() && before.link.is_some() {
            return fail("both pax and GNU give a name");
        }
        let name = pax.path.or(before.name).unwrap_or(header.name);
        let link = pax.link.or(before.link).unwrap_or(header.link);
        let size = match pax.size {
            Some(size) if header.size != 0 && header.size != size => return fail("two sizes contradict each other"),
            size => size.unwrap_or(header.size),
        };
        let kind = match header.flag {
            b'0' | b'7' | 0 if name.ends_with(b"/") => Kind::Directory,
            b'0' | b'7' | 0 => Kind::File,
            b'1' => Kind::HardLink,
            b'2' => Kind::Symlink,
            b'5' => Kind::Directory,
            flag => return self.describe_other(&Other { name, flag, size, goes_on: header.goes_on }, at).map(Some),
        };
        // Programs differ on whether data follows; only a directory's size and a hard link's mean nothing to all.
        if size != 0 && kind != Kind::File && !matches!(header.flag, b'1' | b'5') {
            return fail("a member that can have no data has a size");
        }
        self.expect_data(if kind == Kind::File { size } else { 0 });
        if pax.is_sparse {
            return Ok(Some(Member::Refused { name: pax.sparse_name.unwrap_or(name), why: SPARSE }));
        }
        let (Ok(uid), Ok(gid)) = (number_of(pax.uid, header.uid), number_of(pax.gid, header.gid)) else {
            return fail("a user or group number is too large");
        };
        let Some(mtime_ns) = pax.mtime_ns.or_else(|| header.mtime.checked_mul(1_000_000_000)) else {
            return fail("a time is out of range");
        };
        let size = if kind == Kind::File { size } else { 0 };
        let (uid, gid, xattrs) = (Some(uid), Some(gid), pax.xattrs);
        let entry = Entry { name, kind, mode: header.mode, uid, gid, mtime_ns, size, link, xattrs };
        Ok(normalised(entry))
    }

    /// A member that is not to be made.
    fn describe_other(&mut self, other: &Other, at: u64) -> Result<Member> {
        let special = match other.flag {
            b'3' => Some("character device"),
            b'4' => Some("block device"),
            b'6' => Some("FIFO"),
            b'V' => Some("volume label"),
            _ => None,
        };
        if special.is_some() && other.size != 0 {
            return Err(malformed(at, "a member that can have no data has a size"));
        }
        let mut goes_on = other.flag == b'S' && other.goes_on;
        while goes_on {
            let Some(map) = self.read_block()? else { return Err(self.truncated()) };
            goes_on = map[504] != 0;
        }
        self.expect_data(other.size);
        let name = without_dot(&other.name).to_vec();
        let why = match other.flag {
            b'S' => SPARSE,
            b'D' => "a directory of a GNU incremental archive is not read",
            b'M' => "the rest of a file from another volume is not read",
            _ => "its type is unknown",
        };
        Ok(special.map_or(Member::Refused { name: name.clone(), why }, |what| Member::Special { name, what }))
    }

    fn expect_data(&mut self, size: u64) {
        self.data = size;
        self.padding = padding(size);
    }

    fn skip_data(&mut self) -> Result<()> {
        // At most 2^63 + 511.
        let mut left = self.data + self.padding;
        let mut scratch = [0; 8192];
        while left > 0 {
            let wanted = usize::try_from(left).unwrap_or(usize::MAX).min(scratch.len());
            match self.read_some(&mut scratch[..wanted])? {
                0 => return Err(self.truncated()),
                count => left -= count as u64,
            }
        }
        (self.data, self.padding) = (0, 0);
        Ok(())
    }

    /// The body of a header, whose size was checked.
    fn read_body(&mut self, size: u64) -> Result<Vec<u8>> {
        let mut body = vec![0; usize::try_from(size).unwrap_or(0)];
        let count = self.read_full(&mut body)?;
        self.padding = padding(size);
        if count < body.len() {
            return Err(self.truncated());
        }
        self.skip_data()?;
        Ok(body)
    }

    /// None where the stream ends.
    fn read_block(&mut self) -> Result<Option<Block>> {
        let mut block = [0; BLOCK];
        match self.read_full(&mut block)? {
            0 => Ok(None),
            BLOCK => Ok(Some(block)),
            _ => Err(self.truncated()),
        }
    }

    /// Less than `buffer` holds only at the end of the stream.
    fn read_full(&mut self, buffer: &mut [u8]) -> Result<usize> {
        let mut filled = 0;
        while filled < buffer.len() {
            match self.read_some(&mut buffer[filled..])? {
                0 => break,
                count => filled += count,
            }
        }
        Ok(filled)
    }

    fn read_some(&mut self, buffer: &mut [u8]) -> Result<usize> {
        loop {
            match self.source.read(buffer) {
                Ok(count) => {
                    self.offset += count as u64;
                    return Ok(count);
                }
                Err(cause) if cause.kind() == io::ErrorKind::Interrupted => {}
                // A decoder between us and the file may speak of its own error.
                Err(cause) => return Err(cause.downcast::<Error>().unwrap_or_else(unreadable)),
            }
        }
    }

    fn malformed(&self, why: &str) -> Error {
        malformed(self.offset, why)
    }

    fn truncated(&self) -> Error {
        self.malformed("it ends too early")
    }
}

/// What `describe_other` needs to know.
struct Other {
    name: Vec<u8>,
    flag: u8,
    size: u64,
    goes_on: bool,
}

const SPARSE: &str = "a sparse file is not read (pack it without --sparse)";

fn malformed(offset: u64, why: &str) -> Error {
    Error::new(ErrorKind::Archive, format!("the tar stream is malformed at offset {offset}: {why}"))
}

fn unreadable(cause: io::Error) -> Error {
    Error::new(ErrorKind::LocalIo, format!("the tar stream cannot be read: {cause}")).with_source(cause)
}

fn padding(size: u64) -> u64 {
    let block = BLOCK as u64;
    (block - size % block) % block
}

fn number_of(pax: Option<u32>, ustar: i64) -> Result<u32, std::num::TryFromIntError> {
    pax.map_or_else(|| u32::try_from(ustar), Ok)
}

/// `tar -C directory -c .` makes names that begin with `./`.
fn without_dot(name: &[u8]) -> &[u8] {
    let mut name = name;
    while let Some(rest) = name.strip_prefix(b"./") {
        name = rest;
    }
    name
}

/// The entry with its name as the index would have it; none for `./`.
fn normalised(mut entry: Entry) -> Option<Member> {
    let name = without_dot(&entry.name);
    match entry.kind {
        Kind::Directory if matches!(name, b"" | b".") && !entry.name.is_empty() => return None,
        Kind::Directory if !name.ends_with(b"/") => entry.name = [name, b"/"].concat(),
        _ if !name.is_empty() => entry.name = name.to_vec(),
        _ => {}
    }
    match entry.kind {
        Kind::Symlink | Kind::HardLink if entry.link.is_empty() => {
            return Some(Member::Refused { name: entry.name, why: "a link without a target" });
        }
        Kind::HardLink => entry.link = without_dot(&entry.link).to_vec(),
        Kind::Symlink => {}
        Kind::File | Kind::Directory => entry.link.clear(),
    }
    Some(Member::Entry(entry))
}

#[cfg(test)]
mod tests;
