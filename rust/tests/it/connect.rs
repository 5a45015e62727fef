//! Getting a connection: addresses that are dead or silent, names that fail or change, connections closed by the store
//! (#15–#17, #36).

use std::time::{Duration, Instant};

use fake_s3::{Action, Config, FakeS3, Match};
use s3z::checksum::Algorithm;
use s3z::config::ClientConfig;
use s3z::error::ErrorKind;
use s3z::ops::download::DownloadRequest;
use tokio::task::JoinSet;

use crate::names::{Found, Script, Unanswered, at, named};
use crate::support::*;

fn world(change: impl FnOnce(&mut ClientConfig)) -> World {
    let world = World::with(|_, client| {
        client.retry.connect_timeout = Duration::from_millis(300);
        client.retry.dns_timeout = Duration::from_millis(100);
        change(client);
    });
    world.server.put_pattern(BUCKET, KEY, SIZE, SEED);
    world
}

/// #15
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_handshake_that_is_never_answered_is_a_timeout() {
    let silent = Unanswered::new("127.0.0.1", 0);
    let world = world(|client| client.endpoint_url = Some(format!("http://{}", silent.address())));
    let started = Instant::now();
    let error = world.refuses(&world.get(), ErrorKind::Timeout, |_| {}).await;
    assert_eq!(error.attempts(), 4);
    assert!(error.to_string().contains(&silent.address().to_string()), "{error}");
    assert!(started.elapsed() < Duration::from_secs(10), "twice four connect timeouts");
}

/// #15, #16: the others are tried at once, and the bad ones are not tried again.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn dead_and_silent_addresses_are_left_out() {
    let names = Script::new([at(&["127.0.0.2", "127.0.0.3", "127.0.0.1"])]);
    let world = named(world(|client| client.retry.connect_timeout = Duration::from_secs(1)), &names);
    // Nobody listens at 127.0.0.2, and nobody answers at 127.0.0.3.
    let _silent = Unanswered::new("127.0.0.3", world.server.address().port());
    let started = Instant::now();
    assert_full_object(&world.downloads(&world.get(), SIZE, SEED).await, Algorithm::Crc64Nvme);
    assert!(started.elapsed() < Duration::from_secs(2), "one connect timeout, not one for each connection");
    // A handshake that nobody waits for any more goes on by itself until it fails.
    tokio::time::sleep(Duration::from_millis(1100)).await;
    // Connections of their own, so that each would have to try.
    world.switch(|switches| switches.close_connections = true);
    let started = Instant::now();
    let report = world.downloads(&world.get(), SIZE, SEED).await;
    assert!(started.elapsed() < Duration::from_secs(1));
    assert_eq!(report.attempts, report.parts);
}

/// #16: connections go round all good addresses.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn connections_are_spread_over_all_addresses() {
    let (world, others) = neighbours(&["127.0.0.2", "127.0.0.3"]);
    let names = Script::new([at(&["127.0.0.1", "127.0.0.2", "127.0.0.3"])]);
    let world = named(world, &names);
    world.switch(|switches| switches.close_connections = true);
    world.downloads(&world.get(), SIZE, SEED).await;
    for server in others.iter().chain([&world.server]) {
        assert!(!server.log().is_empty(), "nothing was asked at {}", server.address());
    }
}

/// The store at 127.0.0.1 and the same at other addresses, all at one port.
fn neighbours(hosts: &[&str]) -> (World, Vec<FakeS3>) {
    for _ in 0..20 {
        let world = world(|client| (client.retry.max_attempts, client.retry.hard_attempts) = (1000, 1000));
        let port = world.server.address().port();
        let start = |host: &&str| FakeS3::start(Config { host: (*host).to_owned(), port, ..Config::default() }).ok();
        // Another test may have the port at another address.
        let Some(others) = hosts.iter().map(start).collect::<Option<Vec<_>>>() else { continue };
        for other in &others {
            other.put_pattern(BUCKET, KEY, SIZE, SEED);
        }
        return (world, others);
    }
    panic!("no port is free at all of {hosts:?}")
}

/// #36
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn names_that_cannot_be_resolved_are_asked_for_again() {
    for failure in [Found::Nothing, Found::At(Vec::new()), Found::Silence] {
        let names = Script::new([failure.clone(), failure.clone(), failure.clone(), at(&["127.0.0.1"])]);
        let world = named(world(|_| {}), &names);
        world.downloads(&world.get(), SIZE, SEED).await;

        names.change(failure);
        // The list of a moment ago is good enough.
        world.downloads(&world.get(), SIZE, SEED).await;
    }
}

/// #36
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_name_that_never_resolves_is_a_connection_error() {
    for failure in [Found::Nothing, Found::Silence] {
        let world = named(world(|_| {}), &Script::new([failure]));
        let started = Instant::now();
        let error = world.refuses(&world.get(), ErrorKind::Connection, |_| {}).await;
        assert!(error.to_string().contains("store.test") && error.to_string().contains("resolved"), "{error}");
        assert!(started.elapsed() < Duration::from_secs(10));
    }
}

/// #36: a store that moves in the middle of a transfer.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_store_that_moves_is_found_again() {
    let (world, mut others) = neighbours(&["127.0.0.2"]);
    let names = Script::new([at(&["127.0.0.2"])]);
    let world = named(world, &names);
    let mut old = others.remove(0);
    let mut switches = old.switches();
    switches.rate_per_connection = 200_000;
    old.set_switches(switches);
    let request = world.get();
    let (report, ()) = tokio::join!(world.downloads(&request, SIZE, SEED), async {
        until("some requests", || old.log().len() > 2).await;
        names.change(at(&["127.0.0.1"]));
        old.stop();
    });
    assert_full_object(&report, Algorithm::Crc64Nvme);
    assert!(!world.server.log().is_empty());
}

/// #17: a store that closes every connection 0 to 5 ms after its answer. Nobody may notice: one failure that counts, or
/// costs anything, would end this.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn ten_thousand_requests_over_connections_that_are_closed_at_once() {
    const TASKS: u32 = 8;
    const EACH: u32 = 1250;
    let world = World::with(|_, client| {
        (client.retry.max_attempts, client.retry.quota, client.retry.quota_refill) = (1, 0, 0);
    });
    world.server.put_pattern(BUCKET, KEY, SIZE, SEED);
    for delay_ms in 0..6 {
        world.on(Match { every: Some(6), skip: delay_ms, ..Match::default() }, Action::CloseAfterAnswer { delay_ms });
    }
    let mut tasks = JoinSet::new();
    for _ in 0..TASKS {
        let client = world.engine.client.clone();
        tasks.spawn(async move {
            for _ in 0..EACH {
                client.head_object(&object(KEY), None).await.unwrap();
            }
        });
    }
    while let Some(ended) = tasks.join_next().await {
        ended.unwrap();
    }
    let answered = world.logged("HeadObject").iter().filter(|head| head.status == 200).count();
    assert_eq!(answered, (TASKS * EACH) as usize);
}

/// #17, I9: the same with bodies, and a file at the end.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_download_over_connections_that_are_closed_at_once() {
    let world = World::with(|_, client| {
        (client.retry.max_attempts, client.retry.quota, client.retry.quota_refill) = (1, 0, 0);
    });
    world.server.put_pattern(BUCKET, KEY, SIZE, SEED);
    for delay_ms in 0..6 {
        world.on(Match { every: Some(6), skip: delay_ms, ..gets() }, Action::CloseAfterAnswer { delay_ms });
    }
    let request = DownloadRequest { part_size: Some(1_009), max_concurrency: Some(6), ..world.get() };
    let report = world.downloads(&request, SIZE, SEED).await;
    assert_full_object(&report, Algorithm::Crc64Nvme);
    assert_eq!(report.attempts, report.parts, "stale connections are not counted");
}
