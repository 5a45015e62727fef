"""What an option of the command is: its names, its value, its words."""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator


class Option:
    """One option.

    Args:
        name: its long name, without dashes.
        help: one line, lower case.
        value: what its value is called; None makes it a switch.
        short: its one-letter name.
        aliases: other long names.
        convert: makes the value of text, raising ValueError.
        bare: text meant by the option without `=`, for those whose value only comes with `=`.
        repeat: whether several add up.
        stands_for: a switch that is another option with a fixed value.
        hidden: whether the help says nothing of it.
    """

    __slots__ = ("aliases", "bare", "convert", "help", "hidden", "name", "repeat", "short", "stands_for", "value")

    def __init__(
        self,
        name: str,
        help: str,
        value: str | None = None,
        *,
        short: str | None = None,
        aliases: tuple[str, ...] = (),
        convert: Callable[[str], object] = str,
        bare: str | None = None,
        repeat: bool = False,
        stands_for: tuple[str, str] | None = None,
        hidden: bool = False,
    ) -> None:
        self.name, self.help, self.value, self.short, self.aliases = name, help, value, short, aliases
        self.convert, self.bare, self.repeat, self.stands_for = convert, bare, repeat, stands_for
        self.hidden = hidden

    @property
    def takes_value(self) -> bool:
        """Whether a value follows, as the next token if not after `=`."""
        return self.value is not None and self.bare is None

    @property
    def dest(self) -> str:
        """Its name as an attribute."""
        return self.name.replace("-", "_")

    def spellings(self) -> Iterator[str]:
        """Every long name it is known by."""
        yield self.name
        yield from self.aliases
