"""s3z: `get_into` a buffer of our own, configured by the environment alone."""

import sys

import memory

import s3z


def main() -> None:
    """Arguments: verb, uri, size."""
    verb, uri, size = sys.argv[1:]
    if verb != "memory":
        raise SystemExit(f"{verb} needs no script")
    buffer = memory.allocate(int(size))
    memory.finish(buffer, s3z.get_into(uri, buffer))


if __name__ == "__main__":
    main()
