//! Downloads that were interrupted and go on (F12–F14), and ranges that are taken over (R11, I11).

use std::fs;
use std::path::PathBuf;
use std::sync::Arc;

use fake_s3::{Action, Algorithm as Stored, Match, PatternObject};
use s3z::error::ErrorKind;
use s3z::ops::download::DownloadRequest;
use s3z::ops::report::Verification;
use s3z::ops::stored::Verify;
use s3z::progress::{Cancel, Progress};

use crate::support::*;

fn world() -> World {
    let world = World::with(|_, client| client.transfer.resume_threshold = 1);
    world.server.put_pattern(BUCKET, KEY, SIZE, SEED);
    world
}

/// Downloads until about `share` of the bytes are written, then stops; the bytes that were kept.
async fn interrupt(world: &World, request: &DownloadRequest, share: f64) -> u64 {
    world.switch(|switches| switches.rate_per_connection = 400_000);
    let (cancel, progress) = (Cancel::default(), Arc::new(Progress::default()));
    let watched = progress.clone();
    let (outcome, ()) = tokio::join!(world.download_until(request, &cancel, &progress), async {
        until("enough is written", || watched.snapshot().durable as f64 > share * SIZE as f64).await;
        cancel.trigger();
    });
    world.switch(|switches| switches.rate_per_connection = 0);
    let error = outcome.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Cancelled);
    assert_eq!(progress.kept(), error.kept());
    error.kept()
}

fn left(world: &World, end: &str) -> Option<PathBuf> {
    let names = own_files(&world.path(""));
    names.into_iter().find(|name| name.ends_with(end)).map(|name| world.path(&name))
}

/// F14: what proves intact is neither fetched nor written again.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn it_goes_on_where_it_stopped() {
    for share in [0.1, 0.3, 0.6] {
        let world = world();
        let kept = interrupt(&world, &world.get(), share).await;
        assert!(kept > 0);
        world.server.clear_log();
        let report = world.downloads(&world.get(), SIZE, SEED).await;
        assert_eq!(report.resumed_bytes, kept);
        assert_full_object(&report, s3z::checksum::Algorithm::Crc64Nvme);
        let sent: u64 = world.logged("GetObject").iter().map(|get| get.bytes_out - get.head_out).sum();
        assert_eq!(sent, SIZE - kept, "only what was missing is asked for");
    }
}

/// F14: bytes that are not what the ledger says, as after a power cut, are fetched again.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_is_believed() {
    // Also where no stored checksum would find it out in the end.
    for verify in [Verify::Auto, Verify::Off] {
        let world = world();
        // One range stays out, so that what is kept is no single entry of the ledger.
        world.times(1, Match { skip: 4, ..gets() }, Action::Stall { after: 0, seconds: 60.0, in_head: false });
        let kept = interrupt(&world, &world.get(), 0.6).await;
        let temp = left(&world, ".part").unwrap();
        let mut bytes = fs::read(&temp).unwrap();
        bytes[..500].fill(0);
        fs::write(&temp, bytes).unwrap();
        let report = world.downloads(&DownloadRequest { verify, ..world.get() }, SIZE, SEED).await;
        assert!((1..kept).contains(&report.resumed_bytes), "{} of {kept}", report.resumed_bytes);
        match verify {
            Verify::Off => assert_eq!(report.verified.kind(), "length"),
            _ => assert_full_object(&report, s3z::checksum::Algorithm::Crc64Nvme),
        }
    }
}

/// F13: another version, or another object, is begun afresh, and nothing piles up.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn only_the_same_version_is_gone_on_with() {
    let world = world();
    interrupt(&world, &world.get(), 0.5).await;
    world.server.put_pattern(BUCKET, KEY, SIZE, 99);
    world.server.clear_log();
    let report = world.downloads(&DownloadRequest { verify: Verify::Off, ..world.get() }, SIZE, 99).await;
    assert_eq!(report.resumed_bytes, 0);
    assert!(header(&world.logged("GetObject")[0], "if-match").is_some());
    // The same at a store that takes no notice of If-Match.
    world.server.put_pattern(BUCKET, KEY, SIZE, SEED);
    interrupt(&world, &world.get(), 0.5).await;
    world.server.put_pattern(BUCKET, KEY, SIZE, 97);
    world.switch(|switches| switches.ignore_if_match = true);
    let report = world.downloads(&DownloadRequest { verify: Verify::Off, ..world.get() }, SIZE, 97).await;
    assert_eq!(report.resumed_bytes, 0);
    world.switch(|switches| switches.ignore_if_match = false);
    world.server.put_pattern(BUCKET, KEY, SIZE, SEED);
    interrupt(&world, &world.get(), 0.5).await;
    world.server.put_pattern(BUCKET, "other", SIZE, 98);
    let other = DownloadRequest { object: object("other"), ..world.get() };
    assert_eq!(world.downloads(&other, SIZE, 98).await.resumed_bytes, 0);
    interrupt(&world, &world.get(), 0.5).await;
    world.server.put_pattern(BUCKET, KEY, SIZE / 2, SEED);
    assert_eq!(world.downloads(&world.get(), SIZE / 2, SEED).await.resumed_bytes, 0);
}

/// F12
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_resume_nothing_is_left_and_nothing_used() {
    let world = world();
    let request = DownloadRequest { resume: false, ..world.get() };
    assert_eq!(interrupt(&world, &request, 0.5).await, 0);
    interrupt(&world, &world.get(), 0.5).await;
    let before = left(&world, ".ledger");
    let cancel = Cancel::default();
    let report = s3z::ops::download::download(&world.engine, &request, Arc::default(), &cancel).await;
    assert_eq!(report.unwrap().resumed_bytes, 0);
    assert!(before.is_some() && left(&world, ".ledger") == before, "it is another run's");
}

/// The object is gone: so is what was kept of it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_can_never_be_finished_is_not_kept() {
    let world = world();
    interrupt(&world, &world.get(), 0.5).await;
    world.on(gets(), respond(404, "<Error><Code>NoSuchKey</Code></Error>"));
    let error = world.download(&world.get()).await.unwrap_err();
    assert_eq!((error.kind(), error.kept()), (ErrorKind::NotFound, 0));
    world.server.clear_rules();
    interrupt(&world, &world.get(), 0.5).await;
    world.on(gets(), respond(503, ""));
    let patient = world.download(&world.get()).await.unwrap_err();
    assert!(patient.kept() > 0, "a store that is down may come back");
}

/// C6, F14: parts and what was kept need not fit each other.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn composite_objects_go_on_too() {
    for stored in [Stored::Crc32, Stored::Sha256] {
        let world = world();
        let (part_size, algorithm) = (Some(130_001), Some(stored));
        let pattern = PatternObject { size: SIZE, seed: SEED, part_size, algorithm, is_composite: true };
        world.server.put_pattern_object(BUCKET, KEY, &pattern);
        let kept = interrupt(&world, &world.get(), 0.5).await;
        let report = world.downloads(&DownloadRequest { part_size: Some(70_000), ..world.get() }, SIZE, SEED).await;
        assert_eq!(report.resumed_bytes, kept);
        assert!(matches!(report.verified, Verification::Parts(_, 8)), "{:?}", report.verified);
    }
}

/// C5: when what was kept is wrong in a way its ledger cannot know, the checksum finds it and all is fetched anew.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn bytes_that_came_wrong_before_are_found_at_the_end() {
    let world = world();
    world.on(gets(), Action::BitFlip { offset: 9, mask: 1 });
    let kept = interrupt(&world, &world.get(), 0.7).await;
    world.server.clear_rules();
    let report = world.downloads(&world.get(), SIZE, SEED).await;
    assert!(kept > 0);
    assert_eq!(report.resumed_bytes, 0, "nothing of it is used in the end");
    assert_full_object(&report, s3z::checksum::Algorithm::Crc64Nvme);
}

/// R11: the rest of a slow range is split for a connection that has nothing to do; no byte comes twice.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_last_slow_range_is_shared() {
    let size = 64 << 20;
    let world = World::with(|_, client| {
        client.transfer.worth_splitting = std::time::Duration::from_millis(300);
        client.transfer.max_concurrency = Some(4);
    });
    world.server.put_pattern(BUCKET, KEY, size, SEED);
    world.switch(|switches| switches.rate_per_connection = 8 << 20);
    let request = DownloadRequest { part_size: Some(size / 2), ..world.get() };
    let report = world.downloads(&request, size, SEED).await;
    assert!(report.parts > 2, "{} ranges", report.parts);
}
