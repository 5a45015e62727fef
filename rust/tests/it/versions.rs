//! Versions of objects: listed over pages that are cut anywhere, and deleted by key and version.

use fake_s3::Match;
use s3z::error::{ErrorKind, Result};
use s3z::ops::manage;
use s3z::progress::Cancel;
use s3z::s3::client::{ListRequest, ObjectRef};
use s3z::s3::xml::ListedVersion;

use crate::support::*;

async fn list_all(world: &World, request: ListRequest) -> Result<(Vec<ListedVersion>, Vec<String>, usize)> {
    let mut listing = manage::list_versions(&world.engine, request)?;
    let (mut entries, mut prefixes, mut pages) = (Vec::new(), Vec::new(), 0);
    while let Some(page) = manage::next_versions(&mut listing, &Cancel::default()).await? {
        entries.extend(page.entries);
        prefixes.extend(page.common_prefixes);
        pages += 1;
        assert!(pages < 50, "the listing does not end");
    }
    Ok((entries, prefixes, pages))
}

fn all() -> ListRequest {
    ListRequest { bucket: BUCKET.into(), ..ListRequest::default() }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn all_versions_come_and_delete_markers_too() {
    let world = World::new();
    world.server.keep_versions(BUCKET);
    for text in ["1", "22", "333"] {
        world.server.put_object(BUCKET, "a b+%ü", text.as_bytes().to_vec());
    }
    manage::delete(&world.engine, &object("a b+%ü"), None, &Cancel::default()).await.unwrap();
    world.server.put_object(BUCKET, "c/d", b"x".to_vec());
    let (entries, _, _) = list_all(&world, all()).await.unwrap();
    let seen: Vec<_> = entries.iter().map(|e| (e.key.as_str(), e.is_latest, e.is_delete_marker, e.size)).collect();
    let odd = "a b+%ü";
    let wanted = [(odd, true, true, 0), (odd, false, false, 3), (odd, false, false, 2), (odd, false, false, 1)];
    assert_eq!(seen[..4], wanted);
    assert_eq!(seen[4..], [("c/d", true, false, 1)]);
    assert!(entries.iter().all(|entry| entry.last_modified.is_some()));
    assert!(entries[1].etag.is_some() && entries[0].etag.is_none());
    let by_folder = ListRequest { delimiter: Some("/".into()), ..all() };
    let (entries, prefixes, _) = list_all(&world, by_folder).await.unwrap();
    assert_eq!((entries.len(), prefixes), (4, vec!["c/".to_owned()]));
    let below = ListRequest { prefix: "c/".into(), ..all() };
    assert_eq!(list_all(&world, below).await.unwrap().0.len(), 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn pages_end_in_the_middle_of_a_key() {
    let world = World::new();
    world.server.keep_versions(BUCKET);
    for count in 0..1500 {
        world.server.put_object(BUCKET, "many", vec![b'x'; count % 7]);
    }
    for key in 0..700 {
        world.server.put_object(BUCKET, &format!("z/{key:04}"), b"x".to_vec());
    }
    let (entries, _, pages) = list_all(&world, all()).await.unwrap();
    assert_eq!((entries.len(), pages), (2200, 3));
    let mut ids: Vec<_> = entries.iter().map(|entry| (&entry.key, &entry.version_id)).collect();
    ids.sort();
    ids.dedup();
    assert_eq!(ids.len(), 2200, "a version was listed twice");
}

fn page(key: Option<&str>, id: Option<&str>) -> String {
    let key = key.map(|key| format!("<NextKeyMarker>{key}</NextKeyMarker>")).unwrap_or_default();
    let id = id.map(|id| format!("<NextVersionIdMarker>{id}</NextVersionIdMarker>")).unwrap_or_default();
    format!(
        "<ListVersionsResult><IsTruncated>true</IsTruncated>{key}{id}<Version><Key>k</Key><VersionId>1</VersionId>\
         <IsLatest>true</IsLatest><Size>1</Size></Version></ListVersionsResult>"
    )
}

/// U15
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_list_of_versions_that_does_not_go_on_is_an_error() {
    for answer in [page(None, None), page(None, Some("1")), page(Some("k"), None), page(Some("k"), Some("1"))] {
        let world = World::new();
        world.on(Match::default(), respond(200, &answer));
        let error = list_all(&world, all()).await.unwrap_err();
        assert_eq!((error.kind(), error.bucket()), (ErrorKind::Service, Some(BUCKET)), "{answer}");
        assert!(world.server.log().len() <= 6, "{answer}");
    }
    let world = World::new();
    world.on(Match { every: Some(2), ..Match::default() }, respond(200, &page(Some("k"), Some("2"))));
    world.on(Match::default(), respond(200, &page(Some("k"), Some("1"))));
    assert_eq!(list_all(&world, all()).await.unwrap_err().kind(), ErrorKind::Service);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn versions_are_deleted_by_key_and_id() {
    let world = World::new();
    world.server.keep_versions(BUCKET);
    for text in ["1", "22", "333"] {
        world.server.put_object(BUCKET, KEY, text.as_bytes().to_vec());
    }
    let entries = list_all(&world, all()).await.unwrap().0;
    let id = |size: u64| entries.iter().find(|entry| entry.size == size).unwrap().version_id.clone();
    let asked = [(KEY.to_owned(), Some(id(3))), (KEY.to_owned(), Some(id(1)))];
    let cancel = Cancel::default();
    let outcomes = manage::delete_many(&world.engine, BUCKET, &asked, &cancel).await.unwrap();
    let answered: Vec<_> = outcomes.into_iter().map(|it| (it.key, it.version_id)).collect();
    assert_eq!(answered, asked);
    assert_eq!(world.server.object(BUCKET, KEY).as_deref(), Some(b"22".as_slice()));
    // Without a version: a marker, and nothing is lost.
    manage::delete_many(&world.engine, BUCKET, &[(KEY.into(), None)], &cancel).await.unwrap();
    let left: Vec<_> = list_all(&world, all()).await.unwrap().0.iter().map(|e| e.is_delete_marker).collect();
    assert_eq!(left, [true, false]);
}

/// What is said of one version says nothing of another.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_answer_for_another_version_is_an_error() {
    for answer in [
        "<DeleteResult><Deleted><Key>a</Key></Deleted></DeleteResult>",
        "<DeleteResult><Deleted><Key>a</Key><VersionId>1</VersionId></Deleted></DeleteResult>",
        "<DeleteResult><Error><Key>a</Key><VersionId>1</VersionId><Code>AccessDenied</Code></Error></DeleteResult>",
    ] {
        let world = World::new();
        world.on(operation("DeleteObjects"), respond(200, answer));
        let asked = [("a".to_owned(), Some("2".to_owned()))];
        let outcome = manage::delete_many(&world.engine, BUCKET, &asked, &Cancel::default()).await;
        assert!(outcome.is_err(), "{answer}: {outcome:?}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_delete_under_a_condition_spares_another_object() {
    let world = World::with_object();
    let cancel = Cancel::default();
    let etag = manage::head(&world.engine, &object(KEY), &cancel).await.unwrap().identity.etag.unwrap();
    let error = manage::delete(&world.engine, &object(KEY), Some("\"other\""), &cancel).await.unwrap_err();
    assert_eq!((error.kind(), error.key()), (ErrorKind::ObjectChanged, Some(KEY)));
    assert_eq!(world.server.keys(BUCKET), [KEY]);
    // The answer is lost: what the second try does not find the first has deleted.
    world.times(1, operation("DeleteObject"), fake_s3::Action::ActThenDrop { reset: true });
    manage::delete(&world.engine, &object(KEY), Some(&etag), &cancel).await.unwrap();
    assert!(world.server.keys(BUCKET).is_empty());
    let error = manage::delete(&world.engine, &object(KEY), Some(&etag), &cancel).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::NotFound);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_version_can_be_deleted_alone() {
    let world = World::new();
    world.server.keep_versions(BUCKET);
    world.server.put_object(BUCKET, KEY, b"old".to_vec());
    world.server.put_object(BUCKET, KEY, b"newer".to_vec());
    let newest = list_all(&world, all()).await.unwrap().0.remove(0);
    assert_eq!(newest.size, 5);
    let it = ObjectRef::new(BUCKET, KEY, Some(&newest.version_id)).unwrap();
    manage::delete(&world.engine, &it, None, &Cancel::default()).await.unwrap();
    assert_eq!(world.server.object(BUCKET, KEY).as_deref(), Some(b"old".as_slice()));
}
