//! The `-N` behind a checksum or an ETag that was made from N parts.

/// Whether a checksum or ETag ends in `-N`: it was computed from parts. Quotes around an ETag are no hindrance.
pub fn is_composite(text: &str) -> bool {
    count_text(text).is_some()
}

/// The `N` of a checksum or ETag that ends in `-N`; `None` too if no object can have so many parts.
pub fn part_count(text: &str) -> Option<u32> {
    count_text(text)?.parse().ok()
}

fn count_text(text: &str) -> Option<&str> {
    let (_, count) = text.trim_matches('"').rsplit_once('-')?;
    (!count.is_empty() && count.bytes().all(|byte| byte.is_ascii_digit())).then_some(count)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn composite_is_told_apart() {
        let table = [
            ("y/Q5Jg==-3", Some(3)),
            ("\"d41d8cd98f00b204e9800998ecf8427e-10000\"", Some(10_000)),
            ("y/Q5Jg==", None),
            ("\"opaque-etag\"", None),
            ("a-", None),
            ("a-+1", None),
            ("-1", Some(1)),
        ];
        for (text, count) in table {
            assert_eq!(part_count(text), count, "{text}");
            assert_eq!(is_composite(text), count.is_some(), "{text}");
        }
        assert!(is_composite("a-99999999999999999999") && part_count("a-99999999999999999999").is_none());
    }
}
