//! A store that asks to slow down (#18, #20, R3–R5).

use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use fake_s3::{Action, Match};
use s3z::config::RetryConfig;
use s3z::error::ErrorKind;
use s3z::ops::download::{DownloadRequest, download};
use s3z::ops::stored::Verify;
use s3z::progress::Cancel;
use tokio::task::JoinSet;

use crate::support::*;

/// #18
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_wait_a_store_asks_for_is_kept_by_all() {
    let world = World::with_object();
    world.times(1, later_ranges(), Action::slow_down("1"));
    world.downloads(&world.get(), SIZE, SEED).await;
    let log = world.logged("GetObject");
    let refused = log.iter().find(|get| get.status == 503).unwrap();
    let end = refused.time + refused.duration;
    // Requests that were already on their way are not called back.
    let early = log.iter().filter(|get| get.time > end + 0.2 && get.time < end + 0.9).count();
    assert_eq!(early, 0, "no new request goes out before the wait is over");
    assert!(log.iter().any(|get| get.time >= end + 0.9));
}

/// #18: a date, milliseconds, nonsense; all end well.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_form_of_retry_after_ends_well() {
    for value in ["0", "-1", "soon", "", "Thu, 01 Jan 1970 00:00:00 GMT", "1e9"] {
        let world = World::patient();
        world
            .server
            .add_rule(fake_s3::Rule::new(Match { every: Some(2), ..gets() }, Action::slow_down(value)).times(3));
        world.downloads(&world.get(), SIZE, SEED).await;
    }
}

/// #18, R3: milliseconds, seconds and dates are waited for; a date is one of the store's clock, which is an hour ahead.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_wait_is_kept_in_every_form() {
    let soon = httpdate::fmt_http_date(SystemTime::now() + Duration::from_secs(3603));
    let forms = [("Retry-After", soon.as_str(), 1.0), ("x-amz-retry-after", "300", 0.3), ("Retry-After", "1", 1.0)];
    for (name, value, least) in forms {
        let world = World::with(|server, _| server.require_auth = false);
        world.server.put_pattern(BUCKET, KEY, SIZE, SEED);
        world.server.shift_clock(3600);
        world.times(1, gets(), set_header(name, value));
        world.times(1, gets(), Action::error(503, "SlowDown"));
        let started = Instant::now();
        world.downloads(&world.get(), SIZE, SEED).await;
        let waited = started.elapsed().as_secs_f64();
        assert!(waited >= least, "{name}: {value}: only {waited} s");
        assert!(waited < 20.0, "{name}: {value}: {waited} s");
    }
}

/// #18, R4: all of the pool shrinks, not only the request that was refused.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_whole_pool_shrinks_after_a_throttle() {
    let world = World::with_object();
    world.on(gets(), Action::Latency { ms: 30 });
    world.times(1, Match { skip: 40, ..gets() }, set_header("x-amz-retry-after", "300"));
    world.times(1, Match { skip: 40, ..gets() }, Action::error(503, "SlowDown"));
    let request = DownloadRequest { part_size: Some(8_009), max_concurrency: Some(10), ..world.get() };
    world.downloads(&request, SIZE, SEED).await;
    let log = world.logged("GetObject");
    let refused = log.iter().find(|get| get.status == 503).unwrap();
    let open_again = refused.time + refused.duration + 0.3;
    let in_flight = |at: f64| log.iter().filter(|get| get.time <= at && at < get.time + get.duration).count();
    let most = |from: f64, to: f64| {
        let begun = log.iter().filter(|get| get.time >= from && get.time < to);
        begun.map(|get| in_flight(get.time)).max().unwrap_or(0)
    };
    assert_eq!(most(0.0, refused.time), 10);
    // Those who waited at the gate go through it together; from then on there are fewer.
    let after = most(open_again + 0.05, open_again + 0.15);
    assert!((1..10).contains(&after), "{after} in flight after the throttle");
}

/// #18, R3: what is absurd is clamped.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_absurd_wait_is_clamped() {
    let world = World::with(|_, client| client.retry.max_retry_after = Duration::from_millis(200));
    world.server.put_pattern(BUCKET, KEY, SIZE, SEED);
    for value in ["86400", "99999999999999999999", "Fri, 31 Dec 9999 23:59:59 GMT"] {
        world.times(1, gets(), Action::slow_down(value));
        let started = Instant::now();
        world.downloads(&world.get(), SIZE, SEED).await;
        assert!(started.elapsed() < Duration::from_secs(30));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_cancel_is_heard_during_a_long_wait() {
    let world = World::with_object();
    world.on(gets(), Action::slow_down("50"));
    let cancel = Cancel::default();
    let (progress, request) = (Arc::default(), world.get());
    let (outcome, since) = tokio::join!(world.download_until(&request, &cancel, &progress), async {
        until("a refusal", || world.server.log().iter().any(|record| record.status == 503)).await;
        cancel.trigger();
        Instant::now()
    });
    assert_eq!(outcome.unwrap_err().kind(), ErrorKind::Cancelled);
    assert!(since.elapsed() < Duration::from_secs(2));
}

/// #20, R5: one engine, many objects, a store that always refuses.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_quota_bounds_a_storm_of_retries() {
    let world = World::with(|_, client| {
        client.retry = RetryConfig {
            max_attempts: 1000,
            hard_attempts: 1000,
            quota: 500,
            quota_refill: 10,
            quota_wait: Duration::from_millis(300),
            ..quick()
        };
    });
    world.server.put_pattern(BUCKET, KEY, SIZE, SEED);
    world.on(later_ranges(), Action::error(503, "SlowDown"));
    let started = Instant::now();
    let request = DownloadRequest { max_concurrency: Some(8), verify: Verify::Off, ..world.get() };
    let error = world.download(&request).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Throttled);
    let allowed = 1 + 9 + 100 + 2 * (1 + started.elapsed().as_secs());
    let sent = world.server.log().len() as u64;
    assert!(sent <= allowed, "{sent} requests where {allowed} are allowed");
    assert!(sent > 50, "{sent}: the quota is there to be used");
}

/// #20, R5: many objects have one quota together, and a deadline ends the wait for it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_quota_is_shared_by_all_objects_and_the_deadline_is_kept() {
    const OBJECTS: usize = 16;
    let world = World::with(|_, client| {
        // Each by itself would try for long.
        client.retry =
            RetryConfig { max_attempts: 1000, hard_attempts: 1000, quota: 500, max_backoff: Duration::ZERO, ..quick() };
    });
    world.on(Match::default(), Action::error(503, "SlowDown"));
    let started = Instant::now();
    let limit = Duration::from_secs(2);
    let mut tasks = JoinSet::new();
    for index in 0..OBJECTS {
        let destination = world.path(&format!("destination-{index}"));
        let request = DownloadRequest {
            deadline: Some(limit),
            verify: Verify::Off,
            ..DownloadRequest::new(object(&format!("{KEY}-{index}")), destination)
        };
        let engine = world.engine.clone();
        tasks.spawn(async move { download(&engine, &request, Arc::default(), &Cancel::default()).await });
    }
    while let Some(ended) = tasks.join_next().await {
        let error = ended.unwrap().unwrap_err();
        assert!(matches!(error.kind(), ErrorKind::Timeout | ErrorKind::Throttled), "{error:?}");
        assert!(error.key().is_some_and(|key| key.starts_with(KEY)), "{error:?}");
    }
    let seconds = started.elapsed().as_secs_f64();
    assert!(seconds < 10.0, "the deadline was 2 s");
    let (sent, allowed) = (world.server.log().len(), OBJECTS + 100 + 2 * (seconds as usize + 1));
    assert!(sent <= allowed, "{sent} requests where {allowed} are allowed");
    assert!(sent >= 100, "{sent}: the quota is there to be used");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_store_that_recovers_is_forgiven() {
    let world = World::with(|_, client| client.retry.max_attempts = 10);
    world.server.put_pattern(BUCKET, KEY, SIZE, SEED);
    world.times(9, gets(), Action::error(503, "SlowDown"));
    world.downloads(&world.get(), SIZE, SEED).await;
}
