"""What a client is asked to do, and the environment it is asked in."""

from __future__ import annotations

import os
import shlex
from dataclasses import dataclass
from typing import TYPE_CHECKING

from lib.server import binary

if TYPE_CHECKING:
    from pathlib import Path

MIB = 1 << 20
#: The verbs that send; the others receive.
UPLOADS = ("upload", "pipe")
#: The verbs of a tree of small objects; `sync-many` finds nothing to do.
MANY = ("download-many", "upload-many", "sync-many")


@dataclass(frozen=True, slots=True)
class Job:
    """One object, one direction. Sizes in bytes; `path` is the file on this side.

    What goes into a pipe or into memory leaves no file; with `keep` it is put into `path` as well, to be compared.
    """

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
    keep: bool = False

    @property
    def uri(self) -> str:
        """The object as `s3://bucket/key`."""
        return f"s3://{self.bucket}/{self.key}"

    @property
    def downloads(self) -> bool:
        """Whether the object comes to a file on this side."""
        return self.verb == "download"

    @property
    def uploads(self) -> bool:
        """Whether the object goes to the server."""
        return self.verb in UPLOADS

    def from_stdin(self, argv: list[str]) -> list[str]:
        """The command with the file coming out of a pipe; the `cat` is part of what is measured, for all alike."""
        return ["sh", "-c", 'cat "$0" | "$@"', str(self.path), *argv]

    def to_file(self, argv: list[str]) -> list[str]:
        """The command with its output in the file on this side."""
        return ["sh", "-c", 'exec "$@" > "$0"', str(self.path), *argv]

    def to_drain(self, argv: list[str]) -> list[str]:
        """The command with its output drained and counted, for all alike; one that fails ends the whole group."""
        keep = f"tee {shlex.quote(str(self.path))} | " if self.keep else ""
        script = f'{{ "$@" || kill 0; }} | {keep}"$0" drain --size {self.size}'
        return ["sh", "-c", script, str(binary("floor")), *argv]

    @property
    def tree_and_prefix(self) -> tuple[str, str]:
        """The two operands for many: a tree below a directory, all below a prefix."""
        tree, prefix = f"{self.path}/", f"s3://{self.bucket}/{self.key}"
        return (f"{prefix}*", tree) if self.verb == "download-many" else (tree, prefix)

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
        if self.keep:
            env["BENCH_KEEP"] = str(self.path)
        return env
