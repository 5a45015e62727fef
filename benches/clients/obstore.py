"""obstore, the Python face of Rust's object_store."""

from __future__ import annotations

from typing import TYPE_CHECKING

from lib import peers

if TYPE_CHECKING:
    from lib.job import Job

KIND = "peer"
VERBS = ("download", "upload")
FLAGS = "see drivers/drive_obstore.py"


def available() -> str | None:
    """Return the version in the benchmark's venv."""
    return peers.package_version("obstore")


def command(job: Job) -> tuple[list[str], dict[str, str]]:
    """Return our script for obstore."""
    return peers.driver("drive_obstore.py", job.verb, job.endpoint, job.bucket, job.key, str(job.path)), job.env()
