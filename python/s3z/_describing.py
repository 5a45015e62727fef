"""`Client.describe`: each effective setting with where it came from. Secrets are masked before they get here."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from s3z import _boto, _credentials
from s3z._escape import escape, escape_html, shown_uri

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from s3z._config import Resolver, Setting
    from s3z._core import KeySet
    from s3z._settings import Settings

#: settings that only matter where botocore looks for keys, by the variable without `AWS_`
_CHAIN = (
    "role_arn", "role_session_name", "web_identity_token_file", "container_credentials_relative_uri",
    "container_credentials_full_uri", "container_authorization_token", "container_authorization_token_file",
    "ec2_metadata_disabled",
)  # fmt: skip
_IN_FILES = ("role_arn", "role_session_name", "web_identity_token_file")
#: what the core decides while it runs, or does without; for the rest it has numbers
_UNSET: dict[str, object] = {
    "part_size": "auto", "max_concurrency": "auto", "direct_io": "auto", "durable": False, "strict_checksums": False,
}  # fmt: skip
_SHOWN = 4
_LONG = 16


@dataclass(frozen=True, slots=True, repr=False)
class SettingInfo:
    """One setting in effect.

    Attributes:
        name: its stable name.
        value: text, number or switch; None is unset. Secrets show at most their last four characters.
        source: `argument`, `boto3`, `environment`, `profile`, `botocore` or `default`.
        detail: the variable, or the profile and its line; None if the source says it all.
    """

    name: str
    value: str | float | bool | None
    source: str = "default"
    detail: str | None = None

    @property
    def text(self) -> str:
        """The value as people read it: `-` is unset."""
        if isinstance(self.value, bool):
            return "true" if self.value else "false"
        if isinstance(self.value, float):
            return f"{self.value:.15g}"
        return "-" if self.value is None else escape(str(self.value))

    @property
    def origin(self) -> str:
        """Source and detail, as `environment (AWS_REGION)`."""
        return f"{self.source} ({escape(self.detail)})" if self.detail else self.source

    def __str__(self) -> str:
        return f"{self.name:<24} {self.text:<32} {self.origin}"

    def __repr__(self) -> str:
        return f"SettingInfo({self.name}={self.text}, {self.origin})"

    def _repr_html_(self) -> str:
        return Description((self,))._repr_html_()


@dataclass(frozen=True, slots=True, repr=False)
class Description:
    """The settings of a client, in the order of the documentation; by name as `description["region"]`.

    Attributes:
        settings: one for each.
    """

    settings: tuple[SettingInfo, ...]

    def __iter__(self) -> Iterator[SettingInfo]:
        return iter(self.settings)

    def __len__(self) -> int:
        return len(self.settings)

    def __getitem__(self, name: str) -> SettingInfo:
        for each in self.settings:
            if each.name == name:
                return each
        raise KeyError(name)

    def __repr__(self) -> str:
        return "\n".join(map(str, self.settings))

    def _repr_html_(self) -> str:
        cell = '<td style="text-align:left">'
        rows = "".join(
            "<tr>"
            + "".join(f"{cell}{escape_html(text)}</td>" for text in (each.name, each.text, each.origin))
            + "</tr>"
            for each in self.settings
        )
        return f"<table><caption>Settings</caption>{rows}</table>"


def masked(secret: str | None) -> str | None:
    """The last four characters of a secret that is long enough to keep the rest.

    Example:
        >>> masked("AKIDEXAMPLE0123456"), masked("short")
        ('****3456', '****')
    """
    if secret is None:
        return None
    return f"****{secret[-_SHOWN:]}" if len(secret) >= _LONG else "****"


def describe(
    settings: Settings, find: Resolver, arguments: Mapping[str, Any], defaults: Mapping[str, float], *, resolve: bool
) -> Description:
    """See `Client.describe`.

    Args:
        settings: effective ones.
        find: finds the rest.
        arguments: those of `Client`; `anonymous` as it is in effect.
        defaults: numbers of the core.
        resolve: whether to ask for keys.
    """
    rows = [_row("profile", settings.profile), *_files(find), *_keys(find, arguments, resolve=resolve)]
    rows += [_chain(find, name) for name in _CHAIN]
    ignore = find.pick(
        None, str, ("AWS_IGNORE_CONFIGURED_ENDPOINT_URLS",), ("profile", "ignore_configured_endpoint_urls")
    )
    rows += [
        _row("region", settings.region),
        _row("endpoint_url", settings.endpoint_url),
        _row("ignore_configured_endpoint_urls", ignore),
        _row("addressing_style", settings.addressing_style),
        _row("request_payer", settings.request_payer),
        _row("verify", settings.verify),
        _row("ca_bundle", settings.ca_bundle),
        *_proxies(settings.proxies),
    ]
    transfer = {name: _transfer(name, each, defaults) for name, each in settings.transfer.items()}
    rows += [
        transfer.pop("max_attempts"),
        _row("state_dir", settings.state_dir),
        _row("request_checksum_calculation", settings.request_checksum_calculation),
        _row("response_checksum_validation", settings.response_checksum_validation),
        *transfer.values(),
    ]
    return Description(tuple(rows))


def _row(name: str, setting: Setting[Any], value: object = None) -> SettingInfo:
    shown = setting.value if value is None else value
    if not isinstance(shown, (str, int, float, type(None))):
        shown = str(shown)
    return SettingInfo(name, shown, setting.source, setting.detail)


def _transfer(name: str, setting: Setting[object], defaults: Mapping[str, float]) -> SettingInfo:
    if setting.value is not None:
        return _row(name, setting)
    return _row(name, setting, _UNSET.get(name, defaults.get(name)))


def _files(find: Resolver) -> Iterator[SettingInfo]:
    """The shared AWS files."""
    for name, path, variable in (
        ("credentials_file", find.profiles.credentials_path, "AWS_SHARED_CREDENTIALS_FILE"),
        ("config_file", find.profiles.config_path, "AWS_CONFIG_FILE"),
    ):
        if name == "credentials_file" and find.profiles.is_named:
            yield SettingInfo(name, path, "argument")
        elif find.environ.get(variable):
            yield SettingInfo(name, path, "environment", variable)
        else:
            yield SettingInfo(name, path)


def _chain(find: Resolver, name: str) -> SettingInfo:
    variable = f"AWS_{name.upper()}"
    setting = find.pick(None, str, (variable,), ("profile", name) if name in _IN_FILES else None)
    if setting.value is None:
        return SettingInfo(name, None)
    if name == "container_authorization_token":
        return _row(name, setting, masked(setting.value))
    return _row(name, setting, shown_uri(setting.value) if name.endswith("_uri") else setting.value)


def _proxies(setting: Setting[Mapping[str, str]]) -> Iterator[SettingInfo]:
    """A proxy's URL may hold a password."""
    for scheme in ("https", "http", "no_proxy"):
        name = scheme if scheme == "no_proxy" else f"{scheme}_proxy"
        url = setting.value.get(scheme)
        if url is None:
            yield SettingInfo(name, None)
            continue
        detail = name.upper() if setting.source == "environment" else None
        yield SettingInfo(name, url if scheme == "no_proxy" else shown_uri(url), setting.source, detail)


_KEY_VARIABLES = {
    "access_key_id": ("AWS_ACCESS_KEY_ID",),
    "secret_access_key": ("AWS_SECRET_ACCESS_KEY",),
    "session_token": ("AWS_SESSION_TOKEN", "AWS_SECURITY_TOKEN"),
    "credential_expiration": ("AWS_CREDENTIAL_EXPIRATION",),
}


def _keys(find: Resolver, arguments: Mapping[str, Any], *, resolve: bool) -> Iterator[SettingInfo]:
    """Keys, masked, and who provides them. Nobody is asked for them unless `resolve` says so."""
    keys, provider, source = _found(find, arguments, resolve=resolve)
    access_key, secret_key, token, expiry = keys or (None, None, None, None)
    names = ("access_key_id", "secret_access_key", "session_token")
    for name, secret in zip(names, (access_key, secret_key, token), strict=True):
        yield SettingInfo(name, masked(secret), *_of(source, name, secret, find))
    name = "credential_expiration"
    yield SettingInfo(name, _moment(expiry), *_of(source, name, expiry, find))
    yield SettingInfo("credential_provider", provider, *source)
    yield SettingInfo("anonymous", bool(arguments["anonymous"]), "argument" if arguments["anonymous"] else "default")


def _of(source: tuple[str, str | None], name: str, value: object, find: Resolver) -> tuple[str, str | None]:
    """Where one of the keys comes from: of those of the environment each has a variable of its own."""
    if value is None:
        return "default", None
    if source[0] != "environment":
        return source
    return "environment", next(variable for variable in _KEY_VARIABLES[name] if find.environ.get(variable))


def _moment(expiry: float | None) -> str | None:
    from datetime import UTC, datetime

    return None if expiry is None else f"{datetime.fromtimestamp(expiry, UTC):%Y-%m-%dT%H:%M:%SZ}"


def _found(
    find: Resolver, arguments: Mapping[str, Any], *, resolve: bool
) -> tuple[KeySet | None, str | None, tuple[str, str | None]]:
    """Keys as far as they are known, their provider, and the source of both."""
    nothing = ("default", None)
    if arguments["anonymous"]:
        return None, None, nothing
    for name in ("credentials", "client", "session"):
        if arguments[name] is not None:
            source = "argument" if name == "credentials" else "boto3"
            given = _boto.keys(arguments, find)
            if callable(given):
                return given() if resolve else None, name, (source, None)
            return given, name, (source, None)
    named = find.profile.source == "argument"
    keys = None if named else _credentials.from_environment(find.environ)
    if keys is not None:
        return keys, "environment", ("environment", "AWS_ACCESS_KEY_ID")
    keys = _credentials.from_files(find)
    if keys is not None:
        return keys, "profile", ("profile", f"profile {find.profile.value}")
    if not resolve:
        return None, None, nothing
    file = arguments["credentials_file"]
    provider, keys = _credentials.asked_of_botocore(find.profile.value if named else None, file)
    return keys, provider, ("botocore", None)
