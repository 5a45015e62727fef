"""The `s3z` command: understand the line, run one command, turn what happens into lines and an exit status."""

from __future__ import annotations

import contextlib
import sys

from s3z._cli._options import COMPLETE, UsageError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from s3z._cli._context import Context
    from s3z._cli._parser import Parsed


def run(tokens: list[str]) -> int:
    """Carry out a command line.

    Args:
        tokens: what follows the name of the command.

    Returns:
        The exit status. After a signal it does not return: the signal ends the process.
    """
    from s3z._cli import _exit
    from s3z._cli._parser import parse

    _exit.keep_standard_descriptors()
    if tokens[:1] == [COMPLETE]:
        from s3z._cli import _completion

        return _completion.answer(tokens[1:])
    try:
        parsed = parse(tokens)
    except UsageError as error:
        return _usage(error, as_json=any(token.lstrip("-") in ("json", "json=true") for token in tokens))
    if parsed.asked is not None:
        return _tell(parsed)
    return _command(parsed)


def _usage(error: UsageError, *, as_json: bool) -> int:
    from s3z._cli import _exit
    from s3z._cli._failures import Failure, RefusedError
    from s3z._cli._printer import Printer

    printer = Printer(as_json=as_json)
    hint = "`s3z --help` lists the commands" if error.command == "s3z" or str(error) == "command not found" else None
    hint = hint or f"`s3z {error.command} --help` lists its options"
    printer.error(error.command, Failure(RefusedError(str(error), "usage", hint)))
    return _exit.USAGE


def _tell(parsed: Parsed) -> int:
    """Print help, version or a completion script."""
    from s3z._cli import _exit
    from s3z._cli._printer import Printer, StdoutClosedError

    if parsed.asked == "version":
        from s3z._version import __version__

        text = f"s3z {__version__}"
    elif parsed.asked == "install-completion":
        from s3z._cli import _shells

        text = _shells.script(parsed.options.install_completion)
    else:
        from s3z._cli import _help

        text = _help.text(parsed.command)
    printer = Printer(product=True)
    try:
        printer.data(text)
    except StdoutClosedError:
        return _exit.OK
    return _exit.FAILED if printer.failed else _exit.OK


def _runner(command: str) -> Callable[[Context], None]:
    if command in ("cp", "mv"):
        from s3z._cli.cp import run as run_cp

        return run_cp
    if command == "sync":
        from s3z._cli.sync import run as run_sync

        return run_sync
    if command == "run":
        from s3z._cli.run import run as run_lines

        return run_lines
    if command == "du":
        from s3z._cli.du import run as run_du

        return run_du
    if command == "verify":
        from s3z._cli.verify import run as run_verify

        return run_verify
    if command == "rm":
        from s3z._cli.rm import run as run_rm

        return run_rm
    if command == "cat":
        from s3z._cli.cat import run as run_cat

        return run_cat
    if command == "pipe":
        from s3z._cli.pipe import run as run_pipe

        return run_pipe
    if command == "pack":
        from s3z._cli.pack import run as run_pack

        return run_pack
    if command == "unpack":
        from s3z._cli.unpack import run as run_unpack

        return run_unpack
    if command == "archive":
        from s3z._cli.archive import run as run_archive

        return run_archive
    if command == "head":
        from s3z._cli.head import run as run_head

        return run_head
    if command in ("mb", "rb"):
        from s3z._cli.buckets import run as run_buckets

        return run_buckets
    if command == "presign":
        from s3z._cli.presign import run as run_presign

        return run_presign
    if command == "config":
        from s3z._cli.config import run as run_config

        return run_config
    if command == "uploads":
        from s3z._cli.uploads import run as run_uploads

        return run_uploads
    from s3z._cli.ls import run as run_ls

    return run_ls


def _command(parsed: Parsed) -> int:
    from s3z._cli import _exit
    from s3z._cli._context import Context
    from s3z._cli._failures import Failure
    from s3z._cli._limits import raise_descriptor_limit
    from s3z._cli._printer import Printer, StdoutClosedError
    from s3z._exceptions import ConfigError

    _exit.install(as_json=bool(parsed.options.json))
    raise_descriptor_limit()
    try:
        context = Context(parsed)
    except ConfigError as error:
        Printer(as_json=bool(parsed.options.json)).error(parsed.label, Failure(error))
        return _exit.FAILED
    number = 0
    try:
        _runner(parsed.command)(context)
    except StdoutClosedError:
        return _exit.FAILED if context.printer.failed or context.tally.failed else _exit.OK
    except UsageError as error:
        return _usage(error, as_json=bool(parsed.options.json))
    except _exit.Interrupted as error:
        number = error.number
        context.fail(context.label, error, context.names)
    except Exception as error:  # no traceback ever, except at --log trace
        context.fail(context.label, error, context.names)
    status = _finish(context, number)
    if number:
        sys.stdout = sys.stderr = None
        _exit.die_of(number)
    return status


def _finish(context: Context, number: int) -> int:
    """Summary and table; the exit status."""
    from s3z._cli import _exit
    from s3z._cli._printer import StdoutClosedError

    tally = context.tally
    status = 128 + number if number else _exit.FAILED if tally.failed or tally.differences else _exit.OK
    with contextlib.suppress(StdoutClosedError):
        context.finish(status, interrupted=bool(number))
    return _exit.FAILED if context.printer.failed and not number else status
