"""s3z by its one-shot functions, with default settings."""

from __future__ import annotations

from typing import TYPE_CHECKING

from lib import peers

if TYPE_CHECKING:
    from lib.job import Job

KIND = "ours"
VERBS = ("download", "upload")
FLAGS = "s3z.download(uri, path) and s3z.upload(path, uri), default settings"


def available() -> str | None:
    """Return the version of the installed package."""
    return peers.package_version("s3z", peers.own_python())


def command(job: Job) -> tuple[list[str], dict[str, str]]:
    """Return a one-line program."""
    code = f"import sys, s3z; s3z.{job.verb}(*sys.argv[1:])"
    return [peers.own_python(), "-c", code, *job.source_and_destination], job.env()
