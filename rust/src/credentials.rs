//! Keys, and the cache that renews them before they expire.
//!
//! Owns the secret type (no Debug, no Display, cleared on drop), `CredentialProvider` (a blocking call, made off
//! the runtime's workers) and `CredentialCache`: one refresh at a time for all requests (R8). It does not look
//! for keys anywhere; Python does. Invariant: a secret leaves only through `Secret::expose`, to the signer.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use tokio::sync::Mutex;

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
const LOAD_TIMEOUT: Duration = Duration::from_secs(60);

pub struct CredentialCache {
    signing: Signing,
    current: Mutex<Option<Arc<Credentials>>>,
}

impl CredentialCache {
    pub fn new(signing: Signing) -> Self {
        Self { signing, current: Mutex::new(None) }
    }

    /// The keys to sign with; `None` for anonymous requests.
    pub async fn get(&self) -> Result<Option<Arc<Credentials>>> {
        let mut current = self.current.lock().await;
        let provider = match &self.signing {
            Signing::Anonymous => return Ok(None),
            Signing::Missing => return Err(missing()),
            Signing::Static(keys) => return Ok(Some(current.get_or_insert_with(|| Arc::new(keys.clone())).clone())),
            Signing::Provider(provider) => provider,
        };
        let left = current.as_ref().map(|keys| remaining(keys));
        match left {
            Some(None) => {}
            Some(Some(left)) if left > ADVISORY => {}
            Some(Some(left)) if left > MANDATORY => {
                if let Ok(keys) = load(provider).await {
                    *current = Some(Arc::new(keys));
                }
            }
            _ => *current = Some(Arc::new(load(provider).await?)),
        }
        Ok(current.clone())
    }

    /// After the store called `rejected` expired: one refresh shared by everyone who saw the same keys fail.
    pub async fn refresh(&self, rejected: &Credentials) -> Result<()> {
        let Signing::Provider(provider) = &self.signing else {
            let text =
                "the keys have expired and cannot be renewed by s3z: they are static; renew them at their source";
            return Err(Error::new(ErrorKind::Credentials, text));
        };
        let mut current = self.current.lock().await;
        if current.as_ref().is_some_and(|keys| **keys == *rejected) {
            let renewed = load(provider).await?;
            if renewed == *rejected {
                let text = "the keys have expired, and their source still gives the same ones";
                return Err(Error::new(ErrorKind::Credentials, text));
            }
            *current = Some(Arc::new(renewed));
        }
        Ok(())
    }
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

async fn load(provider: &Arc<dyn CredentialProvider>) -> Result<Credentials> {
    let provider = provider.clone();
    let task = tokio::task::spawn_blocking(move || provider.load());
    match tokio::time::timeout(LOAD_TIMEOUT, task).await {
        Ok(Ok(keys)) => keys,
        Ok(Err(_)) => Err(Error::new(ErrorKind::Credentials, "the credential provider panicked")),
        Err(_) => Err(Error::new(ErrorKind::Credentials, "the credential provider did not answer within 60 s")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::{AtomicU32, Ordering};

    struct Counting {
        loads: AtomicU32,
        lifetime: Option<Duration>,
    }

    impl CredentialProvider for Counting {
        fn load(&self) -> Result<Credentials> {
            let n = self.loads.fetch_add(1, Ordering::SeqCst);
            let mut keys = Credentials::new(&format!("key{n}"), "secret");
            keys.expiry = self.lifetime.map(|left| SystemTime::now() + left);
            Ok(keys)
        }
    }

    fn cache(lifetime: Option<Duration>) -> (CredentialCache, Arc<Counting>) {
        let provider = Arc::new(Counting { loads: AtomicU32::new(0), lifetime });
        (CredentialCache::new(Signing::Provider(provider.clone())), provider)
    }

    #[test]
    fn secrets_are_not_shown() {
        let mut keys = Credentials::new("AKID", "hidden-secret");
        keys.session_token = Some(Secret::new("hidden-token"));
        assert!(!format!("{keys:?}").contains("hidden"));
    }

    #[tokio::test]
    async fn one_refresh_is_shared() {
        let (cache, provider) = cache(None);
        let first = cache.get().await.unwrap().unwrap();
        for _ in 0..5 {
            cache.refresh(&first).await.unwrap();
        }
        assert_eq!(provider.loads.load(Ordering::SeqCst), 2);
    }

    #[tokio::test]
    async fn expiring_keys_are_renewed_before_use() {
        let (short, provider) = cache(Some(Duration::from_secs(60)));
        short.get().await.unwrap();
        short.get().await.unwrap();
        assert_eq!(provider.loads.load(Ordering::SeqCst), 2);
        let (long, provider) = cache(Some(Duration::from_secs(3600)));
        long.get().await.unwrap();
        long.get().await.unwrap();
        assert_eq!(provider.loads.load(Ordering::SeqCst), 1);
    }

    #[tokio::test]
    async fn static_keys_say_what_to_renew() {
        let cache = CredentialCache::new(Signing::Static(Credentials::new("a", "b")));
        let keys = cache.get().await.unwrap().unwrap();
        let error = cache.refresh(&keys).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Credentials);
    }
}
