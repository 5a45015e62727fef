"""Texts that a person has looked at, kept beside the tests: a change of what is shown is seen in review."""

from __future__ import annotations

import os
import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

#: read at once: the tests themselves see another environment
_REWRITES = bool(os.environ.get("REWRITE_SNAPSHOTS"))
_TITLE = re.compile(r"^## (.*)\n", re.MULTILINE)


class Snapshot:
    """One file of titled sections. With REWRITE_SNAPSHOTS=1 in the environment a check writes instead.

    Args:
        path: the file.
        opening: what stands at its head.
    """

    def __init__(self, path: Path, opening: str) -> None:
        self.path = path
        self.opening = opening

    def sections(self) -> dict[str, str]:
        """Texts by their titles."""
        if not self.path.exists():
            return {}
        parts = _TITLE.split(self.path.read_text())
        return {title: text.strip("\n") for title, text in zip(parts[1::2], parts[2::2], strict=True)}

    def check(self, title: str, text: str) -> None:
        """Compare a text with what was seen before."""
        text = text.strip("\n")
        sections = self.sections()
        if _REWRITES:
            sections[title] = text
            self.path.parent.mkdir(exist_ok=True)
            body = "".join(f"## {name}\n\n{each}\n\n" for name, each in sorted(sections.items()))
            self.path.write_text(f"{self.opening}\n\n{body}".rstrip("\n") + "\n")
            return
        assert text == sections.get(title), f"{self.path.name}, {title}: if that is meant, set REWRITE_SNAPSHOTS=1"
