//! Downloads that meet no fault: sizes at every border, direct I/O, what is asked of the store.

use std::time::{Duration, SystemTime};

use fake_s3::{EtagStyle, Match};
use s3z::checksum::Algorithm;
use s3z::config::{DirectIo, MIB};
use s3z::error::ErrorKind;
use s3z::ops::download::DownloadRequest;

use crate::support::*;

/// Sizes around everything that is planned by `part`.
fn borders(part: u64) -> Vec<u64> {
    let half = part + part.div_ceil(2);
    vec![0, 1, part - 1, part, part + 1, half - 1, half, half + 1, 2 * part - 1, 2 * part, 2 * part + 1, 5 * part + 77]
}

async fn downloads_all(part: u64, concurrency: Option<usize>, direct_io: DirectIo) {
    let world = World::with(|_, client| client.transfer.direct_io_threshold = 0);
    for size in borders(part) {
        world.server.put_pattern(BUCKET, KEY, size, size);
        let request = DownloadRequest {
            part_size: Some(part),
            max_concurrency: concurrency,
            direct_io: Some(direct_io),
            ..world.get()
        };
        world.server.clear_log();
        let report = world.downloads(&request, size, size).await;
        assert_full_object(&report, Algorithm::Crc64Nvme);
        assert_eq!(world.server.bytes_sent_twice(BUCKET, KEY), 0, "{size}");
        assert_eq!(report.attempts, report.parts, "nothing was asked for twice");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_border_size_arrives_with_odd_parts() {
    for part in [7, 4095, 4097, 65_537] {
        downloads_all(part, None, DirectIo::Auto).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_border_size_arrives_in_one_request() {
    downloads_all(65_537, Some(1), DirectIo::Auto).await;
    downloads_all(65_536, Some(1), DirectIo::On).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_border_size_arrives_with_many_requests() {
    for concurrency in [2, 3, 64] {
        downloads_all(10_007, Some(concurrency), DirectIo::Off).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_border_size_arrives_by_direct_io() {
    for direct_io in [DirectIo::On, DirectIo::Auto, DirectIo::Off] {
        downloads_all(8192, None, direct_io).await;
        downloads_all(MIB + 4096, Some(4), direct_io).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_border_size_arrives_across_buffers() {
    for part in [MIB - 1, MIB + 1, 3 * MIB + 5] {
        downloads_all(part, None, DirectIo::Auto).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_quarter_of_a_gibibyte_arrives() {
    let world = World::new();
    let size = 256 * MIB + 1;
    world.server.put_pattern(BUCKET, KEY, size, SEED);
    let report = world.downloads(&DownloadRequest { part_size: None, ..world.get() }, size, SEED).await;
    assert_full_object(&report, Algorithm::Crc64Nvme);
    assert_eq!(report.parts, 32, "a byte behind the last part is no request of its own");
    assert_eq!(world.server.bytes_sent_twice(BUCKET, KEY), 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn direct_io_that_parts_cannot_keep_is_refused() {
    let world = World::with_object();
    let request = DownloadRequest { direct_io: Some(DirectIo::On), ..world.get() };
    let error = world.refuses(&request, ErrorKind::Config, |_| {}).await;
    assert!(error.to_string().contains("4096"), "{error}");
}

/// I1, I2, I13, C4.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn discovery_is_a_ranged_get_and_later_ranges_are_pinned() {
    let world = World::with_object();
    let report = world.downloads(&world.get(), SIZE, SEED).await;
    let gets = world.logged("GetObject");
    assert_eq!(gets.len(), 10);
    let discovery = gets.iter().find(|get| get.range.as_deref() == Some("bytes=0-100002")).unwrap();
    assert_eq!(header(discovery, "if-match"), None);
    assert!(gets.iter().all(|get| get.seq >= discovery.seq));
    for get in &gets {
        assert_eq!(header(get, "accept-encoding"), Some("identity"));
        assert_eq!(header(get, "x-amz-checksum-mode"), Some("ENABLED"));
        if get.seq != discovery.seq {
            assert_eq!(header(get, "if-match"), report.etag.as_deref(), "{get:?}");
        }
    }
    assert_eq!(world.logged("HeadObject").len(), 1);
    assert_eq!(world.server.log().len(), 11);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_callers_condition_is_on_the_first_request_too() {
    let world = World::with_object();
    let etag = world.downloads(&world.get(), SIZE, SEED).await.etag;
    world.server.clear_log();
    let pinned = DownloadRequest { if_match: etag.clone(), ..world.get() };
    world.downloads(&pinned, SIZE, SEED).await;
    assert!(world.logged("GetObject").iter().all(|get| header(get, "if-match") == etag.as_deref()));

    let other = DownloadRequest { if_match: Some("\"another\"".into()), restart_on_change: true, ..world.get() };
    world.refuses(&other, ErrorKind::ObjectChanged, |_| {}).await;
    // A store that ignores the condition is found out by the ETag of its answer.
    world.switch(|switches| switches.ignore_if_match = true);
    world.refuses(&other, ErrorKind::ObjectChanged, |_| {}).await;
}

/// I4: what cannot be pinned is fetched by one GET.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_a_strong_etag_nothing_is_ranged() {
    for style in [EtagStyle::Weak, EtagStyle::None] {
        let world = World::new();
        world.switch(|switches| switches.etag_style = style);
        world.server.put_pattern(BUCKET, KEY, SIZE, SEED);
        world.downloads(&world.get(), SIZE, SEED).await;
        let gets = world.logged("GetObject");
        assert_eq!(gets.iter().filter(|get| get.range.is_none()).count(), 1, "{style:?}");
        assert_eq!(gets.len(), 2, "{style:?}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn opaque_etags_pin_as_well() {
    let world = World::new();
    world.switch(|switches| switches.etag_style = EtagStyle::Opaque);
    world.server.put_object(BUCKET, KEY, content(SIZE));
    world.downloads(&world.get(), SIZE, SEED).await;
}

/// #22
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_empty_object_becomes_an_empty_file() {
    let world = World::new();
    world.server.put_object(BUCKET, KEY, Vec::new());
    std::fs::write(world.destination(), "longer than nothing").unwrap();
    world.downloads(&world.get(), 0, SEED).await;
    assert_eq!(world.logged("GetObject").len(), 2);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_existing_file_is_replaced_or_kept_as_told() {
    let world = World::with_object();
    std::fs::write(world.destination(), vec![1; 3_000_000]).unwrap();
    let keep = DownloadRequest { overwrite: false, ..world.get() };
    let error = world.download(&keep).await.unwrap_err();
    assert_eq!((error.kind(), error.errno()), (ErrorKind::LocalIo, Some(17)));
    assert_eq!(std::fs::metadata(world.destination()).unwrap().len(), 3_000_000);
    assert_eq!(world.server.log().len(), 0, "F2: refused before the first request");
    world.downloads(&world.get(), SIZE, SEED).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_file_that_comes_meanwhile_is_kept_too() {
    let world = World::with_object();
    world.switch(|switches| switches.latency_ms = 100);
    let keep = DownloadRequest { overwrite: false, ..world.get() };
    let (outcome, ()) = tokio::join!(world.download(&keep), async {
        until("the first request", || !world.server.log().is_empty()).await;
        std::fs::write(world.destination(), "came meanwhile").unwrap();
    });
    assert_eq!(outcome.unwrap_err().errno(), Some(17));
    assert_eq!(std::fs::read(world.destination()).unwrap(), b"came meanwhile");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn destinations_that_cannot_end_well_are_refused_before_any_request() {
    let world = World::with_object();
    std::fs::write(world.path("file"), "x").unwrap();
    for path in [world.path(""), world.path("new/"), world.path("file/below")] {
        let error = world.download(&DownloadRequest { destination: path, ..world.get() }).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::LocalIo, "{error:?}");
        assert!(error.path().is_some());
    }
    assert_eq!(world.server.log().len(), 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn numbers_out_of_range_are_refused_before_any_request() {
    let world = World::with_object();
    let bad = [
        DownloadRequest { part_size: Some(0), ..world.get() },
        DownloadRequest { part_size: Some(5 * 1024 * MIB + 1), ..world.get() },
        DownloadRequest { max_concurrency: Some(0), ..world.get() },
    ];
    for request in bad {
        assert_eq!(world.download(&request).await.unwrap_err().kind(), ErrorKind::Config);
    }
    assert_eq!(world.server.log().len(), 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn missing_objects_and_buckets_are_not_found() {
    let world = World::with_object();
    let missing = DownloadRequest { object: object("no such key"), ..world.get() };
    let error = world.refuses(&missing, ErrorKind::NotFound, |_| {}).await;
    assert_eq!(error.code(), Some("NoSuchKey"));
    let nowhere = s3z::s3::client::ObjectRef::new("no-such-bucket", KEY, None).unwrap();
    let error = world.download(&DownloadRequest { object: nowhere, ..world.get() }).await.unwrap_err();
    assert_eq!((error.kind(), error.bucket()), (ErrorKind::NotFound, Some("no-such-bucket")));
    assert!(error.to_string().contains("no-such-bucket"), "{error}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_file_gets_the_objects_time_if_asked() {
    let world = World::with_object();
    world.server.shift_clock(-600);
    world.server.put_pattern(BUCKET, KEY, SIZE, SEED);
    let report = world.downloads(&DownloadRequest { set_mtime: true, durable: true, ..world.get() }, SIZE, SEED).await;
    let modified = std::fs::metadata(world.destination()).unwrap().modified().unwrap();
    assert_eq!(Some(modified), report.last_modified);
    assert!(modified < SystemTime::now() - Duration::from_secs(500));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_deadline_ends_a_download_that_goes_well() {
    let world = World::with_object();
    let late = DownloadRequest { deadline: Some(Duration::from_millis(300)), ..world.get() };
    let error = world
        .refuses(&late, ErrorKind::Timeout, |world| world.switch(|switches| switches.rate_per_connection = 20_000))
        .await;
    assert!(error.to_string().contains("deadline"), "{error}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn keys_travel_byte_for_byte() {
    let world = World::new();
    for key in ["a b", "a+b", "100%", "%41", "a&b=c?d#e", "ünï/çødé/🦀", "a//b", "tab\tnewline\n", "a~b'()*!", "."]
    {
        let Ok(object) = s3z::s3::client::ObjectRef::new(BUCKET, key, None) else {
            assert_eq!(key, ".", "only a key that a URL would rewrite is refused");
            continue;
        };
        world.server.put_pattern(BUCKET, key, SIZE, SEED);
        world.downloads(&DownloadRequest { object, ..world.get() }, SIZE, SEED).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn many_downloads_share_one_engine() {
    let world = World::with(|_, client| {
        client.transfer.memory_limit = 8 * MIB;
        client.transfer.max_requests = 3;
    });
    world.server.put_pattern(BUCKET, KEY, SIZE, SEED);
    let requests: Vec<_> =
        (0..12).map(|index| DownloadRequest { destination: world.path(&index.to_string()), ..world.get() }).collect();
    let cancel = s3z::progress::Cancel::default();
    let mut work = Vec::new();
    for request in &requests {
        work.push(s3z::ops::download::download(&world.engine, request, std::sync::Arc::default(), &cancel));
    }
    for outcome in join_all(work).await {
        outcome.unwrap();
    }
    for request in &requests {
        assert_pattern(&request.destination, SIZE, SEED);
    }
    assert!(world.logged("GetObject").len() == 120);
    // The server may not have noticed yet that one was closed.
    until("HEADs and at most three ranges at a time", || world.server.connections() <= 12 + 3).await;
}

/// Polls all at once, in one task.
async fn join_all<F: Future>(work: Vec<F>) -> Vec<F::Output> {
    let mut work: Vec<_> = work.into_iter().map(Box::pin).collect();
    let mut done: Vec<Option<F::Output>> = work.iter().map(|_| None).collect();
    std::future::poll_fn(|context| {
        for (future, slot) in work.iter_mut().zip(&mut done) {
            if slot.is_none()
                && let std::task::Poll::Ready(output) = future.as_mut().poll(context)
            {
                *slot = Some(output);
            }
        }
        if done.iter().all(Option::is_some) { std::task::Poll::Ready(()) } else { std::task::Poll::Pending }
    })
    .await;
    done.into_iter().flatten().collect()
}

/// I7: a range that covers the whole object may be answered with 200.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_store_without_ranges_serves_the_whole_object_at_once() {
    let world = World::with_object();
    world.switch(|switches| switches.no_ranges = true);
    let report = world.downloads(&world.get(), SIZE, SEED).await;
    assert_full_object(&report, Algorithm::Crc64Nvme);
    assert_eq!(world.logged("GetObject").len(), 1);
}

/// #4: later 200s are dropped unwritten; one plain GET follows.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_200_to_a_later_range_falls_back_once() {
    for skip in [0, 3, 8] {
        let world = World::with_object();
        world.on(Match { skip, ..later_ranges() }, fake_s3::Action::IgnoreRange);
        world.downloads(&world.get(), SIZE, SEED).await;
        let plain = world.logged("GetObject").iter().filter(|get| get.range.is_none()).count();
        assert_eq!(plain, 1);
    }
}
