//! Uploads that fail or nearly do: no open upload, no false success, the stored object untouched (#39–#43, #46, #49).

use std::fs;
use std::time::Duration;

use fake_s3::{Action, Match};
use s3z::checksum::Algorithm;
use s3z::config::MIB;
use s3z::error::ErrorKind;
use s3z::ops::upload::UploadRequest;

use crate::support::*;

const UPLOAD_PART: u64 = 5 * MIB;
/// Four parts.
const LARGE: u64 = 3 * UPLOAD_PART + 1;
const SMALL: u64 = 300_000;

fn world() -> World {
    World::with(|_, client| client.transfer.multipart_threshold = MIB)
}

fn parts(world: &World) -> UploadRequest {
    UploadRequest { part_size: Some(UPLOAD_PART), ..world.put(LARGE) }
}

fn late_error(code: &str) -> Action {
    Action::ErrorIn200 { code: code.into(), message: String::new(), spaces: 3, interval_ms: 5 }
}

/// #43
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_failure_of_a_multipart_upload_is_aborted() {
    let cases = [
        ("UploadPart", Action::error(403, "AccessDenied"), ErrorKind::AccessDenied),
        ("UploadPart", Action::error(500, "InternalError"), ErrorKind::Service),
        ("UploadPart", Action::error(503, "SlowDown"), ErrorKind::Throttled),
        ("UploadPart", Action::error(404, "NoSuchUpload"), ErrorKind::NotFound),
        ("UploadPart", Action::error(400, "BadDigest"), ErrorKind::Integrity),
        ("UploadPart", Action::CloseAfterRequestBytes { bytes: 100_000, reset: true }, ErrorKind::Connection),
        ("UploadPart", Action::Truncate { after: 0, in_head: true, close_notify: false }, ErrorKind::Connection),
        ("CompleteMultipartUpload", Action::error(400, "InvalidPart"), ErrorKind::Service),
        ("CompleteMultipartUpload", Action::error(403, "AccessDenied"), ErrorKind::AccessDenied),
        ("CompleteMultipartUpload", Action::error(500, "InternalError"), ErrorKind::Service),
        ("CompleteMultipartUpload", late_error("InternalError"), ErrorKind::Service),
        ("CompleteMultipartUpload", respond(200, ""), ErrorKind::Service),
        ("CompleteMultipartUpload", respond(200, "<html>fine</html>"), ErrorKind::Service),
        ("CompleteMultipartUpload", respond(200, "<CompleteMultipartUploadResult><ETag>\"x\""), ErrorKind::Service),
        ("CompleteMultipartUpload", respond(200, "<CompleteMultipartUploadResult/>"), ErrorKind::Service),
        ("CompleteMultipartUpload", respond(204, ""), ErrorKind::Service),
        (
            "CompleteMultipartUpload",
            respond(200, "<Error><Code>X</Code><Message>&lt;CompleteMultipartUploadResult&gt;</Message></Error>"),
            ErrorKind::Service,
        ),
    ];
    for (name, action, kind) in cases {
        let world = world();
        world.server.put_object(BUCKET, KEY, b"the old object".to_vec());
        world.on(operation(name), action.clone());
        let error = world.refuses_upload(&parts(&world), kind).await;
        assert_eq!(error.upload_id(), None, "{name} {action:?}");
        assert_eq!(world.server.open_uploads(), [], "{name} {action:?}");
        assert!(!world.logged("AbortMultipartUpload").is_empty());
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_part_that_is_refused_ends_the_upload() {
    for part in 1..=4 {
        let world = world();
        world.on(Match { part: Some(part), ..operation("UploadPart") }, Action::error(403, "AccessDenied"));
        world.refuses_upload(&parts(&world), ErrorKind::AccessDenied).await;
        assert_eq!(world.logged("CompleteMultipartUpload").len(), 0);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_create_that_is_refused_leaves_nothing_to_abort() {
    for (action, kind) in [
        (Action::error(403, "AccessDenied"), ErrorKind::AccessDenied),
        (Action::error(500, "InternalError"), ErrorKind::Service),
        (respond(200, "<html>"), ErrorKind::Service),
        (respond(200, "<InitiateMultipartUploadResult/>"), ErrorKind::Service),
        (late_error("InternalError"), ErrorKind::Service),
    ] {
        let world = world();
        world.on(operation("CreateMultipartUpload"), action);
        world.refuses_upload(&parts(&world), kind).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_put_that_fails_stores_nothing() {
    for (action, kind) in [
        (Action::error(403, "AccessDenied"), ErrorKind::AccessDenied),
        (Action::error(500, "InternalError"), ErrorKind::Service),
        (Action::error(400, "EntityTooLarge"), ErrorKind::Service),
        (Action::CloseAfterRequestBytes { bytes: 1000, reset: false }, ErrorKind::Connection),
        (respond(304, ""), ErrorKind::Service),
    ] {
        let world = world();
        world.server.put_object(BUCKET, KEY, b"the old object".to_vec());
        world.on(operation("PutObject"), action);
        world.refuses_upload(&world.put(SMALL), kind).await;
    }
}

/// #42: refusals and breaks before, in and after the body; the source is rewound.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn passing_faults_are_survived() {
    let early = |status, code: &str| Action::Respond {
        status,
        code: Some(code.to_owned()),
        message: None,
        body: None,
        headers: Default::default(),
        early: true,
    };
    let faults = [
        Action::error(500, "InternalError"),
        Action::error(503, "SlowDown"),
        Action::error(400, "RequestTimeout"),
        early(503, "SlowDown"),
        early(500, "InternalError"),
        Action::CloseAfterRequestBytes { bytes: 0, reset: false },
        Action::CloseAfterRequestBytes { bytes: 1, reset: true },
        Action::CloseAfterRequestBytes { bytes: 200_000, reset: false },
        Action::CloseAfterRequestBytes { bytes: 200_000, reset: true },
        Action::Truncate { after: 0, in_head: true, close_notify: false },
        Action::Reset { after: 0, in_head: true },
        Action::ActThenDrop { reset: false },
        Action::ActThenDrop { reset: true },
        Action::CloseAtReuse { reset: false },
    ];
    for fault in faults {
        let world = world();
        world
            .server
            .add_rule(fake_s3::Rule::new(Match { every: Some(2), ..operation("UploadPart") }, fault.clone()).times(3));
        world.times(1, operation("PutObject"), fault.clone());
        for (request, size) in [(parts(&world), LARGE), (world.put(SMALL), SMALL)] {
            let request = UploadRequest { source: world.source(size), ..request };
            let report = world.upload(&request).await.unwrap_or_else(|error| panic!("{fault:?}: {error:?}"));
            assert_full_object(&report, Algorithm::Crc64Nvme);
            assert!(world.server.object(BUCKET, KEY).unwrap() == content(size), "{fault:?}");
        }
    }
}

/// A part that is read while it is sent can be sent again too (R10).
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn streamed_parts_are_rewound() {
    let world = World::with(|_, client| {
        client.transfer.memory_limit = 8 * MIB;
        client.transfer.multipart_threshold = MIB;
    });
    world.server.add_rule(
        fake_s3::Rule::new(
            Match { every: Some(2), ..operation("UploadPart") },
            Action::CloseAfterRequestBytes { bytes: 3 * MIB, reset: true },
        )
        .times(3),
    );
    world.upload(&parts(&world)).await.unwrap();
    assert!(world.server.object(BUCKET, KEY).unwrap() == content(LARGE));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_store_that_stops_reading_is_a_timeout() {
    let world = World::with(|_, client| {
        client.retry.read_timeout = Duration::from_millis(400);
        client.retry.max_attempts = 2;
        client.transfer.multipart_threshold = MIB;
    });
    for (name, request) in [("UploadPart", parts(&world)), ("PutObject", world.put(MIB))] {
        let request = UploadRequest { source: world.source(if name == "PutObject" { MIB } else { LARGE }), ..request };
        world.on(operation(name), Action::StallRequest { after: 0, seconds: 60.0 });
        world.refuses_upload(&request, ErrorKind::Timeout).await;
        world.server.clear_rules();
    }
}

/// #39, C11
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_error_inside_a_200_is_repeated_where_that_helps() {
    let world = world();
    world.times(2, operation("CompleteMultipartUpload"), late_error("InternalError"));
    assert_full_object(&world.upload(&parts(&world)).await.unwrap(), Algorithm::Crc64Nvme);
    assert_eq!(world.logged("CompleteMultipartUpload").len(), 3);
    assert!(world.server.object(BUCKET, KEY).unwrap() == content(LARGE));
}

/// C11: the status says nothing there, so the code decides what kind of failure it is.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_error_inside_a_200_is_classified_by_its_code() {
    for (code, kind) in [
        ("SlowDown", ErrorKind::Throttled),
        ("NoSuchUpload", ErrorKind::NotFound),
        ("PreconditionFailed", ErrorKind::AlreadyExists),
        ("ExpiredToken", ErrorKind::Credentials),
        ("BadDigest", ErrorKind::Integrity),
        ("AccessDenied", ErrorKind::AccessDenied),
    ] {
        let world = world();
        world.on(operation("CompleteMultipartUpload"), late_error(code));
        let conditions = vec![("if-none-match".to_owned(), "*".to_owned())];
        let error = world.upload(&UploadRequest { conditions, ..parts(&world) }).await.unwrap_err();
        assert_eq!(error.kind(), kind, "{code}: {error:?}");
    }
}

/// #39: white space first, for longer than the time to the first byte of other answers.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn complete_may_drip_white_space_for_long() {
    let world = World::with(|_, client| {
        client.retry.read_timeout = Duration::from_millis(1500);
        client.transfer.multipart_threshold = MIB;
    });
    let drips = Action::ErrorIn200 { code: String::new(), message: String::new(), spaces: 30, interval_ms: 100 };
    world.on(operation("CompleteMultipartUpload"), drips);
    assert_full_object(&world.upload(&parts(&world)).await.unwrap(), Algorithm::Crc64Nvme);
    assert_eq!(world.logged("CompleteMultipartUpload").len(), 1);
}

/// #40, C12: the store has done it; only the answer is lost.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_lost_answer_to_complete_is_looked_into() {
    for reset in [false, true] {
        let world = world();
        world.times(1, operation("CompleteMultipartUpload"), Action::ActThenDrop { reset });
        world.upload(&parts(&world)).await.unwrap();
        assert!(world.server.object(BUCKET, KEY).unwrap() == content(LARGE));
    }
}

/// C12: where it cannot be known, the error says so and names the upload.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_complete_whose_outcome_is_unknown_says_so() {
    let world = world();
    world.times(1, operation("CompleteMultipartUpload"), Action::ActThenDrop { reset: false });
    world.on(operation("HeadObject"), Action::error(403, "AccessDenied"));
    let error = world.upload(&parts(&world)).await.unwrap_err();
    assert!(error.to_string().contains("unknown"), "{error}");
}

/// #45: the retry makes a second upload, which is completed; the first one is the documented orphan.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_lost_answer_to_create_is_asked_again() {
    let world = world();
    world.times(1, operation("CreateMultipartUpload"), Action::ActThenDrop { reset: false });
    let (progress, cancel) = (Default::default(), Default::default());
    s3z::ops::upload::upload(&world.engine, &parts(&world), progress, &cancel).await.unwrap();
    assert!(world.server.object(BUCKET, KEY).unwrap() == content(LARGE));
    assert_eq!(world.server.open_uploads().len(), 1);
}

/// #41, C10
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_part_echoed_wrongly_is_sent_again_at_most_twice() {
    let lies = [
        set_header("x-amz-checksum-crc64nvme", "AAAAAAAAAAA="),
        set_header("x-amz-checksum-crc64nvme", ""),
        Action::Header { name: "ETag".into(), value: None, doubled: false },
        respond(204, ""),
    ];
    for lie in lies {
        for (times, survives) in [(1, true), (2, true), (3, false), (100, false)] {
            let world = world();
            world.times(times, Match { part: Some(2), ..operation("UploadPart") }, lie.clone());
            if survives {
                let report = world.upload(&parts(&world)).await.unwrap();
                assert_full_object(&report, Algorithm::Crc64Nvme);
                assert!(world.server.object(BUCKET, KEY).unwrap() == content(LARGE));
            } else {
                world.refuses_upload(&parts(&world), ErrorKind::Integrity).await;
            }
            let sent = world.logged("UploadPart").iter().filter(|part| part.part == Some(2)).count() as u64;
            assert_eq!(sent, (times + 1).min(3), "{lie:?}");
        }
    }
}

/// C11: an echoed checksum over the whole that is not ours.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_complete_echoed_wrongly_is_an_integrity_error() {
    let world = world();
    let answer = "<CompleteMultipartUploadResult><ETag>\"e-4\"</ETag><ChecksumCRC64NVME>AAAAAAAAAAA=</ChecksumCRC64NVME>\
                  <ChecksumType>FULL_OBJECT</ChecksumType></CompleteMultipartUploadResult>";
    world.on(operation("CompleteMultipartUpload"), respond(200, answer));
    world.refuses_upload(&parts(&world), ErrorKind::Integrity).await;
}

/// Promise 4: what the store says it holds is not what was sent.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_put_echoed_wrongly_is_an_integrity_error() {
    let world = world();
    world.on(operation("PutObject"), set_header("x-amz-checksum-crc64nvme", "AAAAAAAAAAA="));
    let outcome = world.upload(&world.put(SMALL)).await;
    assert_eq!(outcome.map_err(|error| error.kind()).map(|report| report.verified), Err(ErrorKind::Integrity));
}

/// Promise 4: only 200 says that the object is stored.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_put_answered_with_another_success_is_none() {
    for status in [202, 204, 206] {
        let world = world();
        world.on(operation("PutObject"), respond(status, ""));
        let outcome = world.upload(&world.put(SMALL)).await;
        assert_eq!(
            outcome.map_err(|error| error.kind()).map(|report| report.verified),
            Err(ErrorKind::Service),
            "{status}"
        );
    }
}

/// #49, U12
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_existing_object_is_not_overwritten() {
    for size in [SMALL, LARGE] {
        let world = world();
        world.server.put_object(BUCKET, KEY, b"the old object".to_vec());
        let conditions = vec![("if-none-match".to_owned(), "*".to_owned())];
        let request = UploadRequest { conditions: conditions.clone(), part_size: Some(UPLOAD_PART), ..world.put(size) };
        let error = world.refuses_upload(&request, ErrorKind::AlreadyExists).await;
        assert_eq!(error.status(), Some(412));
        assert_eq!(world.logged("HeadObject").len(), 0, "never asked first");
        let fresh = UploadRequest { object: object("fresh"), ..request };
        world.upload(&fresh).await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn only_the_expected_version_is_replaced() {
    for size in [SMALL, LARGE] {
        let world = world();
        world.server.put_object(BUCKET, KEY, b"the old object".to_vec());
        let conditions = |etag: &str| vec![("if-match".to_owned(), etag.to_owned())];
        let request = UploadRequest { part_size: Some(UPLOAD_PART), ..world.put(size) };
        let wrong = UploadRequest { conditions: conditions("\"another\""), ..request.clone() };
        world.refuses_upload(&wrong, ErrorKind::ObjectChanged).await;
        let etag =
            s3z::ops::manage::head(&world.engine, &object(KEY), &Default::default()).await.unwrap().identity.etag;
        let right = UploadRequest { conditions: conditions(&etag.unwrap()), ..request };
        world.upload(&right).await.unwrap();
    }
}

/// #49: a conflict is not a refusal.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_conflict_of_conditions_is_repeated() {
    for (size, name) in [(SMALL, "PutObject"), (LARGE, "CompleteMultipartUpload")] {
        let world = world();
        world.times(1, operation(name), Action::error(409, "ConditionalRequestConflict"));
        let conditions = vec![("if-none-match".to_owned(), "*".to_owned())];
        let request = UploadRequest { conditions, part_size: Some(UPLOAD_PART), ..world.put(size) };
        let outcome = world.upload(&request).await;
        assert!(outcome.is_ok(), "{name}: {outcome:?}");
    }
}

/// U9: an abort that fails does not hide the cause, and names what stays.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_abort_that_fails_is_told() {
    let world = world();
    world.on(Match { part: Some(2), ..operation("UploadPart") }, Action::error(403, "AccessDenied"));
    world.on(operation("AbortMultipartUpload"), Action::error(500, "InternalError"));
    let error = world.refuses_upload(&parts(&world), ErrorKind::AccessDenied).await;
    let open = world.server.open_uploads();
    assert_eq!(open.len(), 1);
    assert_eq!(error.upload_id(), Some(open[0].upload_id.as_str()));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_abort_that_fails_once_is_tried_again() {
    let world = world();
    world.on(Match { part: Some(2), ..operation("UploadPart") }, Action::error(403, "AccessDenied"));
    world.times(1, operation("AbortMultipartUpload"), Action::error(500, "InternalError"));
    let error = world.refuses_upload(&parts(&world), ErrorKind::AccessDenied).await;
    assert_eq!(error.upload_id(), None);
}

/// #46, U7: `change` happens while the first request with a body is under way.
async fn changes_while_read(size: u64, change: impl Fn(&std::path::Path)) {
    let world = world();
    for name in ["UploadPart", "PutObject"] {
        world.times(1, operation(name), Action::Latency { ms: 300 });
    }
    let request = UploadRequest { part_size: Some(UPLOAD_PART), max_concurrency: Some(1), ..world.put(size) };
    let (outcome, ()) = tokio::join!(world.upload(&request), async {
        until("a body under way", || world.logged("UploadPart").len() + world.logged("PutObject").len() > 0).await;
        change(&request.source);
    });
    let error = outcome.expect_err("the source changed");
    assert_eq!(error.kind(), ErrorKind::Integrity, "{error:?}");
    assert!(error.to_string().contains("source changed while it was read"), "{error}");
    assert_eq!(world.logged("CompleteMultipartUpload").len(), 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_source_that_changes_is_an_error() {
    for size in [SMALL, LARGE] {
        changes_while_read(size, |path| fs::File::options().write(true).open(path).unwrap().set_len(1000).unwrap())
            .await;
        changes_while_read(size, |path| {
            use std::io::Write;
            fs::File::options().append(true).open(path).unwrap().write_all(b"more").unwrap();
        })
        .await;
        changes_while_read(size, |path| {
            fs::remove_file(path).unwrap();
            fs::write(path, content(size)).unwrap();
        })
        .await;
        changes_while_read(size, |path| fs::remove_file(path).unwrap()).await;
    }
}
