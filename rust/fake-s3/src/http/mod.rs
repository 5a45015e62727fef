//! HTTP/1.1 by hand: heads, bodies in every coding S3 clients use, and answers that may be broken on purpose.

pub(crate) mod answer;
pub(crate) mod body;
pub(crate) mod head;
pub(crate) mod limits;
pub(crate) mod output;
pub(crate) mod range;
pub(crate) mod stream;
pub(crate) mod wire;
