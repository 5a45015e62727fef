//! A local tree as a source: what `walk` finds, with what `stat` says of it, opened as carefully as a stranger's.

use std::collections::HashMap;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::sync::atomic::AtomicBool;
use std::sync::{Arc, Mutex, PoisonError};

use rustix::fs::{FileType, Stat};
use rustix::io::{Errno, retry_on_intr};

use crate::archive::entry::{Entry, Kind};
use crate::archive::source::{Content, Found, Inode, Source};
use crate::archive::walk::{self, Dirs, Walk, WalkOptions, Walked};
use crate::error::{Error, ErrorKind, Result};

/// Whether a name is packed.
pub type Keeps = Box<dyn Fn(&[u8]) -> bool + Send + Sync>;

pub struct LocalOptions {
    /// The directory or file, and what the names of its entries begin with.
    pub roots: Vec<(PathBuf, Vec<u8>)>,
    pub follow_symlinks: bool,
    pub xattrs: bool,
    pub keeps: Option<Keeps>,
    /// The archive itself, where it lies in the source.
    pub output: Option<PathBuf>,
}

pub struct LocalSource {
    options: LocalOptions,
    /// Of each root, until the walk takes it.
    walks: Mutex<Vec<Walk>>,
    dirs: Vec<Arc<Dirs>>,
    /// Which root a name is of, where there are several: in order, by the first name of each.
    firsts: Vec<Vec<u8>>,
    output: Option<Output>,
}

/// The archive that is being written, wherever a walk may come across it.
struct Output {
    /// The directory that it lies in.
    directory: (u64, u64),
    name: Vec<u8>,
}

impl LocalSource {
    /// Opens the roots; one that is not there is an error.
    pub fn open(mut options: LocalOptions, cancel: &Arc<AtomicBool>) -> Result<Self> {
        options.roots.sort_by(|a, b| a.1.cmp(&b.1));
        let (mut walks, mut dirs) = (Vec::new(), Vec::new());
        for (path, prefix) in &options.roots {
            let root = WalkOptions {
                prefix: prefix.clone(),
                follow_symlinks: options.follow_symlinks,
                cancel: cancel.clone(),
                ..WalkOptions::new(path)
            };
            let walk = Walk::start(root)?;
            dirs.push(walk.dirs());
            walks.push(walk);
        }
        let output = options.output.as_deref().and_then(Output::of);
        let firsts = options.roots.iter().map(|(_, prefix)| prefix.clone()).collect();
        Ok(Self { options, walks: Mutex::new(walks), dirs, firsts, output })
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
            entry.xattrs = xattrs(dirs, walked)?;
        }
        #[allow(clippy::unnecessary_cast, clippy::useless_conversion, reason = "the types differ between targets")]
        let inode = Inode { device: stat.st_dev as u64, number: stat.st_ino as u64, links: stat.st_nlink as u64 };
        Ok((entry, Some(inode).filter(|inode| inode.links > 1 && kind == Kind::File)))
    }
}

impl Source for LocalSource {
    fn walk(&self) -> Box<dyn Iterator<Item = Found> + Send + '_> {
        let walks = std::mem::take(&mut *self.walks.lock().unwrap_or_else(PoisonError::into_inner));
        let all = self.dirs.iter().zip(walks);
        Box::new(all.flat_map(move |(dirs, walk)| walk.map(move |found| self.found(dirs, found))))
    }

    fn open(&self, entry: &Entry) -> Result<Arc<dyn Content>> {
        let root = self.firsts.partition_point(|first| first <= &entry.name).saturating_sub(1);
        let root = if self.firsts.len() == 1 { 0 } else { root };
        let (path, prefix) = &self.options.roots[root];
        let way = Walked::file(&entry.name, prefix.len());
        Ok(Arc::new(LocalFile::open(self.dirs[root].open_file(&way)?, shown(path, &entry.name[prefix.len()..]))?))
    }
}

fn shown(root: &Path, name: &[u8]) -> PathBuf {
    use std::os::unix::ffi::OsStrExt;
    if root.is_dir() { root.join(std::ffi::OsStr::from_bytes(name)) } else { root.to_owned() }
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
fn xattrs(dirs: &Dirs, walked: &Walked) -> Result<Vec<(String, Vec<u8>)>> {
    let file = dirs.open_file(walked)?;
    let failed = |errno: Errno| Error::local_os("its extended attributes cannot be read", errno.raw_os_error());
    let mut names = Vec::new();
    match grown(&mut names, |buffer| rustix::fs::flistxattr(&file, buffer)) {
        Err(Errno::OPNOTSUPP | Errno::NOSYS) => return Ok(Vec::new()),
        done => done.map_err(failed)?,
    }
    let mut found = HashMap::new();
    for name in names.split(|byte| *byte == 0).filter(|name| !name.is_empty()) {
        let Ok(text) = std::str::from_utf8(name) else {
            return Err(Error::new(ErrorKind::Archive, "an extended attribute has a name that is not UTF-8"));
        };
        let mut value = Vec::new();
        match grown(&mut value, |buffer| rustix::fs::fgetxattr(&file, text, buffer)) {
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

impl Output {
    fn of(path: &Path) -> Option<Self> {
        use std::os::unix::ffi::OsStrExt;
        let parent = path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
        let stat = rustix::fs::stat(parent).ok()?;
        Some(Self { directory: identity(&stat), name: path.file_name()?.as_bytes().to_vec() })
    }

    /// Whether it is the archive, or one of our own unfinished files beside it.
    fn is(&self, dirs: &Dirs, walked: &Walked) -> bool {
        let base = walked.base();
        let is_part = base.starts_with(b".s3z-") && (base.ends_with(b".part") || base.ends_with(b".ledger"));
        (base == self.name || is_part)
            && dirs.open(walked.parent()).is_ok_and(|directory| {
                rustix::fs::fstat(&*directory).is_ok_and(|stat| identity(&stat) == self.directory)
            })
    }
}

#[allow(clippy::unnecessary_cast, reason = "the types differ between targets")]
fn identity(stat: &Stat) -> (u64, u64) {
    (stat.st_dev as u64, stat.st_ino as u64)
}

struct LocalFile {
    file: OwnedFd,
    path: PathBuf,
    stat: Stat,
}

impl LocalFile {
    fn open(file: OwnedFd, path: PathBuf) -> Result<Self> {
        let stat = rustix::fs::fstat(&file).map_err(|errno| Error::local_errno(&path, errno))?;
        if FileType::from_raw_mode(stat.st_mode) != FileType::RegularFile {
            return Err(Error::local_text(&path, Errno::INVAL, "it is no longer a regular file"));
        }
        Ok(Self { file, path, stat })
    }
}

impl Content for LocalFile {
    fn size(&self) -> u64 {
        u64::try_from(self.stat.st_size).unwrap_or(0)
    }

    fn read_at(&self, offset: u64, to: &mut [u8]) -> Result<usize> {
        let read = retry_on_intr(|| rustix::io::pread(&self.file, &mut *to, offset));
        read.map_err(|errno| Error::local_errno(&self.path, errno))
    }

    fn is_unchanged(&self) -> Result<bool> {
        let now = rustix::fs::fstat(&self.file).map_err(|errno| Error::local_errno(&self.path, errno))?;
        let then = &self.stat;
        let same_times = (now.st_mtime, now.st_mtime_nsec, now.st_ctime, now.st_ctime_nsec)
            == (then.st_mtime, then.st_mtime_nsec, then.st_ctime, then.st_ctime_nsec);
        Ok(same_times && now.st_size == then.st_size && identity(&now) == identity(then))
    }
}
