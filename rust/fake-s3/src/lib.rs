//! The S3 server s3z is tested against: raw TCP, a thread for each connection, faults by script.
//!
//! A library for Rust tests, a process (`main.rs`) for everything else. `README.md` documents rules, actions and the control
//! port. It owns no policy of a client: it does what S3 does, or what a rule says.

mod auth;
mod checksum;
mod config;
mod control;
mod date;
mod error;
mod http;
mod log;
mod ops;
mod pattern;
mod plan;
pub mod proxy;
mod request;
mod respond;
mod rule;
mod server;
mod session;
mod shared;
mod sigv4;
mod store;
mod swap;
mod sync;
mod threads;
mod tls;
mod uri;
mod xml;

use std::io;
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

pub use auth::Credentials;
pub use checksum::{Algorithm, checksum, combine, from_base64, to_base64};
pub use config::{Config, EtagStyle, Storage, Switches, TlsMode};
pub use log::LogRecord;
pub use pattern::{BLOCK_LEN, pattern_bytes};
pub use rule::{Action, Match, Rule};
pub use swap::PatternObject;

use server::Wrap;
use shared::Shared;
use sync::lock;

/// An open multipart upload.
#[derive(Clone, Debug, PartialEq, serde::Serialize)]
pub struct OpenUpload {
    pub bucket: String,
    pub key: String,
    pub upload_id: String,
    pub parts: Vec<u32>,
}

/// A running server; dropping it stops it.
pub struct FakeS3 {
    shared: Arc<Shared>,
    address: SocketAddr,
    control: Option<SocketAddr>,
    ca_pem: Option<String>,
    threads: Vec<JoinHandle<()>>,
}

impl FakeS3 {
    /// Starts listening; the server is reachable when this returns.
    pub fn start(config: Config) -> io::Result<Self> {
        if let Storage::Directory(path) = &config.storage
            && !path.is_dir()
        {
            let text = format!("the storage directory {} is missing", path.display());
            return Err(io::Error::new(io::ErrorKind::NotFound, text));
        }
        let listener = server::listener(&config.host, config.port, config.backlog)?;
        let address = listener.local_addr()?;
        let (wrap, ca_pem) = match config.tls {
            None => (Wrap::Plain, None),
            Some(mode) => {
                let identity = tls::identity(mode, &config.host)?;
                (identity.wrap, Some(identity.ca_pem))
            }
        };
        let control = match config.control_port {
            Some(port) => Some(server::listener(&config.host, port, 64)?),
            None => None,
        };
        let control_address = control.as_ref().map(TcpListener::local_addr).transpose()?;
        let shared = Arc::new(Shared::new(config));
        let _ = shared.address.set(address);
        let accepting = Arc::clone(&shared);
        let accept = move || server::accept_loop(&listener, &accepting, &wrap);
        let mut threads = vec![threads::start("fake-s3-accept", accept)?];
        if let Some(listener) = control {
            let shared = Arc::clone(&shared);
            threads.push(threads::start("fake-s3-control", move || control::accept_loop(&listener, &shared))?);
        }
        Ok(Self { shared, address, control: control_address, ca_pem, threads })
    }

    /// `http://127.0.0.1:PORT`, or https.
    pub fn endpoint(&self) -> String {
        let scheme = if self.ca_pem.is_some() { "https" } else { "http" };
        format!("{scheme}://{}", self.address)
    }

    pub fn address(&self) -> SocketAddr {
        self.address
    }

    pub fn control_address(&self) -> Option<SocketAddr> {
        self.control
    }

    /// The CA a client must trust, or with `TlsMode::OtherCa` one that does not help.
    pub fn ca_pem(&self) -> Option<&str> {
        self.ca_pem.as_deref()
    }

    pub fn create_bucket(&self, name: &str) {
        swap::create_bucket(&self.shared, name);
    }

    /// From now on the bucket keeps all versions.
    pub fn keep_versions(&self, bucket: &str) {
        self.create_bucket(bucket);
        let mut store = lock(&self.shared.store);
        store.bucket_mut(bucket).expect("the bucket was just made").versioning = store::bucket::Versioning::Enabled;
    }

    /// Stores an object, making its bucket if need be.
    pub fn put_object(&self, bucket: &str, key: &str, bytes: impl Into<Vec<u8>>) {
        self.create_bucket(bucket);
        swap::put_bytes(&self.shared, bucket, key, bytes.into()).expect("the bucket was just made");
    }

    /// Stores an object that is generated when read, making its bucket if need be.
    pub fn put_pattern(&self, bucket: &str, key: &str, size: u64, seed: u64) {
        self.put_pattern_object(bucket, key, &PatternObject { size, seed, ..PatternObject::default() });
    }

    pub fn put_pattern_object(&self, bucket: &str, key: &str, pattern: &PatternObject) {
        self.create_bucket(bucket);
        swap::put_pattern(&self.shared, bucket, key, pattern).expect("the bucket was just made");
    }

    /// Stores so many objects of a few bytes: `data/0012/part-0012345.json`, a thousand to each directory.
    pub fn put_keys(&self, bucket: &str, count: u64) {
        for number in 0..count {
            let key = format!("data/{:04}/part-{number:07}.json", number / 1000);
            self.put_pattern(bucket, &key, 100 + number % 1000, number % 7);
        }
    }

    /// The bytes of the current version; `None` if there is none or they were discarded.
    pub fn object(&self, bucket: &str, key: &str) -> Option<Vec<u8>> {
        let object = lock(&self.shared.store).object(bucket, key, None).ok()?;
        object.content.to_vec().ok()
    }

    pub fn keys(&self, bucket: &str) -> Vec<String> {
        let store = lock(&self.shared.store);
        let Ok(bucket) = store.bucket(bucket) else { return Vec::new() };
        bucket.objects.keys().filter(|key| bucket.current(key).is_some()).cloned().collect()
    }

    pub fn add_rule(&self, rule: Rule) {
        lock(&self.shared.rules).add(rule);
    }

    pub fn clear_rules(&self) {
        lock(&self.shared.rules).clear();
    }

    /// All records; waits up to 100 ms for requests that are just ending.
    pub fn log(&self) -> Vec<LogRecord> {
        control::settled_log(&self.shared)
    }

    /// How many bytes of an object were written to clients more than once since the log was cleared.
    pub fn bytes_sent_twice(&self, bucket: &str, key: &str) -> u64 {
        log::bytes_sent_twice(&self.log(), bucket, key)
    }

    pub fn clear_log(&self) {
        lock(&self.shared.log).records.clear();
    }

    pub fn open_uploads(&self) -> Vec<OpenUpload> {
        control::open_uploads(&self.shared)
    }

    /// Connections open now.
    pub fn connections(&self) -> usize {
        lock(&self.shared.open).len()
    }

    /// Sets how far the server's clock is ahead of the real one.
    pub fn shift_clock(&self, seconds: i64) {
        self.shared.shift_clock(seconds);
    }

    /// Accepts a new key; all older ones answer `ExpiredToken`.
    pub fn rotate_keys(&self, access_key: &str, secret_key: &str, session_token: Option<&str>) {
        control::rotate(&self.shared, access_key, secret_key, session_token);
    }

    /// Replaces an object by a pattern of this seed and the same size.
    pub fn swap_version(&self, bucket: &str, key: &str, seed: u64) {
        let _ = swap::swap(&self.shared, bucket, key, Some(seed), None);
    }

    pub fn switches(&self) -> Switches {
        (*self.shared.switches()).clone()
    }

    pub fn set_switches(&self, switches: Switches) {
        self.shared.set_switches(switches);
    }

    /// True once `stop` was ordered over the control port.
    pub fn is_stopped(&self) -> bool {
        self.shared.limits.stopped()
    }

    /// Stops listening, ends all connections, and waits up to a second for their threads.
    pub fn stop(&mut self) {
        self.shared.limits.stopped.store(true, Ordering::SeqCst);
        *lock(&self.shared.proxy) = None;
        for address in [Some(self.address), self.control].into_iter().flatten() {
            let _ = TcpStream::connect_timeout(&address, Duration::from_millis(200));
        }
        for thread in self.threads.drain(..) {
            let _ = thread.join();
        }
        for tcp in lock(&self.shared.open).values() {
            let _ = tcp.shutdown(Shutdown::Both);
        }
        let patience = Instant::now() + Duration::from_secs(1);
        while self.connections() > 0 && Instant::now() < patience {
            thread::sleep(Duration::from_millis(1));
        }
    }
}

impl Drop for FakeS3 {
    fn drop(&mut self) {
        self.stop();
    }
}
