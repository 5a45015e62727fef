//! What a request is about: bucket and key by either addressing style, and the S3 operation.

use std::net::IpAddr;
use std::sync::Arc;

use crate::config::Switches;
use crate::error::S3Error;
use crate::http::head::Head;
use crate::http::range::Range;
use crate::uri::{Query, decode};

macro_rules! operations {
    ($($name:ident),* $(,)?) => {
        /// An operation of the S3 API.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub(crate) enum Operation { $($name),* }

        impl Operation {
            pub fn name(self) -> &'static str {
                match self { $(Self::$name => stringify!($name)),* }
            }
        }
    };
}

operations!(
    AbortMultipartUpload,
    CompleteMultipartUpload,
    CopyObject,
    CreateBucket,
    CreateMultipartUpload,
    DeleteBucket,
    DeleteObject,
    DeleteObjects,
    GetBucketLocation,
    GetBucketVersioning,
    GetObject,
    GetObjectAttributes,
    GetObjectTagging,
    HeadBucket,
    HeadObject,
    ListBuckets,
    ListMultipartUploads,
    ListObjects,
    ListObjectVersions,
    ListObjectsV2,
    ListParts,
    PutBucketVersioning,
    PutObject,
    PutObjectTagging,
    DeleteObjectTagging,
    UploadPart,
    UploadPartCopy,
    Unknown,
);

/// A request, understood.
pub(crate) struct Request {
    pub head: Head,
    pub query: Query,
    pub bucket: Option<String>,
    pub key: Option<String>,
    pub operation: Operation,
    pub range: Option<Range>,
    pub part: Option<u32>,
    pub connection: u64,
    /// How many requests came before on this connection.
    pub nth: u64,
    pub switches: Arc<Switches>,
}

/// The place of a request on its connection, and the switches it is served under.
pub(crate) struct Arrival {
    pub connection: u64,
    pub nth: u64,
    pub switches: Arc<Switches>,
}

impl Request {
    pub fn new(head: Head, arrival: Arrival, is_bucket: &dyn Fn(&str) -> bool) -> Result<Self, S3Error> {
        let bad = || S3Error::new(400, "InvalidURI", "Couldn't parse the specified URI.");
        let query = Query::parse(&head.query).ok_or_else(bad)?;
        let path = decode(&head.path, false).and_then(|bytes| String::from_utf8(bytes).ok()).ok_or_else(bad)?;
        let path = path.strip_prefix('/').ok_or_else(bad)?;
        let (bucket, key) = match virtual_bucket(head.get("host").unwrap_or_default(), is_bucket) {
            Some(bucket) => (Some(bucket), some(path)),
            None => {
                let (bucket, key) = path.split_once('/').unwrap_or((path, ""));
                (some(bucket), some(key))
            }
        };
        let operation = operation(&head, &query, bucket.is_some(), key.is_some());
        let range = head.get("range").and_then(Range::parse);
        let part = query.get("partNumber").and_then(|text| text.parse().ok());
        let Arrival { connection, nth, switches } = arrival;
        Ok(Self { head, query, bucket, key, operation, range, part, connection, nth, switches })
    }

    pub fn bucket(&self) -> &str {
        self.bucket.as_deref().unwrap_or_default()
    }

    pub fn key(&self) -> &str {
        self.key.as_deref().unwrap_or_default()
    }

    pub fn version(&self) -> Option<&str> {
        self.query.get("versionId")
    }

    /// The resource an error names.
    pub fn resource(&self) -> String {
        match (&self.bucket, &self.key) {
            (Some(bucket), Some(key)) => format!("/{bucket}/{key}"),
            (Some(bucket), None) => format!("/{bucket}"),
            _ => "/".to_owned(),
        }
    }
}

fn some(text: &str) -> Option<String> {
    (!text.is_empty()).then(|| text.to_owned())
}

/// The longest existing bucket that `host` starts with, if the rest is a name and no address.
fn virtual_bucket(host: &str, is_bucket: &dyn Fn(&str) -> bool) -> Option<String> {
    let name = host.rsplit_once(':').map_or(host, |(name, _)| name);
    if name.parse::<IpAddr>().is_ok() {
        return None;
    }
    let dots = name.rmatch_indices('.').map(|(at, _)| &name[..at]);
    dots.into_iter().find(|label| is_bucket(label)).map(str::to_owned)
}

fn operation(head: &Head, query: &Query, has_bucket: bool, has_key: bool) -> Operation {
    match (has_bucket, has_key) {
        (false, _) => match head.method.as_str() {
            "GET" => Operation::ListBuckets,
            _ => Operation::Unknown,
        },
        (true, false) => bucket_operation(head, query),
        (true, true) => object_operation(head, query),
    }
}

fn bucket_operation(head: &Head, query: &Query) -> Operation {
    let has = |name: &str| query.has(name);
    match head.method.as_str() {
        "GET" if has("location") => Operation::GetBucketLocation,
        "GET" if has("versioning") => Operation::GetBucketVersioning,
        "GET" if has("uploads") => Operation::ListMultipartUploads,
        "GET" if has("versions") => Operation::ListObjectVersions,
        "GET" if query.get("list-type") == Some("2") => Operation::ListObjectsV2,
        "GET" => Operation::ListObjects,
        "HEAD" => Operation::HeadBucket,
        "PUT" if has("versioning") => Operation::PutBucketVersioning,
        "PUT" => Operation::CreateBucket,
        "DELETE" => Operation::DeleteBucket,
        "POST" if has("delete") => Operation::DeleteObjects,
        _ => Operation::Unknown,
    }
}

fn object_operation(head: &Head, query: &Query) -> Operation {
    let has = |name: &str| query.has(name);
    let copies = head.has("x-amz-copy-source");
    match head.method.as_str() {
        "GET" if has("attributes") => Operation::GetObjectAttributes,
        "GET" if has("tagging") => Operation::GetObjectTagging,
        "GET" if has("uploadId") => Operation::ListParts,
        "GET" => Operation::GetObject,
        "HEAD" => Operation::HeadObject,
        "PUT" if has("tagging") => Operation::PutObjectTagging,
        "PUT" if has("uploadId") && copies => Operation::UploadPartCopy,
        "PUT" if has("uploadId") => Operation::UploadPart,
        "PUT" if copies => Operation::CopyObject,
        "PUT" => Operation::PutObject,
        "POST" if has("uploads") => Operation::CreateMultipartUpload,
        "POST" if has("uploadId") => Operation::CompleteMultipartUpload,
        "DELETE" if has("uploadId") => Operation::AbortMultipartUpload,
        "DELETE" if has("tagging") => Operation::DeleteObjectTagging,
        "DELETE" => Operation::DeleteObject,
        _ => Operation::Unknown,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn request(text: &str) -> Request {
        let arrival = Arrival { connection: 1, nth: 0, switches: Arc::default() };
        Request::new(Head::parse(text.as_bytes()).unwrap(), arrival, &|name| name == "b" || name == "x.y").unwrap()
    }

    #[test]
    fn both_addressing_styles() {
        for (host, path, bucket, key) in [
            ("127.0.0.1:9", "/b/k/l", Some("b"), Some("k/l")),
            ("b.localhost:9", "/k/l", Some("b"), Some("k/l")),
            ("x.y.localhost", "/", Some("x.y"), None),
            ("other.localhost", "/b//k", Some("b"), Some("/k")),
            ("h", "/b/../c", Some("b"), Some("../c")),
            ("h", "/", None, None),
        ] {
            let got = request(&format!("GET {path} HTTP/1.1\r\nHost: {host}\r\n\r\n"));
            assert_eq!((got.bucket.as_deref(), got.key.as_deref()), (bucket, key), "{host} {path}");
        }
    }

    #[test]
    fn operations() {
        for (line, expected) in [
            ("GET /", "ListBuckets"),
            ("GET /b?list-type=2", "ListObjectsV2"),
            ("PUT /b/k?partNumber=1&uploadId=u", "UploadPart"),
            ("POST /b?delete", "DeleteObjects"),
            ("POST /b/k?uploads", "CreateMultipartUpload"),
            ("HEAD /b/k", "HeadObject"),
            ("PATCH /b/k", "Unknown"),
        ] {
            assert_eq!(request(&format!("{line} HTTP/1.1\r\n\r\n")).operation.name(), expected);
        }
    }
}
