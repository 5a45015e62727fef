//! The answer to GetObjectAttributes: which version it is about, and a page of the parts it was uploaded in.
//!
//! Stores differ: the root begins with a small letter (MinIO) or ends in `Output`, the number of parts has two names.
//! AWS lists single parts only where they have checksums of their own. Neither `IsTruncated` nor the next marker is
//! read: MinIO calls its last page truncated, and where to go on the last part of a page tells.

use super::answers::number;
use super::read::{broken, walk};
use crate::checksum::Kind;
use crate::config::MAX_PARTS;
use crate::error::{Error, ErrorKind, Result};

/// One page of an object's parts.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct AttributesPage {
    /// Without quotes.
    pub etag: Option<String>,
    pub size: Option<u64>,
    /// Of all pages.
    pub parts_count: Option<u64>,
    pub parts: Vec<AttributesPart>,
}

#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct AttributesPart {
    pub number: u32,
    pub size: u64,
    /// Of the kind asked for, as the store gave it.
    pub checksum: Option<String>,
}

const ROOTS: [&str; 2] = ["GetObjectAttributesResponse", "GetObjectAttributesOutput"];

/// Of the parts' checksums only those of one kind are kept. More parts than an object can have are an error.
pub fn parse_object_attributes(body: &[u8], kind: Kind) -> Result<AttributesPage> {
    let element = format!("ObjectParts/Part/Checksum{}", kind.name());
    let mut page = AttributesPage::default();
    let (mut part_number, mut size, mut checksum) = (None, None, None);
    walk(body, |path, text| {
        let (root, field) = path.split_once('/').unwrap_or((path, ""));
        if !ROOTS.iter().any(|name| name.eq_ignore_ascii_case(root)) {
            return Err(broken());
        }
        match field {
            "ETag" => page.etag = Some(text.trim().trim_matches('"').to_owned()),
            "ObjectSize" => page.size = Some(number(text)?),
            "ObjectParts/PartsCount" | "ObjectParts/TotalPartsCount" => page.parts_count = Some(number(text)?),
            "ObjectParts/Part/PartNumber" => part_number = Some(number(text)?),
            "ObjectParts/Part/Size" => size = Some(number(text)?),
            "ObjectParts/Part" if page.parts.len() as u64 == MAX_PARTS => return Err(too_many()),
            "ObjectParts/Part" => page.parts.push(AttributesPart {
                number: part_number.take().ok_or_else(broken)?,
                size: size.take().ok_or_else(broken)?,
                checksum: checksum.take(),
            }),
            _ if field == element => checksum = Some(text.trim().to_owned()).filter(|text| !text.is_empty()),
            _ => {}
        }
        Ok(())
    })?;
    Ok(page)
}

fn too_many() -> Error {
    Error::new(ErrorKind::Service, format!("the store lists more than {MAX_PARTS} parts"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::checksum::{Algorithm, Sha};
    use proptest::prelude::*;

    const SHA256: Kind = Kind::Sha(Sha::Sha256);
    const CRC32: Kind = Kind::Crc(Algorithm::Crc32);

    fn parse(inner: &str) -> Result<AttributesPage> {
        let body = format!("<GetObjectAttributesResponse xmlns=\"u\">{inner}</GetObjectAttributesResponse>");
        parse_object_attributes(body.as_bytes(), SHA256)
    }

    fn part(number: u32, size: u64, checksum: Option<&str>) -> AttributesPart {
        AttributesPart { number, size, checksum: checksum.map(str::to_owned) }
    }

    /// As AWS writes it.
    #[test]
    fn a_page_of_parts() {
        let page = parse(
            "<ETag>abc-2</ETag><Checksum><ChecksumSHA256>whole=</ChecksumSHA256><ChecksumType>COMPOSITE</ChecksumType>\
            </Checksum><ObjectParts><PartsCount>2</PartsCount><PartNumberMarker>0</PartNumberMarker>\
            <NextPartNumberMarker>2</NextPartNumberMarker><MaxParts>1000</MaxParts><IsTruncated>false</IsTruncated>\
            <Part><PartNumber>1</PartNumber><Size>5242880</Size><ChecksumSHA256>one=</ChecksumSHA256></Part>\
            <Part><ChecksumSHA256>two=</ChecksumSHA256><PartNumber>2</PartNumber><Size>1</Size></Part></ObjectParts>\
            <ObjectSize>5242881</ObjectSize>",
        );
        let expected = AttributesPage {
            etag: Some("abc-2".into()),
            size: Some(5_242_881),
            parts_count: Some(2),
            parts: vec![part(1, 5_242_880, Some("one=")), part(2, 1, Some("two="))],
        };
        assert_eq!(page.unwrap(), expected);
    }

    /// As MinIO, Ceph and others write it.
    #[test]
    fn other_stores_ways() {
        let inner = "<ETag>\"abc-1\"</ETag><ObjectParts><IsTruncated>true</IsTruncated><MaxParts>1000</MaxParts>\
            <NextPartNumberMarker>0</NextPartNumberMarker><PartNumberMarker>0</PartNumberMarker>\
            <TotalPartsCount>1</TotalPartsCount><Part><PartNumber>1</PartNumber><Size>7</Size>\
            <ChecksumCRC32>crc=</ChecksumCRC32><ChecksumSHA256/></Part></ObjectParts>";
        for root in ["getObjectAttributesResponse", "GetObjectAttributesOutput"] {
            let body = format!("<?xml version=\"1.0\"?>\n<{root}>{inner}</{root}>");
            let read = |kind| parse_object_attributes(body.as_bytes(), kind).unwrap();
            assert_eq!(read(CRC32).parts, [part(1, 7, Some("crc="))]);
            assert_eq!(read(SHA256).parts, [part(1, 7, None)], "an empty element holds no checksum");
            assert_eq!((read(CRC32).etag.as_deref(), read(CRC32).parts_count), (Some("abc-1"), Some(1)));
        }
    }

    #[test]
    fn what_is_not_told_is_none() {
        assert_eq!(parse("").unwrap(), AttributesPage::default());
        let count = parse("<ObjectParts><PartsCount>4</PartsCount></ObjectParts>").unwrap();
        assert_eq!(count, AttributesPage { parts_count: Some(4), ..AttributesPage::default() });
        let two = "<ObjectParts><Part><PartNumber>1</PartNumber><Size>1</Size><ChecksumSHA256>a</ChecksumSHA256></Part>\
            <Part><PartNumber>2</PartNumber><Size>1</Size></Part></ObjectParts>";
        assert_eq!(parse(two).unwrap().parts[1].checksum, None, "nothing is carried over from the part before");
    }

    #[test]
    fn broken_pages_are_errors() {
        let sized = |size: &str| {
            format!("<ObjectParts><Part><PartNumber>1</PartNumber><Size>{size}</Size></Part></ObjectParts>")
        };
        let table = [
            sized("-1"),
            sized("18446744073709551616"),
            sized("many"),
            sized(""),
            "<ObjectParts><Part><Size>1</Size></Part></ObjectParts>".into(),
            "<ObjectParts><Part><PartNumber>1</PartNumber></Part></ObjectParts>".into(),
            "<ObjectParts><Part><PartNumber>-1</PartNumber><Size>1</Size></Part></ObjectParts>".into(),
            "<ObjectSize>-1</ObjectSize>".into(),
            "<ObjectParts><PartsCount>x</PartsCount></ObjectParts>".into(),
        ];
        for inner in table {
            assert_eq!(parse(&inner).unwrap_err().kind(), ErrorKind::Service, "{inner}");
        }
        for body in ["", "<Error><Code>X</Code></Error>", "<html/>", "not xml", "<ListPartsResult/>"] {
            assert!(parse_object_attributes(body.as_bytes(), SHA256).is_err(), "{body}");
        }
    }

    #[test]
    fn no_more_parts_than_an_object_can_have() {
        let parts = |count: u64| {
            let one = |number| format!("<Part><PartNumber>{number}</PartNumber><Size>1</Size></Part>");
            format!("<ObjectParts>{}</ObjectParts>", (1..=count).map(one).collect::<String>())
        };
        assert_eq!(parse(&parts(MAX_PARTS)).unwrap().parts.len() as u64, MAX_PARTS);
        let error = parse(&parts(MAX_PARTS + 1)).unwrap_err();
        assert_eq!(error.message(), "the store lists more than 10000 parts");
    }

    proptest! {
        #[test]
        fn never_panics(inner in "(<(/?)(ObjectParts|Part|Size|PartNumber|ETag)>|[0-9-]{1,22}){0,40}") {
            let _ = parse(&inner);
        }
    }
}
