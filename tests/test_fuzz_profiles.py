"""T2: whatever stands in the shared AWS files, reading them ends in sections or in a ConfigError that shows no secret.

Inputs are seeds changed at random; the seed of a failing one is in the failure's text. What botocore reads of the same
file is the second opinion.
"""

from __future__ import annotations

import contextlib
import os
import random
from typing import TYPE_CHECKING

import pytest
from botocore.configloader import raw_config_parse
from botocore.exceptions import ConfigParseError

from s3z._exceptions import ConfigError
from s3z._profiles import Profiles, parse_file

if TYPE_CHECKING:
    from pathlib import Path

CANARY = "CANARY9secret"
CASES = int(os.environ.get("S3Z_TWIN_CASES", "400"))

SEEDS = [
    f"[default]\naws_access_key_id = AKID\naws_secret_access_key = {CANARY}\n",
    f"[profile dev]\nregion=eu-west-1\ns3 =\n  addressing_style = path\n  {CANARY} = 1\n",
    "[profile dev]\nservices = local\n\n[services local]\ns3 =\n  endpoint_url = http://h\n",
    f'[profile "with space"]\nrole_arn: arn\nsource_profile = default\nservices = local\n; comment {CANARY}\n# other\n',
    f"[sso-session x]\nsso_start_url = https://h\n[default]\nkey = a = b = {CANARY}\n",
    f"[default]\n{CANARY}\n[default]\nregion = a\nregion = b\n",
    f"\ufeff[default]\r\nregion = x\r\n\tcontinued {CANARY}\r\n[DEFAULT]\nall = 1\n",
    f"s3 =\n{CANARY}\n[",
    f"[default]\ns3 =\n    {CANARY}\n    = nothing\n",
    "",
]
WORDS = [
    "[", "]", "=", ":", "\n", "\r", "\r\n", "\t", "  ", "\n  ", "\n[", "[default]", "[DEFAULT]", "[profile x]",
    "#", ";", "%", "%(x)s", "\0", "\ufeff", "\u2028", "\x85", "\x1c", "é", "🙂", '"', "'", "\\", "$HOME", "~", CANARY,
]  # fmt: skip


def changed(rng: random.Random) -> bytes:
    """A seed with a few changes, or noise."""
    if rng.random() < 0.05:
        return rng.randbytes(rng.randrange(200))
    text = bytearray(rng.choice(SEEDS).encode())
    for _ in range(rng.randrange(6)):
        at, count = rng.randrange(len(text) + 1), rng.randrange(12)
        word = rng.choice(WORDS).encode()
        match rng.randrange(5):
            case 0:
                text[at:at] = word
            case 1:
                text[at : at + count] = b""
            case 2:
                text[at : at + 1] = bytes([rng.randrange(256)])
            case 3:
                text[at:at] = text[at : at + count]
            case _:
                text[at:] = word
    return bytes(text)


def test_any_file_is_sections_or_a_clear_error(tmp_path: Path) -> None:
    path = tmp_path / "config"
    outcomes = {"sections": 0, "refused": 0}
    for seed in range(CASES):
        content = changed(random.Random(seed))
        path.write_bytes(content)
        try:
            sections = parse_file(str(path))
        except ConfigError as error:
            outcomes["refused"] += 1
            check_error(error, path, seed)
            continue
        except Exception as error:
            pytest.fail(f"seed {seed}: {content!r} ended in {error!r}")
        outcomes["sections"] += 1
        check_sections(sections, content, seed)
        check_profiles(path, sections, seed)
    # A search that never got past the parser, or never into it, proves nothing.
    assert min(outcomes.values()) * 10 > CASES, outcomes


def check_error(error: ConfigError, path: Path, seed: int) -> None:
    assert CANARY not in str(error), f"seed {seed} shows a line of the file"
    quiet = error.__cause__ is None and (error.__context__ is None or error.__suppress_context__)
    assert quiet, f"seed {seed}: a traceback would show the parser's error, which quotes the line"
    assert len(str(error)) < 400 + len(str(path)), f"seed {seed}"


def check_sections(sections: dict[str, object], content: bytes, seed: int) -> None:
    size = 0
    for name, section in sections.items():
        assert isinstance(name, str)
        assert isinstance(section, dict)
        for key, value in section.items():
            texts = [key, *([value] if isinstance(value, str) else [*value, *value.values()])]
            assert all(isinstance(text, str) for text in texts), f"seed {seed}: {section!r}"
            # Characters, as lowering a letter may lengthen its bytes.
            size += sum(map(len, texts))
    if b"DEFAULT" not in content:
        assert size <= 2 * len(content.decode(errors="replace")), f"seed {seed}: more came out than went in"


def check_profiles(path: Path, sections: dict[str, object], seed: int) -> None:
    """Every name can be asked for; what is not there is None or a ConfigError."""
    profiles = Profiles({"AWS_CONFIG_FILE": str(path), "AWS_SHARED_CREDENTIALS_FILE": str(path)})
    for name in (*sections, "default", "dev", "x", ""):
        assert profiles.has(name) == bool(
            profiles.config_profile(name) is not None or profiles.credentials_profile(name) is not None
        )
        merged = profiles.merged(name)
        # A name that leads nowhere is shown, so nothing is said here of what stands in it.
        with contextlib.suppress(ConfigError):
            assert isinstance(profiles.service_block(merged, "s3"), dict), f"seed {seed}"


def test_botocore_reads_the_same(tmp_path: Path) -> None:
    path = tmp_path / "config"
    agreed = 0
    for seed in range(CASES):
        content = changed(random.Random(~seed))
        path.write_bytes(content)
        try:
            theirs = raw_config_parse(str(path))
        except ConfigParseError:
            theirs = None
        try:
            ours = parse_file(str(path))
        except ConfigError:
            ours = None
        if ours is None or theirs is None:
            assert ours is theirs, f"seed {seed}: {content!r}: ours {ours!r}, botocore's {theirs!r}"
            continue
        assert ours == stripped(theirs), f"seed {seed}: {content!r}"
        agreed += 1
    assert agreed * 10 > CASES


def stripped(sections: dict[str, dict[str, str | dict[str, str]]]) -> dict[str, dict[str, str | dict[str, str]]]:
    """Botocore's sections with values as s3z gives them."""
    return {
        name: {key: value.strip() if isinstance(value, str) else value for key, value in section.items()}
        for name, section in sections.items()
    }
