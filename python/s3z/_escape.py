"""Makes text from servers and keys harmless before a person sees it."""

from __future__ import annotations

_SHORT = {"\n": "\\n", "\r": "\\r", "\t": "\\t"}
#: marks that reorder or hide what is shown: bidi controls, zero-width characters, line and paragraph separators
_MARKS = frozenset(
    [
        0x061C,
        0x180E,
        0xFEFF,
        *range(0x200B, 0x2010),
        *range(0x2028, 0x202F),
        *range(0x2060, 0x2070),
        *range(0xFFF9, 0xFFFC),
    ]
)


def _is_unsafe(code: int) -> bool:
    if code < 0x20 or 0x7F <= code < 0xA0:
        return True
    return 0xD800 <= code < 0xE000 or code in _MARKS or 0xE0000 <= code < 0xE0080


def _escaped(character: str) -> str:
    code = ord(character)
    if not _is_unsafe(code):
        return character
    if character in _SHORT:
        return _SHORT[character]
    if 0xDC80 <= code < 0xDD00:  # a byte that was not UTF-8, as surrogateescape keeps it
        return f"\\x{code - 0xDC00:02x}"
    if code < 0x100:
        return f"\\x{code:02x}"
    return f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}"


def escape(text: str) -> str:
    r"""`text` with control characters, ANSI sequences, bidi marks and undecodable bytes written as `\x1b`.

    Example:
        >>> escape("a\x1b[31mb")
        'a\\x1b[31mb'
    """
    if text.isascii() and text.isprintable():
        return text
    return "".join(map(_escaped, text))


def one_line(text: str) -> str:
    """As `escape`, with newlines and tabs made spaces: for errors and logs, which are one line each."""
    return escape(" ".join(text.split("\n")).replace("\t", " ").replace("\r", " "))


def shown_uri(uri: str) -> str:
    """A refused URI, fit to be shown: without the query of a presigned URL, and without a password.

    Example:
        >>> shown_uri("https://user:secret@host/key?X-Amz-Signature=secret")
        'https://***@host/key'
    """
    plain = uri.partition("?")[0]
    scheme, mark, rest = plain.partition("://")
    authority, slash, path = rest.partition("/") if mark else scheme.partition("/")
    start = scheme + mark if mark else ""
    if "@" in authority:
        authority = "***@" + authority.rpartition("@")[2]
    return escape(start + authority + slash + path)


def escape_html(text: str) -> str:
    """`text`, escaped for a notebook."""
    for raw, entity in (("&", "&amp;"), ("<", "&lt;"), (">", "&gt;"), ('"', "&quot;"), ("'", "&#x27;")):
        text = text.replace(raw, entity)
    return escape(text)
