//! S3 errors as values: status, code, message and the extra elements some of them carry.
//!
//! The only place where an error becomes XML. `Fail` separates "answer this" from "the connection is gone".

use std::io;

use crate::xml::escape;

/// An error answer of S3.
#[derive(Debug, Clone)]
pub(crate) struct S3Error {
    pub status: u16,
    pub code: String,
    pub message: String,
    pub extra: Vec<(&'static str, String)>,
    pub headers: Vec<(String, String)>,
}

impl S3Error {
    pub fn new(status: u16, code: &str, message: impl Into<String>) -> Self {
        Self { status, code: code.to_owned(), message: message.into(), extra: Vec::new(), headers: Vec::new() }
    }

    pub fn with(mut self, element: &'static str, value: impl Into<String>) -> Self {
        self.extra.push((element, value.into()));
        self
    }

    pub fn header(mut self, name: &str, value: impl Into<String>) -> Self {
        self.headers.push((name.to_owned(), value.into()));
        self
    }

    pub fn no_such_bucket(bucket: &str) -> Self {
        Self::new(404, "NoSuchBucket", "The specified bucket does not exist").with("BucketName", bucket)
    }

    pub fn no_such_key(key: &str) -> Self {
        Self::new(404, "NoSuchKey", "The specified key does not exist.").with("Key", key)
    }

    pub fn no_such_upload(id: &str) -> Self {
        let text = "The specified upload does not exist. The upload ID may be invalid, or the upload may have been aborted or \
                    completed.";
        Self::new(404, "NoSuchUpload", text).with("UploadId", id)
    }

    pub fn invalid_argument(message: impl Into<String>) -> Self {
        Self::new(400, "InvalidArgument", message)
    }

    pub fn invalid_request(message: impl Into<String>) -> Self {
        Self::new(400, "InvalidRequest", message)
    }

    pub fn malformed_xml() -> Self {
        let text = "The XML you provided was not well-formed or did not validate against our published schema";
        Self::new(400, "MalformedXML", text)
    }

    pub fn precondition(condition: &str) -> Self {
        let text = "At least one of the pre-conditions you specified did not hold";
        Self::new(412, "PreconditionFailed", text).with("Condition", condition)
    }

    pub fn not_implemented(header: &str) -> Self {
        let text = "A header you provided implies functionality that is not implemented";
        Self::new(501, "NotImplemented", text).with("Header", header)
    }

    pub fn access_denied(message: &str) -> Self {
        Self::new(403, "AccessDenied", message)
    }

    pub fn xml(&self, resource: &str, request_id: &str, host_id: &str) -> String {
        let mut out = format!(
            "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<Error><Code>{}</Code><Message>{}</Message>",
            escape(&self.code),
            escape(&self.message)
        );
        for (name, value) in &self.extra {
            out.push_str(&format!("<{name}>{}</{name}>", escape(value)));
        }
        out.push_str(&format!(
            "<Resource>{}</Resource><RequestId>{request_id}</RequestId><HostId>{host_id}</HostId></Error>",
            escape(resource)
        ));
        out
    }
}

/// Why a handler did not produce an answer of its own.
#[derive(Debug)]
pub(crate) enum Fail {
    /// Answer with this error.
    S3(Box<S3Error>),
    /// The connection broke, or a fault broke it.
    Io(io::Error),
}

impl From<S3Error> for Fail {
    fn from(error: S3Error) -> Self {
        Self::S3(Box::new(error))
    }
}

impl From<io::Error> for Fail {
    fn from(error: io::Error) -> Self {
        Self::Io(error)
    }
}
