//! Uploads that meet no fault: sizes at every border, what is sent, what is called verified.

use s3z::checksum::{Algorithm, Kind, Sha};
use s3z::config::MIB;
use s3z::error::ErrorKind;
use s3z::ops::download::DownloadRequest;
use s3z::ops::report::Verification;
use s3z::ops::stored::Verify;
use s3z::ops::upload::UploadRequest;

use crate::support::*;

/// No multiple of a page or a buffer.
const UPLOAD_PART: u64 = 5 * MIB + 4097;
const THRESHOLD: u64 = MIB + 4097;

fn world() -> World {
    World::with(|_, client| client.transfer.multipart_threshold = THRESHOLD)
}

async fn uploads(world: &World, request: &UploadRequest, size: u64) -> s3z::ops::report::TransferReport {
    let report = world.upload(request).await.unwrap();
    assert_eq!(report.bytes, size);
    assert!(world.server.object(BUCKET, KEY).unwrap() == content(size), "{size} bytes differ");
    report
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_size_up_to_the_threshold_is_one_put() {
    let world = world();
    for size in [0, 1, MIB - 1, MIB, MIB + 1, THRESHOLD - 1, THRESHOLD] {
        world.server.clear_log();
        let report = uploads(&world, &world.put(size), size).await;
        assert_full_object(&report, Algorithm::Crc64Nvme);
        assert_eq!((report.parts, world.server.log().len()), (1, 1), "{size}");
        assert_eq!(world.logged("PutObject").len(), 1);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_border_size_arrives_in_parts() {
    let world = world();
    let part = UPLOAD_PART;
    let sizes = [THRESHOLD + 1, part - 1, part, part + 1, 2 * part - 1, 2 * part, 2 * part + 1, 3 * part + 77];
    for (index, size) in sizes.into_iter().enumerate() {
        world.server.clear_log();
        let concurrency = [None, Some(1), Some(2), Some(16)][index % 4];
        let request = UploadRequest { part_size: Some(part), max_concurrency: concurrency, ..world.put(size) };
        let report = uploads(&world, &request, size).await;
        assert_full_object(&report, Algorithm::Crc64Nvme);
        assert_eq!(u64::from(report.parts), size.div_ceil(part), "{size}");
        assert_eq!(world.logged("UploadPart").len() as u64, size.div_ceil(part));
        assert_eq!(world.logged("AbortMultipartUpload").len(), 0);
        assert_eq!(report.attempts, report.parts, "nothing was sent twice");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_part_at_a_time_and_many_arrive_alike() {
    let world = world();
    for concurrency in [Some(1), Some(2), Some(64), None] {
        let size = 4 * UPLOAD_PART + 1;
        let request = UploadRequest { part_size: Some(UPLOAD_PART), max_concurrency: concurrency, ..world.put(size) };
        uploads(&world, &request, size).await;
    }
}

/// A part above a quarter of the budget is read while it is sent.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn parts_larger_than_the_budget_are_streamed() {
    let world = World::with(|_, client| {
        client.transfer.memory_limit = 8 * MIB;
        client.transfer.multipart_threshold = 0;
    });
    for size in [1, MIB, 4 * MIB + 1, UPLOAD_PART, 2 * UPLOAD_PART + 1] {
        let request = UploadRequest { part_size: Some(UPLOAD_PART), ..world.put(size) };
        assert_full_object(&uploads(&world, &request, size).await, Algorithm::Crc64Nvme);
    }
}

/// C9, U4
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn checksums_go_with_every_part_and_with_complete() {
    for algorithm in Algorithm::ALL {
        let world = world();
        let size = 2 * UPLOAD_PART + 1;
        let request =
            UploadRequest { part_size: Some(UPLOAD_PART), checksum: Some(algorithm.into()), ..world.put(size) };
        assert_full_object(&uploads(&world, &request, size).await, algorithm);
        let create = &world.logged("CreateMultipartUpload")[0];
        assert_eq!(header(create, "x-amz-checksum-algorithm"), Some(algorithm.name()));
        assert_eq!(header(create, "x-amz-checksum-type"), Some("FULL_OBJECT"));
        for part in world.logged("UploadPart") {
            assert!(header(&part, algorithm.header()).is_some());
        }
        let complete = &world.logged("CompleteMultipartUpload")[0];
        let whole = s3z::checksum::encode(algorithm, s3z::checksum::checksum(algorithm, &content(size)));
        assert_eq!(header(complete, algorithm.header()), Some(whole.as_str()));
        assert_eq!(header(complete, "x-amz-mp-object-size"), Some(size.to_string().as_str()));
        assert_eq!(header(complete, "x-amz-checksum-type"), Some("FULL_OBJECT"));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_put_carries_its_checksum() {
    for algorithm in Algorithm::ALL {
        let world = world();
        let request = UploadRequest { checksum: Some(algorithm.into()), ..world.put(1000) };
        assert_full_object(&uploads(&world, &request, 1000).await, algorithm);
        let whole = s3z::checksum::encode(algorithm, s3z::checksum::checksum(algorithm, &content(1000)));
        assert_eq!(header(&world.logged("PutObject")[0], algorithm.header()), Some(whole.as_str()));
    }
}

/// C9: a hash is of each part; that of one request is of the whole object. A download compares it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn hashes_go_with_every_part_and_with_a_put() {
    for sha in [Sha::Sha256, Sha::Sha1] {
        let (world, kind) = (world(), Kind::Sha(sha));
        for size in [1000, 2 * UPLOAD_PART + 1] {
            let request = UploadRequest { part_size: Some(UPLOAD_PART), checksum: Some(kind), ..world.put(size) };
            let report = uploads(&world, &request, size).await;
            let parts = if size == 1000 { Verification::FullObject(kind) } else { Verification::Parts(kind, 3) };
            assert_eq!(report.verified, parts);
            let download = DownloadRequest { verify: Verify::Require, ..world.get() };
            assert_eq!(world.downloads(&download, size, SEED).await.verified, parts);
        }
        assert_eq!(header(&world.logged("CreateMultipartUpload")[0], "x-amz-checksum-type"), Some("COMPOSITE"));
        assert!(world.logged("UploadPart").iter().all(|part| header(part, kind.header()).is_some()));
        assert_eq!(header(&world.logged("CompleteMultipartUpload")[0], kind.header()), None);
        world.times(1, operation("UploadPart"), set_header(kind.header(), "AAAA"));
        let request =
            UploadRequest { part_size: Some(UPLOAD_PART), checksum: Some(kind), ..world.put(2 * UPLOAD_PART) };
        assert_eq!(uploads(&world, &request, 2 * UPLOAD_PART).await.attempts, 3, "an echo that is not ours");
    }
}

/// C14: what the store did not repeat is not called verified.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_store_without_checksums_verifies_only_the_length() {
    let world = world();
    world.switch(|switches| switches.no_checksums = true);
    for size in [1000, 2 * UPLOAD_PART] {
        let request = UploadRequest { part_size: Some(UPLOAD_PART), ..world.put(size) };
        assert_length_only(&uploads(&world, &request, size).await, "checksum");
        let silent = UploadRequest { checksum: None, ..request };
        assert_length_only(&uploads(&world, &silent, size).await, "no checksum was sent");
    }
}

/// C14: parts were repeated, the whole was not.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn parts_that_were_repeated_are_called_verified() {
    let world = world();
    let answer =
        "<CompleteMultipartUploadResult><Bucket>bucket</Bucket><ETag>\"e-3\"</ETag></CompleteMultipartUploadResult>";
    world.on(operation("CompleteMultipartUpload"), respond(200, answer));
    let size = 2 * UPLOAD_PART + 1;
    let request = UploadRequest { part_size: Some(UPLOAD_PART), ..world.put(size) };
    let (progress, cancel) = (Default::default(), Default::default());
    let report = s3z::ops::upload::upload(&world.engine, &request, progress, &cancel).await.unwrap();
    assert_eq!(report.verified, Verification::Parts(Algorithm::Crc64Nvme.into(), 3));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn headers_of_the_caller_are_sent() {
    for size in [1000, 2 * UPLOAD_PART] {
        let world = world();
        let headers = vec![
            ("content-type".to_owned(), "text/x-test".to_owned()),
            ("x-amz-meta-name".to_owned(), "a value".to_owned()),
        ];
        let request = UploadRequest { part_size: Some(UPLOAD_PART), headers, ..world.put(size) };
        uploads(&world, &request, size).await;
        let head =
            s3z::ops::manage::head(&world.engine, &object(KEY), &s3z::progress::Cancel::default()).await.unwrap();
        assert_eq!(head.identity.content_type.as_deref(), Some("text/x-test"));
        assert_eq!(head.metadata, [("name".to_owned(), "a value".to_owned())]);
    }
}

/// U5
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn part_sizes_that_cannot_work_are_refused_before_any_request() {
    let world = world();
    for part_size in [0, 1, 5 * MIB - 1, 5 * 1024 * MIB + 1] {
        let request = UploadRequest { part_size: Some(part_size), ..world.put(2 * UPLOAD_PART) };
        let error = world.refuses_upload(&request, ErrorKind::Config).await;
        assert!(error.to_string().contains("part_size"), "{error}");
    }
    let request = UploadRequest { max_concurrency: Some(0), ..world.put(1000) };
    world.refuses_upload(&request, ErrorKind::Config).await;
    assert_eq!(world.server.log().len(), 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sources_that_are_no_files_are_refused_before_any_request() {
    let world = world();
    for source in [world.path("missing"), world.path(""), "/dev/null".into()] {
        let request = UploadRequest { source, ..world.put(1000) };
        let error = world.refuses_upload(&request, ErrorKind::LocalIo).await;
        assert!(error.path().is_some());
    }
    assert_eq!(world.server.log().len(), 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_missing_bucket_is_not_found() {
    let world = world();
    for size in [1000, 2 * UPLOAD_PART] {
        let object = s3z::s3::client::ObjectRef::new("no-such-bucket", KEY, None).unwrap();
        let request = UploadRequest { object, ..world.put(size) };
        let error = world.upload(&request).await.unwrap_err();
        assert_eq!((error.kind(), error.code()), (ErrorKind::NotFound, Some("NoSuchBucket")));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_uploaded_comes_back() {
    let world = world();
    for key in ["a b+c%d&e", "ünï/🦀", "new\nline"] {
        for size in [0, 1000, 2 * UPLOAD_PART + 1] {
            let request = UploadRequest { object: object(key), part_size: Some(UPLOAD_PART), ..world.put(size) };
            let etag = world.upload(&request).await.unwrap().etag;
            let get = DownloadRequest { object: object(key), part_size: Some(MIB), ..world.get() };
            let report = world.downloads(&get, size, SEED).await;
            assert_full_object(&report, Algorithm::Crc64Nvme);
            assert_eq!(report.etag, etag);
        }
    }
}
