//! A stand-in for the core's error: a text.

#[derive(Debug)]
pub struct Error(#[allow(dead_code, reason = "shown by a test that fails")] &'static str);

pub type Result<T> = std::result::Result<T, Error>;

impl Error {
    pub fn integrity(text: &'static str) -> Self {
        Self(text)
    }

    pub fn no_memory() -> Self {
        Self("no memory")
    }
}
