//! S3's XML: answers in, request bodies out.
//!
//! `read` walks a document within fixed bounds (S14), `list`, `answers` and `attributes` turn it into plain values, `error_body` is for what
//! stands in failures, `write` makes the bodies we send. Callers bound the size. Text comes out exactly as the store
//! meant it, keys decoded; only an error's text is cut and escaped. No error quotes the document.

mod answers;
mod attributes;
mod error_body;
mod list;
mod read;
mod uploads;
mod versions;
mod write;

pub use answers::{
    BucketsPage, DeleteFailure, DeleteResult, ListedBucket, ListedPart, PartsPage, parse_create_multipart,
    parse_delete_result, parse_list_buckets, parse_list_parts, parse_location, parse_timestamp,
};
pub use attributes::{AttributesPage, AttributesPart, parse_object_attributes};
pub use error_body::{CompleteOutcome, ErrorBody, parse_complete, parse_copy, parse_copy_part, parse_error};
pub use list::{ListPage, ListedObject, parse_list_v2};
pub use uploads::{ListedUpload, UploadsPage, parse_list_uploads};
pub use versions::{ListedVersion, VersionPlace, VersionsPage, parse_list_versions, parse_tagging};
pub use write::{CompletedPart, complete_body, create_bucket_body, delete_body};
