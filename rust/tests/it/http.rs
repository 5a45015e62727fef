//! HTTP as stores and middleboxes speak it: interim answers, codings, framing, old versions (#23, #27–#29, #38).

use std::collections::BTreeMap;
use std::time::Duration;

use fake_s3::{Action, Match};
use s3z::checksum::Algorithm;
use s3z::error::ErrorKind;
use s3z::ops::download::DownloadRequest;

use crate::alone;
use crate::support::*;

fn plain(world: &World) -> DownloadRequest {
    DownloadRequest { max_concurrency: Some(1), ..world.get() }
}

fn chunked(chunk: u64) -> Action {
    Action::Chunked { chunk, trailers: BTreeMap::from([("x-trailer".to_owned(), "value".to_owned())]) }
}

fn raw(text: impl Into<Vec<u8>>) -> Action {
    Action::Raw { bytes: text.into(), keep_open: false }
}

/// #38
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_connection_for_each_request_works() {
    let world = World::with_object();
    world.switch(|switches| switches.close_connections = true);
    assert_full_object(&world.downloads(&world.get(), SIZE, SEED).await, Algorithm::Crc64Nvme);
    assert!(world.server.log().iter().all(|record| record.nth == 0));
    world.upload(&world.put(300_000)).await.unwrap();
}

/// #38
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn http_1_0_works() {
    let world = World::with_object();
    world.switch(|switches| switches.http10 = true);
    assert_full_object(&world.downloads(&world.get(), SIZE, SEED).await, Algorithm::Crc64Nvme);
    world.upload(&world.put(300_000)).await.unwrap();
}

/// #23
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn interim_answers_are_skipped() {
    for status in [100, 102, 103] {
        let world = World::with_object();
        world.on(Match::default(), Action::Flood1xx { count: 20, status });
        assert_full_object(&world.downloads(&world.get(), SIZE, SEED).await, Algorithm::Crc64Nvme);
        world.upload(&world.put(300_000)).await.unwrap();
    }
}

/// #23: a flood that does not end runs into the first-byte timeout.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stall_after_interim_answers_is_a_timeout() {
    let world = World::with(|_, client| {
        client.retry.read_timeout = Duration::from_millis(300);
        client.retry.max_attempts = 2;
    });
    world.server.put_pattern(BUCKET, KEY, SIZE, SEED);
    let floods = |world: &World| {
        world.on(later_ranges(), Action::Flood1xx { count: 1000, status: 102 });
        world.on(later_ranges(), Action::Stall { after: 0, seconds: 60.0, in_head: true });
    };
    world.refuses(&world.get(), ErrorKind::Timeout, floods).await;
}

/// #23: interim answers without end are no answer.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn interim_answers_without_end_are_a_timeout() {
    let world = World::with(|_, client| {
        client.retry.read_timeout = Duration::from_millis(300);
        client.retry.max_attempts = 2;
    });
    world.server.put_pattern(BUCKET, KEY, SIZE, SEED);
    let endless = Action::Flood1xx { count: u64::MAX, status: 102 };
    let started = std::time::Instant::now();
    world.refuses(&world.get(), ErrorKind::Timeout, |world| world.on(later_ranges(), endless.clone())).await;
    assert!(started.elapsed() < Duration::from_secs(20));
}

/// #27, I13: what is stored as gzip stays gzip, and what looks like chunks stays that.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn encoded_objects_arrive_as_they_are_stored() {
    // `printf abc | gzip -n`
    let gzip = b"\x1f\x8b\x08\0\0\0\0\0\0\x03KLJ\x06\0\xc2A$5\x03\0\0\0".to_vec();
    let chunks = b"3;chunk-signature=00\r\nabc\r\n0;chunk-signature=00\r\n\r\n".to_vec();
    for (encoding, stored) in [("gzip", &gzip), ("aws-chunked", &chunks), ("gzip, aws-chunked", &gzip)] {
        let world = World::new();
        world.server.put_object(BUCKET, KEY, stored.clone());
        world.on(gets(), set_header("Content-Encoding", encoding));
        for request in [plain(&world), DownloadRequest { part_size: Some(7), ..world.get() }] {
            assert_full_object(&world.download(&request).await.unwrap(), Algorithm::Crc64Nvme);
            assert_eq!(&std::fs::read(world.destination()).unwrap(), stored, "{encoding}");
        }
        assert!(world.logged("GetObject").iter().all(|get| header(get, "accept-encoding") == Some("identity")));
    }
}

/// #27, I13: bytes arrive as they are stored.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn content_encoding_is_left_alone() {
    for encoding in ["gzip", "aws-chunked", "br", "deflate", "zstd"] {
        let world = World::with_object();
        world.on(gets(), set_header("Content-Encoding", encoding));
        assert_full_object(&world.downloads(&world.get(), SIZE, SEED).await, Algorithm::Crc64Nvme);
        assert_full_object(&world.downloads(&plain(&world), SIZE, SEED).await, Algorithm::Crc64Nvme);
    }
}

/// #28
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn chunked_ranges_work() {
    for chunk in [1_000, 65_536, SIZE] {
        let world = World::with_object();
        world.on(gets(), chunked(chunk));
        assert_full_object(&world.downloads(&world.get(), SIZE, SEED).await, Algorithm::Crc64Nvme);
    }
}

/// #28, I7: a chunked 200 tells no size; HEAD does, and its checksum is compared.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_chunked_whole_object_works() {
    for size in [0, 1, SIZE] {
        let world = World::new();
        world.server.put_pattern(BUCKET, KEY, size, SEED);
        world.on(gets(), chunked(10_000));
        let report = world.downloads(&plain(&world), size, SEED).await;
        assert_full_object(&report, Algorithm::Crc64Nvme);
    }
}

/// #28, I7: without its last chunk a body has not ended.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_chunked_body_that_breaks_off_is_never_a_short_success() {
    for times in [1, 100] {
        let world = World::with_object();
        world.on(gets(), chunked(10_000));
        world.times(times, gets(), Action::Truncate { after: 500_000, in_head: false, close_notify: false });
        match world.download(&plain(&world)).await {
            Ok(_) => assert_pattern(&world.destination(), SIZE, SEED),
            Err(error) => {
                assert_eq!(error.kind(), ErrorKind::Connection, "{error:?}");
                assert!(!world.destination().exists());
            }
        }
    }
}

/// #7, I8: chunks have no length of their own; what is more than the range is an error, and nothing of it is written.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn chunks_beyond_their_range_are_refused() {
    for extra in [1, 100] {
        let world = World::with_object();
        let (len, total) = (PART, SIZE);
        let head = format!(
            "HTTP/1.1 206 Partial Content\r\nETag: \"x\"\r\nx-amz-request-id: R\r\nTransfer-Encoding: chunked\r\n\
             Content-Range: bytes 0-{}/{total}\r\n\r\n{:x}\r\n",
            len - 1,
            len + extra
        );
        let body = vec![b'x'; (len + extra) as usize];
        let answer = [head.into_bytes(), body, b"\r\n0\r\n\r\n".to_vec()].concat();
        let long = |world: &World| world.on(gets(), raw(answer.clone()));
        world.refuses(&world.get(), ErrorKind::Service, long).await;
    }
}

/// #28: framing that can be read in two ways, or not at all. `abcde` is all there is.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn ambiguous_framing_is_refused() {
    let coded = |coding: &str, body: &str| format!("Transfer-Encoding: {coding}\r\n\r\n{body}");
    let answers = [
        coded("chunked", "zz\r\nabcde\r\n0\r\n\r\n"),
        coded("chunked", "-5\r\nabcde\r\n0\r\n\r\n"),
        coded("chunked", "+5\r\nabcde\r\n0\r\n\r\n"),
        coded("chunked", "0x5\r\nabcde\r\n0\r\n\r\n"),
        coded("chunked", "10000000000000005\r\nabcde\r\n0\r\n\r\n"),
        coded("chunked", "\r\nabcde\r\n0\r\n\r\n"),
        coded("chunked", "5\r\nabcdef\r\n0\r\n\r\n"),
        coded("chunked", "5\r\nabcde\r\n"),
        coded("chunked", "5\r\nabc"),
        coded("gzip, chunked", "5\r\nabcde\r\n0\r\n\r\n"),
        coded("gzip", "abcde"),
        coded("identity", "abcde"),
        // The HTTP library goes by the last one, and takes the end of the connection for the end of the body.
        coded("chunked\r\nTransfer-Encoding: gzip", "abc"),
        coded("gzip\r\nTransfer-Encoding: chunked", "5\r\nabcde\r\n0\r\n\r\n"),
        coded("chunked\r\nContent-Length: 3", "5\r\nabcde\r\n0\r\n\r\n"),
        coded("chunked\r\nContent-Length: 5", "5\r\nabcde\r\n0\r\n\r\n"),
        "Content-Length: 3\r\nContent-Length: 5\r\n\r\nabcde".to_owned(),
        "Content-Length: +5\r\n\r\nabcde".to_owned(),
        "Content-Length: -5\r\n\r\nabcde".to_owned(),
        "Content-Length: five\r\n\r\nabcde".to_owned(),
        "Content-Length: 3, 5\r\n\r\nabcde".to_owned(),
        "Content-Length: 5 5\r\n\r\nabcde".to_owned(),
        "Content-Length: 99999999999999999999\r\n\r\nabcde".to_owned(),
        "Content-Length: 9223372036854775807\r\n\r\nabcde".to_owned(),
        "Content-Length: 6\r\n\r\nabcde".to_owned(),
        "\r\nabcde".to_owned(),
        "X-No-Colon\r\nContent-Length: 5\r\n\r\nabcde".to_owned(),
    ];
    for answer in answers {
        let whole = format!("HTTP/1.1 200 OK\r\nETag: \"e\"\r\n{answer}");
        refuses_raw(&whole).await;
    }
    for answer in ["HTTP/1.1\r\n\r\nabcde", "HTTP/2.0 200 OK\r\nContent-Length: 5\r\n\r\nabcde", "abcde"] {
        refuses_raw(answer).await;
    }
}

/// Neither as the answer to a plain GET nor to a range is this any bytes of a file.
async fn refuses_raw(answer: &str) {
    let world = World::new();
    world.server.put_object(BUCKET, KEY, b"abcde".to_vec());
    for request in [plain(&world), world.get()] {
        world.server.clear_rules();
        world.server.clear_log();
        world.on(gets(), raw(answer));
        let Err(error) = world.download(&request).await else { panic!("{answer:?} was accepted") };
        let kinds = [ErrorKind::Service, ErrorKind::Connection, ErrorKind::RangesIgnored];
        assert!(kinds.contains(&error.kind()), "{answer:?}: {error:?}");
        assert_eq!(error.key(), Some(KEY), "{answer:?}");
        assert!(!world.destination().exists(), "{answer:?}");
        assert!(world.logged("GetObject").len() < 80, "{answer:?}");
    }
}

/// #28: who frames one answer badly may have hidden another behind it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_connection_with_bad_framing_is_not_used_again() {
    let good = "HTTP/1.1 200 OK\r\nETag: \"e\"\r\nContent-Length: 5\r\n\r\nxxxxx";
    for bad in [
        "Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nabcde\r\n0\r\n\r\n",
        "Content-Length: 3\r\nContent-Length: 5\r\n\r\nabc",
        "Transfer-Encoding: chunked\r\n\r\n+5\r\nabcde\r\n0\r\n\r\n",
        "Content-Length: 5\r\n\r\nabcde",
    ] {
        let world = World::new();
        world.server.put_object(BUCKET, KEY, b"abcde".to_vec());
        let head = world.engine.client.head_object(&object(KEY), None).await.unwrap();
        let etag = head.identity.etag.unwrap();
        let bytes = format!("HTTP/1.1 200 OK\r\nETag: {etag}\r\n{bad}{good}").into_bytes();
        world.times(1, gets(), Action::Raw { bytes, keep_open: true });
        // What is refused is asked for once more, and is right then.
        world.download(&plain(&world)).await.unwrap_or_else(|error| panic!("{bad:?}: {error:?}"));
        assert_eq!(std::fs::read(world.destination()).unwrap(), b"abcde", "{bad:?}");
        world.download(&plain(&world)).await.unwrap();
        assert_eq!(std::fs::read(world.destination()).unwrap(), b"abcde", "{bad:?}");
        let log = world.server.log();
        let met = log.iter().find(|record| !record.rules.is_empty()).unwrap();
        assert!(log.iter().all(|record| record.connection != met.connection || record.nth <= met.nth), "{bad:?}");
    }
}

/// #28: what is only unusual is accepted.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn unusual_framing_is_accepted() {
    let answers = [
        "Transfer-Encoding: chunked\r\n\r\n5\r\nabcde\r\n0\r\n\r\n",
        "transfer-encoding: Chunked\r\n\r\n5\r\nabcde\r\n0\r\n\r\n",
        "Transfer-Encoding: chunked\r\n\r\n005\r\nabcde\r\n000\r\n\r\n",
        "Transfer-Encoding: chunked\r\n\r\n5;name=value\r\nabcde\r\n0\r\n\r\n",
        "Transfer-Encoding: chunked\r\n\r\n1\r\na\r\n4\r\nbcde\r\n0\r\nx-trailer: value\r\n\r\n",
        "Content-Length: 5\r\n\r\nabcde",
        "Content-Length:5\r\n\r\nabcde",
        "Content-Length: 005\r\n\r\nabcde",
    ];
    for answer in answers {
        let world = World::new();
        world.server.put_object(BUCKET, KEY, b"abcde".to_vec());
        world.on(gets(), raw(format!("HTTP/1.1 200 OK\r\nETag: \"e\"\r\n{answer}")));
        world.download(&plain(&world)).await.unwrap_or_else(|error| panic!("{answer:?}: {error:?}"));
        assert_eq!(std::fs::read(world.destination()).unwrap(), b"abcde", "{answer:?}");
    }
}

async fn refuses_framing(extra: &str, body: &str) {
    let world = World::new();
    world.server.put_object(BUCKET, KEY, b"abcde".to_vec());
    let answer = format!("HTTP/1.1 200 OK\r\nETag: \"e\"\r\nContent-Length: 5\r\n{extra}\r\n{body}");
    world.refuses(&plain(&world), ErrorKind::Service, |world| world.on(gets(), raw(answer.clone()))).await;
}

/// S15
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_length_beside_chunks_is_refused() {
    refuses_framing("Transfer-Encoding: chunked\r\n", "5\r\nabcde\r\n0\r\n\r\n").await;
}

/// S15
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_lengths_are_refused() {
    refuses_framing("Content-Length: 3\r\n", "abcde").await;
}

/// #29, S15
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn heads_without_measure_are_a_bounded_error() {
    let many: String = (0..10_000).map(|index| format!("x-{index}: y\r\n")).collect();
    let bombs = [
        format!("HTTP/1.1 206 Partial Content\r\nx-bomb: {}\r\n\r\n", "x".repeat(1 << 20)),
        format!("HTTP/1.1 206 Partial Content\r\n{many}\r\n"),
        "x".repeat(4 << 20),
        format!("HTTP/1.1 206 {}\r\n\r\n", "x".repeat(2 << 20)),
    ];
    for bomb in bombs {
        let world = World::with_object();
        let error = world.refuses(&world.get(), ErrorKind::Service, |world| world.on(gets(), raw(bomb.clone()))).await;
        assert!(error.to_string().len() < 2000, "{}", error.to_string().len());
    }
}

/// #23, #29, S14: nothing of what such a store sends is kept, however much it is. Measured in a process of its own.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn bombs_take_no_memory() {
    const BOMB: usize = 16 << 20;
    let names = ["value", "fields", "line", "status", "error", "interim"];
    let Some(endpoint) = alone::told() else {
        let world = World::new();
        let on = |name: &str, action: Action| {
            let matches = Match { key: Some(name.to_owned()), ..Match::default() };
            world.on(matches, action);
        };
        on("value", raw(format!("HTTP/1.1 206 Partial Content\r\nx-bomb: {}\r\n\r\n", "x".repeat(BOMB))));
        on("fields", raw(format!("HTTP/1.1 206 Partial Content\r\n{}\r\n", "x-field: y\r\n".repeat(BOMB / 12))));
        on("line", raw("x".repeat(BOMB)));
        on("status", raw(format!("HTTP/1.1 206 {}\r\n\r\n", "x".repeat(BOMB))));
        on("error", respond(404, &format!("<Error><Message>{}</Message></Error>", "x".repeat(BOMB))));
        on("interim", raw("HTTP/1.1 102 Processing\r\n\r\n".repeat(BOMB / 27)));
        alone::run("http::bombs_take_no_memory", &world.server.endpoint());
        return;
    };
    // The child has the client only.
    let world = World::with(|_, client| client.endpoint_url = Some(endpoint));
    world.server.put_object(BUCKET, KEY, b"abcde".to_vec());
    let before = alone::peak_memory();
    for name in names {
        let request = DownloadRequest::new(object(name), world.destination());
        let error = world.download(&request).await.unwrap_err();
        let kinds = [ErrorKind::Service, ErrorKind::Connection, ErrorKind::NotFound];
        assert!(kinds.contains(&error.kind()), "{name}: {error:?}");
        assert!(error.to_string().len() < 2000, "{name}");
    }
    let grown = alone::peak_memory() - before;
    assert!(grown < 12 << 20, "{} MiB of memory were taken", grown >> 20);
}

/// S14: a body of an error is not read without end.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_endless_error_body_is_not_read_to_its_end() {
    let world = World::with_object();
    let body = format!("<Error><Code>NoSuchKey</Code><Message>{}</Message></Error>", "x".repeat(32 << 20));
    let error = world.refuses(&world.get(), ErrorKind::NotFound, |world| world.on(gets(), respond(404, &body))).await;
    assert!(error.to_string().len() < 2000);
    let sent: u64 = world.logged("GetObject").iter().map(|record| record.bytes_out).sum();
    assert!(sent < 24 << 20, "{sent} bytes were taken of an error body");
}

/// S16: what a store says cannot steer a terminal.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn control_characters_of_a_store_are_escaped() {
    let world = World::with_object();
    let evil = "\u{1b}[2J\u{202e}evil";
    let body = format!("<Error><Code>AccessDenied</Code><Message>{evil}</Message></Error>");
    let error =
        world.refuses(&world.get(), ErrorKind::AccessDenied, |world| world.on(gets(), respond(403, &body))).await;
    for text in [error.to_string(), format!("{error:?}")] {
        assert!(!text.contains('\u{1b}') && !text.contains('\u{202e}'), "{text:?}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_endpoint_nobody_listens_at_is_a_connection_error() {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let free = listener.local_addr().unwrap();
    drop(listener);
    let world = World::with(|_, client| client.endpoint_url = Some(format!("http://{free}")));
    let error = world.refuses(&world.get(), ErrorKind::Connection, |_| {}).await;
    assert_eq!(error.attempts(), 4);
}

/// Virtual-host style reaches the same objects.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn virtual_host_style_works() {
    let world = World::with(|_, client| client.addressing_style = s3z::config::AddressingStyle::Virtual);
    world.server.put_pattern(BUCKET, KEY, SIZE, SEED);
    // `bucket.localhost` is a name of the loopback address only where the resolver says so.
    let by_name = s3z::config::ClientConfig {
        endpoint_url: Some(world.server.endpoint().replace("127.0.0.1", "localhost")),
        region: "us-east-1".into(),
        addressing_style: s3z::config::AddressingStyle::Virtual,
        ..s3z::config::ClientConfig::default()
    };
    let resolves = std::net::ToSocketAddrs::to_socket_addrs(&("bucket.localhost", 80)).is_ok();
    if resolves {
        let keys = s3z::credentials::Credentials::new("fake-access", "fake-secret");
        let engine = s3z::ops::engine::Engine::new(by_name, s3z::credentials::Signing::Static(keys)).unwrap();
        let request = world.get();
        s3z::ops::download::download(&engine, &request, std::sync::Arc::default(), &s3z::progress::Cancel::default())
            .await
            .unwrap();
        assert_pattern(&world.destination(), SIZE, SEED);
        assert!(world.logged("GetObject").iter().all(|get| get.path == format!("/{KEY}")));
    }
}
