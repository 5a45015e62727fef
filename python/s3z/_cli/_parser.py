"""From tokens to options: one pass that normalises spellings, then argparse for values."""

from __future__ import annotations

from s3z._cli._options import COMMANDS, EXCLUDING, GLOBAL, MANY, UsageError
from s3z._escape import shown_uri

TYPE_CHECKING = False
if TYPE_CHECKING:
    import argparse
    from collections.abc import Callable, Iterable
    from typing import Any

    from s3z._cli._option import Option


_COMPLETION = "install-completion"


class Parsed:
    """A command line, understood.

    Args:
        command: empty if there is none.
        options: values by attribute, of the command and global ones; None where not given.
        arguments: what is no option.
        label: the command with its own options and arguments, for error lines.
        asked: `help`, `version` or `install-completion` if that is all that is wanted.
    """

    __slots__ = ("arguments", "asked", "command", "label", "options")

    def __init__(self, command: str, options: Any, arguments: list[str], label: str, asked: str | None = None) -> None:
        self.command, self.options, self.arguments = command, options, arguments
        self.label, self.asked = label, asked


class Names:
    """Looks options up by whole long name or by letter; names are never abbreviated."""

    def __init__(self, options: Iterable[Option]) -> None:
        self.long: dict[str, Option] = {}
        self.short: dict[str, Option] = {}
        for option in options:
            for name in option.spellings():
                self.long.setdefault(name, option)
            if option.short:
                self.short.setdefault(option.short, option)

    def find(self, token: str, command: str) -> tuple[Option, str | None]:
        """The option that `token` begins with, and the value that is part of the token.

        Raises:
            UsageError: there is none.
        """
        dashes = 2 if token.startswith("--") else 1
        name, equals, value = token[dashes:].partition("=")
        if name in self.long and not (dashes == 2 and len(name) == 1):
            return self.long[name], value if equals else None
        option = self.short.get(token[1]) if dashes == 1 else None
        if option is not None:
            rest = token[2:]
            if not rest:
                return option, None
            if rest.startswith("="):
                return option, rest[1:]
            if option.takes_value:
                return option, rest
        raise UsageError(f'unknown option "{token.partition("=")[0]}"', command)


def spelled(option: Option, value: str | None, command: str) -> tuple[str, str] | None:
    """Canonical name and text; None if the option is switched off and stands for another."""
    if option.value is not None:
        text = value if value is not None else option.bare
        if text is None:
            raise UsageError(f'option "--{option.name}" needs a value', command)
        return option.name, text
    text = "true" if value is None else value
    if text not in ("true", "false"):
        raise UsageError(f'option "--{option.name}" is a switch: true or false, not "{text}"', command)
    if option.stands_for is not None:
        return option.stands_for if text == "true" else None
    return option.name, text


def normalise(
    tokens: list[str], options: Iterable[Option], command: str, *, stop: bool = False
) -> tuple[list[tuple[str, str]], list[str], list[str]]:
    """Options in order by canonical name, arguments, and what was not looked at.

    Args:
        tokens: as the shell gave them.
        options: those that may occur.
        command: for error lines.
        stop: whether to stop at the first token that is no option.

    Raises:
        UsageError: a token is no option, or lacks its value.

    Example:
        >>> normalise(["-p5", "a", "--no-verify"], COMMANDS["cp"][0], "cp")
        ([('part-size', '5'), ('verify', 'off')], ['a'], [])
    """
    names = Names(options)
    found: list[tuple[str, str]] = []
    arguments: list[str] = []
    at = 0
    while at < len(tokens):
        token = tokens[at]
        if token == "--":
            return found, arguments + ([] if stop else tokens[at + 1 :]), tokens[at + 1 :] if stop else []
        if token == "-" or not token.startswith("-"):
            if stop:
                return found, [], tokens[at:]
            arguments.append(token)
            at += 1
            continue
        option, value = names.find(token, command)
        at += 1
        if value is None and option.takes_value and at < len(tokens):
            value = tokens[at]
            at += 1
        pair = spelled(option, value, command)
        if pair is not None:
            found.append(pair)
    return found, arguments, []


def _converter(option: Option) -> Callable[[str], object]:
    import argparse

    def convert(text: str) -> object:
        try:
            return option.convert(text)
        except ValueError as error:
            raise argparse.ArgumentTypeError(str(error)) from None

    return convert


def build(options: Iterable[Option], prog: str = "s3z") -> argparse.ArgumentParser:
    """An argparse parser for normalised options."""
    import argparse

    parser = argparse.ArgumentParser(prog=prog, add_help=False, allow_abbrev=False, exit_on_error=False)
    seen = set()
    for option in options:
        if option.stands_for is not None or option.name in seen:
            continue
        seen.add(option.name)
        parser.add_argument(
            f"--{option.name}",
            dest=option.dest,
            type=_converter(option) if option.value is not None else lambda text: text == "true",
            action="append" if option.repeat else "store",
            default=None,
        )
    return parser


def _values(pairs: list[tuple[str, str]], options: tuple[Option, ...], command: str) -> argparse.Namespace:
    import argparse

    try:
        return build(options).parse_args([f"--{name}={text}" for name, text in pairs])
    except argparse.ArgumentError as error:
        name = (error.argument_name or "").split("/")[0]
        raise UsageError(f'option "{name}": {error.message}', command) from None


def _check_excluding(pairs: list[tuple[str, str]], command: str) -> None:
    given = {name for name, text in pairs if text != "false"}
    for one, other in EXCLUDING:
        if one in given and other in given:
            raise UsageError(f'options "--{one}" and "--{other}" exclude each other', command)


def _check_count(count: int, least: int, most: int, command: str) -> None:
    if least <= count <= most:
        return
    wanted = f"{least}" if least == most else f"{least} to {most}"
    if not least:
        wanted = f"at most {most}"
    elif most == MANY:
        wanted = f"at least {least}"
    raise UsageError(
        f"expected {wanted} {'argument' if most == 1 or (most == MANY and least == 1) else 'arguments'}, got {count}",
        command,
    )


def parse(tokens: list[str]) -> Parsed:
    """Understand a command line.

    Raises:
        UsageError: it cannot be parsed; nothing was done.
    """
    before, _, rest = normalise(tokens, GLOBAL, "s3z", stop=True)
    asked = next((name for name, text in before if name in ("help", "version") and text == "true"), None)
    if not asked and any(name == _COMPLETION for name, _ in before):
        return _completion(before, "s3z")
    if not rest or asked == "version":
        return Parsed("", None, [], "s3z", asked or "help")
    command, rest = rest[0], rest[1:]
    if command not in COMMANDS:
        raise UsageError("command not found", command)
    own, least, most = COMMANDS[command]
    options = (*own, *(option for option in GLOBAL if option.name not in {each.name for each in own}))
    after, arguments, _ = normalise(rest, options, command)
    pairs = [*before, *after]
    asked = next((name for name, text in pairs if name in ("help", "version") and text == "true"), None)
    if asked:
        return Parsed(command, None, arguments, command, asked)
    if any(name == _COMPLETION for name, _ in after):
        return _completion(after, command)
    values = _values(pairs, options, command)
    _check_excluding(pairs, command)
    _check_count(len(arguments), least, most, command)
    return Parsed(command, values, arguments, _label(command, after, own, arguments))


def _completion(pairs: list[tuple[str, str]], command: str) -> Parsed:
    return Parsed(
        "", _values([pair for pair in pairs if pair[0] == _COMPLETION], GLOBAL, command), [], command, _COMPLETION
    )


def _label(command: str, pairs: list[tuple[str, str]], own: tuple[Option, ...], arguments: list[str]) -> str:
    mine = {option.name: option for option in own}
    words = [f"--{name}" if mine[name].value is None else f"--{name}={text}" for name, text in pairs if name in mine]
    return " ".join([command, *words, *map(_shown, arguments)])


def _shown(argument: str) -> str:
    """An argument as it is, unless it is a URI that will be refused and may hold a password or a signature."""
    scheme, mark, rest = argument.partition("://")
    refused = mark and "/" not in scheme and (scheme != "s3" or "@" in rest.partition("/")[0])
    return shown_uri(argument) if refused else argument
