//! The addresses of hosts: looked up, cached, handed out one at a time, and left out for a while when they fail.
//!
//! reqwest gets *one* address for each connection, in turn over all the host has, so that a dead address costs one
//! handshake and not one for each connection (#16). New connections see new answers within `ADDRESSES_LIVE`, and at once
//! when no known address works (#36). While names cannot be resolved, what is known goes on being used.

use std::cell::Cell;
use std::collections::HashMap;
use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use reqwest::dns::{Addrs, Name, Resolve, Resolving};

use super::BoxError;
use crate::config::RetryConfig;
use crate::s3::environment::Names;

/// An address list older than this is looked up again for new connections.
const ADDRESSES_LIVE: Duration = Duration::from_secs(30);
/// One of which no address works is looked up again when it is older than this.
const ADDRESSES_DOUBTED: Duration = Duration::from_millis(500);

tokio::task_local! {
    /// The address the resolver gave to the connection being made by this task.
    pub(super) static CHOSEN: Cell<Option<IpAddr>>;
}

pub(super) struct AddressBook {
    names: Arc<dyn Names>,
    hosts: Mutex<HashMap<String, Host>>,
    bad: Mutex<HashMap<IpAddr, Instant>>,
    dns_timeout: Duration,
    leave_out: Duration,
}

struct Host {
    addresses: Vec<IpAddr>,
    next: usize,
    looked_up: Instant,
}

impl AddressBook {
    pub(super) fn new(config: &RetryConfig, names: Arc<dyn Names>) -> Self {
        Self {
            names,
            hosts: Mutex::default(),
            bad: Mutex::default(),
            dns_timeout: config.dns_timeout,
            leave_out: config.bad_address,
        }
    }

    /// The next address of a host that is known well enough: a good one of a list that is new, any of one that is
    /// newer still.
    fn next(&self, name: &str) -> Option<IpAddr> {
        let mut hosts = self.hosts.lock().unwrap_or_else(PoisonError::into_inner);
        let host = hosts.get_mut(name)?;
        let age = host.looked_up.elapsed();
        let good = self.good_of(host);
        good.filter(|_| age < ADDRESSES_LIVE).or_else(|| (age < ADDRESSES_DOUBTED).then(|| host.turn()).flatten())
    }

    /// Any address of a host, however long ago it was known; a good one if there is.
    fn any(&self, name: &str) -> Option<IpAddr> {
        let mut hosts = self.hosts.lock().unwrap_or_else(PoisonError::into_inner);
        let host = hosts.get_mut(name)?;
        self.good_of(host).or_else(|| host.turn())
    }

    /// The next address that did not fail lately.
    fn good_of(&self, host: &mut Host) -> Option<IpAddr> {
        let mut bad = self.bad.lock().unwrap_or_else(PoisonError::into_inner);
        bad.retain(|_, since| since.elapsed() <= self.leave_out);
        (0..host.addresses.len()).find_map(|_| host.turn().filter(|address| !bad.contains_key(address)))
    }

    pub(super) async fn look_up(&self, name: &str) -> Result<IpAddr, BoxError> {
        if let Some(address) = self.next(name) {
            return Ok(address);
        }
        match self.ask(name).await {
            Ok(addresses) => {
                let host = Host { addresses, next: 0, looked_up: Instant::now() };
                self.hosts.lock().unwrap_or_else(PoisonError::into_inner).insert(name.to_owned(), host);
                self.any(name).ok_or_else(|| DnsFailed.into())
            }
            Err(error) => self.any(name).ok_or(error),
        }
    }

    async fn ask(&self, name: &str) -> Result<Vec<IpAddr>, BoxError> {
        let found = tokio::time::timeout(self.dns_timeout, self.names.look_up(name)).await.map_err(|_| DnsFailed)?;
        match found {
            Ok(addresses) if !addresses.is_empty() => Ok(addresses),
            // Without a descriptor to ask by the system's resolver says that there is no such name, now or ever.
            _ => Err(no_socket().map_or_else(|| DnsFailed.into(), Into::into)),
        }
    }

    pub(super) fn leave_out(&self, address: IpAddr) {
        self.bad.lock().unwrap_or_else(PoisonError::into_inner).insert(address, Instant::now());
    }
}

/// Why no socket can be opened now, if it is for lack of descriptors.
fn no_socket() -> Option<io::Error> {
    std::net::UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).err().filter(|error| super::lacks_descriptors(error))
}

impl Host {
    fn turn(&mut self) -> Option<IpAddr> {
        let address = self.addresses.get(self.next % self.addresses.len().max(1)).copied();
        self.next = self.next.wrapping_add(1);
        address
    }
}

#[derive(Debug)]
pub(in crate::s3) struct DnsFailed;

impl std::fmt::Display for DnsFailed {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("the host name cannot be resolved")
    }
}

impl std::error::Error for DnsFailed {}

/// The book as reqwest asks it.
pub(super) struct Resolver(pub Arc<AddressBook>);

impl Resolve for Resolver {
    fn resolve(&self, name: Name) -> Resolving {
        let book = self.0.clone();
        Box::pin(async move {
            let address = book.look_up(name.as_str()).await?;
            let _ = CHOSEN.try_with(|chosen| chosen.set(Some(address)));
            // Port 0: the one of the URL.
            let one: Addrs = Box::new(std::iter::once(SocketAddr::new(address, 0)));
            Ok(one)
        })
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use crate::s3::environment::Lookup;

    /// Gives what is in it; nothing is a failure.
    #[derive(Default)]
    pub(crate) struct Table(pub Mutex<Vec<IpAddr>>, pub Mutex<u32>);

    impl Names for Table {
        fn look_up<'a>(&'a self, _host: &'a str) -> Lookup<'a> {
            *self.1.lock().unwrap() += 1;
            let found = self.0.lock().unwrap().clone();
            Box::pin(async move { if found.is_empty() { Err(io::ErrorKind::NotFound.into()) } else { Ok(found) } })
        }
    }

    pub(crate) fn address(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    pub(crate) fn book(addresses: &[&str]) -> (AddressBook, Arc<Table>) {
        let table = Arc::new(Table(Mutex::new(addresses.iter().map(|text| address(text)).collect()), Mutex::default()));
        (AddressBook::new(&RetryConfig::default(), table.clone()), table)
    }

    fn make_older(book: &AddressBook, by: Duration) {
        let mut hosts = book.hosts.lock().unwrap();
        let host = hosts.get_mut("store").unwrap();
        host.looked_up = host.looked_up.checked_sub(by).unwrap();
    }

    /// #16
    #[tokio::test]
    async fn addresses_go_round_and_bad_ones_are_left_out() {
        let (book, table) = book(&["127.0.0.2", "127.0.0.3", "127.0.0.4"]);
        let mut round = Vec::new();
        for _ in 0..4 {
            round.push(book.look_up("store").await.unwrap().to_string());
        }
        assert_eq!(round, ["127.0.0.2", "127.0.0.3", "127.0.0.4", "127.0.0.2"]);
        book.leave_out(address("127.0.0.3"));
        for _ in 0..6 {
            assert_ne!(book.look_up("store").await.unwrap(), address("127.0.0.3"));
        }
        assert_eq!(*table.1.lock().unwrap(), 1, "asked once");
    }

    /// #36: no address works, so perhaps there are others by now; but a lookup a moment ago is not repeated.
    #[tokio::test]
    async fn a_list_of_which_nothing_works_is_looked_up_anew() {
        let (book, table) = book(&["127.0.0.2"]);
        book.look_up("store").await.unwrap();
        book.leave_out(address("127.0.0.2"));
        assert_eq!(book.look_up("store").await.unwrap(), address("127.0.0.2"), "any is better than none");
        assert_eq!(*table.1.lock().unwrap(), 1);
        *table.0.lock().unwrap() = vec![address("127.0.0.9")];
        make_older(&book, ADDRESSES_DOUBTED);
        assert_eq!(book.look_up("store").await.unwrap(), address("127.0.0.9"));
    }

    /// #36
    #[tokio::test]
    async fn old_lists_are_looked_up_anew_and_kept_while_names_cannot_be_resolved() {
        let (book, table) = book(&["127.0.0.2"]);
        book.look_up("store").await.unwrap();
        make_older(&book, ADDRESSES_LIVE);
        table.0.lock().unwrap().clear();
        assert_eq!(book.look_up("store").await.unwrap(), address("127.0.0.2"));
        *table.0.lock().unwrap() = vec![address("127.0.0.9")];
        assert_eq!(book.look_up("store").await.unwrap(), address("127.0.0.9"));
        assert!(book.look_up("other").await.is_ok());
        table.0.lock().unwrap().clear();
        assert!(book.look_up("unknown").await.unwrap_err().is::<DnsFailed>());
    }
}
