//! The leaf as a whole, in memory: sources that fail in all ways, sinks that do, archives made by liars.
//!
//! `made` has trees, `memory` what stands for disks and stores, `liar` writes an index of any rows. What a test finds
//! wrong is a defect of the leaf, not of its source.

mod as_keys;
mod changing;
mod damage;
mod failures;
mod foreign;
mod hostile;
mod hostile_index;
mod hostile_names;
mod liar;
mod made;
mod memory;
mod race;
mod round_trip;
mod same_bytes;
mod stopping;
