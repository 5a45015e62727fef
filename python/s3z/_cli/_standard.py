"""Standard input and output as commands use them; what was closed when the command began is neither."""

from __future__ import annotations

import errno
import io
import os

from s3z._cli import _exit
from s3z._cli._printer import StdoutClosedError

STDIN, STDOUT = 0, 1


def check_stdin() -> None:
    """Refuse a stdin that is closed: `/dev/null`, which stands there now, would make it one that is empty.

    Raises:
        OSError: it is closed.
    """
    if STDIN in _exit.closed:
        raise OSError(errno.EBADF, os.strerror(errno.EBADF), "<stdin>")


def stdin() -> io.FileIO:
    """Standard input as it is: nothing is read ahead or buffered by Python.

    Raises:
        OSError: it is closed, or is nothing that can be read.
    """
    check_stdin()
    try:
        return io.FileIO(STDIN, "rb", closefd=False)
    except OSError as error:
        error.filename = "<stdin>"
        raise


def check_stdout() -> None:
    """End a command whose payload goes to stdout, where that is closed: nobody reads.

    Raises:
        StdoutClosedError: it is closed.
    """
    if STDOUT in _exit.closed:
        raise StdoutClosedError
