//! Receiving object bytes: into memory, a file or nowhere, while every digest that is needed runs along.

use std::io::Write;
use std::sync::Arc;

use md5::{Digest, Md5};
use sha2::Sha256;

use crate::checksum::{Algorithm, Hasher, from_base64, to_base64, to_hex};
use crate::config::EtagStyle;
use crate::error::{Fail, S3Error};
use crate::http::body::Body;
use crate::ops::Context;
use crate::store::content::Content;
use crate::store::object::{Checksum, ChecksumKind};

/// Bytes that have arrived and were what the client said.
pub(crate) struct Received {
    pub content: Content,
    /// `None` if nobody needed it.
    pub md5: Option<Vec<u8>>,
    /// Raw value and algorithm; `None` for a store without checksums.
    pub checksum: Option<(Algorithm, Vec<u8>)>,
}

impl Received {
    pub fn full_checksum(&self) -> Option<Checksum> {
        self.checksum.as_ref().map(|(algorithm, value)| Checksum {
            algorithm: *algorithm,
            kind: ChecksumKind::FullObject,
            value: to_base64(value),
        })
    }
}

/// Where the bytes go.
enum Sink {
    Memory(Vec<u8>),
    File(std::fs::File),
    Nowhere,
}

/// The digests that run along.
struct Digests {
    checksum: Option<(Algorithm, Hasher)>,
    md5: Option<Md5>,
    sha256: Option<Sha256>,
}

impl Digests {
    fn update(&mut self, bytes: &[u8]) {
        if let Some((_, hasher)) = &mut self.checksum {
            hasher.update(bytes);
        }
        if let Some(md5) = &mut self.md5 {
            md5.update(bytes);
        }
        if let Some(sha256) = &mut self.sha256 {
            sha256.update(bytes);
        }
    }
}

/// Reads the body of a PutObject or UploadPart and verifies every digest the client gave.
pub(crate) fn receive(context: &Context, body: &mut Body, expected: Option<Algorithm>) -> Result<Received, Fail> {
    let (head, switches) = (&context.request.head, &context.request.switches);
    if !head.has("content-length") && !head.has("transfer-encoding") {
        return Err(
            S3Error::new(411, "MissingContentLength", "You must provide the Content-Length HTTP header.").into()
        );
    }
    let announced = declared(context)?;
    let algorithm = match switches.no_checksums {
        true => None,
        false => announced.or(expected).or((!switches.no_default_checksum).then_some(Algorithm::Crc64Nvme)),
    };
    let discards = switches.discard_uploads;
    let wants_md5 =
        head.has("content-md5") || (!discards && matches!(switches.etag_style, EtagStyle::Md5 | EtagStyle::Weak));
    let mut digests = Digests {
        checksum: algorithm.map(|algorithm| (algorithm, Hasher::new(algorithm))),
        md5: wants_md5.then(Md5::new),
        sha256: context.payload_sha256.as_ref().map(|_| Sha256::new()),
    };
    let mut sink = match (discards, context.shared.new_file()?) {
        (true, _) => Sink::Nowhere,
        (false, Some(file)) => Sink::File(file),
        (false, None) => Sink::Memory(Vec::with_capacity(body.expected_len().unwrap_or(0).min(8 << 30) as usize)),
    };
    let mut len = 0;
    body.pump(&mut |bytes| {
        digests.update(bytes);
        len += bytes.len() as u64;
        match &mut sink {
            Sink::Memory(vec) => vec.extend_from_slice(bytes),
            Sink::File(file) => file.write_all(bytes)?,
            Sink::Nowhere => {}
        }
        Ok(())
    })?;
    let content = match sink {
        Sink::Memory(vec) => Content::from_bytes(vec),
        Sink::File(file) => Content::File { file: Arc::new(file), len },
        Sink::Nowhere => Content::Discarded { len },
    };
    conclude(context, body, digests, content)
}

fn conclude(context: &Context, body: &Body, digests: Digests, content: Content) -> Result<Received, Fail> {
    let head = &context.request.head;
    let md5 = digests.md5.map(|md5| md5.finalize().to_vec());
    if let Some(text) = head.get("content-md5") {
        let wanted = from_base64(text).filter(|value| value.len() == 16);
        let wanted =
            wanted.ok_or_else(|| S3Error::new(400, "InvalidDigest", "The Content-MD5 you specified is not valid."))?;
        if md5.as_ref() != Some(&wanted) {
            return Err(bad_digest("Content-MD5").into());
        }
    }
    if let (Some(sha256), Some(wanted)) = (digests.sha256, &context.payload_sha256) {
        check_sha256(sha256, wanted)?;
    }
    let checksum = digests.checksum.map(|(algorithm, hasher)| (algorithm, hasher.finish()));
    if let Some((algorithm, value)) = &checksum {
        check_value(*algorithm, value, head.get(algorithm.header()))?;
        let trailer = body.trailers.iter().find(|(name, _)| name == algorithm.header());
        check_value(*algorithm, value, trailer.map(|(_, value)| value.as_str()))?;
        if head.get("x-amz-trailer").is_some_and(|name| name.eq_ignore_ascii_case(algorithm.header()))
            && trailer.is_none()
        {
            return Err(S3Error::new(
                400,
                "MalformedTrailerError",
                "The request contained trailing data that was not \
                                    well-formed or did not conform to our published schema.",
            )
            .into());
        }
    }
    Ok(Received { content, md5, checksum })
}

/// Compares a SHA-256 with the one the client signed.
pub(crate) fn check_sha256(hash: Sha256, wanted: &str) -> Result<(), S3Error> {
    let computed = to_hex(&hash.finalize());
    if computed == wanted {
        return Ok(());
    }
    let text = "The provided 'x-amz-content-sha256' header does not match what was computed.";
    Err(S3Error::new(400, "XAmzContentSHA256Mismatch", text)
        .with("ClientComputedContentSHA256", wanted)
        .with("S3ComputedContentSHA256", computed))
}

fn check_value(algorithm: Algorithm, computed: &[u8], sent: Option<&str>) -> Result<(), S3Error> {
    let Some(sent) = sent else {
        return Ok(());
    };
    match from_base64(sent).filter(|value| value.len() == algorithm.value_len()) {
        None => Err(S3Error::invalid_request(format!("Value for {} header is invalid.", algorithm.header()))),
        Some(value) if value == computed => Ok(()),
        Some(_) => Err(bad_digest(algorithm.name())),
    }
}

pub(crate) fn bad_digest(name: &str) -> S3Error {
    S3Error::new(400, "BadDigest", format!("The {name} you specified did not match the calculated checksum."))
}

/// The algorithm the client uses, by header, trailer or name.
fn declared(context: &Context) -> Result<Option<Algorithm>, S3Error> {
    let head = &context.request.head;
    let mut sent = head.headers.iter().filter_map(|(name, _)| Algorithm::from_header(name));
    let first = sent.next();
    if sent.next().is_some() {
        return Err(S3Error::invalid_request(
            "Expecting a single x-amz-checksum- header. Multiple checksum Types are not allowed.",
        ));
    }
    let trailer = head.get("x-amz-trailer").and_then(Algorithm::from_header);
    let named = head.get("x-amz-sdk-checksum-algorithm").or(head.get("x-amz-checksum-algorithm"));
    Ok(first.or(trailer).or(named.and_then(Algorithm::parse)))
}
