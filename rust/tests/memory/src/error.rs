//! A stand-in for the core's error, which nothing here makes.

pub type Result<T> = std::result::Result<T, std::convert::Infallible>;
