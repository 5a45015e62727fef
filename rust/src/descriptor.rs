//! What the safe calls on descriptors leave out: a close that tells, and waiting while there are none left.
#![expect(unsafe_code, reason = "takes descriptors by number: to close one and hear of it, to copy one a path names")]

use std::os::fd::{AsFd, BorrowedFd, IntoRawFd, OwnedFd, RawFd};
use std::time::{Duration, Instant};

use rustix::io::Errno;

use crate::error::{Error, Result};

/// How long a call waits for descriptors that others give back. It waits on an I/O lane: longer would hold up what
/// would give them back.
pub const PATIENCE: Duration = Duration::from_secs(5);

const PAUSE: Duration = Duration::from_millis(20);

/// Closes, and says whether that failed. Closed it is in any case.
pub fn close(fd: OwnedFd) -> rustix::io::Result<()> {
    // SAFETY: the number was that of an owned descriptor, given up here: nobody else closes or uses it.
    unsafe { rustix::io::try_close(fd.into_raw_fd()) }
}

/// What closing would report, while the descriptor stays open, and with it the lock it holds.
///
/// A file system that writes late does so at each close of a copy too. Where no copy is to be had, fsync reports the
/// same and more.
pub fn check_close(fd: impl AsFd) -> rustix::io::Result<()> {
    loop {
        match rustix::io::fcntl_dupfd_cloexec(&fd, 0) {
            Ok(copy) => match close(copy) {
                // Not a failure of the file: another copy can tell.
                Err(Errno::INTR) => {}
                done => return done,
            },
            Err(Errno::MFILE) => return rustix::fs::fsync(fd),
            Err(errno) => return Err(errno),
        }
    }
}

/// More of a pipe's own buffer means fewer switches between its two ends.
const PIPE_SIZE: usize = 1 << 20;

/// Makes a pipe larger where the system allows it; it stays as it is where that does not, or where it is no pipe.
pub fn enlarge(pipe: &OwnedFd) {
    let _ = rustix::pipe::fcntl_setpipe_size(pipe, PIPE_SIZE);
}

/// A copy of the descriptor with this number. It shares offset and flags with the first.
pub fn duplicate(number: RawFd) -> rustix::io::Result<OwnedFd> {
    if number < 0 {
        return Err(Errno::BADF);
    }
    // SAFETY: borrowed for this one call, which answers EBADF if the number means nothing; it is not -1.
    let borrowed = unsafe { BorrowedFd::borrow_raw(number) };
    rustix::io::fcntl_dupfd_cloexec(borrowed, 0)
}

/// Repeats `call` while the process or the system is out of descriptors, for `limit` at most (F15).
pub fn patiently<T>(limit: Duration, mut call: impl FnMut() -> Result<T>) -> Result<T> {
    let started = Instant::now();
    loop {
        match call() {
            Err(error) if is_shortage(&error) && started.elapsed() < limit => std::thread::sleep(PAUSE),
            done => return done,
        }
    }
}

/// Whether it failed because there are no descriptors left.
pub fn is_shortage(error: &Error) -> bool {
    [Errno::MFILE, Errno::NFILE].iter().any(|errno| error.errno() == Some(errno.raw_os_error()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::fd::AsRawFd;
    use std::path::Path;

    fn shortage() -> Error {
        Error::local_errno(Path::new("x"), Errno::MFILE)
    }

    /// F15: waits for descriptors, and not for ever.
    #[test]
    fn a_shortage_is_waited_out_within_a_limit() {
        let mut calls = 0;
        let call = || {
            calls += 1;
            if calls < 3 { Err(shortage()) } else { Ok(calls) }
        };
        assert_eq!(patiently(Duration::from_secs(60), call).unwrap(), 3);
        let mut calls = 0;
        let call = || -> Result<()> {
            calls += 1;
            Err(shortage())
        };
        let error = patiently(Duration::from_millis(50), call).unwrap_err();
        assert_eq!(error.errno(), Some(Errno::MFILE.raw_os_error()));
        assert!((2..=4).contains(&calls), "{calls} calls: it neither gives up at once nor spins");
    }

    #[test]
    fn what_is_no_shortage_is_not_repeated() {
        let mut calls = 0;
        let call = || -> Result<()> {
            calls += 1;
            Err(Error::local_errno(Path::new("x"), Errno::ACCESS))
        };
        assert!(patiently(Duration::from_secs(60), call).is_err());
        assert_eq!(calls, 1);
    }

    #[test]
    fn closing_closes_and_checking_does_not() {
        let file = tempfile::tempfile().unwrap();
        check_close(&file).unwrap();
        assert!(rustix::fs::fstat(&file).is_ok());
        let copy = duplicate(file.as_raw_fd()).unwrap();
        let shown = format!("/proc/self/fd/{}", copy.as_raw_fd());
        let inode = std::os::unix::fs::MetadataExt::ino(&std::fs::metadata(&shown).unwrap());
        close(copy).unwrap();
        // Another test may have taken the number meanwhile, but not with this file.
        let now = std::fs::metadata(&shown).map(|metadata| std::os::unix::fs::MetadataExt::ino(&metadata)).ok();
        assert_ne!(now, Some(inode));
        assert_eq!(duplicate(-1).unwrap_err(), Errno::BADF);
        assert_eq!(duplicate(RawFd::MAX).unwrap_err(), Errno::BADF);
    }
}
