//! Redirects, regions and clocks (#24–#26, #33, #82).

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering::SeqCst};
use std::time::{Duration, Instant, SystemTime};

use fake_s3::{Action, Config, FakeS3, Match};
use s3z::checksum::Algorithm;
use s3z::error::ErrorKind;
use s3z::ops::download::DownloadRequest;
use s3z::ops::upload::UploadRequest;
use s3z::s3::environment::{Environment, WallClock};

use crate::support::*;

fn redirect(status: u16, location: Option<String>, region: Option<&str>) -> Action {
    Action::Redirect { status, location, endpoint: None, region: region.map(str::to_owned) }
}

/// #24
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_bucket_of_another_region_is_signed_for_it() {
    let world = World::with(|server, _| server.region = "eu-west-3".into());
    world.server.put_pattern(BUCKET, KEY, SIZE, SEED);
    world.downloads(&world.get(), SIZE, SEED).await;
    // Discovery and the HEAD beside it go out together; whoever comes back first teaches all who come later.
    let refused = world.server.log().iter().filter(|record| record.status == 400).count();
    assert!((1..=2).contains(&refused), "the region is learnt once for the bucket, not {refused} times");
    world.server.clear_log();
    assert_full_object(&world.downloads(&world.get(), SIZE, SEED).await, Algorithm::Crc64Nvme);
    assert!(world.server.log().iter().all(|record| record.status < 300));
    world.upload(&world.put(300_000)).await.unwrap();
}

/// #24
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_permanent_redirect_with_a_region_is_obeyed_once() {
    let world = World::with_object();
    world.times(1, gets(), redirect(301, None, Some("us-east-1")));
    world.downloads(&world.get(), SIZE, SEED).await;
    let always = |world: &World| world.on(gets(), redirect(301, None, Some("us-east-1")));
    world.refuses(&world.get(), ErrorKind::Service, always).await;
    assert!(world.logged("GetObject").len() <= 2, "no loop");
}

/// #24, S4
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_region_that_is_no_name_is_ignored() {
    for region in ["evil.example/", "a.b", "A", "", "eu west", "x@y", &"a".repeat(33)] {
        let world = World::with_object();
        let lies = |world: &World| world.on(gets(), redirect(301, None, Some(region)));
        world.refuses(&world.get(), ErrorKind::Service, lies).await;
        assert_eq!(world.logged("GetObject").len(), 1, "{region}");
    }
}

/// #25, R9
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_temporary_redirect_within_the_endpoint_is_followed_and_the_body_sent_again() {
    let world = World::with_object();
    let same = format!("{}/elsewhere", world.server.endpoint());
    world.times(3, gets(), redirect(307, Some(same.clone()), None));
    world.downloads(&world.get(), SIZE, SEED).await;
    world.times(1, operation("PutObject"), redirect(307, Some(same), None));
    world.upload(&world.put(300_000)).await.unwrap();
    assert_eq!(world.server.object(BUCKET, KEY).unwrap(), content(300_000));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn redirects_without_end_are_refused() {
    let world = World::with_object();
    let location = Some(format!("{}/", world.server.endpoint()));
    let always = |world: &World| world.on(gets(), redirect(307, location.clone(), None));
    world.refuses(&world.get(), ErrorKind::Service, always).await;
    assert!(world.logged("GetObject").len() <= 4, "three hops");
}

/// #26, S9: the target sees neither a request nor a header.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn redirects_to_elsewhere_are_refused_in_silence() {
    let world = World::with_object();
    let own = world.server.address().port();
    let open = Config { require_auth: false, ..Config::default() };
    let target = FakeS3::start(open.clone()).unwrap();
    // Only its host tells it from the endpoint.
    let neighbour = FakeS3::start(Config { host: "127.0.0.2".into(), port: own, ..open }).unwrap();
    for server in [&target, &neighbour] {
        server.put_pattern(BUCKET, KEY, SIZE, SEED);
    }
    let port = target.address().port();
    let locations = [
        target.endpoint(),
        neighbour.endpoint(),
        format!("http://127.0.0.1.example:{own}/"),
        format!("http://localhost:{port}/{BUCKET}/{KEY}"),
        format!("http://127.0.0.1:{own}@127.0.0.1:{port}/"),
        format!("http://bucket.127.0.0.1:{port}/"),
        format!("https://127.0.0.1:{own}/"),
        format!("//127.0.0.1:{port}/"),
        "http://s3.amazonaws.com/".to_owned(),
        "file:///etc/passwd".to_owned(),
        "not a URL".to_owned(),
        String::new(),
    ];
    for location in locations {
        for status in [301, 302, 303, 307, 308] {
            let to = Some(location.clone());
            let redirects = |world: &World| world.on(Match::default(), redirect(status, to.clone(), None));
            world.refuses(&world.get(), ErrorKind::Service, redirects).await;
        }
        world.server.clear_rules();
        world.on(Match::default(), redirect(307, Some(location.clone()), None));
        for size in [300, 6 << 20] {
            let request = UploadRequest { part_size: Some(5 << 20), ..world.put(size) };
            world.refuses_upload(&request, ErrorKind::Service).await;
        }
        for server in [&target, &neighbour] {
            assert_eq!((server.log().len(), server.connections()), (0, 0), "{location}");
        }
        world.server.clear_log();
    }
}

/// #33: one offset, shared by all.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_stores_clock_is_learnt() {
    for seconds in [3600, -3600, 86_400] {
        let world = World::with_object();
        world.server.shift_clock(seconds);
        world.downloads(&world.get(), SIZE, SEED).await;
        let refused = world.server.log().iter().filter(|record| record.status == 403).count();
        assert!((1..=2).contains(&refused), "one answer teaches the clock; the HEAD beside it may be under way");
        world.server.clear_log();
        assert_full_object(&world.downloads(&world.get(), SIZE, SEED).await, Algorithm::Crc64Nvme);
        assert!(world.server.log().iter().all(|record| record.status < 300));
        world.upload(&world.put(300_000)).await.unwrap();
    }
}

/// #33: HEAD's refusal has no body, so no code: the checksum must not be lost over it, nor `head` fail.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_stores_clock_is_learnt_from_a_head_too() {
    let world = World::with_object();
    world.server.shift_clock(3600);
    let head = s3z::ops::manage::head(&world.engine, &object(KEY), &s3z::progress::Cancel::default()).await;
    assert_eq!(head.unwrap().identity.size, SIZE);
}

const DAY: i64 = 86_400;

/// This machine's clock, ahead by so many seconds.
#[derive(Default)]
struct Wrong(AtomicI64);

impl WallClock for Wrong {
    fn now(&self) -> SystemTime {
        let ahead = self.0.load(SeqCst);
        let by = Duration::from_secs(ahead.unsigned_abs());
        if ahead < 0 { SystemTime::now() - by } else { SystemTime::now() + by }
    }
}

fn with_clock(clock: &Arc<Wrong>, read_timeout: Duration) -> World {
    let world = World::with(|_, client| client.retry.read_timeout = read_timeout);
    world.server.put_pattern(BUCKET, KEY, SIZE, SEED);
    world.reached_by(Environment { clock: clock.clone(), ..Environment::default() }, |_| {})
}

/// #82: our clock jumps in the middle, to and fro; each jump costs what is under way one answer, and no more.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_clock_that_jumps_is_corrected_again() {
    let clock = Arc::new(Wrong::default());
    let world = with_clock(&clock, Duration::from_secs(20));
    world.on(gets(), Action::Latency { ms: 20 });
    let request = DownloadRequest { part_size: Some(20_011), max_concurrency: Some(4), ..world.get() };
    let (report, ()) = tokio::join!(world.downloads(&request, SIZE, SEED), async {
        for (requests, ahead) in [(5, DAY), (20, -DAY), (35, 0)] {
            until("some requests", || world.server.log().len() > requests).await;
            clock.0.store(ahead, SeqCst);
        }
    });
    assert_full_object(&report, Algorithm::Crc64Nvme);
    let refused = world.server.log().iter().filter(|record| record.status == 403).count();
    assert!((3..=3 * 5).contains(&refused), "{refused} answers were lost to three jumps");
    assert_eq!(world.server.bytes_sent_twice(BUCKET, KEY), 0);
}

/// #82: no timeout is longer or shorter for it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_clock_that_jumps_moves_no_timeout() {
    for ahead in [DAY, -DAY] {
        let clock = Arc::new(Wrong::default());
        let world = with_clock(&clock, Duration::from_millis(800));
        let jump = async |world: &World| {
            until("a request", || !world.logged("GetObject").is_empty()).await;
            clock.0.store(ahead, SeqCst);
        };
        world.times(1, gets(), Action::Latency { ms: 300 });
        let request = DownloadRequest { max_concurrency: Some(2), ..world.get() };
        tokio::join!(world.downloads(&request, SIZE, SEED), jump(&world));
        let refused = world.logged("GetObject").iter().filter(|get| get.status == 403).count();
        assert_eq!(world.logged("GetObject").len(), 10 + refused, "none was given up for a timeout");
        assert!((1..=2).contains(&refused), "{refused}");

        world.server.clear_log();
        clock.0.store(0, SeqCst);
        world.times(1, gets(), Action::Stall { after: 0, seconds: 60.0, in_head: true });
        let started = Instant::now();
        let (_, ()) = tokio::join!(world.downloads(&request, SIZE, SEED), jump(&world));
        assert!(started.elapsed() < Duration::from_secs(10), "the stall was noticed in time");
    }
}

/// A clock that the store says is right is not blamed.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_skew_that_cannot_be_cured_is_access_denied() {
    let world = World::with_object();
    let always = |world: &World| world.on(gets(), Action::error(403, "RequestTimeTooSkewed"));
    world.refuses(&world.get(), ErrorKind::AccessDenied, always).await;
    assert_eq!(world.logged("GetObject").len(), 2, "one retry");
}
