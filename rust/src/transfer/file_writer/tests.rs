//! The writer against a byte model, over holes, ends, generations and what an earlier run left.

use super::*;
use crate::checksum::{Algorithm, checksum};
use crate::config::BUFFER_SIZE;
use crate::transfer::buffers::Pool;
use crate::transfer::ledger::Ledger;
use proptest::prelude::*;
use std::os::fd::AsFd;
use std::path::Path;

const PLAIN: Publish = Publish { overwrite: true, durable: false, mtime: None, mode: None };

async fn writer(path: &Path, size: u64, direct: DirectIo) -> Result<FileWriter> {
    Ok(open(path, size, direct, false).await?.0)
}

const OBJECT: [u8; 32] = [3; 32];

/// With a ledger, and with what an earlier writer left, if asked for.
async fn open(path: &Path, size: u64, direct: DirectIo, resume: bool) -> Result<(FileWriter, Vec<Interval>)> {
    let ledger = resume.then(|| LedgerPlan { object: OBJECT, etag: "\"e\"".into() });
    let config = WriterConfig { size: Some(size), direct, aligned: true, direct_threshold: 0, ledger };
    let destination = Destination::prepare(path, true)?;
    let found = if resume { Ledger::look(destination.directory().as_fd(), destination.name(), &OBJECT) } else { None };
    FileWriter::open(&Lanes::start()?, Start { destination, found }, config, Arc::default()).await
}

fn piece(offset: u64, buffer: Buffer) -> Piece {
    let crc64 = Some(checksum(Algorithm::Crc64Nvme, &buffer));
    Piece { offset, buffer, crc64, generation: 0 }
}

fn buffer(pool: &Arc<Pool>, bytes: &[u8]) -> Buffer {
    let mut buffer = Buffer::take(pool, None).unwrap();
    assert_eq!(buffer.extend(bytes), bytes.len());
    buffer
}

fn count(directory: &Path) -> usize {
    std::fs::read_dir(directory).unwrap().count()
}

#[tokio::test]
async fn parts_in_any_order_make_the_file() {
    let dir = tempfile::tempdir().unwrap();
    let pool = Arc::new(Pool::default());
    for direct in [DirectIo::Auto, DirectIo::Off] {
        let path = dir.path().join("file");
        let content: Vec<u8> = (0..3 * BUFFER_SIZE + 77).map(|at| (at % 251) as u8).collect();
        let writer = writer(&path, content.len() as u64, direct).await.unwrap();
        let mut pieces: Vec<_> = content.chunks(BUFFER_SIZE).enumerate().collect();
        pieces.reverse();
        for (index, bytes) in pieces {
            writer.write(piece((index * BUFFER_SIZE) as u64, buffer(&pool, bytes)));
        }
        writer.publish(content.len() as u64, PLAIN).await.unwrap();
        assert_eq!(std::fs::read(&path).unwrap(), content);
        assert_eq!(count(dir.path()), 1);
    }
}

#[tokio::test]
async fn a_hole_is_never_published() {
    let dir = tempfile::tempdir().unwrap();
    let pool = Arc::new(Pool::default());
    let writer = writer(&dir.path().join("file"), 8192, DirectIo::Off).await.unwrap();
    writer.write(piece(4096, buffer(&pool, &[1; 4096])));
    let error = writer.publish(8192, PLAIN).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Integrity);
    writer.discard(false).await;
    assert_eq!(count(dir.path()), 0);
}

/// I11, I12: the same bytes twice would make the sum of lengths right and the coverage wrong.
#[tokio::test]
async fn bytes_are_written_once() {
    let dir = tempfile::tempdir().unwrap();
    let pool = Arc::new(Pool::default());
    let writer = writer(&dir.path().join("file"), 8192, DirectIo::Off).await.unwrap();
    writer.write(piece(4096, buffer(&pool, &[1; 4096])));
    writer.drain().await.unwrap();
    writer.write(piece(4096, buffer(&pool, &[2; 4096])));
    assert_eq!(writer.failed().await.kind(), ErrorKind::Internal);
    assert!(writer.publish(8192, PLAIN).await.is_err());
}

/// I11, #81: what was begun before bytes were opened for another write never reaches them.
#[tokio::test]
async fn a_late_write_of_an_older_generation_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let pool = Arc::new(Pool::default());
    let path = dir.path().join("file");
    let writer = writer(&path, 8192, DirectIo::Off).await.unwrap();
    let old = writer.generation();
    for offset in [0, 4096] {
        writer.write(piece(offset, buffer(&pool, &[1; 4096])));
    }
    writer.redo(4096..8192).await.unwrap();
    writer.write(Piece { generation: old, ..piece(4096, buffer(&pool, &[2; 4096])) });
    writer.drain().await.unwrap();
    assert!(writer.publish(8192, PLAIN).await.is_err(), "the late write counts for nothing");
    writer.write(Piece { generation: writer.generation(), ..piece(4096, buffer(&pool, &[3; 4096])) });
    writer.publish(8192, PLAIN).await.unwrap();
    assert_eq!(std::fs::read(&path).unwrap(), [vec![1u8; 4096], vec![3u8; 4096]].concat());
}

/// F12–F14
#[tokio::test]
async fn what_was_kept_is_gone_on_with() {
    let dir = tempfile::tempdir().unwrap();
    let pool = Arc::new(Pool::default());
    let path = dir.path().join("file");
    let size = 3 * BUFFER_SIZE as u64 + 5;
    for direct in [DirectIo::Auto, DirectIo::Off] {
        let (writer, claims) = open(&path, size, direct, true).await.unwrap();
        assert_eq!(claims, []);
        assert_eq!(writer.discard(true).await, 0, "nothing is worth keeping yet");
        assert_eq!(count(dir.path()), 0);
        let (writer, _) = open(&path, size, direct, true).await.unwrap();
        writer.write(piece(BUFFER_SIZE as u64, buffer(&pool, &[2; BUFFER_SIZE])));
        writer.write(piece(3 * BUFFER_SIZE as u64, buffer(&pool, &[4; 5])));
        writer.drain().await.unwrap();
        assert_eq!(writer.discard(true).await, BUFFER_SIZE as u64 + 5);
        assert_eq!(count(dir.path()), 2, "file and ledger");

        let (writer, claims) = open(&path, size, direct, true).await.unwrap();
        assert_eq!(claims.len(), 2);
        for claim in claims {
            let back = writer.read(claim.range.start, BUFFER_SIZE, Buffer::take(&pool, None).unwrap()).await.unwrap();
            assert_eq!(
                checksum(Algorithm::Crc64Nvme, &back[..(claim.range.end - claim.range.start) as usize]),
                claim.crc64
            );
            writer.trust(claim.range);
        }
        writer.write(piece(0, buffer(&pool, &[1; BUFFER_SIZE])));
        writer.write(piece(2 * BUFFER_SIZE as u64, buffer(&pool, &[3; BUFFER_SIZE])));
        writer.publish(size, PLAIN).await.unwrap();
        assert_eq!(count(dir.path()), 1, "only the file itself is left");
        let wanted = [vec![1u8; BUFFER_SIZE], vec![2; BUFFER_SIZE], vec![3; BUFFER_SIZE], vec![4; 5]].concat();
        assert!(std::fs::read(&path).unwrap() == wanted);
        std::fs::remove_file(&path).unwrap();
    }
}

/// Padding of a direct write never reaches bytes beside it.
#[tokio::test]
async fn an_end_between_blocks_is_not_padded_over_its_neighbour() {
    let dir = tempfile::tempdir().unwrap();
    let pool = Arc::new(Pool::default());
    let path = dir.path().join("file");
    let writer = writer(&path, 9000, DirectIo::Auto).await.unwrap();
    writer.write(piece(4500, buffer(&pool, &[2; 4500])));
    writer.drain().await.unwrap();
    writer.write(piece(0, buffer(&pool, &[1; 4500])));
    writer.publish(9000, PLAIN).await.unwrap();
    assert_eq!(std::fs::read(&path).unwrap(), [vec![1u8; 4500], vec![2u8; 4500]].concat());
}

#[tokio::test]
async fn nothing_is_written_past_the_end() {
    let dir = tempfile::tempdir().unwrap();
    let pool = Arc::new(Pool::default());
    let writer = writer(&dir.path().join("file"), 10, DirectIo::Off).await.unwrap();
    writer.write(piece(5, buffer(&pool, &[1; 6])));
    assert_eq!(writer.failed().await.kind(), ErrorKind::Internal);
    assert!(writer.publish(10, PLAIN).await.is_err());
}

#[tokio::test]
async fn an_empty_file_is_published() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("file");
    writer(&path, 0, DirectIo::Auto).await.unwrap().publish(0, PLAIN).await.unwrap();
    assert_eq!(std::fs::read(&path).unwrap(), b"");
}

#[tokio::test]
async fn an_unaligned_offset_turns_the_file_to_buffered() {
    let dir = tempfile::tempdir().unwrap();
    let pool = Arc::new(Pool::default());
    let path = dir.path().join("file");
    let writer = writer(&path, 9000, DirectIo::Auto).await.unwrap();
    writer.write(piece(0, buffer(&pool, &[1; 4500])));
    writer.write(piece(4500, buffer(&pool, &[2; 4500])));
    writer.publish(9000, PLAIN).await.unwrap();
    assert_eq!(std::fs::read(&path).unwrap(), [vec![1u8; 4500], vec![2u8; 4500]].concat());
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]
    #[test]
    fn equals_a_byte_model(cuts in proptest::collection::btree_set(1u64..40_000, 0..12), size in 1u64..40_000, direct: bool, seed: u64) {
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("file");
        let content: Vec<u8> = (0..size).map(|at| (at.wrapping_mul(seed | 1) >> 3) as u8).collect();
        let mut borders: Vec<u64> = cuts.into_iter().filter(|cut| *cut < size).collect();
        borders.insert(0, 0);
        borders.push(size);
        let mut pieces: Vec<_> = borders.windows(2).map(|pair| pair[0]..pair[1]).collect();
        let turn = seed as usize % pieces.len();
        pieces.rotate_left(turn);
        runtime.block_on(async {
            let direct = if direct { DirectIo::Auto } else { DirectIo::Off };
            let writer = writer(&path, size, direct).await.unwrap();
            let pool = Arc::new(Pool::default());
            for range in pieces {
                writer.write(piece(range.start, buffer(&pool, &content[range.start as usize..range.end as usize])));
            }
            writer.publish(size, PLAIN).await.unwrap();
        });
        prop_assert_eq!(std::fs::read(&path).unwrap(), content);
    }
}
