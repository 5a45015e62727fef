//! Reading an object at any place, as a file is read: read-ahead that grows while reads follow each other, and none where they
//! do not.
//!
//! ```text
//! read(at, len) ── in the block that was fetched last? ─→ from there
//!               ── at, or little beyond, where the stream stands? ─→ from the stream
//!               ── behind the last read? ─→ a block twice as long as the last one; once that is `STREAM` long, a stream
//!               └─ anywhere else ─→ a block of what was asked for, at least `LEAST`; the stream is dropped
//! ```
//!
//! The version is pinned when it is opened: a read of another one is an error, never a mixture.

use std::sync::Arc;

use bytes::{Bytes, BytesMut};

use crate::config::{KIB, MIB};
use crate::error::{Error, ErrorKind, Result};
use crate::ops::engine::{Engine, unless_cancelled};
use crate::ops::span::Span;
use crate::ops::stored::Verify;
use crate::ops::stream::{OrderedStream, StreamRequest};
use crate::progress::Cancel;
use crate::s3::body::ObjectBody;
use crate::s3::client::GetRequest;
use crate::s3::object::ObjectIdentity;

/// The shortest block, and what is read through instead of being jumped over.
const LEAST: u64 = 32 * KIB;
const NEAR: u64 = 64 * KIB;
/// Where blocks end and the stream begins.
const STREAM: u64 = MIB;

pub struct ObjectReader {
    engine: Engine,
    request: StreamRequest,
    identity: ObjectIdentity,
    cancel: Cancel,
    /// Where the last read ended, and how long the last block was.
    last: u64,
    ahead: u64,
    block: (u64, Bytes),
    /// Its bytes from `position() - rest.len()` on were not read yet.
    stream: Option<OrderedStream>,
    rest: Bytes,
}

impl ObjectReader {
    /// Looks at the object; nothing of it is read yet. The span of the request is not looked at.
    pub async fn open(engine: &Engine, request: StreamRequest, cancel: &Cancel) -> Result<Self> {
        let named = |error: Error| error.with_object(&request.object.bucket, &request.object.key);
        let head = engine.client.head_object(&request.object, request.if_match.as_deref());
        let identity = unless_cancelled(cancel, head).await.map_err(named)?.identity;
        let if_match = identity.strong_etag().map(str::to_owned).or(request.if_match.clone());
        Ok(Self {
            engine: engine.clone(),
            request: StreamRequest { if_match, verify: Verify::Off, ..request },
            identity,
            cancel: cancel.clone(),
            last: 0,
            ahead: 0,
            block: (0, Bytes::new()),
            stream: None,
            rest: Bytes::new(),
        })
    }

    pub fn identity(&self) -> &ObjectIdentity {
        &self.identity
    }

    /// Up to `len` bytes at `at`, at least one before the object's end.
    pub async fn read(&mut self, at: u64, len: u64) -> Result<Bytes> {
        let len = len.min(self.identity.size.saturating_sub(at));
        if len == 0 {
            return Ok(Bytes::new());
        }
        let cancel = self.cancel.clone();
        let named = (self.request.object.bucket.clone(), self.request.object.key.clone());
        let read = unless_cancelled(&cancel, self.read_some(at, len)).await;
        let bytes = read.map_err(|error| error.with_object(&named.0, &named.1))?;
        self.last = at + bytes.len() as u64;
        Ok(bytes)
    }

    async fn read_some(&mut self, at: u64, len: u64) -> Result<Bytes> {
        if let Some(bytes) = self.in_block(at, len) {
            return Ok(bytes);
        }
        if let Some(bytes) = self.in_stream(at, len).await? {
            return Ok(bytes);
        }
        let follows = at.checked_sub(self.last).is_some_and(|gap| gap <= NEAR) && (self.last > 0 || self.ahead > 0);
        self.ahead = if follows { (self.ahead * 2).clamp(2 * LEAST, 2 * STREAM) } else { LEAST };
        if (follows && self.ahead >= STREAM) || len >= STREAM {
            match self.open_stream(at, if follows { None } else { Some(at + len) }).await {
                // As many streams are open as may be: then without one.
                Err(error) if error.kind() == ErrorKind::Config => {}
                opened => opened?,
            }
            if let Some(bytes) = self.in_stream(at, len).await? {
                return Ok(bytes);
            }
        }
        let stop = self.identity.size.min(at + len.min(2 * STREAM).max(self.ahead));
        self.block = (at, self.fetch(at, stop).await?);
        self.in_block(at, len).ok_or_else(|| Error::integrity("the range came without bytes"))
    }

    fn in_block(&self, at: u64, len: u64) -> Option<Bytes> {
        let (start, block) = &self.block;
        let from = usize::try_from(at.checked_sub(*start)?).ok().filter(|from| *from < block.len())?;
        let to = block.len().min(from.saturating_add(usize::try_from(len).unwrap_or(usize::MAX)));
        Some(block.slice(from..to))
    }

    /// What the stream gives, if it stands there or little before; else it is dropped.
    async fn in_stream(&mut self, at: u64, len: u64) -> Result<Option<Bytes>> {
        let Some(stream) = &mut self.stream else { return Ok(None) };
        let stands = stream.position() - self.rest.len() as u64;
        let Some(mut gap) = at.checked_sub(stands).filter(|gap| *gap <= NEAR) else {
            self.drop_stream();
            return Ok(None);
        };
        loop {
            if self.rest.is_empty() {
                match stream.next().await {
                    Ok(Some(chunk)) => self.rest = chunk,
                    Ok(None) => {
                        self.drop_stream();
                        return Ok(None);
                    }
                    Err(error) => {
                        self.drop_stream();
                        return Err(error);
                    }
                }
            }
            let skipped = self.rest.len().min(usize::try_from(gap).unwrap_or(usize::MAX));
            let _ = self.rest.split_to(skipped);
            gap -= skipped as u64;
            if gap == 0 && !self.rest.is_empty() {
                let taken = self.rest.len().min(usize::try_from(len).unwrap_or(usize::MAX));
                return Ok(Some(self.rest.split_to(taken)));
            }
        }
    }

    async fn open_stream(&mut self, at: u64, stop: Option<u64>) -> Result<()> {
        let request = StreamRequest { span: Span::Between { start: at, stop }, ..self.request.clone() };
        let stream = OrderedStream::open(&self.engine, request, Arc::default(), &self.cancel).await?;
        // Where nothing pins the version, it is compared.
        let (now, then) = (stream.identity(), &self.identity);
        if (&now.etag, &now.version_id, now.size) != (&then.etag, &then.version_id, then.size) {
            return Err(Error::new(ErrorKind::ObjectChanged, "the object is another one than was opened"));
        }
        (self.stream, self.rest, self.block) = (Some(stream), Bytes::new(), (0, Bytes::new()));
        Ok(())
    }

    fn drop_stream(&mut self) {
        (self.stream, self.rest) = (None, Bytes::new());
    }

    async fn fetch(&self, at: u64, stop: u64) -> Result<Bytes> {
        let get = GetRequest {
            object: self.request.object.clone(),
            range: Some(at..stop),
            tail: None,
            if_match: self.request.if_match.clone(),
            checksums: false,
            fresh_connection: false,
        };
        let mut body = ObjectBody::open_pinned(self.engine.client.clone(), get, self.identity.clone()).await?;
        let mut block = BytesMut::new();
        while let Some(chunk) = body.chunk().await? {
            block.extend_from_slice(&chunk);
        }
        Ok(block.freeze())
    }
}
