//! Keys that are wrong, missing or expire, and sources that fail (#34, #35).

use std::sync::atomic::{AtomicU32, Ordering::SeqCst};
use std::sync::{Arc, Mutex, mpsc};
use std::time::{Duration, Instant, SystemTime};

use fake_s3::{Action, Config, Match};
use s3z::config::ClientConfig;
use s3z::credentials::{CredentialProvider, Credentials, Signing};
use s3z::error::{Error, ErrorKind, Result};
use s3z::ops::upload::UploadRequest;

use crate::support::*;

/// Gives `key-1`, `key-2` … in turn.
#[derive(Default)]
struct Source(AtomicU32);

impl CredentialProvider for Source {
    fn load(&self) -> Result<Credentials> {
        let number = self.0.fetch_add(1, SeqCst) + 1;
        Ok(Credentials::new(&format!("key-{number}"), &format!("secret-{number}")))
    }
}

struct Refusing;

impl CredentialProvider for Refusing {
    fn load(&self) -> Result<Credentials> {
        Err(Error::new(ErrorKind::Credentials, "no keys anywhere"))
    }
}

fn client() -> ClientConfig {
    ClientConfig { region: "us-east-1".into(), retry: quick(), ..ClientConfig::default() }
}

fn world_of(source: &Arc<Source>) -> World {
    let server = Config { access_key: "key-1".into(), secret_key: "secret-1".into(), ..Config::default() };
    let world = World::signed(server, client(), Signing::Provider(source.clone()));
    world.server.put_pattern(BUCKET, KEY, SIZE, SEED);
    world
}

/// #34
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn keys_that_expire_in_the_middle_are_refreshed_once_for_all() {
    let source = Arc::new(Source::default());
    let world = world_of(&source);
    world.on(later_ranges(), Action::Latency { ms: 50 });
    let request = world.get();
    let (report, ()) = tokio::join!(world.downloads(&request, SIZE, SEED), async {
        until("a later range", || world.logged("GetObject").len() > 2).await;
        world.server.rotate_keys("key-2", "secret-2", None);
    });
    assert_eq!(source.0.load(SeqCst), 2, "one load at first, one refresh for all");
    assert_eq!(report.verified.kind(), "full_object");
    assert!(world.logged("GetObject").iter().any(|get| get.error.as_deref() == Some("ExpiredToken")));
    assert_eq!(world.server.bytes_sent_twice(BUCKET, KEY), 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_upload_goes_on_with_refreshed_keys() {
    let source = Arc::new(Source::default());
    let world = world_of(&source);
    world.on(operation("UploadPart"), Action::Latency { ms: 50 });
    let request = UploadRequest { part_size: Some(5 << 20), max_concurrency: Some(2), ..world.put(26 << 20) };
    let (outcome, ()) = tokio::join!(world.upload(&request), async {
        until("a part", || !world.logged("UploadPart").is_empty()).await;
        world.server.rotate_keys("key-2", "secret-2", None);
    });
    outcome.unwrap();
    assert_eq!(source.0.load(SeqCst), 2);
    assert_eq!(world.server.object(BUCKET, KEY).unwrap(), content(26 << 20));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_token_that_is_never_accepted_is_refreshed_once_only() {
    let source = Arc::new(Source::default());
    let world = world_of(&source);
    let always = |world: &World| world.on(gets(), Action::error(400, "ExpiredToken"));
    world.refuses(&world.get(), ErrorKind::Credentials, always).await;
    assert!(world.logged("GetObject").len() <= 2);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn static_keys_that_expire_are_a_clear_error() {
    let world = World::with_object();
    let expire = |world: &World| world.server.rotate_keys("other", "secret", None);
    let error = world.refuses(&world.get(), ErrorKind::Credentials, expire).await;
    assert!(error.to_string().contains("static"), "{error}");
    assert_eq!(world.logged("GetObject").len(), 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_source_without_keys_ends_before_any_request() {
    let world = World::signed(Config::default(), client(), Signing::Provider(Arc::new(Refusing)));
    let error = world.refuses(&world.get(), ErrorKind::Credentials, |_| {}).await;
    assert!(error.to_string().contains("no keys anywhere"), "{error}");
    assert_eq!(world.server.log().len(), 0);
}

/// Gives keys once; what it does when it is asked again is its third part.
struct Failing {
    loads: AtomicU32,
    lifetime: Option<Duration>,
    again: Again,
}

enum Again {
    Fails,
    /// Until this is dropped at the other end.
    Hangs(Mutex<mpsc::Receiver<()>>),
}

impl CredentialProvider for Failing {
    fn load(&self) -> Result<Credentials> {
        if self.loads.fetch_add(1, SeqCst) > 0 {
            if let Again::Hangs(released) = &self.again {
                let _ = released.lock().unwrap().recv();
            }
            return Err(Error::new(ErrorKind::Credentials, "the metadata service answered 500"));
        }
        let mut keys = Credentials::new("key-1", "secret-1");
        keys.expiry = self.lifetime.map(|left| SystemTime::now() + left);
        Ok(keys)
    }
}

/// A world whose source of keys fails or hangs when it is asked again; it hangs as long as the sender lives.
fn world_failing(lifetime: Option<Duration>, hangs: bool) -> (World, Arc<Failing>, mpsc::Sender<()>) {
    let (sender, released) = mpsc::channel();
    let again = if hangs { Again::Hangs(Mutex::new(released)) } else { Again::Fails };
    let source = Arc::new(Failing { loads: AtomicU32::new(0), lifetime, again });
    let server = Config { access_key: "key-1".into(), secret_key: "secret-1".into(), ..Config::default() };
    let mut client = client();
    client.retry.credentials_timeout = Duration::from_millis(300);
    let world = World::signed(server, client, Signing::Provider(source.clone()));
    world.server.put_pattern(BUCKET, KEY, SIZE, SEED);
    (world, source, sender)
}

/// #35: keys that are still good are used, whatever has become of their source.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_source_that_fails_or_hangs_stops_nothing_while_the_keys_are_good() {
    for minutes in [14, 5] {
        for hangs in [false, true] {
            let (world, source, sender) = world_failing(Some(Duration::from_secs(60 * minutes)), hangs);
            world.downloads(&world.get(), SIZE, SEED).await;
            assert_eq!(source.loads.load(SeqCst), 2, "asked again once, not for each request");
            drop(sender);
        }
    }
}

/// #35: keys that expire, and a source that gives no others: a clear error in bounded time.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_source_that_fails_or_hangs_after_expiry_is_a_bounded_error() {
    for (hangs, text) in [(false, "answered 500"), (true, "did not answer")] {
        let (world, source, sender) = world_failing(None, hangs);
        world.downloads(&world.get(), SIZE, SEED).await;
        std::fs::remove_file(world.destination()).unwrap();
        world.server.rotate_keys("key-2", "secret-2", None);
        let started = Instant::now();
        let error = world.download(&world.get()).await.unwrap_err();
        assert_eq!((error.kind(), error.key()), (ErrorKind::Credentials, Some(KEY)), "{error:?}");
        assert!(error.to_string().contains(text), "{error}");
        assert!(!world.destination().exists());
        assert!(started.elapsed() < Duration::from_secs(5), "one wait, for all who needed keys");
        assert!(source.loads.load(SeqCst) <= 3);
        drop(sender);
    }
}

/// S7: the secret is in no text.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn wrong_keys_are_access_denied_and_never_shown() {
    let (id, secret) = ("fake-access", "CANARY/secret+value");
    for keys in [Credentials::new(id, secret), Credentials::new("CANARYID", secret)] {
        let world = World::signed(Config::default(), client(), Signing::Static(keys));
        world.server.put_pattern(BUCKET, KEY, SIZE, SEED);
        let error = world.refuses(&world.get(), ErrorKind::AccessDenied, |_| {}).await;
        let mut texts = vec![error.to_string(), format!("{error:?}"), format!("{error:#?}")];
        let mut at: Option<&dyn std::error::Error> = std::error::Error::source(&error);
        while let Some(cause) = at {
            texts.push(format!("{cause} {cause:?}"));
            at = cause.source();
        }
        for text in texts {
            assert!(!text.contains("CANARY/") && !text.contains("Signature="), "{text}");
            assert!(!text.contains("AWS4-HMAC"), "{text}");
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn session_tokens_are_sent_and_signed() {
    let server = Config { session_token: Some("the-token".into()), ..Config::default() };
    let mut keys = Credentials::new("fake-access", "fake-secret");
    keys.session_token = Some(s3z::credentials::Secret::new("the-token"));
    let world = World::signed(server, client(), Signing::Static(keys));
    world.server.put_pattern(BUCKET, KEY, SIZE, SEED);
    world.downloads(&world.get(), SIZE, SEED).await;
    world.upload(&world.put(300_000)).await.unwrap();
}

/// S9
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn anonymous_requests_carry_no_signature() {
    let server = Config { require_auth: false, ..Config::default() };
    let world = World::signed(server, client(), Signing::Anonymous);
    world.server.put_pattern(BUCKET, KEY, SIZE, SEED);
    world.on(Match { header: Some("authorization".into()), ..Match::default() }, Action::error(400, "Signed"));
    world.downloads(&world.get(), SIZE, SEED).await;
}
