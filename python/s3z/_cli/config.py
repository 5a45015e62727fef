"""`s3z config`: the settings in effect, and where each came from."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

from s3z._cli._context import _from_environment
from s3z._cli._failures import RefusedError
from s3z._cli._options import LOG_LEVELS
from s3z._cli._values import choice
from s3z._describing import SettingInfo
from s3z._exceptions import CredentialsError
from s3z._units import auto_or_count, parse_switch, positive_duration

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from s3z._cli._context import Context


def run(context: Context) -> None:
    """Carry out `config`.

    Raises:
        RefusedError: a name is no setting.
        ConfigError: a setting is malformed.
        CredentialsError: keys were asked for, and there are none.
    """
    wanted, failure = context.arguments, None
    client = context.client()
    settings: list[SettingInfo] = [*client.describe(), *_own(context)]
    unknown = [name for name in wanted if name not in {each.name for each in settings}]
    if unknown:
        raise RefusedError(f'there is no setting "{unknown[0]}"', hint="`s3z config` lists them")
    if context.options.resolve:
        try:
            settings = [*client.describe(resolve=True), *_own(context)]
        except CredentialsError as error:
            failure = error
    _show(context, (each for each in settings if not wanted or each.name in wanted))
    if failure is not None:
        raise failure


def _show(context: Context, settings: Iterable[SettingInfo]) -> None:
    for each in settings:
        if context.options.json:
            record = {"name": each.name, "value": each.value, "source": each.source, "detail": each.detail}
            context.printer.record(record)
        else:
            context.printer.data(str(each))


def _own(context: Context) -> Iterator[SettingInfo]:
    """Settings of the command alone."""
    options = context.options
    yield _setting("numworkers", options.numworkers, auto_or_count, "auto")
    yield _setting("show_progress", options.show_progress, choice("auto", "always", "never"), "auto")
    yield _setting("log_progress", options.log_progress, positive_duration, None)
    yield _setting("log", "error" if options.quiet else options.log, choice(*LOG_LEVELS), "info")
    yield _setting("complete_remote", None, parse_switch, True)
    for name in ("no_color", "term"):
        value = os.environ.get(name.upper()) or None
        yield SettingInfo(name, value, *(("environment", name.upper()) if value else ()))


def _setting(name: str, argument: Any, convert: Callable[[str], Any], default: Any) -> SettingInfo:
    if argument is not None:
        return SettingInfo(name, argument, "argument")
    variable = f"S3Z_{name.upper()}"
    value = _from_environment(variable, convert)
    if variable not in os.environ:
        return SettingInfo(name, default)
    return SettingInfo(name, default if value is None else value, "environment", variable)
