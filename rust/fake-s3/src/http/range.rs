//! The `Range` header of a request.

/// What a `Range` header asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Range {
    /// `bytes=a-b`, the end inclusive as on the wire.
    Between(u64, u64),
    /// `bytes=a-`
    From(u64),
    /// `bytes=-n`
    Last(u64),
}

impl Range {
    /// `None` for whatever S3 ignores: other units, several ranges, junk.
    pub fn parse(value: &str) -> Option<Self> {
        let (first, last) = value.trim().strip_prefix("bytes=")?.split_once('-')?;
        let number = |text: &str| match text.bytes().all(|byte| byte.is_ascii_digit()) {
            true => text.parse::<u64>().ok(),
            false => None,
        };
        match (first, last) {
            ("", last) => Some(Self::Last(number(last)?)),
            (first, "") => Some(Self::From(number(first)?)),
            (first, last) => {
                let (first, last) = (number(first)?, number(last)?);
                (first <= last).then_some(Self::Between(first, last))
            }
        }
    }

    /// The half-open range within an object of `size` bytes; `None` is 416.
    pub fn resolve(self, size: u64) -> Option<(u64, u64)> {
        match self {
            Self::Between(first, last) if first < size => Some((first, last.saturating_add(1).min(size))),
            Self::From(first) if first < size => Some((first, size)),
            Self::Last(count) if count > 0 && size > 0 => Some((size - count.min(size), size)),
            _ => None,
        }
    }

    /// The first byte asked for, where the header names one.
    pub fn start(self) -> Option<u64> {
        match self {
            Self::Between(first, _) | Self::From(first) => Some(first),
            Self::Last(_) => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_forms() {
        let resolve = |text: &str, size| Range::parse(text).map(|range| range.resolve(size));
        assert_eq!(resolve("bytes=0-9", 100), Some(Some((0, 10))));
        assert_eq!(resolve("bytes=90-200", 100), Some(Some((90, 100))));
        assert_eq!(resolve("bytes=5-", 100), Some(Some((5, 100))));
        assert_eq!(resolve("bytes=-7", 100), Some(Some((93, 100))));
        assert_eq!(resolve("bytes=-700", 100), Some(Some((0, 100))));
        assert_eq!(resolve("bytes=100-", 100), Some(None));
        assert_eq!(resolve("bytes=0-", 0), Some(None));
        assert_eq!(resolve("bytes=-0", 5), Some(None));
        for ignored in ["bytes=5-4", "bytes=0-1,3-4", "lines=0-1", "bytes=", "bytes=a-b", "bytes=+1-2"] {
            assert_eq!(Range::parse(ignored), None, "{ignored}");
        }
        assert_eq!(resolve("bytes=0-18446744073709551615", 9), Some(Some((0, 9))));
    }
}
