//! The command line of the floor, as typed → as needed.
//!
//! Owns the flags and their defaults. Credentials come from the environment under their AWS names, so that no secret
//! stands in a process list. Every flag has the form `--name value`, but `--null`, `--stdout`, `--memory`, `--buffered`
//! and `--tls`, which stand alone.

use std::collections::HashMap;
use std::path::PathBuf;

use crate::Failure;
use crate::endpoint::Endpoint;
use crate::sign::Signer;

const USAGE: &str = "usage: floor get|put --endpoint http://HOST:PORT --bucket B --key K \
[--size N (--output FILE [--buffered] | --null | --stdout | --memory [--output COPY]) --range 8MiB] \
[--input FILE|- (then --size N) --part 16MiB] [--threads 4] [--buffer 1MiB] [--tls --ca FILE]; or floor drain --size N";

/// One object and the way to its server.
pub struct Target {
    pub endpoint: Endpoint,
    pub signer: Signer,
    /// `/bucket/key`, percent-encoded.
    pub path: String,
    pub threads: usize,
    /// Bytes in each recycled buffer.
    pub buffer: usize,
}

pub struct GetJob {
    pub target: Target,
    pub size: u64,
    pub range: u64,
    pub output: Output,
}

/// Where a download goes.
pub enum Output {
    /// Nowhere: the bytes are thrown away.
    Null,
    /// To a new file; `buffered`: through the page cache even where direct I/O works.
    File { path: PathBuf, buffered: bool },
    /// To standard output, in order.
    Stdout,
    /// Into memory, and from there to a file if somebody wants to see what was received.
    Memory { copy: Option<PathBuf> },
}

pub struct PutJob {
    pub target: Target,
    pub input: PathBuf,
    /// Of what comes through standard input; `None`: the input is a file.
    pub piped: Option<u64>,
    pub part: u64,
}

pub enum Command {
    Get(GetJob),
    Put(PutJob),
    /// Of so many bytes.
    Drain(u64),
}

/// Turns the arguments into a job, or says how they should look.
pub fn parse(arguments: impl Iterator<Item = String>) -> Result<Command, Failure> {
    let mut flags = Flags::read(arguments)?;
    let verb = std::mem::take(&mut flags.verb);
    let command = match verb.as_str() {
        "get" => Command::Get(GetJob {
            target: flags.target()?,
            size: size(&flags.required("size")?)?,
            range: flags.size("range", "8MiB")?,
            output: flags.output()?,
        }),
        "put" => {
            let target = flags.target()?;
            let input = flags.required("input")?;
            let piped = if input == "-" { Some(size(&flags.required("size")?)?) } else { None };
            Command::Put(PutJob { target, part: flags.size("part", "16MiB")?, input: input.into(), piped })
        }
        "drain" => Command::Drain(size(&flags.required("size")?)?),
        _ => return Err(USAGE.into()),
    };
    flags.finish()?;
    Ok(command)
}

struct Flags {
    verb: String,
    values: HashMap<String, String>,
}

impl Flags {
    fn read(mut arguments: impl Iterator<Item = String>) -> Result<Self, Failure> {
        let verb = arguments.next().ok_or(USAGE)?;
        let mut values = HashMap::new();
        while let Some(flag) = arguments.next() {
            let name = flag.strip_prefix("--").ok_or(USAGE)?;
            let value = match name {
                "null" | "stdout" | "memory" | "buffered" | "tls" => String::new(),
                _ => arguments.next().ok_or(USAGE)?,
            };
            values.insert(name.to_owned(), value);
        }
        Ok(Self { verb, values })
    }

    fn target(&mut self) -> Result<Target, Failure> {
        let ca = self.values.remove("ca").map(PathBuf::from);
        let tls = self.switch("tls");
        let endpoint = Endpoint::new(&self.required("endpoint")?, tls, ca.as_deref())?;
        let path = format!("/{}/{}", encode(&self.required("bucket")?), encode(&self.required("key")?));
        let threads = usize::try_from(self.size("threads", "4")?)?;
        let buffer = usize::try_from(self.size("buffer", "1MiB")?)?;
        if threads == 0 || buffer == 0 || !buffer.is_multiple_of(crate::buffer::ALIGNMENT) {
            return Err("--threads must be above 0 and --buffer a multiple of 4096".into());
        }
        Ok(Target { endpoint, signer: Signer::from_environment()?, path, threads, buffer })
    }

    fn output(&mut self) -> Result<Output, Failure> {
        Ok(if self.switch("null") {
            Output::Null
        } else if self.switch("stdout") {
            Output::Stdout
        } else if self.switch("memory") {
            Output::Memory { copy: self.values.remove("output").map(PathBuf::from) }
        } else {
            Output::File { path: self.required("output")?.into(), buffered: self.switch("buffered") }
        })
    }

    fn switch(&mut self, name: &str) -> bool {
        self.values.remove(name).is_some()
    }

    fn required(&mut self, name: &str) -> Result<String, Failure> {
        self.values.remove(name).ok_or_else(|| format!("--{name} is missing\n{USAGE}").into())
    }

    fn size(&mut self, name: &str, default: &str) -> Result<u64, Failure> {
        size(self.values.remove(name).as_deref().unwrap_or(default))
    }

    fn finish(self) -> Result<(), Failure> {
        match self.values.keys().next() {
            Some(name) => Err(format!("--{name} is not a flag of this verb\n{USAGE}").into()),
            None => Ok(()),
        }
    }
}

/// Reads `1048576`, `8MiB`, `2GiB`.
fn size(text: &str) -> Result<u64, Failure> {
    let digits = text.trim_end_matches(|letter: char| letter.is_ascii_alphabetic());
    let unit: u64 = match &text[digits.len()..] {
        "" | "B" => 1,
        "KiB" => 1 << 10,
        "MiB" => 1 << 20,
        "GiB" => 1 << 30,
        other => return Err(format!("{other} is not a unit of size").into()),
    };
    let number: u64 = digits.parse()?;
    number.checked_mul(unit).ok_or_else(|| format!("{text} is too large").into())
}

/// Percent-encodes a key as SigV4 wants its path: all but unreserved characters and the slash.
fn encode(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for byte in text.bytes() {
        match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'_' | b'.' | b'~' | b'/' => {
                out.push(char::from(byte));
            }
            _ => out.push_str(&format!("%{byte:02X}")),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::{encode, size};

    #[test]
    fn sizes_take_binary_units() {
        assert_eq!(size("8MiB").unwrap(), 8 << 20);
        assert_eq!(size("17").unwrap(), 17);
        assert!(size("8MB").is_err());
        assert!(size("99999999999GiB").is_err());
    }

    #[test]
    fn keys_keep_their_slashes() {
        assert_eq!(encode("a/b c+ü"), "a/b%20c%2B%C3%BC");
    }
}
