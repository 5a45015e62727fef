"""The command as a child process: its exit status, its two streams, and what it draws on a terminal."""

from __future__ import annotations

import json
import os
import pty
import select
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

SCRIPT = str(Path(sys.executable).with_name("s3z"))


@dataclass(frozen=True)
class Outcome:
    """What came of one run."""

    status: int
    stdout: str
    stderr: str

    @property
    def lines(self) -> list[str]:
        return self.stdout.splitlines()

    @property
    def errors(self) -> list[str]:
        return self.stderr.splitlines()

    @property
    def records(self) -> list[dict[str, Any]]:
        """Every line of stdout, which all have to be JSON objects."""
        return _records(self.stdout)

    @property
    def error_records(self) -> list[dict[str, Any]]:
        """Every line of stderr, which all have to be JSON objects."""
        return _records(self.stderr)


def _records(text: str) -> list[dict[str, Any]]:
    found = [json.loads(line) for line in text.splitlines()]
    assert all(isinstance(record, dict) for record in found)
    return found


class Command:
    """Runs `s3z` in a directory.

    Args:
        directory: the working directory.
        environment: added to a minimal one.
    """

    def __init__(self, directory: Path, environment: dict[str, str]) -> None:
        self.directory = directory
        self.environment = {**_minimal(), **environment}

    def __call__(self, *arguments: str | bytes, status: int | None = 0, **changes: Any) -> Outcome:
        """Run to the end; `status=None` takes any."""
        done = subprocess.run(
            [*changes.pop("program", [SCRIPT]), *arguments],
            cwd=changes.pop("cwd", self.directory),
            env={**self.environment, **changes.pop("env", {})},
            **(
                {"input": changes.pop("input")}
                if "input" in changes
                else {"stdin": changes.pop("stdin", subprocess.DEVNULL)}
            ),
            capture_output=True,
            timeout=100,
            check=False,
            **changes,
        )
        outcome = Outcome(
            done.returncode,
            done.stdout.decode("utf-8", "surrogateescape"),
            done.stderr.decode("utf-8", "surrogateescape"),
        )
        assert status is None or outcome.status == status, outcome
        return outcome

    def start(self, *arguments: str, **changes: Any) -> subprocess.Popen[bytes]:
        """Begin, with pipes for both streams."""
        return subprocess.Popen(
            [SCRIPT, *arguments],
            cwd=self.directory,
            env={**self.environment, **changes.pop("env", {})},
            stdin=changes.pop("stdin", subprocess.DEVNULL),
            stdout=changes.pop("stdout", subprocess.PIPE),
            stderr=changes.pop("stderr", subprocess.PIPE),
            **changes,
        )

    def on_terminal(self, *arguments: str, stdout: bool = True, status: int = 0, **environment: str) -> str:
        """Run with stderr, and by default stdout, on a terminal; all that is drawn on it."""
        master, slave = pty.openpty()
        try:
            process = subprocess.Popen(
                [SCRIPT, *arguments],
                cwd=self.directory,
                env={**self.environment, "TERM": "xterm", **environment},
                stdin=slave,
                stdout=slave if stdout else subprocess.DEVNULL,
                stderr=slave,
                start_new_session=True,
            )
        finally:
            os.close(slave)
        drawn = b""
        try:
            while select.select([master], [], [], 60)[0]:
                try:
                    part = os.read(master, 1 << 16)
                except OSError:  # EIO: the other end is closed
                    break
                if not part:
                    break
                drawn += part
            assert process.wait(timeout=60) == status, drawn
        finally:
            if process.poll() is None:
                process.kill()
                process.wait()
            os.close(master)
        return drawn.decode().replace("\r\n", "\n")


def _minimal() -> dict[str, str]:
    names = (
        "PATH",
        "HOME",
        "XDG_STATE_HOME",
        "XDG_CONFIG_HOME",
        "XDG_CACHE_HOME",
        "AWS_EC2_METADATA_DISABLED",
        "TMPDIR",
        "PYTHONPATH",
    )
    kept = {name: os.environ[name] for name in names if name in os.environ}
    return {**kept, "LC_ALL": "C.UTF-8", "PYTHONWARNINGS": "error"}


def python(code: str, *arguments: str, env: dict[str, str] | None = None, **changes: Any) -> Outcome:
    """Run a Python program to its end."""
    done = subprocess.run(
        [sys.executable, "-c", code, *arguments],
        env={**_minimal(), **(env or {})},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=changes.pop("timeout", 100),
        check=False,
        **changes,
    )
    return Outcome(done.returncode, done.stdout, done.stderr)
