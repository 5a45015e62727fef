//! The floor: what a transfer costs when nothing but the transfer is done.
//!
//! `floor get` and `floor put` move one object with blocking sockets, recycled aligned buffers and the same disk I/O as
//! the engine. No retries, no discovery, no checksum, no progress: size and key are told on the command line. It is the
//! yardstick of `benches/run.py`, not a client; a server that the floor cannot outrun is too slow to measure with.
//! One line of JSON on stdout says what was moved and how.

#![expect(clippy::disallowed_macros, reason = "a program of its own: stdout and stderr are its to use")]
#![expect(clippy::disallowed_methods, reason = "the file and thread rules are those of the engine, not of the floor")]

mod args;
mod buffer;
mod connection;
mod endpoint;
mod file;
mod get;
mod put;
mod response;
mod sign;
mod tls;

use std::process::ExitCode;
use std::time::Instant;

use args::Command;

/// Any failure ends the run: a floor that retried would measure something else.
pub type Failure = Box<dyn std::error::Error + Send + Sync>;

fn main() -> ExitCode {
    let started = Instant::now();
    let outcome = args::parse(std::env::args().skip(1)).and_then(|command| match command {
        Command::Get(job) => get::run(&job),
        Command::Put(job) => put::run(&job),
    });
    match outcome {
        Ok(done) => {
            let seconds = started.elapsed().as_secs_f64();
            println!(r#"{{"bytes":{},"seconds":{seconds:.6},"io":"{}"}}"#, done.bytes, done.io);
            ExitCode::SUCCESS
        }
        Err(failure) => {
            eprintln!("floor: {failure}");
            ExitCode::FAILURE
        }
    }
}

/// What a finished job says of itself.
pub struct Done {
    /// Bytes moved over the network.
    pub bytes: u64,
    /// How the disk was used: `direct`, `buffered`, `null` or `page-cache`.
    pub io: &'static str,
}
