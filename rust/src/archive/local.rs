//! A local tree as a source: what `walk` finds, with what `stat` says of it, opened as carefully as a stranger's.

mod file;
mod output;

use std::collections::{HashMap, VecDeque};
use std::ffi::OsStr;
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStrExt;
use std::path::PathBuf;
use std::sync::atomic::AtomicBool;
use std::sync::{Arc, Mutex, PoisonError};

use rustix::fs::{FileType, Mode, OFlags, Stat};
use rustix::io::{Errno, retry_on_intr};

use crate::archive::entry::{Entry, Kind};
use crate::archive::source::{Content, Found, Inode, Source};
use crate::archive::walk::{self, Dirs, Walk, WalkOptions, Walked};
use crate::error::{Error, ErrorKind, Result};
use file::LocalFile;
use output::Output;

/// Whether a name is packed.
pub type Keeps = Box<dyn Fn(&[u8]) -> bool + Send + Sync>;

pub struct LocalOptions {
    /// Each directory or file, and what the names of its entries begin with; in order of their names.
    pub roots: Vec<(PathBuf, Vec<u8>)>,
    /// They are what a wildcard matched: a link among them is a link. One that was named is what it leads to.
    pub matched: bool,
    pub follow_symlinks: bool,
    pub xattrs: bool,
    pub keeps: Option<Keeps>,
    /// The archive itself, where it lies in the source.
    pub output: Option<PathBuf>,
}

pub struct LocalSource {
    options: LocalOptions,
    roots: Vec<Root>,
    /// Of the first root, opened at once, so that a source that is not there is an error of the call.
    first: Mutex<Option<Walk>>,
    dirs: Mutex<VecDeque<(usize, Arc<Dirs>)>>,
    output: Option<Output>,
    cancel: Arc<AtomicBool>,
}

/// A directory with all that is in it, or something that is an entry by itself.
struct Root {
    path: PathBuf,
    is_directory: bool,
    /// What names begin with; the whole name of a single one.
    name: Vec<u8>,
}

/// Directories that are kept open of roots whose files are still being read.
const OPEN_ROOTS: usize = 16;

impl LocalSource {
    /// Looks at the roots; one that is not there is an error.
    pub fn open(options: LocalOptions, cancel: &Arc<AtomicBool>) -> Result<Self> {
        let follows = options.follow_symlinks || !options.matched;
        let look = |(path, prefix): &(PathBuf, Vec<u8>)| {
            let stat = if follows { rustix::fs::stat(path) } else { rustix::fs::lstat(path) };
            let stat = stat.map_err(|errno| Error::local_errno(path, errno))?;
            let is_directory = FileType::from_raw_mode(stat.st_mode) == FileType::Directory;
            let base = path.file_name().filter(|_| !is_directory).map_or(&b""[..], OsStrExt::as_bytes);
            Ok(Root { path: path.clone(), is_directory, name: [prefix, base].concat() })
        };
        let roots = options.roots.iter().map(look).collect::<Result<Vec<_>>>()?;
        let output = options.output.as_deref().and_then(Output::of);
        let (first, dirs, cancel) = (Mutex::default(), Mutex::default(), cancel.clone());
        let source = Self { options, roots, first, dirs, output, cancel };
        if source.roots.first().is_some_and(|root| root.is_directory) {
            *source.first.lock().unwrap_or_else(PoisonError::into_inner) = Some(source.start(0)?);
        }
        Ok(source)
    }

    fn start(&self, number: usize) -> Result<Walk> {
        let root = &self.roots[number];
        let walk = Walk::start(WalkOptions {
            prefix: root.name.clone(),
            follow_symlinks: self.options.follow_symlinks,
            cancel: self.cancel.clone(),
            ..WalkOptions::new(&root.path)
        })?;
        self.keep(number, walk.dirs());
        Ok(walk)
    }

    fn keep(&self, number: usize, dirs: Arc<Dirs>) {
        let mut kept = self.dirs.lock().unwrap_or_else(PoisonError::into_inner);
        if kept.len() == OPEN_ROOTS {
            kept.pop_front();
        }
        kept.push_back((number, dirs));
    }

    fn dirs(&self, number: usize) -> Result<Arc<Dirs>> {
        let kept = self.dirs.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((_, dirs)) = kept.iter().find(|(kept, _)| *kept == number) {
            return Ok(dirs.clone());
        }
        drop(kept);
        let (dirs, _) = Dirs::of_source(&self.roots[number].path, self.options.follow_symlinks)?;
        let dirs = Arc::new(dirs);
        self.keep(number, dirs.clone());
        Ok(dirs)
    }

    /// Everything of one root.
    fn walk_root(&self, number: usize) -> Box<dyn Iterator<Item = Found> + Send + '_> {
        let root = &self.roots[number];
        if !root.is_directory {
            return Box::new(std::iter::once_with(move || self.single(root)));
        }
        let first = self.first.lock().unwrap_or_else(PoisonError::into_inner).take().filter(|_| number == 0);
        match first.map_or_else(|| self.start(number), Ok) {
            Ok(walk) => {
                let dirs = walk.dirs();
                Box::new(walk.map(move |found| self.found(&dirs, found)))
            }
            Err(error) => Box::new(std::iter::once(Found::Failed(root.name.clone(), error))),
        }
    }

    fn single_follows(&self) -> bool {
        self.options.follow_symlinks || !self.options.matched
    }

    /// A root that is an entry by itself.
    fn single(&self, root: &Root) -> Found {
        if self.options.keeps.as_ref().is_some_and(|keeps| !keeps(&root.name)) {
            return Found::Skipped("excluded");
        }
        let failed = |errno| Found::Failed(root.name.clone(), Error::local_errno(&root.path, errno));
        let follows = self.single_follows();
        let stat = if follows { rustix::fs::stat(&root.path) } else { rustix::fs::lstat(&root.path) };
        let stat = match stat {
            Ok(stat) => stat,
            Err(errno) => return failed(errno),
        };
        let kind = match FileType::from_raw_mode(stat.st_mode) {
            FileType::RegularFile => Kind::File,
            FileType::Symlink => Kind::Symlink,
            FileType::Directory => return failed(Errno::ISDIR),
            _ => return Found::Skipped("special"),
        };
        if kind == Kind::File && self.output.as_ref().is_some_and(|output| output.is_path(&root.path)) {
            return Found::Skipped("output");
        }
        let mut entry = of_stat(&stat, kind, &root.name);
        if kind == Kind::Symlink {
            match rustix::fs::readlink(&root.path, Vec::new()) {
                Ok(text) => entry.link = text.into_bytes(),
                Err(errno) => return failed(errno),
            }
        } else if self.options.xattrs {
            match self.open_single(root).and_then(|file| xattrs(&file)) {
                Ok(found) => entry.xattrs = found,
                Err(error) => return Found::Failed(entry.name, error),
            }
        }
        Found::Entry(entry, inode(&stat, kind))
    }

    fn open_single(&self, root: &Root) -> Result<OwnedFd> {
        let mut flags = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::NOCTTY | OFlags::CLOEXEC;
        if !self.single_follows() {
            flags |= OFlags::NOFOLLOW;
        }
        let opened = retry_on_intr(|| rustix::fs::open(&root.path, flags, Mode::empty()));
        opened.map_err(|errno| Error::local_errno(&root.path, errno))
    }

    fn found(&self, dirs: &Dirs, found: walk::Found) -> Found {
        let walked = match found {
            walk::Found::Entry(walked) => walked,
            walk::Found::Failed { error, .. } if error.kind() == ErrorKind::Cancelled => return Found::Broken(error),
            walk::Found::Failed { name, error } => return Found::Failed(name, error),
        };
        if let Some(reason) = self.skips(dirs, &walked) {
            return Found::Skipped(reason);
        }
        match self.entry(dirs, &walked) {
            Ok((entry, inode)) => Found::Entry(entry, inode),
            Err(error) => Found::Failed(walked.name, error),
        }
    }

    fn skips(&self, dirs: &Dirs, walked: &Walked) -> Option<&'static str> {
        if self.options.keeps.as_ref().is_some_and(|keeps| !keeps(&walked.name)) {
            return Some("excluded");
        }
        if walked.kind == walk::Kind::Special {
            return Some("special");
        }
        let is_output = walked.kind == walk::Kind::File && self.output.as_ref().is_some_and(|out| out.is(dirs, walked));
        is_output.then_some("output")
    }

    fn entry(&self, dirs: &Dirs, walked: &Walked) -> Result<(Entry, Option<Inode>)> {
        let stat = dirs.stat(walked)?;
        let kind = match FileType::from_raw_mode(stat.st_mode) {
            FileType::RegularFile => Kind::File,
            FileType::Directory => Kind::Directory,
            FileType::Symlink => Kind::Symlink,
            _ => return Err(Error::new(ErrorKind::LocalIo, "it has become something that is not packed")),
        };
        if (kind == Kind::Directory) != walked.name.ends_with(b"/") {
            return Err(Error::new(ErrorKind::ObjectChanged, "it has become something else since it was found"));
        }
        let mut entry = of_stat(&stat, kind, &walked.name);
        if kind == Kind::Symlink {
            entry.link = dirs.read_link(walked)?;
        }
        if self.options.xattrs && kind != Kind::Symlink {
            entry.xattrs = xattrs(&dirs.open_file(walked)?)?;
        }
        let inode = inode(&stat, kind);
        Ok((entry, inode))
    }
}

/// Which file it is, if it has several names.
#[allow(clippy::unnecessary_cast, clippy::useless_conversion, reason = "the types differ between targets")]
fn inode(stat: &Stat, kind: Kind) -> Option<Inode> {
    let inode = Inode { device: stat.st_dev as u64, number: stat.st_ino as u64, links: stat.st_nlink as u64 };
    Some(inode).filter(|inode| inode.links > 1 && kind == Kind::File)
}

impl Source for LocalSource {
    fn walk(&self) -> Box<dyn Iterator<Item = Found> + Send + '_> {
        Box::new((0..self.roots.len()).flat_map(|number| self.walk_root(number)))
    }

    fn open(&self, entry: &Entry) -> Result<Arc<dyn Content>> {
        let number = self.roots.partition_point(|root| root.name <= entry.name).saturating_sub(1);
        let root = &self.roots[number];
        if !root.is_directory {
            return Ok(Arc::new(LocalFile::open(self.open_single(root)?, root.path.clone())?));
        }
        let way = Walked::file(&entry.name, root.name.len());
        let below = OsStr::from_bytes(&entry.name[root.name.len()..]);
        Ok(Arc::new(LocalFile::open(self.dirs(number)?.open_file(&way)?, root.path.join(below))?))
    }
}

fn of_stat(stat: &Stat, kind: Kind, name: &[u8]) -> Entry {
    Entry {
        name: name.to_vec(),
        kind,
        mode: stat.st_mode & 0o7777,
        uid: Some(stat.st_uid),
        gid: Some(stat.st_gid),
        mtime_ns: mtime_ns(stat),
        size: if kind == Kind::File { u64::try_from(stat.st_size).unwrap_or(0) } else { 0 },
        ..Entry::default()
    }
}

#[allow(clippy::unnecessary_cast, reason = "the types differ between targets")]
fn mtime_ns(stat: &Stat) -> i64 {
    (stat.st_mtime as i64).saturating_mul(1_000_000_000).saturating_add(stat.st_mtime_nsec as i64)
}

/// In order of their names; only those that are text.
fn xattrs(file: &OwnedFd) -> Result<Vec<(String, Vec<u8>)>> {
    let failed = |errno: Errno| Error::local_os("its extended attributes cannot be read", errno.raw_os_error());
    let mut names = Vec::new();
    match grown(&mut names, |buffer| rustix::fs::flistxattr(file, buffer)) {
        Err(Errno::OPNOTSUPP | Errno::NOSYS) => return Ok(Vec::new()),
        done => done.map_err(failed)?,
    }
    let mut found = HashMap::new();
    for name in names.split(|byte| *byte == 0).filter(|name| !name.is_empty()) {
        let Ok(text) = std::str::from_utf8(name) else {
            return Err(Error::new(ErrorKind::Archive, "an extended attribute has a name that is not UTF-8"));
        };
        let mut value = Vec::new();
        match grown(&mut value, |buffer| rustix::fs::fgetxattr(file, text, buffer)) {
            Ok(()) => drop(found.insert(text.to_owned(), value)),
            // Gone since it was listed.
            Err(Errno::NODATA) => {}
            Err(errno) => return Err(failed(errno)),
        }
    }
    let mut sorted: Vec<_> = found.into_iter().collect();
    sorted.sort();
    Ok(sorted)
}

/// Asks with more room until all fits.
fn grown(buffer: &mut Vec<u8>, mut ask: impl FnMut(&mut [u8]) -> rustix::io::Result<usize>) -> rustix::io::Result<()> {
    let mut room = 256;
    loop {
        buffer.resize(room, 0);
        match ask(&mut buffer[..]) {
            Ok(len) => {
                buffer.truncate(len);
                return Ok(());
            }
            Err(Errno::RANGE) if room < 1 << 20 => room *= 4,
            Err(errno) => return Err(errno),
        }
    }
}
