//! The parts of an object as a store tells them, and every way in which it may not (C3, C6, C8, I2, I3, I14).

use std::time::{SystemTime, UNIX_EPOCH};

use fake_s3::{Action, Algorithm as Stored, LogRecord, Match, PatternObject};
use s3z::checksum::{Algorithm, Digest, Kind, Sha, ShaHasher, checksum, composite};
use s3z::s3::client::{ObjectRef, PartLayout};
use s3z::s3::object::{ObjectIdentity, StoredChecksum};

use crate::support::*;

/// Ten parts, the last one shorter.
const PART_SIZE: u64 = 101_000;
const PARTS: u32 = 10;
const KINDS: [(Stored, Kind); 5] = [
    (Stored::Crc64Nvme, Kind::Crc(Algorithm::Crc64Nvme)),
    (Stored::Crc32, Kind::Crc(Algorithm::Crc32)),
    (Stored::Crc32c, Kind::Crc(Algorithm::Crc32c)),
    (Stored::Sha1, Kind::Sha(Sha::Sha1)),
    (Stored::Sha256, Kind::Sha(Sha::Sha256)),
];
const SHA256: Kind = Kind::Sha(Sha::Sha256);

/// A composite object, and what a HEAD tells of it.
struct Case {
    world: World,
    identity: ObjectIdentity,
    value: Digest,
    parts: u32,
}

impl Case {
    async fn new(algorithm: Stored, part_size: u64) -> Self {
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

    async fn sha256() -> Self {
        Self::new(Stored::Sha256, PART_SIZE).await
    }

    async fn ask(&self) -> Result<PartLayout, String> {
        self.ask_for(&object(KEY)).await
    }

    async fn ask_for(&self, object: &ObjectRef) -> Result<PartLayout, String> {
        let ask = self.world.engine.client.part_layout(object, &self.identity, self.value.kind(), self.parts);
        tokio::time::timeout(std::time::Duration::from_secs(60), ask).await.expect("asking for the parts hangs")
    }

    /// There is a layout, it is the true one, and the stored value is made of it.
    async fn is_told(&self, part_size: u64) {
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
    async fn is_refused(&self, why: &str) {
        let reason = self.ask().await.expect_err("there must be no layout");
        assert!(reason.contains(why), "{reason}");
        assert!(!reason.contains(['<', '\n']), "not for a person: {reason}");
    }

    fn lists(&self) -> Vec<LogRecord> {
        self.world.logged("GetObjectAttributes")
    }

    fn heads(&self) -> Vec<LogRecord> {
        self.world.logged("HeadObject")
    }

    fn refuse_lists(&self) {
        self.world.switch(|switches| switches.no_attributes = true);
    }

    fn refuse_heads(&self) {
        self.world.switch(|switches| switches.no_part_number = true);
    }

    /// GetObjectAttributes answers this.
    fn list(&self, inner: &str) {
        let etag = self.identity.etag.as_deref().unwrap().trim_matches('"');
        self.list_as(&format!("<ETag>{etag}</ETag><ObjectSize>{SIZE}</ObjectSize>{inner}"));
    }

    fn list_as(&self, inner: &str) {
        self.world.server.clear_rules();
        let body = format!("<GetObjectAttributesResponse>{inner}</GetObjectAttributesResponse>");
        self.world.on(lists(), respond(200, &body));
    }
}

fn lists() -> Match {
    operation("GetObjectAttributes")
}

fn head_of(part: u32) -> Match {
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
fn parts(sizes: &[(u32, &str)]) -> String {
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

fn with(change: impl FnOnce(&mut Vec<(u32, String)>)) -> String {
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

/// U15: a store that sends one page for ever, or none, or parts one by one.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn pages_that_lead_nowhere_end() {
    let case = Case::sha256().await;
    case.refuse_heads();
    let table = [
        (with(|sizes| sizes.truncate(5)), "out of order", 2),
        ("<ObjectParts><IsTruncated>true</IsTruncated></ObjectParts>".to_owned(), "0 of 10 parts", 1),
    ];
    for (inner, why, requests) in table {
        case.list(&inner);
        case.world.server.clear_log();
        case.is_refused(why).await;
        assert_eq!(case.lists().len(), requests, "{why}");
    }
    // The same object in more parts than there are pages, of which each brings one.
    let case = Case::new(Stored::Sha256, 1000).await;
    case.refuse_heads();
    for number in 1..=case.parts {
        let etag = case.identity.etag.as_deref().unwrap().trim_matches('"');
        let inner = format!("<ETag>{etag}</ETag>{}", parts(&[(number, "1000")]));
        let body = format!("<GetObjectAttributesResponse>{inner}</GetObjectAttributesResponse>");
        case.world.times(1, Match { skip: u64::from(number) - 1, ..lists() }, respond(200, &body));
    }
    case.is_refused("100 of 1001 parts").await;
    assert_eq!(case.lists().len(), 100);
}

/// I14, C8: what does not fit is refused, whatever it is, and nothing is made of it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn lists_that_lie_are_refused() {
    let case = Case::sha256().await;
    let set = |at: usize, size: &str| with(|sizes| size.clone_into(&mut sizes[at].1));
    let many: Vec<(u32, &str)> = (1..=20_000).map(|number| (number, "1")).collect();
    let table = [
        (set(9, "1"), "smaller than the object"),
        (set(0, "101001"), "larger than the object"),
        (set(0, "18446744073709551615"), "larger than the object"),
        (set(9, "18446744073709551615"), "larger than the object"),
        (set(0, "18446744073709551616"), "not the XML"),
        (set(0, "-1"), "not the XML"),
        (set(0, ""), "not the XML"),
        (parts(&many), "more than 10000 parts"),
        (with(|sizes| sizes.push((11, "0".into()))), "more than 10 parts"),
        (with(|sizes| sizes[4].0 = 4), "out of order"),
        (with(|sizes| sizes[4].0 = 0), "out of order"),
        (with(|sizes| sizes.swap(2, 3)), "out of order"),
        (with(|sizes| sizes[9].0 = 10_001), "out of order"),
        (with(|_| {}).replace("</ObjectParts>", "<PartsCount>9</PartsCount></ObjectParts>"), "10 parts"),
        (with(|_| {}).replacen("<ChecksumSHA256>", "<ChecksumSHA256>!", 1), "part 1 is not a checksum"),
        (with(|_| {}).replacen("</ChecksumSHA256>", "-2</ChecksumSHA256>", 1), "part 1 is not a checksum"),
        (with(|_| {}).replace("SHA256", "SHA1"), "no SHA256 of part 1"),
        (with(|_| {}).replace("SHA256", "XXHASH3"), "no SHA256 of part 1"),
    ];
    for (inner, why) in table {
        // The other way is right: it is taken. And with neither, the reason is that of the list.
        case.list(&inner);
        case.world.switch(|switches| switches.no_part_number = false);
        case.is_told(PART_SIZE).await;
        case.refuse_heads();
        case.world.server.clear_log();
        case.is_refused(why).await;
        assert!(case.lists().len() + case.heads().len() <= 4, "{why}");
    }
    case.list(&with(|_| {}));
    case.ask().await.expect("what nothing was changed of is taken");
}

/// Gaps in the numbers are allowed by some stores; the order is what counts.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn part_numbers_may_have_gaps() {
    let case = Case::sha256().await;
    case.list(&with(|sizes| sizes.iter_mut().for_each(|(number, _)| *number *= 1000)));
    assert_eq!(case.ask().await.unwrap().parts.len(), 10);
}

/// I3: parts of another version are not this one's.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_list_of_another_version_is_refused() {
    let case = Case::sha256().await;
    let etag = case.identity.etag.as_deref().unwrap().trim_matches('"').to_owned();
    for inner in [
        format!("<ETag>other-10</ETag><ObjectSize>{SIZE}</ObjectSize>{}", with(|_| {})),
        format!("<ETag>{etag}</ETag><ObjectSize>{}</ObjectSize>{}", SIZE + 1, with(|_| {})),
        format!("<ETag>W/\"{etag}\"</ETag>{}", with(|_| {})),
    ] {
        case.list_as(&inner);
        case.is_refused("another version").await;
    }
    assert_eq!(case.heads().len(), 0, "a HEAD could only say the same");

    let mut case = Case::sha256().await;
    case.identity.version_id = Some("v1".into());
    case.world.on(lists(), set_header("x-amz-version-id", "v2"));
    case.is_refused("another version").await;
    case.world.server.clear_rules();
    case.world.on(lists(), set_header("x-amz-version-id", "v1"));
    case.is_told(PART_SIZE).await;

    let case = Case::sha256().await;
    case.world.times(1, lists(), Action::SwapVersion { seed: None, size: None });
    case.is_refused("another version").await;
}

/// I2, I3, also where the store ignores If-Match.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn heads_of_another_version_are_refused() {
    for ignores in [false, true] {
        for part in [1, 7] {
            let case = Case::sha256().await;
            case.refuse_lists();
            case.world.switch(|switches| switches.ignore_if_match = ignores);
            // The part's own ETag in place of the object's is another one too: nothing then tells the version.
            case.world.on(head_of(part), set_header("ETag", "\"other\""));
            case.is_refused("another version").await;
            case.world.server.clear_rules();
            // The new object is of one part.
            case.world.on(head_of(part), Action::SwapVersion { seed: None, size: None });
            case.is_refused(if ignores && part > 1 { "answers 416" } else { "another version" }).await;
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn heads_that_lie_are_refused() {
    let table = [
        ("Content-Length", Some("1"), "contradicts itself"),
        ("Content-Range", Some("bytes 303001-404000/1000030"), "does not begin where"),
        ("Content-Range", Some("bytes 303000-403999/1000031"), "contradicts itself"),
        ("Content-Range", Some("bytes 303000-303001/1000030"), "contradicts itself"),
        ("Content-Range", Some("all of it"), "contradicts itself"),
        ("x-amz-mp-parts-count", Some("9"), "does not have 10 parts"),
        ("x-amz-mp-parts-count", Some("-1"), "does not have 10 parts"),
        ("x-amz-checksum-sha256", None, "no SHA256 of part 4"),
        ("x-amz-checksum-sha256", Some("!"), "not a checksum"),
        ("x-amz-checksum-sha256", Some("47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=-10"), "not a checksum"),
    ];
    let case = Case::sha256().await;
    case.refuse_lists();
    for (name, value, why) in table {
        case.world.server.clear_rules();
        let value = value.map(str::to_owned);
        case.world.on(head_of(4), Action::Header { name: name.into(), value, doubled: false });
        case.is_refused(why).await;
    }
    case.world.server.clear_rules();
    case.is_told(PART_SIZE).await;
}

/// Sizes alone, where no Content-Range contradicts them.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn heads_whose_sizes_do_not_add_up_are_refused() {
    let case = Case::sha256().await;
    case.refuse_lists();
    for (size, why) in [("1", "smaller"), ("101001", "larger"), ("18446744073709551614", "larger")] {
        case.world.server.clear_rules();
        case.world
            .on(operation("HeadObject"), Action::Header { name: "Content-Range".into(), value: None, doubled: false });
        case.world.on(head_of(4), set_header("Content-Length", size));
        case.is_refused(why).await;
    }
}

/// C6: where the store offers neither way, there is a reason, after few requests.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn neither_way_is_a_reason() {
    let case = Case::sha256().await;
    case.refuse_lists();
    case.refuse_heads();
    case.is_refused("for the whole object when it is asked for a part").await;
    assert_eq!((case.lists().len(), case.heads().len()), (1, 1));

    for (status, code) in
        [(400, "InvalidArgument"), (403, "AccessDenied"), (404, "NoSuchKey"), (416, "InvalidPartNumber")]
    {
        let case = Case::sha256().await;
        case.refuse_lists();
        case.world.on(operation("HeadObject"), Action::error(status, code));
        case.is_refused(&format!("the store answers {status} when it is asked for part 1")).await;
        assert_eq!((case.lists().len(), case.heads().len()), (1, 1));
    }
}

/// Answers no store should give are reasons too.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn odd_answers_are_reasons() {
    for status in [204, 203, 304, 301, 307, 418] {
        let case = Case::sha256().await;
        case.world.on(lists(), Action::error(status, "Odd"));
        case.world.on(operation("HeadObject"), Action::error(status, "Odd"));
        case.is_refused("").await;
    }
}

/// What passes is tried again, as for every request.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn transient_failures_are_retried() {
    let case = Case::sha256().await;
    case.world.times(2, lists(), Action::error(500, "InternalError"));
    case.is_told(PART_SIZE).await;
    assert_eq!((case.lists().len(), case.heads().len()), (3, 0));
    let case = Case::sha256().await;
    case.refuse_lists();
    case.world.times(3, head_of(3), Action::Reset { after: 0, in_head: true });
    case.is_told(PART_SIZE).await;
    // A store that is overloaded is not asked in yet another way.
    let case = Case::sha256().await;
    case.world.on(lists(), Action::slow_down("0"));
    case.is_refused("slow down").await;
    assert_eq!(case.heads().len(), 0);
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

/// I4: nothing pins the version, or no object can be such.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_cannot_be_is_not_asked_for() {
    let mut case = Case::sha256().await;
    for parts in [0, 10_001, u32::MAX] {
        case.parts = parts;
        case.is_refused("no object has").await;
    }
    case.parts = PARTS;
    for etag in [None, Some("W/\"a-10\"".to_owned())] {
        case.identity.etag = etag;
        case.is_refused("nothing pins its version").await;
    }
    assert_eq!(case.world.server.log().len(), 0);
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
