//! What may be said of a file whose bytes have all come: the comparison with what the store holds (C3–C8).

use super::fetch::Fetch;
use crate::checksum::{self, Algorithm};
use crate::error::{Error, Result};
use crate::ops::adapt::Adaption;
use crate::ops::report::Verification;
use crate::ops::stored::{Verify, require};
use crate::s3::object::{ObjectIdentity, StoredChecksum};

pub(super) enum Verdict {
    Proved(Verification),
    Mismatch(Error),
}

impl Fetch<'_> {
    pub(super) async fn verify(&mut self, _adaption: &mut Adaption) -> Result<Verdict> {
        let length = |why: String| Verdict::Proved(Verification::Length(why));
        let verify = self.run.request.verify;
        if verify == Verify::Off {
            return Ok(length("verification is off".into()));
        }
        let size = self.received + self.resumed;
        let got = ObjectIdentity { size, ..self.identity.clone() };
        let why = match self.stored.of(&self.run.engine.client, &self.run.request.object, &got).await {
            StoredChecksum::FullObject(algorithm, expected) => {
                match self.sums.over(0..size).and_then(|sums| sums.value(algorithm)) {
                    Some(actual) if actual == expected => {
                        return Ok(Verdict::Proved(Verification::FullObject(algorithm)));
                    }
                    Some(actual) => return Ok(Verdict::Mismatch(mismatch(algorithm, expected, actual))),
                    None => format!("{} was not computed over all ranges", algorithm.name()),
                }
            }
            StoredChecksum::Damaged(why) => return Err(Error::integrity(why)),
            StoredChecksum::NotUsable(why) => why,
            StoredChecksum::None => "the store holds no checksum".into(),
        };
        if verify == Verify::Require { Err(require(&why)) } else { Ok(length(why)) }
    }
}

fn mismatch(algorithm: Algorithm, expected: u64, actual: u64) -> Error {
    let (expected, actual) = (checksum::encode(algorithm, expected), checksum::encode(algorithm, actual));
    Error::integrity(format!("{} of the bytes is {actual}, the store holds {expected}", algorithm.name()))
}
