//! The funnel: every request to a store is built, signed, sent, judged and, if that may help, sent again here.
//!
//! One attempt is: wait out a throttle, sign for now, send, wait for the answer's head. A status that is no success
//! becomes a class and a kind in `classify.rs`; `recover` decides with `attempts.rs` what that means and waits.
//! Invariants: what is sent is exactly what was signed (S12); no URL, header or raw body gets into an error (S7);
//! every wait has a limit (S25).

mod classify;

use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use bytes::{Bytes, BytesMut};
use http::header::{HeaderMap, HeaderName, HeaderValue};
use hyper_util::client::legacy::connect::HttpInfo;
use reqwest::{Method, Url};

use crate::credentials::Credentials;
use crate::error::{Error, ErrorKind, Result};
use crate::progress::Progress;
use crate::s3::attempts::{Attempts, Verdict, affordable, random_unit};
use crate::s3::client::S3Client;
use crate::s3::payload::{Payload, Sent};
use crate::s3::retry::Class;
use crate::s3::sign::{self, SignRequest};
use crate::s3::xml;

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

    fn has_header(&self, name: &str) -> bool {
        self.headers.iter().any(|(have, _)| have == name)
    }
}

/// The head of a successful answer, and its body still to be read.
pub(super) struct Answer {
    response: reqwest::Response,
    read_timeout: Duration,
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

impl Answer {
    pub(super) fn status(&self) -> u16 {
        self.response.status().as_u16()
    }

    pub(super) fn headers(&self) -> &HeaderMap {
        self.response.headers()
    }

    pub(super) fn header(&self, name: &str) -> Option<&str> {
        self.headers().get(name).and_then(|value| value.to_str().ok()).filter(|value| value.len() <= 8192)
    }

    pub(super) fn request_ids(&self) -> (Option<String>, Option<String>) {
        let id = |name| self.header(name).map(|id| crate::error::escape(id, 200));
        (id("x-amz-request-id"), id("x-amz-id-2"))
    }

    /// The next bytes of the body; `None` at its proper end.
    pub(super) async fn chunk(&mut self) -> Result<Option<Bytes>, Failure> {
        match tokio::time::timeout(self.read_timeout, self.response.chunk()).await {
            Ok(Ok(chunk)) => Ok(chunk),
            Ok(Err(cause)) => Err(classify::broken_body(&cause)),
            Err(_) => Err(classify::timed_out(format!("no byte came for {:?}", self.read_timeout))),
        }
    }

    /// All of a short body; more than `limit` bytes are a bad answer.
    pub(super) async fn collect(&mut self, limit: usize) -> Result<Bytes, Failure> {
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

/// What one attempt is sent as.
struct Prepared {
    url: Url,
    headers: HeaderMap,
    keys: Option<Arc<Credentials>>,
}

impl S3Client {
    /// Sends until an answer of success comes, retries are spent, or trying again cannot help.
    pub(super) async fn send(&self, request: &Request, attempts: &mut Attempts) -> Result<Answer> {
        loop {
            match self.attempt(request, attempts).await {
                Ok(answer) => {
                    self.succeeded(attempts);
                    return Ok(answer);
                }
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
        let mut attempts = Attempts::default();
        loop {
            let mut answer = self.send(request, &mut attempts).await?;
            let parsed = match answer.collect(limit).await {
                Ok(body) => parse(&answer, &body),
                Err(failure) => Err(failure),
            };
            match parsed {
                Ok(value) => return Ok(value),
                Err(mut failure) => {
                    let (request_id, host_id) = answer.request_ids();
                    failure.error = failure.error.with_request_id(request_id, host_id);
                    self.recover(request, &mut attempts, failure).await?;
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
        let client = self.http().client(std::mem::take(&mut attempts.fresh_connection))?;
        let sent = Sent::new(request.progress.clone());
        let mut message = reqwest::Request::new(request.method.clone(), prepared.url);
        *message.headers_mut() = prepared.headers;
        if !request.payload.is_empty() {
            *message.body_mut() = Some(reqwest::Body::wrap(request.payload.open(sent.clone())));
        }
        let outcome = self.wait_for_head(client.execute(message), &sent, request.slow_answer).await;
        let judged = match outcome {
            Ok(answer) => self.judge(answer, request, &prepared.keys).await,
            Err(failure) => Err(failure),
        };
        judged.inspect_err(|_| sent.take_back())
    }

    /// The clock runs while nothing of the body is taken and no answer comes.
    async fn wait_for_head(
        &self,
        sending: impl Future<Output = reqwest::Result<reqwest::Response>>,
        sent: &Sent,
        slow_answer: bool,
    ) -> Result<Answer, Failure> {
        let config = &self.config().retry;
        let limit = if slow_answer { config.slow_answer_timeout } else { config.read_timeout };
        tokio::pin!(sending);
        let (mut taken, mut since) = (sent.bytes(), Instant::now());
        loop {
            match tokio::time::timeout(limit / 4, &mut sending).await {
                Ok(Ok(response)) => {
                    let local = response.extensions().get::<HttpInfo>().map(HttpInfo::local_addr);
                    self.http().answered(local);
                    return Ok(Answer { response, read_timeout: limit });
                }
                Ok(Err(cause)) => {
                    return Err(match sent.take_failure() {
                        Some(error) => error.into(),
                        None => classify::transport(&cause, self.http()),
                    });
                }
                Err(_) if sent.bytes() > taken => (taken, since) = (sent.bytes(), Instant::now()),
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
        if (200..300).contains(&answer.status()) {
            return Ok(answer);
        }
        // An error body that breaks off still had a status.
        let body = answer.collect(MAX_ERROR_BODY).await.unwrap_or_default();
        let mut failure = classify::status(&answer, &body, request);
        failure.rejected = keys.clone();
        Err(failure)
    }

    async fn prepare(&self, request: &Request, attempts: &Attempts) -> Result<Prepared> {
        let endpoint = self.endpoint_for(&request.bucket, attempts)?;
        let path = crate::s3::encode::encode_path(&request.key);
        let address = endpoint.address(self.config().addressing_style, &request.bucket, &path);
        let query = sign::canonical_query(&request.query);
        let mark = if query.is_empty() { "" } else { "?" };
        let text = format!("{}://{}{}{mark}{query}", endpoint.scheme.as_str(), address.authority, address.path);
        let url = Url::parse(&text).map_err(|_| Error::config("the endpoint and bucket make no valid URL"))?;
        if url.path() != address.path || url.query().unwrap_or_default() != query {
            let text = format!("the key \"{}\" cannot be sent byte for byte", crate::error::escape(&request.key, 200));
            return Err(Error::new(ErrorKind::UnsafeKey, text).with_object(&request.bucket, &request.key));
        }
        let keys = self.credentials().get().await?;
        let mut headers = request.headers.clone();
        headers.push(("host".into(), address.host_header.clone()));
        headers.push(("accept-encoding".into(), "identity".into()));
        if let Some(keys) = &keys {
            let signed = Signed { request, path: &address.path, keys, unsigned_body: self.protects_bodies() };
            self.add_signature(&mut headers, &signed)?;
        }
        if !request.payload.is_empty() || request.method == Method::PUT || request.method == Method::POST {
            headers.push(("content-length".into(), request.payload.len().to_string()));
        }
        Ok(Prepared { url, headers: header_map(headers)?, keys })
    }

    fn add_signature(&self, headers: &mut Vec<(String, String)>, signed: &Signed<'_>) -> Result<()> {
        let Signed { request, path, keys, unsigned_body } = signed;
        let payload = match &request.payload {
            Payload::Empty => sign::Payload::Empty,
            _ if *unsigned_body => sign::Payload::Unsigned,
            payload => sign::Payload::Sha256(payload.sha256()?),
        };
        let date = sign::amz_date(self.now());
        headers.push(("x-amz-date".into(), date.clone()));
        headers.push(("x-amz-content-sha256".into(), payload.header_value().into_owned()));
        if let Some(token) = &keys.session_token {
            headers.push(("x-amz-security-token".into(), token.expose().to_owned()));
        }
        // Intermediaries may change this one, so it stays outside the signature.
        let named: Vec<(&str, &str)> = headers
            .iter()
            .filter(|(name, _)| name != "accept-encoding")
            .map(|(name, value)| (name.as_str(), value.as_str()))
            .collect();
        let region = self.region_of(&request.bucket);
        let signature = sign::sign(
            self.keys(),
            &SignRequest {
                method: request.method.as_str(),
                path,
                query: &request.query,
                headers: &named,
                payload,
                credentials: keys,
                region: &region,
                amz_date: &date,
            },
        );
        headers.push(("authorization".into(), signature.authorization));
        Ok(())
    }

    /// Returns when the next attempt may be made, or with the error that ends the request.
    pub(super) async fn recover(&self, request: &Request, attempts: &mut Attempts, failure: Failure) -> Result<()> {
        let Failure { class, error, retry_after, rejected, clock_ahead } = failure;
        let config = &self.config().retry;
        let error = error.with_object(&request.bucket, &request.key).with_attempts(attempts.total());
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
            Class::Region(region) => self.set_region(&request.bucket, region),
            Class::Redirect(target) => attempts.redirected_to = Some(target.clone()),
            _ => {}
        }
        let delay = self.backoff().delay(&class, attempts.in_row(), retry_after, random_unit());
        if class == Class::Throttle {
            // The gate at the next attempt waits this out, and everyone else's with it (R4).
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

    fn now(&self) -> SystemTime {
        let ahead = self.clock_ahead();
        let by = Duration::from_secs(ahead.unsigned_abs());
        if ahead < 0 { SystemTime::now() - by } else { SystemTime::now() + by }
    }
}

struct Signed<'a> {
    request: &'a Request,
    path: &'a str,
    keys: &'a Credentials,
    unsigned_body: bool,
}

fn header_map(headers: Vec<(String, String)>) -> Result<HeaderMap> {
    let mut map = HeaderMap::with_capacity(headers.len());
    for (name, value) in headers {
        let refuse = |_| Error::config(format!("the value of header \"{name}\" cannot be sent"));
        let mut value = HeaderValue::from_str(&value).map_err(refuse)?;
        value.set_sensitive(matches!(name.as_str(), "authorization" | "x-amz-security-token"));
        let name = HeaderName::from_bytes(name.as_bytes()).map_err(|_| Error::config("a header has no valid name"))?;
        map.append(name, value);
    }
    Ok(map)
}
