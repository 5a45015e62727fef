//! Local paths that match a pattern, component by component, in name order.
//!
//! `*` and `?` do not match `/`; hidden names match like others; components without a wildcard are taken as they are.
//! Directories count with their `/`, so that walking each match in turn gives name order throughout. What is in the
//! way and is no directory, or is not there, is no match; what may not be read is an error in its place. Held are the
//! matching names of the directories on the way to the present match, no descriptor.

use std::ffi::{OsStr, OsString};
use std::fs::{FileType, Metadata};
use std::io::{self, ErrorKind::NotADirectory, ErrorKind::NotFound};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::{Path, PathBuf};

use rustix::io::Errno;

use super::Pattern;
use crate::error::{Error, Result};

/// A path that matches.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Match {
    /// As typed before the first wildcard; no `/` at its end.
    pub path: PathBuf,
    pub is_directory: bool,
    /// A symbolic link; only where links are not followed.
    pub is_link: bool,
    /// Bytes of the path before the relative path.
    base: usize,
}

impl Match {
    /// The path from the last `/` before the first wildcard on.
    pub fn relative(&self) -> &[u8] {
        &self.path.as_os_str().as_bytes()[self.base..]
    }
}

/// The paths that `pattern` matches. Links found on the way are gone through if `follows_links`.
pub fn expand(pattern: &[u8], follows_links: bool) -> Expand {
    let literal = Pattern::new(pattern).literal_prefix().len();
    let base = pattern[..literal].iter().rposition(|byte| *byte == b'/').map_or(0, |slash| slash + 1);
    let components: Vec<&[u8]> = pattern[base..].split(|byte| *byte == b'/').collect();
    // `dir/` and `dir/.` mean a directory.
    let wants_directory = matches!(components.last(), Some(&b"" | &b"."));
    let components = components.into_iter().filter(|component| !matches!(*component, b"" | b"."));
    let components: Vec<Pattern> = components.map(Pattern::new).collect();
    let mut expand =
        Expand { components, wants_directory, follows_links, base, path: pattern[..base].to_vec(), levels: Vec::new() };
    expand.enter();
    expand
}

/// See `expand`.
#[derive(Debug)]
pub struct Expand {
    components: Vec<Pattern>,
    wants_directory: bool,
    follows_links: bool,
    base: usize,
    /// Where the innermost level is.
    path: Vec<u8>,
    levels: Vec<Level>,
}

#[derive(Debug)]
struct Level {
    candidates: std::vec::IntoIter<Candidate>,
    /// Bytes of the path of its directory.
    path: usize,
}

/// A name that matches its component, directories with their `/`; or why it cannot be told.
#[derive(Debug)]
struct Candidate {
    name: Vec<u8>,
    kind: io::Result<FileType>,
}

impl Expand {
    /// Looks for the next component in the directory now reached.
    fn enter(&mut self) {
        let Some(component) = self.components.get(self.levels.len()) else { return };
        let mut candidates = if component.has_wildcard() {
            self.matching(component).unwrap_or_else(|error| vec![Candidate { name: Vec::new(), kind: Err(error) }])
        } else {
            self.candidate(component.literal_prefix().to_vec(), None).into_iter().collect()
        };
        let is_last = self.levels.len() + 1 == self.components.len();
        let wants_directory = !is_last || self.wants_directory;
        candidates.retain(|candidate| match &candidate.kind {
            Ok(kind) => !wants_directory || kind.is_dir(),
            // A link to nothing holds nothing; but where it is itself what is asked for, that is told.
            Err(error) => !wants_directory || !is_absent(error),
        });
        candidates.sort_unstable_by(|one, other| one.name.cmp(&other.name));
        self.levels.push(Level { candidates: candidates.into_iter(), path: self.path.len() });
    }

    fn matching(&self, component: &Pattern) -> io::Result<Vec<Candidate>> {
        let directory = if self.path.is_empty() { Path::new(".") } else { as_path(&self.path) };
        let entries = match std::fs::read_dir(directory) {
            Err(error) if is_absent(&error) => return Ok(Vec::new()),
            entries => entries?,
        };
        let mut candidates = Vec::new();
        for entry in entries {
            let entry = entry?;
            let name = entry.file_name().into_vec();
            if component.matches(&name) {
                candidates.extend(self.candidate(name, Some(entry.file_type())));
            }
        }
        Ok(candidates)
    }

    /// Finds out what a name is, of which its directory tells `told`; nothing if it is not there.
    fn candidate(&self, mut name: Vec<u8>, told: Option<io::Result<FileType>>) -> Option<Candidate> {
        let path = [&self.path[..], &name].concat();
        let kind_of = |metadata: io::Result<Metadata>| metadata.map(|metadata| metadata.file_type());
        let mut kind = told.unwrap_or_else(|| kind_of(as_path(&path).symlink_metadata()));
        if kind.as_ref().is_err_and(is_absent) {
            return None;
        }
        if self.follows_links && kind.as_ref().is_ok_and(FileType::is_symlink) {
            kind = kind_of(as_path(&path).metadata());
        }
        if kind.as_ref().is_ok_and(FileType::is_dir) {
            name.push(b'/');
        }
        Some(Candidate { name, kind })
    }
}

impl Iterator for Expand {
    type Item = Result<Match>;

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            let level = self.levels.last_mut()?;
            self.path.truncate(level.path);
            let Some(candidate) = level.candidates.next() else {
                self.levels.pop();
                continue;
            };
            self.path.extend_from_slice(&candidate.name);
            let path = self.path.strip_suffix(b"/").unwrap_or(&self.path).to_vec();
            let path = PathBuf::from(OsString::from_vec(path));
            let kind = match candidate.kind {
                Ok(kind) => kind,
                Err(error) => return Some(Err(Error::local(&path, error))),
            };
            if self.levels.len() == self.components.len() {
                let (is_directory, is_link) = (kind.is_dir(), kind.is_symlink());
                return Some(Ok(Match { path, is_directory, is_link, base: self.base }));
            }
            self.enter();
        }
    }
}

fn as_path(path: &[u8]) -> &Path {
    Path::new(OsStr::from_bytes(path))
}

fn is_absent(error: &io::Error) -> bool {
    matches!(error.kind(), NotFound | NotADirectory) || error.raw_os_error() == Some(Errno::LOOP.raw_os_error())
}
