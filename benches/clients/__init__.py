"""One module for each client of the benchmark.

An adapter is a module with
    KIND       "floor", "ours", "peer"; "variant" (another way to drive one of these: checked and shown, never the best
               peer); "reference" (writes nothing, so it can only be shown)
    VERBS      the directions it can go
    FLAGS      what is stated about it in the summary: how it was driven and why so
    available  () -> its version, or None if it is not installed
    command    (job) -> the command and its environment; the whole transfer is one process tree
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Protocol, cast

if TYPE_CHECKING:
    from lib.job import Job

#: In the order of the tables.
NAMES = (
    "floor",
    "floor-buffered",
    "floor-null",
    "s3z-cli",
    "s3z-bare",
    "s3z-api",
    "obstore",
    "awscrt",
    "awscrt-buffered",
    "s5cmd",
    "boto3",
    "s3dlio",
    "aws-cli",
    "rclone",
    "aria2",
    "curl",
    "curl-null",
)


class Adapter(Protocol):
    """What every module of this package offers."""

    KIND: str
    VERBS: tuple[str, ...]
    FLAGS: str

    def available(self) -> str | None:
        """Return the version, or None if the client is not installed."""

    def command(self, job: Job) -> tuple[list[str], dict[str, str]]:
        """Return the command line and environment of a job."""


def load(name: str) -> Adapter:
    """Return the adapter of a client."""
    return cast("Adapter", import_module(f"{__name__}.{name.replace('-', '_')}"))
