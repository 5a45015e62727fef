//! What a download may call verified, and what it does with a checksum that does not fit (C1–C8, #30–#32).

use fake_s3::{Action, Algorithm as Stored, Match, PatternObject};
use s3z::checksum::Algorithm;
use s3z::config::MIB;
use s3z::error::ErrorKind;
use s3z::ops::download::DownloadRequest;
use s3z::ops::report::Verification;
use s3z::ops::stored::Verify;
use s3z::ops::upload::UploadRequest;

use crate::support::*;

async fn with_pattern(pattern: PatternObject) -> World {
    let world = World::new();
    world.server.put_pattern_object(BUCKET, KEY, &PatternObject { size: SIZE, seed: SEED, ..pattern });
    world
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_algorithm_of_the_store_is_compared() {
    let stored = [
        (Stored::Crc64Nvme, Algorithm::Crc64Nvme),
        (Stored::Crc32, Algorithm::Crc32),
        (Stored::Crc32c, Algorithm::Crc32c),
    ];
    for (stored, algorithm) in stored {
        for concurrency in [None, Some(1)] {
            let world = with_pattern(PatternObject { algorithm: Some(stored), ..PatternObject::default() }).await;
            let request = DownloadRequest { max_concurrency: concurrency, verify: Verify::Require, ..world.get() };
            let report = world.downloads(&request, SIZE, SEED).await;
            assert_full_object(&report, algorithm);
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_full_object_value_of_a_multipart_object_is_compared() {
    let world = with_pattern(PatternObject { part_size: Some(300_000), ..PatternObject::default() }).await;
    let report = world.downloads(&world.get(), SIZE, SEED).await;
    assert!(report.etag.as_deref().unwrap().ends_with("-4\""));
    assert_full_object(&report, Algorithm::Crc64Nvme);
}

/// #31
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_a_stored_checksum_only_the_length_is_claimed() {
    let world = World::with_object();
    world.switch(|switches| switches.no_checksums = true);
    assert_length_only(&world.downloads(&world.get(), SIZE, SEED).await, "no checksum");
    let strict = DownloadRequest { verify: Verify::Require, ..world.get() };
    world.refuses(&strict, ErrorKind::Integrity, |_| {}).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn verification_that_is_off_asks_for_nothing() {
    let world = World::with_object();
    let report = world.downloads(&DownloadRequest { verify: Verify::Off, ..world.get() }, SIZE, SEED).await;
    assert_length_only(&report, "off");
    assert_eq!(world.logged("HeadObject").len(), 0);
    assert!(world.server.log().iter().all(|record| header(record, "x-amz-checksum-mode").is_none()));
}

/// C4
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_refused_head_is_a_reason_not_an_error() {
    for (status, code) in [(403, "AccessDenied"), (405, "MethodNotAllowed"), (500, "InternalError")] {
        let world = World::with_object();
        world.on(operation("HeadObject"), Action::error(status, code));
        let report = world.downloads(&world.get(), SIZE, SEED).await;
        assert_length_only(&report, "checksum");
        let strict = DownloadRequest { verify: Verify::Require, ..world.get() };
        let refused = |world: &World| world.on(operation("HeadObject"), Action::error(status, code));
        world.refuses(&strict, ErrorKind::Integrity, refused).await;
    }
}

/// #30
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn flipped_bits_are_an_integrity_error() {
    for offset in [0, PART - 1, PART, SIZE / 2, SIZE - 1] {
        for concurrency in [None, Some(1)] {
            let world = World::with_object();
            let request = DownloadRequest { max_concurrency: concurrency, ..world.get() };
            let flips = |world: &World| world.on(gets(), Action::BitFlip { offset, mask: 0x10 });
            let error = world.refuses(&request, ErrorKind::Integrity, flips).await;
            assert!(error.to_string().contains("CRC64NVME"), "{error}");
        }
    }
}

/// #30, C5: a mismatch is cured by one new fetch over new connections, if it was the network's.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_flipped_bit_is_cured_by_one_new_fetch() {
    let world = World::with_object();
    world.times(1, gets(), Action::BitFlip { offset: 5, mask: 1 });
    let report = world.download(&world.get()).await.unwrap();
    assert_pattern(&world.destination(), SIZE, SEED);
    assert_full_object(&report, Algorithm::Crc64Nvme);
}

/// Two errors of opposite place: a checksum that were summed instead of combined in order would not see them.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_same_flip_in_two_parts_is_seen() {
    let world = World::with_object();
    let flips = |world: &World| {
        world.on(gets(), Action::BitFlip { offset: 5, mask: 1 });
        world.on(gets(), Action::BitFlip { offset: PART + 5, mask: 1 });
    };
    world.refuses(&world.get(), ErrorKind::Integrity, flips).await;
}

/// #32, C8
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stored_value_that_is_wrong_or_none_is_an_integrity_error() {
    for value in ["AAAAAAAAAAA=", "!!!", "AAAA", "AAAAAAAAAAAAAAAAAAAAAA==", "AAAAAAAAAAA", "-"] {
        let world = World::with_object();
        let lies = |world: &World| world.on(operation("HeadObject"), set_header("x-amz-checksum-crc64nvme", value));
        let error = world.refuses(&world.get(), ErrorKind::Integrity, lies).await;
        assert!(error.to_string().contains("CRC64NVME"), "{value}: {error}");
    }
}

/// #32: bytes that are no text are no checksum either; that is not the same as none.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stored_value_that_is_no_text_is_an_integrity_error() {
    let world = World::with_object();
    let lies = |world: &World| world.on(operation("HeadObject"), set_header("x-amz-checksum-crc64nvme", "ü"));
    world.refuses(&world.get(), ErrorKind::Integrity, lies).await;
}

/// C4: the checksum of another version is not compared with this one.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_head_of_another_version_is_asked_again_for_this_one() {
    let world = World::with_object();
    world.times(1, operation("HeadObject"), set_header("ETag", "\"another\""));
    let report = world.downloads(&world.get(), SIZE, SEED).await;
    assert_full_object(&report, Algorithm::Crc64Nvme);
    let heads = world.logged("HeadObject");
    assert_eq!(header(&heads[1], "if-match"), report.etag.as_deref());

    let world = World::with_object();
    world.on(operation("HeadObject"), set_header("ETag", "\"another\""));
    world.on(operation("HeadObject"), set_header("x-amz-checksum-crc64nvme", "AAAAAAAAAAA="));
    assert_length_only(&world.downloads(&world.get(), SIZE, SEED).await, "another version");
}

/// The value is compared also where the answer came before, after, or long after the bytes.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_order_of_head_and_ranges_does_not_matter() {
    for (late, stored) in [("HeadObject", Stored::Crc32), ("GetObject", Stored::Crc32c), ("GetObject", Stored::Crc32)] {
        let world = with_pattern(PatternObject { algorithm: Some(stored), ..PatternObject::default() }).await;
        world.on(Match { skip: 1, ..operation("GetObject") }, Action::Latency { ms: 5 });
        world.times(1, operation(late), Action::Latency { ms: 300 });
        let report = world.downloads(&world.get(), SIZE, SEED).await;
        assert_eq!(report.verified.kind(), "full_object");
    }
}

/// #53, C13: a store that says it does not take checksums is sent none from then on; strict clients fail.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_store_that_refuses_checksums_is_sent_none() {
    for size in [300_000, 12 * MIB] {
        let world = World::with(|_, client| client.transfer.multipart_threshold = MIB);
        world.switch(|switches| (switches.refuse_checksums, switches.no_default_checksum) = (true, true));
        let report = world.upload(&UploadRequest { part_size: Some(5 * MIB), ..world.put(size) }).await.unwrap();
        assert_eq!(report.verified, Verification::Length("the store refuses checksum headers".into()));
        assert_eq!(world.server.object(BUCKET, KEY).unwrap().to_vec(), content(size));
        let refused = world.server.log().iter().filter(|record| record.status == 501).count();
        assert_eq!(refused, 1, "it is remembered");
        world.upload(&world.put(size)).await.unwrap();
        assert_eq!(world.server.log().iter().filter(|record| record.status == 501).count(), 1);
    }
    let world = World::with(|_, client| client.transfer.strict_checksums = true);
    world.switch(|switches| switches.refuse_checksums = true);
    let error = world.upload(&world.put(300_000)).await.unwrap_err();
    assert_eq!(error.status(), Some(501), "{error:?}");
    assert_eq!(world.server.object(BUCKET, KEY), None);
}
