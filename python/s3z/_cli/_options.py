"""The options of every command: names, aliases, values and words. Plain data, cheap to load."""

from __future__ import annotations

from s3z._cli._option import Option
from s3z._cli._values import (
    age,
    byte_range,
    choice,
    endpoint,
    expected_size,
    expiry,
    extensions,
    group_size,
    header,
    key_value,
    level,
    memory_size,
    natural,
    not_empty,
    part_size,
    percent,
    retries,
    rfc3339,
    root_hash,
    shell,
    slice_size,
)
from s3z._units import auto_or_count, parse_count, parse_rate, parse_size, positive_duration

TYPE_CHECKING = False


class UsageError(Exception):
    """The command line cannot be parsed; exit status 2.

    Args:
        message: lower case, without a full stop.
        command: the command it is about, if one was seen.
    """

    def __init__(self, message: str, command: str = "s3z") -> None:
        super().__init__(message)
        self.command = command


_PROGRESS = choice("auto", "always", "never")
LOG_LEVELS = ("trace", "debug", "info", "error")

GLOBAL = (
    Option("json", "newline-delimited JSON on stdout and stderr"),
    Option("stat", "a table of counts at the end"),
    Option(
        "numworkers",
        "most objects in work at once, or threads of an archive (default auto)",
        "N|auto",
        convert=auto_or_count,
    ),
    Option("retry-count", "retries in a row without progress; 0 is none (default 9)", "N", short="r", convert=retries),
    Option("endpoint-url", "the store to speak to, http:// or https:// (default AWS)", "URL", convert=endpoint),
    Option("region", "region to begin with", "NAME", convert=not_empty),
    Option("profile", "profile of the shared AWS files", "NAME", convert=not_empty),
    Option("credentials-file", "file with credentials instead of ~/.aws/credentials", "FILE", convert=not_empty),
    Option("no-sign-request", "send anonymous requests"),
    Option(
        "addressing-style",
        "bucket in the path or in the host name (default auto)",
        "auto|path|virtual",
        convert=choice("auto", "path", "virtual"),
    ),
    Option("request-payer", "agree to pay for requests, as some buckets demand", "requester",
           convert=choice("requester")),
    Option("no-verify-ssl", "do not check TLS certificates"),
    Option("ca-bundle", "certificates that replace the system's", "FILE", convert=not_empty),
    Option("connect-timeout", "for one address (default 3s)", "DURATION", convert=positive_duration),
    Option("read-timeout", "no byte for so long (default 20s)", "DURATION", convert=positive_duration),
    Option("dry-run", "decide and print the same lines, change nothing", aliases=("dryrun",)),
    Option("memory-limit", "bytes in buffers (default auto)", "SIZE", convert=memory_size),
    Option("bwlimit", "payload bytes per second, both directions together (default none)", "RATE", convert=parse_rate),
    Option("log", "what is told on stderr (default info)", "trace|debug|info|error", convert=choice(*LOG_LEVELS)),
    Option("quiet", "only errors, and the data that was asked for", short="q"),
    Option("only-show-errors", "no result lines, no progress"),
    Option(
        "show-progress",
        "the progress line; without a value: always",
        "auto|always|never",
        aliases=("sp",),
        convert=_PROGRESS,
        bare="always",
    ),
    Option("no-progress", "the same as --show-progress=never", stands_for=("show-progress", "never")),
    Option("log-progress", "a plain progress line every so many seconds", "SECONDS", convert=positive_duration),
    Option("install-completion", "print the completion script; without a value: for $SHELL", "bash|zsh|fish",
           convert=shell, bare=""),
    Option("help", "this text", short="h"),
    Option("version", "the version"),
)  # fmt: skip

_PARTS = (
    Option("concurrency", "parts in flight; 1 downloads by one plain GET (default auto)", "N|auto", short="c",
           convert=auto_or_count),
    Option("part-size", "size of a part; a bare number is MiB (default auto)", "SIZE|auto", short="p",
           aliases=("chunk-size",), convert=part_size),
    Option("expected-size", "from stdin: how much will about come, for the size of the parts", "SIZE",
           convert=expected_size),
    Option("no-clobber", "skip what is there already", short="n", aliases=("no-overwrite",)),
)  # fmt: skip
#: of the object that is made
_OBJECT = (
    Option("storage-class", "storage class of the object", "CLASS", convert=header),
    Option("acl", "canned ACL of the object", "ACL", convert=header),
    Option("sse", "encryption at the store", "AES256|aws:kms|aws:kms:dsse",
           convert=choice("AES256", "aws:kms", "aws:kms:dsse", fold=False)),
    Option("sse-kms-key-id", "key for it", "ID", convert=header),
    Option("metadata", "the user's own metadata; may be repeated", "K=V", convert=key_value, repeat=True),
    Option("checksum-algorithm", "stored with the object (default CRC64NVME)", "NAME",
           convert=choice("crc64nvme", "crc32c", "crc32", "sha1", "sha256")),
    Option("content-type", "Content-Type of the object (default by name and content)", "TYPE", convert=header),
    Option("content-encoding", "Content-Encoding of the object", "TEXT", convert=header),
    Option("content-disposition", "Content-Disposition of the object", "TEXT", convert=header),
    Option("cache-control", "Cache-Control of the object", "TEXT", convert=header),
    Option("expires", "Expires of the object", "RFC3339", convert=rfc3339),
)  # fmt: skip
_RAW = Option("raw", "take * and ? as ordinary characters")
_INCLUDE = Option("include", "only names that match, * and ? as wildcards; may be repeated", "PATTERN", repeat=True)
_EXCLUDE = Option(
    "exclude", "leave out names that match, * and ? as wildcards; may be repeated", "PATTERN", repeat=True
)
_RECURSIVE = Option("recursive", "a bucket or prefix: everything below it, as if * were added")
_VERSION = Option("version-id", "the version that is meant", "ID", convert=not_empty)
_NO_FOLLOW = Option("no-follow-symlinks", "skip symbolic links, one that is named as SRC, too")
_SIDES = tuple(
    Option(f"{side}-{name}", f"{text} of the {side} only", value, convert=convert)
    for side in ("source", "destination")
    for name, text, value, convert in (
        ("region", "region", "NAME", not_empty),
        ("profile", "profile", "NAME", not_empty),
        ("endpoint-url", "store", "URL", endpoint),
    )
)
_VERIFY = (
    Option("verify", "downloads: compare with the stored checksum (default auto)", "auto|require|off",
           convert=choice("auto", "require", "off")),
    Option("no-verify", "the same as --verify=off", stands_for=("verify", "off")),
)  # fmt: skip
_TRANSFER = (
    _PARTS[0],
    _PARTS[1],
    _RAW,
    _RECURSIVE,
    _INCLUDE,
    _EXCLUDE,
    *_OBJECT,
    Option("metadata-directive", "S3 to S3: keep the metadata of the source, or only what is given here",
           "COPY|REPLACE", convert=lambda text: choice("copy", "replace")(text).upper()),
    *_VERIFY,
    Option("resume", "uploads: keep what was sent if it fails, and go on from there next time"),
    Option("no-resume", "downloads: neither go on with an interrupted one nor keep its parts"),
    Option("durable", "downloads: sync file and directory to the disk"),
    Option("direct-io", "downloads: write past the page cache (default auto)", "auto|on|off",
           convert=choice("auto", "on", "off")),
    _NO_FOLLOW,
    Option("force-glacier-transfer", "try objects in cold storage, too"),
    Option("ignore-glacier-warnings", "skip objects in cold storage"),
    *_SIDES,
)  # fmt: skip
_FILES_FROM = (
    Option(
        "files-from",
        "names below SRC, one in each line, without filters; - is stdin",
        "FILE|-",
        convert=not_empty,
    ),
    Option("null", "the names of --files-from end with NUL"),
)
MV = (
    *_TRANSFER,
    _PARTS[3],
    Option("flatten", "only the last component of names", short="f"),
    Option("if-size-differ", "skip what is there in the same size", short="s"),
    Option("if-source-newer", "skip what is not newer than what is there", short="u"),
    _VERSION,
    *_FILES_FROM,
    Option("manifest", "note what is done; skip what is noted and unchanged", "FILE", convert=not_empty),
)
CP = (*MV, _PARTS[2])
SYNC = (
    *_TRANSFER,
    Option("delete", "remove what is only at the destination, if everything else went well"),
    Option("size-only", "the same size is the same"),
    Option("exact-timestamps", "downloads: another time is a change, an older one, too"),
    Option("checksum", "the same size: compare checksums; etag: also ETags as MD5", "etag",
           convert=choice("checksum", "etag"), bare="checksum"),
    Option("max-delete", "delete nothing if there is more than this to delete", "N", convert=natural),
    Option("force", "with --delete: a source may select nothing"),
    Option("manifest", "note what is done; skip what is noted and unchanged", "FILE", convert=not_empty),
    Option("exit-on-error", "the first error stops everything"),
)  # fmt: skip
RM = (
    _RAW,
    _INCLUDE,
    _EXCLUDE,
    _RECURSIVE,
    Option("all-versions", "every version of what is named"),
    _VERSION,
    *_FILES_FROM,
)
PIPE = (*_PARTS, _RAW, *_OBJECT)

CAT = (
    _PARTS[0],
    _PARTS[1],
    Option("version-id", "the version to read", "ID", convert=not_empty),
    Option("range", "bytes of one object, both ends in it: FIRST-LAST, FIRST- or -COUNT", "RANGE", convert=byte_range),
    _RAW,
    Option("verify", "compare with the stored checksum (default auto)", "auto|require|off",
           convert=choice("auto", "require", "off")),
    Option("no-verify", "the same as --verify=off", stands_for=("verify", "off")),
)  # fmt: skip

UPLOADS = (
    _INCLUDE,
    _EXCLUDE,
    _RAW,
    Option("older-than", "abort: only what was begun so long ago; 0 is all (default 24h)", "DURATION", convert=age),
    Option("upload-id", "abort: this one, however young", "ID", convert=not_empty),
)

_ROOT = Option("root", "what the archive's root must be", "HEX", convert=root_hash)
PACK = (
    Option("level", "of zstd, -7 to 19 (default 3)", "N", short="l", convert=level),
    Option("codec", "none makes a plain tar (default by the name of DEST)", "zstd|none",
           convert=choice("zstd", "none")),
    Option("group-size", "bytes that small files are compressed in together (default 1M)", "SIZE", convert=group_size),
    Option("slice-size", "bytes of a large file that are compressed by themselves (default 4M)", "1M|2M|4M",
           convert=slice_size),
    Option("skip-ext", "extensions of what is compressed already, separated by commas", "LIST", convert=extensions),
    Option("no-skip", "try to compress everything"),
    Option("file-hash", "also a hash of each whole large file"),
    Option("xattrs", "keep extended attributes"),
    Option("follow-symlinks", "pack what symbolic links lead to, not the links"),
    Option("on-error", "what is done about an entry that cannot be read (default fail)", "fail|skip",
           convert=choice("fail", "skip")),
    _PARTS[3],
    _INCLUDE,
    _EXCLUDE,
    _RAW,
    _PARTS[1],
    *_OBJECT,
    Option("calibrate", "measure reading and compressing alone", hidden=True),
)  # fmt: skip
UNPACK = (
    _INCLUDE,
    _EXCLUDE,
    Option("raw", "take * and ? in DEST, and :: in ARCHIVE, as ordinary characters"),
    Option("strip-components", "cut so many components off the beginning of names", "N", convert=natural),
    Option("no-clobber", "skip files that are there already", short="n", aliases=("no-overwrite",)),
    Option("no-preserve", "modes and times as of new files"),
    Option("same-owner", "owners as in the archive"),
    Option("max-bytes", "refuse archives of more original bytes", "SIZE", convert=parse_size),
    Option("max-members", "refuse archives of more entries", "N", convert=natural),
    Option("max-ratio", "refuse archives that grow by more than this (default 1000)", "N", convert=parse_count),
    Option("allow-unsafe-links", "make links that lead out of DEST, too"),
    Option("allow-incomplete", "make files that changed while they were packed, too"),
    Option("trust", "read a damaged archive of s3z as a plain tar, unchecked", "tar", convert=choice("tar")),
    _ROOT,
    Option("durable", "sync files and directories to the disk"),
)
ARCHIVE = (
    Option("humanize", "ls: sizes as 1.0K, 30.8M", short="H", aliases=("human-readable",)),
    Option("exclude", "ls: leave out names that match; may be repeated", "PATTERN", repeat=True),
    Option("raw", "ls, cat: take * and ? as ordinary characters"),
    Option("range", "cat: bytes of one entry, both ends in it: FIRST-LAST, FIRST- or -COUNT", "RANGE",
           convert=byte_range),
    Option("index-only", "verify: all but the data"),
    Option("sample", "verify: the index, and so many percent of the data", "P", convert=percent),
    _ROOT,
    Option("output", "index: the file to write (default standard output)", "FILE", short="o", convert=not_empty),
)  # fmt: skip

_ALL_VERSIONS = Option("all-versions", "every version, and the markers of deleted ones")
LS = (
    _ALL_VERSIONS,
    Option("etag", "show ETags", short="e"),
    Option("humanize", "sizes as 1.0K, 30.8M", short="H", aliases=("human-readable",)),
    Option("storage-class", "show storage classes", short="s"),
    Option("exclude", "leave out names that match, * and ? as wildcards; may be repeated", "PATTERN", repeat=True),
    Option("recursive", "everything below, not one level"),
    Option("show-fullpath", "only the full names"),
)

_OBJECT_RAW = Option("raw", "take *, ? and a / at the end as ordinary characters")
HEAD = (
    Option("version-id", "the version to look at", "ID", convert=not_empty),
    _OBJECT_RAW,
)
PRESIGN = (
    Option("expire", "how long the URL holds, at most 7d (default 3h)", "DURATION", aliases=("expires-in",),
           convert=expiry),
    Option("version-id", "the version that it fetches", "ID", convert=not_empty),
    _OBJECT_RAW,
)  # fmt: skip
CONFIG = (Option("resolve", "also ask for credentials, and show who provides them"),)

DU = (
    Option("group", "one line for each storage class", short="g"),
    Option("humanize", "sizes as 1.0K, 30.8M", short="H", aliases=("human-readable",)),
    _EXCLUDE,
    _RECURSIVE,
    Option("all-versions", "every version; the markers of deleted ones do not count"),
    _VERSION,
)
VERIFY = (
    Option("size-only", "the same size is the same"),
    Option("checksum", "etag: take ETags as MD5, too", "etag", convert=choice("etag")),
    Option("download", "read what no checksum is stored of"),
    Option("one-way", "what is only at the destination is no difference"),
    _INCLUDE,
    _EXCLUDE,
    _RAW,
    _RECURSIVE,
    _NO_FOLLOW,
    *_SIDES,
)

#: as many arguments as there are
MANY = 1 << 30

#: command → its options, least and most arguments
COMMANDS: dict[str, tuple[tuple[Option, ...], int, int]] = {
    "archive": (ARCHIVE, 2, MANY),
    "cat": (CAT, 1, MANY),
    "config": (CONFIG, 0, MANY),
    "cp": (CP, 2, 2),
    "du": (DU, 1, 1),
    "head": (HEAD, 1, 1),
    "ls": (LS, 0, 1),
    "mb": ((), 1, 1),
    "mv": (MV, 2, 2),
    "pack": (PACK, 1, 2),
    "pipe": (PIPE, 1, 1),
    "presign": (PRESIGN, 1, 1),
    "rb": ((), 1, 1),
    "rm": (RM, 1, MANY),
    "run": ((), 0, 1),
    "sync": (SYNC, 2, 2),
    "unpack": (UNPACK, 2, MANY),
    "uploads": (UPLOADS, 1, 2),
    "verify": (VERIFY, 2, 2),
}
#: what the completion scripts call instead of a command, followed by the shell and what was typed
COMPLETE = "--complete"
#: commands with verbs → the words that may be their first argument
VERBS = {"archive": ("ls", "cat", "verify", "index"), "uploads": ("ls", "abort")}
#: options given in pairs that exclude each other
EXCLUDING = (
    ("size-only", "exact-timestamps"),
    ("size-only", "checksum"),
    ("exact-timestamps", "checksum"),
    ("resume", "no-resume"),
    ("force-glacier-transfer", "ignore-glacier-warnings"),
    ("files-from", "include"),
    ("files-from", "exclude"),
    ("no-sign-request", "profile"),
    ("no-sign-request", "credentials-file"),
    ("no-sign-request", "source-profile"),
    ("no-sign-request", "destination-profile"),
    ("index-only", "sample"),
    ("size-only", "download"),
    ("upload-id", "older-than"),
    ("upload-id", "include"),
    ("upload-id", "exclude"),
)
