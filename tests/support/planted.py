"""What is in a bucket and below a directory, as dictionaries, and what a command said of it."""

from __future__ import annotations

import os
import re
import shutil
import stat
import subprocess
from typing import TYPE_CHECKING, Any

from support.command import SCRIPT
from support.servers import unavailable

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from support.command import Outcome
    from support.servers import Server


def plant(directory: Path, files: Mapping[str, bytes]) -> Path:
    """Write files, and the directories they are in."""
    for name, content in files.items():
        path = directory / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
    return directory


def fill(server: Server, bucket: str, objects: Mapping[str, bytes], **headers: Any) -> None:
    """Put objects."""
    for key, content in objects.items():
        server.boto3.put_object(Bucket=bucket, Key=key, Body=content, **headers)


def keys(server: Server, bucket: str) -> set[str]:
    """All keys of a bucket."""
    pages = server.boto3.get_paginator("list_objects_v2").paginate(Bucket=bucket)
    return {item["Key"] for page in pages for item in page.get("Contents", [])}


def read(server: Server, bucket: str, key: str) -> bytes:
    content: bytes = server.boto3.get_object(Bucket=bucket, Key=key)["Body"].read()
    return content


def objects(server: Server, bucket: str) -> dict[str, bytes]:
    """All objects of a bucket."""
    return {key: read(server, bucket, key) for key in keys(server, bucket)}


def tree(directory: Path) -> dict[str, bytes]:
    """All regular files below a directory, but those of the home directory of the tests; links are not followed."""
    found = {}
    for parent, directories, files in os.walk(directory):
        directories[:] = [name for name in directories if name != ".home"]
        for name in files:
            path = os.path.join(parent, name)
            if stat.S_ISREG(os.lstat(path).st_mode):
                with open(path, "rb") as file:
                    found[os.path.relpath(path, directory)] = file.read()
    return found


def places(directory: Path) -> set[str]:
    """Every name below a directory, of whatever kind."""
    return {
        os.path.relpath(os.path.join(parent, name), directory)
        for parent, directories, files in os.walk(directory)
        for name in (*directories, *files)
        if ".home" not in os.path.relpath(os.path.join(parent, name), directory).split(os.sep)
    }


def named(text: str, **buckets: str) -> str:
    """The text with `s3://b` and `s3://c` standing for real buckets."""
    return re.sub(r"s3://([a-z])(?![a-z0-9-])", lambda match: f"s3://{buckets[match[1]]}", text)


def failed(outcome: Outcome) -> list[str]:
    """The ERROR lines."""
    return [line for line in outcome.errors if line.startswith("ERROR ")]


def tally(outcome: Outcome) -> dict[str, Any]:
    """The summary of a run with `--json`, once it agrees with the records before it and with the exit status."""
    *records, summary = outcome.records
    assert summary["record"] == "summary"
    results = [record for record in records if "record" not in record]
    errors = [record for record in outcome.error_records if record.get("success") is False]
    counts = summary["objects"]
    assert all(record["success"] for record in results), results
    assert all(record["error"]["kind"] and record["error"]["message"] for record in errors), errors
    assert counts["failed"] == len(errors)
    assert counts["skipped"] == sum(bool(record.get("skipped")) for record in results)
    lines = sum(not record.get("skipped") for record in results)
    assert max(counts["done"], counts["deleted"]) <= lines <= counts["done"] + counts["deleted"]
    assert summary["exit_code"] == outcome.status
    assert summary["success"] is (outcome.status == 0)
    assert (outcome.status != 0) == bool(errors)
    return summary


def kinds(outcome: Outcome) -> dict[str, str]:
    """With `--json`: the kind of each failure, by its source."""
    found = [record for record in outcome.error_records if record.get("success") is False]
    by_source = {record.get("source", ""): record["error"]["kind"] for record in found}
    assert len(by_source) == len(found), found
    return by_source


def reasons(outcome: Outcome) -> dict[str, str]:
    """With `--json`: why each source was skipped."""
    return {record["source"]: record["reason"] for record in outcome.records if record.get("skipped")}


def bound_by_modes() -> list[str]:
    """The command for whom modes of files count, even when root runs the tests."""
    if os.geteuid() != 0:
        return [SCRIPT]
    prefix = ["setpriv", "--bounding-set=-dac_override,-dac_read_search"]
    if shutil.which("setpriv") is None or subprocess.run([*prefix, "true"], check=False).returncode:
        unavailable("the rights of root cannot be taken away here")
    return [*prefix, SCRIPT]
