//! The core's own files that have `unsafe`, with their unit tests and with threads that share what they own (T3).
//!
//! Under miri every access is checked (aliasing, initialisation, races, leaks), and its seeds try other schedules.
//! `deep/run` runs the same tests under the address and thread sanitizers, and the canaries, which must fail there.

#![cfg_attr(
    test,
    allow(
        clippy::disallowed_methods,
        clippy::unwrap_used,
        clippy::panic,
        reason = "tests make threads of their own, and fail by panicking"
    )
)]

pub mod config;
pub mod error;
pub mod sync;

#[cfg_attr(not(test), allow(dead_code, reason = "what takes buffers is not compiled here"))]
#[path = "../../../src/transfer/buffers.rs"]
pub mod buffers;
#[path = "../../../src/python/per_process.rs"]
pub mod per_process;
#[cfg_attr(not(test), allow(dead_code, reason = "what fills memory is not compiled here"))]
#[path = "../../../src/transfer/region.rs"]
pub mod region;

#[cfg(test)]
mod canary;
#[cfg(test)]
mod threads;
