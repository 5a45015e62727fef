"""awscrt's S3Client, driven directly: boto3's CRT mode ignores endpoint_url."""

from __future__ import annotations

from typing import TYPE_CHECKING

from lib import peers

if TYPE_CHECKING:
    from lib.job import Job

KIND = "peer"
VERBS = ("download", "upload")
FLAGS = "see drivers/drive_awscrt.py"


def available() -> str | None:
    """Return the version in the benchmark's venv."""
    return peers.package_version("awscrt")


def command(job: Job) -> tuple[list[str], dict[str, str]]:
    """Return our script for awscrt."""
    operands = (job.endpoint, job.bucket, job.key, str(job.path))
    return peers.driver("drive_awscrt.py", job.verb, *operands), job.env()
