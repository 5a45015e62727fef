//! Everything behind the data, byte for byte: what no hash covers is rendered anew.

use std::ops::Range;

use super::VerifyReport;
use crate::archive::manifest::SubIndexPlace;
use crate::archive::read::Archive;
use crate::archive::seek::{self, FrameSize};
use crate::archive::tail::own_entry;
use crate::archive::{footer, tar};
use crate::error::Result;

/// Holds it against what it must be.
pub(super) fn check_tail(archive: &Archive, report: &mut VerifyReport) -> Result<()> {
    let opened = archive.opened();
    let footer = &opened.footer;
    let mut at = footer.data_end;
    let expect = |at: &mut u64, wanted: &[u8], what: &str, report: &mut VerifyReport| -> Result<()> {
        let end = (*at + wanted.len() as u64).min(opened.size);
        let found = archive.one(*at..end)?;
        if found != wanted {
            report.problem(None, Some(*at), format!("{what} is not what it must be"));
        }
        *at += wanted.len() as u64;
        Ok(())
    };
    if opened.is_zstd {
        expect(&mut at, &seek::END_OF_TAR, "the end of the tar stream", report)?;
    }
    for (number, part) in opened.manifest.parts.iter().enumerate() {
        let name = if number == 0 { "index".to_owned() } else { format!("index-{number}") };
        let head = own_head(opened.is_zstd, (seek::INDEX_TAG, &name, "arrow"), part.len)?;
        expect(&mut at, &head, "the head of the index", report)?;
        check_index(archive, part, at, report)?;
        at += part.len;
        if !opened.is_zstd {
            expect(&mut at, &[0; tar::BLOCK][..tar::padding(part.len)], "padding", report)?;
        }
    }
    let head = own_head(opened.is_zstd, (seek::MANIFEST_TAG, "manifest", "arrow"), footer.manifest_len)?;
    expect(&mut at, &head, "the head of the manifest", report)?;
    at += footer.manifest_len;
    if opened.is_zstd {
        if at != opened.footer_at {
            report.problem(None, Some(at), "something lies between manifest and footer");
        }
        return check_table(archive, report);
    }
    expect(&mut at, &[0; tar::BLOCK][..tar::padding(footer.manifest_len)], "padding", report)?;
    expect(
        &mut at,
        &own_head(false, (seek::MANIFEST_TAG, "footer", ""), footer::LEN as u64)?,
        "the head of the footer",
        report,
    )?;
    expect(&mut at, &opened.footer_bytes.clone(), "the footer", report)?;
    expect(&mut at, &[0; tar::BLOCK - footer::LEN], "padding", report)?;
    expect(&mut at, &[0; tar::END], "the end of the tar stream", report)?;
    if at != opened.size {
        report.problem(None, Some(at), "something lies behind the end");
    }
    Ok(())
}

fn own_head(is_zstd: bool, (tag, name, extension): ([u8; 8], &str, &str), len: u64) -> Result<Vec<u8>> {
    if is_zstd {
        return Ok(seek::head(tag, len)?.to_vec());
    }
    let mut rendered = Vec::new();
    tar::render(&own_entry(name, extension, len), &mut rendered)?;
    Ok(rendered)
}

/// The parts of an index that no batch holds.
fn check_index(archive: &Archive, part: &SubIndexPlace, at: u64, report: &mut VerifyReport) -> Result<()> {
    if at != part.offset {
        report.problem(None, Some(at), "the index does not follow what is before it");
    }
    let first = part.batches.first().map_or(part.schema_end, |batch| batch.offset);
    let read = |range: Range<u64>| -> Result<[u8; 32]> { Ok(*blake3::hash(&archive.one(range)?).as_bytes()) };
    if read(part.offset..part.offset + first)? != part.prologue {
        report.problem(None, Some(part.offset), "the beginning of the index does not have its hash");
    }
    let epilogue = part.offset + part.epilogue_start();
    if read(epilogue..part.offset + part.len)? != part.epilogue {
        report.problem(None, Some(epilogue), "the end of the index does not have its hash");
    }
    Ok(())
}

/// The table of frames: its own bytes, and its last rows.
fn check_table(archive: &Archive, report: &mut VerifyReport) -> Result<()> {
    let opened = archive.opened();
    let start = opened.footer_at + footer::LEN as u64;
    let bytes = archive.one(start..opened.size)?;
    let rows = match seek::decode(&bytes) {
        Ok(rows) => rows,
        Err(error) => {
            report.problem(None, Some(start), error.message());
            return Ok(());
        }
    };
    let sum: u64 = rows.iter().map(|row| u64::from(row.compressed)).sum();
    let behind = opened.manifest.parts.len().max(1) + 2;
    let of_tail = rows.len().checked_sub(behind + 1).map(|at| &rows[at..]);
    let right = of_tail.is_some_and(|tail| {
        let end = FrameSize { compressed: seek::END_OF_TAR.len() as u32, content: tar::END as u32 };
        let before: u64 = rows[..rows.len() - behind - 1].iter().map(|row| u64::from(row.compressed)).sum();
        tail[0] == end && before == opened.footer.data_end && tail[1..].iter().all(|row| row.content == 0)
    });
    if sum != start || !right {
        report.problem(None, Some(start), "the table of frames is not that of this archive");
    }
    Ok(())
}
