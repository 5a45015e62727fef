//! The joint: the only place where the leaves meet; one file for each operation.
//!
//! An operation takes the `Engine`, a `<Verb>Request`, the counters it moves and the switch that stops it. It
//! returns only after everything it started has ended: its tasks are stopped and awaited, its file is published or
//! gone, its multipart upload completed or aborted. The first real error is the one that is returned (R7).

pub mod adapt;
pub mod archive;
pub mod assemble;
pub mod batch;
pub mod cat;
mod commit;
pub mod copy;
pub mod descriptors;
pub mod discover;
pub mod download;
pub mod engine;
pub mod into_memory;
mod late;
pub mod listing;
mod load;
pub mod look;
pub mod manage;
mod multipart;
mod open_part;
mod pace;
pub mod pack;
pub mod part_file;
pub mod pipe;
pub mod put;
pub mod ranges;
mod read_back;
pub mod reader;
mod receive;
pub mod report;
mod resume_upload;
pub mod select;
pub mod sink;
pub mod span;
pub mod stored;
pub mod stream;
mod sums;
mod tasks;
pub mod unfinished;
pub mod unpack;
pub mod upload;
mod upload_parts;
mod verdict;
pub mod write_file;
