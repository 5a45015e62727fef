"""The values of options: converters from text, each raising ValueError for what it cannot take."""

from __future__ import annotations

import re

from s3z._escape import shown_uri
from s3z._units import GIB, KIB, MIB, parse_count, parse_size, positive_duration

#: what names of headers are made of
_TOKEN = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+", re.ASCII)
_RFC3339 = re.compile(r"\d{4}-\d\d-\d\d[Tt ]\d\d:\d\d:\d\d(\.\d+)?([Zz]|[+-]\d\d:\d\d)", re.ASCII)
#: those that completion scripts are there for
SHELLS = ("bash", "zsh", "fish")


class Choice:
    """A converter that takes only `choices`, which completion offers."""

    __slots__ = ("choices", "fold")

    def __init__(self, choices: tuple[str, ...], *, fold: bool) -> None:
        self.choices, self.fold = choices, fold

    def __call__(self, text: str) -> str:
        """The choice that `text` is."""
        value = text.lower() if self.fold else text
        if value not in self.choices:
            raise ValueError(f'"{text}" is none of {", ".join(self.choices)}')
        return value


def choice(*choices: str, fold: bool = True) -> Choice:
    """A converter that takes only `choices`."""
    return Choice(choices, fold=fold)


def shell(text: str) -> str:
    """A shell that there is a completion script for; empty is that of `$SHELL`.

    Raises:
        ValueError: it is none.
    """
    import os

    if text:
        return Choice(SHELLS, fold=False)(text)
    named = os.environ.get("SHELL", "").rpartition("/")[2]
    if named not in SHELLS:
        raise ValueError(f"$SHELL is none of {', '.join(SHELLS)}: say which one is meant")
    return named


def expiry(text: str) -> int:
    """Whole seconds of `--expire`."""
    seconds = positive_duration(text)
    if not 1 <= seconds <= 7 * 86400:
        raise ValueError(f'"{text}" is out of range: from 1s to 7d')
    return int(seconds)


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
    from s3z._config import check_endpoint

    # Its `ConfigError` is a `ValueError`.
    return check_endpoint(text)


def not_empty(text: str) -> str:
    """Any text but the empty one."""
    if not text:
        raise ValueError("it is empty")
    return text


def header(text: str) -> str:
    """Text that can be the value of a header.

    Raises:
        ValueError: it cannot.
    """
    if not text.isascii() or not text.replace("\t", " ").isprintable():
        raise ValueError("visible ASCII characters only")
    if text != text.strip():
        raise ValueError("blanks at an end would be lost")
    return not_empty(text)


def key_value(text: str) -> tuple[str, str]:
    """`K=V`."""
    name, equals, value = text.partition("=")
    if not (name and equals):
        raise ValueError(f'"{text}" must have the form K=V')
    if _TOKEN.fullmatch(name) is None:
        raise ValueError(f'"{name}" cannot be a name: use ASCII letters, digits and "-"')
    return name, header(value) if value else value


def rfc3339(text: str) -> str:
    """A moment, checked here and turned into a header later."""
    from datetime import datetime

    try:
        found = _RFC3339.fullmatch(text) is not None and datetime.fromisoformat(text.upper()) is not None
    except ValueError:
        found = False
    if not found:
        raise ValueError(f'"{text}" is not an RFC 3339 time, such as 2026-05-01T08:00:00Z')
    return text.upper()


_RANGE = re.compile(r"(\d{1,18})-(\d{0,18})|-\d{1,18}", re.ASCII)


def byte_range(text: str) -> str:
    """A range as HTTP writes it."""
    found = _RANGE.fullmatch(text)
    if found is None or (found[2] and int(found[2]) < int(found[1])):
        raise ValueError(f'"{text}" is no range: FIRST-LAST, FIRST- or -COUNT')
    return text


def level(text: str) -> int:
    """A level of zstd."""
    digits = text.removeprefix("-")
    if not (digits.isascii() and digits.isdecimal()) or len(digits) > 3 or not -7 <= int(text) <= 19:
        raise ValueError(f'"{text}" is out of range: from -7 to 19')
    return int(text)


def group_size(text: str) -> int:
    """Bytes of `--group-size`."""
    size = parse_size(text)
    if not 64 * KIB <= size <= 4 * MIB:
        raise ValueError(f'"{text}" is out of range: from 64K to 4M')
    return size


def slice_size(text: str) -> int:
    """Bytes of `--slice-size`."""
    size = parse_size(text)
    if size not in (MIB, 2 * MIB, 4 * MIB):
        raise ValueError(f'"{text}" is none of 1M, 2M, 4M')
    return size


def extensions(text: str) -> list[str]:
    """Names without their dots."""
    return [name for each in text.split(",") if (name := each.strip().removeprefix("."))]


def root_hash(text: str) -> str:
    """64 hexadecimal digits."""
    if len(text) != 64 or not set(text.lower()) <= set("0123456789abcdef"):
        raise ValueError("it is not 64 hexadecimal digits")
    return text


def percent(text: str) -> float:
    """A part of the whole, above 0 and at most 1, from percent."""
    try:
        share = float(text.removesuffix("%")) / 100
    except ValueError:
        share = 0.0
    if not 0 < share <= 1:
        raise ValueError(f'"{text}" is no percentage: above 0 and at most 100')
    return share


def natural(text: str) -> int:
    """A whole number, 0 too."""
    return parse_count(text, 0)
