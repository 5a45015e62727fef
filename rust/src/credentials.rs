//! Keys, and the cache that renews them before they expire.
//!
//! Owns the secret type (no Debug, no Display, cleared on drop), `CredentialProvider` (a blocking call, made off
//! the runtime's workers) and `CredentialCache`: one refresh at a time for all requests (R8). A source that hangs or fails
//! holds nobody up as long as the keys at hand are good, and fails all who wait for it at once (#35). It does not look
//! for keys anywhere; Python does. Invariant: a secret leaves only through `Secret::expose`, to the signer.

use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use tokio::sync::Mutex;
use tokio::task::JoinHandle;

use crate::error::{Error, ErrorKind, Result};

/// A value that must never be shown.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(String);

impl Secret {
    pub fn new(value: impl Into<String>) -> Self {
        Self(value.into())
    }

    /// The one way out: for computing a signature or sending a token.
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl Drop for Secret {
    fn drop(&mut self) {
        let mut bytes = std::mem::take(&mut self.0).into_bytes();
        bytes.fill(0);
        std::hint::black_box(&bytes);
    }
}

impl std::fmt::Debug for Secret {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("***")
    }
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Credentials {
    pub access_key_id: String,
    pub secret_access_key: Secret,
    pub session_token: Option<Secret>,
    /// `None`: never.
    pub expiry: Option<SystemTime>,
}

impl Credentials {
    pub fn new(access_key_id: &str, secret_access_key: &str) -> Self {
        Self {
            access_key_id: access_key_id.to_owned(),
            secret_access_key: Secret::new(secret_access_key),
            session_token: None,
            expiry: None,
        }
    }
}

/// As few characters of a secret as prove that it is one; a text may have been cut in its middle.
const TELLING: usize = 12;
/// A shorter secret ("minio", "test") is a word that texts may hold for other reasons, and no secret worth the name.
const SHORTEST: usize = 16;

impl Credentials {
    /// The text without these secrets, should a store have put them into what it answers (S7).
    pub fn hide_in(&self, text: &str) -> String {
        let secrets = [Some(&self.secret_access_key), self.session_token.as_ref()];
        secrets.into_iter().flatten().fold(text.to_owned(), |text, secret| hide(text, secret.expose()))
    }
}

fn hide(mut text: String, secret: &str) -> String {
    let Some(telling) = secret.get(..TELLING).filter(|_| secret.len() >= SHORTEST) else { return text };
    while let Some(at) = text.find(telling) {
        let shown = text[at..].bytes().zip(secret.bytes()).take_while(|(a, b)| a == b).count();
        let Some(end) = (at..=at + shown).rev().find(|end| text.is_char_boundary(*end)) else { break };
        text.replace_range(at..end, "[hidden]");
    }
    text
}

/// Where keys come from. `load` may block for seconds; it is never called on a runtime worker.
pub trait CredentialProvider: Send + Sync + 'static {
    fn load(&self) -> Result<Credentials>;
}

/// How requests are signed.
#[derive(Clone)]
pub enum Signing {
    /// Not at all, because the caller said so.
    Anonymous,
    /// Nobody gave keys: every request fails with what to do about it.
    Missing,
    Static(Credentials),
    Provider(Arc<dyn CredentialProvider>),
}

/// Renew in good time (failure tolerated), and at the latest (failure fatal).
const ADVISORY: Duration = Duration::from_secs(15 * 60);
const MANDATORY: Duration = Duration::from_secs(10 * 60);
/// After a failure keys that are still good are used for so long without asking again.
const PAUSE_AFTER_FAILURE: Duration = Duration::from_secs(30);

pub struct CredentialCache {
    signing: Signing,
    /// The longest wait for a source.
    timeout: Duration,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    keys: Option<Arc<Credentials>>,
    /// The call under way, if there is one: never a second beside it, however long it takes.
    loading: Option<JoinHandle<Result<Credentials>>>,
    failed: Option<Failure>,
}

/// The last call, if it brought nothing.
struct Failure {
    at: Instant,
    text: String,
}

impl CredentialCache {
    pub fn new(signing: Signing, timeout: Duration) -> Self {
        Self { signing, timeout, state: Mutex::default() }
    }

    /// The keys to sign with; `None` for anonymous requests.
    pub async fn get(&self) -> Result<Option<Arc<Credentials>>> {
        let asked = Instant::now();
        let mut state = self.state.lock().await;
        let provider = match &self.signing {
            Signing::Anonymous => return Ok(None),
            Signing::Missing => return Err(missing()),
            Signing::Static(keys) => return Ok(Some(state.keys.get_or_insert_with(|| Arc::new(keys.clone())).clone())),
            Signing::Provider(provider) => provider,
        };
        let left = state.keys.as_ref().map(|keys| remaining(keys).unwrap_or(Duration::MAX));
        match left {
            Some(left) if left > ADVISORY => {}
            Some(left) if left > MANDATORY => state.renew_meanwhile(provider).await,
            Some(left) if !left.is_zero() => {
                if !state.has_failed_since(asked.checked_sub(PAUSE_AFTER_FAILURE)) {
                    // Good for some minutes yet, so a source that fails is no reason to stop.
                    let _ = state.load(provider, self.timeout).await;
                }
            }
            _ => state.load_once(provider, self.timeout, asked).await?,
        }
        Ok(state.keys.clone())
    }

    /// After the store called `rejected` expired: one refresh shared by everyone who saw the same keys fail.
    pub async fn refresh(&self, rejected: &Credentials) -> Result<()> {
        let Signing::Provider(provider) = &self.signing else {
            let text =
                "the keys have expired and cannot be renewed by s3z: they are static; renew them at their source";
            return Err(Error::new(ErrorKind::Credentials, text));
        };
        let asked = Instant::now();
        let mut state = self.state.lock().await;
        let is_rejected = |state: &State| state.keys.as_ref().is_some_and(|keys| **keys == *rejected);
        if !is_rejected(&state) {
            return Ok(());
        }
        let was_under_way = state.loading.is_some();
        state.load_once(provider, self.timeout, asked).await?;
        if was_under_way && is_rejected(&state) {
            // That call began before the keys were refused.
            state.load(provider, self.timeout).await?;
        }
        if is_rejected(&state) {
            let text = "the keys have expired, and their source still gives the same ones";
            return Err(Error::new(ErrorKind::Credentials, text));
        }
        Ok(())
    }
}

impl State {
    fn has_failed_since(&self, then: Option<Instant>) -> bool {
        self.failed.as_ref().is_some_and(|failure| then.is_none_or(|then| failure.at > then))
    }

    /// Asks the source, unless somebody else did while this one waited, in vain.
    async fn load_once(
        &mut self,
        provider: &Arc<dyn CredentialProvider>,
        timeout: Duration,
        asked: Instant,
    ) -> Result<()> {
        match &self.failed {
            Some(failure) if failure.at > asked => Err(Error::new(ErrorKind::Credentials, failure.text.clone())),
            _ => self.load(provider, timeout).await,
        }
    }

    /// Asks the source, or waits for the call under way.
    async fn load(&mut self, provider: &Arc<dyn CredentialProvider>, timeout: Duration) -> Result<()> {
        let call = self.loading.get_or_insert_with(|| start(provider));
        let Ok(ended) = tokio::time::timeout(timeout, &mut *call).await else {
            let text = format!("the credential provider did not answer within {timeout:?}");
            return self.fail(Error::new(ErrorKind::Credentials, text));
        };
        self.loading = None;
        self.take(ended)
    }

    /// Asks the source without waiting for it; takes what it gave when last asked so.
    async fn renew_meanwhile(&mut self, provider: &Arc<dyn CredentialProvider>) {
        match self.loading.take() {
            Some(call) if call.is_finished() => {
                let _ = self.take(call.await);
            }
            Some(call) => self.loading = Some(call),
            None if self.has_failed_since(Instant::now().checked_sub(PAUSE_AFTER_FAILURE)) => {}
            None => self.loading = Some(start(provider)),
        }
    }

    fn take(&mut self, ended: std::result::Result<Result<Credentials>, tokio::task::JoinError>) -> Result<()> {
        let panicked = |_| Err(Error::new(ErrorKind::Credentials, "the credential provider panicked"));
        match ended.unwrap_or_else(panicked) {
            Ok(keys) => {
                (self.keys, self.failed) = (Some(Arc::new(keys)), None);
                Ok(())
            }
            Err(error) => self.fail(error),
        }
    }

    fn fail(&mut self, error: Error) -> Result<()> {
        self.failed = Some(Failure { at: Instant::now(), text: error.message().to_owned() });
        Err(error)
    }
}

/// Calls the source on a thread where it may block.
fn start(provider: &Arc<dyn CredentialProvider>) -> JoinHandle<Result<Credentials>> {
    let provider = provider.clone();
    tokio::task::spawn_blocking(move || provider.load())
}

fn missing() -> Error {
    let text = "no credentials were found: set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, choose a profile, or ask \
                for unsigned requests";
    Error::new(ErrorKind::Credentials, text)
}

/// Time to expiry; `None`: never expires.
fn remaining(keys: &Credentials) -> Option<Duration> {
    keys.expiry.map(|at| at.duration_since(SystemTime::now()).unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::{AtomicBool, AtomicU32, Ordering::SeqCst};

    /// Gives `key0`, `key1` … as long as it is well; else it fails, or hangs until it is released.
    #[derive(Default)]
    struct Source {
        loads: AtomicU32,
        lifetime: Option<Duration>,
        fails: AtomicBool,
        hangs: AtomicBool,
    }

    impl CredentialProvider for Source {
        fn load(&self) -> Result<Credentials> {
            let n = self.loads.fetch_add(1, SeqCst);
            let began = Instant::now();
            // Bounded, for a test that fails waits for this thread.
            while self.hangs.load(SeqCst) && began.elapsed() < 50 * PATIENCE {
                std::thread::sleep(Duration::from_millis(1));
            }
            if self.fails.load(SeqCst) {
                return Err(Error::new(ErrorKind::Credentials, "status 500"));
            }
            let mut keys = Credentials::new(&format!("key{n}"), "secret");
            keys.expiry = self.lifetime.map(|left| SystemTime::now() + left);
            Ok(keys)
        }
    }

    const MINUTE: Duration = Duration::from_secs(60);
    const PATIENCE: Duration = Duration::from_millis(200);

    fn cache(lifetime: Option<Duration>) -> (CredentialCache, Arc<Source>) {
        let source = Arc::new(Source { lifetime, ..Source::default() });
        (CredentialCache::new(Signing::Provider(source.clone()), PATIENCE), source)
    }

    async fn key(cache: &CredentialCache) -> String {
        cache.get().await.unwrap().unwrap().access_key_id.clone()
    }

    #[test]
    fn secrets_are_not_shown() {
        let mut keys = Credentials::new("AKID", "hidden-secret");
        keys.session_token = Some(Secret::new("hidden-token"));
        assert!(!format!("{keys:?}").contains("hidden"));
    }

    /// S7: whole, cut or twice.
    #[test]
    fn secrets_are_taken_out_of_texts() {
        let mut keys = Credentials::new("AKID", "wJalrXUtnFEMI/K7MDENG");
        keys.session_token = Some(Secret::new("token-of-thirty-characters-é"));
        let hidden = |text: &str| keys.hide_in(text);
        assert_eq!(hidden("not wJalrXUtnFEMI/K7MDENG, AKID!"), "not [hidden], AKID!");
        assert_eq!(hidden("token-of-thirty-chara…"), "[hidden]…");
        assert_eq!(hidden("token-of-thirty-characters-é token-of-thirty-characters-è"), "[hidden] [hidden]è");
        assert_eq!(hidden("token-of"), "token-of");
        for short in ["", "b", "minioadmin"] {
            assert_eq!(
                Credentials::new("", short).hide_in("bucket minioadmin not found"),
                "bucket minioadmin not found"
            );
        }
    }

    /// #34, R8
    #[tokio::test]
    async fn one_refresh_is_shared() {
        let (cache, source) = cache(None);
        let first = cache.get().await.unwrap().unwrap();
        for _ in 0..5 {
            cache.refresh(&first).await.unwrap();
        }
        assert_eq!(source.loads.load(SeqCst), 2);
    }

    #[tokio::test]
    async fn expiring_keys_are_renewed_before_use() {
        let (short, source) = cache(Some(MINUTE));
        assert_eq!([key(&short).await, key(&short).await], ["key0", "key1"]);
        assert_eq!(source.loads.load(SeqCst), 2);
        let (long, source) = cache(Some(60 * MINUTE));
        assert_eq!([key(&long).await, key(&long).await], ["key0", "key0"]);
        assert_eq!(source.loads.load(SeqCst), 1);
    }

    /// R8: in good time, and nobody waits for it.
    #[tokio::test]
    async fn an_advisory_refresh_holds_nobody_up() {
        let (cache, source) = cache(Some(12 * MINUTE));
        assert_eq!(key(&cache).await, "key0");
        source.hangs.store(true, SeqCst);
        for _ in 0..10 {
            assert_eq!(key(&cache).await, "key0");
        }
        while source.loads.load(SeqCst) < 2 {
            tokio::time::sleep(Duration::from_millis(1)).await; // its thread has not begun yet
        }
        assert_eq!(key(&cache).await, "key0");
        assert_eq!(source.loads.load(SeqCst), 2, "one call is under way, not ten");
        source.hangs.store(false, SeqCst);
        while key(&cache).await == "key0" {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    }

    /// #35: keys that are still good are used, and the source is left in peace for a while.
    #[tokio::test]
    async fn a_source_that_fails_or_hangs_costs_no_good_keys() {
        for minutes in [5, 12] {
            for hangs in [false, true] {
                let (cache, source) = cache(Some(minutes * MINUTE));
                cache.get().await.unwrap();
                source.fails.store(true, SeqCst);
                source.hangs.store(hangs, SeqCst);
                let started = Instant::now();
                for _ in 0..20 {
                    assert_eq!(key(&cache).await, "key0");
                    tokio::time::sleep(Duration::from_millis(1)).await;
                }
                assert!(started.elapsed() < 10 * PATIENCE, "{minutes} {hangs}");
                assert_eq!(source.loads.load(SeqCst), 2, "{minutes} {hangs}");
                source.hangs.store(false, SeqCst);
            }
        }
    }

    /// #35: without good keys it is an error, after one wait for all.
    #[tokio::test]
    async fn a_source_that_hangs_fails_all_who_wait_at_once() {
        let (cache, source) = cache(None);
        source.hangs.store(true, SeqCst);
        let started = Instant::now();
        let waits: [_; 4] = std::array::from_fn(|_| cache.get());
        for outcome in <[_; 4]>::from(join4(waits).await) {
            let error = outcome.unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Credentials);
            assert!(error.to_string().contains("did not answer"), "{error}");
        }
        assert!(started.elapsed() < 3 * PATIENCE);
        source.hangs.store(false, SeqCst);
        assert_eq!(key(&cache).await, "key0", "the call that was slow is not repeated");
        assert_eq!(source.loads.load(SeqCst), 1);
    }

    async fn join4<F: Future>(waits: [F; 4]) -> (F::Output, F::Output, F::Output, F::Output) {
        let [a, b, c, d] = waits;
        tokio::join!(a, b, c, d)
    }

    /// #35
    #[tokio::test]
    async fn a_refresh_that_fails_says_why() {
        let (cache, source) = cache(None);
        let keys = cache.get().await.unwrap().unwrap();
        source.fails.store(true, SeqCst);
        assert!(cache.refresh(&keys).await.unwrap_err().to_string().contains("status 500"));
        source.fails.store(false, SeqCst);
        cache.refresh(&keys).await.unwrap();
        assert_eq!(key(&cache).await, "key2");
    }

    #[tokio::test]
    async fn static_keys_say_what_to_renew() {
        let cache = CredentialCache::new(Signing::Static(Credentials::new("a", "b")), PATIENCE);
        let keys = cache.get().await.unwrap().unwrap();
        let error = cache.refresh(&keys).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Credentials);
    }
}
