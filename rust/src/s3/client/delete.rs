//! Deleting many objects, or versions of them, in one request.
//!
//! A success of the request says nothing of a key: only what the answer says of it does, and a key that it does not
//! speak of is an error.

use std::collections::HashMap;

use bytes::Bytes;
use reqwest::Method;

use super::{MAX_PAGE, S3Client, broken_xml};
use crate::checksum::{self, Algorithm};
use crate::error::{Error, ErrorKind, Result, escape};
use crate::s3::payload::Payload;
use crate::s3::request::{Answer, Request};
use crate::s3::xml::{self, DeleteResult};

/// A key, and the version that is meant, if one is.
pub type Named = (String, Option<String>);

/// What became of one key of a delete of many.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeleteOutcome {
    pub key: String,
    /// As it was asked for.
    pub version_id: Option<String>,
    /// Code and message, if it was not deleted.
    pub failure: Option<(String, String)>,
}

impl S3Client {
    /// Deletes up to 1,000 keys or versions; what became of each comes back, in the order they were given.
    pub async fn delete_objects(&self, bucket: &str, objects: &[Named]) -> Result<Vec<DeleteOutcome>> {
        let named: Vec<_> = objects.iter().map(|(key, version)| (key.as_str(), version.as_deref())).collect();
        let body = Bytes::from(xml::delete_body(&named, false)?);
        let sum = checksum::checksum(Algorithm::Crc32, &body);
        let request = Request::new(Method::POST, bucket, "")
            .query("delete", "")
            .header("content-type", "application/xml")
            .header("content-md5", md5_base64(&body))
            .header(Algorithm::Crc32.header(), checksum::encode(Algorithm::Crc32, sum))
            .payload(Payload::bytes(body));
        let parse = |_: &Answer, body: &[u8]| xml::parse_delete_result(body).map_err(broken_xml);
        let result = self.exchange(&request, MAX_PAGE, parse).await?;
        outcomes(objects, result).map_err(|error| error.with_object(bucket, ""))
    }
}

fn outcomes(asked: &[Named], result: DeleteResult) -> Result<Vec<DeleteOutcome>> {
    let mut said: HashMap<Named, Option<(String, String)>> =
        result.deleted.into_iter().map(|(key, version)| ((key, version), None)).collect();
    // What is called both is not known to be deleted.
    let failed = result.errors.into_iter().map(|it| ((it.key, it.version_id), Some((it.code, it.message))));
    said.extend(failed);
    asked
        .iter()
        .map(|named @ (key, version)| match said.get(named) {
            Some(failure) => {
                Ok(DeleteOutcome { key: key.clone(), version_id: version.clone(), failure: failure.clone() })
            }
            None => {
                let version = version.as_ref().map(|id| format!(", version \"{}\"", escape(id, 200)));
                let version = version.unwrap_or_default();
                let text = format!("the store does not say what became of \"{}\"{version}", escape(key, 1200));
                Err(Error::new(ErrorKind::Service, text))
            }
        })
        .collect()
}

fn md5_base64(bytes: &[u8]) -> String {
    use base64::Engine;
    use md5::Digest;
    base64::engine::general_purpose::STANDARD.encode(md5::Md5::digest(bytes))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn named(key: &str, version: Option<&str>) -> Named {
        (key.into(), version.map(str::to_owned))
    }

    fn answer(deleted: &[Named], failed: &[Named]) -> DeleteResult {
        let failure = |(key, version_id): &Named| xml::DeleteFailure {
            key: key.clone(),
            version_id: version_id.clone(),
            code: "AccessDenied".into(),
            message: String::new(),
        };
        DeleteResult { deleted: deleted.to_vec(), errors: failed.iter().map(failure).collect() }
    }

    #[test]
    fn answers_belong_to_key_and_version() {
        let (one, two, plain) = (named("k", Some("1")), named("k", Some("2")), named("k", None));
        let asked = [plain.clone(), two.clone(), one.clone()];
        let got = outcomes(&asked, answer(&[one.clone(), plain.clone()], std::slice::from_ref(&two))).unwrap();
        let failed: Vec<_> = got.iter().map(|outcome| outcome.failure.is_some()).collect();
        assert_eq!(failed, [false, true, false]);
        let lacking = [answer(&[one.clone(), two.clone()], &[]), answer(&[one, plain], &[]), answer(&[], &[])];
        for answer in lacking {
            assert!(outcomes(&asked, answer).is_err());
        }
        let both = outcomes(&asked[1..2], answer(std::slice::from_ref(&two), std::slice::from_ref(&two))).unwrap();
        assert!(both[0].failure.is_some());
    }
}
