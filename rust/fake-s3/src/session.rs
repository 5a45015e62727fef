//! One connection from its first byte to its last: read a head, plan, act, answer, again.
//!
//! The order is fixed: the log record begins, rules are drawn, latency passes, then either an answer of a rule or
//! verification and the operation; the record ends after the last byte.

use std::io::{self, Write};
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use crate::auth::Verifier;
use crate::error::{Fail, S3Error};
use crate::http::answer::{Answer, Payload};
use crate::http::body::Body;
use crate::http::head::Head;
use crate::http::limits::nap;
use crate::http::output::Broken;
use crate::http::stream::Stream;
use crate::http::wire::Wire;
use crate::log::{LogRecord, safe_headers, safe_query};
use crate::ops::{self, Context};
use crate::plan::{Instead, LateError, Plan};
use crate::request::{Arrival, Request};
use crate::respond::{Finished, Reply, instead_answer, write_reply};
use crate::shared::Shared;
use crate::sync::lock;
use crate::xml::escape;

/// What to do with the connection after an answer.
enum Next {
    Another,
    /// The answer came before the request was read: wait for the client to see it.
    Linger,
    Close {
        notify: bool,
    },
    Reset,
}

/// One connection.
pub(crate) struct Session {
    shared: Arc<Shared>,
    id: u64,
    local: String,
    peer: String,
    served: u64,
}

impl Session {
    pub fn new(shared: Arc<Shared>, id: u64, stream: &Stream) -> Self {
        let name =
            |address: io::Result<std::net::SocketAddr>| address.map_or_else(|_| String::new(), |at| at.to_string());
        let (local, peer) = (name(stream.tcp().local_addr()), name(stream.tcp().peer_addr()));
        Self { shared, id, local, peer, served: 0 }
    }

    /// Serves requests until one side ends.
    pub fn run(&mut self, stream: Stream) {
        let mut wire = Wire::new(stream, Arc::clone(&self.shared.limits));
        let next = loop {
            match self.serve_one(&mut wire) {
                Ok(Next::Another) => self.served += 1,
                Ok(next) => break next,
                Err(_) => break Next::Close { notify: false },
            }
        };
        match next {
            Next::Reset => wire.stream.arm_reset(),
            Next::Close { notify } => wire.stream.close(notify),
            Next::Linger => wire.stream.linger(Duration::from_secs(2)),
            Next::Another => {}
        }
        // The registry holds a second descriptor: without it the socket would not close here.
        lock(&self.shared.open).remove(&self.id);
    }

    fn serve_one(&mut self, wire: &mut Wire) -> io::Result<Next> {
        wire.drip = None;
        wire.bytes_in = 0;
        let Some(bytes) = wire.read_head()? else {
            return Ok(Next::Close { notify: true });
        };
        let started = Instant::now();
        let Some(head) = Head::parse(&bytes) else {
            wire.stream.write_all(b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")?;
            return Ok(Next::Close { notify: true });
        };
        let switches = self.shared.switches();
        let seq = self.begin_record(&head, switches.log_limit);
        let arrival = Arrival { connection: self.id, nth: self.served, switches };
        let is_bucket = |name: &str| lock(&self.shared.store).buckets.contains_key(name);
        let request = match Request::new(head, arrival, &is_bucket) {
            Ok(request) => request,
            Err(error) => {
                let answer = error_answer(&error, "/");
                wire.stream.write_all(&crate::respond::head_bytes(&answer, None, true, false))?;
                self.end_record(seq, wire.bytes_in, started, &Finished::of_status(answer.status), "closed");
                return Ok(Next::Close { notify: true });
            }
        };
        let mut plan = lock(&self.shared.rules).plan(&request);
        lock(&self.shared.log).update(seq, |record| {
            record.operation = request.operation.name().to_owned();
            record.bucket.clone_from(&request.bucket);
            record.key.clone_from(&request.key);
            record.part = request.part;
            record.rules.clone_from(&plan.applied);
        });
        let mut finished = Finished::default();
        let outcome = self.act_and_answer(wire, &request, &mut plan, &mut finished, seq);
        let (next, end) = self.conclude(&plan, outcome);
        self.end_record(seq, wire.bytes_in, started, &finished, &end);
        Ok(next)
    }

    fn conclude(&self, plan: &Plan, outcome: Result<bool, Broken>) -> (Next, String) {
        let (next, end) = match outcome {
            Ok(true) => match plan.close_after {
                Some(delay) => {
                    nap(&self.shared.limits, delay);
                    (Next::Close { notify: true }, "ok")
                }
                None => (Next::Another, "ok"),
            },
            Ok(false) => (Next::Linger, "ok"),
            Err(Broken::Close { notify }) => (Next::Close { notify }, "closed"),
            Err(Broken::Reset) => (Next::Reset, "reset"),
            Err(Broken::Io(error)) => return (Next::Close { notify: false }, format!("broken: {error}")),
        };
        (next, end.to_owned())
    }

    /// Returns whether the connection may serve another request.
    fn act_and_answer(
        &self,
        wire: &mut Wire,
        request: &Request,
        plan: &mut Plan,
        finished: &mut Finished,
        seq: u64,
    ) -> Result<bool, Broken> {
        // Who leaves meanwhile has sent the request all the same.
        wire.wait(plan.latency + Duration::from_millis(request.switches.latency_ms));
        let reset = plan.reset_after_cut;
        let mut body = match Body::new(wire, &request.head, std::mem::take(&mut plan.read)) {
            Ok(body) => body,
            Err(error) => {
                let answer = error_answer(&error, &request.resource());
                let reply = Reply { shared: &self.shared, request, plan, answer, closes: true };
                return write_reply(wire, reply, finished, seq).map(|()| false);
            }
        };
        let cut = |error: io::Error| match reset {
            true => Broken::Reset,
            false => Broken::Io(error),
        };
        let (answer, may_go_on) = match plan.instead.take() {
            Some(Instead::Drop { reset }) => return Err(dropped(reset)),
            Some(Instead::Raw { bytes, keep_open }) => {
                body.drain().map_err(cut)?;
                finished.bytes_out = bytes.len() as u64;
                return write_raw(wire, &bytes, keep_open);
            }
            Some(Instead::Respond(action)) => {
                let (answer, early) = instead_answer(&action, request);
                if !early {
                    body.drain().map_err(cut)?;
                }
                (answer, body.is_done())
            }
            None => {
                let mut answer = self.perform(request, plan, &mut body).map_err(cut)?;
                if plan.late_error.is_some() {
                    answer.status = 200;
                }
                let skips = body.is_awaited() && answer.status >= 400;
                if !skips {
                    body.drain().map_err(cut)?;
                }
                (answer, !skips)
            }
        };
        drop(body);
        if let Some(reset) = plan.drop_answer {
            return Err(dropped(reset));
        }
        let closes = !may_go_on || plan.late_error.is_some() || wants_close(request);
        let reply = Reply { shared: &self.shared, request, plan, answer, closes };
        write_reply(wire, reply, finished, seq)?;
        Ok(!closes)
    }

    /// Verifies and runs the operation; errors of S3 become answers, errors of the connection stay errors.
    fn perform(&self, request: &Request, plan: &Plan, body: &mut Body) -> io::Result<Answer> {
        let result = match &plan.late_error {
            Some(late) if !late.code.is_empty() => Ok(late_answer(late)),
            _ => self.verify_and_handle(request, plan, body),
        };
        match result {
            Ok(answer) => Ok(answer),
            Err(Fail::S3(error)) => {
                let mut answer = error_answer(&error, &request.resource());
                if request.head.method == "HEAD" {
                    answer.announced_len = Some(0);
                    answer.payload = Payload::None;
                }
                Ok(answer)
            }
            Err(Fail::Io(error)) => Err(error),
        }
    }

    fn verify_and_handle(&self, request: &Request, plan: &Plan, body: &mut Body) -> Result<Answer, Fail> {
        let mut payload_sha256 = None;
        if self.shared.config.require_auth {
            let keys = lock(&self.shared.keys).clone();
            let verifier = Verifier { keys: &keys, region: &self.shared.config.region, now: self.shared.now() };
            let signed = verifier.verify(&request.head, &request.query)?;
            payload_sha256 = signed.payload_sha256;
            body.signer = signed.chunk_signer;
        }
        let context = Context { shared: &self.shared, request, plan, payload_sha256 };
        ops::handle(&context, body)
    }

    fn begin_record(&self, head: &Head, limit: usize) -> u64 {
        let record = LogRecord {
            time: SystemTime::now().duration_since(UNIX_EPOCH).map_or(0.0, |time| time.as_secs_f64()),
            connection: self.id,
            nth: self.served,
            local: self.local.clone(),
            peer: self.peer.clone(),
            method: head.method.clone(),
            path: head.path.clone(),
            query: safe_query(&head.query),
            range: head.get("range").map(str::to_owned),
            headers: safe_headers(head),
            ..LogRecord::default()
        };
        lock(&self.shared.log).begin(record, limit)
    }

    fn end_record(&self, seq: u64, bytes_in: u64, started: Instant, finished: &Finished, end: &str) {
        lock(&self.shared.log).update(seq, |record| {
            record.bytes_in = bytes_in;
            record.bytes_out = finished.bytes_out;
            record.head_out = finished.head_out;
            record.duration = started.elapsed().as_secs_f64();
            end.clone_into(&mut record.end);
        });
    }
}

/// True if client or switches want the connection to end after this answer.
fn wants_close(request: &Request) -> bool {
    let is_old = request.head.http10 || request.switches.http10;
    request.switches.close_connections
        || request.head.has_token("connection", "close")
        || (is_old && !request.head.has_token("connection", "keep-alive"))
}

/// Writes the bytes of a rule as they are; true if the connection may go on.
fn write_raw(wire: &mut Wire, bytes: &[u8], keep_open: bool) -> Result<bool, Broken> {
    wire.stream.write_all(bytes)?;
    wire.stream.flush()?;
    if keep_open { Ok(true) } else { Err(Broken::Close { notify: false }) }
}

fn dropped(reset: bool) -> Broken {
    if reset { Broken::Reset } else { Broken::Close { notify: false } }
}

fn late_answer(late: &LateError) -> Answer {
    let message =
        if late.message.is_empty() { "We encountered an internal error. Please try again." } else { &late.message };
    let xml = format!(
        "<Error><Code>{}</Code><Message>{}</Message><RequestId>late</RequestId><HostId>late</HostId></Error>",
        escape(&late.code),
        escape(message)
    );
    Answer::xml(xml.into_bytes())
}

/// An error as an answer; the ids are filled in when it is written.
pub(crate) fn error_answer(error: &S3Error, resource: &str) -> Answer {
    let mut answer = Answer::new(error.status).header("Content-Type", "application/xml");
    answer.headers.extend(error.headers.iter().cloned());
    answer.headers.push(("x-fake-error".to_owned(), error.code.clone()));
    match error.status {
        304 => answer,
        _ => answer.body(error.xml(resource, "FAKEREQUEST", "FAKEHOST").into_bytes()),
    }
}
