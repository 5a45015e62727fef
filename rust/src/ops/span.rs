//! Which bytes of an object are meant, and the first answer that fixes size and version.

use std::ops::Range;

use crate::config::MAX_OBJECT;
use crate::error::{Error, ErrorKind, Result};
use crate::s3::body::ObjectBody;
use crate::s3::client::{GetRequest, S3Client};
use crate::s3::object::ObjectIdentity;

/// Bytes from `start` to before `stop`, or to the object's end; or the last `Tail` bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Span {
    Between { start: u64, stop: Option<u64> },
    Tail(u64),
}

impl Default for Span {
    fn default() -> Self {
        Self::Between { start: 0, stop: None }
    }
}

impl Span {
    pub fn is_all(&self) -> bool {
        *self == Self::default()
    }

    /// What it is of an object of this size; what goes beyond the end is cut.
    pub fn of(&self, size: u64) -> Result<Range<u64>> {
        match *self {
            Self::Tail(count) => Ok(size.saturating_sub(count)..size),
            Self::Between { start, stop } if start <= size => Ok(start..stop.unwrap_or(size).clamp(start, size)),
            Self::Between { start, .. } => {
                Err(Error::config(format!("the range begins at byte {start}, but the object has {size} bytes")))
            }
        }
    }
}

/// The first answer.
pub enum First {
    /// Bytes come; they begin where the span does.
    Body(Box<ObjectBody>),
    /// There is nothing to fetch.
    Empty(ObjectIdentity),
}

/// Asks for the first `len` bytes of the span, or for all of it where ranges of this object cannot be pinned (I4).
pub async fn first(client: &S3Client, get: &GetRequest, span: Span, len: Option<u64>) -> Result<First> {
    let (start, stop) = match span {
        Span::Between { start, stop } => (start, stop.unwrap_or(MAX_OBJECT)),
        // Where it begins only the size tells.
        Span::Tail(_) => {
            let head = client.head_object(&get.object, get.if_match.as_deref()).await?;
            let range = span.of(head.identity.size)?;
            if range.is_empty() {
                return Ok(First::Empty(head.identity));
            }
            let if_match = get.if_match.clone().or(head.identity.strong_etag().map(str::to_owned));
            let get = GetRequest { if_match, ..get.clone() };
            return Box::pin(first(client, &get, Span::Between { start: range.start, stop: Some(range.end) }, len))
                .await;
        }
    };
    if start == stop {
        return nothing(client, get, span).await;
    }
    let all = || GetRequest { range: (!span.is_all()).then_some(start..stop), ..get.clone() };
    let wanted = match len {
        Some(len) => GetRequest { range: Some(start..stop.min(start.saturating_add(len))), ..get.clone() },
        None => all(),
    };
    let is_all = wanted.range == all().range;
    match client.get_object(wanted).await {
        Err(error) if error.status() == Some(416) => nothing(client, get, span).await,
        Err(error) if error.kind() == ErrorKind::RangesIgnored && span.is_all() => whole(client, all()).await,
        Ok(body) if !is_all && !is_covered(&body, stop) && body.identity().strong_etag().is_none() => {
            whole(client, all()).await
        }
        opened => Ok(First::Body(Box::new(opened?))),
    }
}

fn is_covered(body: &ObjectBody, stop: u64) -> bool {
    body.range().1.is_none_or(|end| end >= stop.min(body.identity().size))
}

async fn whole(client: &S3Client, get: GetRequest) -> Result<First> {
    Ok(First::Body(Box::new(client.get_object(get).await?)))
}

/// An empty span, or one behind the end: the size tells which.
async fn nothing(client: &S3Client, get: &GetRequest, span: Span) -> Result<First> {
    let head = client.head_object(&get.object, get.if_match.as_deref()).await?;
    match span.of(head.identity.size)? {
        range if range.is_empty() => Ok(First::Empty(head.identity)),
        _ => Err(Error::new(ErrorKind::Service, "the store refuses a range that the object has")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spans_are_cut_at_the_end_and_refused_behind_it() {
        let between = |start, stop| Span::Between { start, stop };
        for (span, size, range) in [
            (between(0, None), 0, 0..0),
            (between(0, None), 10, 0..10),
            (between(3, Some(5)), 10, 3..5),
            (between(3, Some(50)), 10, 3..10),
            (between(10, None), 10, 10..10),
            (between(5, Some(3)), 10, 5..5),
            (Span::Tail(3), 10, 7..10),
            (Span::Tail(30), 10, 0..10),
            (Span::Tail(0), 10, 10..10),
        ] {
            assert_eq!(span.of(size).unwrap(), range, "{span:?}");
        }
        assert_eq!(between(11, None).of(10).unwrap_err().kind(), ErrorKind::Config);
    }
}
