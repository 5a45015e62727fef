"""s3dlio, a Rust-core client for training data."""

from __future__ import annotations

from typing import TYPE_CHECKING

from lib import peers

if TYPE_CHECKING:
    from lib.job import Job

KIND = "peer"
VERBS = ("download", "upload")
FLAGS = "download(uri, folder), upload([path], prefix), defaults"


def available() -> str | None:
    """Return the version in the benchmark's venv."""
    return peers.package_version("s3dlio")


def command(job: Job) -> tuple[list[str], dict[str, str]]:
    """Return our script for s3dlio."""
    return peers.driver("drive_s3dlio.py", job.verb, job.uri, str(job.path)), job.env()
