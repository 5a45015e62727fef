//! The parts of an object as a store tells them, in either way (C6, I2). Lies and refusals: `layout_faults`.

use std::time::{SystemTime, UNIX_EPOCH};

use fake_s3::{Action, Algorithm as Stored, LogRecord, Match, PatternObject};
use s3z::checksum::{Algorithm, Digest, Kind, Sha, ShaHasher, checksum, composite};
use s3z::s3::client::{ObjectRef, PartLayout};
use s3z::s3::object::{ObjectIdentity, StoredChecksum};

use crate::support::*;

/// Ten parts, the last one shorter.
pub const PART_SIZE: u64 = 101_000;
pub const PARTS: u32 = 10;
const KINDS: [(Stored, Kind); 5] = [
    (Stored::Crc64Nvme, Kind::Crc(Algorithm::Crc64Nvme)),
    (Stored::Crc32, Kind::Crc(Algorithm::Crc32)),
    (Stored::Crc32c, Kind::Crc(Algorithm::Crc32c)),
    (Stored::Sha1, Kind::Sha(Sha::Sha1)),
    (Stored::Sha256, Kind::Sha(Sha::Sha256)),
];
const SHA256: Kind = Kind::Sha(Sha::Sha256);

/// A composite object, and what a HEAD tells of it.
pub struct Case {
    pub world: World,
    pub identity: ObjectIdentity,
    value: Digest,
    pub parts: u32,
}

impl Case {
    pub async fn new(algorithm: Stored, part_size: u64) -> Self {
        let world = World::new();
        let algorithm = Some(algorithm);
        let part_size = Some(part_size);
        let pattern = PatternObject { size: SIZE, seed: SEED, part_size, algorithm, is_composite: true };
        world.server.put_pattern_object(BUCKET, KEY, &pattern);
        let head = world.engine.client.head_object(&object(KEY), None).await.unwrap();
        let StoredChecksum::Composite { value, parts } = head.checksum else { panic!("{:?}", head.checksum) };
        world.server.clear_log();
        Self { world, identity: head.identity, value, parts }
    }

    pub async fn sha256() -> Self {
        Self::new(Stored::Sha256, PART_SIZE).await
    }

    pub async fn ask(&self) -> Result<PartLayout, String> {
        self.ask_for(&object(KEY)).await
    }

    async fn ask_for(&self, object: &ObjectRef) -> Result<PartLayout, String> {
        let ask = self.world.engine.client.part_layout(object, &self.identity, self.value.kind(), self.parts);
        tokio::time::timeout(std::time::Duration::from_secs(60), ask).await.expect("asking for the parts hangs")
    }

    /// There is a layout, it is the true one, and the stored value is made of it.
    pub async fn is_told(&self, part_size: u64) {
        let layout = self.ask().await.unwrap();
        let kind = self.value.kind();
        let mut start = 0;
        for part in &layout.parts {
            assert_eq!(part.range, start..(start + part_size).min(SIZE));
            let bytes = fake_s3::pattern_bytes(SEED, start, (part.range.end - start) as usize);
            assert_eq!(part.digest, direct(kind, &bytes), "{:?}", part.range);
            start = part.range.end;
        }
        assert_eq!(start, SIZE);
        assert_eq!(layout.parts.len(), self.parts as usize);
        assert_eq!(composite(kind, layout.parts.iter().map(|part| part.digest)), self.value);
    }

    /// There is none; the reason says `why`.
    pub async fn is_refused(&self, why: &str) {
        let reason = self.ask().await.expect_err("there must be no layout");
        assert!(reason.contains(why), "{reason}");
        assert!(!reason.contains(['<', '\n']), "not for a person: {reason}");
    }

    pub fn lists(&self) -> Vec<LogRecord> {
        self.world.logged("GetObjectAttributes")
    }

    pub fn heads(&self) -> Vec<LogRecord> {
        self.world.logged("HeadObject")
    }

    pub fn refuse_lists(&self) {
        self.world.switch(|switches| switches.no_attributes = true);
    }

    pub fn refuse_heads(&self) {
        self.world.switch(|switches| switches.no_part_number = true);
    }

    /// GetObjectAttributes answers this.
    pub fn list(&self, inner: &str) {
        let etag = self.identity.etag.as_deref().unwrap().trim_matches('"');
        self.list_as(&format!("<ETag>{etag}</ETag><ObjectSize>{SIZE}</ObjectSize>{inner}"));
    }

    pub fn list_as(&self, inner: &str) {
        self.world.server.clear_rules();
        let body = format!("<GetObjectAttributesResponse>{inner}</GetObjectAttributesResponse>");
        self.world.on(lists(), respond(200, &body));
    }
}

pub fn lists() -> Match {
    operation("GetObjectAttributes")
}

pub fn head_of(part: u32) -> Match {
    Match { part: Some(part), ..operation("HeadObject") }
}

fn direct(kind: Kind, bytes: &[u8]) -> Digest {
    match kind {
        Kind::Crc(algorithm) => Digest::of_crc(algorithm, checksum(algorithm, bytes)),
        Kind::Sha(sha) => {
            let mut hasher = ShaHasher::new(sha);
            hasher.update(bytes);
            hasher.finish()
        }
    }
}

/// `<ObjectParts>` of parts of these sizes, each with some SHA-256.
pub fn parts(sizes: &[(u32, &str)]) -> String {
    let digest = direct(SHA256, b"").encode();
    let part = |(number, size): &(u32, &str)| {
        let sum = format!("<ChecksumSHA256>{digest}</ChecksumSHA256>");
        format!("<Part><PartNumber>{number}</PartNumber><Size>{size}</Size>{sum}</Part>")
    };
    format!("<ObjectParts>{}</ObjectParts>", sizes.iter().map(part).collect::<String>())
}

/// Ten parts of the true size, if nothing is changed.
fn true_sizes() -> Vec<(u32, String)> {
    let last = SIZE - 9 * PART_SIZE;
    (1..=PARTS).map(|number| (number, if number < PARTS { PART_SIZE } else { last }.to_string())).collect()
}

pub fn with(change: impl FnOnce(&mut Vec<(u32, String)>)) -> String {
    let mut sizes = true_sizes();
    change(&mut sizes);
    let sizes: Vec<(u32, &str)> = sizes.iter().map(|(number, size)| (*number, size.as_str())).collect();
    parts(&sizes)
}

/// C6
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_list_tells_the_parts() {
    for (stored, kind) in KINDS {
        let case = Case::new(stored, PART_SIZE).await;
        assert_eq!((case.value.kind(), case.parts), (kind, PARTS));
        case.is_told(PART_SIZE).await;
        let asked = case.lists();
        assert_eq!((asked.len(), case.heads().len()), (1, 0));
        assert_eq!(header(&asked[0], "x-amz-object-attributes"), Some("ETag,Checksum,ObjectParts,ObjectSize"));
        assert!(!asked[0].query.contains("versionId"), "{}", asked[0].query);
    }
}

/// C6, I2
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_head_for_each_part_tells_the_same() {
    for (stored, _) in KINDS {
        let case = Case::new(stored, PART_SIZE).await;
        case.refuse_lists();
        case.is_told(PART_SIZE).await;
        let mut asked: Vec<u32> = case.heads().iter().filter_map(|record| record.part).collect();
        asked.sort_unstable();
        assert_eq!(asked, (1..=PARTS).collect::<Vec<u32>>());
        for record in case.heads() {
            assert_eq!(header(&record, "if-match"), case.identity.etag.as_deref());
            assert_eq!(header(&record, "x-amz-checksum-mode"), Some("ENABLED"));
            assert!(!record.query.contains("versionId"), "{}", record.query);
        }
    }
}

/// A refusal of any kind, and answers that leave something out.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_the_list_does_not_tell_is_asked_one_by_one() {
    let case = Case::sha256().await;
    for (status, code) in [
        (400, "InvalidRequest"),
        (403, "AccessDenied"),
        (404, "NoSuchKey"),
        (405, "MethodNotAllowed"),
        (501, "NotImplemented"),
    ] {
        case.world.server.clear_rules();
        case.world.on(lists(), Action::error(status, code));
        case.is_told(PART_SIZE).await;
    }
    let without = with(|_| {}).replace("<ChecksumSHA256>", "<ChecksumCRC32>").replace("SHA256>", "CRC32>");
    for inner in ["", "<ObjectParts><PartsCount>10</PartsCount></ObjectParts>", "<ObjectParts/>", &without] {
        case.list(inner);
        case.is_told(PART_SIZE).await;
    }
    case.list_as(&with(|_| {}));
    case.is_told(PART_SIZE).await;
}

/// Old stores answer `?attributes` with the object itself: it is not read to its end.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_object_in_place_of_its_attributes_is_no_list() {
    let case = Case::sha256().await;
    case.world.on(lists(), respond(200, &"x".repeat(32 << 20)));
    case.is_told(PART_SIZE).await;
    let asked = case.lists();
    assert_eq!(asked.len(), 2, "a bad answer is asked for once more");
    assert!(asked.iter().all(|record| record.bytes_out < 16 << 20), "{:?}", asked[0].bytes_out);
    let case = Case::sha256().await;
    case.world.on(lists(), respond(200, "no XML at all"));
    case.is_told(PART_SIZE).await;
}

/// U15, as for lists: pages are read until all parts are there.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn more_than_a_thousand_parts_come_in_pages() {
    let case = Case::new(Stored::Crc32c, 400).await;
    assert_eq!(case.parts, 2501);
    case.is_told(400).await;
    let asked = case.lists();
    let markers: Vec<_> = asked.iter().map(|record| header(record, "x-amz-part-number-marker")).collect();
    assert_eq!(markers, [None, Some("1000"), Some("2000")]);
    assert!(asked.iter().all(|record| header(record, "x-amz-max-parts") == Some("1000")));

    case.world.server.clear_log();
    case.refuse_lists();
    case.is_refused("too many to ask for one by one").await;
    assert_eq!(case.heads().len(), 0);
}

/// Gaps in the numbers are allowed by some stores; the order is what counts.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn part_numbers_may_have_gaps() {
    let case = Case::sha256().await;
    case.list(&with(|sizes| sizes.iter_mut().for_each(|(number, _)| *number *= 1000)));
    assert_eq!(case.ask().await.unwrap().parts.len(), 10);
}

/// At most eight at a time.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn few_heads_are_under_way_at_once() {
    let case = Case::new(Stored::Crc32, SIZE / 40 + 1).await;
    assert_eq!(case.parts, 40);
    case.refuse_lists();
    case.world.on(operation("HeadObject"), Action::Latency { ms: 100 });
    case.is_told(SIZE / 40 + 1).await;
    let asked = case.heads();
    // For this long after its arrival a request has certainly no answer yet.
    let open = |record: &LogRecord, at: f64| record.time <= at && at < record.time + 0.09;
    let under_way = |at: f64| asked.iter().filter(|record| open(record, at)).count();
    let most = asked.iter().map(|record| under_way(record.time)).max().unwrap();
    assert!((2..=8).contains(&most), "{most}");
    assert_eq!(under_way(asked[0].time), 1, "the first one goes alone");
    assert!(asked[0].time < SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs_f64());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_version_is_named_only_if_the_caller_did() {
    for refuse in [false, true] {
        let case = Case::sha256().await;
        if refuse {
            case.refuse_lists();
        }
        let named = ObjectRef::new(BUCKET, KEY, Some("null")).unwrap();
        case.ask_for(&named).await.unwrap();
        let asked = if refuse { case.heads() } else { case.lists() };
        assert!(asked.iter().all(|record| record.query.contains("versionId=null")), "{:?}", asked[0].query);
    }
}

/// One part is a multipart object too; its range is the whole.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_part_is_the_whole() {
    for refuse in [false, true] {
        let case = Case::new(Stored::Sha1, SIZE).await;
        if refuse {
            case.refuse_lists();
        }
        assert_eq!(case.parts, 1);
        case.is_told(SIZE).await;
    }
}
