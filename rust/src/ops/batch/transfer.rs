//! One entry from its source to its place: decided, transferred, and for a move its source removed.
//!
//! What only some entries need is boxed: the task of each would otherwise have room for all of it, and most of the time
//! of small objects went into moving that room about.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Instant;

use super::copy;
use super::decide::{Condition, Decision, There, look};
use super::entry::{Entry, Object, Outcome, Place, Told, What, failed};
use super::goal::Spot;
use super::job::{Glacier, Job, Operation};
use super::local::modified;
use super::{dry, manifest, remove, small, small_upload};
use crate::error::{Error, ErrorKind, Result};
use crate::ops::download::{DownloadRequest, download};
use crate::ops::engine::unless_cancelled;
use crate::ops::report::TransferReport;
use crate::ops::upload::{UploadRequest, upload};
use crate::progress::Progress;
use crate::s3::client::ObjectRef;
use crate::transfer::destination::check_regular;

/// How many bytes of a file say whether it is text.
const LOOK: usize = 512;
const COLD: [&str; 2] = ["GLACIER", "DEEP_ARCHIVE"];

/// Carries out one entry; what became of it is the outcome, whatever that is.
pub async fn transfer(job: Arc<Job>, mut entry: Entry, given: Option<Condition>) -> Outcome {
    let spot = match job.namer.place(&entry) {
        Ok(spot) => spot,
        Err((shown, error, kind)) => return outcome(&job, &entry, Some(shown), What::Failed(error, kind)),
    };
    let shown = spot.shown();
    if let Some(manifest) = &job.manifest {
        match Box::pin(manifest.has_done(&job, &mut entry, &spot)).await {
            Ok(true) => return outcome(&job, &entry, Some(shown), What::Skipped("manifest")),
            Ok(false) => {}
            Err(error) => return outcome(&job, &entry, Some(shown), failed(&entry, error)),
        }
    }
    let mut told = Told::default();
    let what = match one(&job, &entry, &spot, given, &mut told).await {
        Ok(what) => what,
        Err(error) if error.code() == Some("InvalidObjectState") => cold(&job, &entry),
        Err(error) => failed(&entry, error),
    };
    let object = matches!(what, What::Done(_) | What::Dry).then_some(told);
    let outcome = Outcome { object, ..outcome(&job, &entry, Some(shown), what) };
    Box::pin(manifest::noted(&job, entry, outcome)).await
}

fn outcome(job: &Job, entry: &Entry, destination: Option<Vec<u8>>, what: What) -> Outcome {
    let operation = job.operation.word();
    Outcome { operation, source: entry.place.shown(), destination, version_id: None, object: None, what }
}

async fn one(job: &Job, entry: &Entry, spot: &Spot, given: Option<Condition>, told: &mut Told) -> Result<What> {
    if let Some(refused) = check(job, entry, spot) {
        return Ok(refused);
    }
    if job.how.glacier == Glacier::Skip && Box::pin(is_cold(job, entry)).await? {
        return Ok(What::Skipped("glacier"));
    }
    tell(entry, spot, told);
    let condition = match given {
        Some(condition) => condition,
        None => match unless_cancelled(&job.cancel, Box::pin(decide(job, entry, spot))).await? {
            Decision::Go(condition) => condition,
            Decision::Skip(reason) => return Ok(What::Skipped(reason)),
        },
    };
    if job.how.dry_run {
        return Box::pin(dry::dry(job, entry, spot, told)).await;
    }
    match go(job, entry, spot, condition.clone(), told).await {
        Err(error) if is_lost_race(&error, &condition) => Box::pin(again(job, entry, spot, error, told)).await,
        outcome => outcome,
    }
}

/// What can be said against it before any request.
fn check(job: &Job, entry: &Entry, spot: &Spot) -> Option<What> {
    let Place::Object(object) = &entry.place else { return None };
    if let Spot::Object(target) = spot {
        let is_one_store = job.copies_on_server || job.is_one_store;
        let is_same = *target.bucket == *object.bucket && target.key == object.key && is_one_store;
        if is_same && object.version_id.is_none() && (job.operation == Operation::Move || !copy::changes(&job.how)) {
            let text = "source and destination are the same object";
            return Some(What::Failed(Error::config(text), Some("refused")));
        }
    }
    let is_cold = object.storage_class.as_deref().is_some_and(|class| COLD.contains(&class));
    match job.how.glacier {
        _ if !is_cold => None,
        Glacier::Try => None,
        _ => Some(cold(job, entry)),
    }
}

/// Whether an object that was named is in cold storage: no listing has told.
async fn is_cold(job: &Job, entry: &Entry) -> Result<bool> {
    let Place::Object(object @ Object { storage_class: None, etag: None, .. }) = &entry.place else { return Ok(false) };
    let reference = reference(object)?;
    let head = unless_cancelled(&job.cancel, job.source.client.head_object(&reference, None)).await?;
    Ok(head.identity.storage_class.is_some_and(|class| COLD.contains(&class.as_str())))
}

/// An object in cold storage.
fn cold(job: &Job, entry: &Entry) -> What {
    if job.how.glacier == Glacier::Skip {
        return What::Skipped("glacier");
    }
    let shown = crate::error::escape(&String::from_utf8_lossy(&entry.place.shown()), 4096);
    What::Failed(Error::new(ErrorKind::Service, format!("object \"{shown}\" is on Glacier storage")), Some("glacier"))
}

fn tell(entry: &Entry, spot: &Spot, told: &mut Told) {
    told.size = entry.size;
    match (&entry.place, spot) {
        (_, Spot::Object(target)) => told.key = format!("s3://{}/{}", target.bucket, target.key),
        (Place::Object(object), _) => {
            told.key = format!("s3://{}/{}", object.bucket, object.key);
            told.etag = object.etag.clone();
            told.storage_class = object.storage_class.clone();
            told.last_modified = entry.modified;
        }
        (Place::File(_), _) => {}
    }
}

/// The tests of `-n`, `-s` and `-u`, by a look at the destination.
async fn decide(job: &Job, entry: &Entry, spot: &Spot) -> Result<Decision> {
    let tests = job.how.tests;
    if !tests.any() {
        return Ok(Decision::Go(Condition::None));
    }
    let there = match spot {
        Spot::Object(target) => look(&job.destination, target).await?,
        Spot::File(path) | Spot::Beneath { path, .. } => look_at_file(job, path.clone()).await?,
    };
    let mut entry = entry.clone();
    let asks_source = there.is_some() && (tests.if_size_differs || tests.if_newer);
    if asks_source && (entry.size.is_none() || entry.modified.is_none()) {
        (entry.size, entry.modified) = facts(job, &entry).await?;
    }
    Ok(tests.decide(&entry, there.as_ref()))
}

async fn look_at_file(job: &Job, path: std::path::PathBuf) -> Result<Option<There>> {
    let look = move || match rustix::fs::lstat(&path) {
        Ok(stat) => Ok(Some(There { size: stat.st_size as u64, modified: modified(&stat), etag: None })),
        Err(rustix::io::Errno::NOENT | rustix::io::Errno::NOTDIR) => Ok(None),
        Err(errno) => Err(Error::local_errno(&path, errno)),
    };
    job.destination.lanes.pick().call(look).await
}

/// Size and time of the source, where no listing told them.
pub(super) async fn facts(job: &Job, entry: &Entry) -> Result<(Option<u64>, Option<std::time::SystemTime>)> {
    match &entry.place {
        Place::Object(object) => {
            let head = job.source.client.head_object(&reference(object)?, None).await?;
            Ok((Some(head.identity.size), head.identity.last_modified))
        }
        Place::File(path) => {
            let path = path.clone();
            let look = move || {
                let stat = rustix::fs::stat(&path).map_err(|errno| Error::local_errno(&path, errno))?;
                check_regular(&path, &stat)?;
                Ok((Some(stat.st_size as u64), modified(&stat)))
            };
            job.source.lanes.pick().call(look).await
        }
    }
}

pub(super) fn reference(object: &Object) -> Result<ObjectRef> {
    ObjectRef::new(&object.bucket, &object.key, object.version_id.as_deref())
}

fn is_lost_race(error: &Error, condition: &Condition) -> bool {
    let is_taken = error.kind() == ErrorKind::AlreadyExists
        || error.errno() == Some(rustix::io::Errno::EXIST.raw_os_error())
        || matches!(error.status(), Some(409 | 412)) && error.kind() == ErrorKind::ObjectChanged;
    is_taken && *condition != Condition::None
}

/// Somebody was faster: under `-n` alone that is a skip, else the tests are made once more (cli.md 2.7).
async fn again(job: &Job, entry: &Entry, spot: &Spot, error: Error, told: &mut Told) -> Result<What> {
    if job.how.tests.only_existence() {
        return Ok(What::Skipped("exists"));
    }
    if !job.how.tests.any() {
        return Err(error);
    }
    match decide(job, entry, spot).await? {
        Decision::Skip(reason) => Ok(What::Skipped(reason)),
        Decision::Go(condition) => go(job, entry, spot, condition, told).await,
    }
}

async fn go(job: &Job, entry: &Entry, spot: &Spot, condition: Condition, told: &mut Told) -> Result<What> {
    let mut report = match (&entry.place, spot) {
        (Place::Object(object), Spot::Object(target)) => {
            let copied = Box::pin(copy::copy(job, object, entry.size, target, &condition)).await?;
            if job.operation == Operation::Move {
                let (copy, etag) = (Some((target, &copied)), copied.source_etag.as_deref());
                match Box::pin(remove::moved_object(job, object, copy, etag)).await {
                    // The source is kept, because it is or may be the copy.
                    Err(error) if error.kind() == ErrorKind::Config => {
                        return Ok(What::Failed(error, Some("refused")));
                    }
                    outcome => outcome?,
                }
            }
            copied.report
        }
        (Place::Object(object), _) => {
            let report = fetch(job, object, entry.size, spot, &condition).await?;
            if job.operation == Operation::Move {
                Box::pin(remove::moved_object(job, object, None, report.etag.as_deref())).await?;
            }
            told.last_modified = report.last_modified.or(told.last_modified);
            told.storage_class = report.storage_class.clone().or(told.storage_class.take());
            report
        }
        (Place::File(path), Spot::Object(target)) => send(job, (path, entry.size), target, &condition).await?,
        (Place::File(_), _) => return Err(Error::config("local->local copy operations are not permitted")),
    };
    told.size = Some(report.bytes);
    told.etag = report.etag.take();
    if !told.key.is_empty() && told.storage_class.is_none() {
        let class = job.how.headers.iter().find(|(name, _)| name == "x-amz-storage-class");
        told.storage_class = Some(class.map_or("STANDARD", |(_, class)| class).to_owned());
    }
    Ok(What::Done(Some(Box::new(report))))
}

async fn fetch(
    job: &Job,
    object: &Object,
    size: Option<u64>,
    spot: &Spot,
    condition: &Condition,
) -> Result<TransferReport> {
    let source = reference(object)?;
    let overwrite = *condition != Condition::Absent;
    let config = &job.source.client.config().transfer;
    let is_plain = job.how.part_size.is_none() && job.how.max_concurrency.is_none();
    if let (Some(size), Spot::Beneath { name, path }, Some(beneath)) = (size, spot, &job.beneath)
        && size <= config.multipart_threshold.min(job.source.scheduler.memory_limit() / 4)
        && is_plain
    {
        let place = small::Place { beneath: beneath.clone(), name: name.clone(), path: path.clone(), overwrite };
        if let Some(report) = Box::pin(small::download(job, &source, size, place)).await? {
            return Ok(report);
        }
    }
    let request = DownloadRequest {
        verify: job.how.verify,
        resume: job.how.resume_downloads,
        overwrite,
        durable: job.how.durable,
        direct_io: job.how.direct_io,
        part_size: job.how.part_size,
        max_concurrency: job.how.max_concurrency,
        set_mtime: true,
        needs_file: job.operation == Operation::Move,
        ..DownloadRequest::new(source, "")
    };
    let request = placed(job, spot, request).await?;
    let progress = if size.is_some() { Progress::of(&job.progress) } else { Progress::of_unlisted(&job.progress) };
    Box::pin(download(&job.source, &request, progress, &job.cancel)).await
}

/// The same with its place, whose directory is made and held open.
async fn placed(job: &Job, spot: &Spot, mut request: DownloadRequest) -> Result<DownloadRequest> {
    match (spot, &job.beneath) {
        (Spot::Beneath { name, path }, Some(beneath)) => {
            let (beneath, name) = (beneath.clone(), name.clone());
            request.beneath = Some(job.source.lanes.pick().call(move || beneath.open(&name)).await?);
            request.destination.clone_from(path);
        }
        (Spot::Beneath { path, .. } | Spot::File(path), _) => request.destination.clone_from(path),
        (Spot::Object(_), _) => return Err(Error::config("an object is no file")),
    }
    Ok(request)
}

async fn send(
    job: &Job,
    (path, size): (&Path, Option<u64>),
    target: &ObjectRef,
    condition: &Condition,
) -> Result<TransferReport> {
    let progress = || match size {
        Some(_) => Progress::of(&job.progress),
        None => Progress::of_unlisted(&job.progress),
    };
    let is_plain = job.how.part_size.is_none() && job.how.max_concurrency.is_none() && !job.how.resume_uploads;
    if is_plain && let Some(report) = Box::pin(small_upload::upload(job, path, target, condition, progress())).await? {
        return Ok(report);
    }
    let mut request = UploadRequest {
        source: path.to_owned(),
        object: target.clone(),
        headers: headers(job, path).await?,
        conditions: conditions(condition),
        checksum: job.how.checksum,
        deadline: None,
        part_size: job.how.part_size,
        max_concurrency: job.how.max_concurrency,
        resume: job.how.resume_uploads,
    };
    let watch = if job.operation == Operation::Move { Some(Box::pin(remove::watch(job, path)).await?) } else { None };
    let started = Instant::now();
    let outcome = Box::pin(upload(&job.destination, &request, progress(), &job.cancel)).await;
    let report = match outcome {
        // A store without conditional writes: the look before has decided (cli.md 2.7).
        Err(error) if error.status() == Some(501) && !request.conditions.is_empty() => {
            job.counts.unconditional.fetch_add(1, Relaxed);
            request.conditions.clear();
            Box::pin(upload(&job.destination, &request, progress(), &job.cancel)).await?
        }
        outcome => outcome?,
    };
    if let Some(watch) = watch {
        Box::pin(remove::moved_file(job, path, watch)).await?;
    }
    Ok(TransferReport { seconds: started.elapsed().as_secs_f64(), ..report })
}

pub(super) fn conditions(condition: &Condition) -> Vec<(String, String)> {
    match condition {
        Condition::None => Vec::new(),
        Condition::Absent => vec![("if-none-match".into(), "*".into())],
        Condition::Etag(etag) => vec![("if-match".into(), etag.clone())],
    }
}

/// Of a new object: what was asked for, and its content type.
async fn headers(job: &Job, path: &Path) -> Result<Vec<(String, String)>> {
    use std::os::unix::ffi::OsStrExt;
    let mut headers = job.how.headers.clone();
    if headers.iter().any(|(name, _)| name == "content-type") {
        return Ok(headers);
    }
    let types = &job.how.types;
    let content_type = match types.of_name(path.as_os_str().as_bytes()) {
        Some(known) => known.to_owned(),
        None => {
            let path = path.to_owned();
            let look = move || remove::beginning(&path, LOOK);
            let beginning = job.destination.lanes.pick().call(look).await?;
            types.of_bytes(&beginning).to_owned()
        }
    };
    headers.push(("content-type".into(), content_type));
    Ok(headers)
}
