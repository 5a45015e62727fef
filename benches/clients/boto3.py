"""boto3's managed transfer on its own threads."""

from __future__ import annotations

from typing import TYPE_CHECKING

from lib import peers

if TYPE_CHECKING:
    from lib.job import Job

KIND = "peer"
VERBS = ("download", "upload")
FLAGS = "see drivers/drive_boto3.py"


def available() -> str | None:
    """Return the version in the benchmark's venv."""
    return peers.package_version("boto3")


def command(job: Job) -> tuple[list[str], dict[str, str]]:
    """Return our script for boto3."""
    return peers.driver("drive_boto3.py", job.verb, job.endpoint, job.bucket, job.key, str(job.path)), job.env()
