"""Uploads of files that are gone on with: `resume=True`, `cp --resume`, and the journal of uploads (U10, U11, #44)."""

from __future__ import annotations

import io
import os
import random
import signal
import stat
import subprocess
import time
from typing import TYPE_CHECKING

import pytest
from support.data import MIB, pattern, write_pattern

import s3z

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from support.command import Command
    from support.servers import FakeS3, Server

PART = 5 * MIB
SIZE = 12 * PART + 777
PARTS = 13


@pytest.fixture
def source(tmp_path: Path) -> Path:
    write_pattern(tmp_path / "file", SIZE)
    return tmp_path / "file"


@pytest.fixture
def state(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("S3Z_STATE_DIR", str(tmp_path / "state"))
    return tmp_path / "state"


@pytest.fixture
def run(fake_s3: FakeS3, command: Callable[..., Command], state: Path) -> Command:
    fake_s3.do("create_bucket", bucket="b")
    fake_s3.do("clear_log")
    run = command(fake_s3)
    run.environment["S3Z_STATE_DIR"] = str(state)
    return run


def stored(server: Server, bucket: str = "b") -> bytes:
    body: bytes = server.boto3.get_object(Bucket=bucket, Key="k")["Body"].read()
    return body


def sent(server: FakeS3) -> int:
    """Parts that came whole."""
    return sum(record["status"] == 200 for record in server.log(operation="UploadPart"))


def notes(state: Path) -> list[Path]:
    return sorted(state.iterdir()) if state.exists() else []


class TestCall:
    def test_what_failed_is_gone_on_with(
        self, state: Path, fake_s3: FakeS3, fake_bucket: str, fake_client: s3z.Client, source: Path
    ) -> None:
        fake_s3.rule({"type": "respond", "status": 403, "code": "AccessDenied"}, part=7)
        upload = lambda: fake_client.upload(  # noqa: E731
            source, f"s3://{fake_bucket}/k", resume=True, part_size=PART, max_concurrency=2
        )
        with pytest.raises(s3z.AccessDeniedError) as caught:
            upload()
        [unfinished] = fake_s3.uploads()
        assert caught.value.upload_id == unfinished["upload_id"]
        [note] = caught.value.__notes__
        assert unfinished["upload_id"] in note
        assert "the same call goes on from there" in note
        [path] = notes(state)
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
        text = path.read_text()
        assert fake_s3.secret_key not in text
        assert fake_s3.access_key not in text
        [info] = fake_client.list_uploads()
        assert (info.uri, info.upload_id) == (f"s3://{fake_bucket}/k", unfinished["upload_id"])
        assert info.initiated is not None
        assert abs(info.initiated.timestamp() - time.time()) < 60

        fake_s3.do("clear_rules")
        before = sent(fake_s3)
        result = upload()
        assert result.resumed_bytes == before * PART >= 5 * PART
        assert (result.parts, result.attempts, sent(fake_s3)) == (PARTS, PARTS - before, PARTS)
        assert result.verified.kind == "full_object"
        assert stored(fake_s3, fake_bucket) == pattern(SIZE)
        assert notes(state) == []
        assert list(fake_client.list_uploads()) == []

    def test_on_every_store(self, state: Path, server: Server, bucket: str, source: Path) -> None:
        """What a store lists of its parts is enough, or they are sent again; never a wrong object."""
        uri = f"s3://{bucket}/k"

        def interrupt(progress: s3z.ProgressEvent) -> None:
            if progress.durable >= 3 * PART:
                raise KeyboardInterrupt

        client = server.client(config=s3z.TransferConfig(max_concurrency=1))
        with pytest.raises(KeyboardInterrupt) as caught:
            client.upload(source, uri, resume=True, part_size=PART, progress=interrupt)
        assert "the same call goes on from there" in caught.value.__notes__[0]
        result = client.upload(source, uri, resume=True, part_size=PART)
        assert 3 * PART <= result.resumed_bytes < SIZE
        assert stored(server, bucket) == pattern(SIZE)
        assert server.open_uploads(bucket) == []

    @pytest.mark.parametrize(
        "source", [b"bytes", io.BytesIO(b"file"), [b"iterable"]], ids=["bytes", "file", "iterable"]
    )
    def test_a_stream_cannot(self, fake_bucket: str, fake_client: s3z.Client, source: object) -> None:
        with pytest.raises(s3z.ConfigError, match="resume goes with the path of a file"):
            fake_client.upload(source, f"s3://{fake_bucket}/k", resume=True)  # type: ignore[arg-type]

    def test_small_is_one_request(
        self, state: Path, fake_s3: FakeS3, fake_bucket: str, fake_client: s3z.Client, tmp_path: Path
    ) -> None:
        (tmp_path / "small").write_bytes(b"x")
        assert fake_client.upload(tmp_path / "small", f"s3://{fake_bucket}/k", resume=True).parts == 1
        assert notes(state) == []

    def test_no_place_for_notes(
        self, state: Path, fake_s3: FakeS3, fake_bucket: str, fake_client: s3z.Client, source: Path
    ) -> None:
        state.write_text("a file")
        fake_s3.do("clear_log")
        with pytest.raises(NotADirectoryError) as caught:
            fake_client.upload(source, f"s3://{fake_bucket}/k", resume=True)
        assert caught.value.filename == str(state)
        assert fake_s3.log() == []
        fake_client.upload(source, f"s3://{fake_bucket}/k")
        assert stored(fake_s3, fake_bucket) == pattern(SIZE)

    def test_hostile_state_directory(
        self, state: Path, fake_bucket: str, fake_client: s3z.Client, source: Path
    ) -> None:
        """Notes that are links, pipes, of others, or no notes are neither believed nor touched."""
        state.mkdir()
        (state / "a.upload").symlink_to(source)
        os.mkfifo(state / "b.upload")
        (state / "c.upload").write_text("s3z upload 1\nbucket examples\nend\n")
        (state / "d.upload").write_bytes(random.Random(1).randbytes(5000))
        (state / "e.upload").mkdir()
        (state / "f.upload").write_text("")
        before = notes(state)
        fake_client.upload(source, f"s3://{fake_bucket}/k", resume=True)
        assert list(fake_client.list_uploads()) == []
        assert notes(state) == before

    def test_where_it_is(self, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, fake_s3: FakeS3) -> None:
        fake_s3.do("create_bucket", bucket="b")
        write_pattern(tmp_path / "file", SIZE)
        fake_s3.rule({"type": "respond", "status": 403, "code": "AccessDenied"}, part=2)
        for name, value, place in (
            ("HOME", tmp_path / "home", tmp_path / "home/.local/state/s3z"),
            ("XDG_STATE_HOME", tmp_path / "xdg", tmp_path / "xdg/s3z"),
            ("S3Z_STATE_DIR", tmp_path / "own", tmp_path / "own"),
        ):
            monkeypatch.delenv("XDG_STATE_HOME", raising=False)
            monkeypatch.setenv(name, str(value))
            with pytest.raises(s3z.AccessDeniedError):
                fake_s3.client().upload(tmp_path / "file", "s3://b/k", resume=True, part_size=PART, max_concurrency=1)
            assert len(notes(place)) == 1, name
            for info in list(fake_s3.client().list_uploads()):
                fake_s3.client().abort_upload(info.uri, info.upload_id)
            assert notes(place) == []


class TestCommand:
    def test_killed_uploads_are_gone_on_with(self, fake_s3: FakeS3, run: Command, source: Path, state: Path) -> None:
        """#44: at a random moment; nothing that the store has is sent twice."""
        chance = random.Random(seed := random.randrange(1 << 32))
        fake_s3.switch(rate_total=15 * MIB)  # three attempts together cannot end it
        for _ in range(3):
            process = run.start("cp", "--resume", "-p", "5", "-c", "2", "file", "s3://b/k")
            fake_s3.wait_for_log(operation="UploadPart", count=1 + sent(fake_s3))
            time.sleep(chance.random() / 3)
            process.kill()
            process.communicate()
        had = sent(fake_s3)
        fake_s3.switch(rate_total=0)
        record = run("--json", "cp", "--resume", "-p", "5", "file", "s3://b/k").records[0]
        assert stored(fake_s3) == pattern(SIZE), seed
        # What was on its way when its sender died may have come after it was sent again, or nobody heard the answer.
        assert (had - 6) * PART <= record["resumed_bytes"] <= (had + 6) * PART, seed
        assert fake_s3.uploads() == []
        assert notes(state) == []

    def test_one_that_was_killed_unasked(self, fake_s3: FakeS3, run: Command, source: Path) -> None:
        """U10: the journal knows every upload; the next `--resume` goes on, `uploads` lists and removes."""
        fake_s3.rule({"type": "stall", "seconds": 60, "in_head": True}, part=3)
        for producer in (["cp", "-p", "5", "-c", "2", "file", "s3://b/k"], ["pipe", "-p", "5", "s3://b/stream"]):
            with source.open("rb") as stdin:
                process = run.start(*producer, stdin=stdin)
                fake_s3.wait_for_log(operation="UploadPart", count=2)
                deadline = time.monotonic() + 20
                while sent(fake_s3) < 2 and time.monotonic() < deadline:
                    time.sleep(0.01)
                assert not any(line.endswith(producer[-1]) for line in run("uploads", "ls").lines), "it is under way"
                process.kill()
                process.communicate()
            fake_s3.do("clear_log")
        fake_s3.do("clear_rules")
        ids = {up["key"]: up["upload_id"] for up in fake_s3.uploads()}
        lines = run("uploads", "ls").lines
        assert sorted(line.split("  ")[1:] for line in lines) == sorted(
            [name, f"s3://b/{key}"] for key, name in ids.items()
        )
        assert run("uploads", "abort").lines == [], "younger than a day"
        assert run("uploads", "abort", "--older-than", "0", "--exclude", "k").lines == [
            f"abort s3://b/stream {ids['stream']}"
        ]
        assert run("--json", "cp", "--resume", "file", "s3://b/k").records[0]["resumed_bytes"] >= 2 * PART
        assert run("uploads", "ls").lines == []
        assert fake_s3.uploads() == []

    @pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
    def test_signal(self, fake_s3: FakeS3, run: Command, source: Path, number: int) -> None:
        fake_s3.rule({"type": "stall", "seconds": 60, "in_head": True}, part=3)
        process = run.start(
            "cp", "--resume", "-p", "5", "-c", "2", "file", "s3://b/k", stderr=subprocess.PIPE, text=True
        )
        fake_s3.wait_for_log(operation="UploadPart", count=4)
        process.send_signal(number)
        _, stderr = process.communicate(timeout=20)
        assert process.returncode == -number
        [unfinished] = fake_s3.uploads()
        assert f"as the multipart upload {unfinished['upload_id']}: the same call goes on from there" in stderr
        fake_s3.do("clear_rules")
        assert run("--json", "cp", "--resume", "file", "s3://b/k").records[0]["resumed_bytes"] >= 2 * PART

    def test_error_says_what_is_kept(self, fake_s3: FakeS3, run: Command, source: Path) -> None:
        fake_s3.rule({"type": "respond", "status": 403, "code": "AccessDenied"}, part=4)
        outcome = run("cp", "--resume", "-p", "5", "-c", "1", "file", "s3://b/k", status=1)
        [unfinished] = fake_s3.uploads()
        assert f"15 MiB are kept as the multipart upload {unfinished['upload_id']}" in outcome.stderr
        assert run("uploads", "abort", "--upload-id", unfinished["upload_id"], "s3://b/k").lines
        assert run("uploads", "ls").lines == []

    def test_what_cannot_be(self, run: Command) -> None:
        for line in (["cp", "--resume", "-", "s3://b/k"], ["cp", "--resume", "--no-resume", "x", "s3://b/k"],
                     ["pipe", "--resume", "s3://b/k"]):  # fmt: skip
            assert "resume" in run(*line, input=b"", status=2).stderr
