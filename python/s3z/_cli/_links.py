"""Symbolic links among the components of a path."""

# names are bytes here, and pathlib would cost start-up time
from __future__ import annotations

import os
import stat


class Links:
    """Looks for links; directories are looked at once.

    Args:
        start: characters at the beginning of each path that are not looked at.
    """

    def __init__(self, start: int = 0) -> None:
        self._start = start
        self._known: dict[str, bool] = {}

    def first(self, path: str) -> str | None:
        """The first component that is a link, with what is before it; a slash at the end is none of the path.

        Raises:
            OSError: a component cannot be looked at; one that is not there is no link.
        """
        path = path.rstrip("/")
        end = path.find("/", self._start)
        while end >= 0:
            directory = path[:end]
            if directory not in self._known:
                self._known[directory] = bool(directory) and _is_link(directory)
            if self._known[directory]:
                return directory
            end = path.find("/", end + 1)
        return path if path and _is_link(path) else None


def _is_link(path: str) -> bool:
    try:
        return stat.S_ISLNK(os.lstat(path).st_mode)
    except (FileNotFoundError, NotADirectoryError):
        return False
