"""The module functions: methods of a client that is made when the first of them is called."""

from __future__ import annotations

import functools
import inspect
import os
import threading
from typing import TYPE_CHECKING, Concatenate, ParamSpec, TypeVar

from s3z._client import Client
from s3z._secrecy import forgetful

if TYPE_CHECKING:
    from collections.abc import Callable

P = ParamSpec("P")
R = TypeVar("R")

_lock = threading.Lock()
_default: Client | None = None


def default_client() -> Client:
    """The client of the module functions, made from environment and profile at the first call.

    Raises:
        ConfigError: what environment or profile say is malformed.
    """
    global _default
    if _default is None:
        with _lock:
            if _default is None:
                _default = Client()
    return _default


def _after_fork() -> None:
    # Another thread of the parent may have held it. The client itself knows that the process is a new one.
    global _lock
    _lock = threading.Lock()


os.register_at_fork(after_in_child=_after_fork)


def _on_default(method: Callable[Concatenate[Client, P], R]) -> Callable[P, R]:
    """The method as a function of the default client, with the same signature and words."""

    @forgetful
    @functools.wraps(method)
    def call(*args: P.args, **kwargs: P.kwargs) -> R:
        return method(default_client(), *args, **kwargs)

    signature = inspect.signature(method)
    parameters = [each for name, each in signature.parameters.items() if name != "self"]
    call.__signature__ = signature.replace(parameters=parameters)  # type: ignore[attr-defined]
    call.__qualname__ = method.__name__
    call.__module__ = "s3z"
    return call


download = _on_default(Client.download)
upload = _on_default(Client.upload)
put = _on_default(Client.put)
open = _on_default(Client.open)
list = _on_default(Client.list)
list_uploads = _on_default(Client.list_uploads)
head = _on_default(Client.head)
exists = _on_default(Client.exists)
stream = _on_default(Client.stream)
get = _on_default(Client.get)
get_into = _on_default(Client.get_into)
get_ranges = _on_default(Client.get_ranges)
delete = _on_default(Client.delete)
copy = _on_default(Client.copy)
move = _on_default(Client.move)
download_dir = _on_default(Client.download_dir)
upload_dir = _on_default(Client.upload_dir)
sync = _on_default(Client.sync)
verify = _on_default(Client.verify)
abort_upload = _on_default(Client.abort_upload)
pack = _on_default(Client.pack)
make_bucket = _on_default(Client.make_bucket)
remove_bucket = _on_default(Client.remove_bucket)
presign = _on_default(Client.presign)
describe = _on_default(Client.describe)
unpack = _on_default(Client.unpack)
