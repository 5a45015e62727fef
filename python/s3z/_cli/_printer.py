"""Who writes what where: data and results on stdout, all else on stderr, each line in one write."""

from __future__ import annotations

import contextlib
import os
import sys
import threading

from s3z._escape import escape, one_line

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from typing import Any

    from s3z._cli._failures import Failure

_LEVELS = {"trace": 0, "debug": 1, "info": 2, "error": 3}


class StdoutClosedError(Exception):
    """Nobody reads stdout any more, and the command exists only to write there."""


def _is_terminal(descriptor: int) -> bool:
    try:
        return os.isatty(descriptor)
    except OSError:
        return False


def json_line(record: Mapping[str, Any], *, ascii_only: bool) -> str:
    """One record; what is not known (None) is left out, what is not UTF-8 becomes U+FFFD beside its bytes."""
    import json

    return json.dumps(_clean(record), ensure_ascii=ascii_only, separators=(",", ":"))


def _clean(record: Mapping[str, Any]) -> dict[str, Any]:
    cleaned: dict[str, Any] = {}
    for name, value in record.items():
        if isinstance(value, dict):
            cleaned[name] = _clean(value)
        elif isinstance(value, str) and not value.isascii():
            raw = value.encode("utf-8", "surrogateescape")
            cleaned[name] = raw.decode("utf-8", "replace")
            if name in ("source", "destination") and "\udc80" <= max(value) <= "\udcff":
                cleaned[f"{name}_base64"] = _base64(raw)
        elif value is not None:
            cleaned[name] = value
    return cleaned


def _ascii_json(line: str) -> str:
    import json

    return json.dumps(json.loads(line), separators=(",", ":"))


def _base64(raw: bytes) -> str:
    import binascii

    return binascii.b2a_base64(raw, newline=False).decode()


class Printer:
    """The two streams of one command.

    Args:
        as_json: whether each line is a JSON object.
        level: `trace`, `debug`, `info` or `error`.
        only_errors: whether result lines are left out.
        product: whether stdout is what the command is for: it then ends when nobody reads.
        payload: whether bytes go there: all that would be told there goes to stderr.
    """

    def __init__(
        self,
        *,
        as_json: bool = False,
        level: str = "info",
        only_errors: bool = False,
        product: bool = False,
        payload: bool = False,
    ) -> None:
        self.as_json = as_json
        self.level = _LEVELS[level]
        self.shows_results = not only_errors and self.level < _LEVELS["error"]
        self.product = product
        self.payload = payload
        self.failed = False
        #: held while one thing is written to stdout that nothing else may come into
        self.lock = threading.RLock()
        #: held while something is drawn or written to a terminal; no other lock is taken meanwhile
        self.screen = threading.RLock()
        #: payload that went to stdout ended within a line, which what is told there may not go on with
        self.in_line = False
        self.before: Callable[[], object] = lambda: None
        self._open = sys.__stdout__ is not None
        self._errors_open = sys.__stderr__ is not None
        self.terminal = self._open and _is_terminal(1)
        self._errors_terminal = self._errors_open and _is_terminal(2)

    def data(self, text: str, *, escaped: bool = False) -> None:
        """What was asked for: lines, without the last newline, as they are (escaped on a terminal)."""
        if self.payload:
            self._err(text if escaped else "\n".join(map(escape, text.split("\n"))))
            return
        if self.terminal and not escaped:
            text = "\n".join(map(escape, text.split("\n")))
        self._out(text.encode("utf-8", "surrogateescape") + b"\n")

    def record(self, record: Mapping[str, Any]) -> None:
        """A JSON record on stdout."""
        if self.payload:
            self._err_record(record)
            return
        self._out(json_line(record, ascii_only=self.terminal).encode() + b"\n")

    def result(self, text: str, record: Mapping[str, Any]) -> None:
        """A result line, or its record."""
        if not self.shows_results:
            return
        if self.as_json:
            self.record(record)
        else:
            self.data(escape(text) if self.terminal or self.payload else text, escaped=self.payload)

    def rows(self, lines: bytes) -> None:
        """Lines or records of what was asked for, finished; text is escaped already where a terminal asks for it."""
        if self.payload:
            for line in lines[:-1].split(b"\n"):
                self._write_error(line.decode("utf-8", "surrogateescape"))
        elif self.terminal and self.as_json:
            for line in lines[:-1].split(b"\n"):
                self._out(_ascii_json(line.decode()).encode() + b"\n")
        else:
            self._out(lines)

    def lines(self, lines: bytes) -> None:
        """Result lines, or records, finished; text is escaped already where a terminal or a payload asks for it."""
        if lines and self.shows_results:
            self.rows(lines)

    def error(
        self, label: str, failure: Failure, record: Mapping[str, Any] | None = None, line: int | None = None
    ) -> None:
        """One line for a failure, and its hint on another."""
        if self.as_json:
            operation = label.partition(" ")[0]
            self._err_record(
                {"operation": operation, "success": False, **(record or {"command": label}), "error": failure.record()}
            )
            return
        where = "" if line is None else f"line {line}: "
        self._err(f"ERROR {quoted(label)}: {where}{one_line(failure.message)}")
        if failure.hint:
            self._err(f"hint: {one_line(failure.hint)}")

    def warning(self, label: str, message: str) -> None:
        """A warning."""
        if self.level < _LEVELS["error"]:
            self._log("WARNING", label, message)

    def debug(self, label: str, message: str) -> None:
        """What `--log debug` tells."""
        if self.level <= _LEVELS["debug"]:
            self._log("DEBUG", label, message)

    def trace(self, text: str) -> None:
        """A traceback, for `--log trace`."""
        if self.level > _LEVELS["trace"]:
            return
        if self.as_json:
            self._err_record({"record": "log", "level": "trace", "message": text})
        else:
            for line in text.rstrip().split("\n"):
                self._err(f"TRACE {escape(line)}")

    def progress(self, text: str) -> None:
        """A plain progress line."""
        self._err(text)

    def progress_record(self, record: Mapping[str, Any]) -> None:
        """A progress record."""
        self._err_record({"record": "progress", **record})

    def _log(self, level: str, label: str, message: str) -> None:
        if self.as_json:
            self._err_record({"record": "log", "level": level.lower(), "operation": label, "message": message})
        else:
            self._err(f"{level} {quoted(label)}: {one_line(message)}")

    def _err_record(self, record: Mapping[str, Any]) -> None:
        self._err(json_line(record, ascii_only=self._errors_terminal))

    def _err(self, line: str) -> None:
        with self.screen:
            self.before()
            self._write_error(line)

    def _write_error(self, line: str) -> None:
        if self._errors_open:
            with contextlib.suppress(OSError):  # a closed stderr never changes anything
                os.write(2, line.encode("utf-8", "surrogateescape") + b"\n")

    def _out(self, line: bytes) -> None:
        if not self._open:
            return self._closed()
        try:
            with self.lock, self.screen if self.terminal else contextlib.nullcontext():
                if self.terminal:
                    self.before()
                if self.in_line:
                    line, self.in_line = b"\n" + line, False
                while line:
                    line = line[os.write(1, line) :]
        except BrokenPipeError:
            self._open = False
            return self._closed()
        except OSError as error:
            self._open = False
            self.failed = True
            self._err(f'ERROR "s3z": cannot write to stdout: {(error.strerror or "").lower()}')
        return None

    def _closed(self) -> None:
        if self.product:
            raise StdoutClosedError


def quoted(label: str) -> str:
    r"""`label` in quotation marks on one line, `"` and `\` escaped."""
    text = label.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{one_line(text)}"'
