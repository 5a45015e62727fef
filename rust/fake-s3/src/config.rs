//! What a server is started with, and the switches that can change while it runs.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

/// Where uploaded bytes go.
#[derive(Clone, Debug, Default, PartialEq)]
pub enum Storage {
    #[default]
    Memory,
    /// Unnamed files in this directory, gone with the server.
    Directory(PathBuf),
}

/// The certificate the server shows. Its own CA is the one `FakeS3::ca_pem` returns.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TlsMode {
    Good,
    /// For another host name.
    WrongName,
    /// No longer valid.
    Expired,
    /// Signed by a CA that `ca_pem` does not hold.
    OtherCa,
    /// Offers TLS 1.2 at most.
    Tls12,
    /// Answers every ClientHello with TLS 1.0.
    Tls10,
}

impl TlsMode {
    pub fn parse(name: &str) -> Option<Self> {
        Some(match name {
            "good" => Self::Good,
            "wrong-name" => Self::WrongName,
            "expired" => Self::Expired,
            "other-ca" => Self::OtherCa,
            "tls12" => Self::Tls12,
            "tls10" => Self::Tls10,
            _ => return None,
        })
    }
}

/// What an ETag looks like on objects and parts stored from now on.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum EtagStyle {
    /// MD5 in hex, `-N` for multipart.
    #[default]
    Md5,
    /// A value that is no hash of anything.
    Opaque,
    /// `W/"…"`
    Weak,
    None,
}

/// Switches that play an old, odd or slow store. All of them can be set over the control port.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Switches {
    /// Checksum headers are ignored, nothing is stored or returned.
    pub no_checksums: bool,
    /// No CRC64NVME is computed for a client that sent no checksum.
    pub no_default_checksum: bool,
    /// Requests with checksum headers get 501 NotImplemented.
    pub refuse_checksums: bool,
    /// Requests with trailers get 501 NotImplemented.
    pub refuse_trailers: bool,
    /// Checksum headers also on 206.
    pub checksums_on_ranges: bool,
    /// If-Match and If-None-Match of GET and HEAD are ignored.
    pub ignore_if_match: bool,
    /// If-Match and If-None-Match of writes are ignored.
    pub no_conditional_writes: bool,
    /// `Range` is ignored: always 200.
    pub no_ranges: bool,
    /// `partNumber` of GET and HEAD is ignored.
    pub no_part_number: bool,
    /// GetObjectAttributes gets 501 NotImplemented.
    pub no_attributes: bool,
    /// `start-after` of listings is ignored.
    pub ignore_start_after: bool,
    /// `start-after` of listings gets 501 NotImplemented.
    pub refuse_start_after: bool,
    /// Keys on a page of a listing at most.
    pub page_keys: usize,
    pub etag_style: EtagStyle,
    /// The least size of a part that is not the last.
    pub min_part_size: u64,
    /// Uploads are counted and checksummed, but not kept.
    pub discard_uploads: bool,
    /// Before every answer.
    pub latency_ms: u64,
    /// Bytes per second, 0 for no limit.
    pub rate_per_connection: u64,
    pub rate_total: u64,
    /// Every answer ends its connection.
    pub close_connections: bool,
    /// Answers say HTTP/1.0.
    pub http10: bool,
    /// The accept loop pauses; the backlog fills up.
    pub pause_accept: bool,
    /// Records of the log to keep.
    pub log_limit: usize,
}

impl Default for Switches {
    fn default() -> Self {
        Self {
            no_checksums: false,
            ignore_start_after: false,
            refuse_start_after: false,
            page_keys: 1000,
            no_default_checksum: false,
            refuse_checksums: false,
            refuse_trailers: false,
            checksums_on_ranges: false,
            ignore_if_match: false,
            no_conditional_writes: false,
            no_ranges: false,
            no_part_number: false,
            no_attributes: false,
            etag_style: EtagStyle::Md5,
            min_part_size: 5 * 1024 * 1024,
            discard_uploads: false,
            latency_ms: 0,
            rate_per_connection: 0,
            rate_total: 0,
            close_connections: false,
            http10: false,
            pause_accept: false,
            log_limit: 200_000,
        }
    }
}

/// What a server is started with.
#[derive(Clone, Debug)]
pub struct Config {
    pub host: String,
    /// 0 picks a free one.
    pub port: u16,
    /// `Some(0)` picks a free one; `None` opens no control port.
    pub control_port: Option<u16>,
    pub storage: Storage,
    /// The same as `switches.discard_uploads`.
    pub discard_uploads: bool,
    pub access_key: String,
    pub secret_key: String,
    pub session_token: Option<String>,
    pub region: String,
    /// When false, no request is verified, signed or not.
    pub require_auth: bool,
    pub tls: Option<TlsMode>,
    /// Connections the kernel keeps before they are accepted.
    pub backlog: i32,
    pub switches: Switches,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            host: "127.0.0.1".to_owned(),
            port: 0,
            control_port: None,
            storage: Storage::Memory,
            discard_uploads: false,
            access_key: "fake-access".to_owned(),
            secret_key: "fake-secret".to_owned(),
            session_token: None,
            region: "us-east-1".to_owned(),
            require_auth: true,
            tls: None,
            backlog: 1024,
            switches: Switches::default(),
        }
    }
}
