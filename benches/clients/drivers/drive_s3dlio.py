"""s3dlio: its `download` and `upload` of whole files; names are those of the object and cannot be chosen."""

import os
import sys
from pathlib import PurePath

import s3dlio


def main() -> None:
    """Arguments: verb, uri, path."""
    verb, uri, path = sys.argv[1:]
    folder, name = uri.rsplit("/", 1)
    if name != PurePath(path).name:
        raise SystemExit("s3dlio keeps the name of the object")
    if verb == "download":
        s3dlio.download(uri, os.path.dirname(path))
    else:
        s3dlio.upload([path], folder + "/")


if __name__ == "__main__":
    main()
