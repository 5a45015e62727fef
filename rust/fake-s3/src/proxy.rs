//! A byte-level TCP proxy (PX): it knows no HTTP, only positions in the two byte streams of each connection.
//!
//! A fault is taken by a connection when it is accepted, and acts when so many bytes have passed in its direction. Both
//! directions have a thread; the connection ends when either does.

use std::collections::HashMap;
use std::io::{self, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::sync::lock;
use crate::threads;

/// Which of the two streams.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Direction {
    #[default]
    ToClient,
    ToServer,
}

/// What happens at the position.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum Kind {
    /// FIN to both sides.
    Cut,
    /// RST to both sides.
    Reset,
    /// Nothing more passes; the connection stays open.
    Blackhole,
    /// From here on so many bytes per second.
    Throttle { bytes_per_second: u64 },
    /// One pause.
    Delay { ms: u64 },
    /// The byte at the position is changed.
    Flip { mask: u8 },
}

/// A fault of the connections accepted from now on.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Fault {
    #[serde(default)]
    pub direction: Direction,
    /// Bytes that pass unharmed before.
    #[serde(default)]
    pub after: u64,
    pub kind: Kind,
    /// For so many connections; `None` is for all.
    #[serde(default)]
    pub times: Option<u64>,
}

#[derive(Default)]
struct State {
    faults: Mutex<Vec<Fault>>,
    open: Mutex<HashMap<u64, (TcpStream, TcpStream)>>,
    accepted: AtomicU64,
    /// Nothing passes any more on connections up to this one.
    silenced: AtomicU64,
    stopped: AtomicBool,
}

/// A running proxy; dropping it ends all its connections.
pub struct Proxy {
    address: SocketAddr,
    state: Arc<State>,
}

impl Proxy {
    /// Listens on a free port of 127.0.0.1 and forwards to `upstream`.
    pub fn start(upstream: SocketAddr) -> io::Result<Self> {
        let listener = TcpListener::bind(("127.0.0.1", 0))?;
        let address = listener.local_addr()?;
        let state = Arc::new(State::default());
        let shared = Arc::clone(&state);
        let accept = move || {
            for client in listener.incoming() {
                if shared.stopped.load(Ordering::SeqCst) {
                    return;
                }
                if let Ok(client) = client {
                    // An upstream that refuses looks to the client like a server that closes at once.
                    let _ = connect(client, upstream, &shared);
                }
            }
        };
        threads::start("proxy-accept", accept)?;
        Ok(Self { address, state })
    }

    pub fn address(&self) -> SocketAddr {
        self.address
    }

    pub fn add(&self, fault: Fault) {
        lock(&self.state.faults).push(fault);
    }

    pub fn clear(&self) {
        lock(&self.state.faults).clear();
    }

    /// Connections accepted so far.
    pub fn accepted(&self) -> u64 {
        self.state.accepted.load(Ordering::SeqCst)
    }

    /// Connections open now.
    pub fn connections(&self) -> usize {
        lock(&self.state.open).len()
    }

    /// From now on nothing passes on the connections that are open; they stay open.
    pub fn silence_all(&self) {
        self.state.silenced.store(self.accepted(), Ordering::SeqCst);
    }

    /// Resets every open connection.
    pub fn kill_all(&self) {
        for (_, (client, server)) in lock(&self.state.open).drain() {
            end(&client, &server, true);
        }
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.state.stopped.store(true, Ordering::SeqCst);
        let _ = TcpStream::connect_timeout(&self.address, Duration::from_millis(200));
        self.kill_all();
    }
}

fn connect(client: TcpStream, upstream: SocketAddr, state: &Arc<State>) -> io::Result<()> {
    let server = TcpStream::connect(upstream)?;
    client.set_nodelay(true)?;
    server.set_nodelay(true)?;
    let id = state.accepted.fetch_add(1, Ordering::SeqCst) + 1;
    lock(&state.open).insert(id, (client.try_clone()?, server.try_clone()?));
    let taken = take_faults(state);
    for direction in [Direction::ToClient, Direction::ToServer] {
        let faults = taken.iter().filter(|fault| fault.direction == direction).cloned().collect();
        let (from, to) = match direction {
            Direction::ToClient => (server.try_clone()?, client.try_clone()?),
            Direction::ToServer => (client.try_clone()?, server.try_clone()?),
        };
        let state = Arc::clone(state);
        let run = move || {
            let resets = pump(from, to, faults, (id, &state)).unwrap_or(false);
            if let Some((client, server)) = lock(&state.open).remove(&id) {
                end(&client, &server, resets);
            }
        };
        threads::start("proxy", run)?;
    }
    Ok(())
}

fn take_faults(state: &State) -> Vec<Fault> {
    let mut faults = lock(&state.faults);
    let mut taken: Vec<Fault> = Vec::new();
    for fault in faults.iter_mut().filter(|fault| fault.times != Some(0)) {
        fault.times = fault.times.map(|times| times - 1);
        taken.push(fault.clone());
    }
    taken.sort_by_key(|fault| fault.after);
    taken
}

/// Ends both sides. A reset needs the last descriptor to go: shutdown of the receiving half wakes the pump threads.
fn end(client: &TcpStream, server: &TcpStream, resets: bool) {
    for tcp in [client, server] {
        if resets {
            let _ = rustix::net::sockopt::set_socket_linger(tcp, Some(Duration::ZERO));
            let _ = tcp.shutdown(Shutdown::Read);
        } else {
            let _ = tcp.shutdown(Shutdown::Both);
        }
    }
}

/// Forwards until the end or a fault; true if the connection shall be reset.
fn pump(mut from: TcpStream, mut to: TcpStream, faults: Vec<Fault>, (id, state): (u64, &State)) -> io::Result<bool> {
    let mut buffer = vec![0; 64 * 1024];
    let mut faults = faults.into_iter().peekable();
    let (mut passed, mut rate) = (0u64, None::<u64>);
    loop {
        let most = rate.map_or(buffer.len(), |rate| (rate / 20).clamp(1, 64 * 1024) as usize);
        let count = from.read(&mut buffer[..most])?;
        if count == 0 {
            return Ok(false);
        }
        if id <= state.silenced.load(Ordering::SeqCst) {
            swallow(&mut from, &mut buffer, state)?;
        }
        let mut at = 0;
        while at < count {
            let Some(fault) = faults.next_if(|fault| fault.after <= passed) else {
                let until = faults.peek().map_or(u64::MAX, |fault| fault.after - passed);
                let run = (count - at).min(usize::try_from(until).unwrap_or(usize::MAX));
                to.write_all(&buffer[at..at + run])?;
                (at, passed) = (at + run, passed + run as u64);
                continue;
            };
            match fault.kind {
                Kind::Cut => return Ok(false),
                Kind::Reset => return Ok(true),
                Kind::Blackhole => swallow(&mut from, &mut buffer, state)?,
                Kind::Throttle { bytes_per_second } => rate = Some(bytes_per_second.max(1)),
                Kind::Delay { ms } => thread::sleep(Duration::from_millis(ms)),
                Kind::Flip { mask } => buffer[at] ^= mask,
            }
        }
        if let Some(rate) = rate {
            thread::sleep(Duration::from_secs_f64(count as f64 / rate as f64));
        }
    }
}

/// Reads and drops until the sender leaves or the proxy ends.
fn swallow(from: &mut TcpStream, buffer: &mut [u8], state: &State) -> io::Result<()> {
    while !state.stopped.load(Ordering::SeqCst) {
        if from.read(buffer)? == 0 {
            break;
        }
    }
    Err(io::ErrorKind::UnexpectedEof.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fetch(proxy: &Proxy) -> (Vec<u8>, bool) {
        let mut tcp = TcpStream::connect(proxy.address()).unwrap();
        let mut bytes = Vec::new();
        let is_whole = tcp.read_to_end(&mut bytes).is_ok();
        (bytes, is_whole)
    }

    #[test]
    fn cuts_flips_resets_and_passes() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let proxy = Proxy::start(listener.local_addr().unwrap()).unwrap();
        let serve = move || {
            for tcp in listener.incoming() {
                let _ = tcp.unwrap().write_all(&[7; 100_000]);
            }
        };
        threads::start("test", serve).unwrap();
        let once = |after, kind| proxy.add(Fault { direction: Direction::ToClient, after, kind, times: Some(1) });
        once(1234, Kind::Cut);
        assert_eq!(fetch(&proxy), (vec![7; 1234], true));
        once(5, Kind::Flip { mask: 1 });
        let mut flipped = vec![7; 100_000];
        flipped[5] = 6;
        assert_eq!(fetch(&proxy), (flipped, true));
        once(10, Kind::Reset);
        assert!(!fetch(&proxy).1);
        assert_eq!(fetch(&proxy), (vec![7; 100_000], true));
        assert_eq!(proxy.accepted(), 4);
    }
}
