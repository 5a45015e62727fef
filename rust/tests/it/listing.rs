//! Listings spread over several requests: exact whatever the keys are, in order, few requests more, failures where they belong.

use std::collections::BTreeSet;
use std::time::Duration;

use fake_s3::{Action, Match};
use proptest::prelude::*;
use proptest::test_runner::{Config as Cases, TestRunner};
use s3z::error::{ErrorKind, Result};
use s3z::ops::listing::{KeyPages, Spread};
use s3z::ops::look::{Columns, Look, LookRequest, sums};
use s3z::progress::Cancel;
use s3z::s3::client::ListRequest;

use crate::support::*;

/// Cuts early and often, however near the store is.
fn eager(length: u64) -> Spread {
    Spread { width: 6, length, room: 4 * length as usize, begin: 1, patience: Duration::ZERO }
}

fn below(prefix: &str) -> ListRequest {
    ListRequest { bucket: BUCKET.into(), prefix: prefix.into(), ..ListRequest::default() }
}

async fn listed(world: &World, request: ListRequest, spread: Spread) -> (Vec<String>, Result<()>) {
    let names = |page: s3z::s3::xml::ListPage| page.entries.into_iter().map(|entry| entry.key).collect::<Vec<_>>();
    let mut pages = KeyPages::spread(&world.engine, request, spread, names).unwrap();
    let mut all = Vec::new();
    loop {
        match tokio::time::timeout(HANGS, pages.next_page()).await.expect("the listing hangs") {
            Ok(Some(page)) => all.extend(page),
            Ok(None) => return (all, Ok(())),
            Err(error) => {
                assert!(pages.next_page().await.unwrap().is_none(), "nothing comes behind a failure");
                return (all, Err(error));
            }
        }
    }
}

/// `start-after` of each request that had one.
fn cuts(world: &World) -> Vec<String> {
    let log = world.server.log();
    log.iter()
        .filter_map(|record| record.query.split('&').find_map(|part| part.strip_prefix("start-after=")))
        .map(str::to_owned)
        .collect()
}

fn put(world: &World, keys: impl IntoIterator<Item = String>) -> Vec<String> {
    let keys: BTreeSet<String> = keys.into_iter().collect();
    keys.iter().for_each(|key| world.server.put_pattern(BUCKET, key, 3, 1));
    keys.into_iter().collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn long_listings_are_cut_and_whole() {
    let shapes: [fn(u64) -> String; 5] = [
        |n| format!("data/{:04}/part-{n:07}.json", n / 1000),
        |n| format!("{:016x}", n.wrapping_mul(0x9E37_79B9_7F4A_7C15)),
        |n| format!("logs/same/{n:05}"),
        |n| format!("ünï/{}/🦀{n:05}", ["é", "ß", "日"][(n % 3) as usize]),
        |n| format!("{}{n}", "ab".repeat((n % 5) as usize)),
    ];
    for (number, shape) in shapes.into_iter().enumerate() {
        let world = World::new();
        world.switch(|switches| switches.page_keys = 100);
        let keys = put(&world, (0..24_000).map(shape));
        let (all, ended) = listed(&world, below(""), eager(16)).await;
        ended.unwrap();
        assert!(all == keys, "shape {number}: {} keys of {}", all.len(), keys.len());
        let (requests, cuts) = (world.server.log().len(), cuts(&world).len());
        assert!(cuts >= 6 || number > 2, "shape {number} was cut {cuts} times");
        assert!(requests <= 240 + 24, "shape {number}: {requests} requests");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn short_listings_and_near_stores_are_not_cut() {
    let world = World::new();
    let keys = put(&world, (0..9_000).map(|n| format!("{n:05}")));
    for (prefix, requests) in [("", 9), ("00", 1), ("08", 1), ("x", 1)] {
        world.server.clear_log();
        let near = Spread { patience: HANGS, ..Spread::default() };
        let (all, ended) = listed(&world, below(prefix), near).await;
        ended.unwrap();
        assert_eq!(all.len(), keys.iter().filter(|key| key.starts_with(prefix)).count());
        assert_eq!((world.server.log().len(), cuts(&world).len()), (requests, 0), "{prefix}");
    }
    world.switch(|switches| switches.latency_ms = 10);
    world.server.clear_log();
    let few = below("01");
    assert_eq!(listed(&world, few, Spread::default()).await.0.len(), 1000);
    assert_eq!(world.server.log().len(), 1);
    let (all, _) = listed(&world, below(""), Spread::default()).await;
    assert_eq!(all, keys);
    let by_level = ListRequest { delimiter: Some("/".into()), ..below("") };
    world.server.clear_log();
    assert_eq!(listed(&world, by_level, eager(2)).await.0, keys);
    assert_eq!(cuts(&world), Vec::<String>::new(), "a level is not cut");
    let later = ListRequest { start_after: Some("04999".into()), ..below("") };
    assert_eq!(listed(&world, later, eager(2)).await.0, keys[5000..]);
}

/// Any keys: dense common prefixes, characters of all lengths, keys that are each other's beginnings, gaps.
#[test]
fn any_keys_are_listed_exactly() {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    let name = prop_oneof!["[ab]{1,12}", "(dir/){0,3}[0-9]{1,4}", "[é日🦀\u{e000}a&+% ]{1,5}", "x/[a-f0-9]{6}"];
    let names = prop::collection::btree_set(name, 0..60);
    let strategy = (names, 1..10_usize, 1..4_u64, 0..3_u64);
    let mut runner = TestRunner::new(Cases { cases: 40, ..Cases::default() });
    let ran = runner.run(&strategy, |(names, copies, length, begin)| {
        let world = World::new();
        world.switch(|switches| switches.page_keys = 1 + copies % 7);
        let keys: Vec<String> =
            names.iter().flat_map(|name| (0..copies).map(move |n| format!("p/{name}{n}"))).collect();
        let keys = put(&world, keys.into_iter().chain(names.iter().map(|name| format!("p/{name}"))));
        let small = Spread { begin, ..eager(length) };
        let (all, ended) = runtime.block_on(listed(&world, below("p/"), small));
        prop_assert!(ended.is_ok());
        prop_assert_eq!(all, keys);
        Ok(())
    });
    ran.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_page_that_fails_ends_the_listing_in_its_place() {
    for skip in [1, 5, 9, 12] {
        let world = World::new();
        world.switch(|switches| switches.page_keys = 100);
        let keys = put(&world, (0..4_000).map(|n| format!("{n:06}")));
        let denied = Action::Respond {
            status: 403,
            code: Some("AccessDenied".into()),
            message: None,
            body: None,
            headers: Default::default(),
            early: false,
        };
        world.on(Match { operation: Some("ListObjectsV2".into()), skip, ..Match::default() }, denied);
        let (all, ended) = listed(&world, below(""), eager(3)).await;
        assert_eq!(ended.unwrap_err().kind(), ErrorKind::AccessDenied, "{skip}");
        assert!(all.len() <= skip as usize * 100 && all == keys[..all.len()], "{skip}: {}", all.len());
    }
}

/// Answers to one listing of a store that means something else by order or by `start-after`.
fn strange(rows: &[&str], next: Option<&str>) -> String {
    let rows: String = rows.iter().map(|key| format!("<Contents><Key>{key}</Key><Size>1</Size></Contents>")).collect();
    let next = match next {
        Some(token) => {
            format!("<IsTruncated>true</IsTruncated><NextContinuationToken>{token}</NextContinuationToken>")
        }
        None => "<IsTruncated>false</IsTruncated>".into(),
    };
    format!("<ListBucketResult>{next}{rows}</ListBucketResult>")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_store_without_order_is_listed_in_one() {
    let world = World::new();
    let pages = [
        strange(&["b1", "a9"], Some("1")),
        strange(&["c5", "a1"], Some("2")),
        strange(&["a5", "a0"], Some("3")),
        strange(&["z"], None),
    ];
    for (skip, page) in (0..).zip(&pages) {
        world.times(1, Match { skip, ..Match::default() }, respond(200, page));
    }
    let (all, ended) = listed(&world, below(""), eager(1)).await;
    ended.unwrap();
    assert_eq!(all, ["b1", "a9", "c5", "a1", "a5", "a0", "z"]);
    assert_eq!(cuts(&world), Vec::<String>::new());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_store_that_cannot_start_anywhere_is_listed_in_one() {
    for is_refused in [false, true] {
        let world = World::new();
        world.switch(|switches| {
            (switches.ignore_start_after, switches.refuse_start_after) = (!is_refused, is_refused);
            switches.page_keys = 10;
        });
        let keys = put(&world, (0..2_000).map(|n| format!("{n:05}")));
        let (all, ended) = listed(&world, below(""), eager(3)).await;
        ended.unwrap();
        assert_eq!(all, keys);
        assert_eq!(cuts(&world).len(), 1);
    }
}

/// Keys that come and go while they are listed are told or not, but all others are, once each and in order.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn keys_that_come_and_go_disturb_no_others() {
    let world = World::new();
    world.switch(|switches| (switches.page_keys, switches.latency_ms) = (10, 1));
    let keys = put(&world, (0..3_000).map(|n| format!("{n:05}")));
    let changes = async {
        for n in (0..3_000).rev().step_by(7) {
            world.server.put_pattern(BUCKET, &format!("{n:05}+"), 3, 1);
            tokio::time::sleep(Duration::from_micros(200)).await;
        }
    };
    let ((all, ended), ()) = tokio::join!(listed(&world, below(""), eager(3)), changes);
    ended.unwrap();
    assert!(all.is_sorted_by(|one, other| one < other), "a key was told twice or out of order");
    let kept: Vec<&String> = all.iter().filter(|key| !key.ends_with('+')).collect();
    assert_eq!(kept, keys.iter().collect::<Vec<_>>());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sums_and_lines_agree_with_the_keys() {
    let world = World::new();
    let keys = put(&world, (0..3_500).map(|n| format!("p/{n:05}")));
    world.server.put_object(BUCKET, "p/marker/", Vec::new());
    let request = LookRequest { bucket: BUCKET.into(), prefix: "p/".into(), strip: 2, ..LookRequest::default() };
    let found = sums(&world.engine, &request, &Cancel::default()).await.unwrap();
    assert_eq!(found.into_iter().collect::<Vec<_>>(), [("STANDARD".to_owned(), (3500, 10_500))]);
    let columns = Columns { full_path: true, ..Columns::default() };
    let mut look = Look::new(world.engine.clone(), LookRequest { columns, ..request }).unwrap();
    let (mut lines, mut rows) = (String::new(), 0);
    while let Some(piece) = look.next(&Cancel::default()).await.unwrap() {
        lines.push_str(std::str::from_utf8(&piece.lines).unwrap());
        rows += piece.rows;
    }
    let wanted = keys.iter().map(String::as_str).chain(["p/marker/"]).map(|key| format!("s3://{BUCKET}/{key}\n"));
    assert_eq!((lines, rows), (wanted.collect(), 3501));
    assert!(look.next(&Cancel::default()).await.unwrap().is_none());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_cancelled_look_ends_at_once_and_leaves_no_request() {
    let world = World::new();
    put(&world, (0..2_500).map(|n| format!("{n:05}")));
    world.on(Match { skip: 1, ..Match::default() }, Action::Stall { after: 10, seconds: 30.0, in_head: false });
    let request = LookRequest { bucket: BUCKET.into(), ..LookRequest::default() };
    let mut look = Look::new(world.engine.clone(), request.clone()).unwrap();
    assert_eq!(look.next(&Cancel::default()).await.unwrap().unwrap().rows, 1000);
    let cancel = Cancel::default();
    let stop = async {
        tokio::time::sleep(Duration::from_millis(50)).await;
        cancel.trigger();
    };
    let began = std::time::Instant::now();
    let (ended, ()) = tokio::join!(look.next(&cancel), stop);
    assert_eq!(ended.unwrap_err().kind(), ErrorKind::Cancelled);
    let (ended, ()) = tokio::join!(sums(&world.engine, &request, &cancel), async {});
    assert_eq!(ended.unwrap_err().kind(), ErrorKind::Cancelled);
    assert!(began.elapsed() < Duration::from_secs(5));
}
