//! The HTTP clients: connections, proxies, TLS. The one place where reqwest is configured.
//!
//! reqwest follows no redirect, retries nothing and keeps no clock of its own: `request.rs` does. `addresses` gives each
//! connection *one* address, in turn over all the host has; `connect` limits a handshake and leaves an address that
//! failed out for a while (R6, section 3). Two clients: one that pools, one that never reuses a connection, for a
//! request that must not meet the same fault twice.

mod addresses;
mod connect;

use std::path::Path;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use reqwest::{Certificate, NoProxy, Proxy, redirect, retry, tls};
use rustix::io::Errno;

use addresses::{AddressBook, Resolver};
use connect::ConnectLimit;

use crate::config::ClientConfig;
use crate::error::{Error, Result};
use crate::s3::environment::Names;

pub(super) use addresses::DnsFailed;
pub(super) use connect::{ConnectTimedOut, local_address, watched};

type BoxError = Box<dyn std::error::Error + Send + Sync>;

const USER_AGENT: &str = concat!("s3z/", env!("CARGO_PKG_VERSION"));

pub(super) struct Http {
    pooled: reqwest::Client,
    fresh: OnceLock<reqwest::Client>,
    config: ClientConfig,
    /// Read once: for the second client there may be no descriptor left (F15).
    bundle: Option<Vec<Certificate>>,
    target: Target,
    book: Arc<AddressBook>,
}

/// What the first endpoint says about how to connect.
#[derive(Clone, Copy)]
pub(super) struct Target {
    pub tls: bool,
    pub literal_address: bool,
}

impl Http {
    pub(super) fn new(config: &ClientConfig, target: Target, names: Arc<dyn Names>) -> Result<Self> {
        let book = Arc::new(AddressBook::new(&config.retry, names));
        let bundle = config.ca_bundle.as_deref().map(read_bundle).transpose()?;
        let pooled = build(config, bundle.clone(), target, &book, usize::MAX)?;
        Ok(Self { pooled, fresh: OnceLock::new(), config: config.clone(), bundle, target, book })
    }

    /// The pooling client, or the one that opens a new connection for each request.
    pub(super) fn client(&self, fresh: bool) -> Result<&reqwest::Client> {
        if !fresh {
            return Ok(&self.pooled);
        }
        if self.fresh.get().is_none() {
            let built = build(&self.config, self.bundle.clone(), self.target, &self.book, 0)?;
            let _ = self.fresh.set(built);
        }
        Ok(self.fresh.get().unwrap_or(&self.pooled))
    }
}

fn build(
    config: &ClientConfig,
    bundle: Option<Vec<Certificate>>,
    target: Target,
    book: &Arc<AddressBook>,
    idle: usize,
) -> Result<reqwest::Client> {
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
    builder = match bundle {
        Some(roots) => builder.tls_certs_only(roots),
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
    crate::error::escape(crate::error::without_number(&at.to_string()), 200)
}

/// An error and what caused it, also what an `io::Error` wraps and hides from `source`.
pub(super) fn chain<'a>(
    first: &'a (dyn std::error::Error + 'static),
) -> impl Iterator<Item = &'a (dyn std::error::Error + 'static)> {
    std::iter::successors(Some(first), |error| {
        let wrapped = error.downcast_ref::<std::io::Error>().and_then(std::io::Error::get_ref);
        wrapped.map(|inner| inner as &(dyn std::error::Error + 'static)).or_else(|| error.source())
    })
}

/// The errno by which the system says that this process, or all of them, may open no more descriptors (F15).
pub(super) fn descriptor_errno(error: &(dyn std::error::Error + 'static)) -> Option<i32> {
    let lacks = [Errno::MFILE.raw_os_error(), Errno::NFILE.raw_os_error()];
    let mut io = chain(error).filter_map(|error| error.downcast_ref::<std::io::Error>());
    io.find_map(|error| error.raw_os_error().filter(|errno| lacks.contains(errno)))
}

fn lacks_descriptors(error: &(dyn std::error::Error + 'static)) -> bool {
    descriptor_errno(error).is_some()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bundle_that_is_none_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("ca.pem");
        std::fs::write(&path, "no certificate").unwrap();
        assert!(read_bundle(&path).unwrap_err().to_string().contains("ca.pem"));
        assert!(read_bundle(&dir.path().join("missing")).is_err());
    }
}
