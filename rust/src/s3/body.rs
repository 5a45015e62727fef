//! The body of a GET that goes on after a break, pinned to one version.
//!
//! An `ObjectBody` gives every byte of its range once, in order. When the connection ends early it asks again from
//! the first missing byte on, with If-Match (I9), as often as the rules of retry allow; every answer is checked
//! before a byte of it is used (I2–I8). An object without a strong ETag cannot be pinned: its body does not go on
//! once something was delivered (I4). Ends with an error or exactly at the range's end, never short.

use bytes::Bytes;

use crate::error::{Error, ErrorKind, Result};
use crate::s3::answer::{Asked, Refused, check};
use crate::s3::attempts::Attempts;
use crate::s3::client::{GetRequest, S3Client};
use crate::s3::object::{ObjectIdentity, StoredChecksum};
use crate::s3::request::{Answer, Failure, Request};
use crate::s3::retry::Class;
use crate::s3::stored_checksum::stored_checksum;

pub struct ObjectBody {
    client: S3Client,
    get: GetRequest,
    identity: ObjectIdentity,
    /// Of the checksum headers, where they may be believed (C3): a 200 to a plain GET.
    checksum: StoredChecksum,
    attempts: Attempts,
    answer: Option<Answer>,
    /// The next byte to deliver.
    next: u64,
    /// `None`: only the end of a chunked body will tell.
    end: Option<u64>,
    start: u64,
    /// Bytes of this answer still to come.
    answer_left: Option<u64>,
}

impl ObjectBody {
    pub(super) async fn open(client: S3Client, get: GetRequest) -> Result<Self> {
        let mut body = Self {
            client,
            identity: ObjectIdentity::default(),
            checksum: StoredChecksum::None,
            attempts: Attempts::on(get.fresh_connection),
            answer: None,
            next: get.range.as_ref().map_or(0, |range| range.start),
            end: None,
            start: get.range.as_ref().map_or(0, |range| range.start),
            answer_left: None,
            get,
        };
        body.discover().await?;
        Ok(body)
    }

    /// The same range of the same version, for a later part of an object whose identity is fixed.
    pub async fn open_pinned(client: S3Client, get: GetRequest, identity: ObjectIdentity) -> Result<Self> {
        let range = get.range.clone().unwrap_or(0..identity.size);
        let mut body = Self {
            client,
            identity,
            checksum: StoredChecksum::None,
            attempts: Attempts::on(get.fresh_connection),
            answer: None,
            next: range.start,
            end: Some(range.end),
            start: range.start,
            answer_left: None,
            get,
        };
        body.request_rest().await?;
        Ok(body)
    }

    pub fn identity(&self) -> &ObjectIdentity {
        &self.identity
    }

    /// What a 200 to a plain GET said of its checksum; `None` for ranges.
    pub fn checksum(&self) -> &StoredChecksum {
        &self.checksum
    }

    /// The bytes this body will have delivered at its end; open where only the end will tell.
    pub fn range(&self) -> (u64, Option<u64>) {
        (self.start, self.end)
    }

    pub fn attempts(&self) -> u32 {
        self.attempts.total()
    }

    /// The next bytes; `None` once all of the range was delivered.
    pub async fn chunk(&mut self) -> Result<Option<Bytes>> {
        loop {
            if self.end == Some(self.next) {
                return Ok(None);
            }
            if self.answer.is_none() {
                self.ask_again().await?;
            }
            match self.next_chunk().await {
                Ok(Some(bytes)) => return Ok(Some(bytes)),
                Ok(None) if self.end.is_none() => {
                    self.end = Some(self.next);
                    return Ok(None);
                }
                // The answer was shorter than the range: the rest is asked for (I8).
                Ok(None) => self.answer = None,
                Err(failure) => {
                    self.answer = None;
                    self.recover(failure).await?;
                }
            }
        }
    }

    async fn next_chunk(&mut self) -> Result<Option<Bytes>, Failure> {
        let Some(answer) = self.answer.as_mut() else { return Ok(None) };
        if self.answer_left == Some(0) {
            return Ok(None);
        }
        let Some(bytes) = answer.chunk().await? else {
            return match self.answer_left {
                Some(left) => Err(Failure::new(
                    Class::Transient,
                    Error::new(ErrorKind::Connection, format!("the body ended {left} bytes early")),
                )),
                None => Ok(None),
            };
        };
        let len = bytes.len() as u64;
        if self.answer_left.is_some_and(|left| len > left) {
            return Err(Failure::bad_answer("more bytes came than the answer promised"));
        }
        self.answer_left = self.answer_left.map(|left| left - len);
        self.next += len;
        self.attempts.progress(len, &self.client.config().retry);
        Ok(Some(bytes))
    }

    /// The first answer: fixes the identity.
    async fn discover(&mut self) -> Result<()> {
        loop {
            let condition = self.get.if_match.clone();
            let (request, answer) = self.client.get_once(&self.get, condition.as_deref(), &mut self.attempts).await;
            let answer = answer?;
            let asked = Asked { range: self.get.range.clone(), pinned: None };
            match check(answer.status(), answer.headers(), &asked) {
                Ok(accepted) => {
                    if let Some(wanted) = &condition
                        && accepted.identity.etag.as_ref() != Some(wanted)
                    {
                        return Err(changed(&request.bucket, &request.key));
                    }
                    let range = accepted.range;
                    self.identity = accepted.identity;
                    self.end = match (&range, &self.get.range) {
                        // A 206 may be shorter than asked for; the object's size bounds what was.
                        (Some(_), Some(asked)) if answer.status() == 206 => Some(asked.end.min(self.identity.size)),
                        (Some(range), _) => Some(range.end),
                        (None, _) => None,
                    };
                    self.start = range.as_ref().map_or(0, |range| range.start);
                    self.next = self.start;
                    self.answer_left = range.map(|range| range.end - range.start);
                    if self.get.range.is_none() {
                        let etag = self.identity.etag.as_deref();
                        self.checksum = stored_checksum(answer.headers(), etag);
                    }
                    self.answer = Some(answer);
                    return Ok(());
                }
                Err(refused) => {
                    let failure = refusal(refused, &request, &answer)?;
                    self.client.recover(&request, &mut self.attempts, failure).await?;
                }
            }
        }
    }

    /// After a break. Where the length is not known, nothing was delivered yet (`recover` saw to that), and the whole
    /// is asked for again; it must be the same object.
    async fn ask_again(&mut self) -> Result<()> {
        if self.end.is_some() {
            return self.request_rest().await;
        }
        let before = self.identity.etag.take();
        self.discover().await?;
        let object = &self.get.object;
        if self.identity.etag == before { Ok(()) } else { Err(changed(&object.bucket, &object.key)) }
    }

    /// Asks for what is missing, of the pinned version only.
    async fn request_rest(&mut self) -> Result<()> {
        loop {
            let pinned = self.identity.clone();
            let end = self.end.unwrap_or(pinned.size);
            let mut get = GetRequest { range: Some(self.next..end), ..self.get.clone() };
            if pinned.strong_etag().is_none() {
                // Nothing was delivered yet, so it can begin again; `recover` refuses the rest.
                get.range = self.get.range.clone();
            }
            let etag = pinned.strong_etag();
            let (request, answer) = self.client.get_once(&get, etag, &mut self.attempts).await;
            let answer = answer.map_err(gone_as_changed)?;
            let asked = Asked { range: get.range.clone(), pinned: Some(&pinned) };
            match check(answer.status(), answer.headers(), &asked) {
                Ok(accepted) => {
                    self.answer_left = accepted.range.map(|range| range.end - range.start);
                    self.answer = Some(answer);
                    return Ok(());
                }
                Err(refused) => {
                    let failure = refusal(refused, &request, &answer)?;
                    self.client.recover(&request, &mut self.attempts, failure).await?;
                }
            }
        }
    }

    async fn recover(&mut self, failure: Failure) -> Result<()> {
        let object = &self.get.object;
        let can_go_on = self.identity.strong_etag().is_some() && self.end.is_some();
        if !can_go_on && self.next > self.start {
            let error = failure.error.with_object(&object.bucket, &object.key);
            return Err(error.with_attempts(self.attempts.total()).needing_restart());
        }
        let request = Request::new(reqwest::Method::GET, &object.bucket, &object.key);
        self.client.recover(&request, &mut self.attempts, failure).await
    }
}

/// A later range that is gone or unsatisfiable means that the object is no longer what it was (I10).
fn gone_as_changed(error: Error) -> Error {
    if !matches!(error.status(), Some(412 | 416)) {
        return error;
    }
    changed(error.bucket().unwrap_or_default(), error.key().unwrap_or_default()).with_source(error)
}

fn refusal(refused: Refused, request: &Request, answer: &Answer) -> Result<Failure> {
    match refused {
        Refused::Changed => Err(changed(&request.bucket, &request.key)),
        Refused::RangeIgnored => {
            let text = "the store answers ranges with the whole object";
            Err(Error::new(ErrorKind::RangesIgnored, text).with_object(&request.bucket, &request.key))
        }
        Refused::BadAnswer(text) => {
            let (request_id, host_id) = answer.request_ids();
            let mut failure = Failure::bad_answer(format!("bad answer to a range: {text}"));
            failure.error = failure.error.with_status(answer.status(), None).with_request_id(request_id, host_id);
            Ok(failure)
        }
    }
}

fn changed(bucket: &str, key: &str) -> Error {
    Error::new(ErrorKind::ObjectChanged, format!("\"s3://{bucket}/{key}\" changed while it was read"))
        .with_object(bucket, key)
}
