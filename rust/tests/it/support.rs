//! A server, an engine and a directory for each test, and the oracle that follows every transfer.

use std::fs;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use fake_s3::proxy::Proxy;
use fake_s3::{Action, Config, FakeS3, LogRecord, Match, Rule, Switches, pattern_bytes};
use s3z::checksum::Algorithm;
use s3z::config::{ClientConfig, MIB, RetryConfig, TransferConfig};
use s3z::credentials::{Credentials, Signing};
use s3z::error::{Error, ErrorKind, Result};
use s3z::ops::download::{DownloadRequest, download};
use s3z::ops::engine::Engine;
use s3z::ops::report::{TransferReport, Verification};
use s3z::ops::upload::{UploadRequest, upload};
use s3z::progress::{Cancel, Progress};
use s3z::s3::client::{GetRequest, ObjectRef, S3Client};
use s3z::s3::environment::Environment;
use tempfile::TempDir;

pub const BUCKET: &str = "bucket";
pub const KEY: &str = "directory/object";
/// No multiple of a page, and coprime with the pattern's period.
pub const PART: u64 = 100_003;
/// Ten parts.
pub const SIZE: u64 = 10 * PART;
pub const SEED: u64 = 7;
/// No transfer of these tests takes so long unless it hangs.
pub const HANGS: Duration = Duration::from_secs(90);
/// More requests than any failing download of ten parts may make.
const MANY: usize = 80;

pub struct World {
    pub server: FakeS3,
    pub engine: Engine,
    directory: TempDir,
}

/// Waits that tests can afford; the quota is out of the way.
pub fn quick() -> RetryConfig {
    RetryConfig {
        max_attempts: 4,
        transient_base: Duration::from_millis(1),
        throttle_base: Duration::from_millis(2),
        max_backoff: Duration::from_millis(20),
        connect_timeout: Duration::from_secs(5),
        read_timeout: Duration::from_secs(20),
        slow_answer_timeout: Duration::from_secs(20),
        quota: 1_000_000,
        ..RetryConfig::default()
    }
}

impl World {
    pub fn new() -> Self {
        Self::with(|_, _| {})
    }

    /// `change` gets both configurations before anything starts.
    pub fn with(change: impl FnOnce(&mut Config, &mut ClientConfig)) -> Self {
        let mut server = Config::default();
        let transfer = TransferConfig { memory_limit: 64 * MIB, ..TransferConfig::default() };
        let mut client =
            ClientConfig { region: "us-east-1".into(), retry: quick(), transfer, ..ClientConfig::default() };
        change(&mut server, &mut client);
        let signing = Signing::Static(Credentials::new("fake-access", "fake-secret"));
        Self::signed(server, client, signing)
    }

    pub fn signed(server: Config, mut client: ClientConfig, signing: Signing) -> Self {
        let directory = TempDir::new().unwrap();
        let server = FakeS3::start(server).unwrap();
        server.create_bucket(BUCKET);
        client.endpoint_url.get_or_insert_with(|| server.endpoint());
        if let (Some(pem), None) = (server.ca_pem(), &client.ca_bundle) {
            let path = directory.path().join("ca.pem");
            fs::write(&path, pem).unwrap();
            client.ca_bundle = Some(path);
        }
        Self { engine: Engine::new(client, signing).unwrap(), server, directory }
    }

    /// The same store and directory for a client that gets its names or the time from elsewhere, or goes elsewhere.
    pub fn reached_by(mut self, environment: Environment, change: impl FnOnce(&mut ClientConfig)) -> Self {
        let mut config = self.engine.client.config().clone();
        change(&mut config);
        let signing = Signing::Static(Credentials::new("fake-access", "fake-secret"));
        self.engine = Engine::new(config.clone(), signing.clone()).unwrap();
        self.engine.client = S3Client::within(config, signing, environment).unwrap();
        self
    }

    /// Through a proxy that knows bytes only.
    pub fn proxied(change: impl FnOnce(&mut ClientConfig)) -> (Self, Proxy) {
        let world = Self::with(|_, client| change(client));
        let proxy = Proxy::start(world.server.address()).unwrap();
        let endpoint = format!("http://{}", proxy.address());
        (world.reached_by(Environment::default(), |client| client.endpoint_url = Some(endpoint)), proxy)
    }

    /// With a pattern of ten parts at `KEY`.
    pub fn with_object() -> Self {
        let world = Self::new();
        world.server.put_pattern(BUCKET, KEY, SIZE, SEED);
        world
    }

    /// Ten parts and a client that may lose some attempts in a row, for faults that fall by chance.
    pub fn patient() -> Self {
        let world = Self::with(|_, client| client.retry.max_attempts = 15);
        world.server.put_pattern(BUCKET, KEY, SIZE, SEED);
        world
    }

    pub fn on(&self, matches: Match, action: Action) {
        self.server.add_rule(Rule::new(matches, action));
    }

    pub fn times(&self, times: u64, matches: Match, action: Action) {
        self.server.add_rule(Rule::new(matches, action).times(times));
    }

    pub fn switch(&self, change: impl FnOnce(&mut Switches)) {
        let mut switches = self.server.switches();
        change(&mut switches);
        self.server.set_switches(switches);
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    pub fn destination(&self) -> PathBuf {
        self.path("destination")
    }

    /// A file of `size` bytes of the pattern `SEED`.
    pub fn source(&self, size: u64) -> PathBuf {
        let path = self.path("source");
        fs::write(&path, content(size)).unwrap();
        path
    }

    pub fn get(&self) -> DownloadRequest {
        DownloadRequest { part_size: Some(PART), ..DownloadRequest::new(object(KEY), self.destination()) }
    }

    pub fn put(&self, size: u64) -> UploadRequest {
        UploadRequest {
            source: self.source(size),
            object: object(KEY),
            headers: Vec::new(),
            conditions: Vec::new(),
            checksum: Some(Algorithm::Crc64Nvme.into()),
            deadline: None,
            part_size: None,
            max_concurrency: None,
            resume: false,
        }
    }

    pub async fn download(&self, request: &DownloadRequest) -> Result<TransferReport> {
        self.download_until(request, &Cancel::default(), &Arc::default()).await
    }

    pub async fn download_until(
        &self,
        request: &DownloadRequest,
        cancel: &Cancel,
        progress: &Arc<Progress>,
    ) -> Result<TransferReport> {
        let work = download(&self.engine, request, progress.clone(), cancel);
        let outcome = tokio::time::timeout(HANGS, work).await.expect("the download hangs");
        // What an interrupted download says it has kept is what may be left, and nothing else.
        match &outcome {
            Err(error) if error.kept() > 0 => {
                let mut left = own_files(self.directory.path());
                left.sort_by_key(|name| name.ends_with(".part"));
                assert!(left.len() == 2 && left[0].ends_with(".ledger") && left[1].ends_with(".part"), "{left:?}");
            }
            _ => assert_eq!(own_files(self.directory.path()), Vec::<String>::new(), "temporary files were left"),
        }
        self.check_memory().await;
        if let Ok(report) = &outcome {
            let seen = progress.snapshot();
            let resumed = report.resumed_bytes;
            assert_eq!(seen.network + resumed, report.bytes, "bytes were received twice or not counted");
            assert_eq!(seen.durable, report.bytes, "bytes were written twice or not counted");
        }
        outcome
    }

    pub async fn upload(&self, request: &UploadRequest) -> Result<TransferReport> {
        self.upload_until(request, &Cancel::default(), &Arc::default()).await
    }

    pub async fn upload_until(
        &self,
        request: &UploadRequest,
        cancel: &Cancel,
        progress: &Arc<Progress>,
    ) -> Result<TransferReport> {
        let work = upload(&self.engine, request, progress.clone(), cancel);
        let outcome = tokio::time::timeout(HANGS, work).await.expect("the upload hangs");
        self.check_oracle().await;
        match &outcome {
            Err(error) if error.upload_id().is_some() => {}
            _ => assert_eq!(self.server.open_uploads(), [], "an upload stayed open"),
        }
        if let Ok(report) = &outcome {
            let seen = progress.snapshot();
            assert_eq!(seen.network + report.resumed_bytes, report.bytes, "failed attempts were counted");
            assert_eq!(seen.durable, report.bytes);
        }
        outcome
    }

    /// What must hold after every transfer, however it ended.
    async fn check_oracle(&self) {
        assert_eq!(own_files(self.directory.path()), Vec::<String>::new(), "temporary files were left");
        self.check_memory().await;
    }

    async fn check_memory(&self) {
        let scheduler = self.engine.scheduler.clone();
        // Buffers of a cancelled request are given back by the connection that held them, a moment later.
        until("all memory is given back", || scheduler.free_memory() == scheduler.memory_limit()).await;
    }

    /// A successful download of the pattern; the file is compared byte for byte.
    pub async fn downloads(&self, request: &DownloadRequest, size: u64, seed: u64) -> TransferReport {
        let report = self.download(request).await.unwrap();
        assert_eq!(report.bytes, size);
        assert_pattern(&request.destination, size, seed);
        report
    }

    /// The download fails with `kind`, without and with an old file at the destination, which stays as it is.
    /// `setup` plays the store before each try.
    pub async fn refuses(&self, request: &DownloadRequest, kind: ErrorKind, setup: impl Fn(&Self)) -> Error {
        let mut last = None;
        for old in [None, Some(b"the old file".as_slice())] {
            // Requests that the try before gave up may still come to be read, and would count for the rules of this one.
            self.server.end_connections();
            self.server.clear_rules();
            self.server.clear_log();
            setup(self);
            match old {
                None => drop(fs::remove_file(&request.destination)),
                Some(bytes) => fs::write(&request.destination, bytes).unwrap(),
            }
            let error = self.download(request).await.expect_err("this must fail");
            assert_eq!(error.kind(), kind, "{error:?}");
            assert_names(&error, &request.object.key);
            assert_eq!(fs::read(&request.destination).ok().as_deref(), old, "the destination was touched");
            assert!(self.server.log().len() < MANY, "{} requests", self.server.log().len());
            last = Some(error);
        }
        last.unwrap()
    }

    /// The upload fails with `kind`; what is stored at the key stays as it is.
    pub async fn refuses_upload(&self, request: &UploadRequest, kind: ErrorKind) -> Error {
        let before = self.server.object(BUCKET, KEY);
        let error = self.upload(request).await.expect_err("this must fail");
        assert_eq!(error.kind(), kind, "{error:?}");
        assert_names(&error, KEY);
        assert_eq!(self.server.object(BUCKET, KEY), before, "the stored object was touched");
        assert!(self.server.log().len() < MANY, "{} requests", self.server.log().len());
        error
    }

    /// Requests of one operation, in the order they came.
    pub fn logged(&self, operation: &str) -> Vec<LogRecord> {
        self.server.log().into_iter().filter(|record| record.operation == operation).collect()
    }
}

fn assert_names(error: &Error, key: &str) {
    assert_eq!((error.bucket(), error.key()), (Some(BUCKET), Some(key)), "{error:?}");
}

pub fn object(key: &str) -> ObjectRef {
    ObjectRef::new(BUCKET, key, None).unwrap()
}

/// A GET of `KEY`: of a range, or of all.
pub fn get_of(range: Option<Range<u64>>) -> GetRequest {
    GetRequest { object: object(KEY), range, tail: None, if_match: None, checksums: false, fresh_connection: false }
}

pub fn content(size: u64) -> Vec<u8> {
    pattern_bytes(SEED, 0, usize::try_from(size).unwrap())
}

/// Whether the file is exactly this pattern, compared in pieces.
pub fn assert_pattern(path: &Path, size: u64, seed: u64) {
    use std::io::Read;
    let mut file = fs::File::open(path).unwrap();
    assert_eq!(file.metadata().unwrap().len(), size, "length of the file");
    let mut piece = vec![0; MIB as usize];
    let mut at = 0;
    while at < size {
        let len = (size - at).min(MIB) as usize;
        file.read_exact(&mut piece[..len]).unwrap();
        let wanted = pattern_bytes(seed, at, len);
        let wrong = piece[..len].iter().zip(&wanted).position(|(got, wanted)| got != wanted);
        assert_eq!(wrong.map(|offset| at + offset as u64), None, "offset of the first wrong byte");
        at += len as u64;
    }
}

/// Names in a directory that only s3z gives.
pub fn own_files(directory: &Path) -> Vec<String> {
    let names = fs::read_dir(directory).unwrap().map(|entry| entry.unwrap().file_name().to_string_lossy().into_owned());
    names.filter(|name| name.starts_with(".s3z-")).collect()
}

/// Returns as soon as `condition` holds; fails if that takes so long that it never will.
pub async fn until(what: &str, condition: impl Fn() -> bool) {
    let patience = Instant::now() + Duration::from_secs(20);
    while !condition() {
        assert!(Instant::now() < patience, "never came: {what}");
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
}

pub fn operation(name: &str) -> Match {
    Match { operation: Some(name.to_owned()), ..Match::default() }
}

/// Any GET of an object.
pub fn gets() -> Match {
    operation("GetObject")
}

/// A GET of a range that does not begin at the first byte.
pub fn later_ranges() -> Match {
    Match { range_min: Some(1), ..gets() }
}

pub fn respond(status: u16, body: &str) -> Action {
    Action::Respond {
        status,
        code: None,
        message: None,
        body: Some(body.to_owned()),
        headers: [("ETag".to_owned(), "\"x\"".to_owned())].into(),
        early: false,
    }
}

pub fn set_header(name: &str, value: &str) -> Action {
    Action::Header { name: name.to_owned(), value: Some(value.to_owned()), doubled: false }
}

pub fn header<'a>(record: &'a LogRecord, name: &str) -> Option<&'a str> {
    record.headers.iter().find(|(have, _)| have == name).map(|(_, value)| value.as_str())
}

pub fn assert_full_object(report: &TransferReport, algorithm: Algorithm) {
    assert_eq!(report.verified, Verification::FullObject(algorithm.into()));
}

/// Not verified, and the reason names `why`.
pub fn assert_length_only(report: &TransferReport, why: &str) {
    let Verification::Length(reason) = &report.verified else { panic!("called verified: {:?}", report.verified) };
    assert!(reason.contains(why), "{reason}");
}
