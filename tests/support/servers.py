"""The servers under test, each a child process on a free loopback port that ends with the test run.

`fake-s3` is ours and checks signatures; `moto` is what people test with; `versitygw` is a real gateway that we did not
write. The latter two keep s3z from being tested against its own misreading of S3.
"""

from __future__ import annotations

import base64
import contextlib
import ctypes
import http.client
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

import boto3
import botocore.client
import botocore.config
import pytest

import s3z

ROOT = Path(__file__).resolve().parents[2]
VERSITYGW = "github.com/versity/versitygw/cmd/versitygw@v1.8.0"
#: read once: the tests themselves see another HOME
_CACHE = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "s3z-test"
_ENVIRONMENT = {name: value for name, value in os.environ.items() if not name.startswith(("AWS_", "S3Z_"))}


class MissingError(Exception):
    """A server cannot be had on this machine."""


def die_with_parent() -> None:
    """Before exec in a child: the kernel ends it when the test run is gone, however that ended."""
    ctypes.CDLL(None).prctl(1, signal.SIGTERM)


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return int(listener.getsockname()[1])


class Server:
    """Where a store is, and the keys it takes."""

    def __init__(self, name: str, endpoint: str, access_key: str, secret_key: str, region: str = "us-east-1") -> None:
        self.name = name
        self.endpoint = endpoint
        self.access_key = access_key
        self.secret_key = secret_key
        self.region = region
        self._boto3: Any = None

    @property
    def address(self) -> tuple[str, int]:
        host, port = self.endpoint.rpartition("//")[2].split(":")
        return host, int(port)

    @property
    def credentials(self) -> dict[str, str]:
        return {"aws_access_key_id": self.access_key, "aws_secret_access_key": self.secret_key}

    @property
    def boto3(self) -> Any:
        """A boto3 client, made once."""
        if self._boto3 is None:
            self._boto3 = self.new_boto3()
        return self._boto3

    def new_boto3(self, **config: Any) -> Any:
        settings = {"retries": {"max_attempts": 2}, "s3": {"addressing_style": "path"}, **config}
        return boto3.client(
            "s3",
            endpoint_url=self.endpoint,
            region_name=self.region,
            **self.credentials,
            config=botocore.config.Config(**settings),
        )

    def client(self, **changes: Any) -> s3z.Client:
        """An s3z client for this server."""
        arguments: dict[str, Any] = {
            "endpoint_url": self.endpoint,
            "region": self.region,
            "credentials": self.credentials,
        }
        return s3z.Client(**{**arguments, **changes})

    def environment(self) -> dict[str, str]:
        """What the command and a default client need to find this server."""
        return {
            "AWS_ACCESS_KEY_ID": self.access_key,
            "AWS_SECRET_ACCESS_KEY": self.secret_key,
            "AWS_REGION": self.region,
            "AWS_ENDPOINT_URL": self.endpoint,
        }

    def open_uploads(self, bucket: str) -> list[str]:
        """Keys with a multipart upload that is neither complete nor aborted."""
        found = self.boto3.list_multipart_uploads(Bucket=bucket).get("Uploads", [])
        return [upload["Key"] for upload in found]

    def __repr__(self) -> str:
        return f"<{self.name} {self.endpoint}>"


class FakeS3(Server):
    """fake-s3 and its control port."""

    def __init__(self, *flags: str) -> None:
        self.process = subprocess.Popen(
            [fake_s3_binary(), "--quiet", *flags],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env=_ENVIRONMENT,
            preexec_fn=die_with_parent,
            start_new_session=True,
        )
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        if not line:
            raise RuntimeError(f"fake-s3 did not start (status {self.process.wait()})")
        self.info: dict[str, Any] = json.loads(line)
        super().__init__(
            "fake-s3",
            self.info["endpoint"],
            self.info["access_key"],
            self.info["secret_key"],
            self.info["region"],
        )
        host, port = self.info["control"].split(":")
        self._control = socket.create_connection((host, int(port)), timeout=60)
        self._lines = self._control.makefile("rw")
        self._lock = threading.Lock()

    @property
    def pid(self) -> int:
        return self.process.pid

    def do(self, command: str, **fields: Any) -> dict[str, Any]:
        """One command of the control port."""
        with self._lock:
            self._lines.write(json.dumps({"command": command, **fields}) + "\n")
            self._lines.flush()
            answer: dict[str, Any] = json.loads(self._lines.readline())
        if not answer["ok"]:
            raise RuntimeError(f"fake-s3 refused {command}: {answer['error']}")
        return answer

    def rule(self, action: dict[str, Any], times: int | None = None, **match: Any) -> None:
        """A fault for the requests that match."""
        self.do("add_rule", rule={"match": match, "action": action, "times": times})

    def switch(self, **switches: Any) -> None:
        self.do("set", switches=switches)

    def pattern(self, bucket: str, key: str, size: int, seed: int = 1, **more: Any) -> None:
        """An object of any size that needs no storage."""
        self.do("put_pattern", bucket=bucket, key=key, size=size, seed=seed, **more)

    def put(self, bucket: str, key: str, data: bytes) -> None:
        self.do("put", bucket=bucket, key=key, data=base64.b64encode(data).decode())

    def log(self, **filters: Any) -> list[dict[str, Any]]:
        records: list[dict[str, Any]] = self.do("log", **filters)["records"]
        return records

    def wait_for_log(self, count: int = 1, seconds: float = 20, **filters: Any) -> list[dict[str, Any]]:
        """The records, once there are so many."""
        end = time.monotonic() + seconds
        while len(records := self.log(**filters)) < count:
            assert time.monotonic() < end, f"{len(records)} of {count} requests came: {filters}"
            time.sleep(0.005)
        return records

    def uploads(self) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = self.do("open_uploads")["uploads"]
        return found

    def stop(self) -> None:
        self._lines.close()
        self._control.close()
        stop(self.process)


def stop(process: subprocess.Popen[bytes]) -> None:
    """End a server that ends when its stdin does, or is told to."""
    for stream in (process.stdin, process.stdout):
        if stream is not None:
            stream.close()
    with contextlib.suppress(ProcessLookupError):
        process.terminate()
    try:
        process.wait(timeout=10)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def fake_s3_binary() -> str:
    """FAKE_S3_BIN, or the newest build."""
    if named := os.environ.get("FAKE_S3_BIN"):
        return named
    target = Path(os.environ.get("CARGO_TARGET_DIR", ROOT / "target"))
    built = [path for kind in ("release", "debug") if (path := target / kind / "fake-s3").exists()]
    if not built:
        raise RuntimeError("fake-s3 is not built: make servers")
    return str(max(built, key=lambda path: path.stat().st_mtime))


_MOTO = """
import logging, sys
import moto.s3.models, moto.s3.utils
from moto.server import ThreadedMotoServer

# Without awscrt moto stores a CRC32 under the name of CRC64NVME. Better that it stores none.
if not moto.s3.utils.HAS_CRT:
    builder = moto.s3.models.MultipartChecksumBuilder
    build = builder.build
    builder.build = lambda self: None if self.checksum_algorithm == "CRC64NVME" else build(self)
logging.getLogger("werkzeug").disabled = True
server = ThreadedMotoServer("127.0.0.1", 0, verbose=False)
server.start()
print(*server.get_host_and_port(), flush=True)
sys.stdin.read()
server.stop()
"""


def start_moto() -> tuple[Server, subprocess.Popen[bytes]]:
    """moto in a process of its own, so that it does not share the GIL of the tests."""
    process = subprocess.Popen(
        [sys.executable, "-c", _MOTO],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        env=_ENVIRONMENT,
        preexec_fn=die_with_parent,
        start_new_session=True,
    )
    assert process.stdout is not None
    line = process.stdout.readline().decode().split()
    if not line:
        raise RuntimeError(f"moto did not start (status {process.wait()})")
    return Server("moto", f"http://{line[0]}:{line[1]}", "moto-access", "moto-secret"), process


def versitygw_binary() -> Path:
    """The gateway, built on first use into a cache outside the checkout.

    Raises:
        MissingError: there is no Go, or it cannot build it.
    """
    binary = _CACHE / "bin" / "versitygw"
    marker = binary.with_name("versitygw.version")
    if binary.exists() and marker.exists() and marker.read_text() == VERSITYGW:
        return binary
    go = shutil.which("go")
    if go is None:
        raise MissingError("versitygw needs go to be built")
    binary.parent.mkdir(parents=True, exist_ok=True)
    environment = {**_ENVIRONMENT, "GOBIN": str(binary.parent)}
    built = subprocess.run([go, "install", VERSITYGW], capture_output=True, text=True, env=environment, check=False)
    if built.returncode:
        raise MissingError(f"versitygw could not be built: {built.stderr[-300:]}")
    marker.write_text(VERSITYGW)
    return binary


def start_versitygw(directory: Path) -> tuple[Server, subprocess.Popen[bytes]]:
    """The gateway over a directory; metadata beside it where the file system has no extended attributes."""
    binary, port = versitygw_binary(), free_port()
    root, metadata = directory / "root", directory / "metadata"
    root.mkdir()
    beside: list[str] = []
    try:
        os.setxattr(root, "user.s3z-test", b"1")
        os.removexattr(root, "user.s3z-test")
    except OSError:
        metadata.mkdir()
        beside = ["--sidecar", str(metadata)]
    server = Server("versitygw", f"http://127.0.0.1:{port}", "versity-access", "versity-secret")
    process = subprocess.Popen(
        [
            str(binary), "--quiet", "--port", f"127.0.0.1:{port}", "--access", server.access_key,
            "--secret", server.secret_key, "--region", server.region, "posix", *beside, str(root),
        ],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        env=_ENVIRONMENT,
        preexec_fn=die_with_parent,
        start_new_session=True,
    )  # fmt: skip
    wait_for(server.address, process)
    return server, process


def wait_for(address: tuple[str, int], process: subprocess.Popen[bytes], seconds: float = 30) -> None:
    """Until a server answers HTTP."""
    end = time.monotonic() + seconds
    while True:
        if process.poll() is not None:
            raise RuntimeError(f"the server ended with status {process.returncode}")
        connection = http.client.HTTPConnection(*address, timeout=5)
        try:
            connection.request("GET", "/")
            connection.getresponse().read()
            return
        except OSError:
            if time.monotonic() > end:
                raise
            time.sleep(0.05)
        finally:
            connection.close()


def unavailable(reason: str) -> None:
    """Skip where people work; fail where nobody would see the skip."""
    if os.environ.get("CI"):
        pytest.fail(f"{reason}, and CI must have it")
    pytest.skip(reason)
