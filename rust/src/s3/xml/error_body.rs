//! `Error` documents, and the answers of which only the root says whether they are one (C11).
//!
//! A 200 to Complete or a copy may hold either document, after minutes of white space; the root element decides,
//! never a search in the text. Of an error only the fields below are kept (S7), cut and escaped.

use crate::checksum::Kind;
use crate::error::{Error, ErrorKind, MAX_SHOWN, Result, escape};

use super::read::{broken, walk};

/// What a store says of a failure; every text is cut and escaped.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ErrorBody {
    /// Empty if the store named none.
    pub code: String,
    pub message: String,
    pub request_id: Option<String>,
    pub host_id: Option<String>,
    /// Not validated: `endpoint::validate_region` before use.
    pub region: Option<String>,
    /// Not validated: for people, not for requests.
    pub endpoint: Option<String>,
    /// The header, argument or condition it is about; compared, never shown.
    pub about: String,
}

impl ErrorBody {
    fn take(&mut self, field: &str, text: &str) {
        let shown = escape(text.trim(), MAX_SHOWN);
        match field {
            "Code" => self.code = shown,
            "Message" => self.message = shown,
            "RequestId" => self.request_id = Some(shown),
            "HostId" => self.host_id = Some(shown),
            "Region" => self.region = Some(shown),
            "Endpoint" => self.endpoint = Some(shown),
            "Header" | "ArgumentName" | "Condition" => self.about = shown,
            _ => {}
        }
    }
}

/// The error in a body; `None` for HTML, garbage, nothing, or an error without a code.
pub fn parse_error(body: &[u8]) -> Option<ErrorBody> {
    let mut error = ErrorBody::default();
    let walked = walk(body, |path, text| {
        // Some services wrap the error and put the request id beside it.
        let field = path.strip_prefix("ErrorResponse/").map(|rest| rest.strip_prefix("Error/").unwrap_or(rest));
        if let Some(field) = field.or_else(|| path.strip_prefix("Error/")) {
            error.take(field, text);
        }
        Ok(())
    });
    walked.ok().filter(|()| !error.code.is_empty()).map(|()| error)
}

/// The document in a 200 to CompleteMultipartUpload, CopyObject or UploadPartCopy.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum CompleteOutcome {
    Done { etag: String, checksums: Vec<(Kind, String)>, checksum_type: Option<String> },
    Error(ErrorBody),
}

pub fn parse_complete(body: &[u8]) -> Result<CompleteOutcome> {
    parse_outcome(body, "CompleteMultipartUploadResult")
}

/// The answer to CopyObject.
pub fn parse_copy(body: &[u8]) -> Result<CompleteOutcome> {
    parse_outcome(body, "CopyObjectResult")
}

/// The answer to UploadPartCopy.
pub fn parse_copy_part(body: &[u8]) -> Result<CompleteOutcome> {
    parse_outcome(body, "CopyPartResult")
}

fn parse_outcome(body: &[u8], expected_root: &str) -> Result<CompleteOutcome> {
    let mut error = ErrorBody::default();
    let mut etag = String::new();
    let mut checksums = Vec::new();
    let mut checksum_type = None;
    let mut root = String::new();
    walk(body, |path, text| {
        match path.split_once('/') {
            None => root = path.to_owned(),
            Some(("Error", field)) => error.take(field, text),
            Some((_, "ETag")) => etag = text.trim().to_owned(),
            Some((_, "ChecksumType")) => checksum_type = Some(text.trim().to_owned()),
            Some((_, field)) => checksums.extend(checksum_field(field, text)),
        }
        Ok(())
    })?;
    if root == "Error" {
        return Ok(CompleteOutcome::Error(error));
    }
    if root != expected_root {
        return Err(broken());
    }
    if etag.is_empty() {
        return Err(Error::new(ErrorKind::Service, "answer has no ETag"));
    }
    Ok(CompleteOutcome::Done { etag, checksums, checksum_type })
}

/// `ChecksumCRC64NVME` and its like; those of other algorithms are not usable (C7).
pub(super) fn checksum_field(field: &str, text: &str) -> Option<(Kind, String)> {
    let kind = Kind::from_name(field.strip_prefix("Checksum")?)?;
    Some((kind, text.trim().to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn error_keeps_only_what_may_be_shown() {
        let body =
            b"<?xml version='1.0'?><Error><Code>SignatureDoesNotMatch</Code><Message>no \x1b[1m &lt;b&gt;</Message>\
            <AWSAccessKeyId>CANARY</AWSAccessKeyId><StringToSign>CANARY</StringToSign><Region>eu-west-1</Region>\
            <RequestId>R1</RequestId><HostId>H1</HostId><Endpoint>b.s3.amazonaws.com</Endpoint></Error>";
        let error = parse_error(body).unwrap();
        assert_eq!(error.code, "SignatureDoesNotMatch");
        assert_eq!(error.message, "no \\x1b[1m <b>");
        assert_eq!(error.region.as_deref(), Some("eu-west-1"));
        assert_eq!((error.request_id.as_deref(), error.host_id.as_deref()), (Some("R1"), Some("H1")));
        assert_eq!(error.endpoint.as_deref(), Some("b.s3.amazonaws.com"));
        assert!(!format!("{error:?}").contains("CANARY"));
    }

    #[test]
    fn wrapped_error_is_read() {
        let body = b"<ErrorResponse><Error><Code>Throttling</Code></Error><RequestId>R</RequestId></ErrorResponse>";
        let error = parse_error(body).unwrap();
        assert_eq!((error.code.as_str(), error.request_id.as_deref()), ("Throttling", Some("R")));
    }

    #[test]
    fn long_text_is_cut() {
        let body = format!("<Error><Code>C</Code><Message>{}</Message></Error>", "m".repeat(5000));
        assert_eq!(parse_error(body.as_bytes()).unwrap().message.chars().count(), MAX_SHOWN + 1);
    }

    #[test]
    fn what_is_no_error_is_none() {
        let table: [&[u8]; 8] = [
            b"",
            b"<html><body><h1>502 Bad Gateway</h1><hr></body></html>",
            b"<html><Error><Code>X</Code></Error></html>",
            b"{\"code\": 1}",
            b"<Error><Code>InternalError</Code>",
            b"<Error><Message>m</Message></Error>",
            b"\xff\xfe\x00",
            b"<!DOCTYPE Error><Error><Code>X</Code></Error>",
        ];
        for body in table {
            assert_eq!(parse_error(body), None, "{}", String::from_utf8_lossy(body));
        }
    }

    #[test]
    fn the_root_decides() {
        let done = "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n\n   \n<CompleteMultipartUploadResult xmlns=\"u\">\
            <Location>Error</Location><Key>&lt;Error&gt;</Key><ETag>&quot;e-2&quot;</ETag>\
            <ChecksumCRC64NVME>rosUhgp5mIg=</ChecksumCRC64NVME><ChecksumSHA512>x</ChecksumSHA512>\
            <ChecksumType>FULL_OBJECT</ChecksumType></CompleteMultipartUploadResult>";
        let expected = CompleteOutcome::Done {
            etag: "\"e-2\"".to_owned(),
            checksums: vec![(crate::checksum::Algorithm::Crc64Nvme.into(), "rosUhgp5mIg=".to_owned())],
            checksum_type: Some("FULL_OBJECT".to_owned()),
        };
        assert_eq!(parse_complete(done.as_bytes()).unwrap(), expected);
        let failed = "  \n <?xml version=\"1.0\"?><Error><Code>InternalError</Code><Message>\
            CompleteMultipartUploadResult</Message></Error>";
        let CompleteOutcome::Error(error) = parse_complete(failed.as_bytes()).unwrap() else { panic!("not an error") };
        assert_eq!(error.code, "InternalError");
    }

    #[test]
    fn other_roots_cut_bodies_and_missing_etags_are_no_success() {
        let copy = b"<CopyObjectResult><ETag>\"e\"</ETag></CopyObjectResult>";
        let part = b"<CopyPartResult><ETag>\"e\"</ETag></CopyPartResult>";
        assert!(matches!(parse_copy(copy), Ok(CompleteOutcome::Done { .. })));
        assert!(matches!(parse_copy_part(part), Ok(CompleteOutcome::Done { .. })));
        let table: [&[u8]; 7] = [
            copy,
            part,
            b"",
            b"    ",
            b"<CompleteMultipartUploadResult><ETag>\"e\"</ETag>",
            b"<CompleteMultipartUploadResult><ETag/></CompleteMultipartUploadResult>",
            b"<CompleteMultipartUploadResult><Error><ETag>\"e\"</ETag></Error></CompleteMultipartUploadResult>",
        ];
        for body in table {
            let error = parse_complete(body).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Service, "{}", String::from_utf8_lossy(body));
        }
    }

    proptest! {
        #[test]
        fn total_on_any_bytes(body in prop::collection::vec(any::<u8>(), 0..200)) {
            let _ = parse_error(&body);
            let _ = parse_complete(&body);
        }
    }
}
