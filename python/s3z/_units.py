"""Sizes, durations and counts as a person types them, and back."""

from __future__ import annotations

KIB = 1024
MIB = 1024 * KIB
GIB = 1024 * MIB

_SIZES = {"": 1, "B": 1, "K": KIB, "M": MIB, "G": GIB, "T": 1024 * GIB}
_SECONDS = {"s": 1, "m": 60, "h": 3600, "d": 86400}
_MOST = 1 << 63


def _split(text: str) -> tuple[str, str]:
    """The leading decimal number of `text` and what follows it."""
    end = 0
    while end < len(text) and (text[end] in "0123456789."):
        end += 1
    return text[:end], text[end:]


def _number(digits: str) -> float | int:
    if not digits or digits.count(".") > 1 or digits == ".":
        raise ValueError("a number is missing")
    return float(digits) if "." in digits else int(digits)


def parse_size(text: str, unit: int = 1) -> int:
    """Bytes of a SIZE such as `8MiB`, `1.5G` or `4096`; powers of 1024.

    Args:
        text: the number with an optional unit `B K M G T`, also as `KB` or `KiB`.
        unit: bytes that a bare number counts.

    Raises:
        ValueError: it is no such size.

    Example:
        >>> parse_size("8MiB"), parse_size("5", MIB)
        (8388608, 5242880)
    """
    digits, suffix = _split(text.strip())
    name = suffix.strip().upper()
    if name[1:] in ("B", "IB"):
        name = name[0]
    try:
        if name not in _SIZES:
            raise ValueError("unknown unit")
        size = int(_number(digits) * (_SIZES[name] if name else unit))
    except ValueError:
        raise ValueError(f'"{text}" is not a size: use a number with B, K, M, G or T, such as 8M') from None
    if size >= _MOST:
        raise ValueError(f'"{text}" is too large')
    return size


def parse_rate(text: str) -> int:
    """Bytes per second of a RATE: a SIZE, and `/s` may follow.

    Raises:
        ValueError: it is no such rate, is below one byte per second, or may mean bits.

    Example:
        >>> parse_rate("50MB/s"), parse_rate("1.5K")
        (52428800, 1536)
    """
    size = text.strip().removesuffix("/s").rstrip()
    if size[-2:] in ("Kb", "Mb", "Gb", "Tb"):
        raise ValueError(f'"{text}" may mean bits: a rate is in bytes, such as 50MB/s')
    try:
        rate = parse_size(size)
    except ValueError:
        raise ValueError(f'"{text}" is not a rate: use a size and /s, such as 50MB/s') from None
    if rate < 1:
        raise ValueError("must be at least 1 byte per second")
    return rate


def parse_duration(text: str) -> float:
    """Seconds of a DURATION such as `90`, `90s`, `15m`, `1h30m`, `7d`.

    Raises:
        ValueError: it is no such duration.

    Example:
        >>> parse_duration("1h30m")
        5400.0
    """
    rest, total = text.strip(), 0.0
    try:
        if rest.replace(".", "", 1).isdecimal() and rest.isascii():
            return float(rest)
        while True:
            digits, rest = _split(rest)
            seconds = _SECONDS[rest[:1]]
            total, rest = total + _number(digits) * seconds, rest[1:]
            if not rest:
                return total
    except (KeyError, ValueError):
        raise ValueError(f'"{text}" is not a duration: use a number with s, m, h or d, such as 90s') from None


def parse_count(text: str, least: int = 1) -> int:
    """A whole number of at least `least`.

    Raises:
        ValueError: it is none.
    """
    if not (text.isascii() and text.isdecimal()) or len(text) > 18 or int(text) < least:
        raise ValueError(f'"{text}" is not a whole number of at least {least}')
    return int(text)


def parse_switch(text: str) -> bool:
    """True or False of `true` or `false` (any case; also `1` and `0`, as in the AWS files).

    Raises:
        ValueError: it is neither.
    """
    value = {"true": True, "1": True, "false": False, "0": False}.get(text.strip().lower())
    if value is None:
        raise ValueError(f'"{text}" is neither true nor false')
    return value


def auto_or_size(text: str) -> int | None:
    """None for `auto`, else a positive size in bytes."""
    if text.strip().lower() == "auto":
        return None
    size = parse_size(text)
    if size < 1:
        raise ValueError("must be at least 1 byte")
    return size


def auto_or_count(text: str) -> int | None:
    """None for `auto`, else a positive whole number."""
    return None if text.strip().lower() == "auto" else parse_count(text)


def positive_duration(text: str) -> float:
    """A duration above zero, in seconds."""
    seconds = parse_duration(text)
    if seconds <= 0:
        raise ValueError(f'"{text}" must be more than 0 seconds')
    return seconds


def human_size(size: float) -> str:
    """The largest unit of K, M, G, T that `size` exceeds, with one decimal: `1024`, `1.0K` for 1025, `30.8M`."""
    for name in "TGMK":
        if size > _SIZES[name]:
            return f"{size / _SIZES[name]:.1f}{name}"
    return f"{size:.0f}"


def human_seconds(seconds: float) -> str:
    """`0:06`, `12:34` or `1:02:03`."""
    whole = max(0, round(seconds))
    hours, minutes = divmod(whole // 60, 60)
    return f"{hours}:{minutes:02}:{whole % 60:02}" if hours else f"{minutes}:{whole % 60:02}"
