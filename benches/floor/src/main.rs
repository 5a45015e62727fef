//! The floor: what a transfer costs when nothing but the transfer is done.
//!
//! `floor get` and `floor put` move one object with blocking sockets, recycled aligned buffers and the same disk I/O as
//! the engine. No retries, no discovery, no checksum, no progress: size and key are told on the command line. It is the
//! yardstick of `benches/run.py`, not a client; a server that the floor cannot outrun is too slow to measure with.
//! One line of JSON on stdout says what was moved and how; on stderr where stdout carries the object. `floor drain` is
//! the other end of a pipe, the same for every client that writes into one.

#![expect(clippy::disallowed_macros, reason = "a program of its own: stdout and stderr are its to use")]
#![expect(clippy::disallowed_methods, reason = "the file and thread rules are those of the engine, not of the floor")]

mod args;
mod buffer;
mod connection;
mod endpoint;
mod file;
mod get;
mod lane;
mod ordered;
mod pipe;
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
        Command::Drain(size) => pipe::drain(size),
    });
    match outcome {
        Ok(done) => {
            let seconds = started.elapsed().as_secs_f64();
            let line = format!(r#"{{"bytes":{},"seconds":{seconds:.6},"io":"{}"}}"#, done.bytes, done.io);
            match done.io {
                "stdout" => eprintln!("{line}"),
                _ => println!("{line}"),
            }
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
    /// Bytes moved over the network, or out of the pipe.
    pub bytes: u64,
    /// Where they went or came from: `direct`, `buffered`, `null`, `stdout`, `memory`, `page-cache` or `drain`.
    pub io: &'static str,
}
