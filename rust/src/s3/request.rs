//! The funnel: every request to a store is built, signed, sent, judged and, if that may help, sent again here.
//!
//! One attempt is: wait out a throttle, sign for now, send, wait for the answer's head. A status that is no success
//! becomes a class and a kind in `classify.rs`; `recover` decides with `attempts.rs` what that means and waits.
//! Invariants: what is sent is exactly what was signed (S12); no URL, header or raw body gets into an error (S7);
//! every wait has a limit (S25).

mod classify;
mod clock;
mod prepare;
mod received;

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use http::header::HeaderMap;
use reqwest::Method;

use crate::credentials::Credentials;
use crate::error::{Error, ErrorKind, Result};
use crate::progress::Progress;
use crate::s3::attempts::{Attempts, Verdict, affordable, random_unit};
use crate::s3::client::S3Client;
use crate::s3::http::watched;
use crate::s3::payload::{Counted, Payload, Sent};
use crate::s3::retry::Class;
use crate::s3::xml;

pub(super) use received::Answer;

/// Error bodies are read up to here, the rest is not looked at (S14).
const MAX_ERROR_BODY: usize = 64 << 10;

/// One S3 action, before it is signed.
pub(super) struct Request {
    pub method: Method,
    pub bucket: String,
    pub key: String,
    /// Not encoded.
    pub query: Vec<(String, String)>,
    /// Lower-case names; `host`, date, digest and token are added when it is signed.
    pub headers: Vec<(String, String)>,
    pub payload: Payload,
    pub progress: Option<Arc<Progress>>,
    /// Whether the store may take minutes to work out the answer.
    pub slow_answer: bool,
}

impl Request {
    pub(super) fn new(method: Method, bucket: &str, key: &str) -> Self {
        Self {
            method,
            bucket: bucket.to_owned(),
            key: key.to_owned(),
            query: Vec::new(),
            headers: Vec::new(),
            payload: Payload::Empty,
            progress: None,
            slow_answer: false,
        }
    }

    #[must_use]
    pub(super) fn query(mut self, name: &str, value: impl Into<String>) -> Self {
        self.query.push((name.to_owned(), value.into()));
        self
    }

    #[must_use]
    pub(super) fn header(mut self, name: &str, value: impl Into<String>) -> Self {
        self.headers.push((name.to_owned(), value.into()));
        self
    }

    #[must_use]
    pub(super) fn payload(mut self, payload: Payload) -> Self {
        self.payload = payload;
        self
    }

    fn header_value(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(have, _)| have == name).map(|(_, value)| value.as_str())
    }

    fn has_header(&self, name: &str) -> bool {
        self.header_value(name).is_some()
    }
}

/// Why an attempt brought nothing.
pub(super) struct Failure {
    pub class: Class,
    pub error: Error,
    pub retry_after: Option<Duration>,
    /// The keys the store refused.
    pub rejected: Option<Arc<Credentials>>,
    /// Seconds by which the store's clock is ahead of ours.
    pub clock_ahead: Option<i64>,
}

impl Failure {
    pub(super) fn new(class: Class, error: Error) -> Self {
        Self { class, error, retry_after: None, rejected: None, clock_ahead: None }
    }

    /// An error the store put into the body of an answer of status 200 (C11).
    pub(super) fn in_success(error: &xml::ErrorBody, request: &Request) -> Self {
        classify::code_in_success(error, request)
    }

    /// The body comes much more slowly than others do; `why` says how that was found.
    pub(super) fn too_slow(why: &str) -> Self {
        classify::timed_out(format!("too slow: {why}"))
    }

    pub(super) fn bad_answer(text: impl Into<String>) -> Self {
        Self::new(Class::BadAnswer, Error::new(ErrorKind::Service, text))
    }
}

impl From<Error> for Failure {
    /// An error of our own making, or of a local file: trying again cannot help.
    fn from(error: Error) -> Self {
        Self::new(Class::Terminal, error)
    }
}

impl S3Client {
    /// The answer to a request that is done when its head is there.
    pub(super) async fn send(&self, request: &Request, attempts: &mut Attempts) -> Result<Answer> {
        let answer = self.answer(request, attempts).await?;
        self.succeeded(attempts);
        Ok(answer)
    }

    /// Sends until an answer of success comes, retries are spent, or trying again cannot help. Whether the request
    /// succeeded its body will tell: who reads it reports that to the quota.
    pub(super) async fn answer(&self, request: &Request, attempts: &mut Attempts) -> Result<Answer> {
        loop {
            match self.attempt(request, attempts).await {
                Ok(answer) => return Ok(answer),
                Err(failure) => self.recover(request, attempts, failure).await?,
            }
        }
    }

    /// `send`, and the whole body through `parse`: what is wrong with the body counts like a failed attempt.
    pub(super) async fn exchange<T>(
        &self,
        request: &Request,
        limit: usize,
        parse: impl Fn(&Answer, &[u8]) -> Result<T, Failure>,
    ) -> Result<T> {
        self.exchange_counted(request, limit, &mut Attempts::default(), parse).await
    }

    /// The same, for who wants to know how many attempts it took.
    pub(super) async fn exchange_counted<T>(
        &self,
        request: &Request,
        limit: usize,
        attempts: &mut Attempts,
        parse: impl Fn(&Answer, &[u8]) -> Result<T, Failure>,
    ) -> Result<T> {
        loop {
            let mut answer = self.answer(request, attempts).await?;
            let parsed = match answer.collect(limit).await {
                Ok(body) => parse(&answer, &body),
                Err(failure) => Err(failure),
            };
            match parsed {
                Ok(value) => {
                    self.succeeded(attempts);
                    return Ok(value);
                }
                Err(mut failure) => {
                    let (request_id, host_id) = answer.request_ids();
                    failure.error = failure.error.with_request_id(request_id, host_id);
                    self.recover(request, attempts, failure).await?;
                }
            }
        }
    }

    async fn attempt(&self, request: &Request, attempts: &mut Attempts) -> Result<Answer, Failure> {
        while let Some(pause) = self.pressure().pause() {
            tokio::time::sleep(pause).await;
        }
        let prepared = self.prepare(request, attempts).await?;
        attempts.begin();
        attempts.keys.clone_from(&prepared.keys);
        let client = self.http().client(std::mem::take(&mut attempts.fresh_connection))?;
        let sent = Sent::new(request.progress.clone());
        let mut message = reqwest::Request::new(request.method.clone(), prepared.url);
        *message.headers_mut() = prepared.headers;
        if !request.payload.is_empty() {
            *message.body_mut() = Some(reqwest::Body::wrap(request.payload.open(sent.clone(), self.bandwidth())));
        }
        let counted = Counted::new(&sent);
        let outcome = self.wait_for_head(watched(client.execute(message)), &sent, request.slow_answer).await;
        let judged = match outcome {
            Ok(answer) => self.judge(answer, request, &prepared.keys).await,
            Err(failure) => Err(failure),
        };
        if judged.is_ok() {
            counted.keep();
        }
        judged
    }

    /// The clock runs while nothing of the body is taken and no answer comes.
    async fn wait_for_head(
        &self,
        sending: impl Future<Output = (reqwest::Result<reqwest::Response>, Option<SocketAddr>)>,
        sent: &Sent,
        slow_answer: bool,
    ) -> Result<Answer, Failure> {
        let config = &self.config().retry;
        let limit = if slow_answer { config.slow_answer_timeout } else { config.read_timeout };
        tokio::pin!(sending);
        let (mut taken, mut since) = (sent.bytes(), Instant::now());
        loop {
            match tokio::time::timeout(limit / 4, &mut sending).await {
                Ok((Ok(response), _)) => return Ok(Answer::new(response, config, slow_answer)),
                Ok((Err(cause), made)) => {
                    return Err(match sent.take_failure() {
                        Some(error) => error.into(),
                        None => classify::transport(&cause, made),
                    });
                }
                Err(_) if sent.bytes() > taken => (taken, since) = (sent.bytes(), Instant::now()),
                // What our own limit holds back the store cannot answer yet.
                Err(_) if sent.held_until().is_some_and(|until| until.into_std() + limit > Instant::now()) => {}
                Err(_) if since.elapsed() < limit => {}
                Err(_) => return Err(classify::timed_out(format!("no answer came for {limit:?}"))),
            }
        }
    }

    /// Success passes; everything else is read, understood and turned into a failure.
    async fn judge(
        &self,
        mut answer: Answer,
        request: &Request,
        keys: &Option<Arc<Credentials>>,
    ) -> Result<Answer, Failure> {
        if is_success(request, answer.status()) {
            let proved = if is_about_bytes(request) {
                speaks_s3(answer.headers())
            } else {
                answer.status() != 200 || !is_bodiless(request) || !is_web_page(answer.headers())
            };
            return if proved { Ok(answer) } else { Err(classify::not_s3(request)) };
        }
        // An error body that breaks off still had a status.
        let body = answer.collect(MAX_ERROR_BODY).await.unwrap_or_default();
        let mut failure = classify::status(&answer, &body, request, self.local_time());
        failure.rejected = keys.clone();
        Err(failure)
    }

    /// Returns when the next attempt may be made, or with the error that ends the request.
    pub(super) async fn recover(&self, request: &Request, attempts: &mut Attempts, failure: Failure) -> Result<()> {
        let Failure { class, error, retry_after, rejected, clock_ahead } = failure;
        let config = &self.config().retry;
        let error = error.with_object(&request.bucket, &request.key).with_attempts(attempts.total());
        let error = match &attempts.keys {
            Some(keys) => error.with_texts(|text| keys.hide_in(text)),
            None => error,
        };
        let error = if attempts.was_resent() { error.after_resending() } else { error };
        let Verdict::Retry { backoff, costs } = attempts.failed(&class, config) else { return Err(error) };
        if costs {
            if !self.afford(&class).await {
                return Err(error);
            }
            attempts.pay(class.clone());
        }
        match &class {
            Class::Credentials => match rejected {
                Some(keys) => self.credentials().refresh(&keys).await.map_err(|refused| refused.with_source(error))?,
                None => return Err(error),
            },
            Class::Clock => self.set_clock_ahead(clock_ahead.unwrap_or_default()),
            Class::Checksums if self.config().transfer.strict_checksums => return Err(error),
            Class::Checksums => self.send_no_checksums(),
            Class::Region(region) => self.set_region(&request.bucket, region),
            Class::Redirect(target) => attempts.redirected_to = Some(target.clone()),
            _ => {}
        }
        let delay = self.backoff().delay(&class, attempts.in_row(), retry_after, random_unit());
        if matches!(class, Class::Throttle | Class::NoDescriptors) {
            // The gate at the next attempt waits this out, and everyone else's with it (R4); the pool shrinks (F15).
            self.pressure().throttled(delay);
        } else if backoff {
            tokio::time::sleep(delay).await;
        }
        Ok(())
    }

    /// Pays for a retry, waiting for the quota if need be (R5).
    async fn afford(&self, class: &Class) -> bool {
        let mut waited = Duration::ZERO;
        loop {
            let Err(wait) = self.take_quota(class) else { return true };
            if !affordable(wait, waited, &self.config().retry) {
                return false;
            }
            tokio::time::sleep(wait).await;
            waited += wait;
        }
    }
}

/// Whether nothing but the head can tell that a store answered: other answers are XML, or empty.
fn is_about_bytes(request: &Request) -> bool {
    let plain = request.query.iter().all(|(name, _)| name == "versionId");
    plain && !request.key.is_empty() && request.method != Method::DELETE
}

/// Whether an answer has nothing that could be read: any server's 200 would do.
fn is_bodiless(request: &Request) -> bool {
    request.method == Method::DELETE || request.method == Method::HEAD
}

fn is_web_page(headers: &HeaderMap) -> bool {
    let kind = headers.get(http::header::CONTENT_TYPE).map_or(&b""[..], http::HeaderValue::as_bytes);
    kind.to_ascii_lowercase().starts_with(b"text/html")
}

/// Whether a success may come from a store at all: a web page has neither an ETag (most often) nor S3's headers.
fn speaks_s3(headers: &HeaderMap) -> bool {
    headers.keys().any(|name| name == http::header::ETAG || name.as_str().starts_with("x-amz-"))
}

/// No other 2xx is one (I7): a cache's 203 has shown nothing of the object. What a PUT must answer its actions check.
fn is_success(request: &Request, status: u16) -> bool {
    match request.method {
        Method::GET => matches!(status, 200 | 206),
        // Of a part.
        Method::HEAD if request.query.iter().any(|(name, _)| name == "partNumber") => matches!(status, 200 | 206),
        Method::DELETE => matches!(status, 200 | 204),
        Method::PUT => (200..300).contains(&status),
        _ => status == 200,
    }
}
