//! Checksums: computing and combining CRCs, hashing with SHA, values of either as they stand on the wire.
//!
//! `Algorithm` is a CRC that is computed while bytes pass: `Crc` over one run, `RunningCrcs` with one algorithm or all
//! three (C2), `Sums` for what a finished run leaves and combines with the next one; CRC values are `u64` whatever the
//! width. `Kind` is any algorithm a store may keep a value of, `Digest` such a value, `composite` the value over the
//! values of parts. It does not know which stored value may be trusted for which object; that is C3, in `s3`.

mod algorithm;
mod combine;
mod digest;
mod kind;
mod running;
mod sha;
mod suffix;

pub use algorithm::Algorithm;
pub use combine::combine;
pub use digest::{Digest, composite, encode};
pub use kind::{Kind, Sha};
pub use running::{Crc, Hasher, RunningCrcs, Sums, checksum};
pub use sha::ShaHasher;
pub use suffix::{is_composite, part_count};
