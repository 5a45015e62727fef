//! Multipart uploads that this user's programs began: noted while they run, and found again when their program died (U10, U11).
//!
//! The notes are of the journal (`transfer/journal.rs`); here they meet the client whose uploads they are of. A note never
//! makes a transfer fail: where none can be written, the upload runs without, and `uploads ls` of the bucket finds it as well.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use sha2::{Digest, Sha256};

use crate::checksum::Kind;
use crate::error::Result;
use crate::ops::assemble::UploadRef;
use crate::ops::engine::Engine;
use crate::s3::client::NewUpload;
use crate::transfer::file_reader::Identity;
use crate::transfer::journal::{Held, Journal, Note};
use crate::transfer::lanes::Lane;

/// Where an upload's bytes come from.
#[derive(Debug, Clone, Default)]
pub struct Origin {
    pub part_size: u64,
    /// None of a stream.
    pub source: Option<(PathBuf, Identity)>,
    /// By which the object will be known as ours, where a condition was given (C12).
    pub write_id: Option<String>,
}

/// The note of an upload that is under way. Dropping it leaves the note for the next run.
#[derive(Clone)]
pub struct Noted {
    held: Arc<Held>,
    lane: Lane,
}

impl Noted {
    /// The upload is completed or aborted.
    pub async fn forget(&self) {
        let held = self.held.clone();
        let job = move || {
            held.remove();
            Ok(())
        };
        // Only a panic could be told of, and there is none in it.
        let _ = self.lane.call(job).await;
    }
}

/// What an upload that is about to begin would be noted as; it has no id yet.
fn describe(engine: &Engine, new: &NewUpload, origin: Origin) -> Note {
    let mut hash = Sha256::new();
    for (name, value) in &new.headers {
        for text in [name, value] {
            hash.update((text.len() as u64).to_le_bytes());
            hash.update(text);
        }
    }
    Note {
        endpoint: endpoint(engine),
        bucket: new.object.bucket.clone(),
        key: new.object.key.clone(),
        upload_id: String::new(),
        begun: SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |age| age.as_secs()),
        part_size: origin.part_size,
        checksum: new.checksum.map_or("", Kind::name).to_owned(),
        request: hash.finalize().iter().map(|byte| format!("{byte:02x}")).collect(),
        write_id: origin.write_id.unwrap_or_default(),
        source: origin.source,
    }
}

fn endpoint(engine: &Engine) -> String {
    let config = engine.client.config();
    config.endpoint_url.clone().unwrap_or_else(|| "aws".to_owned())
}

/// Writes down that the upload has begun; `None` where that is impossible.
pub async fn note(engine: &Engine, new: &NewUpload, upload_id: &str, origin: Origin) -> Option<Noted> {
    let journal = engine.journal.clone()?;
    let note = Note { upload_id: upload_id.to_owned(), ..describe(engine, new, origin) };
    let lane = engine.lanes.pick();
    let held = lane.call(move || journal.write(&note)).await.ok()?;
    Some(Noted { held: Arc::new(held), lane })
}

/// Fails where an upload that is to be kept could not be noted.
pub async fn check(engine: &Engine) -> Result<()> {
    match engine.journal.clone() {
        Some(journal) => engine.lanes.pick().call(move || journal.check()).await,
        None => Err(crate::error::Error::config(
            "resume needs a place to remember uploads in: set S3Z_STATE_DIR to a directory of yours",
        )),
    }
}

/// What was left at this client's endpoint, the oldest first. Whoever has a note has the upload.
pub async fn left(engine: &Engine) -> Result<Vec<(Noted, Note)>> {
    left_of(engine, None).await
}

/// The same of one object alone, by bucket and key.
async fn left_of(engine: &Engine, object: Option<(String, String)>) -> Result<Vec<(Noted, Note)>> {
    let Some(journal) = engine.journal.clone() else { return Ok(Vec::new()) };
    let (lane, endpoint) = (engine.lanes.pick(), endpoint(engine));
    let wanted = move |note: &Note| {
        let is_it = |(bucket, key): &(String, String)| (bucket, key) == (&note.bucket, &note.key);
        note.endpoint == endpoint && object.as_ref().is_none_or(is_it)
    };
    let left = lane.call(move || Journal::left(&journal, wanted)).await?;
    Ok(left.into_iter().map(|(held, note)| (Noted { held: Arc::new(held), lane: lane.clone() }, note)).collect())
}

/// Uploads of one file to one object that were left: those that may be gone on with, and those that cannot.
pub struct OfFile {
    pub usable: Vec<(Noted, Note)>,
    pub stale: Vec<(Noted, Note)>,
}

/// Those of the file that `origin` names. `part_size` is what the caller insists on.
pub async fn of_file(engine: &Engine, new: &NewUpload, origin: Origin, part_size: Option<u64>) -> Result<OfFile> {
    let wanted = describe(engine, new, origin);
    let mut found = OfFile { usable: Vec::new(), stale: Vec::new() };
    for (noted, note) in left_of(engine, Some((wanted.bucket.clone(), wanted.key.clone()))).await? {
        let (Some((path, identity)), Some((wanted_path, wanted_identity))) = (&note.source, &wanted.source) else {
            continue;
        };
        let is_same = wanted_identity.is_still(identity)
            && (&note.checksum, &note.request) == (&wanted.checksum, &wanted.request)
            && part_size.is_none_or(|size| size == note.part_size);
        if is_same {
            found.usable.push((noted, note));
        } else if path == wanted_path {
            found.stale.push((noted, note));
        }
    }
    Ok(found)
}

/// An upload was removed by its id: what was noted of it goes as well.
pub async fn forget(engine: &Engine, upload: &UploadRef) {
    let Ok(left) = left(engine).await else { return };
    for (noted, note) in left {
        if note.upload_id == upload.upload_id {
            noted.forget().await;
        }
    }
}
