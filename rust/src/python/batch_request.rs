//! What a batch is to do, in the words of Python: a dictionary in, a request of the core out.

use std::sync::Arc;

use pyo3::prelude::*;
use pyo3::types::PyDict;

use super::convert::{self, DIRECT_IO, Options, VERIFY};
use super::error::{defect, to_python};
use crate::checksum::Kind;
use crate::config::DirectIo;
use crate::error::Error;
use crate::ops::batch::{
    Compare, ContentTypes, Entry, Glacier, Goal, How, Keys, Matches, Object, Operation, Place, Request, Selection,
    SyncRequest, Tests, TransferRequest, Tree,
};
use crate::ops::select::{Filters, Pattern};

pub const OPTIONS: [&str; 42] = [
    "manifest",
    "job",
    "download",
    "one_way",
    "operation",
    "selections",
    "goal",
    "flatten",
    "no_clobber",
    "if_size_differs",
    "if_source_newer",
    "verify",
    "resume_downloads",
    "resume_uploads",
    "durable",
    "direct_io",
    "part_size",
    "max_concurrency",
    "checksum",
    "headers",
    "replace_metadata",
    "types",
    "glacier",
    "dry_run",
    "follow",
    "exit_on_error",
    "copies_on_server",
    "one_store",
    "escapes",
    "workers",
    "compared",
    "compare",
    "delete",
    "max_delete",
    "force",
    "format",
    "tells_skips",
    "tells_differences",
    "tells_report",
    "names_failures",
    "text_type",
    "bytes_type",
];
const SELECTION: [&str; 21] = [
    "directory",
    "file_name",
    "all",
    "versions",
    "exact",
    "kind",
    "bucket",
    "prefix",
    "pattern",
    "strip",
    "filter_prefix",
    "include",
    "exclude",
    "markers",
    "entries",
    "root",
    "name_prefix",
    "follow",
    "stats",
    "may_be_missing",
    "size",
];
const COMPARE: [(&str, Compare); 5] = [
    ("newer", Compare::Newer),
    ("size", Compare::SizeOnly),
    ("times", Compare::ExactTimes),
    ("checksum", Compare::Checksum { etags: false }),
    ("etag", Compare::Checksum { etags: true }),
];
const GLACIER: [(&str, Glacier); 3] = [("error", Glacier::Error), ("skip", Glacier::Skip), ("try", Glacier::Try)];
const OPERATION: [(&str, Operation); 4] =
    [("cp", Operation::Copy), ("mv", Operation::Move), ("sync", Operation::Copy), ("verify", Operation::Verify)];

pub fn understood(py: Python<'_>, options: &Options<'_>) -> PyResult<Request> {
    let operation: String = options.get("operation")?.ok_or_else(|| defect("a batch needs an operation"))?;
    let selections: Vec<Bound<'_, PyDict>> = options.get("selections")?.unwrap_or_default();
    let selections: Vec<Selection> = selections.into_iter().map(selection).collect::<PyResult<_>>()?;
    let dry_run = options.get("dry_run")?.unwrap_or(false);
    if operation == "rm" {
        return Ok(Request::Remove { selections, dry_run });
    }
    let transfer = TransferRequest {
        operation: options.word("operation", &OPERATION)?.unwrap_or(Operation::Copy),
        selections,
        goal: goal(options)?,
        flattens: options.get("flatten")?.unwrap_or(false),
        how: how(py, options, dry_run)?,
        copies_on_server: options.get("copies_on_server")?.unwrap_or(true),
        is_one_store: options.get("one_store")?.unwrap_or(false),
        workers: options.number("workers")?,
        manifest: match options.get::<Vec<u8>>("manifest")? {
            Some(path) => Some((convert::path(path), options.get("job")?.unwrap_or_default())),
            None => None,
        },
    };
    if !matches!(operation.as_str(), "sync" | "verify") {
        return Ok(Request::Transfer(transfer));
    }
    let compared: Bound<'_, PyDict> = options.get("compared")?.ok_or_else(|| defect("a sync compares something"))?;
    let sync = SyncRequest {
        compared: selection(compared)?,
        compare: options.word("compare", &COMPARE)?.unwrap_or_default(),
        deletes: options.get("delete")?.unwrap_or(false),
        max_delete: options.count("max_delete")?,
        force: options.get("force")?.unwrap_or(false),
    };
    if operation == "verify" {
        let one_way: bool = options.get("one_way")?.unwrap_or(false);
        return Ok(Request::Verify(transfer, sync, !one_way));
    }
    Ok(Request::Sync(transfer, sync))
}

fn goal(options: &Options<'_>) -> PyResult<Goal> {
    let told: Option<(String, Vec<u8>, Vec<u8>, bool)> = options.get("goal")?;
    let (kind, bucket, name, is_exact) = told.ok_or_else(|| defect("a transfer has a destination"))?;
    if kind == "paths" {
        return Ok(Goal::Paths);
    }
    if kind == "local" {
        return Ok(Goal::Local { path: convert::path(name), is_exact });
    }
    Ok(Goal::Remote { bucket: utf8(bucket)?, key: utf8(name)?, is_exact })
}

fn utf8(bytes: Vec<u8>) -> PyResult<String> {
    String::from_utf8(bytes).map_err(|_| defect("a bucket or key is text"))
}

fn how(py: Python<'_>, options: &Options<'_>, dry_run: bool) -> PyResult<How> {
    let checksum = match options.get::<String>("checksum")? {
        None => None,
        Some(name) => {
            let text = || format!("checksum must be crc64nvme, crc32c, crc32, sha256 or sha1, not \"{name}\"");
            Some(Kind::from_name(&name).ok_or_else(|| to_python(py, Error::config(text())))?)
        }
    };
    let flag = |name: &str| Ok::<bool, PyErr>(options.get(name)?.unwrap_or(false));
    Ok(How {
        tests: Tests {
            no_clobber: flag("no_clobber")?,
            if_size_differs: flag("if_size_differs")?,
            if_newer: flag("if_source_newer")?,
        },
        verify: options.word("verify", &VERIFY)?.unwrap_or_default(),
        resume_downloads: options.get("resume_downloads")?.unwrap_or(true),
        resume_uploads: flag("resume_uploads")?,
        durable: flag("durable")?,
        direct_io: options.word("direct_io", &DIRECT_IO)? as Option<DirectIo>,
        part_size: options.count("part_size")?,
        max_concurrency: options.number("max_concurrency")?,
        checksum,
        headers: options.get("headers")?.unwrap_or_default(),
        replaces_metadata: flag("replace_metadata")?,
        types: ContentTypes {
            by_extension: Arc::new(options.get("types")?.unwrap_or_default()),
            text: options.get("text_type")?.unwrap_or_default(),
            bytes: options.get("bytes_type")?.unwrap_or_default(),
        },
        glacier: options.word("glacier", &GLACIER)?.unwrap_or_default(),
        dry_run,
        follows: options.get("follow")?.unwrap_or(true),
        reads_content: flag("download")?,
        exit_on_error: flag("exit_on_error")?,
        tells_skips: flag("tells_skips")? || options.get::<String>("format")?.as_deref() == Some("json"),
    })
}

/// Relative name; bucket, key and version of an object, or else a path.
type Named = (Vec<u8>, Option<(String, String, Option<String>)>, Option<Vec<u8>>);

fn selection(words: Bound<'_, PyDict>) -> PyResult<Selection> {
    let words = Options::new(words, &SELECTION)?;
    let kind: String = words.get("kind")?.unwrap_or_default();
    let include: Vec<Vec<u8>> = words.get("include")?.unwrap_or_default();
    let exclude: Vec<Vec<u8>> = words.get("exclude")?.unwrap_or_default();
    let filters = Filters::new(&include, &exclude);
    let flag = |name: &str, default: bool| Ok::<bool, PyErr>(words.get(name)?.unwrap_or(default));
    let pattern: Option<Vec<u8>> = words.get("pattern")?;
    Ok(match kind.as_str() {
        "keys" => Selection::Keys(Keys {
            bucket: words.get("bucket")?.unwrap_or_default(),
            prefix: words.get("prefix")?.unwrap_or_default(),
            pattern: pattern.map(|text| Pattern::new(&text)),
            strip: words.number("strip")?.unwrap_or(0),
            file_name: words.get("file_name")?,
            filters,
            filter_prefix: words.get("filter_prefix")?.unwrap_or_default(),
            skips_markers: flag("markers", false)?,
            is_exact: flag("exact", false)?,
            takes_all: flag("all", false)?,
            versions: flag("versions", false)?,
        }),
        "tree" => Selection::Tree(Tree {
            root: words.get("root")?.unwrap_or_default(),
            name_prefix: words.get("name_prefix")?.unwrap_or_default(),
            file_name: words.get("file_name")?,
            filters,
            filter_prefix: words.get("filter_prefix")?,
            follows: flag("follow", true)?,
            stats: flag("stats", false)?,
            may_be_missing: flag("may_be_missing", false)?,
            is_directory: flag("directory", false)?,
        }),
        "matches" => Selection::Matches(Matches {
            pattern: pattern.unwrap_or_default(),
            filters,
            filter_prefix: words.get("filter_prefix")?,
            follows: flag("follow", true)?,
            stats: flag("stats", false)?,
        }),
        "named" => {
            let entries: Vec<Named> = words.get("entries")?.unwrap_or_default();
            Selection::Named(entries.into_iter().map(named).collect())
        }
        other => return Err(defect(&format!("the core does not know the selection {other:?}"))),
    })
}

fn named((relative, object, path): Named) -> Entry {
    let place = match object {
        Some((bucket, key, version_id)) => {
            Place::Object(Object { bucket: bucket.into(), key, etag: None, storage_class: None, version_id })
        }
        None => Place::File(convert::path(path.unwrap_or_default())),
    };
    Entry { relative, place, size: None, modified: None, inode: 0 }
}
