//! A body by itself: too slow, given up and continued, dropped between two polls (#13, #14, I9, R2, R5).

use std::time::{Duration, Instant};

use fake_s3::{Action, EtagStyle, Match};
use s3z::checksum::Algorithm;
use s3z::config::MIB;
use s3z::error::{ErrorKind, Result};
use s3z::ops::download::DownloadRequest;
use s3z::s3::body::ObjectBody;

use crate::support::*;

fn drip(after: u64, bytes_per_second: u64) -> Action {
    Action::Drip { after, bytes_per_second, in_head: false }
}

fn truncate(after: u64) -> Action {
    Action::Truncate { after, in_head: false, close_notify: false }
}

/// A client that calls it too slow soon.
fn impatient() -> World {
    let world = World::with(|_, client| {
        client.retry.min_rate = 20_000;
        client.retry.min_rate_window = Duration::from_millis(300);
    });
    world.server.put_pattern(BUCKET, KEY, SIZE, SEED);
    world
}

async fn rest_of(body: &mut ObjectBody) -> Result<Vec<u8>> {
    let mut bytes = Vec::new();
    while let Some(chunk) = body.chunk().await? {
        bytes.extend_from_slice(&chunk);
    }
    Ok(bytes)
}

/// #13: bytes never stop to come, so no stall timeout ends this.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_body_that_drips_goes_on_over_another_connection() {
    for after in [0, 1, PART / 2] {
        let world = impatient();
        world.times(2, later_ranges(), drip(after, 100));
        let report = world.downloads(&world.get(), SIZE, SEED).await;
        assert_full_object(&report, Algorithm::Crc64Nvme);
        let gets = world.logged("GetObject");
        assert_eq!(gets.len(), 12, "each of the two was given up once");
        let resumed: Vec<_> = gets.iter().filter(|get| get.body_start.is_some_and(|at| at % PART != 0)).collect();
        assert!(after == 0 || resumed.len() == 2, "what had come is kept");
        assert!(resumed.iter().all(|get| get.nth == 0), "over a new connection");
    }
}

/// #13
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn drips_without_end_are_a_timeout() {
    let world = impatient();
    let started = Instant::now();
    let error = world.refuses(&world.get(), ErrorKind::Timeout, |world| world.on(later_ranges(), drip(0, 100))).await;
    assert_eq!(error.attempts(), 4);
    assert!(started.elapsed() < Duration::from_secs(30), "twice four windows");
}

/// #13, #14: a head that drips is no answer yet.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_head_that_drips_is_asked_for_again() {
    let world = World::with(|_, client| client.retry.read_timeout = Duration::from_millis(400));
    world.server.put_pattern(BUCKET, KEY, SIZE, SEED);
    world.times(3, gets(), Action::Drip { after: 5, bytes_per_second: 40, in_head: true });
    world.downloads(&world.get(), SIZE, SEED).await;
}

/// I4, #6: what came of a short answer that cannot be pinned is not continued, and not delivered twice.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_short_answer_without_a_strong_etag_is_begun_anew() {
    for style in [EtagStyle::Weak, EtagStyle::None] {
        let world = World::new();
        world.switch(|switches| (switches.etag_style, switches.no_checksums) = (style, true));
        world.server.put_pattern(BUCKET, KEY, SIZE, SEED);
        let request = DownloadRequest { part_size: Some(2 * SIZE), ..world.get() };
        world.times(1, gets(), Action::ShortRange { bytes: SIZE / 3 });
        world.downloads(&request, SIZE, SEED).await;
        let always = |world: &World| world.on(gets(), Action::ShortRange { bytes: SIZE / 3 });
        world.refuses(&request, ErrorKind::Service, always).await;
    }
}

/// Section 3: who does not ask cannot be kept waiting.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_reader_that_pauses_is_no_stall() {
    let size = 24 * MIB;
    let world = World::with(|_, client| {
        client.retry.read_timeout = Duration::from_millis(200);
        client.retry.min_rate = 1 << 20;
        client.retry.min_rate_window = Duration::from_millis(200);
    });
    world.server.put_pattern(BUCKET, KEY, size, SEED);
    let mut body = world.engine.client.get_object(get_of(None)).await.unwrap();
    let mut bytes = Vec::new();
    for _ in 0..3 {
        tokio::time::sleep(Duration::from_millis(300)).await;
        bytes.extend_from_slice(&body.chunk().await.unwrap().unwrap());
    }
    bytes.extend(rest_of(&mut body).await.unwrap());
    assert!(bytes == content(size));
    assert_eq!((body.attempts(), world.server.log().len()), (1, 1));
}

/// The next bytes, by someone who never waits for longer than a moment.
async fn hasty_chunk(body: &mut ObjectBody) -> Result<Option<bytes::Bytes>> {
    loop {
        tokio::select! {
            biased;
            chunk = body.chunk() => return chunk,
            () = tokio::time::sleep(Duration::from_millis(1)) => {}
        }
    }
}

/// Cancel safety: no byte is lost, no request begun twice, no wait begun anew, wherever `chunk` is dropped.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn chunk_may_be_dropped_at_any_await() {
    let world = World::with(|_, client| {
        client.retry.read_timeout = Duration::from_millis(300);
        client.retry.max_attempts = 30;
        client.retry.transient_base = Duration::from_millis(20);
    });
    world.server.put_pattern(BUCKET, KEY, SIZE, SEED);
    world.on(gets(), Action::Latency { ms: 40 });
    let faults = [
        truncate(70_001),
        Action::error(503, "SlowDown"),
        Action::Stall { after: 90_001, seconds: 60.0, in_head: false },
        Action::ShortRange { bytes: 50_001 },
        truncate(0),
        Action::Reset { after: 0, in_head: true },
        truncate(70_001),
    ];
    for (index, fault) in faults.clone().into_iter().enumerate() {
        world.times(1, Match { skip: index as u64, ..gets() }, fault);
    }
    let mut body = world.engine.client.get_object(get_of(Some(0..SIZE))).await.unwrap();
    let mut bytes = Vec::new();
    while let Some(chunk) = hasty_chunk(&mut body).await.unwrap() {
        bytes.extend_from_slice(&chunk);
        assert_eq!(body.position(), bytes.len() as u64);
    }
    assert!(bytes == content(SIZE));
    assert_eq!(body.chunk().await.unwrap(), None, "and no more");
    let asked = world.logged("GetObject").len();
    assert_eq!(asked, faults.len() + 1, "once for each fault, and once for the rest");
    assert_eq!(asked, body.attempts() as usize);
}

/// And an error comes out of it, once the budget is spent.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_hasty_reader_hears_of_a_stall() {
    let world = World::with(|_, client| client.retry.read_timeout = Duration::from_millis(200));
    world.server.put_pattern(BUCKET, KEY, SIZE, SEED);
    world.on(gets(), Action::Stall { after: 0, seconds: 60.0, in_head: false });
    let mut body = world.engine.client.get_object(get_of(Some(0..SIZE))).await.unwrap();
    let error = hasty_chunk(&mut body).await.unwrap_err();
    assert_eq!((error.kind(), error.attempts()), (ErrorKind::Timeout, 4), "{error:?}");
    assert_eq!(error.key(), Some(KEY));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_reconnected_body_goes_on_at_its_next_byte() {
    let world = World::with_object();
    world.switch(|switches| switches.rate_per_connection = 2_000_000);
    let mut body = world.engine.client.get_object(get_of(Some(PART..SIZE))).await.unwrap();
    assert_eq!(body.position(), PART);
    let mut bytes = body.chunk().await.unwrap().unwrap().to_vec();
    let position = body.position();
    assert_eq!(position, PART + bytes.len() as u64);
    body.reconnect("others are faster").await.unwrap();
    assert_eq!(body.position(), position);
    // On its way already: nothing is cut twice.
    body.reconnect("others are faster").await.unwrap();
    bytes.extend(rest_of(&mut body).await.unwrap());
    assert!(bytes == content(SIZE)[PART as usize..]);
    let gets = world.logged("GetObject");
    assert_eq!((gets.len(), body.attempts()), (2, 2));
    assert_eq!(gets[1].range, Some(format!("bytes={position}-{}", SIZE - 1)));
    assert_eq!((gets[1].nth, header(&gets[1], "if-match")), (0, body.identity().etag.as_deref()));
    body.reconnect("at its end").await.unwrap();
    assert_eq!(body.chunk().await.unwrap(), None);
    assert_eq!(world.logged("GetObject").len(), 2);
}

/// The budget of any other transient failure holds here too.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_body_is_not_reconnected_for_ever() {
    let world = World::with_object();
    world.on(gets(), Action::Stall { after: 0, seconds: 60.0, in_head: false });
    let mut body = world.engine.client.get_object(get_of(Some(0..SIZE))).await.unwrap();
    let mut cuts = 0;
    let error = loop {
        if let Err(error) = body.reconnect("nothing comes").await {
            break error;
        }
        cuts += 1;
        let _ = tokio::time::timeout(Duration::from_millis(50), body.chunk()).await;
    };
    assert_eq!((cuts, error.kind(), error.attempts()), (3, ErrorKind::Timeout, 4), "{error:?}");
    assert!(error.to_string().contains("nothing comes") && error.key() == Some(KEY), "{error:?}");
}

/// I4: what cannot be continued is slow rather than lost.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_body_that_cannot_be_pinned_is_never_cut() {
    let world = World::new();
    world.switch(|switches| switches.etag_style = EtagStyle::Weak);
    world.server.put_pattern(BUCKET, KEY, SIZE, SEED);
    let mut body = world.engine.client.get_object(get_of(None)).await.unwrap();
    let mut bytes = body.chunk().await.unwrap().unwrap().to_vec();
    body.reconnect("others are faster").await.unwrap();
    bytes.extend(rest_of(&mut body).await.unwrap());
    assert!(bytes == content(SIZE));
    assert_eq!(world.server.log().len(), 1);
}

/// R5: a head is no success yet; bodies that always break are a storm like any other.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_retry_is_paid_for_until_its_bytes_have_come() {
    let world = World::with(|_, client| {
        (client.retry.quota, client.retry.quota_refill) = (28, 0);
        (client.retry.max_attempts, client.retry.hard_attempts) = (100, 100);
    });
    world.server.put_pattern(BUCKET, KEY, SIZE, SEED);
    world.times(3, gets(), truncate(1));
    let mut body = world.engine.client.get_object(get_of(Some(0..SIZE))).await.unwrap();
    let error = rest_of(&mut body).await.unwrap_err();
    assert_eq!((error.kind(), error.attempts()), (ErrorKind::Connection, 3), "28 pays for two retries");
}

/// R5: success gives the cost back, also to a reader who asks for no more than there is, or needs no more.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_success_gives_back_what_its_retry_cost() {
    let world = World::with(|_, client| {
        (client.retry.quota, client.retry.quota_refill) = (14, 0);
    });
    world.server.put_pattern(BUCKET, KEY, SIZE, SEED);
    for bytes_read in [PART, PART / 2, PART, PART] {
        world.times(1, gets(), truncate(1));
        let mut body = world.engine.client.get_object(get_of(Some(0..PART))).await.unwrap();
        while body.position() < bytes_read {
            body.chunk().await.unwrap().unwrap();
        }
        assert_eq!(body.attempts(), 2);
    }
}

/// R2: a single stream counts every part size as a part.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_stream_may_fail_as_often_as_its_parts() {
    let world = World::with(|_, client| {
        client.transfer.part_size = Some(PART);
        client.retry.progress_bytes = 1000;
        client.retry.hard_attempts = 3;
    });
    world.server.put_pattern(BUCKET, KEY, SIZE, SEED);
    for (after, good) in [(PART * 3 / 5, true), (PART / 5, false)] {
        world.server.clear_rules();
        world.on(gets(), truncate(after));
        let mut body = world.engine.client.get_object(get_of(None)).await.unwrap();
        let outcome = rest_of(&mut body).await;
        assert_eq!(outcome.is_ok(), good, "{after}: {outcome:?}", outcome = outcome.map(|bytes| bytes.len()));
        assert!(!good || body.attempts() > 10);
        // A range is one part, however long.
        let mut range = world.engine.client.get_object(get_of(Some(0..SIZE))).await.unwrap();
        assert_eq!(rest_of(&mut range).await.unwrap_err().attempts(), 3);
    }
}
