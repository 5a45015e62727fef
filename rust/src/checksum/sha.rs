//! SHA-1 and SHA-256 over bytes in order.

use sha2::Digest as _;

use super::{Digest, Sha};

/// A hash under way. Unlike a CRC it cannot be put together from pieces: the bytes must come in order.
#[derive(Clone)]
pub struct ShaHasher(Running);

#[derive(Clone)]
enum Running {
    Sha1(sha1::Sha1),
    Sha256(sha2::Sha256),
}

impl ShaHasher {
    pub fn new(sha: Sha) -> Self {
        Self(match sha {
            Sha::Sha1 => Running::Sha1(sha1::Sha1::new()),
            Sha::Sha256 => Running::Sha256(sha2::Sha256::new()),
        })
    }

    pub fn update(&mut self, bytes: &[u8]) {
        match &mut self.0 {
            Running::Sha1(hash) => hash.update(bytes),
            Running::Sha256(hash) => hash.update(bytes),
        }
    }

    pub fn finish(self) -> Digest {
        match self.0 {
            Running::Sha1(hash) => Digest::of_sha1(hash.finalize().into()),
            Running::Sha256(hash) => Digest::of_sha256(hash.finalize().into()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(sha: Sha, pieces: &[&[u8]]) -> String {
        let mut hasher = ShaHasher::new(sha);
        for piece in pieces {
            hasher.update(piece);
        }
        hasher.finish().encode()
    }

    /// The vectors of FIPS 180 for "abc" and for nothing.
    #[test]
    fn known_values() {
        let table = [
            (Sha::Sha1, "abc", "qZk+NkcGgWq6PiVxeFDCbJzQ2J0="),
            (Sha::Sha1, "", "2jmj7l5rSw0yVb/vlWAYkK/YBwk="),
            (Sha::Sha256, "abc", "ungWv48Bz+pBQUDeXa4iI7ADYaOWF3qctBD/YfIAFa0="),
            (Sha::Sha256, "", "47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU="),
        ];
        for (sha, text, value) in table {
            assert_eq!(of(sha, &[text.as_bytes()]), value);
        }
    }

    #[test]
    fn pieces_make_the_same_value() {
        for sha in [Sha::Sha1, Sha::Sha256] {
            assert_eq!(of(sha, &[b"some ", b"", b"bytes"]), of(sha, &[b"some bytes"]));
        }
    }
}
