"""Takes out one check of the code at a time and demands that a test turns red (T6).

A mutation that stays green is a missing test. The list is `mutations.toml`; each entry names the tests that must see
it, and where those do not, the whole suite is asked before the mutation counts as unseen. The tree is copied outside
of the checkout and built there, so nothing here is ever changed.
"""

from __future__ import annotations

import argparse
import json
import os
import queue
import shlex
import shutil
import subprocess
import sys
import time
import tomllib
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
CARGO = shlex.split(os.environ.get("CARGO", "cargo"))
#: a suite that takes longer hangs, which is red too
PATIENCE = 300.0
#: the Rust test targets that `tests` may name, with the arguments that build each
TARGETS = {
    "lib": ("-p", "s3z", "--lib"),
    "it": ("-p", "s3z", "--test", "it"),
    "models": (
        "-p",
        "models",
    ),
    "memory": (
        "-p",
        "memory",
    ),
}
#: what is asked where the named tests see nothing
ALL = ("lib", "it", "models", "memory")


@dataclass(frozen=True)
class Mutation:
    """One check taken out."""

    name: str
    rule: str
    file: str
    old: str
    new: str
    #: as the head of `mutations.toml` says
    tests: tuple[str, ...]

    def apply(self, tree: Path) -> str | None:
        """Write it into the tree; what keeps it from being applied."""
        path = tree / self.file
        text = path.read_text() if path.exists() else ""
        if (count := text.count(self.old)) != 1:
            return f"its text stands {count} times in {self.file}"
        path.write_text(text.replace(self.old, self.new))
        return None


@dataclass
class Outcome:
    """What a mutation came to."""

    mutation: Mutation
    #: `red`, `green`, `broken` (it could not be tried), or `weak` (only other tests than the named see it)
    verdict: str
    detail: str = ""
    seconds: float = 0.0


class FailedError(Exception):
    """Something that says nothing of the tests: a build that fails, a filter without tests."""


@dataclass
class Tree:
    """A copy of the sources with a target directory of its own."""

    path: Path
    target: Path

    def refresh(self) -> None:
        """Bring it to what the checkout has; files that are the same keep their times, so little is built."""
        listed = subprocess.run(
            ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
            cwd=ROOT, check=True, capture_output=True,
        ).stdout  # fmt: skip
        names = filter(None, listed.decode().split("\0"))
        wanted = {name for name in names if (ROOT / name).is_symlink() or (ROOT / name).exists()}
        for old in [path for path in self.path.rglob("*") if path.is_symlink() or path.is_file()]:
            if str(old.relative_to(self.path)) not in wanted:
                old.unlink()
        for name in wanted:
            copy(ROOT / name, self.path / name)

    def environment(self) -> dict[str, str]:
        return {**os.environ, "CARGO_TARGET_DIR": str(self.target), "RUST_BACKTRACE": "0", "CARGO_TERM_COLOR": "never"}

    def build(self, target: str) -> list[str]:
        """The test programs of one target, built anew."""
        command = [*CARGO, "test", "--no-run", "--locked", "--message-format=json", *TARGETS[target]]
        done = subprocess.run(command, cwd=self.path, env=self.environment(), capture_output=True, text=True)
        if done.returncode != 0:
            messages = [line for line in done.stdout.splitlines() if '"level":"error"' in line]
            texts = [json.loads(line)["message"]["rendered"] for line in messages[:1]] or [done.stderr[-2000:]]
            raise FailedError(f"does not build: {texts[0].strip()}")
        artifacts = (json.loads(line) for line in done.stdout.splitlines() if line.startswith("{"))
        return [found["executable"] for found in artifacts if found.get("executable") and found["profile"]["test"]]

    def rust(self, target: str, filters: list[str]) -> str | None:
        """The tests of a target that fail, as text; None if all pass."""
        failed, passed = "", 0
        for program in self.build(target):
            # A crate's tests run in its own directory, as under cargo.
            command = [program, "--quiet", *filters]
            try:
                done = subprocess.run(
                    command, cwd=self.path, env=self.environment(), capture_output=True, text=True,
                    timeout=PATIENCE, errors="replace",
                )  # fmt: skip
            except subprocess.TimeoutExpired:
                return f"{target} hangs"
            passed += sum(int(line.split()[3]) for line in done.stdout.splitlines() if line.startswith("test result:"))
            if done.returncode != 0:
                # The list of names at the end, after the outputs.
                listed = done.stdout.rpartition("\nfailures:\n")[2]
                names = [line.strip() for line in listed.splitlines() if line.startswith("    ")]
                failed = ", ".join(names[:3]) or f"{target} ended with {done.returncode}"
                break
        if not failed and passed == 0:
            raise FailedError(f"no test of {target} is called {' '.join(filters)}")
        return failed or None

    def core(self) -> None:
        """Build the native module of this tree into it."""
        python = sys.executable
        environment = {**self.environment(), "PYO3_PYTHON": python, "PYO3_BUILD_EXTENSION_MODULE": "1"}
        command = [*CARGO, "build", "--quiet", "--locked", "--lib", "--features", "python"]
        done = subprocess.run(command, cwd=self.path, env=environment, capture_output=True, text=True)
        if done.returncode != 0:
            raise FailedError(f"does not build: {done.stderr[-2000:]}")
        shutil.copy2(self.target / "debug" / "libs3z.so", self.path / "python/s3z/_core.abi3.so")

    def pytest(self, arguments: list[str]) -> str | None:
        """The tests of Python files that fail, as text; None if all pass."""
        command = [sys.executable, "-m", "pytest", "-q", "-x", "-p", "no:cacheprovider", *arguments]
        environment = {**os.environ, "PYTHONPATH": str(self.path / "python"), "PYTHONDONTWRITEBYTECODE": "1"}
        try:
            done = subprocess.run(
                command, cwd=self.path, env=environment, capture_output=True, text=True, timeout=PATIENCE
            )
        except subprocess.TimeoutExpired:
            return "pytest hangs"
        if done.returncode == 1:
            names = [line.split(" ")[1] for line in done.stdout.splitlines() if line.startswith(("FAILED ", "ERROR "))]
            return ", ".join(names) or "pytest failed"
        if done.returncode != 0 or " passed" not in done.stdout:
            raise FailedError(f"pytest ended with {done.returncode}: {done.stdout[-500:]}{done.stderr[-500:]}")
        return None

    def run(self, test: str) -> str | None:
        kind, *arguments = shlex.split(test)
        if kind in TARGETS:
            return self.rust(kind, arguments)
        if kind == "core":
            self.core()
        elif not (self.path / "python/s3z/_core.abi3.so").exists():
            self.borrow_core()
        return self.pytest(arguments)

    def borrow_core(self) -> None:
        """The checkout's own native module, for mutations of Python."""
        found = list((ROOT / "python/s3z").glob("_core*.so"))
        if not found:
            raise FailedError("the native module is not built: make develop")
        shutil.copy2(found[0], self.path / "python/s3z/_core.abi3.so")


def copy(source: Path, target: Path) -> None:
    """Bring one file over, if it is another."""
    target.parent.mkdir(parents=True, exist_ok=True)
    if source.is_symlink():
        if not target.is_symlink() or source.readlink() != target.readlink():
            target.unlink(missing_ok=True)
            target.symlink_to(source.readlink())
        return
    if target.is_symlink() or not target.exists() or source.read_bytes() != target.read_bytes():
        target.unlink(missing_ok=True)
        shutil.copyfile(source, target)
        shutil.copymode(source, target)


def attempt(tree: Tree, mutation: Mutation) -> Outcome:
    """Apply, build, run, restore."""
    started = time.monotonic()
    path = tree.path / mutation.file
    before = path.read_text() if path.exists() else ""
    try:
        if why := mutation.apply(tree.path):
            return Outcome(mutation, "broken", why)
        verdict, detail = judge(tree, mutation)
    except FailedError as error:
        verdict, detail = "broken", str(error)
    finally:
        if before:
            path.write_text(before)
    return Outcome(mutation, verdict, detail, time.monotonic() - started)


def judge(tree: Tree, mutation: Mutation) -> tuple[str, str]:
    for test in mutation.tests:
        if failed := tree.run(test):
            return "red", failed
    fallback = ALL if mutation.file.endswith(".rs") else ("python tests",)
    for test in fallback:
        if failed := tree.run(test):
            return "weak", f"only {failed} sees it"
    return "green", "no test sees it"


def baseline(tree: Tree, mutations: list[Mutation]) -> list[str]:
    """Named tests that fail, or are none, without any mutation: their red would mean nothing."""
    wrong = []
    for test in sorted({test for mutation in mutations for test in mutation.tests}):
        try:
            if failed := tree.run(test):
                wrong.append(f"{test}: {failed} fails without a mutation")
        except FailedError as error:
            wrong.append(f"{test}: {error}")
    return wrong


def load(path: Path) -> tuple[list[Mutation], list[dict[str, str]]]:
    """The mutations, and the checks whose code is not there yet."""
    listed = tomllib.loads(path.read_text())
    mutations = [Mutation(**{**entry, "tests": tuple(entry["tests"])}) for entry in listed["mutation"]]
    names = [mutation.name for mutation in mutations]
    if len(set(names)) != len(names):
        raise SystemExit(f"names stand twice: {sorted({name for name in names if names.count(name) > 1})}")
    return mutations, listed.get("later", [])


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--only", nargs="+", metavar="NAME", help="these mutations, or those of these rules")
    parser.add_argument("--list", action="store_true", help="show the mutations, and whether their text is there")
    parser.add_argument("--jobs", type=int, default=1, help="mutations at a time, each in a tree of its own")
    parser.add_argument("--scratch", type=Path, default=Path.home() / ".cache/s3z-deep/mutations")
    parser.add_argument("--no-baseline", action="store_true", help="do not run the tests unmutated first")
    arguments = parser.parse_args()
    mutations, later = load(Path(__file__).with_name("mutations.toml"))
    if arguments.only:
        unknown = set(arguments.only) - {mutation.name for mutation in mutations} - {m.rule for m in mutations}
        if unknown:
            parser.error(f"no such mutation: {', '.join(sorted(unknown))}")
        mutations = [m for m in mutations if m.name in arguments.only or m.rule in arguments.only]
    if arguments.list:
        return show(mutations, later)
    trees: queue.Queue[Tree] = queue.Queue()
    for number in range(arguments.jobs):
        place = arguments.scratch.resolve() / str(number)
        trees.put(Tree(place / "tree", place / "target"))
    for tree in trees.queue:
        tree.path.mkdir(parents=True, exist_ok=True)
        tree.refresh()
    if not arguments.no_baseline and (wrong := baseline(trees.queue[0], mutations)):
        print("\n".join(wrong), file=sys.stderr)
        return 1

    def work(mutation: Mutation) -> Outcome:
        tree = trees.get()
        try:
            outcome = attempt(tree, mutation)
        finally:
            trees.put(tree)
        print(line(outcome), flush=True)
        return outcome

    with ThreadPoolExecutor(arguments.jobs) as pool:
        outcomes = list(pool.map(work, mutations))
    for entry in later:
        print(f"{'later':7} {entry['name']:28} {entry['rule']:5} {entry['why']}")
    bad = [outcome for outcome in outcomes if outcome.verdict != "red"]
    figures = {"mutations": len(outcomes), "red": len(outcomes) - len(bad), "later": len(later)}
    print(json.dumps({**figures, "not_red": {outcome.mutation.name: outcome.verdict for outcome in bad}}))
    return 1 if bad else 0


def line(outcome: Outcome) -> str:
    mutation = outcome.mutation
    return f"{outcome.verdict:7} {mutation.name:28} {mutation.rule:5} {outcome.seconds:5.0f} s  {outcome.detail}"


def show(mutations: list[Mutation], later: list[dict[str, str]]) -> int:
    lost = 0
    for mutation in mutations:
        path = ROOT / mutation.file
        count = path.read_text().count(mutation.old) if path.exists() else 0
        lost += count != 1
        place = mutation.file if count == 1 else f"{mutation.file}: its text stands there {count} times"
        print(f"{mutation.name:28} {mutation.rule:5} {place}")
    for entry in later:
        print(f"{entry['name']:28} {entry['rule']:5} later: {entry['why']}")
    return 1 if lost else 0


if __name__ == "__main__":
    sys.exit(main())
