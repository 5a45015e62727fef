"""The floor: our raw-socket program, doing the same disk I/O and nothing else."""

from __future__ import annotations

from typing import TYPE_CHECKING

from lib.server import binary

if TYPE_CHECKING:
    from lib.job import Job

KIND = "floor"
VERBS = ("download", "upload", "pipe", "cat", "memory")
FLAGS = (
    "4 threads, 1 MiB buffers; 8 MiB ranges, O_DIRECT pwrite into a fallocated file; upload parts of the part size; "
    "cat: a range in each thread, written in turn; memory: received in place"
)


def available() -> str | None:
    """Return "built" when the program is there."""
    return "built" if binary("floor").is_file() else None


def command(job: Job) -> tuple[list[str], dict[str, str]]:
    """Return `floor get` or `floor put`."""
    argv = [str(binary("floor")), "put" if job.uploads else "get"]
    argv += ["--endpoint", job.endpoint, "--bucket", job.bucket, "--key", job.key, "--threads", "4"]
    if job.ca is not None:
        argv += ["--tls", "--ca", str(job.ca)]
    if job.uploads:
        argv += ["--part", str(job.part_size)]
        argv += ["--input", "-", "--size", str(job.size)] if job.verb == "pipe" else ["--input", str(job.path)]
        return (job.from_stdin(argv) if job.verb == "pipe" else argv), job.env()
    argv += ["--size", str(job.size), "--range", "8MiB"]
    if job.verb == "cat":
        return job.to_drain([*argv, "--stdout"]), job.env()
    if job.verb == "memory":
        argv += ["--memory"]
    if job.downloads or job.keep:
        argv += ["--output", str(job.path)]
    return argv, job.env()
