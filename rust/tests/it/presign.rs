//! Presigned URLs: what anybody may get with them, for how long, and requests that somebody else pays for.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::Duration;

use s3z::config::{AddressingStyle, ClientConfig};
use s3z::credentials::{Credentials, Signing};
use s3z::error::{Error, ErrorKind};
use s3z::ops::manage;
use s3z::progress::Cancel;
use s3z::s3::client::{ObjectRef, S3Client};

use crate::support::*;

const HOUR: Duration = Duration::from_secs(3600);

/// Status and body of a GET of exactly this URL, by nothing that knows S3.
fn fetch(url: &str) -> (u16, Vec<u8>) {
    let (host, path) = url.strip_prefix("http://").unwrap().split_once('/').unwrap();
    let mut stream = TcpStream::connect(host).unwrap();
    write!(stream, "GET /{path} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n").unwrap();
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).unwrap();
    let end = answer.windows(4).position(|window| window == b"\r\n\r\n").unwrap();
    let status = std::str::from_utf8(&answer[9..12]).unwrap().parse().unwrap();
    (status, answer.split_off(end + 4))
}

async fn presign(world: &World, object: &ObjectRef, expires: Duration) -> String {
    world.engine.client.presign(object, expires).await.unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_presigned_url_needs_no_keys() {
    let world = World::new();
    for key in [KEY, "a b+%/ü//c", "%2e%2e/k", "?x=1&y#z", "~()*!'"] {
        world.server.put_object(BUCKET, key, key.as_bytes().to_vec());
        let url = presign(&world, &object(key), HOUR).await;
        assert_eq!(fetch(&url), (200, key.as_bytes().to_vec()), "{key}");
        assert_eq!(fetch(&url[..url.len() - 1]).0, 403, "a cut signature");
        let other = url.replacen(BUCKET, "another", 1);
        assert_eq!(fetch(&other).0, 403, "it is for this object only");
    }
    assert!(world.logged("PutObject").is_empty());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn it_ends_when_its_time_is_over() {
    let world = World::with_object();
    let url = presign(&world, &object(KEY), Duration::from_secs(60)).await;
    assert_eq!(fetch(&url).0, 200);
    world.server.shift_clock(55);
    assert_eq!(fetch(&url).0, 200);
    world.server.shift_clock(70);
    assert_eq!(fetch(&url).0, 403);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn it_is_of_the_version_that_was_named() {
    let world = World::new();
    world.server.keep_versions(BUCKET);
    world.server.put_object(BUCKET, KEY, b"old".to_vec());
    let head = manage::head(&world.engine, &object(KEY), &Cancel::default()).await.unwrap();
    world.server.put_object(BUCKET, KEY, b"new".to_vec());
    let old = ObjectRef::new(BUCKET, KEY, head.identity.version_id.as_deref()).unwrap();
    assert_eq!(fetch(&presign(&world, &old, HOUR).await), (200, b"old".to_vec()));
    assert_eq!(fetch(&presign(&world, &object(KEY), HOUR).await), (200, b"new".to_vec()));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_token_and_the_payer_travel_in_it() {
    let signing = Signing::Static(Credentials {
        session_token: Some(s3z::credentials::Secret::new("to/ken+=")),
        ..Credentials::new("fake-access", "fake-secret")
    });
    let server = fake_s3::Config { session_token: Some("to/ken+=".into()), ..fake_s3::Config::default() };
    let client = ClientConfig { region: "us-east-1".into(), request_payer: true, ..ClientConfig::default() };
    let world = World::signed(server, client, signing);
    world.server.put_object(BUCKET, KEY, b"x".to_vec());
    let url = presign(&world, &object(KEY), HOUR).await;
    assert!(url.contains("x-amz-request-payer=requester"), "{url}");
    assert_eq!(fetch(&url), (200, b"x".to_vec()));
    assert_eq!(fetch(&url.replace("x-amz-request-payer=requester&", "")).0, 403);
}

fn refusal(refused: s3z::error::Result<String>) -> Error {
    refused.expect_err("this must be refused")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_cannot_be_presigned_is_refused_without_a_request() {
    let world = World::new();
    for (seconds, good) in [(0, false), (1, true), (604_800, true), (604_801, false)] {
        let outcome = world.engine.client.presign(&object(KEY), Duration::from_secs(seconds)).await;
        assert_eq!(outcome.is_ok(), good, "{seconds}");
        if let Err(error) = outcome {
            assert_eq!((error.kind(), error.key()), (ErrorKind::Config, Some(KEY)));
        }
    }
    let config = world.engine.client.config().clone();
    let anonymous = S3Client::new(config, Signing::Anonymous).unwrap();
    assert_eq!(refusal(anonymous.presign(&object(KEY), HOUR).await).kind(), ErrorKind::Config);
    let dots = ObjectRef { key: "a/../../other/k".into(), ..object(KEY) };
    assert_eq!(refusal(world.engine.client.presign(&dots, HOUR).await).kind(), ErrorKind::UnsafeKey);
    assert_eq!(world.server.log().len(), 0);
}

#[tokio::test]
async fn the_host_is_the_one_that_requests_go_to() {
    let signing = || Signing::Static(Credentials::new("fake-access", "fake-secret"));
    let aws = ClientConfig { region: "eu-west-1".into(), ..ClientConfig::default() };
    for (style, front) in [
        (AddressingStyle::Auto, "https://bucket.s3.eu-west-1.amazonaws.com/directory/object?X-Amz-Algorithm="),
        (AddressingStyle::Path, "https://s3.eu-west-1.amazonaws.com/bucket/directory/object?X-Amz-Algorithm="),
    ] {
        let client = S3Client::new(ClientConfig { addressing_style: style, ..aws.clone() }, signing()).unwrap();
        let url = client.presign(&object(KEY), HOUR).await.unwrap();
        assert!(url.starts_with(front), "{url}");
        assert!(url.contains("%2Feu-west-1%2Fs3%2Faws4_request"), "{url}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whoever_pays_says_so_with_every_request_to_a_bucket() {
    for pays in [false, true] {
        let world = World::with(|_, client| client.request_payer = pays);
        world.upload(&world.put(1000)).await.unwrap();
        world.downloads(&world.get(), 1000, SEED).await;
        let cancel = Cancel::default();
        manage::head_bucket(&world.engine, BUCKET, &cancel).await.unwrap();
        manage::delete_many(&world.engine, BUCKET, &[(KEY.into(), None)], &cancel).await.unwrap();
        manage::list_buckets(&world.engine, &cancel).await.unwrap();
        for record in world.server.log() {
            let expected = (pays && record.operation != "ListBuckets").then_some("requester");
            assert_eq!(header(&record, "x-amz-request-payer"), expected, "{}", record.operation);
        }
        assert!(world.server.log().len() >= 5);
    }
}
