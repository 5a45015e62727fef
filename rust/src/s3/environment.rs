//! What a client takes from the machine it runs on and a test may play: host names and the wall clock.
//!
//! The wall clock serves for signing and for dates in answers only. Every timeout is measured by a monotonic clock and
//! is no business of this file: a clock that jumps moves none (#82).

use std::io;
use std::net::IpAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::time::SystemTime;

/// The addresses of a host, or why they cannot be had.
pub type Lookup<'a> = Pin<Box<dyn Future<Output = io::Result<Vec<IpAddr>>> + Send + 'a>>;

/// Where addresses of host names come from.
pub trait Names: Send + Sync {
    fn look_up<'a>(&'a self, host: &'a str) -> Lookup<'a>;
}

/// The time of day.
pub trait WallClock: Send + Sync {
    fn now(&self) -> SystemTime;
}

#[derive(Clone)]
pub struct Environment {
    pub names: Arc<dyn Names>,
    pub clock: Arc<dyn WallClock>,
}

impl Default for Environment {
    /// The system's resolver and clock.
    fn default() -> Self {
        Self { names: Arc::new(System), clock: Arc::new(System) }
    }
}

struct System;

impl Names for System {
    fn look_up<'a>(&'a self, host: &'a str) -> Lookup<'a> {
        Box::pin(async move { Ok(tokio::net::lookup_host((host, 0)).await?.map(|address| address.ip()).collect()) })
    }
}

impl WallClock for System {
    fn now(&self) -> SystemTime {
        SystemTime::now()
    }
}
