//! Where the server listens, and how a connection to it is opened.
//!
//! Owns the address and the TLS configuration, made once and shared by all threads. Only a literal `HOST:PORT` is
//! taken; the default port of a scheme is filled in. No pool: a worker keeps its one connection for the whole job.

use std::net::TcpStream;
use std::path::Path;
use std::sync::Arc;

use rustls::ClientConfig;
use rustls::pki_types::ServerName;

use crate::Failure;
use crate::connection::{Connection, Stream};
use crate::tls::{self, TlsStream};

pub struct Endpoint {
    /// `host:port`, as the Host header says it.
    pub authority: String,
    tls: Option<(Arc<ClientConfig>, ServerName<'static>)>,
}

impl Endpoint {
    /// Reads `http://host:port`; `https` or `tls` asks for TLS, trusting what `ca` holds.
    pub fn new(url: &str, tls: bool, ca: Option<&Path>) -> Result<Self, Failure> {
        let (scheme, rest) = url.split_once("://").ok_or("--endpoint wants a scheme")?;
        let authority = rest.trim_end_matches('/').to_owned();
        let (host, _port) = authority.rsplit_once(':').ok_or("--endpoint wants a port")?;
        let tls = match scheme == "https" || tls {
            false => None,
            true => {
                let ca = ca.ok_or("--ca is missing")?;
                let name = ServerName::try_from(host.trim_matches(['[', ']']).to_owned())?;
                Some((tls::trusting(ca)?, name))
            }
        };
        Ok(Self { authority, tls })
    }

    pub fn connect(&self) -> Result<Connection, Failure> {
        let socket = TcpStream::connect(&self.authority).map_err(|error| format!("{}: {error}", self.authority))?;
        socket.set_nodelay(true)?;
        let stream = match &self.tls {
            None => Stream::Plain(socket),
            Some((config, name)) => {
                Stream::Tls(Box::new(TlsStream::handshake(socket, Arc::clone(config), name.clone())?))
            }
        };
        Ok(Connection::new(stream))
    }
}
