//! Going on with the multipart upload of a file that an earlier run began (U11).
//!
//! The journal says which upload that is, the store's list which parts it has. A part counts only if the file's bytes prove
//! it: of the same length, and with the same checksum, or where none is stored, with their MD5 as its ETag. The others are
//! sent again. An upload that was kept of a file or request that is another one now is of no use to anybody: it is aborted.

use std::collections::HashMap;
use std::sync::Arc;

use md5::{Digest, Md5};

use crate::error::{Error, ErrorKind, Result};
use crate::ops::engine::Engine;
use crate::ops::multipart::{Multipart, Sent};
use crate::ops::unfinished::{self, Noted, Origin};
use crate::ops::upload_parts::ReadPart;
use crate::progress::Progress;
use crate::s3::client::NewUpload;
use crate::s3::payload::Payload;
use crate::s3::xml::ListedPart;
use crate::transfer::journal::Note;
use crate::transfer::lanes::Lanes;

/// An upload that may be gone on with.
pub struct Begun {
    pub upload: Multipart,
    pub part_size: u64,
    pub parts: Parts,
}

/// What the store says it has, by number.
pub type Parts = Arc<HashMap<u32, ListedPart>>;

/// The upload of this file that an earlier run left, if there is one. `part_size` is what the caller insists on.
pub async fn find(
    engine: &Engine,
    new: &NewUpload,
    origin: &Origin,
    part_size: Option<u64>,
    progress: &Arc<Progress>,
) -> Result<Option<Begun>> {
    let attach = |noted: Noted, note: &Note| {
        let upload =
            Multipart::attach(&engine.client, new.object.clone(), &note.upload_id, new.checksum, &Arc::default());
        let write_id = (!note.write_id.is_empty()).then(|| note.write_id.clone());
        (upload.noted(Some(noted.clone()), write_id.clone()), noted, write_id)
    };
    let found = unfinished::of_file(engine, new, origin.clone(), part_size).await?;
    for (noted, note) in found.stale {
        // What cannot be removed stays noted, for `uploads abort`.
        let _ = attach(noted, &note).0.remove().await;
    }
    for (noted, note) in found.usable {
        match engine.client.list_parts(&new.object, &note.upload_id).await {
            Ok(listed) => {
                let (upload, noted, write_id) = attach(noted, &note);
                let upload = upload.counted_by(progress).noted(Some(noted), write_id);
                let parts = listed.into_iter().map(|part| (part.number, part)).collect();
                return Ok(Some(Begun { upload, part_size: note.part_size, parts: Arc::new(parts) }));
            }
            Err(error) if error.kind() == ErrorKind::NotFound && error.code() != Some("NoSuchBucket") => {
                noted.forget().await;
            }
            // Who may not look cannot go on, but may begin anew.
            Err(error) if error.kind() == ErrorKind::AccessDenied => {}
            Err(error) => return Err(error),
        }
    }
    Ok(None)
}

/// Whether an upload that failed so may be gone on with.
pub fn is_worth_keeping(error: &Error) -> bool {
    use ErrorKind::{AlreadyExists, Config, Integrity, NotFound, ObjectChanged};
    // One whose outcome is unknown names the upload, which is gone.
    error.upload_id().is_none()
        && !matches!(error.kind(), Integrity | AlreadyExists | ObjectChanged | NotFound | Config)
}

/// The part as it is at the store, if that is what was read.
pub async fn proven(listed: &ListedPart, read: &ReadPart, lanes: &Lanes) -> Result<Option<Sent>> {
    let len = read.payload.len();
    if listed.size != len {
        return Ok(None);
    }
    let stored = read.digest.and_then(|ours| listed.checksums.iter().find(|(kind, _)| *kind == ours.kind()));
    let is_same = match (read.digest, stored) {
        (Some(ours), Some((_, text))) => *text == ours.encode(),
        _ => md5_of(&read.payload, lanes).await?.is_some_and(|md5| listed.etag.trim_matches('"') == md5),
    };
    let sent = || Sent::resumed(listed.number, listed.etag.clone(), len, read.digest, stored.is_some());
    Ok(is_same.then(sent))
}

/// In hexadecimal; `None` of a part that is not held in memory.
async fn md5_of(payload: &Payload, lanes: &Lanes) -> Result<Option<String>> {
    let Payload::Chunks(chunks) = payload.clone() else { return Ok(None) };
    let job = move || {
        let mut hash = Md5::new();
        chunks.iter().for_each(|chunk| hash.update(chunk));
        Ok(Some(crate::s3::sign::hex(&hash.finalize())))
    };
    lanes.pick().call(job).await
}
