//! Speaks S3 over HTTP. Knows no files, no threads and no scheduling.
//!
//! `client` has one async method for each S3 action; all of them go through the funnel in `request`, which builds,
//! signs, sends, judges and retries. `body` is a download that goes on after a break, pinned to one version.
//! `http` is the only place that configures reqwest. Everything that can be pure is: `sign`, `encode`, `endpoint`,
//! `xml`, `answer`, `attempts`, `retry`, `stored_checksum`.

mod answer;
mod attempts;
mod bandwidth;
pub mod body;
pub mod client;
pub mod encode;
pub mod endpoint;
pub mod environment;
#[cfg(feature = "fuzzing")]
#[doc(hidden)]
pub mod fuzzing;
mod http;
pub mod object;
pub mod payload;
mod request;
pub mod retry;
pub mod sign;
mod stored_checksum;
pub mod xml;
