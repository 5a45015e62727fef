"""T7, promise 6: secrets go through every call and command, into every kind of failure, and come out nowhere.

What people are shown then is kept in `snapshots/redaction.txt`. Where secrets come from is `test_secrets.py`.
"""

from __future__ import annotations

import contextlib
import dataclasses
import io
import logging
import os
import re
import resource
import signal
import tarfile
import threading
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from support.canary import (
    CANARIES,
    ENVIRONMENT,
    KEYS,
    PRESIGNED,
    PROXY_PASSWORD,
    SECRET,
    SSE_KEY,
    TOKEN,
    Haul,
    forms,
    listening,
    seen_in,
)
from support.data import MIB, leftovers, write_pattern
from support.recorder import Recorder, Seen, answer, echoed, recorder, tales
from support.servers import FakeS3
from support.snapshot import Snapshot
from support.strangers import closed_port

import s3z
from s3z._cli._options import COMMANDS

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from support.command import Command

    Give = Callable[[Seen], bytes]

SNAPSHOT = Snapshot(
    Path(__file__).parent / "snapshots" / "redaction.txt",
    "What people are shown when something fails, and what objects show of themselves: `test_redaction.py` compares.",
)
HASTY = s3z.TransferConfig(max_attempts=1, connect_timeout=2, read_timeout=5, multipart_threshold=MIB)
IMPATIENT = dataclasses.replace(HASTY, read_timeout=0.3)

CALLS: dict[str, Callable[[Any, Path], object]] = {
    "download": lambda s3, here: s3.download("s3://b/k", here / "out" / "k"),
    "upload": lambda s3, here: s3.upload(here / "small", "s3://b/k"),
    "upload in parts": lambda s3, here: s3.upload(here / "large", "s3://b/k", metadata={"a": "b"}),
    "put": lambda s3, here: s3.put("s3://b/k", b"bytes"),
    "open": lambda s3, here: written(s3.open("s3://b/k", "wb"), bytes(9 * MIB)),
    "open, text": lambda s3, here: written(s3.open("s3://b/k", "w"), "text"),
    "open, to read": lambda s3, here: s3.open("s3://b/k", "rb").read(),
    "stream": lambda s3, here: list(s3.stream("s3://b/k")),
    "get": lambda s3, here: s3.get("s3://b/k"),
    "get_into": lambda s3, here: s3.get_into("s3://b/k", bytearray(4)),
    "get_ranges": lambda s3, here: s3.get_ranges("s3://b/k", [(0, 4)]),
    "list": lambda s3, here: list(s3.list("s3://b")),
    "list_uploads": lambda s3, here: list(s3.list_uploads("s3://b")),
    "abort_upload": lambda s3, here: s3.abort_upload("s3://b/k", "id"),
    "head": lambda s3, here: s3.head("s3://b/k"),
    "exists": lambda s3, here: s3.exists("s3://b/k"),
    "exists, of a bucket": lambda s3, here: s3.exists("s3://b"),
    "delete": lambda s3, here: s3.delete("s3://b/k"),
    "delete, of many": lambda s3, here: s3.delete(["s3://b/k", "s3://b/l"]),
    "copy": lambda s3, here: s3.copy("s3://b/k", "s3://b/l"),
    "move": lambda s3, here: s3.move("s3://b/k", here / "out" / "moved"),
    "download_dir": lambda s3, here: s3.download_dir("s3://b/k/", here / "out" / "many"),
    "upload_dir": lambda s3, here: s3.upload_dir(here, "s3://b/k/", include="small"),
    "sync": lambda s3, here: s3.sync("s3://b/k/", "s3://b/l/", delete=True),
    "verify": lambda s3, here: s3.verify(here / "small", "s3://b/k"),
    "make_bucket": lambda s3, here: s3.make_bucket("s3://new-bucket"),
    "remove_bucket": lambda s3, here: s3.remove_bucket("s3://new-bucket"),
    "pack": lambda s3, here: s3.pack(here / "small", "s3://b/k.tar.zst"),
    "pack, of a prefix": lambda s3, here: s3.pack("s3://b/k/", here / "out" / "k.tar"),
    "unpack": lambda s3, here: s3.unpack("s3://b/k.tar.zst", here / "out" / "tree"),
    "unpack, to a prefix": lambda s3, here: s3.unpack(packed(here, 1000), "s3://b/k/"),
}
#: calls that make no request, and so cannot fail by one; a signed URL is what it is, and is not shown to the search
OFFLINE: dict[str, Callable[[Any], object]] = {
    "describe": lambda s3: s3.describe(),
    "describe, resolved": lambda s3: s3.describe(resolve=True),
    "presign": lambda s3: signed(s3.presign("s3://b/k", version_id="v")),
}


def sent_by_runs(directory: Path) -> None:
    """What the runs send."""
    write_pattern(directory / "small", 1000)
    (directory / "tree").mkdir()
    write_pattern(directory / "tree" / "small", 1000)
    packed(directory, 9 * MIB)
    (directory / "lines").write_text("cp s3://b/k out\n")


RUNS = (
    ["cp", "s3://b/k", "out"], ["cp", "small", "s3://b/k"], ["ls"], ["ls", "s3://b"], ["pipe", "s3://b/k"],
    ["uploads", "ls", "s3://b"], ["cat", "s3://b/k"], ["pack", "small", "s3://b/k"], ["pack", "s3://b/k/", "out"],
    ["unpack", "s3://b/k", "out"], ["unpack", "packed.tar", "s3://b/p/"],
    ["archive", "ls", "s3://b/k"], ["head", "s3://b/k"], ["head", "s3://b"],
    ["mb", "s3://bucket"], ["rb", "s3://bucket"], ["cp", "s3://b/*", "many"], ["cp", "s3://b/k", "s3://b/l"],
    ["mv", "s3://b/k", "out"], ["mv", "small", "s3://b/k"], ["rm", "s3://b/k"], ["rm", "s3://b/*"], ["du", "s3://b"],
    ["sync", "s3://b/*", "many"], ["sync", "tree/", "s3://b/p/"], ["verify", "tree/", "s3://b/p/"], ["run", "lines"],
)  # fmt: skip
#: the same of the command
OFFLINE_RUNS = (["config"], ["config", "--resolve"], ["presign", "s3://b/k"])
#: commands whose answers have no body that could be wrong
NO_BODY = ("head", "mb", "rb")


def packed(directory: Path, size: int) -> Path:
    """An archive of one file."""
    with tarfile.open(directory / "packed.tar", "w") as tar:
        info = tarfile.TarInfo("file")
        info.size = size
        tar.addfile(info, io.BytesIO(bytes(size)))
    return directory / "packed.tar"


def written(file: Any, data: bytes | str) -> None:
    with file:
        file.write(data)


def signed(url: str) -> str:
    """A signed URL without what it was made for."""
    plain, mark, query = url.partition("?")
    assert mark, "nothing was signed"
    assert "X-Amz-Signature=" in query
    return plain


def refusing(status: str, code: str) -> Give:
    """A store that refuses, and repeats in head and body what it was sent."""
    return lambda request: answer(status, tales(request, code), echoed(request), method=request.method)


def page(request: Seen) -> bytes:
    """A page that is no answer of a store."""
    return answer("200 OK", f"<html>{tales(request, 'x')}</html>", echoed(request), method=request.method)


def cut(request: Seen) -> bytes:
    """XML that breaks off, with a head as S3 gives it: a listing that is none, a part whose upload has no id."""
    if request.target.startswith("/b/k") and request.method != "POST":
        return answer("500 Oops", tales(request, "InternalError")[:-20], echoed(request), method=request.method)
    body = f"<ListBucketResult><Name>b</Name>{tales(request, 'x')[:-20]}"
    return answer("200 OK", body, {"ETag": '"e"', "x-amz-request-id": "R1"}, method=request.method)


def pointing(status: str, **headers: str) -> Give:
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return lambda request: answer(status, tales(request, "PermanentRedirect"), named, method=request.method)


STORES: dict[str, Give] = {
    "400": refusing("400 Bad Request", "InvalidArgument"),
    "400 expired": refusing("400 Bad Request", "ExpiredToken"),
    "403": refusing("403 Forbidden", "AccessDenied"),
    "403 signature": refusing("403 Forbidden", "SignatureDoesNotMatch"),
    "403 unknown key": refusing("403 Forbidden", "InvalidAccessKeyId"),
    "404": refusing("404 Not Found", "NoSuchKey"),
    "404 bucket": refusing("404 Not Found", "NoSuchBucket"),
    "412": refusing("412 Precondition Failed", "PreconditionFailed"),
    "500": refusing("500 Internal Server Error", "InternalError"),
    "500 signature": refusing("500 Internal Server Error", "SignatureDoesNotMatch"),
    "503": refusing("503 Slow Down", "SlowDown"),
    "307 elsewhere": pointing("307 Temporary Redirect", Location=PRESIGNED.replace("https://", "https://user:pw@")),
    "301 region": pointing("301 Moved Permanently", x_amz_bucket_region=TOKEN),
    "no XML": page,
    "cut XML": cut,
    "no HTTP": lambda request: f"{request.headers}\r\n\r\n".encode(),
    "bad header": lambda request: b"HTTP/1.1 200 OK\r\n" + repr(request.headers).encode() + b"\0\r\n\r\n",
    "no answer": lambda request: b"",
}


@contextlib.contextmanager
def silent() -> Iterator[Recorder]:
    """A store that takes requests and says nothing."""
    over = threading.Event()

    def wait(_: Seen) -> bytes:
        over.wait(30)
        return b""

    with recorder(wait) as store:
        try:
            yield store
        finally:
            over.set()


def masked(text: str, here: Path) -> str:
    """Without what differs from run to run."""
    text = text.replace(str(here), "HERE")
    text = re.sub(r"127\.0\.0\.1:\d+", "127.0.0.1:PORT", text)
    text = re.sub(r"verification time \d+", "verification time N", text)
    text = re.sub(r"\d+ seconds ago", "N seconds ago", text)
    text = re.sub(r"\b[\d.]+s, [\d.]+[KMGT]?/s", "Ns, N/s", text)
    return re.sub(r'("?seconds"?[=:] ?)[\d.]+', r"\1N", text)


def told(error: BaseException) -> str:
    """An error as the snapshot keeps it: class, text, and what it knows."""
    known = {name: value for name, value in sorted(vars(error).items()) if value is not None and name != "failures"}
    if "result" in known:
        # How long it took is no news.
        known["result"] = re.sub(r"\d+\.\d\ds", "0.00s", repr(known["result"]))
    lines = [f"{type(error).__name__}: {error}", f"    {known}" if known else ""]
    lines += [f"    each: {told(each)}" for each in getattr(error, "failures", ())[:1]]
    return "\n".join(filter(None, lines))


def sources(here: Path) -> None:
    """Files to upload."""
    write_pattern(here / "small", 1000)
    write_pattern(here / "large", 6 * MIB)
    (here / "out").mkdir()


def attempt(haul: Haul, name: str, call: Callable[..., object], *given: Any, **named: Any) -> str:
    """Make one call: all that comes of it goes into the haul; the text is for the snapshot."""
    try:
        result = call(*given, **named)
    except BaseException as error:
        if isinstance(error, pytest.fail.Exception):
            raise
        haul.add_error(name, error)
        for each in getattr(error, "failures", ()):
            haul.add_error(f"{name}: failure", each)
        return f"{name}: {told(error)}"
    haul.add_value(name, result)
    return f"{name}: {result!r}"


def together(texts: list[str], here: Path) -> str:
    """What `attempt` gave, calls that ended alike on one line."""
    names: dict[str, list[str]] = {}
    for text in texts:
        name, _, outcome = masked(text, here).partition(": ")
        names.setdefault(outcome, []).append(name)
    return "\n".join(f"{'; '.join(those)}: {outcome}" for outcome, those in names.items())


@pytest.fixture
def haul(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> Iterator[Haul]:
    """Collects what comes out of a test by itself: log records, both streams, files, the environment."""
    environment = _environment()
    found = Haul()
    with listening() as records:
        yield found
    found.add_log(records)
    found.add("streams", "".join(capfd.readouterr()))
    found.add_files(tmp_path)
    assert found.leaks() == []
    assert _environment() == environment


def _environment() -> dict[str, str]:
    return {name: value for name, value in os.environ.items() if name != "PYTEST_CURRENT_TEST"}


class TestCalls:
    """S6, S7, S9: through every public call, for every kind of failure."""

    def test_every_call_is_here(self) -> None:
        functions = {name for name in s3z.__all__ if name.islower() and callable(getattr(s3z, name))}
        assert {name.split()[0].strip(",") for name in (*CALLS, *OFFLINE)} == functions

    @pytest.mark.parametrize("name", OFFLINE)
    def test_calls_without_a_request(self, name: str, fake_s3: FakeS3, haul: Haul) -> None:
        password = f"http://user:{_quoted(PROXY_PASSWORD)}@127.0.0.1:1"
        client = fake_s3.client(credentials=KEYS, config=HASTY, proxies={"http": password})
        text = attempt(haul, name, OFFLINE[name], client)
        assert "Error" not in text, text
        broken = fake_s3.client(credentials=lambda: 1 / 0)
        attempt(haul, f"{name}, no keys", OFFLINE[name], broken)
        assert fake_s3.log() == []

    @pytest.mark.parametrize("kind", STORES)
    def test_answers(self, kind: str, tmp_path: Path, haul: Haul) -> None:
        sources(tmp_path)
        with recorder(STORES[kind]) as store:
            client = s3z.Client(endpoint_url=store.endpoint, credentials=KEYS, config=HASTY)
            text = [attempt(haul, name, call, client, tmp_path) for name, call in CALLS.items()]
        assert sum(request.signature is not None for request in store.requests) >= len(CALLS)
        assert haul.leaks(store.secrets()) == []
        SNAPSHOT.check(f"call: {kind}", together(text, tmp_path))

    @pytest.mark.parametrize("kind", ["403 signature", "no answer"])
    def test_module_functions(self, kind: str, tmp_path: Path, haul: Haul, monkeypatch: pytest.MonkeyPatch) -> None:
        sources(tmp_path)
        monkeypatch.setattr("s3z._api._default", None)
        with recorder(STORES[kind]) as store, monkeypatch.context() as settings:
            for name, value in ENVIRONMENT.items():
                settings.setenv(name, value)
            settings.setenv("AWS_ENDPOINT_URL", store.endpoint)
            settings.setenv("AWS_MAX_ATTEMPTS", "1")
            for name, call in CALLS.items():
                attempt(haul, name, call, s3z, tmp_path)
        assert store.secrets()
        assert haul.leaks(store.secrets()) == []

    def test_no_connection(self, tmp_path: Path, haul: Haul) -> None:
        sources(tmp_path)
        client = s3z.Client(endpoint_url=closed_port(), credentials=KEYS, config=HASTY)
        text = [attempt(haul, name, call, client, tmp_path) for name, call in CALLS.items()]
        SNAPSHOT.check("call: no connection", together(text, tmp_path))

    @pytest.mark.parametrize("mode", ["other-ca", "wrong-name", "expired", "no TLS"])
    def test_tls(self, mode: str, tmp_path: Path, haul: Haul) -> None:
        sources(tmp_path)
        with contextlib.ExitStack() as stack:
            if mode == "no TLS":
                store = stack.enter_context(recorder(page))
                client = s3z.Client(
                    endpoint_url=store.endpoint.replace("http", "https"), credentials=KEYS, config=HASTY
                )
            else:
                authority = tmp_path.with_suffix(".pem")
                server = FakeS3(f"--tls={mode}", "--ca-out", str(authority))
                stack.callback(server.stop)
                client = server.client(credentials=KEYS, config=HASTY, ca_bundle=authority)
            text = [attempt(haul, name, call, client, tmp_path) for name, call in CALLS.items()]
            if mode != "no TLS":
                assert server.log() == [], "a request went over a connection that is not trusted"
        SNAPSHOT.check(f"call: TLS, {mode}", together(text, tmp_path))

    def test_timeout(self, tmp_path: Path, haul: Haul) -> None:
        sources(tmp_path)
        with silent() as store:
            client = s3z.Client(endpoint_url=store.endpoint, credentials=KEYS, config=IMPATIENT)
            text = [attempt(haul, name, call, client, tmp_path) for name, call in CALLS.items()]
            client = s3z.Client(endpoint_url=store.endpoint, credentials=KEYS, config=HASTY)
            late = ("s3://b/k", tmp_path / "out" / "k")
            text.append(attempt(haul, "download with a deadline", client.download, *late, deadline=0.3))
        assert store.secrets()
        assert haul.leaks(store.secrets()) == []
        SNAPSHOT.check("call: timeout", together(text, tmp_path))

    def test_interrupt(self, tmp_path: Path, haul: Haul) -> None:
        sources(tmp_path)

        def interrupt(*_: object) -> None:
            raise KeyboardInterrupt

        before = signal.signal(signal.SIGALRM, interrupt)
        try:
            with silent() as store:
                client = s3z.Client(endpoint_url=store.endpoint, credentials=KEYS, config=HASTY)
                for name, call in CALLS.items():
                    signal.setitimer(signal.ITIMER_REAL, 0.2)
                    text = attempt(haul, name, call, client, tmp_path)
                    assert text.startswith(f"{name}: KeyboardInterrupt"), text
        finally:
            signal.setitimer(signal.ITIMER_REAL, 0)
            signal.signal(signal.SIGALRM, before)
        assert haul.leaks(store.secrets()) == []

    def test_disk(self, fake_s3: FakeS3, tmp_path: Path, haul: Haul) -> None:
        fake_s3.do("rotate_keys", access_key=KEYS["aws_access_key_id"], secret_key=SECRET, session_token=TOKEN)
        fake_s3.pattern("b", "k", 4 * MIB)
        client = fake_s3.client(credentials=KEYS, config=HASTY)
        (tmp_path / "file").write_text("x")
        (tmp_path / "directory").mkdir()
        os.mkfifo(tmp_path / "fifo")
        text = [
            attempt(haul, "no directory", client.download, "s3://b/k", tmp_path / "file" / "k"),
            attempt(haul, "exists", client.download, "s3://b/k", tmp_path / "file", overwrite=False),
            attempt(haul, "no source", client.upload, tmp_path / "missing", "s3://b/k"),
            attempt(haul, "a directory", client.upload, tmp_path / "directory", "s3://b/k"),
            attempt(haul, "a FIFO", client.upload, tmp_path / "fifo", "s3://b/k"),
        ]
        limits = resource.getrlimit(resource.RLIMIT_FSIZE)
        resource.setrlimit(resource.RLIMIT_FSIZE, (MIB, limits[1]))
        try:
            text.append(attempt(haul, "too large", client.download, "s3://b/k", tmp_path / "k"))
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, limits)
        SNAPSHOT.check("call: disk", together(text, tmp_path))

    def test_settings(self, tmp_path: Path, haul: Haul, monkeypatch: pytest.MonkeyPatch) -> None:
        """S13, S5: what is malformed is named, and not shown where it may hold a secret."""
        proxy = f"http://user:{PROXY_PASSWORD}@127.0.0.1:1"
        signed = PRESIGNED.replace("https://", f"https://user:{PROXY_PASSWORD}@")
        text = [
            attempt(haul, f"{', '.join(given)} ({number})", s3z.Client, credentials=KEYS, **given)
            for number, given in enumerate(
                [
                    {"region": "no region"},
                    {"endpoint_url": PRESIGNED},
                    {"endpoint_url": signed},
                    {"endpoint_url": f"user:{PROXY_PASSWORD}@host"},
                    {"proxies": {"http": proxy, "ftp": proxy}},
                    {"proxies": {"http": proxy.replace("http", "socks5")}},
                    {"proxies": {"http": f"{proxy}x"}, "endpoint_url": "http://127.0.0.1:1"},
                    {"ca_bundle": tmp_path / "missing"},
                    {"profile": "missing"},
                    {"client": object()},
                    {"anonymous": True},
                    {"addressing_style": "none"},
                ]
            )
        ]
        with monkeypatch.context() as settings:
            settings.setenv("S3Z_PART_SIZE", "much")
            text.append(attempt(haul, "environment", s3z.Client, credentials=KEYS, proxies={"http": proxy}))
        SNAPSHOT.check("call: settings", together(text, tmp_path))

    @pytest.mark.parametrize("uri", [PRESIGNED, f"s3://{KEYS['aws_access_key_id']}:{PROXY_PASSWORD}@b/k"])
    def test_uris(self, uri: str, tmp_path: Path, haul: Haul) -> None:
        """S13: a presigned URL, or keys in a URI, where a plain one belongs."""
        sources(tmp_path)
        client = s3z.Client(endpoint_url=closed_port(), credentials=KEYS, config=HASTY)
        text = [
            attempt(haul, "download from", client.download, uri, tmp_path / "k"),
            attempt(haul, "download to", client.download, "s3://b/k", uri),
            attempt(haul, "upload from", client.upload, uri, "s3://b/k"),
            attempt(haul, "upload to", client.upload, tmp_path / "small", uri),
            attempt(haul, "list", lambda: list(client.list(uri))),
            attempt(haul, "head", client.head, uri),
            attempt(haul, "exists", client.exists, uri),
            attempt(haul, "delete", client.delete, uri),
            attempt(haul, "delete, of many", client.delete, [uri]),
        ]
        SNAPSHOT.check(f"call: {uri.partition(':')[0]} URI with secrets", together(text, tmp_path))

    def test_headers(self, tmp_path: Path, haul: Haul) -> None:
        """S3: a key for SSE-C is as secret as Authorization, whichever way it is tried."""
        sources(tmp_path)
        client = s3z.Client(endpoint_url=closed_port(), credentials=KEYS, config=HASTY)
        header = "x-amz-server-side-encryption-customer-key"
        text = []
        for number, given in enumerate(
            [
                {"extra_args": {"SSECustomerAlgorithm": "AES256", "SSECustomerKey": SSE_KEY}},
                {"extra_args": {header: SSE_KEY}},
                {"metadata": {header: SSE_KEY}},
                {"metadata": {header: f"{SSE_KEY}\r\n"}},
                {"metadata": {header: f"ü{SSE_KEY}"}},
                {"metadata": {header: SSE_KEY.encode()}},
                {"sse_kms_key_id": f" {SSE_KEY}"},
                {"extra_args": {"SSEKMSEncryptionContext": f"{SSE_KEY}\n"}},
            ]
        ):
            name = f"{', '.join(given)} ({number})"
            text.append(attempt(haul, name, client.upload, tmp_path / "small", "s3://b/k", **given))
        SNAPSHOT.check("call: headers", together(text, tmp_path))


class TestValues:
    """S6, S10: what objects show of themselves, by words, attributes, pickles and copies."""

    def test_all(self, fake_s3: FakeS3, tmp_path: Path, haul: Haul, monkeypatch: pytest.MonkeyPatch) -> None:
        sources(tmp_path)
        fake_s3.do("rotate_keys", access_key=KEYS["aws_access_key_id"], secret_key=SECRET, session_token=TOKEN)
        fake_s3.put("b", "k", b"hello")
        fake_s3.put("b", "k/below", b"hello")
        with_password = {"http": f"http://user:{PROXY_PASSWORD}@127.0.0.1:1", "no_proxy": "127.0.0.1"}
        with monkeypatch.context() as settings:
            for name, value in ENVIRONMENT.items():
                settings.setenv(name, value)
            values: dict[str, object] = {
                "Client, keys given": fake_s3.client(credentials=KEYS, config=HASTY, proxies=with_password),
                "Client, keys from the environment": s3z.Client(endpoint_url=fake_s3.endpoint),
                "TransferConfig": HASTY,
            }
            client: Any = values["Client, keys given"]
            values["Settings"] = client._settings
            values["Settings.proxies"] = client._settings.proxies
            values["Resolver"] = client._find
            values["Profiles"] = client._find.profiles
            values["core"] = client._native()
            values |= {name: call(client, tmp_path) for name, call in CALLS.items() if not name.startswith("delete")}
            for name, value in values.items():
                haul.add_value(name, value)
            for name in ("_arguments", "_settings", "_find", "_core"):
                haul.add_value(name, getattr(client, name))
        sent = {name for record in fake_s3.log() for name, _ in record["headers"]}
        assert {"authorization", "x-amz-security-token"} <= sent, "nothing was signed, nothing could leak"
        shown = [
            f"{name}: {value!r}{_html(value)}"
            for name, value in values.items()
            # Of an archive hardly a number is the same twice.
            if name not in ("TransferConfig", "Settings", "list", "pack", "pack, of a prefix", "unpack")
        ]
        text = re.sub(r"\d\.\d\ds, [\d.]+[KMG]?/s", "Ns, N/s", masked("\n".join(shown), tmp_path))
        text = re.sub(r"(seconds|last_modified)(</th><td[^>]*>)[^<]*", r"\1\2N", text)
        text = re.sub(
            r"(date|last-modified|x-amz-request-id|x-amz-id-2)&#x27;: &#x27;.*?&", r"\1&#x27;: &#x27;N&", text
        )
        text = re.sub(r" at 0x\w+", "", text)
        SNAPSHOT.check("objects", text.replace(' style="text-align:left"', ""))

    def test_a_proxy_password_reaches_the_proxy_only(self, tmp_path: Path, haul: Haul) -> None:
        """S5: sent where it belongs (else this test would prove nothing), shown nowhere."""
        sources(tmp_path)
        with recorder(refusing("403 Forbidden", "AccessDenied")) as proxy:
            url = proxy.endpoint.replace("http://", f"http://user:{_quoted(PROXY_PASSWORD)}@")
            client = s3z.Client(
                endpoint_url="http://store.invalid", credentials=KEYS, config=HASTY, proxies={"http": url}
            )
            text = [attempt(haul, name, call, client, tmp_path) for name, call in CALLS.items()]
        assert any("proxy-authorization" in request.headers for request in proxy.requests)
        assert haul.leaks(proxy.secrets()) == []
        SNAPSHOT.check("call: through a proxy", together(text, tmp_path))


def _html(value: object) -> str:
    html = getattr(value, "_repr_html_", None)
    return f"\n    {html()}" if html else ""


def _quoted(text: str) -> str:
    return "".join(f"%{byte:02X}" for byte in text.encode())


class TestCommands:
    """S7, S8, S16: the same through the command, whatever it is told to tell."""

    def test_every_command_is_here(self) -> None:
        assert {run[0] for run in (*RUNS, *OFFLINE_RUNS)} == set(COMMANDS)

    @pytest.mark.parametrize("run", OFFLINE_RUNS, ids=" ".join)
    @pytest.mark.parametrize("form", [[], ["--json"], ["--log=trace"]], ids=str)
    def test_commands_without_a_request(
        self, run: list[str], form: list[str], fake_s3: FakeS3, command: Callable[..., Command]
    ) -> None:
        outcome = command(fake_s3)(*form, *run, env=ENVIRONMENT)
        assert seen_in(outcome.stderr) == []
        if run[0] == "config":
            assert seen_in(outcome.stdout) == []
        else:
            # The URL is what was asked for; the secret itself is no part of it.
            assert not {"secret", "proxy password"} & set(seen_in(outcome.stdout))
        assert fake_s3.log() == []

    def test_no_option_takes_a_secret(self) -> None:
        """S8: command lines are seen by everyone on the machine."""
        own = {option.name for options, _, _ in COMMANDS.values() for option in options}
        words = ("secret", "password", "token", "access-key", "customer-key", "sse-c")
        assert not [name for name in own for word in words if word in name.replace("sse-kms-key-id", "")]

    @pytest.mark.parametrize("kind", STORES)
    def test_answers(self, kind: str, command: Callable[..., Command], tmp_path: Path) -> None:
        sent_by_runs(tmp_path)
        haul, shown = Haul(), []
        with recorder(STORES[kind]) as store:
            environment = {**ENVIRONMENT, "AWS_ENDPOINT_URL": store.endpoint}
            for run in RUNS:
                for form in ([], ["--json"]):
                    flags = [*form, "--log", "trace", "-r", "0", "--read-timeout", "5s"]
                    status = None if run[0] in NO_BODY and "XML" in kind else 1
                    outcome = command()(*flags, *run, status=status, env=environment)
                    haul.add(f"{run} stdout", outcome.stdout)
                    haul.add(f"{run} stderr", outcome.stderr)
                    if not form or run is RUNS[0]:
                        shown += [f"$ s3z {' '.join([*form, *run])}", *_without_trace(outcome.errors)]
        haul.add_files(tmp_path)
        assert store.secrets()
        assert haul.leaks(store.secrets()) == []
        SNAPSHOT.check(f"command: {kind}", masked("\n".join(shown), tmp_path))

    @pytest.mark.parametrize("level", ["--log=debug", "--log=info", "--log=error", "--quiet", "--only-show-errors"])
    @pytest.mark.parametrize("kind", ["403 signature", "500", "no HTTP"])
    def test_levels(self, kind: str, level: str, command: Callable[..., Command], tmp_path: Path) -> None:
        sent_by_runs(tmp_path)
        with recorder(STORES[kind]) as store:
            environment = {**ENVIRONMENT, "AWS_ENDPOINT_URL": store.endpoint}
            outcomes = [command()(level, "--stat", "-r", "0", *run, status=1, env=environment) for run in RUNS]
        for outcome in outcomes:
            assert outcome.stderr
            assert seen_in(outcome.stdout + outcome.stderr, store.secrets()) == [], outcome

    def test_terminal(self, command: Callable[..., Command], tmp_path: Path) -> None:
        """What is drawn on a terminal, progress too."""
        sent_by_runs(tmp_path)
        with recorder(STORES["403 signature"]) as store:
            environment = {**ENVIRONMENT, "AWS_ENDPOINT_URL": store.endpoint, "TERM": "xterm"}
            for run in RUNS:
                if run[0] == "pipe":
                    continue  # it waits for what is typed
                drawn = command().on_terminal("--sp", "--log=trace", "-r0", *run, status=1, **environment)
                assert "ERROR" in drawn
                assert seen_in(drawn, store.secrets()) == [], drawn

    def test_success(self, fake_s3: FakeS3, command: Callable[..., Command], tmp_path: Path) -> None:
        fake_s3.do("rotate_keys", access_key=KEYS["aws_access_key_id"], secret_key=SECRET, session_token=TOKEN)
        fake_s3.put("b", "k", b"hello")
        run = command(fake_s3)
        for level in ("trace", "debug", "info", "error"):
            for form in ([], ["--json"], ["--dry-run"]):
                for arguments in (["cp", "s3://b/k", "out"], ["ls"], ["ls", "s3://b"], ["cp", "out", "s3://b/l"]):
                    outcome = run(f"--log={level}", "--stat", "--log-progress=0.1", *form, *arguments, env=ENVIRONMENT)
                    assert seen_in(outcome.stdout + outcome.stderr) == [], outcome
        assert any("authorization" in dict(record["headers"]) for record in fake_s3.log())
        for path in tmp_path.rglob("*"):
            assert path.is_dir() or seen_in(path.read_bytes()) == []

    @pytest.mark.parametrize("uri", [PRESIGNED, f"s3://{KEYS['aws_access_key_id']}:{PROXY_PASSWORD}@b/k"])
    def test_uris(self, uri: str, command: Callable[..., Command], tmp_path: Path) -> None:
        sent_by_runs(tmp_path)
        shown = []
        for form in ([], ["--json"]):
            for arguments in (
                ["cp", uri, "out"], ["cp", "small", uri], ["cp", "--no-clobber", uri, uri], ["ls", uri],
                ["--endpoint-url", uri, "ls"], ["--no-sign-request", "--endpoint-url", f"x{uri}", "ls"],
            ):  # fmt: skip
                outcome = command()("--log=trace", *form, *arguments, status=None, env=ENVIRONMENT)
                assert outcome.status in (1, 2)
                assert seen_in(outcome.stdout + outcome.stderr) == [], outcome
                shown += [f"$ s3z {' '.join([*form, *arguments])}".replace(uri, "URI"), *_without_trace(outcome.errors)]
        SNAPSHOT.check(f"command: {uri.partition(':')[0]} URI with secrets", masked("\n".join(shown), tmp_path))

    @pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL], ids=lambda each: each.name)
    def test_killed(
        self, number: signal.Signals, fake_s3: FakeS3, command: Callable[..., Command], tmp_path: Path
    ) -> None:
        """S10: what an ended download leaves behind, the ledger for the next run included."""
        fake_s3.do("rotate_keys", access_key=KEYS["aws_access_key_id"], secret_key=SECRET, session_token=TOKEN)
        fake_s3.pattern("b", "k", 96 * MIB)
        fake_s3.switch(rate_total=48 * MIB)
        (tmp_path / "out").mkdir()
        process = command(fake_s3).start(
            "--log=trace", "--log-progress=0.1", "cp", "s3://b/k", "out/k", env=ENVIRONMENT
        )
        assert process.stderr is not None
        for line in process.stderr:
            if re.match(rb"PROGRESS [1-9][\d.]*M/", line):
                break
        process.send_signal(number)
        rest = process.communicate(timeout=30)
        assert process.returncode == -number
        assert seen_in(line + rest[0] + rest[1]) == []
        haul = Haul()
        haul.add_files(tmp_path)
        assert leftovers(tmp_path) or number != signal.SIGKILL
        assert haul.leaks() == []
        for name in leftovers(tmp_path):
            Path(name).unlink()


def _without_trace(lines: list[str]) -> list[str]:
    """Lines as `--log info` has them: the rest, with its numbers of lines, is searched but not kept."""
    return [line for line in lines if not line.startswith(("TRACE", '{"record":"log","level":"trace"'))]


@pytest.mark.parametrize("field", ["Message", "Code", "RequestId", "HostId"])
def test_a_store_that_says_them_itself(field: str, haul: Haul, tmp_path: Path) -> None:
    def give(request: Seen) -> bytes:
        token = request.headers["x-amz-security-token"]
        fields = {"Code": "AccessDenied", "Message": "no", "RequestId": "R", "HostId": "H", field: f"not {token}"}
        return answer("403 Forbidden", f"<Error>{''.join(f'<{n}>{v}</{n}>' for n, v in fields.items())}</Error>")

    with recorder(give) as store:
        client = s3z.Client(endpoint_url=store.endpoint, credentials=KEYS, config=HASTY)
        found = Haul()
        attempt(found, "download", client.download, "s3://b/k", tmp_path / "k")
    assert found.leaks() == []


class Leaky:
    """Shows a secret in one place, and holds none anywhere else."""

    def __init__(self, place: str) -> None:
        self.place = place
        if place == "vars":
            self.held = SECRET

    def __repr__(self) -> str:
        return f"Leaky({SECRET})" if self.place == "repr" else "Leaky()"

    def __str__(self) -> str:
        return f"{SECRET}" if self.place == "str" else "leaky"

    def _repr_html_(self) -> str:
        return f"<b>{SECRET}</b>" if self.place == "_repr_html_" else "<b></b>"

    def __reduce__(self) -> tuple[object, ...]:
        return (Leaky, (f"pickled {SECRET}" if self.place == "pickle" else self.place,))


class TestTheSearch:
    """A search that finds nothing proves nothing unless it finds what is planted."""

    @pytest.mark.parametrize("name", CANARIES)
    def test_forms(self, name: str) -> None:
        for form in forms(CANARIES[name]):
            assert name in seen_in(b"before" + form + b"after"), form
        assert seen_in("nothing") == []

    @pytest.mark.parametrize("place", ["repr", "str", "vars", "_repr_html_", "pickle"])
    def test_values(self, place: str) -> None:
        haul = Haul()
        haul.add_value("object", Leaky("nowhere"))
        assert haul.leaks() == []
        haul.add_value("object", Leaky(place))
        assert any(f"object: {place}" in leak for leak in haul.leaks())

    @pytest.mark.parametrize("place", ["args", "note", "vars", "cause", "context", "context of a context"])
    def test_errors(self, place: str) -> None:
        error = ValueError(SECRET if place == "args" else "no")
        if place == "note":
            error.add_note(TOKEN)
        elif place == "vars":
            error.key = SECRET  # type: ignore[attr-defined]
        elif place == "cause":
            error.__cause__ = ValueError(SECRET)
        elif place == "context":
            error.__context__, error.__suppress_context__ = ValueError(SECRET), True
        elif place == "context of a context":
            error.__context__ = ValueError("no")
            error.__context__.__context__ = ValueError(SECRET)
        haul = Haul()
        haul.add_error("error", error)
        assert haul.leaks()

    def test_local_variables(self) -> None:
        """A frame of a library is seen, one of the tests is not: what tests hold is theirs."""
        scope: dict[str, Any] = {}
        exec(compile("def fail(keys):\n    raise ValueError('no')\n", "/library.py", "exec"), scope)
        for secret, expected in ((SECRET, True), ("plain", False)):
            haul = Haul()
            with pytest.raises(ValueError, match="no") as caught:
                scope["fail"](secret)
            haul.add_error("error", caught.value)
            assert bool(haul.leaks()) is expected

    def test_logs_and_files(self, tmp_path: Path) -> None:
        logger = logging.getLogger("botocore.planted")
        for say in (
            lambda: logger.debug("%s", SECRET),
            lambda: logger.debug("no", extra={"held": TOKEN}),
            lambda: logger.warning("no", exc_info=ValueError(SECRET)),
        ):
            haul = Haul()
            with listening() as records:
                say()
            haul.add_log(records)
            assert haul.leaks()
        (tmp_path / "ledger").write_bytes(b"\0" + SSE_KEY.encode())
        haul = Haul()
        haul.add_files(tmp_path)
        assert haul.leaks()

    def test_a_leaky_client_is_found(self, tmp_path: Path) -> None:
        """The very collection of the tests above, with a client that talks."""

        class Talkative:
            def download(self, source: str, destination: Path) -> None:
                raise s3z.AccessDeniedError(f"denied for {SECRET}", bucket="b")

        haul = Haul()
        attempt(haul, "download", lambda: CALLS["download"](Talkative(), tmp_path))
        assert haul.leaks()


def test_the_snapshot_holds_no_secret_and_nothing_stale() -> None:
    sections = SNAPSHOT.sections()
    assert seen_in(SNAPSHOT.path.read_bytes()) == []
    kinds = {f"{what}: {kind}" for what in ("call", "command") for kind in STORES}
    others = {
        "objects", "call: no connection", "call: timeout", "call: disk", "call: settings", "call: headers",
        "call: through a proxy", *(f"call: TLS, {mode}" for mode in ("other-ca", "wrong-name", "expired", "no TLS")),
        *(f"{what}: {scheme} URI with secrets" for what in ("call", "command") for scheme in ("https", "s3")),
    }  # fmt: skip
    assert set(sections) == kinds | others
