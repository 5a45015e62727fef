"""The test server itself: what S3 does (asked by boto3), and every fault it promises (asked by raw sockets)."""

from __future__ import annotations

import base64
import contextlib
import http.client
import importlib.util
import json
import os
import pathlib
import re
import socket
import subprocess
import time
import zlib
from typing import TYPE_CHECKING, Any

import pytest
from support.waiting import until

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT = pathlib.Path(__file__).resolve().parent.parent
MIB = 1 << 20


def find_binary() -> str:
    """The binary under test: FAKE_S3_BIN, or the newest build."""
    if named := os.environ.get("FAKE_S3_BIN"):
        return named
    built = [path for kind in ("release", "debug") if (path := ROOT / "target" / kind / "fake-s3").exists()]
    if not built:
        pytest.skip("fake-s3 is not built")
    return str(max(built, key=lambda path: path.stat().st_mtime))


class Server:
    """A running fake-s3 and its control port."""

    def __init__(self, *flags: str) -> None:
        self.process = subprocess.Popen(
            [find_binary(), "--quiet", *flags], stdin=subprocess.PIPE, stdout=subprocess.PIPE
        )
        assert self.process.stdout is not None
        self.info: dict[str, Any] = json.loads(self.process.stdout.readline())
        host, port = self.info["control"].split(":")
        self.control = socket.create_connection((host, int(port)), timeout=10)
        self.lines = self.control.makefile("rw")
        self.address = ("127.0.0.1", int(self.info["endpoint"].rsplit(":", 1)[1]))

    def do(self, command: str, **fields: Any) -> dict[str, Any]:
        self.lines.write(json.dumps({"command": command, **fields}) + "\n")
        self.lines.flush()
        answer: dict[str, Any] = json.loads(self.lines.readline())
        assert answer["ok"], answer
        return answer

    def rule(self, action: dict[str, Any], times: int | None = None, **match: Any) -> None:
        self.do("add_rule", rule={"match": match, "action": action, "times": times})

    def request(
        self, method: str, path: str, body: bytes | None = None, **headers: str
    ) -> tuple[int, dict[str, str], bytes]:
        connection = http.client.HTTPConnection(*self.address, timeout=10)
        with contextlib.closing(connection):
            connection.request(method, path, body, {name.replace("_", "-"): value for name, value in headers.items()})
            answer = connection.getresponse()
            return answer.status, {name.lower(): value for name, value in answer.getheaders()}, answer.read()

    def raw(self, text: bytes) -> bytes:
        """Everything the server sends until it closes; ConnectionResetError if it resets."""
        with socket.create_connection(self.address, timeout=10) as tcp:
            tcp.sendall(text)
            received = b""
            while chunk := tcp.recv(1 << 16):
                received += chunk
            return received

    def stop(self) -> None:
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.lines.close()
        self.control.close()
        self.process.stdin.close()
        self.process.wait(5)
        self.process.stdout.close()


@pytest.fixture(scope="module")
def running() -> Iterator[Server]:
    server = Server("--no-auth", "--bucket", "b")
    yield server
    server.stop()


@pytest.fixture
def server(running: Server) -> Server:
    running.do("reset")
    running.do("create_bucket", bucket="b")
    running.do("put", bucket="b", key="k", data=base64.b64encode(bytes(range(256)) * 40).decode())
    return running


CONTENT = bytes(range(256)) * 40
GET = b"GET /b/k HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"


def body_of(answer: bytes) -> bytes:
    return answer.split(b"\r\n\r\n", 1)[1]


def pattern_block(seed: int) -> bytes:
    mask, state, words = (1 << 64) - 1, seed, bytearray()
    while len(words) < 1048583:
        state = (state + 0x9E3779B97F4A7C15) & mask
        z = state
        z = ((z ^ (z >> 30)) * 0xBF58476D1CE4E5B9) & mask
        z = ((z ^ (z >> 27)) * 0x94D049BB133111EB) & mask
        words += (z ^ (z >> 31)).to_bytes(8, "little")
    return bytes(words[:1048583])


def honesty() -> Any:
    path = ROOT / "rust" / "fake-s3" / "honesty" / "boto3_check.py"
    spec = importlib.util.spec_from_file_location("boto3_check", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize("kind", ["memory", "directory", "tls"])
def test_boto3_finds_an_honest_s3(kind: str, tmp_path: pathlib.Path) -> None:
    pytest.importorskip("boto3")
    flags = {
        "memory": [],
        "directory": ["--storage", f"dir:{tmp_path}"],
        "tls": ["--tls", "--ca-out", str(tmp_path / "ca")],
    }
    server = Server(*flags[kind])
    try:
        for check in honesty().CHECKS:
            check(server.info)
    finally:
        server.stop()


def test_ends_with_its_stdin() -> None:
    server = Server()
    server.stop()
    assert server.process.returncode == 0


def test_pattern_is_what_the_formula_says(server: Server) -> None:
    block = pattern_block(5)
    server.do("put_pattern", bucket="b", key="p", size=3 * MIB, seed=5)
    whole = (block * 4)[: 3 * MIB]
    assert server.request("GET", "/b/p")[2] == whole
    assert server.request("GET", "/b/p", Range="bytes=1048580-1048590")[2] == whole[1048580:1048591]
    crc = base64.b64encode(zlib.crc32(whole).to_bytes(4, "big")).decode()
    assert server.do("crc", bucket="b", key="p")["crc32"] == crc


def test_discarded_uploads_keep_size_and_crc_only(server: Server) -> None:
    server.do("set", switches={"discard_uploads": True})
    assert server.request("PUT", "/b/d", b"123456789")[0] == 200
    assert server.request("HEAD", "/b/d")[1]["content-length"] == "9"
    assert server.do("crc", bucket="b", key="d")["crc64nvme"] == "rosUhgp5mIg="
    assert server.request("GET", "/b/d")[0] == 404


def test_respond_applies_n_times_after_skip(server: Server) -> None:
    action = {"type": "respond", "status": 503, "code": "SlowDown", "headers": {"Retry-After": "7"}}
    server.rule(action, times=2, operation="GetObject", skip=1)
    answers = [server.request("GET", "/b/k") for _ in range(4)]
    assert [status for status, _, _ in answers] == [200, 503, 503, 200]
    assert answers[1][1]["retry-after"] == "7"
    assert b"<Code>SlowDown</Code>" in answers[1][2]
    assert [record["status"] for record in server.do("log", operation="GetObject")["records"]] == [200, 503, 503, 200]


def test_early_answer_arrives_although_the_body_was_not_read(server: Server) -> None:
    server.rule({"type": "respond", "status": 403, "code": "AccessDenied", "early": True})
    with socket.create_connection(server.address, timeout=10) as tcp:
        tcp.sendall(b"PUT /b/x HTTP/1.1\r\nHost: x\r\nContent-Length: 1000000000\r\n\r\n" + b"x" * 100_000)
        assert tcp.recv(100).startswith(b"HTTP/1.1 403")


def test_truncate_stall_drip(server: Server) -> None:
    server.rule({"type": "truncate", "after": 100}, times=1)
    assert body_of(server.raw(GET)) == CONTENT[:100]
    server.rule({"type": "truncate", "after": 20, "in_head": True}, times=1)
    assert len(server.raw(GET)) == 20
    server.rule({"type": "stall", "after": 100, "seconds": 0.3}, times=1)
    started = time.monotonic()
    assert body_of(server.raw(GET)) == CONTENT
    assert time.monotonic() - started >= 0.3
    server.rule({"type": "drip", "after": 10_200, "bytes_per_second": 200}, times=1)
    started = time.monotonic()
    assert body_of(server.raw(GET)) == CONTENT
    assert time.monotonic() - started >= 0.15


@pytest.mark.parametrize("after", [{"after": 100}, {"after": 10, "in_head": True}])
def test_reset(server: Server, after: dict[str, Any]) -> None:
    server.rule({"type": "reset", **after}, times=1)
    with pytest.raises(ConnectionResetError):
        server.raw(GET)
    assert server.do("log")["records"][-1]["end"] == "reset"


def test_close_during_upload(server: Server) -> None:
    server.rule({"type": "close_after_request_bytes", "bytes": 1000, "reset": True}, times=1)
    with pytest.raises((ConnectionResetError, BrokenPipeError)):
        server.raw(b"PUT /b/x HTTP/1.1\r\nHost: x\r\nContent-Length: 100000\r\n\r\n" + b"x" * 5000)
    assert "x" not in server.do("keys", bucket="b")["keys"]


def test_wrong_answers_to_ranges(server: Server) -> None:
    def ask() -> tuple[int, str, bytes]:
        status, headers, body = server.request("GET", "/b/k", Range="bytes=10-19")
        return status, headers.get("content-range", ""), body

    assert ask() == (206, "bytes 10-19/10240", CONTENT[10:20])
    for action, expected in [
        ({"type": "wrong_content_range", "start": 11, "total": 5}, (206, "bytes 11-19/5", CONTENT[10:20])),
        ({"type": "ignore_range"}, (200, "", CONTENT)),
        ({"type": "short_range", "bytes": 3}, (206, "bytes 10-12/10240", CONTENT[10:13])),
        ({"type": "long_range", "bytes": 5}, (206, "bytes 10-24/10240", CONTENT[10:25])),
        ({"type": "header", "name": "Content-Range"}, (206, "", CONTENT[10:20])),
        ({"type": "header", "name": "Content-Range", "value": "bytes */5"}, (206, "bytes */5", CONTENT[10:20])),
    ]:
        server.rule(action, times=1, has_range=True)
        assert ask() == expected, action


def test_bit_flip_only_where_the_byte_is_sent(server: Server) -> None:
    server.rule({"type": "bit_flip", "offset": 15, "mask": 128})
    flipped = bytearray(CONTENT)
    flipped[15] ^= 128
    assert server.request("GET", "/b/k")[2] == flipped
    assert server.request("GET", "/b/k", Range="bytes=10-19")[2] == flipped[10:20]
    assert server.request("GET", "/b/k", Range="bytes=16-19")[2] == CONTENT[16:20]


def test_swap_version_after_n_requests(server: Server) -> None:
    etag = server.request("HEAD", "/b/k")[1]["etag"]
    server.rule({"type": "swap_version", "seed": 3}, times=1, operation="GetObject", skip=1)
    assert server.request("GET", "/b/k", If_Match=etag)[2] == CONTENT
    assert server.request("GET", "/b/k", If_Match=etag)[0] == 412
    assert server.request("GET", "/b/k")[2] == pattern_block(3)[: len(CONTENT)]
    server.do("set", switches={"ignore_if_match": True})
    assert server.request("GET", "/b/k", If_Match=etag)[0] == 200


def test_headers_doubled_raw_trailing_and_1xx(server: Server) -> None:
    server.rule({"type": "header", "name": "ETag", "value": '"2"', "doubled": True}, times=1)
    assert server.raw(GET).count(b"ETag:") == 2
    server.rule({"type": "raw", "bytes": "HTTP/1.1 200 OK\r\nnonsense"}, times=1)
    assert server.raw(GET) == b"HTTP/1.1 200 OK\r\nnonsense"
    server.rule({"type": "trailing_bytes", "bytes": {"base64": "AAE="}}, times=1)
    assert body_of(server.raw(GET)) == CONTENT + b"\x00\x01"
    server.rule({"type": "flood_1xx", "count": 50}, times=1)
    assert server.raw(GET).count(b"HTTP/1.1 102") == 50
    server.rule({"type": "chunked", "chunk": 10_000}, times=1)
    answer = server.raw(GET)
    assert b"content-length" not in answer.lower()
    assert answer.endswith(b"0\r\n\r\n")
    assert b"\r\n2710\r\n" in answer


def test_act_then_drop_has_acted(server: Server) -> None:
    server.rule({"type": "act_then_drop"}, times=1, method="PUT")
    with pytest.raises(http.client.HTTPException):
        server.request("PUT", "/b/lost", b"there")
    assert server.request("GET", "/b/lost")[2] == b"there"


def test_close_at_reuse_spares_first_requests(server: Server) -> None:
    server.rule({"type": "close_at_reuse"}, times=1)
    connection = http.client.HTTPConnection(*server.address, timeout=10)
    connection.request("GET", "/b/k")
    assert connection.getresponse().read() == CONTENT
    connection.request("GET", "/b/k")
    with pytest.raises(http.client.RemoteDisconnected):
        connection.getresponse()
    connection.close()


def test_error_in_200_and_late_success(server: Server) -> None:
    upload = b"".join(re.findall(b"<UploadId>(.*)</UploadId>", server.request("POST", "/b/m?uploads")[2])).decode()
    etag = server.request("PUT", f"/b/m?partNumber=1&uploadId={upload}", b"part")[1]["etag"]
    assert [u["parts"] for u in server.do("open_uploads")["uploads"]] == [[1]]
    xml = f"<C><Part><PartNumber>1</PartNumber><ETag>{etag}</ETag></Part></C>".encode()
    server.rule({"type": "error_in_200", "code": "InternalError", "spaces": 5}, times=1, method="POST")
    status, _, body = server.request("POST", f"/b/m?uploadId={upload}", xml)
    assert status == 200
    assert body.startswith(b"     <Error><Code>InternalError")
    server.rule({"type": "error_in_200", "spaces": 3}, times=1, method="POST")
    status, _, body = server.request("POST", f"/b/m?uploadId={upload}", xml)
    assert status == 200
    assert body.startswith(b"   <?xml")
    assert b"CompleteMultipartUploadResult" in body
    assert server.do("open_uploads")["uploads"] == []
    assert server.request("GET", "/b/m")[2] == b"part"


def test_full_object_crc_of_multipart_is_checked(server: Server) -> None:
    server.do("set", switches={"min_part_size": 1})
    create = server.request(
        "POST", "/b/m?uploads", x_amz_checksum_algorithm="CRC32", x_amz_checksum_type="FULL_OBJECT"
    )[2]
    upload = re.findall(b"<UploadId>(.*)</UploadId>", create)[0].decode()
    etags = [
        server.request("PUT", f"/b/m?partNumber={n}&uploadId={upload}", text)[1]["etag"]
        for n, text in [(1, b"1234"), (2, b"56789")]
    ]
    parts = "".join(f"<Part><PartNumber>{n}</PartNumber><ETag>{e}</ETag></Part>" for n, e in enumerate(etags, 1))
    xml = f"<C>{parts}</C>".encode()
    right = base64.b64encode(0xCBF43926.to_bytes(4, "big")).decode()
    path = f"/b/m?uploadId={upload}"
    assert b"BadDigest" in server.request("POST", path, xml, x_amz_checksum_crc32="AAAAAA==")[2]
    assert server.request("POST", path, xml, x_amz_mp_object_size="8")[0] == 400
    assert server.request("POST", path, xml, x_amz_checksum_crc32=right, x_amz_mp_object_size="9")[0] == 200
    headers = server.request("HEAD", "/b/m", x_amz_checksum_mode="ENABLED")[1]
    assert headers["x-amz-checksum-crc32"] == right
    assert headers["x-amz-checksum-type"] == "FULL_OBJECT"


def test_delete_errors_per_key(server: Server) -> None:
    server.rule({"type": "delete_errors", "keys": "k*", "code": "AccessDenied"})
    xml = b"<Delete><Object><Key>k</Key></Object><Object><Key>z</Key></Object></Delete>"
    crc = base64.b64encode(zlib.crc32(xml).to_bytes(4, "big")).decode()
    body = server.request("POST", "/b?delete", xml, x_amz_checksum_crc32=crc)[2]
    assert b"<Error><Key>k</Key>" in body
    assert b"<Deleted><Key>z</Key>" in body
    assert server.do("keys", bucket="b")["keys"] == ["k"]


def test_log_counts_bytes_sent_twice_and_hides_secrets(server: Server) -> None:
    for first, last in [(0, 99), (100, 199), (190, 199)]:
        server.request("GET", "/b/k", Range=f"bytes={first}-{last}", Authorization="AWS4 topsecret")
    assert server.do("sent_twice", bucket="b", key="k")["bytes"] == 10
    assert "topsecret" not in json.dumps(server.do("log"))


def test_connections_and_rate(server: Server) -> None:
    tcp = socket.create_connection(server.address)
    deadline = time.monotonic() + 5
    while server.do("connections")["connections"] != 1 and time.monotonic() < deadline:
        time.sleep(0.01)
    tcp.close()
    while server.do("connections")["connections"] != 0 and time.monotonic() < deadline:
        time.sleep(0.01)
    assert server.do("connections")["connections"] == 0
    server.do("set", switches={"rate_per_connection": 20_000})
    started = time.monotonic()
    assert server.request("GET", "/b/k")[2] == CONTENT
    assert time.monotonic() - started >= 0.3


@pytest.mark.parametrize(
    "action",
    [
        {"type": "latency", "ms": 60_000},
        {"type": "stall", "after": 10, "seconds": 60},
        {"type": "drip", "after": 10, "bytes_per_second": 1},
        {"type": "stall_request", "after": 1, "seconds": 60},
        {"type": "drip_request", "after": 1, "bytes_per_second": 1},
    ],
    ids=lambda action: str(action["type"]),
)
def test_no_wait_outlasts_the_client(server: Server, action: dict[str, Any]) -> None:
    server.rule(action, operation="PutObject" if "request" in action["type"] else "GetObject")
    request = (
        GET if "request" not in action["type"] else b"PUT /b/x HTTP/1.1\r\nContent-Length: 9000\r\n\r\n" + b"x" * 100
    )
    tcp = socket.create_connection(server.address)
    tcp.sendall(request)
    until(lambda: bool(server.do("log")["records"]))
    tcp.close()
    until(lambda: server.do("connections")["connections"] == 0)
    # What was sent completely is done all the same; what was not is not.
    assert server.do("log")["records"][-1]["operation"] in ("GetObject", "PutObject")
    assert server.do("keys", bucket="b")["keys"] == ["k"]


def through(server: Server, endpoint: str) -> bytes:
    """The object through the proxy, as far as it comes."""
    received = b""
    with socket.create_connection(("127.0.0.1", int(endpoint.rsplit(":", 1)[1])), timeout=10) as tcp:
        tcp.sendall(GET)
        with contextlib.suppress(ConnectionResetError):
            while chunk := tcp.recv(1 << 16):
                received += chunk
    return body_of(received) if b"\r\n\r\n" in received else b""


def test_the_proxy_is_ordered_over_the_control_port(server: Server) -> None:
    endpoint = server.do("proxy", order="start")["endpoint"]
    assert server.do("proxy", order="start")["endpoint"] == endpoint
    assert through(server, endpoint) == CONTENT
    flip = {"after": 2000, "kind": {"type": "flip", "mask": 1}, "times": 1}
    server.do("proxy", order="fault", fault=flip)
    wrong = through(server, endpoint)
    assert len(wrong) == len(CONTENT)
    assert sum(a != b for a, b in zip(wrong, CONTENT, strict=True)) == 1
    server.do("proxy", order="fault", fault={"after": 1000, "kind": {"type": "cut"}})
    assert len(through(server, endpoint)) < 1000
    server.do("proxy", order="clear")
    assert through(server, endpoint) == CONTENT
    server.do("proxy", order="fault", fault={"after": 1000, "kind": {"type": "throttle", "bytes_per_second": 20_000}})
    started = time.monotonic()
    assert through(server, endpoint) == CONTENT
    assert time.monotonic() - started > 0.3
    assert server.do("proxy", order="status")["accepted"] == 5
    server.do("proxy", order="stop")
    # Its port may be somebody else's by now, so nobody knocks there.
    with pytest.raises(AssertionError, match="no proxy was started"):
        server.do("proxy", order="status")


@pytest.mark.parametrize("order", ["kill_all", "silence_all"])
def test_the_proxy_ends_all_connections_loudly_or_silently(server: Server, order: str) -> None:
    endpoint = server.do("proxy", order="start")["endpoint"]
    with socket.create_connection(("127.0.0.1", int(endpoint.rsplit(":", 1)[1])), timeout=10) as tcp:
        until(lambda: server.do("proxy", order="status")["connections"] == 1)
        server.do("proxy", order=order)
        if order == "kill_all":
            with pytest.raises(ConnectionResetError):
                tcp.recv(1)
        else:
            tcp.sendall(GET)
            tcp.settimeout(0.3)
            with pytest.raises(TimeoutError):
                tcp.recv(1)
    assert through(server, endpoint) == CONTENT


def test_clock_keys_and_tokens() -> None:
    boto3 = pytest.importorskip("boto3")
    from botocore.config import Config
    from botocore.exceptions import ClientError

    server = Server("--bucket", "bucket")

    def ask(key: str, secret: str, token: str | None = None) -> str:
        client = boto3.client(
            "s3",
            endpoint_url=server.info["endpoint"],
            aws_access_key_id=key,
            aws_secret_access_key=secret,
            aws_session_token=token,
            region_name="us-east-1",
            config=Config(retries={"total_max_attempts": 1}),
        )
        try:
            client.list_buckets()
        except ClientError as error:
            return str(error.response["Error"]["Code"])
        return "ok"

    try:
        assert ask("fake-access", "fake-secret") == "ok"
        server.do("shift_clock", seconds=3600)
        assert ask("fake-access", "fake-secret") == "RequestTimeTooSkewed"
        server.do("shift_clock", seconds=0)
        server.do("rotate_keys", access_key="new", secret_key="s", session_token="t")
        assert ask("fake-access", "fake-secret") == "ExpiredToken"
        assert ask("new", "s", "t") == "ok"
        assert ask("new", "s", "other") == "InvalidToken"
    finally:
        server.stop()


def test_bad_commands_are_answered(server: Server) -> None:
    for line in [
        '{"command": "nonsense"}',
        "no json",
        '{"command": "add_rule", "rule": {"action": {"type": "truncate", "aftr": 1}}}',
        '{"command": "proxy", "order": "kill_all"}',
        '{"command": "proxy", "order": "start", "fault": {"kind": {"type": "cut"}}}',
        '{"command": "proxy", "order": "fault"}',
        '{"command": "proxy", "order": "nonsense"}',
    ]:
        server.lines.write(line + "\n")
        server.lines.flush()
        assert json.loads(server.lines.readline())["ok"] is False
