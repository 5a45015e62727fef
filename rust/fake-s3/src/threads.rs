//! The one place that starts threads: the accept loops, one for each connection, two for each proxied one.

use std::io;
use std::thread::{Builder, JoinHandle};

/// Starts a thread; it ends by itself when its socket does.
#[expect(clippy::disallowed_methods, reason = "the rule binds the client; this server is a thread for each connection")]
pub(crate) fn start(name: &str, run: impl FnOnce() + Send + 'static) -> io::Result<JoinHandle<()>> {
    Builder::new().name(name.to_owned()).spawn(run)
}
