//! One header block of a tar stream: v7, ustar or GNU.
//!
//! Reads fields and checks the checksum; what they mean together is for the reader above. Numbers are octal, or in
//! base 256 where GNU writes them so. Nothing is allocated but names of at most 256 bytes.

use super::BLOCK;

pub type Block = [u8; BLOCK];

/// The fields of one block.
#[derive(Debug)]
pub struct Header {
    pub name: Vec<u8>,
    pub link: Vec<u8>,
    /// The 12 permission bits.
    pub mode: u32,
    pub uid: i64,
    pub gid: i64,
    pub size: u64,
    /// Seconds since 1970.
    pub mtime: i64,
    pub flag: u8,
    /// The map of a GNU sparse file goes on in the next block.
    pub goes_on: bool,
}

impl Header {
    pub fn parse(block: &Block) -> Result<Self, &'static str> {
        check_sum(block)?;
        let is_posix = &block[257..263] == b"ustar\0";
        let is_gnu = &block[257..265] == b"ustar  \0";
        if !is_posix && !is_gnu && block[257..263] != [0; 6] {
            return Err("a header of an unknown kind");
        }
        let mut name = text(&block[..100]).to_vec();
        let prefix = text(&block[345..500]);
        if is_posix && !prefix.is_empty() {
            name = [prefix, b"/", &name].concat();
        }
        Ok(Self {
            name,
            link: text(&block[157..257]).to_vec(),
            mode: (number(&block[100..108])? & 0o7777) as u32,
            uid: number(&block[108..116])?,
            gid: number(&block[116..124])?,
            size: u64::try_from(number(&block[124..136])?).map_err(|_| "a size is negative")?,
            mtime: number(&block[136..148])?,
            flag: block[156],
            goes_on: is_gnu && block[482] != 0,
        })
    }
}

/// Up to the first NUL.
fn text(field: &[u8]) -> &[u8] {
    field.split(|byte| *byte == 0).next().unwrap_or_default()
}

/// The sum of all bytes, with its own field as spaces. Some old programs summed signed bytes.
fn check_sum(block: &Block) -> Result<(), &'static str> {
    if matches!(text(&block[148..156]), b"") {
        return Err("a header without a checksum");
    }
    let written = number(&block[148..156])?;
    let (before, after) = (&block[..148], &block[156..]);
    let bytes = || before.iter().chain(after);
    let spaces = 8 * i64::from(b' ');
    let unsigned: i64 = spaces + bytes().map(|byte| i64::from(*byte)).sum::<i64>();
    let signed: i64 = spaces + bytes().map(|byte| i64::from(byte.cast_signed())).sum::<i64>();
    if written == unsigned || written == signed { Ok(()) } else { Err("the checksum of a header does not fit") }
}

/// Octal digits with spaces before and spaces or NULs after, or base 256. A field without digits is 0.
fn number(field: &[u8]) -> Result<i64, &'static str> {
    match field.first() {
        Some(0x80 | 0xff) => return base_256(field),
        Some(0x81..) => return Err("a number is too large"),
        _ => {}
    }
    let start = field.iter().position(|byte| *byte != b' ').unwrap_or(field.len());
    let field = &field[start..];
    let end = field.iter().position(|byte| matches!(byte, 0 | b' ')).unwrap_or(field.len());
    let (digits, rest) = field.split_at(end);
    if rest.iter().any(|byte| !matches!(byte, 0 | b' ')) {
        return Err("a number is not octal");
    }
    // 12 digits at most: 36 bits.
    digits.iter().try_fold(0, |value, digit| match digit {
        b'0'..=b'7' => Ok(value << 3 | i64::from(digit - b'0')),
        _ => Err("a number is not octal"),
    })
}

/// Big-endian, in two's complement; the first byte is 80 for positive numbers and ff for negative ones.
fn base_256(field: &[u8]) -> Result<i64, &'static str> {
    let sign = if field[0] == 0xff { 0xff } else { 0 };
    let (high, low) = field[1..].split_at(field.len().saturating_sub(9));
    let start = if sign == 0 { 0 } else { -1 };
    let value = low.iter().fold(start, |value: i64, byte| value << 8 | i64::from(*byte));
    if high.iter().any(|byte| *byte != sign) || (value < 0) != (sign != 0) {
        return Err("a number is too large");
    }
    Ok(value)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn octal_is_strict() {
        for (field, value) in [
            (&b"0000644\0"[..], 0o644),
            (b"   644 \0", 0o644),
            (b"00000644", 0o644),
            (b"\0\0\0\0\0\0\0\0", 0),
            (b"        ", 0),
            (b"777777777777", 0o777_777_777_777),
            (b"00000000017 ", 15),
        ] {
            assert_eq!(number(field), Ok(value), "{field:?}");
        }
        for field in [
            &b"0000648\0"[..],
            b"-000001\0",
            b"0x00001\0",
            b"12\x003\0\0\0\0",
            b"1 2     ",
            b"\x000000001",
            b"+0000001",
        ] {
            assert!(number(field).is_err(), "{field:?}");
        }
    }

    #[test]
    fn base_256_is_bounded() {
        let twelve = |sign: u8, value: i64| {
            let fill = if sign == 0x80 { 0 } else { 0xff };
            [&[sign, fill, fill, fill][..], &value.to_be_bytes()].concat()
        };
        for value in [0, 1, 1 << 33, i64::MAX] {
            assert_eq!(number(&twelve(0x80, value)), Ok(value));
            assert_eq!(number(&twelve(0xff, -value - 1)), Ok(-value - 1));
        }
        assert!(number(&twelve(0x80, -1)).is_err(), "2^64 - 1");
        assert!(number(&twelve(0xff, 1)).is_err());
        assert!(number(b"\x80\0\0\x01\0\0\0\0\0\0\0\0").is_err());
        assert!(number(b"\x81\0\0\0\0\0\0\0\0\0\0\0").is_err());
        assert_eq!(number(b"\x80\0\0\0\0\x20\0\0"), Ok(1 << 21));
        assert_eq!(number(b"\xff\xff\xff\xff\xff\xff\xff\xfe"), Ok(-2));
    }
}
