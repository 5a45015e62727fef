"""The AWS command line (version 1, from PyPI)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from lib import peers

if TYPE_CHECKING:
    from lib.job import Job

KIND = "peer"
VERBS = ("download", "upload", "pipe", "cat", "list")
FLAGS = "s3 cp, s3 ls --recursive; max_concurrent_requests 16, multipart_chunksize 16MB, classic transfer client"

_CONFIG = """[default]
s3 =
  max_concurrent_requests = 16
  multipart_threshold = 16MB
  multipart_chunksize = 16MB
  io_chunksize = 1MB
  addressing_style = path
  preferred_transfer_client = classic
"""


def available() -> str | None:
    """Return the version."""
    path = peers.program("aws")
    line = peers.first_line([path, "--version"]) if path else None
    return line.split()[0] if line else None


def command(job: Job) -> tuple[list[str], dict[str, str]]:
    """Return `aws s3 cp` or `ls` with a configuration of its own."""
    config = job.home / "aws-config"
    config.write_text(_CONFIG)
    argv = [peers.program("aws") or "aws", "--endpoint-url", job.endpoint, "s3", "cp", "--only-show-errors"]
    env = job.env() | {"AWS_CONFIG_FILE": str(config)}
    if job.verb == "list":
        argv = [peers.program("aws") or "aws", "--endpoint-url", job.endpoint, "s3", "ls", "--recursive"]
        return job.to_file([*argv, f"s3://{job.bucket}"]), env
    if job.verb == "pipe":
        return job.from_stdin([*argv, "-", job.uri, "--expected-size", str(job.size)]), env
    if job.verb == "cat":
        return job.to_drain([*argv, job.uri, "-"]), env
    return [*argv, *job.source_and_destination], env
