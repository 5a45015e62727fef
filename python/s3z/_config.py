"""Settings: what may be set, where a value came from, and which place prevails.

Argument, then environment, then profile and configuration files, then default; for each setting by itself.
"""

# pathlib would cost start-up time
# ruff: noqa: PTH111, PTH113
from __future__ import annotations

import os
from dataclasses import dataclass
from typing import TYPE_CHECKING, Generic, TypeVar

from s3z._escape import escape
from s3z._exceptions import ConfigError
from s3z._profiles import Profiles
from s3z._secrecy import Unshown
from s3z._units import GIB, auto_or_count, auto_or_size, parse_count, parse_rate, parse_switch, positive_duration

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from s3z._core import TransferSettings
    from s3z._profiles import Section

T = TypeVar("T")

#: every `S3Z_…` variable there is; another one is reported, as a misspelling would be
KNOWN_VARIABLES = frozenset(
    f"S3Z_{name}"
    for name in (
        "ADDRESSING_STYLE", "COMPLETE_REMOTE", "CONNECT_TIMEOUT", "DEMO_URI", "DIRECT_IO", "DURABLE", "LOG",
        "LOG_PROGRESS", "MAX_BANDWIDTH", "MAX_CONCURRENCY", "MAX_REQUESTS", "MEMORY_LIMIT", "MULTIPART_THRESHOLD",
        "NUMWORKERS", "PART_SIZE", "READ_TIMEOUT", "SHOW_PROGRESS", "STATE_DIR", "STRICT_CHECKSUMS",
    )
)  # fmt: skip

MAX_PART_SIZE = 5 * GIB


@dataclass(frozen=True, slots=True)
class Setting(Generic[T]):
    """An effective value and where it came from.

    Attributes:
        value: the value; None leaves the choice to the core.
        source: `argument`, `boto3`, `environment`, `profile` or `default`.
        detail: the variable, or the file and profile.
    """

    value: T
    source: str = "default"
    detail: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class TransferConfig:
    """How a client moves bytes. None leaves a value to the environment, the profile, and then the core.

    Attributes:
        part_size: bytes of one part.
        multipart_threshold: an object up to this many bytes is one request.
        max_concurrency: requests for one object at once.
        max_requests: requests of the client at once.
        memory_limit: bytes in buffers, all transfers of the client together.
        max_bandwidth: payload bytes per second, sent and received together, all transfers of the process.
        max_attempts: attempts of a request in a row without progress, the first included.
        connect_timeout: seconds for one address.
        read_timeout: seconds without a byte.
        direct_io: `auto`, `on` or `off`.
        durable: whether a finished file is also synced to the disk before a download returns.
        strict_checksums: whether a store that refuses checksum headers is an error; else it is sent none.

    Raises:
        ConfigError: a value is out of range.

    Example:
        >>> TransferConfig(part_size=16 * 1024 * 1024, max_concurrency=32).max_concurrency
        32
    """

    part_size: int | None = None
    multipart_threshold: int | None = None
    max_concurrency: int | None = None
    max_requests: int | None = None
    memory_limit: int | None = None
    max_bandwidth: int | None = None
    max_attempts: int | None = None
    connect_timeout: float | None = None
    read_timeout: float | None = None
    direct_io: str | None = None
    durable: bool | None = None
    strict_checksums: bool | None = None

    def __post_init__(self) -> None:
        check_part_size(self.part_size)
        for name in ("max_concurrency", "max_requests", "memory_limit", "max_bandwidth", "max_attempts"):
            check_count(getattr(self, name), name)
        for name in ("connect_timeout", "read_timeout"):
            value = getattr(self, name)
            if value is not None and not 0 < value < float("inf"):
                raise ConfigError(f"{name} must be more than 0 seconds, not {value!r}")
        if self.multipart_threshold is not None and not 0 <= self.multipart_threshold <= MAX_PART_SIZE:
            raise ConfigError(f"multipart_threshold must be from 0 to 5 GiB, not {self.multipart_threshold!r}")
        if self.direct_io is not None:
            one_of("auto", "on", "off")(self.direct_io, "direct_io")


def check_part_size(part_size: int | None) -> None:
    """Refuse a part size that no store takes.

    Raises:
        ConfigError: it is not from 1 byte to 5 GiB.
    """
    if part_size is None:
        return
    if isinstance(part_size, bool) or not isinstance(part_size, int):
        raise ConfigError(f"part_size must be a number of bytes, not {part_size!r}")
    if not 1 <= part_size <= MAX_PART_SIZE:
        raise ConfigError(f"part_size must be from 1 byte to 5 GiB, not {part_size}")


def check_count(value: int | None, name: str) -> None:
    """Refuse a number of things at once that is none.

    Raises:
        ConfigError: it is no whole number of at least 1.
    """
    if value is not None and (isinstance(value, bool) or not isinstance(value, int) or value < 1):
        raise ConfigError(f"{name} must be a whole number of at least 1, not {value!r}")


def one_of(*choices: str) -> Callable[..., str]:
    """A parser that takes only `choices`."""

    def parse(text: str, name: str | None = None) -> str:
        value = str(text).strip().lower()
        if value not in choices:
            prefix = f"{name}: " if name else ""
            raise ConfigError(f'{prefix}"{escape(str(text))}" is none of {", ".join(choices)}')
        return value

    return parse


def check_endpoint(url: str) -> str:
    """An endpoint URL without a trailing slash.

    Raises:
        ConfigError: no http or https, no host, or with user, query or fragment.
    """
    from urllib.parse import urlsplit

    try:
        parts = urlsplit(url)
        _ = parts.port
    except ValueError:
        raise ConfigError("the endpoint URL cannot be parsed") from None
    if "@" in url or parts.query or parts.fragment or "?" in url or "#" in url:
        raise ConfigError("an endpoint URL may not hold a user, a query or a fragment")  # and is not shown
    if parts.scheme not in ("http", "https") or not parts.hostname or not url.isprintable() or " " in url:
        raise ConfigError(f'the endpoint URL "{escape(url)}" must begin with http:// or https:// and name a host')
    return url.rstrip("/")


def check_region(name: str) -> str:
    """A region name.

    Raises:
        ConfigError: it cannot be one.
    """
    if not name or len(name) > 64 or not name.isascii() or not name.replace("-", "").replace("_", "").isalnum():
        raise ConfigError(f'"{escape(name)}" is not a region name')
    return name


def check_bundle(path: str) -> str:
    """The path of a file with certificates.

    Raises:
        ConfigError: there is no such file.
    """
    expanded = os.path.expanduser(path)
    if not os.path.isfile(expanded):
        raise ConfigError(f'the CA bundle "{escape(path)}" is not a file')
    return expanded


def _part_size(text: str) -> int | None:
    size = auto_or_size(text)
    check_part_size(size)
    return size


class Resolver(Unshown):
    """Looks for one setting after the other, in order of precedence.

    Args:
        environ: environment variables.
        profile: a profile named by an argument, which also switches credentials from the environment off.
        credentials_file: goes before `AWS_SHARED_CREDENTIALS_FILE`.

    Raises:
        ConfigError: the named profile is in neither file.
    """

    __slots__ = ("_merged", "environ", "profile", "profiles")

    def __init__(
        self, environ: Mapping[str, str], profile: str | None = None, credentials_file: str | None = None
    ) -> None:
        self.environ = environ
        self.profiles = Profiles(environ, credentials_file)
        self.profile = self._profile(profile)
        self._merged: Section | None = None

    def _profile(self, argument: str | None) -> Setting[str]:
        if argument is not None:
            found = Setting(argument, "argument")
        else:
            found = Setting("default")
            for variable in ("AWS_DEFAULT_PROFILE", "AWS_PROFILE"):
                if self.environ.get(variable):
                    found = Setting(self.environ[variable], "environment", variable)
                    break
        if found.source != "default" and not self.profiles.has(found.value):
            where = f" (named by {found.detail})" if found.detail else ""
            raise ConfigError(
                f'profile "{escape(found.value)}"{where} is neither in "{escape(self.profiles.config_path)}" '
                f'nor in "{escape(self.profiles.credentials_path)}"'
            )
        return found

    @property
    def section(self) -> Section:
        """The profile in use, from both files."""
        if self._merged is None:
            self._merged = self.profiles.merged(self.profile.value)
        return self._merged

    def pick(
        self,
        argument: T | None,
        parse: Callable[[str], T | None],
        environment: tuple[str, ...] = (),
        file: tuple[str, str] | None = None,
    ) -> Setting[T | None]:
        """The effective value.

        Args:
            argument: what the caller gave; None counts as not given.
            parse: makes a value of text, raising ValueError (ConfigError is one).
            environment: variables, in order.
            file: block (`profile`, `s3`, or `service` for the `services` section) and name.

        Raises:
            ConfigError: the prevailing place holds something malformed; it is named.
        """
        if argument is not None:
            return Setting(argument, "argument")
        for variable in environment:
            text = self.environ.get(variable)
            if text is None or (not text and not _must_not_be_empty(variable)):
                continue
            if not text.strip():
                raise ConfigError(f"{variable} is empty; unset it or give it a value")
            return Setting(_parsed(parse, text, variable), "environment", variable)
        text = self._in_file(*file) if file else None
        if not text or file is None:
            return Setting(None)
        detail = f"profile {self.profile.value}: {file[1]}"
        return Setting(_parsed(parse, text, f"{file[1]} in {self._where()}"), "profile", detail)

    def _where(self) -> str:
        return f'profile "{escape(self.profile.value)}"'

    def _in_file(self, block: str, name: str) -> str | None:
        section = self.section
        if block == "profile":
            value: object = section.get(name)
        elif block == "service":
            value = self.profiles.service_block(section, "s3").get(name)
        else:
            nested = section.get(block)
            value = nested.get(name) if isinstance(nested, dict) else None
        return value if isinstance(value, str) else None

    def unknown_variables(self) -> list[str]:
        """Names of `S3Z_…` variables that mean nothing."""
        return sorted(name for name in self.environ if name.startswith("S3Z_") and name not in KNOWN_VARIABLES)


def _must_not_be_empty(variable: str) -> bool:
    return variable.startswith("S3Z_") or variable in ("AWS_CA_BUNDLE", "REQUESTS_CA_BUNDLE")


def _parsed(parse: Callable[[str], T | None], text: str, name: str) -> T | None:
    try:
        return parse(text)
    except ValueError as error:
        raise ConfigError(f"{name}: {error}") from None


def resolve_transfer(find: Resolver, given: TransferConfig) -> dict[str, Setting[object]]:
    """Every field of `TransferConfig`, effective.

    Raises:
        ConfigError: a value is malformed or cannot be honoured.
    """
    picked: dict[str, Setting[object]] = {}

    def put(
        name: str,
        parse: Callable[[str], object],
        environment: str | None = None,
        file: tuple[str, str] | None = None,
    ) -> None:
        variables = (environment,) if environment else ()
        picked[name] = find.pick(getattr(given, name), parse, variables, file)

    put("part_size", _part_size, "S3Z_PART_SIZE", ("s3", "multipart_chunksize"))
    put("multipart_threshold", auto_or_size, "S3Z_MULTIPART_THRESHOLD", ("s3", "multipart_threshold"))
    put("max_concurrency", auto_or_count, "S3Z_MAX_CONCURRENCY")
    put("max_requests", auto_or_count, "S3Z_MAX_REQUESTS", ("s3", "max_concurrent_requests"))
    put("memory_limit", auto_or_size, "S3Z_MEMORY_LIMIT")
    put("max_bandwidth", parse_rate, "S3Z_MAX_BANDWIDTH", ("s3", "max_bandwidth"))
    put("max_attempts", parse_count, "AWS_MAX_ATTEMPTS", ("profile", "max_attempts"))
    put("connect_timeout", positive_duration, "S3Z_CONNECT_TIMEOUT")
    put("read_timeout", positive_duration, "S3Z_READ_TIMEOUT")
    put("direct_io", one_of("auto", "on", "off"), "S3Z_DIRECT_IO")
    put("durable", parse_switch, "S3Z_DURABLE")
    put("strict_checksums", parse_switch, "S3Z_STRICT_CHECKSUMS")
    _refuse_unsupported(find)
    return picked


def _refuse_unsupported(find: Resolver) -> None:
    """A setting that cannot be honoured is an error, never ignored."""
    for variables, file in (
        ((), ("s3", "use_accelerate_endpoint")),
        ((), ("s3", "use_dualstack_endpoint")),
        (("AWS_USE_DUALSTACK_ENDPOINT",), ("profile", "use_dualstack_endpoint")),
        (("AWS_USE_FIPS_ENDPOINT",), ("profile", "use_fips_endpoint")),
    ):
        found = find.pick(None, str, variables, file)
        if found.value and found.value.strip().lower() != "false":
            raise ConfigError(f"{found.detail} is set, but cannot be honoured yet; unset it")


def transfer_settings(picked: Mapping[str, Setting[object]]) -> TransferSettings:
    """What the core takes of them."""
    from typing import cast

    kept = {name: setting.value for name, setting in picked.items() if name != "durable" and setting.value is not None}
    return cast("TransferSettings", kept)
