//! One accepted connection, plain or TLS, and the ways to end it.

use std::io::{self, Read, Write};
use std::net::{Shutdown, TcpStream};
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustls::{ServerConnection, StreamOwned};

use crate::http::limits::Limits;

/// The bytes of a client.
pub(crate) enum Stream {
    Plain(TcpStream),
    Tls(Box<StreamOwned<ServerConnection, TcpStream>>),
}

impl Stream {
    pub fn tcp(&self) -> &TcpStream {
        match self {
            Self::Plain(tcp) => tcp,
            Self::Tls(tls) => &tls.sock,
        }
    }

    /// Ends the connection: FIN, before it close_notify if asked for.
    pub fn close(&mut self, close_notify: bool) {
        if let Self::Tls(tls) = self
            && close_notify
        {
            tls.conn.send_close_notify();
            let _ = tls.flush();
        }
        let _ = self.tcp().shutdown(Shutdown::Both);
    }

    /// Half-closes and reads on for a while: closing with unread bytes would be an RST, which may overtake the answer.
    pub fn linger(&mut self, patience: Duration) {
        if let Self::Tls(tls) = self {
            tls.conn.send_close_notify();
            let _ = tls.flush();
        }
        let mut tcp = self.tcp();
        let _ = tcp.shutdown(Shutdown::Write);
        let _ = tcp.set_read_timeout(Some(Duration::from_millis(100)));
        let end = Instant::now() + patience;
        let mut sink = vec![0; 64 * 1024];
        while Instant::now() < end {
            match tcp.read(&mut sink) {
                Ok(0) => break,
                Err(error) if error.kind() != io::ErrorKind::WouldBlock => break,
                _ => {}
            }
        }
        let _ = tcp.shutdown(Shutdown::Both);
    }

    /// Makes the coming close an RST.
    pub fn arm_reset(&self) {
        let _ = rustix::net::sockopt::set_socket_linger(self.tcp(), Some(Duration::ZERO));
    }

    /// Waits so long, but neither beyond the end of the server nor for a peer who has left; true if the peer is there.
    pub fn wait(&self, limits: &Limits, time: Duration) -> bool {
        let end = Instant::now() + time;
        loop {
            let left = end.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return true;
            }
            if limits.stopped() || self.hung_up(left.min(Duration::from_millis(20))) {
                return false;
            }
        }
    }

    /// True once the peer has closed or reset; waits up to `patience` for that.
    pub fn hung_up(&self, patience: Duration) -> bool {
        let wanted = PollFlags::RDHUP;
        let mut fds = [PollFd::new(self.tcp(), wanted)];
        let timeout = Timespec { tv_sec: patience.as_secs() as i64, tv_nsec: i64::from(patience.subsec_nanos()) };
        let _ = poll(&mut fds, Some(&timeout));
        fds[0].revents().intersects(PollFlags::RDHUP | PollFlags::HUP | PollFlags::ERR)
    }
}

impl Read for Stream {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        match self {
            Self::Plain(tcp) => tcp.read(buffer),
            Self::Tls(tls) => tls.read(buffer),
        }
    }
}

impl Write for Stream {
    fn write(&mut self, buffer: &[u8]) -> io::Result<usize> {
        match self {
            Self::Plain(tcp) => tcp.write(buffer),
            Self::Tls(tls) => tls.write(buffer),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        match self {
            Self::Plain(tcp) => tcp.flush(),
            Self::Tls(tls) => tls.flush(),
        }
    }
}
