"""What a boto3 client or session knows, in the words of s3z. It imports nothing of boto3 itself."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

from s3z import _credentials
from s3z._config import check_bundle, check_endpoint, check_region
from s3z._exceptions import ConfigError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from s3z._config import Resolver
    from s3z._core import KeySet

_BOTO_TIMEOUT = 60
_PARTITIONS = (".amazonaws.com", ".amazonaws.com.cn")


def keys(given: Mapping[str, Any], find: Resolver) -> KeySet | Callable[[], KeySet] | None:
    """Keys, or where to ask for them: of what a caller of `Client` gave, else as they are found.

    Args:
        given: the arguments of `Client`.
        find: finds a setting.
    """
    if given["credentials"] is not None:
        return _credentials.from_argument(given["credentials"])
    if given["client"] is not None:
        return _credentials.from_argument(client_credentials(given["client"]))
    if given["session"] is not None:
        return _credentials.from_argument(_credentials.of_session(given["session"]))
    file = given["credentials_file"]
    return _credentials.resolve(find, None if file is None else os.fspath(file))


def settled_by_client(client: Any) -> dict[str, Any]:
    """Settings of a boto3 (or botocore) S3 client, by the names of `Settings`.

    Timeouts that were left at botocore's 60 seconds are left to s3z.

    Raises:
        ConfigError: it is no S3 client, or has a setting that cannot be honoured.
    """
    meta = getattr(client, "meta", None)
    config = getattr(meta, "config", None)
    if meta is None or config is None or meta.service_model.service_name != "s3":
        raise ConfigError("client must be a boto3 or botocore client for s3")
    s3 = config.s3 or {}
    _refuse(config, s3)
    settled: dict[str, Any] = {
        "endpoint_url": _endpoint(meta.endpoint_url),
        "region": check_region(meta.region_name if meta.region_name not in (None, "aws-global") else "us-east-1"),
        "addressing_style": s3.get("addressing_style") or "auto",
        **_tls(client),
    }
    if config.proxies is not None:
        settled["proxies"] = _proxies(config.proxies)
    for name in ("connect_timeout", "read_timeout"):
        seconds = getattr(config, name)
        if isinstance(seconds, (int, float)) and seconds != _BOTO_TIMEOUT:
            settled[name] = float(seconds)
    attempts = (config.retries or {}).get("total_max_attempts")
    if attempts is not None:
        settled["max_attempts"] = attempts
    for name in ("request_checksum_calculation", "response_checksum_validation"):
        if getattr(config, name, None):
            settled[name] = getattr(config, name)
    return settled


def _refuse(config: Any, s3: dict[str, Any]) -> None:
    """A setting that cannot be honoured is an error, never ignored."""
    for name in ("use_accelerate_endpoint", "use_dualstack_endpoint"):
        if s3.get(name):
            raise ConfigError(f"the boto3 client has {name} set, which cannot be honoured yet")
    for name in ("use_dualstack_endpoint", "use_fips_endpoint", "client_cert", "proxies_config"):
        if getattr(config, name, None):
            raise ConfigError(f"the boto3 client has {name} set, which cannot be honoured yet")
    version = config.signature_version
    if isinstance(version, str) and version not in ("s3v4", "v4"):
        raise ConfigError(f'the boto3 client signs with "{version}"; s3z signs with s3v4 only')


def _endpoint(url: str) -> str | None:
    """None for AWS's own endpoint of a region, so that bucket names become host names there."""
    host = url.partition("://")[2].partition("/")[0]
    if url.startswith("https://") and host.endswith(_PARTITIONS):
        labels = host.partition(".amazonaws.com")[0].split(".")
        if labels[0] == "s3" and len(labels) <= 2:
            return None
    return check_endpoint(url)


def _proxies(proxies: Mapping[str, str]) -> Mapping[str, str]:
    from s3z._settings import check_proxies

    return check_proxies({scheme: url for scheme, url in proxies.items() if scheme in ("http", "https")})


def _tls(client: Any) -> dict[str, Any]:
    session = getattr(getattr(client, "_endpoint", None), "http_session", None)
    verify = getattr(session, "_verify", True)
    if verify is False:
        return {"verify": False, "ca_bundle": None}
    if isinstance(verify, str):
        return {"verify": True, "ca_bundle": check_bundle(verify)}
    return {"verify": True, "ca_bundle": None}


def is_unsigned(client: Any) -> bool:
    """Whether the client sends anonymous requests (`signature_version=UNSIGNED`)."""
    version = client.meta.config.signature_version
    return version is not None and not isinstance(version, str)


def client_credentials(client: Any) -> Any:
    """The botocore credentials object of a client, or None."""
    return getattr(getattr(client, "_request_signer", None), "_credentials", None)


def session_settings(session: Any) -> tuple[str | None, str | None]:
    """Region and profile of a boto3 or botocore session.

    Raises:
        ConfigError: it is neither.
    """
    if hasattr(session, "region_name") and hasattr(session, "profile_name"):
        profile = session.profile_name
        return session.region_name, None if profile == "default" else profile
    if hasattr(session, "get_config_variable"):
        return session.get_config_variable("region"), session.profile
    raise ConfigError("session must be a boto3.Session or a botocore session")
