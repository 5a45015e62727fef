"""The effective settings of one client: arguments, a boto3 client, environment and profile brought together."""

# pathlib would cost start-up time
# ruff: noqa: PTH100, PTH111, PTH117, PTH118
from __future__ import annotations

import os
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, TypeVar, cast

from s3z._config import (
    Resolver,
    Setting,
    TransferConfig,
    check_bundle,
    check_endpoint,
    check_region,
    one_of,
    resolve_transfer,
)
from s3z._escape import escape
from s3z._exceptions import ConfigError
from s3z._secrecy import Hidden
from s3z._units import parse_switch

if TYPE_CHECKING:
    from collections.abc import Mapping

T = TypeVar("T")

DEFAULT_REGION = "us-east-1"
_PAYER = one_of("requester")
_WHEN = one_of("when_supported", "when_required")
_IGNORE = "AWS_IGNORE_CONFIGURED_ENDPOINT_URLS"


@dataclass(frozen=True, slots=True, kw_only=True)
class Given:
    """What the caller said, before anything else is asked; None is nothing.

    Attributes:
        settled: values of a boto3 client, which go before environment and profile.
    """

    profile: str | None = None
    credentials_file: str | None = None
    region: str | None = None
    endpoint_url: str | None = None
    addressing_style: str | None = None
    request_payer: str | None = None
    verify: bool | None = None
    ca_bundle: str | None = None
    proxies: Mapping[str, str] | None = field(default=None, repr=False)
    config: TransferConfig | None = None
    settled: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """Every effective setting of a client, each with its source. Only proxies may hold a secret, and hide it."""

    profile: Setting[str]
    region: Setting[str]
    endpoint_url: Setting[str | None]
    addressing_style: Setting[str]
    request_payer: Setting[str | None]
    verify: Setting[bool]
    ca_bundle: Setting[str | None]
    proxies: Setting[Mapping[str, str]]
    request_checksum_calculation: Setting[str]
    response_checksum_validation: Setting[str]
    state_dir: Setting[str | None]
    transfer: dict[str, Setting[object]]
    warnings: tuple[str, ...] = ()

    @property
    def durable(self) -> bool:
        """Whether downloads sync to the disk unless the call says otherwise."""
        return bool(self.transfer["durable"].value)


def _or(setting: Setting[T | None], default: T) -> Setting[T]:
    return Setting(default) if setting.value is None else cast("Setting[T]", setting)


def _endpoint_places(find: Resolver) -> tuple[tuple[str, ...], tuple[tuple[str, str], ...]]:
    """Variables and places in files that may name the endpoint."""
    ignore = find.pick(None, parse_switch, (_IGNORE,), ("profile", "ignore_configured_endpoint_urls"))
    if ignore.value:
        return ("S3_ENDPOINT_URL",), ()
    variables = ("S3_ENDPOINT_URL", "AWS_ENDPOINT_URL_S3", "AWS_ENDPOINT_URL")
    return variables, (("service", "endpoint_url"), ("profile", "endpoint_url"))


def _endpoint(find: Resolver, given: Given) -> Setting[str | None]:
    if given.endpoint_url is not None:
        return Setting(check_endpoint(given.endpoint_url), "argument")
    variables, places = _endpoint_places(find)
    found = find.pick(None, check_endpoint, variables)
    for place in places:
        if found.value is None:
            found = find.pick(None, check_endpoint, (), place)
    return found


def check_proxies(proxies: Mapping[str, str]) -> Mapping[str, str]:
    """Proxies by the scheme of the request: `http`, `https`, and `no_proxy` with its list of hosts.

    Raises:
        ConfigError: another name, or a proxy that is no http URL. The URL is not shown: it may hold a password.
    """
    checked = {}
    for scheme, url in proxies.items():
        if scheme not in ("http", "https", "no_proxy"):
            raise ConfigError(f'proxies: "{escape(str(scheme))}" is none of http, https, no_proxy')
        if not url:
            continue
        if scheme != "no_proxy" and "://" not in url:
            url = f"http://{url}"
        if scheme != "no_proxy" and not url.startswith(("http://", "https://")):
            raise ConfigError(f"proxies: the proxy for {scheme} must be an http:// or https:// URL")
        checked[scheme] = url
    return Hidden(checked)


def _proxies(find: Resolver, given: Given) -> Setting[Mapping[str, str]]:
    if given.proxies is not None:
        return Setting(check_proxies(given.proxies), "argument")
    found = {}
    for scheme in ("https", "http", "no"):
        for variable in (f"{scheme.upper()}_PROXY", f"{scheme}_proxy"):
            if find.environ.get(variable):
                found["no_proxy" if scheme == "no" else scheme] = find.environ[variable]
                break
    if not found.keys() - {"no_proxy"}:
        return Setting({})
    return Setting(check_proxies(found), "environment", "HTTPS_PROXY, HTTP_PROXY, NO_PROXY")


def _state_dir(find: Resolver) -> Setting[str | None]:
    """Where uploads are noted; None where there is no home."""
    found = find.pick(None, lambda text: os.path.abspath(os.path.expanduser(text)), ("S3Z_STATE_DIR",))
    if found.value is not None:
        return found
    base = find.environ.get("XDG_STATE_HOME", "")
    if not os.path.isabs(base):  # the XDG specification: a relative path is to be ignored
        home = find.environ.get("HOME") or os.path.expanduser("~")
        base = os.path.join(home, ".local", "state") if os.path.isabs(home) else ""
    return Setting(os.path.join(base, "s3z") if base else None)


def _warnings(find: Resolver, endpoint: str | None, verify: bool) -> tuple[str, ...]:
    warnings = [f"unknown environment variable {escape(name)}" for name in find.unknown_variables()]
    if not verify:
        warnings.append("certificates are not checked: anyone on the way can read and change what is transferred")
    if endpoint is not None and endpoint.startswith("http://"):
        from urllib.parse import urlsplit

        host = urlsplit(endpoint).hostname or ""
        if host != "localhost" and not host.endswith(".localhost") and not host.startswith("127.") and host != "::1":
            warnings.append(f'the endpoint "{escape(endpoint)}" is not encrypted')
    return tuple(warnings)


def resolve(given: Given, environ: Mapping[str, str] | None = None) -> tuple[Settings, Resolver]:
    """Settings by precedence, and the resolver that read the files, for the credentials.

    Args:
        given: arguments and what a boto3 client settles.
        environ: environment variables; None: those of this process.

    Raises:
        ConfigError: something is malformed or cannot be honoured; the message names it.
    """
    find = Resolver(os.environ if environ is None else environ, given.profile, given.credentials_file)
    region = given.region if given.region is None else check_region(given.region)
    style = one_of("auto", "path", "virtual")
    bundle = given.ca_bundle if given.ca_bundle is None else check_bundle(given.ca_bundle)
    checksums = ("request_checksum_calculation", "response_checksum_validation")
    values: dict[str, Any] = {
        "profile": find.profile,
        "region": _or(
            find.pick(region, check_region, ("AWS_REGION", "AWS_DEFAULT_REGION"), ("profile", "region")),
            DEFAULT_REGION,
        ),
        "endpoint_url": _endpoint(find, given) if "endpoint_url" not in given.settled else Setting(None),
        "addressing_style": _or(
            find.pick(
                given.addressing_style if given.addressing_style is None else style(given.addressing_style),
                style,
                ("S3Z_ADDRESSING_STYLE",),
                ("s3", "addressing_style"),
            ),
            "auto",
        ),
        "request_payer": find.pick(
            given.request_payer if given.request_payer is None else _PAYER(given.request_payer, "request_payer"),
            _PAYER,
            ("AWS_REQUEST_PAYER",),
        ),
        "verify": Setting(True) if given.verify is None else Setting(given.verify, "argument"),
        "ca_bundle": find.pick(bundle, check_bundle, ("AWS_CA_BUNDLE", "REQUESTS_CA_BUNDLE"), ("profile", "ca_bundle")),
        "proxies": _proxies(find, given),
        **{name: _or(find.pick(None, _WHEN, (f"AWS_{name.upper()}",), ("profile", name)), "when_supported")
           for name in checksums},
        "state_dir": _state_dir(find),
        "transfer": resolve_transfer(find, given.config or TransferConfig()),
    }  # fmt: skip
    _settle(values, given)
    warnings = _warnings(find, values["endpoint_url"].value, values["verify"].value)
    return Settings(**values, warnings=warnings), find


def _settle(values: dict[str, Any], given: Given) -> None:
    """Put in what a boto3 client settles, where no argument says otherwise."""
    for name, value in given.settled.items():
        place = values["transfer"] if name in values["transfer"] else values
        if place[name].source != "argument":
            place[name] = Setting(value, "boto3")
    if given.endpoint_url is not None:
        values["endpoint_url"] = Setting(check_endpoint(given.endpoint_url), "argument")


def refuse_both(arguments: Mapping[str, Any]) -> None:
    """Refuse arguments of `Client` of which only one can count.

    Raises:
        ConfigError: two of them are given.
    """
    sources = [name for name in ("credentials", "session", "client") if arguments[name] is not None]
    if len(sources) > 1:
        raise ConfigError(f"{' and '.join(sources)} exclude each other")
    if arguments["anonymous"] and (sources or arguments["profile"] or arguments["credentials_file"]):
        raise ConfigError("anonymous=True excludes credentials, session, client, profile and credentials_file")
    if arguments["profile"] and arguments["session"] is not None:
        raise ConfigError("profile and session exclude each other")
