//! Ledgers (F13, #69): as they are, and with their checksums made right, which no mutation hits by chance. What is read
//! claims nothing outside of the object, nothing twice, and nothing that no intact record holds.

use s3z::config::MAX_OBJECT;
use s3z::transfer::ledger::format::{Head, Interval, Parsed, head, parse, record};

const RECORD: usize = 32;

pub fn holds(data: &[u8]) -> bool {
    let accepted = is_consistent(data);
    if let Some((sealed, recorded)) = sealed(data) {
        assert!(is_consistent(&sealed), "a ledger of our own making");
        claims_only(&parse(&sealed).expect("read before"), &recorded);
    }
    accepted
}

fn is_consistent(bytes: &[u8]) -> bool {
    let Ok(parsed) = parse(bytes) else { return false };
    assert!(parsed.intact <= bytes.len() && parsed.head.size <= MAX_OBJECT);
    assert!(parsed.intervals.len() <= bytes.len() / RECORD, "bounded by what was read");
    let mut end = 0;
    for Interval { range, .. } in &parsed.intervals {
        assert!(
            end <= range.start && range.start < range.end && range.end <= parsed.head.size,
            "{range:?} after {end}"
        );
        end = range.end;
    }
    assert_eq!(parse(&bytes[..parsed.intact]).as_ref(), Ok(&parsed), "the damaged rest changes nothing");
    let (again, seal) = head(&parsed.head).expect("a head that was read");
    assert_eq!((seal, bytes.get(..again.len())), (parsed.seal, Some(again.as_slice())), "one head, one text");
    true
}

/// The head and the records that the bytes describe, with checksums that fit, and then a cut.
fn sealed(data: &[u8]) -> Option<(Vec<u8>, Vec<Interval>)> {
    let (fixed, rest) = data.split_at_checked(8)?;
    let number = |bytes: &[u8]| bytes.iter().fold(0u64, |value, byte| value << 8 | u64::from(*byte));
    let size = number(&fixed[..4]);
    let text = |byte: u8| format!("\"{byte}\"");
    let about = Head {
        object: [fixed[4]; 32],
        size,
        etag: text(fixed[5]),
        temp: format!(".s3z-{:032x}.part", fixed[6]),
        device: fixed[5].into(),
        inode: fixed[6].into(),
    };
    let (mut bytes, seal) = head(&about)?;
    let length = bytes.len();
    let mut recorded = Vec::new();
    for piece in rest.chunks_exact(9) {
        let (start, len) = (number(&piece[..4]), number(&piece[4..8]));
        let interval = Interval { range: start..start + len, crc64: piece[8].into() };
        bytes.extend_from_slice(&record(seal, &interval));
        recorded.push(interval);
    }
    bytes.truncate(length.max(bytes.len() - usize::from(fixed[7]) % RECORD));
    recorded.truncate((bytes.len() - length) / RECORD);
    let is_sound = |interval: &&Interval| !interval.range.is_empty() && interval.range.end <= size;
    recorded.truncate(recorded.iter().take_while(is_sound).count());
    Some((bytes, recorded))
}

/// Every claim is a record or joined from neighbours of them, and the last record counts.
fn claims_only(parsed: &Parsed, recorded: &[Interval]) {
    for Interval { range, .. } in &parsed.intervals {
        let has = |at: u64| recorded.iter().any(|interval| interval.range.contains(&at));
        assert!(has(range.start) && has(range.end - 1), "{range:?} was never recorded");
        let starts = recorded.iter().any(|interval| interval.range.start == range.start);
        let ends = recorded.iter().any(|interval| interval.range.end == range.end);
        assert!(starts && ends, "{range:?} is no record's");
    }
    if let Some(last) = recorded.last() {
        let holds = |claimed: &Interval| claimed.range.start <= last.range.start && last.range.end <= claimed.range.end;
        assert!(parsed.intervals.iter().any(holds), "the last record replaces what it touches");
    }
}
