//! The S3 operations: each takes an understood, verified request and returns an answer.

mod attributes;
mod bucket;
mod complete;
mod conditions;
mod copy;
mod delete;
mod get;
mod list;
mod listing;
mod multipart;
mod put;
mod receive;
mod tagging;

pub(crate) use copy::source_name;

use crate::error::{Fail, S3Error};
use crate::http::answer::Answer;
use crate::http::body::Body;
use crate::plan::Plan;
use crate::request::{Operation, Request};
use crate::shared::Shared;

/// Request bodies that are XML are never longer.
const XML_LIMIT: usize = 8 * 1024 * 1024;

/// What an operation works with.
pub(crate) struct Context<'a> {
    pub shared: &'a Shared,
    pub request: &'a Request,
    pub plan: &'a Plan,
    /// The SHA-256 the client signed for the body.
    pub payload_sha256: Option<String>,
}

/// Runs the operation of the request.
pub(crate) fn handle(context: &Context, body: &mut Body) -> Result<Answer, Fail> {
    refuse_by_switch(context)?;
    if context.plan.swap.is_some() {
        crate::swap::by_rule(context.shared, context.request, context.plan);
    }
    match context.request.operation {
        Operation::ListBuckets => Ok(bucket::list(context)),
        Operation::CreateBucket => bucket::create(context, body),
        Operation::DeleteBucket => bucket::delete(context),
        Operation::HeadBucket => bucket::head(context),
        Operation::GetBucketLocation => bucket::location(context),
        Operation::GetBucketVersioning => bucket::versioning(context),
        Operation::PutBucketVersioning => bucket::set_versioning(context, body),
        Operation::ListObjectsV2 => list::objects_v2(context),
        Operation::ListObjects => list::objects_v1(context),
        Operation::ListObjectVersions => list::versions(context),
        Operation::ListMultipartUploads => list::uploads(context),
        Operation::ListParts => list::parts(context),
        Operation::GetObject => get::object(context, true),
        Operation::HeadObject => get::object(context, false),
        Operation::GetObjectAttributes => attributes::get(context),
        Operation::PutObject => put::object(context, body),
        Operation::CopyObject => copy::object(context),
        Operation::UploadPartCopy => copy::part(context),
        Operation::DeleteObject => delete::one(context),
        Operation::DeleteObjects => delete::many(context, body),
        Operation::CreateMultipartUpload => multipart::create(context),
        Operation::UploadPart => multipart::part(context, body),
        Operation::AbortMultipartUpload => multipart::abort(context),
        Operation::CompleteMultipartUpload => complete::upload(context, body),
        Operation::GetObjectTagging => tagging::get(context),
        Operation::PutObjectTagging => tagging::put(context, body),
        Operation::DeleteObjectTagging => tagging::delete(context),
        Operation::Unknown => {
            let text = "The specified method is not allowed against this resource.";
            Err(S3Error::new(405, "MethodNotAllowed", text).into())
        }
    }
}

fn refuse_by_switch(context: &Context) -> Result<(), S3Error> {
    let (head, switches) = (&context.request.head, &context.request.switches);
    let checksum = |name: &str| {
        name.starts_with("x-amz-checksum-") && name != "x-amz-checksum-mode" || name == "x-amz-sdk-checksum-algorithm"
    };
    let found = head.headers.iter().map(|(name, _)| name).find(|name| {
        (switches.refuse_checksums && checksum(name))
            || ((switches.refuse_trailers || switches.refuse_checksums) && *name == "x-amz-trailer")
    });
    match found {
        Some(name) => Err(S3Error::not_implemented(name)),
        None => Ok(()),
    }
}
