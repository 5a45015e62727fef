"""Measure one command: wall time, CPU time and peak memory, children included.

CPU is the sum over the process and every descendant it waited for; peak memory is that of the largest single process
among them. Figures come from wait4(2), so nothing is sampled and nothing is missed between samples.

    used = measure(["s5cmd", "cp", "a", "b"], env={...})
    used.wall, used.cpu, used.peak_rss
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from typing import IO

_LAUNCH = Path(__file__).with_name("launch.py")
_KEPT_OUTPUT = 4000


@dataclass(frozen=True, slots=True)
class Usage:
    """What one command used; times in seconds, memory in bytes."""

    status: int
    wall: float
    user: float
    system: float
    peak_rss: int
    stdout: str
    stderr: str

    @property
    def cpu(self) -> float:
        """User and system time together."""
        return self.user + self.system


def measure(
    argv: Sequence[str], *, env: Mapping[str, str] | None = None, cwd: str | None = None, timeout: float = 600.0
) -> Usage:
    """Run a command to its end and return what it used.

    Args:
        argv: The command; its first word is looked up on PATH.
        env: The whole environment; the caller's own when None.
        cwd: The working directory.
        timeout: Seconds after which the command and its process group are killed (status -9).

    Raises:
        FileNotFoundError: The command does not exist.
    """
    environment = dict(os.environ if env is None else env)
    program = shutil.which(argv[0], path=environment.get("PATH"))
    if program is None:
        raise FileNotFoundError(argv[0])
    reader, writer = os.pipe()
    # Files, not pipes: a pipe nobody reads would stop a talkative client.
    with tempfile.TemporaryFile() as out, tempfile.TemporaryFile() as err:
        launcher = [sys.executable, "-I", "-S", str(_LAUNCH), str(writer), str(timeout), program, *argv[1:]]
        try:
            process = subprocess.Popen(
                launcher, env=environment, cwd=cwd, stdin=subprocess.DEVNULL, stdout=out, stderr=err, pass_fds=[writer]
            )
        finally:
            os.close(writer)
        with os.fdopen(reader, encoding="ascii") as report:
            fields = report.read().split()
        process.wait()
        stdout, stderr = _tail(out), _tail(err)
    if len(fields) != 5:
        raise RuntimeError(f"could not start {program}: {stderr.strip()}")
    wall, user, system = (float(field) for field in fields[1:4])
    return Usage(int(fields[0]), wall, user, system, int(fields[4]) * 1024, stdout, stderr)


def _tail(file: IO[bytes]) -> str:
    """Return the last characters that were written."""
    size = file.seek(0, os.SEEK_END)
    file.seek(max(0, size - _KEPT_OUTPUT))
    return file.read().decode(errors="replace")


def main() -> int:
    """`python benches/lib/measure.py COMMAND...` measures one command from the shell."""
    used = measure(sys.argv[1:])
    sys.stdout.write(used.stdout)
    sys.stderr.write(used.stderr)
    sys.stderr.write(f"wall {used.wall:.3f} s, cpu {used.cpu:.3f} s, peak {used.peak_rss / 1e6:.0f} MB\n")
    return used.status


if __name__ == "__main__":
    sys.exit(main())
