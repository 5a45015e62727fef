"""Help that teaches: what a command does, its options, and examples to copy."""

from __future__ import annotations

from s3z._cli._options import COMMANDS, GLOBAL, Option

_INTRODUCTION = """\
s3z: a fast and careful S3 client

usage: s3z [global options] COMMAND [options] ARGS

commands:
  cp SRC DST   copy one object: a file to S3, or from S3 to a file
  cat URI...   objects to standard output, in order
  head ARG     what the store says of an object or a bucket
  ls [ARG]     list buckets, or what a bucket, prefix or wildcard holds
  pack SRC DEST          a tree, or the objects of a prefix, to one archive
  pipe DST     standard input to one object, sent while it comes
  unpack ARCHIVE DEST    an archive to files, all of it or some
  archive ls|cat|verify|index ARCHIVE   look into an archive, wherever it lies
  mb s3://b, rb s3://b   make, remove a bucket
  presign URI  a URL that fetches one object without keys
  uploads ls|abort ARG   what interrupted transfers left
  config [NAME...]       the settings in effect, and where each came from

examples:
  s3z ls
  s3z cp s3://bucket/data.bin .
  s3z --endpoint-url http://127.0.0.1:9000 cp data.bin s3://bucket/
"""
_FOOT = """
Keys, region and endpoint come from where boto3 finds them: AWS_… variables, ~/.aws files,
roles. `s3z COMMAND --help` tells more of a command; `--` ends options.
exit status: 0 all done, 1 something failed, 2 the command line is wrong, 128 + signal."""

_COMMANDS = {
    "cp": """\
copy one object: a file to S3, or from S3 to a file

usage: s3z [global options] cp [options] SRC DST

SRC may be `-`, standard input (see `s3z pipe --help`). A destination that is a bucket,
a prefix (ends in `/`) or a directory gets the base name of the source. A download
appears under its name only once it is complete and checked; an upload appears
complete, or not at all.

examples:
  s3z cp s3://bucket/data.bin .                  the file data.bin, here
  s3z cp report.pdf s3://bucket/2026/            the object 2026/report.pdf
  s3z cp -n --storage-class STANDARD_IA a.tar s3://bucket/a.tar
""",
    "pipe": """\
standard input to one object, sent while it comes

usage: s3z [global options] pipe [options] DST

DST is one object. No size is needed beforehand: parts leave as they fill and grow
after every thousand, and the memory stays the same. The object appears complete when
the input ends, or not at all. If the program before it dies, the input ends as well,
and half an object is stored, whatever `set -o pipefail` says afterwards; the last
example (bash) stores nothing then.

examples:
  s3z pipe s3://bucket/notes.txt < notes.txt
  s3z pipe -p 64 s3://bucket/dir.tar < <(tar c dir)
  s3z pipe --expected-size 200G s3://bucket/db.zst < <(pg_dump db | zstd)
  exec 3> >(exec s3z pipe s3://bucket/new)
  if make-data >&3; then exec 3>&-; else kill $!; fi; wait $!
""",
    "cat": """\
objects to standard output

usage: s3z [global options] cat [options] URI...

In the order given, each fetched in parallel and written in order, in bounded memory;
nothing else goes to standard output. With `*` or `?`: all matches, in the order of
their keys. A bucket or prefix: the objects of that level. The first error ends it. What
was written cannot be taken back: a wrong checksum shows behind the last byte, as exit
status 1.

examples:
  s3z cat s3://bucket/dir.tar.gz | tar xz
  s3z cat --range -1000 s3://bucket/app.log      the last 1000 bytes
  s3z cat "s3://bucket/logs/2026-11-*.log" | sort -u
""",
    "config": """\
the settings in effect, and where each came from

usage: s3z [global options] config [options] [NAME...]

Name, value and source; `-` is unset. Secrets show at most their last four characters.
Nobody is asked: no request is made and no credential process started, unless --resolve
says so. With NAMEs: only these.

examples:
  s3z config
  s3z --profile work config region endpoint_url
  s3z config --resolve access_key_id credential_provider credential_expiration
""",
    "head": """\
what the store says of an object or a bucket

usage: s3z [global options] head [options] URI

One JSON object on one line. Of a bucket: that it exists and may be looked at.

examples:
  s3z head s3://bucket/data.bin
  s3z head s3://bucket                           exit status 1 if there is none
  s3z head --version-id 3L4kqtJl s3://bucket/data.bin
""",
    "mb": """\
make a bucket

usage: s3z [global options] mb s3://BUCKET

It is made in the region of --region, AWS_REGION or the profile.

examples:
  s3z mb s3://bucket
  s3z --region eu-central-1 mb s3://bucket
  s3z --endpoint-url http://127.0.0.1:9000 mb s3://bucket
""",
    "presign": """\
a URL that fetches one object without keys

usage: s3z [global options] presign [options] URI

Whoever has the URL can fetch the object until it expires, or until the keys that signed
it do. Nobody looks whether there is such an object.

examples:
  s3z presign s3://bucket/report.pdf
  s3z presign --expire 7d s3://bucket/report.pdf
  s3z --json presign --version-id 3L4kqtJl s3://bucket/report.pdf
  curl -o report.pdf "$(s3z presign --expire 5m s3://bucket/report.pdf)"
""",
    "rb": """\
remove a bucket, which has to be empty

usage: s3z [global options] rb s3://BUCKET

examples:
  s3z rb s3://bucket
  s3z --dry-run rb s3://bucket
  s3z uploads abort --older-than 0 s3://bucket   if it seems to be empty, but is not
""",
    "uploads": """\
what interrupted transfers left: list or remove it

usage: s3z [global options] uploads ls|abort [options] [ARG]

ARG is a bucket, prefix, object or wildcard: unfinished multipart uploads below or
beginning with it, whose parts cost storage though no listing shows them. A local
directory: the hidden files of downloads that nobody goes on with. Without ARG: uploads
to this endpoint that s3z began for you on this machine and left.

examples:
  s3z uploads ls s3://bucket
  s3z uploads abort --older-than 7d s3://bucket/logs/
  s3z uploads abort --upload-id ID s3://bucket/key
  s3z --dry-run uploads abort --older-than 0 .
""",
    "pack": """\
a tree, or the objects of a prefix, to one archive

usage: s3z [global options] pack [options] SRC DEST

SRC is a file; a directory, whose name the names in the archive begin with unless it has
a `/` at its end; a local wildcard; or s3://bucket/prefix/ or wildcard. DEST is one
object, one file, or `-`, standard output. The archive is a .tar.zst that any tar opens,
with an index at its end: `s3z archive` lists and reads it over the network. A DEST that
ends in .tar makes a plain tar with the same index. It appears complete, or not at all.

examples:
  s3z pack photos/ s3://bucket/photos.tar.zst
  s3z pack --exclude "*.tmp" -l 9 project project.tar.zst
  s3z pack "s3://bucket/logs/2026-*" s3://bucket/logs-2026.tar.zst
""",
    "unpack": """\
an archive to files, all of it or some

usage: s3z [global options] unpack [options] ARCHIVE[::PREFIX] DEST [ENTRY...]

ARCHIVE is an object, a file, or `-`, standard input; of `s3z pack`, or any .tar.zst or
.tar. DEST is a directory, made if there is none. With PREFIX, only entries whose names
begin with it; with ENTRY, exactly these, and `::` is an ordinary part of the name.
Every file is checked before it appears; nothing is written outside of DEST. An entry
that fails does not stop the others: it is named, and the exit status is 1.

examples:
  s3z unpack s3://bucket/photos.tar.zst photos/
  s3z unpack s3://bucket/photos.tar.zst::2026/ .         what begins with 2026/
  s3z unpack -n --strip-components 1 project.tar.zst . project/README.md
""",
    "archive": """\
look into an archive, wherever it lies

usage: s3z [global options] archive ls     [options] ARCHIVE [PATTERN...]
       s3z [global options] archive cat    [options] ARCHIVE ENTRY...
       s3z [global options] archive verify [options] ARCHIVE
       s3z [global options] archive index  [options] ARCHIVE

Only what is asked for is fetched, and compared with its hash. ls: entries whose names
begin with PATTERN, or match it if it has `*` or `?`. cat: the bytes of files, one behind
the other. verify: every byte of the archive; what is wrong is named. index: the index as
an Arrow IPC file, for pyarrow, polars, duckdb.

examples:
  s3z archive ls -H s3://bucket/photos.tar.zst "*.jpg"
  s3z archive cat s3://bucket/photos.tar.zst 2026/a.jpg > a.jpg
  s3z archive verify s3://bucket/photos.tar.zst
  s3z archive index -o photos.arrow s3://bucket/photos.tar.zst
""",
    "ls": """\
list buckets, or what a bucket, prefix or wildcard holds

usage: s3z [global options] ls [options] [ARG]

Without an argument: buckets. A bucket, prefix or object: one level of everything
that begins with it. With `*` or `?`: all matches. A local path: the files in it.
Times are UTC; a prefix shows as DIR.

examples:
  s3z ls                                         your buckets
  s3z ls -H s3://bucket/logs/                    one level, sizes as 30.8M
  s3z ls --show-fullpath "s3://bucket/*.csv"     full names of all .csv objects
""",
}


def _row(option: Option) -> str:
    spelled = f"-{option.short}, --{option.name}" if option.short else f"    --{option.name}"
    if option.value is not None:
        spelled += f"[={option.value}]" if option.bare is not None else f" {option.value}"
    text = option.help
    if option.aliases:
        names = ", ".join(f"-{name}" if len(name) == 2 else f"--{name}" for name in option.aliases)
        text += f" (also {names})"
    return f"  {spelled:<36} {text}" if len(spelled) <= 36 else f"  {spelled}\n{'':39}{text}"


def _rows(title: str, options: tuple[Option, ...]) -> str:
    return "\n".join([f"\n{title}:", *(_row(option) for option in options if not option.hidden)])


def text(command: str) -> str:
    """The help of `command`; of s3z itself if that is empty."""
    if not command:
        return f"{_INTRODUCTION}{_rows('global options', GLOBAL)}\n{_FOOT}"
    own = COMMANDS[command][0]
    rows = f"{_rows('options', own)}\n" if own else ""
    return f"{_COMMANDS[command]}{rows}{_rows('global options', GLOBAL)}"
