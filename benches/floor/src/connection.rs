//! One keep-alive HTTP/1.1 connection, spoken by hand.
//!
//! Owns the socket and the bytes received beyond a response head. Order on it is strict: send a request, read the head,
//! read exactly the body, send the next. A body is received into the caller's memory and nowhere else.

use std::io;
use std::io::Write;
use std::net::TcpStream;

use rustix::net::{RecvFlags, recv};

use crate::Failure;
use crate::response::Response;
use crate::tls::TlsStream;

const HEAD: usize = 16 << 10;

pub enum Stream {
    Plain(TcpStream),
    Tls(Box<TlsStream>),
}

impl Stream {
    fn write_all(&mut self, bytes: &[u8]) -> io::Result<()> {
        match self {
            Self::Plain(socket) => socket.write_all(bytes),
            Self::Tls(tls) => tls.write_all(bytes),
        }
    }

    /// Receives some bytes; with `all`, the kernel is asked to wait for a full buffer.
    fn receive(&mut self, out: &mut [u8], all: bool) -> io::Result<usize> {
        match self {
            Self::Tls(tls) => tls.read(out),
            Self::Plain(socket) => {
                let flags = if all { RecvFlags::WAITALL } else { RecvFlags::empty() };
                let (length, _) = rustix::io::retry_on_intr(|| recv(&*socket, &mut *out, flags))?;
                Ok(length)
            }
        }
    }
}

pub struct Connection {
    stream: Stream,
    /// `held[start..]` was received after the last head and belongs to its body.
    held: Vec<u8>,
    start: usize,
}

impl Connection {
    pub fn new(stream: Stream) -> Self {
        Self { stream, held: Vec::with_capacity(HEAD), start: 0 }
    }

    pub fn send(&mut self, bytes: &[u8]) -> Result<(), Failure> {
        Ok(self.stream.write_all(bytes)?)
    }

    /// Reads a response up to the empty line; its body is then for [`Self::read_exact`].
    pub fn read_head(&mut self) -> Result<Response, Failure> {
        self.held.drain(..self.start);
        self.start = 0;
        loop {
            if let Some(end) = self.held.windows(4).position(|four| four == b"\r\n\r\n") {
                self.start = end + 4;
                return Response::parse(&self.held[..end]);
            }
            let filled = self.held.len();
            if filled == HEAD {
                return Err("a response head above 16 KiB".into());
            }
            self.held.resize(HEAD, 0);
            let length = self.stream.receive(&mut self.held[filled..], false)?;
            self.held.truncate(filled + length);
            if length == 0 {
                return Err("the server closed the connection before a response".into());
            }
        }
    }

    /// Fills `out` with the next bytes of the body.
    pub fn read_exact(&mut self, out: &mut [u8]) -> Result<(), Failure> {
        let taken = out.len().min(self.held.len() - self.start);
        out[..taken].copy_from_slice(&self.held[self.start..self.start + taken]);
        self.start += taken;
        let mut filled = taken;
        while filled < out.len() {
            let length = self.stream.receive(&mut out[filled..], true)?;
            if length == 0 {
                return Err("the server closed the connection within a body".into());
            }
            filled += length;
        }
        Ok(())
    }

    /// Reads a small body whole, and fails unless the status is the one wanted.
    pub fn read_small(&mut self, response: &Response, wanted: u16) -> Result<String, Failure> {
        let mut body = vec![0; usize::try_from(response.length)?.min(1 << 20)];
        self.read_exact(&mut body)?;
        let text = String::from_utf8_lossy(&body).into_owned();
        if response.status == wanted {
            Ok(text)
        } else {
            Err(format!("status {} instead of {wanted}: {text}", response.status).into())
        }
    }
}
