"""An endpoint that keeps what it is sent, signatures too, and answers as a test says: a store that tells tales."""

from __future__ import annotations

import contextlib
import re
import socket
import threading
from dataclasses import dataclass, field
from typing import TYPE_CHECKING
from xml.sax.saxutils import escape

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator


@dataclass(frozen=True)
class Seen:
    """One request."""

    method: str
    target: str
    headers: dict[str, str]

    @property
    def signature(self) -> str | None:
        """The signature of its Authorization header."""
        found = re.search(r"Signature=([0-9a-f]{64})", self.headers.get("authorization", ""))
        return found[1] if found else None


@dataclass
class Recorder:
    """The endpoint, and all it has seen."""

    endpoint: str
    requests: list[Seen] = field(default_factory=list)

    def secrets(self) -> dict[str, str]:
        """Signatures that were sent here."""
        found = {request.signature for request in self.requests} - {None}
        return {f"signature {number}": text for number, text in enumerate(sorted(filter(None, found)))}


def answer(
    status: str, body: bytes | str = b"", headers: dict[str, str] | None = None, *, method: str = "GET"
) -> bytes:
    """The bytes of an answer that closes the connection."""
    data = body.encode() if isinstance(body, str) else body
    lines = [f"HTTP/1.1 {status}", f"Content-Length: {len(data)}", "Connection: close"]
    lines += [f"{name}: {value}" for name, value in (headers or {}).items()]
    return ("\r\n".join(lines) + "\r\n\r\n").encode() + (b"" if method == "HEAD" else data)


def tales(request: Seen, code: str, message: str = "no") -> str:
    """An error document that repeats all that the request held, as `SignatureDoesNotMatch` does, and more."""
    held = "".join(f"{name}:{value}\n" for name, value in request.headers.items())
    fields = {
        "Code": code,
        "Message": message,
        "AWSAccessKeyId": request.headers.get("authorization", ""),
        "StringToSign": "AWS4-HMAC-SHA256\n" + held,
        "SignatureProvided": request.signature or "",
        "StringToSignBytes": held.encode().hex(" "),
        "CanonicalRequest": f"{request.method}\n{request.target}\n{held}",
        "Token-0": request.headers.get("x-amz-security-token", ""),
        "RequestId": "R1",
        "HostId": "H1",
    }
    inner = "".join(f"<{name}>{escape(text)}</{name}>" for name, text in fields.items())
    return f'<?xml version="1.0" encoding="UTF-8"?><Error>{inner}</Error>'


def echoed(request: Seen) -> dict[str, str]:
    """Answer headers that repeat those of the request."""
    return {f"x-echo-{name}": value for name, value in request.headers.items()}


@contextlib.contextmanager
def recorder(give: Callable[[Seen], bytes]) -> Iterator[Recorder]:
    """Listens on a free loopback port for as long as the `with` lasts; one request for each connection.

    Args:
        give: the answer; empty closes without one.
    """
    listener = socket.create_server(("127.0.0.1", 0))
    found = Recorder(f"http://127.0.0.1:{listener.getsockname()[1]}")
    threads: list[threading.Thread] = []

    def serve(connection: socket.socket) -> None:
        with connection, contextlib.suppress(OSError):
            connection.settimeout(10)
            request = _read(connection)
            if request is None:
                return
            found.requests.append(request)
            connection.sendall(give(request))
            connection.shutdown(socket.SHUT_WR)
            while connection.recv(1 << 16):
                pass

    def accept() -> None:
        while True:
            try:
                connection, _ = listener.accept()
            except OSError:
                return
            thread = threading.Thread(target=serve, args=(connection,), daemon=True)
            threads.append(thread)
            thread.start()

    accepting = threading.Thread(target=accept, daemon=True)
    accepting.start()
    try:
        yield found
    finally:
        listener.shutdown(socket.SHUT_RDWR)
        listener.close()
        for thread in (accepting, *threads):
            thread.join(5)


def _read(connection: socket.socket) -> Seen | None:
    """A request with its body, None if it is no HTTP."""
    data = b""
    while b"\r\n\r\n" not in data:
        part = connection.recv(1 << 16)
        data += part
        if not part or data.startswith(b"\x16"):  # the hello of TLS
            return None
    head, _, body = data.partition(b"\r\n\r\n")
    first, *lines = head.decode("latin-1").split("\r\n")
    words = first.split(" ")
    if len(words) != 3:
        return None
    headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
    left = int(headers.get("content-length", "0")) - len(body)
    while left > 0:
        part = connection.recv(1 << 16)
        if not part:
            break
        left -= len(part)
    return Seen(words[0], words[1], headers)
