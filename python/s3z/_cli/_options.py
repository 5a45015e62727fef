"""The options of every command: names, aliases, values and words. Plain data, cheap to load."""

from __future__ import annotations

import re

from s3z._escape import shown_uri
from s3z._units import GIB, MIB, auto_or_count, parse_count, parse_size, positive_duration

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator


class UsageError(Exception):
    """The command line cannot be parsed; exit status 2.

    Args:
        message: lower case, without a full stop.
        command: the command it is about, if one was seen.
    """

    def __init__(self, message: str, command: str = "s3z") -> None:
        super().__init__(message)
        self.command = command


class Option:
    """One option.

    Args:
        name: its long name, without dashes.
        help: one line, lower case.
        value: what its value is called; None makes it a switch.
        short: its one-letter name.
        aliases: other long names.
        convert: makes the value of text, raising ValueError.
        bare: text meant by the option without `=`, for those whose value only comes with `=`.
        repeat: whether several add up.
        stands_for: a switch that is another option with a fixed value.
    """

    __slots__ = ("aliases", "bare", "convert", "help", "name", "repeat", "short", "stands_for", "value")

    def __init__(
        self,
        name: str,
        help: str,
        value: str | None = None,
        *,
        short: str | None = None,
        aliases: tuple[str, ...] = (),
        convert: Callable[[str], object] = str,
        bare: str | None = None,
        repeat: bool = False,
        stands_for: tuple[str, str] | None = None,
    ) -> None:
        self.name, self.help, self.value, self.short, self.aliases = name, help, value, short, aliases
        self.convert, self.bare, self.repeat, self.stands_for = convert, bare, repeat, stands_for

    @property
    def takes_value(self) -> bool:
        """Whether a value follows, as the next token if not after `=`."""
        return self.value is not None and self.bare is None

    @property
    def dest(self) -> str:
        """Its name as an attribute."""
        return self.name.replace("-", "_")

    def spellings(self) -> Iterator[str]:
        """Every long name it is known by."""
        yield self.name
        yield from self.aliases


def choice(*choices: str, fold: bool = True) -> Callable[[str], str]:
    """A converter that takes only `choices`."""

    def convert(text: str) -> str:
        value = text.lower() if fold else text
        if value not in choices:
            raise ValueError(f'"{text}" is none of {", ".join(choices)}')
        return value

    return convert


def part_size(text: str) -> int | None:
    """Bytes of `--part-size`; a bare number is MiB; None is auto."""
    if text.lower() == "auto":
        return None
    size = parse_size(text, MIB)
    if not 1 <= size <= 5 * GIB:
        raise ValueError(f'"{text}" is out of range: at most 5G, and at least 5M for uploads')
    return size


def expected_size(text: str) -> int:
    """Bytes of `--expected-size`."""
    return parse_size(text)


def age(text: str) -> float:
    """Seconds of `--older-than`; 0 is any age."""
    return 0.0 if text == "0" else positive_duration(text)


def memory_size(text: str) -> int:
    """Bytes of `--memory-limit`."""
    size = parse_size(text)
    if size < 8 * MIB:
        raise ValueError(f'"{text}" is out of range: at least 8M')
    return size


def retries(text: str) -> int:
    """Retries after the first attempt, 0 for none."""
    return parse_count(text, 0)


def endpoint(text: str) -> str:
    """A URL with `http://` or `https://`."""
    if not text.startswith(("http://", "https://")):
        raise ValueError(f'"{shown_uri(text)}" must begin with http:// or https://')
    return text


def not_empty(text: str) -> str:
    """Any text but the empty one."""
    if not text:
        raise ValueError("it is empty")
    return text


def key_value(text: str) -> tuple[str, str]:
    """`K=V`."""
    name, equals, value = text.partition("=")
    if not (name and equals):
        raise ValueError(f'"{text}" must have the form K=V')
    return name, value


def rfc3339(text: str) -> str:
    """A moment, checked here and turned into a header later."""
    from datetime import datetime

    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        moment = None
    if moment is None or moment.tzinfo is None or len(text) < 20:
        raise ValueError(f'"{text}" is not an RFC 3339 time, such as 2026-05-01T08:00:00Z')
    return text


_RANGE = re.compile(r"(\d{1,18})-(\d{0,18})|-\d{1,18}", re.ASCII)


def byte_range(text: str) -> str:
    """A range as HTTP writes it."""
    found = _RANGE.fullmatch(text)
    if found is None or (found[2] and int(found[2]) < int(found[1])):
        raise ValueError(f'"{text}" is no range: FIRST-LAST, FIRST- or -COUNT')
    return text


_PROGRESS = choice("auto", "always", "never")
LOG_LEVELS = ("trace", "debug", "info", "error")

GLOBAL = (
    Option("json", "newline-delimited JSON on stdout and stderr"),
    Option("stat", "a table of counts at the end"),
    Option("retry-count", "retries in a row without progress; 0 is none (default 9)", "N", short="r", convert=retries),
    Option("endpoint-url", "the store to speak to, http:// or https:// (default AWS)", "URL", convert=endpoint),
    Option("region", "region to begin with", "NAME", convert=not_empty),
    Option("profile", "profile of the shared AWS files", "NAME", convert=not_empty),
    Option("credentials-file", "file with credentials instead of ~/.aws/credentials", "FILE", convert=not_empty),
    Option("no-sign-request", "send anonymous requests"),
    Option(
        "addressing-style",
        "bucket in the path or in the host name (default auto)",
        "auto|path|virtual",
        convert=choice("auto", "path", "virtual"),
    ),
    Option("no-verify-ssl", "do not check TLS certificates"),
    Option("ca-bundle", "certificates that replace the system's", "FILE", convert=not_empty),
    Option("connect-timeout", "for one address (default 3s)", "DURATION", convert=positive_duration),
    Option("read-timeout", "no byte for so long (default 20s)", "DURATION", convert=positive_duration),
    Option("dry-run", "decide and print the same lines, change nothing", aliases=("dryrun",)),
    Option("memory-limit", "bytes in buffers (default auto)", "SIZE", convert=memory_size),
    Option("log", "what is told on stderr (default info)", "trace|debug|info|error", convert=choice(*LOG_LEVELS)),
    Option("quiet", "only errors, and the data that was asked for", short="q"),
    Option("only-show-errors", "no result lines, no progress"),
    Option(
        "show-progress",
        "the progress line; without a value: always",
        "auto|always|never",
        aliases=("sp",),
        convert=_PROGRESS,
        bare="always",
    ),
    Option("no-progress", "the same as --show-progress=never", stands_for=("show-progress", "never")),
    Option("log-progress", "a plain progress line every so many seconds", "SECONDS", convert=positive_duration),
    Option("help", "this text", short="h"),
    Option("version", "the version"),
)

_PARTS = (
    Option("concurrency", "parts in flight; 1 downloads by one plain GET (default auto)", "N|auto", short="c",
           convert=auto_or_count),
    Option("part-size", "size of a part; a bare number is MiB (default auto)", "SIZE|auto", short="p",
           aliases=("chunk-size",), convert=part_size),
    Option("expected-size", "from stdin: how much will about come, for the size of the parts", "SIZE",
           convert=expected_size),
    Option("no-clobber", "skip what is there already", short="n", aliases=("no-overwrite",)),
)  # fmt: skip
#: of the object that is made
_OBJECT = (
    Option("storage-class", "storage class of the object", "CLASS", convert=not_empty),
    Option("acl", "canned ACL of the object", "ACL", convert=not_empty),
    Option("sse", "encryption at the store", "AES256|aws:kms|aws:kms:dsse",
           convert=choice("AES256", "aws:kms", "aws:kms:dsse", fold=False)),
    Option("sse-kms-key-id", "key for it", "ID", convert=not_empty),
    Option("metadata", "the user's own metadata; may be repeated", "K=V", convert=key_value, repeat=True),
    Option("checksum-algorithm", "stored with the object (default CRC64NVME)", "NAME",
           convert=choice("crc64nvme", "crc32c", "crc32", "sha1", "sha256")),
    Option("content-type", "Content-Type of the object (default by name and content)", "TYPE", convert=not_empty),
    Option("content-encoding", "Content-Encoding of the object", "TEXT", convert=not_empty),
    Option("content-disposition", "Content-Disposition of the object", "TEXT", convert=not_empty),
    Option("cache-control", "Cache-Control of the object", "TEXT", convert=not_empty),
    Option("expires", "Expires of the object", "RFC3339", convert=rfc3339),
)  # fmt: skip
_RAW = Option("raw", "take * and ? as ordinary characters")
CP = (
    *_PARTS,
    Option("version-id", "the version to download", "ID", convert=not_empty),
    _RAW,
    *_OBJECT,
    Option("verify", "downloads: compare with the stored checksum (default auto)", "auto|require|off",
           convert=choice("auto", "require", "off")),
    Option("no-verify", "the same as --verify=off", stands_for=("verify", "off")),
    Option("resume", "uploads: keep what was sent if it fails, and go on from there next time"),
    Option("no-resume", "downloads: neither go on with an interrupted one nor keep its parts"),
    Option("durable", "downloads: sync file and directory to the disk"),
    Option("direct-io", "downloads: write past the page cache (default auto)", "auto|on|off",
           convert=choice("auto", "on", "off")),
)  # fmt: skip
PIPE = (*_PARTS, _RAW, *_OBJECT)

CAT = (
    _PARTS[0],
    _PARTS[1],
    Option("version-id", "the version to read", "ID", convert=not_empty),
    Option("range", "bytes of one object, both ends in it: FIRST-LAST, FIRST- or -COUNT", "RANGE", convert=byte_range),
    _RAW,
    Option("verify", "compare with the stored checksum (default auto)", "auto|require|off",
           convert=choice("auto", "require", "off")),
    Option("no-verify", "the same as --verify=off", stands_for=("verify", "off")),
)  # fmt: skip

UPLOADS = (
    Option("exclude", "leave out keys that match, * and ? as wildcards; may be repeated", "PATTERN", repeat=True),
    _RAW,
    Option("older-than", "abort: only what was begun so long ago; 0 is all (default 24h)", "DURATION", convert=age),
    Option("upload-id", "abort: this one, however young", "ID", convert=not_empty),
)

LS = (
    Option("etag", "show ETags", short="e"),
    Option("humanize", "sizes as 1.0K, 30.8M", short="H", aliases=("human-readable",)),
    Option("storage-class", "show storage classes", short="s"),
    Option("exclude", "leave out names that match, * and ? as wildcards; may be repeated", "PATTERN", repeat=True),
    Option("recursive", "everything below, not one level"),
    Option("show-fullpath", "only the full names"),
)

#: as many arguments as there are
MANY = 1 << 30

#: command → its options, least and most arguments
COMMANDS: dict[str, tuple[tuple[Option, ...], int, int]] = {
    "cat": (CAT, 1, MANY),
    "cp": (CP, 2, 2),
    "ls": (LS, 0, 1),
    "pipe": (PIPE, 1, 1),
    "uploads": (UPLOADS, 1, 2),
}
#: options given in pairs that exclude each other
EXCLUDING = (("resume", "no-resume"), ("no-sign-request", "profile"), ("no-sign-request", "credentials-file"))
