"""rclone, without a configuration file."""

from __future__ import annotations

from typing import TYPE_CHECKING

from lib import peers

if TYPE_CHECKING:
    from lib.job import Job

KIND = "peer"
VERBS = ("download", "upload")
FLAGS = (
    "copyto, 16 streams of 16 MiB, no checksums (--multi-thread-streams 16 --multi-thread-chunk-size 16Mi "
    "--s3-upload-concurrency 16 --s3-chunk-size 16Mi --s3-disable-checksum --ignore-checksum)"
)


def available() -> str | None:
    """Return the version."""
    path = peers.program("rclone")
    return peers.first_line([path, "version"]) if path else None


def command(job: Job) -> tuple[list[str], dict[str, str]]:
    """Return `rclone copyto` on a connection string."""
    remote, local = f":s3:{job.bucket}/{job.key}", str(job.path)
    flags = ["--config", "/dev/null", "--s3-provider", "Other", "--s3-env-auth", "--s3-endpoint", job.endpoint]
    flags += ["--s3-region", job.region, "--s3-force-path-style", "--s3-no-check-bucket", "--ignore-checksum"]
    flags += ["--multi-thread-streams", "16", "--multi-thread-chunk-size", "16Mi", "--multi-thread-cutoff", "16Mi"]
    flags += ["--s3-upload-concurrency", "16", "--s3-chunk-size", "16Mi", "--s3-upload-cutoff", "16Mi"]
    flags += ["--s3-disable-checksum", "--s3-use-unsigned-payload", "true", "--retries", "1", "--log-level", "ERROR"]
    if job.ca is not None:
        flags += ["--ca-cert", str(job.ca)]
    operands = [remote, local] if job.downloads else [local, remote]
    return [peers.program("rclone") or "rclone", "copyto", *flags, *operands], job.env()
