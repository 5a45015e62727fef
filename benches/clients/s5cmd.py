"""s5cmd, the fastest of the command-line clients in Go."""

from __future__ import annotations

from typing import TYPE_CHECKING

from lib import peers
from lib.job import MANY

if TYPE_CHECKING:
    from lib.job import Job

KIND = "peer"
VERBS = ("download", "upload", "pipe", "cat", "list", "download-many", "upload-many", "sync-many")
# Tried, 2 GiB, two rounds each. Down: -c 4 -p 32 1.7-1.9 s, -c 2 -p 64 1.8-2.3 s, -c 16 -p 8 3.0-3.2 s;
# up: -c 4 -p 16 as -c 16 -p 8.
FLAGS = (
    "cp; down -c 4 -p 32, up, pipe and cat -c 4 -p 16; ls, cp and sync of many without flags; "
    "its payloads are always signed"
)


def available() -> str | None:
    """Return the version."""
    path = peers.program("s5cmd")
    return peers.first_line([path, "version"]) if path else None


def command(job: Job) -> tuple[list[str], dict[str, str]]:
    """Return `s5cmd cp`, `pipe`, `cat` or `ls`."""
    program = peers.program("s5cmd") or "s5cmd"
    if job.verb in MANY:
        verb = "sync" if job.verb == "sync-many" else "cp"
        return [program, "--endpoint-url", job.endpoint, verb, *job.tree_and_prefix], job.env()
    if job.verb == "list":
        return job.to_file([program, "--endpoint-url", job.endpoint, "ls", f"s3://{job.bucket}/*"]), job.env()
    if job.verb == "pipe":
        flags = ["--endpoint-url", job.endpoint, "--log", "error", "pipe", "-c", "4", "-p", "16", job.uri]
        return job.from_stdin([program, *flags]), job.env()
    if job.verb == "cat":
        flags = ["--endpoint-url", job.endpoint, "--log", "error", "cat", "-c", "4", "-p", "16", job.uri]
        return job.to_drain([program, *flags]), job.env()
    flags = ["--endpoint-url", job.endpoint, "--log", "error", "cp", "-c", "4"]
    flags += ["-p", "32" if job.downloads else "16"]
    return [program, *flags, *job.source_and_destination], job.env()
