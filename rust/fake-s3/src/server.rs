//! Listening, accepting, and a thread for each connection.

use std::io;
use std::net::{IpAddr, SocketAddr, TcpListener, TcpStream};
use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use rustix::net::{AddressFamily, SocketFlags, SocketType, bind, listen, socket_with, sockopt};
use rustls::{ServerConfig, ServerConnection, StreamOwned};

use crate::http::stream::Stream;
use crate::session::Session;
use crate::shared::Shared;
use crate::sync::lock;
use crate::threads;
use crate::tls;

/// How connections are wrapped.
#[derive(Clone)]
pub(crate) enum Wrap {
    Plain,
    Tls(Arc<ServerConfig>),
    /// Answers a ClientHello with TLS 1.0 and closes.
    Tls10,
}

/// A listening socket with a backlog of our choice.
pub(crate) fn listener(host: &str, port: u16, backlog: i32) -> io::Result<TcpListener> {
    let ip: IpAddr = host.parse().map_err(|_| io::Error::other("host must be an IP address"))?;
    let family = if ip.is_ipv4() { AddressFamily::INET } else { AddressFamily::INET6 };
    let socket: OwnedFd = socket_with(family, SocketType::STREAM, SocketFlags::CLOEXEC, None)?;
    sockopt::set_socket_reuseaddr(&socket, true)?;
    bind(&socket, &SocketAddr::new(ip, port))?;
    listen(&socket, backlog)?;
    Ok(TcpListener::from(socket))
}

/// Accepts until the server stops.
pub(crate) fn accept_loop(listener: &TcpListener, shared: &Arc<Shared>, wrap: &Wrap) {
    loop {
        while shared.switches().pause_accept && !shared.limits.stopped() {
            thread::sleep(Duration::from_millis(5));
        }
        let accepted = listener.accept();
        if shared.limits.stopped() {
            return;
        }
        match accepted {
            Ok((tcp, _)) => start_connection(tcp, shared, wrap),
            // Out of descriptors, most likely: let some close.
            Err(_) => thread::sleep(Duration::from_millis(5)),
        }
    }
}

fn start_connection(tcp: TcpStream, shared: &Arc<Shared>, wrap: &Wrap) {
    let _ = tcp.set_nodelay(true);
    let id = shared.next_connection();
    let Ok(second) = tcp.try_clone() else { return };
    lock(&shared.open).insert(id, second);
    let (shared, wrap) = (Arc::clone(shared), wrap.clone());
    let run = move || {
        if let Some(stream) = wrapped(tcp, &wrap) {
            Session::new(Arc::clone(&shared), id, &stream).run(stream);
        }
        lock(&shared.open).remove(&id);
    };
    // A thread that cannot be started drops the connection, which is the honest answer.
    let _ = threads::start(&format!("connection-{id}"), run);
}

fn wrapped(tcp: TcpStream, wrap: &Wrap) -> Option<Stream> {
    match wrap {
        Wrap::Plain => Some(Stream::Plain(tcp)),
        Wrap::Tls(config) => {
            let mut connection = ServerConnection::new(Arc::clone(config)).ok()?;
            connection.set_buffer_limit(Some(1 << 20));
            Some(Stream::Tls(Box::new(StreamOwned::new(connection, tcp))))
        }
        Wrap::Tls10 => {
            tls::answer_tls10(&tcp);
            None
        }
    }
}
