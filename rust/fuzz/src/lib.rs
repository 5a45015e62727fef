//! The properties that the fuzz targets hold against arbitrary bytes.

pub mod properties;
