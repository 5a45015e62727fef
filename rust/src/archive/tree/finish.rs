//! What has to wait: symbolic links, and the modes and times of directories.
//!
//! No link exists while anything else is made, so nothing can be written through one. Directories come after all that
//! is in them, deepest first: a mode may close them, and each new name changes a time. Held per entry until then: its
//! name and about 100 bytes.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::sync::atomic::Ordering::Relaxed;

use rustix::io::Errno;

use super::look::{self, Look};
use super::{Done, PATIENCE, Shared, TreeOptions, patiently, unsafe_entry};
use crate::archive::entry::Entry;
use crate::archive::names;
use crate::error::{Error, Result};

/// What `finish` did.
#[derive(Debug, Default)]
pub struct Finished {
    /// Symbolic links made, and names they would have had that `no_clobber` protects.
    pub symlinks: u64,
    pub skipped: Vec<Vec<u8>>,
    /// Links and directories, by name.
    pub failures: Vec<(Vec<u8>, Error)>,
    /// Extended attributes, of files too, that were not asked for or that the file system cannot hold.
    pub lost_xattrs: u64,
}

#[derive(Debug, Default)]
pub struct Later {
    symlinks: Vec<Symlink>,
    directories: Vec<(Vec<u8>, Wanted)>,
}

#[derive(Debug)]
struct Symlink {
    name: Vec<u8>,
    target: Vec<u8>,
    look: Look,
}

#[derive(Debug)]
enum Wanted {
    Look(Look, Vec<(String, Vec<u8>)>),
    /// The mode that a directory had when it was found, and was opened for us.
    Mode(u32),
}

impl Later {
    pub fn symlink(&mut self, entry: &Entry, options: &TreeOptions) {
        let look = Look::of(entry, options);
        self.symlinks.push(Symlink { name: entry.name.clone(), target: entry.link.clone(), look });
    }

    pub fn directory(&mut self, entry: &Entry, look: Look) {
        self.directories.push((entry.name.clone(), Wanted::Look(look, entry.xattrs.clone())));
    }

    pub fn restore(&mut self, name: &[u8], mode: u32) {
        self.directories.push((name.to_owned(), Wanted::Mode(mode)));
    }
}

pub fn finish(shared: &Shared, mut later: Later) -> Finished {
    let mut finished = Finished::default();
    later.symlinks.sort_by(|a, b| a.name.cmp(&b.name));
    for link in later.symlinks {
        match make_symlink(shared, &link) {
            Ok(Done::Written) => finished.symlinks += 1,
            Ok(_) => finished.skipped.push(link.name),
            Err(error) => finished.failures.push((link.name, error)),
        }
    }
    shared.parents.forget();
    // What is in a directory comes behind it in byte order, so this is deepest first.
    later.directories.sort_by(|a, b| b.0.cmp(&a.0));
    for (name, wanted) in later.directories {
        if let Err(error) = finish_directory(shared, &name, &wanted) {
            finished.failures.push((name, error));
        }
    }
    finished.lost_xattrs = shared.lost_xattrs.load(Relaxed);
    finished
}

fn make_symlink(shared: &Shared, link: &Symlink) -> Result<Done> {
    if !shared.options.unsafe_links {
        let is_directory = |path: &[&[u8]]| {
            let path: Vec<&OsStr> = path.iter().map(|component| OsStr::from_bytes(component)).collect();
            shared.parents.root().beneath(&path).is_ok()
        };
        if !names::is_safe_link_with(&link.name, &link.target, is_directory) {
            return Err(unsafe_entry(&link.name, "its target turns back with \"..\" from what is no directory"));
        }
    }
    let target = OsStr::from_bytes(&link.target);
    let (spot, is_made) =
        shared.parents.within(&link.name, |directory, name| match rustix::fs::symlinkat(target, directory, name) {
            Err(Errno::EXIST) => Ok(false),
            done => done.map(|()| true),
        })?;
    let look = |name: &OsStr| link.look.apply_to_link(&spot.directory, name);
    if is_made {
        look(&spot.name).map_err(|errno| spot.fail(errno))?;
    } else if shared.options.no_clobber {
        return Ok(Done::Skipped);
    } else {
        spot.replace(|name| rustix::fs::symlinkat(target, &spot.directory, name))?;
        look(&spot.name).map_err(|errno| spot.fail(errno))?;
    }
    Ok(Done::Written)
}

fn finish_directory(shared: &Shared, name: &[u8], wanted: &Wanted) -> Result<()> {
    let segments: Vec<&OsStr> = names::components(name).map(OsStr::from_bytes).collect();
    let directory = patiently(PATIENCE, || shared.parents.root().beneath(&segments))?;
    let fail = |errno| Error::local_errno(directory.path(), errno);
    match wanted {
        Wanted::Mode(mode) => look::set_mode(&directory, *mode),
        Wanted::Look(look, xattrs) => {
            let mode = rustix::fs::fstat(&directory).map_err(fail)?.st_mode;
            shared.dress(&directory, &look.keeping(mode), xattrs)
        }
    }
    .map_err(fail)
}
