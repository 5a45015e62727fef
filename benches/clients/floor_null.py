"""The floor without writing: what the network and the server alone cost."""

from __future__ import annotations

from typing import TYPE_CHECKING

from clients import floor

if TYPE_CHECKING:
    from lib.job import Job

KIND = "reference"
VERBS = ("download",)
FLAGS = "as floor, bytes thrown away: the server's speed"

available = floor.available


def command(job: Job) -> tuple[list[str], dict[str, str]]:
    """Return `floor get --null`."""
    argv, env = floor.command(job)
    at = argv.index("--output")
    return [*argv[:at], "--null"], env
