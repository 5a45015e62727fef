//! Certificates that are right and wrong, and ends without close_notify (#37).

use std::time::Duration;

use fake_s3::{Action, Match, TlsMode};
use s3z::checksum::Algorithm;
use s3z::error::ErrorKind;

use crate::support::*;

fn over(mode: TlsMode) -> World {
    let world = World::with(|server, client| {
        server.tls = Some(mode);
        client.retry.connect_timeout = Duration::from_secs(10);
    });
    world.server.put_pattern(BUCKET, KEY, SIZE, SEED);
    world
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_good_certificate_is_accepted() {
    for mode in [TlsMode::Good, TlsMode::Tls12] {
        let world = over(mode);
        assert!(world.server.endpoint().starts_with("https://"));
        assert_full_object(&world.downloads(&world.get(), SIZE, SEED).await, Algorithm::Crc64Nvme);
        assert_full_object(&world.upload(&world.put(300_000)).await.unwrap(), Algorithm::Crc64Nvme);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_bad_certificate_is_refused_without_a_request() {
    for mode in [TlsMode::OtherCa, TlsMode::WrongName, TlsMode::Expired, TlsMode::Tls10] {
        let world = over(mode);
        let error = world.refuses(&world.get(), ErrorKind::Connection, |_| {}).await;
        assert_eq!(world.server.log().len(), 0, "{mode:?}");
        assert_eq!(error.attempts(), 1, "{mode:?}: what is refused is not tried again");
        let why = if mode == TlsMode::Tls10 { "TLS" } else { "certificate" };
        assert!(error.to_string().contains(why), "{mode:?}: {error}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_systems_roots_do_not_know_the_test_ca() {
    let world = over(TlsMode::Good);
    let config = s3z::config::ClientConfig {
        endpoint_url: Some(world.server.endpoint()),
        region: "us-east-1".into(),
        retry: quick(),
        ..s3z::config::ClientConfig::default()
    };
    let keys = s3z::credentials::Credentials::new("fake-access", "fake-secret");
    // Where the system has no roots at all, the client itself cannot be built.
    let Ok(engine) = s3z::ops::engine::Engine::new(config, s3z::credentials::Signing::Static(keys)) else { return };
    let cancel = s3z::progress::Cancel::default();
    let outcome = s3z::ops::download::download(&engine, &world.get(), std::sync::Arc::default(), &cancel).await;
    assert!(matches!(outcome.unwrap_err().kind(), ErrorKind::Connection | ErrorKind::Config));
    assert_eq!(world.server.log().len(), 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn checks_are_off_only_when_told() {
    for mode in [TlsMode::OtherCa, TlsMode::WrongName, TlsMode::Expired] {
        let world = World::with(|server, client| {
            server.tls = Some(mode);
            client.insecure_tls = true;
        });
        world.server.put_pattern(BUCKET, KEY, SIZE, SEED);
        world.downloads(&world.get(), SIZE, SEED).await;
    }
}

/// A cut is a cut, with close_notify or without: it is continued, not taken for the end.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_cut_over_tls_is_continued() {
    for close_notify in [false, true] {
        let world = World::with(|server, client| {
            server.tls = Some(TlsMode::Good);
            client.retry.max_attempts = 15;
        });
        world.server.put_pattern(BUCKET, KEY, SIZE, SEED);
        let cut = Action::Truncate { after: 50_000, in_head: false, close_notify };
        world.server.add_rule(fake_s3::Rule::new(Match { every: Some(3), ..gets() }, cut).times(4));
        assert_full_object(&world.downloads(&world.get(), SIZE, SEED).await, Algorithm::Crc64Nvme);
        assert_eq!(world.server.bytes_sent_twice(BUCKET, KEY), 0);
    }
}

/// Without a length only the end of the connection could tell, and over TLS anyone can fake that.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_body_ended_by_the_connection_is_refused() {
    let world = over(TlsMode::Good);
    let answer = b"HTTP/1.1 200 OK\r\nETag: \"e\"\r\nConnection: close\r\n\r\nabc".to_vec();
    let raw = Action::Raw { bytes: answer, keep_open: false };
    world.refuses(&world.get(), ErrorKind::Service, |world| world.on(gets(), raw.clone())).await;
}
