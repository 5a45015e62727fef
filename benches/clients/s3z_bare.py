"""The s3z command without what it does for safety: no checksum compared, nothing kept for a later run."""

from __future__ import annotations

from typing import TYPE_CHECKING

from clients import s3z_cli

if TYPE_CHECKING:
    from lib.job import Job

KIND = "variant"
VERBS = ("download",)
FLAGS = "s3z cp --no-verify --no-resume: what verification and resume cost is the difference to s3z-cli"


def available() -> str | None:
    """Return the version."""
    return s3z_cli.available()


def command(job: Job) -> tuple[list[str], dict[str, str]]:
    """Return `s3z cp` with both switched off."""
    argv, env = s3z_cli.command(job)
    at = argv.index("cp") + 1
    return [*argv[:at], "--no-verify", "--no-resume", *argv[at:]], env
