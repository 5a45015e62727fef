//! Objects written piece by piece: what was accepted is what is stored, or nothing is (U1–U6, #43, #49).

use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use fake_s3::{Action, Match};
use s3z::checksum::Algorithm;
use s3z::config::MIB;
use s3z::error::{ErrorKind, Result};
use s3z::ops::put::{ObjectWriter, PutRequest};
use s3z::ops::report::TransferReport;
use s3z::progress::{Cancel, Progress};

use crate::support::*;

const STREAM_PART: u64 = 5 * MIB;

fn request() -> PutRequest {
    PutRequest {
        object: object(KEY),
        headers: Vec::new(),
        conditions: Vec::new(),
        unconditional: None,
        checksum: Some(Algorithm::Crc64Nvme.into()),
        part_size: Some(STREAM_PART),
        expected_size: None,
        max_concurrency: None,
        deadline: None,
    }
}

/// A writer whose other end runs.
fn open(world: &World, request: PutRequest, cancel: &Cancel) -> (ObjectWriter, Arc<Progress>) {
    let progress = Arc::<Progress>::default();
    let (writer, sender) = ObjectWriter::open(&world.engine, request, progress.clone(), cancel.clone()).unwrap();
    tokio::spawn(sender.run());
    (writer, progress)
}

/// Writes the pattern in pieces of `step`, every second one without a copy.
async fn write_pattern(writer: &mut ObjectWriter, size: u64, step: usize) -> Result<()> {
    for (index, piece) in content(size).chunks(step).enumerate() {
        match index % 2 {
            0 => writer.write(piece).await?,
            _ => writer.write_shared(Bytes::copy_from_slice(piece)).await?,
        }
    }
    Ok(())
}

async fn stores(world: &World, request: PutRequest, size: u64, step: usize) -> TransferReport {
    let (mut writer, progress) = open(world, request, &Cancel::default());
    let work = async {
        write_pattern(&mut writer, size, step).await?;
        assert_eq!(writer.accepted(), size);
        writer.finish().await
    };
    let report = tokio::time::timeout(HANGS, work).await.expect("the writer hangs").unwrap();
    assert_eq!(report.bytes, size);
    assert_eq!(progress.snapshot().durable, size);
    assert_eq!(world.server.object(BUCKET, KEY).unwrap().to_vec(), content(size), "{size} in steps of {step}");
    assert_eq!(world.server.open_uploads(), []);
    report
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_border_size_in_any_steps() {
    let world = World::new();
    for size in [0, 1, STREAM_PART - 1, STREAM_PART, STREAM_PART + 1, 2 * STREAM_PART, 3 * STREAM_PART + 7] {
        for step in [300_001, MIB as usize, 7 * MIB as usize] {
            let report = stores(&world, request(), size, step).await;
            assert_eq!(u64::from(report.parts), size.div_ceil(STREAM_PART).max(1));
            assert_eq!(report.verified.kind(), "full_object");
        }
    }
}

/// U6: parts too large for memory lie in a file; those that fit are charged. Either way all memory comes back.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn large_parts_are_charged_or_spooled() {
    for (memory, part) in [(64 * MIB, 12 * MIB), (16 * MIB, 12 * MIB), (8 * MIB, 20 * MIB)] {
        let world = World::with(|_, client| client.transfer.memory_limit = memory);
        let large = PutRequest { part_size: Some(part), ..request() };
        for step in [777_777, 5 * MIB as usize] {
            let report = stores(&world, large.clone(), 3 * part + 5, step).await;
            assert_eq!(report.parts, 4, "{memory} {part}");
        }
        let scheduler = world.engine.scheduler.clone();
        until("all memory is given back", || scheduler.free_memory() == scheduler.memory_limit()).await;
    }
}

/// A program may hold many writers open and write to them in turn: none waits for what another one holds.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn many_writers_in_turn_do_not_wait_for_each_other() {
    let world = World::with(|_, client| client.transfer.memory_limit = 40 * MIB);
    let cancel = Cancel::default();
    for part in [STREAM_PART, 10 * MIB] {
        let mut writers: Vec<ObjectWriter> = (0..8)
            .map(|number| {
                let request = PutRequest { object: object(&number.to_string()), part_size: Some(part), ..request() };
                open(&world, request, &cancel).0
            })
            .collect();
        let piece = content(MIB - 1);
        let work = async {
            for _ in 0..21 {
                for writer in &mut writers {
                    writer.write(&piece).await.unwrap();
                }
            }
            for writer in writers {
                assert_eq!(writer.finish().await.unwrap().bytes, 21 * (MIB - 1));
            }
        };
        tokio::time::timeout(HANGS, work).await.expect("a writer waits for another one");
        for number in 0..8 {
            assert_eq!(world.server.object(BUCKET, &number.to_string()).unwrap().len() as u64, 21 * (MIB - 1));
        }
    }
}

/// U1: whoever drops a writer wanted no object.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_writer_that_is_dropped_leaves_nothing() {
    for size in [10, 3 * STREAM_PART] {
        let world = World::new();
        world.server.put_object(BUCKET, KEY, b"the old object".to_vec());
        let (mut writer, _) = open(&world, request(), &Cancel::default());
        write_pattern(&mut writer, size, 600_000).await.unwrap();
        let began = size > STREAM_PART;
        if began {
            until("a part is sent", || !world.logged("UploadPart").is_empty()).await;
        }
        drop(writer);
        until("the upload is gone", || world.server.open_uploads().is_empty()).await;
        if began {
            until("it was aborted", || !world.logged("AbortMultipartUpload").is_empty()).await;
        }
        assert_eq!(world.server.object(BUCKET, KEY).unwrap().to_vec(), b"the old object");
    }
}

/// U2: the failure is that of the next write, and of the end if nothing more is written.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_failure_ends_the_next_write_and_leaves_nothing() {
    let cases = [
        ("CreateMultipartUpload", Action::error(403, "AccessDenied"), ErrorKind::AccessDenied),
        ("UploadPart", Action::error(403, "AccessDenied"), ErrorKind::AccessDenied),
        ("UploadPart", Action::error(503, "SlowDown"), ErrorKind::Throttled),
        ("UploadPart", Action::CloseAfterRequestBytes { bytes: 100_000, reset: true }, ErrorKind::Connection),
        ("CompleteMultipartUpload", Action::error(400, "InvalidPart"), ErrorKind::Service),
        ("CompleteMultipartUpload", respond(200, "<html>fine</html>"), ErrorKind::Service),
    ];
    for (name, action, kind) in cases {
        for ends in [false, true] {
            let world = World::new();
            world.server.put_object(BUCKET, KEY, b"the old object".to_vec());
            world.on(operation(name), action.clone());
            let (mut writer, _) = open(&world, request(), &Cancel::default());
            let work = async {
                let pieces = if ends || name.starts_with("Complete") { 3 } else { 10_000 };
                for _ in 0..pieces {
                    writer.write(&content(STREAM_PART)).await?;
                    tokio::time::sleep(Duration::from_millis(2)).await;
                }
                writer.finish().await
            };
            let error = tokio::time::timeout(HANGS, work).await.expect("the writer hangs").expect_err("this must fail");
            assert_eq!(error.kind(), kind, "{name} {action:?}: {error:?}");
            assert_eq!((error.bucket(), error.key()), (Some(BUCKET), Some(KEY)));
            assert_eq!(world.server.open_uploads(), [], "{name} {action:?}");
            assert_eq!(world.server.object(BUCKET, KEY).unwrap().to_vec(), b"the old object");
        }
    }
}

/// Y6: a producer that sleeps is no reason not to hear of a cancel or deadline.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn cancel_and_deadline_end_it_while_nothing_is_written() {
    for size in [10, 2 * STREAM_PART] {
        for by_deadline in [false, true] {
            let world = World::new();
            let (cancel, began) = (Cancel::default(), Instant::now());
            let deadline = by_deadline.then_some(Duration::from_millis(300));
            let (mut writer, _) = open(&world, PutRequest { deadline, ..request() }, &cancel);
            write_pattern(&mut writer, size, 600_000).await.unwrap();
            tokio::time::sleep(Duration::from_millis(100)).await;
            if !by_deadline {
                cancel.trigger();
            }
            until("it has ended", || writer.has_ended()).await;
            let error = writer.write(b"more").await.unwrap_err();
            assert_eq!(error.kind(), if by_deadline { ErrorKind::Timeout } else { ErrorKind::Cancelled });
            assert!(began.elapsed() < Duration::from_secs(5));
            assert_eq!(world.server.open_uploads(), []);
        }
    }
}

/// The producer waits while as many parts are on their way as may be: memory does not grow with what is written.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_store_that_is_slow_holds_the_producer_up() {
    let world = World::with(|_, client| client.transfer.memory_limit = 16 * MIB);
    world.on(operation("UploadPart"), Action::Stall { after: 0, in_head: true, seconds: 0.5 });
    let (mut writer, _) = open(&world, request(), &Cancel::default());
    let (block, began) = (Bytes::from(vec![1; MIB as usize]), Instant::now());
    let mut accepted_early = 0;
    for _ in 0..60 {
        writer.write(&block).await.unwrap();
        if began.elapsed() < Duration::from_millis(400) {
            accepted_early = writer.accepted();
        }
    }
    assert!(accepted_early <= 16 * MIB + 2 * STREAM_PART, "{accepted_early} bytes were taken at once");
    assert_eq!(writer.finish().await.unwrap().bytes, 60 * MIB);
}

/// #39, #40: lost answers to Complete, on a stream as on a file.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_lost_answer_to_complete_is_found_out() {
    let world = World::new();
    world.times(1, operation("CompleteMultipartUpload"), Action::ActThenDrop { reset: true });
    stores(&world, request(), 2 * STREAM_PART + 1, 900_000).await;
}

/// #42: parts are sent again.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn passing_faults_are_survived() {
    for fault in [
        Action::error(500, "InternalError"),
        Action::error(503, "SlowDown"),
        Action::CloseAfterRequestBytes { bytes: 200_000, reset: true },
        Action::ActThenDrop { reset: false },
    ] {
        let world = World::new();
        let rule = fake_s3::Rule::new(Match { every: Some(2), ..operation("UploadPart") }, fault).times(3);
        world.server.add_rule(rule);
        let report = stores(&world, request(), 4 * STREAM_PART + 3, 2_000_000).await;
        assert!(report.attempts > report.parts);
    }
}
