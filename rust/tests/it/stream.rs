//! Ordered streams and ranges into memory: what Python's tests cannot play as exactly (U14, #13).

use std::sync::Arc;
use std::time::Duration;

use fake_s3::{Action, Match};
use s3z::config::MIB;
use s3z::ops::ranges;
use s3z::ops::span::Span;
use s3z::ops::stream::{OrderedStream, StreamRequest};
use s3z::progress::Cancel;

use crate::support::*;

const OBJECT: u64 = 20 * MIB + 777;

fn world() -> World {
    let world = World::with(|_, client| {
        client.transfer.late_after = Duration::from_millis(100);
        client.retry.read_timeout = Duration::from_secs(80);
    });
    world.server.put_pattern(BUCKET, KEY, OBJECT, SEED);
    world
}

fn request() -> StreamRequest {
    StreamRequest { part_size: Some(MIB), max_concurrency: Some(4), ..StreamRequest::new(object(KEY)) }
}

/// A range whose answer does not come.
fn silent(at: u64) -> (Match, Action) {
    (Match { range_min: Some(at), ..gets() }, Action::Stall { after: 0, seconds: 80.0, in_head: true })
}

async fn all_of(stream: &mut OrderedStream) -> Vec<u8> {
    let mut all = Vec::new();
    while let Some(chunk) = stream.next().await.unwrap() {
        all.extend_from_slice(&chunk);
    }
    all
}

/// A part without an answer is asked for again over another connection; the reader waits for no timeout.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_silent_part_is_asked_for_again() {
    let world = world();
    let (on, action) = silent(10 * MIB);
    world.times(1, on.clone(), action.clone());
    let reading = async {
        let cancel = Cancel::default();
        let mut stream = OrderedStream::open(&world.engine, request(), Arc::default(), &cancel).await.unwrap();
        assert!(all_of(&mut stream).await == content(OBJECT));
        assert_eq!(stream.report().unwrap().parts, 21);
    };
    tokio::time::timeout(HANGS / 3, reading).await.expect("it waits for the answer that does not come");
    world.times(1, on, action);
    let (wanted, cancel) = (request(), Cancel::default());
    let getting = ranges::get(&world.engine, &wanted, Arc::default(), &cancel);
    let (memory, _) = tokio::time::timeout(HANGS / 3, getting).await.expect("so does this").unwrap();
    assert!(memory == content(OBJECT));
}

/// U14: what a reader does not take is not fetched for it, and a stream that is dropped holds nothing.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_reader_that_rests_stops_the_requests() {
    let world = World::with(|_, client| client.transfer.memory_limit = 8 * MIB);
    world.server.put_pattern(BUCKET, KEY, OBJECT, SEED);
    let mut stream = OrderedStream::open(&world.engine, request(), Arc::default(), &Cancel::default()).await.unwrap();
    stream.next().await.unwrap();
    until("some parts are ahead", || world.logged("GetObject").len() >= 4).await;
    tokio::time::sleep(Duration::from_millis(300)).await;
    assert!(world.logged("GetObject").len() <= 7, "{} requests", world.logged("GetObject").len());
    drop(stream);
    let scheduler = world.engine.scheduler.clone();
    until("all memory is given back", || scheduler.free_memory() == scheduler.memory_limit()).await;
    let again = OrderedStream::open(&world.engine, request(), Arc::default(), &Cancel::default()).await;
    assert!(all_of(&mut again.unwrap()).await == content(OBJECT));
}

/// A body longer than what is held of it waits for its reader: one plain GET in bounded memory.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_plain_get_is_bounded_too() {
    let world = World::with(|_, client| client.transfer.memory_limit = 8 * MIB);
    world.server.put_pattern(BUCKET, KEY, 64 * MIB, SEED);
    let one = StreamRequest { max_concurrency: Some(1), ..request() };
    let progress: Arc<s3z::progress::Progress> = Arc::default();
    let mut stream = OrderedStream::open(&world.engine, one, progress.clone(), &Cancel::default()).await.unwrap();
    stream.next().await.unwrap();
    tokio::time::sleep(Duration::from_millis(300)).await;
    assert!(progress.snapshot().network < 8 * MIB, "{:?}", progress.snapshot());
    let mut len = 0;
    while let Some(chunk) = stream.next().await.unwrap() {
        len += chunk.len() as u64;
    }
    assert!(len > 63 * MIB);
    assert_eq!(world.logged("GetObject").len(), 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_tail_and_what_is_behind_the_end() {
    let world = world();
    let of = |span| StreamRequest { span, ..request() };
    let get = |request| {
        let engine = world.engine.clone();
        async move { ranges::get(&engine, &request, Arc::default(), &Cancel::default()).await }
    };
    let whole = content(OBJECT);
    assert_eq!(get(of(Span::Tail(5))).await.unwrap().0, whole[whole.len() - 5..]);
    assert!(get(of(Span::Tail(u64::MAX))).await.unwrap().0 == whole);
    assert_eq!(get(of(Span::Tail(0))).await.unwrap().0, b"");
    let behind = get(of(Span::Between { start: OBJECT + 1, stop: None })).await.unwrap_err();
    assert_eq!(behind.kind(), s3z::error::ErrorKind::Config, "{behind}");
    assert_eq!(get(of(Span::Between { start: OBJECT, stop: None })).await.unwrap().0, b"");
}

/// A stream that nobody reads keeps no request from others.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_paused_stream_leaves_requests_to_others() {
    let world = World::with(|_, client| client.transfer.max_requests = 2);
    world.server.put_pattern(BUCKET, KEY, OBJECT, SEED);
    let cancel = Cancel::default();
    let mut paused = OrderedStream::open(&world.engine, request(), Arc::default(), &cancel).await.unwrap();
    paused.next().await.unwrap();
    let wanted = request();
    let getting = ranges::get(&world.engine, &wanted, Arc::default(), &cancel);
    let (memory, _) = tokio::time::timeout(HANGS / 3, getting).await.expect("the paused stream has it all").unwrap();
    assert!(memory == content(OBJECT));
}

/// `require` is refused before anything is fetched where a range has no checksum, and after one fetch where the store has none.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_required_and_is_not_there_is_fetched_once_at_most() {
    let world = world();
    let require = StreamRequest { verify: s3z::ops::stored::Verify::Require, ..request() };
    let part = StreamRequest { span: Span::Tail(5), ..require.clone() };
    let cancel = Cancel::default();
    assert!(ranges::get(&world.engine, &part, Arc::default(), &cancel).await.is_err());
    assert_eq!(world.server.log().len(), 0);
    world.switch(|switches| switches.no_checksums = true);
    assert!(ranges::get(&world.engine, &require, Arc::default(), &cancel).await.is_err());
    let requests = world.logged("GetObject").len();
    assert!((15..=21).contains(&requests), "{requests} for twenty-one parts");
}
