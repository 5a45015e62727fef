"""Whatever is wrong ends in a typed error that names the object and the fix, and leaves nothing behind.

Each case is tried as a call and as a command: class and builtin base, bucket and key, exit status, message, the
destination as it was.
"""

from __future__ import annotations

import contextlib
import errno
import os
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from support.data import GIB, MIB, write_pattern
from support.strangers import GARBAGE, HTML, HTML_404, HTML_500, closed_port, stranger

import s3z

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from support.command import Command
    from support.servers import FakeS3, Server

#: quick to give up; how patient to be is a setting
HASTY = s3z.TransferConfig(max_attempts=2, connect_timeout=2, read_timeout=2)
HASTY_FLAGS = ("-r", "1", "--connect-timeout", "2s", "--read-timeout", "2s")


@pytest.fixture
def old(tmp_path: Path) -> Iterator[Path]:
    """A destination with something in it, alone in its directory, that must be untouched in the end."""
    directory = tmp_path / "there"
    directory.mkdir()
    path = directory / "file"
    path.write_text("old")
    before = path.stat()
    yield path
    assert path.read_text() == "old"
    after = path.stat()
    assert (after.st_ino, after.st_mtime_ns, after.st_mode) == (before.st_ino, before.st_mtime_ns, before.st_mode)
    assert os.listdir(directory) == ["file"]


@pytest.fixture
def source(tmp_path: Path) -> Path:
    path = tmp_path / "source"
    path.write_bytes(b"hello")
    return path


def _call(client: s3z.Client, name: str, uri: str, destination: Path, source: Path) -> None:
    """One of the calls, by its name."""
    if name == "download":
        client.download(uri, destination)
    elif name == "upload":
        client.upload(source, uri)
    elif name == "list":
        list(client.list(uri))
    else:
        getattr(client, name)(uri)


class TestMissing:
    @pytest.mark.parametrize("key", ["no-such-key", "no/such/key"])
    def test_key(
        self, server: Server, bucket: str, client: s3z.Client, command: Callable[..., Command], old: Path, key: str
    ) -> None:
        uri = f"s3://{bucket}/{key}"
        with pytest.raises(s3z.NotFoundError) as caught:
            client.download(uri, old)
        error = caught.value
        assert isinstance(error, FileNotFoundError)
        assert (error.bucket, error.key, error.code, error.status) == (bucket, key, "NoSuchKey", 404)
        assert error.attempts == 1
        assert uri in str(error)
        outcome = command(server)("cp", uri, str(old), status=1)
        assert outcome.errors[0] == f'ERROR "cp {uri} {old}": given object "{uri}" not found'
        assert len(outcome.errors) == 2
        assert outcome.errors[1].startswith("hint: names are case-sensitive")
        assert outcome.stdout == ""

    def test_bucket(self, server: Server, client: s3z.Client, command: Callable[..., Command], old: Path) -> None:
        with pytest.raises(s3z.NotFoundError) as caught:
            client.download("s3://no-such-bucket-here/k", old)
        assert (caught.value.bucket, caught.value.code, caught.value.status) == (
            "no-such-bucket-here",
            "NoSuchBucket",
            404,
        )
        assert "no-such-bucket-here" in str(caught.value)
        outcome = command(server)("cp", "s3://no-such-bucket-here/k", str(old), status=1)
        assert outcome.errors[0].startswith(f'ERROR "cp s3://no-such-bucket-here/k {old}": NoSuchBucket: ')
        assert "; status code: 404" in outcome.errors[0]
        assert outcome.errors[1].startswith("hint: ")

    @pytest.mark.parametrize("size", [5, 20 * MIB])
    def test_bucket_of_an_upload(
        self, server: Server, client: s3z.Client, command: Callable[..., Command], tmp_path: Path, size: int
    ) -> None:
        source = write_pattern(tmp_path / "source", size)
        with pytest.raises(s3z.NotFoundError) as caught:
            client.upload(source, "s3://no-such-bucket-here/k")
        assert (caught.value.bucket, caught.value.key, caught.value.code) == (
            "no-such-bucket-here",
            "k",
            "NoSuchBucket",
        )
        outcome = command(server)("cp", str(source), "s3://no-such-bucket-here/k", status=1)
        assert "NoSuchBucket" in outcome.errors[0]


class TestNames:
    @pytest.mark.parametrize(
        "uri",
        ["", "k", "/b/k", "s3:/b/k", "s3//b/k", "http://b/k", "S3://b/k", "s3://", "s3:///k", "s3://b c/k", "s3://b\n/k",
         "s3://-b/k", "s3://b?/k", "s3://b*/k", "s3://b@evil/k", "s3://..//k", "s3://b:80/k"],
    )  # fmt: skip
    @pytest.mark.parametrize("call", ["download", "upload", "head", "delete", "list", "exists"])
    def test_malformed_uri(
        self, fake_s3: FakeS3, fake_client: s3z.Client, old: Path, source: Path, uri: str, call: str
    ) -> None:
        with pytest.raises(s3z.ConfigError) as caught:
            _call(fake_client, call, uri, old, source)
        assert isinstance(caught.value, ValueError)
        assert fake_s3.log() == []

    @pytest.mark.parametrize(
        ("uri", "message"),
        [
            ("s3://", "s3 url should have a bucket"),
            ("s3:///k", "s3 url should have a bucket"),
            ("s3://b c/k", "invalid s3 bucket"),
            ("s3://b*/k", "bucket name cannot contain wildcards"),
            ("http://b/k", '"http://" is not a scheme of s3z'),
        ],
    )
    def test_malformed_argument_of_the_command(
        self, fake_s3: FakeS3, command: Callable[..., Command], old: Path, source: Path, uri: str, message: str
    ) -> None:
        run = command(fake_s3)
        outcome = run("cp", uri, str(old), status=1)
        assert outcome.errors[0] == f'ERROR "cp {uri} {old}": {message}'
        outcome = run("cp", str(source), uri, status=1)
        assert outcome.errors[0] == f'ERROR "cp {source} {uri}": {message}'
        assert fake_s3.log() == []

    @pytest.mark.parametrize("uri", ["s3://examples", "s3://examples/"])
    def test_empty_key(self, fake_s3: FakeS3, fake_client: s3z.Client, old: Path, source: Path, uri: str) -> None:
        for call in (
            lambda: fake_client.download(uri, old),
            lambda: fake_client.upload(source, uri),
            lambda: fake_client.head(uri),
            lambda: fake_client.delete(uri),
            lambda: fake_client.delete([uri]),
        ):
            with pytest.raises(s3z.ConfigError, match="s3://examples/KEY") as caught:
                call()
            assert caught.value.bucket == "examples"
        assert fake_s3.log() == []

    @pytest.mark.parametrize("key", [".", "..", "./a", "../a", "a/.", "a/..", "a/./b", "a/../b", "a/../../b"])
    def test_dot_segments(
        self,
        fake_s3: FakeS3,
        fake_client: s3z.Client,
        command: Callable[..., Command],
        old: Path,
        source: Path,
        key: str,
    ) -> None:
        uri = f"s3://examples/{key}"
        for call in (
            lambda: fake_client.download(uri, old),
            lambda: fake_client.upload(source, uri),
            lambda: fake_client.head(uri),
            lambda: fake_client.delete(uri),
        ):
            with pytest.raises(s3z.UnsafeKeyError) as caught:
                call()
            assert isinstance(caught.value, ValueError)
            assert (caught.value.bucket, caught.value.key) == ("examples", key)
            assert f'"{key}"' in str(caught.value)
        run = command(fake_s3)
        for arguments in (("cp", uri, str(old)), ("cp", str(source), uri)):
            outcome = run("--json", *arguments, status=1)
            assert outcome.error_records[0]["error"]["kind"] == "unsafe_key"
        assert fake_s3.log() == []

    @pytest.mark.parametrize("key", ["a...b", "...", ".a", "a.", "..a/b..", "a/...", "a/.b"])
    def test_dots_that_are_no_segment_are_fine(
        self, fake_s3: FakeS3, fake_bucket: str, fake_client: s3z.Client, source: Path, key: str
    ) -> None:
        fake_client.upload(source, f"s3://{fake_bucket}/{key}")
        assert fake_s3.do("keys", bucket=fake_bucket)["keys"] == [key]

    @pytest.mark.parametrize("key", ["dir/", "x" * 256, "a/" + "y" * 256, "nul\0byte"])
    def test_key_without_a_file_name_needs_one(
        self, fake_s3: FakeS3, fake_client: s3z.Client, tmp_path: Path, key: str
    ) -> None:
        (tmp_path / "out").mkdir()
        with pytest.raises(s3z.UnsafeKeyError):
            fake_client.download(f"s3://examples/{key}", tmp_path / "out")
        assert os.listdir(tmp_path / "out") == []

    @pytest.mark.parametrize("value", [None, 7, b"s3://b/k", object()])
    def test_uri_of_another_type(self, fake_client: s3z.Client, old: Path, value: Any) -> None:
        with pytest.raises(TypeError, match="s3://bucket/key"):
            fake_client.download(value, old)

    @pytest.mark.parametrize("value", ["", "nul\0byte", "s3://b/other"])
    def test_destination_that_is_no_path(self, fake_client: s3z.Client, value: str) -> None:
        with pytest.raises(s3z.ConfigError, match="destination"):
            fake_client.download("s3://b/k", value)


class TestKeys:
    def test_none_at_all(self, fake_s3: FakeS3, command: Callable[..., Command], old: Path, source: Path) -> None:
        client = s3z.Client(endpoint_url=fake_s3.endpoint)
        for call in (lambda: client.download("s3://b/k", old), lambda: client.upload(source, "s3://b/k")):
            with pytest.raises(s3z.CredentialsError, match="AWS_ACCESS_KEY_ID"):
                call()
        outcome = command()("--json", "--endpoint-url", fake_s3.endpoint, "cp", "s3://b/k", str(old), status=1)
        assert outcome.error_records[0]["error"]["kind"] == "credentials"
        assert "AWS_ACCESS_KEY_ID" in outcome.error_records[0]["error"]["message"]
        assert fake_s3.log() == []

    @pytest.mark.parametrize("which", ["secret", "id"])
    def test_wrong(
        self, fake_s3: FakeS3, fake_bucket: str, command: Callable[..., Command], old: Path, source: Path, which: str
    ) -> None:
        keys = {**fake_s3.credentials, f"aws_{'secret_access_key' if which == 'secret' else 'access_key_id'}": "wrong"}
        code = "SignatureDoesNotMatch" if which == "secret" else "InvalidAccessKeyId"
        client = fake_s3.client(credentials=keys)
        for call in (
            lambda: client.download(f"s3://{fake_bucket}/k", old),
            lambda: client.upload(source, f"s3://{fake_bucket}/k"),
            lambda: list(client.list(f"s3://{fake_bucket}")),
        ):
            with pytest.raises(s3z.AccessDeniedError) as caught:
                call()
            assert isinstance(caught.value, PermissionError)
            assert (caught.value.bucket, caught.value.code, caught.value.status) == (fake_bucket, code, 403)
        environment = {name.upper(): value for name, value in keys.items()}
        outcome = command(fake_s3)("cp", f"s3://{fake_bucket}/k", str(old), status=1, env=environment)
        assert code in outcome.errors[0]
        assert outcome.errors[1].startswith("hint: check the ")
        assert fake_s3.do("keys", bucket=fake_bucket)["keys"] == []

    def test_wrong_secret_on_versitygw(self, versitygw: Server, old: Path) -> None:
        client = versitygw.client(credentials={**versitygw.credentials, "aws_secret_access_key": "wrong"})
        with pytest.raises(s3z.AccessDeniedError) as caught:
            client.download("s3://bucket/k", old)
        assert caught.value.code == "SignatureDoesNotMatch"

    def test_half_of_a_pair(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("AWS_ACCESS_KEY_ID", "only-the-id")
        with pytest.raises(s3z.CredentialsError, match="AWS_SECRET_ACCESS_KEY"):
            s3z.Client(endpoint_url="http://127.0.0.1:9")


def _no_store(endpoint: str) -> s3z.Client:
    keys = {"aws_access_key_id": "id", "aws_secret_access_key": "secret"}
    return s3z.Client(endpoint_url=endpoint, credentials=keys, config=HASTY)


_KEYS = {"AWS_ACCESS_KEY_ID": "id", "AWS_SECRET_ACCESS_KEY": "secret"}


class TestEndpoint:
    def test_nobody_listens(self, command: Callable[..., Command], old: Path, source: Path) -> None:
        endpoint = closed_port()
        client = _no_store(endpoint)
        for call in (lambda: client.download("s3://b/k", old), lambda: client.upload(source, "s3://b/k")):
            with pytest.raises(s3z.TransferConnectionError) as caught:
                call()
            assert isinstance(caught.value, ConnectionError)
            assert (caught.value.bucket, caught.value.key, caught.value.attempts) == ("b", "k", 2)
        outcome = command()("--endpoint-url", endpoint, *HASTY_FLAGS, "cp", "s3://b/k", str(old), status=1, env=_KEYS)
        assert outcome.errors[0].startswith(f'ERROR "cp s3://b/k {old}": ')
        assert "--endpoint-url" in outcome.errors[1]

    def test_host_that_does_not_exist(self, old: Path) -> None:
        with pytest.raises(s3z.TransferConnectionError, match="host name") as caught:
            _no_store("http://no-such-host.invalid").download("s3://b/k", old)
        assert (caught.value.bucket, caught.value.key) == ("b", "k")

    @pytest.mark.parametrize(
        ("answer", "kind"),
        [
            (HTML, s3z.ServiceError),
            (HTML_404, (s3z.NotFoundError, s3z.ServiceError)),
            (HTML_500, s3z.ServiceError),
            (GARBAGE, (s3z.ServiceError, s3z.TransferConnectionError)),
            (b"", s3z.TransferConnectionError),
        ],
        ids=["html", "html-404", "html-500", "garbage", "closes"],
    )
    @pytest.mark.parametrize("call", ["download", "upload", "head", "list", "delete", "exists"])
    def test_endpoint_that_is_no_s3(
        self, command: Callable[..., Command], old: Path, source: Path, answer: bytes, kind: Any, call: str
    ) -> None:
        with stranger(answer) as endpoint:
            client = _no_store(endpoint)
            if call == "exists" and answer == HTML_404:
                assert not client.exists("s3://b"), "a HEAD has nothing else to tell a 404 by"
                return
            with pytest.raises(kind) as caught:
                _call(client, call, "s3://b" if call in ("list", "exists") else "s3://b/k", old, source)
            assert caught.value.bucket == "b"
            assert "router login" not in str(caught.value)
            if call in ("download", "upload"):
                pair = ("s3://b/k", str(old)) if call == "download" else (str(source), "s3://b/k")
                outcome = command()("--endpoint-url", endpoint, *HASTY_FLAGS, "cp", *pair, status=1, env=_KEYS)
                assert outcome.errors[0].startswith('ERROR "cp ')
                assert "router login" not in outcome.stderr

    def test_one_that_says_nothing(self, old: Path) -> None:
        import socket

        with socket.create_server(("127.0.0.1", 0)) as listener:
            client = _no_store(f"http://127.0.0.1:{listener.getsockname()[1]}")
            with pytest.raises(s3z.TransferTimeoutError) as caught:
                client.download("s3://b/k", old)
        assert isinstance(caught.value, TimeoutError)

    @pytest.mark.parametrize("url", ["127.0.0.1:9000", "ftp://x", "http://", "http://a b", "", "https://user:pw@host"])
    def test_malformed_url(self, url: str) -> None:
        with pytest.raises(s3z.ConfigError) as caught:
            s3z.Client(endpoint_url=url)
        assert "pw@" not in str(caught.value)


class TestWords:
    """Messages name the object (style.md, "Errors and messages"), whatever broke."""

    def test_connection(self, old: Path) -> None:
        with pytest.raises(s3z.TransferConnectionError, match="s3://b/k"):
            _no_store(closed_port()).download("s3://b/k", old)

    def test_host_name(self, old: Path) -> None:
        with pytest.raises(s3z.TransferConnectionError, match=r"no-such-host\.invalid"):
            _no_store("http://no-such-host.invalid").download("s3://b/k", old)

    def test_checksum(self, fake_s3: FakeS3, fake_client: s3z.Client, old: Path) -> None:
        fake_s3.pattern("b", "k", 100)
        fake_s3.rule({"type": "bit_flip", "offset": 7})
        with pytest.raises(s3z.IntegrityError, match="s3://b/k"):
            fake_client.download("s3://b/k", old)

    def test_deadline(self, fake_s3: FakeS3, fake_client: s3z.Client, old: Path) -> None:
        fake_s3.pattern("b", "k", MIB)
        fake_s3.rule({"type": "stall", "after": 1000, "seconds": 60}, operation="GetObject")
        with pytest.raises(s3z.TransferTimeoutError, match="s3://b/k"):
            fake_client.download("s3://b/k", old, deadline=0.3)

    def test_throttled(self, fake_s3: FakeS3, old: Path) -> None:
        fake_s3.rule({"type": "respond", "status": 503, "code": "SlowDown"})
        client = fake_s3.client(config=HASTY)
        with pytest.raises(s3z.ThrottledError, match="s3://b/k") as caught:
            client.download("s3://b/k", old)
        assert (caught.value.code, caught.value.status, caught.value.attempts) == ("SlowDown", 503, 2)


class TestDestination:
    def test_is_a_directory_that_cannot_take_the_name(
        self, fake_s3: FakeS3, fake_client: s3z.Client, tmp_path: Path
    ) -> None:
        fake_s3.put("b", "k", b"hello")
        (tmp_path / "out/k").mkdir(parents=True)
        with pytest.raises(IsADirectoryError) as caught:
            fake_client.download("s3://b/k", tmp_path / "out")
        assert os.fsdecode(caught.value.filename) == str(tmp_path / "out/k")
        assert fake_s3.log() == []

    def test_parent_is_a_file(
        self, fake_s3: FakeS3, fake_client: s3z.Client, command: Callable[..., Command], old: Path
    ) -> None:
        fake_s3.put("b", "k", b"hello")
        with pytest.raises(NotADirectoryError) as caught:
            fake_client.download("s3://b/k", old / "below")
        assert caught.value.errno == errno.ENOTDIR
        outcome = command(fake_s3)("--json", "cp", "s3://b/k", f"{old}/below", status=1)
        error = outcome.error_records[0]["error"]
        assert (error["kind"], error["errno"]) == ("local_io", errno.ENOTDIR)
        assert fake_s3.log() == []

    def test_is_a_socket(self, fake_s3: FakeS3, fake_client: s3z.Client, tmp_path: Path) -> None:
        import socket

        fake_s3.put("b", "k", b"hello")
        with socket.socket(socket.AF_UNIX) as listener, contextlib.chdir(tmp_path):
            listener.bind("socket")
            with pytest.raises(OSError, match="socket") as caught:
                fake_client.download("s3://b/k", "socket")
        assert not isinstance(caught.value, s3z.S3zError)
        assert caught.value.errno is not None
        assert fake_s3.log() == []

    @pytest.mark.parametrize("as_command", [False, True])
    def test_unwritable(self, fake_s3: FakeS3, tmp_path: Path, as_command: bool) -> None:
        """F2: the refusal comes before any byte is fetched. Root ignores modes, so root is put aside."""
        fake_s3.put("b", "k", b"hello")
        locked = tmp_path / "locked"
        locked.mkdir()
        (locked / "k").write_text("old")
        locked.chmod(0o555)
        outcome = _unprivileged(fake_s3, tmp_path, locked / "k", as_command=as_command)
        if as_command:
            assert outcome.returncode == 1, outcome
            first = outcome.stderr.splitlines()[0]
            assert first.startswith(f'ERROR "cp s3://b/k {locked}/k": "{locked}'), outcome.stderr
            assert first.endswith("permission denied")
        else:
            assert outcome.stdout.split() == ["PermissionError", "13", str(locked)], outcome
        assert (locked / "k").read_text() == "old"
        assert os.listdir(locked) == ["k"]
        assert fake_s3.log() == []

    @pytest.mark.parametrize("size", [12 * MIB, 40 * MIB])
    def test_full(
        self, fake_s3: FakeS3, fake_client: s3z.Client, command: Callable[..., Command], small_disk: Path, size: int
    ) -> None:
        """#55: the error is the kernel's, the old file stays, nothing else does, little was fetched."""
        fake_s3.pattern("b", "k", size)
        (small_disk / "k").write_text("old")
        with pytest.raises(OSError, match="No space left") as caught:
            fake_client.download("s3://b/k", small_disk / "k")
        assert caught.value.errno == errno.ENOSPC
        assert os.fsdecode(caught.value.filename).startswith(str(small_disk))
        assert not isinstance(caught.value, s3z.S3zError)
        outcome = command(fake_s3)("cp", "s3://b/k", str(small_disk / "k"), status=1)
        assert outcome.errors[0].endswith("no space left on device")
        assert os.listdir(small_disk) == ["k"]
        assert (small_disk / "k").read_text() == "old"

    def test_file_size_limit(self, fake_s3: FakeS3, tmp_path: Path) -> None:
        """#56: EFBIG is an error, and SIGXFSZ no death."""
        fake_s3.pattern("b", "k", 4 * MIB)
        code = (
            "import errno, resource, s3z, sys\n"
            "resource.setrlimit(resource.RLIMIT_FSIZE, (1 << 20, 1 << 20))\n"
            "try: s3z.download('s3://b/k', 'k')\n"
            "except OSError as error: print(errno.errorcode[error.errno])\n"
        )
        done = _python(code, tmp_path, fake_s3.environment())
        assert done.stdout.strip() == "EFBIG", done
        assert sorted(os.listdir(tmp_path)) == [".home"]


def _python(
    code: str, directory: Path, environment: dict[str, str], **changes: Any
) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", code],
        cwd=directory,
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
        **changes,
    )


def _unprivileged(
    server: FakeS3, directory: Path, destination: Path, *, as_command: bool
) -> subprocess.CompletedProcess[str]:
    """Download `s3://b/k` as nobody, whoever runs the tests."""
    for parent in (directory, *directory.parents):
        if parent.stat().st_uid == os.getuid() and parent != Path("/") and not parent.stat().st_mode & 0o001:
            parent.chmod(parent.stat().st_mode | 0o011)
    what = (
        "import sys; from s3z.__main__ import main\nsys.argv = ['s3z', 'cp', 's3://b/k', where]\nsys.exit(main())\n"
        if as_command
        else "try: s3z.download('s3://b/k', where)\n"
        "except OSError as error: print(type(error).__name__, error.errno, os.fsdecode(error.filename))\n"
    )
    # Loaded before root is given up: the checkout may be closed to others.
    code = (
        "import os, s3z, s3z._client, s3z._cli.cp, s3z._cli._parser, s3z._cli._printer, s3z._cli._context\n"
        "import s3z._cli._failures, s3z._cli._exit, s3z._cli._help, s3z._cli._limits, s3z._types, s3z._api\n"
        "import encodings.idna, resource, traceback\n"
        "s3z.Client(), s3z._cli._parser.parse(['cp', 'a', 'b'])\n"
        f"where = {str(destination)!r}\n"
        "if os.getuid() == 0: os.setgroups([]); os.setgid(65534); os.setuid(65534)\n"
    )
    return _python(code + what, directory, server.environment())


class TestSource:
    def test_missing(
        self, fake_s3: FakeS3, fake_client: s3z.Client, command: Callable[..., Command], tmp_path: Path
    ) -> None:
        with pytest.raises(FileNotFoundError) as caught:
            fake_client.upload(tmp_path / "nothing", "s3://b/k")
        assert (caught.value.errno, caught.value.filename) == (errno.ENOENT, str(tmp_path / "nothing"))
        assert not isinstance(caught.value, s3z.S3zError)
        outcome = command(fake_s3)("cp", "nothing", "s3://b/k", status=1)
        assert outcome.errors[0] == 'ERROR "cp nothing s3://b/k": given object "nothing" not found'
        assert fake_s3.log() == []

    def test_directory(
        self, fake_s3: FakeS3, fake_client: s3z.Client, command: Callable[..., Command], tmp_path: Path
    ) -> None:
        (tmp_path / "dir").mkdir()
        with pytest.raises(IsADirectoryError) as caught:
            fake_client.upload(tmp_path / "dir", "s3://b/k")
        assert (caught.value.errno, caught.value.filename) == (errno.EISDIR, str(tmp_path / "dir"))
        outcome = command(fake_s3)("cp", "dir", "s3://b/k", status=1)
        assert outcome.errors[0] == 'ERROR "cp dir s3://b/k": target "s3://b/k" must be a bucket or a prefix'
        assert fake_s3.log() == []

    def test_no_regular_file(
        self, fake_s3: FakeS3, fake_client: s3z.Client, command: Callable[..., Command], tmp_path: Path
    ) -> None:
        os.mkfifo(tmp_path / "fifo")
        with pytest.raises(OSError, match="not a regular file"):
            fake_client.upload(tmp_path / "fifo", "s3://b/k")
        outcome = command(fake_s3)("cp", "fifo", "s3://b/k", status=1)
        assert outcome.errors[0] == 'ERROR "cp fifo s3://b/k": object "fifo" is not a regular file'
        assert fake_s3.log() == []

    def test_unreadable(self, fake_s3: FakeS3, tmp_path: Path) -> None:
        (tmp_path / "secret").write_text("x")
        (tmp_path / "secret").chmod(0)
        for parent in (tmp_path, *tmp_path.parents):
            if parent.stat().st_uid == os.getuid() and parent != Path("/") and not parent.stat().st_mode & 0o001:
                parent.chmod(parent.stat().st_mode | 0o011)
        code = (
            "import os, s3z, s3z._client, s3z._api, s3z._types, encodings.idna\n"
            "s3z.Client()\n"
            "if os.getuid() == 0: os.setgroups([]); os.setgid(65534); os.setuid(65534)\n"
            "try: s3z.upload('secret', 's3://b/k')\n"
            "except PermissionError as error: print(error.errno, os.fsdecode(error.filename))\n"
        )
        done = _python(code, tmp_path, fake_s3.environment())
        assert done.stdout.split() == ["13", "secret"], done
        assert fake_s3.log() == []

    @pytest.mark.parametrize("value", [None, 7, object()])
    def test_of_another_type(self, fake_client: s3z.Client, value: Any) -> None:
        with pytest.raises(TypeError, match="source must be a path, bytes-like"):
            fake_client.upload(value, "s3://b/k")


class TestPartSize:
    @pytest.mark.parametrize("size", [0, -1, 5 * GIB + 1, 1 << 70])
    def test_out_of_range(self, fake_s3: FakeS3, fake_client: s3z.Client, old: Path, source: Path, size: int) -> None:
        for call in (
            lambda: fake_client.download("s3://b/k", old, part_size=size),
            lambda: fake_client.upload(source, "s3://b/k", part_size=size),
            lambda: s3z.TransferConfig(part_size=size),
            lambda: fake_s3.client(config=s3z.TransferConfig(part_size=size)),
        ):
            with pytest.raises(s3z.ConfigError, match="part_size") as caught:
                call()
            assert isinstance(caught.value, ValueError)
        assert fake_s3.log() == []

    @pytest.mark.parametrize("text", ["0", "-1", "6G", "5121", "5G1", "lots", ""])
    @pytest.mark.parametrize("direction", ["down", "up"])
    def test_out_of_range_on_the_command_line(
        self, fake_s3: FakeS3, command: Callable[..., Command], old: Path, source: Path, text: str, direction: str
    ) -> None:
        pair = ("s3://b/k", str(old)) if direction == "down" else (str(source), "s3://b/k")
        outcome = command(fake_s3)("cp", f"--part-size={text}", *pair, status=2)
        assert outcome.errors[0].startswith('ERROR "cp": option "--part-size": ')
        assert fake_s3.log() == []

    def test_below_5_mib_is_refused_for_uploads_only(
        self,
        fake_s3: FakeS3,
        fake_bucket: str,
        fake_client: s3z.Client,
        command: Callable[..., Command],
        tmp_path: Path,
    ) -> None:
        source = write_pattern(tmp_path / "source", 20 * MIB)
        with pytest.raises(s3z.ConfigError, match="part_size"):
            fake_client.upload(source, f"s3://{fake_bucket}/k", part_size=5 * MIB - 1)
        outcome = command(fake_s3)("cp", "-p", "4", str(source), f"s3://{fake_bucket}/k", status=2)
        assert outcome.errors[0] == 'ERROR "cp": option "--part-size": at least 5M for uploads'
        assert fake_s3.log() == []

    def test_too_many_parts_names_the_smallest_size_that_does(
        self, fake_s3: FakeS3, fake_bucket: str, fake_client: s3z.Client, tmp_path: Path
    ) -> None:
        with (tmp_path / "sparse").open("wb") as file:
            file.truncate(5 * MIB * 10_000 + 1)
        with pytest.raises(s3z.ConfigError, match="part_size") as caught:
            fake_client.upload(tmp_path / "sparse", f"s3://{fake_bucket}/k", part_size=5 * MIB)
        assert any(word in str(caught.value) for word in ("6 MiB", "6MiB", "6M", str(6 * MIB), str(5 * MIB + 1)))
        assert fake_s3.log() == []

    def test_largest_that_is_allowed(self, fake_s3: FakeS3, fake_client: s3z.Client, tmp_path: Path) -> None:
        fake_s3.pattern("b", "k", 3 * MIB)
        assert fake_client.download("s3://b/k", tmp_path / "k", part_size=5 * GIB).bytes == 3 * MIB


class TestOptions:
    @pytest.mark.parametrize(
        "options",
        [{"verify": "perhaps"}, {"on_change": "ignore"}, {"direct_io": "maybe"}, {"max_concurrency": 0},
         {"max_concurrency": -1}, {"deadline": -1.0}, {"deadline": float("nan")}],
        ids=str,
    )  # fmt: skip
    def test_of_a_download(self, fake_s3: FakeS3, fake_client: s3z.Client, old: Path, options: dict[str, Any]) -> None:
        with pytest.raises(s3z.ConfigError, match=next(iter(options))):
            fake_client.download("s3://b/k", old, **options)
        assert fake_s3.log() == []

    @pytest.mark.parametrize(
        "options",
        [{"checksum": "md4"}, {"metadata": {"a": "b\r\nx: y"}}, {"metadata": {"a b": "c"}}, {"content_type": "a\nb"},
         {"max_concurrency": 0}, {"deadline": -1.0}],
        ids=str,
    )  # fmt: skip
    def test_of_an_upload(
        self, fake_s3: FakeS3, fake_client: s3z.Client, source: Path, options: dict[str, Any]
    ) -> None:
        with pytest.raises(s3z.ConfigError):
            fake_client.upload(source, "s3://b/k", **options)
        assert fake_s3.log() == []

    def test_progress_that_is_nothing(self, fake_s3: FakeS3, fake_client: s3z.Client, old: Path) -> None:
        with pytest.raises(TypeError, match="progress"):
            fake_client.download("s3://b/k", old, progress=7)
        assert fake_s3.log() == []
