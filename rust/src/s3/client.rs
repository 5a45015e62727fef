//! The S3 client: one async method for each action, and what all requests of a client share.
//!
//! Cheap to clone; all clones share connections, keys, clock offset, regions learnt, retry quota and pressure. The
//! actions stand in the files below, by what they act on. The client follows no policy of its own: which ranges,
//! parts and conditions a request has is the caller's word.

mod bucket;
mod copy;
mod delete;
mod layout;
mod list;
mod multipart;
mod object;
mod uploads;
mod versions;

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, AtomicI64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant, SystemTime};

pub use copy::{CopiedPart, CopyRequest, CopySource, PartCopy};
pub use delete::{DeleteOutcome, Named};
pub use layout::{PartLayout, StoredPart};
pub use list::{ListRequest, Listing};
pub use multipart::{Completed, NewUpload, PartUpload};
pub use object::{GetRequest, ObjectRef, PutRequest, Stored};
pub use uploads::Uploads;
pub use versions::Versions;

use crate::config::ClientConfig;
use crate::credentials::{CredentialCache, Signing};
use crate::error::{Error, Result};
use crate::pressure::Pressure;
use crate::s3::attempts::Attempts;
use crate::s3::bandwidth::Bandwidth;
use crate::s3::endpoint::{Endpoint, Scheme};
use crate::s3::environment::{Environment, WallClock};
use crate::s3::http::{Http, Target};
use crate::s3::retry::{Backoff, Class, Quota};
use crate::s3::sign::KeyCache;

#[derive(Clone)]
pub struct S3Client(Arc<Shared>);

struct Shared {
    config: ClientConfig,
    endpoint: Endpoint,
    http: Http,
    credentials: CredentialCache,
    keys: KeyCache,
    backoff: Backoff,
    quota: Mutex<Quota>,
    pressure: Pressure,
    bandwidth: Option<Arc<Bandwidth>>,
    clock: Arc<dyn WallClock>,
    /// Seconds by which the store's clock is ahead of ours.
    clock_ahead: AtomicI64,
    /// The store has refused checksum headers, so it is sent none (C13).
    no_checksums: AtomicBool,
    /// Bucket → region, where an answer named another one than configured.
    regions: Mutex<HashMap<String, String>>,
}

impl S3Client {
    /// Checks the configuration and reads the CA bundle; makes no request.
    pub fn new(config: ClientConfig, signing: Signing) -> Result<Self> {
        Self::within(config, signing, Environment::default())
    }

    /// The same, with names and clock from elsewhere than the system.
    pub fn within(config: ClientConfig, signing: Signing, environment: Environment) -> Result<Self> {
        config.validate()?;
        let endpoint = match &config.endpoint_url {
            Some(url) => Endpoint::parse(url)?,
            None => Endpoint::aws(&config.region)?,
        };
        let tls = endpoint.scheme == Scheme::Https;
        let literal = endpoint.host.trim_matches(['[', ']']).parse::<std::net::IpAddr>().is_ok();
        let target = Target { tls, literal_address: literal };
        let http = Http::new(&config, target, environment.names)?;
        Ok(Self(Arc::new(Shared {
            endpoint,
            http,
            credentials: CredentialCache::new(signing, config.retry.credentials_timeout),
            keys: KeyCache::new(),
            backoff: Backoff::new(&config.retry),
            quota: Mutex::new(Quota::new(&config.retry, Instant::now())),
            pressure: Pressure::default(),
            bandwidth: config.transfer.max_bandwidth.map(|rate| Arc::new(Bandwidth::new(rate))),
            clock: environment.clock,
            clock_ahead: AtomicI64::new(0),
            no_checksums: AtomicBool::new(false),
            regions: Mutex::default(),
            config,
        })))
    }

    pub fn config(&self) -> &ClientConfig {
        &self.0.config
    }

    /// What the store said about its load; `transfer` obeys it.
    pub fn pressure(&self) -> &Pressure {
        &self.0.pressure
    }

    pub(super) fn bandwidth(&self) -> Option<&Arc<Bandwidth>> {
        self.0.bandwidth.as_ref()
    }

    /// Whether the bodies of uploads may go unsigned: TLS protects them, or they do not leave the machine.
    pub fn protects_bodies(&self) -> bool {
        self.0.endpoint.scheme == Scheme::Https || self.0.endpoint.is_loopback()
    }

    pub(super) fn http(&self) -> &Http {
        &self.0.http
    }

    pub(super) fn credentials(&self) -> &CredentialCache {
        &self.0.credentials
    }

    pub(super) fn keys(&self) -> &KeyCache {
        &self.0.keys
    }

    pub(super) fn backoff(&self) -> &Backoff {
        &self.0.backoff
    }

    /// This machine's time, right or wrong.
    pub(super) fn local_time(&self) -> SystemTime {
        self.0.clock.now()
    }

    /// The time as the store has it, as far as it has said so.
    pub(super) fn store_time(&self) -> SystemTime {
        let ahead = self.0.clock_ahead.load(Relaxed);
        let by = Duration::from_secs(ahead.unsigned_abs());
        let now = self.local_time();
        let then = if ahead < 0 { now.checked_sub(by) } else { now.checked_add(by) };
        then.unwrap_or(now)
    }

    pub(super) fn set_clock_ahead(&self, seconds: i64) {
        self.0.clock_ahead.store(seconds, Relaxed);
    }

    /// Whether the store has refused checksum headers.
    pub fn refuses_checksums(&self) -> bool {
        self.0.no_checksums.load(Relaxed)
    }

    pub(super) fn send_no_checksums(&self) {
        self.0.no_checksums.store(true, Relaxed);
    }

    /// The region to sign for: what the store said of the bucket, else what was configured.
    pub fn region_of(&self, bucket: &str) -> String {
        let regions = self.0.regions.lock().unwrap_or_else(PoisonError::into_inner);
        regions.get(bucket).unwrap_or(&self.0.config.region).clone()
    }

    pub(super) fn set_region(&self, bucket: &str, region: &str) {
        let mut regions = self.0.regions.lock().unwrap_or_else(PoisonError::into_inner);
        regions.insert(bucket.to_owned(), region.to_owned());
    }

    /// Where this request goes: to the bucket's region, or where a checked redirect sent it.
    pub(super) fn endpoint_for(&self, bucket: &str, attempts: &Attempts) -> Result<Endpoint> {
        if let Some(target) = &attempts.redirected_to {
            let mut allowed = self.0.endpoint.allows_redirect_to(target)?;
            allowed.custom = self.0.endpoint.custom;
            return Ok(allowed);
        }
        let region = self.region_of(bucket);
        if self.0.endpoint.custom || region == self.0.config.region {
            return Ok(self.0.endpoint.clone());
        }
        self.0.endpoint.with_region(&region)
    }

    pub(super) fn succeeded(&self, attempts: &mut Attempts) {
        let mut quota = self.0.quota.lock().unwrap_or_else(PoisonError::into_inner);
        match attempts.take_paid() {
            Some(class) => quota.give_back(&class),
            None if attempts.total() == 1 => quota.success_first_attempt(),
            None => {}
        }
    }

    /// Pays for a retry of this class, or says how long that takes.
    pub(super) fn take_quota(&self, class: &Class) -> std::result::Result<(), Duration> {
        self.0.quota.lock().unwrap_or_else(PoisonError::into_inner).try_take(class, Instant::now())
    }
}

/// Answers that are XML pages of listings are read up to here, those of single actions up to `MAX_RESULT` (S14).
const MAX_PAGE: usize = 16 << 20;
const MAX_RESULT: usize = 1 << 20;

/// Broken XML is the store's fault; the text does not show it.
fn broken_xml(error: Error) -> crate::s3::request::Failure {
    crate::s3::request::Failure::new(Class::BadAnswer, error)
}
