//! Stopped from outside at any moment, everything ends soon, and nobody is left behind.

use std::sync::Arc;
use std::time::{Duration, Instant};

use super::made::{Random, tree};
use super::memory::*;
use crate::archive::pack::{PackOptions, pack};
use crate::archive::read::Archive;
use crate::archive::select::Selection;
use crate::archive::threads::Stop;
use crate::archive::tree::TreeOptions;
use crate::archive::unpack::{UnpackOptions, unpack};
use crate::archive::verify::{Level, verify};
use crate::error::{Error, ErrorKind, Result};
use crate::progress::Progress;

const SOON: Duration = Duration::from_secs(2);

/// Stops `work` after a while; how long it took from then on.
fn stopped<T: Send + 'static>(
    after: Duration,
    work: impl FnOnce(&Stop) -> Result<T> + Send + 'static,
) -> (Result<T>, Duration) {
    let stop = Arc::new(Stop::default());
    let (done, waiting) = crossbeam_channel::bounded(1);
    let worker = {
        let stop = stop.clone();
        std::thread::spawn(move || drop(done.send(work(&stop))))
    };
    std::thread::sleep(after);
    stop.fail(Error::cancelled());
    let began = Instant::now();
    let outcome =
        waiting.recv_timeout(Duration::from_secs(20)).unwrap_or_else(|why| panic!("it hangs or panicked: {why}"));
    let took = began.elapsed();
    worker.join().unwrap();
    assert_eq!(Arc::strong_count(&stop), 1);
    (outcome, took)
}

#[test]
fn packing_stops() {
    let mut items = tree(70, 80, 9 << 20, false);
    items.iter_mut().for_each(|item| item.trouble.stall = Duration::from_millis(2));
    let items = Arc::new(Items::new(items));
    let (random, mut cancelled) = (&mut Random::new(70), 0);
    for round in 0..40 {
        let source = items.clone();
        let options = PackOptions { workers: 1 + round % 5, readers: 1 + round % 4, memory: 40 << 20, ..options() };
        let after = Duration::from_micros(random.below(200_000));
        let (outcome, took) = stopped(after, move |stop| {
            let mut sink = Bytes { stall: Some((1000, Duration::from_millis(30))), ..Bytes::default() };
            let packed = pack(&*source, &mut sink, &options, (stop, &Progress::default()));
            packed.map(|_| sink.bytes)
        });
        assert!(took < SOON, "{took:?} after {after:?}");
        match outcome {
            Err(error) => {
                assert_eq!(error.kind(), ErrorKind::Cancelled, "{error:?}");
                cancelled += 1;
            }
            // It was done before.
            Ok(bytes) => assert_eq!(verified(&open(&bytes).unwrap(), 1).unwrap().problems, []),
        }
        assert_eq!(Arc::strong_count(&items), 1, "a thread still has the source");
    }
    assert!(cancelled > 20, "{cancelled} of 40");
}

#[test]
fn what_is_stopped_before_it_begins_does_nothing() {
    let items = Items::new(tree(71, 20, 1 << 20, false));
    let stop = Stop::default();
    stop.fail(Error::cancelled());
    let mut sink = Bytes::default();
    let error = pack(&items, &mut sink, &options(), (&stop, &Progress::default())).unwrap_err();
    assert_eq!((error.kind(), sink.bytes.len()), (ErrorKind::Cancelled, 0));
}

/// What ends everything by itself is told, not the stop that came after it.
#[test]
fn the_first_real_error_is_told() {
    let stop = Stop::default();
    stop.fail(Error::cancelled());
    stop.fail(Error::integrity("first"));
    stop.fail(Error::integrity("second"));
    assert_eq!(stop.reason().message(), "first");
}

/// An archive behind a slow line.
struct Slow(Vec<u8>);

impl crate::archive::ranges::Ranges for Slow {
    fn tail(&self, len: u64) -> Result<(u64, Vec<u8>)> {
        Stored(self.0.clone()).tail(len)
    }

    fn read(&self, ranges: &[std::ops::Range<u64>]) -> Result<Vec<Vec<u8>>> {
        std::thread::sleep(Duration::from_millis(20));
        let cut = |range: &std::ops::Range<u64>| self.0[range.start as usize..range.end as usize].to_vec();
        Ok(ranges.iter().map(cut).collect())
    }
}

fn slow(bytes: &[u8]) -> Archive {
    Archive::open(Arc::new(Slow(bytes.to_vec())), Arc::default(), None, true).unwrap()
}

#[test]
fn unpacking_and_verifying_stop() {
    let random = &mut Random::new(72);
    let items: Vec<Item> =
        (0..40).map(|number| Item::file(&format!("{number:02}"), random.noise(3 * SLICE as usize / 4))).collect();
    let (bytes, _) = packed(&items, &options());
    for round in 0..12 {
        let archive = slow(&bytes);
        let after = Duration::from_micros(random.below(60_000));
        let (outcome, took) = stopped(after, move |stop| {
            if round % 2 == 0 {
                return verify(&archive, Level::Full, 2, (stop, &Progress::default()))
                    .map(|report| report.problems.len());
            }
            let place = tempfile::tempdir().unwrap();
            let (tree, selection) = (TreeOptions::new(), Selection::default());
            let options = UnpackOptions { tree, selection, allow_incomplete: false, threads: 2 };
            unpack(&archive, place.path(), &options, (stop, &Progress::default())).map(|report| report.failures.len())
        });
        assert!(took < SOON, "{took:?} after {after:?}");
        match outcome {
            Err(error) => assert_eq!(error.kind(), ErrorKind::Cancelled, "{error:?}"),
            Ok(wrong) => assert_eq!(wrong, 0),
        }
    }
}
