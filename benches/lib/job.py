"""What a client is asked to do, and the environment it is asked in."""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

MIB = 1 << 20


@dataclass(frozen=True, slots=True)
class Job:
    """One object, one direction. Sizes in bytes; `path` is the file on this side."""

    verb: str
    endpoint: str
    ca: Path | None
    bucket: str
    key: str
    size: int
    path: Path
    access_key: str
    secret_key: str
    region: str
    part_size: int
    home: Path

    @property
    def uri(self) -> str:
        """The object as `s3://bucket/key`."""
        return f"s3://{self.bucket}/{self.key}"

    @property
    def downloads(self) -> bool:
        """Whether the object comes to this side."""
        return self.verb == "download"

    def from_stdin(self, argv: list[str]) -> list[str]:
        """The command with the file coming out of a pipe; the `cat` is part of what is measured, for all alike."""
        return ["sh", "-c", 'cat "$0" | "$@"', str(self.path), *argv]

    @property
    def source_and_destination(self) -> tuple[str, str]:
        """The two operands of a `cp`."""
        return (self.uri, str(self.path)) if self.downloads else (str(self.path), self.uri)

    def env(self) -> dict[str, str]:
        """Return an environment that holds this job's settings and nothing of the person's own."""
        env = {
            "PATH": os.environ.get("PATH", os.defpath),
            "HOME": str(self.home),
            "LC_ALL": "C.UTF-8",
            "AWS_ACCESS_KEY_ID": self.access_key,
            "AWS_SECRET_ACCESS_KEY": self.secret_key,
            "AWS_REGION": self.region,
            "AWS_DEFAULT_REGION": self.region,
            "AWS_ENDPOINT_URL": self.endpoint,
            "AWS_EC2_METADATA_DISABLED": "true",
            # Checksums only where S3 demands them: the fastest the AWS clients can be asked to be.
            "AWS_REQUEST_CHECKSUM_CALCULATION": "when_required",
            "AWS_RESPONSE_CHECKSUM_VALIDATION": "when_required",
        }
        if self.ca is not None:
            env |= {"AWS_CA_BUNDLE": str(self.ca), "SSL_CERT_FILE": str(self.ca)}
        return env
