//! One page of ListMultipartUploads: uploads that were begun and neither completed nor aborted.

use std::time::SystemTime;

use super::answers::{boolean, next_place, parse_timestamp, walk_root};
use super::read::broken;
use crate::error::Result;
use crate::s3::encode::decode_url;

#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct UploadsPage {
    pub uploads: Vec<ListedUpload>,
    /// Key and upload id of the last one; `None`: this was the last page.
    pub next: Option<(String, String)>,
}

#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ListedUpload {
    pub key: String,
    pub upload_id: String,
    pub initiated: Option<SystemTime>,
    pub storage_class: Option<String>,
}

pub fn parse_list_uploads(body: &[u8]) -> Result<UploadsPage> {
    let mut page = UploadsPage::default();
    let mut upload = ListedUpload::default();
    let (mut is_truncated, mut is_url_encoded) = (false, false);
    let (mut key_marker, mut id_marker) = (None, String::new());
    walk_root(body, &["ListMultipartUploadsResult"], |path, text| {
        match path {
            "Upload/Key" => upload.key = text.to_owned(),
            "Upload/UploadId" => upload.upload_id = text.to_owned(),
            "Upload/Initiated" => upload.initiated = parse_timestamp(text),
            "Upload/StorageClass" => upload.storage_class = Some(text.to_owned()),
            "Upload" => {
                let upload = std::mem::take(&mut upload);
                if upload.key.is_empty() || upload.upload_id.is_empty() {
                    return Err(broken());
                }
                page.uploads.push(upload);
            }
            "EncodingType" => is_url_encoded = text.trim() == "url",
            "IsTruncated" => is_truncated = boolean(text)?,
            "NextKeyMarker" if !text.is_empty() => key_marker = Some(text.to_owned()),
            "NextUploadIdMarker" => id_marker = text.to_owned(),
            _ => {}
        }
        Ok(())
    })?;
    if is_url_encoded {
        for name in page.uploads.iter_mut().map(|upload| &mut upload.key).chain(&mut key_marker) {
            *name = decode_url(name)?;
        }
    }
    page.next = next_place(is_truncated, key_marker)?.map(|key| (key, id_marker));
    Ok(page)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_page_and_where_it_goes_on() {
        let body = "<ListMultipartUploadsResult><NextKeyMarker>a%2Fb</NextKeyMarker><NextUploadIdMarker>2</NextUploadIdMarker>\
                    <IsTruncated>true</IsTruncated><EncodingType>url</EncodingType>\
                    <Upload><Key>a%20b</Key><UploadId>1</UploadId><Initiated>2026-05-01T08:00:00.000Z</Initiated></Upload>\
                    <Upload><Key>a%2Fb</Key><UploadId>2</UploadId><StorageClass>GLACIER</StorageClass></Upload>\
                    </ListMultipartUploadsResult>";
        let page = parse_list_uploads(body.as_bytes()).unwrap();
        assert_eq!(page.next, Some(("a/b".into(), "2".into())));
        assert_eq!((page.uploads[0].key.as_str(), page.uploads[1].upload_id.as_str()), ("a b", "2"));
        assert!(page.uploads[0].initiated.is_some());
        let lost = body.replace("<NextKeyMarker>a%2Fb</NextKeyMarker>", "");
        assert!(parse_list_uploads(lost.as_bytes()).is_err(), "a list that says it goes on must say where");
        assert!(parse_list_uploads(body.replace("<UploadId>1</UploadId>", "").as_bytes()).is_err());
    }
}
