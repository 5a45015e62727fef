//! What all connections of one server share: configuration, store, rules, log, clock, keys.

use std::collections::HashMap;
use std::fs::File;
use std::io;
use std::net::{SocketAddr, TcpStream};
use std::path::Path;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, OnceLock};
use std::time::{SystemTime, UNIX_EPOCH};

use rustix::fs::{Mode, OFlags};

use crate::auth::Credentials;
use crate::config::{Config, EtagStyle, Storage, Switches};
use crate::http::limits::Limits;
use crate::log::Log;
use crate::plan::Rules;
use crate::proxy::Proxy;
use crate::store::Store;
use crate::sync::lock;

/// The state of a server.
pub(crate) struct Shared {
    pub config: Config,
    pub switches: Mutex<Arc<Switches>>,
    pub limits: Arc<Limits>,
    pub store: Mutex<Store>,
    pub rules: Mutex<Rules>,
    pub log: Mutex<Log>,
    pub keys: Mutex<Vec<Credentials>>,
    pub open: Mutex<HashMap<u64, TcpStream>>,
    pub address: OnceLock<SocketAddr>,
    /// In front of this server, once one was ordered.
    pub proxy: Mutex<Option<Proxy>>,
    clock_shift: AtomicI64,
    ids: AtomicU64,
    connections: AtomicU64,
}

impl Shared {
    pub fn new(config: Config) -> Self {
        let shared = Self {
            config,
            switches: Mutex::default(),
            limits: Arc::default(),
            store: Mutex::default(),
            rules: Mutex::default(),
            log: Mutex::default(),
            keys: Mutex::default(),
            open: Mutex::default(),
            address: OnceLock::new(),
            proxy: Mutex::default(),
            clock_shift: AtomicI64::new(0),
            ids: AtomicU64::new(0),
            connections: AtomicU64::new(0),
        };
        shared.restore();
        shared
    }

    /// Puts keys and switches back to what the configuration says.
    pub fn restore(&self) {
        let mut switches = self.config.switches.clone();
        switches.discard_uploads |= self.config.discard_uploads;
        self.set_switches(switches);
        *lock(&self.keys) = vec![Credentials {
            access_key: self.config.access_key.clone(),
            secret_key: self.config.secret_key.clone(),
            session_token: self.config.session_token.clone(),
            is_expired: false,
        }];
    }

    pub fn switches(&self) -> Arc<Switches> {
        Arc::clone(&lock(&self.switches))
    }

    pub fn set_switches(&self, switches: Switches) {
        self.limits.per_connection.store(switches.rate_per_connection, Ordering::Relaxed);
        self.limits.total.store(switches.rate_total, Ordering::Relaxed);
        *lock(&self.switches) = Arc::new(switches);
    }

    /// Seconds since the epoch on the server's own clock.
    pub fn now(&self) -> i64 {
        let real = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |time| time.as_secs() as i64);
        real + self.clock_shift.load(Ordering::Relaxed)
    }

    /// Sets how far the clock is ahead of the real one.
    pub fn shift_clock(&self, seconds: i64) {
        self.clock_shift.store(seconds, Ordering::Relaxed);
    }

    pub fn next_id(&self) -> u64 {
        self.ids.fetch_add(1, Ordering::Relaxed) + 1
    }

    /// Connections are numbered from 1 in the order they are accepted.
    pub fn next_connection(&self) -> u64 {
        self.connections.fetch_add(1, Ordering::Relaxed) + 1
    }

    /// A new value that looks random and is unique in this server.
    pub fn opaque(&self) -> String {
        let id = self.next_id();
        format!("{:016x}{:016x}", id.wrapping_mul(0x9E37_79B9_7F4A_7C15), id)
    }

    /// An ETag in the style in force, for content with this MD5 and number of parts.
    pub fn etag(&self, style: EtagStyle, md5: Option<&[u8]>, parts: Option<usize>) -> Option<String> {
        let hex = match (style, md5) {
            (EtagStyle::None, _) => return None,
            (EtagStyle::Md5 | EtagStyle::Weak, Some(md5)) => crate::checksum::to_hex(md5),
            _ => self.opaque(),
        };
        let suffix = parts.map(|count| format!("-{count}")).unwrap_or_default();
        let prefix = if style == EtagStyle::Weak { "W/" } else { "" };
        Some(format!("{prefix}\"{hex}{suffix}\""))
    }

    /// A new file for uploaded bytes, without a name; `None` for memory storage.
    pub fn new_file(&self) -> io::Result<Option<File>> {
        let Storage::Directory(directory) = &self.config.storage else {
            return Ok(None);
        };
        unnamed_file(directory).map(Some)
    }
}

/// O_TMPFILE: the file never has a name, so nothing is left behind even after `kill -9`.
fn unnamed_file(directory: &Path) -> io::Result<File> {
    let flags = OFlags::TMPFILE | OFlags::RDWR | OFlags::CLOEXEC;
    Ok(File::from(rustix::fs::open(directory, flags, Mode::RUSR | Mode::WUSR)?))
}
