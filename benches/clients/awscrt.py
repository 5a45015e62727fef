"""awscrt's S3Client, driven directly: boto3's CRT mode ignores endpoint_url."""

from __future__ import annotations

from typing import TYPE_CHECKING

from lib import peers

if TYPE_CHECKING:
    from lib.job import Job

KIND = "peer"
VERBS = ("download", "upload")
# Tried, 2 GiB, two rounds each. Down: direct with 8 MiB parts and a target of 2 Gbit/s 1.8-2.0 s and 130 MB,
# 10 Gbit/s 2.1 s and 460 MB, 16 MiB parts 2.2-3.0 s; buffered 4-7 s.
# Up: buffered with 16 MiB 1.7 s, 8 MiB 1.9 s, direct 2.2-2.6 s.
FLAGS = (
    "S3Client; down: recv_filepath with direct_io, part_size 8 MiB, throughput_target_gbps 2; "
    "up: send_filepath buffered, part_size 16 MiB, 10 Gbit/s; no checksums"
)


def available() -> str | None:
    """Return the version in the benchmark's venv."""
    return peers.package_version("awscrt")


def command(job: Job) -> tuple[list[str], dict[str, str]]:
    """Return our script for awscrt."""
    operands = (job.endpoint, job.bucket, job.key, str(job.path))
    part, gbps, direct = ("8", "2", "1") if job.downloads else ("16", "10", "0")
    tuned = {"BENCH_PART": str(int(part) << 20), "BENCH_GBPS": gbps, "BENCH_DIRECT": direct}
    return peers.driver("drive_awscrt.py", job.verb, *operands), job.env() | tuned
