//! What is raised when retries are spent, and what it tells (R2, R12).

use fake_s3::{Action, Match};
use s3z::config::RetryConfig;
use s3z::error::ErrorKind;

use crate::support::*;

/// R12: attempts, request id, object; and the class by what went wrong.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_raised_says_what_was_tried() {
    let truncated = Action::Truncate { after: 0, in_head: true, close_notify: false };
    let table = [
        (truncated, ErrorKind::Connection, 4, false),
        (Action::error(400, "RequestTimeout"), ErrorKind::Timeout, 4, true),
        (Action::error(503, "SlowDown"), ErrorKind::Throttled, 4, true),
        (Action::error(400, "ThrottlingException"), ErrorKind::Throttled, 4, true),
        (Action::error(500, "InternalError"), ErrorKind::Service, 4, true),
        (Action::error(501, "NotImplemented"), ErrorKind::Service, 1, true),
        (Action::WrongContentRange { start: Some(1), end: None, total: None }, ErrorKind::Service, 2, true),
        (Action::error(401, "Unauthorized"), ErrorKind::Credentials, 1, true),
        (Action::error(403, "SignatureDoesNotMatch"), ErrorKind::AccessDenied, 1, true),
        (Action::error(403, "RequestTimeTooSkewed"), ErrorKind::AccessDenied, 2, true),
        (Action::error(404, "NoSuchBucket"), ErrorKind::NotFound, 1, true),
        (Action::error(412, "PreconditionFailed"), ErrorKind::ObjectChanged, 1, true),
    ];
    for (action, kind, attempts, has_id) in table {
        let world = World::with_object();
        let error = world.refuses(&world.get(), kind, |world| world.on(gets(), action.clone())).await;
        if kind != ErrorKind::Credentials {
            assert_eq!(error.attempts(), attempts, "{action:?}");
            assert_eq!(error.request_id().is_some(), has_id, "{action:?}: {error:?}");
        }
    }
}

/// R2: whatever a part delivers between its failures, twenty attempts are the end of it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_part_that_always_makes_some_progress_ends_all_the_same() {
    let defaults = RetryConfig::default();
    assert_eq!((defaults.max_attempts, defaults.hard_attempts, defaults.progress_bytes), (10, 20, 1 << 20));
    let world = World::with(|_, client| client.retry.hard_attempts = defaults.hard_attempts);
    let size = 40 << 20;
    world.server.put_pattern(BUCKET, KEY, size, SEED);
    let after = defaults.progress_bytes + 1;
    world.on(gets(), Action::Truncate { after, in_head: false, close_notify: false });
    let request = s3z::ops::download::DownloadRequest { part_size: Some(size), ..world.get() };
    let error = world.download(&request).await.unwrap_err();
    assert_eq!((error.kind(), error.attempts()), (ErrorKind::Connection, 20), "{error:?}");
}

/// R2: a different class of failure does not begin the row anew.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn failures_of_many_kinds_are_one_row() {
    let world = World::with_object();
    let each = |world: &World| {
        let fails = [
            Action::error(500, "InternalError"),
            Action::error(503, "SlowDown"),
            Action::Reset { after: 0, in_head: true },
        ];
        for (index, action) in fails.into_iter().enumerate() {
            world.on(Match { every: Some(3), skip: index as u64, ..gets() }, action);
        }
    };
    world.server.clear_rules();
    each(&world);
    let error = world.download(&world.get()).await.unwrap_err();
    assert_eq!(error.attempts(), 4, "{error:?}");
}
