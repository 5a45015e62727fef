"""Who may import whom: the drawing in `rust/src/lib.rs` as a table, and every `use` and `import` held against it."""

from __future__ import annotations

import ast
import re
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
RUST = ROOT / "rust" / "src"
PYTHON = ROOT / "python" / "s3z"
MOST_LINES = 400

VOCABULARY = {
    "error",
    "config",
    "uri",
    "credentials",
    "progress",
    "checksum",
    "confine",
    "descriptor",
    "pressure",
    "sync",
}
LEAVES = {"s3", "transfer", "archive"}
#: top-level module of the core → the others it may name
RUST_MAY = {
    **dict.fromkeys(VOCABULARY, VOCABULARY),
    **{name: VOCABULARY | {name} for name in LEAVES},
    "ops": VOCABULARY | LEAVES | {"ops"},
    "python": VOCABULARY | LEAVES | {"ops", "python"},
    "lib": VOCABULARY | LEAVES | {"ops", "python"},
}
#: crate → the top-level modules that may know it
CRATES = {
    "reqwest": {"s3"},
    "hyper": {"s3"},
    "hyper_util": {"s3"},
    "http": {"s3"},
    "http_body": {"s3"},
    "tower_layer": {"s3"},
    "tower_service": {"s3"},
    "quick_xml": {"s3"},
    "pyo3": {"python"},
    "tokio": {"credentials", "progress", "sync", "s3", "transfer", "ops", "python"},
}

_BASE = {"_version", "_escape", "_exceptions", "_units", "_log", "_content_type"}
#: module of the package → the others it may import; `_cli` stands for all of the command
PYTHON_MAY = {
    "__init__": {
        "_api", "_archive", "_archive_reading", "_archive_types", "_client", "_config", "_core", "_describing",
        "_exceptions", "_many_types", "_part_file", "_parts", "_streams", "_types", "_version", "_writer",
    },
    "__main__": {"_cli"},
    "_api": {"_client", "_secrecy"},
    "_apart": {"_exceptions", "_reading"},
    "_archive": {
        "_api", "_archive_reading", "_archive_types", "_client", "_core", "_escape", "_exceptions", "_packing",
        "_paths", "_secrecy",
    },
    "_archive_reading": {"_archive", "_archive_types", "_core"},
    "_archive_types": {"_escape", "_types", "_units"},
    "_archiving": {"_archive_types", "_packing", "_unpacking", "_uploads", "_writing"},
    "_batching": {
        "_content_type", "_core", "_exceptions", "_headers", "_log", "_many_types", "_progress", "_reading", "_types",
    },
    "_boto": {"_config", "_core", "_credentials", "_exceptions", "_settings"},
    "_client": {"_boto", "_config", "_core", "_copying", "_log", "_secrecy", "_settings", "_transfers"},
    "_config": {"_core", "_escape", "_exceptions", "_profiles", "_secrecy", "_units"},
    "_content_type": set(),
    "_copying": {"_client", "_many", "_many_types", "_sides", "_syncing", "_uploads"},
    "_core": {"_core_types"},
    "_core_types": set(),
    "_credentials": {"_config", "_core", "_escape", "_exceptions", "_log", "_profiles", "_secrecy"},
    "_describing": {"_boto", "_config", "_core", "_credentials", "_escape", "_settings"},
    "_escape": set(),
    "_exceptions": {"_archive_types", "_many_types"},
    "_headers": {"_escape", "_exceptions"},
    "_line": {"_units"},
    "_log": set(),
    "_managing": {"_archiving", "_config", "_core", "_describing", "_exceptions", "_transfers"},
    "_many": {
        "_apart", "_batching", "_config", "_escape", "_exceptions", "_headers", "_many_types", "_reading", "_sides",
        "_transfers", "_uploads",
    },
    "_many_types": {"_escape", "_types", "_units"},
    "_packing": {
        "_archive_types", "_config", "_core", "_escape", "_exceptions", "_paths", "_progress", "_settings",
        "_transfers", "_types", "_uploads",
    },
    "_part_file": {"_api", "_core", "_exceptions", "_parts", "_paths", "_writer"},
    "_parts": {"_api", "_client", "_core", "_exceptions", "_transfers", "_types", "_uploads", "_writer"},
    "_paths": {"_escape", "_exceptions"},
    "_profiles": {"_escape", "_exceptions", "_secrecy"},
    "_progress": {"_line", "_types"},
    "_memory": {"_core", "_exceptions", "_streams", "_transfers"},
    "_reading": {"_core", "_memory", "_settings", "_streams", "_transfers", "_types"},
    "_secrecy": set(),
    "_settings": {"_config", "_escape", "_exceptions", "_profiles", "_secrecy", "_units"},
    "_sides": {"_apart", "_escape", "_exceptions", "_paths", "_reading", "_transfers"},
    "_streams": {"_config", "_core", "_exceptions", "_progress", "_transfers", "_types", "_units"},
    "_syncing": {"_client", "_many", "_many_types", "_managing", "_sides", "_uploads"},
    "_transfers": {"_config", "_core", "_exceptions", "_paths", "_progress", "_settings", "_types"},
    "_types": {"_escape", "_units"},
    "_units": set(),
    "_unpacking": {
        "_archive_types", "_content_type", "_core", "_escape", "_exceptions", "_log", "_packing", "_paths",
        "_settings", "_transfers",
    },
    "_uploads": {
        "_config", "_content_type", "_core", "_exceptions", "_headers", "_log", "_paths", "_progress", "_settings",
        "_streams", "_transfers", "_types", "_writer",
    },
    "_version": set(),
    "_writer": {"_core", "_progress", "_types"},
    "_writing": {"_reading", "_transfers", "_types", "_uploads", "_writer"},
    # The command stands on the client; what its output is made of it shares with the library.
    "_cli": {
        "_archive", "_archive_types", "_batching", "_cli", "_client", "_config", "_describing", "_headers", "_line",
        "_apart", "_packing", "_parts", "_paths", "_sides", "_streams", "_types",
    } | _BASE,
}  # fmt: skip
#: packages outside the standard library → the modules that may import them, and only inside functions
LAZY = {"botocore": {"_boto", "_credentials"}, "boto3": {"_boto", "_credentials"}, "tqdm": {"_progress"}}


def without_comments(text: str) -> str:
    """Rust without comments and without what stands in string literals."""
    pattern = re.compile(r'//[^\n]*|/\*.*?\*/|r(#*)".*?"\1|"(?:\\.|[^"\\])*"', re.DOTALL)
    return pattern.sub(lambda found: '""' if found[0].endswith(('"', "#")) else "", text)


def first_names(text: str, start: int) -> list[str]:
    """The names that begin the paths at `start`: one, or those of a `{…}` group."""
    if not text.startswith("{", start):
        found = re.match(r"\s*(?:r#)?(\w+)", text[start:])
        return [found[1]] if found else []
    names, depth, expected = [], 0, True
    for token in re.finditer(r"[{},]|\w+", text[start:]):
        word = token[0]
        if word == "{":
            depth += 1
        elif word == "}":
            depth -= 1
            if depth == 0:
                break
        elif word == "," and depth == 1:
            expected = True
        elif expected and word[0] not in "{},":
            names.append(word)
            expected = False
    return names


def depth_of(relative: Path) -> int:
    """How many `super` lead from a file to the root of the crate."""
    return len(relative.parts) - (1 if relative.name in ("mod.rs", "lib.rs") else 0)


def rust_imports(text: str, relative: Path) -> set[str]:
    """Top-level modules of the core that a file names, in `use` or inline, by `crate::` or enough `super::`."""
    code = without_comments(text)
    found: set[str] = set()
    for place in re.finditer(r"\bcrate\s*::\s*", code):
        found.update(first_names(code, place.end()))
    for place in re.finditer(r"\b((?:super\s*::\s*)+)", code):
        if place[1].count("super") >= depth_of(relative):
            found.update(name for name in first_names(code, place.end()) if name in RUST_MAY)
    return found


def rust_crates(text: str) -> set[str]:
    """Crates of the table that a file names."""
    code = without_comments(text)
    paths = set(re.findall(r"(?<![\w:])(\w+)\s*::", code))
    grouped = {name for place in re.finditer(r"\buse\s*(?=\{)", code) for name in first_names(code, place.end())}
    plain = set(re.findall(r"\b(?:use|extern crate)\s+(\w+)\s*(?:;|\bas\b)", code))
    return {name for name in paths | grouped | plain if name in CRATES}


def rust_violations(root: Path) -> list[str]:
    """Everything in a tree of Rust files that the tables forbid."""
    wrong = []
    for path in sorted(root.rglob("*.rs")):
        relative = path.relative_to(root)
        module = relative.parts[0].removesuffix(".rs")
        text = path.read_text()
        allowed = RUST_MAY.get(module)
        if allowed is None:
            wrong.append(f"{relative}: {module} is not in the table of modules")
            continue
        # A private item of the crate's root, or a macro, is no module.
        for name in rust_imports(text, relative):
            if name in RUST_MAY and name not in allowed:
                wrong.append(f"{relative}: {module} must not import {name}")
        wrong += [
            f"{relative}: {name} belongs to {sorted(CRATES[name])}"
            for name in rust_crates(text)
            if module not in CRATES[name] and not declares(text, name)
        ]
        if not text.startswith("//! "):
            wrong.append(f"{relative}: does not open with //!")
        if (count := lines_without_tests(text)) > MOST_LINES:
            wrong.append(f"{relative}: {count} lines without its tests")
    return wrong


def declares(text: str, name: str) -> bool:
    """Whether a path that looks like a crate's is a module of the file itself, such as s3's own `http`."""
    return re.search(rf"\bmod {name};", text) is not None


def lines_without_tests(text: str) -> int:
    """Lines of a Rust file up to its `mod tests`."""
    return len(re.split(r"^#\[cfg\(test\)\]\nmod tests", text, maxsplit=1, flags=re.MULTILINE)[0].splitlines())


def python_imports(tree: ast.AST, package: str) -> list[tuple[str, str]]:
    """What a module imports, and where: `top`, `lazy` (in a function) or `typing` (under TYPE_CHECKING)."""
    found: list[tuple[str, str]] = []

    def visit(node: ast.AST, where: str) -> None:
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda)):
            where = "lazy"
        if isinstance(node, ast.Import):
            found.extend((alias.name, where) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            parts = package.split(".")[: len(package.split(".")) - node.level + 1] if node.level else []
            module = ".".join([*parts, node.module] if node.module else parts)
            found.extend((f"{module}.{alias.name}" if module == "s3z" else module, where) for alias in node.names)
        inner = node.body if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test) else []
        for child in ast.iter_child_nodes(node):
            visit(child, "typing" if child in inner else where)

    visit(tree, "top")
    return found


def python_violations(root: Path) -> list[str]:
    """Everything in a tree of Python files that the tables forbid."""
    wrong = []
    for path in sorted((*root.rglob("*.py"), *root.rglob("*.pyi"))):
        relative = path.relative_to(root)
        module = relative.parts[0].partition(".")[0]
        text = path.read_text()
        tree = ast.parse(text)
        allowed = PYTHON_MAY.get(module)
        if allowed is None:
            wrong.append(f"{relative}: {module} is not in the table of modules")
            continue
        if ast.get_docstring(tree) is None:
            wrong.append(f"{relative}: has no docstring")
        if len(text.splitlines()) > MOST_LINES:
            wrong.append(f"{relative}: {len(text.splitlines())} lines")
        package = ".".join(["s3z", *relative.parts[:-1]])
        for name, where in python_imports(tree, package):
            outer, _, rest = name.partition(".")
            inner = rest.partition(".")[0]
            if outer == "s3z":
                # `from s3z import __version__` and the like name no module.
                if inner in PYTHON_MAY and inner not in allowed:
                    wrong.append(f"{relative}: must not import {inner}")
            elif outer in LAZY:
                if where == "top":
                    wrong.append(f"{relative}: imports {outer} when it is loaded")
                elif module not in LAZY[outer]:
                    wrong.append(f"{relative}: must not import {outer}")
            elif outer not in (sys.stdlib_module_names | {"_typeshed"}):
                wrong.append(f"{relative}: imports {outer}")
    return wrong


def test_rust_modules_keep_to_the_drawing() -> None:
    assert rust_violations(RUST) == []


def test_python_modules_keep_to_the_table() -> None:
    assert python_violations(PYTHON) == []


def test_tables_name_nothing_that_is_gone() -> None:
    modules = {path.relative_to(PYTHON).parts[0].partition(".")[0] for path in PYTHON.rglob("*.py*")}
    assert set(PYTHON_MAY) - modules == set()
    planned = {"archive", "confine"}
    assert (
        set(RUST_MAY) - {path.relative_to(RUST).parts[0].removesuffix(".rs") for path in RUST.rglob("*.rs")} <= planned
    )


def test_default_build_of_the_core_has_no_pyo3() -> None:
    manifest = (ROOT / "Cargo.toml").read_text()
    assert re.search(r"^pyo3 = \{[^}\n]*optional = true", manifest, re.MULTILINE)
    assert not re.search(r"^default = \[[^\]]*python", manifest, re.MULTILINE)


@pytest.mark.parametrize(
    ("name", "code", "found"),
    [
        ("s3/x.rs", "use crate::transfer::part;", "s3 must not import transfer"),
        ("s3/x.rs", "use crate::{error::Error, transfer::part};", "s3 must not import transfer"),
        ("s3/x.rs", "use crate::{\n    error::{Error, Result},\n    ops,\n};", "s3 must not import ops"),
        ("s3/deep/x.rs", "fn f() { crate::ops::engine::go() }", "s3 must not import ops"),
        ("s3/deep/x.rs", "use super::super::super::transfer;", "s3 must not import transfer"),
        ("transfer/x.rs", "use super::super::s3::client;", "transfer must not import s3"),
        ("transfer/x.rs", "use reqwest::Client;", "reqwest belongs to ['s3']"),
        ("transfer/x.rs", "use {bytes::Bytes, hyper::Body};", "hyper belongs to ['s3']"),
        ("ops/x.rs", "use pyo3::prelude::*;", "pyo3 belongs to ['python']"),
        ("ops/x.rs", "fn f() { let _ = crate::python::door(); }", "ops must not import python"),
        ("archive/x.rs", "async fn f() { tokio::time::sleep(x).await }", "tokio belongs to"),
        ("uri.rs", "use crate::s3;", "uri must not import s3"),
        ("stray.rs", "", "stray is not in the table of modules"),
    ],
)
def test_planted_rust_import_is_seen(name: str, code: str, found: str, tmp_path: Path) -> None:
    path = tmp_path / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f"//! Planted.\n{code}\n")
    assert any(found in line for line in rust_violations(tmp_path)), rust_violations(tmp_path)


def test_words_in_comments_and_strings_are_no_imports(tmp_path: Path) -> None:
    (tmp_path / "s3").mkdir()
    (tmp_path / "s3" / "x.rs").write_text('//! `crate::transfer`.\n// use pyo3::x;\nconst A: &str = "crate::ops::x";\n')
    assert rust_violations(tmp_path) == []


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("fn f() {}\n", "does not open with //!"),
        ("//! Long.\n" + "// x\n" * MOST_LINES, "401 lines without its tests"),
        ("//! Long.\n" + "// x\n" * 400 + "#[cfg(test)]\nmod tests {\n}\n", "401 lines"),
    ],
)
def test_planted_rust_file_is_seen(text: str, found: str, tmp_path: Path) -> None:
    (tmp_path / "uri.rs").write_text(text)
    assert any(found in line for line in rust_violations(tmp_path))


def test_tests_do_not_count_as_lines(tmp_path: Path) -> None:
    (tmp_path / "uri.rs").write_text("//! Short.\n#[cfg(test)]\nmod tests {\n" + "// x\n" * 500 + "}\n")
    assert rust_violations(tmp_path) == []


@pytest.mark.parametrize(
    ("name", "code", "found"),
    [
        ("_units.py", "import s3z._config", "must not import _config"),
        ("_units.py", "from s3z import _config", "must not import _config"),
        ("_units.py", "from s3z._client import Client", "must not import _client"),
        ("_units.py", "def f():\n    from . import _core", "must not import _core"),
        ("_client.py", "from s3z._cli import run", "must not import _cli"),
        ("_cli/cp.py", "from s3z._core import Client", "must not import _core"),
        ("_boto.py", "import boto3", "imports boto3 when it is loaded"),
        ("_boto.py", "try:\n    from botocore.session import Session\nexcept E:\n    pass", "imports botocore when"),
        ("_client.py", "def f():\n    import boto3", "must not import boto3"),
        ("_client.py", "import numpy", "imports numpy"),
        ("_stray.py", "", "_stray is not in the table of modules"),
    ],
)  # fmt: skip
def test_planted_python_import_is_seen(name: str, code: str, found: str, tmp_path: Path) -> None:
    path = tmp_path / name
    path.parent.mkdir(exist_ok=True)
    path.write_text(f'"""Planted."""\n{code}\n')
    assert any(found in line for line in python_violations(tmp_path)), python_violations(tmp_path)


def test_names_for_type_checkers_only_are_free(tmp_path: Path) -> None:
    (tmp_path / "_boto.py").write_text('"""Fine."""\nif TYPE_CHECKING:\n    import botocore.client\n')
    assert python_violations(tmp_path) == []
