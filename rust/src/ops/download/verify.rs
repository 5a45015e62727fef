//! What may be said of a file whose bytes have all come: the comparison with what the store holds (C3–C8).

use std::ops::Range;

use super::fetch::Fetch;
use crate::checksum::{Algorithm, Digest, Kind, Sha, ShaHasher, composite};
use crate::error::{Error, Result};
use crate::ops::adapt::Adaption;
use crate::ops::read_back::read_back;
use crate::ops::report::Verification;
use crate::ops::stored::{Verify, require};
use crate::ops::sums::{Summing, Wanted};
use crate::ops::verdict::mismatch;
use crate::s3::client::{PartLayout, StoredPart};
use crate::s3::object::{ObjectIdentity, StoredChecksum};

pub(super) enum Verdict {
    Proved(Verification),
    /// Of the whole; it may be fetched once more.
    Mismatch(Error),
}

/// What is known of a part that is not what the store holds.
struct BadPart {
    number: usize,
    range: Range<u64>,
    expected: Digest,
    actual: Digest,
}

impl Fetch<'_> {
    pub(super) async fn verify(&mut self, adaption: &mut Adaption) -> Result<Verdict> {
        let verify = self.run.request.verify;
        if verify == Verify::Off {
            return Ok(Verdict::Proved(Verification::Length("verification is off".into())));
        }
        let got = ObjectIdentity { size: self.size(), ..self.identity.clone() };
        let stored = self.stored.of(&self.run.engine.client, &self.run.request.object, &got).await;
        let why = match (stored.checksum, stored.layout) {
            (StoredChecksum::FullObject(algorithm, expected), _) => {
                let actual = self.crc(0..self.size(), algorithm).await?;
                return Ok(whole(Digest::of_crc(algorithm, expected), Digest::of_crc(algorithm, actual)));
            }
            (StoredChecksum::FullSha(expected), _) => match self.sha_of_whole(&expected).await? {
                Some(actual) => return Ok(whole(expected, actual)),
                None => {
                    let name = expected.kind().name();
                    format!("only {name} of the whole is stored, which verify=\"require\" reads the file once more for")
                }
            },
            (StoredChecksum::Composite { value, .. }, Some(Ok(layout))) => {
                return self.verify_parts(value, &layout, adaption).await;
            }
            (StoredChecksum::Composite { value, .. }, Some(Err(why))) => {
                format!("the stored {} is of parts, and {why}", value.kind().name())
            }
            (StoredChecksum::Composite { value, .. }, None) => {
                format!("the stored {} is of parts that are not known", value.kind().name())
            }
            (StoredChecksum::Damaged(why), _) => return Err(Error::integrity(why)),
            (StoredChecksum::NotUsable(why), _) => why,
            (StoredChecksum::None, _) => "the store holds no checksum".into(),
        };
        match verify {
            Verify::Require => Err(require(&why)),
            _ => Ok(Verdict::Proved(Verification::Length(why))),
        }
    }

    /// Each part by itself; bad ones are fetched once more, over new connections (C5, C6).
    async fn verify_parts(&mut self, value: Digest, layout: &PartLayout, adaption: &mut Adaption) -> Result<Verdict> {
        let bad = self.bad_parts(layout).await?;
        if !bad.is_empty() {
            for part in &bad {
                self.fetch_anew(part.range.clone()).await?;
            }
            self.drain_plan(adaption).await?;
            if let Some(part) = self.bad_parts(layout).await?.first() {
                let BadPart { number, expected, actual, .. } = part;
                let text = format!("of part {number} is {}, the store holds {}", actual.encode(), expected.encode());
                return Err(Error::integrity(format!("{} {text}", expected.kind().name())));
            }
        }
        let kind = value.kind();
        let count = u32::try_from(layout.parts.len()).unwrap_or(u32::MAX);
        if composite(kind, layout.parts.iter().map(|part| part.digest)) != value {
            let text = format!("the stored {} is not the one of the parts it is said to be of", kind.name());
            return Err(Error::integrity(text));
        }
        Ok(Verdict::Proved(Verification::Parts(kind, count)))
    }

    async fn bad_parts(&mut self, layout: &PartLayout) -> Result<Vec<BadPart>> {
        let mut bad = Vec::new();
        for (index, StoredPart { range, digest: expected }) in layout.parts.iter().enumerate() {
            let actual = match expected.kind() {
                Kind::Crc(algorithm) => Digest::of_crc(algorithm, self.crc(range.clone(), algorithm).await?),
                Kind::Sha(sha) => self.sha(range.clone(), sha).await?,
            };
            if actual != *expected {
                bad.push(BadPart { number: index + 1, range: range.clone(), expected: *expected, actual });
            }
        }
        Ok(bad)
    }

    /// Of these bytes; what came before it was known where parts end is read back.
    async fn crc(&mut self, range: Range<u64>, algorithm: Algorithm) -> Result<u64> {
        for missing in self.sums.missing_of(range.clone(), algorithm) {
            let wanted = Wanted { crc: Some(algorithm), ..Wanted::default() };
            let mut summing = Summing::new(std::sync::Arc::new(wanted.into()), false, missing.start);
            self.read(missing, |bytes| summing.update(bytes)).await?;
            self.sums.merge(summing.finish(), None);
        }
        let known = self.sums.over(range).and_then(|sums| sums.value(algorithm));
        known.ok_or_else(|| Error::integrity("the checksum of the bytes could not be put together"))
    }

    /// Of these bytes; read back unless one request brought them all.
    async fn sha(&mut self, range: Range<u64>, sha: Sha) -> Result<Digest> {
        if let Some((end, hash)) = self.hashes.get(&range.start)
            && *end == range.end
            && hash.kind() == Kind::Sha(sha)
        {
            return Ok(*hash);
        }
        let mut hasher = ShaHasher::new(sha);
        self.read(range, |bytes| hasher.update(bytes)).await?;
        Ok(hasher.finish())
    }

    /// `None` where it would cost reading a large file for what was not insisted on (C7).
    async fn sha_of_whole(&mut self, expected: &Digest) -> Result<Option<Digest>> {
        let Kind::Sha(sha) = expected.kind() else { return Ok(None) };
        let all = 0..self.size();
        let came_at_once = self.ranges <= 1 && self.resumed() == 0;
        let worth_it = came_at_once || self.run.request.verify == Verify::Require;
        if worth_it { self.sha(all, sha).await.map(Some) } else { Ok(None) }
    }

    async fn read(&self, range: Range<u64>, see: impl FnMut(&[u8])) -> Result<()> {
        self.writer.drain().await?;
        match read_back(&self.writer, &self.run.engine.scheduler, range, see).await? {
            true => Ok(()),
            false => Err(Error::integrity("the file is shorter than what was written to it")),
        }
    }
}

fn whole(expected: Digest, actual: Digest) -> Verdict {
    if actual == expected {
        return Verdict::Proved(Verification::FullObject(expected.kind()));
    }
    Verdict::Mismatch(mismatch(&expected, &actual))
}
