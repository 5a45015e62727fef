"""boto3's managed transfer on its own threads."""

from __future__ import annotations

from typing import TYPE_CHECKING

from lib import peers

if TYPE_CHECKING:
    from lib.job import Job

KIND = "peer"
VERBS = ("download", "upload", "pipe", "cat", "memory", "list")
# Tried, 2 GiB, two rounds each. Down, threads x MiB: 16 x 16 4.7-6.4 s, 8 x 64 6.1-6.9 s;
# up: 16 x 16 6.4-7.5 s, 4 x 16 7.2-7.6 s.
FLAGS = (
    "TransferConfig: max_concurrency 16, multipart_chunksize 16 MiB, io_chunksize 1 MiB, classic; "
    "checksums when required; cat: get_object, iter_chunks of 1 MiB; memory: download_fileobj into an mmap; "
    "list: the paginator, keys only"
)


def available() -> str | None:
    """Return the version in the benchmark's venv."""
    return peers.package_version("boto3")


def command(job: Job) -> tuple[list[str], dict[str, str]]:
    """Return our script for boto3."""
    operand = str(job.size) if job.verb == "memory" else str(job.path)
    argv = peers.driver("drive_boto3.py", job.verb, job.endpoint, job.bucket, job.key, operand)
    if job.verb == "list":
        return job.to_file(argv), job.env()
    if job.verb == "cat":
        return job.to_drain(argv), job.env()
    return (job.from_stdin(argv) if job.verb == "pipe" else argv), job.env()
