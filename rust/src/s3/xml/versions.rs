//! One page of ListObjectVersions: versions and delete markers in the store's order, and the tags of one object.

use std::time::SystemTime;

use super::answers::{boolean, next_place, number, parse_timestamp, walk_root};
use super::read::broken;
use crate::error::Result;
use crate::s3::encode::decode_url;

#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct VersionsPage {
    pub entries: Vec<ListedVersion>,
    pub common_prefixes: Vec<String>,
    /// `None`: this was the last page.
    pub next: Option<VersionPlace>,
}

/// The last thing on a page, behind which the next one begins.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct VersionPlace {
    pub key: String,
    /// `None` behind a common prefix.
    pub version_id: Option<String>,
}

#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ListedVersion {
    pub key: String,
    /// `null` for one that was stored while the bucket kept no versions.
    pub version_id: String,
    pub is_latest: bool,
    pub is_delete_marker: bool,
    /// 0 for a delete marker.
    pub size: u64,
    pub etag: Option<String>,
    pub last_modified: Option<SystemTime>,
    pub storage_class: Option<String>,
}

pub fn parse_list_versions(body: &[u8]) -> Result<VersionsPage> {
    let mut page = VersionsPage::default();
    let mut entry = ListedVersion::default();
    let (mut size, mut latest) = (None, None);
    let (mut is_truncated, mut is_url_encoded) = (false, false);
    let (mut key_marker, mut id_marker) = (None, None);
    walk_root(body, &["ListVersionsResult"], |path, text| {
        match path {
            "Version" | "DeleteMarker" => {
                let mut entry = std::mem::take(&mut entry);
                entry.is_delete_marker = path == "DeleteMarker";
                entry.is_latest = latest.take().ok_or_else(broken)?;
                entry.size = if entry.is_delete_marker { 0 } else { size.take().ok_or_else(broken)? };
                if entry.key.is_empty() || entry.version_id.is_empty() {
                    return Err(broken());
                }
                page.entries.push(entry);
            }
            "CommonPrefixes/Prefix" => page.common_prefixes.push(text.to_owned()),
            "EncodingType" => is_url_encoded = text.trim() == "url",
            "IsTruncated" => is_truncated = boolean(text)?,
            "NextKeyMarker" if !text.is_empty() => key_marker = Some(text.to_owned()),
            "NextVersionIdMarker" if !text.is_empty() => id_marker = Some(text.to_owned()),
            _ => match path.strip_prefix("Version/").or_else(|| path.strip_prefix("DeleteMarker/")) {
                Some("Size") => size = Some(number(text)?),
                Some("IsLatest") => latest = Some(boolean(text)?),
                Some(field) => entry.take(field, text),
                None => {}
            },
        }
        Ok(())
    })?;
    if is_url_encoded {
        let keys = page.entries.iter_mut().map(|entry| &mut entry.key);
        for name in keys.chain(&mut page.common_prefixes).chain(&mut key_marker) {
            *name = decode_url(name)?;
        }
    }
    page.next = next_place(is_truncated, key_marker.map(|key| VersionPlace { key, version_id: id_marker }))?;
    // Behind a key, without the version: the rest of its versions would be passed over in silence.
    let is_lost = |place: &VersionPlace| {
        place.version_id.is_none() && page.entries.last().is_some_and(|last| last.key == place.key)
    };
    if page.next.as_ref().is_some_and(is_lost) {
        next_place::<()>(true, None)?;
    }
    Ok(page)
}

impl ListedVersion {
    fn take(&mut self, field: &str, text: &str) {
        match field {
            "Key" => self.key = text.to_owned(),
            "VersionId" => self.version_id = text.trim().to_owned(),
            "ETag" => self.etag = Some(text.to_owned()),
            "LastModified" => self.last_modified = parse_timestamp(text),
            "StorageClass" => self.storage_class = Some(text.to_owned()),
            _ => {}
        }
    }
}

/// Key and value of each tag.
pub fn parse_tagging(body: &[u8]) -> Result<Vec<(String, String)>> {
    let mut tags = Vec::new();
    let (mut key, mut value) = (None, String::new());
    walk_root(body, &["Tagging"], |path, text| {
        match path {
            "TagSet/Tag/Key" => key = Some(text.to_owned()),
            "TagSet/Tag/Value" => value = text.to_owned(),
            "TagSet/Tag" => tags.push((key.take().ok_or_else(broken)?, std::mem::take(&mut value))),
            _ => {}
        }
        Ok(())
    })?;
    Ok(tags)
}

#[cfg(test)]
mod tests {
    use super::*;

    const PAGE: &str = "<ListVersionsResult><NextKeyMarker>a%2Fb</NextKeyMarker><NextVersionIdMarker>2</NextVersionIdMarker>\
        <IsTruncated>true</IsTruncated><EncodingType>url</EncodingType>\
        <DeleteMarker><Key>a%20b</Key><VersionId>null</VersionId><IsLatest>true</IsLatest></DeleteMarker>\
        <Version><Key>a%2Fb</Key><VersionId>2</VersionId><IsLatest>false</IsLatest><Size>5</Size><ETag>e</ETag>\
        <Owner><ID>Size</ID></Owner></Version>\
        <CommonPrefixes><Prefix>p%2B/</Prefix></CommonPrefixes></ListVersionsResult>";

    #[test]
    fn a_page_and_where_it_goes_on() {
        let page = parse_list_versions(PAGE.as_bytes()).unwrap();
        let marker = ListedVersion {
            key: "a b".into(),
            version_id: "null".into(),
            is_latest: true,
            is_delete_marker: true,
            ..ListedVersion::default()
        };
        let version = ListedVersion {
            key: "a/b".into(),
            version_id: "2".into(),
            size: 5,
            etag: Some("e".into()),
            ..ListedVersion::default()
        };
        assert_eq!(page.entries, [marker, version]);
        assert_eq!(page.common_prefixes, ["p+/"]);
        assert_eq!(page.next, Some(VersionPlace { key: "a/b".into(), version_id: Some("2".into()) }));
    }

    #[test]
    fn what_is_needed_must_be_there() {
        for lost in [
            "<NextKeyMarker>a%2Fb</NextKeyMarker>",
            "<NextVersionIdMarker>2</NextVersionIdMarker>",
            "<Size>5</Size>",
            "<IsLatest>true</IsLatest>",
            "<VersionId>null</VersionId>",
            "<Key>a%20b</Key>",
        ] {
            assert!(parse_list_versions(PAGE.replacen(lost, "", 1).as_bytes()).is_err(), "{lost}");
        }
        let at_prefix = PAGE.replacen("a%2Fb", "p%2B/", 1).replace("<NextVersionIdMarker>2</NextVersionIdMarker>", "");
        let place = parse_list_versions(at_prefix.as_bytes()).unwrap().next.unwrap();
        assert_eq!((place.key.as_str(), place.version_id), ("p+/", None));
        assert!(
            parse_list_versions(PAGE.replace("true</IsTruncated>", "false</IsTruncated>").as_bytes())
                .unwrap()
                .next
                .is_none()
        );
    }

    #[test]
    fn tags() {
        let body = b"<Tagging><TagSet><Tag><Key>a&amp;b</Key><Value>1</Value></Tag><Tag><Key>c</Key><Value/></Tag>\
            </TagSet></Tagging>";
        assert_eq!(parse_tagging(body).unwrap(), [("a&b".into(), "1".into()), ("c".into(), String::new())]);
        assert!(parse_tagging(b"<Tagging><TagSet><Tag><Value>1</Value></Tag></TagSet></Tagging>").is_err());
        assert_eq!(parse_tagging(b"<Tagging><TagSet/></Tagging>").unwrap(), []);
    }
}
