//! I11, #81: whatever the order of claims and splits, every byte of a range has exactly one owner, who alone writes it.

#![allow(clippy::unwrap_used, clippy::panic, clippy::disallowed_methods, reason = "tests fail by panicking")]

use std::ops::Range;

use models::search::{breaks, search};
use models::transfer::extent::Extent;
use shuttle::sync::{Arc, Mutex};
use shuttle::thread;

const SIZE: u64 = 24;
const STEP: u64 = 2;

/// What a range lets its fetchers do; `Extent` or a broken one.
trait Fence: Send + Sync + 'static {
    fn over(range: Range<u64>) -> Self;
    fn claim(&self, most: u64) -> Option<Range<u64>>;
    fn split(&self, step: u64) -> Option<Range<u64>>;
}

impl Fence for Extent {
    fn over(range: Range<u64>) -> Self {
        Self::new(range)
    }

    fn claim(&self, most: u64) -> Option<Range<u64>> {
        self.claim(most)
    }

    fn split(&self, step: u64) -> Option<Range<u64>> {
        self.split(step)
    }
}

/// A claim that looks first and takes later, as two steps.
struct TwoStepClaim(Mutex<Range<u64>>);

impl Fence for TwoStepClaim {
    fn over(range: Range<u64>) -> Self {
        Self(Mutex::new(range))
    }

    fn claim(&self, most: u64) -> Option<Range<u64>> {
        let seen = self.0.lock().unwrap().clone();
        let end = seen.end.min(seen.start + most);
        self.0.lock().unwrap().start = end;
        (seen.start < end).then_some(seen.start..end)
    }

    fn split(&self, step: u64) -> Option<Range<u64>> {
        halve(&mut self.0.lock().unwrap(), step)
    }
}

/// A split that leaves the bytes with their old owner too.
struct SplitThatKeeps(Mutex<Range<u64>>);

impl Fence for SplitThatKeeps {
    fn over(range: Range<u64>) -> Self {
        Self(Mutex::new(range))
    }

    fn claim(&self, most: u64) -> Option<Range<u64>> {
        let mut rest = self.0.lock().unwrap();
        let claimed = rest.start..rest.end.min(rest.start + most);
        rest.start = claimed.end;
        (!claimed.is_empty()).then_some(claimed)
    }

    fn split(&self, step: u64) -> Option<Range<u64>> {
        let mut seen = self.0.lock().unwrap().clone();
        let taken = halve(&mut seen, step)?;
        // By now a claim may have gone past the middle.
        self.0.lock().unwrap().end = taken.start;
        Some(taken)
    }
}

fn halve(rest: &mut Range<u64>, step: u64) -> Option<Range<u64>> {
    let middle = rest.start + (rest.end - rest.start) / 2;
    let taken = middle..rest.end;
    (taken.end - taken.start >= step && middle > rest.start).then(|| {
        rest.end = middle;
        taken
    })
}

/// How often each byte was written.
type File = Arc<Mutex<Vec<u8>>>;

/// Claims what is left, piece by piece; each is written later than it was claimed, as a buffer on its way to the disk is.
fn fetch<F: Fence>(range: &F, file: &File, most: u64) {
    while let Some(claimed) = range.claim(most) {
        thread::yield_now();
        let mut file = file.lock().unwrap();
        for byte in claimed {
            file[byte as usize] += 1;
        }
    }
}

/// A fetcher, and two others that split its range and one another's.
fn split_while_fetching<F: Fence>() {
    let file: File = Arc::new(Mutex::new(vec![0; SIZE as usize]));
    let whole = Arc::new(F::over(0..SIZE));
    let spawn_fetch = |range: Arc<F>, most| {
        let file = file.clone();
        thread::spawn(move || fetch(&*range, &file, most))
    };
    let mut all = vec![spawn_fetch(whole.clone(), 3)];
    for most in [2, 5] {
        let (whole, file) = (whole.clone(), file.clone());
        all.push(thread::spawn(move || {
            let Some(taken) = whole.split(STEP) else { return };
            let taken = Arc::new(F::over(taken));
            let second = {
                let (taken, file) = (taken.clone(), file.clone());
                thread::spawn(move || {
                    if let Some(rest) = taken.split(STEP) {
                        fetch(&F::over(rest), &file, 4);
                    }
                })
            };
            fetch(&*taken, &file, most);
            second.join().unwrap();
        }));
    }
    all.into_iter().for_each(|thread| thread.join().unwrap());
    assert_eq!(*file.lock().unwrap(), vec![1; SIZE as usize]);
}

#[test]
fn no_byte_is_written_twice_or_lost() {
    search(split_while_fetching::<Extent>);
}

#[test]
fn canary_a_claim_in_two_steps_is_found() {
    assert!(breaks(split_while_fetching::<TwoStepClaim>));
}

#[test]
fn canary_a_split_in_two_steps_is_found() {
    assert!(breaks(split_while_fetching::<SplitThatKeeps>));
}

/// A task that was too slow: its range is taken away while it holds a buffer. What it claimed it still writes, and
/// nothing that it claims afterwards reaches into the other's bytes.
fn late_claims<F: Fence>() {
    let range = Arc::new(F::over(0..SIZE));
    let taken = {
        let range = range.clone();
        thread::spawn(move || range.split(STEP))
    };
    // More than half, so that a split which looked before goes by what is not so any more.
    let before = range.claim(13).unwrap();
    thread::yield_now();
    let mut mine = vec![before];
    let theirs = taken.join().unwrap();
    while let Some(claimed) = range.claim(7) {
        mine.push(claimed);
    }
    let theirs = theirs.unwrap_or(SIZE..SIZE);
    assert!(mine.iter().all(|claimed| claimed.end <= theirs.start), "{mine:?} and {theirs:?}");
    assert_eq!(mine.last().unwrap().end, theirs.start, "a byte was lost");
}

#[test]
fn a_late_task_has_no_claim_to_what_was_split_off() {
    search(late_claims::<Extent>);
}

#[test]
fn canary_a_late_claim_is_found() {
    assert!(breaks(late_claims::<SplitThatKeeps>));
}
