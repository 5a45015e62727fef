"""awscrt without direct I/O, which is off unless asked for: what its users get today."""

from __future__ import annotations

from typing import TYPE_CHECKING

from clients import awscrt

if TYPE_CHECKING:
    from lib.job import Job

KIND = "variant"
VERBS = ("download",)
FLAGS = "as awscrt, but direct_io=False and 10 Gbit/s, its defaults"

available = awscrt.available


def command(job: Job) -> tuple[list[str], dict[str, str]]:
    """Return our script for awscrt, told to leave direct I/O off."""
    argv, env = awscrt.command(job)
    return argv, env | {"BENCH_DIRECT": "0", "BENCH_GBPS": "10"}
