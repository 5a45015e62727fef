//! From one object to another: by the server itself, or through this machine where the two sides are different stores.

use std::sync::atomic::Ordering::Relaxed;
use std::time::Instant;

use super::decide::Condition;
use super::entry::Object;
use super::job::{How, Job, Operation};
use super::transfer::{conditions, reference};
use crate::error::{Error, Result};
use crate::ops::commit;
use crate::ops::copy::{CopyRequest, copy_object};
use crate::ops::engine::unless_cancelled;
use crate::ops::put::{ObjectWriter, PutRequest};
use crate::ops::report::{TransferReport, Verification};
use crate::ops::stream::{OrderedStream, StreamRequest};
use crate::ops::tasks::Tasks;
use crate::progress::Progress;
use crate::s3::client::ObjectRef;
use crate::s3::object::{ObjectHead, WRITE_ID};

/// A copy, and the version it was made of.
pub struct Copied {
    pub report: TransferReport,
    pub source_etag: Option<String>,
    /// What the copy has been marked with, and nothing else in the world has.
    pub mark: Option<String>,
}

/// The names of access points end so; through one, an object has the same key as in its bucket.
const ACCESS_POINT: &str = "-s3alias";

/// Whether two names in one store may be one object though the buckets are called differently.
fn may_be_the_same(source: &Object, target: &ObjectRef) -> bool {
    let is_access_point = source.bucket.ends_with(ACCESS_POINT) || target.bucket.ends_with(ACCESS_POINT);
    is_access_point && source.key == target.key
}

/// Whether a copy of an object onto itself would change anything.
pub fn changes(how: &How) -> bool {
    !how.headers.is_empty() || how.replaces_metadata
}

pub async fn copy(
    job: &Job,
    source: &Object,
    size: Option<u64>,
    target: &ObjectRef,
    condition: &Condition,
) -> Result<Copied> {
    let from = reference(source)?;
    if !job.copies_on_server || job.operation == Operation::Move && may_be_the_same(source, target) {
        return through(job, from, target, condition).await;
    }
    let copied = on_server(job, source, from.clone(), size, target, condition).await;
    match copied {
        Err(error) if lacks(&error) && *condition != Condition::None => {
            // A store without conditional writes: the look before has decided (cli.md 2.7).
            job.counts.unconditional.fetch_add(1, Relaxed);
            match on_server(job, source, from.clone(), size, target, &Condition::None).await {
                Err(error) if lacks(&error) => through(job, from, target, &Condition::None).await,
                copied => copied,
            }
        }
        // Where keys are directories, some stores do not copy the markers of those.
        Err(error) if lacks(&error) || error.code() == Some("DirectoryObjectContainsData") => {
            through(job, from, target, condition).await
        }
        copied => copied,
    }
}

/// Whether a store says that it does not know what was asked of it.
fn lacks(error: &Error) -> bool {
    error.status() == Some(501)
}

async fn on_server(
    job: &Job,
    source: &Object,
    from: ObjectRef,
    size: Option<u64>,
    target: &ObjectRef,
    condition: &Condition,
) -> Result<Copied> {
    let started = Instant::now();
    let (size, etag) = match (size, &source.etag) {
        (Some(size), Some(etag)) => (size, Some(etag.clone())),
        _ => {
            let head = unless_cancelled(&job.cancel, job.source.client.head_object(&from, None)).await?;
            (head.identity.size, head.identity.etag)
        }
    };
    let request = CopyRequest {
        size: Some(size),
        if_match: etag.clone(),
        headers: job.how.headers.clone(),
        replace_metadata: job.how.replaces_metadata,
        conditions: conditions(condition),
        part_size: job.how.part_size,
        max_concurrency: job.how.max_concurrency,
        ..CopyRequest::new(from, target.clone())
    };
    let copied = copy_object(&job.destination, &request, Progress::of(&job.progress), &job.cancel).await?;
    let report = TransferReport {
        bytes: copied.size,
        seconds: started.elapsed().as_secs_f64(),
        etag: copied.etag,
        version_id: copied.version_id,
        parts: copied.parts,
        attempts: copied.attempts,
        resumed_bytes: 0,
        verified: Verification::Length("the store made the copy".into()),
        last_modified: None,
        content_type: None,
        storage_class: None,
    };
    Ok(Copied { report, source_etag: etag, mark: None })
}

/// Read here and written there, in parts, with the metadata of the source unless it is to be replaced.
async fn through(job: &Job, from: ObjectRef, target: &ObjectRef, condition: &Condition) -> Result<Copied> {
    let head = job.source.client.head_object(&from, None).await?;
    let etag = head.identity.etag.clone();
    let stream = StreamRequest {
        if_match: etag.clone(),
        verify: job.how.verify,
        max_concurrency: job.how.max_concurrency,
        ..StreamRequest::new(from)
    };
    let mark = if job.operation == Operation::Move { Some(commit::new_write_id()?) } else { None };
    let put = PutRequest {
        object: target.clone(),
        headers: commit::marked(with_metadata(&job.how, &head), mark.as_deref()),
        conditions: conditions(condition),
        unconditional: None,
        checksum: job.how.checksum,
        part_size: job.how.part_size,
        expected_size: Some(head.identity.size),
        max_concurrency: job.how.max_concurrency,
        deadline: None,
    };
    let progress = Progress::of(&job.progress);
    let (mut writer, sender) = ObjectWriter::open(&job.destination, put, progress, job.cancel.clone())?;
    let mut tasks = Tasks::new();
    tasks.spawn(async move {
        sender.run().await;
        Ok(())
    });
    let mut stream = OrderedStream::open(&job.source, stream, Default::default(), &job.cancel).await?;
    let passed = async {
        while let Some(chunk) = stream.next().await? {
            writer.write(&chunk).await?;
        }
        Ok(())
    };
    let outcome: Result<()> = passed.await;
    stream.stop().await;
    let report = match outcome {
        Ok(()) if writer.accepted() == head.identity.size => writer.finish().await,
        Ok(()) => abandon(writer, Error::integrity("the source ended before its last byte")).await,
        Err(error) => abandon(writer, error).await,
    };
    while tasks.next().await.is_some() {}
    Ok(Copied { report: report?, source_etag: etag, mark })
}

async fn abandon<T>(writer: ObjectWriter, error: Error) -> Result<T> {
    let _ = writer.abort().await;
    Err(error)
}

/// Headers of an object that are its own, not its answer's.
const KEPT: [&str; 6] =
    ["content-type", "cache-control", "content-disposition", "content-encoding", "content-language", "expires"];

fn with_metadata(how: &How, head: &ObjectHead) -> Vec<(String, String)> {
    let mut headers = how.headers.clone();
    if how.replaces_metadata {
        return headers;
    }
    let own = head.headers.iter().filter(|(name, _)| KEPT.contains(&name.as_str())).cloned();
    let metadata = head.metadata.iter().filter(|(name, _)| name != WRITE_ID);
    let metadata = metadata.map(|(name, value)| (format!("x-amz-meta-{name}"), value.clone()));
    for (name, value) in own.chain(metadata) {
        if !headers.iter().any(|(known, _)| *known == name) {
            headers.push((name, value));
        }
    }
    headers
}
