//! The small answers, and the fields of all.
//!
//! Names are decoded where the answer says `EncodingType` `url`. A page that claims to be truncated but names no
//! place to go on is an error here (U15); that a place repeats is seen by whoever asks for the pages. `KeyCount` is
//! not read. A field that is needed and missing makes the document broken, one that is not needed is `None`.

use std::str::FromStr;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use crate::checksum::Kind;
use crate::error::{Error, ErrorKind, MAX_SHOWN, Result, escape};

use super::error_body::checksum_field;
use super::read::{broken, walk};
use crate::s3::endpoint::validate_region;

/// One page of ListParts.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct PartsPage {
    pub parts: Vec<ListedPart>,
    pub is_truncated: bool,
    /// `Some` if and only if `is_truncated`.
    pub next_part_number_marker: Option<u32>,
}

#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ListedPart {
    pub number: u32,
    pub size: u64,
    pub etag: String,
    pub checksums: Vec<(Kind, String)>,
    pub last_modified: Option<SystemTime>,
}

pub fn parse_list_parts(body: &[u8]) -> Result<PartsPage> {
    let mut page = PartsPage::default();
    let mut part = ListedPart::default();
    let (mut part_number, mut size) = (None, None);
    let mut marker = None;
    // Moto calls it by the second name.
    walk_root(body, &["ListPartsResult", "ListPartsResponse"], |path, text| {
        match path {
            "Part/PartNumber" => part_number = Some(number(text)?),
            "Part/Size" => size = Some(number(text)?),
            "Part/ETag" => part.etag = text.to_owned(),
            "Part/LastModified" => part.last_modified = parse_timestamp(text),
            "Part" => {
                let mut part = std::mem::take(&mut part);
                part.number = part_number.take().ok_or_else(broken)?;
                part.size = size.take().ok_or_else(broken)?;
                page.parts.push(part);
            }
            "IsTruncated" => page.is_truncated = boolean(text)?,
            "NextPartNumberMarker" if !text.trim().is_empty() => marker = Some(number(text)?),
            _ => part.checksums.extend(path.strip_prefix("Part/").and_then(|field| checksum_field(field, text))),
        }
        Ok(())
    })?;
    page.next_part_number_marker = next_place(page.is_truncated, marker)?;
    Ok(page)
}

/// One page of ListBuckets.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct BucketsPage {
    pub buckets: Vec<ListedBucket>,
    /// `None`: this was the last page.
    pub next_continuation_token: Option<String>,
}

#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ListedBucket {
    pub name: String,
    pub created: Option<SystemTime>,
    pub region: Option<String>,
}

pub fn parse_list_buckets(body: &[u8]) -> Result<BucketsPage> {
    let mut page = BucketsPage::default();
    let mut bucket = ListedBucket::default();
    walk_root(body, &["ListAllMyBucketsResult"], |path, text| {
        match path {
            "Buckets/Bucket/Name" => bucket.name = text.to_owned(),
            "Buckets/Bucket/CreationDate" => bucket.created = parse_timestamp(text),
            "Buckets/Bucket/BucketRegion" => bucket.region = Some(text.to_owned()),
            "Buckets/Bucket" if bucket.name.is_empty() => return Err(broken()),
            "Buckets/Bucket" => page.buckets.push(std::mem::take(&mut bucket)),
            "ContinuationToken" if !text.is_empty() => page.next_continuation_token = Some(text.to_owned()),
            _ => {}
        }
        Ok(())
    })?;
    Ok(page)
}

/// The upload id.
pub fn parse_create_multipart(body: &[u8]) -> Result<String> {
    let mut upload_id = String::new();
    walk_root(body, &["InitiateMultipartUploadResult"], |path, text| {
        if path == "UploadId" {
            upload_id = text.trim().to_owned();
        }
        Ok(())
    })?;
    if upload_id.is_empty() { Err(broken()) } else { Ok(upload_id) }
}

/// The answer to DeleteObjects; quiet requests leave `deleted` empty.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct DeleteResult {
    /// Key, and the version id where the request named one.
    pub deleted: Vec<(String, Option<String>)>,
    pub errors: Vec<DeleteFailure>,
}

/// Code and message are cut and escaped, the key is exact.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct DeleteFailure {
    pub key: String,
    pub version_id: Option<String>,
    pub code: String,
    pub message: String,
}

pub fn parse_delete_result(body: &[u8]) -> Result<DeleteResult> {
    let mut result = DeleteResult::default();
    let mut failure = DeleteFailure::default();
    let (mut key, mut version_id) = (None, None);
    let id = |text: &str| Some(text.trim().to_owned()).filter(|id| !id.is_empty());
    walk_root(body, &["DeleteResult"], |path, text| {
        match path {
            "Deleted/Key" => key = Some(text.to_owned()),
            "Deleted/VersionId" => version_id = id(text),
            "Deleted" => result.deleted.push((key.take().ok_or_else(broken)?, version_id.take())),
            "Error/VersionId" => failure.version_id = id(text),
            "Error/Key" => failure.key = text.to_owned(),
            "Error/Code" => failure.code = escape(text.trim(), MAX_SHOWN),
            "Error/Message" => failure.message = escape(text.trim(), MAX_SHOWN),
            "Error" => result.errors.push(std::mem::take(&mut failure)),
            _ => {}
        }
        Ok(())
    })?;
    Ok(result)
}

/// The region of a bucket; the old names for the first two regions are translated.
pub fn parse_location(body: &[u8]) -> Result<String> {
    let mut location = String::new();
    walk(body, |path, text| {
        match path {
            "LocationConstraint" | "LocationConstraint/LocationConstraint" if location.is_empty() => {
                location = text.trim().to_owned();
            }
            _ if path.starts_with("LocationConstraint") => {}
            _ => return Err(broken()),
        }
        Ok(())
    })?;
    match location.as_str() {
        "" | "US" => Ok("us-east-1".to_owned()),
        "EU" => Ok("eu-west-1".to_owned()),
        region => validate_region(region).map(|()| location).map_err(|_| broken()),
    }
}

/// `walk`, with the root taken off the paths and refused if it is none of `roots`; the root's own end is not visited.
pub(super) fn walk_root(body: &[u8], roots: &[&str], mut visit: impl FnMut(&str, &str) -> Result<()>) -> Result<()> {
    walk(body, |path, text| match roots.iter().find_map(|root| path.strip_prefix(root)) {
        Some("") => Ok(()),
        Some(rest) => visit(rest.strip_prefix('/').ok_or_else(broken)?, text),
        None => Err(broken()),
    })
}

/// Where a truncated page goes on; an error if it does not say (U15).
pub(super) fn next_place<T>(is_truncated: bool, place: Option<T>) -> Result<Option<T>> {
    match (is_truncated, place) {
        (true, None) => Err(Error::new(ErrorKind::Service, "a truncated list does not say where it goes on")),
        (true, place) => Ok(place),
        (false, _) => Ok(None),
    }
}

pub(super) fn number<T: FromStr>(text: &str) -> Result<T> {
    text.trim().parse().map_err(|_| broken())
}

pub(super) fn boolean(text: &str) -> Result<bool> {
    match text.trim() {
        "true" => Ok(true),
        "false" => Ok(false),
        _ => Err(broken()),
    }
}

/// `2026-05-01T08:00:00.000Z`, or a date as HTTP writes it; `None` for anything else.
pub fn parse_timestamp(text: &str) -> Option<SystemTime> {
    let text = text.trim();
    parse_iso_8601(text).or_else(|| httpdate::parse_http_date(text).ok())
}

fn parse_iso_8601(text: &str) -> Option<SystemTime> {
    let (date_time, fraction) = match text.strip_suffix('Z')?.split_once('.') {
        Some((date_time, fraction)) => (date_time, fraction),
        None => (text.strip_suffix('Z')?, "0"),
    };
    let shape = b"0000-00-00T00:00:00";
    let same_shape = |(&byte, &sign): (&u8, &u8)| if sign == b'0' { byte.is_ascii_digit() } else { byte == sign };
    if date_time.len() != shape.len() || !date_time.as_bytes().iter().zip(shape).all(same_shape) {
        return None;
    }
    if fraction.is_empty() || fraction.len() > 9 || !fraction.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    let field = |from: usize, to: usize| date_time.get(from..to)?.parse::<u64>().ok();
    let days = days_since_1970(field(0, 4)?, field(5, 7)?, field(8, 10)?)?;
    let (hour, minute, second) = (field(11, 13)?, field(14, 16)?, field(17, 19)?);
    if hour > 23 || minute > 59 || second > 60 {
        return None;
    }
    let unit = 10_u32.pow(u32::try_from(9 - fraction.len()).ok()?);
    let nanos = fraction.parse::<u32>().ok()?.checked_mul(unit)?;
    UNIX_EPOCH.checked_add(Duration::new(days * 86_400 + hour * 3600 + minute * 60 + second, nanos))
}

/// `None` for a date that does not exist, or lies before 1970.
fn days_since_1970(year: u64, month: u64, day: u64) -> Option<u64> {
    let is_leap = year.is_multiple_of(4) && (!year.is_multiple_of(100) || year.is_multiple_of(400));
    let february = if is_leap { 29 } else { 28 };
    let lengths = [31, february, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31];
    let before = lengths.get(..usize::try_from(month).ok()?.checked_sub(1)?)?;
    let length = lengths.get(before.len())?;
    if year < 1970 || day == 0 || day > *length {
        return None;
    }
    let leap_days = |year: u64| year / 4 - year / 100 + year / 400;
    Some((year - 1970) * 365 + leap_days(year - 1) - leap_days(1969) + before.iter().sum::<u64>() + day - 1)
}

#[cfg(test)]
mod tests {
    use super::super::list::{ListPage, ListedObject, parse_list_v2};
    use super::*;
    use crate::s3::encode::encode_query;
    use proptest::prelude::*;

    fn list(inner: &str) -> Result<ListPage> {
        parse_list_v2(format!("<ListBucketResult xmlns=\"u\">{inner}</ListBucketResult>").as_bytes())
    }

    #[test]
    fn list_page() {
        let page = list(
            "<Name>b</Name><Prefix>a+b</Prefix><KeyCount>99</KeyCount><Contents><Key>a+b%2Fc%0D</Key>\
            <LastModified>2026-05-01T08:00:00.500Z</LastModified><ETag>&quot;e&quot;</ETag><Size>5</Size>\
            <Owner><ID>o</ID></Owner><StorageClass>STANDARD</StorageClass></Contents>\
            <Contents><Key>plain</Key><Size>0</Size></Contents>\
            <CommonPrefixes><Prefix>p%2B/</Prefix></CommonPrefixes><CommonPrefixes><Prefix>q/</Prefix></CommonPrefixes>\
            <EncodingType>url</EncodingType><IsTruncated>true</IsTruncated>\
            <NextContinuationToken>t%2B+=</NextContinuationToken>",
        )
        .unwrap();
        let first = ListedObject {
            key: "a b/c\r".into(),
            size: 5,
            etag: Some("\"e\"".into()),
            last_modified: Some(UNIX_EPOCH + Duration::from_millis(1_777_622_400_500)),
            storage_class: Some("STANDARD".into()),
        };
        let second = ListedObject { key: "plain".into(), ..ListedObject::default() };
        let expected = ListPage {
            entries: vec![first, second],
            common_prefixes: vec!["p+/".into(), "q/".into()],
            is_truncated: true,
            next_continuation_token: Some("t%2B+=".into()),
        };
        assert_eq!(page, expected);
    }

    #[test]
    fn names_stay_as_they_are_without_encoding_type() {
        let page = list("<Contents><Key>a+b%2F &#x1;</Key><Size>1</Size></Contents>").unwrap();
        assert_eq!(page.entries[0].key, "a+b%2F \u{1}");
        assert!(!page.is_truncated);
    }

    #[test]
    fn truncated_without_a_place_to_go_on_is_an_error() {
        for inner in ["", "<NextContinuationToken/>", "<NextContinuationToken></NextContinuationToken>"] {
            let error = list(&format!("<IsTruncated>true</IsTruncated>{inner}")).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Service);
        }
        let end = list("<IsTruncated>false</IsTruncated><NextContinuationToken>t</NextContinuationToken>").unwrap();
        assert_eq!(end.next_continuation_token, None);
    }

    #[test]
    fn broken_lists_are_errors() {
        let table = [
            "<Contents><Size>1</Size></Contents>",
            "<Contents><Key>k</Key></Contents>",
            "<Contents><Key>k</Key><Size>-1</Size></Contents>",
            "<Contents><Key>k</Key><Size>18446744073709551616</Size></Contents>",
            "<IsTruncated>maybe</IsTruncated>",
            "<EncodingType>url</EncodingType><Contents><Key>%zz</Key><Size>1</Size></Contents>",
            "<Contents><Key>k</Key>",
        ];
        for inner in table {
            assert_eq!(list(inner).unwrap_err().kind(), ErrorKind::Service, "{inner}");
        }
        assert!(parse_list_v2(b"<Error><Code>X</Code></Error>").is_err());
        assert!(parse_list_v2(b"<ListBucketResultX><Name>b</Name></ListBucketResultX>").is_err());
        assert!(parse_list_v2(b"").is_err());
    }

    #[test]
    fn parts_page() {
        let body = b"<ListPartsResult><UploadId>u</UploadId><Part><PartNumber>2</PartNumber><ETag>\"e\"</ETag>\
            <Size>5242880</Size><ChecksumCRC32C>4waSgw==</ChecksumCRC32C><ChecksumSHA512>x</ChecksumSHA512></Part>\
            <Part><PartNumber>3</PartNumber><ETag>f</ETag><Size>1</Size></Part>\
            <IsTruncated>true</IsTruncated><NextPartNumberMarker>3</NextPartNumberMarker></ListPartsResult>";
        let page = parse_list_parts(body).unwrap();
        assert_eq!(
            page.parts.iter().map(|part| (part.number, part.size)).collect::<Vec<_>>(),
            [(2, 5_242_880), (3, 1)]
        );
        assert_eq!(page.parts[0].checksums, [(crate::checksum::Algorithm::Crc32c.into(), "4waSgw==".to_owned())]);
        assert_eq!(page.parts[1].checksums, []);
        assert_eq!(page.next_part_number_marker, Some(3));
        assert!(parse_list_parts(b"<ListPartsResult><IsTruncated>true</IsTruncated></ListPartsResult>").is_err());
    }

    #[test]
    fn buckets_page() {
        let body = b"<ListAllMyBucketsResult><Owner><ID>o</ID></Owner><Buckets><Bucket><Name>a</Name>\
            <CreationDate>1970-01-02T00:00:00Z</CreationDate><BucketRegion>r</BucketRegion></Bucket>\
            <Bucket><Name>b</Name></Bucket></Buckets><ContinuationToken>t</ContinuationToken></ListAllMyBucketsResult>";
        let page = parse_list_buckets(body).unwrap();
        let created = Some(UNIX_EPOCH + Duration::from_secs(86_400));
        let first = ListedBucket { name: "a".into(), created, region: Some("r".into()) };
        assert_eq!(page.buckets, [first, ListedBucket { name: "b".into(), ..ListedBucket::default() }]);
        assert_eq!(page.next_continuation_token.as_deref(), Some("t"));
    }

    #[test]
    fn small_answers() {
        let create = b"<InitiateMultipartUploadResult><UploadId>id/+=</UploadId></InitiateMultipartUploadResult>";
        assert_eq!(parse_create_multipart(create).unwrap(), "id/+=");
        assert!(parse_create_multipart(b"<InitiateMultipartUploadResult/>").is_err());
        let table = [
            ("<LocationConstraint xmlns=\"u\"/>", Some("us-east-1")),
            ("<LocationConstraint>EU</LocationConstraint>", Some("eu-west-1")),
            ("<LocationConstraint>eu-central-1</LocationConstraint>", Some("eu-central-1")),
            ("<LocationConstraint><LocationConstraint>r-1</LocationConstraint></LocationConstraint>", Some("r-1")),
            ("<LocationConstraint>evil.com/</LocationConstraint>", None),
            ("<Other>r-1</Other>", None),
        ];
        for (body, region) in table {
            assert_eq!(parse_location(body.as_bytes()).ok().as_deref(), region, "{body}");
        }
    }

    #[test]
    fn delete_result() {
        let body =
            b"<DeleteResult><Deleted><Key>a&#x1;&#13; </Key><VersionId>1</VersionId></Deleted><Error><Key>b</Key>\
            <VersionId>2</VersionId><Code>AccessDenied</Code><Message>no \x1b</Message></Error>\
            <Deleted><Key>c</Key></Deleted></DeleteResult>";
        let result = parse_delete_result(body).unwrap();
        assert_eq!(result.deleted, [("a\u{1}\r ".to_owned(), Some("1".to_owned())), ("c".to_owned(), None)]);
        let failure = DeleteFailure {
            key: "b".into(),
            version_id: Some("2".into()),
            code: "AccessDenied".into(),
            message: "no \\x1b".into(),
        };
        assert!(parse_delete_result(b"<DeleteResult><Deleted/></DeleteResult>").is_err());
        assert_eq!(result.errors, [failure]);
    }

    #[test]
    fn timestamps() {
        let at = |seconds, nanos| Some(UNIX_EPOCH + Duration::new(seconds, nanos));
        let table = [
            ("1970-01-01T00:00:00Z", at(0, 0)),
            ("2013-05-24T00:00:00.000Z", at(1_369_353_600, 0)),
            ("2000-02-29T12:34:56.123456789Z", at(951_827_696, 123_456_789)),
            ("Fri, 24 May 2013 00:00:00 GMT", at(1_369_353_600, 0)),
            ("", None),
            ("2013-05-24", None),
            ("2013-05-24T00:00:00", None),
            ("2013-05-24T00:00:00+00:00", None),
            ("2013-02-29T00:00:00Z", None),
            ("2013-13-01T00:00:00Z", None),
            ("2013-00-01T00:00:00Z", None),
            ("2013-01-01T24:00:00Z", None),
            ("1969-12-31T23:59:59Z", None),
            ("2013-05-24T00:00:00.Z", None),
            ("2013-05-24T00:00:00.0000000000Z", None),
            ("+013-05-24T00:00:00Z", None),
            ("ü13-05-24T00:00:00Z", None),
        ];
        for (text, expected) in table {
            assert_eq!(parse_timestamp(text), expected, "{text}");
        }
    }

    proptest! {
        #[test]
        fn iso_dates_agree_with_the_signers(seconds in 0..253_402_300_799_u64) {
            let time = UNIX_EPOCH + Duration::from_secs(seconds);
            let t = crate::s3::sign::amz_date(time);
            let (y, mo, d, h, mi, s) = (&t[..4], &t[4..6], &t[6..8], &t[9..11], &t[11..13], &t[13..15]);
            prop_assert_eq!(parse_timestamp(&format!("{y}-{mo}-{d}T{h}:{mi}:{s}Z")), Some(time));
        }

        #[test]
        fn every_listed_key_comes_back(keys in prop::collection::vec(any::<String>(), 0..5)) {
            let contents = |key: &String| format!("<Contents><Key>{}</Key><Size>1</Size></Contents>", encode_query(key));
            let inner: String = keys.iter().map(contents).collect();
            let page = list(&format!("{inner}<EncodingType>url</EncodingType>")).unwrap();
            prop_assert_eq!(page.entries.into_iter().map(|entry| entry.key).collect::<Vec<_>>(), keys);
        }

        #[test]
        fn never_panics(inner in "[<>/&;#xContesKy%0-9 ]{0,80}", text in any::<String>()) {
            let _ = list(&inner);
            let _ = parse_timestamp(&text);
            let _ = parse_location(inner.as_bytes());
        }
    }
}
