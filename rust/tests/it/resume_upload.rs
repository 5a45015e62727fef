//! Uploads of files that are gone on with (U10, U11, #44), parts that are late (#48), and conditional requests whose answers were
//! lost (C12).

use std::fs;
use std::sync::Arc;
use std::time::Duration;

use fake_s3::{Action, EtagStyle, Match};
use s3z::config::MIB;
use s3z::error::{Error, ErrorKind};
use s3z::ops::unfinished;
use s3z::ops::upload::UploadRequest;
use s3z::progress::{Cancel, Progress};
use tempfile::TempDir;

use crate::support::*;

const UPLOAD_PART: u64 = 5 * MIB;
/// Six parts, the last of one byte.
const SIZE: u64 = 5 * UPLOAD_PART + 1;

struct Place {
    world: World,
    state: TempDir,
}

impl Place {
    fn new() -> Self {
        let state = TempDir::new().unwrap();
        let directory = state.path().join("s3z");
        Self { world: World::with(|_, client| client.state_dir = Some(directory)), state }
    }

    fn request(&self) -> UploadRequest {
        UploadRequest { part_size: Some(UPLOAD_PART), max_concurrency: Some(1), resume: true, ..self.world.put(SIZE) }
    }

    /// What the journal has.
    fn notes(&self) -> usize {
        fs::read_dir(self.state.path().join("s3z")).map_or(0, Iterator::count)
    }

    /// Uploads until part 4 is refused; three are kept.
    async fn interrupted(&self, request: &UploadRequest) -> Error {
        self.world.on(Match { part: Some(4), ..operation("UploadPart") }, Action::error(403, "AccessDenied"));
        let error = self.world.upload(request).await.unwrap_err();
        self.world.server.clear_rules();
        self.world.server.clear_log();
        error
    }

    async fn is_kept(&self, request: &UploadRequest) -> String {
        let error = self.interrupted(request).await;
        assert_eq!((error.kind(), error.kept()), (ErrorKind::AccessDenied, 3 * UPLOAD_PART));
        assert_eq!((self.world.server.open_uploads().len(), self.notes()), (1, 1));
        error.upload_id().unwrap().to_owned()
    }

    async fn finishes(&self, request: &UploadRequest, resumed: u64) {
        let report = self.world.upload(request).await.unwrap();
        assert_eq!((report.bytes, report.resumed_bytes), (SIZE, resumed));
        assert_eq!(self.world.logged("UploadPart").len() as u64, 6 - resumed / UPLOAD_PART);
        assert!(self.world.server.object(BUCKET, KEY).unwrap() == fs::read(&request.source).unwrap());
        assert_eq!((self.world.server.open_uploads().len(), self.notes()), (0, 0), "something was left");
    }
}

/// U11: what is there and proves right is not sent again.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_interrupted_upload_is_gone_on_with() {
    let place = Place::new();
    let request = place.request();
    let id = place.is_kept(&request).await;
    place.finishes(&request, 3 * UPLOAD_PART).await;
    assert!(place.world.logged("CreateMultipartUpload").is_empty());
    assert!(place.world.logged("CompleteMultipartUpload")[0].query.contains(&id));
}

/// The part size was chosen by the run that began; who insists on another one begins anew.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_size_of_parts_is_that_of_the_run_that_began() {
    let place = Place::new();
    let request = place.request();
    place.is_kept(&request).await;
    let other = UploadRequest { part_size: Some(6 * MIB), ..request.clone() };
    let error = place.interrupted(&other).await;
    assert_eq!(error.kept(), 18 * MIB);
    assert_eq!(place.world.server.open_uploads().len(), 1, "the first one is of no use any more");
    let any = UploadRequest { part_size: None, ..request };
    let report = place.world.upload(&any).await.unwrap();
    assert_eq!(report.resumed_bytes, 18 * MIB);
}

/// U11: who did not ask for it gets neither.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_is_kept_or_gone_on_with_unasked() {
    let place = Place::new();
    let plain = UploadRequest { resume: false, ..place.request() };
    let error = place.interrupted(&plain).await;
    assert_eq!((error.kept(), error.upload_id()), (0, None));
    assert_eq!((place.world.server.open_uploads().len(), place.notes()), (0, 0));
    place.is_kept(&place.request()).await;
    assert_eq!(place.world.server.open_uploads().len(), 1);
    let report =
        s3z::ops::upload::upload(&place.world.engine, &plain, Arc::default(), &Cancel::default()).await.unwrap();
    assert_eq!(report.resumed_bytes, 0);
    assert_eq!((place.world.server.open_uploads().len(), place.notes()), (1, 1), "it is another call's");
}

/// U11: another file, or another object, is not what was begun; what was is removed.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_changed_begins_anew_and_leaves_nothing() {
    type Change = fn(&mut UploadRequest);
    let changes: [(&str, Change); 5] = [
        ("content", |request| {
            let mut content = fs::read(&request.source).unwrap();
            content[0] ^= 1;
            fs::write(&request.source, content).unwrap();
        }),
        ("mtime", |request| {
            let file = fs::File::options().write(true).open(&request.source).unwrap();
            file.set_modified(std::time::UNIX_EPOCH).unwrap();
        }),
        ("inode", |request| {
            let content = fs::read(&request.source).unwrap();
            let modified = fs::metadata(&request.source).unwrap().modified().unwrap();
            fs::rename(&request.source, request.source.with_extension("old")).unwrap();
            fs::write(&request.source, content).unwrap();
            fs::File::options().write(true).open(&request.source).unwrap().set_modified(modified).unwrap();
        }),
        ("headers", |request| request.headers.push(("x-amz-meta-a".into(), "b".into()))),
        ("checksum", |request| request.checksum = Some(s3z::checksum::Algorithm::Crc32.into())),
    ];
    for (name, change) in changes {
        let place = Place::new();
        let mut request = place.request();
        let id = place.is_kept(&request).await;
        change(&mut request);
        place.finishes(&request, 0).await;
        let aborted = place.world.logged("AbortMultipartUpload");
        assert!(aborted.iter().any(|record| record.query.contains(&id)), "{name}");
    }
}

/// U11: a part that is not of the file's bytes is sent again, whatever its number and length.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_part_that_proves_wrong_is_sent_again() {
    let place = Place::new();
    let request = place.request();
    let id = place.is_kept(&request).await;
    let upload = s3z::ops::assemble::UploadRef { object: object(KEY), upload_id: id, checksum: request.checksum };
    let foreign = vec![7; UPLOAD_PART as usize];
    let (progress, cancel) = (Arc::default(), Cancel::default());
    s3z::ops::assemble::send_part(&place.world.engine, &upload, 2, foreign.into(), &progress, &cancel).await.unwrap();
    place.world.server.clear_log();
    place.finishes(&request, 2 * UPLOAD_PART).await;
}

/// U11: without checksums at the store the MD5 in its ETags proves; without that nothing does.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_store_without_checksums_proves_by_md5() {
    for is_opaque in [false, true] {
        let place = Place::new();
        place.world.switch(|switches| {
            switches.no_checksums = true;
            switches.etag_style = if is_opaque { EtagStyle::Opaque } else { EtagStyle::Md5 };
        });
        let request = place.request();
        place.is_kept(&request).await;
        place.finishes(&request, if is_opaque { 0 } else { 3 * UPLOAD_PART }).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_upload_the_store_forgot_begins_anew() {
    let place = Place::new();
    let request = place.request();
    let id = place.is_kept(&request).await;
    place.world.engine.client.abort_multipart_upload(&object(KEY), &id).await.unwrap();
    place.finishes(&request, 0).await;
}

/// U10: an upload by its id takes its note along; and whose endpoint is another one is none of ours.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_left_is_listed_until_it_is_aborted() {
    let place = Place::new();
    let id = place.is_kept(&place.request()).await;
    let left = unfinished::left(&place.world.engine).await.unwrap();
    let note = &left[0].1;
    assert_eq!((left.len(), &*note.bucket, &*note.key, &note.upload_id), (1, BUCKET, KEY, &id));
    drop(left);
    let world = place.world.reached_by(Default::default(), |client| {
        client.endpoint_url = client.endpoint_url.as_ref().map(|url| url.replace("127.0.0.1", "localhost"));
    });
    assert_eq!(unfinished::left(&world.engine).await.unwrap().len(), 0);
    let world = world.reached_by(Default::default(), |client| {
        client.endpoint_url = client.endpoint_url.as_ref().map(|url| url.replace("localhost", "127.0.0.1"));
    });
    let upload = s3z::ops::assemble::UploadRef { object: object(KEY), upload_id: id, checksum: None };
    s3z::ops::assemble::abort(&world.engine, &upload).await.unwrap();
    assert_eq!(unfinished::left(&world.engine).await.unwrap().len(), 0);
    assert_eq!(world.server.open_uploads().len(), 0);
}

/// U11: an upload that is under way belongs to who began it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_at_once_do_not_share_an_upload() {
    let place = Place::new();
    let request = place.request();
    place.world.times(2, operation("UploadPart"), Action::Latency { ms: 300 });
    let upload = |progress| {
        let (engine, request) = (&place.world.engine, &request);
        async move { s3z::ops::upload::upload(engine, request, progress, &Cancel::default()).await }
    };
    let (one, other) = tokio::join!(upload(Arc::<Progress>::default()), upload(Arc::default()));
    assert_eq!((one.unwrap().resumed_bytes, other.unwrap().resumed_bytes), (0, 0));
    assert_eq!(place.world.logged("CreateMultipartUpload").len(), 2);
    assert_eq!((place.world.server.open_uploads().len(), place.notes()), (0, 0));
}

/// U9, U11: what cannot be gone on with is not kept.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_cannot_be_gone_on_with_is_aborted() {
    let no_part = Match { part: Some(1), ..operation("UploadPart") };
    let late = Match { part: Some(4), ..operation("UploadPart") };
    let cases = [
        (no_part, Action::error(403, "AccessDenied")),
        (late, Action::error(404, "NoSuchUpload")),
        (operation("CompleteMultipartUpload"), Action::error(412, "PreconditionFailed")),
    ];
    for (on, action) in cases {
        let place = Place::new();
        place.world.on(on, action);
        let error = place.world.upload(&place.request()).await.unwrap_err();
        assert_eq!((error.kept(), error.upload_id()), (0, None), "{error}");
        assert_eq!((place.world.server.open_uploads().len(), place.notes()), (0, 0), "{error}");
    }
}

/// Where nothing can be noted, resume is refused before any request; other uploads go without a note.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn resume_needs_a_place_for_its_notes() {
    let place = Place::new();
    fs::write(place.state.path().join("s3z"), "a file").unwrap();
    let error = place.world.upload(&place.request()).await.unwrap_err();
    assert_eq!((error.kind(), place.world.server.log().len()), (ErrorKind::LocalIo, 0), "{error}");
    let nowhere = World::new();
    let request = UploadRequest { resume: true, part_size: Some(UPLOAD_PART), ..nowhere.put(SIZE) };
    assert_eq!(nowhere.upload(&request).await.unwrap_err().kind(), ErrorKind::Config);
    let plain = UploadRequest { resume: false, ..place.request() };
    place.world.upload(&plain).await.unwrap();
}

/// #48: a part whose answer does not come is sent again over another connection, and counted once.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_late_part_is_sent_again() {
    for act in
        [Action::Stall { after: 0, seconds: 80.0, in_head: true }, Action::StallRequest { after: MIB, seconds: 80.0 }]
    {
        let world = World::with(|_, client| {
            client.transfer.late_after = Duration::from_millis(100);
            client.retry.read_timeout = Duration::from_secs(80);
        });
        world.times(1, Match { part: Some(5), ..operation("UploadPart") }, act);
        let request = UploadRequest { part_size: Some(UPLOAD_PART), max_concurrency: Some(2), ..world.put(SIZE) };
        let report = world.upload(&request).await.unwrap();
        assert_eq!((report.parts, report.attempts), (6, 7));
        assert!(world.server.object(BUCKET, KEY).unwrap() == content(SIZE));
    }
}

/// #48, R11: where all parts are slow, none is sent twice.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn where_all_parts_are_slow_none_is_late() {
    let world = World::with(|_, client| client.transfer.late_after = Duration::from_millis(1));
    world.on(operation("UploadPart"), Action::Latency { ms: 250 });
    let request = UploadRequest { part_size: Some(UPLOAD_PART), max_concurrency: Some(2), ..world.put(SIZE) };
    let report = world.upload(&request).await.unwrap();
    assert_eq!((report.parts, report.attempts), (6, 6));
}

fn only_new(world: &World, size: u64) -> UploadRequest {
    let conditions = vec![("if-none-match".to_owned(), "*".to_owned())];
    UploadRequest { conditions, part_size: Some(UPLOAD_PART), ..world.put(size) }
}

/// C12: the object that is in the way is our own.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_conditional_request_knows_its_own_object() {
    for (size, name) in [(1000, "PutObject"), (SIZE, "CompleteMultipartUpload")] {
        let world = World::with(|_, client| client.transfer.multipart_threshold = MIB);
        world.times(1, operation(name), Action::ActThenDrop { reset: false });
        world.upload(&only_new(&world, size)).await.unwrap();
        assert!(world.server.object(BUCKET, KEY).unwrap() == content(size));
    }
}

/// C12: equal content is no proof, for another writer may have won with it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_equal_object_of_another_writer_is_not_ours() {
    for (size, name) in [(1000, "PutObject"), (SIZE, "CompleteMultipartUpload")] {
        let world = World::with(|_, client| client.transfer.multipart_threshold = MIB);
        world.server.put_object(BUCKET, KEY, content(size));
        world.times(1, operation(name), Action::CloseAfterRequestBytes { bytes: 1, reset: true });
        world.refuses_upload(&only_new(&world, size), ErrorKind::AlreadyExists).await;
    }
}

/// C12: where nobody says whose it is, neither do we.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_conditional_request_that_cannot_look_says_so() {
    for (size, name) in [(1000, "PutObject"), (SIZE, "CompleteMultipartUpload")] {
        let world = World::with(|_, client| client.transfer.multipart_threshold = MIB);
        world.times(1, operation(name), Action::ActThenDrop { reset: false });
        world.on(operation("HeadObject"), Action::error(403, "AccessDenied"));
        let error = world.upload(&only_new(&world, size)).await.unwrap_err();
        assert!(error.to_string().contains("outcome"), "{error}");
    }
}

/// An upload under conditions carries one mark, through an interruption too.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_mark_is_kept_with_the_upload() {
    let place = Place::new();
    let request = UploadRequest { conditions: only_new(&place.world, 1).conditions, ..place.request() };
    place.is_kept(&request).await;
    place.world.times(1, operation("CompleteMultipartUpload"), Action::ActThenDrop { reset: false });
    place.finishes(&request, 3 * UPLOAD_PART).await;
}
