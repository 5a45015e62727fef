//! Listings and small answers (U15, S14, #50, #51): pages are consistent and no larger than their document, every key
//! comes back exactly.

use s3z::s3::encode::encode_query;
use s3z::s3::endpoint::validate_region;
use s3z::s3::sign::amz_date;
use s3z::s3::xml::{
    ListPage, parse_delete_result, parse_list_buckets, parse_list_parts, parse_list_v2, parse_location, parse_timestamp,
};

use super::is_plain;

pub fn holds(data: &[u8]) -> bool {
    let text = String::from_utf8_lossy(data);
    let accepted = [objects(data), parts(data), buckets(data), deleted(data), location(data)];
    assert!(accepted.iter().filter(|accepted| **accepted).count() <= 1, "one root, one kind of document");
    keys_come_back(text.lines());
    dates_agree(&text);
    accepted.contains(&true)
}

fn objects(data: &[u8]) -> bool {
    let Ok(page) = parse_list_v2(data) else { return false };
    assert_eq!(page.is_truncated, page.next_continuation_token.is_some());
    assert!(page.next_continuation_token.as_ref().is_none_or(|token| !token.is_empty()));
    let names = page.entries.iter().map(|entry| &entry.key).chain(&page.common_prefixes);
    let bytes: usize = names.clone().map(|name| name.len()).sum();
    assert!(bytes <= data.len(), "{bytes} bytes of names from {} bytes", data.len());
    assert!(names.count() * "<Key/>".len() <= data.len());
    comes_back(&page);
    true
}

/// A page written down again is the same page.
fn comes_back(page: &ListPage) {
    let mut body = "<ListBucketResult><EncodingType>url</EncodingType>".to_owned();
    for entry in &page.entries {
        body += &format!("<Contents><Key>{}</Key><Size>{}</Size></Contents>", encode_query(&entry.key), entry.size);
    }
    for prefix in &page.common_prefixes {
        body += &format!("<CommonPrefixes><Prefix>{}</Prefix></CommonPrefixes>", encode_query(prefix));
    }
    body += &format!("<IsTruncated>{}</IsTruncated>", page.is_truncated);
    if let Some(token) = &page.next_continuation_token {
        let token: String = token.chars().map(|c| format!("&#{};", u32::from(c))).collect();
        body += &format!("<NextContinuationToken>{token}</NextContinuationToken>");
    }
    body += "</ListBucketResult>";
    let again = parse_list_v2(body.as_bytes()).expect("a page that was read");
    let keys = |page: &ListPage| page.entries.iter().map(|e| (e.key.clone(), e.size)).collect::<Vec<_>>();
    assert_eq!(keys(&again), keys(page));
    assert_eq!(again.common_prefixes, page.common_prefixes);
    assert_eq!(again.next_continuation_token, page.next_continuation_token);
}

fn parts(data: &[u8]) -> bool {
    let Ok(page) = parse_list_parts(data) else { return false };
    assert_eq!(page.is_truncated, page.next_part_number_marker.is_some());
    assert!(page.parts.len() * "<Part>".len() <= data.len());
    true
}

fn buckets(data: &[u8]) -> bool {
    let Ok(page) = parse_list_buckets(data) else { return false };
    assert!(page.buckets.iter().all(|bucket| !bucket.name.is_empty()));
    assert!(page.buckets.len() * "<Bucket>".len() <= data.len());
    true
}

fn deleted(data: &[u8]) -> bool {
    let Ok(result) = parse_delete_result(data) else { return false };
    let deleted = result.deleted.iter().map(|(key, _)| key);
    let bytes: usize = deleted.chain(result.errors.iter().map(|error| &error.key)).map(String::len).sum();
    assert!(bytes <= data.len());
    assert!(result.errors.iter().all(|error| is_plain(&error.code) && is_plain(&error.message)));
    true
}

fn location(data: &[u8]) -> bool {
    let Ok(region) = parse_location(data) else { return false };
    assert!(validate_region(&region).is_ok(), "S4: {region:?}");
    true
}

/// Both ways in which a store may write a key: encoded, and as character references.
fn keys_come_back<'a>(keys: impl Iterator<Item = &'a str> + Clone) {
    let contents = |name: String| format!("<Contents><Key>{name}</Key><Size>1</Size></Contents>");
    let encoded: String = keys.clone().map(|key| contents(encode_query(key))).collect();
    let referred = |key: &str| key.chars().map(|c| format!("&#x{:X};", u32::from(c))).collect();
    let references: String = keys.clone().map(|key| contents(referred(key))).collect();
    for body in [format!("<EncodingType>url</EncodingType>{encoded}"), references] {
        let page = parse_list_v2(format!("<ListBucketResult>{body}</ListBucketResult>").as_bytes()).expect("a page");
        assert!(page.entries.iter().map(|entry| entry.key.as_str()).eq(keys.clone()));
    }
}

/// A date of a listing, written as the signer writes it, has the same digits. A leap second is the next minute's first.
fn dates_agree(text: &str) {
    let text = text.trim();
    let Some(time) = parse_timestamp(text).filter(|_| text.ends_with('Z')) else { return };
    let digits = |text: &str| text.chars().filter(char::is_ascii_digit).take(14).collect::<String>();
    assert!(digits(text).ends_with("60") || digits(&amz_date(time)) == digits(text), "{text:?}");
}
