"""Fixtures of all tests: three servers, a bucket of one's own, a clean environment, and a look for leaks."""

from __future__ import annotations

import itertools
import os
import re
import shutil
import signal
import subprocess
from typing import TYPE_CHECKING

import pytest
from support.command import Command
from support.data import MIB, leftovers
from support.servers import FakeS3, MissingError, Server, start_moto, start_versitygw, stop, unavailable

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    import s3z

# A run under nohup, or a CI without a terminal, would hand its ignored SIGHUP down to every command tested here.
signal.signal(signal.SIGHUP, signal.SIG_DFL)

_OURS = re.compile(r"AWS_|S3Z_|S3_ENDPOINT_URL$|(REQUESTS_CA_BUNDLE|CURL_CA_BUNDLE|SSL_CERT_FILE)$|NO_COLOR$")
_PROXY = re.compile(r"(https?|all|no)_proxy$", re.IGNORECASE)
_numbers = itertools.count(1)
_running: list[FakeS3] = []


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line(
        "markers", "slow: moves gigabytes over the disk, half a minute; `-m 'not slow'` leaves it out"
    )


@pytest.fixture(autouse=True)
def clean_environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No setting and no file of whoever runs the tests has a say, and none of theirs is touched."""
    for name in os.environ:
        if _OURS.match(name) or _PROXY.match(name):
            monkeypatch.delenv(name)
    home = tmp_path / ".home"
    home.mkdir()
    monkeypatch.setenv("HOME", str(home))
    monkeypatch.setenv("XDG_STATE_HOME", str(home / "state"))
    monkeypatch.setenv("XDG_CONFIG_HOME", str(home / "config"))
    monkeypatch.setenv("XDG_CACHE_HOME", str(home / "cache"))
    # Without keys botocore would ask an address outside this machine.
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")


@pytest.fixture(autouse=True)
def no_leaks(tmp_path: Path) -> Iterator[None]:
    """T8: after each test fake-s3 has no open upload, and no temporary file of ours is left."""
    yield
    for server in _running:
        open_uploads = server.uploads()
        server.do("clear_rules")
        if open_uploads:
            server.do("reset")
        assert not open_uploads, f"multipart uploads were left open: {open_uploads}"
    assert not leftovers(tmp_path)
    # pytest keeps the directories of three runs; what is in them need not be gigabytes.
    for path in tmp_path.rglob("*"):
        if not path.is_symlink() and path.is_file() and path.stat().st_size > MIB:
            path.unlink()


@pytest.fixture(scope="session")
def fake_s3_session() -> Iterator[FakeS3]:
    server = FakeS3()
    _running.append(server)
    yield server
    _running.remove(server)
    server.stop()


@pytest.fixture
def fake_s3(fake_s3_session: FakeS3) -> Iterator[FakeS3]:
    """fake-s3 without a bucket, a rule, or a record of what came before."""
    fake_s3_session.do("reset")
    fake_s3_session._boto3 = None
    return fake_s3_session


@pytest.fixture(scope="session")
def moto() -> Iterator[Server]:
    server, process = start_moto()
    yield server
    stop(process)


@pytest.fixture(scope="session")
def versitygw(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    try:
        directory = tmp_path_factory.mktemp("versitygw")
        server, process = start_versitygw(directory)
    except MissingError as error:
        unavailable(str(error))
    yield server
    stop(process)
    shutil.rmtree(directory)


@pytest.fixture(params=["fake_s3", "moto", "versitygw"])
def server(request: pytest.FixtureRequest) -> Server:
    """Each of the three servers in turn."""
    found: Server = request.getfixturevalue(request.param)
    return found


def _make_bucket(server: Server) -> str:
    name = f"bucket-{os.getpid()}-{next(_numbers)}"
    server.boto3.create_bucket(Bucket=name)
    return name


@pytest.fixture
def bucket(server: Server) -> str:
    """A new bucket on `server`."""
    return _make_bucket(server)


@pytest.fixture
def fake_bucket(fake_s3: FakeS3) -> str:
    """A new bucket on fake-s3."""
    fake_s3.do("create_bucket", bucket="examples")
    return "examples"


@pytest.fixture
def client(server: Server) -> s3z.Client:
    """An s3z client for `server`."""
    return server.client()


@pytest.fixture
def fake_client(fake_s3: FakeS3) -> s3z.Client:
    """An s3z client for fake-s3."""
    return fake_s3.client()


@pytest.fixture
def command(tmp_path: Path) -> Callable[[Server | None], Command]:
    """Makes runners of `s3z` in `tmp_path`, with the environment of a server."""
    return lambda server=None: Command(tmp_path, server.environment() if server else {})


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 8 MiB."""
    directory = tmp_path / "small"
    directory.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=8m", "tmpfs", str(directory)], capture_output=True, text=True, check=False
    )
    if mounted.returncode:
        pytest.skip(f"a small disk cannot be mounted here: {mounted.stderr.strip()}")
    try:
        yield directory
    finally:
        subprocess.run(["umount", str(directory)], check=True)


@pytest.fixture
def out(request: pytest.FixtureRequest, fake_s3: FakeS3, tmp_path: Path) -> Path:
    """A directory to download `s3://b/k` into, whose size is the module's."""
    fake_s3.put("b", "warm", b"warm")
    fake_s3.pattern("b", "k", request.module.SIZE)
    (tmp_path / "out").mkdir()
    return tmp_path / "out"
