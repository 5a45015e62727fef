//! I11, I12, #81: the real writer and its file under shuttle. Publishing, discarding and writing once more meet writes that
//! are still on their way; whatever the order, the destination has all bytes of one generation, or was never touched.

#![allow(clippy::unwrap_used, clippy::panic, clippy::disallowed_methods, reason = "tests fail by panicking")]

use std::fs;
use std::path::Path;
use std::pin::{Pin, pin};
use std::task::{Context, Poll};

use models::config::{BUFFER_SIZE, DirectIo};
use models::search::{breaks, search};
use models::transfer::buffers::Buffer;
use models::transfer::destination::Destination;
use models::transfer::file_writer::{FileWriter, Piece, Start, WriterConfig};
use models::transfer::lanes::Lanes;
use models::transfer::scheduler::{Gate, Permit, Scheduler};
use models::transfer::temp_file::Publish;
use s3z::config::TransferConfig;
use s3z::error::Result;
use shuttle::future::block_on;
use shuttle::sync::{Arc, Mutex};
use shuttle::thread;
use tempfile::TempDir;

const PIECE: u64 = 100;
const SIZE: u64 = 3 * PIECE;
const HOW: Publish = Publish { overwrite: true, durable: false, mtime: None, mode: None };

struct World {
    dir: TempDir,
    writer: Arc<FileWriter>,
    permit: Arc<Permit>,
}

impl World {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let memory_limit = 8 * BUFFER_SIZE as u64;
        let scheduler = Scheduler::new(&TransferConfig { memory_limit, ..TransferConfig::default() });
        let destination = Destination::prepare(&dir.path().join("file"), true).unwrap();
        let start = Start { destination, found: None };
        let config =
            WriterConfig { size: Some(SIZE), direct: DirectIo::Off, aligned: true, direct_threshold: 0, ledger: None };
        let (writer, permit) = block_on(async {
            let (writer, _) = FileWriter::open(&Lanes::start(2), start, config, Arc::default()).await.unwrap();
            (Arc::new(writer), scheduler.acquire(Gate::new(1).enter().await, 4).await)
        });
        Self { dir, writer, permit }
    }

    fn piece(&self, index: u64, mark: u8, generation: u64) -> Piece {
        let mut buffer: Buffer = block_on(self.permit.buffer()).unwrap();
        buffer.extend(&[mark; PIECE as usize]);
        Piece { offset: index * PIECE, buffer, crc64: None, generation }
    }

    fn file(&self) -> Option<Vec<u8>> {
        fs::read(self.dir.path().join("file")).ok()
    }

    fn names(&self) -> Vec<String> {
        let names =
            fs::read_dir(self.dir.path()).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap());
        names.collect()
    }
}

/// Stops polling `work` as soon as `stop` is set: a cancelled transfer drops what it was waiting for.
struct Unless<'a, F> {
    stop: &'a Mutex<bool>,
    work: F,
}

impl<F: Future<Output = Result<()>> + Unpin> Future for Unless<'_, F> {
    type Output = Option<Result<()>>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        if *self.stop.lock().unwrap() {
            return Poll::Ready(None);
        }
        Pin::new(&mut self.work).poll(context).map(Some)
    }
}

/// A cancel at any moment of writing and publishing, then the clean-up.
fn cancel_meets_publish() {
    let world = World::new();
    let cancel = Arc::new(Mutex::new(false));
    let canceller = {
        let cancel = cancel.clone();
        thread::spawn(move || *cancel.lock().unwrap() = true)
    };
    (0..3).for_each(|index| world.writer.write(world.piece(index, 7, world.writer.generation())));
    let published = block_on(Unless { stop: &cancel, work: pin!(world.writer.publish(SIZE, HOW)) });
    if published.is_none() {
        block_on(world.writer.discard(false));
    }
    let (file, names) = (world.file(), world.names());
    match published {
        Some(published) => {
            published.unwrap();
            assert_eq!(file.as_deref(), Some([7; SIZE as usize].as_slice()));
        }
        // What was asked for before the cancel may have been done, but then as a whole.
        None => assert!(file.as_ref().is_none_or(|file| *file == [7; SIZE as usize])),
    }
    assert!(names.iter().all(|name| name == "file"), "{names:?}");
    canceller.join().unwrap();
    thread::yield_now();
    assert_eq!((world.file(), world.names()), (file, names), "something was written afterwards");
}

#[test]
fn a_cancel_leaves_all_or_nothing() {
    search(cancel_meets_publish);
}

/// Publishing is tried while one task still writes its piece: the file appears with every byte, or not at all.
fn publish_meets_a_late_write() {
    let world = Arc::new(World::new());
    (0..2).for_each(|index| world.writer.write(world.piece(index, 7, 0)));
    let late = {
        let world = world.clone();
        thread::spawn(move || world.writer.write(world.piece(2, 7, 0)))
    };
    let published = block_on(world.writer.publish(SIZE, HOW));
    match (&published, world.file()) {
        (Ok(()), Some(file)) => assert_eq!(file, [7; SIZE as usize]),
        (Err(_), None) => {}
        (published, file) => panic!("{published:?}, {:?}", file.map(|file| file.len())),
    }
    late.join().unwrap();
    let _ = block_on(world.writer.drain());
    assert_eq!(world.file().is_some(), published.is_ok(), "nothing is written after the verdict");
}

#[test]
fn nothing_is_published_without_its_last_write() {
    search(publish_meets_a_late_write);
}

/// Bytes that came wrong are opened for being written again while a buffer of before is still on its way.
fn a_late_buffer(generation_of_the_late: impl Fn(&FileWriter) -> u64) {
    let world = Arc::new(World::new());
    let first = world.writer.generation();
    (0..3).for_each(|index| world.writer.write(world.piece(index, 1, first)));
    block_on(world.writer.redo(0..SIZE)).unwrap();
    // The task of before wakes up once more.
    let late = world.piece(1, 99, generation_of_the_late(&world.writer));
    let writer = world.writer.clone();
    let waker = thread::spawn(move || writer.write(late));
    let second = world.writer.generation();
    assert!(second > first);
    (0..3).for_each(|index| world.writer.write(world.piece(index, 2, second)));
    waker.join().unwrap();
    block_on(world.writer.publish(SIZE, HOW)).unwrap();
    assert_eq!(world.file().unwrap(), [2; SIZE as usize], "bytes of an older generation");
}

#[test]
fn a_buffer_of_an_older_generation_is_refused() {
    search(|| a_late_buffer(|_| 0));
}

/// The same, but the late buffer says that it is of now.
#[test]
fn canary_a_late_buffer_that_is_let_through_is_found() {
    assert!(breaks(|| a_late_buffer(FileWriter::generation)));
}

/// A writer that renames without waiting for the lanes: what `publish` would be without its `drain`.
fn publish_in_a_hurry() {
    let dir = tempfile::tempdir().unwrap();
    let lanes = Lanes::start(2).pick_some(2);
    let bytes = Arc::new(Mutex::new(vec![0u8; 2]));
    for (at, lane) in lanes.iter().enumerate() {
        let bytes = bytes.clone();
        lane.post(move || bytes.lock().unwrap()[at] = 7);
    }
    let path = dir.path().join("file");
    block_on(lanes[0].call({
        let (path, bytes) = (path.clone(), bytes.clone());
        move || {
            fs::write(path, &*bytes.lock().unwrap()).unwrap();
            Ok(())
        }
    }))
    .unwrap();
    assert_eq!(fs::read(&path as &Path).unwrap(), [7; 2]);
}

#[test]
fn canary_a_publish_in_a_hurry_is_found() {
    assert!(breaks(publish_in_a_hurry));
}
