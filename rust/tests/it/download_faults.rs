//! Answers that must not be believed: wrong ranges, wrong statuses, another version (#1–#9, #21–#24).

use fake_s3::{Action, Match};
use s3z::checksum::Algorithm;
use s3z::error::ErrorKind;
use s3z::ops::download::DownloadRequest;

use crate::support::*;

fn fourth_range() -> Match {
    Match { range_min: Some(3 * PART), range_max: Some(3 * PART), ..gets() }
}

fn swap(seed: u64) -> Action {
    Action::SwapVersion { seed: Some(seed), size: None }
}

/// #1, #2
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_new_version_after_any_range_is_an_error() {
    for ignores_if_match in [false, true] {
        for skip in [1, 2, 5, 9] {
            let world = World::with_object();
            let swaps = |world: &World| {
                world.server.put_pattern(BUCKET, KEY, SIZE, SEED);
                world.switch(|switches| switches.ignore_if_match = ignores_if_match);
                world.times(1, Match { skip, ..gets() }, swap(8));
            };
            world.refuses(&world.get(), ErrorKind::ObjectChanged, swaps).await;
        }
    }
}

/// #1, I5
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_change_may_restart_the_download() {
    for ignores_if_match in [false, true] {
        for skip in [1, 4, 9] {
            let world = World::with_object();
            world.switch(|switches| switches.ignore_if_match = ignores_if_match);
            world.times(1, Match { skip, ..gets() }, swap(8));
            let request = DownloadRequest { restart_on_change: true, ..world.get() };
            let report = world.downloads(&request, SIZE, 8).await;
            assert_full_object(&report, Algorithm::Crc64Nvme);
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_object_that_changes_for_ever_restarts_once_only() {
    let world = World::with_object();
    let request = DownloadRequest { restart_on_change: true, ..world.get() };
    let swaps = |world: &World| {
        world.server.put_pattern(BUCKET, KEY, SIZE, SEED);
        world.on(later_ranges(), Action::SwapVersion { seed: None, size: None });
    };
    world.refuses(&request, ErrorKind::ObjectChanged, swaps).await;
    let discoveries = world.logged("GetObject").iter().filter(|get| header(get, "if-match").is_none()).count();
    assert_eq!(discoveries, 2);
}

/// #22: the object shrinks, with and without If-Match honoured.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_object_that_shrinks_or_grows_has_changed() {
    for ignores_if_match in [false, true] {
        for size in [0, 1, SIZE - 1, SIZE + 1] {
            let world = World::with_object();
            let shrinks = |world: &World| {
                world.server.put_pattern(BUCKET, KEY, SIZE, SEED);
                world.switch(|switches| switches.ignore_if_match = ignores_if_match);
                let change = Action::SwapVersion { seed: Some(SEED), size: Some(size) };
                world.times(1, Match { skip: 4, ..gets() }, change);
            };
            world.refuses(&world.get(), ErrorKind::ObjectChanged, shrinks).await;
        }
    }
}

/// #3
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn another_total_is_a_change() {
    for total in [SIZE - 1, SIZE + 1, 2 * SIZE] {
        let world = World::with_object();
        let lies = |world: &World| {
            world.on(fourth_range(), Action::WrongContentRange { start: None, end: None, total: Some(total) });
        };
        world.refuses(&world.get(), ErrorKind::ObjectChanged, lies).await;
    }
}

/// I3
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn another_or_no_etag_is_a_change() {
    let actions =
        [set_header("ETag", "\"another\""), Action::Header { name: "ETag".into(), value: None, doubled: false }];
    for action in actions {
        let world = World::with_object();
        let lies = |world: &World| world.on(fourth_range(), action.clone());
        world.refuses(&world.get(), ErrorKind::ObjectChanged, lies).await;
    }
}

/// I3: where both answers have a version, it counts too.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn another_version_id_is_a_change() {
    let world = World::with_object();
    let lies = |world: &World| {
        world.on(Match { range_max: Some(0), ..gets() }, set_header("x-amz-version-id", "one"));
        world.on(later_ranges(), set_header("x-amz-version-id", "two"));
    };
    world.refuses(&world.get(), ErrorKind::ObjectChanged, lies).await;
}

/// #5: asked once more on a new connection, then an error.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_wrong_start_or_end_is_refused_before_a_write() {
    let (start, end) = (3 * PART, 4 * PART - 1);
    let lies = [
        (Some(start - 1), None),
        (Some(start + 1), None),
        (Some(0), None),
        (None, Some(end + 1)),
        (None, Some(end - 1)),
        (Some(start - 1), Some(end - 1)),
        (Some(start + 1), Some(end + 1)),
    ];
    for (start, end) in lies {
        let world = World::with_object();
        let lie = |world: &World| world.on(fourth_range(), Action::WrongContentRange { start, end, total: None });
        world.refuses(&world.get(), ErrorKind::Service, lie).await;
        let asked: Vec<_> = world.logged("GetObject").into_iter().filter(|get| !get.rules.is_empty()).collect();
        assert_eq!(asked.len(), 2, "{start:?} {end:?}");
        assert_eq!(asked[1].nth, 0, "the second try is on a new connection");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_bad_answer_is_cured_by_a_new_connection() {
    let cures = [
        Action::WrongContentRange { start: Some(0), end: None, total: None },
        Action::LongRange { bytes: 1 },
        Action::Header { name: "Content-Range".into(), value: None, doubled: false },
        set_header("Content-Length", "7"),
        respond(204, ""),
    ];
    for (index, action) in cures.into_iter().enumerate() {
        let world = World::with_object();
        world.times(1, fourth_range(), action);
        world.downloads(&world.get(), SIZE, SEED).await;
        assert_eq!(world.logged("GetObject").len(), 11, "{index}");
    }
}

/// #5 at discovery, where no total is known yet.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn discovery_believes_no_wrong_range_either() {
    for (start, end) in [(Some(1), None), (None, Some(PART)), (None, Some(PART - 2)), (None, Some(SIZE - 1))] {
        let world = World::with_object();
        let lie = |world: &World| world.on(gets(), Action::WrongContentRange { start, end, total: None });
        world.refuses(&world.get(), ErrorKind::Service, lie).await;
    }
}

/// #8, #9
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn content_range_must_be_there_once_and_well_formed() {
    let name = || "Content-Range".to_owned();
    let mut lies = vec![
        Action::Header { name: name(), value: None, doubled: false },
        Action::Header { name: name(), value: Some("bytes 300009-400011/1000030".into()), doubled: true },
        set_header("Content-Type", "multipart/byteranges; boundary=x"),
    ];
    for value in [
        "",
        "bytes",
        "bytes 300009-400011/*",
        "bytes */1000030",
        "bytes 300009-400011/-1000030",
        "bytes -300009-400011/1000030",
        "bytes 300009-18446744073709551615/1000030",
        "bytes 300009-400011/18446744073709551616",
        "bytes 0x493e9-400011/1000030",
        "bytes 300009-400011",
        "items 300009-400011/1000030",
    ] {
        lies.push(set_header("Content-Range", value));
    }
    for lie in lies {
        for matches in [fourth_range(), gets()] {
            let world = World::with_object();
            // At discovery the doubled or well-formed one is of another range, so it is wrong there too.
            let lies = |world: &World| world.on(matches.clone(), lie.clone());
            world.refuses(&world.get(), ErrorKind::Service, lies).await;
        }
    }
}

/// #9, I14: nothing is made ready for a size no object can have.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_absurd_total_is_refused() {
    for total in [u64::MAX, 1 << 60, 10_000 * 5 * (1 << 30) + 1] {
        let world = World::with_object();
        let lie = |world: &World| {
            world.on(gets(), Action::WrongContentRange { start: None, end: None, total: Some(total) });
        };
        world.refuses(&world.get(), ErrorKind::Service, lie).await;
    }
}

/// #6: what came is kept, the rest is asked for.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn short_ranges_are_kept_and_continued() {
    for bytes in [PART - 1, PART / 2, 33_333] {
        for concurrency in [None, Some(3)] {
            let world = World::with_object();
            world.on(gets(), Action::ShortRange { bytes });
            let request = DownloadRequest { max_concurrency: concurrency, ..world.get() };
            let report = world.downloads(&request, SIZE, SEED).await;
            assert_full_object(&report, Algorithm::Crc64Nvme);
            assert_eq!(world.server.bytes_sent_twice(BUCKET, KEY), 0);
        }
    }
}

/// #7: a range longer than asked for is refused; so is one whose body is longer than it says.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn long_ranges_are_refused() {
    for bytes in [1, PART] {
        let world = World::with_object();
        let long = |world: &World| world.on(fourth_range(), Action::LongRange { bytes });
        world.refuses(&world.get(), ErrorKind::Service, long).await;
    }
    for length in [PART - 1, PART + 1] {
        let world = World::with_object();
        let lies = |world: &World| world.on(fourth_range(), set_header("Content-Length", &length.to_string()));
        world.refuses(&world.get(), ErrorKind::Service, lies).await;
    }
}

/// #7: bytes behind the end of an answer are unseen, and poison no later answer.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn bytes_behind_the_end_are_never_used() {
    let world = World::with_object();
    world.on(gets(), Action::TrailingBytes { bytes: b"x".to_vec() });
    let report = world.downloads(&DownloadRequest { max_concurrency: Some(2), ..world.get() }, SIZE, SEED).await;
    assert_full_object(&report, Algorithm::Crc64Nvme);
}

/// #7: a tail that looks like an answer, and comes after the connection was given to the next request, is an answer
/// of another version at worst.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_answer_smuggled_behind_another_is_never_written() {
    let tail = b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\nETag: \"x\"\r\n\r\nbad".repeat(50);
    for _ in 0..5 {
        let world = World::with_object();
        world.on(gets(), Action::TrailingBytes { bytes: tail.clone() });
        match world.download(&DownloadRequest { max_concurrency: Some(2), ..world.get() }).await {
            Ok(report) => {
                assert_full_object(&report, Algorithm::Crc64Nvme);
                assert_pattern(&world.destination(), SIZE, SEED);
            }
            Err(error) => assert_eq!(error.kind(), ErrorKind::ObjectChanged, "{error:?}"),
        }
    }
}

/// #21
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_refusal_in_the_middle_ends_the_download_at_once() {
    let cases = [
        (404, "NoSuchKey", ErrorKind::NotFound),
        (403, "AccessDenied", ErrorKind::AccessDenied),
        (400, "InvalidRequest", ErrorKind::Service),
        (405, "MethodNotAllowed", ErrorKind::Service),
        (412, "PreconditionFailed", ErrorKind::ObjectChanged),
        (416, "InvalidRange", ErrorKind::ObjectChanged),
    ];
    for (status, code, kind) in cases {
        let world = World::with_object();
        let refuse = |world: &World| world.on(fourth_range(), Action::error(status, code));
        world.refuses(&world.get(), kind, refuse).await;
        let refused = world.logged("GetObject").into_iter().filter(|get| get.status == status).count();
        assert_eq!(refused, 1, "{status}: a refusal is not tried again");
    }
}

/// R7: the first real cause is raised, not what followed from it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_first_failure_wins() {
    let world = World::with_object();
    let refuse = |world: &World| {
        world.on(Match { skip: 1, ..later_ranges() }, Action::Latency { ms: 400 });
        world.times(1, later_ranges(), Action::error(403, "AccessDenied"));
        world.on(later_ranges(), Action::error(404, "NoSuchKey"));
    };
    let error = world.refuses(&world.get(), ErrorKind::AccessDenied, refuse).await;
    assert_eq!(error.code(), Some("AccessDenied"));
    assert!(error.request_id().is_some());
}

/// #22: 416 to discovery, but the object is not empty.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_416_to_discovery_is_followed_by_one_plain_get() {
    let world = World::with_object();
    world.on(Match { has_range: Some(true), ..gets() }, Action::error(416, "InvalidRange"));
    world.downloads(&world.get(), SIZE, SEED).await;
    assert_eq!(world.logged("GetObject").len(), 2);

    let always = |world: &World| world.on(gets(), Action::error(416, "InvalidRange"));
    world.refuses(&world.get(), ErrorKind::Service, always).await;
}

/// #23
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_other_status_is_a_success() {
    for status in [201, 202, 203, 204, 205, 207, 226, 300, 302, 303, 304, 305, 308] {
        for matches in [gets(), fourth_range()] {
            let world = World::with_object();
            let odd = |world: &World| world.on(matches.clone(), respond(status, ""));
            world.refuses(&world.get(), ErrorKind::Service, odd).await;
        }
    }
}

/// I7: a 206 to a plain GET is no success.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_206_to_a_plain_get_is_refused() {
    let world = World::with_object();
    let request = DownloadRequest { max_concurrency: Some(1), ..world.get() };
    world.refuses(&request, ErrorKind::Service, |world| world.on(gets(), respond(206, "half"))).await;
}

/// Something that answers every request alike is no S3, and the error says so.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_endpoint_that_is_no_s3_is_named_as_such() {
    for (status, body) in [(404, "<html>Not Found</html>"), (403, "nginx"), (400, "")] {
        let world = World::with_object();
        world.on(Match::default(), respond(status, body));
        let error = world.download(&world.get()).await.unwrap_err();
        assert!(!error.to_string().contains("nginx") && !error.to_string().contains("html"), "{error}");
    }
    let world = World::with_object();
    let noise = Action::Raw { bytes: b"SSH-2.0-OpenSSH_9.7\r\n".to_vec(), keep_open: false };
    world.refuses(&world.get(), ErrorKind::Service, |world| world.on(Match::default(), noise.clone())).await;
}

/// R2, S25: one byte for each request is an answer, but no way to send an object.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn answers_of_next_to_nothing_are_not_taken_forever() {
    let world = World::with(|_, client| client.retry.hard_attempts = 8);
    world.server.put_pattern(BUCKET, KEY, SIZE, SEED);
    let crumbs = |world: &World| world.on(gets(), Action::ShortRange { bytes: 1 });
    let error = world.refuses(&world.get(), ErrorKind::Service, crumbs).await;
    assert!(error.message().contains("short answers"), "{error}");
}
