//! The three date spellings of S3 (HTTP, ISO 8601, SigV4) to and from seconds since the epoch, in UTC.

const DAYS: [&str; 7] = ["Thu", "Fri", "Sat", "Sun", "Mon", "Tue", "Wed"];
const MONTHS: [&str; 12] = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];

struct Civil {
    year: i64,
    month: i64,
    day: i64,
    hour: i64,
    minute: i64,
    second: i64,
}

/// Howard Hinnant's `civil_from_days`.
fn civil(seconds: i64) -> Civil {
    let (days, rest) = (seconds.div_euclid(86_400), seconds.rem_euclid(86_400));
    let z = days + 719_468;
    let era = z.div_euclid(146_097);
    let doe = z.rem_euclid(146_097);
    let yoe = (doe - doe / 1460 + doe / 36_524 - doe / 146_096) / 365;
    let doy = doe - (365 * yoe + yoe / 4 - yoe / 100);
    let mp = (5 * doy + 2) / 153;
    let month = if mp < 10 { mp + 3 } else { mp - 9 };
    let year = yoe + era * 400 + i64::from(month <= 2);
    Civil {
        year,
        month,
        day: doy - (153 * mp + 2) / 5 + 1,
        hour: rest / 3600,
        minute: rest / 60 % 60,
        second: rest % 60,
    }
}

fn seconds(civil: &Civil) -> i64 {
    let year = if civil.month <= 2 { civil.year - 1 } else { civil.year };
    let era = year.div_euclid(400);
    let yoe = year.rem_euclid(400);
    let mp = (civil.month + 9) % 12;
    let doe = yoe * 365 + yoe / 4 - yoe / 100 + (153 * mp + 2) / 5 + civil.day - 1;
    let days = era * 146_097 + doe - 719_468;
    days * 86_400 + civil.hour * 3600 + civil.minute * 60 + civil.second
}

/// `Sun, 06 Nov 1994 08:49:37 GMT`
pub(crate) fn http(at: i64) -> String {
    let c = civil(at);
    let day = DAYS[at.div_euclid(86_400).rem_euclid(7) as usize];
    let month = MONTHS[(c.month - 1) as usize];
    format!("{day}, {:02} {month} {:04} {:02}:{:02}:{:02} GMT", c.day, c.year, c.hour, c.minute, c.second)
}

/// `1994-11-06T08:49:37.000Z`
pub(crate) fn iso(at: i64) -> String {
    let c = civil(at);
    format!("{:04}-{:02}-{:02}T{:02}:{:02}:{:02}.000Z", c.year, c.month, c.day, c.hour, c.minute, c.second)
}

/// `19941106T084937Z`
pub(crate) fn amz(at: i64) -> String {
    let c = civil(at);
    format!("{:04}{:02}{:02}T{:02}{:02}{:02}Z", c.year, c.month, c.day, c.hour, c.minute, c.second)
}

pub(crate) fn parse_amz(text: &str) -> Option<i64> {
    let bytes = text.as_bytes();
    let form = |(at, byte): (usize, &u8)| match at {
        8 => *byte == b'T',
        15 => *byte == b'Z',
        _ => byte.is_ascii_digit(),
    };
    if bytes.len() != 16 || !bytes.iter().enumerate().all(form) {
        return None;
    }
    let number = |from: usize, to: usize| text[from..to].parse::<i64>().ok();
    Some(seconds(&Civil {
        year: number(0, 4)?,
        month: number(4, 6)?,
        day: number(6, 8)?,
        hour: number(9, 11)?,
        minute: number(11, 13)?,
        second: number(13, 15)?,
    }))
}

/// Only the fixed form of RFC 9110 (`Sun, 06 Nov 1994 08:49:37 GMT`).
pub(crate) fn parse_http(text: &str) -> Option<i64> {
    let mut words = text.split_ascii_whitespace();
    words.next()?;
    let day = words.next()?.parse().ok()?;
    let name = words.next()?;
    let month = MONTHS.iter().position(|month| *month == name)? as i64 + 1;
    let year = words.next()?.parse().ok()?;
    let mut clock = words.next()?.split(':').map(|part| part.parse::<i64>().ok());
    let (hour, minute, second) = (clock.next()??, clock.next()??, clock.next()??);
    Some(seconds(&Civil { year, month, day, hour, minute, second }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spellings_and_back() {
        assert_eq!(http(784_111_777), "Sun, 06 Nov 1994 08:49:37 GMT");
        assert_eq!(iso(784_111_777), "1994-11-06T08:49:37.000Z");
        assert_eq!(amz(784_111_777), "19941106T084937Z");
        for at in [0, 1, 951_782_400, 1_709_164_800, 4_102_444_799] {
            assert_eq!(parse_amz(&amz(at)), Some(at));
            assert_eq!(parse_http(&http(at)), Some(at));
        }
        assert_eq!(parse_amz("2013é524T000000"), None);
    }
}
