"""The shared AWS files, `~/.aws/config` and `~/.aws/credentials`, read as botocore reads them."""

# pathlib would cost start-up time
# ruff: noqa: PTH111, PTH113, PTH123
from __future__ import annotations

import os

from s3z._escape import escape
from s3z._exceptions import ConfigError
from s3z._secrecy import Unshown

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping

    Section = dict[str, str | dict[str, str]]


def _nested(value: str) -> dict[str, str]:
    """The `name = value` lines of an indented block."""
    pairs = (line.partition("=") for line in value.splitlines() if line.strip())
    block = {}
    for name, equals, content in pairs:
        if not equals:
            raise ValueError(f'"{name.strip()}" has no value')
        block[name.strip()] = content.strip()
    return block


def parse_file(path: str) -> dict[str, Section]:
    """Sections of one INI file, indented blocks as dictionaries; a file that does not exist has none.

    Raises:
        ConfigError: the file cannot be read or parsed.
    """
    import configparser

    if not os.path.isfile(path):
        return {}
    parser = configparser.RawConfigParser()
    # Parse errors quote lines, which may hold a secret: they are not even the context of ours.
    try:
        with open(path, encoding="utf-8") as file:
            parser.read_file(file)
        return {
            name: {
                key: _nested(value) if value.startswith("\n") else value.strip() for key, value in parser.items(name)
            }
            for name in parser.sections()
        }
    except OSError as error:
        raise ConfigError(f'cannot read the configuration file "{escape(path)}": {error.strerror}') from None
    except (configparser.Error, UnicodeDecodeError, ValueError) as error:
        line = getattr(error, "lineno", None)
    where = f", line {line}" if isinstance(line, int) else ""
    raise ConfigError(f'the configuration file "{escape(path)}" cannot be parsed{where}')


def _expand(path: str) -> str:
    return os.path.expanduser(os.path.expandvars(path))


class Profiles(Unshown):
    """The two files, each read at most once and only when something of it is asked for.

    Args:
        environ: environment variables.
        credentials_file: a path that goes before `AWS_SHARED_CREDENTIALS_FILE`.
    """

    __slots__ = ("_config", "_credentials", "_must_exist", "config_path", "credentials_path")

    def __init__(self, environ: Mapping[str, str], credentials_file: str | None = None) -> None:
        self.config_path = _expand(environ.get("AWS_CONFIG_FILE") or "~/.aws/config")
        self.credentials_path = _expand(
            credentials_file or environ.get("AWS_SHARED_CREDENTIALS_FILE") or "~/.aws/credentials"
        )
        self._must_exist = credentials_file is not None
        self._config: dict[str, Section] | None = None
        self._credentials: dict[str, Section] | None = None

    @property
    def is_named(self) -> bool:
        """Whether an argument names the credentials file."""
        return self._must_exist

    def _config_sections(self) -> dict[str, Section]:
        if self._config is None:
            self._config = parse_file(self.config_path)
        return self._config

    def config_profile(self, name: str) -> Section | None:
        """The profile as the config file has it (`[profile x]`, or `[default]`), None if it has not."""
        sections = self._config_sections()
        for title, section in sections.items():
            words = title.split(None, 1)
            if len(words) == 2 and words[0] == "profile" and words[1].strip().strip("\"'") == name:
                return section
        return sections.get("default") if name == "default" else None

    def credentials_profile(self, name: str) -> Section | None:
        """The profile as the credentials file has it, None if it has not."""
        if self._credentials is None:
            self._credentials = parse_file(self.credentials_path)
            if self._must_exist and not self._credentials:
                raise ConfigError(f'the credentials file "{escape(self.credentials_path)}" is missing or empty')
        return self._credentials.get(name)

    def has(self, name: str) -> bool:
        """Whether either file knows the profile."""
        return self.config_profile(name) is not None or self.credentials_profile(name) is not None

    def merged(self, name: str) -> Section:
        """The profile from both files; the credentials file prevails."""
        return {**(self.config_profile(name) or {}), **(self.credentials_profile(name) or {})}

    def service_block(self, profile: Section, service: str) -> dict[str, str]:
        """The block of `service` in the `[services …]` section that `profile` names."""
        name = profile.get("services")
        if not isinstance(name, str):
            return {}
        for title, section in self._config_sections().items():
            words = title.split(None, 1)
            if len(words) == 2 and words[0] == "services" and words[1].strip().strip("\"'") == name:
                block = section.get(service, {})
                return block if isinstance(block, dict) else {}
        raise ConfigError(
            f'the configuration file "{escape(self.config_path)}" has no section "services {escape(name)}"'
        )
