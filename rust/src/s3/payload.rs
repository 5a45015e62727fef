//! Request bodies: sent without a copy, and sendable again (R10).
//!
//! A `Payload` is bytes in memory, a row of buffers, or something that can be opened anew for each attempt. While
//! it is sent it counts what the HTTP layer has taken: for progress, and for the clock that waits for an answer
//! only from the end of the body on. Under a limit on bandwidth it cuts large chunks and waits between the pieces.

use std::pin::Pin;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::SeqCst};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use sha2::{Digest, Sha256};
use tokio::time::{Instant, Sleep, sleep_until};

use crate::error::{Error, Result};
use crate::progress::Progress;
use crate::s3::bandwidth::Bandwidth;

/// One pass over a body, in order.
pub type ChunkStream = Pin<Box<dyn ChunkSource + Send + Sync>>;

/// Something that yields a body's chunks; like a stream of results.
pub trait ChunkSource {
    fn poll_chunk(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Result<Bytes>>>;
}

#[derive(Clone, Default)]
pub enum Payload {
    #[default]
    Empty,
    /// Sent in this order, without a copy.
    Chunks(Arc<[Bytes]>),
    /// Opened anew for each attempt; its SHA-256 must be known where it has to be signed.
    Reopened { len: u64, open: Arc<dyn Fn() -> ChunkStream + Send + Sync>, sha256: Option<[u8; 32]> },
}

impl Payload {
    pub fn bytes(bytes: impl Into<Bytes>) -> Self {
        Self::Chunks(Arc::from([bytes.into()]))
    }

    pub fn len(&self) -> u64 {
        match self {
            Self::Empty => 0,
            Self::Chunks(chunks) => chunks.iter().map(|chunk| chunk.len() as u64).sum(),
            Self::Reopened { len, .. } => *len,
        }
    }

    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The digest to sign where the connection itself protects nothing.
    pub(super) fn sha256(&self) -> Result<[u8; 32]> {
        match self {
            Self::Empty => Ok(Sha256::digest(b"").into()),
            Self::Chunks(chunks) => {
                let mut hash = Sha256::new();
                chunks.iter().for_each(|chunk| hash.update(chunk));
                Ok(hash.finalize().into())
            }
            Self::Reopened { sha256: Some(sha256), .. } => Ok(*sha256),
            Self::Reopened { sha256: None, .. } => {
                Err(Error::config("a part this large cannot be sent over plain http to another host; use https"))
            }
        }
    }

    pub(super) fn open(&self, sent: Arc<Sent>, limit: Option<&Arc<Bandwidth>>) -> SentBody {
        let chunks = match self {
            Self::Empty => Chunks::Held(Arc::from([]), 0),
            Self::Chunks(chunks) => Chunks::Held(chunks.clone(), 0),
            Self::Reopened { open, .. } => Chunks::Stream(open()),
        };
        let limit = limit.map(|limit| Limited::new(limit.clone(), &sent));
        SentBody { left: self.len(), chunks, sent, limit }
    }
}

/// What the HTTP layer has taken of one attempt's body.
#[derive(Default)]
pub(super) struct Sent {
    bytes: AtomicU64,
    /// What is sent from now on does not count.
    over: AtomicBool,
    progress: Option<Arc<Progress>>,
    failure: Mutex<Option<Error>>,
    /// Our own limit lets no byte pass before then.
    held: Mutex<Option<Instant>>,
}

impl Sent {
    pub(super) fn new(progress: Option<Arc<Progress>>) -> Arc<Self> {
        Arc::new(Self { progress, ..Self::default() })
    }

    pub(super) fn bytes(&self) -> u64 {
        self.bytes.load(SeqCst)
    }

    /// The attempt failed: what it sent does not count (Y7).
    pub(super) fn take_back(&self) {
        self.over.store(true, SeqCst);
        if let Some(progress) = &self.progress {
            progress.take_back_network(self.bytes.swap(0, SeqCst));
        }
    }

    /// Why the body itself could not go on, if that is what ended the attempt.
    pub(super) fn take_failure(&self) -> Option<Error> {
        self.failure.lock().unwrap_or_else(PoisonError::into_inner).take()
    }

    /// Until when it is we who hold the body back.
    pub(super) fn held_until(&self) -> Option<Instant> {
        *self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn hold(&self, until: Instant) {
        *self.held.lock().unwrap_or_else(PoisonError::into_inner) = Some(until);
    }

    fn fail(&self, error: Error) {
        *self.failure.lock().unwrap_or_else(PoisonError::into_inner) = Some(error);
    }

    fn add(&self, bytes: u64) {
        self.bytes.fetch_add(bytes, SeqCst);
        if let Some(progress) = &self.progress {
            progress.add_network(bytes);
        }
        // The connection of an attempt that was given up may take a chunk more before it notices.
        if self.over.load(SeqCst) {
            self.take_back();
        }
    }
}

/// Takes back what an attempt has sent, unless it is kept: whoever stops waiting for it leaves no count either.
pub(super) struct Counted(Option<Arc<Sent>>);

impl Counted {
    pub(super) fn new(sent: &Arc<Sent>) -> Self {
        Self(Some(sent.clone()))
    }

    pub(super) fn keep(mut self) {
        self.0 = None;
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        if let Some(sent) = &self.0 {
            sent.take_back();
        }
    }
}

enum Chunks {
    Held(Arc<[Bytes]>, usize),
    Stream(ChunkStream),
}

/// One attempt's body.
pub(super) struct SentBody {
    left: u64,
    chunks: Chunks,
    sent: Arc<Sent>,
    limit: Option<Limited>,
}

/// How a body is held back.
struct Limited {
    limit: Arc<Bandwidth>,
    wait: Option<Pin<Box<Sleep>>>,
    /// Of a chunk that was too much at once.
    rest: Bytes,
}

impl Limited {
    fn new(limit: Arc<Bandwidth>, sent: &Sent) -> Self {
        let mut limited = Self { rest: Bytes::new(), wait: None, limit };
        limited.wait_until(limited.limit.paid(), sent);
        limited
    }

    fn wait_until(&mut self, until: Instant, sent: &Sent) {
        sent.hold(until);
        self.wait = (until > Instant::now()).then(|| Box::pin(sleep_until(until)));
    }

    fn poll(&mut self, context: &mut Context<'_>) -> Poll<()> {
        if let Some(wait) = &mut self.wait {
            std::task::ready!(wait.as_mut().poll(context));
            self.wait = None;
        }
        Poll::Ready(())
    }

    /// What of it may pass now; the rest stays here.
    fn cut(&mut self, mut chunk: Bytes, sent: &Sent) -> Bytes {
        if chunk.len() > self.limit.piece() {
            self.rest = chunk.split_off(self.limit.piece());
        }
        let until = self.limit.book(chunk.len());
        self.wait_until(until, sent);
        chunk
    }
}

impl Chunks {
    fn poll_next(&mut self, context: &mut Context<'_>) -> Poll<Option<Result<Bytes>>> {
        match self {
            Self::Held(chunks, at) => {
                let chunk = chunks.get(*at).cloned();
                *at += 1;
                Poll::Ready(chunk.map(Ok))
            }
            Self::Stream(stream) => stream.as_mut().poll_chunk(context),
        }
    }
}

impl Body for SentBody {
    type Data = Bytes;
    /// The true cause stays in `Sent`: what goes through the HTTP layer comes back wrapped and borrowed.
    type Error = std::io::Error;

    fn poll_frame(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<std::io::Result<Frame<Bytes>>>> {
        let this = &mut *self;
        let mut rest = Bytes::new();
        if let Some(limit) = &mut this.limit {
            std::task::ready!(limit.poll(context));
            rest = std::mem::take(&mut limit.rest);
        }
        let next = if rest.is_empty() { std::task::ready!(this.chunks.poll_next(context)) } else { Some(Ok(rest)) };
        let chunk = match next {
            Some(Ok(chunk)) => match &mut this.limit {
                Some(limit) => limit.cut(chunk, &this.sent),
                None => chunk,
            },
            Some(Err(error)) => {
                this.sent.fail(error);
                return Poll::Ready(Some(Err(std::io::Error::other("the source of the body failed"))));
            }
            None => return Poll::Ready(None),
        };
        let len = chunk.len() as u64;
        this.left = this.left.saturating_sub(len);
        this.sent.add(len);
        Poll::Ready(Some(Ok(Frame::data(chunk))))
    }

    fn is_end_stream(&self) -> bool {
        self.left == 0
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.left)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_attempt_taken_back_leaves_no_count() {
        let progress = Arc::new(Progress::default());
        let payload = Payload::Chunks(Arc::from([Bytes::from_static(b"abc"), Bytes::from_static(b"de")]));
        let sent = Sent::new(Some(progress.clone()));
        let mut body = payload.open(sent.clone(), None);
        assert_eq!(body.size_hint().exact(), Some(5));
        let mut context = Context::from_waker(std::task::Waker::noop());
        let mut got = Vec::new();
        while let Poll::Ready(Some(frame)) = Pin::new(&mut body).poll_frame(&mut context) {
            got.extend_from_slice(&frame.unwrap().into_data().unwrap());
        }
        assert_eq!(got, b"abcde");
        assert_eq!((sent.bytes(), progress.snapshot().network), (5, 5));
        drop(Counted::new(&sent));
        assert_eq!(progress.snapshot().network, 0);
        sent.add(3);
        assert_eq!(progress.snapshot().network, 0, "what still goes out counts no more");
    }

    #[test]
    fn digest_is_over_all_chunks() {
        let split = Payload::Chunks(Arc::from([Bytes::from_static(b"ab"), Bytes::from_static(b"c")]));
        assert_eq!(split.sha256().unwrap(), Payload::bytes("abc").sha256().unwrap());
        assert_ne!(split.sha256().unwrap(), Payload::Empty.sha256().unwrap());
    }
}
