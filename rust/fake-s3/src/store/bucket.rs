//! A bucket: versions by key, in byte order, and its open uploads.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::error::S3Error;
use crate::store::object::Object;
use crate::store::upload::Upload;

/// The versioning state of a bucket.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Versioning {
    #[default]
    Off,
    Enabled,
    Suspended,
}

/// A bucket. Versions of a key are ordered from old to new; no key has an empty list.
#[derive(Default)]
pub(crate) struct Bucket {
    pub created: i64,
    pub versioning: Versioning,
    pub objects: BTreeMap<String, Vec<Arc<Object>>>,
    pub uploads: BTreeMap<String, Upload>,
    next_version: u64,
}

/// What a delete did.
#[derive(Default)]
pub(crate) struct Deleted {
    pub version_id: Option<String>,
    pub is_marker: bool,
}

impl Bucket {
    pub fn new(created: i64) -> Self {
        Self { created, ..Self::default() }
    }

    /// The newest version that is no delete marker.
    pub fn current(&self, key: &str) -> Option<&Arc<Object>> {
        self.objects.get(key)?.last().filter(|object| !object.is_delete_marker)
    }

    pub fn find(&self, key: &str, version: Option<&str>) -> Result<Arc<Object>, S3Error> {
        let versions = self.objects.get(key).map(Vec::as_slice).unwrap_or_default();
        let Some(id) = version else {
            let newest = versions.last().ok_or_else(|| S3Error::no_such_key(key))?;
            return match newest.is_delete_marker {
                true => Err(S3Error::no_such_key(key)
                    .header("x-amz-delete-marker", "true")
                    .header("x-amz-version-id", newest.version_id.clone())),
                false => Ok(Arc::clone(newest)),
            };
        };
        let found = versions.iter().find(|object| object.version_id == id).ok_or_else(|| {
            S3Error::new(404, "NoSuchVersion", "The specified version does not exist.").with("VersionId", id)
        })?;
        match found.is_delete_marker {
            true => {
                Err(S3Error::new(405, "MethodNotAllowed", "The specified method is not allowed against this resource.")
                    .header("x-amz-delete-marker", "true"))
            }
            false => Ok(Arc::clone(found)),
        }
    }

    /// Makes `object` the newest version and returns it as stored.
    pub fn put(&mut self, key: &str, mut object: Object) -> Arc<Object> {
        let versions = self.objects.entry(key.to_owned()).or_default();
        match self.versioning {
            Versioning::Off => versions.clear(),
            Versioning::Suspended => versions.retain(|version| version.version_id != "null"),
            Versioning::Enabled => {
                self.next_version += 1;
                object.version_id =
                    format!("v{:08}{:016x}", self.next_version, self.next_version.wrapping_mul(0x9E37_79B9_7F4A_7C15));
            }
        }
        let object = Arc::new(object);
        versions.push(Arc::clone(&object));
        object
    }

    /// The version id to show for `object`: none in a bucket that never had versions.
    pub fn shown_version(&self, object: &Object) -> Option<String> {
        (self.versioning != Versioning::Off).then(|| object.version_id.clone())
    }

    pub fn delete(&mut self, key: &str, version: Option<&str>, marker: Object) -> Deleted {
        if let Some(id) = version {
            let Some(versions) = self.objects.get_mut(key) else {
                return Deleted { version_id: Some(id.to_owned()), is_marker: false };
            };
            let is_marker = versions.iter().any(|object| object.version_id == id && object.is_delete_marker);
            versions.retain(|object| object.version_id != id);
            if versions.is_empty() {
                self.objects.remove(key);
            }
            return Deleted { version_id: Some(id.to_owned()), is_marker };
        }
        if self.versioning == Versioning::Off {
            self.objects.remove(key);
            return Deleted::default();
        }
        let marker = self.put(key, marker);
        Deleted { version_id: Some(marker.version_id.clone()), is_marker: true }
    }
}
