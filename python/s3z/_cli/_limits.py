"""What this process may use: raised where the system lets everybody raise it."""

from __future__ import annotations

import contextlib

_ENOUGH = 65536


def raise_descriptor_limit() -> None:
    """Raise the soft limit of open files to the hard one, or to what any command needs: shells start with 1024."""
    import resource

    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = _ENOUGH if hard == resource.RLIM_INFINITY else min(hard, _ENOUGH)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        with contextlib.suppress(OSError, ValueError):
            resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
