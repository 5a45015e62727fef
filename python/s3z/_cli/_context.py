"""What one run of a command shares: options, printer, progress, counts and the client."""

from __future__ import annotations

import copy
import os
import threading
import time

from s3z import _log
from s3z._cli._failures import Failure
from s3z._cli._options import LOG_LEVELS, UsageError
from s3z._cli._printer import Printer
from s3z._cli._progress import Display, Part, Tally
from s3z._cli._values import choice
from s3z._exceptions import ConfigError
from s3z._units import auto_or_count, positive_duration

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    from s3z import _batching
    from s3z._cli._parser import Parsed
    from s3z._client import Client

#: commands whose product is stdout: they have no summary, and end when nobody reads
_PRODUCT_IS_STDOUT = frozenset(
    (
        "cat", "config", "du", "head", "ls", "presign", "uploads ls", "archive ls", "archive cat", "archive verify",
        "archive index",
    )
)  # fmt: skip
#: commands whose results are all there is to tell
_NO_SUMMARY = frozenset(("mb", "rb"))
_SIDES = ("source", "destination")
#: of these, those that write bytes there
_PAYLOAD = frozenset(("cat", "archive cat", "archive index"))


def _from_environment(variable: str, convert: Callable[[str], Any]) -> Any:
    """The value of an `S3Z_…` variable, None if it is not set.

    Raises:
        ConfigError: it is empty or malformed.
    """
    text = os.environ.get(variable)
    if text is None:
        return None
    try:
        if not text.strip():
            raise ValueError("it is empty")
        return convert(text)
    except ValueError as error:
        raise ConfigError(f"{variable}: {error}") from None


class Context:
    """One run.

    Args:
        parsed: the command line.

    Raises:
        ConfigError: a variable about output is malformed.
    """

    def __init__(self, parsed: Parsed) -> None:
        self.command = parsed.command
        self.options = parsed.options
        self.arguments = parsed.arguments
        self.label = parsed.label
        self.names: dict[str, Any] | None = None
        #: of a file of commands, counted from 1
        self.line: int | None = None
        #: of lines in one batch: source and destination → number
        self.numbers: dict[tuple[bytes, bytes], int] | None = None
        self.lock = threading.Lock()
        self._stopped = threading.Event()
        self._batches: list[_batching.Batch] = []
        self.tally = Tally()
        self._start = time.monotonic()
        self._clients: dict[str, Client] = {}
        options = self.options
        level = options.log or _from_environment("S3Z_LOG", choice(*LOG_LEVELS)) or "info"
        when = options.show_progress or _from_environment("S3Z_SHOW_PROGRESS", choice("auto", "always", "never"))
        #: threads, or objects at once; None leaves it to the core
        self.workers: int | None = options.numworkers or _from_environment("S3Z_NUMWORKERS", auto_or_count)
        every = options.log_progress or _from_environment("S3Z_LOG_PROGRESS", positive_duration)
        self.printer = Printer(
            as_json=bool(options.json),
            level="error" if options.quiet else level,
            only_errors=bool(options.only_show_errors),
            product=self._has_product or self._has_payload,
            payload=self._has_payload,
        )
        silent = bool(options.quiet or options.only_show_errors or options.json)
        quiet = bool(options.quiet or options.only_show_errors)
        self.display: Display | Part = Display(self.printer, when or "auto", None if quiet else every, silent=silent)
        _log.set_sink(lambda message: self.printer.warning(self.label, message))

    @property
    def _full_command(self) -> str:
        """The command, with its verb if it has one."""
        return f"{self.command} {self.arguments[0]}" if self.command in ("uploads", "archive") else self.command

    @property
    def _has_product(self) -> bool:
        return self._full_command in _PRODUCT_IS_STDOUT

    @property
    def _has_payload(self) -> bool:
        if self.command in ("cp", "pack"):
            return self.arguments[-1] == "-"
        if self._full_command == "archive index" and self.options.output not in (None, "-"):
            return False
        return self._full_command in _PAYLOAD

    @property
    def dry_run(self) -> bool:
        """Whether nothing may be changed."""
        return bool(self.options.dry_run)

    @property
    def is_one_store(self) -> bool:
        """Whether both sides are the same store with the same keys, so that it can copy by itself."""
        return not any(self._of_side(side, name) for side in _SIDES for name in ("profile", "endpoint_url"))

    def _of_side(self, side: str, name: str) -> Any:
        return getattr(self.options, f"{side}_{name}", None)

    def client(self, side: str = "") -> Client:
        """The client that the options describe, made when first asked for.

        Args:
            side: `source` or `destination` where each may have options of its own.

        Raises:
            ConfigError: a setting is malformed or cannot be honoured.
        """
        own = {name: self._of_side(side, name) for name in ("region", "profile", "endpoint_url")} if side else {}
        if not any(own.values()):
            side, own = "", {}
        if side not in self._clients:
            self._clients[side] = self._make_client(own)
        return self._clients[side]

    def _make_client(self, own: dict[str, Any]) -> Client:
        from s3z._client import Client
        from s3z._config import TransferConfig

        options = self.options
        if options.no_sign_request and own.get("profile"):  # of a line of `run`, whose own options know no global ones
            raise UsageError('option "--no-sign-request" and a profile of one side exclude each other', self.command)
        return Client(
            profile=own.get("profile") or options.profile,
            credentials_file=options.credentials_file,
            anonymous=bool(options.no_sign_request),
            region=own.get("region") or options.region,
            endpoint_url=own.get("endpoint_url") or options.endpoint_url,
            addressing_style=options.addressing_style,
            request_payer=options.request_payer,
            verify=False if options.no_verify_ssl else None,
            ca_bundle=options.ca_bundle,
            config=TransferConfig(
                memory_limit=options.memory_limit,
                max_bandwidth=options.bwlimit,
                max_attempts=None if options.retry_count is None else options.retry_count + 1,
                connect_timeout=options.connect_timeout,
                read_timeout=options.read_timeout,
                durable=getattr(options, "durable", None),
                direct_io=getattr(options, "direct_io", None),
            ),
        )

    def fail(self, label: str, error: BaseException, record: dict[str, Any] | None = None) -> None:
        """Count and report one failure."""
        self.tally.failed += 1
        self.report(label, error, record)

    def report(
        self,
        label: str,
        error: BaseException,
        record: dict[str, Any] | None = None,
        kind: str | None = None,
        line: int | None = None,
    ) -> None:
        """Report a failure that is counted already."""
        line = line or self.line
        if line is not None:
            record = {**(record or {}), "command": self.label if self.line else label, "line": line}
        self.printer.error(label, Failure(error, kind), record, line)
        if self.printer.level == 0:
            import traceback

            text = "".join(traceback.format_exception(error))
            # What the core tells was never raised.
            self.printer.trace(text if error.__traceback__ else f"Traceback (in the core):\n{text}")

    def of_line(self, parsed: Parsed, number: int | None, workers: int | None) -> Context:
        """The context of one line of `run`: the same client and streams, counts of its own.

        Args:
            parsed: the command of the line.
            number: of the line; None for many.
            workers: objects at once, None for as many as here.
        """
        from s3z._cli._options import COMMANDS, GLOBAL

        own = self.again()
        mine = {option.name for option in COMMANDS[parsed.command][0]}
        for option in GLOBAL:
            if option.stands_for is None and option.name not in mine:
                setattr(parsed.options, option.dest, getattr(self.options, option.dest))
        own.command, own.options, own.arguments, own.label = (
            parsed.command, parsed.options, parsed.arguments, parsed.label,
        )  # fmt: skip
        own.line = number
        own.workers = workers or self.workers
        return own

    def again(self) -> Context:
        """The same once more, with counts of its own, for a part of the work that may be stopped by itself."""
        own = copy.copy(self)
        own.tally, own.names = Tally(), None
        own._stopped, own._batches = threading.Event(), []
        return own

    def add(self, own: Context) -> None:
        """Add the counts of a line."""
        with self.lock:
            self.tally.add(own.tally, own.command)

    def begun(self, batch: _batching.Batch) -> None:
        """A batch is under way that `stop` has to stop."""
        self._batches.append(batch)
        if self._stopped.is_set():
            batch.stop()

    def stop(self) -> None:
        """Stop what is under way, from another thread."""
        self._stopped.set()
        for batch in list(self._batches):
            batch.stop()

    def finish(self, status: int, *, interrupted: bool) -> None:
        """Progress goes, the summary comes, and the table if it was asked for."""
        self.display.end(self.tally)
        tally = self.tally
        if self.options.stat:
            self._stat()
        if not self.options.json or self._has_product or self.command in _NO_SUMMARY:
            return
        self.printer.record(
            {
                "record": "summary",
                "schema": 1,
                "command": self.command,
                "success": status == 0,
                "exit_code": status,
                "dry_run": self.dry_run,
                "interrupted": interrupted,
                "objects": {
                    "done": tally.done,
                    "skipped": tally.skipped,
                    "failed": tally.failed,
                    "deleted": tally.deleted,
                    "deletes_held_back": tally.held_back,
                    # Where nothing is compared, there is nothing to say of it.
                    "differences": tally.differences if self.command == "verify" or tally.differences else None,
                },
                "bytes": {"transferred": tally.transferred, "resumed": tally.resumed},
                "verified": tally.verified,
                "seconds": round(time.monotonic() - self._start, 3),
            }
        )

    def _stat(self) -> None:
        rows = self.tally.rows(self.command)
        if self.options.json:
            for operation, good, bad in rows:
                self.printer.record(
                    {"record": "stat", "operation": operation, "total": good + bad, "error": bad, "success": good}
                )
            return
        lines = [f"{operation}\t{good + bad}\t{bad}\t{good}\t" for operation, good, bad in rows]
        for line in ("", "Operation\tTotal\tError\tSuccess\t", *lines):
            self.printer.data(line, escaped=True)
