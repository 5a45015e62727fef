"""T7: a key id, a secret and a token that nobody may ever see again, sent through everything that can fail."""

from __future__ import annotations

import base64
import gc
import logging
import pickle
import traceback
import urllib.parse
from typing import TYPE_CHECKING, Any

import pytest
from support.strangers import GARBAGE, HTML, HTML_500, closed_port, stranger

import s3z
from s3z import _core

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from support.command import Command
    from support.servers import FakeS3

KEY_ID = "AKIACANARYCANARY1234"
SECRET = "canary+secret/Canary+Secret/canary+secre"
TOKEN = "canaryTOKEN/canaryTOKEN+canaryTOKEN=="
HASTY = s3z.TransferConfig(max_attempts=2, connect_timeout=1, read_timeout=0.3)
KEYS = {"aws_access_key_id": KEY_ID, "aws_secret_access_key": SECRET, "aws_session_token": TOKEN}
ENVIRONMENT = {"AWS_ACCESS_KEY_ID": KEY_ID, "AWS_SECRET_ACCESS_KEY": SECRET, "AWS_SESSION_TOKEN": TOKEN}


def forms(secret: str) -> list[bytes]:
    """A secret as it is, in URLs, in base64 and in hexadecimal."""
    plain = secret.encode()
    return [plain, urllib.parse.quote(secret, safe="").encode(), base64.b64encode(plain), plain.hex().encode()]


def secrets_in(found: str | bytes) -> list[str]:
    """Which of the canaries can be seen. The access key id is hidden too: with it people recognise an account."""
    data = found if isinstance(found, bytes) else found.encode("utf-8", "surrogateescape")
    names = {"key id": KEY_ID, "secret": SECRET, "token": TOKEN}
    seen = [name for name, secret in names.items() if any(form in data for form in forms(secret))]
    seen += [mark for mark in ("Signature=", "AWS4-HMAC-SHA256", "X-Amz-Security-Token") if mark.encode() in data]
    return seen


def everything(error: BaseException) -> bytes:
    """All that can be had from an exception: words, facts, traceback with its causes, pickle."""
    parts = [str(error), repr(error), repr(vars(error)), "".join(traceback.format_exception(error))]
    return "\n".join(parts).encode() + pickle.dumps(error)


def test_the_search_is_not_blind() -> None:
    assert secrets_in(f"x {SECRET} y") == ["secret"]
    assert secrets_in(base64.b64encode(TOKEN.encode())) == ["token"]
    assert secrets_in(urllib.parse.quote(SECRET, safe="")) == ["secret"]
    assert secrets_in(everything(ValueError(KEY_ID))) == ["key id"]
    assert secrets_in("nothing") == []


#: what a store that echoes answers
ECHO = (
    f"<Error><Code>SignatureDoesNotMatch</Code><Message>mismatch</Message><AWSAccessKeyId>{KEY_ID}</AWSAccessKeyId>"
    f"<StringToSign>AWS4-HMAC-SHA256 {TOKEN}</StringToSign><CanonicalRequest>{SECRET}</CanonicalRequest></Error>"
)
FAULTS: dict[str, list[dict[str, Any]]] = {
    "unknown-key": [],
    "echo": [{"type": "respond", "status": 403, "body": ECHO}],
    "redirect": [{"type": "redirect", "status": 307, "location": "http://user:pass@evil.example/?X-Amz-Signature=1"}],
    "500": [{"type": "respond", "status": 500, "code": "InternalError", "message": "oops"}],
    "reset": [{"type": "reset"}],
    "garbage": [{"type": "raw", "bytes": "nonsense\r\n\r\n"}],
    "bad-header": [{"type": "header", "name": "ETag"}],
    "stall": [{"type": "stall", "seconds": 30, "in_head": True}],
}


def calls(client: s3z.Client, tmp_path: Path) -> list[Callable[[], object]]:
    (tmp_path / "source").write_bytes(b"hello")
    return [
        lambda: client.download("s3://b/k", tmp_path / "out"),
        lambda: client.upload(tmp_path / "source", "s3://b/k"),
        lambda: client.head("s3://b/k"),
        lambda: list(client.list("s3://b")),
        lambda: client.delete("s3://b/k"),
        lambda: client.delete(["s3://b/k", "s3://b/l"]),
    ]


class TestCalls:
    @pytest.mark.parametrize("fault", FAULTS)
    def test_failures(
        self,
        fake_s3: FakeS3,
        tmp_path: Path,
        fault: str,
        caplog: pytest.LogCaptureFixture,
        capfd: pytest.CaptureFixture[str],
    ) -> None:
        caplog.set_level(logging.DEBUG)
        logging.getLogger("s3z").setLevel(logging.DEBUG)
        fake_s3.put("b", "k", b"hello")
        for action in FAULTS[fault]:
            fake_s3.rule(action)
        failures: list[BaseException] = []
        client = fake_s3.client(credentials=KEYS, config=HASTY)
        for call in calls(client, tmp_path):
            try:
                call()
            except s3z.S3zError as error:
                failures += [error, *getattr(error, "failures", ())]
        assert len(failures) >= 5
        for failure in failures:
            assert secrets_in(everything(failure)) == [], everything(failure)
        assert secrets_in(caplog.text) == []
        assert secrets_in("".join(capfd.readouterr())) == []

    @pytest.mark.parametrize(
        "answer", [HTML, HTML_500, GARBAGE, b"", ECHO.encode()], ids=["html", "500", "garbage", "closes", "echo"]
    )
    def test_endpoints_that_are_no_s3(self, tmp_path: Path, answer: bytes) -> None:
        with stranger(answer) as endpoint:
            client = s3z.Client(endpoint_url=endpoint, credentials=KEYS, config=HASTY)
            failures: list[BaseException] = []
            for call in calls(client, tmp_path):
                try:
                    call()
                except s3z.S3zError as error:
                    failures.append(error)
        assert failures
        for failure in failures:
            assert secrets_in(everything(failure)) == []

    def test_unreachable(self, tmp_path: Path) -> None:
        client = s3z.Client(endpoint_url=closed_port(), credentials=KEYS, config=HASTY)
        with pytest.raises(s3z.TransferConnectionError) as caught:
            client.download("s3://b/k", tmp_path / "out")
        assert secrets_in(everything(caught.value)) == []

    @pytest.mark.parametrize(
        "keys",
        [
            {"aws_access_key_id": KEY_ID},
            {"aws_secret_access_key": SECRET},
            {**KEYS, "expiry_time": SECRET},
            (KEY_ID, SECRET, 7),
            [SECRET],
            SECRET,
            lambda: SECRET,
            lambda: {"aws_access_key_id": KEY_ID},
            lambda: (_ for _ in ()).throw(RuntimeError(SECRET)),
        ],
        ids=range(9),
    )
    def test_malformed_credentials(self, fake_s3: FakeS3, tmp_path: Path, keys: Any) -> None:
        with pytest.raises(s3z.S3zError) as caught:
            s3z.Client(endpoint_url=fake_s3.endpoint, credentials=keys).head("s3://b/k")
        error = caught.value
        # A cause of the caller's own making is the caller's; s3z's own words are not to quote it.
        assert secrets_in(f"{error} {error!r} {vars(error)}") == []
        assert secrets_in(pickle.dumps(error)) == []

    def test_newline_in_a_key_is_no_header(self, fake_s3: FakeS3) -> None:
        client = fake_s3.client(credentials={**KEYS, "aws_session_token": TOKEN + "\r\nx-evil: yes"})
        with pytest.raises(s3z.S3zError) as caught:
            client.head("s3://b/k")
        assert secrets_in(everything(caught.value)) == []
        assert all("x-evil" not in dict(record["headers"]) for record in fake_s3.log())


class TestValues:
    def test_client(self, fake_s3: FakeS3, monkeypatch: pytest.MonkeyPatch) -> None:
        client = fake_s3.client(credentials=KEYS)
        assert secrets_in(f"{client!r} {client}") == []
        assert (
            secrets_in(
                repr(vars(client._native())) if hasattr(client._native(), "__dict__") else repr(client._native())
            )
            == []
        )
        with pytest.raises(TypeError) as caught:
            pickle.dumps(client)
        assert secrets_in(str(caught.value)) == []
        for name, value in ENVIRONMENT.items():
            monkeypatch.setenv(name, value)
        assert secrets_in(pickle.dumps(s3z.Client(endpoint_url=fake_s3.endpoint))) == []

    def test_native_client_shows_nothing(self) -> None:
        core = _core.Client(endpoint_url="http://127.0.0.1:9", credentials=(KEY_ID, SECRET, TOKEN, None))
        assert secrets_in(" ".join([repr(core), str(core), *(repr(getattr(core, name)) for name in dir(core))])) == []
        with pytest.raises(TypeError):
            pickle.dumps(core)

    def test_proxy_password_in_errors(self, tmp_path: Path) -> None:
        proxy = closed_port().replace("http://", f"http://user:{urllib.parse.quote(SECRET, safe='')}@")
        client = s3z.Client(
            endpoint_url="http://store.invalid", credentials=KEYS, proxies={"http": proxy}, config=HASTY
        )
        with pytest.raises(s3z.S3zError) as caught:
            client.download("s3://b/k", tmp_path / "out")
        assert secrets_in(everything(caught.value)) == []
        assert secrets_in(repr(client)) == []

    def test_results_and_sent_headers(self, fake_s3: FakeS3, tmp_path: Path) -> None:
        """What was sent is signed with the canaries, so the search looks where they truly pass."""
        fake_s3.do("rotate_keys", access_key=KEY_ID, secret_key=SECRET, session_token=TOKEN)
        fake_s3.put("b", "k", b"hello")
        client = fake_s3.client(credentials=KEYS)
        result = client.download("s3://b/k", tmp_path / "k")
        head = client.head("s3://b/k")
        assert secrets_in(pickle.dumps([result, head]) + repr([result, head]).encode()) == []
        sent = dict(fake_s3.log(operation="HeadObject")[-1]["headers"])
        assert "authorization" in sent
        assert "x-amz-security-token" in sent


class TestCommands:
    @pytest.mark.parametrize("level", ["trace", "debug", "info", "error"])
    @pytest.mark.parametrize("json", [[], ["--json"]], ids=["text", "json"])
    @pytest.mark.parametrize("fault", ["unknown-key", "echo", "500", "garbage", "redirect"])
    def test_failures(
        self, fake_s3: FakeS3, command: Callable[..., Command], tmp_path: Path, level: str, json: list[str], fault: str
    ) -> None:
        (tmp_path / "source").write_bytes(b"hello")
        for action in FAULTS[fault]:
            fake_s3.rule(action)
        run = command(fake_s3)
        flags = [*json, "--log", level, "-r", "1", "--read-timeout", "1s"]
        for arguments in (["cp", "s3://b/k", "out"], ["cp", "source", "s3://b/k"], ["ls", "s3://b"]):
            outcome = run(*flags, *arguments, status=1, env=ENVIRONMENT)
            assert secrets_in(outcome.stdout + outcome.stderr) == [], outcome
            assert outcome.stderr

    def test_success_at_trace(self, fake_s3: FakeS3, command: Callable[..., Command], tmp_path: Path) -> None:
        fake_s3.do("rotate_keys", access_key=KEY_ID, secret_key=SECRET, session_token=TOKEN)
        fake_s3.put("b", "k", b"hello")
        run = command(fake_s3)
        for arguments in (["cp", "s3://b/k", "out"], ["ls"], ["ls", "s3://b"], ["cp", "out", "s3://b/l"]):
            outcome = run("--log", "trace", "--json", "--stat", *arguments, env=ENVIRONMENT)
            assert secrets_in(outcome.stdout + outcome.stderr) == []

    def test_files_with_half_a_pair(self, fake_s3: FakeS3, command: Callable[..., Command], tmp_path: Path) -> None:
        (tmp_path / "credentials").write_text(f"[default]\naws_access_key_id = {KEY_ID}\naws_session_token = {TOKEN}\n")
        run = command()
        outcome = run(
            "--log", "trace", "--endpoint-url", fake_s3.endpoint, "--credentials-file", "credentials", "ls", status=1
        )
        assert secrets_in(outcome.stdout + outcome.stderr) == []

    def test_broken_credentials_file(self, fake_s3: FakeS3, command: Callable[..., Command], tmp_path: Path) -> None:
        (tmp_path / "credentials").write_text(f"[default\naws_secret_access_key {SECRET}\n{TOKEN}\n")
        outcome = command()(
            "--log", "trace", "--endpoint-url", fake_s3.endpoint, "--credentials-file", "credentials", "ls", status=1
        )
        assert secrets_in(outcome.stdout + outcome.stderr) == []

    def test_credential_process_that_talks(
        self, fake_s3: FakeS3, command: Callable[..., Command], tmp_path: Path
    ) -> None:
        script = tmp_path / "helper"
        script.write_text(f"#!/bin/sh\necho '{SECRET}' >&2\necho '{TOKEN}'\nexit 1\n")
        script.chmod(0o755)
        (tmp_path / "config").write_text(f"[default]\ncredential_process = {script}\n")
        outcome = command()(
            "--log", "trace", "--endpoint-url", fake_s3.endpoint, "ls", status=1,
            env={"AWS_CONFIG_FILE": str(tmp_path / "config"), "PYTHONWARNINGS": "ignore"},
        )  # fmt: skip
        assert secrets_in(outcome.stdout + outcome.stderr) == []
        assert fake_s3.log() == []


def test_no_canary_survives_in_files(fake_s3: FakeS3, tmp_path: Path) -> None:
    fake_s3.put("b", "k", b"hello")
    client = fake_s3.client(credentials=KEYS, config=HASTY)
    with pytest.raises(s3z.AccessDeniedError):
        client.download("s3://b/k", tmp_path / "out")
    gc.collect()
    for path in tmp_path.rglob("*"):
        if path.is_file():
            assert secrets_in(path.read_bytes()) == []
