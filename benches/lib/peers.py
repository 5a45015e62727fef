"""Where the other clients are installed (`benches/setup_peers.sh`) and which versions they have."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

DRIVERS = Path(__file__).resolve().parents[1] / "clients" / "drivers"


def cache_dir() -> Path:
    """Return the directory that holds the benchmark's venv and programs."""
    cache = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(cache) / "s3z-bench"


def venv_python() -> str:
    """Return the interpreter the peers live in."""
    return str(cache_dir() / "venv" / "bin" / "python")


def own_python() -> str:
    """Return the interpreter s3z is installed in: $S3Z_PYTHON, or the one that runs the benchmark."""
    return os.environ.get("S3Z_PYTHON") or sys.executable


def package_version(package: str, python: str | None = None) -> str | None:
    """Return the version of a Python package that can also be imported, or None."""
    code = f"import {package}; from importlib.metadata import version; print(version({package!r}))"
    return first_line([python or venv_python(), "-c", code])


def program(name: str) -> str | None:
    """Return the path of a program: the benchmark's own first, then PATH."""
    own = cache_dir()
    for folder in (own / "bin", own / "venv" / "bin"):
        if (folder / name).is_file():
            return str(folder / name)
    return shutil.which(name)


def first_line(argv: list[str]) -> str | None:
    """Return the first line a command prints, or None if it cannot be run."""
    try:
        done = subprocess.run(argv, capture_output=True, text=True, timeout=60, check=True)
    except (OSError, subprocess.SubprocessError):
        return None
    return next(iter(done.stdout.splitlines()), None)


def driver(name: str, verb: str, *operands: str, python: str | None = None) -> list[str]:
    """Return the command that runs one of our scripts for a Python client."""
    return [python or venv_python(), str(DRIVERS / name), verb, *operands]
