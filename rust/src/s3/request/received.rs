//! An answer whose head has come: status, headers, and the body as it arrives.
//!
//! Invariant: reading can be given up at any await and taken up again later; no byte is lost and no clock starts anew,
//! because what was waited so far is written down when the wait ends, however it ends.

use std::time::Duration;

use bytes::{Bytes, BytesMut};
use http::header::HeaderMap;
use tokio::time::{Instant, timeout};

use super::clock::{BodyClock, Late};
use super::{Failure, classify};
use crate::config::RetryConfig;

/// The head of a successful answer, and its body still to be read.
pub(in crate::s3) struct Answer {
    response: reqwest::Response,
    clock: BodyClock,
    stall: Duration,
}

/// Tells the clock how long was waited, also when the wait is given up.
struct Waiting<'a> {
    clock: &'a mut BodyClock,
    since: Instant,
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.clock.waited(self.since.elapsed());
    }
}

impl Answer {
    /// `is_slow`: the store may take minutes to work out the body.
    pub(super) fn new(response: reqwest::Response, config: &RetryConfig, is_slow: bool) -> Self {
        let stall = if is_slow { config.slow_answer_timeout } else { config.read_timeout };
        Self { response, clock: BodyClock::new(config, stall, is_slow), stall }
    }

    pub(in crate::s3) fn status(&self) -> u16 {
        self.response.status().as_u16()
    }

    pub(in crate::s3) fn headers(&self) -> &HeaderMap {
        self.response.headers()
    }

    pub(in crate::s3) fn header(&self, name: &str) -> Option<&str> {
        self.headers().get(name).and_then(|value| value.to_str().ok()).filter(|value| value.len() <= 8192)
    }

    pub(in crate::s3) fn request_ids(&self) -> (Option<String>, Option<String>) {
        let id = |name| self.header(name).map(|id| crate::error::escape(id, 200));
        (id("x-amz-request-id"), id("x-amz-id-2"))
    }

    /// The next bytes of the body; `None` at its proper end.
    pub(in crate::s3) async fn chunk(&mut self) -> Result<Option<Bytes>, Failure> {
        let Self { response, clock, stall } = self;
        let mut next = std::pin::pin!(response.chunk());
        loop {
            let patience = clock.patience();
            let waiting = Waiting { clock, since: Instant::now() };
            // What has come is taken first, however late it is to take it.
            let outcome = timeout(patience, next.as_mut()).await;
            drop(waiting);
            let late = match outcome {
                Ok(Ok(chunk)) => {
                    clock.received(chunk.as_ref().map_or(0, |bytes| bytes.len() as u64));
                    return Ok(chunk);
                }
                Ok(Err(cause)) => return Err(classify::broken_body(&cause)),
                Err(_) => clock.late(),
            };
            match late {
                None => {}
                Some(Late::Stalled) => return Err(classify::timed_out(format!("no byte came for {stall:?}"))),
                Some(Late::TooSlow) => return Err(classify::timed_out("the bytes came too slowly".into())),
            }
        }
    }

    /// All of a short body; more than `limit` bytes are a bad answer.
    pub(in crate::s3) async fn collect(&mut self, limit: usize) -> Result<Bytes, Failure> {
        if self.response.content_length().is_some_and(|length| length > limit as u64) {
            return Err(Failure::bad_answer(format!("the answer is longer than {limit} bytes")));
        }
        let mut whole = BytesMut::new();
        while let Some(chunk) = self.chunk().await? {
            if whole.len() + chunk.len() > limit {
                return Err(Failure::bad_answer(format!("the answer is longer than {limit} bytes")));
            }
            whole.extend_from_slice(&chunk);
        }
        Ok(whole.freeze())
    }
}
