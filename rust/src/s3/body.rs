//! The body of a GET that goes on after a break, pinned to one version.
//!
//! An `ObjectBody` gives every byte of its range once, in order. When the connection ends early it asks again from
//! the first missing byte on, with If-Match (I9), as often as the rules of retry allow; every answer is checked
//! before a byte of it is used (I2–I8). An object without a strong ETag cannot be pinned: its body does not go on
//! once something was delivered (I4). Ends with an error or exactly at the range's end, never short.
//!
//! Reading may be given up at any await (a branch of a `select!` that lost) and taken up again: what is under way to get
//! the next byte, a wait or a request, is kept in the body and not begun anew.

use std::pin::Pin;
use std::sync::{Mutex, PoisonError};

use bytes::Bytes;
use tokio::time::{Instant, sleep_until};

use crate::config::AUTO_PART;
use crate::error::{Error, ErrorKind, Result};
use crate::s3::answer::{Accepted, Asked, Refused, check};
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
    /// What must end before more bytes can come; none while `answer` is read.
    pending: Option<Mutex<Pending>>,
    answer: Option<Answer>,
    /// The next byte to deliver.
    next: u64,
    /// `None`: only the end of a chunked body will tell.
    end: Option<u64>,
    start: u64,
    /// Bytes of this answer still to come.
    answer_left: Option<u64>,
    is_finished: bool,
    /// Our own limit lets no byte come before then.
    held: Option<Instant>,
    /// Answers in a row that held less than was asked for, and the position they began at.
    short_answers: u32,
    short_since: u64,
}

/// A wait, or a new answer. It has the count of attempts while it runs. In a mutex that nobody locks: it makes of what is
/// only `Send` something that a shared body may hold.
type Pending = Pin<Box<dyn Future<Output = (Attempts, Result<Option<Opened>>)> + Send>>;

/// An answer that was checked, and may be read.
struct Opened {
    answer: Answer,
    accepted: Accepted,
}

impl ObjectBody {
    pub(super) async fn open(client: S3Client, get: GetRequest) -> Result<Self> {
        let mut body = Self::new(client, get, ObjectIdentity::default());
        let mut asking = body.asking();
        let opened = asking.opened().await?;
        body.attempts = asking.attempts;
        body.discovered(opened);
        Ok(body)
    }

    /// The same range of the same version, for a later part of an object whose identity is fixed.
    pub async fn open_pinned(client: S3Client, get: GetRequest, identity: ObjectIdentity) -> Result<Self> {
        let range = get.range.clone().unwrap_or(0..identity.size);
        let mut body = Self::new(client, get, identity);
        (body.start, body.next, body.end) = (range.start, range.start, Some(range.end));
        body.ask_again();
        body.settle().await?;
        Ok(body)
    }

    fn new(client: S3Client, get: GetRequest, identity: ObjectIdentity) -> Self {
        Self {
            held: client.bandwidth().map(|limit| limit.paid()),
            client,
            identity,
            checksum: StoredChecksum::None,
            attempts: Attempts::on(get.fresh_connection),
            pending: None,
            answer: None,
            next: 0,
            end: None,
            start: 0,
            answer_left: None,
            is_finished: false,
            short_answers: 0,
            short_since: 0,
            get,
        }
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

    /// The next byte to be delivered.
    pub fn position(&self) -> u64 {
        self.next
    }

    pub fn attempts(&self) -> u32 {
        self.attempts.total()
    }

    /// The next bytes; `None` once all of the range was delivered. May be dropped and called again at any time.
    pub async fn chunk(&mut self) -> Result<Option<Bytes>> {
        loop {
            if self.end == Some(self.next) {
                self.finish();
                return Ok(None);
            }
            self.settle().await?;
            if self.answer.is_none() {
                self.ask_again();
                continue;
            }
            match self.next_chunk().await {
                Ok(Some(bytes)) => return Ok(Some(bytes)),
                Ok(None) if self.end.is_none() => self.end = Some(self.next),
                // The answer was shorter than the range: the rest is asked for (I8).
                Ok(None) => self.came_short()?,
                Err(failure) => self.recover(failure)?,
            }
        }
    }

    /// Gives up the answer being read because it is much slower than others are; the rest is asked for over a new
    /// connection by the next `chunk`. Counts as a transient failure. A body that could not go on after that (I4), or
    /// that is on its way to a new answer already, is left as it is.
    pub async fn reconnect(&mut self, why: &str) -> Result<()> {
        if self.answer.is_some() && self.end != Some(self.next) && self.can_go_on() {
            self.recover(Failure::too_slow(why))?;
        }
        self.settle().await
    }

    async fn next_chunk(&mut self) -> Result<Option<Bytes>, Failure> {
        let Some(answer) = self.answer.as_mut() else { return Ok(None) };
        if self.answer_left == Some(0) {
            return Ok(None);
        }
        if let Some(until) = self.held {
            // Not told to the answer's clock: this is no stall.
            sleep_until(until).await;
            self.held = None;
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
        self.held = self.client.bandwidth().map(|limit| limit.book(bytes.len()));
        if self.answer_left.is_some_and(|left| len > left) {
            return Err(Failure::bad_answer("more bytes came than the answer promised"));
        }
        self.answer_left = self.answer_left.map(|left| left - len);
        self.progress(len);
        Ok(Some(bytes))
    }

    /// A store may give less than was asked for, but not forever next to nothing (R2, S25).
    fn came_short(&mut self) -> Result<()> {
        self.answer = None;
        if !self.can_go_on() {
            // To ask again would be to begin again, behind what was delivered (I4).
            return self.recover(Failure::bad_answer("the answer was shorter than the object"));
        }
        let config = &self.client.config().retry;
        if self.next - self.short_since >= config.progress_bytes {
            (self.short_since, self.short_answers) = (self.next, 0);
        }
        self.short_answers += 1;
        if self.short_answers < config.hard_attempts {
            return Ok(());
        }
        let text = format!("the store gave {} short answers in a row", self.short_answers);
        let object = &self.get.object;
        let error = Error::new(ErrorKind::Service, text).with_object(&object.bucket, &object.key);
        Err(error.with_attempts(self.attempts.total()))
    }

    fn progress(&mut self, len: u64) {
        let config = self.client.config();
        self.attempts.progress(len, &config.retry);
        let part = config.transfer.part_size.unwrap_or(AUTO_PART);
        // One stream of everything may fail as often as all its parts might have (R2).
        if self.get.range.is_none() && self.next / part != (self.next + len) / part {
            self.attempts.next_part();
        }
        self.next += len;
        if self.end == Some(self.next) {
            self.finish();
        }
    }

    /// It succeeded: what the last retry cost is given back.
    fn finish(&mut self) {
        if !std::mem::replace(&mut self.is_finished, true) {
            self.client.succeeded(&mut self.attempts);
        }
    }

    /// Waits for what is under way, if anything is.
    async fn settle(&mut self) -> Result<()> {
        let Some(pending) = &mut self.pending else { return Ok(()) };
        let (attempts, outcome) = pending.get_mut().unwrap_or_else(PoisonError::into_inner).await;
        self.pending = None;
        self.attempts = attempts;
        let Some(opened) = outcome? else { return Ok(()) };
        if self.end.is_some() {
            self.answer_left = opened.accepted.range.map(|range| range.end - range.start);
            self.answer = Some(opened.answer);
            return Ok(());
        }
        // Where the length is not known, nothing was delivered yet (`recover` saw to that), and the whole was asked for
        // again; it must be the same object.
        let before = self.identity.etag.take();
        self.discovered(opened);
        let object = &self.get.object;
        if self.identity.etag == before { Ok(()) } else { Err(changed(&object.bucket, &object.key)) }
    }

    /// The first answer fixes the identity.
    fn discovered(&mut self, opened: Opened) {
        let Opened { answer, accepted } = opened;
        self.identity = accepted.identity;
        self.end = match (&accepted.range, &self.get.range) {
            // A 206 may be shorter than asked for; the object's size bounds what was.
            (Some(_), Some(asked)) if answer.status() == 206 => Some(asked.end.min(self.identity.size)),
            (Some(range), _) => Some(range.end),
            (None, _) => None,
        };
        self.start = accepted.range.as_ref().map_or(0, |range| range.start);
        self.next = self.start;
        self.answer_left = accepted.range.map(|range| range.end - range.start);
        if self.get.range.is_none() && self.get.tail.is_none() {
            let etag = self.identity.etag.as_deref();
            self.checksum = stored_checksum(answer.headers(), etag);
        }
        self.answer = Some(answer);
    }

    /// What a new answer is asked for by: of what is missing, and of the pinned version only.
    fn asking(&self) -> Asking {
        let mut get = self.get.clone();
        let pinned = self.end.is_some().then(|| self.identity.clone());
        // What cannot be pinned begins again; nothing of it was delivered yet (`recover` saw to that).
        if let (Some(end), Some(_)) = (self.end, self.identity.strong_etag()) {
            (get.range, get.tail) = (Some(self.next..end), None);
        }
        Asking { client: self.client.clone(), get, pinned, attempts: self.attempts.clone() }
    }

    fn ask_again(&mut self) {
        let mut asking = self.asking();
        self.pending = Some(Mutex::new(Box::pin(async move {
            let opened = asking.opened().await;
            (asking.attempts, opened.map(Some))
        })));
    }

    fn can_go_on(&self) -> bool {
        self.identity.strong_etag().is_some() && self.end.is_some()
    }

    /// Drops the answer that failed, and begins to wait until the rest may be asked for.
    fn recover(&mut self, failure: Failure) -> Result<()> {
        self.answer = None;
        let object = &self.get.object;
        if !self.can_go_on() && self.next > self.start {
            let error = failure.error.with_object(&object.bucket, &object.key);
            return Err(error.with_attempts(self.attempts.total()).needing_restart());
        }
        let request = Request::new(reqwest::Method::GET, &object.bucket, &object.key);
        let (client, mut attempts) = (self.client.clone(), self.attempts.clone());
        self.pending = Some(Mutex::new(Box::pin(async move {
            let recovered = client.recover(&request, &mut attempts, failure).await;
            (attempts, recovered.map(|()| None))
        })));
        Ok(())
    }
}

impl Drop for ObjectBody {
    /// Whoever needs no more of a body that went well had a success too.
    fn drop(&mut self) {
        if self.pending.is_none() && self.attempts.has_new_bytes() {
            self.finish();
        }
    }
}

/// Asks until an answer of the right version comes. Owns all it needs, so that it outlives a caller who stops waiting.
struct Asking {
    client: S3Client,
    get: GetRequest,
    /// `None` while the version is being discovered.
    pinned: Option<ObjectIdentity>,
    attempts: Attempts,
}

impl Asking {
    async fn opened(&mut self) -> Result<Opened> {
        let condition = match &self.pinned {
            Some(pinned) => pinned.strong_etag().map(str::to_owned),
            None => self.get.if_match.clone(),
        };
        loop {
            let (request, answer) = self.client.get_once(&self.get, condition.as_deref(), &mut self.attempts).await;
            let answer = match &self.pinned {
                Some(_) => answer.map_err(gone_as_changed)?,
                None => answer?,
            };
            let (range, tail) = (self.get.range.clone(), self.get.tail);
            let asked = Asked { range, tail, pinned: self.pinned.as_ref() };
            match check(answer.status(), answer.headers(), &asked) {
                // Some stores ignore If-Match (I3).
                Ok(accepted) if condition.is_some() && accepted.identity.etag != condition => {
                    return Err(changed(&request.bucket, &request.key));
                }
                Ok(accepted) => return Ok(Opened { answer, accepted }),
                Err(refused) => {
                    let failure = refusal(refused, &request, &answer)?;
                    self.client.recover(&request, &mut self.attempts, failure).await?;
                }
            }
        }
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
