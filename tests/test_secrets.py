"""T7: where secrets come from: arguments, environment, files, processes, roles, containers, boto3.

Whatever is wrong with a source, it is told in words of ours, and botocore's own log lines stay unwritten.
Where they could come out afterwards is `test_redaction.py`.
"""

from __future__ import annotations

import hashlib
import json
import logging
import os
import pickle
import stat
import sys
import urllib.parse
from typing import TYPE_CHECKING, Any

import pytest
from support.canary import (
    ENVIRONMENT,
    KEY_ID,
    KEYS,
    PROCESS_WORDS,
    PROXY_PASSWORD,
    SECRET,
    TOKEN,
    Haul,
    listening,
    seen_in,
)
from support.recorder import Seen, answer, recorder
from support.strangers import closed_port

import s3z
from s3z import _core

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from support.command import Command
    from support.servers import FakeS3

HASTY = s3z.TransferConfig(max_attempts=1, connect_timeout=1, read_timeout=5)
GOOD_OUTPUT = json.dumps({"Version": 1, "AccessKeyId": KEY_ID, "SecretAccessKey": SECRET, "SessionToken": TOKEN})


@pytest.fixture
def haul(capfd: pytest.CaptureFixture[str]) -> Iterator[Haul]:
    """Collects log records of every level and both streams; errors are added by `fails`."""
    found = Haul()
    with listening() as records:
        yield found
    found.add_log(records)
    found.add("streams", "".join(capfd.readouterr()))
    assert found.leaks() == []


def fails(haul: Haul, call: Callable[[], object], *kinds: type[BaseException]) -> BaseException:
    """The error of a call, which goes into the haul."""
    with pytest.raises(kinds or (s3z.S3zError,)) as caught:
        call()
    haul.add_error("error", caught.value)
    return caught.value


class TestArguments:
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
    def test_malformed(self, fake_s3: FakeS3, haul: Haul, keys: Any) -> None:
        fails(haul, lambda: s3z.Client(endpoint_url=fake_s3.endpoint, credentials=keys).head("s3://b/k"))

    def test_newline_is_no_header(self, fake_s3: FakeS3, haul: Haul) -> None:
        """S11: refused before anything is sent."""
        client = fake_s3.client(credentials={**KEYS, "aws_session_token": TOKEN + "\r\nx-evil: yes"})
        fails(haul, lambda: client.head("s3://b/k"))
        assert fake_s3.log() == []

    def test_pickles(self, fake_s3: FakeS3, monkeypatch: pytest.MonkeyPatch) -> None:
        """S10: a client that holds secrets of its own is not pickled; another is, and finds them where it wakes."""
        password = {"http": f"http://user:{urllib.parse.quote(PROXY_PASSWORD)}@127.0.0.1:1"}
        for held in ({"credentials": KEYS}, {"credentials": lambda: KEYS}, {"anonymous": True, "proxies": password}):
            with pytest.raises(TypeError, match="secrets") as caught:
                pickle.dumps(s3z.Client(endpoint_url=fake_s3.endpoint, **held))
            assert seen_in(str(caught.value)) == []
        for name, value in ENVIRONMENT.items():
            monkeypatch.setenv(name, value)
        monkeypatch.setenv("HTTP_PROXY", password["http"])
        client = s3z.Client(endpoint_url=fake_s3.endpoint)
        assert seen_in(pickle.dumps(client)) == []
        assert pickle.loads(pickle.dumps(client)).endpoint_url == fake_s3.endpoint

    def test_native_client_shows_nothing(self) -> None:
        core = _core.Client(endpoint_url="http://127.0.0.1:9", credentials=(KEY_ID, SECRET, TOKEN, None))
        assert seen_in(" ".join([repr(core), str(core), *(repr(getattr(core, name)) for name in dir(core))])) == []
        with pytest.raises(TypeError):
            pickle.dumps(core)

    def test_proxy_that_is_gone(self, haul: Haul, tmp_path: Path) -> None:
        """S5: the error of a connection names no password."""
        proxy = closed_port().replace("http://", f"http://user:{urllib.parse.quote(PROXY_PASSWORD, safe='')}@")
        client = s3z.Client(
            endpoint_url="http://store.invalid", credentials=KEYS, proxies={"http": proxy}, config=HASTY
        )
        fails(haul, lambda: client.download("s3://b/k", tmp_path / "out"), s3z.TransferConnectionError)


class TestEnvironment:
    @pytest.mark.parametrize(
        "broken",
        [
            {"AWS_SECRET_ACCESS_KEY": ""},
            {"AWS_CREDENTIAL_EXPIRATION": SECRET},
            {"AWS_PROFILE": "missing"},
            {"S3Z_PART_SIZE": "much"},
            {"AWS_ENDPOINT_URL": f"http://user:{PROXY_PASSWORD}@127.0.0.1:1"},
            {"AWS_ENDPOINT_URL": f"user:{PROXY_PASSWORD}@127.0.0.1:1"},
            {"HTTPS_PROXY": f"socks5://user:{PROXY_PASSWORD}@127.0.0.1:1"},
        ],
        ids=lambda each: next(iter(each)),
    )
    def test_malformed(self, haul: Haul, monkeypatch: pytest.MonkeyPatch, broken: dict[str, str]) -> None:
        with monkeypatch.context() as environment:
            for name, value in {**ENVIRONMENT, **broken}.items():
                environment.setenv(name, value)
            fails(haul, s3z.Client)

    def test_nothing_is_put_there(self, fake_s3: FakeS3) -> None:
        before = {name: value for name, value in os.environ.items() if name != "PYTEST_CURRENT_TEST"}
        client = fake_s3.client(credentials=KEYS, config=HASTY)
        with pytest.raises(s3z.AccessDeniedError):
            client.head("s3://b/k")
        assert {name: value for name, value in os.environ.items() if name != "PYTEST_CURRENT_TEST"} == before


class TestFiles:
    @pytest.mark.parametrize(
        "text",
        [
            f"[default]\naws_access_key_id = {KEY_ID}\naws_session_token = {TOKEN}\n",
            f"[default\naws_secret_access_key {SECRET}\n{TOKEN}\n",
            f"[default]\naws_secret_access_key = {SECRET}\naws_secret_access_key = {TOKEN}\n",
            f"[default]\nx =\n  {SECRET}\n",
        ],
        ids=["half a pair", "no section", "twice", "no nested value"],
    )
    def test_malformed(
        self, text: str, fake_s3: FakeS3, command: Callable[..., Command], tmp_path: Path, haul: Haul
    ) -> None:
        (tmp_path / "credentials").write_text(text)
        given = {"endpoint_url": fake_s3.endpoint, "credentials_file": tmp_path / "credentials"}
        fails(haul, lambda: s3z.Client(**given).head("s3://b/k"))
        outcome = command()(
            "--log", "trace", "--endpoint-url", fake_s3.endpoint, "--credentials-file", "credentials", "ls", status=1
        )
        assert seen_in(outcome.stdout + outcome.stderr) == []
        assert fake_s3.log() == []

    def test_another_setting_is_wrong(self, tmp_path: Path, haul: Haul) -> None:
        lines = "\n".join(f"{name} = {value}" for name, value in KEYS.items())
        (tmp_path / "credentials").write_text(f"[default]\n{lines}\nregion = no region\n")
        fails(haul, lambda: s3z.Client(credentials_file=tmp_path / "credentials"), s3z.ConfigError)


class TestPlainHttp:
    """S2."""

    def test_body_is_signed_where_it_can_be_changed(self, tmp_path: Path, haul: Haul) -> None:
        """By way of a proxy, since no other host is there; on this machine and over TLS the body stays unsigned."""
        (tmp_path / "k").write_bytes(b"hello")
        with recorder(lambda request: answer("200 OK", b"", {"ETag": '"e"'})) as store:
            here = s3z.Client(endpoint_url=store.endpoint, credentials=KEYS, config=HASTY)
            here.upload(tmp_path / "k", "s3://b/k")
            proxies = {"http": store.endpoint}
            away = s3z.Client(endpoint_url="http://store.invalid", credentials=KEYS, config=HASTY, proxies=proxies)
            away.upload(tmp_path / "k", "s3://b/k")
        signed = [request.headers["x-amz-content-sha256"] for request in store.requests]
        assert signed == ["UNSIGNED-PAYLOAD", hashlib.sha256(b"hello").hexdigest()]


class TestProcess:
    """S8, S20: `credential_process`."""

    @pytest.fixture
    def process(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], Path]:
        """Makes a shell script the source of keys."""

        def make(script: str) -> Path:
            path = tmp_path / "helper"
            path.write_text(f"#!/bin/sh\n{script}\n")
            path.chmod(0o755)
            (tmp_path / "config").write_text(f"[default]\ncredential_process = {path} --flag\n")
            monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "config"))
            return path

        return make

    @pytest.mark.parametrize(
        "script",
        [
            f"echo '{PROCESS_WORDS}' >&2; echo '{TOKEN}'; exit 1",
            f"echo 'no JSON {SECRET}'",
            f"""echo '{{"Version": "{SECRET}"}}'""",
            f"""echo '{{"Version": 1, "SecretAccessKey": "{SECRET}"}}'""",
            f"""echo '["{SECRET}"]'""",
            f"""echo '{GOOD_OUTPUT.replace("}", "")}, "Expiration": "{TOKEN}"}}'""",
            f"printf '\\377{SECRET}'",
        ],
        ids=["stderr", "no JSON", "version", "no key", "list", "expiry", "no UTF-8"],
    )
    def test_words_are_not_shown(
        self,
        script: str,
        process: Callable[[str], Path],
        fake_s3: FakeS3,
        command: Callable[..., Command],
        haul: Haul,
    ) -> None:
        process(script)
        error = fails(haul, lambda: s3z.Client(endpoint_url=fake_s3.endpoint).head("s3://b/k"), s3z.CredentialsError)
        assert "no credentials could be had" in str(error)
        environment = {"AWS_CONFIG_FILE": os.environ["AWS_CONFIG_FILE"], "PYTHONWARNINGS": "ignore"}
        outcome = command()(
            "--log", "trace", "--endpoint-url", fake_s3.endpoint, "ls", status=1, env=environment
        )  # fmt: skip
        assert seen_in(outcome.stdout + outcome.stderr) == []
        assert fake_s3.log() == []

    def test_what_it_inherits(
        self, process: Callable[[str], Path], fake_s3: FakeS3, tmp_path: Path, haul: Haul
    ) -> None:
        """S20: no secret of this client in its environment or command line, and no descriptor but the standard ones."""
        look = "import json,os,sys; print(json.dumps([dict(os.environ), sys.argv, os.listdir('/proc/self/fd')]))"
        seen = tmp_path / "seen"
        # The list holds the descriptor with which it was read, 3.
        process(f"'{sys.executable}' -c \"{look}\" \"$@\" > '{seen}'\necho '{GOOD_OUTPUT}'")
        fake_s3.do("rotate_keys", access_key=KEY_ID, secret_key=SECRET, session_token=TOKEN)
        fake_s3.put("b", "k", b"hello")
        busy = fake_s3.client(credentials=KEYS)
        busy.download("s3://b/k", tmp_path / "first")
        proxies = {"https": f"http://user:{PROXY_PASSWORD}@127.0.0.1:1"}
        client = s3z.Client(endpoint_url=fake_s3.endpoint, proxies=proxies)
        result = client.download("s3://b/k", tmp_path / "k")
        assert result.bytes == 5
        environment, arguments, descriptors = json.loads(seen.read_text())
        assert arguments[1:] == ["--flag"], "a shell would have read the line otherwise"
        assert set(descriptors) == {"0", "1", "2", "3"}
        assert seen_in(json.dumps([environment, arguments])) == []


class TestBotocore:
    """What botocore logs while it finds keys for us: at DEBUG whole requests and answers."""

    @pytest.fixture
    def service(self) -> Iterator[Callable[[bytes], None]]:
        """An STS and a container service in one; takes what it shall answer."""
        answers: list[bytes] = []
        with recorder(lambda request: answers[-1]) as store:
            self.seen: list[Seen] = store.requests
            self.endpoint = store.endpoint
            yield answers.append

    def test_role(
        self, service: Callable[[bytes], None], haul: Haul, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        lines = "\n".join(f"{name} = {value}" for name, value in KEYS.items())
        role = "role_arn = arn:aws:iam::123456789012:role/x\nsource_profile = base\nregion = us-east-1"
        (tmp_path / "config").write_text(f"[default]\n{role}\n[profile base]\n{lines}\n")
        monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "config"))
        monkeypatch.setenv("AWS_ENDPOINT_URL_STS", self.endpoint)
        held = f"<AccessKeyId>{KEY_ID}</AccessKeyId><SecretAccessKey>{SECRET}</SecretAccessKey>"
        held += f"<SessionToken>{TOKEN}</SessionToken><Expiration>2099-01-01T00:00:00Z</Expiration>"
        user = "<AssumedRoleUser><Arn>a</Arn><AssumedRoleId>b</AssumedRoleId></AssumedRoleUser>"
        inner = f"<AssumeRoleResult>{user}<Credentials>{held}</Credentials></AssumeRoleResult>"
        service(answer("200 OK", f"<AssumeRoleResponse>{inner}</AssumeRoleResponse>"))
        client = s3z.Client(endpoint_url=closed_port(), config=HASTY)
        fails(haul, lambda: client.head("s3://b/k"), s3z.TransferConnectionError)
        assert self.seen[0].headers["x-amz-security-token"] == TOKEN, "the role was not asked for"
        assert haul.leaks({f"signature {number}": each.signature or "" for number, each in enumerate(self.seen)}) == []

    @pytest.mark.parametrize("kind", ["good", "no JSON", "500"])
    def test_container(
        self, kind: str, service: Callable[[bytes], None], haul: Haul, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("AWS_CONTAINER_CREDENTIALS_FULL_URI", f"{self.endpoint}/keys")
        monkeypatch.setenv("AWS_CONTAINER_AUTHORIZATION_TOKEN", TOKEN)
        given = GOOD_OUTPUT.replace("SessionToken", "Token")[:-1] + ', "Expiration": "2099-01-01T00:00:00Z"}'
        status, body = {"good": ("200 OK", given), "no JSON": ("200 OK", SECRET), "500": ("500 Oops", SECRET)}[kind]
        service(answer(status, body))
        client = s3z.Client(endpoint_url=closed_port(), config=HASTY)
        error = fails(haul, lambda: client.head("s3://b/k"))
        assert isinstance(error, s3z.TransferConnectionError if kind == "good" else s3z.CredentialsError)
        assert self.seen[0].headers["authorization"] == TOKEN, "the container was not asked"

    def test_sessions_and_clients(self, fake_s3: FakeS3, haul: Haul) -> None:
        boto3 = pytest.importorskip("boto3")
        session = boto3.Session(**KEYS, region_name="us-east-1")
        made = session.client("s3", endpoint_url=fake_s3.endpoint)
        for client in (
            s3z.Client(session=session, endpoint_url=fake_s3.endpoint, config=HASTY),
            s3z.Client(client=made, config=HASTY),
        ):
            haul.add_value("client", client)
            fails(haul, lambda client=client: client.head("s3://b/k"), s3z.AccessDeniedError)  # type: ignore[misc]

    def test_session_whose_process_fails(self, haul: Haul, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        """Promise 10: boto3's own error, which quotes the process, becomes one of ours."""
        boto3 = pytest.importorskip("boto3")
        script = tmp_path / "helper"
        script.write_text(f"#!/bin/sh\necho '{PROCESS_WORDS}' >&2\nexit 1\n")
        script.chmod(0o755)
        (tmp_path / "config").write_text(f"[default]\ncredential_process = {script}\n")
        monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "config"))
        fails(haul, lambda: s3z.Client(session=boto3.Session()).head("s3://b/k"), s3z.CredentialsError)

    def test_its_lines_come_back(self, haul: Haul) -> None:
        """Only what s3z asks is hushed: the caller's own use of boto3 logs as before."""
        session = pytest.importorskip("botocore.session").Session()
        session.set_credentials("a", "b")
        s3z.Client(endpoint_url=closed_port(), session=session, config=HASTY)
        with listening() as records:
            logging.getLogger("botocore.hooks").debug("hello")
        assert [record.getMessage() for record in records] == ["hello"]


def test_no_canary_survives_in_files(fake_s3: FakeS3, tmp_path: Path, haul: Haul) -> None:
    fake_s3.put("b", "k", b"hello")
    client = fake_s3.client(credentials=KEYS, config=HASTY)
    fails(haul, lambda: client.download("s3://b/k", tmp_path / "out"), s3z.AccessDeniedError)
    haul.add_files(tmp_path)
    assert not any(stat.S_ISREG(path.stat().st_mode) for path in tmp_path.glob("*"))
