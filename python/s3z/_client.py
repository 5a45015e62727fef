"""`Client`: one endpoint, one set of keys, one budget of memory and connections."""

from __future__ import annotations

import os
import threading
from typing import TYPE_CHECKING, Any

from s3z import _boto, _transfers
from s3z._copying import Copying
from s3z._log import warn
from s3z._secrecy import Hidden, forgetful
from s3z._settings import Given, refuse_both, resolve

if TYPE_CHECKING:
    from collections.abc import Mapping

    from s3z import _core
    from s3z._config import TransferConfig

#: core clients of a parent process: never used, and never torn down, in the child
_abandoned: list[object] = []


class Client(Copying):
    """A connection to one S3-compatible store. Threads may share it, and it may be used after a fork.

    Each setting is taken from the arguments, else the environment, else the profile, else the defaults.

    Args:
        profile: profile of the shared AWS files. Given here it switches credentials from the environment off.
        session: a boto3 or botocore session: its credentials, region and profile are used.
        client: a boto3 client for s3: its endpoint, region, addressing style, proxies, TLS checks, timeouts, retries,
            checksum modes and credentials are used.
        credentials: a dictionary (`aws_access_key_id`, `aws_secret_access_key`, `aws_session_token`, `expiry_time`),
            a botocore credentials object, or a callable that returns either; it is called again before the expiry.
        region: such as `eu-central-1`; a store that names another one in its answer is followed.
        endpoint_url: `http://` or `https://`; None is AWS.
        addressing_style: `auto`, `path` or `virtual`.
        request_payer: `requester`: who asks agrees to pay for it, as buckets of that kind demand.
        anonymous: whether requests are sent unsigned.
        verify: whether TLS certificates are checked; None is yes.
        ca_bundle: a PEM file that replaces the system's roots.
        proxies: proxy URLs by the scheme of the request, `http` and `https`, and `no_proxy`.
        credentials_file: a file that replaces `~/.aws/credentials`.
        config: sizes, limits and timeouts.

    Raises:
        ConfigError: a setting is malformed or cannot be honoured; the message names it.
        CredentialsError: the keys given are incomplete. Whether there are any, the first request tells.

    Example:
        >>> s3z.Client(region="eu-central-1", config=s3z.TransferConfig(max_concurrency=16))
        <s3z.Client endpoint=AWS region=eu-central-1>
    """

    def __init__(
        self,
        *,
        profile: str | None = None,
        session: Any = None,
        client: Any = None,
        credentials: Any = None,
        region: str | None = None,
        endpoint_url: str | None = None,
        addressing_style: str | None = None,
        request_payer: str | None = None,
        anonymous: bool = False,
        verify: bool | None = None,
        ca_bundle: str | os.PathLike[str] | None = None,
        proxies: Mapping[str, str] | None = None,
        credentials_file: str | os.PathLike[str] | None = None,
        config: TransferConfig | None = None,
    ) -> None:
        self._arguments = Hidden({name: value for name, value in locals().items() if name not in ("self", "__class__")})
        refuse_both(self._arguments)
        settled: dict[str, Any] = {}
        if client is not None:
            settled = _boto.settled_by_client(client)
            anonymous = anonymous or _boto.is_unsigned(client)
        if session is not None:
            session_region, session_profile = _boto.session_settings(session)
            settled = {"region": session_region} if session_region else {}
            profile = session_profile
        given = Given(
            profile=profile,
            credentials_file=None if credentials_file is None else os.fspath(credentials_file),
            region=region,
            endpoint_url=endpoint_url,
            addressing_style=addressing_style,
            request_payer=request_payer,
            verify=verify,
            ca_bundle=None if ca_bundle is None else os.fspath(ca_bundle),
            proxies=proxies,
            config=config,
            settled=settled,
        )
        self._settings, find = resolve(given)
        self._anonymous, self._find = anonymous, find
        self._lock = threading.Lock()
        self._core: _core.Client | None = None
        self._pid = 0
        for message in self._settings.warnings:
            warn(message)
        self._native()

    @property
    def region(self) -> str:
        """The region to begin with."""
        return self._settings.region.value

    @property
    def endpoint_url(self) -> str | None:
        """The endpoint, None for AWS."""
        return self._settings.endpoint_url.value

    def __repr__(self) -> str:
        if not hasattr(self, "_settings"):  # seen by whoever looks at why it could not be made
            return "<s3z.Client>"
        return f"<s3z.Client endpoint={self.endpoint_url or 'AWS'} region={self.region}>"

    def __reduce__(self) -> tuple[object, ...]:
        for name in ("credentials", "session", "client"):
            if self._arguments[name] is not None:
                raise TypeError(f"a Client made with {name}= cannot be pickled: it would carry secrets")
        if any("@" in url for url in (self._arguments["proxies"] or {}).values()):
            raise TypeError("a Client made with a proxy's password cannot be pickled: it would carry secrets")
        return _rebuild, ({name: value for name, value in self._arguments.items() if value is not None},)

    def _native(self) -> _core.Client:
        """The client of the core, made anew in a child process."""
        if self._pid == os.getpid() and self._core is not None:
            return self._core
        if self._pid not in (0, os.getpid()):
            self._lock = threading.Lock()  # the parent's may have been held when it forked
        with self._lock:
            if self._pid != os.getpid() or self._core is None:
                if self._core is not None:
                    _abandoned.append(self._core)
                self._core = _transfers.core_client(
                    self._settings,
                    None if self._anonymous else _boto.keys(self._arguments, self._find),
                    anonymous=self._anonymous,
                )
                self._pid = os.getpid()
            return self._core


def _rebuild(arguments: dict[str, Any]) -> Client:
    return Client(**arguments)


for _name in (
    "__init__",
    "download",
    "upload",
    "put",
    "open",
    "list",
    "list_uploads",
    "abort_upload",
    "head",
    "exists",
    "delete",
    "copy",
    "move",
    "download_dir",
    "upload_dir",
    "sync",
    "verify",
    "pack",
    "unpack",
    "make_bucket",
    "remove_bucket",
    "presign",
    "describe",
):
    setattr(Client, _name, forgetful(getattr(Client, _name)))
