//! What may be said of bytes that went by and cannot be read again: the comparison with what the store holds (C3–C8).

use crate::checksum::{Digest, Kind, composite};
use crate::error::{Error, Result};
use crate::ops::report::Verification;
use crate::ops::stored::{StoredSum, Verify, require};
use crate::ops::stream::StreamRequest;
use crate::ops::sums::RangeSums;
use crate::s3::client::{PartLayout, S3Client};
use crate::s3::object::{ObjectIdentity, StoredChecksum};

/// What the bytes added up to.
pub struct Passed {
    pub sums: RangeSums,
    /// Over all of them, where they came in order.
    pub hashes: Vec<Digest>,
}

/// The comparison; of a mismatch nothing can be mended any more. That a range is not `require`d to be compared was seen to
/// before it was asked for.
pub async fn verdict(
    request: &StreamRequest,
    passed: &Passed,
    stored: &mut StoredSum,
    client: &S3Client,
    identity: &ObjectIdentity,
) -> Result<Verification> {
    if !request.span.is_all() {
        return Ok(Verification::Length("a range has no checksum".into()));
    }
    let (verify, object) = (request.verify, &request.object);
    if verify == Verify::Off {
        return Ok(Verification::Length("verification is off".into()));
    }
    let held = stored.of(client, object, identity).await;
    let whole = |expected: Digest| match passed.of(identity.size, expected.kind()) {
        Some(actual) if actual == expected => Ok(Ok(Verification::FullObject(expected.kind()))),
        Some(actual) => Err(mismatch(&expected, &actual)),
        None => Ok(Err(format!("{} was not computed over all bytes", expected.kind().name()))),
    };
    let outcome = match (held.checksum, held.layout) {
        (StoredChecksum::FullObject(algorithm, value), _) => whole(Digest::of_crc(algorithm, value))?,
        (StoredChecksum::FullSha(value), _) => whole(value)?,
        (StoredChecksum::Composite { value, .. }, Some(Ok(layout))) => passed.of_parts(value, &layout)?,
        (StoredChecksum::Composite { value, .. }, Some(Err(why))) => {
            Err(format!("the stored {} is of parts, and {why}", value.kind().name()))
        }
        (StoredChecksum::Composite { .. }, None) => Err("the stored checksum is of parts that are not known".into()),
        (StoredChecksum::Damaged(why), _) => return Err(Error::integrity(why)),
        (StoredChecksum::NotUsable(why), _) => Err(why),
        (StoredChecksum::None, _) => Err("the store holds no checksum".into()),
    };
    match outcome {
        Ok(verified) => Ok(verified),
        Err(why) if verify == Verify::Require => Err(require(&why)),
        Err(why) => Ok(Verification::Length(why)),
    }
}

impl Passed {
    fn of(&self, size: u64, kind: Kind) -> Option<Digest> {
        match kind {
            Kind::Crc(algorithm) => Some(Digest::of_crc(algorithm, self.sums.over(0..size)?.value(algorithm)?)),
            Kind::Sha(_) => self.hashes.iter().find(|hash| hash.kind() == kind).copied(),
        }
    }

    /// Each part by itself, where its bytes were summed up apart; the text says why not.
    fn of_parts(&self, value: Digest, layout: &PartLayout) -> Result<Result<Verification, String>> {
        let kind = value.kind();
        let Kind::Crc(algorithm) = kind else {
            return Ok(Err(format!("{} of parts is not compared in a stream", kind.name())));
        };
        for (number, part) in (1..).zip(&layout.parts) {
            let actual = self.sums.over(part.range.clone()).and_then(|sums| sums.value(algorithm));
            let Some(actual) = actual.map(|crc| Digest::of_crc(algorithm, crc)) else {
                return Ok(Err(format!("where part {number} ends was known too late")));
            };
            if actual != part.digest {
                let text = format!("of part {number} is {}, the store holds {}", actual.encode(), part.digest.encode());
                return Err(Error::integrity(format!("{} {text}", kind.name())));
            }
        }
        if composite(kind, layout.parts.iter().map(|part| part.digest)) != value {
            let text = format!("the stored {} is not the one of the parts it is said to be of", kind.name());
            return Err(Error::integrity(text));
        }
        Ok(Ok(Verification::Parts(kind, u32::try_from(layout.parts.len()).unwrap_or(u32::MAX))))
    }
}

pub fn mismatch(expected: &Digest, actual: &Digest) -> Error {
    let text = format!("of the bytes is {}, the store holds {}", actual.encode(), expected.encode());
    Error::integrity(format!("{} {text}", expected.kind().name()))
}
