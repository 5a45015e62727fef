//! The limit on bandwidth: what it holds back is slower than it says for nobody, and no stall.
//!
//! Time is asserted from below only: a limit that does not hold is fast, a slow machine proves nothing.

use std::sync::Arc;
use std::time::{Duration, Instant};

use fake_s3::Action;
use s3z::config::{KIB, MIB, TransferConfig};
use s3z::error::ErrorKind;
use s3z::ops::download::{DownloadRequest, download};
use s3z::ops::upload::upload;
use s3z::progress::Cancel;
use s3z::s3::body::ObjectBody;
use s3z::s3::object::ObjectIdentity;

use crate::support::*;

fn limited(rate: u64) -> World {
    World::with(|_, client| client.transfer.max_bandwidth = Some(rate))
}

/// Impatient with everybody but ourselves.
fn impatient(rate: u64) -> World {
    World::with(|_, client| {
        client.transfer.max_bandwidth = Some(rate);
        client.retry.read_timeout = Duration::from_millis(400);
        client.retry.min_rate = MIB;
        client.retry.min_rate_window = Duration::from_millis(300);
        client.retry.max_attempts = 2;
    })
}

/// Bytes that may pass at once: a tenth of a second's, and of each request what was on its way.
const SLACK: u64 = 2 * MIB;

fn assert_held(since: Instant, bytes: u64, rate: u64) {
    let least = (bytes - SLACK) as f64 / rate as f64;
    let took = since.elapsed().as_secs_f64();
    assert!(took >= least, "{bytes} bytes in {took} s, though {rate} bytes a second were allowed");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_download_is_held_back() {
    let (size, rate) = (8 * MIB, 6 * MIB);
    let world = limited(rate);
    world.server.put_pattern(BUCKET, KEY, size, SEED);
    let get = DownloadRequest { part_size: Some(MIB), max_concurrency: Some(4), ..world.get() };
    let since = Instant::now();
    let report = world.downloads(&get, size, SEED).await;
    assert_held(since, size, rate);
    assert_eq!(report.attempts, report.parts, "what we hold back ourselves was called slow");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_upload_is_held_back() {
    let rate = 6 * MIB;
    // One request, and parts side by side.
    for (size, threshold) in [(8 * MIB, 16 * MIB), (12 * MIB, 5 * MIB)] {
        let world = World::with(|_, client| {
            let own =
                TransferConfig { multipart_threshold: threshold, part_size: Some(5 * MIB), ..client.transfer.clone() };
            client.transfer = TransferConfig { max_bandwidth: Some(rate), ..own };
        });
        let since = Instant::now();
        let report = world.upload(&world.put(size)).await.unwrap();
        assert_held(since, size, rate);
        assert_eq!(report.attempts, report.parts);
        assert!(world.server.object(BUCKET, KEY).unwrap() == content(size));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn both_directions_share_one_limit() {
    let (size, rate) = (4 * MIB, 6 * MIB);
    let world = limited(rate);
    world.server.put_pattern(BUCKET, "other", size, SEED);
    let get = DownloadRequest { object: object("other"), max_concurrency: Some(1), ..world.get() };
    let put = world.put(size);
    let never = Cancel::default();
    let since = Instant::now();
    let (up, down) = tokio::join!(
        upload(&world.engine, &put, Arc::default(), &never),
        download(&world.engine, &get, Arc::default(), &never)
    );
    assert_held(since, 2 * size, rate);
    up.unwrap();
    down.unwrap();
    assert_pattern(&world.destination(), size, SEED);
}

/// A wait of our own is longer than any patience with the store, and much slower than it must be.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_we_hold_back_ourselves_is_no_stall() {
    let world = impatient(32 * KIB);
    let size = 160 * KIB;
    world.server.put_pattern(BUCKET, "other", size, SEED);
    let since = Instant::now();
    let get =
        DownloadRequest { object: object("other"), part_size: Some(40 * KIB), max_concurrency: Some(4), ..world.get() };
    let report = world.downloads(&get, size, SEED).await;
    assert_eq!((report.parts, report.attempts), (4, 4));
    let report = world.upload(&world.put(96 * KIB)).await.unwrap();
    assert_eq!(report.attempts, 1);
    assert!(since.elapsed() > Duration::from_secs(2), "nothing was held back");
}

/// Nor is a stall of the store excused by a limit that holds nothing back.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_store_that_stalls_is_noticed_all_the_same() {
    let world = impatient(100 * MIB);
    world.server.put_pattern(BUCKET, "other", SIZE, SEED);
    world.on(gets(), Action::Stall { after: 10_000, seconds: 60.0, in_head: false });
    world.on(operation("PutObject"), Action::StallRequest { after: 10_000, seconds: 60.0 });
    let get = DownloadRequest { object: object("other"), ..world.get() };
    assert_eq!(world.download(&get).await.unwrap_err().kind(), ErrorKind::Timeout);
    world.refuses_upload(&world.put(12 * MIB), ErrorKind::Timeout).await;
}

/// A reader who gives up waiting and comes again neither loses a byte nor gets one sooner.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_wait_can_be_given_up_and_taken_up_again() {
    let (size, rate) = (512 * KIB, 512 * KIB);
    let world = limited(rate);
    world.server.put_pattern(BUCKET, KEY, size, SEED);
    let identity: ObjectIdentity = {
        let head = s3z::ops::manage::head(&world.engine, &object(KEY), &Cancel::default()).await.unwrap();
        head.identity
    };
    let client = world.engine.client.clone();
    let mut body = ObjectBody::open_pinned(client, get_of(Some(0..size)), identity).await.unwrap();
    let (mut got, mut given_up) = (Vec::new(), 0);
    loop {
        match tokio::time::timeout(Duration::from_millis(5), body.chunk()).await {
            Ok(chunk) => match chunk.unwrap() {
                Some(bytes) => got.extend_from_slice(&bytes),
                None => break,
            },
            Err(_) => given_up += 1,
        }
    }
    assert!(got == content(size));
    assert!(given_up > 10, "the limit held nothing back");
}
