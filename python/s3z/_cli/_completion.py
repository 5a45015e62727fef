"""What may stand where TAB was pressed: made of the tables in `_options`, of local names, and of one request."""

from __future__ import annotations

import contextlib
import os
from typing import TYPE_CHECKING, NamedTuple

from s3z._cli import _bash_line
from s3z._cli._options import COMMANDS, GLOBAL, VERBS, UsageError
from s3z._cli._parser import Names, spelled
from s3z._cli._values import SHELLS, Choice

if TYPE_CHECKING:
    from collections.abc import Iterator

    from s3z._cli._option import Option

_SCHEME = "s3://"


class Candidate(NamedTuple):
    """A word that may stand there.

    Attributes:
        word: all of it.
        help: a line about it.
        is_final: whether the next word may begin behind it.
    """

    word: str
    help: str = ""
    is_final: bool = True


class Typed:
    """What stands before the word that is completed.

    Args:
        words: behind the name of the command, the one to be completed excluded.
    """

    def __init__(self, words: list[str]) -> None:
        self.command = ""
        self.arguments: list[str] = []
        #: global options with their values, to ask a store as the command would
        self.given: list[tuple[str, str]] = []
        #: the option whose value comes next
        self.waiting: Option | None = None
        self.only_arguments = False
        for word in words:
            self._take(word)

    @property
    def options(self) -> tuple[Option, ...]:
        """Those that may stand here."""
        own = COMMANDS[self.command][0] if self.command in COMMANDS else ()
        return (*own, *(each for each in GLOBAL if each.name not in {option.name for option in own}))

    def _take(self, word: str) -> None:
        if self.waiting is not None:
            self._give(self.waiting, word)
            self.waiting = None
        elif self.only_arguments or word == "-" or not word.startswith("-"):
            if self.command:
                self.arguments.append(word)
            else:
                self.command = word
        elif word == "--":
            self.only_arguments = bool(self.command)
        else:
            with contextlib.suppress(UsageError):
                option, value = Names(self.options).find(word, "s3z")
                if value is None and option.takes_value:
                    self.waiting = option
                else:
                    self._give(option, value)

    def _give(self, option: Option, value: str | None) -> None:
        pair = spelled(option, value, "s3z")
        if pair is not None and any(each.name == pair[0] for each in GLOBAL):
            self.given.append(pair)


def answer(tokens: list[str]) -> int:
    """Print what may stand at the cursor, a line for each; nothing if anything fails.

    Args:
        tokens: the shell; then for bash the line up to the cursor and what divides words there, for the others the
            words behind the name of the command, the last of which is completed.
    """
    lines: list[str] = []
    with contextlib.suppress(Exception):
        shell, *words = tokens
        if shell == "bash":
            lines = _for_bash(*words)
        elif shell in SHELLS:
            *before, current = words
            if shell == "fish":  # which gives the last word as it was typed
                current = _bash_line.split(current)[1].text
            lines = [_told(each, shell) for each in candidates(before, current)]
    with contextlib.suppress(OSError, ValueError):
        rest = "".join(f"{line}\n" for line in lines).encode("utf-8", "surrogateescape")
        while rest:
            rest = rest[os.write(1, rest) :]
    return 0


def _told(candidate: Candidate, shell: str) -> str:
    return f"{candidate.word}\t{candidate.help}" if shell == "fish" and candidate.help else candidate.word


def _for_bash(line: str, breaks: str) -> list[str]:
    words, current = _bash_line.split(line)
    found = candidates(words[1:], current.text)
    return [current.completed(each.word, breaks, is_final=each.is_final) for each in found]


def candidates(before: list[str], current: str) -> list[Candidate]:
    """What may stand for `current` behind the words `before`.

    Example:
        >>> [each.word for each in candidates(["cp", "--verify"], "")]
        ['auto', 'require', 'off']
    """
    typed = Typed(before)
    found = (each for each in _possible(typed, current) if each.word.startswith(current))
    return [each for each in found if each.word.isprintable() or not _has_controls(each.word)]


def _has_controls(word: str) -> bool:
    return any(ord(each) < 0x20 or 0x7F <= ord(each) < 0xA0 for each in word)


def _possible(typed: Typed, current: str) -> Iterator[Candidate]:
    if typed.waiting is not None:
        yield from _values(typed.waiting, current)
    elif current.startswith("-") and not typed.only_arguments:
        yield from _options(typed, current)
    elif not typed.command:
        yield from (Candidate(name) for name in sorted(COMMANDS))
    elif typed.command in VERBS and not typed.arguments:
        yield from (Candidate(verb) for verb in VERBS[typed.command])
    elif typed.command in COMMANDS:
        yield from _arguments(typed, current)


def _options(typed: Typed, current: str) -> Iterator[Candidate]:
    """Names of options, or after `=` their values."""
    name, equals, value = current.partition("=")
    if equals:
        with contextlib.suppress(UsageError):
            option, _ = Names(typed.options).find(current, "s3z")
            yield from (Candidate(f"{name}={each.word}", each.help, each.is_final) for each in _values(option, value))
        return
    dashes = "-" if len(current) > 1 and not current.startswith("--") else "--"
    shown = [option for option in typed.options if not option.hidden]
    canonical = [Candidate(f"{dashes}{option.name}", option.help) for option in shown]
    aliases = [Candidate(f"{dashes}{name}", option.help) for option in shown for name in option.aliases]
    matching = [each for each in canonical if each.word.startswith(current)]
    yield from matching or aliases


def _values(option: Option, current: str) -> Iterator[Candidate]:
    """Fixed values, or local names where the value is a file."""
    if option.value is None:
        yield from (Candidate("true"), Candidate("false"))
    elif option.value.startswith("FILE"):
        yield from _local(current)
    elif isinstance(option.convert, Choice):
        yield from map(Candidate, option.convert.choices)
    elif "|" in option.value:
        # What is in capitals stands for a value: N|auto.
        yield from (Candidate(word) for word in option.value.split("|") if not (word.isalpha() and word.isupper()))


def _arguments(typed: Typed, current: str) -> Iterator[Candidate]:
    """Remote and local names."""
    if current.startswith(_SCHEME):
        from s3z._cli import _remote

        yield from (Candidate(name, "", not name.endswith("/")) for name in _remote.names(typed.given, current))
        return
    if _SCHEME.startswith(current):
        yield Candidate(_SCHEME, "", is_final=False)
    yield from _local(current)


def _local(current: str) -> Iterator[Candidate]:
    """Names in the directory that `current` is in; hidden ones once a dot is typed."""
    directory, slash, name = current.rpartition("/")
    place = os.path.expanduser(directory + slash) if current.startswith("~") else directory + slash  # noqa: PTH111
    try:
        with os.scandir(place or ".") as entries:
            found = sorted((entry.name, entry.is_dir()) for entry in entries)
    except OSError:
        return
    for each, is_directory in found:
        if name.startswith(".") or not each.startswith("."):
            yield Candidate(f"{directory}{slash}{each}{'/' if is_directory else ''}", "", not is_directory)
