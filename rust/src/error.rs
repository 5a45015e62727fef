//! The one error type of the core.
//!
//! Owns `Error`, its kinds and the context a person needs to act: the object named, the store's code and
//! request id, the file and its errno. It never holds a header, a URL with a query, a body or a secret (S7), and
//! text that came from a server is cut and escaped before it gets in. Status and code become a kind in
//! `s3/request.rs` only; a kind becomes a Python exception in `python/error.rs` only.

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};

/// What went wrong, as far as a caller can act on it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ErrorKind {
    NotFound,
    AccessDenied,
    Credentials,
    AlreadyExists,
    ObjectChanged,
    Integrity,
    Timeout,
    Connection,
    Throttled,
    Config,
    UnsafeKey,
    /// An archive that is malformed, unsafe or of an unknown version.
    Archive,
    Service,
    LocalIo,
    Cancelled,
    /// A range was answered with the whole object; the transfer falls back to one GET, so this is rarely seen.
    RangesIgnored,
    /// A defect of s3z itself, such as a panic in a task.
    Internal,
}

/// Boxed, so that a `Result` stays one word wide on the hot path.
pub struct Error(Box<Inner>);

pub type Result<T, E = Error> = std::result::Result<T, E>;

type Source = Box<dyn std::error::Error + Send + Sync>;

#[derive(Default)]
struct Inner {
    kind: Option<ErrorKind>,
    message: String,
    bucket: Option<String>,
    key: Option<String>,
    code: Option<String>,
    status: Option<u16>,
    request_id: Option<String>,
    host_id: Option<String>,
    upload_id: Option<String>,
    attempts: u32,
    kept: u64,
    written: u64,
    path: Option<PathBuf>,
    errno: Option<i32>,
    needs_restart: bool,
    was_resent: bool,
    source: Option<Source>,
}

impl Error {
    pub fn new(kind: ErrorKind, message: impl Into<String>) -> Self {
        Self(Box::new(Inner { kind: Some(kind), message: message.into(), ..Inner::default() }))
    }

    pub fn config(message: impl Into<String>) -> Self {
        Self::new(ErrorKind::Config, message)
    }

    pub fn integrity(message: impl Into<String>) -> Self {
        Self::new(ErrorKind::Integrity, message)
    }

    pub fn cancelled() -> Self {
        Self::new(ErrorKind::Cancelled, "cancelled")
    }

    /// A failed file call: keeps errno and the file's name.
    pub fn local(path: &Path, source: io::Error) -> Self {
        let mut error = Self::new(ErrorKind::LocalIo, without_number(&source.to_string()));
        error.0.errno = source.raw_os_error();
        error.0.path = Some(path.to_owned());
        error.0.source = Some(Box::new(source));
        error
    }

    /// A failed system call that was about no file.
    pub fn local_os(what: &str, errno: i32) -> Self {
        let source = io::Error::from_raw_os_error(errno);
        let text = format!("{what}: {}", without_number(&source.to_string()));
        let mut error = Self::new(ErrorKind::LocalIo, text);
        error.0.errno = Some(errno);
        error.0.source = Some(Box::new(source));
        error
    }

    /// With everything a store has said changed by `change`.
    pub fn with_texts(mut self, change: impl Fn(&str) -> String) -> Self {
        self.0.message = change(&self.0.message);
        for said in [&mut self.0.code, &mut self.0.request_id, &mut self.0.host_id] {
            *said = said.as_deref().map(&change);
        }
        self
    }

    /// The same failure in other words.
    #[must_use]
    pub fn saying(mut self, message: impl Into<String>) -> Self {
        self.0.message = message.into();
        self
    }

    /// The system gives this process no more memory (#80). Python sees a `MemoryError`.
    pub fn no_memory() -> Self {
        let errno = rustix::io::Errno::NOMEM.raw_os_error();
        Self::local_os("no buffer can be had (a smaller memory_limit may help)", errno)
    }

    /// A local file that cannot be used, for a reason with an errno of its own (a directory, say).
    pub fn local_errno(path: &Path, errno: rustix::io::Errno) -> Self {
        Self::local(path, io::Error::from(errno))
    }

    /// A file that cannot be used for a reason better told in our own words than in those of its errno.
    pub fn local_text(path: &Path, errno: rustix::io::Errno, text: &str) -> Self {
        let mut error = Self::local_errno(path, errno);
        text.clone_into(&mut error.0.message);
        error
    }

    #[must_use]
    pub fn with_object(mut self, bucket: &str, key: &str) -> Self {
        self.0.bucket.get_or_insert_with(|| bucket.to_owned());
        if !key.is_empty() {
            self.0.key.get_or_insert_with(|| key.to_owned());
        }
        self
    }

    #[must_use]
    pub fn with_status(mut self, status: u16, code: Option<String>) -> Self {
        self.0.status = Some(status);
        self.0.code = code;
        self
    }

    #[must_use]
    pub fn with_request_id(mut self, request_id: Option<String>, host_id: Option<String>) -> Self {
        self.0.request_id = request_id;
        self.0.host_id = host_id;
        self
    }

    #[must_use]
    pub fn with_upload_id(mut self, upload_id: &str) -> Self {
        self.0.upload_id = Some(upload_id.to_owned());
        self
    }

    #[must_use]
    pub fn with_attempts(mut self, attempts: u32) -> Self {
        self.0.attempts = attempts;
        self
    }

    /// So many bytes are kept beside the destination: the same call goes on from there.
    #[must_use]
    pub fn keeping(mut self, bytes: u64) -> Self {
        self.0.kept = bytes;
        self
    }

    /// So many bytes went into a pipe before, and cannot be taken back. The error cannot be cured by starting over.
    #[must_use]
    pub fn after_writing(mut self, bytes: u64) -> Self {
        self.0.message = format!("{}; {bytes} bytes had been written", self.0.message);
        self.0.needs_restart = false;
        self.0.written = bytes;
        self
    }

    /// So many bytes of a stream were given out before.
    #[must_use]
    pub fn after_giving(mut self, bytes: u64) -> Self {
        self.0.message = format!("{}; {bytes} bytes had been given", self.0.message);
        self.0.needs_restart = false;
        self.0.written = bytes;
        self
    }

    /// Bytes that are out for good, in a pipe or stream.
    pub fn written(&self) -> u64 {
        self.0.written
    }

    /// What failed cannot go on where it broke, but might if begun anew.
    #[must_use]
    pub fn needing_restart(mut self) -> Self {
        self.0.needs_restart = true;
        self
    }

    /// The request had gone out before: an earlier one, whose answer was lost, may have done the work.
    #[must_use]
    pub fn after_resending(mut self) -> Self {
        self.0.was_resent = true;
        self
    }

    #[must_use]
    pub fn with_source(mut self, source: impl Into<Source>) -> Self {
        self.0.source = Some(source.into());
        self
    }

    pub fn kind(&self) -> ErrorKind {
        self.0.kind.unwrap_or(ErrorKind::Internal)
    }

    pub fn message(&self) -> &str {
        &self.0.message
    }

    pub fn bucket(&self) -> Option<&str> {
        self.0.bucket.as_deref()
    }

    pub fn key(&self) -> Option<&str> {
        self.0.key.as_deref()
    }

    pub fn code(&self) -> Option<&str> {
        self.0.code.as_deref()
    }

    pub fn status(&self) -> Option<u16> {
        self.0.status
    }

    pub fn request_id(&self) -> Option<&str> {
        self.0.request_id.as_deref()
    }

    pub fn host_id(&self) -> Option<&str> {
        self.0.host_id.as_deref()
    }

    pub fn upload_id(&self) -> Option<&str> {
        self.0.upload_id.as_deref()
    }

    /// Bytes of the transfer that are kept for the next run; 0: none.
    pub fn kept(&self) -> u64 {
        self.0.kept
    }

    pub fn attempts(&self) -> u32 {
        self.0.attempts
    }

    pub fn path(&self) -> Option<&Path> {
        self.0.path.as_deref()
    }

    pub fn was_resent(&self) -> bool {
        self.0.was_resent
    }

    pub fn needs_restart(&self) -> bool {
        self.0.needs_restart
    }

    pub fn errno(&self) -> Option<i32> {
        self.0.errno
    }

    /// Whether it was this process's own memory that ran out, and no file system's.
    pub fn is_no_memory(&self) -> bool {
        self.0.path.is_none() && self.0.errno == Some(rustix::io::Errno::NOMEM.raw_os_error())
    }
}

impl fmt::Display for Error {
    /// `message: "s3://bucket/key" (CODE; status code: 404, request id: ID)`, with only what is known.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0.message)?;
        if let Some(path) = &self.0.path {
            write!(f, ": \"{}\"", escape(&path.to_string_lossy(), MAX_SHOWN))?;
        }
        if let Some(code) = &self.0.code {
            write!(f, "; {code}")?;
        }
        if let Some(status) = self.0.status {
            write!(f, "; status code: {status}")?;
        }
        if let Some(id) = &self.0.request_id {
            write!(f, ", request id: {id}")?;
        }
        Ok(())
    }
}

impl fmt::Debug for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Error({:?}, {self}", self.kind())?;
        if let (Some(bucket), key) = (self.bucket(), self.key().unwrap_or_default()) {
            write!(f, ", s3://{bucket}/{}", escape(key, MAX_SHOWN))?;
        }
        f.write_str(")")
    }
}

impl std::error::Error for Error {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        self.0.source.as_ref().map(|s| s.as_ref() as _)
    }
}

/// The text of a system error without its number.
pub fn without_number(text: &str) -> &str {
    text.split(" (os error").next().unwrap_or_default()
}

/// Longest text of a server, in characters, that is shown to a person.
pub const MAX_SHOWN: usize = 1024;

/// Makes foreign text safe for a terminal or log (S16), as `_escape.py` does: on one line, marks that hide or reorder
/// and control characters as `\x1b`, and at most `limit` characters of it.
pub fn escape(text: &str, limit: usize) -> String {
    let mut shown = String::with_capacity(text.len().min(limit));
    for (count, c) in text.chars().enumerate() {
        if count == limit {
            shown.push('…');
            break;
        }
        match c {
            '\n' | '\r' | '\t' => shown.push(' '),
            c => push_escaped(c, &mut shown),
        }
    }
    shown
}

/// One character, escaped if it is a control character, or a mark that reorders or hides what is shown.
pub fn push_escaped(c: char, shown: &mut String) {
    use std::fmt::Write;
    let code = u32::from(c);
    // Writing to a string does not fail.
    let _ = match c {
        '\0'..='\x1f' | '\x7f'..='\u{9f}' => write!(shown, "\\x{code:02x}"),
        '\u{61c}' | '\u{180e}' | '\u{feff}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' => {
            write!(shown, "\\u{code:04x}")
        }
        '\u{2060}'..='\u{206f}' | '\u{fff9}'..='\u{fffb}' => write!(shown, "\\u{code:04x}"),
        '\u{e0000}'..='\u{e007f}' => write!(shown, "\\U{code:08x}"),
        c => {
            shown.push(c);
            Ok(())
        }
    };
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn escapes_control_and_bidi_and_cuts() {
        assert_eq!(escape("a\x1b[31m\u{202e}b\n", 100), "a\\x1b[31m\\u202eb ");
        assert_eq!(escape("abcdef", 3), "abc…");
        assert_eq!(escape("größe 🙂", 100), "größe 🙂");
    }

    #[test]
    fn keeps_errno_and_path() {
        let error = Error::local_errno(Path::new("/x"), rustix::io::Errno::NOSPC);
        assert_eq!(error.errno(), Some(28));
        assert_eq!(error.kind(), ErrorKind::LocalIo);
        assert!(error.to_string().contains("\"/x\""));
    }

    #[test]
    fn first_named_object_stays() {
        let error = Error::config("bad").with_object("b", "k").with_object("c", "l");
        assert_eq!((error.bucket(), error.key()), (Some("b"), Some("k")));
    }
}
