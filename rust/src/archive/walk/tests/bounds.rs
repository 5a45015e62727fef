//! How far a walk reads ahead, and how it ends early.

use super::*;

#[test]
fn reading_ahead_is_bounded_and_goes_on() {
    let root = crowd();
    let mut walk = Walk::start(options(root.path(), 3)).unwrap();
    let first = walk.next();
    let crew = walk.crew.clone();
    let held = until_three_wait(&crew);
    assert!(held <= READ_AHEAD, "{held}");
    let mut count = 0;
    let mut last = None;
    for found in first.into_iter().chain(&mut walk) {
        let Found::Entry(entry) = found else { panic!("{found:?}") };
        assert!(last.as_ref() < Some(&entry.name));
        last = Some(entry.name);
        count += 1;
    }
    assert_eq!(count, 5 * 40_001);
    assert_eq!(crew.held_and_waiting().0, 0);

    // A walk given up while its threads wait.
    let mut walk = Walk::start(options(root.path(), 3)).unwrap();
    walk.next();
    let crew = walk.crew.clone();
    until_three_wait(&crew);
    drop(walk);
    assert_eq!(Arc::strong_count(&crew), 1);
}

#[test]
fn a_directory_of_a_hundred_thousand_entries_is_sorted() {
    let root = tempfile::tempdir().unwrap();
    make_many(root.path(), 100_000);
    let told = walk(options(root.path(), 2));
    assert_eq!(told.len(), 100_000);
    assert!(told.is_sorted());
}

#[test]
fn a_cancelled_walk_says_so_once() {
    let root = tree(&["a/b", "c/d"]);
    let cancel = Arc::new(AtomicBool::new(false));
    let mut walk = Walk::start(WalkOptions { cancel: cancel.clone(), ..options(root.path(), 2) }).unwrap();
    assert!(matches!(walk.next(), Some(Found::Entry(_))));
    cancel.store(true, Relaxed);
    let Some(Found::Failed { error, .. }) = walk.next() else { panic!() };
    assert_eq!(error.kind(), ErrorKind::Cancelled);
    assert!(walk.next().is_none());
    assert!(walk.next().is_none());
}

#[test]
fn a_cancelled_walk_stops_waiting() {
    let root = tree(&["a/b", "c/d"]);
    let cancel = Arc::new(AtomicBool::new(false));
    let walk = Walk::start(WalkOptions { cancel: cancel.clone(), ..options(root.path(), 0) }).unwrap();
    let job = walk.crew.hold().unwrap(); // The source, which is now never read.
    let waiting = std::thread::spawn(move || told(walk));
    cancel.store(true, Relaxed);
    assert_eq!(waiting.join().unwrap(), ["!  0"]);
    drop(job);
}
