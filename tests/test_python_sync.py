"""`sync` and `verify` as calls: what is transferred, what is deleted and what never, and what a comparison says."""

from __future__ import annotations

import os
import pickle
from typing import TYPE_CHECKING, Any

import pytest
from support.planted import fill, keys, objects, plant, tree
from support.trees import changes

import s3z

if TYPE_CHECKING:
    from pathlib import Path

    from support.servers import FakeS3, Server

DENIED = {"type": "respond", "status": 403, "code": "AccessDenied"}
FILES = {"a": b"one", "a-b": b"two", "a.d/x": b"three", "sub/ä b": b"four"}
OLD = {"0-old": b"old", "m/old": b"old", "z-old": b"old"}


def aged(directory: Path) -> Path:
    """The same, its files older than what is made of them: stores tell whole seconds."""
    for path in directory.rglob("*"):
        os.utime(path, (1.7e9, 1.7e9))
    return directory


class TestSync:
    def test_there_across_and_back(self, client: s3z.Client, server: Server, bucket: str, tmp_path: Path) -> None:
        other = f"{bucket}-other"
        server.boto3.create_bucket(Bucket=other)
        directory = aged(plant(tmp_path / "in", FILES))
        up = client.sync(directory, f"s3://{bucket}/p/")
        across = client.sync(f"s3://{bucket}/p/", f"s3://{other}")
        down = client.sync(f"s3://{other}/", tmp_path / "out")
        assert [(each.done, each.skipped, each.failed) for each in (up, across, down)] == [(4, 0, 0)] * 3
        assert tree(tmp_path / "out") == objects(server, other) == FILES
        for again in (
            client.sync(directory, f"s3://{bucket}/p/"),
            client.sync(f"s3://{bucket}/p/", f"s3://{other}"),
            client.sync(f"s3://{other}/", tmp_path / "out", compare="times"),
        ):
            assert (again.done, again.skipped) == (0, 4)

    def test_deletes_what_only_the_destination_has(
        self, client: s3z.Client, server: Server, bucket: str, tmp_path: Path
    ) -> None:
        directory = aged(plant(tmp_path / "in", FILES))
        fill(server, bucket, {f"p/{name}": content for name, content in OLD.items()} | {"q/other": b""})
        kept = client.sync(directory, f"s3://{bucket}/p/")
        assert (kept.done, kept.deleted) == (4, 0)
        dry = client.sync(directory, f"s3://{bucket}/p/", delete=True, dry_run=True)
        assert (dry.deleted, dry.dry_run) == (3, True)
        assert len(keys(server, bucket)) == 8
        result = client.sync(directory, f"s3://{bucket}/p/", delete=True, max_delete=3, exclude="z*")
        assert (result.done, result.deleted, result.held_back) == (0, 2, 0)
        assert keys(server, bucket) == {f"p/{name}" for name in FILES} | {"p/z-old", "q/other"}
        plant(tmp_path / "in", {"own": b""})
        down = client.sync(f"s3://{bucket}/p/", directory, delete=True)
        assert (down.done, down.deleted) == (5, 1)  # written to the store after the files
        assert set(tree(directory)) == {*FILES, "z-old"}

    @pytest.mark.parametrize(
        ("compare", "done"), [("newer", 0), ("size", 0), ("times", 1), ("checksum", 1), ("etag", 1)]
    )
    def test_comparisons(
        self, fake_client: s3z.Client, fake_s3: FakeS3, fake_bucket: str, tmp_path: Path, compare: str, done: int
    ) -> None:
        fake_client.put(f"s3://{fake_bucket}/a", b"new")
        plant(tmp_path / "out", {"a": b"old"})
        os.utime(tmp_path / "out" / "a", (4e9, 4e9))
        assert fake_client.sync(f"s3://{fake_bucket}", tmp_path / "out", compare=compare).done == done
        assert tree(tmp_path / "out") == {"a": b"new" if done else b"old"}

    def test_options_of_objects(self, fake_client: s3z.Client, fake_bucket: str, tmp_path: Path) -> None:
        plant(tmp_path / "in", {"a.css": b"a"})
        fake_client.sync(
            tmp_path / "in", f"s3://{fake_bucket}", metadata={"who": "me"}, extra_args={"CacheControl": "x"}
        )
        head = fake_client.head(f"s3://{fake_bucket}/a.css")
        assert (head.metadata, head.headers["cache-control"]) == ({"who": "me"}, "x")

    def test_from_another_store(self, fake_client: s3z.Client, fake_s3: FakeS3, fake_bucket: str, moto: Server) -> None:
        other = f"sync-{os.getpid()}"
        moto.boto3.create_bucket(Bucket=other)
        fill(moto, other, FILES)
        assert fake_client.sync(f"s3://{other}", f"s3://{fake_bucket}/p/", source_client=moto.client()).done == 4
        assert objects(fake_s3, fake_bucket) == {f"p/{name}": content for name, content in FILES.items()}


class TestDeleteSafety:
    """Reliability rows 85 to 92, as calls."""

    @pytest.fixture
    def place(self, fake_s3: FakeS3, fake_bucket: str, tmp_path: Path) -> str:
        plant(tmp_path / "in", FILES)
        fill(fake_s3, fake_bucket, OLD)
        return f"s3://{fake_bucket}/"

    @pytest.fixture
    def unharmed(self, fake_s3: FakeS3, fake_bucket: str, place: str) -> Any:
        yield
        fake_s3.do("clear_rules")
        assert set(OLD) <= keys(fake_s3, fake_bucket)
        assert not [record for record in changes(fake_s3) if "DeleteObject" in record["operation"]]

    @pytest.mark.usefixtures("unharmed")
    def test_85_86_nothing_after_an_error(
        self, fake_client: s3z.Client, fake_s3: FakeS3, place: str, tmp_path: Path
    ) -> None:
        fake_s3.rule(DENIED, operation="PutObject", key="a-b")
        with pytest.raises(s3z.BatchError, match="3 deletions were held back") as caught:
            fake_client.sync(tmp_path / "in", place, delete=True)
        result = pickle.loads(pickle.dumps(caught.value)).result
        assert isinstance(result, s3z.SyncResult)
        assert (result.done, result.failed, result.deleted, result.held_back) == (3, 1, 0, 3)
        returned = fake_client.sync(tmp_path / "in", place, delete=True, errors="return")
        assert (returned.failed, returned.held_back) == (1, 3)
        assert "3 held back" in repr(returned)

    @pytest.mark.usefixtures("unharmed")
    def test_85_a_listing_that_is_denied(
        self, fake_client: s3z.Client, fake_s3: FakeS3, place: str, tmp_path: Path
    ) -> None:
        fake_s3.rule(DENIED, operation="ListObjectsV2")
        with pytest.raises(s3z.AccessDeniedError):
            fake_client.sync(tmp_path / "in", place, delete=True, errors="return")
        with pytest.raises(s3z.AccessDeniedError):
            fake_client.sync(place, tmp_path / "in", delete=True)
        assert tree(tmp_path / "in") == FILES

    @pytest.mark.usefixtures("unharmed")
    def test_87_an_empty_or_missing_source(
        self, fake_client: s3z.Client, fake_s3: FakeS3, place: str, tmp_path: Path
    ) -> None:
        (tmp_path / "empty").mkdir()
        for errors in ("raise", "return"):
            with pytest.raises(s3z.NotFoundError, match="force=True"):
                fake_client.sync(tmp_path / "empty", place, delete=True, errors=errors)
        with pytest.raises(s3z.NotFoundError, match="force=True"):
            fake_client.sync(tmp_path / "in", place, delete=True, exclude="*")
        with pytest.raises(s3z.NotFoundError, match="force=True"):
            fake_client.sync(f"{place}none/", tmp_path / "in", delete=True)
        with pytest.raises(FileNotFoundError):
            fake_client.sync(tmp_path / "missing", place, delete=True, force=True)
        assert tree(tmp_path / "in") == FILES
        assert fake_client.sync(tmp_path / "empty", place).done == 0

    def test_87_force(
        self, fake_client: s3z.Client, fake_s3: FakeS3, fake_bucket: str, place: str, tmp_path: Path
    ) -> None:
        (tmp_path / "empty").mkdir()
        assert fake_client.sync(tmp_path / "empty", place, delete=True, force=True).deleted == 3
        assert keys(fake_s3, fake_bucket) == set()

    @pytest.mark.usefixtures("unharmed")
    def test_88_a_limit(self, fake_client: s3z.Client, fake_s3: FakeS3, place: str, tmp_path: Path) -> None:
        with pytest.raises(s3z.BatchError, match="3 objects would be deleted, but the limit is 2") as caught:
            fake_client.sync(tmp_path / "in", place, delete=True, max_delete=2)
        assert [type(each) for each in caught.value.failures] == [s3z.ConfigError]
        assert isinstance(caught.value.result, s3z.SyncResult)
        assert (caught.value.result.done, caught.value.result.held_back) == (4, 3)

    @pytest.mark.usefixtures("unharmed")
    def test_92_root_and_home(
        self, fake_client: s3z.Client, place: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("HOME", str(tmp_path / "in"))
        (tmp_path / "link").symlink_to("in")
        for target in ("/", tmp_path / "in", tmp_path / "link"):
            with pytest.raises(s3z.ConfigError, match="nothing is deleted there"):
                fake_client.sync(place, target, delete=True, force=True)
        assert tree(tmp_path / "in") == FILES

    @pytest.mark.usefixtures("unharmed")
    def test_an_empty_home_is_that_of_the_password_database(
        self, fake_client: s3z.Client, place: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        import pwd

        entry = pwd.getpwuid(os.getuid())
        fields = [str(tmp_path / "in") if name == "pw_dir" else getattr(entry, name) for name in entry.__match_args__]
        monkeypatch.setattr(pwd, "getpwuid", lambda _: pwd.struct_passwd(fields))
        monkeypatch.setenv("HOME", "")
        with pytest.raises(s3z.ConfigError, match="is the home directory: nothing is deleted there"):
            fake_client.sync(place, tmp_path / "in", delete=True, force=True)
        (tmp_path / "out").mkdir()
        monkeypatch.chdir(tmp_path / "out")
        assert fake_client.sync(place, ".", delete=True, dry_run=True).deleted == 0

    @pytest.mark.usefixtures("unharmed")
    def test_arguments_are_named(self, fake_client: s3z.Client, place: str, tmp_path: Path) -> None:
        here = tmp_path / "in"
        refused: list[tuple[tuple[Any, Any], dict[str, Any], str]] = [
            ((here, place), {"compare": "mtime"}, "compare"),
            ((here, place), {"compare": "times"}, "compare"),
            ((here, place), {"max_delete": 3}, "max_delete"),
            ((here, place), {"force": True}, "force"),
            ((here, place), {"workers": 0}, "workers"),
            ((here, place), {"max_concurrency": 0}, "max_concurrency"),
            ((here, place), {"durable": True}, "durable"),
            ((here, place), {"replace_metadata": True}, "replace_metadata"),
            ((here, place), {"source_client": fake_client}, "source_client"),
            ((place, here), {"storage_class": "X"}, "storage_class"),
            ((here, here), {}, "at a store"),
            ((f"{place}p", here), {}, "source: .* names an object"),
            ((here, f"{place}p"), {}, "destination: .* names an object"),
            ((place, place), {}, "the source itself"),
            ((place, f"{place}p/"), {}, "lies in the source"),
            ((f"{place}p/", place), {"delete": True}, "holds the source"),
        ]
        for sides, options, word in refused:
            with pytest.raises(s3z.ConfigError, match=word):
                fake_client.sync(*sides, **options)
        with pytest.raises(s3z.ConfigError, match="workers"):
            fake_client.verify(here, place, workers=0)


class TestVerify:
    def test_says_what_differs(self, client: s3z.Client, bucket: str, tmp_path: Path) -> None:
        directory = plant(tmp_path / "in", FILES)
        client.upload_dir(directory, f"s3://{bucket}/p/")
        same = client.verify(directory, f"s3://{bucket}/p/", download=True)
        assert (same.is_same, same.same, same.differences) == (True, 4, ())
        plant(directory, {"a": b"ONE", "new": b""})
        (directory / "a-b").unlink()
        result = client.verify(directory, f"s3://{bucket}/p/", download=True)
        assert not result.is_same
        assert set(result.differences) == {("a", "differs"), ("a-b", "destination_only"), ("new", "source_only")}
        assert (result.same, result.differing, result.source_only, result.destination_only) == (2, 1, 1, 1)
        assert client.verify(directory, f"s3://{bucket}/p/", one_way=True, compare="size", exclude="new").is_same
        assert pickle.loads(pickle.dumps(result)) == result
        told = "2 same, 1 differing, 1 source only, 1 destination only"
        assert told in repr(result)
        assert "a (differs)" in result._repr_html_()

    def test_one_of_another_name(self, fake_client: s3z.Client, fake_bucket: str, tmp_path: Path) -> None:
        plant(tmp_path, {"file": b"hello"})
        uri = f"s3://{fake_bucket}/p/other"
        fake_client.upload(tmp_path / "file", uri)
        fake_client.copy(uri, f"s3://{fake_bucket}/third")
        assert fake_client.verify(tmp_path / "file", uri).is_same
        assert fake_client.verify(uri, f"s3://{fake_bucket}/third").is_same
        assert fake_client.verify(f"s3://{fake_bucket}/p/", f"s3://{fake_bucket}/p/").same == 1
        plant(tmp_path, {"file": b"HELLO"})
        assert fake_client.verify(tmp_path / "file", uri).differences == (("p/other", "differs"),)
        missing = fake_client.verify(tmp_path / "file", f"s3://{fake_bucket}/none")
        assert (missing.source_only, missing.same) == (1, 0)

    def test_unproven_is_not_the_same(
        self, fake_client: s3z.Client, fake_s3: FakeS3, fake_bucket: str, tmp_path: Path
    ) -> None:
        fake_s3.switch(no_checksums=True, etag_style="opaque")
        fill(fake_s3, fake_bucket, {"a": b"a"})
        plant(tmp_path / "in", {"a": b"a"})
        result = fake_client.verify(tmp_path / "in", f"s3://{fake_bucket}")
        assert (result.unproven, result.is_same) == (1, False)
        assert result.differences == (s3z.Difference("a", "unproven"),)
        assert fake_client.verify(tmp_path / "in", f"s3://{fake_bucket}", download=True).is_same

    def test_what_cannot_be_compared_fails(
        self, fake_client: s3z.Client, fake_s3: FakeS3, fake_bucket: str, tmp_path: Path
    ) -> None:
        plant(tmp_path / "in", {"a": b"a", "b": b"b"})
        fake_client.upload_dir(tmp_path / "in", f"s3://{fake_bucket}")
        fake_s3.rule(DENIED, operation="HeadObject", key="b")
        with pytest.raises(s3z.BatchError, match="1 of 2") as caught:
            fake_client.verify(tmp_path / "in", f"s3://{fake_bucket}")
        assert isinstance(caught.value.result, s3z.VerifyResult)
        result = fake_client.verify(tmp_path / "in", f"s3://{fake_bucket}", errors="return")
        assert (result.same, result.failed, result.is_same) == (1, 1, False)
        with pytest.raises(s3z.ConfigError, match=r"uri: .* cannot be compared"):
            fake_client.verify(tmp_path / "in", f"s3://{fake_bucket}/a")
        with pytest.raises(FileNotFoundError):
            fake_client.verify(tmp_path / "none", f"s3://{fake_bucket}/a")
        with pytest.raises(s3z.NotFoundError):
            fake_client.verify(tmp_path / "in", "s3://no-such-bucket/")
