"""Secrets that nobody may ever see again, and the search for them in everything that can be shown (T7)."""

from __future__ import annotations

import base64
import contextlib
import copy
import dataclasses
import json
import logging
import pickle
import pprint
import traceback
import urllib.parse
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

KEY_ID = "AKIACANARYCANARY1234"
SECRET = "canary+secret/Canary+Secret/canary+secre"
TOKEN = "canaryTOKEN/canaryTOKEN+canaryTOKEN=="
PROXY_PASSWORD = "canary~proxy+pass:word"
SSE_KEY = base64.b64encode(b"a canary that encrypts 32 bytes.").decode()
SIGNATURE = "cafe" * 16
PROCESS_WORDS = "canary said by a process"
KEYS = {"aws_access_key_id": KEY_ID, "aws_secret_access_key": SECRET, "aws_session_token": TOKEN}
ENVIRONMENT = {name.upper(): value for name, value in KEYS.items()}
PRESIGNED = (
    "https://b.s3.amazonaws.com/k?X-Amz-Algorithm=AWS4-HMAC-SHA256"
    f"&X-Amz-Credential={KEY_ID}%2F20261121%2Fus-east-1%2Fs3%2Faws4_request&X-Amz-Date=20261121T000000Z"
    f"&X-Amz-Security-Token={urllib.parse.quote(TOKEN, safe='')}&X-Amz-Signature={SIGNATURE}"
)
#: the access key id is hidden too: by it people recognise an account
CANARIES = {
    "key id": KEY_ID,
    "secret": SECRET,
    "token": TOKEN,
    "proxy password": PROXY_PASSWORD,
    "SSE-C key": SSE_KEY,
    "presigned signature": SIGNATURE,
    "process": PROCESS_WORDS,
}
#: what stands beside a signature or in a signed URL, whatever the signature is
_MARKS = (b"AWS4-HMAC-SHA256", b"Signature=", b"X-Amz-Credential", b"X-Amz-Security-Token=")
_TESTS = str(Path(__file__).resolve().parents[1])


def forms(secret: str) -> set[bytes]:
    """A secret as it is, in URLs, in JSON, in base64 (at whatever offset) and in hexadecimal."""
    plain = secret.encode()
    found = {plain, json.dumps(secret)[1:-1].encode(), plain.hex().encode(), plain.hex().upper().encode()}
    found |= {urllib.parse.quote(secret, safe=safe).encode() for safe in ("", "/", "/+=")}
    found.add(urllib.parse.quote_plus(secret).encode())
    for encode in (base64.b64encode, base64.urlsafe_b64encode):
        # The first characters also tell of what stands before the secret, the last of what follows it.
        found |= {encode(b"\0" * before + plain)[-(-before * 8 // 6) : -4] for before in range(3)}
    return found


def seen_in(found: str | bytes, more: Mapping[str, str] | None = None) -> list[str]:
    """Which canaries can be seen.

    Args:
        found: what came out somewhere.
        more: secrets of this run by their names, such as signatures.
    """
    data = found if isinstance(found, bytes) else found.encode("utf-8", "surrogateescape")
    known = {**CANARIES, **(more or {})}
    seen = [name for name, secret in known.items() if any(form in data for form in forms(secret))]
    return seen + [mark.decode() for mark in _MARKS if mark.lower() in data.lower()]


class Haul:
    """What came out, by where it came out."""

    def __init__(self) -> None:
        self.pieces: list[tuple[str, bytes]] = []

    def add(self, place: str, found: object) -> None:
        """One piece; what is no text is taken as `repr` shows it."""
        if not isinstance(found, (str, bytes)):
            found = repr(found)
        self.pieces.append((place, found if isinstance(found, bytes) else found.encode("utf-8", "surrogateescape")))

    def add_value(self, place: str, value: Any) -> None:
        """All that a value tells of itself: words, facts, pickle, copies, and what a notebook shows."""
        self.add(f"{place}: repr", repr(value))
        self.add(f"{place}: str", f"{value} {value!s}")
        self.add(f"{place}: pprint", pprint.pformat(value))
        facts = dict(getattr(value, "__dict__", {}))
        self.add(f"{place}: vars", facts)
        self.add(f"{place}: json", json.dumps(facts, default=str, skipkeys=True))
        if dataclasses.is_dataclass(value) and not isinstance(value, type):
            self.add(f"{place}: fields", dataclasses.asdict(value))
        for name in ("_repr_html_", "_repr_mimebundle_", "__rich_repr__"):
            if hasattr(value, name):
                self.add(f"{place}: {name}", getattr(value, name)())
        for how, make in (("pickle", pickle.dumps), ("copy", copy.copy), ("deep copy", copy.deepcopy)):
            try:
                made = make(value)
            except (TypeError, AttributeError, pickle.PicklingError) as refused:
                made = refused
            self.add(
                f"{place}: {how}", made if isinstance(made, bytes) else f"{made!r} {getattr(made, '__dict__', '')}"
            )

    def add_error(self, place: str, error: BaseException) -> None:
        """An error as a value, and its traceback with the local variables of all frames but those of the tests."""
        self.add_value(place, error)
        self.add(f"{place}: arguments", [error.args, getattr(error, "__notes__", None)])
        self.add(f"{place}: traceback", "".join(traceback.format_exception(error)))
        waiting: list[BaseException | None] = [error]
        known: set[int] = set()
        while waiting:
            each = waiting.pop()
            if each is None or id(each) in known:
                continue
            known.add(id(each))
            waiting += [each.__cause__, each.__context__, *getattr(each, "failures", ())]
            told = traceback.TracebackException.from_exception(each, capture_locals=True)
            told.stack[:] = [frame for frame in told.stack if not frame.filename.startswith(_TESTS)]
            told.__cause__ = told.__context__ = None  # each is looked at by itself
            self.add(f"{place}: local variables", "".join(told.format()))
            self.add(f"{place}: chain", [str(each), repr(each), vars(each)])

    def add_log(self, records: list[logging.LogRecord]) -> None:
        """Log records: what is written, and what a formatter of another make would find in them."""
        for record in records:
            self.add(f"log {record.name}", f"{record.getMessage()} {record.args!r} {vars(record)!r}")
            if record.exc_info and record.exc_info[1]:
                self.add_error(f"log {record.name}", record.exc_info[1])

    def add_files(self, directory: Path) -> None:
        """Names and contents below a directory."""
        for path in sorted(directory.rglob("*")):
            self.add("file name", path.name)
            if path.is_file() and not path.is_symlink():
                self.add(f"file {path.name}", path.read_bytes())

    def leaks(self, more: Mapping[str, str] | None = None) -> list[str]:
        """Each place where a canary can be seen, with the canary and what stands around it."""
        return [f"{name} in {place}: {found[:2000]!r}" for place, found in self.pieces for name in seen_in(found, more)]


@contextlib.contextmanager
def listening() -> Iterator[list[logging.LogRecord]]:
    """All records of all loggers, from DEBUG on."""
    records: list[logging.LogRecord] = []

    class Keeper(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            records.append(record)

    root, keeper = logging.getLogger(), Keeper()
    before = root.level
    root.addHandler(keeper)
    root.setLevel(logging.DEBUG)
    try:
        yield records
    finally:
        root.removeHandler(keeper)
        root.setLevel(before)
