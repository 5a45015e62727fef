"""T9: `docs/promises.md` and `SECURITY.md` name the tests that prove each line; here it is seen that there are such.

A row has an id, says what holds, and ends with its proof: names of tests, or why there is none, or both. Nothing is
imported: Rust and Python are read as text.
"""

from __future__ import annotations

import ast
import functools
import re
from dataclasses import dataclass
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
PROMISES = ROOT / "docs" / "promises.md"
SECURITY = ROOT / "SECURITY.md"

_RULES = {"I": 14, "C": 14, "R": 12, "F": 15, "K": 10, "U": 15, "Y": 11}
#: page → what it has to speak of: promises, rows of the matrix of faults, rules
WANTED = {
    PROMISES: [
        *(f"P{number}" for number in range(1, 11)),
        *(f"#{number}" for number in range(1, 103)),
        *(f"{letter}{number}" for letter, last in _RULES.items() for number in range(1, last + 1)),
    ],
    SECURITY: [f"S{number}" for number in range(1, 27)],
}
_ID = re.compile(r"#?[A-Z]?\d+")
_NAMED = re.compile(r"`([\w./-]+\.(?:rs|py))::([\w:]+)`")
#: what may stand instead of tests, or beside them: some words of explanation, not a mark
_REASON = re.compile(r"\b(?:not yet|left out): \S+(?: \S+){2,}")
_RUST_TEST = re.compile(
    r"((?:^[ \t]*(?:///?[^\n]*|#!?\[[^\n]*\])\n)+)[ \t]*(?:pub(?:\([a-z]+\))? )?(?:async )?fn (\w+)", re.MULTILINE
)
_NEVER = ("skip", "xfail")


@dataclass(frozen=True)
class Row:
    """One line of a table."""

    id: str
    proof: str

    @property
    def tests(self) -> list[tuple[str, str]]:
        """Path and name of each test."""
        return _NAMED.findall(self.proof)

    @property
    def has_reason(self) -> bool:
        return _REASON.search(self.proof) is not None


def rows(text: str) -> list[Row]:
    """The rows of all tables whose first cell is an id."""
    found = []
    for line in text.splitlines():
        cells = [cell.strip() for cell in line.strip("|").split("|")]
        if line.startswith("|") and len(cells) >= 3 and _ID.fullmatch(cells[0]):
            found.append(Row(cells[0], cells[-1]))
    return found


def rust_tests(text: str, path: str) -> dict[str, bool]:
    """Names of tests as a page has them, and whether they run by themselves."""
    inner = re.search(r"^(?:pub(?:\([a-z]+\))? )?mod tests \{", text, re.MULTILINE)
    found = {}
    for match in _RUST_TEST.finditer(text):
        attributes, name = match[1], match[2]
        if re.search(r"#\[(?:tokio::)?test\b", attributes):
            module = "tests::" if inner is not None and match.start() > inner.start() else ""
            found[module + name] = "#[ignore" not in attributes
    return found


def python_tests(text: str, path: str) -> dict[str, bool]:
    """Names of tests and of their classes, and whether they run by themselves."""
    found: dict[str, bool] = {}

    def runs(node: ast.ClassDef | ast.FunctionDef) -> bool:
        marks = [ast.unparse(each) for each in node.decorator_list]
        return not any(mark.removeprefix("pytest.mark.").split("(")[0] in _NEVER for mark in marks)

    for node in ast.parse(text, path).body:
        if isinstance(node, ast.FunctionDef) and node.name.startswith("test"):
            found[node.name] = runs(node)
        elif isinstance(node, ast.ClassDef) and node.name.startswith("Test"):
            own = [each for each in node.body if isinstance(each, ast.FunctionDef) and each.name.startswith("test")]
            for each in own:
                found[f"{node.name}::{each.name}"] = runs(node) and runs(each)
            found[node.name] = runs(node) and any(runs(each) for each in own)
    return found


@functools.cache
def known_tests(root: Path, path: str) -> dict[str, bool] | None:
    """What a file holds; None if there is no such file."""
    file = root / path
    if not file.is_file():
        return None
    return (rust_tests if file.suffix == ".rs" else python_tests)(file.read_text(), path)


def wrong(text: str, wanted: list[str], root: Path = ROOT) -> list[str]:
    """Everything that is wrong with a page."""
    found = rows(text)
    ids = [row.id for row in found]
    said = [f"{each} is not on the page" for each in wanted if each not in ids]
    said += [f"{each} is on the page {ids.count(each)} times" for each in sorted(set(ids)) if ids.count(each) > 1]
    said += [f"{each} is no row that is known" for each in ids if each not in wanted]
    for row in found:
        if not row.tests and not row.has_reason:
            said.append(f"{row.id} has neither a test nor a reason")
        if row.proof.count("::") != sum(name.count("::") + 1 for _, name in row.tests):
            said.append(f"{row.id} has a name that cannot be read: {row.proof}")
        for path, name in row.tests:
            there = known_tests(root, path)
            if there is None:
                said.append(f"{row.id}: there is no {path}")
            elif name not in there:
                said.append(f"{row.id}: {path} has no test {name}")
            elif not there[name]:
                said.append(f"{row.id}: {path}::{name} does not run")
    return said


@pytest.mark.parametrize("page", WANTED, ids=lambda page: page.name)
def test_page_names_tests_that_exist(page: Path) -> None:
    assert wrong(page.read_text(), WANTED[page]) == []


def test_most_of_it_is_proved() -> None:
    """A page of reasons would be no proof."""
    found = [row for page in WANTED for row in rows(page.read_text())]
    assert sum(bool(row.tests) for row in found) > 0.7 * len(found)


RUST = """
/// #1
#[tokio::test(flavor = "multi_thread")]
async fn arrives() {}

#[test]
#[ignore = "long"]
fn takes_long() {}

#[expect(dead_code, reason = "helps")]
fn helper() {}

mod tests {
    proptest! {
        /// #2
        #[test]
        fn holds(x in 0u64..5) {}
    }
}
"""
PYTHON = """
def test_plain(): ...
def helper(): ...
@pytest.mark.skip(reason="no")
def test_never(): ...
@pytest.mark.xfail(strict=True)
def test_fails(): ...
@pytest.mark.skipif(os.getuid() != 0, reason="needs root")
@pytest.mark.parametrize("x", [1])
def test_sometimes(x): ...
class TestClass:
    def test_inside(self): ...
    @pytest.mark.skip
    def test_inside_never(self): ...
class TestEmpty:
    def helper(self): ...
"""


def test_what_is_a_test() -> None:
    assert rust_tests(RUST, "x.rs") == {"arrives": True, "takes_long": False, "tests::holds": True}
    assert python_tests(PYTHON, "x.py") == {
        "test_plain": True, "test_never": False, "test_fails": False, "test_sometimes": True, "TestClass": True,
        "TestClass::test_inside": True, "TestClass::test_inside_never": False, "TestEmpty": False,
    }  # fmt: skip


@pytest.mark.parametrize(
    ("page", "found"),
    [
        ("| #1 | a | `x.rs::arrives` |", []),
        ("| #1 | a | `x.rs::tests::holds`; `y.py::TestClass::test_inside`; not yet: two words more |", []),
        ("| #1 | a | `y.py::TestClass` |", []),
        ("| #1 | a | left out: there is no such thing |", []),
        ("", ["#1 is not on the page"]),
        ("| #2 | a | `x.rs::arrives` |", ["#1 is not on the page", "#2 is no row that is known"]),
        ("| #1 | a | `x.rs::arrives` |\n| #1 | a | `x.rs::arrives` |", ["#1 is on the page 2 times"]),
        ("| #1 | a |  |", ["#1 has neither a test nor a reason"]),
        ("| #1 | a | not yet |", ["#1 has neither a test nor a reason"]),
        ("| #1 | a | not yet: no |", ["#1 has neither a test nor a reason"]),
        ("| #1 | a | by construction |", ["#1 has neither a test nor a reason"]),
        ("| #1 | a | `z.rs::arrives` |", ["#1: there is no z.rs"]),
        ("| #1 | a | `x.rs::departs` |", ["#1: x.rs has no test departs"]),
        ("| #1 | a | `x.rs::helper` |", ["#1: x.rs has no test helper"]),
        ("| #1 | a | `x.rs::holds` |", ["#1: x.rs has no test holds"]),
        ("| #1 | a | `x.rs::takes_long` |", ["#1: x.rs::takes_long does not run"]),
        ("| #1 | a | `y.py::test_never` |", ["#1: y.py::test_never does not run"]),
        ("| #1 | a | `y.py::test_fails` |", ["#1: y.py::test_fails does not run"]),
        ("| #1 | a | `y.py::test_inside` |", ["#1: y.py has no test test_inside"]),
        ("| #1 | a | `y.py::TestEmpty` |", ["#1: y.py::TestEmpty does not run"]),
        ("| #1 | a | `x.rs::arrives`, x::y |", ["#1 has a name that cannot be read: `x.rs::arrives`, x::y"]),
    ],
)  # fmt: skip
def test_what_is_planted_is_seen(page: str, found: list[str], tmp_path: Path) -> None:
    (tmp_path / "x.rs").write_text(RUST)
    (tmp_path / "y.py").write_text(PYTHON)
    assert wrong(page, ["#1"], tmp_path) == found
