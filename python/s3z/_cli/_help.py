"""Help that teaches: what a command does, its options, and examples to copy."""

from __future__ import annotations

from s3z._cli._options import COMMANDS, GLOBAL

TYPE_CHECKING = False
if TYPE_CHECKING:
    from s3z._cli._option import Option

_INTRODUCTION = """\
s3z: a fast and careful S3 client

usage: s3z [global options] COMMAND [options] ARGS

commands:
  cp SRC DST   copy objects and files, one or many; mv SRC DST moves them
  sync SRC DST make DST hold what SRC holds; verify SRC DST only compares
  rm ARG...    remove objects or files
  du ARG       how many objects, how many bytes
  run [FILE]   many commands, one in each line, in parallel
  cat URI...   objects to standard output, in order
  head ARG     what the store says of an object or a bucket
  ls [ARG]     list buckets, or what a bucket, prefix or wildcard holds
  pack SRC DEST          a tree, or the objects of a prefix, to one archive
  pipe DST     standard input to one object, sent while it comes
  unpack ARCHIVE DEST    an archive to files or objects
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
copy objects and files: one, or all that a directory or wildcard holds

usage: s3z [global options] cp [options] SRC DST

SRC and DST: a local path or s3://bucket/key, at least one of them remote. `*` (any run)
and `?` (one character) are wildcards; quote them. A directory is walked completely; its
name is part of the result unless it has a `/` at its end. DST that is a bucket, a prefix
(ends in `/`) or a directory gets the names below it. `-` is standard input or output.
A download appears under its name only once it is complete and checked; an upload appears
complete, or not at all. One object that fails is named, and stops no other.
Of -n, -s and -u, where several are given, the last in this order decides.

examples:
  s3z cp s3://bucket/data.bin .                  the file data.bin, here
  s3z cp dir/ s3://bucket/backup/                all that is in dir, below backup/
  s3z cp "s3://bucket/logs/2026-*.gz" logs/      what matches, into logs
  s3z cp -n --storage-class STANDARD_IA a.tar s3://bucket/a.tar
  s3z cp "s3://bucket/*" s3://other/copy/        by the store itself
""",
    "mv": """\
move objects and files: copy, check, then remove the source

usage: s3z [global options] mv [options] SRC DST

Arguments and names are those of `s3z cp`. A source is removed only after its destination
is complete, checked and on the disk, and only if it is still what was read. Emptied
directories stay.

examples:
  s3z mv report.pdf s3://bucket/2026/
  s3z mv "s3://bucket/in/*" s3://bucket/done/
  s3z mv --exclude "*.tmp" dir/ s3://bucket/dir/
""",
    "sync": """\
make DST hold what SRC holds, one way

usage: s3z [global options] sync [options] SRC DST

Sources and names are those of `s3z cp`. What is missing at the destination, of another
size, or older than the source is transferred; a second run does nothing. With --delete,
what is only at the destination is removed: last, and only if nothing at all went wrong.

examples:
  s3z sync dir/ s3://bucket/dir/
  s3z sync "s3://bucket/dir/*" dir               times become those of the objects
  s3z --dry-run sync --delete --max-delete 100 dir/ s3://bucket/dir/
  s3z sync --checksum "s3://bucket/a/*" s3://other/a/
""",
    "rm": """\
remove objects, or local files

usage: s3z [global options] rm [options] ARG...

Objects of one bucket, in batches of 1000, each with its own outcome; a missing key counts
as removed. Local arguments: files are removed, directories stay, and links are neither
removed nor gone through, not even those on the way to a file.

examples:
  s3z rm s3://bucket/key
  s3z --dry-run rm "s3://bucket/tmp/*"           what would go
  s3z rm --all-versions s3://bucket/key          exactly that key, every version of it
  s3z rm --files-from list.txt s3://bucket/logs/
""",
    "du": """\
how many objects there are, and how many bytes in them

usage: s3z [global options] du [options] ARG

Selected is what `s3z ls` shows for ARG; zero-byte markers of directories do not count.

examples:
  s3z du "s3://bucket/2026/*"
  s3z du -H --recursive s3://bucket              sizes as 30.8M
  s3z du -g --all-versions "s3://bucket/*"       by storage class
""",
    "run": """\
many commands, one in each line, in parallel

usage: s3z [global options] run [FILE]

Lines come from FILE or standard input and are split as a shell does. Blank lines and
those that begin with # are skipped. All share one process and its connections; their
order is not fixed. A line that fails is told with its number and stops no other. Global
options stand before `run` and hold for all lines.

examples:
  s3z run commands.txt
  s3z ls --show-fullpath "s3://bucket/*.gz" | sed 's/.*/cp "&" out\\//' | s3z run
  s3z --dry-run --numworkers 8 run < commands.txt
""",
    "verify": """\
compare a tree and a prefix, or two prefixes, without transferring

usage: s3z [global options] verify [options] SRC DST

Content is compared by the checksums that the store holds. One line for each difference:
`*` differs, `+` only in SRC, `-` only in DST, `?` same size, but nothing to compare by.
Exit status 0 only if there is none.

examples:
  s3z verify dir/ s3://bucket/dir/
  s3z verify --one-way "s3://bucket/a/*" s3://other/a/
  s3z verify --download --exclude "*.tmp" dir/ s3://bucket/dir/
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
an archive to files or objects, all of it or some

usage: s3z [global options] unpack [options] ARCHIVE[::PREFIX] DEST [ENTRY...]

ARCHIVE is an object, a file, or `-`, standard input; of `s3z pack`, or any .tar.zst or
.tar. DEST is a directory, made if there is none; or a bucket or prefix, where files become
objects, and directories and links are left out. With PREFIX, only entries whose names
begin with it; with ENTRY, exactly these, and `::` is an ordinary part of the name.
Every file is checked before it appears; nothing is written outside of DEST. An entry
that fails does not stop the others: it is named, and the exit status is 1.

examples:
  s3z unpack s3://bucket/photos.tar.zst photos/
  s3z unpack s3://bucket/photos.tar.zst::2026/ .         what begins with 2026/
  s3z unpack photos.tar.zst s3://bucket/photos/          files become objects
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
