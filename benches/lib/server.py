"""The server of a workload: `fake-s3` started as a child, spoken to over its control port, ended by closing stdin."""

from __future__ import annotations

import json
import os
import socket
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Sequence
    from types import TracebackType

ROOT = Path(__file__).resolve().parents[2]


def binary(name: str) -> Path:
    """Return the path of a release binary of this workspace."""
    target = Path(os.environ.get("CARGO_TARGET_DIR", ROOT / "target"))
    return target / "release" / name


@dataclass
class Server:
    """A running server; a context manager that ends it."""

    process: subprocess.Popen[str]
    endpoint: str
    control: tuple[str, int]
    access_key: str
    secret_key: str
    region: str
    ca: Path | None
    flags: str

    @classmethod
    def start(cls, flags: Sequence[str]) -> Server:
        """Start a server with these flags beside a free port and fixed credentials."""
        flags = ["--port", "0", "--access-key", "bench", "--secret-key", "bench-secret", "--quiet", *flags]
        process = subprocess.Popen(
            [binary("fake-s3"), *flags], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, process_group=0
        )
        assert process.stdout is not None
        line = process.stdout.readline()
        if not line:
            raise RuntimeError(f"fake-s3 did not start (status {process.wait()})")
        told = json.loads(line)
        host, port = told["control"].rsplit(":", 1)
        ca = told.get("ca_pem_file")
        return cls(
            process=process,
            endpoint=told["endpoint"],
            control=(host, int(port)),
            access_key=told["access_key"],
            secret_key=told["secret_key"],
            region=told["region"],
            ca=Path(ca) if ca else None,
            flags=" ".join(flags),
        )

    def ask(self, command: str, **fields: Any) -> dict[str, Any]:
        """Send one command to the control port and return the answer; `RuntimeError` if it was refused."""
        with socket.create_connection(self.control, timeout=60) as connection:
            connection.sendall(json.dumps({"command": command, **fields}).encode() + b"\n")
            with connection.makefile("r", encoding="utf-8") as lines:
                answer: dict[str, Any] = json.loads(lines.readline())
        if not answer.get("ok", True):
            raise RuntimeError(f"fake-s3 refused {command}: {answer.get('error')}")
        return answer

    def cpu_seconds(self) -> float:
        """User and system time the server has used so far."""
        fields = Path(f"/proc/{self.process.pid}/stat").read_text().rsplit(")", 1)[1].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def __enter__(self) -> Server:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        assert self.process.stdin is not None
        self.process.stdin.close()
        try:
            self.process.wait(timeout=10)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
