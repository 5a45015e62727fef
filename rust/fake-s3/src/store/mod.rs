//! Everything the server remembers: buckets, versions, open uploads. Pure state behind one lock, no sockets, no HTTP.

pub(crate) mod bucket;
pub(crate) mod content;
pub(crate) mod object;
pub(crate) mod upload;

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::error::S3Error;
use bucket::Bucket;
use object::Object;

/// All buckets by name.
#[derive(Default)]
pub(crate) struct Store {
    pub buckets: BTreeMap<String, Bucket>,
}

impl Store {
    pub fn bucket(&self, name: &str) -> Result<&Bucket, S3Error> {
        self.buckets.get(name).ok_or_else(|| S3Error::no_such_bucket(name))
    }

    pub fn bucket_mut(&mut self, name: &str) -> Result<&mut Bucket, S3Error> {
        self.buckets.get_mut(name).ok_or_else(|| S3Error::no_such_bucket(name))
    }

    /// The current version of an object, or the one asked for.
    pub fn object(&self, bucket: &str, key: &str, version: Option<&str>) -> Result<Arc<Object>, S3Error> {
        self.bucket(bucket)?.find(key, version)
    }
}
