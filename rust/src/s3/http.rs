//! The HTTP clients: connections, addresses, TLS. The one place where reqwest is configured.
//!
//! reqwest follows no redirect, retries nothing and keeps no clock of its own: `request.rs` does. Each
//! connection gets *one* address, in turn over all the host has; a handshake that fails or takes too long leaves
//! its address out for a while (R6, section 3). Two clients: one that pools, one that never reuses a connection,
//! for a request that must not meet the same fault twice.

use std::cell::Cell;
use std::collections::{HashMap, HashSet};
use std::future::poll_fn;
use std::net::SocketAddr;
use std::path::Path;
use std::pin::{Pin, pin};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use reqwest::dns::{Addrs, Name, Resolve, Resolving};
use reqwest::{Certificate, NoProxy, Proxy, redirect, retry, tls};
use tower_layer::Layer;
use tower_service::Service;

use crate::config::{ClientConfig, RetryConfig};
use crate::error::{Error, Result};

type BoxError = Box<dyn std::error::Error + Send + Sync>;

const USER_AGENT: &str = concat!("s3z/", env!("CARGO_PKG_VERSION"));
/// An address list older than this is looked up again for new connections.
const ADDRESSES_LIVE: Duration = Duration::from_secs(30);
/// Local addresses remembered as having answered; more than a machine has connections open.
const MAX_ANSWERED: usize = 16_384;

pub(super) struct Http {
    pooled: reqwest::Client,
    fresh: OnceLock<reqwest::Client>,
    config: ClientConfig,
    target: Target,
    book: Arc<AddressBook>,
    /// Local addresses of connections that have answered before: an error on one of these is a stale connection.
    answered: Mutex<HashSet<SocketAddr>>,
}

/// What the first endpoint says about how to connect.
#[derive(Clone, Copy)]
pub(super) struct Target {
    pub tls: bool,
    pub literal_address: bool,
}

impl Http {
    pub(super) fn new(config: &ClientConfig, target: Target) -> Result<Self> {
        let book = Arc::new(AddressBook::new(&config.retry));
        let pooled = build(config, target, &book, usize::MAX)?;
        Ok(Self { pooled, fresh: OnceLock::new(), config: config.clone(), target, book, answered: Mutex::default() })
    }

    /// The pooling client, or the one that opens a new connection for each request.
    pub(super) fn client(&self, fresh: bool) -> Result<&reqwest::Client> {
        if !fresh {
            return Ok(&self.pooled);
        }
        if self.fresh.get().is_none() {
            let built = build(&self.config, self.target, &self.book, 0)?;
            let _ = self.fresh.set(built);
        }
        Ok(self.fresh.get().unwrap_or(&self.pooled))
    }

    /// Remembers that this connection works.
    pub(super) fn answered(&self, local: Option<SocketAddr>) {
        let Some(local) = local else { return };
        let mut answered = self.answered.lock().unwrap_or_else(PoisonError::into_inner);
        if answered.len() >= MAX_ANSWERED {
            answered.clear();
        }
        answered.insert(local);
    }

    pub(super) fn has_answered(&self, local: SocketAddr) -> bool {
        self.answered.lock().unwrap_or_else(PoisonError::into_inner).contains(&local)
    }
}

fn build(config: &ClientConfig, target: Target, book: &Arc<AddressBook>, idle: usize) -> Result<reqwest::Client> {
    let dns = if target.literal_address { Duration::ZERO } else { config.retry.dns_timeout };
    let limit = ConnectLimit { dns, connect: config.retry.connect_timeout, book: book.clone() };
    let mut builder = reqwest::Client::builder()
        .user_agent(USER_AGENT)
        .redirect(redirect::Policy::none())
        .retry(retry::never())
        .referer(false)
        .http1_only()
        .http1_max_headers(100)
        .tcp_nodelay(true)
        // A store that stops reading must not keep what was to be sent to it, also after the request was given up.
        .tcp_user_timeout(config.retry.read_timeout)
        .pool_max_idle_per_host(idle)
        .pool_idle_timeout(config.retry.idle_timeout)
        .dns_resolver(Arc::new(Resolver(book.clone())))
        .connector_layer(limit)
        .tls_version_min(tls::Version::TLS_1_2)
        .no_proxy();
    builder = match &config.ca_bundle {
        Some(path) => builder.tls_certs_only(read_bundle(path)?),
        // Without TLS the system's roots need not be read (nor exist).
        None if !target.tls => builder.tls_certs_only([]),
        None => builder,
    };
    if config.insecure_tls {
        builder = builder.tls_danger_accept_invalid_certs(true).tls_danger_accept_invalid_hostnames(true);
    }
    for proxy in proxies(config)? {
        builder = builder.proxy(proxy);
    }
    builder.build().map_err(|cause| Error::config(format!("cannot set up TLS: {}", root_cause(&cause))))
}

fn read_bundle(path: &Path) -> Result<Vec<Certificate>> {
    let refuse = |why: &str| Error::config(format!("CA bundle \"{}\" cannot be used: {why}", path.display()));
    let pem = std::fs::read(path).map_err(|cause| refuse(&cause.to_string()))?;
    let certificates = Certificate::from_pem_bundle(&pem).map_err(|_| refuse("it is not a PEM file"))?;
    if certificates.is_empty() {
        return Err(refuse("it holds no certificate"));
    }
    Ok(certificates)
}

fn proxies(config: &ClientConfig) -> Result<Vec<Proxy>> {
    let exempt = config.proxies.iter().find(|(scheme, _)| scheme == "no_proxy");
    let exempt = exempt.and_then(|(_, hosts)| NoProxy::from_string(hosts));
    let mut proxies = Vec::new();
    for (scheme, url) in config.proxies.iter().filter(|(scheme, _)| scheme != "no_proxy") {
        let proxy = match scheme.as_str() {
            "http" => Proxy::http(url),
            "https" => Proxy::https(url),
            _ => return Err(Error::config(format!("no proxy can be set for \"{scheme}\": http and https only"))),
        };
        // The URL may hold a password: it is not shown.
        let proxy = proxy.map_err(|_| Error::config(format!("the {scheme} proxy is not a valid URL")))?;
        proxies.push(proxy.no_proxy(exempt.clone()));
    }
    Ok(proxies)
}

/// The innermost text of an error chain: the HTTP library's outer texts contain URLs (S7).
pub(super) fn root_cause(error: &(dyn std::error::Error + 'static)) -> String {
    let mut at = error;
    while let Some(inner) = at.source() {
        at = inner;
    }
    crate::error::escape(&at.to_string(), 200)
}

tokio::task_local! {
    /// The address the resolver gave to the connection being made by this task.
    static CHOSEN: Cell<Option<SocketAddr>>;
}

/// Addresses of host names, handed out one at a time.
struct AddressBook {
    hosts: Mutex<HashMap<String, Host>>,
    bad: Mutex<HashMap<SocketAddr, Instant>>,
    dns_timeout: Duration,
    leave_out: Duration,
}

struct Host {
    addresses: Vec<SocketAddr>,
    next: usize,
    looked_up: Instant,
}

impl AddressBook {
    fn new(config: &RetryConfig) -> Self {
        Self {
            hosts: Mutex::default(),
            bad: Mutex::default(),
            dns_timeout: config.dns_timeout,
            leave_out: config.bad_address,
        }
    }

    /// The next good address of a host known well enough.
    fn next(&self, name: &str) -> Option<SocketAddr> {
        let mut hosts = self.hosts.lock().unwrap_or_else(PoisonError::into_inner);
        let host = hosts.get_mut(name).filter(|host| host.looked_up.elapsed() < ADDRESSES_LIVE)?;
        let bad = self.bad.lock().unwrap_or_else(PoisonError::into_inner);
        let is_good = |address: &SocketAddr| bad.get(address).is_none_or(|since| since.elapsed() > self.leave_out);
        let count = host.addresses.len();
        let start = host.next;
        host.next = host.next.wrapping_add(1);
        let turn = (0..count).map(|step| host.addresses[(start.wrapping_add(step)) % count]);
        // All bad: any is better than none.
        turn.clone().find(is_good).or_else(|| turn.into_iter().next())
    }

    async fn look_up(&self, name: &str) -> std::result::Result<SocketAddr, BoxError> {
        if let Some(address) = self.next(name) {
            return Ok(address);
        }
        let found = tokio::time::timeout(self.dns_timeout, tokio::net::lookup_host((name, 0))).await;
        let addresses: Vec<SocketAddr> = found.map_err(|_| DnsFailed)?.map_err(|_| DnsFailed)?.collect();
        if addresses.is_empty() {
            return Err(DnsFailed.into());
        }
        let host = Host { addresses, next: 0, looked_up: Instant::now() };
        self.hosts.lock().unwrap_or_else(PoisonError::into_inner).insert(name.to_owned(), host);
        self.next(name).ok_or_else(|| DnsFailed.into())
    }

    fn leave_out(&self, address: SocketAddr) {
        self.bad.lock().unwrap_or_else(PoisonError::into_inner).insert(address, Instant::now());
    }
}

#[derive(Debug)]
pub(super) struct DnsFailed;

impl std::fmt::Display for DnsFailed {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("the host name cannot be resolved")
    }
}

impl std::error::Error for DnsFailed {}

#[derive(Debug)]
pub(super) struct ConnectTimedOut(Duration);

impl std::fmt::Display for ConnectTimedOut {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "no connection within {:?}", self.0)
    }
}

impl std::error::Error for ConnectTimedOut {}

struct Resolver(Arc<AddressBook>);

impl Resolve for Resolver {
    fn resolve(&self, name: Name) -> Resolving {
        let book = self.0.clone();
        Box::pin(async move {
            let address = book.look_up(name.as_str()).await?;
            let _ = CHOSEN.try_with(|chosen| chosen.set(Some(address)));
            let one: Addrs = Box::new(std::iter::once(address));
            Ok(one)
        })
    }
}

/// Bounds each handshake (TCP and TLS, to one address) and reports the addresses that failed.
#[derive(Clone)]
struct ConnectLimit {
    dns: Duration,
    connect: Duration,
    book: Arc<AddressBook>,
}

impl<S> Layer<S> for ConnectLimit {
    type Service = LimitedConnector<S>;

    fn layer(&self, inner: S) -> Self::Service {
        LimitedConnector { inner, limit: self.clone() }
    }
}

#[derive(Clone)]
struct LimitedConnector<S> {
    inner: S,
    limit: ConnectLimit,
}

impl<S, R> Service<R> for LimitedConnector<S>
where
    S: Service<R, Error = BoxError>,
    S::Future: Send + 'static,
    S::Response: 'static,
{
    type Response = S::Response;
    type Error = BoxError;
    type Future = Pin<Box<dyn Future<Output = std::result::Result<S::Response, BoxError>> + Send>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<std::result::Result<(), BoxError>> {
        self.inner.poll_ready(context)
    }

    fn call(&mut self, destination: R) -> Self::Future {
        let connecting = self.inner.call(destination);
        Box::pin(CHOSEN.scope(Cell::new(None), connect(connecting, self.limit.clone())))
    }
}

async fn connect<T>(
    connecting: impl Future<Output = std::result::Result<T, BoxError>>,
    limit: ConnectLimit,
) -> std::result::Result<T, BoxError> {
    let mut connecting = pin!(connecting);
    let mut clock = pin!(tokio::time::sleep(limit.dns + limit.connect));
    let mut resolved = false;
    let outcome = poll_fn(|context| {
        if let Poll::Ready(done) = connecting.as_mut().poll(context) {
            return Poll::Ready(done);
        }
        // Once the name is resolved, only the handshake's own time is left.
        if !resolved && CHOSEN.with(Cell::get).is_some() {
            resolved = true;
            clock.as_mut().reset(tokio::time::Instant::now() + limit.connect);
        }
        clock.as_mut().poll(context).map(|()| Err(ConnectTimedOut(limit.connect).into()))
    })
    .await;
    if let (Err(_), Some(address)) = (&outcome, CHOSEN.with(Cell::get)) {
        limit.book.leave_out(address);
    }
    outcome
}

#[cfg(test)]
mod tests {
    use super::*;

    fn book(addresses: &[&str]) -> AddressBook {
        let book = AddressBook::new(&RetryConfig::default());
        let addresses = addresses.iter().map(|text| text.parse().unwrap()).collect();
        let host = Host { addresses, next: 0, looked_up: Instant::now() };
        book.hosts.lock().unwrap().insert("store".into(), host);
        book
    }

    #[test]
    fn addresses_go_round_and_bad_ones_are_left_out() {
        let book = book(&["127.0.0.2:1", "127.0.0.3:1", "127.0.0.4:1"]);
        let round: Vec<_> = (0..4).map(|_| book.next("store").unwrap().ip().to_string()).collect();
        assert_eq!(round, ["127.0.0.2", "127.0.0.3", "127.0.0.4", "127.0.0.2"]);
        book.leave_out("127.0.0.3:1".parse().unwrap());
        for _ in 0..6 {
            assert_ne!(book.next("store").unwrap().ip().to_string(), "127.0.0.3");
        }
        book.leave_out("127.0.0.2:1".parse().unwrap());
        book.leave_out("127.0.0.4:1".parse().unwrap());
        assert!(book.next("store").is_some(), "all bad: any is better than none");
    }

    #[tokio::test(start_paused = true)]
    async fn a_handshake_has_a_limit_and_a_bad_address_is_remembered() {
        let book = Arc::new(book(&["127.0.0.2:1", "127.0.0.3:1"]));
        let bad = "127.0.0.2:1".parse().unwrap();
        let limit = ConnectLimit { dns: Duration::from_secs(5), connect: Duration::from_secs(3), book: book.clone() };
        let never = async {
            CHOSEN.with(|chosen| chosen.set(Some(bad)));
            std::future::pending::<std::result::Result<(), BoxError>>().await
        };
        let started = tokio::time::Instant::now();
        let error = CHOSEN.scope(Cell::new(None), connect(never, limit)).await.unwrap_err();
        assert!(error.is::<ConnectTimedOut>());
        assert!(started.elapsed() < Duration::from_secs(4));
        assert_eq!(book.next("store").unwrap().ip().to_string(), "127.0.0.3");
    }

    #[test]
    fn a_bundle_that_is_none_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("ca.pem");
        std::fs::write(&path, "no certificate").unwrap();
        assert!(read_bundle(&path).unwrap_err().to_string().contains("ca.pem"));
        assert!(read_bundle(&dir.path().join("missing")).is_err());
    }
}
