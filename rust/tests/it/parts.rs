//! Checksums of parts, and hashes: what is compared, what is fetched again, and when it is honest to say nothing
//! (C5–C7, #30, #31).

use fake_s3::{Action, Algorithm as Stored, PatternObject};
use s3z::checksum::{Algorithm, Kind, Sha};
use s3z::error::ErrorKind;
use s3z::ops::download::DownloadRequest;
use s3z::ops::report::Verification;
use s3z::ops::stored::Verify;

use crate::support::*;

/// Longer than a range, not a multiple of anything, the last one shorter.
const STORED: u64 = 130_001;
const COUNT: u32 = 8;

fn world(algorithm: Stored, is_composite: bool) -> World {
    let world = World::new();
    let part_size = is_composite.then_some(STORED);
    let pattern = PatternObject { size: SIZE, seed: SEED, part_size, algorithm: Some(algorithm), is_composite };
    world.server.put_pattern_object(BUCKET, KEY, &pattern);
    world
}

fn all_shapes(world: &World) -> [DownloadRequest; 4] {
    let shape = |part_size, max_concurrency| DownloadRequest { part_size, max_concurrency, ..world.get() };
    [shape(Some(PART), None), shape(None, None), shape(Some(PART), Some(1)), shape(Some(PART), Some(2))]
}

fn refuse_layouts(world: &World) {
    world.switch(|switches| switches.no_attributes = true);
    world.switch(|switches| switches.no_part_number = true);
}

/// C6: ranges know nothing of the stored parts, and every part is compared all the same.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn parts_are_compared_whatever_the_ranges() {
    for (stored, kind) in [
        (Stored::Crc64Nvme, Kind::Crc(Algorithm::Crc64Nvme)),
        (Stored::Crc32, Kind::Crc(Algorithm::Crc32)),
        (Stored::Crc32c, Kind::Crc(Algorithm::Crc32c)),
        (Stored::Sha256, Kind::Sha(Sha::Sha256)),
        (Stored::Sha1, Kind::Sha(Sha::Sha1)),
    ] {
        let world = world(stored, true);
        for request in all_shapes(&world) {
            for verify in [Verify::Auto, Verify::Require] {
                let report = world.downloads(&DownloadRequest { verify, ..request.clone() }, SIZE, SEED).await;
                assert_eq!(report.verified, Verification::Parts(kind, COUNT), "{request:?}");
            }
        }
    }
}

/// C6: parts that are all right do not make an object of another composite.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_composite_that_is_not_of_its_parts_is_refused() {
    let world = world(Stored::Crc32, true);
    world.on(operation("HeadObject"), set_header("x-amz-checksum-crc32", &format!("AAAAAA==-{COUNT}")));
    let error = world.download(&world.get()).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Integrity, "{error:?}");
    assert!(error.to_string().contains("not the one of the parts"), "{error}");
    assert!(!world.destination().exists());
}

/// C6: a hash needs its bytes in order, so such a part comes by one request.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn parts_with_hashes_are_fetched_whole() {
    let world = world(Stored::Sha256, true);
    // The first range takes its time, so that the plan can wait for the parts.
    world.on(gets(), Action::Latency { ms: 300 });
    world.downloads(&world.get(), SIZE, SEED).await;
    let gets = world.logged("GetObject");
    for part in 1..u64::from(COUNT) {
        let (start, end) = (part * STORED, ((part + 1) * STORED).min(SIZE) - 1);
        let range = format!("bytes={start}-{end}");
        assert_eq!(gets.iter().filter(|get| get.range.as_deref() == Some(&range)).count(), 1, "{range}");
    }
}

/// C5: of a damaged object only the damaged part is fetched again.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_bad_part_is_fetched_once_more() {
    for stored in [Stored::Crc32c, Stored::Sha256] {
        let world = world(stored, true);
        world.times(1, gets(), Action::BitFlip { offset: 7, mask: 4 });
        let report = world.downloads(&world.get(), SIZE, SEED).await;
        assert!(matches!(report.verified, Verification::Parts(_, COUNT)), "{:?}", report.verified);
        assert_eq!(world.server.bytes_sent_twice(BUCKET, KEY), STORED);
    }
}

/// C5
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_part_that_stays_bad_is_an_integrity_error() {
    for stored in [Stored::Crc64Nvme, Stored::Sha1] {
        let world = world(stored, true);
        let flips = |world: &World| world.on(gets(), Action::BitFlip { offset: SIZE - 1, mask: 1 });
        let error = world.refuses(&world.get(), ErrorKind::Integrity, flips).await;
        assert!(error.message().contains(&format!("part {COUNT}")), "{error}");
    }
}

/// C6, promise 3: what cannot be compared is not called verified.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_the_parts_only_the_length_is_claimed() {
    let world = world(Stored::Crc32, true);
    refuse_layouts(&world);
    assert_length_only(&world.downloads(&world.get(), SIZE, SEED).await, "of parts");
    let strict = DownloadRequest { verify: Verify::Require, ..world.get() };
    world.refuses(&strict, ErrorKind::Integrity, refuse_layouts).await;
}

/// C7: a hash of the whole is compared where the bytes came in order, or where it is insisted on.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_hash_of_the_whole_costs_no_second_reading_unasked() {
    for (stored, sha) in [(Stored::Sha256, Sha::Sha256), (Stored::Sha1, Sha::Sha1)] {
        let world = world(stored, false);
        let proved = Verification::FullObject(Kind::Sha(sha));
        assert_length_only(&world.downloads(&world.get(), SIZE, SEED).await, "of the whole");
        let strict = DownloadRequest { verify: Verify::Require, ..world.get() };
        assert_eq!(world.downloads(&strict, SIZE, SEED).await.verified, proved);
        for part_size in [None, Some(SIZE)] {
            let once = DownloadRequest { part_size, ..world.get() };
            assert_eq!(world.downloads(&once, SIZE, SEED).await.verified, proved);
        }
        let stream = DownloadRequest { max_concurrency: Some(1), ..world.get() };
        assert_eq!(world.downloads(&stream, SIZE, SEED).await.verified, proved);
        let flips = |world: &World| world.on(gets(), Action::BitFlip { offset: 77, mask: 1 });
        for request in [strict, stream] {
            world.refuses(&request, ErrorKind::Integrity, flips).await;
        }
    }
}

/// C3: an algorithm nobody here knows is no checksum, and no error.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_unknown_algorithm_is_not_usable() {
    let world = World::with_object();
    world.switch(|switches| switches.no_checksums = true);
    world.on(operation("HeadObject"), set_header("x-amz-checksum-xxhash3", "AAAAAAAAAAA="));
    let report = world.downloads(&world.get(), SIZE, SEED).await;
    assert!(matches!(report.verified, Verification::Length(_)));
}
