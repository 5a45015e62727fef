//! Listing a bucket, page by page.
//!
//! A `Listing` holds one page's token, never more. A token that repeats or is missing while more is promised ends
//! it with an error: neither an endless loop nor a silent end (U15).

use reqwest::Method;

use super::{MAX_PAGE, S3Client, broken_xml};
use crate::error::{Error, ErrorKind, Result};
use crate::s3::request::{Answer, Request};
use crate::s3::xml::{self, ListPage};

#[derive(Debug, Clone, Default)]
pub struct ListRequest {
    pub bucket: String,
    pub prefix: String,
    pub delimiter: Option<String>,
    pub start_after: Option<String>,
}

/// A listing under way.
pub struct Listing {
    client: S3Client,
    request: ListRequest,
    next: Next,
    round: Round,
}

enum Next {
    First,
    Token(String),
    Done,
}

impl S3Client {
    pub fn list_objects_v2(&self, request: ListRequest) -> Result<Listing> {
        crate::uri::validate_bucket(&request.bucket)?;
        Ok(Listing { client: self.clone(), request, next: Next::First, round: Round::default() })
    }
}

/// Notices tokens that go round, however long the round, with one of them in memory (Brent's algorithm).
#[derive(Default)]
pub(super) struct Round {
    kept: Option<String>,
    steps: u64,
    limit: u64,
}

impl Round {
    pub(super) fn closes_with(&mut self, token: &str) -> bool {
        if self.kept.as_deref() == Some(token) {
            return true;
        }
        self.steps += 1;
        if self.steps > self.limit {
            (self.kept, self.limit, self.steps) = (Some(token.to_owned()), 2 * self.limit.max(1), 0);
        }
        false
    }
}

impl Listing {
    /// The next page; `None` after the last one.
    pub async fn next_page(&mut self) -> Result<Option<ListPage>> {
        let token = match &self.next {
            Next::First => None,
            Next::Token(token) => Some(token.clone()),
            Next::Done => return Ok(None),
        };
        let request = self.page_request(token.as_deref());
        let parse = |_: &Answer, body: &[u8]| xml::parse_list_v2(body).map_err(broken_xml);
        let page = self.client.exchange(&request, MAX_PAGE, parse).await?;
        self.next = match &page.next_continuation_token {
            _ if !page.is_truncated => Next::Done,
            Some(next) if !self.round.closes_with(next) => Next::Token(next.clone()),
            _ => {
                let text = "the listing does not say where it goes on";
                return Err(Error::new(ErrorKind::Service, text).with_object(&self.request.bucket, ""));
            }
        };
        Ok(Some(page))
    }

    fn page_request(&self, token: Option<&str>) -> Request {
        let mut request = Request::new(Method::GET, &self.request.bucket, "")
            .query("list-type", "2")
            .query("encoding-type", "url")
            .query("prefix", &self.request.prefix);
        if let Some(delimiter) = &self.request.delimiter {
            request = request.query("delimiter", delimiter);
        }
        match (token, &self.request.start_after) {
            (Some(token), _) => request.query("continuation-token", token),
            (None, Some(after)) => request.query("start-after", after),
            (None, None) => request,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn every_round_is_noticed_and_no_line_is(tail in 0usize..50, cycle in 1usize..50) {
            let mut round = Round::default();
            let mut tokens = (0..).map(|step: usize| if step < tail { step } else { tail + (step - tail) % cycle });
            let noticed = tokens.by_ref().take(8 * (tail + cycle) + 8).any(|token| round.closes_with(&token.to_string()));
            prop_assert!(noticed);
            let mut line = Round::default();
            prop_assert!(!(0..1000).any(|token: u32| line.closes_with(&token.to_string())));
        }
    }
}
