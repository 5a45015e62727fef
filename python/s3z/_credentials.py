"""Where keys come from, and how they are renewed.

Keys in the environment and static keys in the shared files are read here. All else (SSO, roles, web identity,
processes, containers, instances) is asked of botocore, which is imported only then.
"""

from __future__ import annotations

import contextlib
import threading
import time
from typing import TYPE_CHECKING, Any, TypeVar

from s3z._escape import escape
from s3z._exceptions import ConfigError, CredentialsError, S3zError
from s3z._log import hushed
from s3z._secrecy import Unshown

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from s3z._config import Resolver
    from s3z._core import KeySet
    from s3z._profiles import Section

T = TypeVar("T")

#: with one of these a profile's keys are not static, whatever else it holds
_NOT_STATIC = (
    "role_arn", "web_identity_token_file", "sso_session", "sso_start_url", "sso_account_id", "sso_role_name",
    "login_session",
)  # fmt: skip
_HINT = (
    "no credentials found: set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, name a profile, or ask for anonymous access"
)
#: what follows in botocore's message is the body of an answer
_BEFORE_BODY = " from container metadata: "
#: the same keys given out again within so many seconds are not an answer to "expired"
_PATIENCE = 30.0
_NAMES = {
    "access_key": ("aws_access_key_id", "access_key_id", "access_key", "AccessKeyId"),
    "secret_key": ("aws_secret_access_key", "secret_access_key", "secret_key", "SecretAccessKey"),
    "token": ("aws_session_token", "session_token", "token", "SessionToken"),
    "expiry": ("expiry_time", "expiry", "expiration", "Expiration"),
}


def parse_expiry(value: object, name: str = "the expiry of the credentials") -> float | None:
    """Seconds since the epoch of a number, a datetime or an ISO 8601 text; None stays None.

    Raises:
        ConfigError: it is none of these.
    """
    from datetime import UTC, datetime

    if value is None or value == "":
        return None
    if isinstance(value, str):
        # The error of `fromisoformat` quotes the text: it is not to be the context of ours.
        with contextlib.suppress(ValueError):
            value = datetime.fromisoformat(value.strip())
        if isinstance(value, str):
            raise ConfigError(f"{name} is not an ISO 8601 time")
    if isinstance(value, datetime):
        return (value if value.tzinfo else value.replace(tzinfo=UTC)).timestamp()
    if isinstance(value, (int, float)) and not isinstance(value, bool):
        return float(value)
    raise ConfigError(f"{name} is not a time")


def from_environment(environ: Mapping[str, str]) -> KeySet | None:
    """Keys of the environment, None if there are none.

    Raises:
        CredentialsError: there is an access key without its secret.
        ConfigError: `AWS_CREDENTIAL_EXPIRATION` is malformed.
    """
    access_key = environ.get("AWS_ACCESS_KEY_ID")
    if not access_key:
        return None
    secret_key = environ.get("AWS_SECRET_ACCESS_KEY")
    if not secret_key:
        raise CredentialsError("AWS_ACCESS_KEY_ID is set, but AWS_SECRET_ACCESS_KEY is not")
    token = environ.get("AWS_SESSION_TOKEN") or environ.get("AWS_SECURITY_TOKEN") or None
    expiry = parse_expiry(environ.get("AWS_CREDENTIAL_EXPIRATION"), "AWS_CREDENTIAL_EXPIRATION")
    return access_key, secret_key, token, expiry


def _static(section: Section | None, where: str) -> KeySet | None:
    access_key = (section or {}).get("aws_access_key_id")
    if section is None or not isinstance(access_key, str) or not access_key:
        return None
    secret_key = section.get("aws_secret_access_key")
    if not isinstance(secret_key, str) or not secret_key:
        raise CredentialsError(f"{where} has aws_access_key_id, but no aws_secret_access_key")
    token = section.get("aws_session_token") or section.get("aws_security_token")
    return access_key, secret_key, token if isinstance(token, str) and token else None, None


def from_files(find: Resolver) -> KeySet | None:
    """Static keys of the profile, None where botocore has to be asked.

    Raises:
        CredentialsError: there is an access key without its secret.
    """
    name = find.profile.value
    merged = find.section
    if any(merged.get(each) for each in _NOT_STATIC):
        return None
    if find.profile.source != "argument" and find.environ.get("AWS_WEB_IDENTITY_TOKEN_FILE"):
        return None
    shown = f'profile "{escape(name)}" in "%s"'
    stored = _static(find.profiles.credentials_profile(name), shown % escape(find.profiles.credentials_path))
    if stored is not None or merged.get("credential_process"):
        return stored
    return _static(find.profiles.config_profile(name), shown % escape(find.profiles.config_path))


def key_set(value: Any) -> KeySet:
    """Keys in any shape that people have them: a tuple, a dictionary, or an object as of botocore.

    Raises:
        CredentialsError: there is no access key or no secret in it.
        ConfigError: it has another shape. Its content is never shown.
    """
    if value is None:
        raise CredentialsError(_HINT)
    if hasattr(value, "get_frozen_credentials"):
        expiry = getattr(value, "_expiry_time", None)
        with hushed():
            frozen = value.get_frozen_credentials()
        expiry = getattr(value, "_expiry_time", expiry)
        return _checked(frozen.access_key, frozen.secret_key, frozen.token, expiry)
    if isinstance(value, dict):
        found = {
            field: next((value[name] for name in names if value.get(name)), None) for field, names in _NAMES.items()
        }
        return _checked(found["access_key"], found["secret_key"], found["token"], found["expiry"])
    if isinstance(value, (tuple, list)) and 2 <= len(value) <= 4:
        return _checked(*value, *[None] * (4 - len(value)))
    if hasattr(value, "access_key") and hasattr(value, "secret_key"):
        return _checked(value.access_key, value.secret_key, getattr(value, "token", None), None)
    raise ConfigError(f"credentials of type {type(value).__name__} are not understood")


def _checked(access_key: object, secret_key: object, token: object, expiry: object) -> KeySet:
    if not (isinstance(access_key, str) and access_key and isinstance(secret_key, str) and secret_key):
        raise CredentialsError("the credentials have no access key or no secret key")
    if token is not None and not isinstance(token, str):
        raise CredentialsError("the session token of the credentials is no text")
    return access_key, secret_key, token or None, parse_expiry(expiry)


class Refreshing(Unshown):
    """A source of keys that the core calls on a thread of its own, one call at a time.

    Args:
        load: gives keys in any shape `key_set` takes. Its argument says whether keys given out before are to be
            replaced even if they look fresh.
    """

    __slots__ = ("_last", "_load", "_lock", "_renewed")

    def __init__(self, load: Callable[[bool], object]) -> None:
        self._load = load
        self._lock = threading.Lock()
        self._last: KeySet | None = None
        self._renewed = float("-inf")

    def __call__(self) -> KeySet:
        """The keys to sign with from now on.

        Raises:
            CredentialsError: there are none, or they cannot be renewed.
        """
        with self._lock:
            keys = self._keys(renew=False)
            now = time.monotonic()
            if keys == self._last and now - self._renewed > _PATIENCE:
                # Asked again, although nothing changed: the store refused these keys, or they are near their end.
                self._renewed = now
                keys = self._keys(renew=True)
            self._last = keys
            return keys

    def _keys(self, *, renew: bool) -> KeySet:
        return _guarded(lambda: key_set(self._load(renew)))

    def __repr__(self) -> str:
        return "<credentials>"


def _guarded(ask: Callable[[], T]) -> T:
    """What `ask` returns.

    The errors of others are told in our words and are not the context of ours: they may quote what a process wrote,
    or the whole answer of a service.

    Raises:
        CredentialsError: it failed.
    """
    try:
        return ask()
    except S3zError:
        raise
    except Exception as error:
        text = _failure(error)
    raise CredentialsError(text)


def _failure(error: Exception) -> str:
    text = f"no credentials could be had: {type(error).__name__}"
    if getattr(error, "kwargs", {}).get("provider") == "custom-process":
        # The message quotes what the process wrote to its stderr.
        return f"{text} (credential_process failed)"
    if type(error).__module__.startswith(("botocore.", "boto3.")):
        told = str(error).partition(_BEFORE_BODY)[0]
        return f"{text}: {escape(told)[:500]}"
    return text


def of_session(session: Any) -> Any:
    """The botocore credentials object of a boto3 or botocore session, or None.

    Raises:
        CredentialsError: they cannot be had.
    """

    def ask() -> Any:
        with hushed():
            return session.get_credentials()

    return _guarded(ask)


def through_botocore(profile: str | None, credentials_file: str | None = None) -> Callable[[bool], object]:
    """A loader that asks botocore's whole chain; botocore is imported by its first call.

    Args:
        profile: a profile named by an argument; None leaves the choice to botocore.
        credentials_file: goes before `AWS_SHARED_CREDENTIALS_FILE`.
    """
    held: list[Any] = []

    def load(renew: bool) -> object:
        if renew or not held:
            try:
                from botocore.session import Session
            except ImportError:
                raise CredentialsError(f"{_HINT} (boto3 is not installed, so nothing else was looked for)") from None
            with hushed():
                session = Session(profile=profile)
                if credentials_file is not None:
                    session.set_config_variable("credentials_file", credentials_file)
                found = session.get_credentials()
            if found is None:
                raise CredentialsError(_HINT)
            held[:] = [found]
        return held[0]

    return load


def asked_of_botocore(profile: str | None, credentials_file: str | None) -> tuple[str | None, KeySet]:
    """What botocore's chain gives: the name of the provider, and the keys.

    Raises:
        CredentialsError: there are none, or they cannot be had.
    """
    found: Any = _guarded(lambda: through_botocore(profile, credentials_file)(False))
    return getattr(found, "method", None), _guarded(lambda: key_set(found))


def from_argument(credentials: Any) -> KeySet | Callable[[], KeySet]:
    """The `credentials=` of a caller, or those of a boto3 client or session, as the core takes them.

    Raises:
        CredentialsError: there are none in it.
        ConfigError: the shape is not understood.
    """
    if hasattr(credentials, "get_frozen_credentials"):
        return Refreshing(lambda _: credentials)
    if callable(credentials):
        return Refreshing(lambda _: credentials())
    return key_set(credentials)


def resolve(find: Resolver, credentials_file: str | None = None) -> KeySet | Callable[[], KeySet]:
    """Keys by precedence: environment, static keys in files, then botocore when the first request needs them.

    Raises:
        CredentialsError: what there is is incomplete.
    """
    named = find.profile.source == "argument"
    if not named:
        keys = from_environment(find.environ)
        if keys is not None:
            return keys
    keys = from_files(find)
    if keys is not None:
        return keys
    return Refreshing(through_botocore(find.profile.value if named else None, credentials_file))
