//! Listing the multipart uploads of a bucket, page by page (U10, U15).

use reqwest::Method;

use super::list::Round;
use super::{MAX_PAGE, S3Client, broken_xml};
use crate::error::{Error, ErrorKind, Result};
use crate::s3::request::{Answer, Request};
use crate::s3::xml::{self, ListedUpload};

/// A listing under way.
pub struct Uploads {
    client: S3Client,
    bucket: String,
    prefix: String,
    /// `None`: the last page came.
    next: Option<Option<(String, String)>>,
    round: Round,
}

impl S3Client {
    pub fn list_multipart_uploads(&self, bucket: &str, prefix: &str) -> Result<Uploads> {
        crate::uri::validate_bucket(bucket)?;
        let (bucket, prefix) = (bucket.to_owned(), prefix.to_owned());
        Ok(Uploads { client: self.clone(), bucket, prefix, next: Some(None), round: Round::default() })
    }
}

impl Uploads {
    /// The next page; `None` after the last one.
    pub async fn next_page(&mut self) -> Result<Option<Vec<ListedUpload>>> {
        let Some(place) = &self.next else { return Ok(None) };
        let mut request = Request::new(Method::GET, &self.bucket, "")
            .query("uploads", "")
            .query("encoding-type", "url")
            .query("prefix", &self.prefix);
        if let Some((key, id)) = place {
            request = request.query("key-marker", key);
            if !id.is_empty() {
                request = request.query("upload-id-marker", id);
            }
        }
        let parse = |_: &Answer, body: &[u8]| xml::parse_list_uploads(body).map_err(broken_xml);
        let page = self.client.exchange(&request, MAX_PAGE, parse).await?;
        self.next = match page.next {
            None => None,
            Some((key, id)) if self.round.closes_with(&format!("{key}\0{id}")) => {
                let text = format!("the list of uploads goes round at \"{}\"", crate::error::escape(&key, 200));
                drop(id);
                return Err(Error::new(ErrorKind::Service, text).with_object(&self.bucket, ""));
            }
            place => Some(place),
        };
        Ok(Some(page.uploads))
    }
}
