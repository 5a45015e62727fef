//! The bytes of a ledger: a head that says of which object and into which temp file, then one record for each
//! interval that was written. Pure.
//!
//! ```text
//! head    "S3ZLEDGR" | version u32 | length u32 | object [32] | size u64 | device u64 | inode u64 | temp name | 0 | ETag | crc u64
//! record  start u64 | length u64 | CRC64NVME of the interval u64 | crc u64
//! ```
//! Little-endian. The last field of each is the CRC64NVME of what stands before it; a record's also covers the
//! head's, so that records of another ledger never fit. Reading stops at the first damaged record. It holds no
//! URL and no secret: the object is a hash (S10).

use std::collections::BTreeMap;
use std::ops::Range;

use crate::checksum::{Algorithm, Crc, checksum, combine};
use crate::config::{MAX_OBJECT, MIB};

const MAGIC: &[u8; 8] = b"S3ZLEDGR";
const VERSION: u32 = 1;
/// Magic, version and length.
const PREFIX: usize = 16;
/// Before the two texts: prefix, object, size, device, inode.
const FIXED: usize = PREFIX + 32 + 24;
pub(super) const RECORD: usize = 32;
/// A temp name and an ETag fit many times.
pub(super) const MAX_HEAD: usize = 8192;
/// Neighbours are joined up to this length: large ledgers stay small in memory, and a damaged byte costs no more.
const MAX_JOINED: u64 = 8 * MIB;

/// What a ledger is about.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Head {
    /// A hash of endpoint, bucket, key and version.
    pub object: [u8; 32],
    pub size: u64,
    /// As the store sent it.
    pub etag: String,
    /// Name, device and inode of the file that holds the bytes.
    pub temp: String,
    pub device: u64,
    pub inode: u64,
}

/// Bytes that were written, by their own account; nothing of it counts before it was read back (F14).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Interval {
    pub range: Range<u64>,
    pub crc64: u64,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Parsed {
    pub head: Head,
    /// Disjoint, in order.
    pub intervals: Vec<Interval>,
    /// Bytes of the ledger that are intact.
    pub intact: usize,
    /// What `record` needs to write records that fit this head.
    pub seal: u64,
}

/// Why bytes are no ledger that can be used.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unusable {
    /// Not of this format: somebody else's, or of another version of s3z.
    Foreign,
    /// Of this format, with a head that is cut or damaged.
    Damaged,
}

/// The bytes of a head, and the seal of its records. `None` if a text is too long or holds a NUL.
pub fn head(head: &Head) -> Option<(Vec<u8>, u64)> {
    if head.temp.contains('\0') || head.etag.contains('\0') {
        return None;
    }
    let length = FIXED + head.temp.len() + 1 + head.etag.len() + 8;
    if length > MAX_HEAD {
        return None;
    }
    let mut bytes = Vec::with_capacity(length);
    bytes.extend_from_slice(MAGIC);
    bytes.extend_from_slice(&VERSION.to_le_bytes());
    bytes.extend_from_slice(&u32::try_from(length).ok()?.to_le_bytes());
    bytes.extend_from_slice(&head.object);
    for number in [head.size, head.device, head.inode] {
        bytes.extend_from_slice(&number.to_le_bytes());
    }
    bytes.extend_from_slice(head.temp.as_bytes());
    bytes.push(0);
    bytes.extend_from_slice(head.etag.as_bytes());
    let seal = checksum(Algorithm::Crc64Nvme, &bytes);
    bytes.extend_from_slice(&seal.to_le_bytes());
    Some((bytes, seal))
}

/// The bytes of a record.
pub fn record(seal: u64, interval: &Interval) -> [u8; RECORD] {
    let mut bytes = [0; RECORD];
    bytes[..8].copy_from_slice(&interval.range.start.to_le_bytes());
    bytes[8..16].copy_from_slice(&(interval.range.end - interval.range.start).to_le_bytes());
    bytes[16..24].copy_from_slice(&interval.crc64.to_le_bytes());
    let crc = record_crc(seal, &bytes[..24]);
    bytes[24..].copy_from_slice(&crc.to_le_bytes());
    bytes
}

fn record_crc(seal: u64, fields: &[u8]) -> u64 {
    let mut crc = Crc::new(Algorithm::Crc64Nvme);
    crc.update(&seal.to_le_bytes());
    crc.update(fields);
    crc.value()
}

/// Reads a ledger: its head, and its records up to the first damaged one.
pub fn parse(bytes: &[u8]) -> Result<Parsed, Unusable> {
    let (head, length, seal) = parse_head(bytes)?;
    let mut intervals = Intervals::default();
    let mut intact = length;
    for record in bytes[length..].chunks_exact(RECORD) {
        let crc = record_crc(seal, &record[..24]);
        let (start, len) = (number(record, 0), number(record, 8));
        let end = start.checked_add(len).filter(|end| *end <= head.size && len > 0);
        let (Some(end), true) = (end, number(record, 24) == crc) else { break };
        intervals.add(start..end, number(record, 16));
        intact += RECORD;
    }
    Ok(Parsed { head, intervals: intervals.into_vec(), intact, seal })
}

fn parse_head(bytes: &[u8]) -> Result<(Head, usize, u64), Unusable> {
    if bytes.len() < PREFIX {
        // A process may have ended before its head was written.
        return Err(if MAGIC.starts_with(&bytes[..bytes.len().min(8)]) {
            Unusable::Damaged
        } else {
            Unusable::Foreign
        });
    }
    // Blocks that were allocated, but not written before the power went.
    if bytes[..PREFIX].iter().all(|byte| *byte == 0) {
        return Err(Unusable::Damaged);
    }
    let version = u32::from_le_bytes([bytes[8], bytes[9], bytes[10], bytes[11]]);
    if &bytes[..8] != MAGIC || version != VERSION {
        return Err(Unusable::Foreign);
    }
    let length = u32::from_le_bytes([bytes[12], bytes[13], bytes[14], bytes[15]]) as usize;
    if !(FIXED + 9..=MAX_HEAD).contains(&length) || bytes.len() < length {
        return Err(Unusable::Damaged);
    }
    let (body, seal) = (&bytes[..length - 8], number(bytes, length - 8));
    if checksum(Algorithm::Crc64Nvme, body) != seal {
        return Err(Unusable::Damaged);
    }
    let texts = std::str::from_utf8(&body[FIXED..]).map_err(|_| Unusable::Damaged)?;
    let (temp, etag) = texts.split_once('\0').ok_or(Unusable::Damaged)?;
    let mut object = [0; 32];
    object.copy_from_slice(&body[PREFIX..PREFIX + 32]);
    let [size, device, inode] = [0, 1, 2].map(|index| number(body, PREFIX + 32 + 8 * index));
    if size > MAX_OBJECT || etag.contains('\0') {
        return Err(Unusable::Damaged);
    }
    let head = Head { object, size, etag: etag.to_owned(), temp: temp.to_owned(), device, inode };
    Ok((head, length, seal))
}

fn number(bytes: &[u8], at: usize) -> u64 {
    let mut number = [0; 8];
    number.copy_from_slice(&bytes[at..at + 8]);
    u64::from_le_bytes(number)
}

/// Disjoint intervals; what was recorded later replaces what it touches.
#[derive(Default)]
struct Intervals(BTreeMap<u64, (u64, u64)>);

impl Intervals {
    fn add(&mut self, range: Range<u64>, crc64: u64) {
        let (mut start, end, mut crc64) = (range.start, range.end, crc64);
        while let Some((&older, &(older_end, _))) = self.0.range(..end).next_back() {
            if older_end <= start {
                break;
            }
            self.0.remove(&older);
        }
        if let Some((&before, &(before_end, before_crc))) = self.0.range(..start).next_back()
            && before_end == start
            && end - before <= MAX_JOINED
        {
            crc64 = combine(Algorithm::Crc64Nvme, before_crc, crc64, end - start);
            start = before;
        }
        self.0.insert(start, (end, crc64));
    }

    fn into_vec(self) -> Vec<Interval> {
        self.0.into_iter().map(|(start, (end, crc64))| Interval { range: start..end, crc64 }).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn example(size: u64) -> Head {
        Head {
            object: [7; 32],
            size,
            etag: "\"abc-3\"".into(),
            temp: format!(".s3z-{:032x}.part", 1),
            device: 3,
            inode: 4,
        }
    }

    fn written(content: &[u8], pieces: &[Range<u64>]) -> Vec<u8> {
        let (mut bytes, seal) = head(&example(content.len() as u64)).unwrap();
        for range in pieces {
            let crc64 = checksum(Algorithm::Crc64Nvme, &content[range.start as usize..range.end as usize]);
            bytes.extend_from_slice(&record(seal, &Interval { range: range.clone(), crc64 }));
        }
        bytes
    }

    #[test]
    fn neighbours_join_and_later_records_win() {
        let content: Vec<u8> = (0..100).collect();
        let bytes = written(&content, &[10..20, 0..10, 20..30, 50..60, 55..70]);
        let parsed = parse(&bytes).unwrap();
        assert_eq!(parsed.head, example(100));
        assert_eq!(parsed.intact, bytes.len());
        let ranges: Vec<_> = parsed.intervals.iter().map(|interval| interval.range.clone()).collect();
        assert_eq!(ranges, [0..10, 10..30, 55..70]);
        for interval in &parsed.intervals {
            let piece = &content[interval.range.start as usize..interval.range.end as usize];
            assert_eq!(interval.crc64, checksum(Algorithm::Crc64Nvme, piece));
        }
    }

    /// F13
    #[test]
    fn reading_stops_at_the_first_damaged_record() {
        let content = [1; 100];
        let whole = written(&content, &[0..10, 20..30, 40..50]);
        let start = whole.len() - 3 * RECORD;
        for at in start..whole.len() {
            let mut bytes = whole.clone();
            bytes[at] ^= 1;
            let parsed = parse(&bytes).unwrap();
            assert_eq!(parsed.intervals.len(), (at - start) / RECORD);
            assert_eq!(parsed.intact, start + (at - start) / RECORD * RECORD);
        }
        for cut in start..whole.len() {
            assert_eq!(parse(&whole[..cut]).unwrap().intervals.len(), (cut - start) / RECORD);
        }
        let other = head(&Head { inode: 5, ..example(100) }).unwrap().0;
        let foreign = [&other, &whole[start..]].concat();
        assert_eq!(parse(&foreign).unwrap().intervals, [], "records of another ledger");
    }

    #[test]
    fn a_damaged_head_is_no_ledger() {
        let whole = written(&[1; 100], &[0..10]);
        for at in 0..whole.len() - RECORD {
            let mut bytes = whole.clone();
            bytes[at] ^= 1;
            let unusable = if at < 12 { Unusable::Foreign } else { Unusable::Damaged };
            assert_eq!(parse(&bytes).unwrap_err(), unusable, "{at}");
        }
        for cut in 0..whole.len() - RECORD {
            assert_eq!(parse(&whole[..cut]).unwrap_err(), Unusable::Damaged, "{cut}");
        }
        assert_eq!(parse(b"something else").unwrap_err(), Unusable::Foreign);
        assert_eq!(parse(&[0; 300]).unwrap_err(), Unusable::Damaged, "as after a power cut");
        assert!(head(&Head { etag: "x".repeat(MAX_HEAD), ..example(1) }).is_none());
        assert!(head(&Head { etag: "a\0b".into(), ..example(1) }).is_none());
    }

    #[test]
    fn records_outside_of_the_object_end_the_reading() {
        let (head, seal) = head(&example(100)).unwrap();
        for range in [90..101, 5..5, u64::MAX - 1..u64::MAX] {
            let bytes = [&head[..], &record(seal, &Interval { range, crc64: 0 })].concat();
            assert_eq!(parse(&bytes).unwrap().intervals, []);
        }
    }

    proptest! {
        #[test]
        fn round_trips(pieces in proptest::collection::vec((0u64..5_000, 1u64..900), 0..50)) {
            let content: Vec<u8> = (0..6_000u32).map(|at| (at * 7 % 251) as u8).collect();
            let pieces: Vec<_> = pieces.into_iter().map(|(start, len)| start..start + len).collect();
            let parsed = parse(&written(&content, &pieces)).unwrap();
            let mut model = vec![false; content.len()];
            for interval in &parsed.intervals {
                let range = interval.range.start as usize..interval.range.end as usize;
                prop_assert_eq!(interval.crc64, checksum(Algorithm::Crc64Nvme, &content[range.clone()]));
                prop_assert!(model[range.clone()].iter().all(|seen| !seen), "disjoint");
                model[range].fill(true);
            }
            // The last record always survives, and nothing is claimed that was never recorded.
            for (at, claimed) in model.iter().enumerate() {
                let recorded = pieces.iter().any(|range| range.contains(&(at as u64)));
                prop_assert!(!claimed || recorded);
            }
            if let Some(last) = pieces.last() {
                prop_assert!(model[last.start as usize..last.end as usize].iter().all(|seen| *seen));
            }
        }

        #[test]
        fn never_panics(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
            let _ = parse(&bytes);
            let _ = parse(&[MAGIC.as_slice(), &VERSION.to_le_bytes(), &bytes].concat());
        }
    }
}
