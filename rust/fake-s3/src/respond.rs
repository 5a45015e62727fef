//! From an answer to bytes: common headers, the changes rules make, framing, and writing it out.

use std::collections::BTreeMap;
use std::io::Write;
use std::thread;

use crate::date;
use crate::error::S3Error;
use crate::http::answer::{Answer, Payload, reason};
use crate::http::output::{Broken, Output, WriteFault, WriteFaultKind};
use crate::http::wire::Wire;
use crate::plan::Plan;
use crate::request::Request;
use crate::rule::Action;
use crate::session::error_answer;
use crate::shared::Shared;
use crate::sync::lock;

/// What was written of an answer.
#[derive(Default)]
pub(crate) struct Finished {
    pub bytes_out: u64,
    pub head_out: u64,
    pub status: u16,
}

impl Finished {
    pub fn of_status(status: u16) -> Self {
        Self { status, ..Self::default() }
    }
}

/// An answer and all that shapes it.
pub(crate) struct Reply<'a> {
    pub shared: &'a Shared,
    pub request: &'a Request,
    pub plan: &'a Plan,
    pub answer: Answer,
    pub closes: bool,
}

/// Writes the reply; `finished` is right also when it breaks.
pub(crate) fn write_reply(wire: &mut Wire, mut reply: Reply, finished: &mut Finished, seq: u64) -> Result<(), Broken> {
    reply.complete();
    let (status, error) = (reply.answer.status, reply.answer.get("x-fake-error").map(str::to_owned));
    reply.answer.remove("x-fake-error");
    finished.status = status;
    let body_start = match &reply.answer.payload {
        Payload::Content { start, .. } => Some(*start),
        _ => None,
    };
    lock(&reply.shared.log).update(seq, |record| {
        (record.status, record.error, record.body_start) = (status, error, body_start);
    });
    if let Some((count, status)) = reply.plan.interim {
        let interim = format!("HTTP/1.1 {status} {}\r\n\r\n", reason(status));
        for _ in 0..count {
            wire.stream.write_all(interim.as_bytes())?;
        }
    }
    let head = reply.head();
    let faults = reply.faults(head.len() as u64);
    let limits = std::sync::Arc::clone(&wire.limits);
    let mut output = Output::new(&mut wire.stream, &limits, faults);
    let result = write_parts(&mut output, &reply, head);
    finished.bytes_out = output.position;
    finished.head_out = finished.bytes_out.min(reply.head().len() as u64);
    result
}

fn write_parts(output: &mut Output, reply: &Reply, mut head: Vec<u8>) -> Result<(), Broken> {
    let has_body = reply.has_body();
    if let (Payload::Bytes(bytes), true, None, None) =
        (&reply.answer.payload, has_body, &reply.plan.late_error, &reply.plan.chunked)
    {
        // Small answers leave in one write, so that they take one packet.
        head.extend_from_slice(bytes);
        output.write(&head)?;
        output.write(&reply.plan.trailing)?;
        return output.finish();
    }
    output.write(&head)?;
    if has_body {
        match (&reply.plan.late_error, &reply.plan.chunked) {
            (Some(late), _) => {
                for _ in 0..late.spaces {
                    output.write(b" ")?;
                    thread::sleep(late.interval);
                }
                write_payload(output, &reply.answer.payload)?;
            }
            (None, Some((chunk, trailers))) => write_chunked(output, &reply.answer.payload, *chunk, trailers)?,
            (None, None) => write_payload(output, &reply.answer.payload)?,
        }
    }
    output.write(&reply.plan.trailing)?;
    output.finish()
}

fn write_payload(output: &mut Output, payload: &Payload) -> Result<(), Broken> {
    match payload {
        Payload::None => Ok(()),
        Payload::Bytes(bytes) => output.write(bytes),
        Payload::Content { content, start, len } => output.write_content(content, *start, *len),
    }
}

fn write_chunked(
    output: &mut Output,
    payload: &Payload,
    chunk: u64,
    trailers: &[(String, String)],
) -> Result<(), Broken> {
    let (mut at, total) = (0, payload_len(payload));
    while at < total {
        let count = chunk.min(total - at);
        output.write(format!("{count:x}\r\n").as_bytes())?;
        match payload {
            Payload::None => {}
            Payload::Bytes(bytes) => output.write(&bytes[at as usize..(at + count) as usize])?,
            Payload::Content { content, start, .. } => output.write_content(content, start + at, count)?,
        }
        output.write(b"\r\n")?;
        at += count;
    }
    let mut end = "0\r\n".to_owned();
    for (name, value) in trailers {
        end.push_str(&format!("{name}: {value}\r\n"));
    }
    end.push_str("\r\n");
    output.write(end.as_bytes())
}

fn payload_len(payload: &Payload) -> u64 {
    match payload {
        Payload::None => 0,
        Payload::Bytes(bytes) => bytes.len() as u64,
        Payload::Content { len, .. } => *len,
    }
}

impl Reply<'_> {
    fn has_body(&self) -> bool {
        self.request.head.method != "HEAD" && !matches!(self.answer.status, 204 | 304)
    }

    /// The headers every answer has, then what the rules change.
    fn complete(&mut self) {
        let id = self.shared.opaque();
        self.answer.headers.push(("x-amz-request-id".to_owned(), id[16..].to_uppercase()));
        self.answer.headers.push(("x-amz-id-2".to_owned(), format!("{id}fake")));
        self.answer.headers.push(("Date".to_owned(), date::http(self.shared.now())));
        self.answer.headers.push(("Server".to_owned(), "AmazonS3".to_owned()));
        if let Payload::Bytes(bytes) = &mut self.answer.payload
            && self.answer.status >= 300
            && let Ok(text) = std::str::from_utf8(bytes)
        {
            *bytes =
                text.replace("FAKEREQUEST", &id[16..].to_uppercase()).replace("FAKEHOST", &format!("{id}fake")).into();
        }
        if let (Some(lie), Some(value)) = (self.plan.content_range, self.answer.get("content-range").map(str::to_owned))
        {
            self.answer.set("Content-Range", &lying_range(&value, lie));
        }
    }

    fn head(&self) -> Vec<u8> {
        let mut answer = self.answer.clone();
        answer.payload = Payload::None;
        let is_open_ended = self.plan.chunked.is_some() || self.plan.late_error.is_some();
        let length = match self.answer.status {
            204 | 304 => None,
            _ if is_open_ended && self.has_body() => None,
            _ => Some(self.answer.announced_len.unwrap_or_else(|| self.answer.payload_len())),
        };
        if let Some(length) = length {
            answer.headers.push(("Content-Length".to_owned(), length.to_string()));
        }
        if self.plan.chunked.is_some() && self.has_body() {
            answer.headers.push(("Transfer-Encoding".to_owned(), "chunked".to_owned()));
        }
        for (name, value, doubled) in &self.plan.headers {
            match (value, doubled) {
                (Some(value), true) => answer.headers.push((name.clone(), value.clone())),
                (Some(value), false) => answer.set(name, value),
                (None, _) => answer.remove(name),
            }
        }
        head_bytes(&answer, None, self.closes, self.request.switches.http10)
    }

    fn faults(&self, head_len: u64) -> Vec<WriteFault> {
        let mut faults: Vec<WriteFault> = Vec::new();
        for (after, in_head, kind) in &self.plan.write {
            let position = if *in_head { *after } else { head_len + after };
            faults.push(WriteFault { position, kind: kind.clone() });
        }
        let (start, len) = match &self.answer.payload {
            Payload::Content { start, len, .. } => (*start, *len),
            other => (0, payload_len(other)),
        };
        for (offset, mask) in &self.plan.flips {
            if (start..start + len).contains(offset) {
                faults.push(WriteFault { position: head_len + offset - start, kind: WriteFaultKind::Flip(*mask) });
            }
        }
        faults
    }
}

fn lying_range(value: &str, (start, end, total): (Option<u64>, Option<u64>, Option<u64>)) -> String {
    let numbers = value.trim_start_matches("bytes ").replace('/', "-");
    let mut parts = numbers.split('-').map(str::to_owned);
    let mut pick = |lie: Option<u64>| {
        let truth = parts.next().unwrap_or_default();
        lie.map_or(truth, |number| number.to_string())
    };
    format!("bytes {}-{}/{}", pick(start), pick(end), pick(total))
}

/// The head of an answer as bytes; with `length` also a Content-Length.
pub(crate) fn head_bytes(answer: &Answer, length: Option<u64>, closes: bool, http10: bool) -> Vec<u8> {
    let version = if http10 { "1.0" } else { "1.1" };
    let mut head = format!("HTTP/{version} {} {}\r\n", answer.status, reason(answer.status));
    for (name, value) in &answer.headers {
        head.push_str(&format!("{name}: {value}\r\n"));
    }
    if let Some(length) = length {
        head.push_str(&format!("Content-Length: {length}\r\n"));
    }
    if closes {
        head.push_str("Connection: close\r\n");
    } else if http10 {
        head.push_str("Connection: keep-alive\r\n");
    }
    head.push_str("\r\n");
    head.into_bytes()
}

/// The answer of `respond` and `redirect`, and whether it comes before the request body has been read.
pub(crate) fn instead_answer(action: &Action, request: &Request) -> (Answer, bool) {
    match action {
        Action::Respond { status, code, message, body, headers, early } => {
            let mut answer = match (body, code) {
                (Some(body), _) => Answer::new(*status).body(body.clone().into_bytes()),
                (None, Some(code)) => {
                    let text = message.clone().unwrap_or_else(|| "answered by a rule".to_owned());
                    error_answer(&S3Error::new(*status, code, text), &request.resource())
                }
                (None, None) => Answer::new(*status),
            };
            add_all(&mut answer, headers);
            (answer, *early)
        }
        Action::Redirect { status, location, endpoint, region } => {
            let code = if *status == 307 { "TemporaryRedirect" } else { "PermanentRedirect" };
            let text = "The bucket you are attempting to access must be addressed using the specified endpoint.";
            let mut error = S3Error::new(*status, code, text).with("Bucket", request.bucket());
            if let Some(endpoint) = endpoint {
                error = error.with("Endpoint", endpoint);
            }
            if let Some(region) = region {
                error = error.with("Region", region).header("x-amz-bucket-region", region);
            }
            let answer = error_answer(&error, &request.resource()).maybe("Location", location.as_ref());
            (answer, false)
        }
        _ => (Answer::new(500), false),
    }
}

fn add_all(answer: &mut Answer, headers: &BTreeMap<String, String>) {
    for (name, value) in headers {
        answer.set(name, value);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lies_only_where_asked() {
        assert_eq!(lying_range("bytes 0-9/100", (None, None, None)), "bytes 0-9/100");
        assert_eq!(lying_range("bytes 0-9/100", (Some(1), None, Some(7))), "bytes 1-9/7");
    }
}
