"""Keeps secrets out of what objects show of themselves, and out of what exceptions carry along."""

from __future__ import annotations

import contextlib
import functools
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, NoReturn, ParamSpec, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

P = ParamSpec("P")
R = TypeVar("R")

#: whose local variables may hold keys: ours, and those of the library that is asked for some
_OWN = ("s3z", "botocore", "boto3")


class Unshown:
    """Something that may hold secrets: no dictionary of attributes, no telling repr, no pickle, no copy."""

    __slots__ = ()

    def __repr__(self) -> str:
        return f"<{type(self).__name__}>"

    def __reduce_ex__(self, protocol: object) -> NoReturn:
        raise TypeError(f"{type(self).__name__} cannot be pickled or copied: it may hold secrets")


class Hidden(Unshown, Mapping[str, Any]):
    """A mapping that shows its names, but not its values. No dict: whatever takes one apart would show them."""

    __slots__ = ("_values",)

    def __init__(self, values: Mapping[str, Any]) -> None:
        self._values = dict(values)

    def __getitem__(self, name: str) -> Any:
        return self._values[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._values)

    def __len__(self) -> int:
        return len(self._values)

    def __deepcopy__(self, memo: object) -> Hidden:
        return self

    def __repr__(self) -> str:
        return "{" + ", ".join(f"{name!r}: ***" for name in self) + "}"


def forget(error: BaseException) -> None:
    """Clear the local variables of our own frames that an error has passed, and of what led to it.

    Whoever reports errors with local variables (Sentry, rich, `capture_locals`) would send keys along. File names
    and lines stay, and so do the frames of the caller.
    """
    waiting: list[BaseException | None] = [error]
    seen: set[int] = set()
    while waiting:
        each = waiting.pop()
        if each is None or id(each) in seen:
            continue
        seen.add(id(each))
        waiting += [each.__cause__, each.__context__]
        step = each.__traceback__
        while step is not None:
            frame = step.tb_frame
            if frame.f_globals.get("__name__", "").partition(".")[0] in _OWN:
                with contextlib.suppress(RuntimeError):  # still running: whoever called it forgets it later
                    frame.clear()
            step = step.tb_next


def forgetful(function: Callable[P, R]) -> Callable[P, R]:
    """The function; what it raises holds no local variables of ours, its arguments included."""

    @functools.wraps(function)
    def call(*args: P.args, **kwargs: P.kwargs) -> R:
        try:
            return function(*args, **kwargs)
        except BaseException as error:
            forget(error)
            del args, kwargs
            raise

    return call
