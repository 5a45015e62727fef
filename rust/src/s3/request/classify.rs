//! What a failed attempt means: the one place where a status, a code or a broken connection becomes a class (what
//! to do) and a kind (what to say).
//!
//! Pure. Texts are ours; of an error body only code,
//! message, ids and region are used, escaped and cut (S7).

use std::net::SocketAddr;
use std::time::{Duration, SystemTime};

use hyper_util::client::legacy;

use super::prepare::is_checksum_of_a_write;
use super::{Answer, Failure, Request};
use crate::error::{Error, ErrorKind, escape};
use crate::s3::http::{ConnectTimedOut, DnsFailed, chain, descriptor_errno, local_address, root_cause};
use crate::s3::retry::{Class, parse_retry_after};
use crate::s3::xml;

/// A clock this far off explains a signature that does not match.
const CLOCK_TOLERANCE: i64 = 4 * 60;

/// What status and code are judged by, besides themselves.
struct Facts {
    /// A region the answer names, of valid syntax (S4).
    region: Option<String>,
    /// Where a 307 points.
    location: Option<String>,
    clock_is_off: bool,
    refuses_checksums: bool,
    /// PutObject or Complete: the conflict passes, and the condition is then decided (U12).
    repeats_conflicts: bool,
    creates_only: bool,
}

/// A status that is no success; `now` is this machine's time.
pub(super) fn status(answer: &Answer, body: &[u8], request: &Request, now: SystemTime) -> Failure {
    let parsed = xml::parse_error(body);
    let code = parsed.as_ref().map(|error| error.code.clone()).filter(|code| !code.is_empty());
    let region = parsed.as_ref().and_then(|error| error.region.clone());
    let region = region.or_else(|| answer.header("x-amz-bucket-region").map(str::to_owned));
    let ahead = clock_ahead(answer, now);
    let facts = Facts {
        region: region.filter(|region| crate::s3::endpoint::validate_region(region).is_ok()),
        location: answer.header("location").map(str::to_owned),
        clock_is_off: ahead.is_some_and(|ahead| ahead.abs() > CLOCK_TOLERANCE),
        refuses_checksums: false,
        repeats_conflicts: repeats_conflicts(request),
        creates_only: false,
    };
    let message = parsed.as_ref().map_or("", |error| error.message.as_str());
    let about = parsed.as_ref().map_or("", |error| error.about.as_str());
    let facts = Facts {
        refuses_checksums: refuses_checksums(request, [message, about]),
        creates_only: creates_only(request, about),
        ..facts
    };
    let (class, kind) = class_and_kind(answer.status(), code.as_deref(), facts);
    let text = describe(kind, answer.status(), code.as_deref(), message, request);
    let (request_id, host_id) = answer.request_ids();
    let request_id = request_id.or_else(|| parsed.as_ref().and_then(|error| error.request_id.clone()));
    let host_id = host_id.or_else(|| parsed.as_ref().and_then(|error| error.host_id.clone()));
    let error = Error::new(kind, text)
        .with_status(answer.status(), code)
        .with_request_id(request_id, host_id)
        .with_object(&request.bucket, &request.key);
    let asked = answer.header("retry-after").unwrap_or_default();
    // A date is one of the store's clock, which may not be ours.
    let their_now = answer.header("date").and_then(|date| httpdate::parse_http_date(date).ok()).unwrap_or(now);
    let retry_after = parse_retry_after(asked, answer.header("x-amz-retry-after"), their_now);
    Failure { retry_after, clock_ahead: ahead, ..Failure::new(class, error) }
}

/// A success that no store would give.
pub(super) fn not_s3(request: &Request) -> Failure {
    Failure::bad_answer(not_s3_text(&named(request)))
}

fn not_s3_text(object: &str) -> String {
    format!("\"{object}\": the endpoint answered in a way S3 does not; is the endpoint URL right?")
}

/// The class and kind of an error the store put into an answer of status 200.
pub(in crate::s3) fn code_in_success(error: &xml::ErrorBody, request: &Request) -> Failure {
    let facts = Facts {
        region: None,
        location: None,
        clock_is_off: false,
        refuses_checksums: false,
        repeats_conflicts: repeats_conflicts(request),
        creates_only: creates_only(request, &error.about),
    };
    let (class, kind) = class_and_kind(200, Some(&error.code), facts);
    let text = describe(kind, 200, Some(&error.code), &error.message, request);
    Failure::new(class, Error::new(kind, text).with_status(200, Some(error.code.clone())))
}

/// Whether the answer says, by name, that it is the checksum of this write it does not take (C13).
fn refuses_checksums(request: &Request, said: [&str; 2]) -> bool {
    if !request.headers.iter().any(|(name, _)| is_checksum_of_a_write(request, name)) {
        return false;
    }
    let said = said.join(" ").to_ascii_lowercase();
    let names = ["x-amz-checksum", "x-amz-sdk-checksum", "x-amz-trailer", "checksum algorithm", "checksumalgorithm"];
    names.iter().any(|name| said.contains(name))
}

/// Whether the condition that failed is that nothing be there; that of a copy's source is another one.
fn creates_only(request: &Request, about: &str) -> bool {
    request.has_header("if-none-match") && !about.to_ascii_lowercase().starts_with("x-amz-copy-source")
}

fn repeats_conflicts(request: &Request) -> bool {
    let is_put = request.method == reqwest::Method::PUT
        && request.query.is_empty()
        && (!request.payload.is_empty() || request.has_header("x-amz-copy-source"));
    let is_complete =
        request.method == reqwest::Method::POST && request.query.iter().any(|(name, _)| name == "uploadId");
    !request.key.is_empty() && (is_put || is_complete)
}

/// The table of section 3: the first row that matches decides.
fn class_and_kind(status: u16, code: Option<&str>, facts: Facts) -> (Class, ErrorKind) {
    let code = code.unwrap_or_default();
    let kind = kind(status, code, facts.creates_only);
    let class = match (status, code) {
        (503 | 429, _)
        | (_, "SlowDown" | "ServiceUnavailable" | "RequestLimitExceeded" | "TooManyRequests" | "SlowDownRead") => {
            Class::Throttle
        }
        (_, code) if code.starts_with("Throttling") => Class::Throttle,
        (401, _) | (_, "ExpiredToken" | "TokenRefreshRequired" | "InvalidToken") => Class::Credentials,
        (_, "RequestTimeTooSkewed") => Class::Clock,
        // The second is what a HEAD tells, which has no body.
        (_, "SignatureDoesNotMatch") | (403, "") if facts.clock_is_off => Class::Clock,
        (307, _) => facts.location.map_or(Class::Terminal, Class::Redirect),
        (
            301 | 400 | 403,
            "PermanentRedirect" | "AuthorizationHeaderMalformed" | "IllegalLocationConstraintException" | "",
        ) if facts.region.is_some() => facts.region.map_or(Class::Terminal, Class::Region),
        (400 | 501, _) if facts.refuses_checksums && kind != ErrorKind::Integrity => Class::Checksums,
        (200..=299, "") => Class::BadAnswer,
        (408 | 500 | 502 | 504, _) | (_, "InternalError" | "RequestTimeout" | "OperationAborted") => Class::Transient,
        (_, "ConditionalRequestConflict") if facts.repeats_conflicts => Class::Transient,
        _ => Class::Terminal,
    };
    (class, kind)
}

fn kind(status: u16, code: &str, creates_only: bool) -> ErrorKind {
    match (status, code) {
        (503 | 429, _) | (_, "SlowDown" | "ServiceUnavailable" | "RequestLimitExceeded") => ErrorKind::Throttled,
        (_, code) if code.starts_with("Throttling") => ErrorKind::Throttled,
        (401, _) | (_, "ExpiredToken" | "TokenRefreshRequired" | "InvalidToken") => ErrorKind::Credentials,
        (408, _) | (_, "RequestTimeout") => ErrorKind::Timeout,
        (404, _) | (_, "NoSuchKey" | "NoSuchBucket" | "NoSuchVersion" | "NoSuchUpload") => ErrorKind::NotFound,
        (403, _) | (_, "AccessDenied" | "SignatureDoesNotMatch" | "InvalidAccessKeyId" | "RequestTimeTooSkewed") => {
            ErrorKind::AccessDenied
        }
        (409, "BucketAlreadyExists" | "BucketAlreadyOwnedByYou") => ErrorKind::AlreadyExists,
        (412, _) | (409, "ConditionalRequestConflict") | (_, "PreconditionFailed") if creates_only => {
            ErrorKind::AlreadyExists
        }
        (412, _) | (_, "PreconditionFailed") => ErrorKind::ObjectChanged,
        (_, "BadDigest" | "XAmzContentChecksumMismatch" | "InvalidDigest") => ErrorKind::Integrity,
        _ => ErrorKind::Service,
    }
}

fn describe(kind: ErrorKind, status: u16, code: Option<&str>, message: &str, request: &Request) -> String {
    let object = named(request);
    let bucket = &request.bucket;
    let said = if message.is_empty() { String::new() } else { format!(": {}", message.trim_end_matches('.')) };
    if let (ErrorKind::NotFound | ErrorKind::ObjectChanged, Some(source)) = (kind, source_of(request)) {
        let fact =
            if kind == ErrorKind::NotFound { "was not found" } else { "is another version than the one asked for" };
        return match code {
            Some("NoSuchUpload") => format!("the multipart upload of \"{object}\" is gone"),
            // It may be either's.
            Some("NoSuchBucket") => format!("a bucket was not found: copying \"{source}\" to \"{object}\""),
            _ if request.has_header("if-match") => format!("\"{source}\" or \"{object}\" {fact}"),
            _ => format!("\"{source}\" {fact}"),
        };
    }
    match (kind, code) {
        (ErrorKind::NotFound, Some("NoSuchBucket")) => format!("bucket \"{bucket}\" not found"),
        (ErrorKind::NotFound, _) if request.key.is_empty() => format!("bucket \"{bucket}\" not found"),
        (ErrorKind::NotFound, Some("NoSuchUpload")) => format!("the multipart upload of \"{object}\" is gone"),
        (ErrorKind::NotFound, Some("NoSuchVersion")) => format!("no such version of \"{object}\""),
        (ErrorKind::NotFound, _) => format!("given object \"{object}\" not found"),
        (ErrorKind::AccessDenied, Some("SignatureDoesNotMatch")) => {
            format!("\"{object}\": the secret access key does not fit the access key id")
        }
        (ErrorKind::AccessDenied, Some("InvalidAccessKeyId")) => {
            format!("\"{object}\": the store does not know the access key id")
        }
        (ErrorKind::AccessDenied, _) => format!("access to \"{object}\" was denied{said}"),
        (ErrorKind::AlreadyExists, _) => format!("\"{object}\" exists already"),
        (ErrorKind::ObjectChanged, _) => format!("\"{object}\" is another version than the one asked for"),
        (ErrorKind::Throttled, _) => format!("the store asked to slow down: \"{object}\"{said}"),
        (_, None) if (300..400).contains(&status) => format!("\"{object}\": a redirect was refused"),
        (_, None) => not_s3_text(&object),
        _ => format!("\"{object}\"{said}"),
    }
}

/// `s3://bucket/key`, `s3://bucket`, or the store itself.
fn named(request: &Request) -> String {
    match (request.bucket.as_str(), request.key.as_str()) {
        ("", _) => "s3://".into(),
        (bucket, "") => format!("s3://{bucket}"),
        (bucket, key) => escape(&format!("s3://{bucket}/{key}"), 1200),
    }
}

/// What a copy is made of.
fn source_of(request: &Request) -> Option<String> {
    let path = request.header_value("x-amz-copy-source")?.split('?').next()?;
    let plain = crate::s3::encode::decode_url(path).ok()?;
    Some(escape(&format!("s3:/{plain}"), 1200))
}

/// Seconds by which the store's `Date` is ahead of our clock; answers from a cache do not count.
fn clock_ahead(answer: &Answer, ours: SystemTime) -> Option<i64> {
    if answer.header("age").is_some() {
        return None;
    }
    let theirs = httpdate::parse_http_date(answer.header("date")?).ok()?;
    let seconds = |span: Duration| i64::try_from(span.as_secs()).unwrap_or(i64::MAX);
    Some(match theirs.duration_since(ours) {
        Ok(ahead) => seconds(ahead),
        Err(behind) => -seconds(behind.duration()),
    })
}

/// No answer at all: connecting, sending or reading the head failed. `made`: our end of the connection that was
/// made for this request, if one was.
pub(super) fn transport(error: &reqwest::Error, made: Option<SocketAddr>) -> Failure {
    let cause = root_cause(error);
    let url = error.url();
    let host = url.and_then(|url| url.host_str()).unwrap_or_default();
    let port = url.and_then(reqwest::Url::port).map_or(String::new(), |port| format!(":{port}"));
    let cannot = format!("cannot connect to \"{host}{port}\": {cause}");
    if let Some(errno) = descriptor_errno(error) {
        return Failure::new(Class::NoDescriptors, Error::local_os("no socket can be opened", errno));
    }
    if has::<DnsFailed>(error) {
        return transient(ErrorKind::Connection, cannot);
    }
    if has::<ConnectTimedOut>(error) {
        return transient(ErrorKind::Timeout, cannot);
    }
    if error.is_connect() {
        let mut io = chain(error).filter_map(|error| error.downcast_ref::<std::io::Error>());
        // In a handshake only TLS speaks of invalid data: a certificate or a protocol that is refused.
        if io.any(|io| io.kind() == std::io::ErrorKind::InvalidData) {
            let text = format!("the TLS connection to \"{host}{port}\" was refused: {cause}");
            return Failure::new(Class::Terminal, Error::new(ErrorKind::Connection, text));
        }
        return transient(ErrorKind::Connection, cannot);
    }
    if find::<hyper::Error>(error).is_some_and(|hyper| hyper.is_parse()) {
        return Failure::bad_answer(format!("the endpoint does not speak HTTP as S3 does: {cause}"));
    }
    let mut failure = transient(ErrorKind::Connection, format!("the connection broke: {cause}"));
    let used = find::<legacy::Error>(error).and_then(legacy::Error::connect_info).and_then(local_address);
    if used.is_some() && used != made {
        // It was closed while it was idle (section 3, row 1).
        failure.class = Class::Stale;
    }
    failure
}

/// A body that broke off: goes on at its first missing byte.
pub(super) fn broken_body(error: &reqwest::Error) -> Failure {
    transient(ErrorKind::Connection, format!("the connection broke: {}", root_cause(error)))
}

pub(super) fn timed_out(text: String) -> Failure {
    transient(ErrorKind::Timeout, text)
}

fn transient(kind: ErrorKind, text: String) -> Failure {
    Failure::new(Class::Transient, Error::new(kind, text))
}

/// The first error of this type in the chain.
fn find<E: std::error::Error + 'static>(error: &reqwest::Error) -> Option<&E> {
    chain(error).find_map(|error| error.downcast_ref::<E>())
}

fn has<E: std::error::Error + 'static>(error: &reqwest::Error) -> bool {
    find::<E>(error).is_some()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn judged(status: u16, code: &str) -> (Class, ErrorKind) {
        let facts = Facts {
            region: None,
            location: None,
            clock_is_off: false,
            refuses_checksums: false,
            repeats_conflicts: false,
            creates_only: false,
        };
        class_and_kind(status, (!code.is_empty()).then_some(code), facts)
    }

    #[test]
    fn status_and_code_decide() {
        use ErrorKind as K;
        let cases = [
            (503, "SlowDown", Class::Throttle, K::Throttled),
            (503, "", Class::Throttle, K::Throttled),
            (429, "", Class::Throttle, K::Throttled),
            (400, "ThrottlingException", Class::Throttle, K::Throttled),
            (500, "InternalError", Class::Transient, K::Service),
            (502, "", Class::Transient, K::Service),
            (400, "RequestTimeout", Class::Transient, K::Timeout),
            (200, "InternalError", Class::Transient, K::Service),
            (202, "", Class::BadAnswer, K::Service),
            (401, "", Class::Credentials, K::Credentials),
            (400, "ExpiredToken", Class::Credentials, K::Credentials),
            (403, "RequestTimeTooSkewed", Class::Clock, K::AccessDenied),
            (403, "SignatureDoesNotMatch", Class::Terminal, K::AccessDenied),
            (403, "", Class::Terminal, K::AccessDenied),
            (404, "NoSuchKey", Class::Terminal, K::NotFound),
            (404, "", Class::Terminal, K::NotFound),
            (412, "PreconditionFailed", Class::Terminal, K::ObjectChanged),
            (409, "BucketAlreadyExists", Class::Terminal, K::AlreadyExists),
            (400, "BadDigest", Class::Terminal, K::Integrity),
            (200, "BadDigest", Class::Terminal, K::Integrity),
            (200, "AccessDenied", Class::Terminal, K::AccessDenied),
            (405, "MethodNotAllowed", Class::Terminal, K::Service),
            (301, "PermanentRedirect", Class::Terminal, K::Service),
            (307, "TemporaryRedirect", Class::Terminal, K::Service),
        ];
        for (status, code, class, kind) in cases {
            assert_eq!(judged(status, code), (class, kind), "{status} {code}");
        }
    }

    #[test]
    fn facts_change_the_verdict() {
        let facts = |creates_only, repeats_conflicts| Facts {
            region: Some("eu-west-1".into()),
            location: Some("http://x".into()),
            clock_is_off: true,
            refuses_checksums: false,
            repeats_conflicts,
            creates_only,
        };
        let region = Class::Region("eu-west-1".into());
        assert_eq!(class_and_kind(301, Some("PermanentRedirect"), facts(false, false)).0, region);
        assert_eq!(class_and_kind(400, Some("AuthorizationHeaderMalformed"), facts(false, false)).0, region);
        assert_eq!(class_and_kind(307, None, facts(false, false)).0, Class::Redirect("http://x".into()));
        assert_eq!(class_and_kind(403, Some("SignatureDoesNotMatch"), facts(false, false)).0, Class::Clock);
        assert_eq!(class_and_kind(412, None, facts(true, false)).1, ErrorKind::AlreadyExists);
        assert_eq!(class_and_kind(409, Some("ConditionalRequestConflict"), facts(false, true)).0, Class::Transient);
        assert_eq!(class_and_kind(409, Some("ConditionalRequestConflict"), facts(false, false)).0, Class::Terminal);
    }
}
