//! HTTP as stores and middleboxes speak it: interim answers, codings, framing, old versions (#23, #27–#29, #38).

use std::collections::BTreeMap;
use std::time::Duration;

use fake_s3::{Action, Match};
use s3z::checksum::Algorithm;
use s3z::error::ErrorKind;
use s3z::ops::download::DownloadRequest;

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

/// #28: framing that can be read in two ways, or not at all. `abcde` is all there is.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn ambiguous_framing_is_never_a_wrong_file() {
    let head = "HTTP/1.1 200 OK\r\nETag: \"e\"\r\n";
    let answers = [
        ("bad chunk size", format!("{head}Transfer-Encoding: chunked\r\n\r\nzz\r\nabcde\r\n0\r\n\r\n")),
        ("negative chunk", format!("{head}Transfer-Encoding: chunked\r\n\r\n-5\r\nabcde\r\n0\r\n\r\n")),
        ("signed chunk", format!("{head}Transfer-Encoding: chunked\r\n\r\n+5\r\nabcde\r\n0\r\n\r\n")),
        ("17 digits", format!("{head}Transfer-Encoding: chunked\r\n\r\n10000000000000005\r\nabcde\r\n0\r\n\r\n")),
        ("no last chunk", format!("{head}Transfer-Encoding: chunked\r\n\r\n5\r\nabcde\r\n")),
        ("short chunk", format!("{head}Transfer-Encoding: chunked\r\n\r\n5\r\nabc")),
        ("both", format!("{head}Content-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nabcde\r\n0\r\n\r\n")),
        ("two lengths", format!("{head}Content-Length: 3\r\nContent-Length: 5\r\n\r\nabcde")),
        ("signed length", format!("{head}Content-Length: +5\r\n\r\nabcde")),
        ("negative length", format!("{head}Content-Length: -5\r\n\r\nabcde")),
        ("no number", format!("{head}Content-Length: five\r\n\r\nabcde")),
        ("a list", format!("{head}Content-Length: 3, 5\r\n\r\nabcde")),
        ("absurd length", format!("{head}Content-Length: 99999999999999999999\r\n\r\nabcde")),
        ("huge length", format!("{head}Content-Length: 9223372036854775807\r\n\r\nabcde")),
        ("no framing", format!("{head}\r\nabcde")),
        ("long", format!("{head}Content-Length: 6\r\n\r\nabcde")),
        ("double coding", format!("{head}Transfer-Encoding: gzip, chunked\r\n\r\n5\r\nabcde\r\n0\r\n\r\n")),
        ("no status", "HTTP/1.1\r\n\r\nabcde".to_owned()),
        ("no HTTP", "abcde".to_owned()),
    ];
    for (name, answer) in answers {
        let world = World::new();
        world.server.put_object(BUCKET, KEY, b"abcde".to_vec());
        for request in [plain(&world), world.get()] {
            world.server.clear_rules();
            world.server.clear_log();
            world.on(gets(), raw(answer.clone()));
            match world.download(&request).await {
                Ok(_) => assert_eq!(std::fs::read(world.destination()).unwrap(), b"abcde", "{name}"),
                Err(error) => {
                    assert!(
                        matches!(error.kind(), ErrorKind::Service | ErrorKind::Connection | ErrorKind::RangesIgnored),
                        "{name}: {error:?}"
                    )
                }
            }
            assert!(world.logged("GetObject").len() < 80, "{name}");
        }
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
