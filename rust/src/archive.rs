//! The archive format: one directory in, one indexed `.tar.zst` or `.tar` out, read entry by entry.
//!
//! An object is a tar stream cut into frames (`tar`, `frames`, `stored`), an Arrow index of all slices (`index`), a manifest of
//! the index's batches (`manifest`), a footer whose root hash pins both (`footer`), and a table of all frames (`seek`).
//! `docs/archive-format.md` describes the bytes.
//!
//! Writing is a river of threads with bounded queues (`pack`): a walk in name order (`walk`), a planner that numbers runs (`plan`),
//! readers that lay out frames (`read_run`), workers that hash and compress them (`work`), and a sequencer that gives each its
//! offset and hands it to the `Sink`. What comes out depends on the source and the options only. Reading opens by the tail
//! (`open`), looks names up in the manifest (`lookup`), checks each slice before it is given out, and trusts nothing.
//!
//! It knows neither HTTP nor tokio: `ops` lends it a `Source` and a `Sink` to write with, and `Ranges` to read from.

pub mod blob;
pub mod classify;
pub mod entry;
pub mod follow;
pub mod footer;
pub mod foreign;
pub mod index;
pub mod lay;
pub mod local;
pub mod manifest;
pub mod names;
pub mod open;
pub mod pack;
pub mod place;
pub mod plan;
pub mod ranges;
pub mod read;
pub mod report;
mod river;
pub mod seek;
pub mod select;
pub mod slices;
pub mod slots;
pub mod source;
pub mod stored;
pub mod tail;
pub mod tar;
pub mod tar_reader;
pub mod threads;
pub mod tree;
pub mod unpack;
pub mod unpack_report;
pub mod verify;
pub mod walk;
pub mod work;

#[cfg(test)]
mod tests;
