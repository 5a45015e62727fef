//! Several readers take one big file: whether it has changed is known after the last of them only.

use std::sync::{Arc, Condvar, Mutex};
use std::time::Duration;

use super::memory::*;
use crate::archive::entry::Entry;
use crate::archive::pack::PackOptions;
use crate::archive::source::{Content, Found, Source};
use crate::error::{ErrorKind, Result};

/// A file that is written to at the worst moment: its first slice is read late, after somebody has looked whether it
/// has changed; or, if nobody looks before, after a while.
#[derive(Default)]
struct Late {
    /// Whether it was looked at, and whether it has changed.
    state: Mutex<(bool, bool)>,
    looked: Condvar,
}

const SIZE: u64 = 4 * SLICE;

impl Content for Late {
    fn size(&self) -> u64 {
        SIZE
    }

    fn read_at(&self, offset: u64, to: &mut [u8]) -> Result<usize> {
        // The classifier looks at the beginning and the middle, the reader of the first slice at all of it.
        if offset == 0 && to.len() as u64 == SLICE {
            let state = self.state.lock().unwrap();
            let wait = Duration::from_millis(1500);
            let (mut state, _) = self.looked.wait_timeout_while(state, wait, |(looked, _)| !*looked).unwrap();
            state.1 = true;
            to.fill(b'2');
            return Ok(to.len());
        }
        to.fill(b'1');
        Ok(to.len())
    }

    fn is_unchanged(&self) -> Result<bool> {
        let mut state = self.state.lock().unwrap();
        state.0 = true;
        self.looked.notify_all();
        Ok(!state.1)
    }
}

struct One(Arc<Late>);

impl Source for One {
    fn walk(&self) -> Box<dyn Iterator<Item = Found> + Send + '_> {
        let entry = Entry { name: b"late".into(), size: SIZE, ..Entry::default() };
        Box::new(std::iter::once(Found::Entry(entry, None)))
    }

    fn open(&self, _: &Entry) -> Result<Arc<dyn Content>> {
        Ok(self.0.clone())
    }
}

fn pack(options: PackOptions) -> Result<crate::archive::report::PackReport> {
    use crate::archive::threads::Stop;
    use crate::progress::Progress;
    let (mut sink, source) = (Bytes::default(), One(Arc::default()));
    crate::archive::pack::pack(&source, &mut sink, &options, (&Stop::default(), &Progress::default()))
}

#[test]
fn a_change_behind_the_back_of_another_reader_is_seen() {
    for readers in [1, 2, 4] {
        let done = within(Duration::from_secs(20), move || pack(PackOptions { readers, ..options() }).map(drop));
        let kind = done.err().map(|error| error.kind());
        assert_eq!(kind, Some(ErrorKind::ObjectChanged), "with {readers} readers a mixture of two versions is packed");
    }
}
