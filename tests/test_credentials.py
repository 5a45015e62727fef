"""Where keys come from, without a server and without the native module."""

from __future__ import annotations

import subprocess
import sys
import threading
from datetime import UTC, datetime

import pytest

from s3z import _credentials
from s3z._credentials import Refreshing, from_argument, from_environment, key_set, parse_expiry
from s3z._exceptions import ConfigError, CredentialsError
from s3z._settings import Given, resolve

EPOCH = 1_777_622_400.0


@pytest.fixture
def environ(tmp_path):
    (tmp_path / "config").write_text(
        "[default]\naws_access_key_id = config-id\naws_secret_access_key = config-secret\n"
        "[profile process]\ncredential_process = /bin/false\naws_access_key_id=x\naws_secret_access_key=y\n"
        "[profile role]\nrole_arn = arn:aws:iam::1:role/r\nsource_profile = default\n"
        "[profile half]\naws_access_key_id = lonely\n"
    )
    (tmp_path / "credentials").write_text(
        "[default]\naws_access_key_id = file-id\naws_secret_access_key = hunter2\naws_session_token = file-token\n"
        "[role]\naws_access_key_id = x\naws_secret_access_key = y\n"
    )
    return {
        "AWS_CONFIG_FILE": str(tmp_path / "config"),
        "AWS_SHARED_CREDENTIALS_FILE": str(tmp_path / "credentials"),
    }


def keys(environ, **given):
    return _credentials.resolve(resolve(Given(**given), environ)[1], given.get("credentials_file"))


def test_environment_goes_before_files(environ):
    assert keys(environ) == ("file-id", "hunter2", "file-token", None)
    environ.update(AWS_ACCESS_KEY_ID="env-id", AWS_SECRET_ACCESS_KEY="env-secret", AWS_SECURITY_TOKEN="old")
    assert keys(environ) == ("env-id", "env-secret", "old", None)
    environ["AWS_SESSION_TOKEN"] = "new"
    assert keys(environ)[2] == "new"


def test_a_profile_named_by_argument_switches_the_environment_off(environ):
    environ.update(AWS_ACCESS_KEY_ID="env-id", AWS_SECRET_ACCESS_KEY="env-secret")
    assert keys(environ, profile="default")[0] == "file-id"
    environ["AWS_PROFILE"] = "default"
    assert keys(environ)[0] == "env-id"


def test_config_file_holds_keys_too(environ, tmp_path):
    (tmp_path / "credentials").write_text("")
    assert keys(environ)[0] == "config-id"


@pytest.mark.parametrize("profile", ["process", "role"])
def test_all_else_is_left_to_botocore(environ, profile):
    assert isinstance(keys(environ, profile=profile), Refreshing)


def test_web_identity_goes_before_files(environ):
    environ["AWS_WEB_IDENTITY_TOKEN_FILE"] = "/x"
    assert isinstance(keys(environ), Refreshing)
    assert keys(environ, profile="default")[0] == "file-id"


def test_half_a_pair_is_an_error(environ):
    with pytest.raises(CredentialsError, match="AWS_SECRET_ACCESS_KEY is not"):
        from_environment({"AWS_ACCESS_KEY_ID": "a"})
    with pytest.raises(CredentialsError, match='profile "half"'):
        keys(environ, profile="half")


def test_expiry_of_the_environment():
    environ = {"AWS_ACCESS_KEY_ID": "a", "AWS_SECRET_ACCESS_KEY": "b"}
    found = from_environment({**environ, "AWS_CREDENTIAL_EXPIRATION": "2026-05-01T08:00:00Z"})
    assert found is not None
    assert found[3] == EPOCH
    with pytest.raises(ConfigError, match="AWS_CREDENTIAL_EXPIRATION"):
        from_environment({**environ, "AWS_CREDENTIAL_EXPIRATION": "soon"})


@pytest.mark.parametrize(
    "value",
    [
        EPOCH,
        "2026-05-01T08:00:00Z",
        "2026-05-01T10:00:00+02:00",
        datetime(2026, 5, 1, 8),
        datetime(2026, 5, 1, 8, tzinfo=UTC),
    ],
)
def test_expiry_has_many_forms(value):
    assert parse_expiry(value) == EPOCH


@pytest.mark.parametrize(
    "value",
    [
        ("a", "b"),
        ("a", "b", None, None),
        {"aws_access_key_id": "a", "aws_secret_access_key": "b"},
        {"access_key": "a", "secret_key": "b", "token": "", "expiry_time": None},
        {"AccessKeyId": "a", "SecretAccessKey": "b"},
    ],
)
def test_keys_have_many_shapes(value):
    assert key_set(value) == ("a", "b", None, None)


def test_botocore_objects():
    botocore = pytest.importorskip("botocore.credentials")
    assert key_set(botocore.Credentials("a", "b", "t")) == ("a", "b", "t", None)
    later = datetime(2099, 1, 1, tzinfo=UTC)
    renewed = botocore.RefreshableCredentials("a", "b", "t", later, dict, "test")
    assert key_set(renewed) == ("a", "b", "t", later.timestamp())
    assert from_argument(renewed)() == ("a", "b", "t", later.timestamp())


@pytest.mark.parametrize(
    "value", [("hunter2",), {"aws_access_key_id": "hunter2"}, ("hunter2", ""), "hunter2", 3, ("hunter2", "x", 5)]
)
def test_bad_shapes_are_refused_without_being_shown(value):
    with pytest.raises((CredentialsError, ConfigError)) as caught:
        key_set(value)
    assert "hunter2" not in str(caught.value)


def test_callables_are_called_one_at_a_time():
    running, most, calls = 0, 0, 0
    gate = threading.Event()

    def load():
        nonlocal running, most, calls
        running += 1
        calls += 1
        most = max(most, running)
        gate.wait(0.01)
        running -= 1
        return {"aws_access_key_id": f"a{calls}", "aws_secret_access_key": "b"}

    provider = from_argument(load)
    threads = [threading.Thread(target=provider) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert (most, calls) == (1, 8)


def test_keys_that_were_refused_are_loaded_anew():
    asked = []

    def load(renew):
        asked.append(renew)
        return ("new" if renew else "old", "s")

    provider = Refreshing(load)
    assert provider()[0] == "old"
    assert provider()[0] == "new"
    assert asked == [False, False, True]
    provider()
    provider()
    assert asked.count(True) == 1  # not again for a while


def test_failures_hide_what_a_process_wrote():
    errors = pytest.importorskip("botocore.exceptions")

    def fail(error):
        def load():
            raise error

        return from_argument(load)

    quiet = errors.CredentialRetrievalError(provider="custom-process", error_msg="hunter2")
    with pytest.raises(CredentialsError) as caught:
        fail(quiet)()
    assert "hunter2" not in str(caught.value)
    assert caught.value.__cause__ is None
    with pytest.raises(CredentialsError, match="no retries left"):
        fail(errors.MetadataRetrievalError(error_msg="no retries left"))()
    with pytest.raises(CredentialsError, match="RuntimeError") as caught:
        fail(RuntimeError("hunter2"))()
    assert "hunter2" not in str(caught.value)


def test_none_found_says_what_to_do(environ, tmp_path, monkeypatch):
    pytest.importorskip("botocore")
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_PROFILE"):
        monkeypatch.delenv(name, raising=False)
    for name, value in environ.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    (tmp_path / "config").write_text("")
    (tmp_path / "credentials").write_text("")
    provider = keys(environ)
    with pytest.raises(CredentialsError, match="set AWS_ACCESS_KEY_ID"):
        provider()


def test_botocore_is_imported_only_when_it_is_asked(environ):
    probe = """
import sys
from s3z import _credentials
from s3z._settings import Given, resolve
environ = {"AWS_CONFIG_FILE": "/none", "AWS_SHARED_CREDENTIALS_FILE": "/none"}
static = {**environ, "AWS_ACCESS_KEY_ID": "a", "AWS_SECRET_ACCESS_KEY": "b"}
_credentials.resolve(resolve(Given(), static)[1])
_credentials.resolve(resolve(Given(), environ)[1])
print("botocore" in sys.modules)
"""
    done = subprocess.run([sys.executable, "-c", probe], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"


def test_repr_shows_nothing():
    assert repr(Refreshing(lambda _: ("a", "hunter2"))) == "<credentials>"
