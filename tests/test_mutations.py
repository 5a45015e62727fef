"""T6: the list of mutations fits the code. `deep/mutations.py` runs them; here it is only seen that it could."""

from __future__ import annotations

import importlib.util
import shlex
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from types import ModuleType

ROOT = Path(__file__).resolve().parent.parent


def load_script() -> ModuleType:
    specification = importlib.util.spec_from_file_location("mutations", ROOT / "deep/mutations.py")
    assert specification is not None
    assert specification.loader is not None
    module = importlib.util.module_from_spec(specification)
    sys.modules["mutations"] = module
    specification.loader.exec_module(module)
    return module


SCRIPT = load_script()
MUTATIONS, LATER = SCRIPT.load(ROOT / "deep/mutations.toml")


@pytest.mark.parametrize("mutation", MUTATIONS, ids=lambda mutation: mutation.name)
def test_the_check_it_takes_out_is_there_once(mutation: Any) -> None:
    text = (ROOT / mutation.file).read_text()
    assert text.count(mutation.old) == 1, "the check moved: bring deep/mutations.toml up to date"
    assert mutation.new != mutation.old
    assert mutation.tests
    for test in mutation.tests:
        kind, *arguments = shlex.split(test)
        assert kind in {*SCRIPT.TARGETS, "core", "python"}
        if kind in ("core", "python"):
            files = arguments[: arguments.index("-k")] if "-k" in arguments else arguments
            assert files
            assert all((ROOT / name).exists() for name in files), "a test file that is gone"


def test_what_has_no_code_yet_says_why() -> None:
    assert all(entry["why"] for entry in LATER)
    assert not {entry["name"] for entry in LATER} & {mutation.name for mutation in MUTATIONS}


def test_a_lost_text_is_no_success(tmp_path: Path) -> None:
    (tmp_path / "x.rs").write_text("if a && a { check() }")
    for old in ("missing", "a"):
        mutation = SCRIPT.Mutation("n", "I1", "x.rs", old, "b", ("lib x",))
        assert "times" in mutation.apply(tmp_path)
    assert SCRIPT.Mutation("n", "I1", "x.rs", "check()", "", ("lib x",)).apply(tmp_path) is None
    assert (tmp_path / "x.rs").read_text() == "if a && a {  }"
