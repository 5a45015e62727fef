"""Help that teaches: what a command does, its options, and examples to copy."""

from __future__ import annotations

from s3z._cli._options import COMMANDS, GLOBAL, Option

_INTRODUCTION = """\
s3z: a fast and careful S3 client

usage: s3z [global options] COMMAND [options] ARGS

commands:
  cp SRC DST   copy one object: a file to S3, or from S3 to a file
  ls [ARG]     list buckets, or what a bucket, prefix or wildcard holds

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

A destination that is a bucket, a prefix (ends in `/`) or a directory gets the base
name of the source. A download appears under its name only once it is complete and
checked; an upload appears complete, or not at all.

examples:
  s3z cp s3://bucket/data.bin .                  the file data.bin, here
  s3z cp report.pdf s3://bucket/2026/            the object 2026/report.pdf
  s3z cp -n --storage-class STANDARD_IA a.tar s3://bucket/a.tar
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
        spelled += f"[={option.value}]" if option.bare else f" {option.value}"
    text = option.help
    if option.aliases:
        names = ", ".join(f"-{name}" if len(name) == 2 else f"--{name}" for name in option.aliases)
        text += f" (also {names})"
    return f"  {spelled:<36} {text}" if len(spelled) <= 36 else f"  {spelled}\n{'':39}{text}"


def _rows(title: str, options: tuple[Option, ...]) -> str:
    return "\n".join([f"\n{title}:", *map(_row, options)])


def text(command: str) -> str:
    """The help of `command`; of s3z itself if that is empty."""
    if not command:
        return f"{_INTRODUCTION}{_rows('global options', GLOBAL)}\n{_FOOT}"
    own = COMMANDS[command][0]
    return f"{_COMMANDS[command]}{_rows('options', own)}\n{_rows('global options', GLOBAL)}"
