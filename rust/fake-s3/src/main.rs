//! The server as a process: flags in, one line of JSON out, then it serves until its parent is gone.

#![expect(
    clippy::disallowed_macros,
    clippy::disallowed_methods,
    reason = "a program of its own: stderr and the CA file are its own; the rules bind the client"
)]

use std::io::{self, Read, Write};
use std::process::ExitCode;
use std::thread;
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, Timespec, poll};

use fake_s3::{Config, FakeS3, Storage, TlsMode};

const USAGE: &str =
    "fake-s3 [--host IP] [--port N] [--control-port N] [--storage memory|dir:PATH] [--discard] [--access-key KEY]
        [--secret-key KEY] [--session-token TOKEN] [--region NAME] [--no-auth]
        [--tls[=good|wrong-name|expired|other-ca|tls12|tls10]] [--ca-out FILE] [--bucket NAME]...
        [--pattern BUCKET/KEY=SIZE[:SEED]]... [--keys BUCKET=COUNT]... [--latency-ms N] [--rate-per-connection BYTES] [--rate-total BYTES]
        [--min-part-size BYTES] [--backlog N] [--quiet] [--detached]";

/// How long the end of the parent, of stdin or of the server may go unnoticed.
const PATIENCE: Duration = Duration::from_millis(50);

/// The command line, understood.
#[derive(Default)]
struct Arguments {
    config: Config,
    ca_out: Option<String>,
    buckets: Vec<String>,
    /// (bucket, key, size, seed)
    patterns: Vec<(String, String, u64, u64)>,
    /// (bucket, how many)
    keys: Vec<(String, u64)>,
    is_quiet: bool,
    is_detached: bool,
}

fn main() -> ExitCode {
    let arguments = match parse(std::env::args().skip(1)) {
        Ok(arguments) => arguments,
        Err(error) => {
            eprintln!("fake-s3: {error}\n{USAGE}");
            return ExitCode::from(2);
        }
    };
    match serve(arguments) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("fake-s3: {error}");
            ExitCode::FAILURE
        }
    }
}

fn parse(mut words: impl Iterator<Item = String>) -> Result<Arguments, String> {
    let mut arguments =
        Arguments { config: Config { control_port: Some(0), ..Config::default() }, ..Arguments::default() };
    while let Some(word) = words.next() {
        let (flag, inline) = match word.split_once('=') {
            Some((flag, value)) => (flag.to_owned(), Some(value.to_owned())),
            None => (word, None),
        };
        if !apply_switch(&mut arguments, &flag, inline.as_deref())? {
            let value = inline.or_else(|| words.next()).ok_or_else(|| format!("{flag} needs a value"))?;
            apply_value(&mut arguments, &flag, &value)?;
        }
    }
    Ok(arguments)
}

/// Flags without a value, and `--tls`, whose value is optional.
fn apply_switch(arguments: &mut Arguments, flag: &str, value: Option<&str>) -> Result<bool, String> {
    match flag {
        "--discard" => arguments.config.discard_uploads = true,
        "--no-auth" => arguments.config.require_auth = false,
        "--quiet" => arguments.is_quiet = true,
        "--detached" => arguments.is_detached = true,
        "--tls" => {
            let mode = value.unwrap_or("good");
            arguments.config.tls = Some(TlsMode::parse(mode).ok_or_else(|| format!("unknown TLS mode {mode}"))?);
        }
        _ => return Ok(false),
    }
    Ok(true)
}

fn apply_value(arguments: &mut Arguments, flag: &str, value: &str) -> Result<(), String> {
    let number = || size(value).ok_or_else(|| format!("{flag}: {value} is no number"));
    let port = || value.parse::<u16>().map_err(|_| format!("{flag}: {value} is no port"));
    let config = &mut arguments.config;
    match flag {
        "--host" => value.clone_into(&mut config.host),
        "--port" => config.port = port()?,
        "--control-port" => config.control_port = Some(port()?),
        "--storage" => {
            config.storage = match value.strip_prefix("dir:") {
                Some(path) => Storage::Directory(path.into()),
                None if value == "memory" => Storage::Memory,
                None => return Err(format!("unknown storage {value}")),
            }
        }
        "--access-key" => value.clone_into(&mut config.access_key),
        "--secret-key" => value.clone_into(&mut config.secret_key),
        "--session-token" => config.session_token = Some(value.to_owned()),
        "--region" => value.clone_into(&mut config.region),
        "--ca-out" => arguments.ca_out = Some(value.to_owned()),
        "--bucket" => arguments.buckets.push(value.to_owned()),
        "--pattern" => arguments.patterns.push(pattern(value).ok_or_else(|| format!("bad pattern {value}"))?),
        "--keys" => arguments.keys.push(keys(value).ok_or_else(|| format!("bad keys {value}"))?),
        "--latency-ms" => config.switches.latency_ms = number()?,
        "--rate-per-connection" => config.switches.rate_per_connection = number()?,
        "--rate-total" => config.switches.rate_total = number()?,
        "--min-part-size" => config.switches.min_part_size = number()?,
        "--backlog" => config.backlog = i32::try_from(number()?).map_err(|_| "backlog too large")?,
        _ => return Err(format!("unknown flag {flag}")),
    }
    Ok(())
}

/// `BUCKET/KEY=SIZE[:SEED]`
fn pattern(text: &str) -> Option<(String, String, u64, u64)> {
    let (name, rest) = text.rsplit_once('=')?;
    let (bucket, key) = name.split_once('/')?;
    let (length, seed) = rest.split_once(':').unwrap_or((rest, "0"));
    Some((bucket.to_owned(), key.to_owned(), size(length)?, seed.parse().ok()?))
}

/// `BUCKET=COUNT`
fn keys(text: &str) -> Option<(String, u64)> {
    let (bucket, count) = text.split_once('=')?;
    Some((bucket.to_owned(), count.parse().ok()?))
}

/// A number of bytes with an optional unit: `5`, `8MiB`, `1GB`.
fn size(text: &str) -> Option<u64> {
    let split = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let unit = match text[split..].trim_end_matches("/s") {
        "" | "B" => 1,
        "kB" | "KB" => 1000,
        "KiB" => 1 << 10,
        "MB" => 1_000_000,
        "MiB" => 1 << 20,
        "GB" => 1_000_000_000,
        "GiB" => 1 << 30,
        "TiB" => 1 << 40,
        _ => return None,
    };
    text[..split].parse::<u64>().ok()?.checked_mul(unit)
}

fn serve(arguments: Arguments) -> io::Result<()> {
    let parent = rustix::process::getppid();
    if !arguments.is_detached {
        rustix::process::set_parent_process_death_signal(Some(rustix::process::Signal::TERM))?;
    }
    let config = arguments.config;
    let line = serde_json::json!({
        "pid": std::process::id(),
        "access_key": config.access_key,
        "secret_key": config.secret_key,
        "session_token": config.session_token,
        "region": config.region,
        "ca_pem_file": arguments.ca_out,
    });
    let server = FakeS3::start(config)?;
    for bucket in &arguments.buckets {
        server.create_bucket(bucket);
    }
    for (bucket, key, size, seed) in &arguments.patterns {
        server.put_pattern(bucket, key, *size, *seed);
    }
    for (bucket, count) in &arguments.keys {
        server.put_keys(bucket, *count);
    }
    if let (Some(path), Some(pem)) = (&arguments.ca_out, server.ca_pem()) {
        std::fs::write(path, pem)?;
    }
    announce(line, &server)?;
    if !arguments.is_quiet {
        eprintln!("fake-s3: serving {}", server.endpoint());
    }
    while !server.is_stopped() {
        if arguments.is_detached {
            thread::sleep(PATIENCE);
        } else if rustix::process::getppid() != parent || stdin_ended() {
            break;
        }
    }
    Ok(())
}

fn announce(mut line: serde_json::Value, server: &FakeS3) -> io::Result<()> {
    line["endpoint"] = server.endpoint().into();
    line["control"] = server.control_address().map(|address| address.to_string()).into();
    let mut out = io::stdout();
    writeln!(out, "{line}")?;
    out.flush()
}

/// Waits a moment for input; true once there is none any more.
fn stdin_ended() -> bool {
    let stdin = io::stdin();
    let mut fds = [PollFd::new(&stdin, PollFlags::IN)];
    match poll(&mut fds, Some(&Timespec { tv_sec: 0, tv_nsec: i64::from(PATIENCE.subsec_nanos()) })) {
        Ok(0) | Err(_) => false,
        Ok(_) => !stdin.lock().read(&mut [0; 256]).is_ok_and(|count| count > 0),
    }
}
