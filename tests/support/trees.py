"""Many objects and files at once: putting them somewhere, at a given time, and looking at what is there."""

from __future__ import annotations

import base64
import contextlib
import ctypes
import json
import os
import socket
import threading
import time
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import subprocess
    from collections.abc import Iterable, Iterator
    from pathlib import Path

    from support.servers import FakeS3, Server

#: an hour in which all that is made at a given time lies, a day ago and whole
PAST = int(time.time()) - 86_400

_DROP_FROM_BOUNDING_SET = 24
_DAC_OVERRIDE, _DAC_READ_SEARCH = 1, 2


def write_tree(directory: Path, files: dict[str, str], when: float | None = PAST) -> Path:
    """Files below a directory, with one mtime."""
    directory.mkdir(parents=True, exist_ok=True)
    for name, content in files.items():
        path = directory / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(content)
        if when is not None:
            os.utime(path, (when, when))
    return directory


def read_tree(directory: Path) -> dict[str, str]:
    """Content of every file below a directory, by its relative path."""
    found = {}
    for parent, _, names in os.walk(directory):
        for name in names:
            path = os.path.join(parent, name)
            with open(path, encoding="utf-8", errors="surrogateescape") as file:
                found[os.path.relpath(path, directory)] = file.read()
    return found


def put_tree(server: Server, bucket: str, objects: dict[str, str]) -> None:
    """Objects, by boto3."""
    for key, content in objects.items():
        server.boto3.put_object(Bucket=bucket, Key=key, Body=content.encode())


def keys(server: Server, bucket: str) -> list[str]:
    """All keys, in the order listed."""
    pages = server.boto3.get_paginator("list_objects_v2").paginate(Bucket=bucket)
    return [each["Key"] for page in pages for each in page.get("Contents", [])]


def objects(server: Server, bucket: str) -> dict[str, str]:
    """Content of every object, by its key."""
    found = {}
    for key in keys(server, bucket):
        body = server.boto3.get_object(Bucket=bucket, Key=key)["Body"].read()
        found[key] = body.decode("utf-8", "surrogateescape")
    return found


def fill(server: FakeS3, bucket: str, names: Iterable[str], data: bytes = b"") -> None:
    """Many objects of the same content; a second for some hundred thousand."""
    host, port = server.info["control"].split(":")
    encoded, names = base64.b64encode(data).decode(), list(names)

    def send() -> None:
        with connection.makefile("wb") as file:
            for name in names:
                order = {"command": "put", "bucket": bucket, "key": name, "data": encoded}
                file.write(json.dumps(order).encode() + b"\n")

    with socket.create_connection((host, int(port)), timeout=60) as connection, connection.makefile("rb") as answers:
        thread = threading.Thread(target=send)
        thread.start()
        try:
            for _ in names:
                assert json.loads(answers.readline())["ok"]
        finally:
            thread.join()


def put_at(server: FakeS3, bucket: str, key: str, data: bytes, when: int) -> None:
    """An object whose LastModified is exactly `when`."""
    for _ in range(10):
        shift = when - int(time.time())
        server.do("shift_clock", seconds=shift)
        server.put(bucket, key, data)
        server.do("shift_clock", seconds=0)
        if modified(server, bucket, key) == when:
            return
    raise AssertionError("the second changed each time")


def modified(server: Server, bucket: str, key: str) -> int:
    """LastModified of an object, in seconds."""
    return int(server.boto3.head_object(Bucket=bucket, Key=key)["LastModified"].timestamp())


def deletions(server: FakeS3) -> list[dict[str, Any]]:
    """Requests that delete an object."""
    return [record for record in server.log() if record["operation"] in ("DeleteObject", "DeleteObjects")]


def changes(server: FakeS3) -> list[dict[str, Any]]:
    """Requests that change anything."""
    return [record for record in server.log() if record["method"] not in ("GET", "HEAD")]


@contextlib.contextmanager
def ended(process: subprocess.Popen[bytes]) -> Iterator[subprocess.Popen[bytes]]:
    """Whatever goes wrong inside, nothing of the process is left."""
    try:
        yield process
    finally:
        if process.poll() is None:
            process.kill()
        process.wait()
        for stream in (process.stdin, process.stdout, process.stderr):
            if stream is not None:
                stream.close()


def honour_modes() -> None:
    """Before exec in a child: the modes of files and directories hold for root too."""
    libc = ctypes.CDLL(None, use_errno=True)
    for capability in (_DAC_OVERRIDE, _DAC_READ_SEARCH):
        libc.prctl(_DROP_FROM_BOUNDING_SET, capability, 0, 0, 0)
