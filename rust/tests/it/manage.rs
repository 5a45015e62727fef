//! Listing, deleting, looking, buckets (#50–#52, U15).

use fake_s3::{Action, Match};
use s3z::error::{ErrorKind, Result};
use s3z::ops::manage;
use s3z::progress::Cancel;
use s3z::s3::client::{ListRequest, Named, ObjectRef};

use crate::support::*;

pub const ODD_KEYS: [&str; 14] = [
    "a b",
    "a+b",
    "a%20b",
    "100%",
    "a&b=c",
    "a<b>\"c'",
    "ünï/çødé",
    "🦀",
    "new\nline",
    "tab\t",
    "a//b",
    "a?b#c",
    "~()*!'",
    "dir/",
];

async fn list_all(world: &World, request: ListRequest) -> Result<(Vec<String>, Vec<String>, usize)> {
    let mut listing = manage::list(&world.engine, request)?;
    let (mut keys, mut prefixes, mut pages) = (Vec::new(), Vec::new(), 0);
    while let Some(page) = manage::next_page(&mut listing, &Cancel::default()).await? {
        keys.extend(page.entries.into_iter().map(|entry| entry.key));
        prefixes.extend(page.common_prefixes);
        pages += 1;
        assert!(pages < 50, "the listing does not end");
    }
    Ok((keys, prefixes, pages))
}

fn all() -> ListRequest {
    ListRequest { bucket: BUCKET.into(), ..ListRequest::default() }
}

/// As DeleteObjects takes them, without versions.
fn named(keys: &[String]) -> Vec<Named> {
    keys.iter().map(|key| (key.clone(), None)).collect()
}

fn put_many(world: &World, count: usize) -> Vec<String> {
    let keys: Vec<String> = (0..count).map(|index| format!("many/{index:05}")).collect();
    for key in &keys {
        world.server.put_object(BUCKET, key, key.as_bytes().to_vec());
    }
    keys
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_listing_goes_over_all_pages() {
    for count in [0, 1, 999, 1000, 1001, 2000, 2501] {
        let world = World::new();
        let keys = put_many(&world, count);
        let (listed, _, pages) = list_all(&world, all()).await.unwrap();
        assert_eq!(listed, keys);
        assert_eq!(pages, count.div_ceil(1000).max(1), "{count}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn prefix_delimiter_and_start_are_asked_for() {
    let world = World::new();
    for key in ["a", "b/1", "b/2", "b/c/3", "b+d/4", "z"] {
        world.server.put_object(BUCKET, key, key.as_bytes().to_vec());
    }
    let by_folder = ListRequest { delimiter: Some("/".into()), ..all() };
    let (keys, prefixes, _) = list_all(&world, by_folder.clone()).await.unwrap();
    assert_eq!((keys, prefixes), (vec!["a".to_owned(), "z".to_owned()], vec!["b+d/".to_owned(), "b/".to_owned()]));
    let below = ListRequest { prefix: "b/".into(), ..by_folder };
    let (keys, prefixes, _) = list_all(&world, below).await.unwrap();
    assert_eq!((keys, prefixes), (vec!["b/1".to_owned(), "b/2".to_owned()], vec!["b/c/".to_owned()]));
    let after = ListRequest { start_after: Some("b/2".into()), ..all() };
    assert_eq!(list_all(&world, after).await.unwrap().0, ["b/c/3", "z"]);
}

/// #51
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn odd_keys_come_back_exactly() {
    let world = World::new();
    for key in ODD_KEYS {
        world.server.put_object(BUCKET, key, key.as_bytes().to_vec());
    }
    let (mut listed, _, _) = list_all(&world, all()).await.unwrap();
    let mut wanted = ODD_KEYS.map(str::to_owned).to_vec();
    listed.sort();
    wanted.sort();
    assert_eq!(listed, wanted);
    for key in ODD_KEYS {
        let (listed, _, _) = list_all(&world, ListRequest { prefix: key.into(), ..all() }).await.unwrap();
        assert!(listed.contains(&key.to_owned()), "{key:?}");
        let head = manage::head(&world.engine, &object(key), &Cancel::default()).await.unwrap();
        assert_eq!(head.identity.size, key.len() as u64);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn entries_tell_size_etag_and_time() {
    let world = World::new();
    world.server.put_object(BUCKET, KEY, b"hello".to_vec());
    let mut listing = manage::list(&world.engine, all()).unwrap();
    let page = manage::next_page(&mut listing, &Cancel::default()).await.unwrap().unwrap();
    let entry = &page.entries[0];
    assert_eq!((entry.key.as_str(), entry.size), (KEY, 5));
    assert_eq!(entry.etag.as_deref(), Some("\"5d41402abc4b2a76b9719d911017c592\""));
    assert!(entry.last_modified.is_some());
    assert!(manage::next_page(&mut listing, &Cancel::default()).await.unwrap().is_none());
}

fn page(token: Option<&str>, truncated: bool) -> String {
    let token =
        token.map(|token| format!("<NextContinuationToken>{token}</NextContinuationToken>")).unwrap_or_default();
    format!(
        "<ListBucketResult><IsTruncated>{truncated}</IsTruncated>{token}<KeyCount>7</KeyCount><EncodingType>url</EncodingType>\
         <Contents><Key>a%20b</Key><Size>1</Size></Contents></ListBucketResult>"
    )
}

/// #50, U15
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_listing_that_does_not_go_on_is_an_error() {
    for answer in [
        page(Some("same"), true),
        page(None, true),
        page(None, true).replace("<IsTruncated>", "<IsTruncated> "),
        page(None, false).replace("</ListBucketResult>", ""),
        "<ListBucketResult>".to_owned(),
        String::new(),
        "<html>nginx</html>".to_owned(),
        "<Error><Code>InternalError</Code></Error>".to_owned(),
    ] {
        let world = World::new();
        world.on(Match::default(), respond(200, &answer));
        let error = list_all(&world, all()).await.unwrap_err();
        assert_eq!((error.kind(), error.bucket()), (ErrorKind::Service, Some(BUCKET)), "{answer}");
        assert!(world.server.log().len() <= 4, "{answer}");
    }
}

/// #50: a ring of two tokens is an endless loop as well.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn tokens_that_go_round_are_an_error() {
    let world = World::new();
    world.on(Match { every: Some(2), ..operation("ListObjectsV2") }, respond(200, &page(Some("b"), true)));
    world.on(operation("ListObjectsV2"), respond(200, &page(Some("a"), true)));
    // a, b, a, b … until `list_all` has seen enough.
    let error = list_all(&world, all()).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Service);
}

/// #50: KeyCount is not believed, a list without truncation ends.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_lying_key_count_is_ignored() {
    let world = World::new();
    world.on(Match::default(), respond(200, &page(None, false)));
    assert_eq!(list_all(&world, all()).await.unwrap().0, ["a b"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_failing_second_page_is_an_error_not_an_end() {
    for (action, kind) in [
        (Action::error(403, "AccessDenied"), ErrorKind::AccessDenied),
        (Action::error(500, "InternalError"), ErrorKind::Service),
        (Action::Truncate { after: 3000, in_head: false, close_notify: false }, ErrorKind::Connection),
    ] {
        let world = World::new();
        put_many(&world, 1500);
        world.on(Match { skip: 1, ..operation("ListObjectsV2") }, action);
        let error = list_all(&world, all()).await.unwrap_err();
        assert_eq!((error.kind(), error.bucket()), (kind, Some(BUCKET)));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn passing_faults_do_not_disturb_a_listing() {
    let world = World::new();
    let keys = put_many(&world, 2500);
    let list = || Match { every: Some(2), ..operation("ListObjectsV2") };
    world.on(list(), Action::Truncate { after: 5000, in_head: false, close_notify: false });
    assert_eq!(list_all(&world, all()).await.unwrap().0, keys);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn missing_buckets_are_not_found() {
    let world = World::new();
    let cancel = Cancel::default();
    let nowhere = ListRequest { bucket: "no-such-bucket".into(), ..ListRequest::default() };
    let error = list_all(&world, nowhere).await.unwrap_err();
    assert_eq!((error.kind(), error.bucket()), (ErrorKind::NotFound, Some("no-such-bucket")));
    let error = manage::head_bucket(&world.engine, "no-such-bucket", &cancel).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::NotFound);
    assert_eq!(manage::head(&world.engine, &object("missing"), &cancel).await.unwrap_err().kind(), ErrorKind::NotFound);
    let bad = ListRequest { bucket: "a/b".into(), ..ListRequest::default() };
    assert_eq!(list_all(&world, bad).await.unwrap_err().kind(), ErrorKind::Config);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_deleted_object_is_gone_and_a_missing_one_no_error() {
    let world = World::with_object();
    for _ in 0..2 {
        manage::delete(&world.engine, &object(KEY), None, &Cancel::default()).await.unwrap();
        assert!(world.server.keys(BUCKET).is_empty());
    }
    world.on(operation("DeleteObject"), Action::error(403, "AccessDenied"));
    let error = manage::delete(&world.engine, &object(KEY), None, &Cancel::default()).await.unwrap_err();
    assert_eq!((error.kind(), error.key()), (ErrorKind::AccessDenied, Some(KEY)));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn many_keys_are_deleted_in_batches() {
    for count in [1, 1000, 1001, 2500] {
        let world = World::new();
        let keys = put_many(&world, count);
        world.server.put_object(BUCKET, "kept", b"x".to_vec());
        let outcomes = manage::delete_many(&world.engine, BUCKET, &named(&keys), &Cancel::default()).await.unwrap();
        assert_eq!(outcomes.len(), count);
        assert!(outcomes.iter().all(|outcome| outcome.failure.is_none()));
        assert_eq!(world.server.keys(BUCKET), ["kept"]);
        assert_eq!(world.logged("DeleteObjects").len(), count.div_ceil(1000));
    }
    let world = World::new();
    assert!(manage::delete_many(&world.engine, BUCKET, &[], &Cancel::default()).await.unwrap().is_empty());
    assert_eq!(world.server.log().len(), 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn odd_keys_are_deleted_exactly() {
    let world = World::new();
    for key in ODD_KEYS {
        world.server.put_object(BUCKET, key, b"x".to_vec());
    }
    let keys = ODD_KEYS.map(str::to_owned);
    let outcomes = manage::delete_many(&world.engine, BUCKET, &named(&keys), &Cancel::default()).await.unwrap();
    let mut named: Vec<_> = outcomes.into_iter().map(|outcome| outcome.key).collect();
    let mut wanted = keys.to_vec();
    named.sort();
    wanted.sort();
    assert_eq!(named, wanted);
    assert_eq!(world.server.keys(BUCKET), Vec::<String>::new());
}

/// #52
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_key_has_its_own_outcome() {
    let world = World::new();
    let keys = put_many(&world, 20);
    let some = Action::DeleteErrors { keys: "many/0001?".into(), code: "AccessDenied".into(), message: "no".into() };
    world.on(operation("DeleteObjects"), some);
    let outcomes = manage::delete_many(&world.engine, BUCKET, &named(&keys), &Cancel::default()).await.unwrap();
    for key in &keys {
        let outcome = outcomes.iter().find(|outcome| outcome.key == *key).unwrap();
        let refused = key.starts_with("many/0001");
        assert_eq!(outcome.failure.as_ref().map(|(code, _)| code.as_str()), refused.then_some("AccessDenied"), "{key}");
    }
    assert_eq!(world.server.keys(BUCKET).len(), 10);
}

/// #52: an answer that does not speak of every key, or speaks of others, is no success.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_answer_for_other_keys_is_an_error() {
    for answer in [
        "<DeleteResult></DeleteResult>",
        "<DeleteResult><Deleted><Key>a</Key></Deleted></DeleteResult>",
        "<DeleteResult><Deleted><Key>a</Key></Deleted><Deleted><Key>a</Key></Deleted></DeleteResult>",
        "<DeleteResult><Deleted><Key>a</Key></Deleted><Deleted><Key>x</Key></Deleted></DeleteResult>",
        "<Error><Code>InternalError</Code></Error>",
        "",
    ] {
        let world = World::new();
        world.on(operation("DeleteObjects"), respond(200, answer));
        let keys = ["a".to_owned(), "b".to_owned()];
        let outcome = manage::delete_many(&world.engine, BUCKET, &named(&keys), &Cancel::default()).await;
        assert!(outcome.is_err(), "{answer}: {outcome:?}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_lost_answer_to_a_delete_is_asked_again() {
    let world = World::new();
    let keys = put_many(&world, 3);
    world.times(1, operation("DeleteObjects"), Action::ActThenDrop { reset: true });
    manage::delete_many(&world.engine, BUCKET, &named(&keys), &Cancel::default()).await.unwrap();
    assert!(world.server.keys(BUCKET).is_empty());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn buckets_come_and_go() {
    let world = World::new();
    let cancel = Cancel::default();
    manage::create_bucket(&world.engine, "another-bucket", &cancel).await.unwrap();
    manage::head_bucket(&world.engine, "another-bucket", &cancel).await.unwrap();
    let names: Vec<_> =
        manage::list_buckets(&world.engine, &cancel).await.unwrap().into_iter().map(|b| b.name).collect();
    assert_eq!(names, ["another-bucket", BUCKET]);
    world.server.put_object("another-bucket", "x", b"x".to_vec());
    let error = manage::delete_bucket(&world.engine, "another-bucket", &cancel).await.unwrap_err();
    assert_eq!(error.code(), Some("BucketNotEmpty"));
    let there = ObjectRef::new("another-bucket", "x", None).unwrap();
    manage::delete(&world.engine, &there, None, &cancel).await.unwrap();
    manage::delete_bucket(&world.engine, "another-bucket", &cancel).await.unwrap();
    assert_eq!(manage::list_buckets(&world.engine, &cancel).await.unwrap().len(), 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_bucket_is_made_in_the_clients_region() {
    let world = World::with(|server, client| {
        server.region = "eu-west-3".into();
        client.region = "eu-west-3".into();
    });
    manage::create_bucket(&world.engine, "another-bucket", &Cancel::default()).await.unwrap();
    assert!(world.logged("CreateBucket")[0].bytes_in > 0);
    manage::head_bucket(&world.engine, "another-bucket", &Cancel::default()).await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_cancel_ends_every_operation() {
    let world = World::with_object();
    world.on(Match::default(), Action::Latency { ms: 60_000 });
    let cancel = Cancel::default();
    let keys = named(&["a".to_owned()]);
    let mut listing = manage::list(&world.engine, all()).unwrap();
    let (one, two, three, four, (), object) = (
        manage::delete_many(&world.engine, BUCKET, &keys, &cancel),
        manage::list_buckets(&world.engine, &cancel),
        manage::next_page(&mut listing, &cancel),
        manage::head_bucket(&world.engine, BUCKET, &cancel),
        (),
        object(KEY),
    );
    let five = manage::head(&world.engine, &object, &cancel);
    let (one, two, three, four, five, ()) = tokio::join!(one, two, three, four, five, async {
        until("all requests", || world.server.log().len() == 5).await;
        cancel.trigger();
    });
    let kinds = [
        one.unwrap_err().kind(),
        two.unwrap_err().kind(),
        three.unwrap_err().kind(),
        four.unwrap_err().kind(),
        five.unwrap_err().kind(),
    ];
    assert!(kinds.iter().all(|kind| *kind == ErrorKind::Cancelled));
}
