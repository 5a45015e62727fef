//! The request body: Content-Length or chunked framing, inside it possibly `aws-chunked` with signatures and trailers.
//!
//! `pump` pushes decoded bytes to a sink, straight out of the connection's buffer. Faults of the reading side (cut, stall,
//! drip after n bytes) act here, counted in bytes of the framed body. `100 Continue` is sent before the first read.

use std::io::{self, Write};
use std::time::Duration;

use crate::error::{Fail, S3Error};
use crate::http::head::Head;
use crate::http::wire::Wire;
use crate::sigv4::ChunkSigner;

/// How the body ends on the wire.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Framing {
    Length(u64),
    Chunked { left: u64, first: bool },
    Done,
}

/// Something that happens after `after` bytes of the body have been read.
#[derive(Debug, Clone)]
pub(crate) struct ReadFault {
    pub after: u64,
    pub kind: ReadFaultKind,
}

#[derive(Debug, Clone)]
pub(crate) enum ReadFaultKind {
    Cut,
    Stall(Duration),
    Drip(u64),
}

/// Framed bytes: the connection's buffer up to the end of this body.
pub(crate) struct Raw<'a> {
    pub wire: &'a mut Wire,
    framing: Framing,
    faults: Vec<ReadFault>,
    read: u64,
}

impl Raw<'_> {
    /// Bytes of the body not consumed yet; empty at its end.
    fn fill(&mut self) -> io::Result<&[u8]> {
        let due = self.run_faults()?;
        let left = match self.framing {
            Framing::Done => return Ok(&[]),
            Framing::Length(left) => left,
            Framing::Chunked { left: 0, first } => match self.next_chunk(first)? {
                0 => return Ok(&[]),
                left => left,
            },
            Framing::Chunked { left, .. } => left,
        };
        let chunk = self.wire.fill()?;
        if chunk.is_empty() {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        let most = usize::try_from(left.min(due)).unwrap_or(usize::MAX);
        Ok(&chunk[..chunk.len().min(most)])
    }

    /// Runs the faults that are due and says how many bytes there are to the next one.
    fn run_faults(&mut self) -> io::Result<u64> {
        while let Some(fault) = self.faults.first() {
            if fault.after > self.read {
                return Ok(fault.after - self.read);
            }
            match self.faults.remove(0).kind {
                ReadFaultKind::Cut => return Err(io::Error::other("cut by a rule")),
                ReadFaultKind::Stall(time) => self.wire.wait(time),
                ReadFaultKind::Drip(rate) => self.wire.drip = Some(rate),
            }
        }
        Ok(u64::MAX)
    }

    fn consume(&mut self, count: usize) {
        self.wire.consume(count);
        self.read += count as u64;
        match &mut self.framing {
            Framing::Length(left) | Framing::Chunked { left, .. } => *left -= count as u64,
            Framing::Done => {}
        }
        if self.framing == Framing::Length(0) {
            self.framing = Framing::Done;
        }
    }

    fn next_chunk(&mut self, first: bool) -> io::Result<u64> {
        if !first {
            self.wire.read_line()?;
        }
        let line = self.wire.read_line()?;
        let size = line.split(';').next().unwrap_or_default().trim();
        let left = u64::from_str_radix(size, 16).map_err(|_| io::Error::other("bad chunk size"))?;
        if left == 0 {
            while !self.wire.read_line()?.is_empty() {}
            self.framing = Framing::Done;
        } else {
            self.framing = Framing::Chunked { left, first: false };
        }
        Ok(left)
    }

    /// A line inside the body, without its end; `None` at the end of the body.
    fn line(&mut self) -> io::Result<Option<String>> {
        let mut line = Vec::new();
        while line.last() != Some(&b'\n') {
            let chunk = self.fill()?;
            if chunk.is_empty() {
                return match line.is_empty() {
                    true => Ok(None),
                    false => Err(io::ErrorKind::UnexpectedEof.into()),
                };
            }
            let count = chunk.iter().position(|byte| *byte == b'\n').map_or(chunk.len(), |at| at + 1);
            line.extend_from_slice(&chunk[..count]);
            self.consume(count);
            if line.len() > 16 * 1024 {
                return Err(io::Error::other("line too long"));
            }
        }
        Ok(Some(String::from_utf8_lossy(&line).trim_end_matches(['\r', '\n']).to_owned()))
    }
}

/// The body of the request that was read last from the connection.
pub(crate) struct Body<'a> {
    raw: Raw<'a>,
    expects: bool,
    aws_chunked: bool,
    decoded_len: Option<u64>,
    pub signer: Option<ChunkSigner>,
    pub trailers: Vec<(String, String)>,
}

impl<'a> Body<'a> {
    pub fn new(wire: &'a mut Wire, head: &Head, mut faults: Vec<ReadFault>) -> Result<Self, S3Error> {
        let bad = |text: &str| S3Error::new(400, "BadRequest", text);
        let length = match head.get("content-length") {
            Some(text) => Some(text.parse::<u64>().map_err(|_| bad("Content-Length is no number"))?),
            None => None,
        };
        let framing = match (head.has_token("transfer-encoding", "chunked"), length) {
            (true, Some(_)) => return Err(bad("both Content-Length and Transfer-Encoding")),
            (true, None) => Framing::Chunked { left: 0, first: true },
            (false, Some(0) | None) => Framing::Done,
            (false, Some(length)) => Framing::Length(length),
        };
        faults.sort_by_key(|fault| fault.after);
        let streaming = head.get("x-amz-content-sha256").is_some_and(|value| value.starts_with("STREAMING-"));
        Ok(Self {
            raw: Raw { wire, framing, faults, read: 0 },
            expects: head.get("expect").is_some_and(|value| value.eq_ignore_ascii_case("100-continue")),
            aws_chunked: streaming || head.has_token("content-encoding", "aws-chunked"),
            decoded_len: head.get("x-amz-decoded-content-length").and_then(|text| text.parse().ok()),
            signer: None,
            trailers: Vec::new(),
        })
    }

    /// True if the client still waits for `100 Continue`: its body need not be read before a refusal.
    pub fn is_awaited(&self) -> bool {
        self.expects && self.raw.framing != Framing::Done
    }

    pub fn is_done(&self) -> bool {
        self.raw.framing == Framing::Done
    }

    /// The length the sink will see, where it is announced.
    pub fn expected_len(&self) -> Option<u64> {
        match self.raw.framing {
            _ if self.aws_chunked => self.decoded_len,
            Framing::Length(length) => Some(length),
            Framing::Done => Some(0),
            Framing::Chunked { .. } => None,
        }
    }

    /// Decodes the whole body into `sink`.
    pub fn pump(&mut self, sink: &mut dyn FnMut(&[u8]) -> Result<(), Fail>) -> Result<(), Fail> {
        self.send_continue()?;
        if self.aws_chunked && self.raw.framing != Framing::Done {
            return self.pump_aws_chunked(sink);
        }
        loop {
            let chunk = self.raw.fill()?;
            let count = chunk.len();
            if count == 0 {
                return Ok(());
            }
            sink(chunk)?;
            self.raw.consume(count);
        }
    }

    /// The body as one vector of at most `limit` bytes.
    pub fn collect(&mut self, limit: usize) -> Result<Vec<u8>, Fail> {
        let mut bytes = Vec::new();
        self.pump(&mut |chunk| {
            if bytes.len() + chunk.len() > limit {
                return Err(S3Error::new(400, "MaxMessageLengthExceeded", "Your request was too big.").into());
            }
            bytes.extend_from_slice(chunk);
            Ok(())
        })?;
        Ok(bytes)
    }

    /// Reads the rest and throws it away, so that the connection can serve another request.
    pub fn drain(&mut self) -> io::Result<()> {
        self.send_continue()?;
        loop {
            let count = self.raw.fill()?.len();
            if count == 0 {
                return Ok(());
            }
            self.raw.consume(count);
        }
    }

    fn send_continue(&mut self) -> io::Result<()> {
        if std::mem::take(&mut self.expects) && self.raw.framing != Framing::Done {
            self.raw.wire.stream.write_all(b"HTTP/1.1 100 Continue\r\n\r\n")?;
            self.raw.wire.stream.flush()?;
        }
        Ok(())
    }

    fn pump_aws_chunked(&mut self, sink: &mut dyn FnMut(&[u8]) -> Result<(), Fail>) -> Result<(), Fail> {
        let mut total = 0;
        loop {
            let line = self.raw.line()?.ok_or_else(incomplete)?;
            let (size, extension) = line.split_once(';').unwrap_or((&line, ""));
            let size = u64::from_str_radix(size.trim(), 16).map_err(|_| incomplete())?;
            total += size;
            let signature = extension.trim().strip_prefix("chunk-signature=").unwrap_or_default();
            self.pump_chunk(size, sink)?;
            if let Some(signer) = &mut self.signer {
                signer.end_chunk(signature)?;
            }
            if size == 0 {
                break;
            }
            self.raw.line()?;
        }
        self.read_trailers()?;
        match self.decoded_len {
            Some(expected) if expected != total => Err(incomplete().into()),
            _ => Ok(()),
        }
    }

    fn pump_chunk(&mut self, mut left: u64, sink: &mut dyn FnMut(&[u8]) -> Result<(), Fail>) -> Result<(), Fail> {
        while left > 0 {
            let chunk = self.raw.fill()?;
            let count = chunk.len().min(usize::try_from(left).unwrap_or(usize::MAX));
            if count == 0 {
                return Err(incomplete().into());
            }
            if let Some(signer) = &mut self.signer {
                signer.update(&chunk[..count]);
            }
            sink(&chunk[..count])?;
            self.raw.consume(count);
            left -= count as u64;
        }
        Ok(())
    }

    fn read_trailers(&mut self) -> Result<(), Fail> {
        while let Some(line) = self.raw.line()? {
            if let Some((name, value)) = line.split_once(':') {
                self.trailers.push((name.trim().to_ascii_lowercase(), value.trim().to_owned()));
            }
        }
        match &mut self.signer {
            Some(signer) => Ok(signer.check_trailers(&self.trailers)?),
            None => Ok(()),
        }
    }
}

fn incomplete() -> S3Error {
    let text = "You did not provide the number of bytes specified by the Content-Length HTTP header";
    S3Error::new(400, "IncompleteBody", text)
}
