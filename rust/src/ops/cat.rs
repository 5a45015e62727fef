//! Objects to a descriptor, one behind the other: the next ones are begun while one is written (cli.md, `cat`).

use std::collections::VecDeque;
use std::os::fd::RawFd;
use std::path::PathBuf;
use std::sync::Arc;

use rustix::io::Errno;

use crate::config::MIB;
use crate::descriptor::{duplicate, enlarge};
use crate::error::{Error, Result};
use crate::ops::download::pump;
use crate::ops::engine::{Engine, unless_cancelled};
use crate::ops::report::TransferReport;
use crate::ops::stream::{OrderedStream, StreamRequest};
use crate::ops::tasks::Tasks;
use crate::progress::{Cancel, Progress};
use crate::transfer::destination::{Target, file_type};
use crate::transfer::pipe_writer::PipeWriter;

/// Objects that are begun before it is their turn.
const AHEAD: u64 = 4;

/// The open descriptor `number` as something to write to, in order.
pub async fn open(number: RawFd, name: PathBuf) -> Result<PipeWriter> {
    let local = |errno| Error::local_errno(&name, errno);
    let copy = duplicate(number).map_err(local)?;
    enlarge(&copy);
    if file_type(&rustix::fs::fstat(&copy).map_err(local)?) == rustix::fs::FileType::Socket {
        return PipeWriter::on(copy, name);
    }
    drop(copy);
    // Told by the caller's name for it, not by the one it is opened by.
    let named = |error: Error| error.errno().map_or(error, |errno| local(Errno::from_raw_os_error(errno)));
    match Target::prepare(&PathBuf::from(format!("/proc/self/fd/{number}")), true).map_err(named)? {
        Target::Stream(stream) => PipeWriter::open_as(stream, name.clone()).await.map_err(named),
        Target::File(_) => Err(local(Errno::INVAL)),
    }
}

/// What was written: how many objects, all of each, and the report of the last of them.
#[derive(Default)]
pub struct Written {
    pub done: usize,
    pub last: Option<TransferReport>,
}

/// Writes all of them to the pipe, in order; what was written whole comes with the error.
pub async fn cat(
    engine: &Engine,
    requests: Vec<StreamRequest>,
    pipe: &PipeWriter,
    progress: &Arc<Progress>,
    cancel: &Cancel,
) -> (Written, Result<()>) {
    let ahead = usize::try_from((engine.scheduler.memory_limit() / 8 / MIB).clamp(1, AHEAD)).unwrap_or(1);
    let mut waiting = requests.into_iter();
    let mut begun: VecDeque<Tasks<OrderedStream>> = VecDeque::new();
    let mut all = Written::default();
    loop {
        for request in waiting.by_ref().take(ahead.saturating_sub(begun.len())) {
            let (engine, progress, cancel) = (engine.clone(), progress.clone(), cancel.clone());
            let mut task = Tasks::new();
            task.spawn(async move { OrderedStream::open(&engine, request, progress, &cancel).await });
            begun.push_back(task);
        }
        let Some(mut next) = begun.pop_front() else { return (all, Ok(())) };
        let lost = || Error::new(crate::error::ErrorKind::Internal, "the task of a stream is gone");
        let opened = unless_cancelled(cancel, async { next.next().await.unwrap_or_else(|| Err(lost())) }).await;
        let outcome = match opened {
            Ok(mut stream) => {
                let before = pipe.written();
                let outcome = unless_cancelled(cancel, pump(&mut stream, pipe)).await;
                all.last = stream.report();
                stream.stop().await;
                let written = pipe.written() - before;
                outcome.map_err(|error| if written > 0 { error.after_writing(written) } else { error })
            }
            Err(error) => Err(error),
        };
        if let Err(error) = outcome {
            for task in &mut begun {
                task.stop().await;
            }
            return (all, Err(error));
        }
        all.done += 1;
    }
}
