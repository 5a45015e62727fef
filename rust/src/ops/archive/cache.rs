//! What was read of the indexes of archives, on disk: for each object one file, safe to delete at any time.
//!
//! A file holds pieces of the object as they came. They pass the same checks as fresh ones, from the root down, so a damaged or
//! foreign file costs requests and nothing else. The directory is the user's alone.

use std::ffi::OsString;
use std::fs::File;
use std::io::{Read, Write};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use rustix::fs::{Mode, OFlags};

use crate::archive::manifest::hex;
use crate::archive::ranges::Pieces;
use crate::confine::Directory;
use crate::error::Result;
use crate::ops::engine::Engine;
use crate::s3::client::ObjectRef;

const MAGIC: &[u8; 8] = b"S3ZIDX01";
/// Larger indexes are not kept.
const MAX_FILE: u64 = 64 << 20;
/// All files together; the oldest go first.
const MAX_ALL: u64 = 512 << 20;

pub struct Cache {
    directory: PathBuf,
    name: OsString,
}

impl Cache {
    pub fn of(directory: &Path, engine: &Engine, object: &ObjectRef) -> Self {
        let mut hasher = blake3::Hasher::new();
        let version = object.version_id.as_deref().unwrap_or_default();
        let config = engine.client.config();
        let address = config.endpoint_url.as_deref().unwrap_or(&config.region);
        for part in [address, &object.bucket, &object.key, version] {
            hasher.update(&(part.len() as u64).to_le_bytes()).update(part.as_bytes());
        }
        let name = format!("{}.index", hex(&hasher.finalize().as_bytes()[..16]));
        Self { directory: directory.to_owned(), name: name.into() }
    }

    /// Fills `pieces`, and gives the ETag they are of. Whatever is wrong with the file: there is none.
    pub fn load(&self, pieces: &Pieces) -> Option<String> {
        let directory = Directory::open(&self.directory).ok()?;
        let file = File::from(directory.open_file(&self.name, OFlags::RDONLY).ok()?);
        let len = file.metadata().ok()?.len();
        let mut bytes = Vec::new();
        file.take(MAX_FILE + 1).read_to_end(&mut bytes).ok()?;
        if bytes.len() as u64 != len || len > MAX_FILE {
            return None;
        }
        let mut rest = bytes.strip_prefix(MAGIC)?;
        let etag = String::from_utf8(take(&mut rest)?.to_vec()).ok()?;
        let mut found = Vec::new();
        while !rest.is_empty() {
            let at = u64::from_le_bytes(*rest.first_chunk::<8>()?);
            rest = &rest[8..];
            found.push((at, take(&mut rest)?.to_vec()));
        }
        for (at, piece) in found {
            at.checked_add(piece.len() as u64)?;
            pieces.add(at, piece);
        }
        (!pieces.all().is_empty()).then_some(etag)
    }

    /// Keeps what is known now, unless that is on disk already.
    pub fn store(&self, etag: Option<&str>, size: u64, pieces: &Pieces) {
        let Some(etag) = etag else { return };
        let all = pieces.all();
        let has_end = all.last().is_some_and(|(at, bytes)| at + bytes.len() as u64 == size);
        let mut bytes = MAGIC.to_vec();
        put(&mut bytes, etag.as_bytes());
        for (at, piece) in &all {
            bytes.extend_from_slice(&at.to_le_bytes());
            put(&mut bytes, piece);
        }
        if has_end && bytes.len() as u64 <= MAX_FILE {
            // Without a cache everything still works.
            let _ = self.write(&bytes);
        }
    }

    fn write(&self, bytes: &[u8]) -> Result<()> {
        static NUMBER: AtomicU64 = AtomicU64::new(0);
        let failed = |errno| crate::error::Error::local_errno(&self.directory, errno);
        let (directory, made) = Directory::make(&self.directory)?;
        if made.is_some() {
            rustix::fs::fchmod(&directory, Mode::RWXU).map_err(failed)?;
        }
        let same = directory.stat(&self.name).is_ok_and(|stat| u64::try_from(stat.st_size) == Ok(bytes.len() as u64));
        if same {
            return Ok(());
        }
        let number = NUMBER.fetch_add(1, Relaxed);
        let temp = OsString::from(format!(".{}-{number}.tmp", std::process::id()));
        let file = directory.create_new(&temp, Mode::RUSR | Mode::WUSR).map_err(failed)?;
        let written = File::from(file).write_all(bytes).is_ok();
        if !written || directory.rename(&temp, &self.name).is_err() {
            let _ = directory.unlink(&temp);
        }
        self.trim(&directory);
        Ok(())
    }

    /// Keeps the directory within its bound.
    fn trim(&self, directory: &Directory) {
        let Ok(listed) = std::fs::read_dir(&self.directory) else { return };
        let mut files: Vec<_> = listed
            .flatten()
            .filter(|entry| entry.file_name().as_encoded_bytes().ends_with(b".index"))
            .filter_map(|entry| {
                let known = entry.metadata().ok()?;
                Some((known.modified().ok()?, known.len(), entry.file_name()))
            })
            .collect();
        files.sort();
        let mut all: u64 = files.iter().map(|(_, len, _)| len).sum();
        for (_, len, name) in files {
            if all <= MAX_ALL {
                return;
            }
            if name != self.name && directory.unlink(&name).is_ok() {
                all -= len;
            }
        }
    }
}

fn put(out: &mut Vec<u8>, bytes: &[u8]) {
    out.extend_from_slice(&(bytes.len() as u64).to_le_bytes());
    out.extend_from_slice(bytes);
}

fn take<'a>(rest: &mut &'a [u8]) -> Option<&'a [u8]> {
    let len = usize::try_from(u64::from_le_bytes(*rest.first_chunk::<8>()?)).ok()?;
    let (taken, after) = rest[8..].split_at_checked(len)?;
    *rest = after;
    Some(taken)
}
