"""Wildcards, `*` and `?` and nothing else, compared character by character."""

from __future__ import annotations


def matches(pattern: str, name: str) -> bool:
    """Whether `name` is what `pattern` says, from start to end; `*` and `?` also stand for `/` and newlines.

    Example:
        >>> matches("a*c?", "abbc!"), matches("a*", "ba")
        (True, False)
    """
    first, *rest = pattern.split("*")
    if not rest:
        return len(name) == len(first) and _fits(first, name, 0)
    last = rest.pop()
    end = len(name) - len(last)
    at = len(first)
    if end < at or not _fits(first, name, 0) or not _fits(last, name, end):
        return False
    for piece in rest:
        at = _find(piece, name, at, end)
        if at < 0:
            return False
        at += len(piece)
    return True


def _fits(piece: str, name: str, at: int) -> bool:
    """Whether `piece`, without stars, is in `name` at `at`."""
    if "?" not in piece:
        return name.startswith(piece, at)
    return len(name) - at >= len(piece) and all(
        want in ("?", have) for want, have in zip(piece, name[at : at + len(piece)], strict=True)
    )


def _find(piece: str, name: str, start: int, end: int) -> int:
    """The first place in `name[start:end]` where `piece` fits, or -1."""
    if "?" not in piece:
        return name.find(piece, start, end)
    return next((at for at in range(start, end - len(piece) + 1) if _fits(piece, name, at)), -1)


def split_wildcard(pattern: str) -> tuple[str, str]:
    """The part of `pattern` before its first wildcard, and that up to the last `/` in it.

    Example:
        >>> split_wildcard("logs/2026-*/x")
        ('logs/2026-', 'logs/')
    """
    places = [at for at in (pattern.find("*"), pattern.find("?")) if at >= 0]
    prefix = pattern[: min(places)] if places else pattern
    return prefix, prefix[: prefix.rfind("/") + 1]


class Filter:
    """The `--include` and `--exclude` patterns of one argument.

    Args:
        include: as given; empty ones are ignored.
        exclude: likewise.
        prefix: the part of the argument before its first wildcard.
    """

    def __init__(self, include: list[str] | None, exclude: list[str] | None, prefix: str) -> None:
        self._include = [pattern for pattern in include or () if pattern]
        self._exclude = [pattern for pattern in exclude or () if pattern]
        self._prefix = prefix if not prefix or prefix.endswith("/") else f"{prefix}/"

    def keeps(self, name: str) -> bool:
        """Whether a name (a whole key, or a whole local path) is not left out."""
        if not self._include and not self._exclude:
            return True
        own = name[len(self._prefix) :] if name.startswith(self._prefix) else name
        if any(matches(pattern, own) for pattern in self._exclude):
            return False
        return not self._include or any(matches(pattern, own) for pattern in self._include)


class Excluder:
    """The `--exclude` patterns of one argument.

    Args:
        patterns: as given; empty ones are ignored.
        prefix: the part of the argument before its first wildcard.
    """

    def __init__(self, patterns: list[str] | None, prefix: str) -> None:
        self._filter = Filter(None, patterns, prefix)

    def excludes(self, name: str) -> bool:
        """Whether a name (a whole key, or a whole local path) is left out."""
        return not self._filter.keeps(name)
