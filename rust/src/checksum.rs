//! CRC64NVME, CRC32 and CRC32C: computing, combining, and their base64 on the wire.
//!
//! `Crc` runs over bytes, `RunningCrcs` over the same bytes with one algorithm or all three (C2), `Sums` is what a
//! finished run leaves and combines with the next run in offset order. Values are `u64` whatever the width. It does
//! not know which stored value may be trusted for which object; that is C3, in `ops`.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use crc_fast::{CrcAlgorithm, Digest};

use crate::error::{Error, Result, escape};

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Algorithm {
    Crc64Nvme,
    Crc32,
    Crc32c,
}

impl Algorithm {
    pub const ALL: [Self; 3] = [Self::Crc64Nvme, Self::Crc32, Self::Crc32c];

    /// As in `x-amz-checksum-algorithm`.
    pub fn name(self) -> &'static str {
        match self {
            Self::Crc64Nvme => "CRC64NVME",
            Self::Crc32 => "CRC32",
            Self::Crc32c => "CRC32C",
        }
    }

    pub fn lower(self) -> &'static str {
        match self {
            Self::Crc64Nvme => "crc64nvme",
            Self::Crc32 => "crc32",
            Self::Crc32c => "crc32c",
        }
    }

    /// The header that carries its value.
    pub fn header(self) -> &'static str {
        match self {
            Self::Crc64Nvme => "x-amz-checksum-crc64nvme",
            Self::Crc32 => "x-amz-checksum-crc32",
            Self::Crc32c => "x-amz-checksum-crc32c",
        }
    }

    /// `None` for an algorithm that is not one of ours (C7: not usable, not an error).
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|algorithm| algorithm.name().eq_ignore_ascii_case(name))
    }

    /// Bytes of a value.
    pub fn width(self) -> usize {
        match self {
            Self::Crc64Nvme => 8,
            Self::Crc32 | Self::Crc32c => 4,
        }
    }

    fn index(self) -> usize {
        match self {
            Self::Crc64Nvme => 0,
            Self::Crc32 => 1,
            Self::Crc32c => 2,
        }
    }

    fn field(self) -> &'static Field {
        match self {
            Self::Crc64Nvme => &CRC64NVME,
            Self::Crc32 => &CRC32,
            Self::Crc32c => &CRC32C,
        }
    }

    fn kernel(self) -> CrcAlgorithm {
        match self {
            Self::Crc64Nvme => CrcAlgorithm::Crc64Nvme,
            Self::Crc32 => CrcAlgorithm::Crc32IsoHdlc,
            Self::Crc32c => CrcAlgorithm::Crc32Iscsi,
        }
    }
}

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

/// The value of some bytes at once.
pub fn checksum(algorithm: Algorithm, bytes: &[u8]) -> u64 {
    crc_fast::checksum(algorithm.kernel(), bytes)
}

/// The value of two runs side by side, from the value of each and the length of the second: multiplies the first by
/// x^(8 · length) modulo the algorithm's polynomial. Written here because crc-fast's own takes 300 µs, longer than the
/// CRC of a part.
pub fn combine(algorithm: Algorithm, first: u64, second: u64, second_len: u64) -> u64 {
    let field = algorithm.field();
    let mut shifted = first;
    for bit in (0..64).filter(|bit| second_len >> bit & 1 == 1) {
        shifted = field.multiply(field.powers[bit], shifted);
    }
    shifted ^ second
}

/// Arithmetic with polynomials over GF(2) modulo the one of a CRC; reflected, so x^0 is the highest bit.
struct Field {
    polynomial: u64,
    one: u64,
    /// At `n`, what 2^n bytes of zeros multiply a value with: x^(8 · 2^n).
    powers: [u64; 64],
}

impl Field {
    const fn new(width: usize, polynomial: u64) -> Self {
        let one = 1 << (8 * width - 1);
        let mut field = Self { polynomial, one, powers: [0; 64] };
        let mut power = one >> 8;
        let mut n = 0;
        while n < 64 {
            field.powers[n] = power;
            power = field.multiply(power, power);
            n += 1;
        }
        field
    }

    const fn multiply(&self, a: u64, mut b: u64) -> u64 {
        let mut product = 0;
        let mut term = self.one;
        while term != 0 {
            if a & term != 0 {
                product ^= b;
            }
            term >>= 1;
            b = if b & 1 == 1 { b >> 1 ^ self.polynomial } else { b >> 1 };
        }
        product
    }
}

static CRC64NVME: Field = Field::new(8, 0x9A6C_9329_AC4B_C9B5);
static CRC32: Field = Field::new(4, 0xEDB8_8320);
static CRC32C: Field = Field::new(4, 0x82F6_3B78);

/// As S3 writes it: base64 of the big-endian bytes.
pub fn encode(algorithm: Algorithm, value: u64) -> String {
    STANDARD.encode(&value.to_be_bytes()[8 - algorithm.width()..])
}

/// Reads a full-object value strictly (C8). A composite one is an error here; `is_composite` tells it apart before.
pub fn decode(algorithm: Algorithm, text: &str) -> Result<u64> {
    let refuse = |why: &str| {
        let name = algorithm.name();
        Error::integrity(format!("the stored {name} checksum \"{}\" {why}", escape(text, 64)))
    };
    if is_composite(text) {
        return Err(refuse("is of parts, not of the whole object"));
    }
    let bytes = STANDARD.decode(text).map_err(|_| refuse("is not base64"))?;
    if bytes.len() != algorithm.width() {
        return Err(refuse(&format!("has {} bytes, not {}", bytes.len(), algorithm.width())));
    }
    Ok(bytes.iter().fold(0, |value, &byte| value << 8 | u64::from(byte)))
}

/// Whether a checksum or ETag ends in `-N`: it was computed from parts. Quotes around an ETag are no hindrance.
pub fn is_composite(text: &str) -> bool {
    count_text(text).is_some()
}

/// The `N` of a checksum or ETag that ends in `-N`; `None` too if no object can have so many parts.
pub fn part_count(text: &str) -> Option<u32> {
    count_text(text)?.parse().ok()
}

fn count_text(text: &str) -> Option<&str> {
    let (_, count) = text.trim_matches('"').rsplit_once('-')?;
    (!count.is_empty() && count.bytes().all(|byte| byte.is_ascii_digit())).then_some(count)
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
    use crate::error::ErrorKind;
    use proptest::prelude::*;

    const CHECK: [(Algorithm, u64); 3] = [
        (Algorithm::Crc64Nvme, 0xAE8B_1486_0A79_9888),
        (Algorithm::Crc32, 0xCBF4_3926),
        (Algorithm::Crc32c, 0xE306_9283),
    ];

    #[test]
    fn check_vectors() {
        for (algorithm, value) in CHECK {
            let mut crc = Crc::new(algorithm);
            crc.update(b"12345");
            crc.update(b"6789");
            assert_eq!((crc.value(), crc.len()), (value, 9));
            assert_eq!(checksum(algorithm, b"123456789"), value);
            assert_eq!(checksum(algorithm, b""), 0);
        }
    }

    #[test]
    fn wire_form() {
        let table =
            [(Algorithm::Crc64Nvme, "rosUhgp5mIg="), (Algorithm::Crc32, "y/Q5Jg=="), (Algorithm::Crc32c, "4waSgw==")];
        for ((algorithm, value), (_, text)) in CHECK.into_iter().zip(table) {
            assert_eq!(encode(algorithm, value), text);
            assert_eq!(decode(algorithm, text).unwrap(), value);
        }
    }

    #[test]
    fn wrong_values_are_clear_errors() {
        let table = [
            ("", "has 0 bytes, not 4"),
            ("y/Q5Jg", "is not base64"),
            ("y/Q5Jg===", "is not base64"),
            ("y_Q5Jg==", "is not base64"),
            (" y/Q5Jg==", "is not base64"),
            ("rosUhgp5mIg=", "has 8 bytes, not 4"),
            ("y/Q5Jg==-3", "is of parts, not of the whole object"),
        ];
        for (text, why) in table {
            let error = decode(Algorithm::Crc32, text).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Integrity);
            assert!(error.message().ends_with(why), "{}", error.message());
        }
    }

    #[test]
    fn composite_is_told_apart() {
        let table = [
            ("y/Q5Jg==-3", Some(3)),
            ("\"d41d8cd98f00b204e9800998ecf8427e-10000\"", Some(10_000)),
            ("y/Q5Jg==", None),
            ("\"opaque-etag\"", None),
            ("a-", None),
            ("a-+1", None),
            ("-1", Some(1)),
        ];
        for (text, count) in table {
            assert_eq!(part_count(text), count, "{text}");
            assert_eq!(is_composite(text), count.is_some(), "{text}");
        }
        assert!(is_composite("a-99999999999999999999") && part_count("a-99999999999999999999").is_none());
    }

    #[test]
    fn names() {
        for algorithm in Algorithm::ALL {
            assert_eq!(Algorithm::from_name(algorithm.name()), Some(algorithm));
            assert_eq!(Algorithm::from_name(algorithm.lower()), Some(algorithm));
            assert_eq!(algorithm.header(), format!("x-amz-checksum-{}", algorithm.lower()));
        }
        assert_eq!(Algorithm::from_name("SHA256"), None);
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
        fn combining_long_runs_agrees_with_crc_fast(first in any::<u64>(), second in any::<u64>(), len in 1..1_u64 << 45) {
            for algorithm in Algorithm::ALL {
                let fit = |value: u64| value >> (64 - 8 * algorithm.width());
                let expected = crc_fast::checksum_combine(algorithm.kernel(), fit(first), fit(second), len);
                prop_assert_eq!(combine(algorithm, fit(first), fit(second), len), expected);
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

        #[test]
        fn wire_form_comes_back(value in any::<u64>(), index in 0..3_usize) {
            let algorithm = Algorithm::ALL[index];
            let value = value >> (64 - 8 * algorithm.width());
            prop_assert_eq!(decode(algorithm, &encode(algorithm, value)).unwrap(), value);
        }

        #[test]
        fn decoding_never_panics(text in any::<String>(), index in 0..3_usize) {
            let _ = decode(Algorithm::ALL[index], &text);
        }
    }
}
