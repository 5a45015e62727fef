"""A second address of a server, which nothing but its content shows to be the same store."""

from __future__ import annotations

import contextlib
import select
import socket
import threading
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

    from support.servers import Server


@contextlib.contextmanager
def alias(server: Server) -> Iterator[str]:
    """An endpoint that hands every byte on to `server`."""
    listener = socket.create_server(("127.0.0.1", 0), backlog=256)
    ended = threading.Event()
    pumps: list[threading.Thread] = []

    def pump(near: socket.socket) -> None:
        with near, socket.create_connection(server.address) as far:
            ends = {near: far, far: near}
            while not ended.is_set():
                for end in select.select(list(ends), [], [], 0.1)[0]:
                    try:
                        data = end.recv(1 << 16)
                        if not data:
                            return
                        ends[end].sendall(data)
                    except OSError:
                        return

    def accept() -> None:
        while True:
            try:
                near, _ = listener.accept()
            except OSError:
                return
            pumps.append(threading.Thread(target=pump, args=(near,), daemon=True))
            pumps[-1].start()

    thread = threading.Thread(target=accept, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{listener.getsockname()[1]}"
    finally:
        ended.set()
        with contextlib.suppress(OSError):
            listener.shutdown(socket.SHUT_RDWR)
        listener.close()
        thread.join()
        for each in pumps:
            each.join()
