"""The public surface: its names, its words, its examples, its types, and what of it travels to other processes."""

from __future__ import annotations

import ast
import doctest
import importlib
import inspect
import os
import pickle
import pkgutil
import re
import subprocess
import sys
import tomllib
import types
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

import s3z
from s3z import _api, _core

if TYPE_CHECKING:
    from support.servers import FakeS3

ROOT = Path(__file__).resolve().parent.parent
NAMES = [name for name in s3z.__all__ if name != "__version__"]
#: as python.md draws it: class → its bases
TREE: dict[str, tuple[type, ...]] = {
    "NotFoundError": (s3z.S3zError, FileNotFoundError),
    "AccessDeniedError": (s3z.S3zError, PermissionError),
    "CredentialsError": (s3z.S3zError,),
    "AlreadyExistsError": (s3z.S3zError, FileExistsError),
    "ObjectChangedError": (s3z.S3zError,),
    "IntegrityError": (s3z.S3zError,),
    "TransferTimeoutError": (s3z.S3zError, TimeoutError),
    "TransferConnectionError": (s3z.S3zError, ConnectionError),
    "ThrottledError": (s3z.S3zError,),
    "ArchiveError": (s3z.S3zError,),
    "BatchError": (s3z.S3zError,),
    "ConfigError": (s3z.S3zError, ValueError),
    "UnsafeKeyError": (s3z.S3zError, ValueError),
    "ServiceError": (s3z.S3zError,),
}
#: names of the stub that are there for type checkers only
TYPE_ONLY = {
    name.id if isinstance(name, ast.Name) else name
    for node in ast.parse((ROOT / "python/s3z/_core.pyi").read_text()).body
    for name in (
        [node.target]
        if isinstance(node, ast.AnnAssign) and ast.unparse(node.annotation) == "TypeAlias"
        else [node.name]
        if isinstance(node, ast.ClassDef) and any("TypedDict" in ast.unparse(base) for base in node.bases)
        else []
    )
}


def members() -> list[tuple[str, Any]]:
    """Every public name, and every public method and property of the public classes."""
    found = [(name, getattr(s3z, name)) for name in NAMES]
    for name, value in list(found):
        if not inspect.isclass(value):
            continue
        found += [
            (f"{name}.{inner}", member.fget if isinstance(member, property) else member)
            for inner, member in vars(value).items()
            if not inner.startswith("_") and isinstance(member, (types.FunctionType, property))
        ]
    return found


MEMBERS = members()
FUNCTIONS = [(name, value) for name, value in MEMBERS if inspect.isfunction(value)]


class TestNames:
    def test_all_is_sorted_and_has_no_name_twice(self) -> None:
        assert s3z.__all__ == sorted(set(s3z.__all__))

    @pytest.mark.parametrize("name", s3z.__all__)
    def test_every_name_can_be_imported(self, name: str) -> None:
        namespace: dict[str, Any] = {}
        exec(f"from s3z import {name}", namespace)
        assert namespace[name] is getattr(s3z, name)

    def test_dir_shows_what_is_public(self) -> None:
        assert dir(s3z) == s3z.__all__

    def test_star_import_gives_everything(self) -> None:
        namespace: dict[str, Any] = {}
        exec("from s3z import *", namespace)
        assert set(s3z.__all__) <= set(namespace)

    def test_other_names_are_attribute_errors(self) -> None:
        with pytest.raises(AttributeError, match="has no attribute 'no_such_name'"):
            s3z.no_such_name  # noqa: B018

    def test_version_is_that_of_the_core_and_of_cargo(self) -> None:
        manifest = tomllib.loads((ROOT / "Cargo.toml").read_text())
        assert s3z.__version__ == manifest["workspace"]["package"]["version"] == _core.__version__

    @pytest.mark.parametrize("name", ["delete", "download", "exists", "head", "list", "upload"])
    def test_module_functions_are_the_methods_of_a_client(self, name: str) -> None:
        function, method = getattr(s3z, name), getattr(s3z.Client, name)
        own = list(inspect.signature(method).parameters.values())[1:]
        assert list(inspect.signature(function).parameters.values()) == own
        assert function.__doc__ == method.__doc__

    @pytest.mark.parametrize("name", ["download", "upload"])
    def test_options_are_keyword_only(self, name: str) -> None:
        parameters = list(inspect.signature(getattr(s3z, name)).parameters.values())
        assert [each.name for each in parameters[:2]] == ["source", "destination"]
        assert all(each.kind is inspect.Parameter.KEYWORD_ONLY for each in parameters[2:])


class TestDocstrings:
    @pytest.mark.parametrize(("name", "value"), MEMBERS, ids=[name for name, _ in MEMBERS])
    def test_everything_public_has_one(self, name: str, value: Any) -> None:
        text = vars(value).get("__doc__") if inspect.isclass(value) else value.__doc__
        assert text, f"{name} has no docstring of its own"
        assert text.strip().splitlines()[0].endswith((".", ":", "`.")), text

    @pytest.mark.parametrize(("name", "value"), FUNCTIONS, ids=[name for name, _ in FUNCTIONS])
    def test_parameters_are_described_one_by_one(self, name: str, value: Any) -> None:
        parameters = [each for each in inspect.signature(value).parameters if each != "self"]
        if not parameters:
            return
        section = re.search(r"\n *Args:\n(.*?)(?=\n\n|\Z)", inspect.getdoc(value) or "", re.DOTALL)
        assert section, f"{name} has no Args"
        described = re.findall(r"^    (\w+):", section[1], re.MULTILINE)
        assert described == parameters

    @pytest.mark.parametrize("name", ["delete", "download", "exists", "head", "list", "upload"])
    def test_calls_tell_what_they_raise_return_and_show(self, name: str) -> None:
        text = inspect.getdoc(getattr(s3z, name)) or ""
        assert "\nRaises:\n" in text
        assert "\nExample:\n" in text
        if name in ("download", "upload", "list"):
            assert "\nReturns:\n" in text
        for error in re.findall(r"^    (\w+Error):", text, re.MULTILINE):
            assert (
                hasattr(s3z, error) or hasattr(__builtins__, error) or error in dir(importlib.import_module("builtins"))
            )

    def test_client_describes_its_arguments(self) -> None:
        parameters = [each for each in inspect.signature(s3z.Client.__init__).parameters if each != "self"]
        described = re.findall(r"^    (\w+):", inspect.getdoc(s3z.Client) or "", re.MULTILINE)
        assert [name for name in described if name in parameters] == parameters

    def test_every_module_has_one(self) -> None:
        for module in pkgutil.walk_packages(s3z.__path__, "s3z."):
            if module.name in ("s3z.__main__", "s3z._core"):
                continue
            assert importlib.import_module(module.name).__doc__, module.name


def _examples() -> list[doctest.DocTest]:
    finder = doctest.DocTestFinder(exclude_empty=True)
    found = []
    names = ["s3z", *(module.name for module in pkgutil.walk_packages(s3z.__path__, "s3z."))]
    for name in names:
        if name in ("s3z.__main__", "s3z._core", "s3z._api"):
            continue
        found += [test for test in finder.find(importlib.import_module(name), name) if test.examples]
    return found


class TestExamples:
    """Examples in docstrings and in the README do what they say."""

    @pytest.fixture(autouse=True)
    def world(self, fake_s3: FakeS3, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        for name, value in fake_s3.environment().items():
            monkeypatch.setenv(name, value)
        monkeypatch.chdir(tmp_path)
        monkeypatch.setattr(_api, "_default", None)
        (tmp_path / "hello.txt").write_text("hello\n")
        fake_s3.do("create_bucket", bucket="examples")

    @pytest.mark.parametrize("example", _examples(), ids=lambda example: example.name)
    def test_docstring(self, example: doctest.DocTest, fake_s3: FakeS3, monkeypatch: pytest.MonkeyPatch) -> None:
        fake_s3.put("examples", "hello.txt", b"hello\n")
        if example.name.endswith("Client"):
            monkeypatch.delenv("AWS_ENDPOINT_URL")
        told: list[str] = []
        example.globs = {**example.globs, "s3z": s3z}
        runner = doctest.DocTestRunner(optionflags=doctest.NORMALIZE_WHITESPACE | doctest.ELLIPSIS)
        runner.run(example, out=told.append)
        assert runner.failures == 0, "".join(told)

    def test_there_are_examples(self) -> None:
        assert len(_examples()) >= 8

    def test_readme(self, fake_s3: FakeS3, tmp_path: Path) -> None:
        text = (ROOT / "README.md").read_text()
        snippets = re.findall(r"^```python\n(.*?)^```", text, re.DOTALL | re.MULTILINE)
        if not snippets:
            pytest.skip("the README has no Python snippet yet")
        for bucket, key in re.findall(r"s3://([a-z0-9.-]+)/([\w./-]*\w)", "".join(snippets)):
            fake_s3.put(bucket, key, b"hello\n")
        for name in re.findall(r"upload\(\s*[\"']([\w./-]+)[\"']", "".join(snippets)):
            (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
            (tmp_path / name).write_text("hello\n")
        namespace: dict[str, Any] = {}
        for snippet in snippets:
            exec(compile(snippet, "README.md", "exec"), namespace)


class TestStub:
    def test_agrees_with_the_binary(self, tmp_path: Path) -> None:
        allowed = tmp_path / "allowed"
        # What type checkers call the buffer protocol, Python itself has from 3.12 on.
        names = [*sorted(TYPE_ONLY), "__all__", r"Buffer\.__buffer__"]
        allowed.write_text("".join(rf"s3z\._core\.{name}" + "\n" for name in names))
        done = subprocess.run(
            [sys.executable, "-m", "mypy.stubtest", "s3z._core", "--allowlist", str(allowed), "--concise"],
            cwd=tmp_path,
            env={**os.environ, "MYPYPATH": str(ROOT / "python")},
            capture_output=True,
            text=True,
            timeout=110,
            check=False,
        )
        assert done.returncode == 0, done.stdout + done.stderr

    def test_names_of_the_binary_and_of_the_stub_are_the_same(self) -> None:
        tree = ast.parse((ROOT / "python/s3z/_core.pyi").read_text())
        told = {
            node.target.id if isinstance(node, ast.AnnAssign) else node.name  # type: ignore[union-attr]
            for node in tree.body
            if isinstance(node, (ast.AnnAssign, ast.FunctionDef, ast.ClassDef))
        } - TYPE_ONLY
        assert told == {name for name in dir(_core) if not name.startswith("__")} | {"__version__"}

    def test_parameters_of_the_binary_and_of_the_stub_are_the_same(self) -> None:
        tree = ast.parse((ROOT / "python/s3z/_core.pyi").read_text())
        compared = 0
        for node in tree.body:
            functions = [(node, "")] if isinstance(node, ast.FunctionDef) else []
            if isinstance(node, ast.ClassDef):
                functions = [(each, node.name) for each in node.body if isinstance(each, ast.FunctionDef)]
            for function, owner in functions:
                if function.name == "__buffer__":
                    continue
                place = getattr(_core, owner) if owner else _core
                value = place if function.name in ("__init__", "__new__") else getattr(place, function.name)
                told = [each.arg for each in (*function.args.args, *function.args.kwonlyargs)]
                have = list(inspect.signature(value).parameters)
                assert have == [name for name in told if name not in ("self", "cls")] or have == told, function.name
                compared += 1
        assert compared >= 15


class TestExceptions:
    def test_the_tree_is_complete(self) -> None:
        public = {name for name in NAMES if name.endswith("Error")}
        assert public == {*TREE, "S3zError"}
        assert s3z.S3zError.__bases__ == (Exception,)

    @pytest.mark.parametrize("name", TREE)
    def test_bases(self, name: str) -> None:
        assert getattr(s3z, name).__bases__ == TREE[name]

    @pytest.mark.parametrize("name", [*TREE, "S3zError"])
    @pytest.mark.parametrize("protocol", range(2, pickle.HIGHEST_PROTOCOL + 1))
    def test_pickles_with_all_its_facts(self, name: str, protocol: int) -> None:
        facts: dict[str, Any] = {
            "bucket": "b", "key": "k", "code": "C", "status": 418, "request_id": "r", "host_id": "h", "attempts": 3,
            "upload_id": "u",
        }  # fmt: skip
        error = getattr(s3z, name)("something broke", **facts)
        if name == "BatchError":
            error.failures = (s3z.NotFoundError("gone", key="x"), OSError(28, "No space left on device", "/x"))
        copy = pickle.loads(pickle.dumps(error, protocol))
        assert type(copy) is type(error)
        assert str(copy) == "something broke"
        assert {each: getattr(copy, each) for each in facts} == facts
        if name == "BatchError":
            assert [type(each) for each in copy.failures] == [s3z.NotFoundError, OSError]
            assert copy.failures[0].key == "x"
            assert copy.failures[1].errno == 28

    def test_what_the_core_raises_is_what_is_public(self) -> None:
        with pytest.raises(s3z.ConfigError) as caught:
            _core.parse_uri("http://x")
        assert type(pickle.loads(pickle.dumps(caught.value))) is s3z.ConfigError


class TestPickles:
    VERIFIED = s3z.Verification("parts", "sha256", "17")
    NOW = datetime(2026, 5, 1, 8, tzinfo=UTC)

    @pytest.mark.parametrize(
        "value",
        [
            VERIFIED,
            s3z.DownloadResult("p", 1, 0.5, "e", "v", 2, 3, 0, VERIFIED, NOW, "text/plain", "STANDARD"),
            s3z.UploadResult("s3://b/k", 1, 0.5, "e", None, 2, 3, 0, VERIFIED),
            s3z.ObjectInfo("b", "k", False, 7, "e", NOW, "STANDARD"),
            s3z.HeadResult("b", "k", 7, "e", None, NOW, "text/plain", None, {"a": "b"}, {"x": "y"}),
            s3z.ProgressEvent(1, 2, 3, 4, 5),
            s3z.ByteRange(1, 2, 3),
            s3z.PackFailure("a", "OSError", "no", 5),
            s3z.VerifyReport("full", 1, 2, 3, (s3z.VerifyProblem("a", None, "no"),)),
            s3z.TransferConfig(part_size=8 << 20, max_concurrency=4),
        ],
        ids=lambda value: type(value).__name__,
    )
    def test_values_come_back_equal(self, value: Any) -> None:
        assert pickle.loads(pickle.dumps(value)) == value

    def test_client_comes_back_with_its_configuration(self, fake_s3: FakeS3, monkeypatch: pytest.MonkeyPatch) -> None:
        fake_s3.put("examples", "k", b"hello\n")
        monkeypatch.setenv("AWS_ACCESS_KEY_ID", fake_s3.access_key)
        monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", fake_s3.secret_key)
        config = s3z.TransferConfig(part_size=5 << 20)
        client = s3z.Client(endpoint_url=fake_s3.endpoint, region=fake_s3.region, config=config)
        pickled = pickle.dumps(client)
        assert fake_s3.secret_key.encode() not in pickled
        copy = pickle.loads(pickled)
        assert (copy.endpoint_url, copy.region) == (fake_s3.endpoint, fake_s3.region)
        assert copy._settings == client._settings
        assert copy.head("s3://examples/k").size == 6

    def test_client_with_secrets_of_its_own_refuses(self, fake_s3: FakeS3) -> None:
        with pytest.raises(TypeError, match="credentials="):
            pickle.dumps(fake_s3.client())
        with pytest.raises(TypeError, match="client="):
            pickle.dumps(s3z.Client(client=fake_s3.boto3))
