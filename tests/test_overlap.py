"""Source and destination that lie within each other: refused before a request is made, or kept apart by filters."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from support.servers import FakeS3
from support.trees import keys

import s3z

if TYPE_CHECKING:
    from collections.abc import Callable

    from support.command import Command
    from support.servers import Server

NAMES = ["a", "p/a", "p/q/a", "pq/a"]
GROWS = "lies in the source, which would grow while it is read"
GONE = "holds the source, which would be deleted"


@pytest.fixture
def store(fake_s3: FakeS3) -> FakeS3:
    fake_s3.do("create_bucket", bucket="b")
    for name in NAMES:
        fake_s3.put("b", name, name.encode())
    return fake_s3


@pytest.fixture
def run(store: FakeS3, command: Callable[[Server | None], Command]) -> Command:
    return command(store)


@pytest.mark.parametrize(
    ("line", "why"),
    [
        (["cp", "s3://b/*", "s3://b/new/"], GROWS),
        (["cp", "--flatten", "s3://b/*", "s3://b/new/"], GROWS),
        (["cp", "--dry-run", "s3://b/p*", "s3://b/pq/"], GROWS),
        (["cp", "--recursive", "s3://b/p/", "s3://b/p/q/"], GROWS),
        (["cp", "--exclude", "new*x", "s3://b/*", "s3://b/new/"], GROWS),
        (["cp", "--include", "*a", "s3://b/*", "s3://b/new/"], GROWS),
        (["cp", "--include", "n*", "s3://b/*", "s3://b/new/"], GROWS),
        (["mv", "s3://b/p/*", "s3://b/p/q/"], GROWS),
        (["mv", "--exclude", "x/*", "s3://b/p/*", "s3://b/p/q/"], GROWS),
        (["sync", "s3://b/p/*", "s3://b/p/q/"], GROWS),
        (["sync", "s3://b/p/*", "s3://b/p/"], "is the source itself"),
        (["sync", "--delete", "s3://b/*.gz", "s3://b"], "is the source itself"),
        (["sync", "--delete", "s3://b/p/q/*", "s3://b/p/"], GONE),
        (["sync", "--delete", "s3://b/p/q/*", "s3://b"], GONE),
        (["sync", "--delete", "--exclude", "p/r/*", "s3://b/p/q/*", "s3://b"], GONE),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_refused(run: Command, store: FakeS3, line: list[str], why: str) -> None:
    outcome = run(*line, status=1)
    assert f'"{line[-1]}" {why}' in outcome.stderr or f'"{line[-1]}/" {why}' in outcome.stderr
    assert "hint: leave it out by --exclude" in outcome.stderr
    assert store.log() == []
    assert keys(store, "b") == NAMES


@pytest.mark.parametrize(
    ("line", "found"),
    [
        (["cp", "s3://b/p/*", "s3://b/n/"], ["n/a", "n/q/a"]),
        (["cp", "s3://b/p/*", "s3://b/p"], None),
        (["cp", "s3://b/p/q/*", "s3://b/p/"], []),
        (["cp", "s3://b/q*", "s3://b/p/q/"], None),
        (["cp", "--exclude", "new/*", "s3://b/*", "s3://b/new/"], [f"new/{name}" for name in NAMES]),
        (["cp", "--include", "p/*", "s3://b/*", "s3://b/new/"], ["new/p/a", "new/p/q/a"]),
        (["cp", "--metadata", "x=y", "s3://b/p/*", "s3://b/p/"], []),
        (["sync", "--delete", "--exclude", "new/*", "s3://b/*", "s3://b/new/"], [f"new/{name}" for name in NAMES]),
        (["sync", "--delete", "--exclude", "p/*", "s3://b/p/q/*", "s3://b/"], []),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_apart_enough(run: Command, store: FakeS3, line: list[str], found: list[str] | None) -> None:
    outcome = run(*line, status=0 if found is not None else None)
    assert "leave it out" not in outcome.stderr
    if found is None:
        return
    assert set(found) <= set(keys(store, "b"))
    if "--delete" not in line:
        assert keys(store, "b") == sorted(NAMES + found)
    else:
        assert {"p/a", "p/q/a"} <= set(keys(store, "b"))


def test_names_from_a_file_are_no_listing(run: Command, store: FakeS3) -> None:
    (run.directory / "names").write_text("a\np/a\n")
    run("cp", "--files-from", "names", "s3://b", "s3://b/new/")
    assert keys(store, "b") == sorted([*NAMES, "new/a", "new/p/a"])


def test_another_store_may_have_a_bucket_of_that_name(run: Command, store: FakeS3) -> None:
    second = FakeS3("--bucket", "b", "--no-auth")
    try:
        run("sync", "--destination-endpoint-url", second.endpoint, "s3://b/*", "s3://b")
        assert keys(second, "b") == NAMES
    finally:
        second.stop()


def test_filters_keep_the_sides_of_a_call_apart(store: FakeS3) -> None:
    client = store.client()
    with pytest.raises(s3z.ConfigError, match=GROWS):
        client.sync("s3://b/", "s3://b/new/")
    for _ in range(2):
        client.sync("s3://b/", "s3://b/new/", exclude="new/*", delete=True)
    assert keys(store, "b") == sorted([*NAMES, *(f"new/{name}" for name in NAMES)])
    with pytest.raises(s3z.ConfigError, match=GONE):
        client.sync("s3://b/new/", "s3://b/", delete=True)
    with pytest.raises(s3z.ConfigError, match=GONE):
        store.client().sync("s3://b/new/", "s3://b/", source_client=client, delete=True)
