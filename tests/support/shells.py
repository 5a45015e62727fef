"""Shells on a terminal: what a TAB makes of a line, seen by the command that is then run."""

from __future__ import annotations

import fcntl
import os
import pty
import re
import select
import shutil
import subprocess
import termios
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from support.command import SCRIPT

if TYPE_CHECKING:
    from support.command import Command

#: how each begins without anybody's settings, and what makes `s3z` show its arguments instead
_SHELLS = {
    "bash": (
        ["--norc", "--noprofile", "-i"],
        "bind 'set enable-bracketed-paste off'; source <(s3z --install-completion=bash); "
        "s3z() { printf '<%s>' \"$@\"; }",
    ),
    "zsh": (
        ["-i"],
        "autoload -Uz compinit; compinit -u -D; source <(command s3z --install-completion=zsh); "
        "s3z() { printf '<%s>' \"$@\"; }",
    ),
    "fish": (
        ["--no-config", "-i"],
        "command s3z --install-completion=fish | source; function s3z; printf '<%s>' $argv; end",
    ),
}


def _take_terminal() -> None:
    """Before exec: without a terminal of its own a shell is not interactive."""
    fcntl.ioctl(0, termios.TIOCSCTTY, 0)


def environment(run: Command, **more: str) -> dict[str, str]:
    """That of a command, with `s3z` to be found, and a dull terminal."""
    path = f"{Path(SCRIPT).parent}:{os.environ['PATH']}"
    return {**run.environment, "PATH": path, "TERM": "dumb", "PS1": "$ ", **more}


class Terminal:
    """A shell somebody types into.

    Args:
        shell: bash, zsh or fish; the test is skipped where there is none.
        run: its directory and environment.
    """

    def __init__(self, shell: str, run: Command, **more: str) -> None:
        if shutil.which(shell) is None:
            pytest.skip(f"there is no {shell} here")
        flags, setup = _SHELLS[shell]
        self._master, slave = pty.openpty()
        self._process = subprocess.Popen(
            [shell, *flags], cwd=run.directory, env=environment(run, **more), stdin=slave, stdout=slave, stderr=slave,
            start_new_session=True, preexec_fn=_take_terminal,
        )  # fmt: skip
        os.close(slave)
        self._count = 0
        try:
            self._until(setup)
        except BaseException:
            self.close()
            raise

    def _until(self, line: str) -> str:
        """Type a line; what is drawn until it is done."""
        self._count += 1
        # The mark is not drawn as it is typed: `printf` puts it together.
        os.write(self._master, f"{line}\nprintf '%s=%s\\n' DONE {self._count}\n".encode())
        drawn, mark = b"", f"DONE={self._count}".encode()
        while mark not in drawn:
            assert select.select([self._master], [], [], 30)[0], drawn
            drawn += os.read(self._master, 1 << 16)
        return drawn.decode()

    def arguments(self, line: str) -> list[str]:
        """What `s3z` is given in the end by a line with a TAB in it."""
        drawn = self._until(line)
        runs: list[str] = re.findall(r"(?:<[^<>]*>)+", drawn)
        assert runs, drawn
        return runs[-1][1:-1].split("><")

    def close(self) -> None:
        """End it."""
        self._process.kill()
        self._process.wait()
        os.close(self._master)


def bash_completes(run: Command, line: str, **more: str) -> list[str]:
    """What the function of the bash script answers for a line, as bash would call it."""
    code = (
        "source <(s3z --install-completion=bash); COMP_LINE=$1; COMP_POINT=${#1}; _s3z; "
        'printf "%s\\n" "${COMPREPLY[@]}"'
    )
    done = subprocess.run(
        ["bash", "--norc", "-c", code, "bash", line], cwd=run.directory, env=environment(run, **more),
        capture_output=True, text=True, check=True, timeout=60,
    )  # fmt: skip
    assert done.stderr == ""
    return [each for each in done.stdout.split("\n") if each]
