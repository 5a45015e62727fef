//! The reading side of a connection: one reused buffer, heads, and bodies straight out of it.

use std::io::{self, Read};
use std::sync::Arc;
use std::time::Duration;

use crate::http::limits::{Limits, Pace};
use crate::http::stream::Stream;

const BUFFER_LEN: usize = 128 * 1024;
const HEAD_LIMIT: usize = 1024 * 1024;

/// A connection and what has been read from it but not used yet.
pub(crate) struct Wire {
    pub stream: Stream,
    pub limits: Arc<Limits>,
    buffer: Vec<u8>,
    start: usize,
    end: usize,
    pace: Pace,
    /// A rate forced by a fault for the current request.
    pub drip: Option<u64>,
    pub bytes_in: u64,
}

impl Wire {
    pub fn new(stream: Stream, limits: Arc<Limits>) -> Self {
        let buffer = vec![0; BUFFER_LEN];
        Self { stream, limits, buffer, start: 0, end: 0, pace: Pace::default(), drip: None, bytes_in: 0 }
    }

    /// Bytes not consumed yet; reads more if there are none. Empty at the end of the stream.
    pub fn fill(&mut self) -> io::Result<&[u8]> {
        if self.start == self.end {
            let most = Pace::portion(&self.limits, self.drip, self.buffer.len());
            let count = read_retrying(&mut self.stream, &mut self.buffer[..most])?;
            (self.start, self.end) = (0, count);
            self.bytes_in += count as u64;
            if self.limits.tightest(self.drip).is_some() {
                let time = self.pace.charge(&self.limits, self.drip, count);
                self.wait(time);
            }
        }
        Ok(&self.buffer[self.start..self.end])
    }

    /// Waits so long, as long as the client is there; what it has sent of a request it left is then read at full speed.
    pub fn wait(&mut self, time: Duration) {
        if !self.stream.wait(&self.limits, time) {
            self.drip = None;
        }
    }

    pub fn consume(&mut self, count: usize) {
        self.start += count;
    }

    /// The next head including its empty line. `None` when the peer has closed between requests.
    pub fn read_head(&mut self) -> io::Result<Option<Vec<u8>>> {
        let mut head: Vec<u8> = Vec::new();
        loop {
            let chunk = self.fill()?;
            if chunk.is_empty() {
                return match head.is_empty() {
                    true => Ok(None),
                    false => Err(io::ErrorKind::UnexpectedEof.into()),
                };
            }
            let (before, count) = (head.len(), chunk.len());
            head.extend_from_slice(chunk);
            let from = before.saturating_sub(3);
            if let Some(at) = head[from..].windows(4).position(|window| window == b"\r\n\r\n") {
                let len = from + at + 4;
                self.consume(len - before);
                head.truncate(len);
                return Ok(Some(head));
            }
            self.consume(count);
            if head.len() > HEAD_LIMIT {
                return Err(io::Error::other("request head too long"));
            }
        }
    }

    /// A line without its CRLF, of at most 16 KiB.
    pub fn read_line(&mut self) -> io::Result<String> {
        let mut line = Vec::new();
        while line.last() != Some(&b'\n') {
            let chunk = self.fill()?;
            if chunk.is_empty() {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
            let count = chunk.iter().position(|byte| *byte == b'\n').map_or(chunk.len(), |at| at + 1);
            line.extend_from_slice(&chunk[..count]);
            self.consume(count);
            if line.len() > 16 * 1024 {
                return Err(io::Error::other("line too long"));
            }
        }
        let text = String::from_utf8_lossy(&line);
        Ok(text.trim_end_matches(['\r', '\n']).to_owned())
    }
}

fn read_retrying(stream: &mut Stream, buffer: &mut [u8]) -> io::Result<usize> {
    loop {
        match stream.read(buffer) {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            other => return other,
        }
    }
}
