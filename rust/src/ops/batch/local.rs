//! Local entries: trees walked completely, in name order, and what a wildcard matches.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use rustix::fs::Stat;
use rustix::io::Errno;

use super::entry::{Entry, Found, Place, below};
use super::feed::{Pages, failed};
use crate::archive::walk::{Dirs, Found as WalkFound, Kind, Walk, WalkOptions, Walked};
use crate::error::{Error, ErrorKind};
use crate::ops::select::{Filters, Pattern, expand, filtered_name};
use crate::transfer::temp_file::is_own_name;

/// A directory and all that is in it, or one file.
#[derive(Debug, Clone)]
pub struct Tree {
    /// As typed; what is found is told below it.
    pub root: Vec<u8>,
    /// What relative names begin with; empty, or ending in `/`.
    pub name_prefix: Vec<u8>,
    /// What a root that is a file is called; `None`: by its last segment.
    pub file_name: Option<Vec<u8>>,
    pub filters: Filters,
    /// What filters leave off paths; `None`: they look at the name below the root.
    pub filter_prefix: Option<Vec<u8>>,
    pub follows: bool,
    /// Whether size and time are asked for.
    pub stats: bool,
    /// A root that is not there is an empty tree.
    pub may_be_missing: bool,
    /// A root that is none is an error, not its own tree.
    pub is_directory: bool,
}

/// Everything in the tree.
pub(super) fn walk(tree: Tree, out: &mut Pages, stop: &Arc<AtomicBool>) {
    let root = PathBuf::from(OsStr::from_bytes(if tree.root.is_empty() { b"." } else { &tree.root }));
    let mut options = WalkOptions::new(&root);
    options.follow_symlinks = tree.follows;
    options.cancel = stop.clone();
    let walk = match Walk::start(options) {
        Ok(walk) => walk,
        Err(error) if tree.may_be_missing && error.errno() == Some(Errno::NOENT.raw_os_error()) => return,
        Err(error) => {
            out.push(Found::Broken(error));
            return;
        }
    };
    let dirs = walk.dirs();
    let is_file = std::fs::metadata(&root).is_ok_and(|metadata| !metadata.is_dir());
    if is_file && tree.is_directory {
        out.push(Found::Broken(Error::local_errno(&root, Errno::NOTDIR)));
        return;
    }
    for found in walk {
        if stop.load(Relaxed) {
            return;
        }
        let Some(found) = tree.found(found, &dirs, is_file) else { continue };
        if !out.push(found) {
            return;
        }
    }
}

impl Tree {
    fn keeps(&self, name: &[u8]) -> bool {
        if self.filters.is_empty() {
            return true;
        }
        match &self.filter_prefix {
            None => self.filters.keeps(name),
            Some(prefix) => {
                let path = below(&self.root, name);
                self.filters.keeps(filtered_name(prefix, path.as_os_str().as_bytes()))
            }
        }
    }

    fn found(&self, found: WalkFound, dirs: &Arc<Dirs>, is_file: bool) -> Option<Found> {
        let walked = match found {
            WalkFound::Entry(walked) => walked,
            WalkFound::Failed { name, error } if name.is_empty() => return Some(Found::Broken(error)),
            WalkFound::Failed { name, error } => {
                let is_directory = name.ends_with(b"/");
                let kept = is_directory || (self.keeps(&name) && !is_own(&name));
                return kept.then(|| failed(below(&self.root, &name), error, None));
            }
        };
        if walked.kind == Kind::Directory || is_own(&walked.name) || !self.keeps(&walked.name) {
            return None;
        }
        // A file is its own tree.
        let path = if is_file { PathBuf::from(OsStr::from_bytes(&self.root)) } else { below(&self.root, &walked.name) };
        match walked.kind {
            Kind::Symlink => return Some(Found::Skipped(Place::File(path), "symlink")),
            Kind::Special => return Some(not_regular(path)),
            _ => {}
        }
        let own = self.file_name.as_ref().filter(|_| is_file).unwrap_or(&walked.name);
        let relative = [self.name_prefix.as_slice(), own].concat();
        self.entry(relative, path, &walked, dirs)
    }

    fn entry(&self, relative: Vec<u8>, path: PathBuf, walked: &Walked, dirs: &Arc<Dirs>) -> Option<Found> {
        let mut entry = Entry { relative, place: Place::File(path), size: None, modified: None, inode: 0 };
        if self.stats {
            match dirs.stat(walked) {
                Ok(stat) => {
                    (entry.size, entry.modified) = (Some(stat.st_size as u64), modified(&stat));
                    entry.inode = stat.st_ino;
                }
                Err(error) => {
                    let Place::File(path) = entry.place else { return None };
                    return Some(failed(path, error, None));
                }
            }
        }
        Some(Found::Entry(entry))
    }
}

/// The mtime of a file; one that no clock can tell is none.
pub(super) fn modified(stat: &Stat) -> Option<SystemTime> {
    let nanoseconds = Duration::from_nanos(stat.st_mtime_nsec);
    match u64::try_from(stat.st_mtime) {
        Ok(seconds) => UNIX_EPOCH.checked_add(Duration::from_secs(seconds) + nanoseconds),
        Err(_) => {
            let before = UNIX_EPOCH.checked_sub(Duration::from_secs(stat.st_mtime.unsigned_abs()))?;
            before.checked_add(nanoseconds)
        }
    }
}

/// What is neither file nor directory.
pub(super) fn not_regular(path: PathBuf) -> Found {
    let text = format!("object \"{}\" is not a regular file", crate::error::escape(&path.to_string_lossy(), 4096));
    failed(path, Error::new(ErrorKind::Config, text), Some("not_regular_file"))
}

fn is_own(name: &[u8]) -> bool {
    let base = name.iter().rposition(|byte| *byte == b'/').map_or(name, |slash| &name[slash + 1..]);
    is_own_name(OsStr::from_bytes(base))
}

/// A local wildcard.
#[derive(Debug, Clone)]
pub struct Matches {
    pub pattern: Vec<u8>,
    pub filters: Filters,
    /// What filters leave off paths; `None`: what is before the first wildcard.
    pub filter_prefix: Option<Vec<u8>>,
    pub follows: bool,
    /// Whether size and time are asked for.
    pub stats: bool,
}

/// What a wildcard matches, directories with all that is in them.
pub(super) fn matches(wildcard: &Matches, out: &mut Pages, stop: &Arc<AtomicBool>) {
    let Matches { pattern, filters, follows, stats, .. } = wildcard;
    let prefix = wildcard.filter_prefix.clone().unwrap_or_else(|| Pattern::new(pattern).literal_prefix().to_vec());
    let mut found = false;
    for matched in expand(pattern, *follows) {
        let matched = match matched {
            Ok(matched) => matched,
            Err(error) => {
                found = true;
                let path = error.path().map(std::path::Path::to_owned).unwrap_or_default();
                if !out.push(failed(path, error, None)) {
                    return;
                }
                continue;
            }
        };
        let path = matched.path.as_os_str().as_bytes().to_vec();
        let mut name = matched.relative().to_vec();
        // What s3z itself left is as good as not there.
        if !matched.is_directory && is_own(&name) {
            continue;
        }
        found = true;
        if matched.is_link {
            if wildcard.keeps(&prefix, &path) && !out.push(Found::Skipped(Place::File(matched.path), "symlink")) {
                return;
            }
            continue;
        }
        if matched.is_directory {
            name.push(b'/');
            let tree = Tree {
                root: path,
                name_prefix: name,
                file_name: None,
                filters: filters.clone(),
                filter_prefix: Some(prefix.clone()),
                follows: *follows,
                stats: *stats,
                may_be_missing: false,
                is_directory: false,
            };
            walk(tree, out, stop);
        } else if !wildcard.one(path, name, &prefix, out) {
            return;
        }
        if stop.load(Relaxed) {
            return;
        }
    }
    if !found {
        let shown = crate::error::escape(&String::from_utf8_lossy(pattern), 4096);
        out.push(Found::Broken(Error::new(ErrorKind::NotFound, format!("no match found for \"{shown}\""))));
    }
}

impl Matches {
    fn keeps(&self, prefix: &[u8], path: &[u8]) -> bool {
        self.filters.is_empty() || self.filters.keeps(filtered_name(prefix, path))
    }

    /// One file that matches.
    fn one(&self, path: Vec<u8>, relative: Vec<u8>, prefix: &[u8], out: &mut Pages) -> bool {
        if !self.keeps(prefix, &path) {
            return true;
        }
        let path = PathBuf::from(OsStr::from_bytes(&path));
        let stat = if self.follows { rustix::fs::stat(&path) } else { rustix::fs::lstat(&path) };
        let found = match stat {
            Err(errno) => failed(path.clone(), Error::local_errno(&path, errno), None),
            Ok(stat) if rustix::fs::FileType::from_raw_mode(stat.st_mode) != rustix::fs::FileType::RegularFile => {
                not_regular(path)
            }
            Ok(stat) => {
                let told = (self.stats.then_some(stat.st_size as u64), if self.stats { modified(&stat) } else { None });
                Found::Entry(Entry {
                    relative,
                    place: Place::File(path),
                    size: told.0,
                    modified: told.1,
                    inode: stat.st_ino,
                })
            }
        };
        out.push(found)
    }
}
