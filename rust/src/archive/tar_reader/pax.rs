//! The records of a pax extended header: `LEN KEY=VALUE\n`.
//!
//! Knows the keys that change what a member is; others are passed over, once they are well-formed. An empty value takes
//! back what was said before, as POSIX has it. Invariant: what is kept is never larger than the headers it came from.

/// What pax headers say of a member.
#[derive(Clone, Debug, Default)]
pub struct Pax {
    pub path: Option<Vec<u8>>,
    pub link: Option<Vec<u8>>,
    pub size: Option<u64>,
    pub uid: Option<u32>,
    pub gid: Option<u32>,
    pub mtime_ns: Option<i64>,
    /// Sorted by name.
    pub xattrs: Vec<(String, Vec<u8>)>,
    /// GNU and other tars have their own ways to leave out holes.
    pub is_sparse: bool,
    pub sparse_name: Option<Vec<u8>>,
}

impl Pax {
    /// The records of one member.
    pub fn add(&mut self, body: &[u8]) -> Result<(), &'static str> {
        each_record(body, |key, value| self.set(key, value))?;
        self.xattrs.sort_by(|a, b| a.0.cmp(&b.0));
        let is_twice = self.xattrs.windows(2).any(|pair| pair[0].0 == pair[1].0);
        if is_twice { Err("an extended attribute comes twice") } else { Ok(()) }
    }

    /// The records for all members that follow.
    pub fn add_global(&mut self, body: &[u8]) -> Result<(), &'static str> {
        each_record(body, |key, value| match key {
            b"path" | b"linkpath" | b"size" => Err("a global pax header gives a name or size"),
            _ if key.starts_with(XATTR) || is_sparse(key) => Err("a global pax header describes one member"),
            _ => self.set(key, value),
        })
    }

    fn set(&mut self, key: &[u8], value: &[u8]) -> Result<(), &'static str> {
        let filled = Some(value).filter(|value| !value.is_empty());
        match key {
            b"path" => self.path = filled.map(name).transpose()?,
            b"linkpath" => self.link = filled.map(name).transpose()?,
            b"size" => self.size = filled.map(size).transpose()?,
            b"uid" => self.uid = filled.map(owner).transpose()?,
            b"gid" => self.gid = filled.map(owner).transpose()?,
            b"mtime" => self.mtime_ns = filled.map(time).transpose()?,
            b"hdrcharset" if !matches!(value, b"" | b"BINARY" | b"ISO-IR 10646 2000 UTF-8") => {
                return Err("the character set of a pax header is unknown");
            }
            b"GNU.sparse.name" => {
                self.is_sparse = true;
                self.sparse_name = Some(value.to_vec());
            }
            _ if is_sparse(key) => self.is_sparse = true,
            _ => {
                if let Some(key) = key.strip_prefix(XATTR) {
                    self.xattrs.push((attribute(key)?, value.to_vec()));
                }
            }
        }
        Ok(())
    }
}

const XATTR: &[u8] = b"SCHILY.xattr.";

fn is_sparse(key: &[u8]) -> bool {
    key.starts_with(b"GNU.sparse.") || matches!(key, b"SCHILY.realsize" | b"SUN.holesdata")
}

fn each_record(
    mut body: &[u8],
    mut take: impl FnMut(&[u8], &[u8]) -> Result<(), &'static str>,
) -> Result<(), &'static str> {
    const BAD: &str = "a pax record is malformed";
    while !body.is_empty() {
        let space = body.iter().position(|byte| *byte == b' ').ok_or(BAD)?;
        let length = decimal(&body[..space]).and_then(|length| usize::try_from(length).ok()).ok_or(BAD)?;
        if length <= space || length > body.len() {
            return Err(BAD);
        }
        let (record, rest) = body.split_at(length);
        let record = record[space + 1..].strip_suffix(b"\n").ok_or(BAD)?;
        let equals = record.iter().position(|byte| *byte == b'=').filter(|at| *at > 0).ok_or(BAD)?;
        take(&record[..equals], &record[equals + 1..])?;
        body = rest;
    }
    Ok(())
}

fn name(value: &[u8]) -> Result<Vec<u8>, &'static str> {
    if value.contains(&0) { Err("a name in a pax header holds a NUL byte") } else { Ok(value.to_vec()) }
}

fn size(value: &[u8]) -> Result<u64, &'static str> {
    decimal(value)
        .filter(|size| i64::try_from(*size).is_ok())
        .ok_or("a size in a pax header is not a number below 2^63")
}

fn owner(value: &[u8]) -> Result<u32, &'static str> {
    decimal(value).and_then(|id| u32::try_from(id).ok()).ok_or("an owner in a pax header is not a number below 2^32")
}

fn decimal(digits: &[u8]) -> Option<u64> {
    if digits.is_empty() {
        return None;
    }
    digits.iter().try_fold(0u64, |value, digit| match digit {
        b'0'..=b'9' => value.checked_mul(10)?.checked_add(u64::from(digit - b'0')),
        _ => None,
    })
}

/// Seconds, with a sign and a fraction perhaps, as nanoseconds; what is finer is rounded down.
fn time(value: &[u8]) -> Result<i64, &'static str> {
    const BAD: &str = "a time in a pax header is not a number, or out of range";
    let (is_negative, digits) = value.strip_prefix(b"-").map_or((false, value), |digits| (true, digits));
    let mut halves = digits.splitn(2, |byte| *byte == b'.');
    let whole = halves.next().and_then(decimal).ok_or(BAD)?;
    let fraction = halves.next().unwrap_or(b"0");
    if fraction.is_empty() || !fraction.iter().all(u8::is_ascii_digit) {
        return Err(BAD);
    }
    let (fine, finer) = fraction.split_at(fraction.len().min(9));
    let nanos = fine
        .iter()
        .chain(std::iter::repeat(&b'0'))
        .take(9)
        .fold(0, |nanos, digit| nanos * 10 + i128::from(digit - b'0'));
    let nanos = i128::from(whole) * 1_000_000_000 + nanos;
    let has_more = finer.iter().any(|digit| *digit != b'0');
    let nanos = if is_negative { -nanos - i128::from(has_more) } else { nanos };
    i64::try_from(nanos).map_err(|_| BAD)
}

/// GNU tar writes `=` and `%` in the name of an attribute as `%3D` and `%25`.
fn attribute(key: &[u8]) -> Result<String, &'static str> {
    let text = std::str::from_utf8(key).map_err(|_| "the name of an extended attribute is not UTF-8")?;
    if text.is_empty() || text.contains('\0') {
        return Err("an extended attribute has no proper name");
    }
    Ok(text.replace("%3D", "=").replace("%25", "%"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record(key: &str, value: &str) -> String {
        let rest = key.len() + value.len() + 3;
        let mut length = rest + 1;
        while length != rest + length.to_string().len() {
            length = rest + length.to_string().len();
        }
        format!("{length} {key}={value}\n")
    }

    fn read(body: &str) -> Result<Pax, &'static str> {
        let mut pax = Pax::default();
        pax.add(body.as_bytes()).map(|()| pax)
    }

    #[test]
    fn records_are_well_formed_or_refused() {
        let body = record("path", "a=b\nc") + &record("comment", "") + &record("size", "9223372036854775807");
        let pax = read(&body).unwrap();
        assert_eq!((pax.path.unwrap(), pax.size), (b"a=b\nc".to_vec(), Some(u64::MAX / 2)));
        for body in [
            "x",
            "6 a=b",
            "7 a=b\n",
            "5 a=b\n",
            "6 a=bc",
            "-6 a=b\n",
            "6a=b\n",
            "6 =bc\n",
            "6 abc\n",
            " a=b\n",
            "0 ",
            "1 ",
            "2 \n",
            "3 =\n",
            "99999999999999999999999 a=b\n",
            "6 a=b\n\0",
            "6 a=b\n6 a=b",
        ] {
            assert!(read(body).is_err(), "{body:?}");
        }
        assert!(read("6 a=b\n").is_ok());
    }

    #[test]
    fn numbers_are_bounded() {
        for (key, value) in [
            ("size", "9223372036854775808"),
            ("size", "-1"),
            ("size", "1.0"),
            ("size", "0x1"),
            ("uid", "4294967296"),
            ("uid", "-2"),
            ("gid", "a"),
            ("path", "a\0b"),
            ("linkpath", "\0"),
            ("hdrcharset", "ISO-IR 8859 1 1998"),
            ("SCHILY.xattr.", "x"),
            ("SCHILY.xattr.a\0b", "x"),
        ] {
            assert!(read(&record(key, value)).is_err(), "{key}={value}");
        }
        assert_eq!(read(&record("uid", "4294967295")).unwrap().uid, Some(u32::MAX));
    }

    #[test]
    fn times_have_fractions_and_signs() {
        for (text, nanos) in [
            ("0", 0),
            ("1.5", 1_500_000_000),
            ("-1.5", -1_500_000_000),
            ("-0.5", -500_000_000),
            ("1700000000.123456789", 1_700_000_000_123_456_789),
            ("1.1234567899", 1_123_456_789),
            ("-0.0000000001", -1),
            ("-0.0000000000", 0),
            ("9223372036.854775807", i64::MAX),
            ("-9223372036.854775808", i64::MIN),
        ] {
            assert_eq!(time(text.as_bytes()), Ok(nanos), "{text}");
        }
        for text in
            ["", "-", ".5", "1.", "1.x", "+1", "1e3", "--1", "1.-5", "9223372036.854775808", "99999999999999999999"]
        {
            assert!(time(text.as_bytes()).is_err(), "{text}");
        }
    }

    #[test]
    fn an_empty_value_takes_back() {
        let mut pax = Pax::default();
        pax.add_global(record("uid", "7").as_bytes()).unwrap();
        pax.add((record("path", "a") + &record("path", "") + &record("uid", "")).as_bytes()).unwrap();
        assert_eq!((pax.path, pax.uid), (None, None));
    }

    #[test]
    fn a_global_header_names_no_member() {
        for key in ["path", "linkpath", "size", "SCHILY.xattr.user.a", "GNU.sparse.major"] {
            assert!(Pax::default().add_global(record(key, "1").as_bytes()).is_err(), "{key}");
        }
        let mut pax = Pax::default();
        pax.add_global((record("comment", "x") + &record("mtime", "3")).as_bytes()).unwrap();
        assert_eq!(pax.mtime_ns, Some(3_000_000_000));
    }

    #[test]
    fn attributes_come_sorted_and_once() {
        let pax = read(&(record("SCHILY.xattr.user.b", "") + &record("SCHILY.xattr.user.a%3D%25", "1"))).unwrap();
        assert_eq!(pax.xattrs, [("user.a=%".to_owned(), b"1".to_vec()), ("user.b".to_owned(), Vec::new())]);
        assert!(read(&record("SCHILY.xattr.user.b", "1").repeat(2)).is_err());
    }
}
