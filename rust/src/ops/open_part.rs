//! The first answer to a range: asked for again over a new connection where it takes much longer than those of the peers.
//!
//! A range that brings bytes, but slowly, is `pace.rs`'s; one that brings none yet has no pace to be judged by.

use std::sync::Arc;
use std::time::Instant;

use crate::error::Result;
use crate::ops::late::Lateness;
use crate::s3::body::ObjectBody;
use crate::s3::client::{GetRequest, S3Client};
use crate::s3::object::ObjectIdentity;

/// Opens the range of `get`, of that version; `lateness` knows how long whole ranges took.
pub async fn open_part(
    client: &S3Client,
    get: &GetRequest,
    identity: &ObjectIdentity,
    lateness: &Arc<Lateness>,
) -> Result<ObjectBody> {
    let len = get.range.as_ref().map_or(0, |range| range.end - range.start);
    let mut given_up = 0;
    loop {
        let began = Instant::now();
        let get = GetRequest { fresh_connection: get.fresh_connection || given_up > 0, ..get.clone() };
        tokio::select! {
            biased;
            opened = ObjectBody::open_pinned(client.clone(), get, identity.clone()) => return opened,
            () = lateness.late(len, began, given_up) => given_up += 1,
        }
    }
}
