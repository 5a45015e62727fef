//! CRCs over bytes that pass: one algorithm, or all at once where the stored one is not yet known (C2).

use crc_fast::Digest;

use super::{Algorithm, Digest as Value, Kind, ShaHasher, combine};

/// A running value over bytes.
#[derive(Clone)]
pub struct Crc {
    digest: Digest,
    len: u64,
}

impl Crc {
    pub fn new(algorithm: Algorithm) -> Self {
        Self { digest: Digest::new(algorithm.kernel()), len: 0 }
    }

    pub fn update(&mut self, bytes: &[u8]) {
        self.digest.update(bytes);
        self.len += bytes.len() as u64;
    }

    /// The value so far; the run may go on.
    pub fn value(&self) -> u64 {
        self.digest.finalize()
    }

    /// Bytes so far.
    pub fn len(&self) -> u64 {
        self.len
    }

    pub fn is_empty(&self) -> bool {
        self.len == 0
    }
}

/// One checksum of any kind over bytes in order.
#[derive(Clone)]
pub enum Hasher {
    Crc(Algorithm, Box<Crc>),
    Sha(ShaHasher),
}

impl Hasher {
    pub fn new(kind: Kind) -> Self {
        match kind {
            Kind::Crc(algorithm) => Self::Crc(algorithm, Box::new(Crc::new(algorithm))),
            Kind::Sha(sha) => Self::Sha(ShaHasher::new(sha)),
        }
    }

    pub fn update(&mut self, bytes: &[u8]) {
        match self {
            Self::Crc(_, crc) => crc.update(bytes),
            Self::Sha(sha) => sha.update(bytes),
        }
    }

    pub fn finish(self) -> Value {
        match self {
            Self::Crc(algorithm, crc) => Value::of_crc(algorithm, crc.value()),
            Self::Sha(sha) => sha.finish(),
        }
    }
}

/// The value of some bytes at once.
pub fn checksum(algorithm: Algorithm, bytes: &[u8]) -> u64 {
    crc_fast::checksum(algorithm.kernel(), bytes)
}

/// One algorithm or all three over the same bytes.
#[derive(Clone)]
pub struct RunningCrcs {
    digests: [Option<Digest>; 3],
    len: u64,
}

impl RunningCrcs {
    pub fn only(algorithm: Algorithm) -> Self {
        let mut digests = [None; 3];
        digests[algorithm.index()] = Some(Digest::new(algorithm.kernel()));
        Self { digests, len: 0 }
    }

    pub fn of(algorithms: impl Iterator<Item = Algorithm>) -> Self {
        let mut running = Self::none();
        for algorithm in algorithms {
            running.digests[algorithm.index()] = Some(Digest::new(algorithm.kernel()));
        }
        running
    }

    /// For bytes that arrive before the stored algorithm is known (C2).
    pub fn all() -> Self {
        Self { digests: Algorithm::ALL.map(|algorithm| Some(Digest::new(algorithm.kernel()))), len: 0 }
    }

    /// Computes nothing but the length.
    pub fn none() -> Self {
        Self { digests: [None; 3], len: 0 }
    }

    pub fn update(&mut self, bytes: &[u8]) {
        for digest in self.digests.iter_mut().flatten() {
            digest.update(bytes);
        }
        self.len += bytes.len() as u64;
    }

    /// Bytes so far.
    pub fn len(&self) -> u64 {
        self.len
    }

    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    pub fn finish(&self) -> Sums {
        Sums { len: self.len, values: self.digests.map(|digest| digest.map(|digest| digest.finalize())) }
    }
}

/// What a finished run leaves: its length and the values that were computed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Sums {
    pub len: u64,
    /// In the order of `Algorithm::ALL`.
    pub values: [Option<u64>; 3],
}

impl Sums {
    /// Of no bytes: `Sums::empty().then(&x) == x`.
    pub fn empty() -> Self {
        RunningCrcs::all().finish()
    }

    pub fn value(&self, algorithm: Algorithm) -> Option<u64> {
        self.values[algorithm.index()]
    }

    /// This run and the one right behind it; a value stays only where both have it.
    #[must_use]
    pub fn then(&self, next: &Self) -> Self {
        let both =
            |algorithm: Algorithm| Some(combine(algorithm, self.value(algorithm)?, next.value(algorithm)?, next.len));
        Self { len: self.len + next.len, values: Algorithm::ALL.map(both) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn check_vectors() {
        let table = [
            (Algorithm::Crc64Nvme, 0xAE8B_1486_0A79_9888),
            (Algorithm::Crc32, 0xCBF4_3926),
            (Algorithm::Crc32c, 0xE306_9283),
        ];
        for (algorithm, value) in table {
            let mut crc = Crc::new(algorithm);
            crc.update(b"12345");
            crc.update(b"6789");
            assert_eq!((crc.value(), crc.len()), (value, 9));
            assert_eq!(checksum(algorithm, b"123456789"), value);
            assert_eq!(checksum(algorithm, b""), 0);
        }
    }

    #[test]
    fn empty_is_neutral() {
        let mut run = RunningCrcs::all();
        run.update(b"some bytes");
        let sums = run.finish();
        assert_eq!(Sums::empty().then(&sums), sums);
        assert_eq!(sums.then(&Sums::empty()), sums);
    }

    proptest! {
        #[test]
        fn runs_combine_to_the_direct_value(
            bytes in prop::collection::vec(any::<u8>(), 0..4096),
            cuts in prop::collection::vec(any::<prop::sample::Index>(), 0..6),
        ) {
            let mut at: Vec<usize> = cuts.iter().map(|cut| cut.index(bytes.len() + 1)).collect();
            at.extend([0, bytes.len()]);
            at.sort_unstable();
            let runs = at.windows(2).map(|pair| {
                let mut run = RunningCrcs::all();
                run.update(&bytes[pair[0]..pair[1]]);
                run.finish()
            });
            let sums = runs.fold(Sums::empty(), |sums, next| sums.then(&next));
            prop_assert_eq!(sums.len, bytes.len() as u64);
            for algorithm in Algorithm::ALL {
                prop_assert_eq!(sums.value(algorithm), Some(checksum(algorithm, &bytes)));
            }
        }

        #[test]
        fn only_what_both_have_is_kept(bytes in prop::collection::vec(any::<u8>(), 0..64), index in 0..3_usize) {
            let algorithm = Algorithm::ALL[index];
            let (mut one, mut all) = (RunningCrcs::only(algorithm), RunningCrcs::all());
            one.update(&bytes);
            all.update(&bytes);
            let sums = all.finish().then(&one.finish());
            let twice = [bytes.as_slice(), bytes.as_slice()].concat();
            for other in Algorithm::ALL {
                let expected = (other == algorithm).then(|| checksum(other, &twice));
                prop_assert_eq!(sums.value(other), expected);
            }
        }
    }
}
