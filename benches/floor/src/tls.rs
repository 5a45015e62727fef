//! TLS with as little copying as rustls allows.
//!
//! Uses the unbuffered interface: records are received in runs of [`INCOMING`] bytes and decrypted in place, then
//! copied once into the caller's buffer. (The buffered interface reads the socket 4 KiB at a time.) Blocking, client
//! side only. Invariant: `incoming[start..filled]` holds what was received and not yet decrypted; `surplus` holds
//! decrypted bytes that the last caller had no room for, and is always handed out first.

use std::io::{self, Read, Write};
use std::net::TcpStream;
use std::path::Path;
use std::sync::Arc;

use rustls::client::UnbufferedClientConnection;
use rustls::crypto::aws_lc_rs;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::unbuffered::{ConnectionState, UnbufferedStatus};
use rustls::{ClientConfig, RootCertStore};

use crate::Failure;

const INCOMING: usize = 256 << 10;
const OUTGOING: usize = 256 << 10;

/// A configuration that trusts the certificates of one PEM file and nothing else.
pub fn trusting(ca: &Path) -> Result<Arc<ClientConfig>, Failure> {
    let mut roots = RootCertStore::empty();
    for certificate in CertificateDer::pem_file_iter(ca)? {
        roots.add(certificate?)?;
    }
    let config = ClientConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
        .with_safe_default_protocol_versions()?
        .with_root_certificates(roots)
        .with_no_client_auth();
    Ok(Arc::new(config))
}

pub struct TlsStream {
    socket: TcpStream,
    tls: UnbufferedClientConnection,
    incoming: Vec<u8>,
    start: usize,
    filled: usize,
    outgoing: Vec<u8>,
    surplus: Vec<u8>,
}

/// What one look at the received records led to.
enum Step {
    /// Something was done; look again.
    Again,
    /// Nothing more to decrypt and the connection may carry data.
    Open,
    /// Nothing can be done before more bytes arrive.
    Blocked,
    /// This many bytes were decrypted into the caller's buffer.
    Data(usize),
    Closed,
}

impl TlsStream {
    pub fn handshake(socket: TcpStream, config: Arc<ClientConfig>, name: ServerName<'static>) -> Result<Self, Failure> {
        let mut stream = Self {
            socket,
            tls: UnbufferedClientConnection::new(config, name)?,
            incoming: vec![0; INCOMING],
            start: 0,
            filled: 0,
            outgoing: Vec::with_capacity(OUTGOING + (OUTGOING >> 4)),
            surplus: Vec::new(),
        };
        loop {
            match stream.step(&mut [])? {
                Step::Again => {}
                Step::Blocked => stream.receive()?,
                Step::Open => return Ok(stream),
                Step::Data(_) | Step::Closed => return Err("the server broke the handshake".into()),
            }
        }
    }

    pub fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        if !self.surplus.is_empty() {
            let taken = out.len().min(self.surplus.len());
            out[..taken].copy_from_slice(&self.surplus[..taken]);
            self.surplus.drain(..taken);
            return Ok(taken);
        }
        loop {
            match self.step(out)? {
                Step::Again => {}
                Step::Open | Step::Blocked => self.receive()?,
                Step::Data(length) => return Ok(length),
                Step::Closed => return Ok(0),
            }
        }
    }

    pub fn write_all(&mut self, bytes: &[u8]) -> io::Result<()> {
        for run in bytes.chunks(OUTGOING) {
            let received = &mut self.incoming[self.start..self.filled];
            let UnbufferedStatus { discard, state, .. } = self.tls.process_tls_records(received);
            let ConnectionState::WriteTraffic(mut traffic) = state.map_err(io::Error::other)? else {
                return Err(io::Error::other("the server spoke out of turn"));
            };
            self.start += discard;
            self.outgoing.resize(OUTGOING + (OUTGOING >> 4), 0);
            let length = traffic.encrypt(run, &mut self.outgoing).map_err(io::Error::other)?;
            self.socket.write_all(&self.outgoing[..length])?;
        }
        self.outgoing.clear();
        Ok(())
    }

    fn step(&mut self, out: &mut [u8]) -> io::Result<Step> {
        let received = &mut self.incoming[self.start..self.filled];
        let UnbufferedStatus { mut discard, state, .. } = self.tls.process_tls_records(received);
        let step = match state.map_err(io::Error::other)? {
            ConnectionState::ReadTraffic(mut traffic) => {
                let mut length = 0;
                while let Some(record) = traffic.next_record() {
                    let record = record.map_err(io::Error::other)?;
                    discard += record.discard;
                    let taken = record.payload.len().min(out.len() - length);
                    out[length..length + taken].copy_from_slice(&record.payload[..taken]);
                    self.surplus.extend_from_slice(&record.payload[taken..]);
                    length += taken;
                }
                Step::Data(length)
            }
            ConnectionState::EncodeTlsData(mut data) => {
                let held = self.outgoing.len();
                self.outgoing.resize(held + (32 << 10), 0);
                let length = data.encode(&mut self.outgoing[held..]).map_err(io::Error::other)?;
                self.outgoing.truncate(held + length);
                Step::Again
            }
            ConnectionState::TransmitTlsData(data) => {
                self.socket.write_all(&self.outgoing)?;
                self.outgoing.clear();
                data.done();
                Step::Again
            }
            ConnectionState::WriteTraffic(_) => Step::Open,
            ConnectionState::BlockedHandshake => Step::Blocked,
            _ => Step::Closed,
        };
        self.start += discard;
        Ok(step)
    }

    /// Receives once, after moving the unread rest (part of one record) to the front.
    fn receive(&mut self) -> io::Result<()> {
        self.incoming.copy_within(self.start..self.filled, 0);
        self.filled -= self.start;
        self.start = 0;
        let length = self.socket.read(&mut self.incoming[self.filled..])?;
        if length == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        self.filled += length;
        Ok(())
    }
}
