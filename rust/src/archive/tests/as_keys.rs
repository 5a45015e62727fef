//! The same lies, told to a place where files become objects: it takes no path, and so it must not rely on paths being refused.

use std::sync::{Arc, Mutex};

use super::liar::Outcome;
use super::memory::open;
use crate::archive::entry::{Entry, Kind};
use crate::archive::index::Row;
use crate::archive::names;
use crate::archive::place::{Destination, Growing, Place};
use crate::archive::select::Selection;
use crate::archive::threads::Stop;
use crate::archive::tree::{Done, Finished, TreeOptions};
use crate::archive::unpack::{UnpackOptions, unpack};
use crate::archive::unpack_report::{UnpackReport, UnpackTally};
use crate::error::{Error, ErrorKind, Result};
use crate::progress::Progress;

/// Names of what was stored.
#[derive(Clone, Default)]
struct Stored(Arc<Mutex<Vec<Vec<u8>>>>);

struct Part(Stored, Vec<u8>);

impl Destination for Stored {
    fn open(&self, _options: TreeOptions, _tally: &Arc<UnpackTally>) -> Result<Box<dyn Place>> {
        Ok(Box::new(self.clone()))
    }
}

impl Place for Stored {
    fn directory(&self, _entry: &Entry) -> Result<Done> {
        Ok(Done::LeftOut("directory"))
    }

    fn symlink(&self, _entry: &Entry) -> Result<Option<Done>> {
        Ok(Some(Done::LeftOut("symlink")))
    }

    fn hard_link(&self, _entry: &Entry) -> Result<Done> {
        Ok(Done::LeftOut("hard_link"))
    }

    fn small_file(&self, entry: &Entry, _content: &[u8]) -> Result<Option<Done>> {
        self.0.lock().unwrap().push(entry.name.clone());
        Ok(Some(Done::Written))
    }

    fn big_file(&self, entry: &Entry) -> Result<Option<Box<dyn Growing>>> {
        Ok(Some(Box::new(Part(self.clone(), entry.name.clone()))))
    }

    fn holds(&self, _name: &[u8], _slices: &[Row]) -> Result<bool> {
        Err(Error::new(ErrorKind::Internal, "nothing is read back"))
    }

    fn remove(&self, _name: &[u8]) -> Result<()> {
        Ok(())
    }

    fn finish(self: Box<Self>) -> Finished {
        Finished::default()
    }
}

impl Growing for Part {
    fn write_at(&self, _offset: u64, _bytes: &[u8]) -> Result<()> {
        Ok(())
    }

    fn publish(self: Box<Self>) -> Result<Done> {
        self.0.0.lock().unwrap().push(self.1);
        Ok(Done::Written)
    }
}

fn unpacked(bytes: &[u8], stored: &Stored) -> Result<UnpackReport> {
    let archive = open(bytes)?;
    let selection = Selection { max_ratio: u64::MAX, as_keys: true, ..Selection::default() };
    let options = UnpackOptions { tree: TreeOptions::new(), selection, allow_incomplete: false, threads: 2 };
    unpack(&archive, stored, &options, (&Stop::default(), &Progress::default()))
}

/// What is wrong with how a lie about `name` went.
pub fn attacked(bytes: &[u8], name: &str, outcome: Outcome) -> std::result::Result<(), String> {
    let stored = Stored::default();
    let report = unpacked(bytes, &stored);
    let mut stored = std::mem::take(&mut *stored.0.lock().unwrap());
    stored.sort();
    let is = |what: &str| Err(format!("as keys: {what}; stored {} entries", stored.len()));
    if stored.iter().any(|name| names::check_key(name, Kind::File).is_err()) {
        return is("a name that is no key");
    }
    if stored.windows(2).any(|two| two[0] == two[1]) {
        return is("one key was written twice");
    }
    // A key may have components of any length, a path not.
    let is_key_only =
        names::check_key(name.as_bytes(), Kind::File).is_ok() && names::check_extract(name.as_bytes()).is_err();
    match (outcome, report) {
        (Outcome::Closed | Outcome::Refused | Outcome::Misnamed | Outcome::Told, Err(_)) if stored.is_empty() => Ok(()),
        (Outcome::Misnamed, Ok(report)) if is_key_only && report.failures.is_empty() => Ok(()),
        (Outcome::Told, Ok(report)) if report.failures.is_empty() => Ok(()),
        // Links are not made, and so their lies are not met.
        (Outcome::Named, Ok(report)) if report.failures.iter().all(|failure| failure.name == name.as_bytes()) => {
            let was_stored = stored.iter().any(|stored| stored == name.as_bytes());
            if was_stored { is("it is wrong, and was stored") } else { Ok(()) }
        }
        (_, report) => is(&format!("unpacking gave {:?}", report.map(|report| report.failures))),
    }
}
