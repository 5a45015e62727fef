"""The `s3z` command, also as `python -m s3z`."""

from __future__ import annotations

import sys


def main() -> int:
    """Run the command with the arguments of this process.

    Returns:
        The exit status: 0 all done, 1 something failed, 2 the command line cannot be parsed.
    """
    try:
        from s3z._cli import run

        return run(sys.argv[1:])
    except KeyboardInterrupt:
        from s3z._cli._exit import die_of

        die_of(2)
        return 130


if __name__ == "__main__":
    sys.exit(main())
