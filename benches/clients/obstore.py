"""obstore, the Python face of Rust's object_store."""

from __future__ import annotations

from typing import TYPE_CHECKING

from lib import peers

if TYPE_CHECKING:
    from lib.job import Job

KIND = "peer"
VERBS = ("download", "upload", "pipe", "cat", "memory")
# Tried, 2 GiB, two rounds each. Down, threads x MiB: 4 x 4 1.9-2.7 s, 16 x 8 2.8-3.7 s, 8 x 2 3.7-4.7 s.
# Up: 4 x 16 1.1-2.1 s, 16 x 16 1.3-2.1 s, 4 x 8 1.7-2.0 s, 16 x 5 2.0 s.
FLAGS = (
    "down: 4 threads, get_range of 4 MiB and pwrite; up: put, chunk_size 16 MiB, max_concurrency 4; unsigned payload; "
    "cat: get(...).stream, chunks of 1 MiB; memory: as down, into slices of an mmap"
)


def available() -> str | None:
    """Return the version in the benchmark's venv."""
    return peers.package_version("obstore")


def command(job: Job) -> tuple[list[str], dict[str, str]]:
    """Return our script for obstore."""
    operand = str(job.size) if job.verb == "memory" else str(job.path)
    argv = peers.driver("drive_obstore.py", job.verb, job.endpoint, job.bucket, job.key, operand)
    if job.verb == "cat":
        return job.to_drain(argv), job.env()
    return (job.from_stdin(argv) if job.verb == "pipe" else argv), job.env()
