//! Where things go: the name of each at its destination, checked before a byte moves.
//!
//! Below a bucket or prefix names are keys; below a directory they are paths, made and opened beneath its descriptor
//! (K1, K4). Directories are made once and the last ones used stay open.

use std::collections::HashSet;
use std::ffi::{OsStr, OsString};
use std::hash::{BuildHasher, RandomState};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use super::entry::{Entry, below};
use crate::confine::{Directory, relative};
use crate::error::{Error, ErrorKind, Result};
use crate::s3::client::ObjectRef;
use crate::transfer::nameless::Nameless;

/// Directories that stay open.
const OPEN: usize = 32;

/// A destination as a user named it.
#[derive(Debug, Clone)]
pub enum Goal {
    /// A bucket or prefix, or exactly one key.
    Remote { bucket: String, key: String, is_exact: bool },
    /// A directory, or exactly one file.
    Local { path: PathBuf, is_exact: bool },
    /// Files as typed: the name of each entry is its whole path.
    Paths,
}

/// Where one entry goes.
#[derive(Debug, Clone)]
pub enum Spot {
    Object(ObjectRef),
    /// A path as typed, made of nothing else.
    File(PathBuf),
    /// Beneath the directory of the batch; with the path for messages.
    Beneath {
        name: Vec<u8>,
        path: PathBuf,
    },
}

impl Spot {
    pub fn shown(&self) -> Vec<u8> {
        use std::os::unix::ffi::OsStrExt;
        match self {
            Self::Object(object) => format!("s3://{}/{}", object.bucket, object.key).into_bytes(),
            Self::File(path) | Self::Beneath { path, .. } => path.as_os_str().as_bytes().to_vec(),
        }
    }
}

/// Why an entry has no place, told with the name it would have had.
pub type Refusal = (Vec<u8>, Error, Option<&'static str>);

/// Gives each entry its place.
#[derive(Debug)]
pub struct Namer {
    goal: Goal,
    flattens: bool,
    /// Hashes of the names given, where two sources could get the same.
    taken: Option<Mutex<HashSet<u128>>>,
    hashers: (RandomState, RandomState),
}

impl Namer {
    /// `many`: more than one selection, so that names may meet.
    pub fn new(goal: Goal, flattens: bool, many: bool) -> Self {
        let taken = (flattens || many).then(Mutex::default);
        Self { goal, flattens, taken, hashers: (RandomState::new(), RandomState::new()) }
    }

    pub fn place(&self, entry: &Entry) -> std::result::Result<Spot, Refusal> {
        use std::os::unix::ffi::OsStrExt;
        let mut name = entry.relative.as_slice();
        if self.flattens {
            let end = name.strip_suffix(b"/").unwrap_or(name);
            name = end.iter().rposition(|byte| *byte == b'/').map_or(name, |slash| &name[slash + 1..]);
        }
        let (spot, shown) = match &self.goal {
            Goal::Remote { bucket, key, is_exact } => {
                let shown = |name: &[u8]| [b"s3://", bucket.as_bytes(), b"/", key.as_bytes(), name].concat();
                let shown = shown(if *is_exact { b"" } else { name });
                (remote(bucket, key, (!is_exact).then_some(name)), shown)
            }
            Goal::Local { path, is_exact: true } => (Ok(Spot::File(path.clone())), os_bytes(path)),
            Goal::Local { path, is_exact: false } => {
                let path = below(&os_bytes(path), name);
                let shown = os_bytes(&path);
                (beneath(name, path), shown)
            }
            Goal::Paths => (Ok(Spot::File(PathBuf::from(OsStr::from_bytes(name)))), name.to_vec()),
        };
        let spot = spot.map_err(|error| (shown.clone(), error, None))?;
        if let Some(taken) = &self.taken {
            let hash = u128::from(self.hashers.0.hash_one(&shown)) << 64 | u128::from(self.hashers.1.hash_one(&shown));
            if !taken.lock().unwrap_or_else(PoisonError::into_inner).insert(hash) {
                let text = "another source of this command goes by the same name";
                return Err((shown, Error::new(ErrorKind::AlreadyExists, text), Some("conflict")));
            }
        }
        Ok(spot)
    }
}

fn os_bytes(path: &Path) -> Vec<u8> {
    use std::os::unix::ffi::OsStrExt;
    path.as_os_str().as_bytes().to_vec()
}

fn remote(bucket: &str, prefix: &str, name: Option<&[u8]>) -> Result<Spot> {
    let text = "a name that is not UTF-8 cannot be a key";
    let name = str::from_utf8(name.unwrap_or_default()).map_err(|_| Error::new(ErrorKind::UnsafeKey, text))?;
    ObjectRef::new(bucket, &format!("{prefix}{name}"), None).map(Spot::Object)
}

fn beneath(name: &[u8], path: PathBuf) -> Result<Spot> {
    relative(name)?;
    Ok(Spot::Beneath { name: name.to_vec(), path })
}

/// The directory of a batch, and those in it that were used last. All calls block.
#[derive(Debug)]
pub struct Beneath {
    path: PathBuf,
    pub nameless: Nameless,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    root: Option<Arc<Directory>>,
    recent: Vec<(Vec<u8>, Arc<Directory>)>,
}

impl Beneath {
    pub fn new(path: PathBuf) -> Self {
        Self { path, nameless: Nameless::default(), state: Mutex::default() }
    }

    /// The directory that holds `name`, made if need be, and its last segment.
    pub fn open(&self, name: &[u8]) -> Result<(Arc<Directory>, OsString)> {
        let mut segments = relative(name)?;
        let last = segments.pop().unwrap_or_default().to_owned();
        let way = &name[..name.len() - last.len()];
        Ok((self.directory(way, &segments)?, last))
    }

    fn directory(&self, way: &[u8], segments: &[&OsStr]) -> Result<Arc<Directory>> {
        let root = {
            let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
            let root = match &state.root {
                Some(root) => root.clone(),
                None => {
                    let (made, _) = Directory::make(&self.path)?;
                    state.root.insert(Arc::new(made)).clone()
                }
            };
            if segments.is_empty() {
                return Ok(root);
            }
            if let Some(at) = state.recent.iter().position(|(known, _)| known == way) {
                let found = state.recent.remove(at);
                let directory = found.1.clone();
                state.recent.push(found);
                return Ok(directory);
            }
            root
        };
        // Not under the lock: a slow file system must not hold up the other lanes.
        let (directory, _) = root.make_beneath(segments)?;
        let directory = Arc::new(directory);
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        if state.recent.len() == OPEN {
            state.recent.remove(0);
        }
        state.recent.push((way.to_vec(), directory.clone()));
        Ok(directory)
    }
}
