//! What a copy carries besides its bytes: in the headers of one request, or of the upload that is made of parts.
//!
//! A CopyObject is told by directives whether metadata and tags are the source's; an upload knows no source, so what would
//! be the source's is asked for and said. Storage class, permissions and encryption are never taken along, as with
//! CopyObject.

use super::CopyRequest;
use crate::error::{Error, ErrorKind, Result};
use crate::ops::engine::Engine;
use crate::s3::encode::encode_query;
use crate::s3::object::{ObjectHead, WRITE_ID};

const METADATA: [&str; 6] =
    ["cache-control", "content-disposition", "content-encoding", "content-language", "content-type", "expires"];
const TAGS: &str = "x-amz-tagging";
/// Said by `CopyRequest` itself, and only in CopyObject.
const DIRECTIVES: [&str; 2] = ["x-amz-metadata-directive", "x-amz-tagging-directive"];

/// Whether this header is metadata, which a copy takes along as a whole or not at all.
pub fn is_metadata(name: &str) -> bool {
    METADATA.contains(&name) || name.starts_with("x-amz-meta-")
}

fn own_headers(request: &CopyRequest) -> impl Iterator<Item = (String, String)> {
    request.headers.iter().filter(|(name, _)| !DIRECTIVES.contains(&name.as_str())).cloned()
}

fn has_own_tags(request: &CopyRequest) -> bool {
    request.headers.iter().any(|(name, _)| name == TAGS)
}

pub fn for_one_request(request: &CopyRequest) -> Vec<(String, String)> {
    let directive = |replaces: bool| if replaces { "REPLACE" } else { "COPY" }.to_owned();
    let mut headers: Vec<_> = own_headers(request).collect();
    headers.push(("x-amz-metadata-directive".to_owned(), directive(request.replace_metadata)));
    if has_own_tags(request) {
        headers.push(("x-amz-tagging-directive".to_owned(), directive(true)));
    }
    headers
}

pub async fn for_parts(engine: &Engine, request: &CopyRequest, head: &ObjectHead) -> Result<Vec<(String, String)>> {
    let named = |error: Error| error.with_object(&request.source.bucket, &request.source.key);
    let mut headers: Vec<_> = own_headers(request).collect();
    if !request.replace_metadata {
        headers.extend(of_source(head).map_err(named)?);
    }
    let tags = head.headers.iter().find(|(name, _)| name == "x-amz-tagging-count");
    if tags.is_some_and(|(_, count)| count != "0") && !has_own_tags(request) {
        let _one = engine.scheduler.request().await;
        let tags = engine.client.get_object_tagging(&request.source).await?;
        let pairs: Vec<_> = tags.iter().map(|(k, v)| format!("{}={}", encode_query(k), encode_query(v))).collect();
        headers.push((TAGS.to_owned(), pairs.join("&")));
    }
    Ok(headers)
}

fn of_source(head: &ObjectHead) -> Result<Vec<(String, String)>> {
    if head.headers.iter().any(|(name, count)| name == "x-amz-missing-meta" && count != "0") {
        let text = "the source has metadata that its headers do not show: a copy by parts would lose it";
        return Err(Error::new(ErrorKind::Service, text));
    }
    let own = head.headers.iter().filter(|(name, _)| METADATA.contains(&name.as_str())).cloned();
    let named = head.metadata.iter().filter(|(name, _)| name != WRITE_ID);
    Ok(own.chain(named.map(|(name, value)| (format!("x-amz-meta-{name}"), value.clone()))).collect())
}
