"""The conditions a table was made under; without them its figures mean nothing."""

from __future__ import annotations

import os
import platform
import subprocess
import time
from pathlib import Path

from lib.server import ROOT


def machine(target: Path) -> dict[str, str]:
    """Return what is to be known of the machine, by name."""
    memory = _field(Path("/proc/meminfo"), "MemTotal")
    return {
        "date": time.strftime("%Y-%m-%d %H:%M UTC", time.gmtime()),
        "processor": _field(Path("/proc/cpuinfo"), "model name") or platform.machine(),
        "cores": str(len(os.sched_getaffinity(0))),
        "memory": f"{int(memory.split()[0]) / 2**20:.0f} GiB" if memory else "unknown",
        "kernel": f"{platform.system()} {platform.release()}",
        "file system": _file_system(target),
        "network": "loopback; client and server share the cores",
        "python": platform.python_version(),
        "rust": _command("rustc", "--version"),
        "revision": _command("git", "-C", str(ROOT), "describe", "--always", "--dirty"),
        "load before": " ".join(f"{load:.1f}" for load in os.getloadavg()),
        "cache state": "uploads read a file that is in the page cache; downloads write a new file; "
        "after each run the output is deleted, the file system synced and a pause made",
    }


def _field(path: Path, name: str) -> str:
    """Return the first `name: value` of a file under /proc."""
    for line in path.read_text().splitlines():
        key, _, value = line.partition(":")
        if key.strip() == name:
            return value.strip()
    return ""


def _file_system(target: Path) -> str:
    """Return type and options of the mount that holds the directory."""
    best, described = "", "unknown"
    resolved = str(target.resolve())
    for line in Path("/proc/self/mountinfo").read_text().splitlines():
        left, _, right = line.partition(" - ")
        point, options = left.split()[4:6]
        inside = resolved == point or resolved.startswith(point.rstrip("/") + "/")
        if inside and len(point) >= len(best):
            best, described = point, f"{right.split()[0]} ({options})"
    return described


def _command(*argv: str) -> str:
    """Return the first line a command prints."""
    try:
        done = subprocess.run(argv, capture_output=True, text=True, check=True, timeout=30)
    except (OSError, subprocess.SubprocessError):
        return "unknown"
    return done.stdout.strip().split("\n")[0] or "unknown"
