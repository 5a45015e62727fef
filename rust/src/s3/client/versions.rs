//! Listing the versions of the objects of a bucket, page by page.
//!
//! A `Versions` holds one place to go on, never more. A place that repeats, or is not told while more is promised, ends
//! it with an error (U15).

use reqwest::Method;

use super::list::Round;
use super::{ListRequest, MAX_PAGE, S3Client, broken_xml};
use crate::error::{Error, ErrorKind, Result, escape};
use crate::s3::request::{Answer, Request};
use crate::s3::xml::{self, VersionPlace, VersionsPage};

/// A listing of versions under way.
pub struct Versions {
    client: S3Client,
    request: ListRequest,
    /// `None`: the last page came.
    next: Option<Option<VersionPlace>>,
    round: Round,
}

impl S3Client {
    pub fn list_object_versions(&self, request: ListRequest) -> Result<Versions> {
        crate::uri::validate_bucket(&request.bucket)?;
        Ok(Versions { client: self.clone(), request, next: Some(None), round: Round::default() })
    }
}

impl Versions {
    /// The next page; `None` after the last one.
    pub async fn next_page(&mut self) -> Result<Option<VersionsPage>> {
        let Some(place) = &self.next else { return Ok(None) };
        let request = self.page_request(place.as_ref());
        let parse = |_: &Answer, body: &[u8]| xml::parse_list_versions(body).map_err(broken_xml);
        let mut page = self.client.exchange(&request, MAX_PAGE, parse).await?;
        self.next = match page.next.take() {
            None => None,
            Some(place) if self.round.closes_with(&format!("{}\0{:?}", place.key, place.version_id)) => {
                let text = format!("the list of versions goes round at \"{}\"", escape(&place.key, 200));
                return Err(Error::new(ErrorKind::Service, text).with_object(&self.request.bucket, ""));
            }
            place => Some(place),
        };
        Ok(Some(page))
    }

    fn page_request(&self, place: Option<&VersionPlace>) -> Request {
        let mut request = Request::new(Method::GET, &self.request.bucket, "")
            .query("versions", "")
            .query("encoding-type", "url")
            .query("prefix", &self.request.prefix);
        if let Some(delimiter) = &self.request.delimiter {
            request = request.query("delimiter", delimiter);
        }
        match (place, &self.request.start_after) {
            (Some(VersionPlace { key, version_id: Some(id) }), _) => {
                request.query("key-marker", key).query("version-id-marker", id)
            }
            (Some(VersionPlace { key, version_id: None }), _) | (None, Some(key)) => request.query("key-marker", key),
            (None, None) => request,
        }
    }
}
