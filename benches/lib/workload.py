"""Workloads as `workloads/*.toml` states them."""

from __future__ import annotations

import tomllib
from dataclasses import dataclass
from pathlib import Path

from lib.job import MANY, UPLOADS

FOLDER = Path(__file__).resolve().parents[1] / "workloads"
_UNITS = {"KiB": 1 << 10, "MiB": 1 << 20, "GiB": 1 << 30, "": 1}


@dataclass(frozen=True, slots=True)
class Workload:
    """One object, one direction, one server."""

    name: str
    verb: str
    size: int
    part_size: int
    server: tuple[str, ...]
    object_size: int = 0

    @property
    def uploads(self) -> bool:
        """Whether a file of this side is sent."""
        return self.verb in UPLOADS

    @property
    def lists(self) -> bool:
        """Whether keys are listed; sizes are numbers of keys then."""
        return self.verb == "list"

    @property
    def is_many(self) -> bool:
        """Whether it is a tree of `size` small objects."""
        return self.verb in MANY

    @property
    def counts(self) -> bool:
        """Whether `size` is a number of keys."""
        return self.lists or self.is_many

    @property
    def shown_size(self) -> str:
        """What there is of it, for a person."""
        if self.is_many:
            return f"{self.size} objects of {format_size(self.object_size)}"
        return f"{self.size} keys" if self.lists else format_size(self.size)

    @property
    def secure(self) -> bool:
        """Whether it runs over TLS."""
        return any(flag.startswith("--tls") for flag in self.server)


def names() -> list[str]:
    """Return the names of all workloads."""
    return sorted(path.stem for path in FOLDER.glob("*.toml"))


def load(name: str, *, quick: bool) -> Workload:
    """Read one workload; `quick` takes its small size."""
    with (FOLDER / f"{name}.toml").open("rb") as file:
        stated = tomllib.load(file)
    return Workload(
        name=name,
        verb=stated["verb"],
        size=parse_size(stated["quick_size" if quick else "size"]),
        part_size=parse_size(stated["part_size"]),
        server=tuple(stated["server"]),
        object_size=parse_size(stated.get("object_size", "0")),
    )


def parse_size(text: str) -> int:
    """Read `16MiB` or a number of bytes."""
    digits = text.rstrip("BGKMi")
    return int(digits) * _UNITS[text[len(digits) :].strip()]


def format_size(size: int) -> str:
    """Write a size in the largest unit that divides it."""
    for unit in ("GiB", "MiB", "KiB"):
        if size >= _UNITS[unit] and size % _UNITS[unit] == 0:
            return f"{size // _UNITS[unit]} {unit}"
    return f"{size} B"
