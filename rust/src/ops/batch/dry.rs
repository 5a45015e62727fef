//! What a dry run looks at beyond names: whatever the run itself would refuse before it moves a byte.

use std::path::Path;

use rustix::fs::FileType;
use rustix::io::Errno;

use super::entry::{Entry, Place, Told, What};
use super::goal::Spot;
use super::job::{Job, Operation};
use super::transfer::facts;
use crate::error::{Error, Result};
use crate::transfer::destination::{file_type, not_a_file, not_writable};
use crate::transfer::part::{copy_part_size, upload_part_size};

/// What would be done is not done; what is not there, or would not do, is told all the same.
pub async fn dry(job: &Job, entry: &Entry, spot: &Spot, told: &mut Told) -> Result<What> {
    if entry.size.is_none() {
        (told.size, told.last_modified) = facts(job, entry).await?;
        if matches!(entry.place, Place::File(_)) {
            told.last_modified = None;
        }
    }
    match (&entry.place, spot) {
        (_, Spot::Object(_)) => check_parts(job, entry, told.size.unwrap_or(0))?,
        (_, Spot::File(path) | Spot::Beneath { path, .. }) => {
            let (path, is_move) = (path.clone(), job.operation == Operation::Move);
            job.destination.lanes.pick().call(move || check_file(&path, is_move)).await?;
        }
    }
    Ok(What::Dry)
}

/// Whether parts of the size that was asked for can hold the object.
fn check_parts(job: &Job, entry: &Entry, size: u64) -> Result<()> {
    let config = &job.destination.client.config().transfer;
    let explicit = job.how.part_size.or(config.part_size);
    match &entry.place {
        Place::Object(_) if job.copies_on_server && size <= config.copy_threshold => Ok(()),
        Place::Object(_) if job.copies_on_server => copy_part_size(size, explicit).map(drop),
        Place::File(_) if job.how.part_size.is_none() && size <= config.multipart_threshold => Ok(()),
        _ => upload_part_size(size, explicit).map(drop),
    }
}

/// Whether a file may come to be here.
fn check_file(path: &Path, is_move: bool) -> Result<()> {
    match rustix::fs::stat(path) {
        Ok(stat) => match file_type(&stat) {
            FileType::RegularFile => Ok(()),
            FileType::Directory => Err(Error::local_errno(path, Errno::ISDIR)),
            FileType::Fifo | FileType::CharacterDevice if !is_move => Ok(()),
            FileType::Fifo | FileType::CharacterDevice => Err(not_a_file(path)),
            _ => Err(not_writable(path)),
        },
        // Directories on the way are made.
        Err(Errno::NOENT) => Ok(()),
        Err(errno) => Err(Error::local_errno(path, errno)),
    }
}
