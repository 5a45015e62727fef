//! Names as a test wants them, and addresses that never answer.

use std::collections::VecDeque;
use std::io;
use std::net::{IpAddr, SocketAddr, TcpStream};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use fake_s3::{Config, FakeS3, Switches};
use s3z::s3::environment::{Environment, Lookup, Names};

use crate::support::*;

/// One answer to a lookup.
#[derive(Clone)]
pub enum Found {
    At(Vec<IpAddr>),
    Nothing,
    /// No answer ever.
    Silence,
}

/// Gives its answers in turn, the last one for ever.
pub struct Script(Mutex<VecDeque<Found>>);

impl Names for Script {
    fn look_up<'a>(&'a self, _host: &'a str) -> Lookup<'a> {
        let mut answers = self.0.lock().unwrap();
        let answer = if answers.len() > 1 { answers.pop_front() } else { answers.front().cloned() };
        Box::pin(async move {
            match answer.unwrap() {
                Found::At(addresses) => Ok(addresses),
                Found::Nothing => Err(io::ErrorKind::NotFound.into()),
                Found::Silence => std::future::pending().await,
            }
        })
    }
}

impl Script {
    pub fn new(answers: impl IntoIterator<Item = Found>) -> Arc<Self> {
        Arc::new(Self(Mutex::new(answers.into_iter().collect())))
    }

    /// From now on, this.
    pub fn change(&self, answer: Found) {
        *self.0.lock().unwrap() = VecDeque::from([answer]);
    }
}

pub fn at(addresses: &[&str]) -> Found {
    Found::At(addresses.iter().map(|text| text.parse().unwrap()).collect())
}

/// A world whose store has a name; it listens on 127.0.0.1.
pub fn named(world: World, names: &Arc<Script>) -> World {
    let endpoint = format!("http://store.test:{}", world.server.address().port());
    let environment = Environment { names: names.clone(), ..Environment::default() };
    world.reached_by(environment, |client| client.endpoint_url = Some(endpoint))
}

/// An address at which no handshake is ever answered: the kernel's queue is full and nobody accepts.
pub struct Unanswered {
    server: FakeS3,
    _queue: Vec<TcpStream>,
}

impl Unanswered {
    pub fn new(host: &str, port: u16) -> Self {
        let switches = Switches { pause_accept: true, ..Switches::default() };
        let config = Config { host: host.to_owned(), port, backlog: 1, switches, ..Config::default() };
        let server = FakeS3::start(config).unwrap();
        let mut queue = Vec::new();
        while let Ok(tcp) = TcpStream::connect_timeout(&server.address(), Duration::from_millis(100)) {
            queue.push(tcp);
            assert!(queue.len() < 100, "the queue never fills up");
        }
        Self { server, _queue: queue }
    }

    pub fn address(&self) -> SocketAddr {
        self.server.address()
    }
}
