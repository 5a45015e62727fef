//! If-Match, If-None-Match and their date siblings, for reads and for writes.

use std::sync::Arc;

use crate::date;
use crate::error::S3Error;
use crate::http::head::Head;
use crate::ops::Context;
use crate::store::object::Object;

/// True if the header value names the ETag; weak ones never match strongly, except for reads of stores that only have those.
fn names(value: &str, etag: Option<&str>) -> bool {
    let bare = |text: &str| text.trim().trim_matches('"').to_owned();
    match etag {
        Some(etag) => value.trim() == "*" || value.split(',').any(|part| bare(part) == bare(etag)),
        None => false,
    }
}

/// The four headers of one family, with or without the prefix of copy sources.
struct Conditions<'a> {
    if_match: Option<&'a str>,
    if_none_match: Option<&'a str>,
    modified_since: Option<i64>,
    unmodified_since: Option<i64>,
}

impl<'a> Conditions<'a> {
    fn of(head: &'a Head, prefix: &str) -> Self {
        let get = |name: &str| head.get(&format!("{prefix}{name}"));
        Self {
            if_match: get("if-match"),
            if_none_match: get("if-none-match"),
            modified_since: get("if-modified-since").and_then(date::parse_http),
            unmodified_since: get("if-unmodified-since").and_then(date::parse_http),
        }
    }
}

/// Checks a GET or HEAD.
pub(crate) fn check_read(context: &Context, object: &Object) -> Result<(), S3Error> {
    if context.request.switches.ignore_if_match {
        return Ok(());
    }
    let wanted = Conditions::of(&context.request.head, "");
    check(&wanted, object, "", S3Error::new(304, "NotModified", "Not Modified"))
}

/// Checks the source of a copy.
pub(crate) fn check_source(context: &Context, object: &Object) -> Result<(), S3Error> {
    let wanted = Conditions::of(&context.request.head, "x-amz-copy-source-");
    let prefix = "x-amz-copy-source-";
    check(&wanted, object, prefix, S3Error::precondition("x-amz-copy-source-If-None-Match"))
}

fn check(wanted: &Conditions, object: &Object, prefix: &str, unchanged: S3Error) -> Result<(), S3Error> {
    let etag = object.etag.as_deref();
    match (wanted.if_match, wanted.unmodified_since) {
        (Some(value), _) if !names(value, etag) => return Err(S3Error::precondition(&format!("{prefix}If-Match"))),
        (None, Some(time)) if object.modified > time => {
            return Err(S3Error::precondition(&format!("{prefix}If-Unmodified-Since")));
        }
        _ => {}
    }
    let is_unchanged = match (wanted.if_none_match, wanted.modified_since) {
        (Some(value), _) => names(value, etag),
        (None, Some(time)) => object.modified <= time,
        (None, None) => false,
    };
    if !is_unchanged {
        return Ok(());
    }
    let etag = object.etag.clone().unwrap_or_default();
    Err(unchanged.header("ETag", etag).header("Last-Modified", date::http(object.modified)))
}

/// Checks a write (put, copy, complete, delete) against what is there now.
pub(crate) fn check_write(context: &Context, current: Option<&Arc<Object>>) -> Result<(), S3Error> {
    if context.request.switches.no_conditional_writes {
        return Ok(());
    }
    let head = &context.request.head;
    let etag = current.and_then(|object| object.etag.as_deref());
    match (head.get("if-none-match"), head.get("if-match"), current) {
        (Some("*"), _, Some(_)) => Err(S3Error::precondition("If-None-Match")),
        (Some("*") | None, None, _) | (Some("*"), _, None) => Ok(()),
        (Some(_), _, _) => Err(S3Error::not_implemented("If-None-Match")),
        (None, Some(_), None) => Err(S3Error::no_such_key(context.request.key())),
        (None, Some("*"), Some(_)) => Ok(()),
        (None, Some(value), Some(_)) if names(value, etag) => Ok(()),
        (None, Some(_), Some(_)) => Err(S3Error::precondition("If-Match")),
    }
}
