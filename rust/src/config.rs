//! Every number and switch that shapes a client, and the only home of their defaults.
//!
//! Plain data with `Default` and `validate()`. It reads no environment and no file: Python does, and hands over
//! what it found. Sizes are bytes; times are `Duration`.

use std::time::Duration;

use crate::error::{Error, Result};

pub const KIB: u64 = 1 << 10;
pub const MIB: u64 = 1 << 20;
pub const GIB: u64 = 1 << 30;

/// S3: the smallest part of a multipart upload but the last one.
pub const MIN_UPLOAD_PART: u64 = 5 * MIB;
/// S3: the largest part, and the largest single PutObject.
pub const MAX_PART: u64 = 5 * GIB;
/// S3: the most parts of one object.
pub const MAX_PARTS: u64 = 10_000;
/// The largest object that a plan can hold: all parts at their largest.
pub const MAX_OBJECT: u64 = MAX_PARTS * MAX_PART;

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum AddressingStyle {
    /// Virtual-host style at AWS, path style at a custom endpoint.
    #[default]
    Auto,
    Path,
    Virtual,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum DirectIo {
    /// For objects of at least `direct_io_threshold`, where the file system takes it.
    #[default]
    Auto,
    /// Always; an error where it is impossible.
    On,
    Off,
}

#[derive(Debug, Clone, Default)]
pub struct ClientConfig {
    /// `None`: AWS in `region`.
    pub endpoint_url: Option<String>,
    pub region: String,
    pub addressing_style: AddressingStyle,
    /// A PEM file that replaces the system's roots (S1).
    pub ca_bundle: Option<std::path::PathBuf>,
    /// Whether certificates and host names are *not* checked.
    pub insecure_tls: bool,
    /// Scheme of the request (`http`, `https`) → proxy URL, and `no_proxy` → host list.
    pub proxies: Vec<(String, String)>,
    /// Whether the caller pays for requests to other people's buckets, and says so with each.
    pub request_payer: bool,
    /// Where multipart uploads are noted while they are under way (U10); `None`: nowhere.
    pub state_dir: Option<std::path::PathBuf>,
    pub transfer: TransferConfig,
    pub retry: RetryConfig,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TransferConfig {
    /// Range of a download, part of an upload; `None`: `AUTO_PART` or what 10,000 parts need.
    pub part_size: Option<u64>,
    /// A size up to this is one request.
    pub multipart_threshold: u64,
    /// An object up to this size is copied by one request; S3 allows no more than 5 GiB.
    pub copy_threshold: u64,
    /// Payload bytes a second, both directions and all transfers of a client together; `None`: as many as there can be.
    pub max_bandwidth: Option<u64>,
    /// Requests in flight for one object; `None`: the governor decides.
    pub max_concurrency: Option<usize>,
    /// Requests in flight for the client.
    pub max_requests: usize,
    /// Bytes in buffers, all transfers of a client together.
    pub memory_limit: u64,
    pub direct_io: DirectIo,
    pub direct_io_threshold: u64,
    /// A download of at least so many bytes keeps a ledger, so that it can be gone on with (F12).
    pub resume_threshold: u64,
    /// Whether a store that refuses checksum headers is an error, instead of being sent none (C13).
    pub strict_checksums: bool,
    /// A range is compared with its peers by what it got within this time.
    pub pace_window: Duration,
    /// A part of an upload may be sent again if it takes longer, and far longer than its peers (#48).
    pub late_after: Duration,
    /// At the end of a transfer a range that would take longer is split for an idle connection.
    pub worth_splitting: Duration,
}

/// Part size where none is given: what S3 serves at full speed, and 10,000 of them hold 78 GiB.
pub const AUTO_PART: u64 = 8 * MIB;
/// Parts of a copy, whose bytes do not come by here.
pub const AUTO_COPY_PART: u64 = 64 * MIB;
/// The least limit on bandwidth that a transfer can live with.
pub const MIN_BANDWIDTH: u64 = KIB;
/// One recycled buffer: the unit of every write to a file.
pub const BUFFER_SIZE: usize = MIB as usize;
/// Buffers a file download may hold for each request in flight, whatever its range.
pub const BUFFERS_PER_REQUEST: usize = 4;
/// Buffers one download may hold, shared by its requests: many requests get fewer each, since more bytes waiting for
/// the disk make nothing faster.
pub const DOWNLOAD_BUFFERS: usize = 64;
/// The most of the machine's memory taken without being asked.
pub const MAX_DEFAULT_MEMORY: u64 = 256 * MIB;
/// Below this no transfer can move.
pub const MIN_MEMORY: u64 = 8 * MIB;
/// Where the governor starts, by the number of cores, and where it ends.
pub const START_CONCURRENCY: std::ops::RangeInclusive<usize> = 4..=16;
pub const CEILING_CONCURRENCY: usize = 128;

impl Default for TransferConfig {
    fn default() -> Self {
        Self {
            part_size: None,
            multipart_threshold: 16 * MIB,
            copy_threshold: MAX_PART,
            max_bandwidth: None,
            max_concurrency: None,
            max_requests: 256,
            memory_limit: MAX_DEFAULT_MEMORY,
            direct_io: DirectIo::Auto,
            direct_io_threshold: 64 * MIB,
            resume_threshold: 64 * MIB,
            strict_checksums: false,
            pace_window: Duration::from_secs(2),
            late_after: Duration::from_secs(2),
            worth_splitting: Duration::from_secs(1),
        }
    }
}

#[derive(Debug, Clone, PartialEq)]
pub struct RetryConfig {
    /// Attempts in a row without progress, the first one included (R2).
    pub max_attempts: u32,
    /// Attempts of one request in any case (R2).
    pub hard_attempts: u32,
    /// New bytes after which the row begins anew (R2).
    pub progress_bytes: u64,
    /// Backoff base after a transient failure, and after a throttle (R1).
    pub transient_base: Duration,
    pub throttle_base: Duration,
    pub max_backoff: Duration,
    /// Longest wait a server may ask for (R3).
    pub max_retry_after: Duration,
    /// Attempts on fresh connections after a stale one (not counted).
    pub stale_attempts: u32,
    pub connect_timeout: Duration,
    pub dns_timeout: Duration,
    /// To the first answer byte, and between two bytes of a body.
    pub read_timeout: Duration,
    /// The same for answers that S3 may take minutes to work out (Complete, copies).
    pub slow_answer_timeout: Duration,
    /// A body that is waited for and brings fewer bytes a second than this over a window is given up and continued over
    /// another connection; 0: never.
    pub min_rate: u64,
    pub min_rate_window: Duration,
    /// The longest wait for a source of keys.
    pub credentials_timeout: Duration,
    /// Idle pooled connections are closed before the server does it.
    pub idle_timeout: Duration,
    /// A bad address is left out for so long.
    pub bad_address: Duration,
    /// The bucket against retry storms (R5): size, costs and refill per second.
    pub quota: u32,
    pub quota_transient: u32,
    pub quota_throttle: u32,
    pub quota_refill: u32,
    pub quota_wait: Duration,
}

impl Default for RetryConfig {
    fn default() -> Self {
        Self {
            max_attempts: 10,
            hard_attempts: 20,
            progress_bytes: MIB,
            transient_base: Duration::from_millis(50),
            throttle_base: Duration::from_secs(1),
            max_backoff: Duration::from_secs(20),
            max_retry_after: Duration::from_secs(60),
            stale_attempts: 3,
            connect_timeout: Duration::from_secs(3),
            dns_timeout: Duration::from_secs(5),
            read_timeout: Duration::from_secs(20),
            slow_answer_timeout: Duration::from_secs(300),
            min_rate: KIB,
            min_rate_window: Duration::from_secs(30),
            credentials_timeout: Duration::from_secs(60),
            idle_timeout: Duration::from_secs(4),
            bad_address: Duration::from_secs(60),
            quota: 500,
            quota_transient: 14,
            quota_throttle: 5,
            quota_refill: 10,
            quota_wait: Duration::from_secs(20),
        }
    }
}

impl ClientConfig {
    pub fn validate(&self) -> Result<()> {
        self.transfer.validate()?;
        self.retry.validate()
    }
}

/// The memory that this process may use.
pub fn usable_memory() -> u64 {
    let read = |path: &str| std::fs::read_to_string(path).unwrap_or_default();
    let total = read("/proc/meminfo").lines().find_map(|line| {
        let kib = line.strip_prefix("MemTotal:")?.trim().strip_suffix("kB")?;
        kib.trim().parse::<u64>().ok()?.checked_mul(KIB)
    });
    let cgroups = ["/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory/memory.limit_in_bytes"];
    let allowed = cgroups.iter().filter_map(|path| read(path).trim().parse::<u64>().ok());
    allowed.chain(total).min().unwrap_or(8 * MAX_DEFAULT_MEMORY)
}

/// The byte budget where none is given: an eighth of the memory this process may use, at most 256 MiB.
pub fn default_memory_limit() -> u64 {
    (usable_memory() / 8).clamp(MIN_MEMORY, MAX_DEFAULT_MEMORY)
}

impl TransferConfig {
    /// Refuses what no transfer could honour; names the knob and its range.
    pub fn validate(&self) -> Result<()> {
        if let Some(part_size) = self.part_size {
            check_part_size(part_size)?;
        }
        if self.max_concurrency == Some(0) {
            return Err(Error::config("max_concurrency must be at least 1"));
        }
        if self.max_requests == 0 {
            return Err(Error::config("max_requests must be at least 1"));
        }
        if self.multipart_threshold > MAX_PART {
            return Err(Error::config("multipart_threshold must be at most 5 GiB, the largest single PutObject"));
        }
        if self.copy_threshold > MAX_PART {
            return Err(Error::config("copy_threshold must be at most 5 GiB, the largest single CopyObject"));
        }
        if self.max_bandwidth.is_some_and(|rate| rate < MIN_BANDWIDTH) {
            return Err(Error::config("max_bandwidth must be at least 1 KiB a second"));
        }
        if self.memory_limit < MIN_MEMORY {
            return Err(Error::config(format!("memory_limit must be at least {} MiB", MIN_MEMORY / MIB)));
        }
        Ok(())
    }
}

/// An explicit part size must be one S3 could have (the 5 MiB minimum holds for uploads only and is theirs).
pub fn check_part_size(part_size: u64) -> Result<()> {
    if part_size == 0 || part_size > MAX_PART {
        return Err(Error::config(format!("part_size must be from 1 byte to 5 GiB, not {part_size}")));
    }
    Ok(())
}

impl RetryConfig {
    pub fn validate(&self) -> Result<()> {
        if self.max_attempts == 0 {
            return Err(Error::config("max_attempts must be at least 1"));
        }
        let times = [
            ("connect_timeout", self.connect_timeout),
            ("read_timeout", self.read_timeout),
            ("min_rate_window", self.min_rate_window),
        ];
        for (name, value) in times {
            if value.is_zero() {
                return Err(Error::config(format!("{name} must be more than 0 seconds")));
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn defaults_are_valid() {
        TransferConfig::default().validate().unwrap();
        RetryConfig::default().validate().unwrap();
    }

    #[test]
    fn the_default_budget_is_bounded() {
        assert!((MIN_MEMORY..=MAX_DEFAULT_MEMORY).contains(&default_memory_limit()));
    }

    #[test]
    fn part_size_borders() {
        for (size, good) in [(0, false), (1, true), (MAX_PART, true), (MAX_PART + 1, false)] {
            assert_eq!(check_part_size(size).is_ok(), good, "{size}");
        }
    }

    #[test]
    fn refuses_what_cannot_be_honoured() {
        let bad = [
            TransferConfig { max_concurrency: Some(0), ..TransferConfig::default() },
            TransferConfig { max_requests: 0, ..TransferConfig::default() },
            TransferConfig { memory_limit: MIN_MEMORY - 1, ..TransferConfig::default() },
            TransferConfig { multipart_threshold: MAX_PART + 1, ..TransferConfig::default() },
            TransferConfig { copy_threshold: MAX_PART + 1, ..TransferConfig::default() },
            TransferConfig { max_bandwidth: Some(MIN_BANDWIDTH - 1), ..TransferConfig::default() },
        ];
        for config in bad {
            assert!(config.validate().is_err(), "{config:?}");
        }
    }
}
