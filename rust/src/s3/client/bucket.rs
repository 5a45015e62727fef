//! Actions on buckets: list, create, head, delete.

use bytes::Bytes;
use reqwest::Method;

use super::{MAX_PAGE, S3Client, broken_xml};
use crate::error::{Error, ErrorKind, Result};
use crate::s3::attempts::Attempts;
use crate::s3::payload::Payload;
use crate::s3::request::{Answer, Request};
use crate::s3::xml::{self, ListedBucket};

impl S3Client {
    pub async fn list_buckets(&self) -> Result<Vec<ListedBucket>> {
        let mut buckets = Vec::new();
        let mut token: Option<String> = None;
        loop {
            let mut request = Request::new(Method::GET, "", "");
            if let Some(token) = &token {
                request = request.query("continuation-token", token);
            }
            let parse = |_: &Answer, body: &[u8]| xml::parse_list_buckets(body).map_err(broken_xml);
            let page = self.exchange(&request, MAX_PAGE, parse).await?;
            buckets.extend(page.buckets);
            match page.next_continuation_token {
                None => return Ok(buckets),
                Some(next) if token.as_ref() == Some(&next) => {
                    return Err(Error::new(ErrorKind::Service, "the list of buckets does not say where it goes on"));
                }
                next => token = next,
            }
        }
    }

    /// The bucket's region, if the store tells it.
    pub async fn head_bucket(&self, bucket: &str) -> Result<Option<String>> {
        crate::uri::validate_bucket(bucket)?;
        let answer = self.send(&Request::new(Method::HEAD, bucket, ""), &mut Attempts::default()).await?;
        Ok(answer.header("x-amz-bucket-region").map(str::to_owned))
    }

    /// Makes the bucket in the configured region.
    pub async fn create_bucket(&self, bucket: &str) -> Result<()> {
        crate::uri::validate_bucket(bucket)?;
        let mut request = Request::new(Method::PUT, bucket, "");
        let region = &self.config().region;
        // AWS refuses a constraint that names its first region.
        if region != "us-east-1" {
            request = request.payload(Payload::bytes(Bytes::from(xml::create_bucket_body(region))));
        }
        self.send(&request, &mut Attempts::default()).await.map(drop)
    }

    pub async fn delete_bucket(&self, bucket: &str) -> Result<()> {
        crate::uri::validate_bucket(bucket)?;
        self.send(&Request::new(Method::DELETE, bucket, ""), &mut Attempts::default()).await.map(drop)
    }
}
