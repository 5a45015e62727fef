"""`download_dir` and `upload_dir`: what `s3z cp` does with many, as calls; their results, progress and interruption."""

from __future__ import annotations

import multiprocessing
import os
import pickle
import signal
import threading
import time
import tracemalloc
from typing import TYPE_CHECKING, Any

import pytest
from support.data import leftovers
from support.planted import fill, keys, objects, plant, tree
from support.trees import fill as fill_many

import s3z

if TYPE_CHECKING:
    from pathlib import Path

    from support.servers import FakeS3, Server

DENIED = {"type": "respond", "status": 403, "code": "AccessDenied"}
ODD = [
    "with space", " before", "plus+", "per%41", "hash#", "quo'te", 'dou"ble', "new\nline", "[x]", "star*", "que?ry",
    "back\\slash", "ä€😀", "a=b;c", ".hidden", "-dash", "sub/dir/deep", "&amp;<b>",
]  # fmt: skip
FILES = {name: f"content of {name}".encode() for name in ODD}


@pytest.fixture(params=["fake_s3", "versitygw"])
def odd_server(request: pytest.FixtureRequest) -> Server:
    """A server that takes every name as it is."""
    found: Server = request.getfixturevalue(request.param)
    return found


class TestThereAndBack:
    def test_odd_names(self, odd_server: Server, tmp_path: Path) -> None:
        bucket = f"odd-{os.getpid()}-{odd_server.name.replace('_', '-').lower()}"
        odd_server.boto3.create_bucket(Bucket=bucket)
        client, directory = odd_server.client(), plant(tmp_path / "in", FILES)
        sent = client.upload_dir(directory, f"s3://{bucket}/p/")
        assert (sent.done, sent.skipped, sent.failed, sent.bytes) == (len(ODD), 0, 0, sum(map(len, FILES.values())))
        assert sent.source == str(directory)
        assert sent.destination == f"s3://{bucket}/p/"
        assert objects(odd_server, bucket) == {f"p/{name}": content for name, content in FILES.items()}
        got = client.download_dir(f"s3://{bucket}/p/", tmp_path / "out" / "there")
        assert (got.done, got.bytes, sum(got.verified.values())) == (len(ODD), sent.bytes, len(ODD))
        assert tree(tmp_path / "out" / "there") == FILES

    def test_each_server(self, client: s3z.Client, server: Server, bucket: str, tmp_path: Path) -> None:
        directory = plant(tmp_path / "in", {"a.txt": b"a", "sub/b.bin": b"bb", "sub/c": b""})
        assert client.upload_dir(directory, f"s3://{bucket}", metadata={"who": "me"}).done == 3
        assert keys(server, bucket) == {"a.txt", "sub/b.bin", "sub/c"}
        head = client.head(f"s3://{bucket}/a.txt")
        assert head.metadata["who"] == "me"
        assert head.content_type == "text/plain; charset=utf-8"
        assert client.download_dir(f"s3://{bucket}/", tmp_path / "out").done == 3
        assert tree(tmp_path / "out") == tree(directory)

    def test_name_of_the_directory_is_no_part_of_keys(
        self, fake_client: s3z.Client, fake_s3: FakeS3, fake_bucket: str, tmp_path: Path
    ) -> None:
        plant(tmp_path / "in", {"a": b"a"})
        fake_client.upload_dir(tmp_path / "in", f"s3://{fake_bucket}/1/")
        fake_client.upload_dir(f"{tmp_path}/in/", f"s3://{fake_bucket}/2/")
        assert keys(fake_s3, fake_bucket) == {"1/a", "2/a"}

    def test_filters(self, fake_client: s3z.Client, fake_s3: FakeS3, fake_bucket: str, tmp_path: Path) -> None:
        fill(fake_s3, fake_bucket, {"p/a.txt": b"", "p/b.bin": b"", "p/sub/c.txt": b"", "p/sub/d.txt": b""})
        uri = f"s3://{fake_bucket}/p/"
        fake_client.download_dir(uri, tmp_path / "1", include="*.txt", exclude=["sub/d*", b""])
        assert set(tree(tmp_path / "1")) == {"a.txt", "sub/c.txt"}
        fake_client.upload_dir(tmp_path / "1", f"s3://{fake_bucket}/q/", exclude=b"sub/*")
        assert {key for key in keys(fake_s3, fake_bucket) if key.startswith("q/")} == {"q/a.txt"}

    @pytest.mark.parametrize(
        ("overwrite", "done", "left"),
        [(True, 2, b"new!"), (False, 1, b"old"), ("if_size_differs", 2, b"new!"), ("if_newer", 1, b"old")],
    )
    def test_what_is_there(
        self, fake_client: s3z.Client, fake_s3: FakeS3, fake_bucket: str, tmp_path: Path,
        overwrite: Any, done: int, left: bytes,
    ) -> None:  # fmt: skip
        fill(fake_s3, fake_bucket, {"a": b"new!", "b": b"b"})
        plant(tmp_path / "out", {"a": b"old"})
        os.utime(tmp_path / "out" / "a", (4e9, 4e9))
        result = fake_client.download_dir(f"s3://{fake_bucket}", tmp_path / "out", overwrite=overwrite)
        assert (result.done, result.skipped) == (done, 2 - done)
        assert tree(tmp_path / "out") == {"a": left, "b": b"b"}

    def test_dry_run_changes_nothing(
        self, fake_client: s3z.Client, fake_s3: FakeS3, fake_bucket: str, tmp_path: Path
    ) -> None:
        fill(fake_s3, fake_bucket, {"a": b"a"})
        plant(tmp_path / "in", {"b": b"b"})
        down = fake_client.download_dir(f"s3://{fake_bucket}", tmp_path / "out", dry_run=True)
        up = fake_client.upload_dir(tmp_path / "in", f"s3://{fake_bucket}", dry_run=True)
        assert (down.done, down.bytes, down.dry_run, up.done) == (1, 0, True, 1)
        assert not (tmp_path / "out").exists()
        assert keys(fake_s3, fake_bucket) == {"a"}


class TestRefusals:
    def test_empty(self, fake_client: s3z.Client, fake_bucket: str, tmp_path: Path) -> None:
        with pytest.raises(s3z.NotFoundError, match="no object found") as caught:
            fake_client.download_dir(f"s3://{fake_bucket}/none/", tmp_path / "out", errors="return")
        assert (caught.value.bucket, caught.value.key) == (fake_bucket, "none/")
        (tmp_path / "in").mkdir()
        assert fake_client.upload_dir(tmp_path / "in", f"s3://{fake_bucket}").done == 0

    def test_what_is_missing_as_a_whole_is_raised_itself(
        self, fake_client: s3z.Client, fake_bucket: str, tmp_path: Path
    ) -> None:
        with pytest.raises(s3z.NotFoundError) as caught:
            fake_client.download_dir("s3://no-such-bucket/", tmp_path / "out", errors="return")
        assert caught.value.code == "NoSuchBucket"
        with pytest.raises(FileNotFoundError) as missing:
            fake_client.upload_dir(tmp_path / "none", f"s3://{fake_bucket}")
        assert missing.value.filename == str(tmp_path / "none")

    def test_arguments_are_named(self, fake_client: s3z.Client, fake_bucket: str, tmp_path: Path) -> None:
        uri, out = f"s3://{fake_bucket}/p", tmp_path / "out"
        plant(tmp_path, {"file": b""})
        with pytest.raises(s3z.ConfigError, match=r"prefix_uri: .* names an object"):
            fake_client.download_dir(uri, out)
        with pytest.raises(s3z.ConfigError, match=r"prefix_uri: .* names an object"):
            fake_client.upload_dir(tmp_path, uri)
        with pytest.raises(NotADirectoryError):
            fake_client.download_dir(f"{uri}/", tmp_path / "file")
        with pytest.raises(NotADirectoryError):
            fake_client.upload_dir(tmp_path / "file", f"{uri}/")
        with pytest.raises(s3z.ConfigError, match="directory"):
            fake_client.download_dir(f"{uri}/", uri)
        for wrong in (
            {"overwrite": "maybe"}, {"errors": "ignore"}, {"verify": "no"}, {"glacier": "thaw"}, {"workers": 0},
            {"workers": -1}, {"workers": True}, {"workers": 2.0}, {"max_concurrency": 0}, {"max_concurrency": "4"},
        ):  # fmt: skip
            with pytest.raises(s3z.ConfigError, match=next(iter(wrong))):
                fake_client.download_dir(f"{uri}/", out, **wrong)
        with pytest.raises(TypeError, match="contents"):
            fake_client.upload_dir(tmp_path, f"{uri}/", contents="x")  # type: ignore[call-arg]
        with pytest.raises(s3z.ConfigError, match="IfNoneMatch"):
            fake_client.upload_dir(tmp_path, f"{uri}/", extra_args={"IfNoneMatch": "*"})
        with pytest.raises(TypeError, match="include"):
            fake_client.upload_dir(tmp_path, f"{uri}/", include=[1])  # type: ignore[list-item]


class TestFailures:
    @pytest.fixture
    def failing(self, fake_s3: FakeS3, fake_bucket: str) -> str:
        fill(fake_s3, fake_bucket, {f"f{number:02}": b"%d" % number for number in range(20)})
        fake_s3.rule(DENIED, operation="GetObject", key="f07")
        return f"s3://{fake_bucket}/"

    def test_one_among_many_is_raised_at_the_end(self, fake_client: s3z.Client, failing: str, tmp_path: Path) -> None:
        with pytest.raises(s3z.BatchError, match=r"^1 of 20 objects failed; first: ") as caught:
            fake_client.download_dir(failing, tmp_path / "out")
        error = caught.value
        assert [(type(each), each.key) for each in error.failures] == [(s3z.AccessDeniedError, "f07")]  # type: ignore[attr-defined]
        assert isinstance(error.result, s3z.BatchResult)
        assert (error.result.done, error.result.failed) == (19, 1)
        assert len(tree(tmp_path / "out")) == 19
        again = pickle.loads(pickle.dumps(error))
        assert (str(again), again.result.done, again.failures[0].key) == (str(error), 19, "f07")

    def test_or_returned(self, fake_client: s3z.Client, failing: str, tmp_path: Path) -> None:
        result = fake_client.download_dir(failing, tmp_path / "out", errors="return")
        assert (result.done, result.failed, len(result.failures)) == (19, 1, 1)
        assert "1 failed" in repr(result)

    def test_keys_that_are_no_paths(
        self, fake_client: s3z.Client, fake_s3: FakeS3, fake_bucket: str, tmp_path: Path
    ) -> None:
        fill(fake_s3, fake_bucket, dict.fromkeys(["p/a", "p/a/b", "p/x//y", "p/good"], b"1"))
        result = fake_client.download_dir(f"s3://{fake_bucket}/p/", tmp_path / "out", errors="return")
        failed = {each.key: type(each) for each in result.failures}  # type: ignore[attr-defined]
        assert failed == {"p/a": s3z.AlreadyExistsError, "p/x//y": s3z.UnsafeKeyError}
        assert all(f"s3://{fake_bucket}/" in str(each) for each in result.failures)
        assert set(tree(tmp_path / "out")) == {"a/b", "good"}

    def test_a_name_that_is_no_key_is_named(self, fake_client: s3z.Client, fake_bucket: str, tmp_path: Path) -> None:
        (tmp_path / "in").mkdir()
        (tmp_path / "in" / os.fsdecode(b"bad\xff")).write_bytes(b"")
        plant(tmp_path / "in", {"good": b""})
        result = fake_client.upload_dir(tmp_path / "in", f"s3://{fake_bucket}", errors="return")
        assert result.done == 1
        assert isinstance(result.failures[0], s3z.UnsafeKeyError)
        assert "in/bad" in str(result.failures[0])

    def test_kept_are_a_thousand(
        self, fake_client: s3z.Client, fake_s3: FakeS3, fake_bucket: str, tmp_path: Path
    ) -> None:
        fill_many(fake_s3, fake_bucket, [f"k{number:04}" for number in range(1200)], b"x")
        fake_s3.rule(DENIED, operation="GetObject")
        with pytest.raises(s3z.BatchError, match=r"^1200 of 1200") as caught:
            fake_client.download_dir(f"s3://{fake_bucket}", tmp_path / "out")
        assert caught.value.result is not None
        assert (caught.value.result.failed, len(caught.value.failures)) == (1200, 1000)
        assert len(caught.value.result._repr_html_()) < 20_000

    def test_keys_that_cannot_be_had_stop_it_all(self, fake_s3: FakeS3, fake_bucket: str, tmp_path: Path) -> None:
        plant(tmp_path / "in", {f"f{number}": b"x" for number in range(300)})
        asked = []

        def provide() -> Any:
            asked.append(1)
            raise RuntimeError("no keys today")

        client = s3z.Client(endpoint_url=fake_s3.endpoint, region=fake_s3.region, credentials=provide)
        with pytest.raises(s3z.CredentialsError):
            client.upload_dir(tmp_path / "in", f"s3://{fake_bucket}", errors="return")
        assert len(asked) < 200


class TestProgress:
    def test_counts_end_with_the_truth(
        self, fake_client: s3z.Client, fake_s3: FakeS3, fake_bucket: str, tmp_path: Path
    ) -> None:
        fill(fake_s3, fake_bucket, {f"k{number}": bytes(100) for number in range(30)})
        events: list[s3z.ProgressEvent] = []
        threads = set()

        def show(event: s3z.ProgressEvent) -> None:
            events.append(event)
            threads.add(threading.current_thread())

        fake_client.download_dir(f"s3://{fake_bucket}", tmp_path / "out", progress=show)
        assert events[-1] == s3z.ProgressEvent(events[-1].received, 3000, 3000, 30, 30)
        assert threads == {threading.current_thread()}

    def test_an_exception_in_it_cancels_and_comes_out(
        self, fake_client: s3z.Client, fake_s3: FakeS3, fake_bucket: str, tmp_path: Path
    ) -> None:
        fill(fake_s3, fake_bucket, {f"k{number:03}": b"x" for number in range(300)})
        fake_s3.rule({"type": "latency", "ms": 300}, operation="GetObject")

        def show(event: s3z.ProgressEvent) -> None:
            raise ZeroDivisionError

        with pytest.raises(ZeroDivisionError):
            fake_client.download_dir(f"s3://{fake_bucket}", tmp_path / "out", progress=show, workers=4)
        assert len(tree(tmp_path / "out")) < 300
        asked = len(fake_s3.log(operation="GetObject"))
        time.sleep(0.5)
        assert len(fake_s3.log(operation="GetObject")) == asked


class TestProcess:
    def test_ctrl_c_ends_it_within_200_ms(
        self, fake_client: s3z.Client, fake_s3: FakeS3, fake_bucket: str, tmp_path: Path
    ) -> None:
        fill(fake_s3, fake_bucket, {f"k{number:03}": b"x" for number in range(100)})
        fake_s3.rule({"type": "latency", "ms": 60_000}, operation="GetObject", skip=10)
        pressed = []

        def press() -> None:
            fake_s3.wait_for_log(11, operation="GetObject")
            pressed.append(time.monotonic())
            os.kill(os.getpid(), signal.SIGINT)

        thread = threading.Thread(target=press)
        thread.start()
        with pytest.raises(KeyboardInterrupt):
            fake_client.download_dir(f"s3://{fake_bucket}", tmp_path / "out")
        took = time.monotonic() - pressed[0]
        thread.join()
        assert took < 0.4  # 200 ms, and a machine that has other things to do
        assert not leftovers(tmp_path)

    def test_other_threads_run_meanwhile(
        self, fake_client: s3z.Client, fake_s3: FakeS3, fake_bucket: str, tmp_path: Path
    ) -> None:
        fill(fake_s3, fake_bucket, {"k": b"x"})
        fake_s3.rule({"type": "latency", "ms": 500}, operation="GetObject")
        ticks, over = [0], threading.Event()

        def tick() -> None:
            while not over.wait(0.005):
                ticks[0] += 1

        thread = threading.Thread(target=tick)
        thread.start()
        fake_client.download_dir(f"s3://{fake_bucket}", tmp_path / "out")
        over.set()
        thread.join()
        assert ticks[0] > 20

    def test_in_a_forked_child(self, fake_client: s3z.Client, fake_bucket: str, tmp_path: Path) -> None:
        plant(tmp_path / "in", {"a": b"a"})
        assert fake_client.upload_dir(tmp_path / "in", f"s3://{fake_bucket}/1/").done == 1
        child = multiprocessing.get_context("fork").Process(
            target=fake_client.upload_dir, args=(tmp_path / "in", f"s3://{fake_bucket}/2/")
        )
        child.start()
        child.join(20)
        assert child.exitcode == 0
        assert fake_client.exists(f"s3://{fake_bucket}/2/a")

    def test_successes_leave_nothing_in_python(
        self, fake_client: s3z.Client, fake_s3: FakeS3, fake_bucket: str, tmp_path: Path
    ) -> None:
        fill_many(fake_s3, fake_bucket, [f"k{number:05}" for number in range(5000)])
        fake_client.download_dir(f"s3://{fake_bucket}", tmp_path / "out", dry_run=True)
        tracemalloc.start()
        try:
            result = fake_client.download_dir(f"s3://{fake_bucket}", tmp_path / "out", dry_run=True)
            peak = tracemalloc.get_traced_memory()[1]
        finally:
            tracemalloc.stop()
        assert result.done == 5000
        assert peak < 200_000


class TestResults:
    RESULT = s3z.BatchResult(
        "s3://b/<p>/", "out\x1b", 3, 1, 1, 2048, 0, 0.5, {"full_object": 3}, (s3z.NotFoundError("<gone>"),)
    )

    def test_show_themselves_shortly_and_escaped(self) -> None:
        told = "BatchResult('s3://b/<p>/', 'out\\\\x1b', 3 done, 1 skipped, 1 failed, 2.0K, 0.50s, 4.0K/s)"
        assert repr(self.RESULT) == told
        html = self.RESULT._repr_html_()
        assert "&lt;gone&gt;" in html
        assert "\x1b" not in html

    def test_pickle(self) -> None:
        copy = pickle.loads(pickle.dumps(self.RESULT))
        assert (copy.done, copy.verified, str(copy.failures[0])) == (3, {"full_object": 3}, "<gone>")
