//! Archives as Python sees them: packing, unpacking, and an archive that is open for reading.

use std::sync::Arc;

use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyDict};

use super::client::{Client, put_request};
use super::convert::{self, DIRECT_IO, Options};
use super::error::{kind_name, to_python};
use super::runtime::{Watch, spawner, wait};
use super::writer::{PUT, WRITE_FILE};
use crate::archive::classify::{EXTENSIONS, Hints};
use crate::archive::lay::Sizes;
use crate::archive::local::Keeps;
use crate::archive::pack::PackOptions;
use crate::archive::report::Failure;
use crate::archive::select::{MAX_RATIO, Selection};
use crate::archive::tree::TreeOptions;
use crate::checksum::Kind;
use crate::config::{KIB, MIB};
use crate::error::Error;
use crate::ops::batch::ContentTypes;
use crate::ops::pack::{PackRequest, PackSource, PackTarget, Packed, measure, pack as run_pack};
use crate::ops::select::Filters;
use crate::ops::unpack::{KeyOptions, UnpackPlace, UnpackRequest, UnpackTarget, Unpacked, unpack as run_unpack};
use crate::ops::write_file::WriteFileRequest;
use crate::s3::client::ObjectRef;

const PACK: [&str; 14] = [
    "level",
    "codec",
    "group_size",
    "slice_size",
    "skip_extensions",
    "no_skip",
    "file_hash",
    "xattrs",
    "follow_symlinks",
    "include",
    "exclude",
    "on_error",
    "workers",
    "calibrate",
];
const CODECS: [(&str, bool); 2] = [("zstd", true), ("none", false)];
const ON_ERROR: [(&str, bool); 2] = [("fail", false), ("skip", true)];
const DEFAULT_LEVEL: i32 = 3;

/// What an archive is made of, as Python names it.
#[expect(dead_code, reason = "the first word is for people: the shape tells which it is")]
#[derive(FromPyObject)]
pub enum Source {
    Local(String, Vec<(Vec<u8>, Vec<u8>)>),
    Prefix(String, String, String, String),
}

/// Where an archive is, or goes.
#[expect(dead_code, reason = "as above")]
#[derive(FromPyObject)]
pub enum Place {
    Versioned(String, String, String, Option<String>),
    Descriptor(String, i32, Vec<u8>),
    Object(String, String, String),
    File(String, Vec<u8>),
}

/// A tree, or the objects under a prefix, into one archive.
#[pyfunction]
#[pyo3(signature = (client, source, destination, options, progress=None))]
pub fn pack<'py>(
    py: Python<'py>,
    client: &Client,
    source: Source,
    destination: Place,
    options: Bound<'py, PyDict>,
    progress: Option<Bound<'py, PyAny>>,
) -> PyResult<Bound<'py, PyDict>> {
    let known: Vec<&str> = [&PACK[..], &PUT[..], &WRITE_FILE[..], &["memory_limit"]].concat();
    let options = Options::new(options, &known)?;
    let raised = |error: Error| to_python(py, error);
    let follow_symlinks = options.get("follow_symlinks")?.unwrap_or(false);
    let source = match source {
        Source::Local(word, roots) => {
            let matched = word == "matched";
            let roots = roots.into_iter().map(|(path, prefix)| (convert::path(path), prefix)).collect();
            PackSource::Local { roots, matched, follow_symlinks }
        }
        Source::Prefix(_, bucket, prefix, strip) => {
            crate::uri::validate_bucket(&bucket).map_err(raised)?;
            let object = ObjectRef { bucket, key: prefix, version_id: None };
            PackSource::Prefix { object, strip: strip.len() }
        }
    };
    let target = match destination {
        Place::File(_, path) => PackTarget::File(WriteFileRequest {
            destination: convert::path(path),
            overwrite: options.get("overwrite")?.unwrap_or(true),
            durable: options.get("durable")?.unwrap_or(false),
            direct_io: options.word("direct_io", &DIRECT_IO)?,
            expected_size: None,
        }),
        Place::Descriptor(_, number, name) => PackTarget::Pipe(number, convert::path(name)),
        Place::Object(_, bucket, key) | Place::Versioned(_, bucket, key, _) => {
            let object = ObjectRef::new(&bucket, &key, None).map_err(raised)?;
            PackTarget::Object(put_request(py, object, &options)?)
        }
    };
    let is_remote = matches!(source, PackSource::Prefix { .. });
    let pack_options = pack_options(&options, is_remote).and_then(|found| found.map_err(raised))?;
    let filters = Filters::new(
        &options.get::<Vec<Vec<u8>>>("include")?.unwrap_or_default(),
        &options.get::<Vec<Vec<u8>>>("exclude")?.unwrap_or_default(),
    );
    let request = PackRequest { source, target, filters, options: pack_options };
    let engine = client.engine(py)?;
    let watch = Watch { callback: progress, ..Watch::new() };
    let (counters, cancel, spawn) = (watch.progress.clone(), watch.cancel.clone(), spawner(py)?);
    if options.get("calibrate")?.unwrap_or(false) {
        let seconds = wait(py, &watch, async move { measure(&engine, request, &cancel).await })?;
        let dict = PyDict::new(py);
        dict.set_item("seconds", seconds)?;
        return Ok(dict);
    }
    let packed = wait(py, &watch, async move { run_pack(&engine, request, counters, &cancel, spawn).await })?;
    packed_dict(py, packed)
}

fn pack_options(options: &Options<'_>, is_remote: bool) -> PyResult<Result<PackOptions, Error>> {
    let cores = std::thread::available_parallelism().map_or(2, usize::from);
    let workers = options.number("workers")?.unwrap_or(cores);
    let slice = options.count("slice_size")?.unwrap_or(4 * MIB);
    let group = options.count("group_size")?.unwrap_or(MIB.min(slice));
    let level: i64 = options.get("level")?.unwrap_or(DEFAULT_LEVEL.into());
    let is_zstd = options.word("codec", &CODECS)?.unwrap_or(true);
    let refused = |text: String| Ok(Err(Error::config(text)));
    if ![MIB, 2 * MIB, 4 * MIB].contains(&slice) {
        return refused(format!("slice_size must be 1, 2 or 4 MiB, not {slice} bytes"));
    }
    if group < 64 * KIB || group > slice {
        return refused(format!("group_size must be from 64 KiB to the slice_size of {slice} bytes, not {group}"));
    }
    if !(-7..=19).contains(&level) {
        return refused(format!("level must be from -7 to 19, not {level}"));
    }
    if workers == 0 || workers > 1024 {
        return refused(format!("workers must be from 1 to 1024, not {workers}"));
    }
    let extensions = options.get::<Vec<String>>("skip_extensions")?;
    let own = || EXTENSIONS.iter().map(|text| (*text).to_owned()).collect();
    let lower = |text: String| text.trim_start_matches('.').to_ascii_lowercase();
    let hints = Hints {
        no_skip: options.get("no_skip")?.unwrap_or(false),
        extensions: extensions.map_or_else(own, |given| given.into_iter().map(lower).collect()),
    };
    Ok(Ok(PackOptions {
        sizes: Sizes { slice, group },
        level: is_zstd.then_some(level as i32),
        said_level: level as i32,
        hints,
        file_hash: options.get("file_hash")?.unwrap_or(false),
        xattrs: options.get("xattrs")?.unwrap_or(false),
        skip_failures: options.word("on_error", &ON_ERROR)?.unwrap_or(false),
        workers,
        readers: if is_remote { 8 } else { workers.clamp(2, 8) },
        memory: options.count("memory_limit")?.unwrap_or(0),
    }))
}

fn packed_dict(py: Python<'_>, Packed { report, stored }: Packed) -> PyResult<Bound<'_, PyDict>> {
    let dict = match stored {
        Some(stored) => convert::report(py, stored)?,
        None => PyDict::new(py),
    };
    let counts = [
        ("entries", report.entries),
        ("files", report.files),
        ("directories", report.directories),
        ("symlinks", report.symlinks),
        ("hard_links", report.hard_links),
        ("compressed_files", report.compressed_files),
        ("stored_files", report.stored_files),
        ("empty_files", report.empty_files),
        ("bytes_in", report.bytes_in),
        ("bytes_out", report.bytes_out),
        ("workers", report.workers as u64),
    ];
    for (name, count) in counts {
        dict.set_item(name, count)?;
    }
    dict.set_item("skipped", report.skipped)?;
    dict.set_item("failures", failures(py, report.failures)?)?;
    dict.set_item("seconds", report.seconds)?;
    dict.set_item("root", PyBytes::new(py, &report.root))?;
    Ok(dict)
}

type Told<'py> = (Bound<'py, PyBytes>, &'static str, Option<i32>, String);

fn failures(py: Python<'_>, failures: Vec<Failure>) -> PyResult<Vec<Told<'_>>> {
    let told =
        |failure: Failure| (PyBytes::new(py, &failure.name), kind_name(failure.kind), failure.errno, failure.message);
    Ok(failures.into_iter().map(told).collect())
}

const UNPACK: [&str; 23] = [
    "checksum",
    "types",
    "text_type",
    "bytes_type",
    "durable",
    "memory_limit",
    "prefix",
    "names",
    "include",
    "exclude",
    "strip_components",
    "overwrite",
    "preserve",
    "same_owner",
    "xattrs_all",
    "max_bytes",
    "max_members",
    "max_ratio",
    "allow_unsafe_links",
    "allow_incomplete",
    "trust_tar",
    "root",
    "workers",
];

/// Where an archive is unpacked to, as Python names it: a path, or bucket and prefix.
#[derive(FromPyObject)]
pub enum Target {
    Directory(Vec<u8>),
    Keys(String, String),
}

/// An archive to a directory, or to the keys below a prefix.
#[pyfunction]
#[pyo3(signature = (client, archive, destination, options, progress=None))]
pub fn unpack<'py>(
    py: Python<'py>,
    client: &Client,
    archive: Place,
    destination: Target,
    options: Bound<'py, PyDict>,
    progress: Option<Bound<'py, PyAny>>,
) -> PyResult<Bound<'py, PyDict>> {
    let options = Options::new(options, &UNPACK)?;
    let raised = |error: Error| to_python(py, error);
    let place = match archive {
        Place::File(_, path) => UnpackPlace::File(convert::path(path)),
        Place::Descriptor(_, number, name) => UnpackPlace::Pipe(number, convert::path(name)),
        Place::Object(_, bucket, key) => UnpackPlace::Object(ObjectRef::new(&bucket, &key, None).map_err(raised)?),
        Place::Versioned(_, bucket, key, version) => {
            UnpackPlace::Object(ObjectRef::new(&bucket, &key, version.as_deref()).map_err(raised)?)
        }
    };
    let target = target(py, destination, &options)?;
    let goes_out = matches!(target, UnpackTarget::Keys(_));
    let is_remote = goes_out || matches!(place, UnpackPlace::Object(_));
    let cores = std::thread::available_parallelism().map_or(2, usize::from);
    let workers = options.number("workers")?.unwrap_or(cores);
    if workers == 0 || workers > 1024 {
        return Err(raised(Error::config(format!("workers must be from 1 to 1024, not {workers}"))));
    }
    let limit = options.count("memory_limit")?;
    let upload_memory = limit.map_or(128 * MIB, |limit| limit / 2);
    // What one thread holds: the bytes it fetched, one decoded frame, and the part of an object that it fills.
    let (own, each) = if goes_out { (upload_memory, 32 * MIB) } else { (0, 24 * MIB) };
    let by_memory = limit.map_or(usize::MAX, |limit| (limit.saturating_sub(own) / each).max(1) as usize);
    let request = UnpackRequest {
        durable: options.get("durable")?.unwrap_or(false),
        place,
        selection: Selection { as_keys: goes_out, ..selection(&options)? },
        target,
        upload_memory,
        tree: TreeOptions {
            preserve: options.get("preserve")?.unwrap_or(true),
            same_owner: options.get("same_owner")?.unwrap_or(false),
            xattrs_all: options.get("xattrs_all")?.unwrap_or(false),
            no_clobber: !options.get("overwrite")?.unwrap_or(true),
            unsafe_links: options.get("allow_unsafe_links")?.unwrap_or(false),
            ..TreeOptions::new()
        },
        allow_incomplete: options.get("allow_incomplete")?.unwrap_or(false),
        trust_tar: options.get("trust_tar")?.unwrap_or(false),
        root: root(py, &options)?,
        // A thread that fetches waits most of its time.
        threads: if is_remote { workers.max(8) } else { workers }.min(by_memory),
    };
    let engine = client.engine(py)?;
    let watch = Watch { callback: progress, ..Watch::new() };
    let (counters, cancel) = (watch.progress.clone(), watch.cancel.clone());
    let unpacked = wait(py, &watch, async move { run_unpack(&engine, request, counters, &cancel).await })?;
    unpacked_dict(py, unpacked)
}

fn target(py: Python<'_>, destination: Target, options: &Options<'_>) -> PyResult<UnpackTarget> {
    let (bucket, prefix) = match destination {
        Target::Directory(path) => return Ok(UnpackTarget::Directory(convert::path(path))),
        Target::Keys(bucket, prefix) => (bucket, prefix),
    };
    crate::uri::validate_bucket(&bucket).map_err(|error| to_python(py, error))?;
    if !prefix.is_empty() {
        // No key below it could be any better.
        ObjectRef::new(&bucket, &prefix, None).map_err(|error| to_python(py, error))?;
    }
    let checksum = options.get::<String>("checksum")?.and_then(|name| Kind::from_name(&name));
    let types = ContentTypes {
        by_extension: Arc::new(options.get("types")?.unwrap_or_default()),
        text: options.get("text_type")?.unwrap_or_default(),
        bytes: options.get("bytes_type")?.unwrap_or_default(),
    };
    let no_clobber = !options.get("overwrite")?.unwrap_or(true);
    Ok(UnpackTarget::Keys(Box::new(KeyOptions { bucket, prefix, checksum, types, no_clobber })))
}

fn selection(options: &Options<'_>) -> PyResult<Selection> {
    let filters = Filters::new(
        &options.get::<Vec<Vec<u8>>>("include")?.unwrap_or_default(),
        &options.get::<Vec<Vec<u8>>>("exclude")?.unwrap_or_default(),
    );
    Ok(Selection {
        prefix: options.get("prefix")?.unwrap_or_default(),
        names: options.get("names")?.unwrap_or_default(),
        keeps: (!filters.is_empty()).then(|| Box::new(move |name: &[u8]| filters.keeps(name)) as Keeps),
        strip_components: options.number("strip_components")?.unwrap_or(0),
        max_bytes: options.count("max_bytes")?,
        max_members: options.count("max_members")?,
        max_ratio: options.count("max_ratio")?.unwrap_or(MAX_RATIO),
        as_keys: false,
    })
}

pub(super) fn root(py: Python<'_>, options: &Options<'_>) -> PyResult<Option<[u8; 32]>> {
    let Some(bytes) = options.get::<Vec<u8>>("root")? else { return Ok(None) };
    let wrong = |_| to_python(py, Error::config("root must be 32 bytes, 64 hexadecimal digits"));
    bytes.try_into().map(Some).map_err(wrong)
}

fn unpacked_dict(py: Python<'_>, Unpacked { report, root, unconditional }: Unpacked) -> PyResult<Bound<'_, PyDict>> {
    let dict = PyDict::new(py);
    let counts = [
        ("entries", report.entries),
        ("files", report.files),
        ("directories", report.directories),
        ("symlinks", report.symlinks),
        ("hard_links", report.hard_links),
        ("bytes", report.bytes),
        ("unconditional", unconditional),
    ];
    for (name, count) in counts {
        dict.set_item(name, count)?;
    }
    dict.set_item("skipped", report.skipped)?;
    dict.set_item("failures", failures(py, report.failures)?)?;
    dict.set_item("seconds", report.seconds)?;
    dict.set_item("verified", root.is_some())?;
    dict.set_item("is_indexed", root.is_some())?;
    dict.set_item("root", root.map(|root| PyBytes::new(py, &root)))?;
    Ok(dict)
}
