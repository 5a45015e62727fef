//! Complete, and the question whether it worked when its answer was lost (C12).
//!
//! A Complete may find its upload gone because an earlier try, whose answer was lost, has done the work. Then the object
//! tells: it is ours if its size and its checksum over all bytes are, or if its ETag is the one that our parts make.
//! A mismatch there proves nothing: the outcome is unknown, and the error says so.

use md5::{Digest, Md5};

use crate::error::{Error, ErrorKind, Result};
use crate::s3::client::{Completed, S3Client, Stored};
use crate::s3::object::{ObjectHead, StoredChecksum};
use crate::s3::xml::CompletedPart;

pub async fn complete(client: &S3Client, completed: &Completed<'_>) -> Result<Stored> {
    match client.complete_multipart_upload(completed).await {
        Err(error) if error.code() == Some("NoSuchUpload") && error.was_resent() => {
            let head = client.head_object(completed.object, None).await;
            match head {
                Ok(head) if is_ours(&head, completed) => Ok(as_stored(head, completed, error.attempts())),
                _ => Err(unknown(error, completed.upload_id)),
            }
        }
        outcome => outcome,
    }
}

fn is_ours(head: &ObjectHead, completed: &Completed<'_>) -> bool {
    if head.identity.size != completed.size {
        return false;
    }
    let by_checksum = match (&head.checksum, completed.checksum) {
        (StoredChecksum::FullObject(algorithm, value), Some(ours)) => (*algorithm, *value) == ours,
        _ => false,
    };
    by_checksum || head.identity.etag.is_some() && head.identity.etag == etag_of(completed.parts)
}

/// The ETag most stores give: MD5 over the parts' MD5s, with their number.
fn etag_of(parts: &[CompletedPart]) -> Option<String> {
    let mut hash = Md5::new();
    for part in parts {
        let text = part.etag.trim_matches('"');
        if text.len() != 32 || !text.is_ascii() {
            return None;
        }
        let digest = u128::from_str_radix(text, 16).ok()?;
        hash.update(digest.to_be_bytes());
    }
    Some(format!("\"{}-{}\"", crate::s3::sign::hex(&hash.finalize()), parts.len()))
}

fn as_stored(head: ObjectHead, completed: &Completed<'_>, attempts: u32) -> Stored {
    let echoed = match (&head.checksum, completed.checksum) {
        (StoredChecksum::FullObject(algorithm, value), Some(ours)) if (*algorithm, *value) == ours => {
            Some((*algorithm, crate::checksum::encode(*algorithm, *value)))
        }
        _ => None,
    };
    Stored { etag: head.identity.etag, version_id: head.identity.version_id, echoed, attempts }
}

fn unknown(lost: Error, upload_id: &str) -> Error {
    let text = "the upload is gone, and the object is not known to be ours: the outcome of Complete is unknown";
    Error::new(ErrorKind::Service, text).with_attempts(lost.attempts()).with_upload_id(upload_id).with_source(lost)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::checksum::Algorithm;
    use crate::s3::client::ObjectRef;
    use crate::s3::object::ObjectIdentity;

    /// C12: what is there is ours only if its size is, whatever else fits.
    #[test]
    fn another_object_is_not_ours() {
        let object = ObjectRef::new("b", "k", None).unwrap();
        let parts = [CompletedPart { number: 1, etag: "\"0cc175b9c0f1b6a831c399e269772661\"".into(), checksum: None }];
        let checksum = Some((Algorithm::Crc32, 5));
        let completed =
            Completed { object: &object, upload_id: "id", parts: &parts, size: 7, checksum, headers: vec![] };
        let head = |size, etag: Option<String>, crc| ObjectHead {
            identity: ObjectIdentity { size, etag, ..ObjectIdentity::default() },
            checksum: StoredChecksum::FullObject(Algorithm::Crc32, crc),
            metadata: Vec::new(),
            headers: Vec::new(),
        };
        assert!(is_ours(&head(7, None, 5), &completed));
        assert!(is_ours(&head(7, etag_of(&parts), 6), &completed));
        assert!(!is_ours(&head(8, etag_of(&parts), 5), &completed));
        assert!(!is_ours(&head(7, Some("\"other\"".into()), 6), &completed));
    }

    #[test]
    fn the_etag_of_parts() {
        // MD5("a") and MD5("b"), then MD5 over both digests.
        let part = |number, etag: &str| CompletedPart { number, etag: etag.into(), checksum: None };
        let parts = [part(1, "\"0cc175b9c0f1b6a831c399e269772661\""), part(2, "\"92eb5ffee6ae2fec3ad71c777531578f\"")];
        assert_eq!(etag_of(&parts).as_deref(), Some("\"96e024ba2074fe77e8e965ba43a704be-2\""));
        assert_eq!(etag_of(&[part(1, "\"opaque\"")]), None);
    }
}
