"""`s3z presign` and `presign` of the library: a URL that works, ends, and carries the version."""

from __future__ import annotations

import re
import urllib.error
import urllib.parse
import urllib.request
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest
from support.strangers import closed_port

import s3z

if TYPE_CHECKING:
    from collections.abc import Callable

    from support.command import Command
    from support.servers import FakeS3, Server


def fetch(url: str) -> tuple[int, bytes]:
    """Status and body, as anybody gets them."""
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    try:
        with opener.open(url, timeout=30) as answer:
            return answer.status, answer.read()
    except urllib.error.HTTPError as error:
        with error:
            return error.code, error.read()


def query(url: str) -> dict[str, str]:
    return dict(urllib.parse.parse_qsl(urllib.parse.urlsplit(url).query))


class TestCommand:
    @pytest.mark.parametrize("key", ["a.txt", "p/a b+c%20#?.txt", "ü/ä", "a//b", "x=y&z"])
    def test_the_url_works(self, key: str, server: Server, bucket: str, command: Callable[..., Command]) -> None:
        if server.name == "versitygw" and "//" in key:
            pytest.skip("its keys are paths")
        server.boto3.put_object(Bucket=bucket, Key=key, Body=b"hello")
        outcome = command(server)("presign", "--raw", f"s3://{bucket}/{key}")
        [url] = outcome.lines
        assert outcome.stderr == ""
        assert query(url)["X-Amz-Expires"] == "10800"
        assert fetch(url) == (200, b"hello")

    def test_record(self, fake_s3: FakeS3, command: Callable[..., Command]) -> None:
        fake_s3.put("b", "k", b"hello")
        run = command(fake_s3)
        [record] = run("--json", "presign", "--expire", "15m", "s3://b/k").records
        assert list(record) == ["operation", "success", "source", "url", "expires_at"]
        assert (record["operation"], record["success"], record["source"]) == ("presign", True, "s3://b/k")
        signed = datetime.strptime(query(record["url"])["X-Amz-Date"], "%Y%m%dT%H%M%SZ").replace(tzinfo=UTC)
        assert datetime.fromisoformat(record["expires_at"]) == signed + timedelta(minutes=15)
        assert fetch(record["url"]) == (200, b"hello")

    @pytest.mark.parametrize(
        ("flags", "seconds"),
        [
            ([], "10800"), (["--expire", "90"], "90"), (["--expires-in=1h30m"], "5400"), (["--expire=7d"], "604800"),
            (["--expire=604800"], "604800"), (["-expire", "1"], "1"), (["--expire", "1.9s"], "1"),
        ],
    )  # fmt: skip
    def test_expiry(self, flags: list[str], seconds: str, fake_s3: FakeS3, command: Callable[..., Command]) -> None:
        [url] = command(fake_s3)("presign", *flags, "s3://b/k").lines
        assert query(url)["X-Amz-Expires"] == seconds

    @pytest.mark.parametrize("value", ["0", "0.5s", "7d1s", "604801", "8d", "-1", "soon", ""])
    def test_expiry_out_of_range(self, value: str, fake_s3: FakeS3, command: Callable[..., Command]) -> None:
        outcome = command(fake_s3)("presign", f"--expire={value}", "s3://b/k", status=2)
        assert outcome.errors[0].startswith('ERROR "presign": option "--expire": ')
        assert outcome.stdout == ""

    def test_it_expires(self, fake_s3: FakeS3, command: Callable[..., Command]) -> None:
        fake_s3.put("b", "k", b"hello")
        [url] = command(fake_s3)("presign", "--expire", "60", "s3://b/k").lines
        assert fetch(url)[0] == 200
        fake_s3.do("shift_clock", seconds=61)
        assert fetch(url)[0] == 403
        assert fetch(url.replace("X-Amz-Expires=60", "X-Amz-Expires=600"))[0] == 403, "it is signed"

    def test_version(self, moto: Server, command: Callable[..., Command]) -> None:
        moto.boto3.create_bucket(Bucket="versions-presign")
        moto.boto3.put_bucket_versioning(Bucket="versions-presign", VersioningConfiguration={"Status": "Enabled"})
        bodies = (b"1", b"22")
        versions = [
            moto.boto3.put_object(Bucket="versions-presign", Key="k", Body=body)["VersionId"] for body in bodies
        ]
        for version, body in zip(versions, bodies, strict=True):
            [url] = command(moto)("presign", "--version-id", version, "s3://versions-presign/k").lines
            assert query(url)["versionId"] == version
            assert fetch(url) == (200, body)

    def test_no_request(self, fake_s3: FakeS3, command: Callable[..., Command]) -> None:
        for form in ([], ["--json"], ["--dry-run"], ["-q"]):
            assert command(fake_s3)(*form, "presign", "s3://no-such-bucket/k").stdout
        assert fake_s3.log() == []
        url = command(fake_s3)("--endpoint-url", closed_port(), "presign", "s3://b/k").stdout
        assert "X-Amz-Signature=" in url

    def test_session_token(self, fake_s3: FakeS3, command: Callable[..., Command]) -> None:
        fake_s3.do("rotate_keys", access_key="A" * 20, secret_key="S" * 40, session_token="to+k/en==")
        fake_s3.put("b", "k", b"hello")
        keys = {"AWS_ACCESS_KEY_ID": "A" * 20, "AWS_SECRET_ACCESS_KEY": "S" * 40, "AWS_SESSION_TOKEN": "to+k/en=="}
        outcome = command(fake_s3)("--log=trace", "presign", "s3://b/k", env=keys)
        [url] = outcome.lines
        assert query(url)["X-Amz-Security-Token"] == "to+k/en=="
        assert "S" * 40 not in outcome.stdout + outcome.stderr
        assert fetch(url) == (200, b"hello")

    @pytest.mark.parametrize(
        ("arguments", "message"),
        [
            (["s3://b"], 'source "s3://b" must be an object'),
            (["s3://b/p/"], 'source "s3://b/p/" must be an object'),
            (["s3://b/*"], 'source "s3://b/*" can not contain glob characters'),
            (["a.txt"], "source must be a remote object"),
            (["--raw", "s3://b"], 'source "s3://b" must be an object'),
        ],
    )
    def test_refused(self, arguments: list[str], message: str, command: Callable[..., Command]) -> None:
        outcome = command()("presign", *arguments, status=1)
        assert outcome.errors[0] == f'ERROR "presign {" ".join(arguments)}": {message}'
        assert outcome.stdout == ""

    def test_without_keys(self, fake_s3: FakeS3, command: Callable[..., Command]) -> None:
        run = command()
        flags = ["--json", "--endpoint-url", fake_s3.endpoint]
        [record] = run(*flags, "presign", "s3://b/k", status=1).error_records
        assert record["error"]["kind"] == "credentials"
        [record] = run(*flags, "--no-sign-request", "presign", "s3://b/k", status=1).error_records
        assert record["error"]["kind"] == "config"

    @pytest.mark.parametrize("arguments", [[], ["s3://b/k", "s3://b/l"], ["--version-id=", "s3://b/k"]])
    def test_not_parsed(self, arguments: list[str], command: Callable[..., Command]) -> None:
        assert command()("presign", *arguments, status=2).stdout == ""


class TestCall:
    def test_it_works(self, server: Server, bucket: str, client: s3z.Client) -> None:
        server.boto3.put_object(Bucket=bucket, Key="k", Body=b"hello")
        url = client.presign(f"s3://{bucket}/k", expires=60)
        assert re.search(r"[?&]X-Amz-Expires=60(&|$)", url)
        assert fetch(url) == (200, b"hello")

    @pytest.mark.parametrize("expires", [0, 0.9, -1, 604801, float("nan"), float("inf"), True, "60", None])
    def test_expiry_out_of_range(self, expires: Any, fake_client: s3z.Client) -> None:
        with pytest.raises(s3z.ConfigError, match="expires must be from 1 to 604800 seconds"):
            fake_client.presign("s3://b/k", expires=expires)

    @pytest.mark.parametrize("uri", ["s3://b", "k", "s3://b/a/../k"])
    def test_bad_uris(self, uri: str, fake_client: s3z.Client) -> None:
        with pytest.raises((s3z.ConfigError, s3z.UnsafeKeyError)):
            fake_client.presign(uri)

    def test_anonymous(self, fake_s3: FakeS3) -> None:
        client = s3z.Client(endpoint_url=fake_s3.endpoint, anonymous=True)
        with pytest.raises(s3z.ConfigError, match="cannot sign"):
            client.presign("s3://b/k")


class TestRegion:
    """AWS is asked where the bucket is if nobody said so, and only then."""

    @pytest.fixture
    def asked(self, monkeypatch: pytest.MonkeyPatch) -> list[str]:
        signer = SimpleNamespace(presign=lambda *given: "signed")
        monkeypatch.setattr("s3z._managing._core", signer)
        return []

    def signed(self, asked: list[str], outcome: Exception | None = None, **settings: Any) -> str:
        def head_bucket(bucket: str) -> None:
            asked.append(bucket)
            if outcome is not None:
                raise outcome

        client = s3z.Client(credentials=("key", "secret"), **settings)
        client._native = lambda: SimpleNamespace(head_bucket=head_bucket)  # type: ignore[method-assign,assignment,return-value]
        return client.presign("s3://b/k")

    def test_unknown(self, asked: list[str]) -> None:
        assert self.signed(asked) == "signed"
        assert asked == ["b"]

    @pytest.mark.parametrize("settings", [{"region": "us-east-1"}, {"endpoint_url": "http://127.0.0.1:1"}], ids=str)
    def test_known(self, settings: dict[str, str], asked: list[str]) -> None:
        assert self.signed(asked, **settings) == "signed"
        assert asked == []

    def test_a_refusal_names_the_region_too(self, asked: list[str]) -> None:
        assert self.signed(asked, s3z.AccessDeniedError("no")) == "signed"
        with pytest.raises(s3z.NotFoundError):
            self.signed(asked, s3z.NotFoundError("no"))
