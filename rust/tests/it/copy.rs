//! Copies that the store makes, in one request and by parts (#39, C11, C12, U9, U12, U13).

use std::sync::Arc;

use fake_s3::{Action, Match, PatternObject};
use s3z::config::MIB;
use s3z::error::{Error, ErrorKind, Result};
use s3z::ops::copy::{CopyReport, CopyRequest, copy_object};
use s3z::ops::manage;
use s3z::progress::{Cancel, Progress};
use s3z::s3::client::ObjectRef;
use s3z::s3::object::ObjectHead;

use crate::manage::ODD_KEYS;
use crate::support::*;

const COPY: &str = "copy of it +%";
/// Four parts of the least size, the last one shorter.
const LARGE: u64 = 18 * MIB + 7;
const PART_SIZE: u64 = 5 * MIB;

fn copy_request() -> CopyRequest {
    CopyRequest { part_size: Some(PART_SIZE), ..CopyRequest::new(object(KEY), object(COPY)) }
}

async fn copy_until(world: &World, request: &CopyRequest, cancel: &Cancel) -> Result<CopyReport> {
    let progress = Arc::new(Progress::default());
    let work = copy_object(&world.engine, request, progress.clone(), cancel);
    let outcome = tokio::time::timeout(HANGS, work).await.expect("the copy hangs");
    assert_eq!(world.server.open_uploads(), [], "an upload stayed open");
    assert_eq!(world.engine.scheduler.free_memory(), world.engine.scheduler.memory_limit());
    let seen = progress.snapshot();
    match &outcome {
        Ok(report) => {
            assert_eq!((seen.network, seen.durable, seen.objects), (report.size, report.size, 1));
            assert_eq!(seen.total, Some(report.size));
        }
        Err(_) => assert_eq!(seen.objects, 0),
    }
    outcome
}

async fn copy(world: &World, request: &CopyRequest) -> Result<CopyReport> {
    copy_until(world, request, &Cancel::default()).await
}

/// The copy fails with `kind` and leaves nothing.
async fn refuses(world: &World, request: &CopyRequest, kind: ErrorKind) -> Error {
    let error = copy(world, request).await.expect_err("this must fail");
    assert_eq!(error.kind(), kind, "{error:?}");
    assert_eq!(error.bucket(), Some(BUCKET));
    assert!(world.server.object(BUCKET, COPY).is_none(), "something was left");
    error
}

async fn head(world: &World, key: &str) -> ObjectHead {
    manage::head(&world.engine, &object(key), &Cancel::default()).await.unwrap()
}

/// A store with a large source, and a client that copies such ones by parts.
fn large() -> World {
    let world = World::with(|_, client| client.transfer.copy_threshold = 16 * MIB);
    world.server.put_pattern(BUCKET, KEY, LARGE, SEED);
    world
}

fn headers(pairs: &[(&str, &str)]) -> Vec<(String, String)> {
    pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
}

/// An object of 17 MiB with all that an object may carry, stored by an upload.
async fn laden(world: &World) {
    let said = [
        ("content-type", "text/plain"),
        ("cache-control", "no-store"),
        ("content-language", "de"),
        ("x-amz-meta-colour", "red"),
        ("x-amz-tagging", "a%26b=1&c=%C3%BC"),
    ];
    let put = s3z::ops::upload::UploadRequest { headers: headers(&said), ..world.put(17 * MIB) };
    world.upload(&put).await.unwrap();
    world.server.clear_log();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn copies_are_made_on_the_server() {
    let world = World::new();
    for key in ODD_KEYS {
        world.server.put_object(BUCKET, key, key.as_bytes().to_vec());
        let report = copy(&world, &CopyRequest { source: object(key), ..copy_request() }).await.unwrap();
        assert_eq!(world.server.object(BUCKET, COPY).unwrap(), key.as_bytes(), "{key:?}");
        assert_eq!((report.size, report.parts, report.attempts), (key.len() as u64, 1, 1));
        assert_eq!(head(&world, COPY).await.identity.etag, report.etag);
    }
    for record in world.logged("CopyObject") {
        assert!(header(&record, "x-amz-copy-source-if-match").is_some(), "U13");
        assert_eq!(header(&record, "x-amz-metadata-directive"), Some("COPY"));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_listing_told_is_not_asked_for() {
    let world = World::with_object();
    let etag = head(&world, KEY).await.identity.etag;
    world.server.clear_log();
    copy(&world, &CopyRequest { size: Some(SIZE), if_match: etag, ..copy_request() }).await.unwrap();
    assert_eq!(world.server.log().len(), 1);
    // Without the ETag nothing pins the copy to what was listed.
    copy(&world, &CopyRequest { size: Some(SIZE), ..copy_request() }).await.unwrap();
    assert_eq!(world.logged("HeadObject").len(), 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_large_object_is_copied_by_parts() {
    let world = large();
    for (source, size) in [(LARGE, None), (LARGE, Some(LARGE)), (16 * MIB, None), (16 * MIB + 1, None)] {
        world.server.put_pattern(BUCKET, KEY, source, SEED);
        let report = copy(&world, &CopyRequest { size, ..copy_request() }).await.unwrap();
        let parts = if source > 16 * MIB { source.div_ceil(PART_SIZE) as u32 } else { 1 };
        assert_eq!((report.size, report.parts, report.attempts), (source, parts, parts));
        assert!(world.server.object(BUCKET, COPY).unwrap() == content(source), "{source}");
        let copied = head(&world, COPY).await;
        assert_eq!(copied.identity.etag, report.etag);
        assert_eq!(copied.checksum, head(&world, KEY).await.checksum);
    }
    let pins = world.logged("UploadPartCopy");
    assert!(pins.len() == 12 && pins.iter().all(|it| header(it, "x-amz-copy-source-if-match").is_some()), "U13");
}

/// Both ways the same object comes out.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn metadata_and_tags_survive_both_ways() {
    for threshold in [16 * MIB, 20 * MIB] {
        let world = World::with(|_, client| client.transfer.copy_threshold = threshold);
        laden(&world).await;
        copy(&world, &copy_request()).await.unwrap();
        assert_eq!(world.logged("UploadPartCopy").is_empty(), threshold == 20 * MIB);
        let copied = head(&world, COPY).await;
        assert_eq!(copied.metadata, headers(&[("colour", "red")]));
        for said in [("content-type", "text/plain"), ("cache-control", "no-store"), ("content-language", "de")] {
            assert!(copied.headers.contains(&(said.0.to_owned(), said.1.to_owned())), "{said:?} {threshold}");
        }
        let tags = world.engine.client.get_object_tagging(&object(COPY)).await.unwrap();
        assert_eq!(tags, headers(&[("a&b", "1"), ("c", "ü")]), "{threshold}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn metadata_is_replaced_as_a_whole() {
    for threshold in [16 * MIB, 20 * MIB] {
        let world = World::with(|_, client| client.transfer.copy_threshold = threshold);
        laden(&world).await;
        let own = headers(&[("content-type", "x/y"), ("x-amz-meta-size", "big"), ("x-amz-tagging", "t=1")]);
        let request = CopyRequest { headers: own.clone(), ..copy_request() };
        // Only some of it would be a guess about the rest.
        refuses(&world, &request, ErrorKind::Config).await;
        copy(&world, &CopyRequest { replace_metadata: true, ..request }).await.unwrap();
        let copied = head(&world, COPY).await;
        assert_eq!(copied.metadata, headers(&[("size", "big")]), "{threshold}");
        assert!(copied.headers.contains(&own[0]));
        assert!(!copied.headers.iter().any(|(name, _)| name == "cache-control"));
        let tags = world.engine.client.get_object_tagging(&object(COPY)).await.unwrap();
        assert_eq!(tags, headers(&[("t", "1")]));
        // A storage class is no metadata.
        let class = CopyRequest { headers: headers(&[("x-amz-storage-class", "STANDARD_IA")]), ..copy_request() };
        copy(&world, &class).await.unwrap();
        let copied = head(&world, COPY).await;
        assert_eq!(copied.identity.storage_class.as_deref(), Some("STANDARD_IA"), "{threshold}");
        assert_eq!(copied.metadata, headers(&[("colour", "red")]), "{threshold}");
    }
}

/// #39, C11
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_copy_succeeds_only_by_its_root_element() {
    let in_200 =
        |code: &str| Action::ErrorIn200 { code: code.into(), message: String::new(), spaces: 5, interval_ms: 5 };
    for (name, root) in [("CopyObject", "CopyObjectResult"), ("UploadPartCopy", "CopyPartResult")] {
        for (action, kind) in [
            (in_200("InternalError"), ErrorKind::Service),
            (in_200("AccessDenied"), ErrorKind::AccessDenied),
            (respond(200, ""), ErrorKind::Service),
            (respond(200, &format!("<{root}/>")), ErrorKind::Service),
            (
                respond(200, "<CompleteMultipartUploadResult><ETag>\"x\"</ETag></CompleteMultipartUploadResult>"),
                ErrorKind::Service,
            ),
            (respond(200, &format!("<Error><Code>X</Code><Message>{root}</Message></Error>")), ErrorKind::Service),
            (Action::error(404, "NoSuchKey"), ErrorKind::NotFound),
        ] {
            let world = large();
            if name == "CopyObject" {
                world.server.put_pattern(BUCKET, KEY, SIZE, SEED);
            }
            world.on(operation(name), action.clone());
            refuses(&world, &copy_request(), kind).await;
        }
        let world = large();
        if name == "CopyObject" {
            world.server.put_pattern(BUCKET, KEY, SIZE, SEED);
        }
        world.times(1, operation(name), in_200("InternalError"));
        let report = copy(&world, &copy_request()).await.unwrap();
        assert_eq!(report.attempts, report.parts + 1);
    }
}

/// U13
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_copy_is_pinned_to_its_source() {
    for size in [SIZE, LARGE] {
        let world = large();
        world.server.put_pattern(BUCKET, KEY, size, SEED);
        let wrong = CopyRequest { if_match: Some("\"another\"".into()), ..copy_request() };
        refuses(&world, &wrong, ErrorKind::ObjectChanged).await;
        refuses(&world, &CopyRequest { size: Some(size), ..wrong.clone() }, ErrorKind::ObjectChanged).await;
        world.switch(|switches| switches.ignore_if_match = true);
        let error = refuses(&world, &wrong, ErrorKind::ObjectChanged).await;
        assert_eq!(error.key(), Some(KEY));
        // A condition on the destination holds; it is the source that does not.
        let new = CopyRequest { conditions: headers(&[("if-none-match", "*")]), size: Some(size), ..wrong };
        refuses(&world, &new, ErrorKind::ObjectChanged).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_source_that_changes_meanwhile_ends_the_copy() {
    for matches in
        [operation("CopyObject"), operation("UploadPartCopy"), Match { skip: 2, ..operation("UploadPartCopy") }]
    {
        let world = large();
        if matches.operation.as_deref() == Some("CopyObject") {
            world.server.put_pattern(BUCKET, KEY, SIZE, SEED);
        }
        let swap = Action::SwapVersion { seed: Some(SEED + 1), size: None };
        world.times(1, matches, swap);
        let error = refuses(&world, &copy_request(), ErrorKind::ObjectChanged).await;
        assert!(error.to_string().contains(KEY), "the source is named: {error}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_source_without_an_etag_is_not_copied_by_parts() {
    let world = World::with(|_, client| client.transfer.copy_threshold = 16 * MIB);
    world.switch(|switches| switches.etag_style = fake_s3::EtagStyle::Weak);
    world.server.put_pattern_object(BUCKET, KEY, &PatternObject { size: LARGE, ..PatternObject::default() });
    assert_eq!(head(&world, KEY).await.identity.strong_etag(), None);
    refuses(&world, &copy_request(), ErrorKind::Service).await;
    assert!(world.logged("CreateMultipartUpload").is_empty());
}

/// Parts whose checksums do not add up to the source's are not put together.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn parts_with_other_bytes_are_not_completed() {
    let world = World::with(|_, client| client.transfer.copy_threshold = 16 * MIB);
    laden(&world).await;
    let wrong =
        "<CopyPartResult><ETag>\"x\"</ETag><ChecksumCRC64NVME>AAAAAAAAAAA=</ChecksumCRC64NVME></CopyPartResult>";
    world.times(1, operation("UploadPartCopy"), respond(200, wrong));
    refuses(&world, &copy_request(), ErrorKind::Integrity).await;
    assert!(world.logged("CompleteMultipartUpload").is_empty());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_version_can_be_copied() {
    for size in [SIZE, LARGE] {
        let world = large();
        world.server.keep_versions(BUCKET);
        world.server.put_pattern(BUCKET, KEY, size, SEED);
        let version = head(&world, KEY).await.identity.version_id;
        world.server.put_object(BUCKET, KEY, b"new".to_vec());
        let source = ObjectRef::new(BUCKET, KEY, version.as_deref()).unwrap();
        let report = copy(&world, &CopyRequest { source, ..copy_request() }).await.unwrap();
        assert!(world.server.object(BUCKET, COPY).unwrap() == content(size));
        assert_eq!(report.version_id, head(&world, COPY).await.identity.version_id);
        assert!(report.version_id.is_some());
    }
}

/// U12
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn conditions_on_the_destination_hold() {
    for size in [SIZE, LARGE] {
        let world = large();
        world.server.put_pattern(BUCKET, KEY, size, SEED);
        let new = CopyRequest { conditions: headers(&[("if-none-match", "*")]), ..copy_request() };
        copy(&world, &new).await.unwrap();
        world.server.put_object(BUCKET, COPY, b"another".to_vec());
        let error = copy(&world, &new).await.unwrap_err();
        assert_eq!((error.kind(), error.key()), (ErrorKind::AlreadyExists, Some(COPY)), "{error:?}");
        let same = CopyRequest { conditions: headers(&[("if-match", "\"x\"")]), ..copy_request() };
        assert_eq!(copy(&world, &same).await.unwrap_err().kind(), ErrorKind::ObjectChanged);
        assert_eq!(world.server.object(BUCKET, COPY).unwrap(), b"another");
        let etag = head(&world, COPY).await.identity.etag.unwrap();
        copy(&world, &CopyRequest { conditions: headers(&[("if-match", &etag)]), ..copy_request() }).await.unwrap();
    }
}

/// C12: whose object it is only a mark could tell, and a copy of metadata has none.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_lost_answer_under_a_condition_is_no_lie() {
    let new = CopyRequest { conditions: headers(&[("if-none-match", "*")]), ..copy_request() };
    let lost = || Action::ActThenDrop { reset: true };
    let world = World::with_object();
    world.times(1, operation("CopyObject"), lost());
    let error = copy(&world, &new).await.unwrap_err();
    assert!(error.kind() == ErrorKind::Service && error.to_string().contains("unknown"), "{error}");
    let world = World::with_object();
    world.times(1, operation("CopyObject"), lost());
    copy(&world, &CopyRequest { replace_metadata: true, ..new.clone() }).await.unwrap();
    let world = large();
    world.times(1, operation("CompleteMultipartUpload"), lost());
    copy(&world, &new).await.unwrap();
    let world = World::with_object();
    world.times(1, operation("CopyObject"), lost());
    copy(&world, &copy_request()).await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn passing_faults_do_not_disturb_a_copy() {
    let world = large();
    world.times(1, operation("HeadObject"), Action::error(503, "SlowDown"));
    world.times(1, operation("CreateMultipartUpload"), Action::error(500, "InternalError"));
    world.on(Match { every: Some(2), ..operation("UploadPartCopy") }, Action::error(500, "InternalError"));
    world.times(1, operation("CompleteMultipartUpload"), Action::error(500, "InternalError"));
    let report = copy(&world, &copy_request()).await.unwrap();
    assert!(report.attempts > report.parts);
    assert!(world.server.object(BUCKET, COPY).unwrap() == content(LARGE));
}

/// U9, U13
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_cancel_in_the_middle_leaves_nothing() {
    for (name, size) in
        [("HeadObject", SIZE), ("CopyObject", SIZE), ("CreateMultipartUpload", LARGE), ("UploadPartCopy", LARGE)]
    {
        let world = large();
        world.server.put_pattern(BUCKET, KEY, size, SEED);
        world.on(operation(name), Action::Latency { ms: if name.starts_with("Create") { 300 } else { 60_000 } });
        let (cancel, request) = (Cancel::default(), copy_request());
        let (outcome, ()) = tokio::join!(copy_until(&world, &request, &cancel), async {
            until("the request", || !world.logged(name).is_empty()).await;
            cancel.trigger();
        });
        assert_eq!(outcome.unwrap_err().kind(), ErrorKind::Cancelled, "{name}");
        // One request that was sent may still be acted on; parts make no object.
        assert!(name == "CopyObject" || world.server.object(BUCKET, COPY).is_none(), "{name}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_cannot_be_copied_is_refused() {
    let world = large();
    let small_parts = CopyRequest { part_size: Some(5 * MIB - 1), ..copy_request() };
    refuses(&world, &small_parts, ErrorKind::Config).await;
    refuses(&world, &CopyRequest { max_concurrency: Some(0), ..copy_request() }, ErrorKind::Config).await;
    let error =
        refuses(&world, &CopyRequest { source: object("missing"), ..copy_request() }, ErrorKind::NotFound).await;
    assert_eq!(error.key(), Some("missing"));
}
