//! The bodies of requests.
//!
//! Text is escaped so that any XML reader gives back the same key: markup, and as numbers the characters that XML
//! 1.0 cannot carry or would normalise (`\r` among them). Only NUL cannot be written at all.

use std::fmt::Write as _;

use crate::checksum::Kind;
use crate::error::{Error, ErrorKind, Result};

const NAMESPACE: &str = "http://s3.amazonaws.com/doc/2006-03-01/";
/// S3: the most keys of one DeleteObjects.
const MAX_DELETE: usize = 1000;

/// A part that the store has acknowledged.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CompletedPart {
    pub number: u32,
    /// As the store gave it, with its quotes.
    pub etag: String,
    pub checksum: Option<(Kind, String)>,
}

/// The body of CompleteMultipartUpload; parts in the order of their numbers.
pub fn complete_body(parts: &[CompletedPart]) -> String {
    let mut body = String::with_capacity(128 + parts.len() * 160);
    body.extend(["<CompleteMultipartUpload xmlns=\"", NAMESPACE, "\">"]);
    for part in parts {
        body.push_str("<Part>");
        push_element(&mut body, "PartNumber", &part.number.to_string());
        push_element(&mut body, "ETag", &part.etag);
        if let Some((kind, value)) = &part.checksum {
            push_element(&mut body, &format!("Checksum{}", kind.name()), value);
        }
        body.push_str("</Part>");
    }
    body.push_str("</CompleteMultipartUpload>");
    body
}

/// The body of DeleteObjects: keys, each with its version id where one version is meant.
pub fn delete_body(keys: &[(&str, Option<&str>)], quiet: bool) -> Result<String> {
    if keys.is_empty() || keys.len() > MAX_DELETE {
        let text = format!("one delete request takes 1 to {MAX_DELETE} keys, not {}", keys.len());
        return Err(Error::new(ErrorKind::Internal, text));
    }
    let mut body = String::with_capacity(128 + keys.iter().map(|(key, _)| key.len() + 32).sum::<usize>());
    body.extend(["<Delete xmlns=\"", NAMESPACE, "\">"]);
    if quiet {
        push_element(&mut body, "Quiet", "true");
    }
    for &(key, version) in keys {
        if key.is_empty() {
            return Err(Error::config("an empty key cannot be deleted: it names the bucket"));
        }
        if key.contains('\0') {
            return Err(Error::new(
                ErrorKind::UnsafeKey,
                "a key with a NUL byte cannot be written in a delete request",
            ));
        }
        body.push_str("<Object>");
        push_element(&mut body, "Key", key);
        if let Some(version) = version {
            push_element(&mut body, "VersionId", version);
        }
        body.push_str("</Object>");
    }
    body.push_str("</Delete>");
    Ok(body)
}

/// The body of CreateBucket; empty for `us-east-1`, which S3 takes only unnamed.
pub fn create_bucket_body(region: &str) -> String {
    let mut body = String::new();
    if region != "us-east-1" {
        body.extend(["<CreateBucketConfiguration xmlns=\"", NAMESPACE, "\">"]);
        push_element(&mut body, "LocationConstraint", region);
        body.push_str("</CreateBucketConfiguration>");
    }
    body
}

fn push_element(body: &mut String, name: &str, text: &str) {
    body.extend(["<", name, ">"]);
    push_escaped(body, text);
    body.extend(["</", name, ">"]);
}

fn push_escaped(body: &mut String, text: &str) {
    for c in text.chars() {
        match c {
            '<' => body.push_str("&lt;"),
            '>' => body.push_str("&gt;"),
            '&' => body.push_str("&amp;"),
            '"' => body.push_str("&quot;"),
            c if c.is_control() || matches!(c, '\u{2028}' | '\u{fffe}' | '\u{ffff}') => {
                write!(body, "&#x{:X};", u32::from(c)).expect("writing to a String never fails");
            }
            c => body.push(c),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::s3::xml::read::walk;
    use proptest::prelude::*;

    fn keys_in(body: &str) -> Vec<String> {
        let mut keys = Vec::new();
        walk(body.as_bytes(), |path, text| {
            if path == "Delete/Object/Key" {
                keys.push(text.to_owned());
            }
            Ok(())
        })
        .unwrap();
        keys
    }

    #[test]
    fn complete() {
        let parts = [
            CompletedPart {
                number: 1,
                etag: "\"a\"".into(),
                checksum: Some((crate::checksum::Algorithm::Crc64Nvme.into(), "c=".into())),
            },
            CompletedPart { number: 2, etag: "b".into(), checksum: None },
        ];
        assert_eq!(
            complete_body(&parts),
            "<CompleteMultipartUpload xmlns=\"http://s3.amazonaws.com/doc/2006-03-01/\">\
            <Part><PartNumber>1</PartNumber><ETag>&quot;a&quot;</ETag><ChecksumCRC64NVME>c=</ChecksumCRC64NVME></Part>\
            <Part><PartNumber>2</PartNumber><ETag>b</ETag></Part></CompleteMultipartUpload>"
        );
    }

    #[test]
    fn delete() {
        let body = delete_body(&[("a\r\n\u{1}<&>\"'&#x0;", None), ("ü", Some("v1"))], true).unwrap();
        assert_eq!(
            body,
            "<Delete xmlns=\"http://s3.amazonaws.com/doc/2006-03-01/\"><Quiet>true</Quiet>\
            <Object><Key>a&#xD;&#xA;&#x1;&lt;&amp;&gt;&quot;'&amp;#x0;</Key></Object>\
            <Object><Key>ü</Key><VersionId>v1</VersionId></Object></Delete>"
        );
    }

    #[test]
    fn delete_refuses_what_cannot_be_meant() {
        let kind = |keys: &[(&str, Option<&str>)]| delete_body(keys, false).unwrap_err().kind();
        assert_eq!(kind(&[]), ErrorKind::Internal);
        assert_eq!(kind(&vec![("k", None); 1001]), ErrorKind::Internal);
        assert_eq!(kind(&[("k", None), ("", None)]), ErrorKind::Config);
        assert_eq!(kind(&[("a\0b", None)]), ErrorKind::UnsafeKey);
        assert!(delete_body(&vec![("k", None); 1000], false).is_ok());
    }

    #[test]
    fn create_bucket() {
        assert_eq!(create_bucket_body("us-east-1"), "");
        assert!(create_bucket_body("eu-west-1").contains("<LocationConstraint>eu-west-1</LocationConstraint>"));
    }

    proptest! {
        #[test]
        fn every_key_comes_back(keys in prop::collection::vec("[^\0]{1,20}", 1..8)) {
            let list: Vec<(&str, Option<&str>)> = keys.iter().map(|key| (key.as_str(), None)).collect();
            prop_assert_eq!(keys_in(&delete_body(&list, false).unwrap()), keys);
        }

        #[test]
        fn only_characters_of_xml_are_written(key in "[^\0]{1,20}") {
            let body = delete_body(&[(&key, None)], false).unwrap();
            let allowed = |c: char| !c.is_control() && c != '\u{fffe}' && c != '\u{ffff}';
            prop_assert!(body.chars().all(allowed));
        }
    }
}
