//! The core of s3z: bytes between S3-compatible stores and files, as fast as the machine allows.
//!
//! ```text
//!         python   (the door: the only place that knows pyo3; feature `python`)
//!            │
//!           ops    (the joint: the only place where leaves meet; one file for each operation)
//!         ┌──┼───────────┐
//!        s3  transfer  archive    (leaves: never import one another)
//!         └──┬───────────┘
//!  error  config  uri  credentials  progress  checksum  confine  descriptor  pressure  sync    (vocabulary: imports only itself)
//! ```
//!
//! Data enters at the door, goes down through the joint into the leaves and comes back as return values and
//! queues, never by a call upwards. `tests/test_architecture.py` holds the table of allowed imports.

#![cfg_attr(
    test,
    allow(
        clippy::disallowed_methods,
        clippy::panic,
        clippy::single_range_in_vec_init,
        reason = "tests make files and tasks of their own, and fail by panicking"
    )
)]

pub mod archive;
pub mod checksum;
pub mod config;
pub mod confine;
pub mod credentials;
mod descriptor;
pub mod error;
pub mod ops;
pub mod pressure;
pub mod progress;
#[cfg(feature = "python")]
mod python;
pub mod s3;
mod sync;
pub mod transfer;
pub mod uri;
