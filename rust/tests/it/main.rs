//! The core against the scripted server: one binary, a module for each feature.
//!
//! Every test starts a server of its own. After every transfer `support` checks the oracle of `reliability.md`
//! section 9: no temporary file, the memory budget back, no open multipart upload, no received byte counted twice.
#![allow(clippy::disallowed_methods, reason = "tests make, change and remove files themselves")]
#![allow(clippy::unwrap_used, clippy::panic, reason = "what fails here fails the test, helpers included")]

mod alone;
mod bandwidth;
mod body;
mod cancel;
mod checksums;
mod connect;
mod copy;
mod credentials;
mod descriptors;
mod download;
mod download_breaks;
mod download_faults;
mod http;
mod layout;
mod layout_faults;
mod listing;
mod manage;
mod names;
mod parts;
mod presign;
mod proxied;
mod put;
mod redirects;
mod resume;
mod resume_upload;
mod retries;
mod stream;
mod support;
mod throttle;
mod tls;
mod twins;
mod upload;
mod upload_faults;
mod versions;
