//! Faults of the network itself, at any byte of the stream, heads included: a proxy that knows no HTTP
//! (#10–#13, #30, #83, R5).

use std::collections::BTreeMap;
use std::time::Duration;

use fake_s3::proxy::{Direction, Fault, Kind, Proxy};
use s3z::checksum::Algorithm;
use s3z::config::{KIB, MIB};
use s3z::error::ErrorKind;
use s3z::ops::download::DownloadRequest;

use crate::support::*;

fn proxied() -> (World, Proxy) {
    let (world, proxy) = World::proxied(|client| {
        client.retry.max_attempts = 15;
        client.retry.read_timeout = Duration::from_millis(400);
        client.retry.min_rate = 20_000;
        client.retry.min_rate_window = Duration::from_millis(300);
    });
    world.server.put_pattern(BUCKET, KEY, SIZE, SEED);
    (world, proxy)
}

fn fault(after: u64, kind: Kind, times: u64) -> Fault {
    Fault { direction: Direction::ToClient, after, kind, times: Some(times) }
}

/// Somewhere in what a connection carries, a little different for each seed.
fn somewhere(seed: u64) -> u64 {
    seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) % (3 * PART)
}

/// Later questions for a part begin where earlier ones ended: none goes back.
fn assert_never_goes_back(world: &World) {
    let mut starts = BTreeMap::<u64, u64>::new();
    for get in world.logged("GetObject") {
        let range = get.range.unwrap();
        let (first, last) = range.strip_prefix("bytes=").unwrap().split_once('-').unwrap();
        let (first, last) = (first.parse().unwrap(), last.parse().unwrap());
        let before = starts.insert(last, first);
        assert!(before.is_none_or(|before| before <= first), "bytes {first}-{last} after {before:?}");
    }
}

/// #10–#13: that no byte arrives twice the oracle of `World` sees.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_fault_at_any_byte_is_survived() {
    let kinds = [Kind::Cut, Kind::Reset, Kind::Blackhole, Kind::Throttle { bytes_per_second: 200 }];
    for (index, kind) in kinds.into_iter().enumerate() {
        for seed in 0..6 {
            let (world, proxy) = proxied();
            proxy.add(fault(somewhere(10 * index as u64 + seed), kind.clone(), 4));
            let request = DownloadRequest { max_concurrency: Some(3), ..world.get() };
            let report = world.downloads(&request, SIZE, SEED).await;
            assert_full_object(&report, Algorithm::Crc64Nvme);
            assert!(proxy.accepted() > 4, "{kind:?}: the fault was met");
            assert_never_goes_back(&world);
        }
    }
}

/// #10–#12 in the other direction: the request does not get through.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_request_that_does_not_arrive_is_sent_again() {
    for kind in [Kind::Cut, Kind::Reset, Kind::Blackhole] {
        for after in [0, 100, 1000] {
            let (world, proxy) = proxied();
            let to_server = Direction::ToServer;
            proxy.add(Fault { direction: to_server, after, kind: kind.clone(), times: Some(3) });
            world.downloads(&world.get(), SIZE, SEED).await;
        }
    }
}

/// #30, C5: the bytes are fetched once more, over new connections.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_flipped_bit_never_gets_into_a_file() {
    let (world, proxy) = proxied();
    // One of the two is that of the HEAD, which is too short to be hit.
    proxy.add(fault(50_000, Kind::Flip { mask: 0x10 }, 2));
    let request = |world: &World| DownloadRequest { max_concurrency: Some(1), ..world.get() };
    let report = world.downloads(&request(&world), SIZE, SEED).await;
    assert_full_object(&report, Algorithm::Crc64Nvme);
    assert_eq!(world.logged("GetObject").len(), 2);

    let (world, proxy) = proxied();
    world.switch(|switches| switches.close_connections = true);
    proxy.add(Fault { times: None, ..fault(50_000, Kind::Flip { mask: 0x10 }, 0) });
    world.refuses(&request(&world), ErrorKind::Integrity, |_| {}).await;
    assert_eq!(world.logged("GetObject").len(), 2, "once more, and no more");
}

/// #83, R5: a suspended laptop wakes up with no connection alive, again and again. A range that has received something
/// since is continued for nothing; a quota that had to pay for these would be empty at once.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn all_connections_dead_cost_nothing_after_progress() {
    const TIMES: u64 = 5;
    let size = 24 * MIB;
    for silently in [false, true] {
        let (world, proxy) = World::proxied(|client| {
            client.retry.read_timeout = Duration::from_millis(300);
            client.retry.progress_bytes = 16 * KIB;
            (client.retry.quota, client.retry.quota_refill) = (5 * 14, 0);
            client.retry.quota_wait = Duration::ZERO;
        });
        world.server.put_pattern(BUCKET, KEY, size, SEED);
        world.switch(|switches| switches.rate_per_connection = 2 * MIB);
        let request = DownloadRequest { part_size: Some(3 * MIB), max_concurrency: Some(8), ..world.get() };
        let (cancel, progress) = Default::default();
        let (outcome, ()) = tokio::join!(world.download_until(&request, &cancel, &progress), async {
            for time in 1..=TIMES {
                // By now each of the eight has received ten times what counts as progress.
                until("progress", || progress.snapshot().network > time * 8 * 160 * KIB).await;
                if silently { proxy.silence_all() } else { proxy.kill_all() }
            }
        });
        assert_full_object(&outcome.unwrap(), Algorithm::Crc64Nvme);
        assert_pattern(&world.destination(), size, SEED);
        assert!(proxy.accepted() >= 8 * (TIMES + 1), "{} connections", proxy.accepted());
    }
}

/// The counterpart: without progress the quota ends it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn all_connections_dead_without_progress_are_paid_for() {
    let (world, proxy) = World::proxied(|client| {
        (client.retry.quota, client.retry.quota_refill) = (2 * 14, 0);
        (client.retry.max_attempts, client.retry.hard_attempts) = (100, 100);
        client.retry.quota_wait = Duration::ZERO;
    });
    world.server.put_pattern(BUCKET, KEY, SIZE, SEED);
    proxy.add(Fault { times: None, ..fault(2_000, Kind::Cut, 0) });
    let error = world.download(&world.get()).await.unwrap_err();
    assert_eq!((error.kind(), error.key()), (ErrorKind::Connection, Some(KEY)));
    assert!(proxy.accepted() < 30, "{} connections", proxy.accepted());
}
