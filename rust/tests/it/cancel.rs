//! Cancel at any moment: soon over, nothing left, nobody talking to the server any more.

use std::sync::Arc;
use std::time::{Duration, Instant};

use fake_s3::{Action, Match};
use s3z::config::MIB;
use s3z::error::ErrorKind;
use s3z::ops::download::DownloadRequest;
use s3z::ops::upload::UploadRequest;
use s3z::progress::{Cancel, Progress};

use crate::support::*;

/// The store has acted, but its answer does not come.
fn no_answer() -> Action {
    Action::Stall { after: 0, seconds: 60.0, in_head: true }
}

/// Generous, for machines under load; Ctrl-C's 200 ms are measured elsewhere.
const SOON: Duration = Duration::from_secs(2);

fn world() -> World {
    World::with(|_, client| client.retry.idle_timeout = Duration::from_millis(200))
}

async fn cancels_download(world: &World, request: &DownloadRequest, when: impl Fn(&Progress) -> bool) {
    let (cancel, progress) = (Cancel::default(), Arc::<Progress>::default());
    let (outcome, since) = tokio::join!(world.download_until(request, &cancel, &progress), async {
        until("the moment to cancel", || when(&progress)).await;
        let since = Instant::now();
        cancel.trigger();
        since
    });
    assert!(since.elapsed() < SOON, "{:?}", since.elapsed());
    assert_eq!(outcome.unwrap_err().kind(), ErrorKind::Cancelled);
    assert!(!request.destination.exists());
    until("no connection is open", || world.server.connections() == 0).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_download_stops_in_the_middle() {
    let world = world();
    world.server.put_pattern(BUCKET, KEY, 2048 * MIB, SEED);
    world.switch(|switches| switches.rate_per_connection = 20 << 20);
    for concurrency in [None, Some(1), Some(32)] {
        let request = DownloadRequest { part_size: None, max_concurrency: concurrency, ..world.get() };
        cancels_download(&world, &request, |progress| progress.snapshot().network > 5_000_000).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_download_stops_while_nothing_comes() {
    for in_head in [true, false] {
        let world = world();
        world.server.put_pattern(BUCKET, KEY, SIZE, SEED);
        world.on(gets(), Action::Stall { after: 0, seconds: 60.0, in_head });
        cancels_download(&world, &world.get(), |_| !world.server.log().is_empty()).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_download_stops_while_it_waits_for_the_checksum() {
    let world = world();
    world.server.put_pattern(BUCKET, KEY, SIZE, SEED);
    world.on(operation("HeadObject"), no_answer());
    cancels_download(&world, &world.get(), |progress| progress.snapshot().durable == SIZE).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_cancel_before_the_start_moves_nothing() {
    let world = world();
    world.server.put_pattern(BUCKET, KEY, SIZE, SEED);
    let cancel = Cancel::default();
    cancel.trigger();
    let error = world.download_until(&world.get(), &cancel, &Arc::default()).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Cancelled);
    let error = world.upload_until(&world.put(300_000), &cancel, &Arc::default()).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Cancelled);
    assert_eq!(world.logged("PutObject").len() + world.logged("GetObject").len(), 0);
}

async fn cancels_upload(world: &World, request: &UploadRequest, operation: &str, count: usize) {
    let (cancel, progress) = (Cancel::default(), Arc::<Progress>::default());
    let (outcome, since) = tokio::join!(world.upload_until(request, &cancel, &progress), async {
        until("the moment to cancel", || world.logged(operation).len() >= count).await;
        let since = Instant::now();
        cancel.trigger();
        since
    });
    assert!(since.elapsed() < SOON + Duration::from_secs(2), "{:?}", since.elapsed());
    let error = outcome.unwrap_err();
    assert_eq!((error.kind(), error.upload_id()), (ErrorKind::Cancelled, None), "{error:?}");
    assert_eq!(world.server.open_uploads(), []);
    assert_eq!(world.server.object(BUCKET, KEY), None);
    // A server that reads slowly sees the end only when it gets there.
    world.switch(|switches| switches.rate_per_connection = 0);
    until("no connection is open", || world.server.connections() == 0).await;
}

/// #43
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_upload_stops_in_the_middle() {
    for concurrency in [None, Some(1), Some(4)] {
        let world = world();
        world.switch(|switches| switches.rate_per_connection = MIB / 2);
        let request =
            UploadRequest { part_size: Some(5 * MIB), max_concurrency: concurrency, ..world.put(40 * MIB + 1) };
        cancels_upload(&world, &request, "UploadPart", 1).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_upload_stops_after_parts_were_stored() {
    let world = world();
    world.on(Match { skip: 3, ..operation("UploadPart") }, no_answer());
    let request = UploadRequest { part_size: Some(5 * MIB), max_concurrency: Some(2), ..world.put(40 * MIB + 1) };
    cancels_upload(&world, &request, "UploadPart", 4).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_put_stops_in_the_middle() {
    let world = world();
    world.switch(|switches| switches.rate_per_connection = MIB / 2);
    let request = world.put(12 * MIB);
    cancels_upload(&world, &request, "PutObject", 1).await;
}

/// The answer to Create is on its way when the cancel comes: its upload is aborted all the same.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_upload_that_is_just_being_created_is_aborted() {
    let world = world();
    world.on(operation("CreateMultipartUpload"), Action::Latency { ms: 400 });
    let request = UploadRequest { part_size: Some(5 * MIB), ..world.put(20 * MIB) };
    cancels_upload(&world, &request, "CreateMultipartUpload", 1).await;
    assert_eq!(world.logged("AbortMultipartUpload").len(), 1);
}

/// Cancel while the store puts the parts together: aborted, or the store was faster and the object is whole.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_cancel_during_complete_leaves_no_upload() {
    let world = world();
    world.on(operation("CompleteMultipartUpload"), no_answer());
    let request = UploadRequest { part_size: Some(5 * MIB), ..world.put(20 * MIB) };
    let (cancel, progress) = (Cancel::default(), Arc::<Progress>::default());
    let (outcome, ()) = tokio::join!(world.upload_until(&request, &cancel, &progress), async {
        until("complete", || !world.logged("CompleteMultipartUpload").is_empty()).await;
        cancel.trigger();
    });
    assert_eq!(outcome.unwrap_err().kind(), ErrorKind::Cancelled);
    assert!(world.server.object(BUCKET, KEY).is_none_or(|stored| stored == content(20 * MIB)));
    until("no connection is open", || world.server.connections() == 0).await;
}

/// Promise 8: a store that stops reading keeps neither memory nor connection for longer than `read_timeout` allows.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_store_that_stops_reading_keeps_no_memory() {
    for (name, size) in [("PutObject", 12 * MIB), ("UploadPart", 40 * MIB)] {
        let world = World::with(|_, client| client.retry.read_timeout = Duration::from_secs(1));
        world.on(operation(name), Action::StallRequest { after: 0, seconds: 60.0 });
        let request = UploadRequest { part_size: Some(5 * MIB), ..world.put(size) };
        let (cancel, progress) = (Cancel::default(), Arc::<Progress>::default());
        // The oracle of `upload_until` waits twenty seconds for the memory.
        let (outcome, ()) = tokio::join!(world.upload_until(&request, &cancel, &progress), async {
            until("a body under way", || !world.logged(name).is_empty()).await;
            cancel.trigger();
        });
        assert_eq!(outcome.unwrap_err().kind(), ErrorKind::Cancelled);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_deadline_stops_an_upload_and_aborts_it() {
    let world = world();
    world.switch(|switches| switches.rate_per_connection = MIB / 2);
    let request =
        UploadRequest { part_size: Some(5 * MIB), deadline: Some(Duration::from_millis(500)), ..world.put(20 * MIB) };
    world.refuses_upload(&request, ErrorKind::Timeout).await;
}

/// The store said to wait a minute; a cancel aborts the upload all the same, or names it in the error (U9).
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_cancel_while_throttled_aborts_or_names_the_upload() {
    let world = world();
    world.on(operation("UploadPart"), Action::slow_down("50"));
    let request = UploadRequest { part_size: Some(5 * MIB), ..world.put(20 * MIB) };
    let (cancel, progress) = (Cancel::default(), Arc::<Progress>::default());
    let (outcome, since) = tokio::join!(world.upload_until(&request, &cancel, &progress), async {
        until("a refusal", || world.logged("UploadPart").iter().any(|part| part.status == 503)).await;
        let since = Instant::now();
        cancel.trigger();
        since
    });
    assert!(since.elapsed() < SOON + Duration::from_secs(2));
    let error = outcome.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Cancelled);
    let open = world.server.open_uploads();
    assert_eq!(open.first().map(|upload| upload.upload_id.as_str()), error.upload_id());
}

/// Whatever the moment, seeded by how much has come.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_cancel_at_any_byte_leaves_nothing() {
    let world = world();
    world.server.put_pattern(BUCKET, KEY, 40 * MIB, SEED);
    world.switch(|switches| switches.rate_per_connection = 20 << 20);
    for step in 0..20 {
        let request = DownloadRequest { part_size: Some(MIB), ..world.get() };
        let (cancel, progress) = (Cancel::default(), Arc::<Progress>::default());
        let (outcome, ()) = tokio::join!(world.download_until(&request, &cancel, &progress), async {
            until("the moment to cancel", || progress.snapshot().network >= step * 100_000).await;
            cancel.trigger();
        });
        assert_eq!(outcome.unwrap_err().kind(), ErrorKind::Cancelled);
        assert!(!request.destination.exists());
    }
}
