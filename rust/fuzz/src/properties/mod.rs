//! What must hold whatever bytes come: one function for each fuzz target.
//!
//! A property takes the bytes apart into the arguments of real parsers, calls them and asserts more than "no panic":
//! bounds of the output, round trips, and that what is accepted keeps the rules, judged by a second, plainer reading
//! of them. It answers whether the parser accepted, so that the twins can tell that the seeds reach both outcomes.
//! Used by `rust/fuzz` (libFuzzer) and by `rust/tests/it/twins.rs` (proptest).

pub mod answer;
pub mod archive;
pub mod checksum;
pub mod content_range;
pub mod endpoint;
pub mod key_path;
pub mod ledger;
pub mod region;
pub mod retry_after;
pub mod sign;
pub mod tar_reader;
pub mod uri;
pub mod xml_complete;
pub mod xml_error;
pub mod xml_list;
pub mod xml_parts;

/// From any bytes to whether they were accepted; panics where a rule is broken.
pub type Property = fn(&[u8]) -> bool;

/// Each target's name, which is also that of its seeds' directory, and its property.
pub const TARGETS: [(&str, Property); 16] = [
    ("answer", answer::holds),
    ("archive", archive::holds),
    ("checksum", checksum::holds),
    ("content_range", content_range::holds),
    ("endpoint", endpoint::holds),
    ("key_path", key_path::holds),
    ("ledger", ledger::holds),
    ("region", region::holds),
    ("retry_after", retry_after::holds),
    ("sign", sign::holds),
    ("tar_reader", tar_reader::holds),
    ("uri", uri::holds),
    ("xml_complete", xml_complete::holds),
    ("xml_error", xml_error::holds),
    ("xml_list", xml_list::holds),
    ("xml_parts", xml_parts::holds),
];

/// The text of an input, and each of its lines but line `count - 1`, which has the rest.
fn fields<const N: usize>(data: &[u8]) -> [String; N] {
    let text = String::from_utf8_lossy(data);
    let mut lines = text.splitn(N, '\n');
    std::array::from_fn(|_| lines.next().unwrap_or_default().to_owned())
}

/// Whether a text may go to a terminal as it is (S16).
fn is_plain(text: &str) -> bool {
    let bidi = |c: char| matches!(c, '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}');
    !text.chars().any(|c| c.is_control() || bidi(c))
}

/// Digits only, as a number; `None` also for what 64 bits do not hold.
fn digits(text: &str) -> Option<u64> {
    if text.is_empty() || text.bytes().any(|byte| !byte.is_ascii_digit()) {
        return None;
    }
    let significant = text.trim_start_matches('0');
    if significant.len() > 20 {
        return None;
    }
    let value = significant.bytes().fold(0u128, |value, digit| value * 10 + u128::from(digit - b'0'));
    u64::try_from(value).ok()
}

/// The local name of the first element, found without an XML parser; `None` where there is none.
fn root(data: &[u8]) -> Option<String> {
    let text = std::str::from_utf8(data).ok()?;
    let mut rest = text.strip_prefix('\u{feff}').unwrap_or(text);
    loop {
        rest = rest.split_once('<')?.1;
        rest = match rest.as_bytes().first()? {
            b'?' => rest.split_once("?>")?.1,
            b'!' => rest.split_once("-->")?.1,
            _ => break,
        };
    }
    let name = rest.split(|c: char| c.is_ascii_whitespace() || c == '>' || c == '/').next()?;
    Some(name.rsplit_once(':').map_or(name, |(_, local)| local).to_owned())
}
