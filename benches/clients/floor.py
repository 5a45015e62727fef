"""The floor: our raw-socket program, doing the same disk I/O and nothing else."""

from __future__ import annotations

from typing import TYPE_CHECKING

from lib.server import binary

if TYPE_CHECKING:
    from lib.job import Job

KIND = "floor"
VERBS = ("download", "upload", "pipe")
FLAGS = "4 threads, 1 MiB buffers; 8 MiB ranges, O_DIRECT pwrite into a fallocated file; upload parts of the part size"


def available() -> str | None:
    """Return "built" when the program is there."""
    return "built" if binary("floor").is_file() else None


def command(job: Job) -> tuple[list[str], dict[str, str]]:
    """Return `floor get` or `floor put`."""
    argv = [str(binary("floor")), "get" if job.downloads else "put"]
    argv += ["--endpoint", job.endpoint, "--bucket", job.bucket, "--key", job.key, "--threads", "4"]
    if job.ca is not None:
        argv += ["--tls", "--ca", str(job.ca)]
    if job.downloads:
        argv += ["--size", str(job.size), "--range", "8MiB", "--output", str(job.path)]
    else:
        argv += ["--part", str(job.part_size)]
        argv += ["--input", "-", "--size", str(job.size)] if job.verb == "pipe" else ["--input", str(job.path)]
    return (job.from_stdin(argv) if job.verb == "pipe" else argv), job.env()
