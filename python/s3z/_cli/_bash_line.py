r"""A line of bash as far as it was typed: its words without quotes, and the last one with them."""

from __future__ import annotations

from typing import NamedTuple

_BLANKS = " \t\n"
#: what needs no backslash; letters beyond ASCII do not, either
_PLAIN = frozenset("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_@%+=:,./-~^")


class Current(NamedTuple):
    """The word that is being typed.

    Attributes:
        text: it, without its quotes.
        quote: the quotation mark that is still open, or empty.
        opened: how much of `text` stands before that mark.
        plain: for each character of `text` whether it has neither quotes nor a backslash.
    """

    text: str
    quote: str
    opened: int
    plain: tuple[bool, ...]

    def completed(self, word: str, breaks: str, *, is_final: bool) -> str:
        """What bash puts in the place of what it takes for the word.

        For readline a word begins behind the last of `breaks`, or behind an open quotation mark.

        Args:
            word: the whole word; it begins with `text`.
            breaks: `COMP_WORDBREAKS`.
            is_final: whether a blank may follow.
        """
        if self.quote:
            rest = word[self.opened :]
            if self.quote == '"':
                return "".join(f"\\{each}" if each in '"\\$`' else each for each in rest)
            return rest
        start = 0
        for at, each in enumerate(self.text):
            if each in breaks and self.plain[at]:
                start = at + 1
        rest = "".join(each if each in _PLAIN or ord(each) > 127 else f"\\{each}" for each in word[start:])
        if rest.startswith("~") and not self.text.startswith("~"):
            rest = f"\\{rest}"
        return f"{rest} " if is_final else rest


def split(line: str) -> tuple[list[str], Current]:
    r"""The words of a line, and the one at its end, which may be empty.

    Example:
        >>> words, current = split('s3z cp "a b" s3://b/my\\ f')
        >>> words, current.text
        (['s3z', 'cp', 'a b'], 's3://b/my f')
    """
    words: list[str] = []
    text, quote, opened, begun = "", "", 0, False
    plain: list[bool] = []
    at = 0
    while at < len(line):
        each = line[at]
        at += 1
        if quote:
            if each == quote:
                quote = ""
                continue
            if quote == '"' and each == "\\" and line[at : at + 1] in tuple('"\\$`'):
                each, at = line[at], at + 1
            text, plain = text + each, [*plain, False]
        elif each in _BLANKS:
            if begun:
                words.append(text)
            text, plain, begun = "", [], False
            continue
        elif each in "\"'":
            quote, opened = each, len(text)
        elif each == "\\" and at < len(line):
            text, plain, at = text + line[at], [*plain, False], at + 1
        else:
            text, plain = text + each, [*plain, True]
        begun = True
    return words, Current(text, quote, opened, tuple(plain))
