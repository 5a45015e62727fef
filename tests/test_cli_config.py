"""`s3z config` and `describe`: each source wins in turn, secrets are masked, and nobody is asked without need."""

from __future__ import annotations

import json
import re
import urllib.parse
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from support.canary import ENVIRONMENT, KEYS, PROXY_PASSWORD, SECRET, TOKEN, seen_in
from support.strangers import closed_port

import s3z
from s3z._config import KNOWN_VARIABLES
from s3z._describing import masked

if TYPE_CHECKING:
    from collections.abc import Callable

    from support.command import Command
    from support.servers import FakeS3

#: setting → option, variables in falling order, and the line of the profile; each with a value and how it shows
PLACES: dict[str, tuple[list[str], list[str], str | None]] = {
    "region": (["--region=x-1"], ["AWS_REGION=a-1", "AWS_DEFAULT_REGION=b-1"], "region = p-1"),
    "endpoint_url": (
        ["--endpoint-url=http://127.0.0.1:1"],
        [
            "S3_ENDPOINT_URL=http://127.0.0.1:2", "AWS_ENDPOINT_URL_S3=http://127.0.0.1:3",
            "AWS_ENDPOINT_URL=http://127.0.0.1:4",
        ],
        "endpoint_url = http://127.0.0.1:5",
    ),
    "addressing_style": (
        ["--addressing-style=path"], ["S3Z_ADDRESSING_STYLE=virtual"], "s3 =\n  addressing_style = path",
    ),
    "request_checksum_calculation": (
        [], ["AWS_REQUEST_CHECKSUM_CALCULATION=when_required"], "request_checksum_calculation = when_supported",
    ),
    "response_checksum_validation": (
        [], ["AWS_RESPONSE_CHECKSUM_VALIDATION=when_required"], "response_checksum_validation = when_supported",
    ),
    "max_attempts": (["--retry-count=2"], ["AWS_MAX_ATTEMPTS=7"], "max_attempts = 4"),
    "state_dir": ([], ["S3Z_STATE_DIR=/tmp/state"], None),
    "part_size": ([], ["S3Z_PART_SIZE=9M"], "s3 =\n  multipart_chunksize = 10MB"),
    "multipart_threshold": ([], ["S3Z_MULTIPART_THRESHOLD=9M"], "s3 =\n  multipart_threshold = 10MB"),
    "max_concurrency": ([], ["S3Z_MAX_CONCURRENCY=5"], None),
    "max_requests": ([], ["S3Z_MAX_REQUESTS=5"], "s3 =\n  max_concurrent_requests = 6"),
    "memory_limit": (["--memory-limit=64M"], ["S3Z_MEMORY_LIMIT=32M"], None),
    "connect_timeout": (["--connect-timeout=5s"], ["S3Z_CONNECT_TIMEOUT=6s"], None),
    "read_timeout": (["--read-timeout=1m"], ["S3Z_READ_TIMEOUT=6s"], None),
    "direct_io": ([], ["S3Z_DIRECT_IO=off"], None),
    "durable": ([], ["S3Z_DURABLE=true"], None),
    "strict_checksums": ([], ["S3Z_STRICT_CHECKSUMS=true"], None),
    "numworkers": (["--numworkers=3"], ["S3Z_NUMWORKERS=4"], None),
    "show_progress": (["--show-progress"], ["S3Z_SHOW_PROGRESS=never"], None),
    "log_progress": (["--log-progress=5"], ["S3Z_LOG_PROGRESS=6"], None),
    "log": (["--log=debug"], ["S3Z_LOG=error"], None),
    "complete_remote": ([], ["S3Z_COMPLETE_REMOTE=0"], None),
    "role_arn": ([], ["AWS_ROLE_ARN=arn:a"], "role_arn = arn:b"),
    "ec2_metadata_disabled": ([], ["AWS_EC2_METADATA_DISABLED=true"], None),
    "no_color": ([], ["NO_COLOR=1"], None),
}  # fmt: skip
#: these wait for the core
CORE: dict[str, tuple[list[str], list[str], str | None]] = {
    "request_payer": (["--request-payer=requester"], ["AWS_REQUEST_PAYER=requester"], None),
    "max_bandwidth": (["--bwlimit=1M"], ["S3Z_MAX_BANDWIDTH=2M/s"], "s3 =\n  max_bandwidth = 3MB/s"),
}
SHOWN = {
    "--numworkers=3": 3, "--show-progress": "always", "--log-progress=5": 5, "--retry-count=2": 3,
    "--memory-limit=64M": 64 << 20, "--connect-timeout=5s": 5, "--read-timeout=1m": 60, "--bwlimit=1M": 1 << 20,
    "S3Z_PART_SIZE=9M": 9 << 20, "S3Z_MULTIPART_THRESHOLD=9M": 9 << 20, "S3Z_MAX_CONCURRENCY=5": 5,
    "S3Z_MAX_REQUESTS=5": 5, "S3Z_MEMORY_LIMIT=32M": 32 << 20, "AWS_MAX_ATTEMPTS=7": 7, "S3Z_CONNECT_TIMEOUT=6s": 6,
    "S3Z_READ_TIMEOUT=6s": 6, "S3Z_DURABLE=true": True, "S3Z_STRICT_CHECKSUMS=true": True, "S3Z_NUMWORKERS=4": 4,
    "S3Z_LOG_PROGRESS=6": 6, "S3Z_COMPLETE_REMOTE=0": False, "S3Z_MAX_BANDWIDTH=2M/s": 2 << 20,
    "max_attempts = 4": 4, "s3 =\n  multipart_chunksize = 10MB": 10 << 20,
    "s3 =\n  multipart_threshold = 10MB": 10 << 20,
    "s3 =\n  max_concurrent_requests = 6": 6, "s3 =\n  max_bandwidth = 3MB/s": 3 << 20,
}  # fmt: skip


def shown(place: str) -> object:
    """The value that a place gives a setting."""
    return SHOWN[place] if place in SHOWN else place.rpartition("=")[2].strip()


@pytest.fixture
def run(command: Callable[..., Command], tmp_path: Path) -> Command:
    found = command()
    found.environment.pop("AWS_EC2_METADATA_DISABLED", None)
    (tmp_path / ".home" / ".aws").mkdir()
    return found


def config_file(tmp_path: Path, text: str) -> None:
    (tmp_path / ".home" / ".aws" / "config").write_text(text)


def one(run: Command, name: str, *flags: str, **changes: Any) -> dict[str, Any]:
    [record] = run("--json", *flags, "config", name, **changes).records
    assert record["name"] == name
    return record


class TestSources:
    @pytest.mark.parametrize("name", [*PLACES, *CORE])
    def test_each_wins_in_turn(self, name: str, run: Command, tmp_path: Path) -> None:
        options, variables, line = {**PLACES, **CORE}[name]
        default = one(run, name)
        assert default["source"] == "default"
        assert "detail" not in default
        if line is not None:
            config_file(tmp_path, f"[default]\n{line}\n")
            record = one(run, name)
            assert (record["value"], record["source"]) == (shown(line), "profile")
            assert record["detail"].startswith("profile default: ")
        environment: dict[str, str] = {}
        for variable in reversed(variables):
            key, _, value = variable.partition("=")
            environment[key] = value
            record = one(run, name, env=environment)
            assert record == {"name": name, "value": shown(variable), "source": "environment", "detail": key}
        for option in options:
            record = one(run, name, option, env=environment)
            assert record == {"name": name, "value": shown(option), "source": "argument"}

    def test_profile_and_files(self, run: Command, tmp_path: Path) -> None:
        config_file(tmp_path, "[profile a]\nregion = a-1\n[profile b]\nregion = b-1\n")
        assert one(run, "region", env={"AWS_PROFILE": "b"})["value"] == "b-1"
        assert one(run, "profile", env={"AWS_PROFILE": "b"})["detail"] == "AWS_PROFILE"
        record = one(run, "region", "--profile", "a", env={"AWS_PROFILE": "b"})
        assert record == {"name": "region", "value": "a-1", "source": "profile", "detail": "profile a: region"}
        assert one(run, "config_file")["value"] == str(tmp_path / ".home" / ".aws" / "config")
        (tmp_path / "keys").write_text("[default]\naws_access_key_id = a\naws_secret_access_key = b\n")
        assert one(run, "credentials_file", "--credentials-file=keys")["source"] == "argument"
        record = one(run, "credentials_file", env={"AWS_SHARED_CREDENTIALS_FILE": "keys"})
        assert record["detail"] == "AWS_SHARED_CREDENTIALS_FILE"

    def test_tls_and_proxy(self, run: Command, tmp_path: Path) -> None:
        (tmp_path / "ca.pem").write_text("x")
        assert one(run, "verify") == {"name": "verify", "value": True, "source": "default"}
        assert one(run, "verify", "--no-verify-ssl") == {"name": "verify", "value": False, "source": "argument"}
        proxy = {"HTTPS_PROXY": f"http://user:{PROXY_PASSWORD}@127.0.0.1:1", "NO_PROXY": "localhost"}
        record = one(run, "https_proxy", env=proxy)
        assert (record["value"], record["detail"]) == ("http://***@127.0.0.1:1", "HTTPS_PROXY")
        assert one(run, "no_proxy", env=proxy)["value"] == "localhost"
        assert "value" not in one(run, "http_proxy", env=proxy)

    def test_every_variable_of_ours_is_there(self, run: Command) -> None:
        names = {record["name"] for record in run("--json", "config").records}
        ours = {name.removeprefix("S3Z_").lower() for name in KNOWN_VARIABLES} - {"demo_uri"}
        assert ours <= names

    @pytest.mark.parametrize("variable", ["S3Z_PART_SIZE=much", "S3Z_COMPLETE_REMOTE=some", "S3Z_COMPLETE_REMOTE="])
    def test_malformed(self, variable: str, run: Command) -> None:
        name, _, value = variable.partition("=")
        outcome = run("config", status=1, env={name: value})
        assert outcome.stdout == ""
        assert outcome.errors[0].startswith(f'ERROR "config": {name}: ')


class TestLines:
    def test_columns(self, run: Command) -> None:
        lines = run("config", env={"AWS_REGION": "eu-central-1"}).lines
        assert f"{'region':<24} {'eu-central-1':<32} environment (AWS_REGION)" in lines
        assert f"{'endpoint_url':<24} {'-':<32} default" in lines
        assert f"{'durable':<24} {'false':<32} default" in lines
        assert f"{'connect_timeout':<24} {'3':<32} default" in lines
        records = run("--json", "config", env={"AWS_REGION": "eu-central-1"}).records
        assert [line.split()[0] for line in lines] == [record["name"] for record in records]
        assert len({record["name"] for record in records}) == len(records)

    def test_names(self, run: Command) -> None:
        assert [line.split()[0] for line in run("config", "max_requests", "region").lines] == ["region", "max_requests"]
        outcome = run("config", "region", "regio", status=1)
        assert outcome.stdout == ""
        assert outcome.errors == [
            'ERROR "config region regio": there is no setting "regio"', "hint: `s3z config` lists them"
        ]  # fmt: skip

    @pytest.mark.parametrize("flag", ["-q", "--only-show-errors", "--dry-run"])
    def test_data_is_printed_nevertheless(self, flag: str, run: Command) -> None:
        assert len(run(flag, "config", "region").lines) == 1

    def test_a_value_cannot_forge_a_line(self, run: Command) -> None:
        lines = run("config", env={"TERM": "x\nregion  y\x1b[31m"}).lines
        assert [line for line in lines if line.startswith("region")] == [f"{'region':<24} {'us-east-1':<32} default"]


class TestSecrets:
    def test_masked(self, run: Command, tmp_path: Path) -> None:
        for form in ([], ["--json"]):
            outcome = run(*form, "--log=trace", "config", "--resolve", env=ENVIRONMENT)
            assert seen_in(outcome.stdout + outcome.stderr) == []
        values = {record["name"]: record.get("value") for record in outcome.records}
        assert values["access_key_id"] == "****1234"
        assert values["secret_access_key"] == f"****{SECRET[-4:]}"
        assert values["session_token"] == f"****{TOKEN[-4:]}"
        assert values["credential_provider"] == "environment"
        details = {record["name"]: record.get("detail") for record in outcome.records}
        assert [details[name] for name in ("access_key_id", "secret_access_key", "session_token")] == [
            "AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN",
        ]  # fmt: skip
        older = {**ENVIRONMENT, "AWS_SESSION_TOKEN": "", "AWS_SECURITY_TOKEN": TOKEN}
        older["AWS_CREDENTIAL_EXPIRATION"] = "2099-01-01T00:00:00Z"
        assert one(run, "session_token", env=older)["detail"] == "AWS_SECURITY_TOKEN"
        assert one(run, "credential_expiration", env=older)["detail"] == "AWS_CREDENTIAL_EXPIRATION"
        assert masked("fifteen letters") == "****"

    def test_from_files(self, run: Command, tmp_path: Path) -> None:
        (tmp_path / ".home" / ".aws" / "credentials").write_text(
            f"[default]\naws_access_key_id = {KEYS['aws_access_key_id']}\naws_secret_access_key = {SECRET}\n"
        )
        record = one(run, "access_key_id")
        expected = {"name": "access_key_id", "value": "****1234", "source": "profile", "detail": "profile default"}
        assert record == expected
        assert one(run, "access_key_id", env=ENVIRONMENT)["source"] == "environment"
        assert one(run, "access_key_id", "--profile=default", env=ENVIRONMENT)["source"] == "profile"
        assert "value" not in one(run, "access_key_id", "--no-sign-request")
        assert one(run, "anonymous", "--no-sign-request")["value"] is True

    def test_container_token(self, run: Command) -> None:
        uri = f"http://u:{urllib.parse.quote(TOKEN, safe='')}@h/?token={TOKEN}"
        environment = {"AWS_CONTAINER_AUTHORIZATION_TOKEN": TOKEN, "AWS_CONTAINER_CREDENTIALS_FULL_URI": uri}
        outcome = run("config", env=environment)
        assert seen_in(outcome.stdout) == []


class TestResolve:
    def test_a_process_is_started_only_then(self, run: Command, tmp_path: Path) -> None:
        keys = {
            "Version": 1, "AccessKeyId": KEYS["aws_access_key_id"], "SecretAccessKey": SECRET,
            "SessionToken": TOKEN, "Expiration": "2099-01-01T00:00:00Z",
        }  # fmt: skip
        (tmp_path / "keys.json").write_text(json.dumps(keys))
        process = f"sh -c 'touch {tmp_path}/asked; cat {tmp_path}/keys.json'"
        config_file(tmp_path, f"[default]\ncredential_process = {process}\n")
        assert "value" not in one(run, "access_key_id")
        assert not (tmp_path / "asked").exists()
        outcome = run("--json", "config", "--resolve")
        assert (tmp_path / "asked").exists()
        values = {record["name"]: record.get("value") for record in outcome.records}
        assert values["credential_provider"] == "custom-process"
        assert values["credential_expiration"] == "2099-01-01T00:00:00Z"
        assert values["access_key_id"] == "****1234"
        assert seen_in(outcome.stdout + outcome.stderr) == []

    def test_no_request(self, run: Command, fake_s3: FakeS3) -> None:
        run("config", env=fake_s3.environment())
        run("config", "--resolve", env=fake_s3.environment())
        assert fake_s3.log() == []
        metadata = {"AWS_CONTAINER_CREDENTIALS_FULL_URI": closed_port(), "AWS_EC2_METADATA_DISABLED": "true"}
        assert run("config", env=metadata).stderr == ""

    def test_no_keys(self, run: Command) -> None:
        outcome = run("config", "--resolve", status=1, env={"AWS_EC2_METADATA_DISABLED": "true"})
        assert outcome.lines, "the other settings are told"
        assert outcome.errors[0].startswith('ERROR "config --resolve": no credentials found')


class TestDescribe:
    def test_sources(self, fake_s3: FakeS3, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("AWS_MAX_ATTEMPTS", "7")
        client = fake_s3.client(config=s3z.TransferConfig(part_size=9 << 20), credentials=KEYS)
        found = client.describe()
        assert isinstance(found, s3z.Description)
        assert found["part_size"] == s3z.SettingInfo("part_size", 9 << 20, "argument")
        assert found["max_attempts"] == s3z.SettingInfo("max_attempts", 7, "environment", "AWS_MAX_ATTEMPTS")
        assert found["endpoint_url"].value == fake_s3.endpoint
        assert found["access_key_id"] == s3z.SettingInfo("access_key_id", "****1234", "argument")
        assert len(found) == len(list(found))
        with pytest.raises(KeyError):
            found["nothing"]

    def test_boto3(self, fake_s3: FakeS3) -> None:
        found = s3z.Client(client=fake_s3.boto3).describe()
        assert found["endpoint_url"].source == "boto3"
        assert found["credential_provider"] == s3z.SettingInfo("credential_provider", "client", "boto3")
        assert found["access_key_id"].value is None
        assert s3z.Client(client=fake_s3.boto3).describe(resolve=True)["secret_access_key"].value == "****"

    def test_a_callable_is_asked_only_to_resolve(self, fake_s3: FakeS3) -> None:
        asked = []

        def give() -> dict[str, str]:
            asked.append(1)
            return KEYS

        client = fake_s3.client(credentials=give)
        assert client.describe()["access_key_id"].value is None
        assert asked == []
        assert client.describe(resolve=True)["access_key_id"].value == "****1234"
        assert asked

    def test_what_it_shows(self, fake_s3: FakeS3) -> None:
        found = fake_s3.client(credentials=KEYS, proxies={"http": f"http://u:{PROXY_PASSWORD}@h:1"}).describe()
        assert repr(found).splitlines()[0] == f"{'profile':<24} {'default':<32} default"
        assert seen_in(f"{found!r}{found._repr_html_()}{list(found)}") == []
        setting = s3z.SettingInfo("a", "<b>\x1b", "environment", "<i>")
        html = setting._repr_html_()
        assert "&lt;b&gt;\\x1b" in html
        assert "(&lt;i&gt;)" in html
        assert repr(setting) == "SettingInfo(a=<b>\\x1b, environment (<i>))"
        with pytest.raises(AttributeError):
            setting.value = 1  # type: ignore[misc]

    def test_the_documentation_names_every_setting(self, fake_client: s3z.Client) -> None:
        text = (Path(__file__).parent.parent / "docs" / "configuration.md").read_text()
        missing = [each.name for each in fake_client.describe() if not re.search(rf"\b{each.name}\b", text)]
        assert missing == []
