//! Decides order, concurrency and memory, and moves bytes to and from files. Knows no HTTP.
//!
//! Permission flows down: a `Slot` of the `Gate` says how many requests of one object may be in flight, a
//! `Permit` of the `Scheduler` says how much memory they may hold, and each `Buffer` carries its share of the
//! permit. Data flows down too: filled buffers go to the `FileWriter`, whose I/O lane writes them and so returns
//! buffer, permit and slot at once. Nothing here calls upwards, and nothing blocks a runtime worker: every file
//! call is a job on an I/O lane.

pub mod buffers;
pub mod destination;
pub mod extent;
pub mod file_reader;
pub mod file_writer;
pub mod governor;
pub mod journal;
pub mod lanes;
pub mod ledger;
pub mod nameless;
pub mod part;
pub mod pipe_writer;
pub mod positioned;
pub mod region;
pub mod scheduler;
pub mod shares;
pub mod stream_target;
pub mod temp_file;
