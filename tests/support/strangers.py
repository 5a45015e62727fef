"""Endpoints that are no S3: each listens on a free loopback port for as long as a `with` lasts."""

from __future__ import annotations

import contextlib
import socket
import threading
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

HTML = b"HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nContent-Length: %d\r\nConnection: close\r\n\r\n%s" % (
    len(page := b"<!doctype html><html><title>router login</title></html>"),
    page,
)
HTML_404 = HTML.replace(b"200 OK", b"404 Not Found")
HTML_500 = HTML.replace(b"200 OK", b"500 Oops")
GARBAGE = b"\x16\x03\x01\x00\xee\x01garbage, not HTTP\x00\xff\r\n\r\n"


@contextlib.contextmanager
def stranger(answer: bytes, *, reads: bool = True) -> Iterator[str]:
    """A server that gives `answer` to whatever it is asked, then closes.

    Args:
        answer: may be empty.
        reads: whether it reads a request before.
    """
    listener = socket.create_server(("127.0.0.1", 0))

    def serve() -> None:
        while True:
            try:
                connection, _ = listener.accept()
            except OSError:
                return
            with connection, contextlib.suppress(OSError):
                connection.settimeout(5)
                if reads:
                    connection.recv(1 << 16)
                connection.sendall(answer)
                connection.shutdown(socket.SHUT_WR)

    thread = threading.Thread(target=serve, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{listener.getsockname()[1]}"
    finally:
        listener.shutdown(socket.SHUT_RDWR)
        listener.close()
        thread.join(5)


def closed_port() -> str:
    """An endpoint where nobody listens."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return f"http://127.0.0.1:{listener.getsockname()[1]}"
