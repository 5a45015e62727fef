"""The content type of a file: by extension from the table below, else text or bytes by a look at its beginning."""

from __future__ import annotations

import os

TEXT = "text/plain; charset=utf-8"
BYTES = "application/octet-stream"
_LOOK = 512

BY_EXTENSION = {
    extension: content_type
    for content_type, extensions in {
        "application/epub+zip": "epub",
        "application/geo+json": "geojson",
        "application/gzip": "gz tgz",
        "application/java-archive": "jar war",
        "application/json": "json map",
        "application/ld+json": "jsonld",
        "application/msword": "doc dot",
        "application/pdf": "pdf",
        "application/postscript": "ai eps ps",
        "application/rtf": "rtf",
        "application/toml": "toml",
        "application/vnd.apache.arrow.file": "arrow feather",
        "application/vnd.apache.arrow.stream": "arrows",
        "application/vnd.apache.parquet": "parquet",
        "application/vnd.ms-excel": "xls",
        "application/vnd.ms-powerpoint": "ppt",
        "application/vnd.oasis.opendocument.presentation": "odp",
        "application/vnd.oasis.opendocument.spreadsheet": "ods",
        "application/vnd.oasis.opendocument.text": "odt",
        "application/vnd.openxmlformats-officedocument.presentationml.presentation": "pptx",
        "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet": "xlsx",
        "application/vnd.openxmlformats-officedocument.wordprocessingml.document": "docx",
        "application/vnd.sqlite3": "sqlite sqlite3",
        "application/wasm": "wasm",
        "application/x-7z-compressed": "7z",
        "application/x-bzip2": "bz2",
        "application/x-hdf5": "h5 hdf5",
        "application/x-ipynb+json": "ipynb",
        "application/x-lz4": "lz4",
        "application/x-ndjson": "jsonl ndjson",
        "application/x-sh": "sh",
        "application/x-tar": "tar",
        "application/x-xz": "xz",
        "application/xhtml+xml": "xhtml",
        "application/xml": "xml xsd",
        "application/yaml": "yaml yml",
        "application/zip": "zip whl",
        "application/zstd": "zst",
        "audio/aac": "aac",
        "audio/flac": "flac",
        "audio/midi": "mid midi",
        "audio/mp4": "m4a",
        "audio/mpeg": "mp3",
        "audio/ogg": "oga ogg opus",
        "audio/wav": "wav",
        "font/otf": "otf",
        "font/ttf": "ttf",
        "font/woff": "woff",
        "font/woff2": "woff2",
        "image/apng": "apng",
        "image/avif": "avif",
        "image/bmp": "bmp",
        "image/gif": "gif",
        "image/heic": "heic",
        "image/jpeg": "jpg jpeg jpe",
        "image/png": "png",
        "image/svg+xml": "svg",
        "image/tiff": "tif tiff",
        "image/vnd.microsoft.icon": "ico",
        "image/webp": "webp",
        "text/calendar; charset=utf-8": "ics",
        "text/css; charset=utf-8": "css",
        "text/csv; charset=utf-8": "csv",
        "text/html; charset=utf-8": "html htm",
        "text/javascript; charset=utf-8": "js mjs",
        "text/markdown; charset=utf-8": "md markdown",
        "text/plain; charset=utf-8": "txt text log conf ini cfg",
        "text/tab-separated-values; charset=utf-8": "tsv",
        "text/vtt; charset=utf-8": "vtt",
        "video/mp2t": "m2ts",
        "video/mp4": "mp4 m4v",
        "video/mpeg": "mpeg mpg",
        "video/ogg": "ogv",
        "video/quicktime": "mov",
        "video/webm": "webm",
        "video/x-matroska": "mkv",
        "video/x-msvideo": "avi",
    }.items()
    for extension in extensions.split()
}


def by_extension(name: str) -> str | None:
    """The content type that the extension of `name` stands for, None if it is not in the table.

    Example:
        >>> by_extension("photo.JPG"), by_extension("data.csv"), by_extension("Makefile")
        ('image/jpeg', 'text/csv; charset=utf-8', None)
    """
    base = name.rpartition("/")[2]
    stem, dot, extension = base.rpartition(".")
    return BY_EXTENSION.get(extension.lower()) if dot and stem else None


def looks_like_text(beginning: bytes) -> bool:
    """Whether the first bytes of something are UTF-8 without control characters but white space and escape."""
    import codecs

    try:
        text = codecs.getincrementaldecoder("utf-8")().decode(beginning)
    except UnicodeDecodeError:
        return False
    return not any((character < " " and character not in "\t\n\r\f\x1b") or character == "\x7f" for character in text)


def guess(path: str | bytes) -> str:
    """The content type for an upload of the file at `path`.

    Raises:
        OSError: the file cannot be read.
    """
    known = by_extension(os.fsdecode(path))
    if known is not None:
        return known
    with open(path, "rb") as file:  # noqa: PTH123 - pathlib would cost start-up time
        return TEXT if looks_like_text(file.read(_LOOK)) else BYTES
