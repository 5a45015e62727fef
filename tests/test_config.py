"""Precedence and parsing of settings, without a server and without the native module."""

from __future__ import annotations

import re

import pytest

from s3z._boto import settled_by_client
from s3z._config import MAX_PART_SIZE, Setting, TransferConfig, transfer_settings
from s3z._exceptions import ConfigError
from s3z._profiles import parse_file
from s3z._settings import Given, resolve
from s3z._units import parse_rate

CONFIG = """
[default]
region = eu-north-1
max_attempts = 4
s3 =
    addressing_style = path
    multipart_chunksize = 16MB
    max_concurrent_requests = 20

[profile other]
region=eu-west-3
endpoint_url = http://127.0.0.1:7000
services = local
ca_bundle = {bundle}

[profile "with space"]
region = sa-east-1

[services local]
s3 =
    endpoint_url = http://127.0.0.1:8000
ec2 =
    endpoint_url = http://127.0.0.1:1
"""


@pytest.fixture
def environ(tmp_path):
    bundle = tmp_path / "ca.pem"
    bundle.write_text("x")
    (tmp_path / "config").write_text(CONFIG.format(bundle=bundle))
    (tmp_path / "credentials").write_text("[only-keys]\naws_access_key_id=a\naws_secret_access_key=b\n")
    return {
        "AWS_CONFIG_FILE": str(tmp_path / "config"),
        "AWS_SHARED_CREDENTIALS_FILE": str(tmp_path / "credentials"),
        "HOME": str(tmp_path),
    }


def settings(environ, **given):
    return resolve(Given(**given), environ)[0]


def test_region_wins_in_turn(environ):
    assert settings({"AWS_CONFIG_FILE": "/none", "AWS_SHARED_CREDENTIALS_FILE": "/none"}).region == Setting("us-east-1")
    assert settings(environ).region == Setting("eu-north-1", "profile", "profile default: region")
    environ["AWS_DEFAULT_REGION"] = "b-1"
    assert settings(environ).region == Setting("b-1", "environment", "AWS_DEFAULT_REGION")
    environ["AWS_REGION"] = "a-1"
    assert settings(environ).region == Setting("a-1", "environment", "AWS_REGION")
    assert settings(environ, region="x-1").region == Setting("x-1", "argument")


def test_endpoint_wins_in_turn(environ):
    assert settings(environ).endpoint_url.value is None
    found = settings(environ, profile="other").endpoint_url
    assert (found.value, found.source) == ("http://127.0.0.1:8000", "profile")
    for name in ("AWS_ENDPOINT_URL", "AWS_ENDPOINT_URL_S3", "S3_ENDPOINT_URL"):
        environ[name] = f"http://127.0.0.1:1/{name}"
        assert settings(environ, profile="other").endpoint_url.detail == name
    environ["AWS_IGNORE_CONFIGURED_ENDPOINT_URLS"] = "true"
    assert settings(environ, profile="other").endpoint_url.detail == "S3_ENDPOINT_URL"
    del environ["S3_ENDPOINT_URL"]
    assert settings(environ, profile="other").endpoint_url.value is None
    assert settings(environ, endpoint_url="https://h/").endpoint_url == Setting("https://h", "argument")


def test_profiles_are_named_by_argument_then_variable(environ):
    environ["AWS_PROFILE"] = "only-keys"
    assert settings(environ).profile == Setting("only-keys", "environment", "AWS_PROFILE")
    environ["AWS_DEFAULT_PROFILE"] = "other"
    assert settings(environ).profile.value == "other"
    assert settings(environ, profile="with space").region.value == "sa-east-1"
    with pytest.raises(ConfigError, match='profile "none" is neither in'):
        settings(environ, profile="none")
    environ["AWS_DEFAULT_PROFILE"] = "none"
    with pytest.raises(ConfigError, match="named by AWS_DEFAULT_PROFILE"):
        settings(environ)


def test_values_of_the_s3_block(environ):
    found = settings(environ)
    assert found.addressing_style.value == "path"
    assert found.transfer["part_size"].value == 16 << 20
    assert found.transfer["max_requests"].value == 20
    assert found.transfer["max_attempts"] == Setting(4, "profile", "profile default: max_attempts")
    environ.update(S3Z_PART_SIZE="auto", S3Z_ADDRESSING_STYLE="virtual", AWS_MAX_ATTEMPTS="2")
    found = settings(environ, config=TransferConfig(max_requests=5))
    assert found.addressing_style.value == "virtual"
    assert found.transfer["part_size"] == Setting(None, "environment", "S3Z_PART_SIZE")
    assert found.transfer["max_requests"] == Setting(5, "argument")
    assert transfer_settings(found.transfer) == {"max_requests": 5, "max_attempts": 2}


def test_the_ca_bundle_wins_in_turn(environ, tmp_path):
    assert settings(environ).ca_bundle.value is None
    assert settings(environ, profile="other").ca_bundle.source == "profile"
    (tmp_path / "r.pem").write_text("x")
    environ["REQUESTS_CA_BUNDLE"] = str(tmp_path / "r.pem")
    assert settings(environ, profile="other").ca_bundle.detail == "REQUESTS_CA_BUNDLE"
    environ["AWS_CA_BUNDLE"] = str(tmp_path / "ca.pem")
    assert settings(environ).ca_bundle.detail == "AWS_CA_BUNDLE"


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("S3Z_PART_SIZE", "many"),
        ("S3Z_PART_SIZE", "0"),
        ("S3Z_PART_SIZE", "6G"),
        ("S3Z_PART_SIZE", ""),
        ("S3Z_MAX_CONCURRENCY", "0"),
        ("S3Z_CONNECT_TIMEOUT", "0s"),
        ("S3Z_DIRECT_IO", "maybe"),
        ("S3Z_DURABLE", "perhaps"),
        ("S3Z_MEMORY_LIMIT", " "),
        ("S3Z_ADDRESSING_STYLE", "host"),
        ("S3Z_MAX_BANDWIDTH", "fast"),
        ("S3Z_MAX_BANDWIDTH", "0"),
        ("S3Z_MAX_BANDWIDTH", "10Mb/s"),
        ("AWS_MAX_ATTEMPTS", "0"),
        ("AWS_CA_BUNDLE", ""),
        ("REQUESTS_CA_BUNDLE", ""),
        ("AWS_CA_BUNDLE", "/no/such/file"),
        ("S3_ENDPOINT_URL", "ftp://h"),
        ("AWS_ENDPOINT_URL_S3", "http://"),
        ("AWS_REGION", "eu west"),
        ("AWS_REQUEST_CHECKSUM_CALCULATION", "never"),
        ("AWS_USE_FIPS_ENDPOINT", "true"),
        ("AWS_REQUEST_PAYER", "owner"),
        ("AWS_IGNORE_CONFIGURED_ENDPOINT_URLS", "x"),
    ],
)
def test_malformed_variables_are_named(environ, name, value):
    environ[name] = value
    with pytest.raises(ConfigError, match=name):
        settings(environ)


@pytest.mark.parametrize("name", ["AWS_REGION", "AWS_PROFILE", "S3_ENDPOINT_URL", "AWS_MAX_ATTEMPTS", "HTTPS_PROXY"])
def test_other_empty_variables_count_as_unset(environ, name):
    environ[name] = ""
    assert settings(environ).region.value == "eu-north-1"


def test_unknown_variables_warn(environ):
    environ["S3Z_PARTSIZE"] = "1"
    assert settings(environ).warnings == ("unknown environment variable S3Z_PARTSIZE",)


def test_unprotected_connections_warn(environ):
    assert "not encrypted" in settings(environ, endpoint_url="http://192.0.2.1").warnings[0]
    assert "not checked" in settings(environ, verify=False).warnings[0]
    for host in ("127.0.0.1:9000", "localhost", "[::1]:1"):
        assert settings(environ, endpoint_url=f"http://{host}").warnings == ()


def test_secrets_in_an_endpoint_are_not_shown(environ):
    with pytest.raises(ConfigError) as caught:
        settings(environ, endpoint_url="https://me:hunter2@h")
    assert "hunter2" not in str(caught.value)


def test_proxies(environ):
    environ.update(HTTPS_PROXY="http://p:1", no_proxy="a,b", HTTP_PROXY="")
    assert settings(environ).proxies.value == {"https": "http://p:1", "no_proxy": "a,b"}
    assert settings(environ, proxies={"http": "q:2"}).proxies.value == {"http": "http://q:2"}
    for proxies in ({"ftp": "x"}, {"http": "socks5://user:hunter2@x"}):
        with pytest.raises(ConfigError) as caught:
            settings(environ, proxies=proxies)
        assert "hunter2" not in str(caught.value)


@pytest.mark.parametrize(
    "given",
    [
        {"part_size": 0},
        {"part_size": MAX_PART_SIZE + 1},
        {"part_size": "8MiB"},
        {"part_size": True},
        {"max_concurrency": 0},
        {"max_requests": -1},
        {"connect_timeout": 0},
        {"read_timeout": float("inf")},
        {"multipart_threshold": -1},
        {"direct_io": "yes"},
    ],
)
def test_transfer_config_refuses_what_is_out_of_range(given):
    with pytest.raises(ConfigError, match=next(iter(given))):
        TransferConfig(**given)


@pytest.mark.parametrize("text", ["region = x", "[default]\nregion\n", "[a]\n[a]\n", "[default]\ns3 =\n  nonsense\n"])
def test_malformed_files_are_named_without_their_content(tmp_path, text):
    path = tmp_path / "config"
    path.write_text(text.replace("nonsense", "hunter2").replace("region\n", "hunter2\n"))
    with pytest.raises(ConfigError, match=re.escape(str(path))) as caught:
        parse_file(str(path))
    assert "hunter2" not in str(caught.value)


def test_a_services_section_that_is_missing_is_an_error(tmp_path, environ):
    (tmp_path / "config").write_text("[default]\nservices = gone\n")
    with pytest.raises(ConfigError, match="services gone"):
        settings(environ)


def test_a_credentials_file_that_was_named_must_be_there(environ):
    with pytest.raises(ConfigError, match="missing or empty"):
        settings(environ, credentials_file="/no/such", profile="x")


class TestBoto3:
    @pytest.fixture
    def make(self, monkeypatch, environ):
        boto3 = pytest.importorskip("boto3")
        for name in ("AWS_CA_BUNDLE", "REQUESTS_CA_BUNDLE", "AWS_PROFILE", "AWS_ENDPOINT_URL"):
            monkeypatch.delenv(name, raising=False)
        for name, value in environ.items():
            monkeypatch.setenv(name, value)

        def make(**options):
            from botocore.config import Config

            config = Config(**options.pop("config", {}))
            keys = {"aws_access_key_id": "a", "aws_secret_access_key": "b", "region_name": "eu-west-1"}
            return boto3.client("s3", **{**keys, **options}, config=config)

        return make

    def test_everything_is_taken(self, make, environ):
        client = make(
            endpoint_url="http://127.0.0.1:9",
            verify=False,
            config={
                "retries": {"total_max_attempts": 3},
                "read_timeout": 7,
                "connect_timeout": 60,
                "proxies": {"http": "http://p:1"},
                "s3": {"addressing_style": "virtual"},
                "response_checksum_validation": "when_required",
            },
        )
        environ.update(AWS_REGION="x-1", S3_ENDPOINT_URL="http://127.0.0.1:1", AWS_MAX_ATTEMPTS="9")
        found = settings(environ, settled=settled_by_client(client))
        assert found.endpoint_url == Setting("http://127.0.0.1:9", "boto3")
        assert found.region == Setting("eu-west-1", "boto3")
        assert found.addressing_style.value == "virtual"
        assert found.verify.value is False
        assert found.proxies.value == {"http": "http://p:1"}
        assert found.transfer["max_attempts"].value == 3
        assert found.transfer["read_timeout"].value == 7.0
        assert found.transfer["connect_timeout"].value is None
        assert found.response_checksum_validation.value == "when_required"
        assert settings(environ, settled=settled_by_client(client), region="y-1").region.source == "argument"

    def test_its_own_endpoint_is_aws_whatever_the_environment_says(self, make, environ):
        environ["S3_ENDPOINT_URL"] = "http://127.0.0.1:1"
        found = settings(environ, settled=settled_by_client(make()))
        assert found.endpoint_url == Setting(None, "boto3")

    @pytest.mark.parametrize("s3", [{"use_accelerate_endpoint": True}, {"use_dualstack_endpoint": True}])
    def test_what_cannot_be_honoured_is_an_error(self, make, s3):
        with pytest.raises(ConfigError, match=next(iter(s3))):
            settled_by_client(make(config={"s3": s3}))

    def test_other_things_are_no_client(self):
        with pytest.raises(ConfigError, match="boto3"):
            settled_by_client(object())


def test_who_pays_wins_in_turn(environ):
    assert settings(environ).request_payer == Setting(None)
    environ["AWS_REQUEST_PAYER"] = "Requester"
    assert settings(environ).request_payer == Setting("requester", "environment", "AWS_REQUEST_PAYER")
    assert settings(environ, request_payer="requester").request_payer == Setting("requester", "argument")
    with pytest.raises(ConfigError, match="request_payer"):
        settings(environ, request_payer="owner")


def test_bandwidth_wins_in_turn(environ, tmp_path):
    def bandwidth(**given):
        return settings(environ, **given).transfer["max_bandwidth"]

    assert bandwidth() == Setting(None)
    assert "max_bandwidth" not in transfer_settings(settings(environ).transfer)
    with (tmp_path / "config").open("a") as file:
        file.write(
            "[profile slow]\ns3 =\n    max_bandwidth = 50MB/s\n[profile bits]\ns3 =\n    max_bandwidth = 50Mb/s\n"
        )
    assert bandwidth(profile="slow") == Setting(50 << 20, "profile", "profile slow: max_bandwidth")
    with pytest.raises(ConfigError, match="may mean bits"):
        bandwidth(profile="bits")
    environ["S3Z_MAX_BANDWIDTH"] = "2M"
    assert bandwidth(profile="slow") == Setting(2 << 20, "environment", "S3Z_MAX_BANDWIDTH")
    config = TransferConfig(max_bandwidth=7)
    assert bandwidth(config=config) == Setting(7, "argument")
    assert transfer_settings(settings(environ, config=config).transfer)["max_bandwidth"] == 7


@pytest.mark.parametrize("value", [0, -1, 1.5, True, "1M"])
def test_bandwidth_is_a_number_of_bytes(value):
    with pytest.raises(ConfigError, match="max_bandwidth"):
        TransferConfig(max_bandwidth=value)


@pytest.mark.parametrize(
    ("text", "rate"),
    [
        ("1", 1),
        ("1/s", 1),
        ("50MB/s", 50 << 20),
        ("50 MiB/s", 50 << 20),
        ("1.5k", 1536),
        ("10mb", 10 << 20),
        ("5 B/s", 5),
    ],
)
def test_rates(text, rate):
    assert parse_rate(text) == rate


@pytest.mark.parametrize("text", ["", "/s", "0", "0/s", "fast", "1/m", "-1", "1M/s/s", "10Mb", "10Kb/s", "0.5"])
def test_no_rates(text):
    with pytest.raises(ValueError, match=r"rate|at least 1 byte"):
        parse_rate(text)
