//! A tree, a sink and an archive in memory, each with the faults that a disk or a store may have.

use std::collections::HashMap;
use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::thread::sleep;
use std::time::Duration;

use crate::archive::classify::Hints;
use crate::archive::entry::{Entry, Kind};
use crate::archive::lay::Sizes;
use crate::archive::pack::{PackOptions, Sink, pack};
use crate::archive::ranges::{Pieces, Ranges};
use crate::archive::read::Archive;
use crate::archive::report::PackReport;
use crate::archive::slots::Block;
use crate::archive::source::{Content, Found, Inode, Source};
use crate::archive::threads::Stop;
use crate::archive::verify::{Level, VerifyReport, verify};
use crate::error::{Error, ErrorKind, Result};
use crate::progress::Progress;

pub const SLICE: u64 = 1 << 20;
pub const GROUP: u64 = 64 << 10;

/// What goes wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    Kind(ErrorKind),
    NoMemory,
    Panic,
}

impl Fault {
    pub fn error(self) -> Error {
        match self {
            Self::Kind(kind) => Error::new(kind, "planted"),
            Self::NoMemory => Error::no_memory(),
            Self::Panic => panic!("planted"),
        }
    }
}

/// How a file, or its place in the walk, is not as it should be.
#[derive(Debug, Clone, Default)]
pub struct Trouble {
    /// Instead of the entry the walk finds this failure.
    pub walk: Option<Fault>,
    pub open: Option<Fault>,
    /// From this byte on.
    pub read: Option<(u64, Fault)>,
    pub look: Option<Fault>,
    /// It ends here, whatever size it had when it was opened.
    pub ends_at: Option<u64>,
    /// So many times that it is opened it has changed at the end.
    pub changes: usize,
    /// Each walk, open and read takes so long.
    pub stall: Duration,
}

#[derive(Clone, Default)]
pub struct Item {
    /// As the walk finds it.
    pub entry: Entry,
    /// As it is when it is opened; may have another size.
    pub data: Arc<Vec<u8>>,
    pub inode: Option<Inode>,
    pub trouble: Trouble,
}

impl Item {
    pub fn file(name: &str, data: impl Into<Vec<u8>>) -> Self {
        let entry = Entry { name: name.into(), mode: 0o644, mtime_ns: 1_700_000_000_500_000_000, ..Entry::default() };
        Self { entry, ..Self::default() }.with_data(data.into())
    }

    pub fn other(name: &str, kind: Kind, link: &str) -> Self {
        let entry = Entry { name: name.into(), kind, mode: 0o755, link: link.into(), ..Entry::default() };
        Self { entry, ..Self::default() }
    }

    pub fn with_data(mut self, data: Vec<u8>) -> Self {
        self.entry.size = data.len() as u64;
        self.data = Arc::new(data);
        self
    }

    pub fn with(mut self, trouble: Trouble) -> Self {
        self.trouble = trouble;
        self
    }

    /// One more name of file `number`.
    pub fn linked(mut self, number: u64, links: u64) -> Self {
        self.inode = Some(Inode { device: 7, number, links });
        self
    }

    pub fn is_plain_file(&self) -> bool {
        self.entry.kind == Kind::File && self.inode.is_none()
    }
}

/// A tree in memory.
#[derive(Default)]
pub struct Items {
    items: Vec<Item>,
    places: HashMap<Vec<u8>, usize>,
    opened: Vec<AtomicUsize>,
}

impl Items {
    pub fn new(items: Vec<Item>) -> Self {
        let places = items.iter().enumerate().map(|(at, item)| (item.entry.name.clone(), at)).collect();
        let opened = items.iter().map(|_| AtomicUsize::new(0)).collect();
        Self { items, places, opened }
    }

    pub fn items(&self) -> &[Item] {
        &self.items
    }

    /// How often a file was opened.
    pub fn opened(&self, name: &str) -> usize {
        self.opened[self.places[name.as_bytes()]].load(SeqCst)
    }
}

impl Source for Items {
    fn walk(&self) -> Box<dyn Iterator<Item = Found> + Send + '_> {
        Box::new(self.items.iter().map(|item| {
            sleep(item.trouble.stall);
            match item.trouble.walk {
                Some(Fault::Kind(ErrorKind::Cancelled)) => Found::Skipped("planted"),
                Some(Fault::Kind(ErrorKind::Internal)) => Found::Broken(Error::new(ErrorKind::Internal, "planted")),
                Some(fault) => Found::Failed(item.entry.name.clone(), fault.error()),
                None => Found::Entry(item.entry.clone(), item.inode),
            }
        }))
    }

    fn open(&self, entry: &Entry) -> Result<Arc<dyn Content>> {
        let at = self.places[&entry.name];
        let item = &self.items[at];
        let times = self.opened[at].fetch_add(1, SeqCst);
        sleep(item.trouble.stall);
        match item.trouble.open {
            Some(fault) => Err(fault.error()),
            None => Ok(Arc::new(Open { item: item.clone(), is_changed: times < item.trouble.changes })),
        }
    }
}

struct Open {
    item: Item,
    is_changed: bool,
}

impl Content for Open {
    fn size(&self) -> u64 {
        self.item.data.len() as u64
    }

    fn read_at(&self, offset: u64, to: &mut [u8]) -> Result<usize> {
        let trouble = &self.item.trouble;
        sleep(trouble.stall);
        let mut end = (offset + to.len() as u64).min(self.size()).min(trouble.ends_at.unwrap_or(u64::MAX));
        if let Some((from, fault)) = trouble.read {
            if offset >= from {
                return Err(fault.error());
            }
            end = end.min(from);
        }
        // Never all at once: short reads are allowed.
        let now = end.saturating_sub(offset).min(300 << 10) as usize;
        to[..now].copy_from_slice(&self.item.data[offset as usize..][..now]);
        Ok(now)
    }

    fn is_unchanged(&self) -> Result<bool> {
        match self.item.trouble.look {
            Some(fault) => Err(fault.error()),
            None => Ok(!self.is_changed && self.item.trouble.ends_at.is_none()),
        }
    }
}

/// Takes an object in memory.
#[derive(Default)]
pub struct Bytes {
    pub bytes: Vec<u8>,
    /// What would go beyond this fails.
    pub fails_after: Option<(u64, Fault)>,
    /// One stall, when so many bytes are there.
    pub stall: Option<(u64, Duration)>,
}

impl Bytes {
    fn take(&mut self, bytes: &[u8]) -> Result<()> {
        self.bytes.extend_from_slice(bytes);
        let len = self.bytes.len() as u64;
        if let Some((_, stall)) = self.stall.take_if(|(at, _)| len > *at) {
            sleep(stall);
        }
        match self.fails_after {
            Some((after, fault)) if len > after => Err(fault.error()),
            _ => Ok(()),
        }
    }
}

impl Sink for Bytes {
    fn write(&mut self, bytes: Block) -> Result<()> {
        self.take(bytes.as_ref())
    }

    fn write_copied(&mut self, bytes: &[u8]) -> Result<()> {
        self.take(bytes)
    }
}

/// An archive in memory. Ranges beyond its end come back short, as from a careless store.
pub struct Stored(pub Vec<u8>);

impl Ranges for Stored {
    fn tail(&self, len: u64) -> Result<(u64, Vec<u8>)> {
        let from = self.0.len().saturating_sub(len as usize);
        Ok((self.0.len() as u64, self.0[from..].to_vec()))
    }

    fn read(&self, ranges: &[Range<u64>]) -> Result<Vec<Vec<u8>>> {
        let place = |at: u64| at.min(self.0.len() as u64) as usize;
        Ok(ranges.iter().map(|range| self.0[place(range.start)..place(range.end)].to_vec()).collect())
    }
}

pub fn options() -> PackOptions {
    PackOptions {
        sizes: Sizes { slice: SLICE, group: GROUP },
        level: Some(3),
        said_level: 3,
        hints: Hints::default(),
        file_hash: false,
        xattrs: false,
        skip_failures: false,
        workers: 2,
        readers: 2,
        memory: 128 << 20,
    }
}

pub fn plain() -> PackOptions {
    PackOptions { level: None, ..options() }
}

pub fn skipping() -> PackOptions {
    PackOptions { skip_failures: true, ..options() }
}

pub fn packed_of(items: &Items, options: &PackOptions) -> Result<(Vec<u8>, PackReport)> {
    let mut sink = Bytes::default();
    let report = pack(items, &mut sink, options, (&Stop::default(), &Progress::default()))?;
    assert_eq!(report.bytes_out, sink.bytes.len() as u64);
    Ok((sink.bytes, report))
}

pub fn packed(items: &[Item], options: &PackOptions) -> (Vec<u8>, PackReport) {
    packed_of(&Items::new(items.to_vec()), options).unwrap()
}

pub fn open(bytes: &[u8]) -> Result<Archive> {
    Archive::open(Arc::new(Stored(bytes.to_vec())), Arc::new(Pieces::default()), None, false)
}

pub fn verified(archive: &Archive, threads: usize) -> Result<VerifyReport> {
    verify(archive, Level::Full, threads, (&Stop::default(), &Progress::default()))
}

/// What `work` returns, or a failure if that takes longer than `most`: a hang must not hang the tests.
pub fn within<T: Send + 'static>(most: Duration, work: impl FnOnce() -> T + Send + 'static) -> T {
    let (sender, receiver) = crossbeam_channel::bounded(1);
    let worker = std::thread::spawn(move || sender.send(work()));
    match receiver.recv_timeout(most) {
        Ok(done) => done,
        Err(crossbeam_channel::RecvTimeoutError::Timeout) => panic!("it hangs"),
        Err(_) => std::panic::resume_unwind(worker.join().err().unwrap_or_else(|| Box::new("it vanished"))),
    }
}

/// Names of a report's failures, as text.
pub fn failed_names(failures: &[crate::archive::report::Failure]) -> Vec<String> {
    failures.iter().map(|failure| String::from_utf8_lossy(&failure.name).into_owned()).collect()
}

/// Names of all entries of an archive.
pub fn listed(archive: &Archive) -> Vec<String> {
    let mut names = Vec::new();
    for number in 0..archive.batches() {
        let batch = archive.batch(number).unwrap();
        names.extend((0..batch.len()).filter(|row| batch.seq(*row) == 0).map(|row| batch.name(row).to_vec()));
    }
    names.iter().map(|name| String::from_utf8_lossy(name).into_owned()).collect()
}
