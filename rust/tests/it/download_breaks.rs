//! Bodies that break off, stall or never begin, and what costs no received byte (#10–#12, #14, #17, #19).

use std::time::{Duration, Instant};

use fake_s3::{Action, EtagStyle, Match};
use s3z::checksum::Algorithm;
use s3z::error::ErrorKind;
use s3z::ops::download::DownloadRequest;

use crate::support::*;

fn truncate(after: u64) -> Action {
    Action::Truncate { after, in_head: false, close_notify: false }
}

fn stall(after: u64, in_head: bool) -> Action {
    Action::Stall { after, seconds: 60.0, in_head }
}

/// A client that calls it a stall soon.
fn impatient() -> World {
    let world = World::with(|_, client| client.retry.read_timeout = Duration::from_millis(400));
    world.server.put_pattern(BUCKET, KEY, SIZE, SEED);
    world
}

/// #10, I9
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_truncated_body_goes_on_at_its_first_missing_byte() {
    for after in [0, 1, 4096, PART / 2, PART - 1] {
        for concurrency in [None, Some(1), Some(2)] {
            let world = World::patient();
            world.server.add_rule(fake_s3::Rule::new(Match { every: Some(2), ..gets() }, truncate(after)).times(8));
            let request = DownloadRequest { max_concurrency: concurrency, ..world.get() };
            let report = world.downloads(&request, SIZE, SEED).await;
            assert_full_object(&report, Algorithm::Crc64Nvme);
            assert_eq!(world.server.bytes_sent_twice(BUCKET, KEY), 0, "after {after}");
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_range_after_a_break_is_pinned_and_exact() {
    let world = World::with_object();
    world.times(1, Match { range_min: Some(5 * PART), range_max: Some(5 * PART), ..gets() }, truncate(1234));
    let report = world.downloads(&world.get(), SIZE, SEED).await;
    assert_eq!(report.attempts, report.parts + 1);
    let rest = format!("bytes={}-{}", 5 * PART + 1234, 6 * PART - 1);
    let gets = world.logged("GetObject");
    let resumed: Vec<_> = gets.iter().filter(|get| get.range.as_deref() == Some(&rest)).collect();
    assert_eq!(resumed.len(), 1, "{rest}");
    assert_eq!(header(resumed[0], "if-match"), report.etag.as_deref());
    assert_eq!(gets.len(), 11);
}

/// One stream of everything is resumed by a range as well.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_plain_get_goes_on_by_a_range() {
    let world = World::with_object();
    world.times(1, Match { has_range: Some(false), ..gets() }, truncate(500_000));
    world.downloads(&DownloadRequest { max_concurrency: Some(1), ..world.get() }, SIZE, SEED).await;
    let gets = world.logged("GetObject");
    assert_eq!(gets[1].range.as_deref(), Some("bytes=500000-1000029"));
    assert!(header(&gets[1], "if-match").is_some());
}

/// #10 with the version changed between the break and the rest.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_rest_of_another_version_is_not_appended() {
    for ignores_if_match in [false, true] {
        let world = World::with_object();
        let request = DownloadRequest { max_concurrency: Some(1), ..world.get() };
        let breaks = |world: &World| {
            world.server.put_pattern(BUCKET, KEY, SIZE, SEED);
            world.switch(|switches| switches.ignore_if_match = ignores_if_match);
            world.times(1, gets(), truncate(500_000));
            world.on(Match { skip: 1, ..gets() }, Action::SwapVersion { seed: Some(8), size: None });
        };
        world.refuses(&request, ErrorKind::ObjectChanged, breaks).await;
    }
}

/// #11
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_reset_body_goes_on() {
    for after in [0, 1, PART / 2, PART - 1] {
        let world = World::patient();
        world.server.add_rule(
            fake_s3::Rule::new(Match { every: Some(2), ..gets() }, Action::Reset { after, in_head: false }).times(8),
        );
        let report = world.downloads(&world.get(), SIZE, SEED).await;
        assert_full_object(&report, Algorithm::Crc64Nvme);
    }
}

/// #12
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stalled_body_goes_on_over_a_new_connection() {
    for after in [0, 1, PART / 2, PART - 1] {
        let world = impatient();
        world.times(3, later_ranges(), stall(after, false));
        let report = world.downloads(&world.get(), SIZE, SEED).await;
        assert_full_object(&report, Algorithm::Crc64Nvme);
        assert_eq!(world.server.bytes_sent_twice(BUCKET, KEY), 0);
        let stalled = world.logged("GetObject").iter().filter(|get| !get.rules.is_empty()).count();
        assert_eq!(stalled, 3);
    }
}

/// #14
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_answer_that_does_not_begin_is_asked_for_again() {
    for after in [0, 10] {
        let world = impatient();
        world.times(3, gets(), stall(after, true));
        let report = world.downloads(&world.get(), SIZE, SEED).await;
        assert_full_object(&report, Algorithm::Crc64Nvme);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn stalls_without_end_are_a_timeout() {
    for in_head in [false, true] {
        let world = impatient();
        let started = Instant::now();
        world.refuses(&world.get(), ErrorKind::Timeout, |world| world.on(later_ranges(), stall(0, in_head))).await;
        assert!(started.elapsed() < Duration::from_secs(40), "time without progress is bounded");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn breaks_without_progress_are_bounded() {
    for action in [
        truncate(0),
        Action::Reset { after: 0, in_head: true },
        Action::Truncate { after: 5, in_head: true, close_notify: false },
    ] {
        let world = World::with_object();
        let error =
            world.refuses(&world.get(), ErrorKind::Connection, |world| world.on(later_ranges(), action.clone())).await;
        assert_eq!(error.attempts(), 4, "R2: in a row without progress");
    }
}

/// R2: with progress the row begins anew, but not for ever.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn breaks_with_progress_are_bounded_too() {
    let world = World::with(|_, client| {
        client.retry.progress_bytes = 1000;
        client.retry.hard_attempts = 20;
    });
    world.server.put_pattern(BUCKET, KEY, SIZE, SEED);
    let request = DownloadRequest { max_concurrency: Some(1), ..world.get() };
    world.on(gets(), truncate(SIZE / 15));
    world.downloads(&request, SIZE, SEED).await;
    assert_eq!(world.logged("GetObject").len(), 16, "fifteen and a rest");
    let error = world.refuses(&request, ErrorKind::Connection, |world| world.on(gets(), truncate(1001))).await;
    assert_eq!(error.attempts(), 20);
}

/// I4: nothing to go on from; nothing was given to the caller yet either, so the download starts again.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_a_strong_etag_a_break_starts_again() {
    for style in [EtagStyle::Weak, EtagStyle::None] {
        let world = World::new();
        world.switch(|switches| switches.etag_style = style);
        world.server.put_pattern(BUCKET, KEY, SIZE, SEED);
        world.times(1, Match { has_range: Some(false), ..gets() }, truncate(SIZE / 2));
        world.downloads(&world.get(), SIZE, SEED).await;
    }
}

/// I4: and it never goes on in the middle, which could mix two versions.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_a_strong_etag_no_rest_is_ever_asked_for() {
    for style in [EtagStyle::Weak, EtagStyle::None] {
        let world = World::new();
        world.switch(|switches| switches.etag_style = style);
        world.server.put_pattern(BUCKET, KEY, SIZE, SEED);
        let breaks = |world: &World| world.on(Match { has_range: Some(false), ..gets() }, truncate(SIZE / 2));
        world.refuses(&world.get(), ErrorKind::Connection, breaks).await;
        assert!(
            world.logged("GetObject").iter().all(|get| get.range.as_deref().is_none_or(|r| r.starts_with("bytes=0-")))
        );
    }
}

/// A store without ranges cannot continue a body: a whole object or an error, never a part of it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_break_at_a_store_without_ranges_is_never_a_short_success() {
    for breaks in [1, 100] {
        let world = World::with_object();
        world.switch(|switches| switches.no_ranges = true);
        world.times(breaks, gets(), truncate(SIZE / 2));
        match world.download(&world.get()).await {
            Ok(_) => assert_pattern(&world.destination(), SIZE, SEED),
            Err(error) => {
                assert!(breaks > 1, "one break is survived by starting again: {error:?}");
                assert!(matches!(error.kind(), ErrorKind::RangesIgnored | ErrorKind::Connection), "{error:?}");
                assert!(!world.destination().exists());
            }
        }
    }
}

/// #17: a connection that the server closes while it is idle costs nothing.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn connections_closed_while_idle_are_invisible() {
    for action in [
        Action::CloseAtReuse { reset: false },
        Action::CloseAtReuse { reset: true },
        Action::CloseAfterAnswer { delay_ms: 0 },
        Action::CloseAfterAnswer { delay_ms: 2 },
    ] {
        let world = World::with_object();
        world.on(Match { every: Some(3), ..gets() }, action.clone());
        let request = DownloadRequest { part_size: Some(5_000), max_concurrency: Some(3), ..world.get() };
        let report = world.downloads(&request, SIZE, SEED).await;
        assert_full_object(&report, Algorithm::Crc64Nvme);
        assert_eq!(report.attempts, report.parts, "{action:?}: stale connections are not counted");
    }
}

/// #19
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn server_errors_are_tried_again() {
    let html = "<!DOCTYPE html><html><body>Bad Gateway</body></html>";
    for action in [
        Action::error(500, "InternalError"),
        Action::error(503, "SlowDown"),
        Action::error(408, "RequestTimeout"),
        Action::error(400, "RequestTimeout"),
        Action::error(409, "OperationAborted"),
        Action::error(429, "TooManyRequests"),
        respond(500, ""),
        respond(502, html),
        respond(504, &html.repeat(5_000)),
        respond(500, "<Error><Code>InternalError</Code>"),
    ] {
        let world = World::patient();
        world.server.add_rule(fake_s3::Rule::new(Match { every: Some(3), ..gets() }, action.clone()).times(4));
        let report = world.downloads(&world.get(), SIZE, SEED).await;
        assert_full_object(&report, Algorithm::Crc64Nvme);
        assert!(report.attempts > report.parts, "{action:?}");
        assert_eq!(world.server.bytes_sent_twice(BUCKET, KEY), 0);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn server_errors_without_end_are_raised() {
    for (action, kind) in [
        (Action::error(500, "InternalError"), ErrorKind::Service),
        (respond(502, "<html>"), ErrorKind::Service),
        (Action::error(503, "SlowDown"), ErrorKind::Throttled),
        (Action::error(503, "ServiceUnavailable"), ErrorKind::Throttled),
    ] {
        let world = World::with_object();
        let error = world.refuses(&world.get(), kind, |world| world.on(later_ranges(), action.clone())).await;
        assert_eq!(error.attempts(), 4);
        assert!(error.status().unwrap() >= 500);
    }
}

/// Everything at once, seeded: the file is right or the download fails.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_storm_of_faults_never_makes_a_wrong_file() {
    for seed in 0..6 {
        let world = World::with(|_, client| {
            client.retry.read_timeout = Duration::from_millis(600);
            client.retry.max_attempts = 8;
            client.retry.progress_bytes = 1000;
        });
        world.server.put_pattern(BUCKET, KEY, SIZE, SEED);
        let some = |share: f64, step: u64| Match { probability: Some(share), seed: seed * 10 + step, ..gets() };
        world.on(some(0.15, 1), truncate(7_001));
        world.on(some(0.10, 2), Action::Reset { after: 3_000, in_head: false });
        world.on(some(0.15, 3), Action::ShortRange { bytes: 9_999 });
        world.on(some(0.10, 4), Action::error(500, "InternalError"));
        world.on(some(0.05, 5), Action::error(503, "SlowDown"));
        world.on(some(0.03, 6), stall(100, false));
        world.on(some(0.05, 7), Action::CloseAfterAnswer { delay_ms: 0 });
        world.on(some(0.02, 8), Action::WrongContentRange { start: Some(1), end: None, total: None });
        let request = DownloadRequest { part_size: Some(20_011), ..world.get() };
        match world.download(&request).await {
            Ok(report) => {
                assert_full_object(&report, Algorithm::Crc64Nvme);
                assert_pattern(&world.destination(), SIZE, SEED);
            }
            Err(error) => {
                assert_eq!(error.kind(), ErrorKind::Service, "seed {seed}: {error:?}");
                assert!(!world.destination().exists());
            }
        }
    }
}
