//! No descriptor left for a socket (#70, F15): a process of its own, with a limit of its own.

use std::fs::File;
use std::time::{Duration, Instant};

use fake_s3::Action;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use s3z::config::{ClientConfig, RetryConfig};
use s3z::credentials::{Credentials, Signing};
use s3z::error::ErrorKind;
use s3z::s3::client::S3Client;
use tokio::task::JoinSet;

use crate::alone;
use crate::support::*;

const REQUESTS: usize = 24;

/// Leaves no descriptor free but so many; the others are taken as long as what comes back lives.
fn leave_descriptors(count: usize) -> Vec<File> {
    setrlimit(Resource::Nofile, Rlimit { current: Some(100), ..getrlimit(Resource::Nofile) }).unwrap();
    let mut taken: Vec<_> = std::iter::from_fn(|| File::open("/dev/null").ok()).collect();
    assert!(taken.len() > count);
    taken.truncate(taken.len() - count);
    taken
}

fn client(endpoint: &str) -> S3Client {
    // What counts against the store would end this at once.
    let retry = RetryConfig { quota: 0, quota_refill: 0, quota_wait: Duration::ZERO, ..RetryConfig::default() };
    let config = ClientConfig {
        endpoint_url: Some(endpoint.to_owned()),
        region: "us-east-1".into(),
        retry,
        ..ClientConfig::default()
    };
    S3Client::new(config, Signing::Static(Credentials::new("fake-access", "fake-secret"))).unwrap()
}

async fn get(client: S3Client) -> Result<Vec<u8>, s3z::error::Error> {
    let mut body = client.get_object(get_of(Some(0..PART))).await?;
    let mut bytes = Vec::new();
    while let Some(chunk) = body.chunk().await? {
        bytes.extend_from_slice(&chunk);
    }
    Ok(bytes)
}

/// More requests than sockets: they wait for one another, the pool is told to shrink, and nobody fails.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn too_few_descriptors_are_waited_for() {
    let Some(endpoint) = alone::told() else {
        let world = World::with_object();
        world.on(gets(), Action::Latency { ms: 20 });
        alone::run("descriptors::too_few_descriptors_are_waited_for", &world.server.endpoint());
        assert_eq!(world.logged("GetObject").len(), REQUESTS, "what could not be sent was sent later, and once");
        return;
    };
    let client = client(&endpoint);
    let _taken = leave_descriptors(4);
    let mut tasks = JoinSet::new();
    for _ in 0..REQUESTS {
        tasks.spawn(get(client.clone()));
    }
    while let Some(ended) = tasks.join_next().await {
        assert!(ended.unwrap().unwrap() == content(PART));
    }
    assert!(client.pressure().throttles() > 0, "the pool was not told");
}

/// None at all: an error of this machine, with its errno, in bounded time.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_descriptor_at_all_is_a_local_error() {
    let Some(endpoint) = alone::told() else {
        let world = World::with_object();
        alone::run("descriptors::no_descriptor_at_all_is_a_local_error", &world.server.endpoint());
        assert_eq!(world.server.log().len(), 1, "only the one that found a descriptor");
        return;
    };
    let client = client(&endpoint.replace("127.0.0.1", "localhost"));
    let taken = leave_descriptors(0);
    let started = Instant::now();
    let error = get(client.clone()).await.map(|bytes| bytes.len()).unwrap_err();
    assert_eq!((error.kind(), error.errno()), (ErrorKind::LocalIo, Some(24)), "{error:?}");
    assert_eq!((error.key(), error.attempts()), (Some(KEY), 10));
    assert!(error.to_string().contains("Too many open files"), "{error}");
    assert!(started.elapsed() < Duration::from_secs(60));
    drop(taken);
    assert!(get(client).await.unwrap() == content(PART), "nothing was left out or closed for it");
}
