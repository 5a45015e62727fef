//! The requests that make an object, PutObject, CopyObject and Complete, and the question whether one worked when its answer was lost (C12).
//!
//! A Complete may find its upload gone because an earlier try, whose answer was lost, has done the work. Then the object
//! tells: it is ours if its size and its checksum over all bytes are, or if its ETag is the one that our parts make.
//! A mismatch there proves nothing: the outcome is unknown, and the error says so.
//!
//! Under a condition equal content proves nothing either, for another writer may have won with the same bytes. Such a request
//! carries a random id in the metadata of the object, and only that tells.

use md5::{Digest as _, Md5};

use crate::checksum::Digest;
use crate::error::{Error, ErrorKind, Result};
use crate::s3::client::{Completed, CopyRequest, ObjectRef, PutRequest, S3Client, Stored};
use crate::s3::object::{ObjectHead, StoredChecksum, WRITE_ID};
use crate::s3::xml::CompletedPart;

/// A mark, for requests with these conditions; the others need none. One that the headers bring along is it.
pub fn write_id(conditions: &[(String, String)], headers: &[(String, String)]) -> Option<String> {
    if conditions.is_empty() {
        return None;
    }
    let own = headers.iter().find(|(name, _)| name.strip_prefix("x-amz-meta-") == Some(WRITE_ID));
    own.map(|(_, id)| id.clone()).or_else(|| new_write_id().ok())
}

/// A mark that no other write has.
pub fn new_write_id() -> Result<String> {
    let mut bytes = [0; 16];
    match getrandom::fill(&mut bytes) {
        Ok(()) => Ok(format!("{:032x}", u128::from_ne_bytes(bytes))),
        Err(_) => Err(Error::new(ErrorKind::Internal, "the system has no random bytes")),
    }
}

/// The header that marks an object with it, unless it is there.
pub fn marked(mut headers: Vec<(String, String)>, write_id: Option<&str>) -> Vec<(String, String)> {
    if let Some(id) = write_id {
        let name = format!("x-amz-meta-{WRITE_ID}");
        if !headers.iter().any(|(known, _)| *known == name) {
            headers.push((name, id.to_owned()));
        }
    }
    headers
}

/// Stores an object in one request.
pub async fn put(client: &S3Client, mut put: PutRequest, conditions: &[(String, String)]) -> Result<Stored> {
    let (object, mark) = (put.object.clone(), write_id(conditions, &put.headers));
    let (ours, len, progress) = (put.checksum, put.payload.len(), put.progress.clone());
    put.headers = marked(put.headers, mark.as_deref());
    put.headers.extend(conditions.iter().cloned());
    match client.put_object(put).await {
        Err(error) if may_be_our_own(&error) && mark.is_some() => match find_marked(client, &object, &mark).await {
            Found::Ours(head) => {
                if let Some(progress) = progress {
                    progress.add_network(len);
                }
                Ok(as_stored(*head, ours, error.attempts()))
            }
            Found::Others => Err(error),
            Found::Unknown => Err(unknown_one(error, "PutObject")),
        },
        outcome => outcome,
    }
}

/// Copies an object in one request. `replaces`: the copy has metadata of its own, so it can be marked.
pub async fn copy(
    client: &S3Client,
    mut copy: CopyRequest,
    conditions: &[(String, String)],
    replaces: bool,
) -> Result<Stored> {
    let mark = write_id(conditions, &copy.headers).filter(|_| replaces);
    copy.headers = marked(copy.headers, mark.as_deref());
    copy.headers.extend(conditions.iter().cloned());
    match client.copy_object(&copy).await {
        Err(error) if may_be_our_own(&error) && !conditions.is_empty() => {
            match find_marked(client, &copy.destination, &mark).await {
                Found::Ours(head) => Ok(as_stored(*head, None, error.attempts())),
                Found::Others => Err(error),
                Found::Unknown => Err(unknown_one(error, "CopyObject")),
            }
        }
        outcome => outcome,
    }
}

/// Puts an object together; `mark` is the id its upload was created with.
pub async fn complete(client: &S3Client, completed: &Completed<'_>, mark: Option<&str>) -> Result<Stored> {
    let error = match client.complete_multipart_upload(completed).await {
        Err(error) if error.was_resent() => error,
        outcome => return outcome,
    };
    let is_gone = error.code() == Some("NoSuchUpload");
    if completed.headers.is_empty() {
        if !is_gone {
            return Err(error);
        }
        return match client.head_object(completed.object, None).await {
            Ok(head) if is_ours(&head, completed) => Ok(as_stored(head, completed.checksum, error.attempts())),
            _ => Err(unknown(error, completed.upload_id)),
        };
    }
    if !is_gone && !may_be_our_own(&error) {
        return Err(error);
    }
    match find_marked(client, completed.object, &mark.map(str::to_owned)).await {
        Found::Ours(head) => Ok(as_stored(*head, completed.checksum, error.attempts())),
        // The condition does not hold, and the upload is still there to be aborted.
        Found::Others if !is_gone => Err(error),
        _ => Err(unknown(error, completed.upload_id)),
    }
}

/// A condition that fails because an earlier try of the same request has made the object.
fn may_be_our_own(error: &Error) -> bool {
    error.was_resent() && matches!(error.status(), Some(409 | 412))
}

enum Found {
    Ours(Box<ObjectHead>),
    Others,
    Unknown,
}

async fn find_marked(client: &S3Client, object: &ObjectRef, mark: &Option<String>) -> Found {
    match client.head_object(object, None).await {
        Ok(head) if mark.is_some() && head.write_id() == mark.as_deref() => Found::Ours(Box::new(head)),
        Ok(_) if mark.is_some() => Found::Others,
        Err(error) if error.kind() == ErrorKind::NotFound => Found::Others,
        _ => Found::Unknown,
    }
}

fn is_ours(head: &ObjectHead, completed: &Completed<'_>) -> bool {
    if head.identity.size != completed.size {
        return false;
    }
    let by_checksum = match (&head.checksum, completed.checksum) {
        (StoredChecksum::FullObject(algorithm, value), Some(ours)) => Digest::of_crc(*algorithm, *value) == ours,
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

fn as_stored(head: ObjectHead, ours: Option<Digest>, attempts: u32) -> Stored {
    let stored = match &head.checksum {
        StoredChecksum::FullObject(algorithm, value) => Some(Digest::of_crc(*algorithm, *value)),
        StoredChecksum::FullSha(digest) => Some(*digest),
        _ => None,
    };
    let echoed = stored.filter(|stored| Some(*stored) == ours).map(|digest| (digest.kind(), digest.encode()));
    Stored { etag: head.identity.etag, version_id: head.identity.version_id, echoed, attempts }
}

fn unknown(lost: Error, upload_id: &str) -> Error {
    let text = "the upload is gone, and the object is not known to be ours: the outcome of Complete is unknown";
    Error::new(ErrorKind::Service, text).with_attempts(lost.attempts()).with_upload_id(upload_id).with_source(lost)
}

fn unknown_one(lost: Error, action: &str) -> Error {
    let what = "the answer was lost, and whose object is there now is not known";
    let text = format!("{what}: the outcome of {action} is unknown");
    Error::new(ErrorKind::Service, text).with_attempts(lost.attempts()).with_source(lost)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::checksum::Algorithm;
    use crate::s3::object::ObjectIdentity;

    /// C12: what is there is ours only if its size is, whatever else fits.
    #[test]
    fn another_object_is_not_ours() {
        let object = ObjectRef::new("b", "k", None).unwrap();
        let parts = [CompletedPart { number: 1, etag: "\"0cc175b9c0f1b6a831c399e269772661\"".into(), checksum: None }];
        let checksum = Some(Digest::of_crc(Algorithm::Crc32, 5));
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
