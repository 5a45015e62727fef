"""S25: an endpoint that means harm. One process downloads from it again and again, in little memory and little time.

Each answer ends in a typed error or in the right bytes; the old file stays or the new one is whole. What each fault of
the matrix demands in detail is tested elsewhere; here all of them meet one process, one after the other.
"""

from __future__ import annotations

import base64
import contextlib
import os
import socket
import threading
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from support.data import MIB, is_pattern, leftovers
from support.kill import Child, Report

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    import pytest
    from support.servers import FakeS3

SIZE = 20 * MIB + 777
OLD = b"what was there before"
#: a bare `S3zError` is none: it stands for a defect of s3z itself
TYPED = {
    "NotFoundError", "AccessDeniedError", "CredentialsError", "ObjectChangedError", "IntegrityError",
    "TransferTimeoutError", "TransferConnectionError", "ThrottledError", "ServiceError",
}  # fmt: skip
MEMORY = 256 * MIB
SECONDS = 60


@dataclass(frozen=True)
class Case:
    """One kind of harm.

    Attributes:
        rules: of fake-s3, each `(action, match)`.
        stream: what a server of its own says after the request, for ever if it does not end.
        also: errors that are as good as a typed one here.
    """

    name: str
    rules: list[tuple[dict[str, Any], dict[str, Any]]] = field(default_factory=list)
    stream: Callable[[], Iterator[bytes]] | None = None
    options: dict[str, Any] = field(default_factory=dict)
    also: tuple[str, ...] = ()


def _raw(name: str, answer: bytes, **match: Any) -> Case:
    action = {"type": "raw", "bytes": {"base64": base64.b64encode(answer).decode()}}
    return Case(name, [(action, {"operation": "GetObject", "key": "k", **match})])


def _get(name: str, *actions: dict[str, Any], options: dict[str, Any] | None = None, **match: Any) -> Case:
    rules = [(action, {"operation": "GetObject", "key": "k", **match}) for action in actions]
    return Case(name, rules, options=options or {})


def _head(name: str, *actions: dict[str, Any]) -> Case:
    return Case(name, [(action, {"operation": "HeadObject", "key": "k"}) for action in actions])


def _header(name: str, value: str) -> dict[str, Any]:
    return {"type": "header", "name": name, "value": value}


def _error(name: str, body: str, status: int = 500) -> Case:
    return _get(f"error body: {name}", {"type": "respond", "status": status, "body": body})


CHUNKED = b"Transfer-Encoding: chunked\r\n\r\n"
GOOD_HEAD = b'HTTP/1.1 206 Partial Content\r\nETag: "e"\r\nContent-Range: bytes 0-8388607/20000000\r\n'

HEADS = [
    _raw("nothing", b""),
    _raw("noise", bytes(range(256)) * 40),
    _raw("zeros", bytes(100_000)),
    _raw("another protocol", b"SSH-2.0-OpenSSH_9.2p1\r\n"),
    _raw("HTTP/9.9", b"HTTP/9.9 200 OK\r\nContent-Length: 1\r\n\r\nx"),
    _raw("HTTP/2 preface", b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"),
    _raw("status 999", b"HTTP/1.1 999 Odd\r\nContent-Length: 0\r\n\r\n"),
    _raw("status abc", b"HTTP/1.1 abc Odd\r\n\r\n"),
    _raw("status 0", b"HTTP/1.1 000 Odd\r\nContent-Length: 0\r\n\r\n"),
    *(
        _raw(f"status {status}", b"HTTP/1.1 %d Odd\r\nContent-Length: 0\r\nConnection: close\r\n\r\n" % status)
        for status in (101, 201, 202, 204, 205, 300, 304, 305, 402, 406, 418, 451, 505, 599)
    ),
    _raw("reason of 1 MB", b"HTTP/1.1 200 " + b"x" * 1_000_000 + b"\r\nContent-Length: 0\r\n\r\n"),
    _raw("value of 1 MB", GOOD_HEAD + b"X-Long: " + b"x" * 1_000_000 + b"\r\nContent-Length: 0\r\n\r\n"),
    _raw("ETag of 200 kB", GOOD_HEAD.replace(b'"e"', b'"' + b"e" * 200_000 + b'"') + b"Content-Length: 0\r\n\r\n"),
    _raw("name of 1 MB", GOOD_HEAD + b"x" * 1_000_000 + b": y\r\n\r\n"),
    _raw("10,000 fields", GOOD_HEAD + b"X-A: b\r\n" * 10_000 + b"\r\n"),
    _raw("no line end", GOOD_HEAD + b"x" * 2_000_000),
    _raw("NUL in a value", GOOD_HEAD + b"X-A: a\0b\r\nContent-Length: 0\r\n\r\n"),
    _raw("folded line", GOOD_HEAD + b"X-A: a\r\n b\r\nContent-Length: 0\r\n\r\n"),
    _raw("blank in a name", GOOD_HEAD + b"Content Length: 5\r\n\r\nhello"),
    _raw("blank before the colon", GOOD_HEAD + b"Content-Length : 5\r\n\r\nhello"),
]

LENGTHS = [
    *(
        _raw(f"Content-Length {value!r}", GOOD_HEAD + b"Content-Length: " + value + b"\r\n\r\nhello")
        for value in (
            b"-1", b"+5", b"5, 5", b"5,6", b"0x5", b"5 5", b"", b"18446744073709551616", b"18446744073709551615",
            b"9223372036854775808", b"99999999999999999999999999",
        )
    ),
    _raw("two lengths", GOOD_HEAD + b"Content-Length: 5\r\nContent-Length: 6\r\n\r\nhello"),
    _raw("length and chunked", GOOD_HEAD + b"Content-Length: 5\r\n" + CHUNKED + b"5\r\nhello\r\n0\r\n\r\n"),
    _raw("gzip as transfer coding", GOOD_HEAD + b"Transfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n"),
    *(
        _raw(f"chunk {value[:20]!r}", GOOD_HEAD + CHUNKED + value)
        for value in (
            b"ffffffffffffffff\r\nx", b"fffffffffffffffff\r\nx", b"-1\r\nx", b"+5\r\nhello\r\n0\r\n\r\n", b"5\r\nhel",
            b"5;" + b"x" * 1_000_000 + b"\r\nhello\r\n0\r\n\r\n", b"zz\r\n", b"\r\n\r\n", b"5\r\nhelloXX0\r\n\r\n",
            b"0\r\n" + b"X-T: y\r\n" * 100_000 + b"\r\n", b"1;a\r\nx\r\n" * 50_000,
        )
    ),
]  # fmt: skip

RANGES = [
    *(
        _get(f"Content-Range {value}", _header("Content-Range", value))
        for value in (
            "bytes 0-8388607/18446744073709551615", "bytes 0-8388607/18446744073709551616",
            "bytes 0-8388607/9223372036854775808", "bytes 0-8388607/53687091200001", "bytes 0-8388607/*", "bytes */5",
            "bytes */*", "bytes 0-/20972297", "bytes -5/20972297", "bytes 0-8388607/-1", "bytes 5-1/20972297",
            "bytes 0-18446744073709551615/20972297", "lines 0-8388607/20972297", "bytes 0-8388607", "", "bytes",
            "bytes 0-8388607/8388607", "bytes 0-8388607/1", "bytes 0x0-0x7fffff/20972297", "bytes 00-8388607/20972297",
            "bytes 0-8388607/20972297, bytes 0-8388607/20972297", "bytes 0 - 8388607 / 20972297",
        )
    ),
    _get("no Content-Range", {"type": "header", "name": "Content-Range"}),
    _get("two Content-Ranges", {"type": "header", "name": "Content-Range", "doubled": True}),
    _get("multipart", _header("Content-Type", "multipart/byteranges; boundary=x")),
    _get("wrong start", {"type": "wrong_content_range", "start": 7}),
    _get("total differs each time", {"type": "wrong_content_range", "total": SIZE + 5}, range_min=1),
    _get("a byte at a time", {"type": "short_range", "bytes": 1}),
    _get("nothing at a time", {"type": "truncate", "after": 0}),
    _get("longer than asked for", {"type": "long_range", "bytes": 100_000}),
    _get("ranges ignored", {"type": "ignore_range"}),
    _get("ranges ignored later", {"type": "ignore_range"}, range_min=1),
    _get("more behind the end", {"type": "trailing_bytes", "bytes": "HTTP/1.1 200 OK\r\n\r\n" * 9}),
    _get("another version each time", {"type": "swap_version", "seed": 5}),
    _get("flipped bits", {"type": "bit_flip", "offset": 11 * MIB}),
]  # fmt: skip

# The largest total there is may be believed; then the disk says no.
HUGE = [
    Case(
        "as large as can be",
        [(_header("Content-Range", f"bytes 0-8388607/{10_000 * 5 << 30}"), {"operation": "GetObject", "key": "k"})],
        also=("OSError",),
    )
]

FIELDS = [
    *(_get(f"ETag {value!r}", _header("ETag", value)) for value in ("", '"', "W/", 'W/"x"', "\x80\xff", '"a" "b"')),
    _get("no ETag", {"type": "header", "name": "ETag"}),
    _get("two ETags", {"type": "header", "name": "ETag", "doubled": True}),
    _get("an ETag of each answer's own", _header("ETag", '"other"'), range_min=1),
    *(
        _get(f"Last-Modified {value!r}", _header("Last-Modified", value))
        for value in ("", "yesterday", "Thu, 01 Jan 99999 00:00:00 GMT", "Thu, 31 Feb 1900 25:61:61 GMT")
    ),
    _get("gzip", _header("Content-Encoding", "gzip")),
    _get("version id of 100 kB", _header("x-amz-version-id", "v" * 100_000)),
    *(
        _head(f"checksum {value[:20]!r}", _header("x-amz-checksum-crc64nvme", value))
        for value in ("", "=", "AAAA", "AAAAAAAAAAA", "AAAAAAAAAAA=", "!" * 12, "A" * 100_000, "\xff" * 12)
    ),
    _head("checksum type", _header("x-amz-checksum-type", "SOMETHING")),
    _head("composite without parts", _header("x-amz-checksum-type", "COMPOSITE")),
    _head("composite of a million parts", _header("x-amz-checksum-crc64nvme", "AAAAAAAAAAA=-1000000")),
    _head("another ETag", _header("ETag", '"other"')),
    _head("another length", _header("Content-Length", "5")),
    _head("silence", {"type": "stall", "seconds": 60, "in_head": True}),
    _head("refused", {"type": "respond", "status": 403, "code": "AccessDenied"}),
    _head("reset", {"type": "reset", "in_head": True}),
]

LAUGHS = '<!DOCTYPE l [<!ENTITY a "ha">' + "".join(
    f'<!ENTITY {"abcdefghij"[n + 1]} "{("&" + "abcdefghij"[n] + ";") * 10}">' for n in range(9)
)
BODIES = [
    _error("billion laughs", f"{LAUGHS}]><Error><Code>&j;</Code></Error>"),
    _error("file entity", '<!DOCTYPE x [<!ENTITY e SYSTEM "file:///etc/passwd">]><Error><Code>&e;</Code></Error>'),
    _error("depth", "<a>" * 200_000),
    _error("attributes", "<Error " + " ".join(f'a{n}="b"' for n in range(20_000)) + "></Error>"),
    _error("code of 1 MB", f"<Error><Code>{'x' * 1_000_000}</Code></Error>"),
    _error("message of 60 kB", f"<Error><Code>Odd</Code><Message>{'x' * 60_000}</Message></Error>"),
    _error("escapes", "<Error><Code>\x1b[2J</Code><Message>\x1b]0;owned\x07\u202egnp.exe\r\nline</Message></Error>"),
    _error("8 MB", "x" * 8_000_000),
    _error("cut", "<Error><Code>Odd</Co"),
    _error("HTML", "<!doctype html><script>alert(1)</script>" * 1000, 404),
    _error("nothing", "", 403),
    _error("empty code", "<Error><Code></Code></Error>", 400),
    _get("error in a 200", {"type": "error_in_200", "code": "InternalError"}),
]  # fmt: skip

GOES_ELSEWHERE = [
    *(
        _get(f"{status} to {where[:30]}", {"type": "redirect", "status": status, "location": where})
        for status in (301, 302, 307, 308)
        for where in ("http://127.0.0.1:1/b/k", "file:///etc/passwd", "//evil", "http://[::1", "", "x" * 100_000)
    ),
    *(
        _get(f"region {region[:20]!r}", {"type": "redirect", "status": 301, "region": region})
        for region in ("../../evil", "a.evil.example/", "", "x" * 70_000, "A B", "eu-central-1")
    ),
]

SLOW = [
    _get("1xx, 100,000 times", {"type": "flood_1xx", "count": 100_000}, options={"deadline": 0.6}),
    _get("silence", {"type": "stall", "seconds": 60, "in_head": True}),
    _get("silence in the body", {"type": "stall", "after": 1000, "seconds": 60}),
    _get("drip", {"type": "drip", "after": 1000, "bytes_per_second": 5}, options={"deadline": 0.6}),
    _get("drip of the head", {"type": "drip", "bytes_per_second": 5, "in_head": True}, options={"deadline": 0.6}),
    _get("reset", {"type": "reset"}),
    _get("reset in the body", {"type": "reset", "after": 1}),
    _get("closed at once", {"type": "close_after_answer", "delay_ms": 0}),
    *(
        _get(
            f"wait {value}",
            {"type": "respond", "status": 503, "code": "SlowDown", "headers": {name: value}},
            options={"deadline": 0.4},
        )
        for name, value in (
            ("Retry-After", "99999999999999999999"), ("Retry-After", "-5"), ("Retry-After", "1e300"),
            ("Retry-After", "Fri, 31 Dec 9999 23:59:59 GMT"), ("x-amz-retry-after", "18446744073709551616"),
        )
    ),
]  # fmt: skip


def _for_ever(start: bytes, again: bytes) -> Callable[[], Iterator[bytes]]:
    def stream() -> Iterator[bytes]:
        yield start
        while True:
            yield again

    return stream


def _drip(start: bytes, again: bytes) -> Callable[[], Iterator[bytes]]:
    def stream() -> Iterator[bytes]:
        yield start
        while True:
            time.sleep(0.05)
            yield again

    return stream


OK = b'HTTP/1.1 200 OK\r\nETag: "e"\r\n'
CHUNK = b"10000\r\n" + b"x" * 65536 + b"\r\n"
ENDLESS = [
    Case("status line for ever", stream=_for_ever(b"HTTP/1.1 200 ", b"x" * 65536)),
    Case("head for ever", stream=_for_ever(OK, b"X-A: b\r\n" * 1000)),
    Case("head for ever, slowly", stream=_drip(OK, b"X-A: b\r\n")),
    Case("1xx for ever", stream=_for_ever(b"", b"HTTP/1.1 102 Processing\r\n\r\n" * 1000), options={"deadline": 0.6}),
    Case("1xx for ever, slowly", stream=_drip(b"", b"HTTP/1.1 100 Continue\r\n\r\n"), options={"deadline": 0.6}),
    Case(
        "error body for ever",
        stream=_for_ever(b"HTTP/1.1 500 Odd\r\nTransfer-Encoding: chunked\r\n\r\n", CHUNK),
    ),
    Case("error body for ever, without a length", stream=_for_ever(b"HTTP/1.1 404 Odd\r\n\r\n", b"<a>" * 10_000)),
    Case("error body for ever, slowly", stream=_drip(b"HTTP/1.1 500 Odd\r\n\r\n", b"<a>"), options={"deadline": 0.6}),
    Case(
        "trailers for ever",
        stream=_for_ever(OK + b"Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n", b"X-A: b\r\n" * 1000),
    ),
    Case(
        "chunk extension for ever",
        stream=_for_ever(OK + b"Transfer-Encoding: chunked\r\n\r\n5;", b"x" * 65536),
    ),
    # No total to refuse: only the deadline, or the disk, ends it.
    Case(
        "body for ever",
        stream=_for_ever(OK + CHUNKED, CHUNK),
        options={"deadline": 0.5},
    ),
]  # fmt: skip

CASES = [*HEADS, *LENGTHS, *RANGES, *HUGE, *FIELDS, *BODIES, *GOES_ELSEWHERE, *SLOW, *ENDLESS]


@contextlib.contextmanager
def _server(stream: Callable[[], Iterator[bytes]]) -> Iterator[str]:
    """Says the same to everyone, as long as they listen."""
    listener = socket.create_server(("127.0.0.1", 0))
    over = threading.Event()

    def talk(connection: socket.socket) -> None:
        with connection, contextlib.suppress(OSError):
            connection.settimeout(5)
            connection.recv(1 << 16)
            for part in stream():
                if over.is_set():
                    return
                connection.sendall(part)

    def accept() -> None:
        threads = []
        with contextlib.suppress(OSError):
            while True:
                connection, _ = listener.accept()
                threads.append(threading.Thread(target=talk, args=(connection,), daemon=True))
                threads[-1].start()
        for thread in threads:
            thread.join(10)

    thread = threading.Thread(target=accept, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{listener.getsockname()[1]}"
    finally:
        over.set()
        listener.shutdown(socket.SHUT_RDWR)
        listener.close()
        thread.join(20)


def _wrong(case: Case, report: Report, destination: Path) -> str | None:
    """What is wrong with how it ended."""
    left = sorted(os.listdir(destination.parent))
    if left != ["k"]:
        return f"left in the directory: {left}"
    if report.failed is None:
        if case.stream is not None or not any(is_pattern(destination, SIZE, seed) for seed in (1, 5)):
            return f"success, and the wrong bytes: {report.done}"
        return None
    error = report.failed
    if destination.read_bytes() != OLD:
        return "the old file has changed"
    if error.type not in TYPED and not set(case.also) & set(error.bases):
        return f"not an error of a class of its own: {error.type}: {error.text[:300]}"
    shown = " ".join([error.text, *error.notes])
    if len(shown) > 4096 or not shown.isprintable():
        return f"a text that is no text: {shown[:200]!r}"
    if "root:" in shown:
        return "a local file is in the error"
    return None


def _group() -> Path | None:
    """A memory cgroup of 256 MiB, where one can be made."""
    group = Path(f"/sys/fs/cgroup/memory/s3z-malicious-{os.getpid()}")
    try:
        group.mkdir()
        (group / "memory.limit_in_bytes").write_text(str(MEMORY))
    except OSError:
        return None
    return group


class Tour:
    """One process after all cases; another one only if it hangs or dies, which is a failure."""

    def __init__(self, server: FakeS3, directory: Path, group: Path | None) -> None:
        self.wrong: list[str] = []
        self.spent, self.peak, self.errors, self.slowest = 0.0, 0, 0, (0.0, "")
        self._server, self._directory, self._group = server, directory, group
        self._destination = directory / "out/k"

    def child(self) -> Child:
        """What meets them."""

        def enter() -> None:
            if self._group is not None:
                (self._group / "cgroup.procs").write_text(str(os.getpid()))

        config = {"max_attempts": 2, "read_timeout": 0.3, "connect_timeout": 1.0}
        prefix = ("prlimit", f"--data={MEMORY}", "--")
        self._server.put("b", "warm", b"warm")
        return Child(self._server, self._directory, config=config, prefix=prefix, preexec=enter)

    def run(self, cases: list[Case]) -> None:
        """All of them, with as few processes as they leave alive."""
        left = list(reversed(cases))
        while left:
            with self.child() as child:
                while left:
                    case = left.pop()
                    try:
                        self._meet(child, case)
                    except (AssertionError, ChildProcessError) as error:
                        self.wrong.append(f"{case.name}: {str(error)[:1000]}")
                        break
                else:
                    self._is_well(child)

    def _meet(self, child: Child, case: Case) -> None:
        self._server.do("reset")
        self._server.pattern("b", "k", SIZE)
        for left in self._destination.parent.iterdir():
            left.unlink()
        self._destination.write_bytes(OLD)
        for action, match in case.rules:
            self._server.rule(action, **match)
        with contextlib.ExitStack() as stack:
            endpoint = self._server.endpoint if case.stream is None else stack.enter_context(_server(case.stream))
            client = {"endpoint_url": endpoint}
            report = child.download("s3://b/k", self._destination, timeout=15, client=client, **case.options)
        if reason := _wrong(case, report, self._destination):
            self.wrong.append(f"{case.name}: {reason}")
        self.spent, self.peak = self.spent + report.seconds, max(self.peak, report.peak)
        self.errors += report.failed is not None
        self.slowest = max(self.slowest, (report.seconds, case.name))

    def _is_well(self, child: Child) -> None:
        """After all of that it downloads as ever."""
        self._server.do("reset")
        self._server.pattern("b", "k", SIZE)
        child.download("s3://b/k", self._destination, client={}).ok()
        assert is_pattern(self._destination, SIZE)
        assert len(os.listdir(f"/proc/{child.pid}/fd")) < 600, "connections are not kept for ever"


def test_malicious_endpoint(fake_s3: FakeS3, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """All of it within 60 seconds and 256 MiB, by one process that stays well."""
    (tmp_path / "out").mkdir()
    group = _group()
    tour = Tour(fake_s3, tmp_path, group)
    began = time.monotonic()
    try:
        tour.run(CASES)
    finally:
        if group is not None:
            group.rmdir()
    with capsys.disabled():
        print(
            f"\n[{len(CASES)} kinds of harm, {tour.errors} errors: {tour.spent:.1f} s of "
            f"{time.monotonic() - began:.1f}, peak {tour.peak >> 20} MiB, "
            f"slowest: {tour.slowest[1]}, {tour.slowest[0]:.1f} s]",
            end="",
        )
    for left in leftovers(tmp_path):
        os.unlink(left)
    assert not tour.wrong, "\n".join(tour.wrong)
    assert tour.errors > len(CASES) / 2, "most of this is harm"
    assert tour.spent <= SECONDS
    assert tour.peak <= MEMORY
