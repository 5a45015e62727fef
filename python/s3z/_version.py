"""The version, kept equal to `Cargo.toml` by a test, so that it is known without the native module."""

__version__ = "0.1.0"
