//! Stores that lie about the parts of an object, tell those of another version, or tell nothing (C6, C8, I3, I14).

use fake_s3::{Action, Algorithm as Stored, Match};

use crate::layout::{Case, PART_SIZE, PARTS, head_of, lists, parts, with};
use crate::support::*;

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
